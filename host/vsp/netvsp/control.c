/* SPDX-License-Identifier: MIT */
/*
 * RNDIS control messages on the primary channel. A message is a command (nvsp.c)
 * with a private copy of its bytes; its reply goes into a control section of the
 * receive buffer, which the guest's completion returns.
 *
 *   UNINITIALIZED --INIT--> RUNNING --HALT--> UNINITIALIZED
 *                           QUERY, SET, RESET, KEEPALIVE
 */
#include <string.h>

#include "base/log.h"
#include "vsp/netvsp/netvsp_impl.h"

#define TRANSFER_MAX      0xEFFFFFFFu
#define ALIGNMENT_SHIFT   3u
#define CONNECTIONLESS    1u
#define QUERY_INFO_OFFSET (sizeof(struct rndis_query_complete) - RNDIS_OFFSET_BASE)
#define ADDRESSING_RESET  1u

/* ---- replies ------------------------------------------------------------- */

/* In a control section that is free; NULL: the guest has them all. */
struct netvsp_reply *control_reply(struct netvsp_channel *c)
{
	struct netvsp_reply *reply = vsp_request_get(c->ch, CLASS_REPLY);
	uint32_t section = 0;

	if (!reply)
		return NULL;
	while (c->replies[section])
		section++;
	assert(section < RECV_CONTROL_SECTIONS);
	c->replies[section] = reply;
	reply->section = section;
	reply->length = 0;
	reply->sent = false;
	return reply;
}

static void reply_end(struct netvsp_channel *c, struct netvsp_reply *reply)
{
	c->replies[reply->section] = NULL;
	indicate_ended(c, reply);
	vsp_request_put(c->ch, reply);
}

static void reply_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct netvsp_reply, out)->sent = true;
}

/* One that is empty, or that the guest has no buffer for any more, only ends. */
void control_send(struct netvsp_channel *c, struct netvsp_reply *reply)
{
	struct netvsp_recv *recv = c->rx.recv;
	uint64_t offset = recv ? (uint64_t)reply->section * recv->section_size : 0;

	if (!reply->length || c->stopping || !c->rx.view || c->rx.revoked ||
		vsp_gpadl_copy_to(recv->gpadl, offset, reply->bytes, reply->length)) {
		reply_end(c, reply);
		return;
	}
	reply->header.pages = (struct vmbus_xfer_pages){.pageset_id = recv->id, .range_count = 1};
	reply->header.range = (struct vmbus_xfer_range){reply->length, (uint32_t)offset};
	reply->message = (struct nvsp_message){
		.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_CONTROL, NVSP_SECTION_NONE, 0},
	};
	reply->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_XFER_PAGES,
			.flags = VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
			.trans_id = reply->section,
			.header = {&reply->header, sizeof(reply->header)},
			.payload = {&reply->message, netvsp_nvsp_size(c)}},
		.sent = reply_sent,
	};
	vsp_send(c->ch, &reply->out);
}

bool control_completed(struct netvsp_channel *c, uint64_t id)
{
	struct netvsp_reply *reply = c->replies[id];

	if (!reply || !reply->sent)
		return false;
	reply_end(c, reply);
	indicate_changes(c);
	return true;
}

void control_stop(struct netvsp_channel *c)
{
	for (uint32_t i = 0; i < RECV_CONTROL_SECTIONS; i++)
		if (c->replies[i] && c->replies[i]->sent)
			reply_end(c, c->replies[i]);
}

/* ---- messages ------------------------------------------------------------ */

static void answer(struct netvsp_command *cmd, const void *bytes, uint32_t length)
{
	memcpy(cmd->rndis_reply->bytes, bytes, length);
	cmd->rndis_reply->length = length;
	nvsp_done(cmd);
}

static uint32_t request_id(const struct netvsp_command *cmd)
{
	struct rndis_request r;

	memcpy(&r, cmd->rndis, sizeof(r));
	return r.request_id;
}

static void answer_status(struct netvsp_command *cmd, enum rndis_type type, uint32_t status)
{
	const struct rndis_status_complete reply = {
		.header = {type | RNDIS_COMPLETE, sizeof(reply)},
		.request_id = request_id(cmd),
		.status = status,
	};

	answer(cmd, &reply, sizeof(reply));
}

