/* SPDX-License-Identifier: MIT */
/* What `enlite run` understands, and what it says to mistakes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"

#define ARGS_MAX 160

static struct run_options o;
static struct err e;
static char *args[ARGS_MAX + 1];
static int arg_count;

/* The parser may write into its arguments. */
static void add(const char *text)
{
	assert_true(arg_count < ARGS_MAX);
	args[arg_count] = strdup(text);
	assert_non_null(args[arg_count]);
	args[++arg_count] = NULL;
}

static void begin(void)
{
	for (int i = 0; i < arg_count; i++)
		free(args[i]);
	arg_count = 0;
	add("run");
}

static int parse_args(void)
{
	e.text[0] = '\0';
	return options_parse(&o, arg_count, args, &e);
}

/* The arguments behind --kernel K, up to NULL. */
static int parse(const char *first, ...)
{
	va_list list;

	begin();
	add("--kernel");
	add("K");
	va_start(list, first);
	for (const char *text = first; text; text = va_arg(list, const char *))
		add(text);
	va_end(list);
	return parse_args();
}

static void refused(const char *option, const char *value, const char *says)
{
	assert_int_equal(parse(option, value, NULL), -EINVAL);
	if (!strstr(e.text, says))
		fail_msg("%s %s: \"%s\" does not say \"%s\"", option, value, e.text, says);
	assert_null(strchr(e.text, '\n'));
}

static void defaults(void **state)
{
	assert_int_equal(parse(NULL), 0);
	assert_string_equal(o.kernel, "K");
	assert_null(o.initrd);
	assert_string_equal(o.append, "");
	assert_int_equal(o.cpus, 1);
	assert_int_equal(o.memory, 512ull << 20);
	assert_int_equal(o.disk_count, 0);
	assert_string_equal(o.console, "stdio");
	assert_null(o.name);
	assert_int_equal(o.io_threads, 0);
	assert_true(o.reboot);
	assert_false(o.continue_on_crash || o.pin_memory || o.stimer || o.test_device || o.verbose);
}

static void every_option(void **state)
{
	assert_int_equal(parse("--initrd", "I", "--append", "a=b c", "--cpus=64", "--memory", "3G",
				 "--console", "none", "--name", "A-b_c.9", "--io-threads", "64",
				 "--no-reboot", "--on-crash", "continue", "--pin-memory",
				 "--stimer", "--test-device", "--verbose", NULL),
		0);
	assert_string_equal(o.initrd, "I");
	assert_string_equal(o.append, "a=b c");
	assert_int_equal(o.cpus, 64);
	assert_int_equal(o.memory, 3ull << 30);
	assert_string_equal(o.console, "none");
	assert_string_equal(o.name, "A-b_c.9");
	assert_int_equal(o.io_threads, 64);
	assert_false(o.reboot);
	assert_true(o.continue_on_crash && o.pin_memory && o.stimer && o.test_device && o.verbose);
}

static void the_last_of_an_option_counts(void **state)
{
	assert_int_equal(
		parse("--cpus", "2", "--cpus", "3", "--memory", "1G", "--memory", "2M",
			"--on-crash", "continue", "--on-crash", "exit", "--kernel", "L", NULL),
		0);
	assert_int_equal(o.cpus, 3);
	assert_int_equal(o.memory, 2ull << 20);
	assert_false(o.continue_on_crash);
	assert_string_equal(o.kernel, "L");
}

static void sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
	} good[] = {
		{"1048576", 1ull << 20},
		{"1024K", 1ull << 20},
		{"1024k", 1ull << 20},
		{"1m", 1ull << 20},
		{"007M", 7ull << 20},
		{"512G", 512ull << 30},
	};
	static const char *const bad[] = {"", "M", "-1M", "+1M", " 1M", "1M ", "1MM", "1Mi", "1T",
		"1.5G", "0x10M", "1e3M", "99999999999999999999G", "17179869184G",
		"18446744073709551616", "nan"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse("--memory", good[i].text, NULL), 0);
		assert_int_equal(o.memory, good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused("--memory", bad[i], "not a size");
	refused("--memory", "0", "positive number of MiB");
	refused("--memory", "1025K", "positive number of MiB");
	refused("--memory", "513G", "at most 512G");
	refused("--memory", "17179869183G",
		"at most 512G"); /* the largest that does not overflow */
}

static void numbers(void **state)
{
	static const char *const bad[] = {
		"", "0", "65", "-1", "+1", "1.0", "1 ", "x", "4294967297", "18446744073709551617"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused("--cpus", bad[i], "from 1 to 64");
		refused("--io-threads", bad[i], "from 1 to 64");
	}
}

