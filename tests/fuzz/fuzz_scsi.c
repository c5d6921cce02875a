/* SPDX-License-Identifier: MIT */
/*
 * SCSI commands of any kind straight into scsi_execute(): no channel, no loop
 * turns, so thousands of commands a second.
 *
 * Oracles, after each command:
 *   - done exactly once; a failure has sense data and moved nothing;
 *   - every block of every disk equals a shadow that an independent reading of the
 *     CDB has written; with an injected disk error only blocks the command names may differ;
 *   - no byte of the data buffer changes beyond what was transferred, and what was
 *     read is what the shadow holds;
 *   - a built reply does not depend on what lay in the scratch memory before;
 *   - a valid plain READ or WRITE succeeds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "scsi/reserve.h"
#include "scsi/scsi.h"
#include "tests/fuzz/input.h"

#define DISK_BYTES   16384u
#define BLOCKS       (DISK_BYTES / 512)
#define BUFFER       20480u
#define COMMANDS_MAX 48u
#define IOV_MAX_     64u

enum unit_kind { UNIT_PLAIN, UNIT_READ_ONLY, UNIT_NO_DISCARD, UNIT_CDROM, UNIT_ABSENT, UNITS };

struct fuzz_disk {
	struct disk disk;
	uint8_t bytes[DISK_BYTES];
};

static struct {
	bool ready;
	struct loop loop; /* never runs */
	struct fuzz_disk disks[UNITS];
	struct disk_queue queues[UNITS];
	struct scsi_unit units[UNITS];
	struct scsi_reservation *reservation;
	uint8_t fresh[DISK_BYTES + UNITS * 512];
	uint8_t shadow[UNITS][DISK_BYTES];
	uint8_t data[BUFFER], model[BUFFER];
	struct iovec iov[IOV_MAX_];
	struct disk_req req;
	struct scsi_task task;
	uint32_t done;
	/* the disk's behaviour during one command */
	uint32_t fail_after; /* requests; UINT32_MAX: never */
	bool failed;
	bool defer; /* complete after submit has returned */
	struct disk_req *deferred;
} f;

/* ---- the disk ------------------------------------------------------------ */

static void move(uint8_t *bytes, const struct disk_req *req)
{
	uint64_t total = 0;

	for (uint32_t i = 0; i < req->iov_count; i++) {
		if (req->op == DISK_READ)
			memcpy(req->iov[i].iov_base, bytes + total, req->iov[i].iov_len);
		else
			memcpy(bytes + total, req->iov[i].iov_base, req->iov[i].iov_len);
		total += req->iov[i].iov_len;
	}
	check(total == req->length);
}

static void perform(struct disk_req *req)
{
	struct fuzz_disk *d = (struct fuzz_disk *)f.task.queue->disk;

	if (f.fail_after == 0) {
		f.failed = true;
		req->done(req, -EIO);
		return;
	}
	f.fail_after -= f.fail_after != UINT32_MAX;
	if (req->op == DISK_READ || req->op == DISK_WRITE)
		move(d->bytes + req->offset, req);
	else if (req->op != DISK_FLUSH)
		memset(d->bytes + req->offset, 0, req->length);
	if (req->iov_count) /* a disk may modify it */
		memset(req->iov, 0, req->iov_count * sizeof(*req->iov));
	req->done(req, 0);
}

static void fuzz_submit(struct disk_queue *queue, struct disk_req *req)
{
	check(!f.deferred);
	if (f.defer)
		f.deferred = req;
	else
		perform(req);
}

static const struct disk_ops fuzz_disk_ops = {.name = "fuzz", .submit = fuzz_submit};

/* ---- setting up ---------------------------------------------------------- */

