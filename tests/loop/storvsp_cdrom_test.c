/* SPDX-License-Identifier: MIT */
/* The DVD-ROM drive as drivers use it, through the whole controller. */
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
	struct guest_config guest_config = {.ram = 96 << 20, .vps = 2, .io_threads = 2};
	struct storvsp_lun_config lun = {.lun = DRIVE, .cdrom = true};
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
	assert_sense(IN, 5, 0x24, 0, CDB(0x43, 0, 3, 0, 0, 0, 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x43, 0, 2, 0, 0, 0, 2, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x43, 0, 0, 0, 0, 0, 2, 1, 0, 0));
}

/* As in the lead-in: first and last track, lead-out, the track. */
static void raw_table_of_contents(void **state)
{
	const uint8_t lead_out[] = {
		0, (BLOCKS + 150) / 75 / 60, (BLOCKS + 150) / 75 % 60, (BLOCKS + 150) % 75};

	assert_int_equal(ask(CDB(0x43, 0, 2, 0, 0, 0, 1, 1, 0, 0)), 4 + 4 * 11);
	assert_memory_equal(data, "\0\x2E\1\1", 4);
	assert_memory_equal(data + 4, "\1\x14\0\xA0\0\0\0\0\1\0\0", 11);
	assert_memory_equal(data + 15, "\1\x14\0\xA1\0\0\0\0\1\0\0", 11);
	assert_memory_equal(data + 26, "\1\x14\0\xA2\0\0\0", 7);
	assert_memory_equal(data + 33, lead_out, 4);
	assert_memory_equal(data + 37, "\1\x14\0\1\0\0\0\0\0\2\0", 11);
	/* the old way to ask for it */
	assert_int_equal(ask(CDB(0x43, 0, 0, 0, 0, 0, 0, 1, 0, 0x80)), 4 + 4 * 11);
}

static void disc_and_track(void **state)
{
	const uint8_t size[] = {BE4(BLOCKS), BE4(BLOCKS - 1)};

	assert_int_equal(ask(CDB(0x51, 0, 0, 0, 0, 0, 0, 1, 0, 0)), 34);
	assert_int_equal(data[2] & 3, 2); /* complete */
	assert_sense(IN, 5, 0x24, 0, CDB(0x51, 1, 0, 0, 0, 0, 0, 1, 0, 0));
	for (uint8_t by = 0; by < 3; by++) {
		assert_int_equal(ask(CDB(0x52, by, BE4(1), 0, 1, 0, 0)), 36);
		assert_memory_equal(data, "\0\x22\1\1\0\4\1\2\0\0\0\0", 12);
		assert_memory_equal(data + 24, size, 8);
	}
	assert_int_equal(ask(CDB(0x52, 1, BE4(1), 0, 0, 4, 0)), 4); /* Linux does */
	assert_sense(IN, 5, 0x21, 0, CDB(0x52, 0, BE4(BLOCKS), 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x52, 1, BE4(2), 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x52, 1, BE4(0xFF), 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x52, 3, BE4(1), 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0x52, 5, BE4(1), 0, 1, 0, 0));
}

static void dvd_structures(void **state)
{
	const uint8_t physical[] = {BE4(0x0802 << 16 | 0), 1, 0x0F, 1, 0, BE4(0x30000),
		BE4(0x30000 + BLOCKS - 1), BE4(0)};

	assert_int_equal(ask(CDB(0xAD, 0, BE4(0), 0, 0, 8, 8, 0, 0)), 2052);
	assert_memory_equal(data, physical, sizeof(physical));
	assert_int_equal(ask(CDB(0xAD, 0, BE4(0), 0, 1, 8, 8, 0, 0)), 8);
	assert_memory_equal(data, "\0\6\0\0\0\0\0\0", 8);
	assert_int_equal(ask(CDB(0xAD, 0, BE4(0), 0, 4, 8, 8, 0, 0)), 2052);
	assert_int_equal(ask(CDB(0xAD, 0, BE4(0), 0, 0xFF, 8, 8, 0, 0)), 16);
	assert_memory_equal(data, "\0\x0E\0\0\0\x40\x08\x04\1\x40\0\x08\4\x40\x08\x04", 16);
	assert_int_equal(ask(CDB(0xAD, 0, BE4(0), 0, 0, 0, 21, 0, 0)), 21);
	assert_sense(IN, 5, 0x24, 0, CDB(0xAD, 0, BE4(0), 0, 2, 8, 8, 0, 0)); /* disc key */
	assert_sense(IN, 5, 0x24, 0, CDB(0xAD, 0, BE4(0), 1, 0, 8, 8, 0, 0)); /* layer 1 */
	assert_sense(IN, 5, 0x24, 0, CDB(0xAD, 1, BE4(0), 0, 0, 8, 8, 0, 0)); /* Blu-ray */
	assert_sense(IN, 5, 0x20, 0, CDB(0xA4, 0, BE4(0), 0, 0, 0, 8, 0, 0)); /* REPORT KEY */
}

