/* SPDX-License-Identifier: MIT */
/* Block commands against a shadow of the disk; disk errors as sense data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define IN     SCSI_DIR_IN
#define OUT    SCSI_DIR_OUT
#define NONE   SCSI_DIR_NONE
#define B0(v)  (uint8_t)(v)
#define BE2(v) (uint8_t)((v) >> 8), B0(v)
#define BE4(v) (uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), BE2(v)
#define BE8(v) BE4((uint64_t)(v) >> 32), BE4((v)&0xFFFFFFFFu)

#define SHADOW_BLOCKS 2048u

static uint8_t shadow[SCSI_RIG_BLOCKS * SCSI_RIG_BLOCK];

static void fill_pattern(uint8_t *to, uint32_t blocks, uint8_t tag)
{
	for (uint32_t i = 0; i < blocks * SCSI_RIG_BLOCK; i++)
		to[i] = (uint8_t)(tag + i / SCSI_RIG_BLOCK + i * 7);
}

static int setup(void **state)
{
	struct scsi_rig *rig = malloc(sizeof(*rig));

	assert_non_null(rig);
	scsi_rig_init(rig);
	memset(shadow, 0, sizeof(shadow));
	fill_pattern(shadow, SHADOW_BLOCKS, 1);
	scsi_rig_poke(rig, 0, SHADOW_BLOCKS, shadow);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	scsi_rig_fini(*state);
	free(*state);
	return 0;
}

static void assert_disk_is_shadow(struct scsi_rig *rig)
{
	static uint8_t disk[sizeof(shadow)];

	scsi_rig_peek(rig, 0, SCSI_RIG_BLOCKS, disk);
	assert_memory_equal(disk, shadow, sizeof(shadow));
}

/* ---- read and write, in all four lengths --------------------------------- */

static void build_rw(uint8_t *cdb, size_t length, bool write, uint32_t lba, uint32_t blocks)
{
	static const uint8_t base[] = {[6] = 0x08, [10] = 0x28, [12] = 0xA8, [16] = 0x88};
	const uint8_t c6[] = {0, (uint8_t)(lba >> 16), BE2(lba), B0(blocks)};
	const uint8_t c10[] = {0, 0, BE4(lba), 0, BE2(blocks)};
	const uint8_t c12[] = {0, 0, BE4(lba), BE4(blocks)};
	const uint8_t c16[] = {0, 0, BE8((uint64_t)lba), BE4(blocks)};

	memset(cdb, 0, SCSI_CDB_SIZE);
	if (length == 6)
		memcpy(cdb, c6, sizeof(c6));
	else if (length == 10)
		memcpy(cdb, c10, sizeof(c10));
	else if (length == 12)
		memcpy(cdb, c12, sizeof(c12));
	else
		memcpy(cdb, c16, sizeof(c16));
	cdb[0] = (uint8_t)(base[length] + (write ? 2 : 0));
}

static const struct {
	uint32_t lba, blocks;
} extents[] = {
	{0, 1},
	{5, 3},
	{100, 255},
	{1000, 256},
	{SCSI_RIG_BLOCKS - 1, 1},
	{SCSI_RIG_BLOCKS - 256, 256},
};

static void read_and_write(struct scsi_rig *rig, size_t length, uint32_t lba, uint32_t blocks)
{
	uint32_t bytes = blocks * SCSI_RIG_BLOCK;
	uint8_t cdb[SCSI_CDB_SIZE];

	/* The buffer is longer than the transfer of the CDB: the CDB counts. */
	memset(rig->data, 0xEE, bytes + 100);
	build_rw(cdb, length, false, lba, blocks);
	assert_int_equal(scsi_rig_run(rig, IN, bytes + 100, length, cdb), SCSI_OK);
	assert_int_equal(rig->task.transferred, bytes);
	assert_memory_equal(rig->data, shadow + lba * SCSI_RIG_BLOCK, bytes);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(rig->data[bytes + i], 0xEE);

	fill_pattern(rig->data, blocks, (uint8_t)(lba + length));
	memcpy(shadow + lba * SCSI_RIG_BLOCK, rig->data, bytes);
	build_rw(cdb, length, true, lba, blocks);
	assert_int_equal(scsi_rig_run(rig, OUT, bytes + 100, length, cdb), SCSI_OK);
	assert_int_equal(rig->task.transferred, bytes);
	assert_disk_is_shadow(rig);
}