static void answer_init(struct netvsp_command *cmd, uint32_t status)
{
	const struct rndis_init_complete reply = {
		.header = {RNDIS_INIT | RNDIS_COMPLETE, sizeof(reply)},
		.request_id = request_id(cmd),
		.status = status,
		.major = RNDIS_VERSION_MAJOR,
		.minor = RNDIS_VERSION_MINOR,
		.device_flags = CONNECTIONLESS,
		.packets_max = NETVSP_TX_FRAMES_MAX,
		.transfer_max = TRANSFER_MAX,
		.alignment_shift = ALIGNMENT_SHIFT,
	};

	answer(cmd, &reply, sizeof(reply));
}

static void init_applied(struct netvsp_command *cmd)
{
	answer_init(cmd, RNDIS_STATUS_SUCCESS);
}

static void on_init(struct netvsp_command *cmd)
{
	struct netvsp_settings *next = &cmd->channel->device->next;
	struct rndis_init init;

	memcpy(&init, cmd->rndis, sizeof(init));
	if (init.major != RNDIS_VERSION_MAJOR) {
		answer_init(cmd, RNDIS_STATUS_BAD_VERSION);
		return;
	}
	next->running = true;
	next->halted = false;
	indicate_known(cmd->channel);
	netvsp_apply(cmd, init_applied);
}

static void on_init_again(struct netvsp_command *cmd)
{
	answer_init(cmd, RNDIS_STATUS_FAILURE);
}

static void halt_carrier(struct nic_call *call, int error)
{
	netvsp_apply(container_of(call, struct netvsp_command, nic_call), nvsp_done);
}

static void nic_call_start(struct netvsp_command *cmd, void (*done)(struct nic_call *, int))
{
	struct netvsp_channel *c = cmd->channel;

	cmd->nic_call.nic = c->device->nic;
	cmd->nic_call.loop = vsp_channel_loop(c->ch);
	cmd->nic_call.done = done;
	nic_call(&cmd->nic_call);
}

/* No reply: the completion is one. */
static void on_halt(struct netvsp_command *cmd)
{
	struct netvsp_settings *next = &cmd->channel->device->next;

	next->running = next->sub_channels_ready = false;
	next->halted = true;
	next->filter = 0;
	next->rsc4 = next->rsc6 = false;
	next->rss = (struct rss){0};
	cmd->nic_call = (struct nic_call){.op = NIC_CALL_CARRIER, .value = false};
	nic_call_start(cmd, halt_carrier);
}

static void on_query(struct netvsp_command *cmd)
{
	struct rndis_oid_request q;
	struct rndis_query_complete reply = {
		.header.type = RNDIS_QUERY | RNDIS_COMPLETE,
		.info_offset = QUERY_INFO_OFFSET,
	};
	uint8_t *bytes = cmd->rndis_reply->bytes;
	const uint8_t *info;
	uint32_t info_len;

	memcpy(&q, cmd->rndis, sizeof(q));
	reply.request_id = q.request_id;
	if (rndis_info(cmd->rndis, cmd->rndis_length, &info, &info_len))
		reply.status = oid_query(
			cmd->channel, q.oid, bytes + sizeof(reply), info_len, &reply.info_length);
	else
		reply.status = RNDIS_STATUS_INVALID_DATA;
	reply.header.length = sizeof(reply) + reply.info_length;
	memcpy(bytes, &reply, sizeof(reply));
	cmd->rndis_reply->length = reply.header.length;
	nvsp_done(cmd);
}

static uint32_t oid_of(const struct netvsp_command *cmd)
{
	struct rndis_oid_request r;

	memcpy(&r, cmd->rndis, sizeof(r));
	return r.oid;
}