static void reads_cd_data(void **state)
{
	assert_int_equal(ask(CDB(0xBE, 0, BE4(3), 0, 0, 2, 0x10, 0, 0)), 4096);
	assert_int_equal(ask(CDB(0xBE, 8, BE4(3), 0, 0, 1, 0x10, 0, 0)), 2048);
	assert_int_equal(ask(CDB(0xBE, 0, BE4(3), 0, 0, 2, 0, 0, 0)), 0);
	assert_sense(IN, 5, 0x64, 0, CDB(0xBE, 4, BE4(3), 0, 0, 1, 0x10, 0, 0)); /* audio */
	assert_sense(IN, 5, 0x24, 0, CDB(0xBE, 0, BE4(3), 0, 0, 1, 0xF8, 0, 0)); /* raw */
	assert_sense(IN, 5, 0x24, 0, CDB(0xBE, 0, BE4(3), 0, 0, 1, 0x10, 1, 0));
	assert_sense(IN, 5, 0x21, 0, CDB(0xBE, 0, BE4(BLOCKS), 0, 0, 1, 0x10, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0xBE, 0, BE4(3), 0, 0, 3, 0x10, 0, 0)); /* too long */
	good(CDB(0x2B, 0, BE4(BLOCKS - 1), 0, 0, 0, 0));
	assert_sense(NONE, 5, 0x21, 0, CDB(0x2B, 0, BE4(BLOCKS), 0, 0, 0, 0));
}

/* Sends `length` bytes. */
static const struct storvsc_completion *give(
	const void *bytes, uint32_t length, size_t cdb_length, const uint8_t *cdb)
{
	guest_slot_put(&drive, 0, bytes, length);
	return guest_disk_run(&drive, DRIVE, VSTOR_DATA_OUT, length, cdb_length, cdb);
}

static void mode_pages(void **state)
{
	uint8_t list[34] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 8, 0};

	assert_int_equal(ask(CDB(0x1A, 0, 0x3F, 0, 255, 0)), 4 + 12 + 12 + 12 + 22);
	assert_int_equal(data[0], 61);
	assert_int_equal(data[4], 0x01);
	assert_int_equal(data[16], 0x1A);
	assert_int_equal(data[28], 0x1D);
	assert_int_equal(data[40], 0x2A);
	assert_int_equal(ask(CDB(0x1A, 0, 0x2A, 0, 4, 0)), 4);
	assert_int_equal(data[0], 25);
	assert_int_equal(ask(CDB(0x5A, 0, 0x6A, 0, 0, 0, 0, 0, 128, 0)), 30); /* changeable */
	for (uint32_t i = 10; i < 30; i++)
		assert_int_equal(data[i], 0);
	assert_sense(IN, 5, 0x24, 0, CDB(0x1A, 0, 0x0E, 0, 255, 0)); /* audio control */
	assert_sense(IN, 5, 0x39, 0, CDB(0x1A, 0, 0xEA, 0, 255, 0));
	/* block length 2048, and a page as it is */
	assert_int_equal(give(list, 12, CDB(0x15, 0x10, 0, 0, 12, 0))->srb_status, 1);
	ask(CDB(0x1A, 0, 0x2A, 0, 255, 0));
	memcpy(list + 12, data + 4, 22);
	assert_int_equal(give(list, 34, CDB(0x15, 0x10, 0, 0, 34, 0))->srb_status, 1);
	list[20] ^= 1;
	assert_int_equal(give(list, 34, CDB(0x15, 0x10, 0, 0, 34, 0))->sense[12], 0x26);
	list[10] = 9;
	assert_int_equal(give(list, 12, CDB(0x15, 0x10, 0, 0, 12, 0))->sense[12], 0x26);
	assert_int_equal(give(list, 11, CDB(0x15, 0x10, 0, 0, 11, 0))->sense[12], 0x1A);
	assert_int_equal(give(list, 3, CDB(0x15, 0x10, 0, 0, 3, 0))->sense[12], 0x1A);
	assert_int_equal(give(list, 8, CDB(0x55, 0x11, 0, 0, 0, 0, 0, 0, 8, 0))->sense[12], 0x24);
	assert_int_equal(give(list, 8, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 9, 0))->sense[12], 0x1A);
	assert_int_equal(
		give("\0\0\0\0\0\0\0", 8, CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 8, 0))->srb_status, 1);
	good(CDB(0x55, 0x10, 0, 0, 0, 0, 0, 0, 0, 0));
}

