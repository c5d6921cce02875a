/* SPDX-License-Identifier: MIT */
/* Commands with small replies: INQUIRY, capacities, mode pages, LUNs, opcodes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define IN SCSI_DIR_IN

/* Runs a data-in command over poisoned memory; returns the bytes moved and checks that no other
 * byte of the buffer changed. */
static uint32_t ask(struct scsi_rig *rig, uint32_t length, size_t cdb_length, const uint8_t *cdb)
{
	memset(rig->data, 0xEE, 2048);
	assert_int_equal(scsi_rig_run(rig, IN, length, cdb_length, cdb), SCSI_OK);
	assert_true(rig->task.transferred <= length);
	for (uint32_t i = rig->task.transferred; i < 2048; i++)
		assert_int_equal(rig->data[i], 0xEE);
	return rig->task.transferred;
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t be64(const uint8_t *p)
{
	return (uint64_t)be32(p) << 32 | be32(p + 4);
}

/* ---- INQUIRY ------------------------------------------------------------- */

static void standard_inquiry(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 255, CDB(0x12, 0, 0, 0, 255, 0)), 96);
	assert_int_equal(rig->data[0], 0x00);
	assert_int_equal(rig->data[1], 0x00);
	assert_true(rig->data[2] >= 5); /* below, Linux asks for no VPD page */
	assert_int_equal(rig->data[3], 0x02);
	assert_int_equal(rig->data[4], 91);
	assert_int_equal(rig->data[7], 0x02);
	assert_memory_equal(rig->data + 8, "Msft    Virtual Disk    1.0 ", 28);
}

static void replies_are_cut_to_allocation_and_buffer(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 255, CDB(0x12, 0, 0, 0, 36, 0)), 36);
	assert_int_equal(rig->data[4], 91); /* reports the full length */
	assert_int_equal(ask(rig, 5, CDB(0x12, 0, 0, 0, 255, 0)), 5);
	assert_int_equal(ask(rig, 255, CDB(0x12, 0, 0, 0, 0, 0)), 0);
	assert_int_equal(ask(rig, 512, CDB(0x12, 0, 0, 1, 0, 0)), 96); /* 16-bit length */
	assert_int_equal(scsi_rig_run(rig, SCSI_DIR_NONE, 0, CDB(0x12, 0, 0, 0, 36, 0)), SCSI_OK);
	assert_int_equal(rig->task.transferred, 0);
}

static void inquiry_without_a_unit(void **state)
{
	struct scsi_rig *rig = *state;
	static const uint8_t none[28];

	rig->unit.present = false;
	rig->unit.lun = 0;
	assert_int_equal(ask(rig, 96, CDB(0x12, 0, 0, 0, 96, 0)), 96);
	assert_int_equal(rig->data[0], 0x7F);
	assert_memory_equal(rig->data + 8, "Msft    ", 8);

	rig->unit.lun = 9;
	assert_int_equal(ask(rig, 96, CDB(0x12, 0, 0, 0, 96, 0)), 96);
	assert_int_equal(rig->data[0], 0x7F);
	assert_memory_equal(rig->data + 8, none, sizeof(none));

	assert_int_equal(ask(rig, 96, CDB(0x12, 1, 0x83, 0, 96, 0)), 4);
	assert_int_equal(rig->data[0], 0x7F);
	assert_int_equal(be32(rig->data) & 0xFFFF, 0);
}

/* Every listed page exists, with its own code and length; no other page exists. */
static void vpd_list_is_true(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t pages[64];
	uint32_t count, next = 0;

	memcpy(rig->unit.serial, "S-1", 4);
	count = ask(rig, 255, CDB(0x12, 1, 0x00, 0, 255, 0)) - 4;
	assert_int_equal(rig->data[3], count);
	memcpy(pages, rig->data + 4, count);
	for (uint32_t page = 0; page < 256; page++) {
		enum scsi_error error =
			scsi_rig_run(rig, IN, 255, CDB(0x12, 1, (uint8_t)page, 0, 255, 0));

		if (next < count && pages[next] == page) {
			next++;
			assert_int_equal(error, SCSI_OK);
			assert_int_equal(rig->data[1], page);
			assert_int_equal(rig->task.transferred, 4 + (be32(rig->data) & 0xFFFF));
		} else {
			assert_int_equal(error, SCSI_ERR_CDB_FIELD);
			assert_int_equal(rig->task.transferred, 0);
		}
	}
	assert_int_equal(next, count); /* sorted, each once */
}

