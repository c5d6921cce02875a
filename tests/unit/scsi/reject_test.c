/* SPDX-License-Identifier: MIT */
/*
 * Commands that must not be performed: each row is a CDB and its error.
 * The disk is compared after each: a refused command has no effect at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define LAST   (SCSI_RIG_BLOCKS - 1)
#define B0(v)  (uint8_t)(v)
#define B1(v)  (uint8_t)((v) >> 8)
#define BE2(v) B1(v), B0(v)
#define BE4(v) (uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), BE2(v)
#define BE8(v) BE4((uint64_t)(v) >> 32), BE4((v)&0xFFFFFFFFu)

#define IN   SCSI_DIR_IN
#define OUT  SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE

struct row {
	const char *what;
	enum scsi_error error;
	enum scsi_dir dir;
	uint32_t length;
	uint8_t cdb_length;
	uint8_t cdb[SCSI_CDB_SIZE];
};

#define ROW(what, error, dir, length, cdb_length, ...)                                             \
	{                                                                                          \
		what, SCSI_ERR_##error, dir, length, cdb_length,                                   \
		{                                                                                  \
			__VA_ARGS__                                                                \
		}                                                                                  \
	}

static const struct row rows[] = {
	/* the command as such */
	ROW("no CDB", CDB_FIELD, NONE, 0, 0, 0),
	ROW("CDB of 17 bytes", CDB_FIELD, NONE, 0, 17, 0),
	ROW("READ(10) in 6 bytes", CDB_FIELD, IN, 512, 6, 0x28),
	ROW("WRITE(16) in 10 bytes", CDB_FIELD, OUT, 512, 10, 0x8A),
	ROW("FORMAT UNIT with protection", CDB_FIELD, NONE, 0, 6, 0x04, 0x80),
	ROW("RESERVE(6) of an extent", CDB_FIELD, NONE, 0, 6, 0x16, 0x01),
	ROW("RELEASE(6) for another", CDB_FIELD, NONE, 0, 6, 0x17, 0x10),
	ROW("LOG SENSE, save", CDB_FIELD, IN, 512, 10, 0x4D, 1, 0x6F, 0, 0, 0, 0, BE2(64)),
	ROW("LOG SENSE, temperature", CDB_FIELD, IN, 512, 10, 0x4D, 0, 0x4D, 0, 0, 0, 0, BE2(64)),
	ROW("LOG SENSE, thresholds", CDB_FIELD, IN, 512, 10, 0x4D, 0, 0x2F, 0, 0, 0, 0, BE2(64)),
	ROW("LOG SENSE, subpage", CDB_FIELD, IN, 512, 10, 0x4D, 0, 0x6F, 0xFF, 0, 0, 0, BE2(64)),
	ROW("LOG SENSE, parameter 1", CDB_FIELD, IN, 512, 10, 0x4D, 0, 0x6F, 0, 0, 0, 1, BE2(64)),
	ROW("LOG SELECT", INVALID_OPCODE, NONE, 0, 10, 0x4C),
	ROW("PERSISTENT RESERVE IN", INVALID_OPCODE, IN, 512, 10, 0x5E),
	ROW("variable length", INVALID_OPCODE, NONE, 0, 16, 0x7F),
	ROW("COMPARE AND WRITE", INVALID_OPCODE, OUT, 1024, 16, 0x89),
	ROW("EXTENDED COPY", INVALID_OPCODE, OUT, 512, 16, 0x83),
	ROW("ATA PASS-THROUGH(16)", INVALID_OPCODE, IN, 512, 16, 0x85),
	ROW("vendor", INVALID_OPCODE, NONE, 0, 6, 0xFF),
	ROW("SERVICE ACTION IN, GET STREAM STATUS", CDB_FIELD, IN, 512, 16, 0x9E, 0x16),
	ROW("GET LBA STATUS behind the end", LBA_RANGE, IN, 512, 16, 0x9E, 0x12,
		BE8((uint64_t)SCSI_RIG_BLOCKS), BE4(24)),
	ROW("GET LBA STATUS marked as write", CDB_FIELD, OUT, 512, 16, 0x9E, 0x12, BE8(0ull),
		BE4(24)),
	ROW("MAINTENANCE IN, target port groups", CDB_FIELD, IN, 512, 12, 0xA3, 0x0A),

	/* ranges */
	ROW("READ(6) past the end", LBA_RANGE, IN, 512, 6, 0x08, B0(SCSI_RIG_BLOCKS >> 16),
		BE2(SCSI_RIG_BLOCKS), 1),
	ROW("READ(6) of 256 at the end", LBA_RANGE, IN, 256 * 512, 6, 0x08, 0, BE2(LAST), 0),
	ROW("READ(10) over the end", LBA_RANGE, IN, 1024, 10, 0x28, 0, BE4(LAST), 0, BE2(2)),
	ROW("READ(10) of nothing past the end", LBA_RANGE, NONE, 0, 10, 0x28, 0,
		BE4(SCSI_RIG_BLOCKS + 1), 0, BE2(0)),
	ROW("WRITE(12) over the end", LBA_RANGE, OUT, 1024, 12, 0xAA, 0, BE4(LAST), BE4(2)),
	ROW("WRITE(16) wrapping around", LBA_RANGE, OUT, 1024, 16, 0x8A, 0, BE8(UINT64_MAX),
		BE4(2)),
	ROW("WRITE(16) at 2^55", LBA_RANGE, OUT, 512, 16, 0x8A, 0, BE8(1ull << 55), BE4(1)),
	ROW("READ(16) of 2^32 - 1", LBA_RANGE, IN, 512, 16, 0x88, 0, BE8(0ull), BE4(UINT32_MAX)),
	ROW("VERIFY(10) over the end", LBA_RANGE, NONE, 0, 10, 0x2F, 0, BE4(LAST), 0, BE2(2)),
	ROW("VERIFY(16) wrapping", LBA_RANGE, NONE, 0, 16, 0x8F, 0, BE8(UINT64_MAX), BE4(1)),
	ROW("SYNCHRONIZE CACHE(10) over the end", LBA_RANGE, NONE, 0, 10, 0x35, 0, BE4(LAST), 0,
		BE2(2)),
	ROW("SYNCHRONIZE CACHE(16) past the end", LBA_RANGE, NONE, 0, 16, 0x91, 0,
		BE8(UINT64_MAX - 1), BE4(0)),
	ROW("WRITE SAME(10) over the end", LBA_RANGE, OUT, 512, 10, 0x41, 0, BE4(LAST), 0, BE2(2)),
	ROW("WRITE SAME(16) wrapping", LBA_RANGE, OUT, 512, 16, 0x93, 0, BE8(UINT64_MAX), BE4(9)),

	/* buffer and direction */
	ROW("READ(10) longer than the buffer", CDB_FIELD, IN, 512, 10, 0x28, 0, BE4(0), 0, BE2(2)),
	ROW("READ(10) of 1.5 blocks for 2", CDB_FIELD, IN, 768, 10, 0x28, 0, BE4(0), 0, BE2(2)),
	ROW("READ(10) without a buffer", CDB_FIELD, NONE, 0, 10, 0x28, 0, BE4(0), 0, BE2(1)),
	ROW("READ(10) marked as write", CDB_FIELD, OUT, 512, 10, 0x28, 0, BE4(0), 0, BE2(1)),
	ROW("WRITE(10) marked as read", CDB_FIELD, IN, 512, 10, 0x2A, 0, BE4(0), 0, BE2(1)),
	ROW("WRITE(16) marked as neither", CDB_FIELD, NONE, 512, 16, 0x8A, 0, BE8(0ull), BE4(1)),
	ROW("WRITE(10) longer than the buffer", CDB_FIELD, OUT, 512, 10, 0x2A, 0, BE4(0), 0,
		BE2(2)),
	ROW("INQUIRY marked as write", CDB_FIELD, OUT, 96, 6, 0x12, 0, 0, 0, 96),
	ROW("READ CAPACITY(10) marked as write", CDB_FIELD, OUT, 8, 10, 0x25),
	ROW("MODE SENSE marked as neither", CDB_FIELD, NONE, 24, 6, 0x1A, 0, 0x08, 0, 24),
	ROW("WRITE SAME block shorter than one", CDB_FIELD, OUT, 511, 10, 0x41, 0, BE4(0), 0,
		BE2(1)),
	ROW("WRITE SAME marked as read", CDB_FIELD, IN, 512, 10, 0x41, 0, BE4(0), 0, BE2(1)),

	/* bits */
	ROW("RDPROTECT", CDB_FIELD, IN, 512, 10, 0x28, 0x20, BE4(0), 0, BE2(1)),
	ROW("WRPROTECT", CDB_FIELD, OUT, 512, 16, 0x8A, 0x80, BE8(0ull), BE4(1)),
	ROW("WRITE AND VERIFY, BYTCHK 2", CDB_FIELD, OUT, 512, 10, 0x2E, 0x04, BE4(0), 0, BE2(1)),
	ROW("WRITE AND VERIFY, BYTCHK 3", CDB_FIELD, OUT, 512, 16, 0x8E, 0x06, BE8(0ull), BE4(1)),
	ROW("WRITE AND VERIFY, WRPROTECT", CDB_FIELD, OUT, 512, 12, 0xAE, 0x22, BE4(0), BE4(1)),
	ROW("WRITE AND VERIFY marked as read", CDB_FIELD, IN, 512, 12, 0xAE, 2, BE4(0), BE4(1)),
	ROW("WRITE AND VERIFY of data not sent", CDB_FIELD, OUT, 512, 10, 0x2E, 2, BE4(0), 0,
		BE2(2)),
	ROW("WRITE AND VERIFY over the end", LBA_RANGE, OUT, 1024, 10, 0x2E, 2, BE4(LAST), 0,
		BE2(2)),
	ROW("VERIFY, BYTCHK 2", CDB_FIELD, OUT, 512, 10, 0x2F, 0x04, BE4(0), 0, BE2(1)),
	ROW("VERIFY of data marked as read", CDB_FIELD, IN, 512, 10, 0x2F, 0x02, BE4(0), 0, BE2(1)),
	ROW("VERIFY of data not sent", CDB_FIELD, OUT, 512, 10, 0x2F, 0x02, BE4(0), 0, BE2(2)),
	ROW("VERIFY of data over the end", LBA_RANGE, OUT, 1024, 10, 0x2F, 0x02, BE4(LAST), 0,
		BE2(2)),
	ROW("VERIFY, BYTCHK 3", CDB_FIELD, OUT, 512, 16, 0x8F, 0x06, BE8(0ull), BE4(1)),
	ROW("VERIFY, VRPROTECT", CDB_FIELD, NONE, 0, 10, 0x2F, 0x20, BE4(0), 0, BE2(1)),
	ROW("WRITE SAME(10), NDOB", CDB_FIELD, OUT, 512, 10, 0x41, 0x01, BE4(0), 0, BE2(1)),
	ROW("WRITE SAME(16), ANCHOR", CDB_FIELD, OUT, 512, 16, 0x93, 0x18, BE8(0ull), BE4(1)),
	ROW("WRITE SAME(16), LBDATA", CDB_FIELD, OUT, 512, 16, 0x93, 0x02, BE8(0ull), BE4(1)),
	ROW("WRITE SAME over the limit", CDB_FIELD, OUT, 512, 16, 0x93, 0, BE8(0ull),
		BE4(SCSI_WRITE_SAME_BYTES_MAX / 512 + 1)),
	ROW("WRITE SAME to the end, over the limit", CDB_FIELD, OUT, 512, 10, 0x41, 0, BE4(0), 0,
		BE2(0)),
	ROW("START STOP, eject", CDB_FIELD, NONE, 0, 6, 0x1B, 0, 0, 0, 0x02),
	ROW("START STOP, power condition", CDB_FIELD, NONE, 0, 6, 0x1B, 0, 0, 0, 0x30),
	ROW("SEND DIAGNOSTIC, extended self-test", CDB_FIELD, NONE, 0, 6, 0x1D, 0x40),
	ROW("SEND DIAGNOSTIC with a list", CDB_FIELD, OUT, 8, 6, 0x1D, 0, 0, BE2(8)),
	ROW("REQUEST SENSE, descriptor format", CDB_FIELD, IN, 18, 6, 0x03, 1, 0, 0, 18),
	ROW("INQUIRY page without EVPD", CDB_FIELD, IN, 96, 6, 0x12, 0, 0x80, 0, 96),
	ROW("INQUIRY unknown page", CDB_FIELD, IN, 96, 6, 0x12, 1, 0x89, 0, 96),
	ROW("INQUIRY serial, none given", CDB_FIELD, IN, 96, 6, 0x12, 1, 0x80, 0, 96),
	ROW("REPORT LUNS, unknown SELECT REPORT", CDB_FIELD, IN, 512, 12, 0xA0, 0, 0x10, 0, 0, 0,
		BE4(512)),
	ROW("REPORT OPCODES, unknown option", CDB_FIELD, IN, 512, 12, 0xA3, 0x0C, 4, 0, 0, 0,
		BE4(512)),
	ROW("REPORT OPCODES, service action missing", CDB_FIELD, IN, 512, 12, 0xA3, 0x0C, 1, 0x9E,
		0, 0, BE4(512)),
	ROW("REPORT OPCODES, service action too much", CDB_FIELD, IN, 512, 12, 0xA3, 0x0C, 2, 0x28,
		0, 0, BE4(512)),

	/* mode pages */
	ROW("MODE SENSE(6) saved", SAVE_UNSUPPORTED, IN, 192, 6, 0x1A, 0, 0xC8, 0, 192),
	ROW("MODE SENSE(10) saved", SAVE_UNSUPPORTED, IN, 192, 10, 0x5A, 0, 0xFF, 0, 0, 0, 0,
		BE2(192)),
	ROW("MODE SENSE page 0B", CDB_FIELD, IN, 192, 6, 0x1A, 0, 0x0B, 0, 192),
	ROW("MODE SENSE page 0A subpage 05", CDB_FIELD, IN, 512, 10, 0x5A, 0, 0x0A, 0x05, 0, 0, 0,
		BE2(512)),
	ROW("MODE SENSE page 08 subpage 01", CDB_FIELD, IN, 192, 6, 0x1A, 0, 0x08, 0x01, 192),
	ROW("MODE SENSE page 00", CDB_FIELD, IN, 192, 6, 0x1A, 0, 0x00, 0, 192),
	ROW("MODE SELECT, save", CDB_FIELD, OUT, 24, 6, 0x15, 0x11, 0, 0, 24),
	ROW("MODE SELECT longer than the buffer", PARAM_LENGTH, OUT, 24, 6, 0x15, 0x10, 0, 0, 25),
	ROW("MODE SELECT(10) of 64 KiB", PARAM_LENGTH, OUT, 65536, 10, 0x55, 0x10, 0, 0, 0, 0, 0,
		BE2(65535)),
	ROW("MODE SELECT half a header", PARAM_LENGTH, OUT, 24, 6, 0x15, 0x10, 0, 0, 3),
	ROW("MODE SELECT marked as read", CDB_FIELD, IN, 24, 6, 0x15, 0x10, 0, 0, 24),

	/* UNMAP, apart from its list */
	ROW("UNMAP, ANCHOR", CDB_FIELD, OUT, 24, 10, 0x42, 1, 0, 0, 0, 0, 0, BE2(24)),
	ROW("UNMAP half a header", PARAM_LENGTH, OUT, 24, 10, 0x42, 0, 0, 0, 0, 0, 0, BE2(7)),
	ROW("UNMAP longer than the buffer", CDB_FIELD, OUT, 24, 10, 0x42, 0, 0, 0, 0, 0, 0,
		BE2(40)),
	ROW("UNMAP marked as read", CDB_FIELD, IN, 24, 10, 0x42, 0, 0, 0, 0, 0, 0, BE2(24)),
	ROW("UNMAP of too many", PARAM_FIELD, OUT, 8192, 10, 0x42, 0, 0, 0, 0, 0, 0,
		BE2(8 + 16 * (SCSI_UNMAP_DESCRIPTORS_MAX + 1))),
};