static void disks(void **state)
{
	assert_int_equal(parse("--disk", "a.img", "--disk", "b,ro,direct,lun=63,serial=S:1/x",
				 "--disk", "memory:3K", NULL),
		0);
	assert_int_equal(o.disk_count, 3);
	assert_int_equal(o.disk[0].spec.kind, DISK_SPEC_FILE);
	assert_string_equal(o.disk[0].spec.name, "a.img");
	assert_false(o.disk[0].read_only || o.disk[0].direct);
	assert_string_equal(o.disk[0].serial, "");
	assert_true(o.disk[1].read_only && o.disk[1].direct);
	assert_int_equal(o.disk[1].lun, 63);
	assert_string_equal(o.disk[1].serial, "S:1/x");
	assert_int_equal(o.disk[2].spec.kind, DISK_SPEC_MEMORY);
	assert_int_equal(o.disk[2].spec.size, 3072);
}

static void stacked_disks(void **state)
{
	assert_int_equal(parse("--disk", "nbd://h/x,ro,delay=1ms,serial=S,error=1%:read,lun=3",
				 "--disk", "null:1G,volatile", NULL),
		0);
	assert_int_equal(o.disk[0].spec.kind, DISK_SPEC_NBD);
	assert_string_equal(o.disk[0].spec.name, "nbd://h/x");
	assert_true(o.disk[0].read_only);
	assert_int_equal(o.disk[0].lun, 3);
	assert_string_equal(o.disk[0].serial, "S");
	assert_int_equal(o.disk[0].spec.filters, 2);
	assert_int_equal(o.disk[0].spec.filter[1].kind, DISK_SPEC_ERROR);
	assert_int_equal(o.disk[1].spec.kind, DISK_SPEC_NULL);
	assert_int_equal(o.disk[1].spec.filters, 1);
}

static void free_luns_fill_the_gaps(void **state)
{
	assert_int_equal(
		parse("--disk", "a", "--disk", "b,lun=0", "--disk", "c", "--disk", "d,lun=2", NULL),
		0);
	assert_int_equal(o.disk[0].lun, 1);
	assert_int_equal(o.disk[1].lun, 0);
	assert_int_equal(o.disk[2].lun, 3);
	assert_int_equal(o.disk[3].lun, 2);
}

static void cdroms(void **state)
{
	assert_int_equal(parse("--cdrom", "a,ro.iso", "--disk", "b,lun=0", NULL), 0);
	assert_string_equal(o.disk[0].spec.name, "a,ro.iso");
	assert_true(o.disk[0].cdrom && o.disk[0].read_only);
	assert_int_equal(o.disk[0].lun, 1);
	assert_false(o.disk[1].cdrom);
	assert_int_equal(parse("--cdrom", "", NULL), -EINVAL);
	assert_int_equal(
		parse("--cdrom", "a,b.iso,lun=7,controller=1", "--disk", "c,ro,cdrom", NULL), 0);
	assert_string_equal(o.disk[0].spec.name, "a,b.iso");
	assert_int_equal(o.disk[0].lun, 7);
	assert_int_equal(o.disk[0].controller, 1);
	assert_true(o.disk[1].cdrom);
	assert_int_equal(parse("--cdrom", ",lun=3", NULL), -EINVAL);
	assert_int_equal(parse("--cdrom", "a,lun=64", NULL), -EINVAL);
	assert_non_null(strstr(e.text, "--cdrom: lun=64"));
}

/* LUNs are each controller's own. */
static void controllers(void **state)
{
	assert_int_equal(parse("--disk", "a,controller=3", "--disk", "b", "--disk",
				 "c,lun=0,controller=1", "--disk", "d,controller=1", NULL),
		0);
	assert_int_equal(o.disk[0].controller, 3);
	assert_int_equal(o.disk[0].lun, 0);
	assert_int_equal(o.disk[1].controller, 0);
	assert_int_equal(o.disk[1].lun, 0);
	assert_int_equal(o.disk[2].controller, 1);
	assert_int_equal(o.disk[3].lun, 1);
	assert_int_equal(
		parse("--disk", "a,controller=1,lun=2", "--disk", "b,lun=2,controller=1", NULL),
		-EINVAL);
	assert_non_null(strstr(e.text, "two disks on LUN 2"));
	refused("--disk", "a,controller=4", "0 to 3");
	refused("--disk", "a,controller=", "0 to 3");
	refused("--disk", "a,controller=-1", "0 to 3");
}

/* What `disk add` asks for: the names point into the text, the LUN may be left open. */
static void one_disk(void **state)
{
	char text[] = "a.img,ro,serial=S", bad[] = "a.img,fast", none[] = "";
	struct disk_option d;

	assert_int_equal(options_parse_disk(&d, "disk add", text, &e), 0);
	assert_ptr_equal(d.spec.name, text);
	assert_string_equal(d.source, "a.img");
	assert_true(d.read_only);
	assert_int_equal(d.lun, -1);
	assert_int_equal(d.controller, 0);
	assert_int_equal(options_parse_disk(&d, "disk add", bad, &e), -EINVAL);
	assert_memory_equal(e.text, "disk add: unknown flag 'fast'", 29);
	assert_int_equal(options_parse_disk(&d, "disk add", none, &e), -EINVAL);
	assert_memory_equal(e.text, "disk add needs a file name", 26);
}

