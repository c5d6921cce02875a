/* SPDX-License-Identifier: MIT */
/* CPUID: what a guest learns before anything else, and what each VP learns of its place. */
#include "hyperv.h"

#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUID1_ECX_VMX        (1u << 5)
#define CPUID1_ECX_PDCM       (1u << 15)
#define CPUID1_EDX_HTT        (1u << 28)
#define CPUID7_EBX_SGX        (1u << 2)
#define CPUID8_ECX_SVM        (1u << 2) /* 0x80000001 */
#define CPUID8_ECX_TOPOEXT    (1u << 22)
#define CPUID8_ECX_PERFCTR    (1u << 23)
#define VENDOR_AMD            0x68747541u /* "Auth" */
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
	report_eq(f.ebx,
		HV_PRIV_POST_MESSAGES | HV_PRIV_SIGNAL_EVENTS | HV_PRIV_VP_REGISTERS |
			HV_PRIV_EXT_CALLS,
		"hypercall privileges");
	report_eq(f.ecx, 0, "no power management");
	report_eq(f.edx & ~HV_MISC_STIMER_DIRECT,
		HV_MISC_XMM_INPUT | HV_MISC_FREQUENCY_MSRS | HV_MISC_CRASH_MSRS, "feature bits");
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

/* ---- what is off unless asked for ---------------------------------------- */

static bool leaf_is_zero(uint32_t leaf)
{
	const struct cpuid c = cpuid(leaf);

	return !(c.eax | c.ebx | c.ecx | c.edx);
}

static void test_limited_features(void)
{
	report(!(cpuid(1).ecx & CPUID1_ECX_VMX), "no VMX");
	report(!(cpuid(0x80000001).ecx & CPUID8_ECX_SVM), "no SVM");
	if (cpuid(0).eax >= 7)
		report(!(cpuid(7).ebx & CPUID7_EBX_SGX), "no SGX");
	report(!(cpuid(1).ecx & CPUID1_ECX_PDCM), "no performance capabilities");
	report(!(cpuid(0x80000001).ecx & CPUID8_ECX_PERFCTR), "no AMD counters");
	if (cpuid(0).eax > 0xA)
		report(leaf_is_zero(0xA), "no architectural counters");
}

/* ---- topology ------------------------------------------------------------ */

static struct place {
	uint32_t initial_id, package_ids, htt;
	struct cpuid level[3]; /* leaf 0Bh */
	struct cpuid sizes, amd_ids;
} places[VPS_MAX];

static void read_place(void)
{
	struct place *place = &places[vp_this()->index];

	place->initial_id = cpuid(1).ebx >> 24;
	place->package_ids = cpuid(1).ebx >> 16 & 0xFF;
	place->htt = cpuid(1).edx & CPUID1_EDX_HTT;
	for (uint32_t i = 0; i < 3; i++)
		place->level[i] = cpuid_sub(0xB, i);
	place->sizes = cpuid(0x80000008);
	place->amd_ids = cpuid(0x8000001E);
}

static void test_levels(unsigned vp, const struct place *place)
{
	const struct cpuid *level = place->level;

	report(level[0].eax == 0 && level[0].ebx == 1 && level[0].ecx == 0x100,
		"VP %u: one thread per core", vp);
	report(level[1].ebx == vp_count && level[1].ecx == 0x201, "VP %u: a core for each VP", vp);
	report(1u << level[1].eax >= vp_count && 1u << level[1].eax < 2 * vp_count,
		"VP %u: one package, ids of %u bits", vp, level[1].eax);
	report_eq(level[2].ecx & 0xFF00, 0, "VP %u: no third level", vp);
	for (uint32_t i = 0; i < 3; i++)
		report_eq(level[i].edx, vps[vp].apic_id, "VP %u: x2APIC id of level %u", vp, i);
}

static void test_amd_place(unsigned vp, const struct place *place)
{
	report_eq(place->sizes.ecx & 0xFF, vp_count - 1, "VP %u: core count", vp);
	report(1u << (place->sizes.ecx >> 12 & 0xF) >= vp_count, "VP %u: bits of ids", vp);
	if (cpuid(0x80000000).eax < 0x8000001E || !(cpuid(0x80000001).ecx & CPUID8_ECX_TOPOEXT))
		return;
	report_eq(place->amd_ids.eax, vps[vp].apic_id, "VP %u: extended APIC id", vp);
	report_eq(place->amd_ids.ebx, vps[vp].apic_id, "VP %u: core id, one thread", vp);
	report_eq(place->amd_ids.ecx, 0, "VP %u: node", vp);
}

static void test_place(unsigned vp)
{
	const struct place *place = &places[vp];

	vp_run(vp, read_place);
	report_eq(place->initial_id, vps[vp].apic_id, "VP %u: APIC id", vp);
	report(place->package_ids >= vp_count, "VP %u: ids of the package", vp);
	if (vp_count > 1) /* a software KVM was seen to set it with one, too */
		report(place->htt, "VP %u: more than one id in the package", vp);
	if (cpuid(0).eax >= 0xB)
		test_levels(vp, place);
	if (cpuid(0).ebx == VENDOR_AMD)
		test_amd_place(vp, place);
}

static void test_topology(void)
{
	for (unsigned vp = 1; vp < vp_count; vp++)
		if (!report(vp_start(vp), "VP %u: comes up", vp))
			return;
	for (unsigned vp = 0; vp < vp_count; vp++)
		test_place(vp);
}

void flat_main(void)
{
	test_identity();
	test_features();
	test_hints_and_limits();
	test_no_kvm_signature();
	test_limited_features();
	test_topology();
}
