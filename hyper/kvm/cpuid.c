/* SPDX-License-Identifier: MIT */
/*
 * The guest's CPUID: what KVM supports, minus KVM's own leaves, plus ours.
 *
 * KVM's signature must go: Linux asks every hypervisor detector and the one
 * with the largest base wins, so a KVM leaf at 0x40000100 would hide Hyper-V.
 */
#include <cpuid.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hyper/kvm/cpuid.h"
#include "hyper/kvm/partition_impl.h"

#define CPUID_1_ECX_X2APIC                (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE          (1u << 24)
#define CPUID_1_ECX_XSAVE                 (1u << 26)
#define CPUID_1_ECX_OSXSAVE               (1u << 27)
#define CPUID_1_ECX_AVX                   (1u << 28)
#define CPUID_1_ECX_FMA                   (1u << 12)
#define CPUID_1_ECX_F16C                  (1u << 29)
#define CPUID_1_ECX_HYPERVISOR            (1u << 31)
#define CPUID_7_EBX_AVX2                  (1u << 5)
#define CPUID_7_EBX_AVX512_ALL            0xDC230000u /* F DQ IFMA PF ER CD BW VL */
#define CPUID_7_ECX_NO_AVX                0x00005E4Eu /* VBMI PKU OSPKE VBMI2 VAES VPCLMUL VNNI BITALG VPOPCNT */
#define CPUID_7_EDX_NO_AVX                0x03C0010Cu /* 4VNNIW 4FMAPS VP2INTERSECT AMX AVX512-FP16 */
#define CPUID_8000_0007_EDX_INVARIANT_TSC (1u << 8)
#define CPUID_ADDRESS_BITS_LEAST          36u /* of a CPU that does not say */

/* True when this machine is itself emulated by QEMU's TCG. */
static bool host_is_tcg(void)
{
	uint32_t eax, ebx, ecx, edx;

	__cpuid(1, eax, ebx, ecx, edx);
	if (!(ecx & CPUID_1_ECX_HYPERVISOR))
		return false;
	__cpuid(HV_CPUID_VENDOR, eax, ebx, ecx, edx);
	return ebx == 0x54474354 && ecx == 0x43544743 && edx == 0x47435447; /* TCGTCGTCGTCG */
}

/* Under TCG the L1 kernel does not see a guest's XSETBV, so XSAVE state sizes disagree and the
 * guest warns and disables AVX. Its CPUID has no XSAVE at all. */
static void remove_xsave(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 1, 0);

	if (leaf)
		leaf->ecx &= ~(CPUID_1_ECX_XSAVE | CPUID_1_ECX_OSXSAVE | CPUID_1_ECX_AVX |
			       CPUID_1_ECX_FMA | CPUID_1_ECX_F16C);
	leaf = cpuid_find(cpuid, 7, 0);
	if (leaf) {
		leaf->ebx &= ~(CPUID_7_EBX_AVX2 | CPUID_7_EBX_AVX512_ALL);
		leaf->ecx &= ~CPUID_7_ECX_NO_AVX;
		leaf->edx &= ~CPUID_7_EDX_NO_AVX;
	}
	leaf = cpuid_find(cpuid, 7, 1);
	if (leaf)
		leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
	cpuid_remove(cpuid, 0xD, 0xD);
}

static bool add_hv_leaves(struct partition *p, struct kvm_cpuid2 *cpuid)
{
	struct hv_cpuid_leaf leaves[HV_CPUID_LEAVES];

	hv_cpuid(&p->hv_config, leaves);
	for (uint32_t i = 0; i < HV_CPUID_LEAVES; i++) {
		const struct kvm_cpuid_entry2 entry = {
			.function = leaves[i].leaf,
			.eax = leaves[i].eax,
			.ebx = leaves[i].ebx,
			.ecx = leaves[i].ecx,
			.edx = leaves[i].edx,
		};

		if (!cpuid_add(cpuid, &entry))
			return false;
	}
	return true;
}

bool kvm_cpuid_tsc_invariant(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000007)
			return cpuid->entries[i].edx & CPUID_8000_0007_EDX_INVARIANT_TSC;
	return false;
}

uint32_t kvm_cpuid_address_bits(const struct kvm_cpuid2 *cpuid)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0x80000008)
			return cpuid->entries[i].eax & 0xFF;
	return CPUID_ADDRESS_BITS_LEAST;
}

uint64_t kvm_cpuid_xsave_components(const struct kvm_cpuid2 *cpuid)
{
	const uint64_t always = 3; /* x87, SSE */

	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 0xD && cpuid->entries[i].index == 0)
			return (uint64_t)cpuid->entries[i].edx << 32 | cpuid->entries[i].eax |
			       always;
	return always;
}

static int ask_kvm(struct partition *p, struct kvm_cpuid2 *cpuid, struct err *e)
{
	cpuid->nent = CPUID_ENTRIES_MAX;
	if (ioctl(p->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0)
		return err_set(e, -errno, "%s: KVM_GET_SUPPORTED_CPUID: %s", PARTITION_KVM_PATH,
			strerror(errno));
	return 0;
}

/* The interrupt controllers are KVM's: it has more than its list of CPUID bits says. */
static void add_apic_features(struct partition *p, struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 1, 0);

	if (!leaf)
		return;
	leaf->ecx |= CPUID_1_ECX_HYPERVISOR | CPUID_1_ECX_X2APIC;
	if (ioctl(p->kvm_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0)
		leaf->ecx |= CPUID_1_ECX_TSC_DEADLINE;
}

static int change(struct partition *p, struct kvm_cpuid2 *cpuid, struct err *e)
{
	const struct cpuid_wanted wanted = {.nested = p->config.nested, .pmu = p->config.pmu};
	int ret = cpuid_limit_features(cpuid, &wanted, e);

	if (ret)
		return ret;
	cpuid_remove(cpuid, HV_CPUID_VENDOR, 0x4FFFFFFF);
	add_apic_features(p, cpuid);
	if (host_is_tcg())
		remove_xsave(cpuid);
	p->hv_config.tsc_invariant = kvm_cpuid_tsc_invariant(cpuid);
	if (!cpuid_set_topology(cpuid, p->config.vp_count) || !add_hv_leaves(p, cpuid))
		return err_set(
			e, -E2BIG, "%s: more CPUID leaves than expected", PARTITION_KVM_PATH);
	return 0;
}

int kvm_cpuid_build(struct partition *p, struct kvm_cpuid2 **out, struct err *e)
{
	struct kvm_cpuid2 *cpuid = cpuid_alloc();
	int ret;

	if (!cpuid)
		return err_set(e, -ENOMEM, "no memory for the CPUID table");
	ret = ask_kvm(p, cpuid, e);
	if (!ret)
		ret = change(p, cpuid, e);
	if (ret) {
		free(cpuid);
		return ret;
	}
	*out = cpuid;
	return 0;
}