static void assert_untouched(struct scsi_rig *rig)
{
	for (enum disk_op op = 0; op < DISK_OP_COUNT; op++)
		assert_int_equal(atomic_load(&rig->disk->count[op]), 0);
}

static void rejects_and_does_nothing(void **state)
{
	struct scsi_rig *rig = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];

		memset(rig->data, 0x5A, SCSI_RIG_DATA);
		scsi_rig_run(rig, row->dir, row->length, row->cdb_length, row->cdb);
		if (rig->task.error != row->error)
			fail_msg("%s: error %d, not %d", row->what, rig->task.error, row->error);
		assert_int_equal(rig->task.transferred, 0);
		assert_untouched(rig);
		for (uint32_t at = 0; at < row->length; at++)
			assert_int_equal(rig->data[at], 0x5A);
	}
}

static void refuses_all_writes_to_a_read_only_disk(void **state)
{
	struct scsi_rig *rig = *state;
	static const struct row writes[] = {
		ROW("6", WRITE_PROTECTED, OUT, 512, 6, 0x0A, 0, 0, 0, 1),
		ROW("10", WRITE_PROTECTED, OUT, 512, 10, 0x2A, 0, BE4(0), 0, BE2(1)),
		ROW("12", WRITE_PROTECTED, OUT, 512, 12, 0xAA, 0, BE4(0), BE4(1)),
		ROW("16", WRITE_PROTECTED, OUT, 512, 16, 0x8A, 0, BE8(0ull), BE4(1)),
		ROW("verify 10", WRITE_PROTECTED, OUT, 512, 10, 0x2E, 0, BE4(0), 0, BE2(1)),
		ROW("verify 12", WRITE_PROTECTED, OUT, 512, 12, 0xAE, 0, BE4(0), BE4(1)),
		ROW("verify 16", WRITE_PROTECTED, OUT, 512, 16, 0x8E, 0, BE8(0ull), BE4(1)),
		ROW("same 10", WRITE_PROTECTED, OUT, 512, 10, 0x41, 0, BE4(0), 0, BE2(1)),
		ROW("same 16", WRITE_PROTECTED, OUT, 512, 16, 0x93, 0x09, BE8(0ull), BE4(1)),
		ROW("format", WRITE_PROTECTED, NONE, 0, 6, 0x04),
		ROW("unmap", WRITE_PROTECTED, OUT, 24, 10, 0x42, 0, 0, 0, 0, 0, 0, BE2(24)),
	};

	rig->unit.info.read_only = true;
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
		assert_int_equal(scsi_rig_run(rig, OUT, writes[i].length, writes[i].cdb_length,
					 writes[i].cdb),
			SCSI_ERR_WRITE_PROTECTED);
	assert_untouched(rig);
	assert_int_equal(rig->task.sense[2], 0x7);
	assert_int_equal(rig->task.sense[12], 0x27);
	assert_int_equal(rig->task.sense[13], 0x00);
}

