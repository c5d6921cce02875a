/* SPDX-License-Identifier: MIT */
/* The DVD-ROM drive as Linux's sr driver uses it, through the whole controller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tests/support/storvsp_rig.h"

#define DRIVE    9u
#define INSTANCE 0x77
#define BLOCKS   (RIG_DISK_BYTES / 2048)
#define IN       VSTOR_DATA_IN
#define NONE     VSTOR_DATA_NONE

static struct guest_disk drive;
static uint8_t data[4096];

static struct guest guest;
static struct disk *medium;

static int setup(void **state)
{
	struct guest_config guest_config = {.ram = 96 << 20, .vps = 2, .workers = 2};
	struct storvsp_lun lun = {.lun = DRIVE, .cdrom = true};
	struct storvsp_config config = {.luns = &lun, .lun_count = 1};

	assert_int_equal(disk_memory_open(&medium, RIG_DISK_BYTES, NULL), 0);
	lun.disk = medium;
	guest_start(&guest, &guest_config);
	guest_add_device(&guest, &storvsp_ops, INSTANCE, &config);
	guest_connect(&guest, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&drive, &guest, INSTANCE);
	guest_disk_open(&drive, VSTOR_VERSION_WIN10, 0);
	return 0;
}

static int teardown(void **state)
{
	guest_disk_close(&drive);
	guest_stop(&guest);
	disk_close(medium);
	return 0;
}

static uint32_t ask(size_t cdb_length, const uint8_t *cdb)
{
	const struct storvsc_completion *c =
		guest_disk_run(&drive, DRIVE, IN, sizeof(data), cdb_length, cdb);

	assert_int_equal(c->srb_status, VSTOR_SRB_SUCCESS);
	guest_slot_get(&drive, 0, data, sizeof(data));
	return c->transferred;
}

static void assert_sense(
	uint8_t dir, uint8_t key, uint8_t asc, uint8_t ascq, size_t cdb_length, const uint8_t *cdb)
{
	const struct storvsc_completion *c =
		guest_disk_run(&drive, DRIVE, dir, dir == NONE ? 0 : sizeof(data), cdb_length, cdb);

	assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(c->sense[2], key);
	assert_int_equal(c->sense[12], asc);
	assert_int_equal(c->sense[13], ascq);
}

static void good(size_t cdb_length, const uint8_t *cdb)
{
	assert_int_equal(guest_disk_run(&drive, DRIVE, NONE, 0, cdb_length, cdb)->srb_status,
		VSTOR_SRB_SUCCESS);
}

static void says_what_it_is(void **state)
{
	assert_int_equal(ask(CDB(0x12, 0, 0, 0, 96, 0)), 96);
	assert_memory_equal(data, "\x05\x80", 2);
	assert_memory_equal(data + 8, "Msft    Virtual DVD-ROM 1.0 ", 28);
	assert_int_equal(ask(CDB(0x12, 1, 0, 0, 96, 0)), 6); /* pages 00 and 83 */
	assert_int_equal(ask(CDB(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 128, 0)), 8 + 22);
	assert_int_equal(data[8], 0x2A);
	assert_int_equal(data[8 + 3], 0); /* writes nothing */
	assert_int_equal(data[8 + 6] >> 5, 1);
	assert_sense(IN, 5, 0x20, 0, CDB(0x5E, 0, 0, 0, 0, 0, 0, 0, 8, 0));
	assert_sense(VSTOR_DATA_OUT, 5, 0x20, 0, CDB(0x2A, 0, 0, 0, 0, 0, 0, 0, 1, 0));
}

static void reads(void **state)
{
	const uint8_t capacity[] = {BE4(BLOCKS - 1), BE4(2048)};

	assert_int_equal(ask(CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0)), 8);
	assert_memory_equal(data, capacity, 8);
	assert_int_equal(ask(CDB(0x28, 0, BE4(BLOCKS - 2), 0, 0, 2, 0)), 4096);
	assert_sense(IN, 5, 0x21, 0, CDB(0x28, 0, BE4(BLOCKS - 1), 0, 0, 2, 0));
}

static void table_of_contents(void **state)
{
	const uint8_t toc[] = {0, 18, 1, 1, 0, 0x14, 1, 0, BE4(0), 0, 0x14, 0xAA, 0, BE4(BLOCKS)};
	const uint8_t session[] = {0, 10, 1, 1, 0, 0x14, 1, 0, BE4(0)};

	assert_int_equal(ask(CDB(0x43, 0, 0, 0, 0, 0, 0, 1, 0, 0)), 20);
	assert_memory_equal(data, toc, 20);
	assert_int_equal(ask(CDB(0x43, 0, 0, 0, 0, 0, 0xAA, 1, 0, 0)), 12);
	assert_int_equal(data[6], 0xAA);
	assert_int_equal(ask(CDB(0x43, 2, 0, 0, 0, 0, 0, 1, 0, 0)), 20);
	assert_memory_equal(data + 8, "\0\0\2\0", 4); /* two seconds */
	assert_int_equal(ask(CDB(0x43, 0, 1, 0, 0, 0, 0, 1, 0, 0)), 12);
	assert_memory_equal(data, session, 12);
	assert_int_equal(ask(CDB(0x43, 0, 0, 0, 0, 0, 0, 0, 4, 0)), 4);
	assert_sense(IN, 5, 0x24, 0, CDB(0x43, 0, 2, 0, 0, 0, 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x43, 0, 0, 0, 0, 0, 2, 1, 0, 0));
}

