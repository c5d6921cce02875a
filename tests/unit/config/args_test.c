/* SPDX-License-Identifier: MIT */
/* The command line of `enlite run`: what it understands. Mistakes are in wrong_test.c. */
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

#include "config/config.h"
#include "disk/filter/filters.h"

#define ARGS_MAX 160

static struct vm_config o;
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
	int ret;

	e.text[0] = '\0';
	vm_config_free(&o);
	ret = vm_config_init(&o, &e);
	if (!ret)
		ret = vm_config_args(&o, arg_count, args, &e);
	return ret ? ret : vm_config_complete(&o, &e);
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
	assert_int_equal(o.memory.size, 512ull << 20);
	assert_int_equal(o.disk_count, 0);
	assert_string_equal(o.console, "stdio");
	assert_null(o.name);
	assert_int_equal(o.io_threads, VM_AUTO);
	assert_int_equal(o.poll_us, VM_AUTO);
	assert_true(o.reboot);
	assert_int_equal(o.on_crash, VM_ON_CRASH_EXIT);
	assert_int_equal(o.memory_kind, VM_MEMORY_ANONYMOUS);
	assert_int_equal(o.sandbox, VM_SANDBOX_AUTO);
	assert_int_equal(o.ic, (1u << VM_IC_SERVICES) - 1 - (1u << VM_IC_COPY));
	assert_false(o.pin_memory || o.stimer || o.test_device || o.verbose || o.nested || o.pmu);
}

static void every_option(void **state)
{
	assert_int_equal(parse("--initrd", "I", "--append", "a=b c", "--cpus=64", "--memory", "3G",
				 "--console", "none", "--name", "A-b_c.9", "--io-threads", "64",
				 "--no-reboot", "--on-crash", "continue", "--pin-memory",
				 "--stimer", "--test-device", "--verbose", "--nested", "--pmu",
				 "--ic", "copy,heartbeat", "--sandbox", "require", NULL),
		0);
	assert_string_equal(o.initrd, "I");
	assert_string_equal(o.append, "a=b c");
	assert_int_equal(o.cpus, 64);
	assert_int_equal(o.memory.size, 3ull << 30);
	assert_string_equal(o.console, "none");
	assert_string_equal(o.name, "A-b_c.9");
	assert_int_equal(o.io_threads, 64);
	assert_false(o.reboot);
	assert_int_equal(o.on_crash, VM_ON_CRASH_CONTINUE);
	assert_int_equal(o.ic, 1u << VM_IC_COPY | 1u << VM_IC_HEARTBEAT);
	assert_int_equal(o.sandbox, VM_SANDBOX_REQUIRE);
	assert_true(o.pin_memory && o.stimer && o.test_device && o.verbose && o.nested && o.pmu);
}

static void the_last_of_an_option_counts(void **state)
{
	assert_int_equal(
		parse("--cpus", "2", "--cpus", "3", "--memory", "1G", "--memory", "2M",
			"--on-crash", "continue", "--on-crash", "exit", "--kernel", "L", NULL),
		0);
	assert_int_equal(o.cpus, 3);
	assert_int_equal(o.memory.size, 2ull << 20);
	assert_int_equal(o.on_crash, VM_ON_CRASH_EXIT);
	assert_string_equal(o.kernel, "L");
}

static void dynamic_memory(void **state)
{
	static const struct {
		const char *text;
		uint64_t size, min, max;
		uint32_t buffer;
	} good[] = {
		{"512M,max=4G,min=256M,buffer=5%", 512, 256, 4096, 5},
		{"512M,min=256M", 512, 256, 512, 20},
		{"512M,max=1G", 512, 512, 1024, 20},
		{"512M,buffer=0%", 512, 512, 512, 0},
	};
	static const char *const bad[] = {"512M,", "512M,max", "512M,max=", "512M,max=256M",
		"512M,min=1G", "512M,max=1G,max=2G", "512M,buffer=20", "512M,buffer=%",
		"512M,buffer=1001%", "512M,buffer=-1%", "512M,more=1G", "512M,max=1.5G",
		"512M,max=1025K", "512M,,max=1G", "max=1G", ",max=1G", "512M,max=1G,",
		"512M,max=00000000000000000000000000000000000000000000000000000000000000000001G"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(parse("--memory", good[i].text, NULL), 0);
		assert_true(o.memory.dynamic);
		assert_int_equal(o.memory.size, good[i].size << 20);
		assert_int_equal(o.memory.min, good[i].min << 20);
		assert_int_equal(o.memory.max, good[i].max << 20);
		assert_int_equal(o.memory.buffer, good[i].buffer);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse("--memory", bad[i], NULL), -EINVAL);
	assert_int_equal(parse("--memory", "512M", NULL), 0);
	assert_false(o.memory.dynamic);
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
		assert_int_equal(o.memory.size, good[i].size);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused("--memory", bad[i], "--memory: must be a size");
	refused("--memory", "0", "from 1M to 512G, a multiple of 1M");
	refused("--memory", "1025K", "from 1M to 512G, a multiple of 1M");
	refused("--memory", "513G", "from 1M to 512G");
	refused("--memory", "17179869183G",
		"from 1M to 512G"); /* the largest that does not overflow */
}

