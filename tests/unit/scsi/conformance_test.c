/* SPDX-License-Identifier: MIT */
/*
 * Rules of SPC and SBC that a conformance suite checks: field pointers in sense
 * data, data-out sizes, mode pages, and rarely used commands.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/scsi_rig.h"

#define IN   SCSI_DIR_IN
#define OUT  SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE
#define LAST (SCSI_RIG_BLOCKS - 1)

#define BE2(v) (uint8_t)((v) >> 8), (uint8_t)(v)
#define BE4(v) (uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), BE2(v)
#define BE8(v) BE4((uint64_t)(v) >> 32), BE4((v)&0xFFFFFFFFu)

static int setup(void **state)
{
	struct scsi_rig *rig;

	if (scsi_rig_setup(state))
		return -1;
	rig = *state;
	rig->unit.fence = scsi_fence_create();
	return rig->unit.fence ? 0 : -1;
}

static int teardown(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_fence_destroy(rig->unit.fence);
	return scsi_rig_teardown(state);
}

static void fill_disk(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, uint8_t value)
{
	static uint8_t bytes[256 * SCSI_RIG_BLOCK];

	memset(bytes, value, sizeof(bytes));
	scsi_rig_poke(rig, lba, blocks, bytes);
}

static void assert_disk(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, uint8_t value)
{
	static uint8_t bytes[256 * SCSI_RIG_BLOCK];

	scsi_rig_peek(rig, lba, blocks, bytes);
	for (uint32_t i = 0; i < blocks * SCSI_RIG_BLOCK; i++)
		assert_int_equal(bytes[i], value);
}

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* ---- sense data ---------------------------------------------------------- */

static void assert_points_at(const struct scsi_rig *rig, bool in_cdb, uint16_t byte)
{
	assert_int_equal(rig->task.sense[15], in_cdb ? 0xC0 : 0x80);
	assert_int_equal(be16(rig->task.sense + 16), byte);
}

/* Without a field pointer, initiators take INVALID FIELD of MAINTENANCE IN for a missing command.
 */
static void bad_cdb_fields_are_pointed_at(void **state)
{
	struct scsi_rig *rig = *state;
	static const struct {
		enum scsi_dir dir;
		uint32_t length;
		uint8_t byte;
		uint8_t cdb_length;
		uint8_t cdb[16];
	} rows[] = {
		{IN, 255, 2, 6, {0x12, 0, 1, 0, 255}},                     /* INQUIRY, no EVPD */
		{IN, 255, 2, 6, {0x12, 1, 0xC7, 0, 255}},                  /* no such VPD page */
		{IN, 192, 2, 6, {0x1A, 0, 0x39, 0, 192}},                  /* no such mode page */
		{OUT, 24, 1, 6, {0x15, 0x11, 0, 0, 24}},                   /* save pages */
		{IN, 512, 1, 10, {0x28, 0x20, BE4(0), 0, BE2(1)}},         /* RDPROTECT */
		{OUT, 512, 1, 10, {0x2A, 0x40, BE4(0), 0, BE2(1)}},        /* WRPROTECT */
		{NONE, 0, 1, 10, {0x2F, 0x80, BE4(0), 0, BE2(1)}},         /* VRPROTECT */
		{IN, 64, 2, 10, {0x4D, 0, 0x4D, 0, 0, 0, 0, BE2(64)}},     /* no such log page */
		{IN, 64, 1, 10, {0x4D, 1, 0x6F, 0, 0, 0, 0, BE2(64)}},     /* LOG SENSE, save */
		{IN, 512, 1, 16, {0x9E, 0x16}},                            /* service action */
		{IN, 512, 1, 12, {0xA3, 0x0A}},                            /* service action */
		{IN, 512, 2, 12, {0xA3, 0x0C, 7, 0x28, 0, 0, BE4(512)}},   /* reporting option */
		{IN, 512, 3, 12, {0xA3, 0x0C, 1, 0x9E, 0, 0, BE4(512)}},   /* has service actions */
		{IN, 512, 3, 12, {0xA3, 0x0C, 2, 0x28, 0, 0, BE4(512)}},   /* has none */
		{IN, 512, 2, 12, {0xA0, 0, 3, 0, 0, 0, BE4(512)}},         /* select report */
		{OUT, 0x8000, 13, 16, {0x89, 0, BE8(0ull), 0, 0, 0, 255}}, /* too many blocks */
	};

	for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(scsi_rig_run(rig, rows[i].dir, rows[i].length, rows[i].cdb_length,
					 rows[i].cdb),
			SCSI_ERR_CDB_FIELD);
		assert_points_at(rig, true, rows[i].byte);
	}
}

