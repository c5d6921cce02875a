/* SPDX-License-Identifier: MIT */
/*
 * NVSP messages on the primary channel. Each is a command; commands run one after
 * the other, since some take their time (the NIC, other channels), and a guest's
 * messages have an order.
 *
 *   OPENED --INIT, a version we know--> NEGOTIATED   everything else, see the table
 *     ^--INIT, another version--+
 *
 * A command ends in nvsp_done(): the completion goes out, then its RNDIS reply.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/netvsp/netvsp_impl.h"

#define MDL_CHAIN_MAX 34u
#define VERSION_FIELD 0xFFFFFFFFu /* of INIT_COMPLETE: deprecated; 2 for version 1 */

static void run_next(struct netvsp_channel *c);

/* ---- the end of a command ------------------------------------------------ */

static void command_free(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;

	if (cmd != c->teardown.cmd) {
		vsp_request_put(c->ch, cmd);
		return;
	}
	c->teardown.queued = false;
	nvsp_torn_down(c);
	vsp_channel_release(c->ch);
}

static void send_completion(struct netvsp_command *cmd)
{
	if (!cmd->wants_completion) {
		command_free(cmd);
		return;
	}
	if (cmd->reply.type)
		cmd->out.packet.payload =
			(struct vmbus_vec){&cmd->reply, netvsp_nvsp_size(cmd->channel)};
	vsp_send(cmd->channel->ch, &cmd->out);
}

static void offer_sub_channels(struct netvsp_channel *c)
{
	uint32_t count = c->sub_channels_to_offer;

	c->sub_channels_to_offer = 0;
	if (count && !c->stopping)
		vsp_offer_subchannels(c->ch, (uint16_t)count);
}

void nvsp_done(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;
	struct netvsp_reply *reply = cmd->rndis_reply;

	list_del(&cmd->link);
	c->running = false;
	send_completion(cmd); /* cmd may be free now */
	if (reply)
		control_send(c, reply);
	offer_sub_channels(c);
	run_next(c);
}

static void done_with(struct netvsp_command *cmd, uint32_t type)
{
	cmd->reply.type = type;
	nvsp_done(cmd);
}

/* ---- versions ------------------------------------------------------------ */

static uint32_t best_version(const struct nvsp_init *init)
{
	static const uint32_t versions[] = {NVSP_VERSION_6_1, NVSP_VERSION_6, NVSP_VERSION_5,
		NVSP_VERSION_4, NVSP_VERSION_2, NVSP_VERSION_1};

	for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (versions[i] >= init->version_min && versions[i] <= init->version_max)
			return versions[i];
	return 0;
}

static void init_done(struct netvsp_command *cmd)
{
	const struct netvsp_settings *s = &cmd->channel->device->next;

	cmd->reply.init_complete = (struct nvsp_init_complete){
		.version = s->version == NVSP_VERSION_1 ? NVSP_VERSION_1 : VERSION_FIELD,
		.mdl_chain_max = MDL_CHAIN_MAX,
		.status = NVSP_STATUS_SUCCESS,
	};
	done_with(cmd, NVSP_INIT_COMPLETE);
}

static void op_init(struct netvsp_command *cmd)
{
	struct netvsp_settings *next = &cmd->channel->device->next;

	cmd->reply.init_complete.status = NVSP_STATUS_UNSUPPORTED;
	if (next->version) {
		done_with(cmd, NVSP_INIT_COMPLETE);
		return;
	}
	next->version = best_version(&cmd->message.init);
	if (next->version)
		netvsp_apply(cmd, init_done);
	else
		done_with(cmd, NVSP_INIT_COMPLETE);
}

/* ---- configuration ------------------------------------------------------- */