static void set_up_unit(uint32_t i)
{
	static const _Atomic uint64_t luns = (1u << UNIT_ABSENT) - 1;
	struct disk_info info = {
		.size = DISK_BYTES,
		.block_size = 512,
		.physical_block_size = 4096,
		.read_only = i == UNIT_READ_ONLY,
		.write_cache = i != UNIT_NO_DISCARD,
		.discard = i != UNIT_NO_DISCARD,
	};

	f.disks[i].disk = (struct disk){.ops = &fuzz_disk_ops, .info = info};
	f.queues[i] = (struct disk_queue){.disk = &f.disks[i].disk, .loop = &f.loop};
	if (i == UNIT_CDROM) {
		info.block_size = info.physical_block_size = SCSI_CDROM_BLOCK_SIZE;
		info.read_only = true;
		info.discard = info.write_cache = false;
	}
	f.units[i].present = i != UNIT_ABSENT;
	f.units[i].cdrom = i == UNIT_CDROM;
	f.units[i].lun = (uint8_t)i;
	f.units[i].luns = &luns;
	f.units[i].transfer_bytes_max = 1 << 20;
	f.units[i].info = info;
	memcpy(f.units[i].serial, i == UNIT_PLAIN ? "FUZZ" : "", 5 * (i == UNIT_PLAIN));
}

static void set_up(void)
{
	log_set_level(LOG_ERROR);
	for (uint32_t i = 0; i < UNITS; i++)
		set_up_unit(i);
	check(!scsi_reservation_open(&f.reservation, NULL, NULL));
	f.units[UNIT_PLAIN].reservation = f.reservation;
	f.units[UNIT_PLAIN].fence = scsi_fence_create();
	check(f.units[UNIT_PLAIN].fence);
	for (uint32_t i = 0; i < sizeof(f.fresh); i++)
		f.fresh[i] = (uint8_t)(i / 512 + i);
	f.ready = true;
}

static void reset(void)
{
	for (uint32_t i = 0; i < UNITS; i++) {
		memcpy(f.disks[i].bytes, f.fresh + i * 512, DISK_BYTES);
		memcpy(f.shadow[i], f.fresh + i * 512, DISK_BYTES);
		f.units[i].size = DISK_BYTES;
		f.units[i].tray = 0;
		f.units[i].cache = SCSI_CACHE_ON;
		f.units[i].write_protect = false;
		f.units[i].attentions = 0;
	}
	f.reservation->state = (struct scsi_reserve_state){0};
	f.reservation->generation = 0;
	memset(f.model, 0x5A, BUFFER);
	memcpy(f.data, f.model, BUFFER);
}

/* ---- what commands should do --------------------------------------------- */

static uint64_t big_endian(const uint8_t *p, uint32_t bytes)
{
	uint64_t v = 0;

	while (bytes--)
		v = v << 8 | *p++;
	return v;
}

struct extent {
	uint64_t lba, blocks;
};

static struct extent extent_of(const uint8_t *cdb)
{
	switch (cdb[0] >> 5) {
	case 0:
		return (struct extent){big_endian(cdb + 1, 3) & 0x1FFFFF, cdb[4] ? cdb[4] : 256};
	case 4:
		return (struct extent){big_endian(cdb + 2, 8), big_endian(cdb + 10, 4)};
	case 5:
		return (struct extent){big_endian(cdb + 2, 4), big_endian(cdb + 6, 4)};
	default:
		return (struct extent){big_endian(cdb + 2, 4), big_endian(cdb + 7, 2)};
	}
}

static bool is_one_of(uint8_t opcode, const char *list)
{
	return memchr(list, opcode, strlen(list));
}

#define READS         "\x08\x28\x88\xA8"
#define WRITES        "\x0A\x2A\x8A\xAA\x2E\x8E\xAE"
#define VERIFIES      "\x2F\x8F\xAF"
#define WRITE_SAMES   "\x41\x93"
#define UNMAP         0x42
#define COMPARE_WRITE 0x89
#define OR_WRITE      0x8B
#define READ_CD       0xBE

static uint32_t block_size(void)
{
	return f.task.unit->info.block_size;
}

static uint64_t blocks_now(void)
{
	return f.task.unit->size / block_size();
}