static void reads_and_writes(void **state)
{
	static const size_t lengths[] = {6, 10, 12, 16};

	for (size_t i = 0; i < 4; i++)
		for (size_t j = 0; j < sizeof(extents) / sizeof(extents[0]); j++)
			read_and_write(*state, lengths[i], extents[j].lba, extents[j].blocks);
	assert_int_equal(atomic_load(&((struct scsi_rig *)*state)->disk->fua_count), 0);
}

static void longest_transfer(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(scsi_rig_run(rig, IN, SCSI_RIG_DATA,
				 CDB(0x28, 0, BE4(3), 0, BE2(SCSI_RIG_DATA / 512), 0)),
		SCSI_OK);
	assert_memory_equal(rig->data, shadow + 3 * 512, SCSI_RIG_DATA);
}

static void moving_nothing_is_good(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(scsi_rig_run(rig, NONE, 0, CDB(0x28, 0, BE4(0), 0, BE2(0), 0)), SCSI_OK);
	assert_int_equal(
		scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0, BE4(SCSI_RIG_BLOCKS), 0, BE2(0), 0)),
		SCSI_OK);
	assert_int_equal(rig->task.transferred, 0);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE]), 0);
}

static void fua_reaches_the_disk(void **state)
{
	struct scsi_rig *rig = *state;

	memcpy(rig->data, shadow, 512);
	scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0x08, BE4(0), 0, BE2(1), 0));
	assert_int_equal(atomic_load(&rig->disk->fua_count), 1);
	scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0x10, BE4(0), 0, BE2(1), 0)); /* DPO is no FUA */
	assert_int_equal(atomic_load(&rig->disk->fua_count), 1);
	scsi_rig_run(rig, IN, 512, CDB(0x28, 0x08, BE4(0), 0, BE2(1), 0));
	assert_int_equal(rig->task.error, SCSI_OK);
	assert_int_equal(atomic_load(&rig->disk->fua_count), 1);
	/* WRITE AND VERIFY writes, and durably */
	fill_pattern(rig->data, 1, 77);
	memcpy(shadow + 9 * 512, rig->data, 512);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x2E, 0, BE4(9), 0, BE2(1), 0)), SCSI_OK);
	assert_int_equal(atomic_load(&rig->disk->fua_count), 2);
	assert_disk_is_shadow(rig);
}

/* ---- VERIFY with data, GET LBA STATUS ------------------------------------ */

static enum scsi_error verify(struct scsi_rig *rig, uint32_t lba, uint32_t blocks)
{
	return scsi_rig_run(rig, OUT, blocks * 512, CDB(0x2F, 0x02, BE4(lba), 0, BE2(blocks), 0));
}

static void verify_compares(void **state)
{
	struct scsi_rig *rig = *state;
	static const uint32_t odd[] = {0, 35, 36, 4095, 4096, 511 * 512, 99 * 512 + 511};

	memcpy(rig->data, shadow + 3 * 512, 600 * 512);
	assert_int_equal(verify(rig, 3, 600), SCSI_OK);
	assert_int_equal(rig->task.transferred, 600 * 512);
	assert_int_equal(verify(rig, 3, 1), SCSI_OK);
	assert_int_equal(verify(rig, 3, 0), SCSI_OK);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		rig->data[odd[i]] ^= 0x10;
		assert_int_equal(verify(rig, 3, 600), SCSI_ERR_MISCOMPARE);
		assert_int_equal(rig->task.transferred, 0);
		rig->data[odd[i]] ^= 0x10;
	}
	rig->data[600 * 512 - 1] ^= 1;
	assert_int_equal(verify(rig, 3, 600), SCSI_ERR_MISCOMPARE);
	assert_int_equal(verify(rig, 3, 599), SCSI_OK);
	atomic_store(&rig->disk->error[DISK_READ], -EIO);
	assert_int_equal(verify(rig, 3, 1), SCSI_ERR_MEDIUM_READ);
}

