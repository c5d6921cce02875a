/* SPDX-License-Identifier: MIT */
/*
 * The controller and its channels: create, open, the initialization, close.
 *
 * The primary channel is initialized by packets in this order; any other order
 * is answered with INVALID_DEVICE_STATE and changes nothing:
 *
 *   BEGIN --7--> VERSION --9, known--> PROPERTIES --10--> END --8--> READY
 *                  ^--9, unknown--+                       13 (once, in END or READY)
 *                                                         3, 4, 5, 6 in READY
 *
 * BEGIN is reached only by opening the channel. Sub-channels carry 3 to 6; what
 * comes before the primary is READY waits in the gate.
 *
 * Every packet that asks for a completion gets exactly one. Requests are put
 * back when the reply is in the ring, so a guest that does not take replies
 * runs out of requests and is no longer read.
 *
 * Resets abort what is in flight on all channels: see reset.h and inflight.c.
 *
 * Closing: no packet comes any more, what is in flight is aborted; when the last
 * request is back the disk queues are closed and the channel is.
 *
 * Units come and go meanwhile: units.c, places.c.
 */
#include "vsp/storvsp/storvsp.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hv/vmbus_guids.h"
#include "vsp/storvsp/storvsp_impl.h"

/* ---- device (control thread) --------------------------------------------- */

static int storvsp_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	uint32_t vps = vsp_device_host(dev)->vp_count;
	int ret;

	ret = storvsp_units_create(dev, config, e);
	if (ret)
		return ret;
	s->sub_channels_max =
		vps - 1 < STORVSP_SUB_CHANNELS_MAX ? (uint16_t)(vps - 1) : STORVSP_SUB_CHANNELS_MAX;
	ret = counts_init(&s->counts, s->sub_channels_max + 1u);
	if (ret) {
		storvsp_units_destroy(s);
		return err_set(e, ret, "storage controller: out of memory");
	}
	gate_init(&s->gate);
	reset_desk_init(&s->resets);
	return 0;
}

static void storvsp_destroy(struct vsp_device *dev)
{
	struct storvsp *s = vsp_device_priv(dev);

	reset_desk_fini(&s->resets);
	gate_fini(&s->gate);
	counts_fini(&s->counts);
	storvsp_units_destroy(s);
}

static size_t storvsp_request_size(struct vsp_device *dev, uint32_t *count)
{
	struct storvsp *s = vsp_device_priv(dev);

	*count = STORVSP_REQUESTS;
	return sizeof(struct storvsp_request) + s->disk_req_size;
}