static void bad_parameters_are_pointed_at(void **state)
{
	struct scsi_rig *rig = *state;

	memset(rig->data, 0, 64);
	rig->data[3] = 8; /* block descriptor length */
	assert_int_equal(
		scsi_rig_run(rig, OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0)), SCSI_ERR_PARAM_FIELD);
	assert_points_at(rig, false, 3);
	rig->data[3] = 0;
	rig->data[4] = 0x39; /* page code */
	assert_int_equal(
		scsi_rig_run(rig, OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0)), SCSI_ERR_PARAM_FIELD);
	assert_points_at(rig, false, 4);
}

static void other_errors_point_at_nothing(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_rig_run(rig, IN, 255, CDB(0x12, 0, 1, 0, 255, 0));
	assert_int_equal(scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(LAST + 1), 0, BE2(1), 0)),
		SCSI_ERR_LBA_RANGE);
	assert_int_equal(rig->task.sense[15], 0);
	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_MODE);
	scsi_rig_run(rig, NONE, 0, CDB(0, 0, 0, 0, 0, 0));
	assert_int_equal(rig->task.sense[15], 0);
}

/* ---- INQUIRY ------------------------------------------------------------- */

static bool claims(const uint8_t *inquiry, uint16_t standard)
{
	for (uint32_t at = 58; at < 74; at += 2)
		if (be16(inquiry + at) == standard)
			return true;
	return false;
}

static void standards_are_claimed(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(scsi_rig_run(rig, IN, 96, CDB(0x12, 0, 0, 0, 96, 0)), SCSI_OK);
	assert_true(claims(rig->data, 0x0060)); /* SAM-3 */
	assert_true(claims(rig->data, 0x0300)); /* SPC-3 */
	assert_true(claims(rig->data, 0x04C0)); /* SBC-3: block limits have its length */
	scsi_rig_run(rig, IN, 255, CDB(0x12, 1, 0xB0, 0, 255, 0));
	assert_int_equal(rig->task.transferred, 64);
	assert_int_equal(be16(rig->data + 2), 60);
	rig->unit.cdrom = true;
	scsi_rig_run(rig, IN, 96, CDB(0x12, 0, 0, 0, 96, 0));
	assert_false(claims(rig->data, 0x04C0));
}

/* ---- data-out sizes ------------------------------------------------------ */

static void data_out_has_the_size_of_the_command(void **state)
{
	struct scsi_rig *rig = *state;
	const uint32_t wrong[] = {0, 1, 256, 511, 513, 1024};

	memset(rig->data, 0, 4096);
	fill_disk(rig, 0, 4, 0x11);
	for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(scsi_rig_run(rig, wrong[i] ? OUT : NONE, wrong[i],
					 CDB(0x41, 0x08, BE4(0), 0, BE2(1), 0)),
			SCSI_ERR_CDB_FIELD);
		assert_int_equal(scsi_rig_run(rig, wrong[i] ? OUT : NONE, wrong[i],
					 CDB(0x93, 0x08, BE8(0ull), BE4(1), 0, 0)),
			SCSI_ERR_CDB_FIELD);
		assert_int_equal(scsi_rig_run(rig, wrong[i] ? OUT : NONE, wrong[i],
					 CDB(0x89, 0, BE8(0ull), 0, 0, 0, 1, 0, 0)),
			wrong[i] == 1024 ? SCSI_ERR_MISCOMPARE : SCSI_ERR_CDB_FIELD);
	}
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x93, 0x01, BE8(0ull), BE4(1), 0, 0)),
		SCSI_ERR_CDB_FIELD); /* NDOB and data */
	assert_int_equal(scsi_rig_run(rig, OUT, 2048, CDB(0x89, 0, BE8(0ull), 0, 0, 0, 0, 0, 0)),
		SCSI_ERR_CDB_FIELD); /* no block, but data */
	assert_disk(rig, 0, 4, 0x11);
}