static void lba_status_of_a_disk_that_cannot_tell(void **state)
{
	struct scsi_rig *rig = *state;
	static const uint8_t expected[] = {
		BE4(20), BE4(0), BE8(7ull), BE4(SCSI_RIG_BLOCKS - 7), 0, 0, 0, 0};

	assert_int_equal(
		scsi_rig_run(rig, IN, 512, CDB(0x9E, 0x12, BE8(7ull), BE4(512), 0, 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 24);
	assert_memory_equal(rig->data, expected, 24);
	assert_int_equal(
		scsi_rig_run(rig, IN, 512, CDB(0x9E, 0x12, BE8(7ull), BE4(8), 0, 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 8);
}

static int holes_below(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped)
{
	*mapped = offset >= 1024 * 512;
	if (!*mapped)
		*length = 1024 * 512 - offset;
	return 0;
}

static int no_map(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped)
{
	return -EIO;
}

static void lba_status_of_a_disk_that_fails(void **state)
{
	struct scsi_rig *rig = *state;
	const struct disk_ops *real = rig->disk->disk.lower->ops;
	struct disk_ops ops = *real;

	ops.map = no_map;
	rig->disk->disk.lower->ops = &ops;
	assert_int_equal(scsi_rig_run(rig, IN, 512, CDB(0x9E, 0x12, BE8(7ull), BE4(512), 0, 0)),
		SCSI_ERR_MEDIUM_READ);
	assert_memory_equal(rig->task.sense, "\xF0\0\3\0\0\0\7", 7);
	rig->disk->disk.lower->ops = real;
}

static void lba_status_of_a_disk_with_holes(void **state)
{
	struct scsi_rig *rig = *state;
	const struct disk_ops *real = rig->disk->disk.ops;
	struct disk_ops ops = *real;
	const uint8_t *d = rig->data;
	static const uint8_t hole[] = {BE4(1024 - 5), 1}, rest[] = {BE4(SCSI_RIG_BLOCKS - 1024), 0};

	ops.map = holes_below;
	rig->disk->disk.ops = &ops;
	scsi_rig_run(rig, IN, 24, CDB(0x9E, 0x12, BE8(5ull), BE4(24), 0, 0));
	assert_memory_equal(d + 16, hole, 5);
	scsi_rig_run(rig, IN, 24, CDB(0x9E, 0x12, BE8(1024ull), BE4(24), 0, 0));
	assert_memory_equal(d + 16, rest, 5);
	rig->disk->disk.ops = real;
}

/* ---- WRITE AND VERIFY with data ------------------------------------------ */

static void build_write_verify(uint8_t *cdb, size_t length, uint32_t lba, uint32_t blocks)
{
	static const uint8_t opcodes[] = {[10] = 0x2E, [12] = 0xAE, [16] = 0x8E};

	build_rw(cdb, length, true, lba, blocks);
	cdb[0] = opcodes[length];
	cdb[1] = 0x02;
}

static void write_verify_reads_back(void **state)
{
	static const size_t lengths[] = {10, 12, 16};
	struct scsi_rig *rig = *state;
	uint8_t cdb[SCSI_CDB_SIZE];

	for (uint32_t i = 0; i < 3; i++) {
		uint64_t reads = atomic_load(&rig->disk->count[DISK_READ]);

		build_write_verify(cdb, lengths[i], 700, 300);
		fill_pattern(rig->data, 300, (uint8_t)(11 + i));
		memcpy(shadow + 700 * 512, rig->data, 300 * 512);
		assert_int_equal(scsi_rig_run(rig, OUT, 301 * 512, lengths[i], cdb), SCSI_OK);
		assert_int_equal(rig->task.transferred, 300 * 512);
		assert_int_equal(atomic_load(&rig->disk->fua_count), i + 1);
		assert_int_equal(atomic_load(&rig->disk->count[DISK_READ]) - reads, 300 / 8 + 1);
		assert_disk_is_shadow(rig);
	}
	build_write_verify(cdb, 10, 700, 0);
	assert_int_equal(scsi_rig_run(rig, OUT, 0, 10, cdb), SCSI_OK);
	assert_disk_is_shadow(rig);
}

/* More pieces than one write takes: still whole blocks, each written once. */
static void write_verify_of_many_pieces(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t cdb[SCSI_CDB_SIZE];

	build_write_verify(cdb, 16, 5, SCSI_RIG_DATA / 512);
	fill_pattern(rig->data, SCSI_RIG_DATA / 512, 5);
	memcpy(shadow + 5 * 512, rig->data, SCSI_RIG_DATA);
	assert_int_equal(scsi_rig_run(rig, OUT, SCSI_RIG_DATA, 16, cdb), SCSI_OK);
	assert_int_equal(rig->task.transferred, SCSI_RIG_DATA);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE]), 2);
	assert_disk_is_shadow(rig);
}

/* The medium changes between the write and the read. */
static void write_verify_on_a_disk_that_lies(void **state)
{
	static const uint32_t odd[] = {0, 35, 36, 511, 512, 4096, 20 * 512 - 1};
	struct scsi_rig *rig = *state;
	uint8_t cdb[SCSI_CDB_SIZE], block[512];

	build_write_verify(cdb, 10, 40, 20);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		uint32_t lba = 40 + odd[i] / 512;
		const uint8_t offset[] = {BE4(odd[i])};

		fill_pattern(rig->data, 20, (uint8_t)i);
		atomic_store(&rig->disk->hold, true);
		scsi_rig_start(rig, OUT, 20 * 512, 10, cdb);
		fault_disk_release(rig->queue);
		assert_int_equal(rig->done, 0);
		atomic_store(&rig->disk->hold, false);
		scsi_rig_peek(rig, lba, 1, block);
		assert_memory_equal(block, rig->data + odd[i] / 512 * 512, 512);
		block[odd[i] % 512] ^= 0x40;
		scsi_rig_poke(rig, lba, 1, block);
		fault_disk_release(rig->queue);
		assert_int_equal(rig->done, 1);
		assert_int_equal(rig->task.error, SCSI_ERR_MISCOMPARE);
		assert_int_equal(rig->task.transferred, 0);
		assert_int_equal(rig->task.sense[0], 0xF0);
		assert_int_equal(rig->task.sense[2], 0x0E);
		assert_int_equal(rig->task.sense[12], 0x1D);
		assert_memory_equal(rig->task.sense + 3, offset, 4);
	}
}