static void serial_page_only_with_a_serial(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0x00, 0, 255, 0)), 4 + 5);
	memcpy(rig->unit.serial, "0123456789abcdef0123456789ABCDEF", 33);
	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0x00, 0, 255, 0)), 4 + 6);
	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0x80, 0, 255, 0)), 4 + 32);
	assert_memory_equal(rig->data + 4, "0123456789abcdef0123456789ABCDEF", 32);
}

static void identification_page(void **state)
{
	struct scsi_rig *rig = *state;
	const uint8_t *naa = rig->data + 4 + 4 + 24;

	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0x83, 0, 255, 0)), 4 + 4 + 24 + 4 + 16);
	assert_memory_equal(rig->data + 4, "\x01\x01\x00\x18Msft    ", 12);
	assert_memory_equal(rig->data + 16, rig->unit.id, 16);
	assert_memory_equal(naa, "\x01\x03\x00\x10\x60\x02\x24\x80", 8);
	assert_memory_equal(naa + 8, rig->unit.id, 6);
	assert_memory_equal(naa + 14, rig->unit.id + 10, 6);
}

static void block_limits_page(void **state)
{
	struct scsi_rig *rig = *state;
	const uint8_t *d = rig->data;

	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0xB0, 0, 255, 0)), 64);
	assert_int_equal(d[4], 0); /* WRITE SAME of 0 blocks is supported */
	assert_int_equal(d[5], 0); /* no COMPARE AND WRITE */
	assert_int_equal(be32(d + 8), SCSI_RIG_DATA / 512);
	assert_int_equal(be32(d + 20), 0xFFFFFFFFu);
	assert_int_equal(be32(d + 24), SCSI_UNMAP_DESCRIPTORS_MAX);
	assert_int_equal(be32(d + 28), 8);
	assert_int_equal(be32(d + 32), 0x80000000u);
	assert_int_equal(be64(d + 36), SCSI_WRITE_SAME_BYTES_MAX / 512);

	rig->unit.info.discard = false;
	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0xB0, 0, 255, 0)), 64);
	assert_int_equal(be32(d + 20), 0);
	assert_int_equal(be32(d + 24), 0);
}

static void characteristics_and_provisioning_pages(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0xB1, 0, 255, 0)), 64);
	assert_int_equal(be32(rig->data + 4) >> 16, 1);
	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0xB2, 0, 255, 0)), 8);
	assert_int_equal(rig->data[5], 0x80 | 0x40 | 0x20 | 0x04);
	assert_int_equal(rig->data[6], 2);
	rig->unit.info.discard = false;
	assert_int_equal(ask(rig, 255, CDB(0x12, 1, 0xB2, 0, 255, 0)), 8);
	assert_int_equal(rig->data[5], 0);
	assert_int_equal(rig->data[6], 0);
}

/* ---- capacity ------------------------------------------------------------ */

static void capacity(void **state)
{
	struct scsi_rig *rig = *state;
	const uint8_t *d = rig->data;

	assert_int_equal(ask(rig, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)), 8);
	assert_int_equal(be32(d), SCSI_RIG_BLOCKS - 1);
	assert_int_equal(be32(d + 4), 512);
	assert_int_equal(
		ask(rig, 64, CDB(0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0)), 32);
	assert_int_equal(be64(d), SCSI_RIG_BLOCKS - 1);
	assert_int_equal(be32(d + 8), 512);
	assert_int_equal(d[12], 0);
	assert_int_equal(d[13], 3);    /* 4096-byte physical blocks */
	assert_int_equal(d[14], 0xC0); /* thin, reads zero */
	assert_int_equal(d[15], 0);
	assert_int_equal(
		ask(rig, 12, CDB(0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0)), 12);
}