/* The guest finds its MTU in OID_GEN_MAXIMUM_FRAME_SIZE. */
static void op_config(struct netvsp_command *cmd)
{
	struct netvsp *d = cmd->channel->device;
	uint32_t mtu = cmd->message.ndis_config.mtu, mtu_max;

	if (d->next.recv || d->next.running) { /* its sections are cut for the old one */
		nvsp_done(cmd);
		return;
	}
	mtu = mtu > NIC_ETH_HEADER ? mtu - NIC_ETH_HEADER : 0;
	if (mtu < NETVSP_MTU_MIN)
		mtu = NETVSP_MTU_DEFAULT;
	mtu_max = atomic_load(&d->mtu_max);
	d->next.mtu = mtu < mtu_max ? mtu : mtu_max;
	d->next.capabilities = cmd->message.ndis_config.capabilities;
	netvsp_apply(cmd, nvsp_done);
}

static void op_nothing(struct netvsp_command *cmd)
{
	nvsp_done(cmd);
}

static void op_oid_query_ex(struct netvsp_command *cmd)
{
	cmd->reply.oid_query_ex_complete.status = RNDIS_STATUS_NOT_SUPPORTED;
	done_with(cmd, NVSP_OID_QUERY_EX_COMPLETE);
}

/* ---- buffers ------------------------------------------------------------- */

void nvsp_buffer_torn_down(struct vsp_channel *ch, struct vsp_gpadl *gpadl)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	if (c->rx.recv && c->rx.recv->gpadl == gpadl)
		c->teardown.recv = true;
	if (c->send && c->send->gpadl == gpadl)
		c->teardown.send = true;
	nvsp_torn_down(c);
}

static void map(struct netvsp_command *cmd,
	void (*mapped)(struct vsp_gpadl_map *map, struct vsp_gpadl *gpadl, int error))
{
	cmd->map = (struct vsp_gpadl_map){.handle = cmd->message.send_buf.gpadl,
		.mapped = mapped,
		.torn_down = nvsp_buffer_torn_down};
	vsp_gpadl_map(cmd->channel->ch, &cmd->map);
}

static void recv_applied(struct netvsp_command *cmd)
{
	const struct netvsp_recv *recv = cmd->channel->rx.recv;

	cmd->reply.recv_buf_complete = (struct nvsp_recv_buf_complete){
		.status = NVSP_STATUS_SUCCESS,
		.section_count = 1,
		.sub_alloc_size = recv->section_size,
		.sub_alloc_count = recv->sections,
		.end_offset = recv->section_size * recv->sections,
	};
	done_with(cmd, NVSP_SEND_RECV_BUF_COMPLETE);
}

/* The primary's own references on the buffer and on its pages; another in `next`. */
static bool take_recv(struct netvsp_command *cmd, struct vsp_gpadl *gpadl)
{
	struct netvsp_channel *c = cmd->channel;
	struct netvsp *d = c->device;

	c->rx.recv = recv_create(
		gpadl, cmd->message.send_buf.id, d->next.mtu, vsp_device_budget(d->dev));
	if (!c->rx.recv)
		return false;
	if ((c->rx.recv->sections - RECV_CONTROL_SECTIONS) / d->channels_max == 0) {
		recv_put(c->rx.recv);
		c->rx.recv = NULL;
		return false;
	}
	c->rx.view = true;
	recv_get(c->rx.recv);
	d->next.recv = c->rx.recv;
	return true;
}

static void recv_mapped(struct vsp_gpadl_map *m, struct vsp_gpadl *gpadl, int error)
{
	struct netvsp_command *cmd = container_of(m, struct netvsp_command, map);

	cmd->reply.recv_buf_complete.status = NVSP_STATUS_FAIL;
	if (gpadl && !cmd->channel->stopping && take_recv(cmd, gpadl)) {
		netvsp_apply(cmd, recv_applied);
		return;
	}
	log_guest("netvsp: receive buffer refused");
	if (gpadl)
		vsp_gpadl_put(gpadl);
	done_with(cmd, NVSP_SEND_RECV_BUF_COMPLETE);
}

/* Once per opening of the channel. */
static void op_recv_buf(struct netvsp_command *cmd)
{
	if (!cmd->channel->rx.recv) {
		map(cmd, recv_mapped);
		return;
	}
	cmd->reply.recv_buf_complete.status = NVSP_STATUS_FAIL;
	done_with(cmd, NVSP_SEND_RECV_BUF_COMPLETE);
}