/* Linux disables UNMAP after this sense code. */
static void has_no_unmap_on_a_disk_that_cannot(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.discard = false;
	assert_int_equal(scsi_rig_run(rig, OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, BE2(24), 0)),
		SCSI_ERR_INVALID_OPCODE);
	assert_int_equal(scsi_rig_run(rig, OUT, 512, CDB(0x93, 0x08, BE8(0ull), BE4(1), 0, 0)),
		SCSI_ERR_CDB_FIELD);
	assert_untouched(rig);
}

static void knows_nothing_where_no_unit_is(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t cdb[SCSI_CDB_SIZE] = {0};

	rig->unit.present = false;
	for (uint32_t opcode = 0; opcode < 256; opcode++) {
		if (opcode == 0x12 || opcode == 0xA0)
			continue;
		cdb[0] = (uint8_t)opcode;
		assert_int_equal(scsi_rig_run(rig, IN, 4096, 16, cdb), SCSI_ERR_NO_LUN);
	}
	assert_untouched(rig);
}

struct sense_row {
	enum scsi_error error;
	uint8_t key, asc, ascq;
};

/* Duplicated from the spec sheet on purpose. */
static void sense_follows_the_standard(void **state)
{
	static const struct sense_row expected[] = {
		{SCSI_OK, 0x0, 0x00, 0x00},
		{SCSI_ERR_INVALID_OPCODE, 0x5, 0x20, 0x00},
		{SCSI_ERR_LBA_RANGE, 0x5, 0x21, 0x00},
		{SCSI_ERR_CDB_FIELD, 0x5, 0x24, 0x00},
		{SCSI_ERR_PARAM_FIELD, 0x5, 0x26, 0x00},
		{SCSI_ERR_PARAM_LENGTH, 0x5, 0x1A, 0x00},
		{SCSI_ERR_SAVE_UNSUPPORTED, 0x5, 0x39, 0x00},
		{SCSI_ERR_WRITE_PROTECTED, 0x7, 0x27, 0x00},
		{SCSI_ERR_NO_SPACE, 0x7, 0x27, 0x07},
		{SCSI_ERR_MEDIUM_READ, 0x3, 0x11, 0x00},
		{SCSI_ERR_MEDIUM_WRITE, 0x3, 0x0C, 0x00},
		{SCSI_ERR_TARGET_FAILURE, 0x4, 0x44, 0x00},
		{SCSI_ERR_MISCOMPARE, 0xE, 0x1D, 0x00},
		{SCSI_ERR_RELEASE, 0x5, 0x26, 0x04},
		{SCSI_ERR_TRACK_MODE, 0x5, 0x64, 0x00},
		{SCSI_ERR_NO_REGISTRATION, 0x5, 0x55, 0x04},
		{SCSI_ERR_NO_MEDIUM, 0x2, 0x3A, 0x02},
		{SCSI_ERR_LOCKED, 0x5, 0x53, 0x02},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_RESET, 0x6, 0x29, 0x00},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_MEDIUM, 0x6, 0x28, 0x00},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_LUNS, 0x6, 0x3F, 0x0E},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_CAPACITY, 0x6, 0x2A, 0x09},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_MODE, 0x6, 0x2A, 0x01},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_PREEMPTED, 0x6, 0x2A, 0x03},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_RELEASED, 0x6, 0x2A, 0x04},
		{SCSI_ERR_ATTENTION + SCSI_ATTENTION_UNREGISTERED, 0x6, 0x2A, 0x05},
	};
	uint8_t sense[SCSI_SENSE_SIZE];

	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		memset(sense, 0xFF, sizeof(sense));
		scsi_sense_build(sense, expected[i].error);
		assert_int_equal(sense[0], 0x70);
		assert_int_equal(sense[2], expected[i].key);
		assert_int_equal(sense[7], 10);
		assert_int_equal(sense[12], expected[i].asc);
		assert_int_equal(sense[13], expected[i].ascq);
	}
}

