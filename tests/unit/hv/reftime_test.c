/* SPDX-License-Identifier: MIT */
/* Reference time and its page, spec sheet section 7. */
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

static void restart(uint64_t tsc_hz)
{
	struct hv_config config = fake_config(&m);

	hv_fini(&m.hv);
	config.tsc_hz = tsc_hz;
	fake_init_config(&m, &config);
}

/* What a guest computes. */
static uint64_t page_time(const struct hv_reference_tsc_page *page, uint64_t tsc)
{
	return (uint64_t)(((unsigned __int128)tsc * page->scale) >> 64) + (uint64_t)page->offset;
}

static void starts_at_zero_and_counts_100ns(void **state)
{
	assert_int_equal(hv_ref_time(&m.hv), 0);
	fake_advance(&m, 12345);
	assert_int_equal(hv_ref_time(&m.hv), 12345);
	assert_int_equal(fake_rdmsr(&m, 2, HV_MSR_TIME_REF_COUNT), 12345);
}

static void scale_is_the_sheets(void **state)
{
	restart(2500000000);
	assert_int_equal(m.hv.tsc_scale, 0x010624DD2F1A9FBE);
}

/* 2^63 TSC ticks are 117 years at 2.5 GHz: no intermediate overflow. */
static void large_tsc(void **state)
{
	restart(2500000000);
	m.tsc = 1000 * FAKE_TICK + (1ull << 63);
	assert_true(hv_ref_time(&m.hv) > (1ull << 63) / 250 - 2);
	assert_true(hv_ref_time(&m.hv) <= (1ull << 63) / 250);
}

static void tsc_behind_the_start_gives_zero(void **state)
{
	m.tsc = 0;
	assert_int_equal(hv_ref_time(&m.hv), 0);
}

static void unusable_frequency(void **state)
{
	static const uint64_t hz[] = {0, 1, 9999999, 10000000};
	struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);

	for (size_t i = 0; i < sizeof(hz) / sizeof(hz[0]); i++) {
		restart(hz[i]);
		m.tsc = ~0ull;
		assert_int_equal(hv_ref_time(&m.hv), 0);
		page->sequence = 77;
		fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
		assert_int_equal(page->sequence, 0);
	}
}

/* Linux enables it at early boot, before it tells its OS id. */
static void page_agrees_with_the_msr(void **state)
{
	const struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);

	restart(2394987654);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3FFF), 0);
	assert_int_equal(fake_rdmsr(&m, 1, HV_MSR_REFERENCE_TSC), 0x3FFF);
	assert_int_not_equal(page->sequence, 0);
	for (unsigned i = 0; i < 1000; i++) {
		m.tsc += 0x123456789ull + i;
		assert_int_equal(page_time(page, m.tsc), fake_rdmsr(&m, 0, HV_MSR_TIME_REF_COUNT));
	}
}

static void sequence_skips_the_reserved_values(void **state)
{
	const struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);

	m.hv.tsc_sequence = 0xFFFFFFFE - 1;
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	assert_int_equal(page->sequence, 0xFFFFFFFE);
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	assert_int_equal(page->sequence, 1);
}

static void disabled_page_is_left_alone(void **state)
{
	struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);

	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	page->sequence = 0xDEADBEEF;
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3000);
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x4001);
	assert_int_equal(page->sequence, 0xDEADBEEF);
}

static void page_outside_ram_is_accepted_and_ignored(void **state)
{
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, FAKE_OUTSIDE_RAM | 1), 0);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, ~0ull), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_REFERENCE_TSC), ~0ull);
}

/* A KVM that can stop the guest's TSC. */
static void a_pause_with_a_tsc_that_stops_changes_nothing(void **state)
{
	const struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);
	uint32_t sequence;

	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	sequence = page->sequence;
	fake_advance(&m, 777);
	hv_time_pause(&m.hv);
	hv_time_resume(&m.hv);
	assert_int_equal(hv_ref_time(&m.hv), 777);
	assert_int_equal(page->sequence, sequence);
}

static void a_pause_with_a_tsc_that_runs_on(void **state)
{
	const struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);
	uint32_t sequence;

	restart(2394987654);
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t time = hv_ref_time(&m.hv);

		sequence = page->sequence;
		hv_time_pause(&m.hv);
		m.tsc += 0x987654321ull + i;
		assert_int_equal(hv_ref_time(&m.hv), time);
		hv_time_resume(&m.hv);
		assert_int_equal(hv_ref_time(&m.hv), time);
		assert_int_equal(page_time(page, m.tsc), time);
		assert_int_not_equal(page->sequence, sequence);
		assert_int_not_equal(page->sequence, 0);
		m.tsc += 12345;
		assert_int_equal(page_time(page, m.tsc), hv_ref_time(&m.hv));
	}
}

static void a_pause_leaves_a_disabled_page_alone(void **state)
{
	struct hv_reference_tsc_page *page = fake_ram(&m, 0x3000);

	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3001);
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, 0x3000);
	page->sequence = 0xDEADBEEF;
	hv_time_pause(&m.hv);
	fake_advance(&m, 5);
	hv_time_resume(&m.hv);
	assert_int_equal(page->sequence, 0xDEADBEEF);
	assert_int_equal(hv_ref_time(&m.hv), 0);
}

/* A stimer counts time that the guest had, not the pause. */
static void a_pause_does_not_expire_a_stimer(void **state)
{
	fake_synic_on(&m, 0);
	fake_wrmsr(&m, 0, HV_MSR_STIMER0_COUNT, 1000);
	fake_wrmsr(&m, 0, HV_MSR_STIMER0_CONFIG,
		HV_STIMER_ENABLE | (uint64_t)FAKE_SINT << HV_STIMER_SINT_SHIFT);
	fake_advance(&m, 900);
	hv_time_pause(&m.hv);
	fake_advance(&m, 100000);
	hv_time_resume(&m.hv);
	hv_stimer_expire(&m.hv, 0);
	assert_int_equal(fake_slot(&m, 0, FAKE_SINT)->type, HV_MESSAGE_TYPE_NONE);
	assert_int_equal(m.armed[0], 1000);
	fake_advance(&m, 100);
	hv_stimer_expire(&m.hv, 0);
	assert_int_equal(fake_slot(&m, 0, FAKE_SINT)->type, HV_MESSAGE_TYPE_TIMER);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(starts_at_zero_and_counts_100ns),
		TEST(scale_is_the_sheets),
		TEST(large_tsc),
		TEST(tsc_behind_the_start_gives_zero),
		TEST(unusable_frequency),
		TEST(page_agrees_with_the_msr),
		TEST(sequence_skips_the_reserved_values),
		TEST(disabled_page_is_left_alone),
		TEST(page_outside_ram_is_accepted_and_ignored),
		TEST(a_pause_with_a_tsc_that_stops_changes_nothing),
		TEST(a_pause_with_a_tsc_that_runs_on),
		TEST(a_pause_leaves_a_disabled_page_alone),
		TEST(a_pause_does_not_expire_a_stimer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