static void send_applied(struct netvsp_command *cmd)
{
	cmd->reply.send_buf_complete = (struct nvsp_send_buf_complete){
		.status = NVSP_STATUS_SUCCESS, .section_size = SEND_SECTION_SIZE};
	done_with(cmd, NVSP_SEND_SEND_BUF_COMPLETE);
}

static bool take_send(struct netvsp_command *cmd, struct vsp_gpadl *gpadl)
{
	struct netvsp_channel *c = cmd->channel;

	c->send = send_create(gpadl);
	if (!c->send)
		return false;
	c->send_view = true;
	send_get(c->send);
	c->device->next.send = c->send;
	return true;
}

static void send_mapped(struct vsp_gpadl_map *m, struct vsp_gpadl *gpadl, int error)
{
	struct netvsp_command *cmd = container_of(m, struct netvsp_command, map);

	cmd->reply.send_buf_complete.status = NVSP_STATUS_FAIL;
	if (gpadl && !cmd->channel->stopping && take_send(cmd, gpadl)) {
		netvsp_apply(cmd, send_applied);
		return;
	}
	log_guest("netvsp: send buffer refused");
	if (gpadl)
		vsp_gpadl_put(gpadl);
	done_with(cmd, NVSP_SEND_SEND_BUF_COMPLETE);
}

static void op_send_buf(struct netvsp_command *cmd)
{
	if (!cmd->channel->send) {
		map(cmd, send_mapped);
		return;
	}
	cmd->reply.send_buf_complete.status = NVSP_STATUS_FAIL;
	done_with(cmd, NVSP_SEND_SEND_BUF_COMPLETE);
}

static void drop_recv(struct netvsp *d)
{
	recv_put(d->next.recv);
	d->next.recv = NULL;
}

static void drop_send(struct netvsp *d)
{
	send_put(d->next.send);
	d->next.send = NULL;
}

static void op_revoke_recv(struct netvsp_command *cmd)
{
	struct netvsp *d = cmd->channel->device;

	if (!d->next.recv || d->next.recv->id != cmd->message.revoke_buf.id) {
		nvsp_done(cmd);
		return;
	}
	drop_recv(d);
	netvsp_apply(cmd, nvsp_done);
}

/* The id is 0 or a magic number, and there is one buffer only. */
static void op_revoke_send(struct netvsp_command *cmd)
{
	drop_send(cmd->channel->device);
	netvsp_apply(cmd, nvsp_done);
}

/* The guest tears down a GPADL without a word before. */
static void op_teardown(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;

	if (c->teardown.recv)
		drop_recv(c->device);
	if (c->teardown.send)
		drop_send(c->device);
	c->teardown.recv = c->teardown.send = false;
	netvsp_apply(cmd, nvsp_done);
}

void nvsp_torn_down(struct netvsp_channel *c)
{
	struct netvsp_command *cmd = c->teardown.cmd;

	if (c->stopping || c->teardown.queued || !(c->teardown.recv || c->teardown.send))
		return;
	c->teardown.queued = true;
	vsp_channel_hold(c->ch);
	memset(cmd, 0, sizeof(*cmd));
	cmd->channel = c;
	list_add_tail(&c->commands, &cmd->link);
	run_next(c);
}

/* ---- sub-channels -------------------------------------------------------- */

static void sub_channels_refused(struct netvsp_command *cmd)
{
	cmd->reply.subchannel = (struct nvsp_subchannel){NVSP_STATUS_FAIL, 0};
	done_with(cmd, NVSP_SUBCHANNEL);
}

static void sub_channels_applied(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;

	c->sub_channels_to_offer = c->device->next.parts - 1;
	cmd->reply.subchannel =
		(struct nvsp_subchannel){NVSP_STATUS_SUCCESS, c->sub_channels_to_offer};
	done_with(cmd, NVSP_SUBCHANNEL);
}

