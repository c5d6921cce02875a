/* SPDX-License-Identifier: MIT */
/* State of a unit between commands: unit attentions, size, write cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define IN   SCSI_DIR_IN
#define OUT  SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE
#define BE4(v)                                                                                     \
	(uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), (uint8_t)((v) >> 8), (uint8_t)(v)

#define ATTENTION(kind) (SCSI_ERR_ATTENTION + SCSI_ATTENTION_##kind)

static enum scsi_error test_unit_ready(struct scsi_rig *rig)
{
	return scsi_rig_run(rig, NONE, 0, CDB(0, 0, 0, 0, 0, 0));
}

static enum scsi_error read_block(struct scsi_rig *rig, uint32_t lba)
{
	return scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(lba), 0, 0, 1, 0));
}

/* ---- unit attentions ----------------------------------------------------- */

static void attention_is_reported_once(void **state)
{
	struct scsi_rig *rig = *state;

	for (enum scsi_attention a = 0; a < SCSI_ATTENTION_COUNT; a++) {
		scsi_unit_attention(&rig->unit, a);
		scsi_unit_attention(&rig->unit, a);
		assert_int_equal(read_block(rig, 0), SCSI_ERR_ATTENTION + a);
		assert_int_equal(rig->task.transferred, 0);
		assert_int_equal(rig->task.sense[2], 6);
		assert_int_equal(atomic_load(&rig->disk->count[DISK_READ]), a);
		assert_int_equal(read_block(rig, 0), SCSI_OK);
	}
}

static void several_attentions_one_a_command(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_CAPACITY);
	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_MEDIUM);
	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_UNREGISTERED);
	assert_int_equal(test_unit_ready(rig), ATTENTION(MEDIUM));
	assert_int_equal(test_unit_ready(rig), ATTENTION(CAPACITY));
	assert_int_equal(test_unit_ready(rig), ATTENTION(UNREGISTERED));
	assert_int_equal(test_unit_ready(rig), SCSI_OK);
}

/* INQUIRY and REPORT LUNS are exempt; a bad command reports the attention first. */
static void attention_waits_for_its_command(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_MODE);
	assert_int_equal(scsi_rig_run(rig, IN, 96, CDB(0x12, 0, 0, 0, 96, 0)), SCSI_OK);
	assert_int_equal(
		scsi_rig_run(rig, IN, 96, CDB(0x12, 1, 0xEE, 0, 96, 0)), SCSI_ERR_CDB_FIELD);
	assert_int_equal(
		scsi_rig_run(rig, IN, 96, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0)), SCSI_OK);
	assert_int_equal(scsi_rig_run(rig, NONE, 0, CDB(0xFF, 0, 0, 0, 0, 0)), ATTENTION(MODE));
	assert_int_equal(
		scsi_rig_run(rig, NONE, 0, CDB(0xFF, 0, 0, 0, 0, 0)), SCSI_ERR_INVALID_OPCODE);
}

static void report_luns_settles_a_changed_list(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_LUNS);
	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_MODE);
	assert_int_equal(
		scsi_rig_run(rig, IN, 96, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 0, 96, 0, 0)), SCSI_OK);
	assert_int_equal(test_unit_ready(rig), ATTENTION(MODE));
	assert_int_equal(test_unit_ready(rig), SCSI_OK);
}

static void request_sense_tells_and_clears(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_CAPACITY);
	/* one that fails reports nothing, so it clears nothing */
	assert_int_equal(scsi_rig_run(rig, IN, 18, CDB(3, 1, 0, 0, 18, 0)), SCSI_ERR_CDB_FIELD);
	assert_int_equal(scsi_rig_run(rig, IN, 18, CDB(3, 0, 0, 0, 18, 0)), SCSI_OK);
	assert_int_equal(rig->data[2], 6);
	assert_int_equal(rig->data[12], 0x2A);
	assert_int_equal(rig->data[13], 0x09);
	assert_int_equal(scsi_rig_run(rig, IN, 18, CDB(3, 0, 0, 0, 18, 0)), SCSI_OK);
	assert_int_equal(rig->data[2], 0);
	assert_int_equal(test_unit_ready(rig), SCSI_OK);
}