static void set_applied(struct netvsp_command *cmd)
{
	struct netvsp_channel *c = cmd->channel;
	uint32_t oid = oid_of(cmd);

	answer_status(cmd, RNDIS_SET, RNDIS_STATUS_SUCCESS);
	if (oid == OID_GEN_RSS_PARAMETERS && c->settings.rss.enabled && c->settings.parts > 1 &&
		c->sub_channels_requested)
		nvsp_send_table(c);
	if (oid == OID_TCP_OFFLOAD_PARAMETERS)
		indicate_offloads_changed(c);
}

/* What the NIC cannot do it does not do; the guest has been served all the same. */
static void set_nic_called(struct nic_call *call, int error)
{
	netvsp_apply(container_of(call, struct netvsp_command, nic_call), set_applied);
}

static void on_set(struct netvsp_command *cmd)
{
	struct rndis_oid_request s;
	const uint8_t *info;
	uint32_t info_len, status = RNDIS_STATUS_INVALID_DATA;
	bool needs_nic_call = false;

	memcpy(&s, cmd->rndis, sizeof(s));
	cmd->nic_call = (struct nic_call){0};
	if (rndis_info(cmd->rndis, cmd->rndis_length, &info, &info_len))
		status = oid_set(
			cmd->channel, s.oid, info, info_len, &cmd->nic_call, &needs_nic_call);
	if (status)
		answer_status(cmd, RNDIS_SET, status);
	else if (needs_nic_call)
		nic_call_start(cmd, set_nic_called);
	else
		netvsp_apply(cmd, set_applied);
}

static void on_reset(struct netvsp_command *cmd)
{
	const struct rndis_status_complete reply = {
		.header = {RNDIS_RESET | RNDIS_COMPLETE, sizeof(reply)},
		.request_id = RNDIS_STATUS_SUCCESS,
		.status = ADDRESSING_RESET,
	};

	answer(cmd, &reply, sizeof(reply));
}

static void on_keepalive(struct netvsp_command *cmd)
{
	answer_status(cmd, RNDIS_KEEPALIVE, RNDIS_STATUS_SUCCESS);
}

static void on_set_ex(struct netvsp_command *cmd)
{
	answer_status(cmd, RNDIS_SET_EX, RNDIS_STATUS_NOT_SUPPORTED);
}

#define UNINITIALIZED 1u
#define RUNNING       2u

static const struct message {
	uint32_t type;
	uint32_t states;
	uint32_t size; /* bytes it reads */
	void (*run)(struct netvsp_command *cmd);
} messages[] = {
	{RNDIS_INIT, UNINITIALIZED, sizeof(struct rndis_init), on_init},
	{RNDIS_INIT, RUNNING, sizeof(struct rndis_init), on_init_again},
	{RNDIS_HALT, UNINITIALIZED | RUNNING, sizeof(struct rndis_header), on_halt},
	{RNDIS_QUERY, RUNNING, sizeof(struct rndis_oid_request), on_query},
	{RNDIS_SET, RUNNING, sizeof(struct rndis_oid_request), on_set},
	{RNDIS_RESET, RUNNING, sizeof(struct rndis_request), on_reset},
	{RNDIS_KEEPALIVE, RUNNING, sizeof(struct rndis_request), on_keepalive},
	{RNDIS_SET_EX, RUNNING, sizeof(struct rndis_request), on_set_ex},
};

static const struct message *find_message(uint32_t type, uint32_t state)
{
	for (uint32_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		if (messages[i].type == type && messages[i].states & state)
			return &messages[i];
	return NULL;
}

/* The message is as long as it says, and as its type needs; what follows it is ignored. */
void control_run(struct netvsp_command *cmd)
{
	uint32_t state = cmd->channel->device->next.running ? RUNNING : UNINITIALIZED;
	const struct message *message = NULL;
	struct rndis_header header = {0};

	if (cmd->rndis_length >= sizeof(header))
		memcpy(&header, cmd->rndis, sizeof(header));
	if (header.length <= cmd->rndis_length)
		message = find_message(header.type, state);
	if (message && header.length >= message->size) {
		cmd->rndis_length = header.length;
		message->run(cmd);
		return;
	}
	log_guest("netvsp: RNDIS message %#x of %u bytes refused", header.type, header.length);
	cmd->reply.status = NVSP_STATUS_INVALID_RNDIS;
	nvsp_done(cmd);
}