/* INFORMATION is valid for these errors only, and when the value fits. */
static void information_follows_the_standard(void **state)
{
	uint8_t sense[SCSI_SENSE_SIZE];

	scsi_sense_build_at(sense, SCSI_ERR_MEDIUM_READ, 0xFFFFFFFF);
	assert_memory_equal(sense, "\xF0\0\3\xFF\xFF\xFF\xFF", 7);
	scsi_sense_build_at(sense, SCSI_ERR_MEDIUM_READ, 0x100000000);
	assert_memory_equal(sense, "\x70\0\3\0\0\0\0", 7);
	scsi_sense_build_at(sense, SCSI_ERR_MISCOMPARE, 0x1234);
	assert_memory_equal(sense, "\xF0\0\x0E\0\0\x12\x34", 7);
	scsi_sense_build_at(sense, SCSI_ERR_LBA_RANGE, 7);
	assert_memory_equal(sense, "\x70\0\5\0\0\0\0", 7);
	for (enum disk_op op = 0; op < DISK_OP_COUNT; op++)
		assert_int_equal(scsi_error_of_disk(op, 0), SCSI_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			rejects_and_does_nothing, scsi_rig_setup, scsi_rig_teardown),
		cmocka_unit_test_setup_teardown(
			refuses_all_writes_to_a_read_only_disk, scsi_rig_setup, scsi_rig_teardown),
		cmocka_unit_test_setup_teardown(
			has_no_unmap_on_a_disk_that_cannot, scsi_rig_setup, scsi_rig_teardown),
		cmocka_unit_test_setup_teardown(
			knows_nothing_where_no_unit_is, scsi_rig_setup, scsi_rig_teardown),
		cmocka_unit_test(sense_follows_the_standard),
		cmocka_unit_test(information_follows_the_standard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
