/* SPDX-License-Identifier: MIT */
/* The MSR table of the spec sheet, section 2: access, reset values, gates, page MSRs. */
#include <errno.h>
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

static void assert_faults(uint32_t msr, uint64_t value)
{
	assert_int_equal(fake_wrmsr(&m, 0, msr, value), -EPERM);
}

static void assert_read_faults(uint32_t msr)
{
	uint64_t value;

	assert_int_equal(hv_msr_read(&m.hv, 0, msr, &value), -EPERM);
}

enum { R = 1, W = 2 };

static const struct {
	uint32_t first, last;
	int access;
} known[] = {
	{0x40000000, 0x40000001, R | W},
	{0x40000002, 0x40000002, R},
	{0x40000003, 0x40000003, R | W},
	{0x40000020, 0x40000020, R},
	{0x40000021, 0x40000021, R | W},
	{0x40000022, 0x40000023, R},
	{0x40000073, 0x40000073, R | W},
	{0x40000080, 0x40000080, R | W},
	{0x40000081, 0x40000081, R},
	{0x40000082, 0x40000084, R | W},
	{0x40000090, 0x4000009F, R | W},
	{0x400000B0, 0x400000B7, R | W},
	{0x40000100, 0x40000105, R | W},
	{0x40000118, 0x40000118, R | W},
};

static int access_of(uint32_t msr)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (msr >= known[i].first && msr <= known[i].last)
			return known[i].access;
	return 0;
}

/* A value every writable MSR takes. */
static uint64_t harmless(uint32_t msr)
{
	return msr >= HV_MSR_SINT0 && msr <= HV_MSR_SINT15 ? HV_SINT_MASKED : 0;
}

static void whole_range_reads_and_writes_as_listed(void **state)
{
	for (uint32_t msr = HV_MSR_FIRST - 1; msr <= HV_MSR_LAST + 1; msr++) {
		uint64_t value;
		int access = access_of(msr);
		int rd = hv_msr_read(&m.hv, 0, msr, &value);
		int wr = fake_wrmsr(&m, 0, msr, harmless(msr));

		if (rd != (access & R ? 0 : -EPERM) || wr != (access & W ? 0 : -EPERM))
			fail_msg("MSR 0x%x: read %d write %d", msr, rd, wr);
	}
}

static void reset_values(void **state)
{
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_GUEST_OS_ID), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SCONTROL), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SVERSION), 1);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SIMP), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SIEFP), 0);
	for (uint32_t i = 0; i < HV_SINT_COUNT; i++)
		assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SINT0 + i), 0x10000);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_CRASH_CTL), 0xC000000000000000);
}

static void vp_index_is_the_vps(void **state)
{
	for (uint32_t vp = 0; vp < 3; vp++)
		assert_int_equal(fake_rdmsr(&m, vp, HV_MSR_VP_INDEX), vp);
}

static void frequencies(void **state)
{
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_TSC_FREQUENCY), FAKE_TSC_HZ);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_APIC_FREQUENCY), 1000000000);
}

static void features_not_offered_fault(void **state)
{
	struct hv_config config = fake_config(&m);

	hv_fini(&m.hv);
	config.stimer = config.tsc_invariant = false;
	fake_init_config(&m, &config);
	assert_faults(HV_MSR_STIMER0_CONFIG, 0);
	assert_read_faults(HV_MSR_STIMER3_COUNT);
	assert_faults(HV_MSR_TSC_INVARIANT_CTL, 1);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_VP_ASSIST_PAGE, 0x5001), 0);
	assert_int_equal(m.hv.counters.msr_faults, 3);
}

static void reset_bit_resets(void **state)
{
	fake_wrmsr(&m, 0, HV_MSR_RESET, 2);
	assert_int_equal(m.resets, 0);
	fake_wrmsr(&m, 0, HV_MSR_RESET, 1);
	assert_int_equal(m.resets, 1);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_RESET), 0);
}