static void numbers(void **state)
{
	static const char *const bad[] = {
		"", "0", "65", "-1", "+1", "1.0", "1 ", "x", "4294967297", "18446744073709551617"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		refused("--cpus", bad[i], "from 1 to 64");
		refused("--io-threads", bad[i], "auto or a number from 1 to 64");
	}
}

static const void *options_of(const struct schema_value *value, const char *name)
{
	assert_string_equal(value->schema->name, name);
	return value->object;
}

/* The source of disk i, as text. */
static void is_source(uint32_t i, const char *name, const char *text)
{
	char *source = disk_config_source(&o.disks[i]);

	assert_string_equal(o.disks[i].device.source.schema->name, name);
	assert_string_equal(source, text);
	free(source);
}

static void disks(void **state)
{
	assert_int_equal(parse("--disk", "a.img", "--disk", "b,ro,direct,lun=63,serial=S:1/x",
				 "--disk", "memory:3K", NULL),
		0);
	assert_int_equal(o.disk_count, 3);
	is_source(0, "file", "a.img");
	assert_false(o.disks[0].read_only);
	assert_null(o.disks[0].serial);
	is_source(1, "file", "b");
	assert_true(o.disks[1].read_only);
	assert_int_equal(o.disks[1].lun, 63);
	assert_string_equal(o.disks[1].serial, "S:1/x");
	is_source(2, "memory", "memory:3K");
}

static void stacked_disks(void **state)
{
	const struct disk_error_options *error;

	assert_int_equal(parse("--disk", "nbd://h/x,ro,delay=1ms,serial=S,error=1%:read,lun=3",
				 "--disk", "null:1G,volatile", NULL),
		0);
	is_source(0, "nbd", "nbd://h/x");
	assert_true(o.disks[0].read_only);
	assert_int_equal(o.disks[0].lun, 3);
	assert_string_equal(o.disks[0].serial, "S");
	assert_int_equal(o.disks[0].device.filter_count, 2);
	error = options_of(&o.disks[0].device.filters[1], "error");
	assert_int_equal(error->ppm, 10000);
	assert_int_equal(error->ops, 1u << DISK_READ);
	is_source(1, "null", "null:1G");
	assert_int_equal(o.disks[1].device.filter_count, 1);
}

static void free_luns_fill_the_gaps(void **state)
{
	assert_int_equal(
		parse("--disk", "a", "--disk", "b,lun=0", "--disk", "c", "--disk", "d,lun=2", NULL),
		0);
	assert_int_equal(o.disks[0].lun, 1);
	assert_int_equal(o.disks[1].lun, 0);
	assert_int_equal(o.disks[2].lun, 3);
	assert_int_equal(o.disks[3].lun, 2);
}

/* The same text as that of --disk. */
static void cdroms(void **state)
{
	assert_int_equal(
		parse("--cdrom", "a\\,ro.iso", "--disk", "b,lun=0", "--disk", "c,cdrom", NULL), 0);
	is_source(0, "file", "a,ro.iso");
	assert_true(o.disks[0].cdrom && o.disks[0].read_only);
	assert_int_equal(o.disks[0].lun, 1);
	assert_false(o.disks[1].cdrom);
	assert_true(o.disks[2].cdrom && o.disks[2].read_only);
	assert_int_equal(parse("--cdrom", "\"a,b.iso\",lun=7,controller=1", NULL), 0);
	is_source(0, "file", "a,b.iso");
	assert_int_equal(o.disks[0].lun, 7);
	assert_int_equal(o.disks[0].controller, 1);
	refused("--cdrom", "", "--cdrom : file: must be");
	refused("--cdrom", "a,lun=64", "--cdrom a,lun=64: lun: must be");
	refused("--cdrom", "memory:1M", "--cdrom memory:1M: cdrom: a DVD-ROM drive needs");
}

