/* SPDX-License-Identifier: MIT */
/*
 * Whether a guest that has seen one CPUID table can go on on a CPU with another: every feature it
 * may use must be there, and the XSAVE area must have the same layout.
 */
#include <errno.h>
#include <stddef.h>

#include "hyper/kvm/cpuid.h"

enum reg { EAX, EBX, ECX, EDX };

static const char *const reg_names[] = {"eax", "ebx", "ecx", "edx"};

/* Registers that are sets of features. */
static const struct feature_reg {
	uint32_t function, index;
	enum reg reg;
} feature_regs[] = {
	{0x1, 0, ECX},
	{0x1, 0, EDX},
	{0x7, 0, EBX},
	{0x7, 0, ECX},
	{0x7, 0, EDX},
	{0x7, 1, EAX},
	{0x7, 1, EBX},
	{0x7, 1, EDX},
	{0x7, 2, EDX},
	{0xD, 0, EAX}, /* components of the XSAVE area */
	{0xD, 0, EDX},
	{0xD, 1, EAX},
	{0x14, 0, EBX},
	{0x14, 0, ECX},
	{0x80000001, 0, ECX},
	{0x80000001, 0, EDX},
	{0x80000007, 0, EDX},
	{0x80000008, 0, EBX},
	{0x80000021, 0, EAX},
};

/* Those that differ between CPUs that people have. */
static const struct feature_name {
	uint32_t function, index;
	enum reg reg;
	uint32_t bit;
	const char *name;
} feature_names[] = {
	{0x1, 0, ECX, 24, "tsc_deadline_timer"},
	{0x1, 0, ECX, 25, "aes"},
	{0x1, 0, ECX, 26, "xsave"},
	{0x1, 0, ECX, 28, "avx"},
	{0x1, 0, ECX, 29, "f16c"},
	{0x1, 0, ECX, 30, "rdrand"},
	{0x1, 0, ECX, 12, "fma"},
	{0x7, 0, EBX, 3, "bmi1"},
	{0x7, 0, EBX, 5, "avx2"},
	{0x7, 0, EBX, 8, "bmi2"},
	{0x7, 0, EBX, 16, "avx512f"},
	{0x7, 0, EBX, 17, "avx512dq"},
	{0x7, 0, EBX, 18, "rdseed"},
	{0x7, 0, EBX, 19, "adx"},
	{0x7, 0, EBX, 21, "avx512ifma"},
	{0x7, 0, EBX, 28, "avx512cd"},
	{0x7, 0, EBX, 29, "sha_ni"},
	{0x7, 0, EBX, 30, "avx512bw"},
	{0x7, 0, EBX, 31, "avx512vl"},
	{0x7, 0, ECX, 1, "avx512vbmi"},
	{0x7, 0, ECX, 3, "pku"},
	{0x7, 0, ECX, 6, "avx512_vbmi2"},
	{0x7, 0, ECX, 8, "gfni"},
	{0x7, 0, ECX, 9, "vaes"},
	{0x7, 0, ECX, 10, "vpclmulqdq"},
	{0x7, 0, ECX, 11, "avx512_vnni"},
	{0x7, 0, ECX, 12, "avx512_bitalg"},
	{0x7, 0, ECX, 14, "avx512_vpopcntdq"},
	{0x7, 0, ECX, 22, "rdpid"},
	{0x7, 0, EDX, 22, "amx_bf16"},
	{0x7, 0, EDX, 23, "avx512_fp16"},
	{0x7, 0, EDX, 24, "amx_tile"},
	{0x80000001, 0, ECX, 5, "lzcnt"},
	{0x80000001, 0, EDX, 26, "pdpe1gb"},
	{0x80000001, 0, EDX, 27, "rdtscp"},
	{0x80000007, 0, EDX, 8, "invariant TSC"},
};

static uint32_t reg_of(const struct kvm_cpuid_entry2 *entry, enum reg reg)
{
	const uint32_t values[] = {entry->eax, entry->ebx, entry->ecx, entry->edx};

	return values[reg];
}

static uint32_t value_of(
	const struct kvm_cpuid2 *cpuid, uint32_t function, uint32_t index, enum reg reg)
{
	for (uint32_t i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == function && cpuid->entries[i].index == index)
			return reg_of(&cpuid->entries[i], reg);
	return 0;
}

static const char *name_of(const struct feature_reg *r, uint32_t bit)
{
	for (size_t i = 0; i < sizeof(feature_names) / sizeof(feature_names[0]); i++) {
		const struct feature_name *n = &feature_names[i];

		if (n->function == r->function && n->index == r->index && n->reg == r->reg &&
			n->bit == bit)
			return n->name;
	}
	return NULL;
}

static int lacks(const struct feature_reg *r, uint32_t missing, struct err *e)
{
	uint32_t bit = (uint32_t)__builtin_ctz(missing);
	const char *name = name_of(r, bit);

	if (name)
		return err_set(e, -ENOTSUP, "this CPU lacks %s, which the guest may use", name);
	return err_set(e, -ENOTSUP,
		"this CPU lacks a feature that the guest may use: CPUID leaf 0x%x.%u, %s bit %u",
		r->function, r->index, reg_names[r->reg], bit);
}

static int check_features(
	const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e)
{
	for (size_t i = 0; i < sizeof(feature_regs) / sizeof(feature_regs[0]); i++) {
		const struct feature_reg *r = &feature_regs[i];
		uint32_t missing = value_of(guest, r->function, r->index, r->reg) &
				   ~value_of(host, r->function, r->index, r->reg);

		if (missing)
			return lacks(r, missing, e);
	}
	return 0;
}

static int check_vendor(
	const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e)
{
	for (enum reg reg = EBX; reg <= EDX; reg++)
		if (value_of(guest, 0, 0, reg) != value_of(host, 0, 0, reg))
			return err_set(e, -ENOTSUP, "this CPU is of another vendor");
	return 0;
}

#define XSAVE_COMPONENTS 63u

/* Size and offset of each component in the area. */
static int check_xsave(const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e)
{
	uint32_t low = value_of(guest, 0xD, 0, EAX), high = value_of(guest, 0xD, 0, EDX);
	uint64_t components = (uint64_t)high << 32 | low;

	for (uint32_t n = 2; n < XSAVE_COMPONENTS; n++)
		if ((components >> n & 1) &&
			(value_of(guest, 0xD, n, EAX) != value_of(host, 0xD, n, EAX) ||
				value_of(guest, 0xD, n, EBX) != value_of(host, 0xD, n, EBX)))
			return err_set(e, -ENOTSUP,
				"this CPU has another layout of XSAVE component %u", n);
	return 0;
}

static int check_addresses(
	const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e)
{
	uint32_t need = value_of(guest, 0x80000008, 0, EAX) & 0xFF;
	uint32_t have = value_of(host, 0x80000008, 0, EAX) & 0xFF;

	if (need <= have)
		return 0;
	return err_set(e, -ENOTSUP, "this CPU has %u bits of physical addresses, the guest uses %u",
		have, need);
}

int cpuid_check_compatible(
	const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host, struct err *e)
{
	int ret = check_vendor(guest, host, e);

	if (!ret)
		ret = check_features(guest, host, e);
	if (!ret)
		ret = check_xsave(guest, host, e);
	return ret ? ret : check_addresses(guest, host, e);
}