static void queues_set(struct nic_call *call, int error)
{
	struct netvsp_command *cmd = container_of(call, struct netvsp_command, nic_call);
	struct netvsp_channel *c = cmd->channel;

	if (error || c->stopping) {
		sub_channels_refused(cmd);
		return;
	}
	c->sub_channels_requested = true;
	c->device->next.parts = call->value;
	netvsp_apply(cmd, sub_channels_applied);
}

/* The guest waits for exactly as many offers as the reply says. */
static void op_sub_channels(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;
	struct netvsp *d = c->device;
	uint32_t count = cmd->message.subchannel.count;

	if (cmd->message.subchannel.op != NVSP_SUBCHANNEL_ALLOCATE || !count ||
		c->sub_channels_requested || !d->next.running || d->channels_max < 2) {
		sub_channels_refused(cmd);
		return;
	}
	if (count > d->channels_max - 1)
		count = d->channels_max - 1;
	cmd->nic_call = (struct nic_call){.nic = d->nic,
		.op = NIC_CALL_QUEUES,
		.value = count + 1,
		.loop = vsp_channel_loop(c->ch),
		.done = queues_set};
	nic_call(&cmd->nic_call);
}

static void table_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct netvsp_channel *c = vsp_channel_priv(ch);

	c->table.queued = false;
	if (c->table.again && !c->stopping)
		nvsp_send_table(c);
}

void nvsp_send_table(struct netvsp_channel *c)
{
	const struct netvsp_settings *s = &c->settings;

	c->table.again = c->table.queued;
	if (c->table.queued || s->version < NVSP_VERSION_5 || c->stopping)
		return;
	c->table.message = (struct nvsp_table_message){
		.type = NVSP_SEND_INDIRECTION_TABLE,
		.table = {.count = NVSP_TABLE_ENTRIES,
			.offset = offsetof(struct nvsp_table_message, table.table)},
	};
	for (uint32_t i = 0; i < NVSP_TABLE_ENTRIES; i++)
		c->table.message.table.table[i] = rss_channel(&s->rss, i, s->parts);
	c->table.out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND,
			.payload = {&c->table.message, sizeof(c->table.message)}},
		.sent = table_sent,
	};
	c->table.queued = true;
	vsp_send(c->ch, &c->table.out);
}

/* ---- RNDIS --------------------------------------------------------------- */

/* The message was copied when the packet came. */
static void op_rndis(struct netvsp_command *cmd)
{
	cmd->reply.type = NVSP_SEND_RNDIS_PKT_COMPLETE;
	cmd->reply.status = NVSP_STATUS_SUCCESS;
	if (cmd->rndis_length && cmd->channel->rx.view && !cmd->channel->rx.revoked) {
		control_run(cmd);
		return;
	}
	cmd->reply.status = NVSP_STATUS_FAIL;
	nvsp_done(cmd);
}

/* ---- the table ----------------------------------------------------------- */

#define OPENED     1u
#define NEGOTIATED 2u

static const struct op {
	uint32_t type;
	uint32_t states; /* in which it is legal */
	uint32_t size;   /* bytes it reads, with the type */
	uint32_t version_min;
	void (*run)(struct netvsp_command *cmd);
} ops[] = {
	{NVSP_INIT, OPENED | NEGOTIATED, 12, 0, op_init},
	{NVSP_SEND_NDIS_VERSION, NEGOTIATED, 12, 0, op_nothing},
	{NVSP_SEND_NDIS_CONFIG, NEGOTIATED, 20, NVSP_VERSION_2, op_config},
	{NVSP_SEND_RECV_BUF, NEGOTIATED, 10, 0, op_recv_buf},
	{NVSP_REVOKE_RECV_BUF, NEGOTIATED, 6, 0, op_revoke_recv},
	{NVSP_SEND_SEND_BUF, NEGOTIATED, 10, 0, op_send_buf},
	{NVSP_REVOKE_SEND_BUF, NEGOTIATED, 6, 0, op_revoke_send},
	{NVSP_SEND_RNDIS_PKT, NEGOTIATED, 16, 0, op_rndis},
	{NVSP_SUBCHANNEL, NEGOTIATED, 12, NVSP_VERSION_5, op_sub_channels},
	{NVSP_SWITCH_DATA_PATH, NEGOTIATED, 8, NVSP_VERSION_4, op_nothing},
	{NVSP_OID_QUERY_EX, NEGOTIATED, 4, NVSP_VERSION_5, op_oid_query_ex},
};

