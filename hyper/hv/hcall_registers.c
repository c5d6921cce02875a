/* SPDX-License-Identifier: MIT */
/*
 * HvGetVpRegisters and HvSetVpRegisters for the caller's own VP. Most registers are synthetic MSRs
 * under another name, with the same rules; some are CPUID leaves.
 *
 * Source: TLFS, HvCallGetVpRegisters, HvCallSetVpRegisters, hv_register_name.
 */
#include <string.h>

#include "hyper/hv/hv_impl.h"

static const struct msr_name {
	uint32_t first, last; /* names */
	uint32_t msr;         /* of the first */
} msr_names[] = {
	{HV_REGISTER_CRASH_P0, HV_REGISTER_CRASH_CTL, HV_MSR_CRASH_P0},
	{HV_REGISTER_GUEST_OS_ID, HV_REGISTER_GUEST_OS_ID, HV_MSR_GUEST_OS_ID},
	{HV_REGISTER_VP_INDEX, HV_REGISTER_VP_INDEX, HV_MSR_VP_INDEX},
	{HV_REGISTER_TIME_REF_COUNT, HV_REGISTER_TIME_REF_COUNT, HV_MSR_TIME_REF_COUNT},
	{HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_VP_ASSIST_PAGE, HV_MSR_VP_ASSIST_PAGE},
	{HV_REGISTER_REFERENCE_TSC, HV_REGISTER_REFERENCE_TSC, HV_MSR_REFERENCE_TSC},
	{HV_REGISTER_SINT0, HV_REGISTER_SINT0 + HV_SINT_COUNT - 1, HV_MSR_SINT0},
	{HV_REGISTER_SCONTROL, HV_REGISTER_EOM, HV_MSR_SCONTROL},
	{HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER3_COUNT, HV_MSR_STIMER0_CONFIG},
};

static const struct leaf_name {
	uint32_t name, leaf;
} leaf_names[] = {
	{HV_REGISTER_HYPERVISOR_VERSION, HV_CPUID_VERSION},
	{HV_REGISTER_FEATURES, HV_CPUID_FEATURES},
	{HV_REGISTER_RECOMMENDATIONS, HV_CPUID_RECOMMENDATIONS},
	{HV_REGISTER_LIMITS, HV_CPUID_LIMITS},
	{HV_REGISTER_HW_FEATURES, HV_CPUID_HW_FEATURES},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* 0: the name is not that of an MSR, which is never MSR 0. */
static uint32_t msr_of(uint32_t name)
{
	for (size_t i = 0; i < LENGTH(msr_names); i++)
		if (name >= msr_names[i].first && name <= msr_names[i].last)
			return msr_names[i].msr + (name - msr_names[i].first);
	return 0;
}

static bool leaf_read(const struct hv *hv, uint32_t name, struct hv_register_value *value)
{
	struct hv_cpuid_leaf leaves[HV_CPUID_LEAVES];
	const struct hv_cpuid_leaf *leaf;

	for (size_t i = 0; i < LENGTH(leaf_names); i++) {
		if (leaf_names[i].name != name)
			continue;
		hv_cpuid(&hv->config, leaves);
		leaf = &leaves[leaf_names[i].leaf - HV_CPUID_VENDOR];
		value->low = leaf->eax | (uint64_t)leaf->ebx << 32;
		value->high = leaf->ecx | (uint64_t)leaf->edx << 32;
		return true;
	}
	return false;
}

/* The head of both calls. VTLs are not offered: 0 is the only one. */
static enum hv_status check_target(const struct hv *hv, const struct hcall_frame *f)
{
	const struct hv_input_vp_registers *in = &f->in.registers;

	if (in->partition_id != HV_PARTITION_ID_SELF)
		return HV_STATUS_INVALID_PARTITION_ID;
	if (in->input_vtl & ~HV_INPUT_VTL_USE)
		return HV_STATUS_INVALID_PARAMETER;
	if (in->vp_index == HV_VP_INDEX_SELF || in->vp_index == f->vp->index)
		return HV_STATUS_SUCCESS;
	return in->vp_index < hv->config.vp_count ? HV_STATUS_ACCESS_DENIED
						  : HV_STATUS_INVALID_VP_INDEX;
}

/* One element of a list, number f->rep_done. */
typedef enum hv_status element_fn(struct hv *hv, struct hcall_frame *f);

static enum hv_status get_one(struct hv *hv, struct hcall_frame *f)
{
	struct hv_register_value value = {0, 0};
	uint32_t name, msr;

	memcpy(&name, f->elements + f->rep_done * sizeof(name), sizeof(name));
	msr = msr_of(name);
	if (msr ? msr_read(hv, f->vp, msr, &value.low) != 0 : !leaf_read(hv, name, &value))
		return HV_STATUS_INVALID_PARAMETER;
	memcpy(f->out.bytes + f->rep_done * sizeof(value), &value, sizeof(value));
	return HV_STATUS_SUCCESS;
}

/* The name is checked before the value. */
static enum hv_status set_one(struct hv *hv, struct hcall_frame *f)
{
	struct hv_register_assoc r;
	uint64_t ignored;
	uint32_t msr;

	memcpy(&r, f->elements + f->rep_done * sizeof(r), sizeof(r));
	msr = msr_of(r.name);
	if (!msr || msr_read(hv, f->vp, msr, &ignored))
		return HV_STATUS_INVALID_PARAMETER;
	if (r.value.high || msr_write(hv, f->vp, msr, r.value.low))
		return HV_STATUS_INVALID_REGISTER_VALUE;
	return HV_STATUS_SUCCESS;
}

static enum hv_status for_each(struct hv *hv, struct hcall_frame *f, element_fn *one)
{
	enum hv_status status = check_target(hv, f);

	while (status == HV_STATUS_SUCCESS && f->rep_done < f->rep_count) {
		status = one(hv, f);
		if (status == HV_STATUS_SUCCESS)
			f->rep_done++;
	}
	return status;
}

enum hv_status hcall_get_registers(struct hv *hv, struct hcall_frame *f)
{
	return for_each(hv, f, get_one);
}

enum hv_status hcall_set_registers(struct hv *hv, struct hcall_frame *f)
{
	return for_each(hv, f, set_one);
}