static uint8_t *shadow_at(struct extent e)
{
	check(e.lba <= blocks_now() && e.blocks <= blocks_now() - e.lba);
	return f.shadow[f.task.unit->lun] + e.lba * block_size();
}

static void model_compare_write(const uint8_t *cdb)
{
	struct extent e = {big_endian(cdb + 2, 8), cdb[13]};
	uint64_t bytes = e.blocks * 512;

	check(f.task.transferred == 2 * bytes && f.task.in.length >= 2 * bytes);
	check(f.task.unit->lun == UNIT_PLAIN && !memcmp(shadow_at(e), f.model, bytes));
	memcpy(shadow_at(e), f.model + bytes, bytes);
}

static void model_or_write(struct extent e)
{
	uint8_t *to = shadow_at(e);
	uint64_t bytes = e.blocks * 512;

	check(f.task.transferred == bytes && f.task.in.length >= bytes);
	for (uint64_t i = 0; i < bytes; i++)
		to[i] |= f.model[i];
}

/* INFORMATION is the first byte that differs. */
static void model_miscompare(const uint8_t *cdb)
{
	struct extent e = extent_of(cdb);
	const uint8_t *sense = f.task.sense;
	uint32_t at = (uint32_t)big_endian(sense + 3, 4);
	const uint8_t *blocks;

	check(is_one_of(cdb[0], VERIFIES) || cdb[0] == COMPARE_WRITE);
	if (cdb[0] == COMPARE_WRITE)
		e.blocks = cdb[13];
	blocks = shadow_at(e);
	check((sense[0] & 0x80) && at < e.blocks * block_size());
	check(!memcmp(blocks, f.model, at) && blocks[at] != f.model[at]);
}

static void model_unmap(const uint8_t *cdb)
{
	uint32_t length = (uint32_t)big_endian(cdb + 7, 2);
	uint32_t end;

	check(length <= f.task.in.length);
	if (length < 8)
		return;
	end = 8 + (uint32_t)big_endian(f.model + 2, 2);
	if (end > length)
		end = length;
	for (uint32_t at = 8; at + 16 <= end; at += 16) {
		struct extent e = {big_endian(f.model + at, 8), big_endian(f.model + at + 8, 4)};

		memset(shadow_at(e), 0, e.blocks * 512);
	}
}

static void model_write_same(const uint8_t *cdb)
{
	struct extent e = extent_of(cdb);
	uint8_t *to;

	check(e.lba <= BLOCKS);
	if (!e.blocks)
		e.blocks = blocks_now() - e.lba;
	to = shadow_at(e);
	for (uint64_t i = 0; i < e.blocks; i++) {
		if (cdb[0] == 0x93 && (cdb[1] & 1))
			memset(to + i * 512, 0, 512);
		else
			memcpy(to + i * 512, f.model, 512);
	}
}

static bool writes(uint8_t opcode)
{
	return is_one_of(opcode, WRITES) || is_one_of(opcode, WRITE_SAMES) || opcode == UNMAP ||
	       opcode == COMPARE_WRITE || opcode == OR_WRITE;
}

/* The command has ended with GOOD. */
static void model_success(void)
{
	const uint8_t *cdb = f.task.in.cdb;
	struct extent e = extent_of(cdb);
	uint64_t bytes = e.blocks * block_size();

	if (is_one_of(cdb[0], READS)) {
		check(f.task.transferred == bytes && f.task.in.length >= bytes);
		memcpy(f.model, shadow_at(e), bytes);
	} else if (cdb[0] == READ_CD) {
		e = (struct extent){big_endian(cdb + 2, 4), big_endian(cdb + 6, 3)};
		bytes = cdb[9] ? e.blocks * SCSI_CDROM_BLOCK_SIZE : 0;
		check(f.task.unit->cdrom && f.task.transferred == bytes);
		memcpy(f.model, shadow_at(e), bytes);
	} else if (is_one_of(cdb[0], WRITES)) {
		check(f.task.transferred == bytes && f.task.in.length >= bytes);
		memcpy(shadow_at(e), f.model, bytes);
	} else if (is_one_of(cdb[0], VERIFIES)) {
		check(!(cdb[1] & 2) || !memcmp(shadow_at(e), f.model, bytes));
	} else if (is_one_of(cdb[0], WRITE_SAMES)) {
		model_write_same(cdb);
	} else if (cdb[0] == UNMAP) {
		model_unmap(cdb);
	} else if (cdb[0] == COMPARE_WRITE) {
		model_compare_write(cdb);
	} else if (cdb[0] == OR_WRITE) {
		model_or_write(e);
	} else if (f.task.in.dir == SCSI_DIR_IN) {
		memcpy(f.model, f.data, f.task.transferred); /* a built reply */
	}
	check(!writes(cdb[0]) || !f.task.unit->info.read_only);
	check(!writes(cdb[0]) || !f.task.unit->write_protect);
}