static void write_verify_on_a_disk_that_fails(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t cdb[SCSI_CDB_SIZE];

	build_write_verify(cdb, 10, 0x40, 20);
	atomic_store(&rig->disk->error[DISK_WRITE], -EIO);
	assert_int_equal(scsi_rig_run(rig, OUT, 20 * 512, 10, cdb), SCSI_ERR_MEDIUM_WRITE);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_READ]), 0);
	atomic_store(&rig->disk->error[DISK_WRITE], 0);
	atomic_store(&rig->disk->fail_after, 1);
	atomic_store(&rig->disk->error[DISK_READ], -EIO);
	assert_int_equal(scsi_rig_run(rig, OUT, 20 * 512, 10, cdb), SCSI_ERR_MEDIUM_READ);
	assert_memory_equal(rig->task.sense + 3, "\x00\x00\x00\x48", 4);
}

/* ---- commands without data ----------------------------------------------- */

static void flushes(void **state)
{
	struct scsi_rig *rig = *state;
	_Atomic uint64_t *count = &rig->disk->count[DISK_FLUSH];

	scsi_rig_run(rig, NONE, 0, CDB(0x35, 0, BE4(0), 0, BE2(0), 0));
	assert_int_equal(atomic_load(count), 1);
	scsi_rig_run(rig, NONE, 0, CDB(0x91, 0x02, BE8(77ull), BE4(5), 0, 0));
	assert_int_equal(atomic_load(count), 2);
	scsi_rig_run(rig, NONE, 0, CDB(0x1B, 1, 0, 0, 0, 0)); /* STOP */
	assert_int_equal(atomic_load(count), 3);
	scsi_rig_run(rig, NONE, 0, CDB(0x1B, 0, 0, 0, 1, 0)); /* START */
	assert_int_equal(atomic_load(count), 3);
	assert_int_equal(rig->task.error, SCSI_OK);
}

