/* SPDX-License-Identifier: MIT */
/* The leaves as numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hyper/hv/hv.h"

static struct hv_cpuid_leaf leaf[HV_CPUID_LEAVES];

static void build(bool tsc_invariant, bool stimer)
{
	struct hv_config config = {.vp_count = 5, .tsc_invariant = tsc_invariant, .stimer = stimer};

	hv_cpuid(&config, leaf);
}

static void leaves_are_consecutive_and_counted(void **state)
{
	build(true, false);
	for (uint32_t i = 0; i < HV_CPUID_LEAVES; i++)
		assert_int_equal(leaf[i].leaf, 0x40000000 + i);
	assert_int_equal(leaf[0].eax, 0x40000006);
}

static void signature_is_hyper_v(void **state)
{
	char vendor[13] = "";

	build(true, false);
	memcpy(vendor, &leaf[0].ebx, 4);
	memcpy(vendor + 4, &leaf[0].ecx, 4);
	memcpy(vendor + 8, &leaf[0].edx, 4);
	assert_string_equal(vendor, "Microsoft Hv");
	assert_memory_equal(&leaf[1].eax, "Hv#1", 4);
}

/* With the reset MSR (bit 7), own registers, extended calls, XMM input. No flush or IPI hints. */
static void features_are_the_baseline(void **state)
{
	build(true, false);
	assert_int_equal(leaf[3].eax, 0x00008A66 | 0x80);
	assert_int_equal(leaf[3].ebx, 0x00120030);
	assert_int_equal(leaf[3].ecx, 0);
	assert_int_equal(leaf[3].edx, 0x00000510);
	assert_int_equal(leaf[4].eax, 0x00000220);
	assert_int_equal(leaf[4].ebx, 0xFFFFFFFF);
	assert_int_equal(leaf[5].eax, 5);
	assert_int_equal(leaf[5].ebx, 5);
}

static void options_add_their_bits(void **state)
{
	build(false, true);
	assert_int_equal(leaf[3].eax, 0x00000A66 | 0x80 | 0x8);
	assert_int_equal(leaf[3].edx, 0x00080510);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_are_consecutive_and_counted),
		cmocka_unit_test(signature_is_hyper_v),
		cmocka_unit_test(features_are_the_baseline),
		cmocka_unit_test(options_add_their_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