/* LUNs are each controller's own. */
static void controllers(void **state)
{
	assert_int_equal(parse("--disk", "a,controller=3", "--disk", "b", "--disk",
				 "c,lun=0,controller=1", "--disk", "d,controller=1", NULL),
		0);
	assert_int_equal(o.disks[0].controller, 3);
	assert_int_equal(o.disks[0].lun, 0);
	assert_int_equal(o.disks[1].controller, 0);
	assert_int_equal(o.disks[1].lun, 0);
	assert_int_equal(o.disks[2].controller, 1);
	assert_int_equal(o.disks[3].lun, 1);
	assert_int_equal(
		parse("--disk", "a,controller=1,lun=2", "--disk", "b,lun=2,controller=1", NULL),
		-EINVAL);
	assert_non_null(strstr(e.text, "LUN 2 of controller 1 has a disk already"));
	refused("--disk", "a,controller=4", "from 0 to 3");
	refused("--disk", "a,controller=", "from 0 to 3");
	refused("--disk", "a,controller=-1", "from 0 to 3");
}

/* What `disk add` asks for: owned, file names made absolute, the LUN may be left open. */
static void one_disk(void **state)
{
	struct disk_config d, copy;
	char *source;

	assert_int_equal(disk_config_parse(&d, "a.img,ro,serial=S,log=l", "/dir", &e), 0);
	source = disk_config_source(&d);
	assert_string_equal(source, "/dir/a.img");
	free(source);
	assert_true(d.read_only);
	assert_int_equal(d.lun, VM_AUTO);
	assert_int_equal(d.controller, 0);
	assert_string_equal(*(char *const *)options_of(&d.device.filters[0], "log"), "/dir/l");
	assert_int_equal(disk_config_copy(&copy, &d), 0);
	disk_config_free(&d);
	assert_string_equal(copy.serial, "S");
	assert_int_equal(copy.device.filter_count, 1);
	disk_config_free(&copy);
	assert_int_equal(disk_config_parse(&d, "a.img,fast", NULL, &e), -EINVAL);
	assert_memory_equal(e.text, "unknown key 'fast'", 18);
	assert_int_equal(disk_config_parse(&d, "", NULL, &e), -EINVAL);
	assert_memory_equal(e.text, "file: must be", 13);
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
	assert_int_equal(o.disks[1].lun, 0);
	assert_int_equal(o.disks[63].lun, 62);
	parse_disks(65);
	assert_int_equal(parse_args(), -EINVAL);
	assert_non_null(strstr(e.text, "at most 64"));
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
	refused("--ic", "", "all, none or a list");
	refused("--ic", "kvp,", "all, none or a list");
	refused("--ic", "kvp,all", "all, none or a list");
	refused("--ic", "kv", "all, none or a list");
	refused("--ic", "kvpp", "vss, copy");
	refused("--kernel", "", "--kernel: must be the name of a file, not ''");
	refused("--initrd", "", "--initrd: must be the name of a file, not ''");
	refused("--console", "", "--console: must be stdio, none or a file");
	begin();
	assert_int_equal(parse_args(), -EINVAL);
	assert_non_null(strstr(e.text, "kernel: is missing"));
}

static void long_values_are_cut(void **state)
{
	char *value = malloc(100001);

	assert_non_null(value);
	memset(value, 'x', 100000);
	value[100000] = '\0';
	refused("--memory", value, "xxx");
	refused("--disk", "x,lun=99999999999999999999999999999", "from 0 to 63");
	free(value);
}

static int free_args(void **state)
{
	begin();
	free(args[0]);
	arg_count = 0;
	vm_config_free(&o);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_option),
		cmocka_unit_test(the_last_of_an_option_counts),
		cmocka_unit_test(dynamic_memory),
		cmocka_unit_test(sizes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(disks),
		cmocka_unit_test(stacked_disks),
		cmocka_unit_test(free_luns_fill_the_gaps),
		cmocka_unit_test(cdroms),
		cmocka_unit_test(controllers),
		cmocka_unit_test(one_disk),
		cmocka_unit_test(all_luns_and_one_more),
		cmocka_unit_test(names),
		cmocka_unit_test(unknown_and_incomplete),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, free_args);
}