static void no_attention_without_a_unit(void **state)
{
	struct scsi_rig *rig = *state;

	scsi_unit_attention(&rig->unit, SCSI_ATTENTION_CAPACITY);
	rig->unit.present = false;
	assert_int_equal(test_unit_ready(rig), SCSI_ERR_NO_LUN);
}

/* ---- size ---------------------------------------------------------------- */

static void assert_capacity(struct scsi_rig *rig, uint32_t blocks)
{
	const uint8_t last[] = {BE4(blocks - 1)};

	assert_int_equal(scsi_rig_run(rig, IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)), SCSI_OK);
	assert_memory_equal(rig->data, last, 4);
	assert_int_equal(
		scsi_rig_run(rig, IN, 32, CDB(0x9E, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, BE4(32), 0, 0)),
		SCSI_OK);
	assert_memory_equal(rig->data + 4, last, 4);
	assert_int_equal(read_block(rig, blocks - 1), SCSI_OK);
	assert_int_equal(read_block(rig, blocks), SCSI_ERR_LBA_RANGE);
}

static void size_changes_are_told(void **state)
{
	struct scsi_rig *rig = *state;

	assert_capacity(rig, SCSI_RIG_BLOCKS);
	scsi_unit_resize(&rig->unit, 1000 * 512);
	assert_int_equal(read_block(rig, 0), ATTENTION(CAPACITY));
	assert_capacity(rig, 1000);
	scsi_unit_resize(&rig->unit, 1000 * 512); /* no change */
	assert_capacity(rig, 1000);
	scsi_unit_resize(&rig->unit, 2000 * 512);
	scsi_unit_resize(&rig->unit, 3000 * 512);
	assert_int_equal(read_block(rig, 0), ATTENTION(CAPACITY));
	assert_capacity(rig, 3000);
}

/* ---- write cache --------------------------------------------------------- */

static enum scsi_error set_cache(struct scsi_rig *rig, bool on)
{
	const uint8_t list[24] = {0, 0, 0, 0, 0x08, 0x12, on ? 0x04 : 0};

	memcpy(rig->data, list, sizeof(list));
	return scsi_rig_run(rig, OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0));
}

static uint8_t mode_byte(struct scsi_rig *rig, uint8_t control)
{
	scsi_rig_run(rig, IN, 24, CDB(0x1A, 0, (uint8_t)(control << 6 | 8), 0, 24, 0));
	return rig->data[6];
}

/* FUA requests at the disk for each kind of write. */
static uint64_t durable_writes(struct scsi_rig *rig)
{
	uint64_t before = atomic_load(&rig->disk->fua_count);

	memset(rig->data, 1, 512);
	scsi_rig_run(rig, OUT, 512, CDB(0x0A, 0, 0, 1, 1, 0));
	scsi_rig_run(rig, OUT, 512, CDB(0x2A, 0, BE4(1), 0, 0, 1, 0));
	scsi_rig_run(rig, OUT, 512, CDB(0x41, 0, BE4(1), 0, 0, 4, 0));
	scsi_rig_run(rig, NONE, 0, CDB(0x93, 0x01, 0, 0, 0, 0, BE4(1), BE4(4), 0, 0));
	memset(rig->data, 0, 24);
	rig->data[3] = 16;
	rig->data[15] = 1;
	rig->data[19] = 1;
	scsi_rig_run(rig, OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0));
	assert_int_equal(rig->task.error, SCSI_OK);
	return atomic_load(&rig->disk->fua_count) - before;
}

