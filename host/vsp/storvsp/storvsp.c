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
 * Closing: no packet comes any more; when the last request is back the disk
 * queues are closed and the channel is.
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

/* ---- device (control thread) ------------------------------------------------------ */

static int lun_error(const struct storvsp_lun *lun, struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "storage controller: LUN %u: %s", lun->lun, what);
}

static bool serial_valid(const char *serial)
{
	size_t length = strlen(serial);

	for (size_t i = 0; i < length; i++)
		if (serial[i] < 0x20 || serial[i] > 0x7E)
			return false;
	return length <= SCSI_SERIAL_MAX;
}

/* FNV-1a over 64 bits: disks of one controller, and equal LUNs of controllers whose GUIDs differ
 * in a digit, must not look alike. Changing this changes disk names in guests. */
static uint64_t hash(uint64_t h, const uint8_t *bytes, size_t count)
{
	while (count--)
		h = (h ^ *bytes++) * 0x100000001b3ull;
	return h;
}

static void unit_identify(struct scsi_unit *unit, const struct hv_guid *instance)
{
	for (uint8_t half = 0; half < 2; half++) {
		const uint8_t tail[2] = {unit->lun, half};
		uint64_t h = hash(0xcbf29ce484222325ull, instance->b, sizeof(instance->b));

		h = hash(h, tail, sizeof(tail));
		/* The last bytes have only reached the low bits: spread them. */
		h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93ull;
		h ^= h >> 32;
		memcpy(unit->id + half * sizeof(h), &h, sizeof(h));
	}
}

static void unit_absent(struct scsi_unit *unit, uint8_t lun)
{
	unit->lun = lun;
	unit->transfer_bytes_max = STORVSP_TRANSFER_MAX;
}

static void unit_make_cdrom(struct scsi_unit *unit)
{
	unit->cdrom = true;
	unit->info.block_size = SCSI_CDROM_BLOCK_SIZE;
	unit->info.physical_block_size = SCSI_CDROM_BLOCK_SIZE;
	unit->info.read_only = true;
	unit->info.write_cache = false;
	unit->info.discard = false;
}

static int unit_attach(struct storvsp *s, const struct storvsp_lun *lun,
	const struct hv_guid *instance, struct err *e)
{
	struct scsi_unit *unit;
	size_t size;
	int ret;

	if (lun->lun >= SCSI_LUNS_MAX)
		return lun_error(lun, e, "must be below 64");
	unit = &s->units[lun->lun];
	if (unit->present)
		return lun_error(lun, e, "is given twice");
	if (lun->serial && !serial_valid(lun->serial))
		return lun_error(lun, e, "serial must be at most 32 printable ASCII characters");
	if (lun->cdrom && disk_size(lun->disk) < SCSI_CDROM_BLOCK_SIZE)
		return lun_error(lun, e, "a disc has at least one block of 2048 bytes");
	if (lun->disk->info.block_size > SCSI_BLOCK_SIZE_MAX)
		return lun_error(lun, e, "blocks of the disk are too large; 512 bytes work");
	if (!lun->cdrom) {
		ret = scsi_reservation_init(&s->reservations[lun->lun], disk_path(lun->disk), e);
		if (ret)
			return ret;
		unit->reservation = &s->reservations[lun->lun];
		unit->fence = scsi_fence_create();
		if (!unit->fence)
			return lun_error(lun, e, "out of memory");
	}
	unit->present = true;
	unit->info = lun->disk->info;
	unit->size = disk_size(lun->disk);
	if (lun->cdrom)
		unit_make_cdrom(unit);
	if (lun->serial)
		memcpy(unit->serial, lun->serial, strlen(lun->serial));
	unit_identify(unit, instance);
	s->disks[lun->lun] = lun->disk;
	size = disk_req_size(lun->disk);
	if (size > s->disk_req_size)
		s->disk_req_size = size;
	return 0;
}

static void units_detach(struct storvsp *s)
{
	for (uint8_t i = 0; i < SCSI_LUNS_MAX; i++) {
		if (s->units[i].fence)
			scsi_fence_destroy(s->units[i].fence);
		if (s->units[i].reservation)
			scsi_reservation_fini(s->units[i].reservation);
	}
}

static int units_attach(struct storvsp *s, const struct storvsp_config *config,
	const struct hv_guid *instance, struct err *e)
{
	uint64_t luns = 0;

	unit_absent(&s->nowhere, UINT8_MAX);
	unit_absent(&s->beyond, UINT8_MAX);
	for (uint8_t i = 0; i < SCSI_LUNS_MAX; i++)
		unit_absent(&s->units[i], i);
	for (uint32_t i = 0; i < config->lun_count; i++) {
		int ret = unit_attach(s, &config->luns[i], instance, e);

		if (ret)
			return ret;
		luns |= 1ull << config->luns[i].lun;
	}
	/* The LUN list is the target's: any of its LUNs, there or not, tells it. */
	for (uint8_t i = 0; i < SCSI_LUNS_MAX; i++)
		s->units[i].luns = luns;
	s->beyond.luns = luns;
	return 0;
}

