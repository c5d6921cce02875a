/* SPDX-License-Identifier: MIT */
/* Rings whose pages are scattered over guest memory cost the host no mappings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/support/storvsp_rig.h"

#define VPS         8u
#define CONTROLLERS 4u
#define MIB         (1ull << 20)

struct controllers {
	struct guest g;
	struct disk *disk[CONTROLLERS];
	struct guest_disk d[CONTROLLERS];
};

static void start(struct controllers *c)
{
	struct guest_config config = {.ram = 512 * MIB, .vps = VPS, .io_threads = 2};

	guest_start(&c->g, &config);
	for (uint8_t i = 0; i < CONTROLLERS; i++) {
		struct storvsp_lun_config lun = {.lun = 0};
		struct storvsp_config controller = {.luns = &lun, .lun_count = 1};

		assert_int_equal(disk_memory_open(&c->disk[i], MIB, NULL), 0);
		lun.disk = c->disk[i];
		guest_add_device(&c->g, &storvsp_ops, i, &controller);
	}
	guest_connect(&c->g, VMBUS_VERSION_WIN10_V5_3);
	for (uint8_t i = 0; i < CONTROLLERS; i++)
		guest_disk_init(&c->d[i], &c->g, i);
}

static void stop(struct controllers *c)
{
	guest_stop(&c->g);
	for (uint32_t i = 0; i < CONTROLLERS; i++)
		disk_close(c->disk[i]);
}

static uint32_t mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint32_t lines = 0;
	int c;

	assert_non_null(f);
	while ((c = getc(f)) != EOF)
		lines += c == '\n';
	fclose(f);
	return lines;
}

/* All channels are opened and closed. How many mappings there are in between. */
static uint32_t open_and_close(struct controllers *c, bool scattered)
{
	uint32_t count;

	c->g.scattered = scattered;
	for (uint32_t i = 0; i < CONTROLLERS; i++) {
		guest_disk_open(&c->d[i], VSTOR_VERSION_WIN10, VPS - 1);
		assert_int_equal(c->d[i].channel_count, VPS);
	}
	count = mappings();
	for (uint32_t i = 0; i < CONTROLLERS; i++)
		guest_disk_close(&c->d[i]);
	return count;
}

static void all_channels_of_eight_vps(void **state)
{
	struct controllers *c = calloc(1, sizeof(*c));
	uint32_t whole, scattered;

	assert_non_null(c);
	start(c);
	open_and_close(c, false); /* what is allocated once */
	whole = open_and_close(c, false);
	scattered = open_and_close(c, true);
	print_message("# %u mappings, %u with scattered rings\n", whole, scattered);
	/* A mapping for each page would be 18 * 32. */
	assert_in_range(scattered, whole - VPS, whole + VPS);
	stop(c);
	free(c);
}

/* Random requests on all channels, compared with what was written. */
static void traffic(void **state)
{
	struct storvsp_rig *rig = storvsp_rig_create(4);

	rig->g.scattered = true;
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 3);
	storvsp_rig_traffic(rig, 5000);
	storvsp_rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_channels_of_eight_vps),
		cmocka_unit_test(traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