int storvsp_counters(struct vsp_device *dev, uint8_t lun, struct storvsp_counters *sum)
{
	struct storvsp *s = vsp_device_priv(dev);

	if (lun >= SCSI_LUNS_MAX || !storvsp_has_lun(s, lun))
		return -ENOENT;
	memset(sum, 0, sizeof(*sum));
	for (uint32_t channel = 0; channel < s->counts.channels; channel++)
		counts_collect(sum, counts_of_channel(&s->counts, channel) + lun);
	sum->copied_bytes += disk_copied_bytes(s->units[lun]->disk) - s->units[lun]->copied_before;
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

/* ---- opening and closing a channel (its I/O thread) ---------------------- */

static void finish_close(struct storvsp_channel *c)
{
	if (!c->closing || vsp_requests_in_use(c->ch) ||
		!gate_leave(&c->device->gate, &c->waiter) || !reset_leave(&c->reset_port))
		return;
	c->closing = false;
	c->closed = true;
	storvsp_places_close(c);
	vsp_channel_closed(c->ch);
}

/* The primary is ready: what the sub-channel left in its ring can be taken now. */
static void gate_opened(struct storvsp_waiter *w)
{
	struct storvsp_channel *c = container_of(w, struct storvsp_channel, waiter);

	if (c->closing)
		finish_close(c);
	else
		chan_resume(vsp_channel_chan(c->ch));
}

static void reset_visited(struct reset_port *port)
{
	finish_close(container_of(port, struct storvsp_channel, reset_port));
}

/* On the control thread: what units there are now. Changes from here on come as calls. */
static void storvsp_prepare(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	c->device = vsp_device_priv(vsp_channel_device(ch));
	storvsp_places_init(c);
}

static void forget_last_guest(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		if (c->places[lun].unit)
			scsi_unit_nexus_lost(c->places[lun].unit);
}

static int storvsp_open(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	uint16_t index = vsp_channel_index(ch);
	int ret;

	assert(index <= c->device->sub_channels_max);
	c->state = index ? STATE_SUB_CHANNEL : STATE_BEGIN;
	c->counts = counts_of_channel(&c->device->counts, index);
	gate_waiter_init(&c->waiter, vsp_channel_chan(ch)->loop, gate_opened);
	if (!index)
		gate_close(&c->device->gate);
	inflight_init(c);
	ret = storvsp_places_open(c);
	c->closed = ret;
	if (ret)
		return ret;
	if (!index)
		forget_last_guest(c);
	c->reset_port = (struct reset_port){
		.loop = vsp_channel_chan(ch)->loop,
		.visit = inflight_abort,
		.visited = reset_visited,
	};
	reset_join(&c->device->resets, &c->reset_port);
	return 0;
}

static void storvsp_close(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	c->closing = true;
	inflight_close(c);
	finish_close(c);
}

/* ---- replies ------------------------------------------------------------- */

/* Guests compare the size of a completion with what they expect: the negotiated version's. Before
 * there is one, they expect what they sent, of which there are only two kinds. */
static uint32_t reply_size(const struct storvsp_channel *c, uint32_t request_size)
{
	if (c->version)
		return c->version < VSTOR_VERSION_WIN8 ? VSTOR_PACKET_SIZE_WIN7 : VSTOR_PACKET_SIZE;
	return request_size < VSTOR_PACKET_SIZE ? VSTOR_PACKET_SIZE_WIN7 : VSTOR_PACKET_SIZE;
}

static void reply_sent(struct chan *chan, struct chan_out *out)
{
	struct storvsp_request *r = container_of(out, struct storvsp_request, out);
	struct storvsp_channel *c = r->channel;

	vsp_request_put(c->ch, r);
	finish_close(c);
}

void storvsp_reply(struct storvsp_request *r, uint32_t status)
{
	r->packet.operation = VSTOR_OP_COMPLETE_IO;
	r->packet.flags = 0;
	r->packet.status = status;
	chan_send(vsp_channel_chan(r->channel->ch), &r->out);
}

static void enumerate_sent(struct chan *chan, struct chan_out *out)
{
	container_of(out, struct storvsp_channel, enumerate)->enumerate_waits = false;
}

/* A guest that is not ready, or too old for it, looks by itself. One that has not yet read the last
 * such packet will look after it has. */
void storvsp_enumerate(struct vsp_call *call)
{
	struct storvsp_channel *c = container_of(call, struct storvsp_channel, enumerate_call);

	if (c->state == STATE_READY && c->version >= VSTOR_VERSION_WIN7 && !c->closing &&
		!c->closed && !c->enumerate_waits) {
		c->enumerate_packet = (struct vstor_packet){.operation = VSTOR_OP_ENUMERATE_BUS};
		c->enumerate = (struct chan_out){
			.type = VMBUS_PKT_INBAND,
			.payload = &c->enumerate_packet,
			.payload_len = reply_size(c, 0),
			.sent = enumerate_sent,
		};
		c->enumerate_waits = true;
		chan_send(vsp_channel_chan(c->ch), &c->enumerate);
	}
	vsp_call_done(call);
}

/* ---- initialization: one function per operation -------------------------- */

static uint32_t op_begin(struct storvsp_channel *c, struct vstor_packet *packet)
{
	c->state = STATE_VERSION;
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

static uint32_t op_version(struct storvsp_channel *c, struct vstor_packet *packet)
{
	uint16_t version = packet->version.major_minor;

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

static uint32_t op_properties(struct storvsp_channel *c, struct vstor_packet *packet)
{
	memset(packet->body, 0, sizeof(packet->body));
	packet->properties.max_channel_count = sub_channels_max(c);
	packet->properties.flags = sub_channels_max(c) ? VSTOR_PROPERTIES_MULTI_CHANNEL : 0;
	packet->properties.max_transfer_bytes = STORVSP_TRANSFER_MAX;
	c->state = STATE_END;
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t op_end(struct storvsp_channel *c, struct vstor_packet *packet)
{
	c->state = STATE_READY;
	gate_open(&c->device->gate, c->version);
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t op_sub_channels(struct storvsp_channel *c, struct vstor_packet *packet)
{
	uint16_t wanted = packet->sub_channel_count;

	if (wanted > sub_channels_max(c))
		return VSTOR_STATUS_INVALID_PARAMETER;
	if (c->sub_channels_created)
		return VSTOR_STATUS_INVALID_DEVICE_STATE;
	c->sub_channels_created = wanted > 0;
	c->sub_channels_to_offer = wanted;
	return VSTOR_STATUS_SUCCESS;
}

static uint32_t reset(struct vstor_packet *packet, uint64_t luns)
{
	if (!luns)
		return VSTOR_STATUS_SUCCESS;
	storvsp_reset(container_of(packet, struct storvsp_request, packet), luns);
	return VSTOR_STATUS_PENDING;
}

static uint32_t op_reset(struct storvsp_channel *c, struct vstor_packet *packet)
{
	return reset(packet, atomic_load_explicit(&c->device->luns, memory_order_relaxed));
}

static uint32_t op_reset_lun(struct storvsp_channel *c, struct vstor_packet *packet)
{
	const struct vstor_srb srb = packet->srb;

	if (!storvsp_srb_has_unit(c->device, &srb))
		return VSTOR_STATUS_NO_SUCH_DEVICE;
	return reset(packet, 1ull << srb.lun);
}

#define IN(state) (1u << STATE_##state)

static const struct control_op {
	uint32_t operation;
	uint32_t states;      /* where it is legal */
	uint32_t payload_min; /* bytes it reads */
	uint32_t (*perform)(struct storvsp_channel *c, struct vstor_packet *packet);
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

static uint32_t control(
	struct storvsp_channel *c, struct vstor_packet *packet, uint32_t payload_len)
{
	if (payload_len < VSTOR_PACKET_HEADER_SIZE)
		return VSTOR_STATUS_INVALID_PARAMETER;
	for (uint32_t i = 0; i < sizeof(control_ops) / sizeof(control_ops[0]); i++) {
		const struct control_op *op = &control_ops[i];

		if (op->operation != packet->operation)
			continue;
		if (!(op->states & (1u << c->state)))
			break;
		if (payload_len < op->payload_min)
			return VSTOR_STATUS_INVALID_PARAMETER;
		return op->perform(c, packet);
	}
	log_guest("storvsp: operation %u in state %d", packet->operation, c->state);
	return VSTOR_STATUS_INVALID_DEVICE_STATE;
}

static void control_packet(struct storvsp_request *r, uint32_t payload_len)
{
	struct storvsp_channel *c = r->channel;
	uint32_t status = control(c, &r->packet, payload_len);
	uint16_t offers;

	if (status == VSTOR_STATUS_PENDING)
		return;
	storvsp_reply(r, status); /* r may be gone now */
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
	c->version = gate_pass(&c->device->gate, &c->waiter);
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
	r->out = (struct chan_out){
		.type = VMBUS_PKT_COMPLETION,
		.trans_id = pkt->desc.trans_id,
		.payload = &r->packet,
		.payload_len = reply_size(c, pkt->payload_len),
		.sent = reply_sent,
	};
}

static bool packet_valid(const struct vmbus_pkt *pkt)
{
	return (pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED) &&
	       (pkt->desc.type == VMBUS_PKT_INBAND || pkt->desc.type == VMBUS_PKT_GPA_DIRECT);
}

static int storvsp_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	struct storvsp_request *r;

	if (!packet_valid(pkt)) { /* nobody waits for an answer */
		log_guest("storvsp: packet of type %u, flags %#x ignored", pkt->desc.type,
			pkt->desc.flags);
		return 0;
	}
	if (!channel_usable(c))
		return -EAGAIN;
	r = vsp_request_get(ch);
	if (!r)
		return -EAGAIN;
	request_init(r, c, pkt);
	if (r->packet.operation == VSTOR_OP_EXECUTE_SRB &&
		(c->state == STATE_READY || c->state == STATE_SUB_CHANNEL))
		storvsp_execute_srb(r, pkt);
	else
		control_packet(r, pkt->payload_len);
	return 0;
}

const struct vsp_ops storvsp_ops = {
	.name = "storvsp",
	.class_id = VMBUS_GUID_SCSI,
	.offer_flags = VMBUS_OFFER_ENUMERATE_DEVICE,
	.device_size = sizeof(struct storvsp),
	.channel_size = sizeof(struct storvsp_channel),
	.packet_max = STORVSP_PACKET_MAX,
	.create = storvsp_create,
	.destroy = storvsp_destroy,
	.request_size = storvsp_request_size,
	.prepare = storvsp_prepare,
	.open = storvsp_open,
	.close = storvsp_close,
	.packet = storvsp_packet,
};