static void speeds(void **state)
{
	const uint8_t nominal[] = {BE4(20), BE4(0), BE4(0), BE4(5540), BE4(BLOCKS - 1), BE4(5540)};
	uint8_t list[28] = {0};

	assert_int_equal(ask(CDB(0xAC, 0x10, BE4(0), 0, 0, 0, 1, 0, 0)), 24);
	assert_memory_equal(data, nominal, 24);
	assert_int_equal(ask(CDB(0xAC, 0x10, BE4(0), 0, 0, 0, 0, 0, 0)), 8);
	assert_int_equal(ask(CDB(0xAC, 0x14, BE4(0), 0, 0, 0, 1, 0, 0)), 8); /* writing */
	assert_memory_equal(data, "\0\0\0\4\2\0\0\0", 8);
	assert_int_equal(ask(CDB(0xAC, 0, BE4(0), 0, 0, 0, 1, 3, 0)), 8);
	assert_sense(IN, 5, 0x24, 0, CDB(0xAC, 0x11, BE4(0), 0, 0, 0, 1, 0, 0));
	assert_sense(IN, 5, 0x24, 0, CDB(0xAC, 0, BE4(0), 0, 0, 0, 1, 1, 0));
	good(CDB(0xBB, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0));
	assert_int_equal(
		give(list, 28, CDB(0xB6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 28, 0))->srb_status, 1);
	assert_int_equal(
		give(list, 28, CDB(0xB6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 27, 0))->sense[12], 0x1A);
	assert_int_equal(
		give(list, 28, CDB(0xB6, 0, 0, 0, 0, 0, 0, 0, 5, 0, 28, 0))->sense[12], 0x24);
	good(CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0));
}

static void power_conditions(void **state)
{
	static const uint8_t known[] = {0x10, 0x20, 0x30, 0x50, 0x12};

	for (uint32_t i = 0; i < sizeof(known); i++)
		good(CDB(0x1B, 0, 0, 0, known[i], 0));
	good(CDB(0x1B, 0, 0, 0, 0, 0));
	good(CDB(0, 0, 0, 0, 0, 0)); /* 12h has not ejected */
	assert_sense(NONE, 5, 0x24, 0, CDB(0x1B, 0, 0, 0, 0x40, 0));
	assert_sense(NONE, 5, 0x24, 0, CDB(0x1B, 0, 0, 0, 0x70, 0));
	assert_sense(NONE, 5, 0x24, 0, CDB(0x1B, 0, 0, 0, 0x04, 0));
}

static void mechanism(void **state)
{
	assert_int_equal(ask(CDB(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0)), 8);
	assert_int_equal(data[1], 0);
	good(CDB(0x1B, 0, 0, 0, 2, 0));
	assert_int_equal(ask(CDB(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0)), 8);
	assert_int_equal(data[1], 0x10);
	/* commands that need the disc report that there is none */
	assert_sense(IN, 2, 0x3A, 2, CDB(0x51, 0, 0, 0, 0, 0, 0, 1, 0, 0));
	assert_sense(IN, 2, 0x3A, 2, CDB(0x52, 1, BE4(1), 0, 1, 0, 0));
	assert_sense(IN, 2, 0x3A, 2, CDB(0xAD, 0, BE4(0), 0, 0, 8, 8, 0, 0));
	assert_sense(IN, 2, 0x3A, 2, CDB(0xBE, 0, BE4(3), 0, 0, 1, 0x10, 0, 0));
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
	good(CDB(0x1B, 0, 0, 0, 3, 0)); /* closed already: no event */
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

static void reset(uint32_t operation)
{
	struct vstor_packet packet, reply;

	storvsc_reset_build(&packet);
	packet.operation = operation;
	packet.srb.lun = DRIVE;
	guest_disk_packet(&drive, &packet, sizeof(packet), &reply);
	assert_int_equal(reply.status, VSTOR_STATUS_SUCCESS);
}

static void a_reset_unlocks(void **state)
{
	static const uint32_t operations[] = {
		VSTOR_OP_RESET_LUN, VSTOR_OP_RESET_ADAPTER, VSTOR_OP_RESET_BUS};

	for (uint32_t i = 0; i < 3; i++) {
		good(CDB(0x1E, 0, 0, 0, 1, 0));
		assert_sense(NONE, 5, 0x53, 2, CDB(0x1B, 0, 0, 0, 2, 0));
		reset(operations[i]);
		assert_sense(NONE, 6, 0x29, 0, CDB(0, 0, 0, 0, 0, 0));
		good(CDB(0, 0, 0, 0, 0, 0)); /* it has not moved */
		good(CDB(0x1B, 0, 0, 0, 2, 0));
		good(CDB(0x1B, 0, 0, 0, 3, 0));
		assert_sense(NONE, 6, 0x28, 0, CDB(0, 0, 0, 0, 0, 0));
	}
}

static void the_next_guest_finds_it_unlocked(void **state)
{
	good(CDB(0x1E, 0, 0, 0, 1, 0));
	guest_disk_close(&drive);
	guest_disk_open(&drive, VSTOR_VERSION_WIN10, 0);
	good(CDB(0, 0, 0, 0, 0, 0));
	good(CDB(0x1B, 0, 0, 0, 2, 0));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_what_it_is),
		TEST(reads),
		TEST(table_of_contents),
		TEST(raw_table_of_contents),
		TEST(disc_and_track),
		TEST(dvd_structures),
		TEST(reads_cd_data),
		TEST(mode_pages),
		TEST(speeds),
		TEST(power_conditions),
		TEST(mechanism),
		TEST(configuration),
		TEST(ejects_and_closes),
		TEST(prevents),
		TEST(a_reset_unlocks),
		TEST(the_next_guest_finds_it_unlocked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
