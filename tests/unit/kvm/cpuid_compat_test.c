/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hyper/kvm/cpuid.h"

#define AVX2 (1u << 5)

static const struct kvm_cpuid_entry2 leaves[] = {
	{.function = 0, .eax = 0xD, .ebx = 1, .ecx = 2, .edx = 3},
	{.function = 1, .ecx = 0x1F, .edx = 0xFF},
	{.function = 7, .ebx = AVX2 | 1},
	{.function = 0xD, .eax = 7},
	{.function = 0xD, .index = 2, .eax = 256, .ebx = 576},
	{.function = 0x80000008, .eax = 40},
};

static struct kvm_cpuid2 *table(void)
{
	struct kvm_cpuid2 *t = cpuid_alloc();

	for (size_t i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++)
		assert_true(cpuid_add(t, &leaves[i]));
	return t;
}

static int setup(void **state)
{
	struct kvm_cpuid2 **tables = calloc(2, sizeof(*tables));

	tables[0] = table();
	tables[1] = table();
	*state = tables;
	return 0;
}

static int teardown(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	free(tables[0]);
	free(tables[1]);
	free(tables);
	return 0;
}

static void assert_refused(struct kvm_cpuid2 **tables, const char *text)
{
	struct err e = {""};

	assert_int_equal(cpuid_check_compatible(tables[0], tables[1], &e), -ENOTSUP);
	assert_string_equal(e.text, text);
}

static void equal_tables(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	assert_int_equal(cpuid_check_compatible(tables[0], tables[1], NULL), 0);
}

static void more_is_no_harm(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 7, 0)->ebx |= 1u << 16;
	cpuid_find(tables[1], 0x80000008, 0)->eax = 46;
	assert_int_equal(cpuid_check_compatible(tables[0], tables[1], NULL), 0);
}

static void a_feature_with_a_name(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 7, 0)->ebx &= ~AVX2;
	assert_refused(tables, "this CPU lacks avx2, which the guest may use");
}

static void a_feature_without(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 1, 0)->ecx &= ~2u;
	assert_refused(tables,
		"this CPU lacks a feature that the guest may use: CPUID leaf 0x1.0, ecx bit 1");
}

static void a_leaf_that_is_not_there(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_remove(tables[1], 7, 7);
	assert_refused(tables,
		"this CPU lacks a feature that the guest may use: CPUID leaf 0x7.0, ebx bit 0");
}

static void another_vendor(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 0, 0)->ecx = 9;
	assert_refused(tables, "this CPU is of another vendor");
}

static void another_xsave_layout(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 0xD, 2)->ebx = 600;
	assert_refused(tables, "this CPU has another layout of XSAVE component 2");
}

static void fewer_address_bits(void **state)
{
	struct kvm_cpuid2 **tables = *state;

	cpuid_find(tables[1], 0x80000008, 0)->eax = 39;
	assert_refused(tables, "this CPU has 39 bits of physical addresses, the guest uses 40");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_tables),
		TEST(more_is_no_harm),
		TEST(a_feature_with_a_name),
		TEST(a_feature_without),
		TEST(a_leaf_that_is_not_there),
		TEST(another_vendor),
		TEST(another_xsave_layout),
		TEST(fewer_address_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