static void quiet_commands(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(scsi_rig_run(rig, NONE, 0, CDB(0x00, 0, 0, 0, 0, 0)), SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, NONE, 0, CDB(0x1E, 0, 0, 0, 1, 0)), SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, NONE, 0, CDB(0x1D, 0x04, 0, 0, 0, 0)), SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, NONE, 0,
				 CDB(0x2F, 0, BE4(0), 0, BE2(0xFFFF & SCSI_RIG_BLOCKS), 0)),
		SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, NONE, 0, 16,
				 (uint8_t[16]){0x8F, 0, BE8(0ull), BE4(SCSI_RIG_BLOCKS)}),
		SCSI_OK);
}

/* ---- WRITE SAME ---------------------------------------------------------- */

static void write_same_zero(void **state)
{
	struct scsi_rig *rig = *state;

	memset(rig->data, 0, 512);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x41, 0, BE4(7), 0, BE2(9), 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 512);
	memset(shadow + 7 * 512, 0, 9 * 512);
	assert_disk_is_shadow(rig);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE_ZEROES]), 1);
	assert_int_equal(atomic_load(&rig->disk->unmap_count), 0);
	/* UNMAP bit: may free storage, reads zero all the same */
	assert_int_equal(
		scsi_rig_run(rig, OUT, 512, CDB(0x93, 0x08, BE8(40ull), BE4(3), 0, 0)), SCSI_OK);
	memset(shadow + 40 * 512, 0, 3 * 512);
	assert_disk_is_shadow(rig);
	assert_int_equal(atomic_load(&rig->disk->unmap_count), 1);
	/* NDOB: no data at all */
	assert_int_equal(
		scsi_rig_run(rig, NONE, 0, CDB(0x93, 0x01, BE8(50ull), BE4(2), 0, 0)), SCSI_OK);
	memset(shadow + 50 * 512, 0, 2 * 512);
	assert_disk_is_shadow(rig);
}

static void write_same_to_the_end(void **state)
{
	struct scsi_rig *rig = *state;

	fill_pattern(rig->data, 1, 3);
	assert_int_equal(
		scsi_rig_run(rig, OUT, 512, CDB(0x41, 0, BE4(SCSI_RIG_BLOCKS - 5), 0, BE2(0), 0)),
		SCSI_OK);
	for (uint32_t i = 5; i > 0; i--)
		memcpy(shadow + (SCSI_RIG_BLOCKS - i) * 512, rig->data, 512);
	assert_disk_is_shadow(rig);
	assert_int_equal(
		scsi_rig_run(rig, OUT, 512, CDB(0x41, 0, BE4(SCSI_RIG_BLOCKS), 0, BE2(0), 0)),
		SCSI_OK);
	assert_disk_is_shadow(rig);
}

/* The longest, with data: many steps. Data that are not zero must not be unmapped. */
static void write_same_pattern(void **state)
{
	struct scsi_rig *rig = *state;
	uint32_t blocks = SCSI_WRITE_SAME_BYTES_MAX / 512;

	memset(rig->data, 0, 512);
	rig->data[511] = 1;
	assert_int_equal(
		scsi_rig_run(rig, OUT, 512, CDB(0x93, 0x08, BE8(11ull), BE4(blocks), 0, 0)),
		SCSI_OK);
	for (uint32_t i = 0; i < blocks; i++)
		memcpy(shadow + (11 + i) * 512, rig->data, 512);
	assert_disk_is_shadow(rig);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE_ZEROES]), 0);
}

/* ---- UNMAP --------------------------------------------------------------- */

static void put_descriptor(uint8_t *list, uint32_t index, uint64_t lba, uint32_t blocks)
{
	const uint8_t d[16] = {BE8(lba), BE4(blocks)};

	memcpy(list + 8 + 16 * index, d, sizeof(d));
}

static void put_header(uint8_t *list, uint16_t descriptors)
{
	const uint8_t h[8] = {BE2(6 + 16 * descriptors), BE2(16 * descriptors)};

	memcpy(list, h, sizeof(h));
}