static void capacity_beyond_32_bits(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.size = (1ull << 32) * 512; /* last LBA 0xFFFFFFFF itself */
	ask(rig, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_int_equal(be32(rig->data), 0xFFFFFFFFu);
	rig->unit.size = (1ull << 40) * 512;
	ask(rig, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_int_equal(be32(rig->data), 0xFFFFFFFFu);
	ask(rig, 32, CDB(0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0));
	assert_int_equal(be64(rig->data), (1ull << 40) - 1);
}

/* ---- REPORT LUNS, REQUEST SENSE ------------------------------------------ */

static void lun_list(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 512, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0)), 8 + 16);
	assert_int_equal(be32(rig->data), 16);
	assert_int_equal(be64(rig->data + 8), 3ull << 48);
	assert_int_equal(be64(rig->data + 16), 63ull << 48);
	/* the same from every LUN of this target; empty elsewhere */
	rig->unit.present = false;
	assert_int_equal(ask(rig, 512, CDB(0xA0, 0, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0)), 8 + 16);
	assert_int_equal(ask(rig, 512, CDB(0xA0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0)), 8);
	rig->unit.luns = NULL;
	assert_int_equal(ask(rig, 512, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0)), 8);
	assert_int_equal(be32(rig->data), 0);
}

static void all_luns(void **state)
{
	struct scsi_rig *rig = *state;

	rig->luns = UINT64_MAX;
	assert_int_equal(ask(rig, 1024, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0)), 8 + 512);
	for (uint32_t lun = 0; lun < 64; lun++)
		assert_int_equal(rig->data[8 + 8 * lun + 1], lun);
	assert_int_equal(ask(rig, 1024, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0)), 16);
	assert_int_equal(be32(rig->data), 512);
}

static void no_sense_is_kept(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_rig_run(rig, IN, 512, CDB(0xFF, 0, 0, 0, 0, 0));
	assert_int_equal(ask(rig, 252, CDB(0x03, 0, 0, 0, 252, 0)), 18);
	assert_int_equal(rig->data[0], 0x70);
	assert_int_equal(rig->data[2], 0);
	assert_int_equal(rig->data[7], 10);
}

/* ---- mode pages ---------------------------------------------------------- */

static void mode_sense_6(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	assert_int_equal(ask(rig, 192, CDB(0x1A, 0, 0x08, 0, 192, 0)), 24);
	assert_int_equal(rig->data[0], 23);
	assert_int_equal(rig->data[1], 0);
	assert_int_equal(rig->data[2], 0x10);
	assert_int_equal(rig->data[3], 0);
	assert_int_equal(rig->data[4], 0x08);
	assert_int_equal(rig->data[5], 0x12);
	assert_int_equal(rig->data[6], 0x04);
	/* Linux asks for the header first */
	assert_int_equal(ask(rig, 4, CDB(0x1A, 0, 0x08, 0, 4, 0)), 4);
	assert_int_equal(rig->data[0], 23);
	assert_int_equal(ask(rig, 192, CDB(0x1A, 0, 0x3F, 0, 192, 0)), 48);
	assert_int_equal(ask(rig, 192, CDB(0x1A, 0, 0x3F, 0xFF, 192, 0)), 48);
}

static void mode_sense_10(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.read_only = true;
	assert_int_equal(ask(rig, 192, CDB(0x5A, 0, 0x08, 0, 0, 0, 0, 0, 192, 0)), 28);
	assert_int_equal(be32(rig->data) >> 16, 26);
	assert_int_equal(rig->data[3], 0x90);
	assert_int_equal(be32(rig->data + 4), 0);
	assert_int_equal(rig->data[8], 0x08);
	assert_int_equal(rig->data[10], 0x00); /* no write cache */
}

static void write_cache_is_changeable(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	assert_int_equal(ask(rig, 192, CDB(0x1A, 0, 0x48, 0, 192, 0)), 24);
	assert_int_equal(rig->data[6], 0x04);
	for (uint32_t i = 7; i < 24; i++)
		assert_int_equal(rig->data[i], 0);
	rig->unit.info.write_cache = false; /* without a cache nothing can be switched */
	ask(rig, 192, CDB(0x1A, 0, 0x48, 0, 192, 0));
	assert_int_equal(rig->data[6], 0x00);
	rig->unit.info.write_cache = true;
	assert_int_equal(ask(rig, 192, CDB(0x1A, 0, 0x88, 0, 192, 0)), 24);
	assert_int_equal(rig->data[6], 0x04);
}

