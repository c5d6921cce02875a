/* SPDX-License-Identifier: MIT */
/* Disks as users write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "disk/spec.h"

#define MS 1000000ull

static struct disk_spec spec;
static struct err e;
static char text[1024];

static int parse(const char *all)
{
	char *rest = text, *part;
	int ret;

	snprintf(text, sizeof(text), "%s", all);
	e.text[0] = '\0';
	ret = disk_spec_source(&spec, strsep(&rest, ","), &e);
	while (!ret && (part = strsep(&rest, ",")))
		ret = disk_spec_filter(&spec, part, &e);
	return ret;
}

static void sources(void **state)
{
	static const struct {
		const char *text;
		enum disk_spec_kind kind;
		const char *name;
		uint64_t size;
	} rows[] = {
		{"disk.img", DISK_SPEC_FILE, "disk.img", 0},
		{"./nbd", DISK_SPEC_FILE, "./nbd", 0},
		{"./memory:x", DISK_SPEC_FILE, "./memory:x", 0},
		{"memory:4K", DISK_SPEC_MEMORY, NULL, 4096},
		{"null:2048G", DISK_SPEC_NULL, NULL, 2ull << 40},
		{"nbd://host", DISK_SPEC_NBD, "nbd://host", 0},
		{"nbd:nbd://host:1/x", DISK_SPEC_NBD, "nbd://host:1/x", 0},
		{"nbd+unix:///?socket=/s", DISK_SPEC_NBD, "nbd+unix:///?socket=/s", 0},
		{"nbd:nbd+unix:///e?socket=/s", DISK_SPEC_NBD, "nbd+unix:///e?socket=/s", 0},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), 0);
		assert_int_equal(spec.kind, rows[i].kind);
		assert_int_equal(spec.size, rows[i].size);
		if (rows[i].name)
			assert_string_equal(spec.name, rows[i].name);
		assert_int_equal(spec.filters, 0);
	}
}

static void delays(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		uint32_t ops;
	} rows[] = {
		{"x,delay=5ms", 5 * MS, 5 * MS, DISK_OPS_ALL},
		{"x,delay=1-20ms", 1 * MS, 20 * MS, DISK_OPS_ALL},
		{"x,delay=500us-2ms:read", MS / 2, 2 * MS, 1u << DISK_READ},
		{"x,delay=0-1s:flush", 0, 1000 * MS, 1u << DISK_FLUSH},
		{"x,delay=3600s", 3600000 * MS, 3600000 * MS, DISK_OPS_ALL},
		{"x,delay=7ns:write", 7, 7,
			1u << DISK_WRITE | 1u << DISK_WRITE_ZEROES | 1u << DISK_DISCARD},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), 0);
		assert_int_equal(spec.filters, 1);
		assert_int_equal(spec.filter[0].kind, DISK_SPEC_DELAY);
		assert_int_equal(spec.filter[0].delay.min_ns, rows[i].min);
		assert_int_equal(spec.filter[0].delay.max_ns, rows[i].max);
		assert_int_equal(spec.filter[0].delay.ops, rows[i].ops);
	}
}

static void errors(void **state)
{
	static const struct {
		const char *text;
		uint32_t ppm;
		uint64_t every;
		uint32_t ops;
		int error;
	} rows[] = {
		{"x,error=1%", 10000, 0, DISK_OPS_ALL, -EIO},
		{"x,error=100%:read", 1000000, 0, 1u << DISK_READ, -EIO},
		{"x,error=0.5%:ENOSPC", 5000, 0, DISK_OPS_ALL, -ENOSPC},
		{"x,error=0.0001%:flush:EIO", 1, 0, 1u << DISK_FLUSH, -EIO},
		{"x,error=1/100:read:ENOSPC", 0, 100, 1u << DISK_READ, -ENOSPC},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), 0);
		assert_int_equal(spec.filter[0].kind, DISK_SPEC_ERROR);
		assert_int_equal(spec.filter[0].error.ppm, rows[i].ppm);
		assert_int_equal(spec.filter[0].error.every, rows[i].every);
		assert_int_equal(spec.filter[0].error.ops, rows[i].ops);
		assert_int_equal(spec.filter[0].error.error, rows[i].error);
	}
}

static void the_rest(void **state)
{
	assert_int_equal(
		parse("x,iops=100,iops=200:7,bps=1M,bps=2M:64K,log=/l,volatile,volatile=9"), 0);
	assert_int_equal(spec.filters, 7);
	assert_int_equal(spec.filter[0].limit.iops, 100);
	assert_int_equal(spec.filter[0].limit.iops_burst, 0);
	assert_int_equal(spec.filter[1].limit.iops, 200);
	assert_int_equal(spec.filter[1].limit.iops_burst, 7);
	assert_int_equal(spec.filter[2].limit.bps, 1 << 20);
	assert_int_equal(spec.filter[2].limit.iops, 0);
	assert_int_equal(spec.filter[3].limit.bps_burst, 65536);
	assert_string_equal(spec.filter[4].log, "/l");
	assert_int_equal(spec.filter[5].seed, 1);
	assert_int_equal(spec.filter[6].seed, 9);
	assert_int_equal(parse("x,ro"), 1);
	assert_int_equal(parse("x,delays=1ms"), 1);
	assert_int_equal(parse("x,"), 1);
}

static void mistakes_are_one_line(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"", "needs a file name"},
		{"memory:", "multiple of 512"},
		{"null:100", "multiple of 512"},
		{"nbd:", "not an NBD URI"},
		{"nbd:host", "not an NBD URI"},
		{"nbd+unix:/sock", "not an NBD URI"},
		{"nbds://host", "TLS"},
		{"nbd:nbds+unix:///?socket=x", "TLS"},
		{"x,delay", "delay needs a value"},
		{"x,delay=", "write 5ms"},
		{"x,delay=5", "write 5ms"},
		{"x,delay=5m", "write 5ms"},
		{"x,delay=-5ms", "write 5ms"},
		{"x,delay=5-", "write 5ms"},
		{"x,delay=20-1ms", "write 5ms"},
		{"x,delay=5ms-20", "write 5ms"},
		{"x,delay=3601s", "write 5ms"},
		{"x,delay=99999999999999999999s", "write 5ms"},
		{"x,delay=5ms:trim", "write 5ms"},
		{"x,delay=5ms:", "write 5ms"},
		{"x,error=1", "write 1% or 1/100"},
		{"x,error=0%", "write 1% or 1/100"},
		{"x,error=101%", "write 1% or 1/100"},
		{"x,error=100.1%", "write 1% or 1/100"},
		{"x,error=1.%", "write 1% or 1/100"},
		{"x,error=0.00001%", "write 1% or 1/100"},
		{"x,error=%", "write 1% or 1/100"},
		{"x,error=1/0", "write 1% or 1/100"},
		{"x,error=2/3", "write 1% or 1/100"},
		{"x,error=1%:EPERM", "write 1% or 1/100"},
		{"x,error=1%:EIO:read", "write 1% or 1/100"},
		{"x,error=1%:read:EIO:x", "write 1% or 1/100"},
		{"x,iops=0", "iops=N"},
		{"x,iops=1000001", "iops=N"},
		{"x,iops=10:0", "iops=N"},
		{"x,iops=1k", "iops=N"},
		{"x,bps=1", "64K"},
		{"x,bps=1025G", "64K"},
		{"x,bps=1M:2G", "burst 2G"},
		{"x,log=", "file name"},
		{"x,volatile=x", "seed"},
		{"x,volatile=", "seed"},
		{"x,volatile,volatile,volatile,volatile,volatile,volatile,volatile,volatile,volatile",
			"at most 8"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(parse(rows[i].text), -EINVAL);
		if (!strstr(e.text, rows[i].says) || strncmp(e.text, "--disk", 6) ||
			strchr(e.text, '\n'))
			fail_msg("%s: %s", rows[i].text, e.text);
	}
}

static void opens_the_whole_stack(void **state)
{
	char path[] = "/tmp/enlite-spec-XXXXXX", all[128];
	static const char *const names[] = {"volatile", "log", "limit", "error", "delay", "memory"};
	struct disk_file_options o = {0};
	struct disk *disk;
	uint32_t depth = 0;

	close(mkstemp(path));
	snprintf(all, sizeof(all), "memory:1M,delay=1us,error=1/9,iops=9,log=%s,volatile", path);
	assert_int_equal(parse(all), 0);
	assert_int_equal(disk_spec_open(&disk, &spec, &o, &e), 0);
	for (struct disk *d = disk; d; d = d->lower)
		assert_string_equal(d->ops->name, names[depth++]);
	assert_int_equal(depth, 6);
	assert_int_equal(disk->info.size, 1 << 20);
	disk_close(disk);
	unlink(path);
}

/* What was open already is closed: the leak checker says so. */
static void a_stack_that_cannot_be_opened_leaves_nothing(void **state)
{
	struct disk_file_options o = {0};
	struct disk *disk;

	assert_int_equal(parse("memory:1M,delay=1us,log=/nonexistent/x,volatile"), 0);
	assert_int_equal(disk_spec_open(&disk, &spec, &o, &e), -ENOENT);
	assert_int_equal(parse("/nonexistent/disk,delay=1us"), 0);
	assert_int_equal(disk_spec_open(&disk, &spec, &o, &e), -ENOENT);
	assert_int_equal(parse("nbd+unix:///?socket=/nonexistent/sock"), 0);
	assert_true(disk_spec_open(&disk, &spec, &o, &e) < 0);
	assert_non_null(strstr(e.text, "is the server running?"));
}

static void numbers(void **state)
{
	static const char *const bad[] = {"", "x", "-1", "+1", " 1", "1 ", "1KB", "K", "0x10",
		"1.5", "99999999999999999999", "1T", "17179869184G"};
	uint64_t v;

	assert_int_equal(parse_size("0", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(parse_size("17179869183g", &v), 0);
	assert_int_equal(v, 17179869183ull << 30);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(parse_number("5", 5, 6, &v), 0);
	assert_int_equal(parse_number("6", 5, 6, &v), 0);
	assert_int_equal(parse_number("4", 5, 6, &v), -EINVAL);
	assert_int_equal(parse_number("7", 5, 6, &v), -EINVAL);
	assert_int_equal(parse_number("5K", 5, 6, &v), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources),
		cmocka_unit_test(delays),
		cmocka_unit_test(errors),
		cmocka_unit_test(the_rest),
		cmocka_unit_test(mistakes_are_one_line),
		cmocka_unit_test(opens_the_whole_stack),
		cmocka_unit_test(a_stack_that_cannot_be_opened_leaves_nothing),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
