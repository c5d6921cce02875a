/* SPDX-License-Identifier: MIT */
/* Identifiers of disks belong to the disk: its serial, else its medium, else its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "scsi/scsi.h"

static const struct disk_ops ops = {.name = "test"};
static struct disk image = {.ops = &ops, .identity = "file:1:2:3"};
static struct disk other = {.ops = &ops, .identity = "file:1:2:4"};
static struct disk memory = {.ops = &ops};
static struct disk filtered = {.ops = &ops, .lower = &image};

static void identify(uint8_t *id, const char *serial, const struct disk *disk, const char *place)
{
	struct scsi_name name = scsi_name_of(serial, disk, place);

	scsi_identify(id, &name);
}

static void assert_same(const char *serial_a, const struct disk *a, const char *place_a,
	const char *serial_b, const struct disk *b, const char *place_b, bool same)
{
	uint8_t id_a[SCSI_ID_SIZE], id_b[SCSI_ID_SIZE];

	identify(id_a, serial_a, a, place_a);
	identify(id_b, serial_b, b, place_b);
	assert_int_equal(!memcmp(id_a, id_b, sizeof(id_a)), same);
	/* The NAA designator has these bytes of it only. */
	assert_int_equal(!memcmp(id_a, id_b, 6) && !memcmp(id_a + 10, id_b + 10, 6), same);
}

static void identifiers_are_uuids_of_version_5(void **state)
{
	const struct scsi_name name = {.kind = SCSI_NAME_SERIAL, .text = "S1"};
	/* python3 -c 'import uuid;
	 * print(uuid.uuid5(uuid.UUID("6f5b0e8a-3d1c-4f27-9b54-1e02d77ca943"), "serial:0:S1"))' */
	static const uint8_t expected[SCSI_ID_SIZE] = {0xb8, 0xbc, 0x37, 0x4a, 0x00, 0x69, 0x56,
		0xba, 0xa2, 0xff, 0xf2, 0xe8, 0x60, 0x35, 0x0d, 0x54};
	uint8_t id[SCSI_ID_SIZE];

	scsi_identify(id, &name);
	assert_memory_equal(id, expected, sizeof(id));
}

static void a_disk_keeps_its_identifier_when_it_moves(void **state)
{
	assert_same(NULL, &image, "0:0", NULL, &image, "3:63", true);
	assert_same("", &image, "0:0", NULL, &filtered, "0:0", true);
	assert_same("S1", &image, "0:0", "S1", &image, "0:1", true);
}

static void another_image_has_another_identifier(void **state)
{
	assert_same(NULL, &image, "0:0", NULL, &other, "0:0", false);
}

static void the_serial_counts_most(void **state)
{
	assert_same("S1", &image, "0:0", "S1", &other, "0:0", true);
	assert_same("S1", &image, "0:0", "S2", &image, "0:0", false);
	assert_same("S1", &image, "0:0", NULL, &image, "0:0", false);
	assert_same("file:1:2:3", &other, "0:0", NULL, &image, "0:0", false);
}

static void memory_is_known_by_its_place(void **state)
{
	assert_same(NULL, &memory, "0:0", NULL, &memory, "0:0", true);
	assert_same(NULL, &memory, "0:0", NULL, &memory, "0:1", false);
}

static void copies_differ(void **state)
{
	struct scsi_name name = scsi_name_of("S1", &image, "0:0");
	uint8_t ids[3][SCSI_ID_SIZE];

	for (name.copy = 0; name.copy < 3; name.copy++)
		scsi_identify(ids[name.copy], &name);
	assert_memory_not_equal(ids[0], ids[1], SCSI_ID_SIZE);
	assert_memory_not_equal(ids[0], ids[2], SCSI_ID_SIZE);
	assert_memory_not_equal(ids[1], ids[2], SCSI_ID_SIZE);
}

static void long_names_are_legal(void **state)
{
	static char name[3 * SCSI_NAME_MAX];
	struct disk disk = {.ops = &ops, .identity = name};

	memset(name, 'x', sizeof(name) - 1);
	assert_same(NULL, &disk, "0:0", NULL, &disk, "0:1", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identifiers_are_uuids_of_version_5),
		cmocka_unit_test(a_disk_keeps_its_identifier_when_it_moves),
		cmocka_unit_test(another_image_has_another_identifier),
		cmocka_unit_test(the_serial_counts_most),
		cmocka_unit_test(memory_is_known_by_its_place),
		cmocka_unit_test(copies_differ),
		cmocka_unit_test(long_names_are_legal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
