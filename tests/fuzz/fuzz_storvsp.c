/* SPDX-License-Identifier: MIT */
/*
 * Guest packets of any kind, in any state of the initialization, into the real
 * controller behind a real ring, on one thread.
 *
 * Oracles, after each packet:
 *   - exactly one reply when one was asked for, else none;
 *   - initialization statuses follow a model of the state machine;
 *   - every block of every disk equals a shadow that an independent reading of
 *     the CDB has written; a read-only disk never changes;
 *   - no byte of the guest's RAM changes outside what a reply reports as moved, and
 *     what was read is what the shadow holds;
 *   - a plain READ or WRITE that nothing is wrong with succeeds;
 *   - a paused device takes no packet and sends none.
 * And bursts of commands in flight, while a LUN comes, goes and changes its size, with oracles of
 * their own: tests/support/storvsp_burst.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hv/vmbus_guids.h"
#include "tests/fuzz/input.h"
#include "tests/support/fault_disk.h"
#include "tests/support/guest_disk.h"
#include "tests/support/guest_pauser.h"
#include "tests/support/storvsp_burst.h"
#include "vsp/storvsp/storvsp.h"

#define BLOCK       512u
#define BLOCKS      32u
#define DISK_BYTES  (BLOCKS * BLOCK)
#define LUNS        3u
#define DATA_PAGES  6u
#define DATA_BYTES  (DATA_PAGES * HV_PAGE_SIZE)
#define PACKETS_MAX 64u
#define INSTANCE    1
#define CONFLICT    0x18u /* with a reservation: PERSISTENT RESERVE OUT */
#define TRANS_ID    0x1122334455667788ull

enum lun_kind { LUN_PLAIN, LUN_READ_ONLY, LUN_NO_DISCARD };

static struct {
	struct guest g;
	struct fault_disk *disks[LUNS];
	struct disk_queue *queues[LUNS];
	struct disk_req *req;
	uint8_t fresh[DISK_BYTES + LUNS * BLOCK]; /* what disks hold at first, each shifted */
	uint8_t shadow[LUNS + 1][DISK_BYTES];     /* the last one's LUN comes and goes */
	uint64_t data_gpa;
	uint8_t model[DATA_BYTES]; /* what the guest's data pages must hold */
	struct guest_chan chan;
	struct vmbus_offer offer;
	/* model of the initialization */
	uint32_t state;
	uint16_t version;
	bool subs;
	bool paused; /* the device, until the next packet */
	struct burst burst;
} f;

/* ---- the disks, seen directly -------------------------------------------- */

static void raw_done(struct disk_req *req, int error)
{
	check(!error);
	*(bool *)req->owner = true;
}

static void raw(uint32_t lun, enum disk_op op, void *bytes)
{
	struct iovec iov = {.iov_base = bytes, .iov_len = DISK_BYTES};
	struct disk_queue *q = f.queues[lun];
	bool done = false;

	*f.req = (struct disk_req){
		.op = op,
		.length = DISK_BYTES,
		.iov = &iov,
		.iov_count = 1,
		.done = raw_done,
		.owner = &done,
	};
	disk_submit(q, f.req);
	check(done);
}

/* Below the filter, which may report "read only". */
static void reset_disks(void)
{
	for (uint32_t lun = 0; lun < LUNS; lun++) {
		memcpy(f.shadow[lun], f.fresh + lun * BLOCK, DISK_BYTES);
		raw(lun, DISK_WRITE, f.shadow[lun]);
	}
}

static void check_disks(void)
{
	static uint8_t disk[DISK_BYTES];

	for (uint32_t lun = 0; lun < LUNS; lun++) {
		raw(lun, DISK_READ, disk);
		check(!memcmp(disk, f.shadow[lun], DISK_BYTES));
	}
}

/* ---- setting up, once ---------------------------------------------------- */

