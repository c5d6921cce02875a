/* SPDX-License-Identifier: MIT */
/*
 * Guest CPUID tables made from the tables of several hosts: an Intel and an AMD machine, each as an
 * older KVM reports it (with its host's topology) and as Linux 6.2 and later do (with zeroes).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hyper/kvm/cpuid.h"

#define VMX     (1u << 5)
#define SVM     (1u << 2)
#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define HTT     (1u << 28)

static struct kvm_cpuid2 *cpuid;

static void add(uint32_t function, uint32_t index, uint32_t flags, uint32_t eax, uint32_t ebx,
	uint32_t ecx, uint32_t edx)
{
	const struct kvm_cpuid_entry2 entry = {
		.function = function,
		.index = index,
		.flags = flags,
		.eax = eax,
		.ebx = ebx,
		.ecx = ecx,
		.edx = edx,
	};

	assert_true(cpuid_add(cpuid, &entry));
}

static void leaf(uint32_t function, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
	add(function, 0, 0, eax, ebx, ecx, edx);
}

static void sub(uint32_t function, uint32_t index, uint32_t eax, uint32_t ebx, uint32_t ecx)
{
	add(function, index, INDEXED, eax, ebx, ecx, 0);
}

static const struct kvm_cpuid_entry2 *get(uint32_t function, uint32_t index)
{
	static const struct kvm_cpuid_entry2 none;
	const struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, index);

	return entry ? entry : &none;
}

static void start(void)
{
	free(cpuid);
	cpuid = cpuid_alloc();
	assert_non_null(cpuid);
}

/* 28 cores with two threads each, APIC id 37; PMU version 5, SGX. */
static void intel(bool host_topology)
{
	start();
	leaf(0, 0x1F, 0x756E6547, 0x6C65746E, 0x49656E69);
	leaf(1, 0x000606A6, 37u << 24 | 64u << 16 | 0x0800, ~0u, ~0u);
	sub(4, 0, 0x1B << 26 | 1 << 14 | 0x121, 0x02C0003F, 63); /* L1D of two threads */
	sub(4, 1, 0x1B << 26 | 1 << 14 | 0x122, 0x01C0003F, 63);
	sub(4, 2, 0x1B << 26 | 1 << 14 | 0x143, 0x04C0003F, 1023);
	sub(4, 3, 0x1B << 26 | 0x3F << 14 | 0x163, 0x02C0003F, 0xDFFF); /* L3 of 64 ids */
	sub(4, 4, 0, 0, 0);
	add(7, 0, INDEXED, 2, ~0u, ~0u, ~0u);
	leaf(0xA, 0x07300805, 0, 0, 0x8604);
	if (host_topology) {
		for (uint32_t function = 0xB; function <= 0x1F; function += 0x14) {
			add(function, 0, INDEXED, 1, 2, 0x100, 37);
			add(function, 1, INDEXED, 6, 56, 0x201, 37);
			add(function, 2, INDEXED, 0, 0, 2, 37);
		}
	} else {
		sub(0xB, 0, 0, 0, 0);
		sub(0x1F, 0, 0, 0, 0);
	}
	sub(0x12, 0, 0x63, 1, 0);
	sub(0x12, 1, 0xB6, 0, 0xE7);
	leaf(0x80000000, 0x80000008, 0, 0, 0);
	leaf(0x80000001, 0, 0, 0x121, 0x2C100800);
	leaf(0x80000008, 0x3039, 0, 0, 0);
}

/* 16 cores with two threads each, APIC id 21, node 1. */
static void amd(bool host_topology)
{
	start();
	leaf(0, 0x10, 0x68747541, 0x444D4163, 0x69746E65);
	leaf(1, 0x00A20F10, 21u << 24 | 32u << 16 | 0x0800, ~VMX, ~0u);
	add(7, 0, INDEXED, 0, 0x219C95A9, 0x40068C, 0x10);
	if (host_topology) {
		sub(0xB, 0, 1, 2, 0x100);
		sub(0xB, 1, 5, 32, 0x201);
	} else {
		sub(0xB, 0, 0, 0, 0);
	}
	leaf(0x80000000, 0x80000022, 0, 0, 0);
	leaf(0x80000001, 0, 0x20000000, ~0u, ~0u);
	leaf(0x80000008, 0x3030, 0, 5 << 12 | 31, 0);
	leaf(0x8000000A, 1, 0x8000, 0, 0x119B9CFF);
	sub(0x8000001D, 0, 1 << 14 | 0x121, 0x01C0003F, 63);
	sub(0x8000001D, 1, 1 << 14 | 0x122, 0x01C0003F, 63);
	sub(0x8000001D, 2, 1 << 14 | 0x143, 0x01C0003F, 1023);
	sub(0x8000001D, 3, 15 << 14 | 0x163, 0x03C0003F, 0x7FFF);
	sub(0x8000001D, 4, 0, 0, 0);
	if (host_topology)
		leaf(0x8000001E, 21, 1 << 8 | 10, 1, 0);
	else
		leaf(0x8000001E, 0, 0, 0, 0);
	leaf(0x80000022, 3, 6, 0, 0);
}

