/* SPDX-License-Identifier: MIT */
#include "tests/support/storvsp_burst.h"

#include <errno.h>

#define BLOCK     512u
#define SLOT_ID   0x5000u /* + slot: trans_id */
#define RESET_ID  0x6000u
#define TURNS_MAX 64u
#define STEPS_MAX 32u
#define ALL       ((1u << (BURST_FIXED + 1)) - 1)

static uint8_t lun_of(uint32_t unit)
{
	return unit == BURST_HOT ? BURST_LUN : (uint8_t)unit;
}

static void turn(struct burst *b)
{
	for (uint32_t i = 0; i < 4; i++)
		guest_turn(b->g);
}

/* ---- the LUN that comes and goes ----------------------------------------- */

static struct disk_ops hot_ops; /* memory that reports another size */
static uint64_t hot_size;

static int hot_refresh(struct disk *disk, uint64_t *size, struct err *e)
{
	*size = hot_size;
	return 0;
}

static void hot_open(struct burst *b)
{
	struct disk *memory;

	check(!disk_memory_open(&memory, BURST_BYTES, NULL));
	hot_ops = *memory->ops;
	hot_ops.refresh = hot_refresh;
	memory->ops = &hot_ops;
	b->disks[BURST_HOT] = fault_disk_open(memory);
	b->disks[BURST_HOT]->hold = b->disks[0]->hold;
	memset(b->shadow[BURST_HOT], 0, BURST_BYTES);
	b->size = BURST_BYTES;
}

static void hot_close(struct burst *b)
{
	if (b->disks[BURST_HOT])
		disk_close(&b->disks[BURST_HOT]->disk);
	b->disks[BURST_HOT] = NULL;
	b->exists = false;
	b->visible = false;
}

static void changed(struct burst *b)
{
	b->changes++;
	for (uint32_t unit = 0; unit < BURST_FIXED; unit++)
		b->news.luns[unit]++;
}

static void added(void *ctx, int error)
{
	struct burst *b = ctx;

	check(error ? b->removing : !b->removing);
	if (error) {
		hot_close(b);
		return;
	}
	b->visible = true;
	b->news.sizes[BURST_HOT]++; /* there may have been another */
	changed(b);
}

static void removed(void *ctx)
{
	struct burst *b = ctx;

	check(b->removing);
	b->removing = false;
	hot_close(b);
}

void burst_add(struct burst *b)
{
	struct storvsp_lun_config lun = {.lun = BURST_LUN, .disk = &b->disks[0]->disk};
	struct err e;

	if (b->exists) {
		check(storvsp_add(b->dev, &lun, added, b, &e) == -EINVAL);
		return;
	}
	hot_open(b);
	lun.disk = &b->disks[BURST_HOT]->disk;
	b->exists = true;
	b->news.resets[BURST_HOT] = 0;
	b->news.sizes[BURST_HOT] = 0;
	check(!storvsp_add(b->dev, &lun, added, b, &e));
}

static void cut(struct burst *b, uint32_t units)
{
	for (uint32_t i = 0; i < BURST_SLOTS; i++)
		b->slots[i].cut |= units >> b->slots[i].unit & 1;
}

void burst_remove(struct burst *b)
{
	bool exists = b->exists, removing = b->removing;
	struct err e;
	int ret;

	if (b->visible)
		changed(b);
	b->removing |= exists;
	b->visible = false;
	cut(b, 1u << BURST_HOT);
	ret = storvsp_remove(b->dev, BURST_LUN, removed, b, &e);
	check(ret == (removing ? -EALREADY : exists ? 0 : -ENOENT));
}

void burst_resize(struct burst *b, uint32_t blocks)
{
	struct err e;
	int ret;

	hot_size = (1 + blocks % BURST_BLOCKS) * BLOCK;
	ret = storvsp_resize(b->dev, BURST_LUN, &e);
	check(ret == (b->visible ? 0 : -ENOENT));
	if (ret)
		return;
	if (hot_size != b->size)
		b->news.sizes[BURST_HOT]++;
	b->size = hot_size;
}

/* ---- results ------------------------------------------------------------- */

bool burst_receive(struct burst *b, struct vmbus_pkt *pkt)
{
	struct vstor_packet packet = {0};

	while (guest_chan_receive(b->chan, pkt)) {
		if (pkt->desc.type == VMBUS_PKT_COMPLETION)
			return true;
		check(pkt->desc.type == VMBUS_PKT_INBAND && !pkt->desc.flags);
		check(!pkt->desc.trans_id);
		memcpy(&packet, pkt->payload, VSTOR_PACKET_HEADER_SIZE);
		check(packet.operation == VSTOR_OP_ENUMERATE_BUS);
		check(++b->told <= b->changes);
	}
	return false;
}