static void open_disks(struct storvsp_lun_config *luns)
{
	for (uint32_t i = 0; i < LUNS; i++) {
		struct disk *memory;

		check(!disk_memory_open(&memory, DISK_BYTES, NULL));
		check(!disk_queue_open(memory, &f.g.control, &f.queues[i]));
		f.disks[i] = fault_disk_open(memory);
		f.disks[i]->disk.info.read_only = i == LUN_READ_ONLY;
		f.disks[i]->disk.info.discard = i == LUN_PLAIN;
		luns[i] = (struct storvsp_lun_config){.lun = (uint8_t)i, .disk = &f.disks[i]->disk};
	}
	f.req = aligned_alloc(16, disk_req_size(&f.disks[0]->disk));
	check(f.req);
}

static void set_up(void)
{
	struct guest_config config = {.ram = 1 << 20, .vps = 3, .io_threads = 0};
	struct storvsp_lun_config luns[LUNS];
	struct storvsp_config storvsp = {.luns = luns, .lun_count = LUNS};

	log_set_level(LOG_ERROR);
	guest_start(&f.g, &config);
	open_disks(luns);
	f.burst.dev = guest_add_device(&f.g, &storvsp_ops, INSTANCE, &storvsp);
	guest_connect(&f.g, VMBUS_VERSION_WIN10);
	f.data_gpa = guest_ram(&f.g, DATA_BYTES);
	f.burst.g = &f.g;
	f.burst.chan = &f.chan;
	memcpy(f.burst.disks, f.disks, sizeof(f.disks));
	f.burst.shadow = f.shadow;
	f.burst.model = f.model;
	f.burst.data_gpa = f.data_gpa;
	f.burst.read_only = LUN_READ_ONLY;
	for (uint32_t i = 0; i < sizeof(f.fresh); i++)
		f.fresh[i] = (uint8_t)(i / BLOCK + i);
}

/* ---- packets ------------------------------------------------------------- */

static void set_paused(bool paused)
{
	if (paused && !f.paused)
		guest_pause(&f.g, f.burst.dev);
	else if (!paused && f.paused)
		guest_resume(&f.g, f.burst.dev);
	f.paused = paused;
}

/* A packet was sent to the paused device: it takes and answers nothing. */
static void check_paused_and_resume(void)
{
	uint64_t interrupts = f.g.interrupts;
	int64_t used = vmbus_rx_used(&f.chan.rx);

	for (uint32_t turn = 0; turn < 4; turn++)
		guest_turn(&f.g);
	check(f.g.interrupts == interrupts);
	check(vmbus_rx_used(&f.chan.rx) == used);
	set_paused(false);
}

static bool type_known(uint16_t type)
{
	return type == VMBUS_PKT_INBAND || type == VMBUS_PKT_GPA_DIRECT;
}

/* Sends, runs the host, returns the reply's size or 0. */
static uint32_t exchange(uint16_t type, uint16_t flags, const struct vmbus_vec *extra,
	const void *payload, uint32_t size, struct vstor_packet *reply)
{
	struct vmbus_pkt pkt;
	uint32_t got = 0;

	check(guest_chan_send(&f.chan, type, flags, TRANS_ID, extra, payload, size));
	if (f.paused)
		check_paused_and_resume();
	for (uint32_t turn = 0; turn < 4; turn++)
		guest_turn(&f.g);
	memset(reply, 0, sizeof(*reply));
	if (burst_receive(&f.burst, &pkt)) {
		check(pkt.desc.trans_id == TRANS_ID);
		check(pkt.payload_len == 48 || pkt.payload_len == 64);
		got = pkt.payload_len;
		memcpy(reply, pkt.payload, got);
		check(reply->operation == VSTOR_OP_COMPLETE_IO && reply->flags == 0);
		check(!burst_receive(&f.burst, &pkt));
	}
	check((got != 0) == (flags != 0)); /* whatever the type is: no guest waits in vain */
	if (got && !type_known(type))
		check(reply->status == VSTOR_STATUS_INVALID_PARAMETER);
	return got;
}

enum { M_BEGIN, M_VERSION, M_PROPERTIES, M_END, M_READY };

static bool version_known(uint16_t v)
{
	return v == 0x200 || v == 0x402 || v == 0x501 || v == 0x600 || v == 0x602;
}

