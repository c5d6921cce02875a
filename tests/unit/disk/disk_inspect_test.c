/* SPDX-License-Identifier: MIT */
/* A stack of disks shows each of its layers, the top first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "disk/filter/filters.h"
#include "mgmt/inspect_json.h"
#include "tests/support/inspect_shows.h"

static void shows(const struct disk *disk, const char *path, const char *value)
{
	struct inspect_json w;

	inspect_json_init(&w);
	disk_inspect(disk, &w.inspect);
	inspect_shows(inspect_json_finish(&w), path, value);
}

static void each_layer_shows_itself(void **state)
{
	const struct disk_delay_options delay = {.ops = 1u << DISK_READ, .min_ns = 5, .max_ns = 9};
	const struct disk_error_options error = {.ops = DISK_OPS_ALL, .every = 7, .error = -5};
	const struct disk_limit_options limit = {.iops = 100};
	struct disk *disk, *lower;

	assert_int_equal(disk_memory_open(&lower, 1 << 20, NULL), 0);
	assert_int_equal(disk_delay_open(&disk, lower, &delay, NULL), 0);
	lower = disk;
	assert_int_equal(disk_error_open(&disk, lower, &error, NULL), 0);
	lower = disk;
	assert_int_equal(disk_limit_open(&disk, lower, &limit, NULL), 0);
	lower = disk;
	assert_int_equal(disk_volatile_open(&disk, lower, 1, NULL), 0);
	shows(disk, "size", "1048576");
	shows(disk, "read_only", "false");
	shows(disk, "layers/0",
		"{\"type\":\"volatile\",\"unflushed_writes\":0,\"unflushed_bytes\":0,\"off\":false}");
	shows(disk, "layers/1/iops", "100");
	shows(disk, "layers/2/every", "7");
	shows(disk, "layers/2/injected", "0");
	shows(disk, "layers/2/operations", "[\"read\",\"write\",\"flush\",\"discard\",\"zeroes\"]");
	shows(disk, "layers/3",
		"{\"type\":\"delay\",\"min_ns\":5,\"max_ns\":9,\"operations\":[\"read\"]}");
	shows(disk, "layers/4", "{\"type\":\"memory\"}");
	disk_close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_layer_shows_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