/* ---- WRITE SAME ---------------------------------------------------------- */

static void write_same_to_the_end_reads_back(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint32_t blocks = 1; blocks <= 256; blocks += 51) {
		uint32_t lba = SCSI_RIG_BLOCKS - blocks;

		for (uint8_t unmap = 0; unmap <= 8; unmap += 8) {
			fill_disk(rig, lba, blocks, 0xFF);
			memset(rig->data, 0, 512);
			assert_int_equal(scsi_rig_run(rig, OUT, 512,
						 CDB(0x41, unmap, BE4(lba), 0, BE2(0), 0)),
				SCSI_OK);
			assert_disk(rig, lba, blocks, 0);
			/* Unmapped blocks read as zeros, so other data are written. */
			memset(rig->data, 0xA6, 512);
			assert_int_equal(
				scsi_rig_run(rig, OUT, 512,
					CDB(0x93, unmap, BE8((uint64_t)lba), BE4(0), 0, 0)),
				SCSI_OK);
			assert_disk(rig, lba, blocks, 0xA6);
		}
	}
}

/* ---- GET LBA STATUS ------------------------------------------------------ */

static void the_first_descriptor_begins_at_the_requested_lba(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint64_t lba = 0; lba < SCSI_RIG_BLOCKS; lba += 977) {
		assert_int_equal(
			scsi_rig_run(rig, IN, 24, CDB(0x9E, 0x12, BE8(lba), BE4(24), 0, 0)),
			SCSI_OK);
		assert_int_equal(be16(rig->data + 8 + 6), lba & 0xFFFF);
		assert_int_equal(be16(rig->data + 8 + 4), lba >> 16);
	}
}

/* ---- mode pages ---------------------------------------------------------- */

static uint32_t mode_sense(struct scsi_rig *rig, uint8_t control, uint8_t page)
{
	assert_int_equal(
		scsi_rig_run(rig, IN, 192, CDB(0x1A, 0, (uint8_t)(control << 6 | page), 0, 192, 0)),
		SCSI_OK);
	assert_int_equal(rig->data[0] + 1, rig->task.transferred);
	return rig->task.transferred;
}

static enum scsi_error mode_select(struct scsi_rig *rig, uint8_t length)
{
	rig->data[0] = 0;
	rig->data[2] = 0;
	return scsi_rig_run(rig, OUT, length, CDB(0x15, 0x10, 0, 0, length, 0));
}

static void all_pages_come_in_order(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(mode_sense(rig, 0, 0x3F), 4 + 20 + 12 + 12);
	assert_int_equal(rig->data[4], 0x08);
	assert_int_equal(rig->data[5], 18);
	assert_int_equal(rig->data[24], 0x0A);
	assert_int_equal(rig->data[25], 10);
	assert_int_equal(rig->data[36], 0x1C);
	assert_int_equal(rig->data[37], 10);
	assert_int_equal(mode_select(rig, 48), SCSI_OK); /* accepted with their current values */
}

static void control_page(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t all[12];

	mode_sense(rig, 0, 0x3F);
	memcpy(all, rig->data + 24, sizeof(all));
	assert_int_equal(mode_sense(rig, 0, 0x0A), 16);
	assert_memory_equal(rig->data + 4, all, sizeof(all));
	assert_false(rig->data[6] & 0x04);      /* D_SENSE: sense data have the fixed format */
	assert_int_equal(rig->data[7] >> 4, 1); /* commands may be reordered */
	assert_false(rig->data[8] & 0x08);      /* SWP */
	assert_int_equal(mode_sense(rig, 1, 0x0A), 16);
	for (uint32_t i = 6; i < 16; i++)
		assert_int_equal(rig->data[i], i == 8 ? 0x08 : 0); /* SWP alone can be changed */
}

