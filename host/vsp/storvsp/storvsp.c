/* SPDX-License-Identifier: MIT */
/*
 * The controller and its channels: create, open, the initialization, close.
 * Device functions run on the control thread, channel functions on the channel's
 * I/O thread, except where noted.
 *
 * The primary channel is initialized by packets in this order; any other order
 * is answered with INVALID_DEVICE_STATE and changes nothing:
 *
 *   BEGIN --7--> VERSION --9, known--> PROPERTIES --10--> END --8--> READY
 *                  ^--9, unknown--+                       13 (once, in END or READY)
 *                                                         3, 4, 5, 6 in READY
 *
 * BEGIN is reached only by opening the channel. Sub-channels carry 3 to 6; their
 * packets wait at the init barrier until the primary is READY.
 *
 * Every packet that asks for a completion gets exactly one; others are ignored.
 * Requests are put when the reply is in the ring, so a guest that does not read
 * replies runs out of requests, and its ring is no longer read.
 *
 * Resets abort commands on all channels: reset.h, inflight.c. Closing cancels the
 * commands of the channel; the core waits for them before it closes the queues.
 * LUNs are added and removed meanwhile: luns.c, chan_luns.c.
 */
#include "vsp/storvsp/storvsp_impl.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "hv/vmbus_guids.h"

/* ---- device (control thread) --------------------------------------------- */

static int storvsp_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	uint32_t vps = vsp_device_vps(dev);
	int ret;

	ret = storvsp_luns_create(dev, config, e);
	if (ret)
		return ret;
	s->sub_channels_max =
		vps - 1 < STORVSP_SUB_CHANNELS_MAX ? (uint16_t)(vps - 1) : STORVSP_SUB_CHANNELS_MAX;
	ret = counts_init(&s->counts, s->sub_channels_max + 1u);
	if (ret) {
		storvsp_luns_destroy(s);
		return err_set(e, ret, "storage controller: out of memory");
	}
	barrier_init(&s->barrier);
	reset_tracker_init(&s->resets);
	return 0;
}

static void storvsp_destroy(struct vsp_device *dev)
{
	struct storvsp *s = vsp_device_priv(dev);

	reset_tracker_fini(&s->resets);
	barrier_fini(&s->barrier);
	counts_fini(&s->counts);
	storvsp_luns_destroy(s);
}

static void storvsp_request_class(
	struct vsp_device *dev, uint32_t number, struct vsp_request_class *class)
{
	struct storvsp *s = vsp_device_priv(dev);

	class->count = STORVSP_REQUESTS;
	class->size = sizeof(struct storvsp_request) + s->disk_req_size;
}

int storvsp_counters(struct vsp_device *dev, uint8_t lun, struct storvsp_counters *sum)
{
	struct storvsp *s = vsp_device_priv(dev);

	if (lun >= SCSI_LUNS_MAX || !storvsp_is_visible(s, lun))
		return -ENOENT;
	memset(sum, 0, sizeof(*sum));
	for (uint32_t channel = 0; channel < s->counts.channels; channel++)
		counts_collect(sum, counts_of_channel(&s->counts, channel) + lun);
	sum->copied_bytes += disk_copied_bytes(s->luns[lun]->disk) - s->luns[lun]->copied_before;
	return 0;
}

int storvsp_channel_counters(struct vsp_device *dev, uint32_t channel, struct storvsp_counters *sum)
{
	struct storvsp *s = vsp_device_priv(dev);

	if (channel >= s->counts.channels)
		return -ENOENT;
	memset(sum, 0, sizeof(*sum));
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		counts_collect(sum, counts_of_channel(&s->counts, channel) + lun);
	return 0;
}

/* ---- opening and closing a channel --------------------------------------- */

/* The primary is ready: the packets in the sub-channel's ring can be taken now. */
static void barrier_opened(struct barrier_waiter *w)
{
	struct storvsp_channel *c = container_of(w, struct storvsp_channel, waiter);

	ON_IO_THREAD(c);
	if (c->stopping)
		vsp_channel_release(c->ch);
	else
		vsp_channel_resume(c->ch);
}

static void commands_cancelled(struct reset_member *member)
{
	struct storvsp_channel *c = container_of(member, struct storvsp_channel, member);

	if (c->closed && reset_leave(member))
		vsp_channel_release(c->ch);
}

/* ON_CONTROL: attaches the units there are now. Later changes come as calls. */
static void storvsp_prepare(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	c->device = vsp_device_priv(vsp_channel_device(ch));
	c->counts = counts_of_channel(&c->device->counts, vsp_channel_index(ch));
	chan_luns_init(c);
}

static void nexus_lost(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (c->luns[lun].unit)
			scsi_unit_nexus_lost(c->luns[lun].unit);
}

