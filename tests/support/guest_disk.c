/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/vmbus_guids.h"

#define RING_PAGES   9u /* 32 KiB of data */
#define INIT_ID      0xFFFFFFFFFFFFFFFDull
#define BUFFER_PAGES (GUEST_DISK_BUFFER / HV_PAGE_SIZE + 1)
#define SRB_ECHOED                                                                                 \
	(offsetof(struct vstor_srb, data_transfer_length) - offsetof(struct vstor_srb, port_number))

#define die(...)                                                                                   \
	do {                                                                                       \
		fprintf(stderr, "guest disk: " __VA_ARGS__);                                       \
		fputc('\n', stderr);                                                               \
		abort();                                                                           \
	} while (0)

static const struct hv_guid scsi_class = VMBUS_GUID_SCSI;

/* ---- opening ------------------------------------------------------------- */

void guest_disk_init(struct guest_disk *d, struct guest *g, uint8_t instance)
{
	memset(d, 0, sizeof(*d));
	d->g = g;
	d->instance = instance;
	for (uint32_t i = 0; i < GUEST_DISK_SLOTS; i++)
		d->slots[i].gpa = guest_ram(g, BUFFER_PAGES * HV_PAGE_SIZE);
}

static void open_channel(struct guest_disk *d, uint32_t index)
{
	struct vmbus_offer offer =
		guest_wait_offer(d->g, &scsi_class, d->instance, (uint16_t)index);

	if (!guest_chan_open(
		    &d->channels[index], d->g, &offer, RING_PAGES, index % d->g->host.vp_count))
		die("channel %u is not opened", index);
	d->channel_count++;
}

void guest_disk_open_primary(struct guest_disk *d)
{
	open_channel(d, 0);
}

/* The only packet the host sends on its own. */
static void take_enumeration(struct guest_disk *d, uint32_t channel, const struct vmbus_pkt *pkt)
{
	struct vstor_packet packet = {0};

	if (channel || pkt->desc.trans_id || pkt->desc.flags)
		die("unasked packet on channel %u, id %#llx, flags %#x", channel,
			(unsigned long long)pkt->desc.trans_id, pkt->desc.flags);
	if (pkt->payload_len != storvsc_packet_size(&d->conn))
		die("unasked packet of %u bytes", pkt->payload_len);
	memcpy(&packet, pkt->payload, pkt->payload_len);
	if (packet.operation != VSTOR_OP_ENUMERATE_BUS || packet.flags || packet.status)
		die("unasked operation %u", packet.operation);
	d->enumerations++;
}

static void receive_init_reply(struct guest_disk *d, struct vmbus_pkt *pkt)
{
	uint64_t seen;

	for (;;) {
		seen = guest_events(d->g);
		if (!guest_chan_receive(&d->channels[0], pkt))
			guest_wait_events(d->g, seen);
		else if (pkt->desc.type == VMBUS_PKT_INBAND)
			take_enumeration(d, 0, pkt); /* ready, but for its sub-channels */
		else
			break;
	}
	if (pkt->desc.type != VMBUS_PKT_COMPLETION || pkt->desc.trans_id != INIT_ID)
		die("packet of type %u, id %#llx instead of a reply", pkt->desc.type,
			(unsigned long long)pkt->desc.trans_id);
}

uint32_t guest_disk_packet(
	struct guest_disk *d, const void *packet, uint32_t size, struct vstor_packet *reply)
{
	struct vmbus_pkt pkt;

	if (!guest_chan_send(&d->channels[0], VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
		    INIT_ID, NULL, packet, size))
		die("no room for an init packet");
	receive_init_reply(d, &pkt);
	if (pkt.payload_len > sizeof(*reply))
		die("reply of %u bytes", pkt.payload_len);
	memset(reply, 0, sizeof(*reply));
	memcpy(reply, pkt.payload, pkt.payload_len);
	return pkt.payload_len;
}

void guest_disk_open(struct guest_disk *d, uint16_t newest, uint16_t sub_channels)
{
	struct vstor_packet packet, reply;
	uint32_t size;
	int ret;

	if (storvsc_conn_init(&d->conn, newest, sub_channels))
		die("version %#x", newest);
	guest_disk_open_primary(d);
	while (d->conn.state != STORVSC_INIT_DONE) {
		storvsc_init_request(&d->conn, &packet);
		size = guest_disk_packet(d, &packet, storvsc_packet_size(&d->conn), &reply);
		ret = storvsc_init_reply(&d->conn, &reply, size);
		if (ret)
			die("init state %d: %d, status %#x", d->conn.state, ret, reply.status);
	}
	for (uint32_t i = 1; i <= d->conn.sub_channels; i++)
		open_channel(d, i);
}

