/* SPDX-License-Identifier: MIT */
/* CPUID: what a guest learns before anything else. Spec sheet "hypervisor", section 1. */
#include "hyperv.h"

#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUID_INVARIANT_TSC   (1u << 8)   /* 0x80000007 EDX */
#define KVM_SIGNATURE_EBX     0x4B4D564Bu /* "KVMK" */
#define VIRT_STACK_LEAF       0x40000081u
#define VIRT_STACK_SIGNATURE  0x31235356u /* "VS#1" */

#define FEATURES_ALWAYS                                                                            \
	(HV_FEAT_TIME_REF_COUNT | HV_FEAT_SYNIC | HV_FEAT_HYPERCALL | HV_FEAT_VP_INDEX |           \
		HV_FEAT_REFERENCE_TSC | HV_FEAT_FREQUENCY_MSRS)
/* An option of the command line; a property of the host; a courtesy. */
#define FEATURES_OPTIONAL (HV_FEAT_STIMER | HV_FEAT_TSC_INVARIANT | HV_FEAT_RESET)

static void test_identity(void)
{
	const struct cpuid vendor = cpuid(HV_CPUID_VENDOR);

	report(cpuid(1).ecx & CPUID1_ECX_HYPERVISOR, "hypervisor bit");
	report_eq(vendor.eax, HV_CPUID_HW_FEATURES, "highest leaf");
	report(vendor.ebx == HV_VENDOR_EBX && vendor.ecx == HV_VENDOR_ECX &&
			vendor.edx == HV_VENDOR_EDX,
		"vendor is Microsoft Hv");
	report_eq(cpuid(HV_CPUID_INTERFACE).eax, HV_INTERFACE_EAX, "interface is Hv#1");
	report(cpuid(HV_CPUID_VERSION).ebx != 0, "version is given");
}

static void test_features(void)
{
	const struct cpuid f = cpuid(HV_CPUID_FEATURES);
	const bool stimer = f.eax & HV_FEAT_STIMER;

	report_eq(f.eax & ~FEATURES_OPTIONAL, FEATURES_ALWAYS, "MSR privileges");
	report_eq(f.ebx, HV_PRIV_POST_MESSAGES | HV_PRIV_SIGNAL_EVENTS, "hypercall privileges");
	report_eq(f.ecx, 0, "no power management");
	report_eq(f.edx & ~HV_MISC_STIMER_DIRECT, HV_MISC_FREQUENCY_MSRS | HV_MISC_CRASH_MSRS,
		"feature bits");
	report_eq(!!(f.edx & HV_MISC_STIMER_DIRECT), stimer, "direct mode comes with timers");
	report_eq(stimer, cmdline_has("stimer"), "timers are offered when asked for");
	if (!(cpuid(0x80000007).edx & CPUID_INVARIANT_TSC))
		report(!(f.eax & HV_FEAT_TSC_INVARIANT), "no invariant TSC is promised");
}

static void test_hints_and_limits(void)
{
	const struct cpuid hints = cpuid(HV_CPUID_RECOMMENDATIONS);
	const struct cpuid limits = cpuid(HV_CPUID_LIMITS);

	report_eq(hints.eax, HV_HINT_RELAXED_TIMING | HV_HINT_NO_AUTO_EOI, "recommendations");
	report_eq(hints.ebx, 0xFFFFFFFF, "never notify long spin waits");
	report(limits.eax >= vp_count && limits.eax == limits.ebx, "limits cover our VPs");
	report_eq(cpuid(HV_CPUID_HW_FEATURES).eax & ~0xAu, 0, "hardware features");
}

/* Linux would become a KVM guest if any of these answered. */
static void test_no_kvm_signature(void)
{
	unsigned found = 0;

	for (uint32_t leaf = 0x40000000; leaf <= 0x4000FF00; leaf += 0x100)
		found += cpuid(leaf).ebx == KVM_SIGNATURE_EBX;
	report_eq(found, 0, "no KVM signature in 256 bases");
	report(cpuid(VIRT_STACK_LEAF).eax != VIRT_STACK_SIGNATURE,
		"no virtualisation stack leaves");
}

void flat_main(void)
{
	test_identity();
	test_features();
	test_hints_and_limits();
	test_no_kvm_signature();
}