static enum scsi_error set_swp(struct scsi_rig *rig, bool on)
{
	mode_sense(rig, 0, 0x0A);
	rig->data[8] = on ? 0x08 : 0;
	return mode_select(rig, 16);
}

static void software_write_protection(void **state)
{
	struct scsi_rig *rig = *state;
	uint64_t flushes = atomic_load(&rig->disk->count[DISK_FLUSH]);

	fill_disk(rig, 0, 1, 0x22);
	assert_int_equal(set_swp(rig, true), SCSI_OK);
	assert_int_equal(atomic_load(&rig->disk->count[DISK_FLUSH]), flushes + 1);
	mode_sense(rig, 0, 0x0A);
	assert_true(rig->data[8] & 0x08);
	assert_true(rig->data[2] & 0x80); /* WP in the header */
	memset(rig->data, 0, 1024);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0, BE4(0), 0, BE2(1), 0)),
		SCSI_ERR_SOFTWARE_PROTECTED);
	assert_int_equal(rig->task.sense[2], 7);
	assert_int_equal(be16(rig->task.sense + 12), 0x2702);
	assert_int_equal(scsi_rig_run(rig, OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, BE2(24), 0)),
		SCSI_ERR_SOFTWARE_PROTECTED);
	assert_int_equal(scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(0), 0, BE2(1), 0)), SCSI_OK);
	assert_disk(rig, 0, 1, 0x22);
	assert_int_equal(set_swp(rig, false), SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0, BE4(0), 0, BE2(1), 0)), SCSI_OK);
}

static void a_reset_ends_software_write_protection(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(set_swp(rig, true), SCSI_OK);
	scsi_unit_reset(&rig->unit);
	scsi_rig_run(rig, NONE, 0, CDB(0, 0, 0, 0, 0, 0)); /* reports the reset */
	mode_sense(rig, 0, 0x0A);
	assert_false(rig->data[8] & 0x08);
	assert_false(rig->data[2] & 0x80);
}

static void exceptions_page(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(mode_sense(rig, 0, 0x1C), 16);
	assert_false(rig->data[6] & 0x08);       /* DEXCPT: health is available */
	assert_int_equal(rig->data[7] & 0xF, 6); /* and is reported on request only */
	assert_int_equal(mode_sense(rig, 1, 0x1C), 16);
	for (uint32_t i = 6; i < 16; i++)
		assert_int_equal(rig->data[i], 0);
	mode_sense(rig, 0, 0x1C);
	assert_int_equal(mode_select(rig, 16), SCSI_OK);
	mode_sense(rig, 0, 0x1C);
	rig->data[6] = 0x08;
	assert_int_equal(mode_select(rig, 16), SCSI_ERR_PARAM_FIELD);
	assert_points_at(rig, false, 6);
}

static void one_bad_page_stops_all(void **state)
{
	struct scsi_rig *rig = *state;

	mode_sense(rig, 0, 0x3F);
	rig->data[24 + 4] = 0x08;  /* SWP */
	rig->data[36 + 2] |= 0x08; /* cannot be changed */
	assert_int_equal(mode_select(rig, 48), SCSI_ERR_PARAM_FIELD);
	mode_sense(rig, 0, 0x0A);
	assert_false(rig->data[8] & 0x08);
	mode_sense(rig, 0, 0x3F);
	assert_int_equal(mode_select(rig, 47), SCSI_ERR_PARAM_LENGTH);
}

/* ---- PRE-FETCH, READ DEFECT DATA ----------------------------------------- */