static uint32_t model_sub_channels(uint16_t count)
{
	if (count > (f.version < 0x501 ? 0 : 2))
		return VSTOR_STATUS_INVALID_PARAMETER;
	if (f.subs)
		return VSTOR_STATUS_INVALID_DEVICE_STATE;
	f.subs = count > 0;
	return 0;
}

static uint32_t model_reset(const struct vstor_packet *p, uint32_t payload_len)
{
	struct vstor_srb srb = p->srb;

	if (p->operation != VSTOR_OP_RESET_LUN) {
		burst_news_reset(&f.burst, (1u << (LUNS + 1)) - 1);
		return 0;
	}
	if (payload_len < 20)
		return VSTOR_STATUS_INVALID_PARAMETER;
	if (!srb.path_id && !srb.target_id && srb.lun == BURST_LUN && f.burst.visible)
		srb.lun = LUNS;
	else if (srb.path_id || srb.target_id || srb.lun >= LUNS)
		return VSTOR_STATUS_NO_SUCH_DEVICE;
	burst_news_reset(&f.burst, 1u << srb.lun);
	return 0;
}

/* The status the next control packet must earn. */
static uint32_t model_control(const struct vstor_packet *p, uint32_t payload_len)
{
	if (payload_len < 12)
		return VSTOR_STATUS_INVALID_PARAMETER;
	if (p->operation == 7 && f.state == M_BEGIN) {
		f.state = M_VERSION;
	} else if (p->operation == 9 && f.state == M_VERSION) {
		if (payload_len < 14)
			return VSTOR_STATUS_INVALID_PARAMETER;
		if (!version_known(p->version.major_minor))
			return VSTOR_STATUS_REVISION_MISMATCH;
		f.version = p->version.major_minor;
		f.state = M_PROPERTIES;
	} else if (p->operation == 10 && f.state == M_PROPERTIES) {
		f.state = M_END;
	} else if (p->operation == 8 && f.state == M_END) {
		f.state = M_READY;
	} else if (p->operation == 13 && f.state >= M_END) {
		if (payload_len < 14)
			return VSTOR_STATUS_INVALID_PARAMETER;
		return model_sub_channels(p->sub_channel_count);
	} else if (p->operation >= 4 && p->operation <= 6 && f.state == M_READY) {
		return model_reset(p, payload_len);
	} else {
		return VSTOR_STATUS_INVALID_DEVICE_STATE;
	}
	return 0;
}

static void control(uint32_t operation, uint16_t argument, uint32_t size)
{
	struct vstor_packet packet = {.operation = operation}, seen = {0}, reply;
	bool srb = operation == VSTOR_OP_EXECUTE_SRB && f.state == M_READY;
	uint32_t status;

	packet.sub_channel_count = argument;
	size = (size + 7) & ~7u; /* what the ring makes of it */
	memcpy(&seen, &packet, size < sizeof(seen) ? size : sizeof(seen));
	status = model_control(&seen, size);
	exchange(VMBUS_PKT_INBAND, 1, NULL, &packet, size < 64 ? size : 64, &reply);
	check(srb || reply.status == status);
}

static void negotiate(uint16_t version)
{
	control(VSTOR_OP_BEGIN_INITIALIZATION, 0, 64);
	control(VSTOR_OP_QUERY_PROTOCOL_VERSION, version, 64);
	control(VSTOR_OP_QUERY_PROPERTIES, 0, 64);
	control(VSTOR_OP_END_INITIALIZATION, 0, 64);
}

/* ---- commands: what they should do, read from the CDB once more ---------- */

struct command {
	struct vstor_packet packet;
	uint32_t byte_offset;
	uint32_t range_bytes;
	uint32_t range_count;
	uint32_t pfn_count;
	uint64_t pfns[DATA_PAGES + 1];
	bool pfns_valid; /* all in the data pages */
};

/* Where byte `i` of the buffer is in the data pages. */
static uint32_t place(const struct command *c, uint32_t i)
{
	uint32_t at = c->byte_offset + i;

	return (uint32_t)(c->pfns[at / HV_PAGE_SIZE] * HV_PAGE_SIZE - f.data_gpa) +
	       at % HV_PAGE_SIZE;
}