static enum scsi_error select6(struct scsi_rig *rig, uint8_t length)
{
	return scsi_rig_run(rig, SCSI_DIR_OUT, length, CDB(0x15, 0x10, 0, 0, length, 0));
}

static void mode_select(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	assert_int_equal(select6(rig, 0), SCSI_OK);
	ask(rig, 192, CDB(0x1A, 0, 0x08, 0, 192, 0));
	rig->data[0] = 0;
	assert_int_equal(select6(rig, 24), SCSI_OK); /* with its current values */
	assert_int_equal(rig->task.transferred, 24);
	assert_int_equal(select6(rig, 4), SCSI_OK); /* header only */
	assert_int_equal(select6(rig, 20), SCSI_ERR_PARAM_LENGTH);
	rig->data[6] = 0x05; /* read cache off */
	assert_int_equal(select6(rig, 24), SCSI_ERR_PARAM_FIELD);
	rig->data[6] = 0x04;
	rig->data[5] = 0x0A; /* page of another length */
	assert_int_equal(select6(rig, 24), SCSI_ERR_PARAM_FIELD);
	rig->data[5] = 0x12;
	rig->data[4] = 0x48; /* subpage format */
	assert_int_equal(select6(rig, 24), SCSI_ERR_PARAM_FIELD);
	rig->data[4] = 0x0A; /* unsupported page */
	assert_int_equal(select6(rig, 24), SCSI_ERR_PARAM_FIELD);
	rig->data[4] = 0x08;
	rig->data[3] = 8; /* block descriptor */
	assert_int_equal(select6(rig, 24), SCSI_ERR_PARAM_FIELD);
}

static void mode_select_10(void **state)
{
	struct scsi_rig *rig = *state;

	ask(rig, 192, CDB(0x5A, 0, 0x08, 0, 0, 0, 0, 0, 192, 0));
	assert_int_equal(
		scsi_rig_run(rig, SCSI_DIR_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0)),
		SCSI_OK);
	rig->data[7] = 8; /* block descriptor */
	assert_int_equal(
		scsi_rig_run(rig, SCSI_DIR_OUT, 28, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 28, 0)),
		SCSI_ERR_PARAM_FIELD);
}

/* ---- log pages ----------------------------------------------------------- */

static void log_pages(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 64, CDB(0x4D, 0, 0x40, 0, 0, 0, 0, 0, 64, 0)), 6);
	assert_memory_equal(rig->data, "\0\0\0\2\0\x2F", 6);
	assert_int_equal(ask(rig, 64, CDB(0x4D, 0, 0x6F, 0, 0, 0, 0, 0, 64, 0)), 12);
	assert_memory_equal(rig->data, "\x2F\0\0\x08\0\0\3\4\0\0\xFF\0", 12);
	assert_int_equal(ask(rig, 64, CDB(0x4D, 0, 0x6F, 0, 0, 0, 0, 0, 4, 0)), 4);
	/* with subpages */
	assert_int_equal(ask(rig, 64, CDB(0x4D, 0, 0x40, 0xFF, 0, 0, 0, 0, 64, 0)), 10);
	assert_memory_equal(rig->data, "\x40\xFF\0\6\0\0\0\xFF\x2F\0", 10);
	assert_int_equal(
		scsi_rig_run(rig, SCSI_DIR_IN, 64, CDB(0x4D, 0, 0x6F, 0xFF, 0, 0, 0, 0, 64, 0)),
		SCSI_ERR_CDB_FIELD);
	assert_int_equal(
		scsi_rig_run(rig, SCSI_DIR_IN, 64, CDB(0x4D, 0, 0x40, 1, 0, 0, 0, 0, 64, 0)),
		SCSI_ERR_CDB_FIELD);
}

/* ---- REPORT SUPPORTED OPERATION CODES ------------------------------------ */

static uint32_t ask_one(struct scsi_rig *rig, uint8_t option, uint8_t opcode, uint8_t action)
{
	return ask(rig, 512, CDB(0xA3, 0x0C, option, opcode, 0, action, 0, 0, 2, 0, 0, 0));
}

