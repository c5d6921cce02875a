/* SPDX-License-Identifier: MIT */
/*
 * The topology of the VPs. KVM reports its host's, or, from Linux 6.2 on, only zeroes: none of it
 * is of use to a guest, and all of it is built here. APIC id = VP index, so the core number is the
 * whole APIC id, and an id has as many bits as the largest VP index needs.
 *
 * Guests read different leaves: 0Bh or 1Fh where they exist, else 1 and 4 (Intel) or 80000008h and
 * 8000001Eh (AMD). All must agree.
 */
#include "hyper/kvm/cpuid.h"

#define VENDOR_EBX_AMD   0x68747541u /* "Auth" of AuthenticAMD */
#define VENDOR_EBX_HYGON 0x6F677948u /* "Hygo" of HygonGenuine */

#define CPUID_1_EDX_HTT               (1u << 28)
#define CPUID_8000_0001_ECX_CMPLEGACY (1u << 1)

#define CACHE_LEVEL(eax)    ((eax) >> 5 & 7)
#define CACHE_SHARING_MASK  0x03FFC000u /* 25:14, APIC ids that share it - 1 */
#define CACHE_SHARING_SHIFT 14
#define CACHE_CORES_MASK    0xFC000000u /* 31:26 of leaf 4, core ids in the package - 1 */
#define CACHE_CORES_SHIFT   26
#define CACHE_SHARED_LEVEL  3 /* and higher */
#define LEVEL_THREAD        1u
#define LEVEL_CORE          2u
#define SIZES_CORES_MASK    0xFFu /* 80000008h ECX */
#define SIZES_ID_BITS_MASK  0xF000u
#define SIZES_ID_BITS_SHIFT 12

static uint32_t id_bits(uint32_t vp_count)
{
	uint32_t bits = 0;

	while ((1u << bits) < vp_count)
		bits++;
	return bits;
}

static uint32_t highest_basic_leaf(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0, 0);

	return leaf ? leaf->eax : 0;
}

static bool is_amd(struct kvm_cpuid2 *cpuid)
{
	const struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0, 0);

	return leaf && (leaf->ebx == VENDOR_EBX_AMD || leaf->ebx == VENDOR_EBX_HYGON);
}

static void set_bit(uint32_t *reg, uint32_t bit, bool value)
{
	*reg = value ? *reg | bit : *reg & ~bit;
}

static void set_package(struct kvm_cpuid2 *cpuid, uint32_t vp_count)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 1, 0);

	if (leaf) {
		leaf->ebx = (leaf->ebx & 0xFFFF) | 1u << id_bits(vp_count) << 16;
		set_bit(&leaf->edx, CPUID_1_EDX_HTT, vp_count > 1);
	}
	leaf = cpuid_find(cpuid, 0x80000001, 0);
	if (leaf && is_amd(cpuid))
		set_bit(&leaf->ecx, CPUID_8000_0001_ECX_CMPLEGACY, vp_count > 1);
}

/* Leaf 4, and AMD's 8000001Dh, which has the same layout but for the cores. */
static void set_cache_sharing(struct kvm_cpuid_entry2 *leaf, uint32_t vp_count)
{
	uint32_t ids = 1u << id_bits(vp_count);
	uint32_t sharing = CACHE_LEVEL(leaf->eax) >= CACHE_SHARED_LEVEL ? ids - 1 : 0;

	if (leaf->eax == 0)
		return; /* the end of the list */
	leaf->eax = (leaf->eax & ~CACHE_SHARING_MASK) | sharing << CACHE_SHARING_SHIFT;
	if (leaf->function == 4)
		leaf->eax = (leaf->eax & ~CACHE_CORES_MASK) | (ids - 1) << CACHE_CORES_SHIFT;
}

static void set_caches(struct kvm_cpuid2 *cpuid, uint32_t vp_count)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == 4 || cpuid->entries[i].function == 0x8000001D)
			set_cache_sharing(&cpuid->entries[i], vp_count);
}

/* The levels of leaf 0Bh or 1Fh: threads of a core, cores of the package, the end. */
static bool add_levels(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t vp_count)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{.index = 0, .eax = 0, .ebx = 1, .ecx = 0 | LEVEL_THREAD << 8},
		{.index = 1, .eax = id_bits(vp_count), .ebx = vp_count, .ecx = 1 | LEVEL_CORE << 8},
		{.index = 2, .eax = 0, .ebx = 0, .ecx = 2},
	};

	for (uint32_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		struct kvm_cpuid_entry2 level = levels[i];

		level.function = function;
		level.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		if (!cpuid_add(cpuid, &level))
			return false;
	}
	return true;
}

static bool replace_levels(struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t vp_count)
{
	cpuid_remove(cpuid, function, function);
	return highest_basic_leaf(cpuid) < function || add_levels(cpuid, function, vp_count);
}

static void set_amd_sizes(struct kvm_cpuid2 *cpuid, uint32_t vp_count)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0x80000008, 0);

	if (!leaf || !is_amd(cpuid))
		return;
	leaf->ecx &= ~(SIZES_CORES_MASK | SIZES_ID_BITS_MASK);
	leaf->ecx |= id_bits(vp_count) << SIZES_ID_BITS_SHIFT | (vp_count - 1);
}

/* One thread per core, one node. */
static void clear_amd_ids(struct kvm_cpuid2 *cpuid)
{
	struct kvm_cpuid_entry2 *leaf = cpuid_find(cpuid, 0x8000001E, 0);

	if (leaf)
		leaf->eax = leaf->ebx = leaf->ecx = leaf->edx = 0;
	cpuid_remove(cpuid, 0x80000026, 0x80000026); /* AMD's own list of levels */
}

bool cpuid_set_topology(struct kvm_cpuid2 *cpuid, uint32_t vp_count)
{
	set_package(cpuid, vp_count);
	set_caches(cpuid, vp_count);
	set_amd_sizes(cpuid, vp_count);
	clear_amd_ids(cpuid);
	return replace_levels(cpuid, 0xB, vp_count) && replace_levels(cpuid, 0x1F, vp_count);
}

void cpuid_set_apic_id(struct kvm_cpuid2 *cpuid, uint32_t apic_id)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *leaf = &cpuid->entries[i];

		switch (leaf->function) {
		case 1:
			leaf->ebx = (leaf->ebx & 0x00FFFFFF) | apic_id << 24;
			break;
		case 0xB:
		case 0x1F:
			leaf->edx = apic_id;
			break;
		case 0x8000001E:
			leaf->eax = apic_id;
			leaf->ebx = apic_id & 0xFF; /* the core */
			break;
		default:
			break;
		}
	}
}