/* Valid READ(10) and WRITE(10). */
static bool must_succeed(uint32_t attentions)
{
	const struct scsi_input *in = &f.task.in;
	struct extent e = extent_of(in->cdb);
	bool write = in->cdb[0] == 0x2A;

	if ((in->cdb[0] != 0x28 && !write) || in->cdb_length < 10 || in->cdb_length > 16 ||
		(in->cdb[1] & 0xE0) || !f.task.unit->present || attentions || f.task.unit->cdrom)
		return false;
	if (write && (f.task.unit->info.read_only || f.task.unit->write_protect))
		return false;
	return in->dir == (write ? SCSI_DIR_OUT : SCSI_DIR_IN) &&
	       e.lba + e.blocks <= blocks_now() && e.blocks * 512 <= in->length;
}

static void model_failure(uint32_t attentions)
{
	const struct scsi_task *t = &f.task;

	check(t->transferred == 0);
	if (t->error != SCSI_ERR_NO_LUN && t->error != SCSI_ERR_CONFLICT) {
		check((t->sense[0] & 0x7F) == 0x70 && t->sense[7] == 10);
		check((t->sense[2] & 0x0F) != 0 && !(t->sense[2] & 0xF0));
		check(!t->sense[15] || (t->sense[12] == ((t->sense[15] & 0x40) ? 0x24 : 0x26)));
	}
	if (f.failed) { /* parts may be done: all inside the command's limits, see step() */
		memcpy(f.model, f.data, t->in.dir == SCSI_DIR_IN ? t->in.length : 0);
		return;
	}
	check(!must_succeed(attentions));
	if (t->error == SCSI_ERR_MISCOMPARE)
		model_miscompare(t->in.cdb);
}

/* ---- one command --------------------------------------------------------- */

static void task_done(struct scsi_task *task)
{
	f.done++;
}

static void cut(uint32_t length, uint32_t piece)
{
	f.task.iov_count = 0;
	for (uint32_t at = 0; at < length;) {
		uint32_t size = length - at;

		if (size > piece && f.task.iov_count < IOV_MAX_ - 1)
			size = piece;
		f.iov[f.task.iov_count++] = (struct iovec){f.data + at, size};
		at += size;
	}
}

static void execute(uint32_t piece, uint8_t poison)
{
	f.done = 0;
	f.failed = false;
	f.task.req = &f.req;
	f.task.iov = f.iov;
	f.task.iov_max = IOV_MAX_;
	f.task.done = task_done;
	memset(f.task.scratch, poison, sizeof(f.task.scratch));
	memset(f.task.sense, poison, sizeof(f.task.sense));
	cut(f.task.in.length, piece);
	scsi_execute(&f.task);
	while (f.deferred) {
		struct disk_req *req = f.deferred;

		check(!f.done);
		f.deferred = NULL;
		perform(req);
	}
	check(f.done == 1);
}