/* Every listed command can be queried by its usage data, and is performed. */
static void opcode_list_is_true(void **state)
{
	struct scsi_rig *rig = *state;
	uint8_t list[2048];
	uint32_t length = ask(rig, 2048, CDB(0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0));

	memcpy(list, rig->data, length);
	assert_int_equal(be32(list), length - 4);
	assert_true(length > 4 + 8 * 30);
	for (uint32_t at = 4; at < length; at += 8) {
		uint8_t cdb[16] = {list[at], list[at + 3]};
		uint32_t size = list[at + 7];

		assert_int_equal(ask_one(rig, 3, list[at], list[at + 3]), 4 + size);
		assert_int_equal(rig->data[1], 3);
		assert_int_equal(rig->data[4], list[at]);
		assert_int_not_equal(
			scsi_rig_run(rig, SCSI_DIR_NONE, 0, size, cdb), SCSI_ERR_INVALID_OPCODE);
	}
}

/* Each command with a time-outs descriptor. */
static void opcode_timeouts(void **state)
{
	struct scsi_rig *rig = *state;
	uint32_t plain = ask(rig, 4096, CDB(0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0));
	uint32_t length = ask(rig, 4096, CDB(0xA3, 0x0C, 0x80, 0, 0, 0, 0, 0, 16, 0, 0, 0));

	assert_int_equal((length - 4) / 20, (plain - 4) / 8);
	for (uint32_t at = 4; at < length; at += 20) {
		assert_int_equal(rig->data[at + 5] & 2, 2);
		assert_memory_equal(rig->data + at + 8, "\0\x0A\0\0\0\0\0\0\0\0\0\0", 12);
	}
	assert_int_equal(ask_one(rig, 0x81, 0x28, 0), 4 + 10 + 12);
	assert_int_equal(rig->data[1], 0x83);
	assert_memory_equal(rig->data + 14, "\0\x0A\0\0", 4);
}

static void task_management(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask(rig, 64, CDB(0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0)), 4);
	assert_memory_equal(rig->data, "\x0A\0\0\0", 4);
	assert_int_equal(ask(rig, 64, CDB(0xA3, 0x0D, 0x80, 0, 0, 0, 0, 0, 0, 64, 0, 0)), 16);
	assert_memory_equal(rig->data, "\x0A\0\0\x0C\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(
		scsi_rig_run(rig, SCSI_DIR_IN, 64, CDB(0xA3, 0x0D, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0)),
		SCSI_ERR_CDB_FIELD);
}

static void opcode_questions(void **state)
{
	struct scsi_rig *rig = *state;

	assert_int_equal(ask_one(rig, 1, 0x28, 0), 4 + 10);
	assert_int_equal(ask_one(rig, 2, 0x9E, 0x10), 4 + 16);
	assert_int_equal(rig->data[5], 0x10);
	assert_int_equal(ask_one(rig, 2, 0x9E, 0x12), 4 + 16);
	assert_int_equal(ask_one(rig, 2, 0x9E, 0x16), 4);
	assert_int_equal(rig->data[1], 1);
	assert_int_equal(ask_one(rig, 1, 0xFE, 0), 4);
	assert_int_equal(rig->data[1], 1);
	assert_int_equal(ask_one(rig, 1, 0x42, 0), 4 + 10);
	rig->unit.info.discard = false;
	assert_int_equal(ask_one(rig, 1, 0x42, 0), 4);
	assert_int_equal(rig->data[1], 1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, scsi_rig_setup, scsi_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(standard_inquiry),
		TEST(replies_are_cut_to_allocation_and_buffer),
		TEST(inquiry_without_a_unit),
		TEST(vpd_list_is_true),
		TEST(serial_page_only_with_a_serial),
		TEST(identification_page),
		TEST(block_limits_page),
		TEST(characteristics_and_provisioning_pages),
		TEST(capacity),
		TEST(capacity_beyond_32_bits),
		TEST(lun_list),
		TEST(all_luns),
		TEST(no_sense_is_kept),
		TEST(mode_sense_6),
		TEST(mode_sense_10),
		TEST(write_cache_is_changeable),
		TEST(mode_select),
		TEST(mode_select_10),
		TEST(log_pages),
		TEST(opcode_list_is_true),
		TEST(opcode_questions),
		TEST(opcode_timeouts),
		TEST(task_management),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
