/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "hyper/kvm/cpuid.h"

struct kvm_cpuid2 *cpuid_alloc(void)
{
	struct kvm_cpuid2 *cpuid;

	return calloc(1, sizeof(*cpuid) + CPUID_ENTRIES_MAX * sizeof(cpuid->entries[0]));
}

struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return &cpuid->entries[i];
	return NULL;
}

bool cpuid_add(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *entry)
{
	if (cpuid->nent >= CPUID_ENTRIES_MAX)
		return false;
	cpuid->entries[cpuid->nent++] = *entry;
	return true;
}

void cpuid_remove(struct kvm_cpuid2 *cpuid, uint32_t first, uint32_t last)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function < first || cpuid->entries[i].function > last)
			cpuid->entries[kept++] = cpuid->entries[i];
	cpuid->nent = kept;
}
