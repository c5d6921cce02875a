/* SPDX-License-Identifier: MIT */
/*
 * CPUID tables of a guest: what KVM supports is the beginning, and is changed step by step. The
 * steps work on any table, so that unit tests give them those of other hosts.
 *
 * Sources: Intel SDM volume 2 (CPUID), AMD APM volume 3 appendix E, KVM's api.rst
 * (KVM_GET_SUPPORTED_CPUID).
 *
 * Thread: any; a table belongs to its caller.
 */
#ifndef HYPER_KVM_CPUID_H
#define HYPER_KVM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* All tables have room for so many entries. */
#define CPUID_ENTRIES_MAX 256u

/* ---- cpuid_table.c ------------------------------------------------------- */
/* An empty table, or NULL. free() it. */
struct kvm_cpuid2 *cpuid_alloc(void);
/* NULL: there is no such entry. index: 0 for leaves without sub-leaves. */
struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index);
/* Appends. False: the table is full. */
bool cpuid_add(struct kvm_cpuid2 *cpuid, const struct kvm_cpuid_entry2 *entry);
/* Removes the leaves first..last with all their sub-leaves: the guest reads zeroes. */
void cpuid_remove(struct kvm_cpuid2 *cpuid, uint32_t first, uint32_t last);

/* ---- cpuid_features.c ---------------------------------------------------- */
/* What costs a host security or time, and few guests use: off unless asked for. */
struct cpuid_wanted {
	bool nested; /* VMX or SVM */
	bool pmu;    /* performance counters */
};
/* Removes SGX always, and what is not wanted. -ENOTSUP with one line in e: something is wanted that
 * the table does not have. */
int cpuid_limit_features(
	struct kvm_cpuid2 *cpuid, const struct cpuid_wanted *wanted, struct err *e);

/* ---- cpuid_topology.c ---------------------------------------------------- */
/* One socket with a core for each VP, one thread per core, and a last-level cache that all share.
 * Whatever the table said of the host's topology is replaced. False: the table is full. */
bool cpuid_set_topology(struct kvm_cpuid2 *cpuid, uint32_t vp_count);
/* Makes a table with that topology the one of the VP with this APIC id. */
void cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, uint32_t apic_id);

/* ---- cpuid_compat.c ------------------------------------------------------ */
/* Whether a guest that has this table can go on on a host that offers the other. 0, or -ENOTSUP
 * with the first thing that is missing in e. */
int cpuid_check_compatible(
	const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e);

#endif