static void take_command(struct input *in)
{
	uint8_t where = (uint8_t)take(in, 1);
	struct scsi_input *to = &f.task.in;

	memset(to, 0, sizeof(*to));
	f.task.unit = &f.units[(where & 7) % UNITS];
	f.task.queue = f.task.unit->present ? &f.queues[f.task.unit->lun] : NULL;
	to->dir = (enum scsi_dir)((where >> 3) % 3);
	f.defer = where & 0x40;
	f.fail_after = where & 0x80 ? (uint32_t)take(in, 1) % 16 : UINT32_MAX;
	to->cdb_length = (uint8_t)(16 - take(in, 1) % 17);
	to->length = to->dir == SCSI_DIR_NONE ? 0 : (uint32_t)take(in, 2) % (BUFFER + 1);
	take_bytes(in, to->cdb, to->cdb_length);
}

/* Replies that clear an event are not requested twice. */
static bool repeatable(void)
{
	return !f.task.error && f.task.cmd.action == SCSI_ACTION_REPLY &&
	       f.task.in.cdb[0] != 0x03 && f.task.in.cdb[0] != 0x4A && !f.task.unit->attentions;
}

/* An injected error: the disk may have any part of what the command could write. */
static void adopt_disk(void)
{
	uint8_t lun = f.task.unit->lun;
	const uint8_t *cdb = f.task.in.cdb;
	struct extent e = extent_of(cdb);
	uint64_t from = e.lba * block_size(), end = from + e.blocks * block_size();

	if (is_one_of(cdb[0], WRITE_SAMES) && !e.blocks)
		end = DISK_BYTES;
	if (cdb[0] == UNMAP) {
		from = 0;
		end = DISK_BYTES;
	} else if (cdb[0] == COMPARE_WRITE) {
		end = from + cdb[13] * 512ull;
	} else if (!writes(cdb[0])) {
		return;
	}
	check(end <= DISK_BYTES);
	memcpy(f.shadow[lun] + from, f.disks[lun].bytes + from, end - from);
}

static void put_number(uint8_t *to, uint32_t bytes, uint64_t v)
{
	while (bytes--) {
		to[bytes] = (uint8_t)v;
		v >>= 8;
	}
}

/* Commands with an exact data-out size; else the whole buffer. */
static uint32_t data_out_size(const struct scsi_input *in)
{
	if (in->cdb[0] == COMPARE_WRITE)
		return 2 * 512u * in->cdb[13];
	if (is_one_of(in->cdb[0], WRITE_SAMES))
		return in->cdb[0] == 0x93 && (in->cdb[1] & 1) ? 0 : 512;
	return BUFFER;
}

/* A command that moves, compares or clears blocks, usually of a valid range. */
static void take_block_command(struct input *in)
{
	static const uint8_t opcodes[] = {0x28, 0x88, 0xA8, 0x2A, 0x8A, 0xAA, 0x2E, 0x8E, 0xAE,
		0x2F, 0x8F, 0xAF, 0x41, 0x93, COMPARE_WRITE, OR_WRITE, READ_CD};
	uint8_t which = (uint8_t)take(in, 1);
	struct scsi_input *to = &f.task.in;
	uint64_t lba = take(in, 1) % (BLOCKS + 1), blocks = take(in, 1) % 16;

	memset(to, 0, sizeof(*to));
	f.task.unit = &f.units[(which >> 4) % UNITS];
	f.task.queue = f.task.unit->present ? &f.queues[f.task.unit->lun] : NULL;
	f.fail_after = UINT32_MAX;
	f.defer = blocks & 1;
	to->cdb[0] = opcodes[which % sizeof(opcodes)];
	to->cdb[1] = (uint8_t)take(in, 1);
	to->cdb_length = 16;
	to->dir =
		is_one_of(to->cdb[0], READS) || to->cdb[0] == READ_CD ? SCSI_DIR_IN : SCSI_DIR_OUT;
	if (to->cdb[0] == COMPARE_WRITE || to->cdb[0] >> 5 == 4) {
		put_number(to->cdb + 2, 8, lba);
		put_number(to->cdb + 10, 4, blocks);
	} else {
		put_number(to->cdb + 2, 4, lba);
		put_number(to->cdb + (to->cdb[0] >> 5 == 5 ? 6 : 7), to->cdb[0] >> 5 == 5 ? 4 : 2,
			blocks);
	}
	to->length = data_out_size(to);
	if (to->length == 0)
		to->dir = SCSI_DIR_NONE;
}