static void begin_initialization(struct storvsp_channel *c)
{
	bool primary = !vsp_channel_index(c->ch);

	barrier_waiter_init(&c->waiter, vsp_channel_loop(c->ch), barrier_opened);
	if (vsp_channel_is_restored(c->ch)) {
		if (primary && c->state == STATE_READY)
			barrier_open(&c->device->barrier, c->version);
		return;
	}
	c->state = primary ? STATE_BEGIN : STATE_SUB_CHANNEL;
	if (!primary)
		return;
	barrier_close(&c->device->barrier);
	nexus_lost(c); /* of the guest before */
}

static int storvsp_open(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	int ret;

	ON_IO_THREAD(c);
	assert(vsp_channel_index(ch) <= c->device->sub_channels_max);
	inflight_init(c);
	ret = chan_luns_open(c);
	c->stopping = ret;
	if (ret)
		return ret;
	begin_initialization(c);
	c->member = (struct reset_member){
		.loop = vsp_channel_loop(ch),
		.cancel = inflight_abort,
		.cancelled = commands_cancelled,
	};
	reset_join(&c->device->resets, &c->member);
	return 0;
}

static void storvsp_stop(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	ON_IO_THREAD(c);
	c->stopping = true;
	inflight_cancel_all(c);
	if (!barrier_leave(&c->device->barrier, &c->waiter))
		vsp_channel_hold(ch); /* until barrier_opened() */
}

static void storvsp_close(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	ON_IO_THREAD(c);
	c->closed = true;
	chan_luns_close(c);
	if (!reset_leave(&c->member))
		vsp_channel_hold(ch); /* until commands_cancelled() */
}

/* ---- initialization: one function per operation -------------------------- */

static uint32_t op_begin(struct storvsp_request *r)
{
	r->channel->state = STATE_VERSION;
	return VSTOR_STATUS_SUCCESS;
}

static bool version_known(uint16_t version)
{
	static const uint16_t versions[] = {VSTOR_VERSION_WIN6, VSTOR_VERSION_WIN7,
		VSTOR_VERSION_WIN8, VSTOR_VERSION_WIN8_1, VSTOR_VERSION_WIN10};

	for (uint32_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++)
		if (versions[i] == version)
			return true;
	return false;
}

static uint32_t op_version(struct storvsp_request *r)
{
	struct storvsp_channel *c = r->channel;
	uint16_t version = r->packet.version.major_minor;

	if (!version_known(version))
		return VSTOR_STATUS_REVISION_MISMATCH;
	c->version = version;
	c->state = STATE_PROPERTIES;
	return VSTOR_STATUS_SUCCESS;
}

/* Old guests know one channel only. */
static uint16_t sub_channels_max(const struct storvsp_channel *c)
{
	return c->version < VSTOR_VERSION_WIN8 ? 0 : c->device->sub_channels_max;
}