static enum scsi_error unmap(struct scsi_rig *rig, uint16_t length)
{
	return scsi_rig_run(rig, OUT, length, CDB(0x42, 0, 0, 0, 0, 0, 0, BE2(length), 0));
}

static void unmaps(void **state)
{
	struct scsi_rig *rig = *state;

	put_header(rig->data, 3);
	put_descriptor(rig->data, 0, 3, 2);
	put_descriptor(rig->data, 1, 9, 0); /* nothing, legal */
	put_descriptor(rig->data, 2, 100, 900);
	assert_int_equal(unmap(rig, 8 + 48), SCSI_OK);
	assert_int_equal(rig->task.transferred, 8 + 48);
	memset(shadow + 3 * 512, 0, 2 * 512);
	memset(shadow + 100 * 512, 0, 900 * 512);
	assert_disk_is_shadow(rig);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_DISCARD]), 2);
	assert_int_equal(unmap(rig, 8), SCSI_OK); /* a shortened list: no descriptor */
	assert_int_equal(unmap(rig, 8 + 15), SCSI_OK);
	assert_int_equal(unmap(rig, 0), SCSI_OK);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_DISCARD]), 2);
}

static void unmaps_as_many_as_it_says(void **state)
{
	struct scsi_rig *rig = *state;

	put_header(rig->data, SCSI_UNMAP_DESCRIPTORS_MAX);
	for (uint32_t i = 0; i < SCSI_UNMAP_DESCRIPTORS_MAX; i++) {
		put_descriptor(rig->data, i, 10 * i, 1);
		memset(shadow + 10 * i * 512, 0, 512);
	}
	assert_int_equal(unmap(rig, 8 + 16 * SCSI_UNMAP_DESCRIPTORS_MAX), SCSI_OK);
	assert_disk_is_shadow(rig);
}

/* One bad descriptor: nothing is unmapped. */
static void unmap_checks_all_before_it_starts(void **state)
{
	struct scsi_rig *rig = *state;

	put_header(rig->data, 2);
	put_descriptor(rig->data, 0, 3, 2);
	put_descriptor(rig->data, 1, SCSI_RIG_BLOCKS - 1, 2);
	assert_int_equal(unmap(rig, 8 + 32), SCSI_ERR_LBA_RANGE);
	put_descriptor(rig->data, 1, UINT64_MAX, 2);
	assert_int_equal(unmap(rig, 8 + 32), SCSI_ERR_LBA_RANGE);
	assert_disk_is_shadow(rig);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_DISCARD]), 0);
}

/* ---- errors of the disk -------------------------------------------------- */

static void disk_errors_become_sense(void **state)
{
	struct scsi_rig *rig = *state;
	static const struct {
		enum disk_op op;
		int error;
		enum scsi_error expected;
	} rows[] = {
		{DISK_READ, -EIO, SCSI_ERR_MEDIUM_READ},
		{DISK_WRITE, -EIO, SCSI_ERR_MEDIUM_WRITE},
		{DISK_WRITE, -ENOSPC, SCSI_ERR_NO_SPACE},
		{DISK_WRITE, -EDQUOT, SCSI_ERR_NO_SPACE},
		{DISK_WRITE_ZEROES, -ENOSPC, SCSI_ERR_NO_SPACE},
		{DISK_WRITE_ZEROES, -EIO, SCSI_ERR_MEDIUM_WRITE},
		{DISK_FLUSH, -EIO, SCSI_ERR_MEDIUM_WRITE},
		{DISK_FLUSH, -ENOSPC, SCSI_ERR_MEDIUM_WRITE},
		{DISK_DISCARD, -EOPNOTSUPP, SCSI_ERR_TARGET_FAILURE},
	};
	static const struct {
		enum scsi_dir dir;
		uint32_t length;
		uint8_t cdb[SCSI_CDB_SIZE];
	} commands[DISK_OP_COUNT] = {
		[DISK_READ] = {IN, 512, {0x88, 0, BE8(0x1234ull), BE4(1)}},
		[DISK_WRITE] = {OUT, 512, {0x8A, 0, BE8(0x1234ull), BE4(1)}},
		[DISK_FLUSH] = {NONE, 0, {0x91}},
		[DISK_DISCARD] = {OUT, 24, {0x42, 0, 0, 0, 0, 0, 0, BE2(24)}},
		[DISK_WRITE_ZEROES] = {NONE, 0, {0x93, 0x01, BE8(0x1234ull), BE4(1)}},
	};

	put_header(rig->data, 1);
	put_descriptor(rig->data, 0, 3, 2);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		atomic_store(&rig->disk->error[rows[i].op], rows[i].error);
		assert_int_equal(scsi_rig_run(rig, commands[rows[i].op].dir,
					 commands[rows[i].op].length, 16, commands[rows[i].op].cdb),
			rows[i].expected);
		assert_int_equal(rig->task.transferred, 0);
		atomic_store(&rig->disk->error[rows[i].op], 0);
	}
	assert_disk_is_shadow(rig);
}