static int storvsp_create(struct vsp_device *dev, const void *config, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	uint32_t vps = vsp_device_host(dev)->vp_count;
	size_t size;
	int ret;

	ret = units_attach(s, config, vsp_device_instance(dev), e);
	if (ret)
		goto detach;
	s->sub_channels_max =
		vps - 1 < STORVSP_SUB_CHANNELS_MAX ? (uint16_t)(vps - 1) : STORVSP_SUB_CHANNELS_MAX;
	size = sizeof(*s->counts) * SCSI_LUNS_MAX * (s->sub_channels_max + 1u);
	s->counts = aligned_alloc(sizeof(*s->counts), size);
	if (!s->counts) {
		ret = err_set(e, -ENOMEM, "storage controller: out of memory");
		goto detach;
	}
	memset(s->counts, 0, size);
	gate_init(&s->gate);
	return 0;

detach:
	units_detach(s);
	return ret;
}

static void storvsp_destroy(struct vsp_device *dev)
{
	struct storvsp *s = vsp_device_priv(dev);

	gate_fini(&s->gate);
	free(s->counts);
	units_detach(s);
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
	uint64_t total[COUNT_KINDS] = {0};

	if (lun >= SCSI_LUNS_MAX || !s->units[lun].present)
		return -ENOENT;
	for (uint32_t channel = 0; channel <= s->sub_channels_max; channel++) {
		struct storvsp_count_row *row = &s->counts[channel * SCSI_LUNS_MAX + lun];

		for (uint32_t kind = 0; kind < COUNT_KINDS; kind++)
			total[kind] +=
				atomic_load_explicit(&row->count[kind], memory_order_relaxed);
	}
	*sum = (struct storvsp_counters){
		.reads = total[COUNT_READS],
		.read_bytes = total[COUNT_READ_BYTES],
		.writes = total[COUNT_WRITES],
		.written_bytes = total[COUNT_WRITTEN_BYTES],
		.flushes = total[COUNT_FLUSHES],
		.unmaps = total[COUNT_UNMAPS],
		.others = total[COUNT_OTHERS],
		.errors = total[COUNT_ERRORS],
		.copied_bytes = total[COUNT_COPIED_BYTES],
	};
	return 0;
}

int storvsp_resize(struct vsp_device *dev, uint8_t lun, struct err *e)
{
	struct storvsp *s = vsp_device_priv(dev);
	int ret;

	if (lun >= SCSI_LUNS_MAX || !s->units[lun].present)
		return err_set(e, -ENOENT, "storage controller: there is no disk on LUN %u", lun);
	ret = disk_refresh(s->disks[lun], e);
	if (ret)
		return ret;
	if (disk_size(s->disks[lun]) < s->units[lun].info.block_size)
		return err_set(
			e, -EINVAL, "storage controller: LUN %u: not one block is left", lun);
	scsi_unit_resize(&s->units[lun], disk_size(s->disks[lun]));
	return 0;
}

/* ---- opening and closing a channel (its worker) ----------------------------------- */

static void queues_close(struct storvsp_channel *c)
{
	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		if (c->queues[lun])
			disk_queue_close(c->queues[lun]);
		c->queues[lun] = NULL;
	}
}

static int queues_open(struct storvsp_channel *c)
{
	struct loop *loop = vsp_channel_chan(c->ch)->loop;

	for (uint32_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		int ret;

		if (!c->device->disks[lun])
			continue;
		ret = disk_queue_open(c->device->disks[lun], loop, &c->queues[lun]);
		if (ret) {
			log_error("storage controller: LUN %u: cannot open a queue: %s", lun,
				strerror(-ret));
			queues_close(c);
			return ret;
		}
	}
	return 0;
}

static void finish_close(struct storvsp_channel *c)
{
	if (!c->closing || vsp_requests_in_use(c->ch) || !gate_leave(&c->device->gate, &c->waiter))
		return;
	c->closing = false;
	queues_close(c);
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

static int storvsp_open(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);
	uint16_t index = vsp_channel_index(ch);

	c->ch = ch;
	c->device = vsp_device_priv(vsp_channel_device(ch));
	assert(index <= c->device->sub_channels_max);
	c->state = index ? STATE_SUB_CHANNEL : STATE_BEGIN;
	c->counts = c->device->counts + index * SCSI_LUNS_MAX;
	gate_waiter_init(&c->waiter, vsp_channel_chan(ch)->loop, gate_opened);
	if (!index)
		gate_close(&c->device->gate);
	return queues_open(c);
}

static void storvsp_close(struct vsp_channel *ch)
{
	struct storvsp_channel *c = vsp_channel_priv(ch);

	c->closing = true;
	finish_close(c);
}

/* ---- replies ---------------------------------------------------------------------- */

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

/* ---- initialization: one function an operation, giving the status of the reply ---- */

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

/* What is in flight completes as it would have: a guest waits for all of it after a reset. */
static uint32_t op_reset(struct storvsp_channel *c, struct vstor_packet *packet)
{
	return VSTOR_STATUS_SUCCESS;
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
	{VSTOR_OP_RESET_LUN, IN(READY) | IN(SUB_CHANNEL), 12, op_reset},
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
	uint16_t offers;

	storvsp_reply(r, control(c, &r->packet, payload_len)); /* r may be gone now */
	offers = c->sub_channels_to_offer;
	c->sub_channels_to_offer = 0;
	if (offers)
		vsp_offer_subchannels(c->ch, offers);
}

/* ---- packets ---------------------------------------------------------------------- */

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
	.open = storvsp_open,
	.close = storvsp_close,
	.packet = storvsp_packet,
};