static void write_cache_goes_off_and_on(void **state)
{
	struct scsi_rig *rig = *state;
	_Atomic uint64_t *flushes = &rig->disk->count[DISK_FLUSH];

	rig->unit.info.write_cache = true;
	assert_int_equal(durable_writes(rig), 0);
	assert_int_equal(set_cache(rig, true), SCSI_OK);
	assert_int_equal(atomic_load(flushes), 0);
	assert_int_equal(set_cache(rig, false), SCSI_OK);
	assert_int_equal(rig->task.transferred, 24);
	assert_int_equal(atomic_load(flushes), 1); /* its contents */
	assert_int_equal(mode_byte(rig, 0), 0x00);
	assert_int_equal(mode_byte(rig, 1), 0x04);
	assert_int_equal(mode_byte(rig, 2), 0x04);
	assert_int_equal(durable_writes(rig), 5);
	assert_int_equal(set_cache(rig, true), SCSI_OK);
	assert_int_equal(mode_byte(rig, 0), 0x04);
	assert_int_equal(durable_writes(rig), 0);
}

/* The page has its default values again; but writes stay as durable as the guest assumes, until it
 * enables the cache. */
static void a_reset_takes_no_durability_away(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	assert_int_equal(set_cache(rig, false), SCSI_OK);
	for (uint32_t i = 0; i < 2; i++) { /* a second reset changes nothing */
		scsi_unit_reset(&rig->unit);
		assert_int_equal(test_unit_ready(rig), ATTENTION(RESET));
		assert_int_equal(rig->task.sense[12], 0x29);
		assert_int_equal(mode_byte(rig, 0), 0x04);
		assert_int_equal(mode_byte(rig, 2), 0x04);
		assert_int_equal(durable_writes(rig), 5);
	}
	assert_int_equal(set_cache(rig, false), SCSI_OK);
	assert_int_equal(mode_byte(rig, 0), 0x00);
	scsi_unit_reset(&rig->unit);
	assert_int_equal(test_unit_ready(rig), ATTENTION(RESET));
	assert_int_equal(set_cache(rig, true), SCSI_OK);
	assert_int_equal(durable_writes(rig), 0);
}

static void a_reset_leaves_a_cache_that_is_on(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	scsi_unit_reset(&rig->unit);
	assert_int_equal(test_unit_ready(rig), ATTENTION(RESET));
	assert_int_equal(mode_byte(rig, 0), 0x04);
	assert_int_equal(durable_writes(rig), 0);
}

/* Nothing can be saved, and the replies say so. */
static void nothing_is_saved(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	assert_int_equal(
		scsi_rig_run(rig, IN, 24, CDB(0x1A, 0, 0xC8, 0, 24, 0)), SCSI_ERR_SAVE_UNSUPPORTED);
	scsi_rig_run(rig, IN, 24, CDB(0x1A, 0, 0x08, 0, 24, 0));
	assert_int_equal(rig->data[4], 0x08); /* PS is 0 */
	assert_int_equal(
		scsi_rig_run(rig, OUT, 24, CDB(0x15, 0x11, 0, 0, 24, 0)), SCSI_ERR_CDB_FIELD);
}

static void no_cache_no_switch(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = false;
	assert_int_equal(set_cache(rig, true), SCSI_ERR_PARAM_FIELD);
	assert_int_equal(set_cache(rig, false), SCSI_OK); /* as it is */
	assert_int_equal(durable_writes(rig), 0);
}

/* A cache that cannot be flushed: the command fails, and the cache is not used from now on. */
static void flush_fails_when_the_cache_goes_off(void **state)
{
	struct scsi_rig *rig = *state;

	rig->unit.info.write_cache = true;
	atomic_store(&rig->disk->error[DISK_FLUSH], -5);
	assert_int_equal(set_cache(rig, false), SCSI_ERR_MEDIUM_WRITE);
	assert_int_equal(mode_byte(rig, 0), 0x00);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, scsi_rig_setup, scsi_rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(attention_is_reported_once),
		TEST(several_attentions_one_a_command),
		TEST(attention_waits_for_its_command),
		TEST(report_luns_settles_a_changed_list),
		TEST(request_sense_tells_and_clears),
		TEST(no_attention_without_a_unit),
		TEST(size_changes_are_told),
		TEST(write_cache_goes_off_and_on),
		TEST(a_reset_takes_no_durability_away),
		TEST(a_reset_leaves_a_cache_that_is_on),
		TEST(nothing_is_saved),
		TEST(no_cache_no_switch),
		TEST(flush_fails_when_the_cache_goes_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