bool burst_takes_attention(struct burst *b, uint32_t unit, const struct vstor_srb *reply)
{
	uint32_t code = (uint32_t)reply->sense[12] << 8 | reply->sense[13];
	uint64_t *news = code == 0x2900   ? b->news.resets
			 : code == 0x3F0E ? b->news.luns
			 : code == 0x2A09 ? b->news.sizes
					  : NULL;

	if (reply->scsi_status != 2 || (reply->sense[2] & 0xF) != 6)
		return false;
	check(news && news[unit]-- > 0);
	return true;
}

static bool is_write(const struct burst_slot *s)
{
	return s->cdb[0] == 0x2A;
}

static void succeeded(struct burst *b, const struct burst_slot *s, const struct vstor_srb *r)
{
	uint8_t *page = b->model + (s - b->slots) * HV_PAGE_SIZE;
	uint8_t *disk = b->shadow[s->unit] + s->lba * BLOCK;
	uint32_t bytes = s->blocks * BLOCK;

	check(s->lba + s->blocks <= s->capacity);
	check(r->data_transfer_length == bytes);
	check(!is_write(s) || s->unit != b->read_only);
	if (is_write(s))
		memcpy(disk, page, bytes);
	else
		memcpy(page, disk, bytes);
}

static void failed(struct burst *b, const struct burst_slot *s, const struct vstor_srb *r)
{
	uint8_t status = r->srb_status & 0x3F;

	check(r->data_transfer_length == 0);
	if (status == VSTOR_SRB_INVALID_LUN) {
		check(s->may_be_absent);
	} else if (status == VSTOR_SRB_BUS_RESET) {
		check(s->cut && s->capacity);
	} else {
		check(status == VSTOR_SRB_ERROR && s->capacity);
		if (burst_takes_attention(b, s->unit, r))
			return;
		if (is_write(s) && s->unit == b->read_only)
			check((r->sense[2] & 0xF) == 7 && r->sense[12] == 0x27);
		else
			check(r->sense[12] == 0x21 && s->lba + s->blocks > s->capacity);
	}
}

static void answered(struct burst *b, const struct vmbus_pkt *pkt)
{
	uint64_t n = pkt->desc.trans_id - SLOT_ID;
	struct vstor_packet packet = {0};
	struct vstor_srb srb;

	memcpy(&packet, pkt->payload, pkt->payload_len < 64 ? pkt->payload_len : 64);
	check(packet.operation == VSTOR_OP_COMPLETE_IO);
	if (pkt->desc.trans_id == RESET_ID) {
		check(b->resets-- && packet.status == VSTOR_STATUS_SUCCESS);
		return;
	}
	check(n < BURST_SLOTS && b->slots[n].busy);
	b->slots[n].busy = false;
	srb = packet.srb;
	if ((srb.srb_status & 0x3F) == VSTOR_SRB_SUCCESS)
		succeeded(b, &b->slots[n], &srb);
	else
		failed(b, &b->slots[n], &srb);
}

static void pump(struct burst *b)
{
	struct vmbus_pkt pkt;

	turn(b);
	while (burst_receive(b, &pkt))
		answered(b, &pkt);
}

/* ---- what is sent -------------------------------------------------------- */

static void send_command(struct burst *b, struct burst_slot *s)
{
	uint64_t slot = (uint64_t)(s - b->slots);
	struct vstor_srb srb = {.length = 0x34,
		.lun = lun_of(s->unit),
		.cdb_length = 10,
		.data_in = is_write(s) ? VSTOR_DATA_OUT : VSTOR_DATA_IN,
		.data_transfer_length = s->blocks * BLOCK};
	struct vstor_packet packet = {.operation = VSTOR_OP_EXECUTE_SRB, .flags = 1};
	struct {
		struct vmbus_gpa_direct direct;
		struct vmbus_gpa_range range;
		uint64_t pfn;
	} header = {
		.direct.range_count = 1,
		.range.byte_count = s->blocks * BLOCK,
		.pfn = b->data_gpa / HV_PAGE_SIZE + slot,
	};
	struct vmbus_vec extra = {&header, sizeof(header)};

	memcpy(srb.cdb, s->cdb, sizeof(s->cdb));
	packet.srb = srb;
	check(guest_chan_send(
		b->chan, VMBUS_PKT_GPA_DIRECT, 1, SLOT_ID + slot, &extra, &packet, sizeof(packet)));
}