static void forget_slots(struct guest_disk *d)
{
	for (uint32_t i = 0; i < GUEST_DISK_SLOTS; i++)
		d->slots[i].state = SLOT_FREE;
}

/* The guest gives sub-channels back when the host has rescinded them. */
void guest_disk_close(struct guest_disk *d)
{
	for (uint32_t i = d->channel_count; i-- > 1;)
		guest_chan_close(&d->channels[i]);
	guest_chan_close(&d->channels[0]);
	for (uint32_t i = 1; i < d->channel_count; i++) {
		guest_wait_rescind(d->g, d->channels[i].offer.relid);
		guest_release(d->g, d->channels[i].offer.relid);
	}
	d->channel_count = 0;
	forget_slots(d);
}

void guest_disk_forget(struct guest_disk *d)
{
	for (uint32_t i = 0; i < d->channel_count; i++)
		guest_chan_forget(&d->channels[i]);
	d->channel_count = 0;
	forget_slots(d);
}

/* ---- buffers ------------------------------------------------------------- */

static uint64_t page_gpa(const struct guest_slot *s, uint32_t index)
{
	return s->gpa + (uint64_t)(BUFFER_PAGES - 1 - index) * HV_PAGE_SIZE;
}

static void copy_slot(
	struct guest_disk *d, struct guest_slot *s, uint8_t *bytes, uint32_t len, bool put)
{
	uint32_t at = s->byte_offset;

	while (len) {
		uint8_t *page = guest_at(d->g, page_gpa(s, at / HV_PAGE_SIZE));
		uint32_t offset = at % HV_PAGE_SIZE;
		uint32_t piece = HV_PAGE_SIZE - offset < len ? HV_PAGE_SIZE - offset : len;

		if (put)
			memcpy(page + offset, bytes, piece);
		else
			memcpy(bytes, page + offset, piece);
		bytes += piece;
		at += piece;
		len -= piece;
	}
}

void guest_slot_put(struct guest_disk *d, uint32_t slot, const void *bytes, uint32_t len)
{
	copy_slot(d, &d->slots[slot], (uint8_t *)bytes, len, true);
}

void guest_slot_get(struct guest_disk *d, uint32_t slot, void *bytes, uint32_t len)
{
	copy_slot(d, &d->slots[slot], bytes, len, false);
}

struct storvsc_range *guest_slot_range(struct guest_disk *d, uint32_t slot, uint32_t *len)
{
	static union {
		struct storvsc_range range;
		uint8_t bytes[sizeof(struct storvsc_range) + BUFFER_PAGES * sizeof(uint64_t)];
	} u;
	const struct guest_slot *s = &d->slots[slot];
	uint32_t pages = storvsc_range_pfns(s->byte_offset, s->cmd.length);

	if (pages > BUFFER_PAGES)
		die("%u bytes do not fit into a slot", s->cmd.length);
	*len = storvsc_range_build(&u.range, s->byte_offset, s->cmd.length);
	for (uint32_t i = 0; *len && i < pages; i++)
		u.range.pfns[i] = page_gpa(s, i) / HV_PAGE_SIZE;
	return *len ? &u.range : NULL;
}

/* ---- commands ------------------------------------------------------------ */

static uint64_t slot_id(const struct guest_disk *d, uint32_t slot)
{
	return ((uint64_t)d->slots[slot].generation << 16 | slot) + 1;
}

void guest_slot_read(
	struct guest_disk *d, uint32_t slot, uint8_t lun, uint32_t lba, uint16_t blocks)
{
	struct guest_slot *s = &d->slots[slot];

	s->byte_offset = 0;
	s->cmd = (struct storvsc_command){.lun = lun,
		.data = VSTOR_DATA_IN,
		.length = blocks * 512u,
		.cdb_length = 10,
		.cdb = {0x28, 0, (uint8_t)(lba >> 24), (uint8_t)(lba >> 16), (uint8_t)(lba >> 8),
			(uint8_t)lba, 0, (uint8_t)(blocks >> 8), (uint8_t)blocks}};
}

bool guest_disk_submit(struct guest_disk *d, uint32_t slot, uint32_t channel)
{
	struct guest_slot *s = &d->slots[slot];
	struct vstor_packet packet;
	struct vmbus_vec extra;

	if (s->state != SLOT_FREE)
		die("slot %u is not free", slot);
	storvsc_command_build(&s->cmd, &packet);
	extra.base = guest_slot_range(d, slot, &extra.len);
	s->generation++;
	if (!guest_chan_send(&d->channels[channel],
		    extra.len ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
		    VMBUS_PKT_FLAG_COMPLETION_REQUESTED, slot_id(d, slot), &extra, &packet,
		    storvsc_packet_size(&d->conn)))
		return false;
	s->state = SLOT_IN_FLIGHT;
	s->channel = channel;
	return true;
}