static int teardown(void **state)
{
	free(cpuid);
	cpuid = NULL;
	return 0;
}

/* ---- topology ------------------------------------------------------------ */

static const struct {
	uint32_t vps, bits;
} sizes[] = {{1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {32, 5}, {33, 6}, {64, 6}};
#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* As Intel's SDM decodes it: x2APIC id, ids per core and package, and the same from the older
 * leaves. */
static void check_levels(uint32_t function, uint32_t vps, uint32_t bits, uint32_t apic_id)
{
	assert_int_equal(get(function, 0)->eax, 0);
	assert_int_equal(get(function, 0)->ebx, 1);
	assert_int_equal(get(function, 0)->ecx, 0x100);
	assert_int_equal(get(function, 1)->eax, bits);
	assert_int_equal(get(function, 1)->ebx, vps);
	assert_int_equal(get(function, 1)->ecx, 0x201);
	assert_int_equal(get(function, 2)->ebx, 0);
	assert_int_equal(get(function, 2)->ecx, 2); /* type 0: the end */
	assert_null(cpuid_find(cpuid, function, 3));
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(get(function, i)->edx, apic_id);
		assert_int_equal(get(function, i)->flags, INDEXED);
	}
}

static void check_package(uint32_t vps, uint32_t bits, uint32_t apic_id)
{
	assert_int_equal(get(1, 0)->ebx, apic_id << 24 | 1u << bits << 16 | 0x0800);
	assert_int_equal(!!(get(1, 0)->edx & HTT), vps > 1);
}

static void check_caches(uint32_t function, uint32_t bits)
{
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(
			get(function, i)->eax >> 14 & 0xFFF, i == 3 ? (1u << bits) - 1 : 0);
	assert_int_equal(get(function, 0)->eax & 0x3FFF, 0x121);
	assert_int_equal(get(function, 4)->eax, 0);
}

static void intel_topology(void **state)
{
	for (size_t i = 0; i < 2 * SIZES; i++) {
		const uint32_t vps = sizes[i / 2].vps, bits = sizes[i / 2].bits;

		intel(i % 2);
		assert_true(cpuid_set_topology(cpuid, vps));
		cpuid_set_apic_id(cpuid, vps - 1);
		check_levels(0xB, vps, bits, vps - 1);
		check_levels(0x1F, vps, bits, vps - 1);
		check_package(vps, bits, vps - 1);
		check_caches(4, bits);
		for (uint32_t cache = 0; cache < 4; cache++)
			assert_int_equal(get(4, cache)->eax >> 26, (1u << bits) - 1);
		assert_int_equal(get(0x80000008, 0)->ecx, 0); /* reserved on Intel */
		assert_int_equal(get(0x80000001, 0)->ecx, 0x121);
	}
}

static void amd_topology(void **state)
{
	for (size_t i = 0; i < 2 * SIZES; i++) {
		const uint32_t vps = sizes[i / 2].vps, bits = sizes[i / 2].bits;

		amd(i % 2);
		assert_true(cpuid_set_topology(cpuid, vps));
		cpuid_set_apic_id(cpuid, vps - 1);
		check_levels(0xB, vps, bits, vps - 1);
		assert_null(cpuid_find(cpuid, 0x1F, 0)); /* above the highest leaf */
		check_package(vps, bits, vps - 1);
		check_caches(0x8000001D, bits);
		assert_int_equal(get(0x80000008, 0)->ecx, bits << 12 | (vps - 1));
		assert_int_equal(get(0x8000001E, 0)->eax, vps - 1);
		assert_int_equal(get(0x8000001E, 0)->ebx, vps - 1); /* one thread per core */
		assert_int_equal(get(0x8000001E, 0)->ecx, 0);       /* node 0, one node */
		assert_int_equal(!!(get(0x80000001, 0)->ecx & 2), vps > 1);
	}
}