/* Linux asks when it mounts a disc, by block, track or session. */
static void track_information(void **state)
{
	const uint8_t track[] = {0, 34, 1, 1, 0, 4, 1, 0, BE4(0)};
	const uint8_t size[] = {BE4(BLOCKS)};

	assert_int_equal(ask(CDB(0x52, 1, 0, 0, 0, 1, 0, 0, 36, 0)), 36);
	assert_memory_equal(data, track, sizeof(track));
	assert_memory_equal(data + 24, size, sizeof(size));
	assert_int_equal(ask(CDB(0x52, 2, 0, 0, 0, 1, 0, 0, 36, 0)), 36);
	assert_int_equal(ask(CDB(0x52, 0, 0, 0, 0, 9, 0, 0, 8, 0)), 8);
	assert_sense(IN, 0x5, 0x24, 0, CDB(0x52, 1, 0, 0, 0, 2, 0, 0, 36, 0));
	assert_sense(IN, 0x5, 0x24, 0, CDB(0x52, 3, 0, 0, 0, 1, 0, 0, 36, 0));
	assert_sense(IN, 0x5, 0x21, 0, CDB(0x52, 0, 0xFF, 0, 0, 0, 0, 0, 36, 0));
	good(CDB(0x1B, 0, 0, 0, 2, 0));
	assert_sense(IN, 0x2, 0x3A, 2, CDB(0x52, 1, 0, 0, 0, 1, 0, 0, 36, 0));
}

static void configuration(void **state)
{
	uint32_t length = ask(CDB(0x46, 0, 0, 0, 0, 0, 0, 4, 0, 0));
	uint32_t at = 8;

	assert_int_equal(data[3], length - 4);
	assert_int_equal(data[7], 0x10);
	while (at < length)
		at += 4 + data[at + 3];
	assert_int_equal(at, length);
	assert_int_equal(ask(CDB(0x46, 2, 0, 0x1F, 0, 0, 0, 4, 0, 0)), 8 + 8);
	assert_memory_equal(data + 8, "\0\x1F\1\4", 4);
	assert_int_equal(ask(CDB(0x46, 2, 0, 0x99, 0, 0, 0, 4, 0, 0)), 8);
	assert_sense(IN, 5, 0x24, 0, CDB(0x46, 3, 0, 0, 0, 0, 0, 4, 0, 0));
}

static void assert_event(uint8_t event, uint8_t status)
{
	const uint8_t expected[] = {0, 6, 4, 0x10, event, status, 0, 0};

	assert_int_equal(ask(CDB(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8, 0)), 8);
	assert_memory_equal(data, expected, 8);
}

static void ejects_and_closes(void **state)
{
	assert_event(0, 2);
	assert_sense(IN, 5, 0x24, 0, CDB(0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8, 0));
	good(CDB(0x1B, 0, 0, 0, 2, 0));
	assert_int_equal(ask(CDB(0x4A, 1, 0, 0, 0x02, 0, 0, 0, 8, 0)), 4); /* another class */
	assert_int_equal(ask(CDB(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 4, 0)), 4); /* no room for it */
	assert_event(3, 1);
	assert_event(0, 1);
	assert_sense(NONE, 2, 0x3A, 2, CDB(0, 0, 0, 0, 0, 0));
	assert_sense(IN, 2, 0x3A, 2, CDB(0x28, 0, BE4(0), 0, 0, 1, 0));
	assert_sense(IN, 2, 0x3A, 2, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	assert_int_equal(ask(CDB(0x46, 1, 0, 0, 0, 0, 0, 4, 0, 0)) > 8, 1);
	assert_int_equal(data[7], 0);
	good(CDB(0x1B, 0, 0, 0, 3, 0));
	assert_event(2, 2); /* in spite of the attention */
	assert_sense(NONE, 6, 0x28, 0, CDB(0, 0, 0, 0, 0, 0));
	good(CDB(0, 0, 0, 0, 0, 0));
	good(CDB(0x1B, 0, 0, 0, 3, 0)); /* closed already: no news */
	good(CDB(0, 0, 0, 0, 0, 0));
}

static void prevents(void **state)
{
	good(CDB(0x1E, 0, 0, 0, 1, 0));
	assert_sense(NONE, 5, 0x53, 2, CDB(0x1B, 0, 0, 0, 2, 0));
	good(CDB(0, 0, 0, 0, 0, 0));
	good(CDB(0x1E, 0, 0, 0, 0, 0));
	good(CDB(0x1B, 0, 0, 0, 2, 0));
	assert_sense(NONE, 2, 0x3A, 2, CDB(0, 0, 0, 0, 0, 0));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_what_it_is),
		TEST(reads),
		TEST(table_of_contents),
		TEST(track_information),
		TEST(configuration),
		TEST(ejects_and_closes),
		TEST(prevents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