static void assist_page_reserved_bits_fault(void **state)
{
	assert_int_equal(fake_wrmsr(&m, 1, HV_MSR_VP_ASSIST_PAGE, 0x3001), 0);
	assert_int_equal(fake_rdmsr(&m, 1, HV_MSR_VP_ASSIST_PAGE), 0x3001);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_VP_ASSIST_PAGE), 0);
	for (unsigned bit = 1; bit < 12; bit++)
		assert_faults(HV_MSR_VP_ASSIST_PAGE, 0x3001 | 1ull << bit);
	assert_int_equal(fake_rdmsr(&m, 1, HV_MSR_VP_ASSIST_PAGE), 0x3001);
}

static void tsc_invariant_is_one_way(void **state)
{
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_TSC_INVARIANT_CTL, 0), 0);
	assert_faults(HV_MSR_TSC_INVARIANT_CTL, 2);
	assert_int_equal(m.invariants, 0);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_TSC_INVARIANT_CTL, 1), 0);
	assert_int_equal(fake_wrmsr(&m, 1, HV_MSR_TSC_INVARIANT_CTL, 1), 0);
	assert_int_equal(m.invariants, 1);
	assert_faults(HV_MSR_TSC_INVARIANT_CTL, 0);
	assert_int_equal(fake_rdmsr(&m, 2, HV_MSR_TSC_INVARIANT_CTL), 1);
}

/* ---- hypercall page ------------------------------------------------------ */

#define LINUX_ID 0x8100000601000000ull

static void hypercall_page_needs_an_os_id(void **state)
{
	const uint8_t *page = fake_ram(&m, 0x3000);

	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3001), 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0x3000);
	assert_int_equal(page[0], 0);
	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, LINUX_ID);
	assert_int_equal(fake_rdmsr(&m, 1, HV_MSR_GUEST_OS_ID), LINUX_ID);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3001), 0);
	assert_int_equal(fake_rdmsr(&m, 1, HV_MSR_HYPERCALL), 0x3001);
	assert_int_equal(page[0], 0xF3);
}

static void clearing_the_os_id_disables_the_page(void **state)
{
	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, LINUX_ID);
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3FFD); /* all preserved bits, not locked */
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0x3FFD);
	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0x3FFC);
}

static void hypercall_page_outside_ram_faults(void **state)
{
	static const uint64_t bad[] = {FAKE_OUTSIDE_RAM, 0xFEE00000, GMEM_HIGH_START - HV_PAGE_SIZE,
		GMEM_HIGH_START + FAKE_HIGH_SIZE, 1ull << 52, ~0xFFFull};

	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, LINUX_ID);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_faults(HV_MSR_HYPERCALL, bad[i] | HV_MSR_PAGE_ENABLE);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, GMEM_HIGH_START | 1), 0);
	assert_int_equal(*(uint8_t *)fake_ram(&m, GMEM_HIGH_START), 0xF3);
}

static void locked_hypercall_page_stays(void **state)
{
	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, LINUX_ID);
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3003);
	assert_faults(HV_MSR_HYPERCALL, 0x4001);
	assert_faults(HV_MSR_HYPERCALL, 0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_HYPERCALL), 0x3003);
}

static void disabled_page_is_left_alone(void **state)
{
	uint8_t *page = fake_ram(&m, 0x3000);

	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, LINUX_ID);
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3001);
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x3000);
	page[0] = 0x5A;
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x4001);
	assert_int_equal(page[0], 0x5A);
	page = fake_ram(&m, 0x4000);
	page[1] = 0x5A; /* the same value again is no new enabling */
	fake_wrmsr(&m, 0, HV_MSR_HYPERCALL, 0x4001);
	assert_int_equal(page[1], 0x5A);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(whole_range_reads_and_writes_as_listed),
		TEST(reset_values),
		TEST(vp_index_is_the_vps),
		TEST(frequencies),
		TEST(features_not_offered_fault),
		TEST(reset_bit_resets),
		TEST(assist_page_reserved_bits_fault),
		TEST(tsc_invariant_is_one_way),
		TEST(hypercall_page_needs_an_os_id),
		TEST(clearing_the_os_id_disables_the_page),
		TEST(hypercall_page_outside_ram_faults),
		TEST(locked_hypercall_page_stays),
		TEST(disabled_page_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
