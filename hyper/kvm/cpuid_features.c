/* SPDX-License-Identifier: MIT */
/*
 * Features that a guest gets only when its owner asks for them. Nested virtualisation is KVM's
 * largest and most often attacked part; counters make each entry into the guest slower. KVM offers
 * SGX, but without the device /dev/sgx_vepc, which we do not open, no guest can use it.
 */
#include <errno.h>
#include <stddef.h>

#include "hyper/kvm/cpuid.h"

enum reg { EAX, EBX, ECX, EDX };
enum owner { SGX, NESTED, PMU };

struct feature {
	uint32_t function;
	enum reg reg;
	uint32_t bits;
	enum owner owner;
};

struct leaf_range {
	uint32_t first, last;
	enum owner owner;
};

/* All of sub-leaf 0. */
static const struct feature features[] = {
	{7, EBX, 1u << 2, SGX}, {7, ECX, 1u << 30, SGX},        /* launch control */
	{1, ECX, 1u << 5, NESTED},                              /* VMX */
	{0x80000001, ECX, 1u << 2 | 1u << 12, NESTED},          /* SVM, SKINIT */
	{1, ECX, 1u << 2 | 1u << 4 | 1u << 15, PMU},            /* DTES64, DS-CPL, PDCM */
	{1, EDX, 1u << 21, PMU},                                /* debug store */
	{7, EBX, 1u << 25, PMU},                                /* processor trace */
	{7, EDX, 1u << 19, PMU},                                /* last-branch records */
	{0x80000001, ECX, 1u << 10 | 3u << 23 | 1u << 28, PMU}, /* IBS, counters: core, NB, LLC */
};

static const struct leaf_range leaves[] = {
	{0x12, 0x12, SGX},
	{0x8000000A, 0x8000000A, NESTED},
	{0xA, 0xA, PMU},
	{0x14, 0x14, PMU},
	{0x1C, 0x1C, PMU},
	{0x8000001B, 0x8000001B, PMU},
	{0x80000022, 0x80000022, PMU},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t *reg_of(struct kvm_cpuid_entry2 *entry, enum reg reg)
{
	switch (reg) {
	case EAX:
		return &entry->eax;
	case EBX:
		return &entry->ebx;
	case ECX:
		return &entry->ecx;
	default:
		return &entry->edx;
	}
}

static void remove_all_of(struct kvm_cpuid2 *cpuid, enum owner owner)
{
	for (size_t i = 0; i < LENGTH(features); i++) {
		struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, features[i].function, 0);

		if (entry && features[i].owner == owner)
			*reg_of(entry, features[i].reg) &= ~features[i].bits;
	}
	for (size_t i = 0; i < LENGTH(leaves); i++)
		if (leaves[i].owner == owner)
			cpuid_remove(cpuid, leaves[i].first, leaves[i].last);
}

static bool has(struct kvm_cpuid2 *cpuid, uint32_t function, enum reg reg, uint32_t bits)
{
	struct kvm_cpuid_entry2 *entry = cpuid_find(cpuid, function, 0);

	return entry && (*reg_of(entry, reg) & bits);
}

static bool has_nested(struct kvm_cpuid2 *cpuid)
{
	return has(cpuid, 1, ECX, 1u << 5) || has(cpuid, 0x80000001, ECX, 1u << 2);
}

/* Intel: the version of architectural counters; AMD: six counters per core, not the old four, which
 * no bit announces. */
static bool has_pmu(struct kvm_cpuid2 *cpuid)
{
	return has(cpuid, 0xA, EAX, 0xFF) || has(cpuid, 0x80000001, ECX, 1u << 23);
}

int cpuid_limit_features(struct kvm_cpuid2 *cpuid, const struct cpuid_wanted *wanted, struct err *e)
{
	if (wanted->nested && !has_nested(cpuid))
		return err_set(e, -ENOTSUP,
			"nested: this KVM offers its guests neither VMX nor SVM; load kvm_intel or kvm_amd with nested=1, or leave --nested out");
	if (wanted->pmu && !has_pmu(cpuid))
		return err_set(e, -ENOTSUP,
			"pmu: this KVM offers its guests no performance counters; load kvm with enable_pmu=1, or leave --pmu out");
	remove_all_of(cpuid, SGX);
	if (!wanted->nested)
		remove_all_of(cpuid, NESTED);
	if (!wanted->pmu)
		remove_all_of(cpuid, PMU);
	return 0;
}