static void pre_fetch_checks_its_range(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint8_t immed = 0; immed <= 2; immed += 2) {
		assert_int_equal(
			scsi_rig_run(rig, NONE, 0, CDB(0x34, immed, BE4(0), 3, BE2(256), 0)),
			SCSI_OK);
		assert_int_equal(
			scsi_rig_run(rig, NONE, 0, CDB(0x34, immed, BE4(LAST), 0, BE2(0), 0)),
			SCSI_OK);
		assert_int_equal(
			scsi_rig_run(rig, NONE, 0, CDB(0x34, immed, BE4(LAST), 0, BE2(2), 0)),
			SCSI_ERR_LBA_RANGE);
		assert_int_equal(
			scsi_rig_run(rig, NONE, 0, CDB(0x90, immed, BE8(0ull), BE4(256), 3, 0)),
			SCSI_OK);
		assert_int_equal(
			scsi_rig_run(rig, NONE, 0, CDB(0x90, immed, BE8(UINT64_MAX), BE4(0), 0, 0)),
			SCSI_ERR_LBA_RANGE);
	}
}

static void there_are_no_defects(void **state)
{
	struct scsi_rig *rig = *state;

	memset(rig->data, 0xFF, 64);
	assert_int_equal(
		scsi_rig_run(rig, IN, 32, CDB(0x37, 0, 0x1D, 0, 0, 0, 0, BE2(32), 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 4);
	assert_int_equal(rig->data[1], 0x1D); /* both lists, in the requested format */
	assert_int_equal(be16(rig->data + 2), 0);
	memset(rig->data, 0xFF, 64);
	assert_int_equal(
		scsi_rig_run(rig, IN, 32, CDB(0xB7, 0x08, BE4(0), BE4(32), 0, 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 8);
	assert_int_equal(rig->data[1], 0x08);
	assert_int_equal(be16(rig->data + 4), 0);
	assert_int_equal(be16(rig->data + 6), 0);
}

/* ---- ORWRITE ------------------------------------------------------------- */

static enum scsi_error orwrite(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, uint8_t flags)
{
	return scsi_rig_run(rig, blocks ? OUT : NONE, blocks * SCSI_RIG_BLOCK,
		CDB(0x8B, flags, BE8(lba), BE4(blocks), 0, 0));
}

static void orwrite_sets_bits(void **state)
{
	struct scsi_rig *rig = *state;

	for (uint32_t blocks = 1; blocks <= 256; blocks += 17) {
		for (uint32_t end = 0; end < 2; end++) {
			uint32_t lba = end ? SCSI_RIG_BLOCKS - blocks : 0;

			fill_disk(rig, lba, blocks, 0);
			memset(rig->data, 0xA5, SCSI_RIG_DATA);
			assert_int_equal(orwrite(rig, lba, blocks, 0), SCSI_OK);
			assert_int_equal(rig->task.transferred, blocks * SCSI_RIG_BLOCK);
			assert_disk(rig, lba, blocks, 0xA5);
			memset(rig->data, 0x5A, SCSI_RIG_DATA);
			assert_int_equal(orwrite(rig, lba, blocks, 0), SCSI_OK);
			assert_disk(rig, lba, blocks, 0xFF);
			for (uint32_t i = 0; i < blocks * SCSI_RIG_BLOCK; i++)
				assert_int_equal(
					rig->data[i], 0x5A); /* unchanged: it is the guest's */
		}
	}
}

static void orwrite_takes_each_byte_from_its_place(void **state)
{
	struct scsi_rig *rig = *state;
	static uint8_t before[20 * SCSI_RIG_BLOCK], after[20 * SCSI_RIG_BLOCK];

	for (uint32_t i = 0; i < sizeof(before); i++) {
		before[i] = (uint8_t)(i * 7);
		rig->data[i] = (uint8_t)(i * 13 >> 3);
	}
	scsi_rig_poke(rig, 100, 20, before);
	assert_int_equal(orwrite(rig, 100, 20, 0), SCSI_OK);
	scsi_rig_peek(rig, 100, 20, after);
	for (uint32_t i = 0; i < sizeof(before); i++)
		assert_int_equal(after[i], before[i] | rig->data[i]);
}

static void orwrite_is_checked(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(orwrite(rig, 0, 0, 0), SCSI_OK);
	assert_int_equal(orwrite(rig, LAST + 2, 0, 0), SCSI_ERR_LBA_RANGE);
	assert_int_equal(orwrite(rig, UINT64_MAX, 0, 0), SCSI_ERR_LBA_RANGE);
	assert_int_equal(orwrite(rig, LAST, 2, 0), SCSI_ERR_LBA_RANGE);
	for (uint8_t protect = 1; protect < 8; protect++)
		assert_int_equal(orwrite(rig, 0, 1, (uint8_t)(protect << 5)), SCSI_ERR_CDB_FIELD);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x8B, 0, BE8(0ull), BE4(2), 0, 0)),
		SCSI_ERR_CDB_FIELD);
}

static void orwrite_is_durable_when_asked(void **state)
{
	struct scsi_rig *rig = *state;
	uint64_t before = atomic_load(&rig->disk->fua_count);

	assert_int_equal(orwrite(rig, 0, 1, 0x18), SCSI_OK);
	assert_int_equal(atomic_load(&rig->disk->fua_count), before + 1);
}

static void orwrite_reports_errors_of_the_disk(void **state)
{
	struct scsi_rig *rig = *state;

	atomic_store(&rig->disk->error[DISK_READ], -EIO);
	assert_int_equal(orwrite(rig, 0, 9, 0), SCSI_ERR_MEDIUM_READ);
	atomic_store(&rig->disk->error[DISK_READ], 0);
	atomic_store(&rig->disk->error[DISK_WRITE], -EIO);
	assert_int_equal(orwrite(rig, 0, 9, 0), SCSI_ERR_MEDIUM_WRITE);
}

/* ---- REPORT SUPPORTED OPERATION CODES ------------------------------------ */

/* Every command of the list can be queried alone, with exactly one of two options. */
static void each_command_of_the_list_can_be_asked_for(void **state)
{
	struct scsi_rig *rig = *state;
	static uint8_t list[4096];
	uint32_t length;

	assert_int_equal(
		scsi_rig_run(rig, IN, 65535, CDB(0xA3, 0x0C, 0, 0, 0, 0, BE4(65535), 0, 0)),
		SCSI_OK);
	length = rig->task.transferred;
	assert_true(length > 300 && length < sizeof(list));
	memcpy(list, rig->data, length);
	for (const uint8_t *d = list + 4; d < list + length; d += 8) {
		bool actions = d[5] & 1;

		for (uint8_t option = 1; option <= 2; option++)
			assert_int_equal(scsi_rig_run(rig, IN, 65535,
						 CDB(0xA3, 0x0C, option, d[0], d[2], d[3],
							 BE4(65535), 0, 0)),
				(option == 2) == actions ? SCSI_OK : SCSI_ERR_CDB_FIELD);
		scsi_rig_run(rig, IN, 65535,
			CDB(0xA3, 0x0C, actions ? 2 : 1, d[0], d[2], d[3], BE4(65535), 0, 0));
		assert_int_equal(rig->data[1], 3);
		assert_int_equal(be16(rig->data + 2), be16(d + 6));
		assert_int_equal(rig->data[4], d[0]);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(bad_cdb_fields_are_pointed_at),
		T(bad_parameters_are_pointed_at),
		T(other_errors_point_at_nothing),
		T(standards_are_claimed),
		T(data_out_has_the_size_of_the_command),
		T(write_same_to_the_end_reads_back),
		T(the_first_descriptor_begins_at_the_requested_lba),
		T(all_pages_come_in_order),
		T(control_page),
		T(software_write_protection),
		T(a_reset_ends_software_write_protection),
		T(exceptions_page),
		T(one_bad_page_stops_all),
		T(pre_fetch_checks_its_range),
		T(there_are_no_defects),
		T(orwrite_sets_bits),
		T(orwrite_takes_each_byte_from_its_place),
		T(orwrite_is_checked),
		T(orwrite_is_durable_when_asked),
		T(orwrite_reports_errors_of_the_disk),
		T(each_command_of_the_list_can_be_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
