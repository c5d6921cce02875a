/* SPDX-License-Identifier: MIT */
/* What a unit remembers between commands: unit attentions, its size, its write cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define IN   SCSI_DIR_IN
#define OUT  SCSI_DIR_OUT
#define NONE SCSI_DIR_NONE
#define BE4(v)                                                                                     \
	(uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), (uint8_t)((v) >> 8), (uint8_t)(v)

#define ATTENTION(kind) (SCSI_ERR_ATTENTION + SCSI_ATTENTION_##kind)

static int setup(void **state)
{
	struct scsi_rig *rig = malloc(sizeof(*rig));

	assert_non_null(rig);
	scsi_rig_init(rig);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	scsi_rig_fini(*state);
	free(*state);
	return 0;
}

static enum scsi_error test_unit_ready(struct scsi_rig *rig)
{
	return scsi_rig_run(rig, NONE, 0, CDB(0, 0, 0, 0, 0, 0));
}

static enum scsi_error read_block(struct scsi_rig *rig, uint32_t lba)
{
	return scsi_rig_run(rig, IN, 512, CDB(0x28, 0, BE4(lba), 0, 0, 1, 0));
}

/* ---- unit attentions -------------------------------------------------------------- */

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

/* INQUIRY and REPORT LUNS work and leave it; a bad command is told of the attention first. */
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
	/* one that fails tells nothing, so it clears nothing */
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

/* ---- size ------------------------------------------------------------------------- */

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
	scsi_unit_resize(&rig->unit, 1000 * 512); /* no news */
	assert_capacity(rig, 1000);
	scsi_unit_resize(&rig->unit, 2000 * 512);
	scsi_unit_resize(&rig->unit, 3000 * 512);
	assert_int_equal(read_block(rig, 0), ATTENTION(CAPACITY));
	assert_capacity(rig, 3000);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