/* QEMU's TCG and very old hosts: legacy leaves only. */
static void no_extended_leaves(void **state)
{
	start();
	leaf(0, 7, 0x68747541, 0x444D4163, 0x69746E65);
	leaf(1, 0x60FB1, 0x0800, 0, 0);
	assert_true(cpuid_set_topology(cpuid, 4));
	cpuid_set_apic_id(cpuid, 3);
	assert_int_equal(cpuid->nent, 2);
	check_package(4, 2, 3);
}

/* Not a byte is written outside of the table, and not a wrong one is used. */
static void a_full_table(void **state)
{
	intel(false);
	while (cpuid->nent < CPUID_ENTRIES_MAX - 1)
		leaf(0x80860000 + cpuid->nent, 0, 0, 0, 0);
	assert_false(cpuid_set_topology(cpuid, 4));
	assert_int_equal(cpuid->nent, CPUID_ENTRIES_MAX);
}

/* ---- features ------------------------------------------------------------ */

static void limit(bool nested, bool pmu)
{
	const struct cpuid_wanted wanted = {.nested = nested, .pmu = pmu};
	struct err e;

	assert_int_equal(cpuid_limit_features(cpuid, &wanted, &e), 0);
}

static void features_are_off_by_default(void **state)
{
	intel(true);
	limit(false, false);
	assert_int_equal(~get(1, 0)->ecx, VMX | 1u << 2 | 1u << 4 | 1u << 15);
	assert_int_equal(~get(1, 0)->edx, 1u << 21);
	assert_int_equal(~get(7, 0)->ebx, 1u << 2 | 1u << 25);
	assert_int_equal(~get(7, 0)->ecx, 1u << 30);
	assert_int_equal(~get(7, 0)->edx, 1u << 19);
	assert_null(cpuid_find(cpuid, 0xA, 0));
	assert_null(cpuid_find(cpuid, 0x12, 0));
	assert_null(cpuid_find(cpuid, 0x12, 1));
	amd(true);
	limit(false, false);
	assert_int_equal(~get(0x80000001, 0)->ecx,
		SVM | 1u << 12 | 1u << 10 | 1u << 23 | 1u << 24 | 1u << 28);
	assert_null(cpuid_find(cpuid, 0x8000000A, 0));
	assert_null(cpuid_find(cpuid, 0x80000022, 0));
}

static void nested_alone(void **state)
{
	intel(false);
	limit(true, false);
	assert_true(get(1, 0)->ecx & VMX);
	assert_null(cpuid_find(cpuid, 0xA, 0));
	amd(false);
	limit(true, false);
	assert_true(get(0x80000001, 0)->ecx & SVM);
	assert_int_equal(get(0x8000000A, 0)->ebx, 0x8000);
	assert_null(cpuid_find(cpuid, 0x80000022, 0));
}

static void pmu_alone(void **state)
{
	intel(false);
	limit(false, true);
	assert_false(get(1, 0)->ecx & VMX);
	assert_int_equal(get(0xA, 0)->eax, 0x07300805);
	amd(false);
	limit(false, true);
	assert_int_equal(get(0x80000022, 0)->eax, 3);
	assert_null(cpuid_find(cpuid, 0x8000000A, 0));
}

static void sgx_is_never_offered(void **state)
{
	intel(false);
	limit(true, true);
	assert_int_equal(~get(7, 0)->ebx, 1u << 2);
	assert_null(cpuid_find(cpuid, 0x12, 0));
}

static void refused(bool nested, bool pmu, const char *begins)
{
	const struct cpuid_wanted wanted = {.nested = nested, .pmu = pmu};
	struct err e = {0};

	assert_int_equal(cpuid_limit_features(cpuid, &wanted, &e), -ENOTSUP);
	assert_int_equal(strncmp(e.text, begins, strlen(begins)), 0);
	assert_null(strchr(e.text, '\n'));
}

static void what_kvm_lacks_is_refused(void **state)
{
	start();
	refused(true, false, "nested: ");
	refused(false, true, "pmu: ");
	intel(false);
	limit(false, false); /* the table of a KVM with nested=0, enable_pmu=0 */
	refused(true, false, "nested: ");
	refused(false, true, "pmu: ");
	amd(false);
	limit(false, false);
	refused(true, false, "nested: ");
	refused(false, true, "pmu: ");
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(intel_topology),
		TEST(amd_topology),
		TEST(no_extended_leaves),
		TEST(a_full_table),
		TEST(features_are_off_by_default),
		TEST(nested_alone),
		TEST(pmu_alone),
		TEST(sgx_is_never_offered),
		TEST(what_kvm_lacks_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