/* And an UNMAP of some extents. */
static void take_unmap(struct input *in)
{
	uint32_t count = (uint32_t)take(in, 1) % 5;
	struct scsi_input *to = &f.task.in;

	memset(f.data, 0, 8 + 16 * count);
	put_number(f.data + 2, 2, 16 * count);
	for (uint32_t i = 0; i < count; i++) {
		put_number(f.data + 8 + 16 * i, 8, take(in, 1) % (BLOCKS + 1));
		put_number(f.data + 16 + 16 * i, 4, take(in, 1) % 24);
	}
	memcpy(f.model, f.data, 8 + 16 * count);
	*to = (struct scsi_input){
		.cdb_length = 10, .dir = SCSI_DIR_OUT, .length = 8 + 16 * count, .cdb = {UNMAP}};
	put_number(to->cdb + 7, 2, to->length);
	f.task.unit = &f.units[UNIT_PLAIN];
	f.task.queue = &f.queues[UNIT_PLAIN];
	f.fail_after = UINT32_MAX;
	f.defer = false;
}

static void command(struct input *in, void (*take_it)(struct input *in))
{
	uint32_t piece = 1 + (uint32_t)take(in, 1) * 16, attentions;
	uint8_t lun;

	take_it(in);
	lun = f.task.unit->lun;
	attentions = f.task.unit->attentions;
	execute(piece, 0xA5);
	if (f.task.error)
		model_failure(attentions);
	else
		model_success();
	if (f.failed)
		adopt_disk();
	check(!memcmp(f.data, f.model, BUFFER));
	check(!memcmp(f.disks[lun].bytes, f.shadow[lun], DISK_BYTES));
	if (repeatable()) {
		execute(piece, 0x3C);
		check(!f.task.error && !memcmp(f.data, f.model, BUFFER));
	}
}

static void scribble(struct input *in)
{
	uint32_t at = (uint32_t)take(in, 1) * 4;
	uint8_t bytes[24];

	take_bytes(in, bytes, sizeof(bytes));
	memcpy(f.data + at, bytes, sizeof(bytes));
	memcpy(f.model + at, bytes, sizeof(bytes));
}

/* The contents of the disk, so that comparisons can succeed. */
static void copy_disk(struct input *in)
{
	uint32_t to = (uint32_t)take(in, 1) % 8 * 512, from = (uint32_t)take(in, 1) % BLOCKS * 512;

	memcpy(f.data + to, f.shadow[UNIT_PLAIN] + from, DISK_BYTES - from);
	memcpy(f.model + to, f.shadow[UNIT_PLAIN] + from, DISK_BYTES - from);
}

static void one_step(struct input *in)
{
	uint8_t kind = (uint8_t)take(in, 1);
	struct scsi_unit *unit = &f.units[(kind >> 4) % UNIT_ABSENT];

	switch (kind % 16) {
	case 0:
		scribble(in);
		break;
	case 1:
		copy_disk(in);
		break;
	case 2:
		scsi_unit_attention(
			unit, (enum scsi_attention)(take(in, 1) % SCSI_ATTENTION_COUNT));
		break;
	case 3:
		scsi_unit_resize(unit, (1 + take(in, 1) % (DISK_BYTES / 2048)) * 2048);
		break;
	case 4:
		command(in, take_unmap);
		break;
	case 5:
	case 6:
		command(in, take_block_command);
		break;
	default:
		command(in, take_command);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (!f.ready)
		set_up();
	reset();
	for (uint32_t i = 0; i < COMMANDS_MAX && in.left; i++)
		one_step(&in);
	for (uint32_t i = 0; i < UNITS; i++)
		check(!memcmp(f.disks[i].bytes, f.shadow[i], DISK_BYTES));
	return 0;
}