static void parse_disks(unsigned count)
{
	begin();
	add("--kernel=K");
	for (unsigned i = 0; i < count; i++)
		add(i == 0 ? "--disk=x,lun=63" : "--disk=x");
}

static void all_luns_and_one_more(void **state)
{
	parse_disks(64);
	assert_int_equal(parse_args(), 0);
	assert_int_equal(o.disk[1].lun, 0);
	assert_int_equal(o.disk[63].lun, 62);
	parse_disks(65);
	assert_int_equal(parse_args(), -EINVAL);
	assert_non_null(strstr(e.text, "at most 64"));
}

static void bad_disks(void **state)
{
	static const struct {
		const char *spec, *says;
	} bad[] = {
		{"", "needs a file name"},
		{",ro", "needs a file name"},
		{"x,", "unknown flag ''"},
		{"x,fast", "unknown flag 'fast'"},
		{"x,RO", "unknown flag 'RO'"},
		{"x,ro=1", "unknown flag 'ro=1'"},
		{"x,lun=64", "0 to 63"},
		{"x,lun=-1", "0 to 63"},
		{"x,lun=", "0 to 63"},
		{"x,lun=1x", "0 to 63"},
		{"x,serial=", "1 to 32"},
		{"x,serial=123456789012345678901234567890123", "1 to 32"},
		{"x,serial=a b", "printable"},
		{"x,serial=\xc3\xa9", "printable"},
		{"x,serial=a,b", "unknown flag 'b'"},
		{"memory:", "multiple of 512"},
		{"memory:0", "multiple of 512"},
		{"memory:513", "multiple of 512"},
		{"memory:1.5G", "multiple of 512"},
		{"memory:1M,ro", "cannot be read-only"},
		{"memory:1M,direct", "cannot be direct"},
		{"memory:1M,cdrom", "needs a file"},
		{"null:1M,cdrom", "needs a file"},
		{"null:1M,ro", "cannot be read-only"},
		{"nbd://h,direct", "cannot be direct"},
		{"nbds://h", "TLS"},
		{"x,delay", "delay needs a value"},
		{"x,delay=5", "write 5ms"},
		{"x,error=1", "write 1% or 1/100"},
		{"x,iops=0", "iops=N"},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused("--disk", bad[i].spec, bad[i].says);
	assert_int_equal(parse("--disk", "a,lun=5", "--disk", "b,lun=5", NULL), -EINVAL);
	assert_non_null(strstr(e.text, "two disks on LUN 5"));
	assert_int_equal(parse("--disk", "x,serial=12345678901234567890123456789012", NULL), 0);
}

static void names(void **state)
{
	char longest[66];

	memset(longest, 'n', sizeof(longest));
	longest[64] = '\0';
	assert_int_equal(parse("--name", longest, NULL), 0);
	longest[64] = 'n';
	longest[65] = '\0';
	refused("--name", longest, "1 to 64");
	refused("--name", "", "1 to 64");
	refused("--name", "a/b", "'a/b'");
	refused("--name", "..", "not starting with '.'");
	refused("--name", "a b", "'a b'");
}

static void unknown_and_incomplete(void **state)
{
	refused("--sound", NULL, "unknown option --sound");
	refused("-x", NULL, "unknown option -x");
	refused("-xyz", NULL, "unknown option -x");
	assert_int_equal(parse(NULL), 0);          /* nothing of the group is left */
	refused("--c", "1", "unknown option --c"); /* cpus or console */
	refused("--cpus", NULL, "--cpus needs a value");
	refused("--stimer=1", NULL, "--stimer=1 takes no value");
	refused("disk.img", NULL, "unexpected argument 'disk.img'");
	refused("--", "x", "unexpected argument 'x'");
	refused("--on-crash", "maybe", "exit or continue");
	refused("--kernel", "", "--kernel: the file name is empty");
	refused("--initrd", "", "--initrd: the file name is empty");
	refused("--console", "", "--console: the file name is empty");
	begin();
	assert_int_equal(parse_args(), -EINVAL);
	assert_non_null(strstr(e.text, "no --kernel"));
}

static void long_values_are_cut(void **state)
{
	char *value = malloc(100001);

	assert_non_null(value);
	memset(value, 'x', 100000);
	value[100000] = '\0';
	refused("--memory", value, "xxx");
	refused("--disk", "x,lun=99999999999999999999999999999", "0 to 63");
	free(value);
}

static int free_args(void **state)
{
	begin();
	free(args[0]);
	arg_count = 0;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_option),
		cmocka_unit_test(the_last_of_an_option_counts),
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(disks),
		cmocka_unit_test(stacked_disks),
		cmocka_unit_test(free_luns_fill_the_gaps),
		cmocka_unit_test(cdroms),
		cmocka_unit_test(controllers),
		cmocka_unit_test(one_disk),
		cmocka_unit_test(all_luns_and_one_more),
		cmocka_unit_test(bad_disks),
		cmocka_unit_test(names),
		cmocka_unit_test(unknown_and_incomplete),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, free_args);
}
