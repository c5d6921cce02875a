/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's CPUID leaves. Source: TLFS, chapter feature-discovery. Bits of what is not
 * offered are 0. Linux does not boot with three of them set: partition ids (EBX bit 1), CPU
 * management (EBX bit 12 makes it the root partition) and isolation (EBX bit 22).
 */
#include "hyper/hv/hv.h"

#define FEATURES                                                                                   \
	(HV_FEAT_TIME_REF_COUNT | HV_FEAT_SYNIC | HV_FEAT_HYPERCALL | HV_FEAT_VP_INDEX |           \
		HV_FEAT_RESET | HV_FEAT_REFERENCE_TSC | HV_FEAT_FREQUENCY_MSRS)
#define PRIVILEGES                                                                                 \
	(HV_PRIV_POST_MESSAGES | HV_PRIV_SIGNAL_EVENTS | HV_PRIV_VP_REGISTERS | HV_PRIV_EXT_CALLS)
#define MISC (HV_MISC_XMM_INPUT | HV_MISC_FREQUENCY_MSRS | HV_MISC_CRASH_MSRS)

static struct hv_cpuid_leaf feature_leaf(const struct hv_config *config)
{
	struct hv_cpuid_leaf leaf = {HV_CPUID_FEATURES, FEATURES, PRIVILEGES, 0, MISC};

	if (config->tsc_invariant)
		leaf.eax |= HV_FEAT_TSC_INVARIANT;
	if (config->stimer) {
		leaf.eax |= HV_FEAT_STIMER;
		leaf.edx |= HV_MISC_STIMER_DIRECT;
	}
	return leaf;
}

void hv_cpuid(const struct hv_config *config, struct hv_cpuid_leaf leaves[HV_CPUID_LEAVES])
{
	const struct hv_cpuid_leaf table[HV_CPUID_LEAVES] = {
		{HV_CPUID_VENDOR, HV_CPUID_VENDOR + HV_CPUID_LEAVES - 1, HV_VENDOR_EBX,
			HV_VENDOR_ECX, HV_VENDOR_EDX},
		{HV_CPUID_INTERFACE, HV_INTERFACE_EAX, 0, 0, 0},
		{HV_CPUID_VERSION, HV_VERSION_BUILD, HV_VERSION_MAJOR << 16 | HV_VERSION_MINOR, 0,
			0},
		feature_leaf(config),
		/* Flush and IPI hypercalls are served, but not recommended: KVM is faster without
		 * them (ADR 0010). AutoEOI works, but each of its interrupts makes the VP leave the
		 * guest: better not. */
		{HV_CPUID_RECOMMENDATIONS, HV_HINT_RELAXED_TIMING | HV_HINT_NO_AUTO_EOI,
			HV_SPIN_RETRIES_NEVER, 0, 0},
		{HV_CPUID_LIMITS, config->vp_count, config->vp_count, 0, 0},
		{HV_CPUID_HW_FEATURES, 0, 0, 0, 0},
	};

	for (uint32_t i = 0; i < HV_CPUID_LEAVES; i++)
		leaves[i] = table[i];
}
