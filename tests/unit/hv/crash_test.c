/* SPDX-License-Identifier: MIT */
/* Crash MSRs: parameters, text, and every way to lie about the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/hv/fake_partition.h"

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static void notify(uint64_t gpa, uint64_t size)
{
	fake_wrmsr(&m, 0, HV_MSR_CRASH_P0 + 3, gpa);
	fake_wrmsr(&m, 1, HV_MSR_CRASH_P0 + 4, size);
	fake_wrmsr(&m, 2, HV_MSR_CRASH_CTL, HV_CRASH_CTL_NOTIFY | HV_CRASH_CTL_MESSAGE);
}

static void parameters_are_kept_and_reported(void **state)
{
	for (uint32_t i = 0; i < HV_CRASH_PARAMS; i++)
		fake_wrmsr(&m, 0, HV_MSR_CRASH_P0 + i, 0x1111111111111111 * (i + 1));
	assert_int_equal(fake_rdmsr(&m, 2, HV_MSR_CRASH_P4), 0x5555555555555555);
	assert_int_equal(m.crashes, 0);
	fake_wrmsr(&m, 0, HV_MSR_CRASH_CTL, HV_CRASH_CTL_NOTIFY);
	assert_int_equal(m.crashes, 1);
	for (uint32_t i = 0; i < HV_CRASH_PARAMS; i++)
		assert_int_equal(m.crash.param[i], 0x1111111111111111 * (i + 1));
	assert_string_equal(m.crash.message, "");
}

static void control_reads_capabilities(void **state)
{
	fake_wrmsr(&m, 0, HV_MSR_CRASH_CTL, HV_CRASH_CTL_MESSAGE); /* no notify: nothing */
	assert_int_equal(m.crashes, 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_CRASH_CTL), 0xC000000000000000);
}

static void text_is_copied(void **state)
{
	memcpy(fake_ram(&m, 0x3010), "Kernel panic - not syncing", 27);
	notify(0x3010, 12);
	assert_string_equal(m.crash.message, "Kernel panic");
	assert_int_equal(m.crash.param[3], 0x3010);
}

static void text_is_bounded(void **state)
{
	memset(fake_ram(&m, 0x3000), 'x', 2 * HV_PAGE_SIZE);
	notify(0x3000, ~0ull);
	assert_int_equal(strlen(m.crash.message), HV_PAGE_SIZE);
	notify(0x3800, HV_PAGE_SIZE); /* it may cross a page */
	assert_int_equal(strlen(m.crash.message), HV_PAGE_SIZE);
}

static void text_outside_ram_is_dropped(void **state)
{
	memset(fake_ram(&m, FAKE_LOW_SIZE - HV_PAGE_SIZE), 'x', HV_PAGE_SIZE);
	notify(FAKE_LOW_SIZE - 100, 101);
	assert_string_equal(m.crash.message, "");
	notify(~0ull, 16);
	assert_string_equal(m.crash.message, "");
	notify(0xFEE00000, 4096);
	assert_string_equal(m.crash.message, "");
	notify(FAKE_LOW_SIZE - 100, 100);
	assert_int_equal(strlen(m.crash.message), 100);
	notify(FAKE_LOW_SIZE - 100, 0);
	assert_string_equal(m.crash.message, "");
	assert_int_equal(m.hv.counters.crashes, 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(parameters_are_kept_and_reported),
		TEST(control_reads_capabilities),
		TEST(text_is_copied),
		TEST(text_is_bounded),
		TEST(text_outside_ram_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