static const struct op *find_op(const struct netvsp_channel *c, uint32_t type, uint32_t len)
{
	uint32_t version = c->device->next.version;
	uint32_t state = version ? NEGOTIATED : OPENED;

	for (uint32_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		if (ops[i].type == type)
			return ops[i].states & state && len >= ops[i].size &&
					       version >= ops[i].version_min
				       ? &ops[i]
				       : NULL;
	return NULL;
}

/* What is not legal is completed with nothing: a guest that waits must get something. */
static void run(struct netvsp_command *cmd)
{
	const struct op *op = find_op(cmd->channel, cmd->message.type, cmd->length);

	if (cmd == cmd->channel->teardown.cmd) {
		op_teardown(cmd);
	} else if (op) {
		op->run(cmd);
	} else {
		log_guest("netvsp: message %u of %u bytes refused", cmd->message.type, cmd->length);
		nvsp_done(cmd);
	}
}

/* A command that ends at once runs the next one from nvsp_done(): as deep as commands wait, of
 * which the request pool has few. */
static void run_next(struct netvsp_channel *c)
{
	if (c->running || list_empty(&c->commands) || c->stopping)
		return;
	c->running = true;
	run(container_of(c->commands.next, struct netvsp_command, link));
}

/* ---- packets ------------------------------------------------------------- */

/* The guest's pages are read now, once. False: they are not what they should be. */
static bool copy_rndis(struct netvsp_command *cmd, const struct vmbus_pkt *pkt)
{
	struct iovec iov[NETVSP_TX_PIECES_MAX];
	struct rndis_stream s = {.iov = iov};
	int pieces = tx_pieces(
		cmd->channel, pkt, &cmd->message.rndis_pkt, iov, NETVSP_TX_PIECES_MAX, &s.left);

	if (pieces < 0 || s.left > sizeof(cmd->rndis))
		return false;
	s.iov_count = (uint32_t)pieces;
	rndis_stream_peek(&s, cmd->rndis, s.left);
	cmd->rndis_length = s.left;
	return true;
}

/* A guest that does not complete our replies gets no more of them. */
static int take_reply(struct netvsp_command *cmd)
{
	cmd->rndis_reply = control_reply(cmd->channel);
	return cmd->rndis_reply ? 0 : -EPROTO;
}

int nvsp_packet(struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_message *m)
{
	struct netvsp_command *cmd = vsp_request_get(c->ch, CLASS_COMMAND);

	if (!cmd)
		return -EAGAIN;
	cmd->channel = c;
	cmd->message = *m;
	cmd->length = pkt->payload_len;
	cmd->reply = (struct nvsp_message){0};
	cmd->rndis_reply = NULL;
	cmd->rndis_length = 0;
	cmd->wants_completion = pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED;
	cmd->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_COMPLETION, .trans_id = pkt->desc.trans_id},
		.request = cmd,
	};
	if (m->type == NVSP_SEND_RNDIS_PKT && copy_rndis(cmd, pkt) && take_reply(cmd)) {
		vsp_request_put(c->ch, cmd);
		return -EPROTO;
	}
	list_add_tail(&c->commands, &cmd->link);
	run_next(c);
	return 0;
}

/* The command that runs comes to its end by itself. */
void nvsp_stop(struct netvsp_channel *c)
{
	list_for_each_safe (item, &c->commands) {
		struct netvsp_command *cmd = container_of(item, struct netvsp_command, link);

		if (c->running && item == c->commands.next)
			continue;
		list_del(item);
		if (cmd->rndis_reply)
			control_send(c, cmd->rndis_reply);
		command_free(cmd);
	}
}