static void command(struct burst *b, uint32_t unit, struct input *in)
{
	uint8_t where = (uint8_t)take(in, 1), what = (uint8_t)take(in, 1);
	struct burst_slot *s = b->slots;

	while (s < b->slots + BURST_SLOTS && s->busy)
		s++;
	if (s == b->slots + BURST_SLOTS)
		return;
	*s = (struct burst_slot){
		.busy = true,
		.cut = b->resets, /* which may find it before they are done */
		.unit = unit,
		.lba = where % BURST_BLOCKS,
		.blocks = 1 + what % 8,
		.capacity = BURST_BLOCKS,
		.cdb = {what & 0x80 ? 0x2A : 0x28, [5] = where % BURST_BLOCKS, [8] = 1 + what % 8},
	};
	if (unit == BURST_HOT)
		s->capacity = b->exists && !b->removing ? b->size / BLOCK : 0;
	s->may_be_absent = unit == BURST_HOT && !b->visible;
	send_command(b, s);
}

void burst_news_reset(struct burst *b, uint32_t units)
{
	for (uint32_t unit = 0; unit <= BURST_FIXED; unit++)
		b->news.resets[unit] += units >> unit & 1;
}

static void reset(struct burst *b, uint32_t unit, bool bus)
{
	struct vstor_packet packet;
	uint32_t units = bus ? ALL : 1u << unit;

	if (!bus && unit == BURST_HOT && !b->visible) /* it may be refused */
		return;
	storvsc_reset_build(&packet);
	packet.operation = bus ? VSTOR_OP_RESET_BUS : VSTOR_OP_RESET_LUN;
	packet.srb.lun = lun_of(unit);
	burst_news_reset(b, units);
	b->resets++;
	cut(b, units);
	check(guest_chan_send(
		b->chan, VMBUS_PKT_INBAND, 1, RESET_ID, NULL, &packet, sizeof(packet)));
}

static void hold(struct burst *b, bool on)
{
	for (uint32_t i = 0; i <= BURST_FIXED; i++)
		if (b->disks[i])
			atomic_store(&b->disks[i]->hold, on);
}

/* Everything the disks hold goes on. */
static void release(struct burst *b)
{
	hold(b, false);
	for (uint32_t i = 0; i <= BURST_FIXED; i++)
		if (b->disks[i])
			fault_disk_release_all(b->disks[i]);
}

static bool quiet(const struct burst *b)
{
	for (uint32_t i = 0; i < BURST_SLOTS; i++)
		if (b->slots[i].busy)
			return false;
	return !b->resets;
}

static void settle(struct burst *b)
{
	release(b);
	for (uint32_t i = 0; !quiet(b) || b->removing || (b->exists && !b->visible); i++) {
		check(i < TURNS_MAX);
		pump(b);
	}
}

/* False: the guest closes. */
static bool one_step(struct burst *b, struct input *in)
{
	uint8_t kind = (uint8_t)take(in, 1);
	uint32_t unit = kind >> 4 & 3;

	if (kind % 16 < 3) /* what is in the ring came before */
		pump(b);
	switch (kind % 16) {
	case 0:
		burst_add(b);
		break;
	case 1:
		burst_remove(b);
		break;
	case 2:
		burst_resize(b, (uint32_t)take(in, 1));
		break;
	case 3:
		reset(b, unit, kind & 0x80);
		break;
	case 4:
		release(b);
		pump(b);
		hold(b, true);
		break;
	case 5:
		return !(kind & 0x80);
	default:
		command(b, unit, in);
	}
	if (kind & 0x40) /* else the next one comes before the host has seen this one */
		pump(b);
	return true;
}

bool burst_run(struct burst *b, struct input *in)
{
	bool open = true;

	hold(b, true);
	for (uint32_t i = 0; i < STEPS_MAX && in->left && open; i++)
		open = one_step(b, in);
	if (open)
		settle(b);
	return open;
}

void burst_reset(struct burst *b)
{
	release(b);
	memset(b->slots, 0, sizeof(b->slots));
	b->resets = 0;
	if (b->exists && !b->removing)
		burst_remove(b);
	for (uint32_t i = 0; b->exists; i++) {
		check(i < TURNS_MAX);
		turn(b);
	}
	check(!b->removing && !b->disks[BURST_HOT]);
}