/* What every completion must be, whatever the command. */
static void check_reply(struct guest_disk *d, struct guest_slot *s, const struct vmbus_pkt *pkt)
{
	struct vstor_packet sent, reply = {0};
	struct vstor_srb a, b;

	if (pkt->payload_len != storvsc_packet_size(&d->conn))
		die("completion of %u bytes", pkt->payload_len);
	memcpy(&reply, pkt->payload, pkt->payload_len);
	storvsc_command_build(&s->cmd, &sent);
	a = sent.srb;
	b = reply.srb;
	if (reply.flags || b.length != (pkt->payload_len == VSTOR_PACKET_SIZE ? 0x34 : 0x24))
		die("flags %#x, length %#x", reply.flags, b.length);
	b.sense_info_length = a.sense_info_length; /* set by the host */
	if (memcmp(&a.port_number, &b.port_number, SRB_ECHOED))
		die("the SRB is not echoed");
	if ((b.srb_status == VSTOR_SRB_SUCCESS) != (reply.status == VSTOR_STATUS_SUCCESS))
		die("SRB status %#x with status %#x", b.srb_status, reply.status);
	if (b.srb_status != VSTOR_SRB_SUCCESS && b.data_transfer_length)
		die("%u bytes moved by a failed command", b.data_transfer_length);
}

void guest_disk_take(struct guest_disk *d, uint32_t channel, const struct vmbus_pkt *pkt)
{
	uint32_t slot = (uint32_t)((pkt->desc.trans_id - 1) & 0xFFFF);
	struct guest_slot *s = &d->slots[slot % GUEST_DISK_SLOTS];

	if (pkt->desc.type == VMBUS_PKT_INBAND) {
		take_enumeration(d, channel, pkt);
		return;
	}
	if (pkt->desc.type != VMBUS_PKT_COMPLETION || slot >= GUEST_DISK_SLOTS ||
		pkt->desc.trans_id != slot_id(d, slot) || s->state != SLOT_IN_FLIGHT)
		die("completion of nothing: type %u, id %#llx", pkt->desc.type,
			(unsigned long long)pkt->desc.trans_id);
	if (s->channel != channel)
		die("completion on channel %u instead of %u", channel, s->channel);
	check_reply(d, s, pkt);
	s->parse_error = storvsc_completion_parse(
		&d->conn, &s->cmd, pkt->payload, pkt->payload_len, &s->result);
	s->state = SLOT_DONE;
	d->completions++;
}

uint32_t guest_disk_poll(struct guest_disk *d)
{
	struct vmbus_pkt pkt;
	uint32_t count = 0;

	for (uint32_t i = 0; i < d->channel_count; i++) {
		while (guest_chan_receive(&d->channels[i], &pkt)) {
			guest_disk_take(d, i, &pkt);
			count++;
		}
	}
	return count;
}

const struct storvsc_completion *guest_disk_wait(struct guest_disk *d, uint32_t slot)
{
	struct guest_slot *s = &d->slots[slot];

	while (s->state == SLOT_IN_FLIGHT) {
		uint64_t seen = guest_events(d->g);

		if (!guest_disk_poll(d))
			guest_wait_events(d->g, seen);
	}
	if (s->state != SLOT_DONE || s->parse_error)
		die("slot %u: state %d, error %d", slot, s->state, s->parse_error);
	s->state = SLOT_FREE;
	return &s->result;
}

uint32_t guest_disk_in_flight(const struct guest_disk *d)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < GUEST_DISK_SLOTS; i++)
		count += d->slots[i].state == SLOT_IN_FLIGHT;
	return count;
}

const struct storvsc_completion *guest_disk_run(struct guest_disk *d, uint8_t lun, uint8_t data,
	uint32_t length, size_t cdb_length, const uint8_t *cdb)
{
	struct guest_slot *s = &d->slots[0];

	s->cmd = (struct storvsc_command){
		.lun = lun,
		.data = data,
		.length = length,
		.cdb_length = (uint8_t)cdb_length,
	};
	memcpy(s->cmd.cdb, cdb, cdb_length < VSTOR_CDB_SIZE ? cdb_length : VSTOR_CDB_SIZE);
	if (!guest_disk_submit(d, 0, 0))
		die("no room for a command");
	return guest_disk_wait(d, 0);
}