static uint32_t op_properties(struct storvsp_request *r)
{
	struct storvsp_channel *c = r->channel;
	struct vstor_packet *packet = &r->packet;

	memset(packet->body, 0, sizeof(packet->body));
	packet->properties.max_channel_count = sub_channels_max(c);
	packet->properties.flags = sub_channels_max(c) ? VSTOR_PROPERTIES_MULTI_CHANNEL : 0;
	packet->properties.max_transfer_bytes = STORVSP_TRANSFER_MAX;
	c->state = STATE_END;
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t op_end(struct storvsp_request *r)
{
	struct storvsp_channel *c = r->channel;

	c->state = STATE_READY;
	barrier_open(&c->device->barrier, c->version);
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t op_sub_channels(struct storvsp_request *r)
{
	struct storvsp_channel *c = r->channel;
	uint16_t wanted = r->packet.sub_channel_count;

	if (wanted > sub_channels_max(c))
		return VSTOR_STATUS_INVALID_PARAMETER;
	if (c->sub_channels_created)
		return VSTOR_STATUS_INVALID_DEVICE_STATE;
	c->sub_channels_created = wanted > 0;
	c->sub_channels_to_offer = wanted;
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t reset(struct storvsp_request *r, uint64_t luns)
{
	if (!luns)
		return VSTOR_STATUS_SUCCESS;
	storvsp_reset(r, luns);
	return VSTOR_STATUS_PENDING;
}

static uint32_t op_reset(struct storvsp_request *r)
{
	return reset(r, atomic_load_explicit(&r->channel->device->visible, memory_order_relaxed));
}

static uint32_t op_reset_lun(struct storvsp_request *r)
{
	const struct vstor_srb srb = r->packet.srb;

	if (!storvsp_srb_has_unit(r->channel->device, &srb))
		return VSTOR_STATUS_NO_SUCH_DEVICE;
	return reset(r, 1ull << srb.lun);
}

#define IN(state) (1u << STATE_##state)

static const struct control_op {
	uint32_t operation;
	uint32_t states;      /* where it is legal */
	uint32_t payload_min; /* bytes it reads */
	uint32_t (*perform)(struct storvsp_request *r);
} control_ops[] = {
	{VSTOR_OP_BEGIN_INITIALIZATION, IN(BEGIN), 12, op_begin},
	{VSTOR_OP_QUERY_PROTOCOL_VERSION, IN(VERSION), 14, op_version},
	{VSTOR_OP_QUERY_PROPERTIES, IN(PROPERTIES), 12, op_properties},
	{VSTOR_OP_END_INITIALIZATION, IN(END), 12, op_end},
	{VSTOR_OP_CREATE_SUB_CHANNELS, IN(END) | IN(READY), 14, op_sub_channels},
	{VSTOR_OP_RESET_LUN, IN(READY) | IN(SUB_CHANNEL), 20, op_reset_lun},
	{VSTOR_OP_RESET_ADAPTER, IN(READY) | IN(SUB_CHANNEL), 12, op_reset},
	{VSTOR_OP_RESET_BUS, IN(READY) | IN(SUB_CHANNEL), 12, op_reset},
};

static uint32_t control(struct storvsp_request *r, uint32_t payload_len)
{
	uint32_t operation = r->packet.operation;
	enum storvsp_state state = r->channel->state;

	if (payload_len < VSTOR_PACKET_HEADER_SIZE)
		return VSTOR_STATUS_INVALID_PARAMETER;
	for (uint32_t i = 0; i < sizeof(control_ops) / sizeof(control_ops[0]); i++) {
		const struct control_op *op = &control_ops[i];

		if (op->operation != operation)
			continue;
		if (!(op->states & (1u << state)))
			break;
		if (payload_len < op->payload_min)
			return VSTOR_STATUS_INVALID_PARAMETER;
		return op->perform(r);
	}
	log_guest("storvsp: operation %u in state %d", operation, state);
	return VSTOR_STATUS_INVALID_DEVICE_STATE;
}

static void control_packet(struct storvsp_request *r, uint32_t payload_len)
{
	struct storvsp_channel *c = r->channel;
	uint32_t status = control(r, payload_len);
	uint16_t offers;

	if (status == VSTOR_STATUS_PENDING)
		return;
	storvsp_reply(r, status); /* r may be free now */
	offers = c->sub_channels_to_offer;
	c->sub_channels_to_offer = 0;
	if (offers)
		vsp_offer_subchannels(c->ch, offers);
}

/* ---- packets ------------------------------------------------------------- */

/* False: the packet must wait for the primary. */
static bool channel_usable(struct storvsp_channel *c)
{
	if (c->state != STATE_SUB_CHANNEL || c->version)
		return true;
	c->version = barrier_pass(&c->device->barrier, &c->waiter);
	return c->version;
}

static void request_init(
	struct storvsp_request *r, struct storvsp_channel *c, const struct vmbus_pkt *pkt)
{
	uint32_t size = pkt->payload_len;

	if (size > sizeof(r->packet))
		size = sizeof(r->packet);
	memset(&r->packet, 0, sizeof(r->packet));
	memcpy(&r->packet, pkt->payload, size);
	r->channel = c;
	storvsp_reply_init(r, pkt);
}

/* A guest that waits for the completion of a type we do not know must get one. */
static void request_run(struct storvsp_request *r, const struct vmbus_pkt *pkt)
{
	enum storvsp_state state = r->channel->state;

	if (pkt->desc.type != VMBUS_PKT_INBAND && pkt->desc.type != VMBUS_PKT_GPA_DIRECT) {
		log_guest("storvsp: packet of type %u", pkt->desc.type);
		storvsp_reply(r, VSTOR_STATUS_INVALID_PARAMETER);
	} else if (r->packet.operation == VSTOR_OP_EXECUTE_SRB &&
		   (state == STATE_READY || state == STATE_SUB_CHANNEL)) {
		storvsp_execute_srb(r, pkt);
	} else {
		control_packet(r, pkt->payload_len);
	}
}

static int storvsp_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	struct storvsp_request *r;

	if (!(pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED)) {
		log_guest(
			"storvsp: packet of type %u without a completion ignored", pkt->desc.type);
		return 0;
	}
	if (!channel_usable(c))
		return -EAGAIN;
	r = vsp_request_get(ch, 0);
	if (!r)
		return -EAGAIN;
	request_init(r, c, pkt);
	request_run(r, pkt);
	return 0;
}

const struct vsp_ops storvsp_ops = {
	.name = "storvsp",
	.class_id = VMBUS_GUID_SCSI,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.interrupts = VSP_INTERRUPTS_MODERATED,
	.device_size = sizeof(struct storvsp),
	.channel_size = sizeof(struct storvsp_channel),
	.packet_max = STORVSP_PACKET_MAX,
	.request_classes = 1,
	.create = storvsp_create,
	.destroy = storvsp_destroy,
	.request_class = storvsp_request_class,
	.prepare = storvsp_prepare,
	.open = storvsp_open,
	.packet = storvsp_packet,
	.stop = storvsp_stop,
	.close = storvsp_close,
	.inspect = storvsp_inspect,
	.inspect_channel = storvsp_channel_inspect,
	.archive = storvsp_archive,
	.archive_channel = storvsp_archive_channel,
	.sub_channels_max = storvsp_sub_channels_max,
};