static void medium_errors_tell_the_block(void **state)
{
	struct scsi_rig *rig = *state;

	atomic_store(&rig->disk->error[DISK_READ], -EIO);
	scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(0x1234), 0, BE2(1), 0));
	assert_int_equal(rig->task.sense[0], 0xF0);
	assert_memory_equal(rig->task.sense + 3, "\x00\x00\x12\x34", 4);
	/* illegal requests have no such field */
	scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(SCSI_RIG_BLOCKS), 0, BE2(1), 0));
	assert_int_equal(rig->task.sense[0], 0x70);
	assert_memory_equal(rig->task.sense + 3, "\x00\x00\x00\x00", 4);
}

/* A command of many steps ends at the first that fails, once, and tells its block. */
static void failing_in_the_middle(void **state)
{
	struct scsi_rig *rig = *state;

	fill_pattern(rig->data, 1, 9);
	atomic_store(&rig->disk->fail_after, 2);
	atomic_store(&rig->disk->error[DISK_WRITE], -EIO);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x41, 0, BE4(0), 0, BE2(2000), 0)),
		SCSI_ERR_MEDIUM_WRITE);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_WRITE]), 3);
	for (uint32_t i = 0; i < 2 * SCSI_RIG_IOV; i++)
		memcpy(shadow + i * 512, rig->data, 512);
	assert_disk_is_shadow(rig);
	assert_memory_equal(rig->task.sense + 3, "\x00\x00\x02\x02", 4);
}

/* ---- a disk that finishes later ------------------------------------------ */

static void finishes_later(void **state)
{
	struct scsi_rig *rig = *state;
	uint32_t releases = 0;

	atomic_store(&rig->disk->hold, true);
	fill_pattern(rig->data, 1, 9);
	scsi_rig_start(rig, OUT, 512, CDB(0x41, 0, BE4(0), 0, BE2(1000), 0));
	while (!rig->done) {
		fault_disk_release(rig->queue);
		assert_true(++releases < 10);
	}
	assert_int_equal(releases, 4);
	assert_int_equal(rig->done, 1);
	assert_int_equal(rig->task.error, SCSI_OK);
	atomic_store(&rig->disk->hold, false);
	for (uint32_t i = 0; i < 1000; i++)
		memcpy(shadow + i * 512, rig->data, 512);
	assert_disk_is_shadow(rig);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reads_and_writes),
		TEST(longest_transfer),
		TEST(moving_nothing_is_good),
		TEST(fua_reaches_the_disk),
		TEST(verify_compares),
		TEST(write_verify_reads_back),
		TEST(write_verify_of_many_pieces),
		TEST(write_verify_on_a_disk_that_lies),
		TEST(write_verify_on_a_disk_that_fails),
		TEST(lba_status_of_a_disk_that_cannot_tell),
		TEST(lba_status_of_a_disk_with_holes),
		TEST(lba_status_of_a_disk_that_fails),
		TEST(flushes),
		TEST(quiet_commands),
		TEST(write_same_zero),
		TEST(write_same_to_the_end),
		TEST(write_same_pattern),
		TEST(unmaps),
		TEST(unmaps_as_many_as_it_says),
		TEST(unmap_checks_all_before_it_starts),
		TEST(disk_errors_become_sense),
		TEST(medium_errors_tell_the_block),
		TEST(failing_in_the_middle),
		TEST(finishes_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