static uint64_t big_endian(const uint8_t *p, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

static void extent(const uint8_t *cdb, uint64_t *lba, uint64_t *blocks)
{
	switch (cdb[0] >> 5) {
	case 0:
		*lba = big_endian(cdb + 1, 3) & 0x1FFFFF;
		*blocks = cdb[4] ? cdb[4] : 256;
		break;
	case 4:
		*lba = big_endian(cdb + 2, 8);
		*blocks = big_endian(cdb + 10, 4);
		break;
	case 5:
		*lba = big_endian(cdb + 2, 4);
		*blocks = big_endian(cdb + 6, 4);
		break;
	default:
		*lba = big_endian(cdb + 2, 4);
		*blocks = big_endian(cdb + 7, 2);
	}
}

/* A successful READ: these bytes are in the guest now, in this order. */
static void model_read(const struct command *c, uint32_t lun, uint64_t lba, uint64_t blocks)
{
	check(lba <= BLOCKS && blocks <= BLOCKS - lba);
	for (uint32_t i = 0; i < blocks * BLOCK; i++)
		f.model[place(c, i)] = f.shadow[lun][lba * BLOCK + i];
}

static void model_write(const struct command *c, uint32_t lun, uint64_t lba, uint64_t blocks)
{
	check(lba <= BLOCKS && blocks <= BLOCKS - lba);
	for (uint32_t i = 0; i < blocks * BLOCK; i++)
		f.shadow[lun][lba * BLOCK + i] = f.model[place(c, i)];
}

static void model_write_same(
	const struct command *c, const uint8_t *cdb, uint32_t lun, uint64_t lba, uint64_t blocks)
{
	check(lba <= BLOCKS);
	if (!blocks)
		blocks = BLOCKS - lba;
	check(blocks <= BLOCKS - lba);
	for (uint32_t i = 0; i < blocks * BLOCK; i++)
		f.shadow[lun][lba * BLOCK + i] =
			cdb[0] == 0x93 && (cdb[1] & 1) ? 0 : f.model[place(c, i % BLOCK)];
}

static void model_unmap(const struct command *c, const uint8_t *cdb, uint32_t lun)
{
	uint32_t length = (uint32_t)big_endian(cdb + 7, 2);
	uint8_t list[2048];

	check(length <= sizeof(list));
	for (uint32_t i = 0; i < length; i++)
		list[i] = f.model[place(c, i)];
	if (length < 8)
		return;
	if (big_endian(list + 2, 2) + 8 < length)
		length = (uint32_t)big_endian(list + 2, 2) + 8;
	for (uint32_t at = 8; at + 16 <= length; at += 16) {
		uint64_t lba = big_endian(list + at, 8), blocks = big_endian(list + at + 8, 4);

		check(lba <= BLOCKS && blocks <= BLOCKS - lba);
		memset(f.shadow[lun] + lba * BLOCK, 0, blocks * BLOCK);
	}
}

static void model_compare_write(const struct command *c, const uint8_t *cdb, uint32_t lun)
{
	uint64_t lba = big_endian(cdb + 2, 8), bytes = cdb[13] * BLOCK;

	check(lba <= BLOCKS && cdb[13] <= BLOCKS - lba);
	for (uint32_t i = 0; i < bytes; i++)
		check(f.shadow[lun][lba * BLOCK + i] == f.model[place(c, i)]);
	for (uint32_t i = 0; i < bytes; i++)
		f.shadow[lun][lba * BLOCK + i] = f.model[place(c, (uint32_t)bytes + i)];
}

static bool is_read(uint8_t opcode)
{
	return opcode == 0x08 || opcode == 0x28 || opcode == 0xA8 || opcode == 0x88;
}

static bool is_write(uint8_t opcode)
{
	return opcode == 0x0A || opcode == 0x2A || opcode == 0xAA || opcode == 0x8A ||
	       opcode == 0x2E || opcode == 0xAE || opcode == 0x8E;
}

static void model_success(
	const struct command *c, const struct vstor_srb *srb, const struct vstor_srb *reply)
{
	const uint8_t *cdb = srb->cdb;
	uint64_t lba, blocks;

	check(reply->data_transfer_length <= srb->data_transfer_length);
	extent(cdb, &lba, &blocks);
	if (is_read(cdb[0])) {
		check(reply->data_transfer_length == blocks * BLOCK);
		check(!blocks || srb->data_in == VSTOR_DATA_IN);
		model_read(c, srb->lun, lba, blocks);
	} else if (cdb[0] == 0x89) {
		check(srb->lun != LUN_READ_ONLY);
		check(reply->data_transfer_length == 2u * cdb[13] * BLOCK);
		model_compare_write(c, cdb, srb->lun);
	} else if (is_write(cdb[0]) || cdb[0] == 0x41 || cdb[0] == 0x93 || cdb[0] == 0x42) {
		check(srb->lun != LUN_READ_ONLY);
		check(!reply->data_transfer_length || srb->data_in == VSTOR_DATA_OUT);
		if (is_write(cdb[0]))
			model_write(c, srb->lun, lba, blocks);
		else if (cdb[0] == 0x42)
			model_unmap(c, cdb, srb->lun);
		else
			model_write_same(c, cdb, srb->lun, lba, blocks);
	} else if (reply->data_transfer_length && srb->data_in == VSTOR_DATA_IN) {
		/* A built reply: its bytes are what they are, but only in this range. */
		const uint8_t *ram = guest_at(&f.g, f.data_gpa);

		for (uint32_t i = 0; i < reply->data_transfer_length; i++)
			f.model[place(c, i)] = ram[place(c, i)];
	}
}

/* READ(10) and WRITE(10) that leave nothing to complain about. */
static bool must_succeed(const struct command *c, const struct vstor_srb *srb)
{
	uint64_t lba, blocks;

	if ((srb->cdb[0] != 0x28 && srb->cdb[0] != 0x2A) || srb->cdb_length < 10 ||
		srb->cdb_length > 16 || (srb->cdb[1] & 0xE0) || srb->path_id || srb->target_id ||
		srb->lun >= LUNS)
		return false;
	if (srb->cdb[0] == 0x2A && srb->lun == LUN_READ_ONLY)
		return false;
	if (srb->data_in != (srb->cdb[0] == 0x28 ? VSTOR_DATA_IN : VSTOR_DATA_OUT))
		return false;
	extent(srb->cdb, &lba, &blocks);
	return c->pfns_valid && c->range_count == 1 && c->byte_offset < HV_PAGE_SIZE &&
	       c->range_bytes >= srb->data_transfer_length && c->range_bytes &&
	       blocks * BLOCK <= srb->data_transfer_length && lba + blocks <= BLOCKS;
}

/* ---- sending commands ---------------------------------------------------- */

static void take_pfns(struct input *in, struct command *c)
{
	uint64_t end = (uint64_t)c->byte_offset + c->range_bytes;
	uint64_t pages = (end + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;
	uint8_t first = (uint8_t)take(in, 1);

	c->pfns_valid = pages <= DATA_PAGES;
	c->pfn_count = pages < DATA_PAGES ? (uint32_t)pages : DATA_PAGES;
	for (uint32_t i = 0; i < c->pfn_count; i++)
		c->pfns[i] = f.data_gpa / HV_PAGE_SIZE + (first + i) % DATA_PAGES;
	if (c->pfn_count && (first & 0x80)) { /* one that is chosen freely */
		uint32_t which = (uint32_t)take(in, 1) % c->pfn_count;
		uint8_t kind = (uint8_t)take(in, 1);

		if (kind < DATA_PAGES) {
			c->pfns[which] = f.data_gpa / HV_PAGE_SIZE + kind;
		} else {
			c->pfns[which] = kind < 128 ? UINT64_MAX - kind : 256u + kind;
			c->pfns_valid = false;
		}
	}
}

static void take_command(struct input *in, struct command *c)
{
	struct vstor_srb srb = {.length = 0x34};
	uint8_t where = (uint8_t)take(in, 1);

	srb.lun = where & 3;
	if (where & 0x40)
		srb.path_id = (uint8_t)take(in, 1);
	if (where & 0x80)
		srb.target_id = (uint8_t)take(in, 1);
	srb.data_in = (uint8_t)take(in, 1) % 4;
	srb.cdb_length = (uint8_t)take(in, 1) % 20;
	srb.sense_info_length = (uint8_t)take(in, 1);
	srb.data_transfer_length = (uint32_t)take(in, 3);
	take_bytes(in, srb.cdb, sizeof(srb.cdb));
	c->packet = (struct vstor_packet){.operation = VSTOR_OP_EXECUTE_SRB, .flags = 1};
	c->packet.srb = srb;
	c->byte_offset = (uint32_t)take(in, 2) % 4104;
	c->range_bytes = srb.data_transfer_length + (uint32_t)(int8_t)take(in, 1);
	c->range_count = (uint8_t)take(in, 1) ^ 1; /* zero in the input: one range */
	take_pfns(in, c);
}

static void check_memory(void)
{
	check(!memcmp(guest_at(&f.g, f.data_gpa), f.model, DATA_BYTES));
}

/* News of the unit: nothing else has happened. */
static bool takes_attention(const struct vstor_srb *srb, const struct vstor_srb *r)
{
	bool here = srb->lun < LUNS && !srb->path_id && !srb->target_id;

	check(here || r->scsi_status != 2 || (r->sense[2] & 0xF) != 6);
	return here && burst_takes_attention(&f.burst, srb->lun, r);
}

static void check_result(const struct command *c, const struct vstor_packet *reply)
{
	struct vstor_srb srb = c->packet.srb, r = reply->srb;
	uint8_t status = r.srb_status & 0x3F;

	/* The CDB the host sees ends at the length the guest gives. */
	if (srb.cdb_length < sizeof(srb.cdb))
		memset(srb.cdb + srb.cdb_length, 0, sizeof(srb.cdb) - srb.cdb_length);
	check(r.lun == srb.lun && r.path_id == srb.path_id && r.data_in == srb.data_in);
	check(r.length == (f.version < 0x501 ? 0x24 : 0x34));
	check(r.sense_info_length == (r.scsi_status ? 18 : 0));
	check((reply->status == 0) == (status == VSTOR_SRB_SUCCESS));
	if (status != VSTOR_SRB_SUCCESS) {
		check(r.data_transfer_length == 0);
		check(status == VSTOR_SRB_INVALID_LUN || r.scsi_status == 2 ||
			(r.scsi_status == CONFLICT && srb.cdb[0] == 0x5F));
		check(takes_attention(&srb, &r) || !must_succeed(c, &srb));
	} else if (srb.lun < LUNS && !srb.path_id && !srb.target_id) {
		model_success(c, &srb, &r);
	} else if (r.data_transfer_length) {
		srb.cdb[0] = 0x12; /* only built replies come from nowhere */
		model_success(c, &srb, &r);
	}
}

static void command(struct input *in)
{
	struct {
		struct vmbus_gpa_direct direct;
		struct vmbus_gpa_range range;
		uint64_t pfns[DATA_PAGES + 1];
	} header = {0};
	struct vmbus_vec extra = {&header, 0};
	struct vstor_packet reply;
	struct command c = {0};
	bool ready = f.state == M_READY;

	take_command(in, &c);
	header.direct.range_count = c.range_count;
	header.range.byte_count = c.range_bytes;
	header.range.byte_offset = c.byte_offset;
	memcpy(header.pfns, c.pfns, sizeof(c.pfns));
	extra.len = 16 + c.pfn_count * 8;
	exchange(c.range_bytes ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND, 1,
		c.range_bytes ? &extra : NULL, &c.packet, 64, &reply);
	if (ready)
		check_result(&c, &reply);
	else
		check(reply.status == VSTOR_STATUS_INVALID_DEVICE_STATE);
}

static void any_packet(struct input *in)
{
	static const uint16_t types[] = {6, 9, 7, 8, 11, 0, 1, 0xFFFF};
	uint16_t type = types[take(in, 1) % 8];
	uint16_t flags = (uint16_t)take(in, 1) & 1;
	uint8_t header[64], payload[96];
	struct vmbus_vec extra = {header, (uint32_t)take(in, 1) % 65};
	uint32_t size = (uint32_t)take(in, 1) % 97;
	struct vstor_packet reply, seen = {0};

	take_bytes(in, header, extra.len);
	take_bytes(in, payload, size);
	memcpy(&seen, payload, size < sizeof(seen) ? size : sizeof(seen));
	/* Commands are command()'s, where their effects are known. */
	if (seen.operation == VSTOR_OP_EXECUTE_SRB && size >= 48)
		return;
	if (flags && type_known(type) && seen.operation != VSTOR_OP_EXECUTE_SRB)
		model_control(&seen, (size + 7) & ~7u);
	exchange(type, flags, &extra, payload, size, &reply);
}

static void scribble(struct input *in)
{
	uint8_t *ram = guest_at(&f.g, f.data_gpa);
	uint32_t at = (uint32_t)take(in, 2) * 4 % DATA_BYTES;
	uint8_t bytes[16];

	take_bytes(in, bytes, sizeof(bytes));
	if (at + sizeof(bytes) > DATA_BYTES)
		return;
	memcpy(ram + at, bytes, sizeof(bytes));
	memcpy(f.model + at, bytes, sizeof(bytes));
}

/* False: the guest closes, whatever is in flight. */
static bool hot_step(struct input *in, uint8_t kind)
{
	if (kind == 0xF8)
		burst_add(&f.burst);
	else if (kind == 0xF9)
		burst_remove(&f.burst);
	else if (kind == 0xFA)
		burst_resize(&f.burst, (uint32_t)take(in, 1));
	else if (kind == 0xFB)
		set_paused(true);
	else if (f.state == M_READY) {
		set_paused(false);
		return burst_run(&f.burst, in);
	}
	return true;
}

static bool one_step(struct input *in)
{
	static const uint16_t versions[] = {0x602, 0x600, 0x501, 0x402, 0x200, 0x700};
	uint8_t kind = (uint8_t)take(in, 1);

	if (kind >= 0xF8)
		return hot_step(in, kind);
	switch (kind % 8) {
	case 0:
		negotiate(versions[take(in, 1) % 6]);
		break;
	case 1: {
		uint32_t operation = (uint32_t)take(in, 1) % 16;
		uint16_t argument = (uint16_t)take(in, 2);

		control(operation, argument, (uint32_t)take(in, 1) % 65);
		break;
	}
	case 2:
		any_packet(in);
		break;
	case 3:
		scribble(in);
		break;
	default:
		command(in);
	}
	return true;
}

/* ---- a life of the channel ----------------------------------------------- */

/* Sub-channels the guest was offered and did not open. */
static void give_back_sub_channels(void)
{
	for (uint32_t i = f.g.offer_count; i-- > 0;)
		if (f.g.offers[i].rescinded)
			guest_release(&f.g, f.g.offers[i].offer.relid);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hv_guid class_id = VMBUS_GUID_SCSI;
	struct input in = {data, size};
	bool open = true;

	if (!f.req)
		set_up();
	reset_disks();
	memset(f.model, 0x5A, DATA_BYTES);
	memcpy(guest_at(&f.g, f.data_gpa), f.model, DATA_BYTES);
	f.state = M_BEGIN;
	f.version = 0;
	f.subs = false;
	f.offer = guest_wait_offer(&f.g, &class_id, INSTANCE, 0);
	check(guest_chan_open(&f.chan, &f.g, &f.offer, 3, 0));
	for (uint32_t i = 0; i < PACKETS_MAX && in.left && open; i++) {
		open = one_step(&in);
		if (!open)
			guest_chan_close(&f.chan);
		check_memory();
		check_disks();
	}
	guest_chan_close(&f.chan); /* the device may be paused */
	set_paused(false);
	burst_reset(&f.burst);
	give_back_sub_channels();
	return 0;
}
