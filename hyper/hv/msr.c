/* SPDX-License-Identifier: MIT */
/*
 * The synthetic MSRs: access rules and handlers. An MSR that is not in the table,
 * or whose feature bit is not offered, gives #GP. The VP assist page is the
 * exception: Linux writes it without regard to the feature bits.
 *
 * Source: TLFS, chapter feature-discovery.
 */
#include <assert.h>
#include <errno.h>

#include "base/log.h"
#include "hyper/hv/hv_impl.h"

static int vp_index_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	*value = vp->index;
	return 0;
}

static int reset_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	*value = 0;
	return 0;
}

static int reset_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	if (value & HV_RESET_NOW)
		hv->config.port->reset(hv->config.ctx);
	return 0;
}

static int frequency_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	*value = msr == HV_MSR_TSC_FREQUENCY ? hv->config.tsc_hz : HV_APIC_HZ;
	return 0;
}

static int assist_page_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	*value = vp->assist_page;
	return 0;
}

/* The page is never written: "no EOI required" stays 0. */
static int assist_page_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	if (value & HV_VP_ASSIST_RSVD_MASK)
		return -EPERM;
	vp->assist_page = value;
	return 0;
}

static int tsc_invariant_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	pthread_mutex_lock(&hv->lock);
	*value = hv->tsc_invariant_ctl;
	pthread_mutex_unlock(&hv->lock);
	return 0;
}

/* The guest can set the bit, not clear it. */
static int tsc_invariant_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	uint64_t old;

	if (value & ~HV_TSC_INVARIANT_EXPOSE)
		return -EPERM;
	pthread_mutex_lock(&hv->lock);
	old = hv->tsc_invariant_ctl;
	hv->tsc_invariant_ctl |= value;
	pthread_mutex_unlock(&hv->lock);
	if (old && !value)
		return -EPERM;
	if (value && !old)
		hv->config.port->tsc_invariant(hv->config.ctx, vp->index);
	return 0;
}

static const struct msr_range {
	uint32_t first, last;
	uint32_t feature; /* HV_FEAT_* that must be offered, 0 = none */
	hv_msr_read_fn *read;
	hv_msr_write_fn *write; /* NULL: read only */
} msr_table[] = {
	{HV_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL, HV_FEAT_HYPERCALL, hcall_msr_read, hcall_msr_write},
	{HV_MSR_VP_INDEX, HV_MSR_VP_INDEX, HV_FEAT_VP_INDEX, vp_index_read, NULL},
	{HV_MSR_RESET, HV_MSR_RESET, HV_FEAT_RESET, reset_read, reset_write},
	{HV_MSR_TIME_REF_COUNT, HV_MSR_TIME_REF_COUNT, HV_FEAT_TIME_REF_COUNT, reftime_msr_read,
		NULL},
	{HV_MSR_REFERENCE_TSC, HV_MSR_REFERENCE_TSC, HV_FEAT_REFERENCE_TSC, reftime_msr_read,
		reftime_msr_write},
	{HV_MSR_TSC_FREQUENCY, HV_MSR_APIC_FREQUENCY, HV_FEAT_FREQUENCY_MSRS, frequency_read, NULL},
	{HV_MSR_VP_ASSIST_PAGE, HV_MSR_VP_ASSIST_PAGE, 0, assist_page_read, assist_page_write},
	{HV_MSR_SCONTROL, HV_MSR_EOM, HV_FEAT_SYNIC, synic_msr_read, synic_msr_write},
	{HV_MSR_SINT0, HV_MSR_SINT15, HV_FEAT_SYNIC, synic_msr_read, synic_msr_write},
	{HV_MSR_STIMER0_CONFIG, HV_MSR_STIMER3_COUNT, HV_FEAT_STIMER, stimer_msr_read,
		stimer_msr_write},
	{HV_MSR_CRASH_P0, HV_MSR_CRASH_CTL, 0, crash_msr_read, crash_msr_write},
	{HV_MSR_TSC_INVARIANT_CTL, HV_MSR_TSC_INVARIANT_CTL, HV_FEAT_TSC_INVARIANT,
		tsc_invariant_read, tsc_invariant_write},
};

static const struct msr_range *msr_find(const struct hv *hv, uint32_t msr)
{
	for (size_t i = 0; i < sizeof(msr_table) / sizeof(msr_table[0]); i++) {
		const struct msr_range *range = &msr_table[i];

		if (msr >= range->first && msr <= range->last)
			return (hv->features & range->feature) == range->feature ? range : NULL;
	}
	return NULL;
}

int msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value)
{
	const struct msr_range *range = msr_find(hv, msr);

	return range ? range->read(hv, vp, msr, value) : -EPERM;
}

int msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value)
{
	const struct msr_range *range = msr_find(hv, msr);

	return range && range->write ? range->write(hv, vp, msr, value) : -EPERM;
}

int hv_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *value)
{
	int ret;

	assert(vp < hv->config.vp_count);
	ret = msr_read(hv, &hv->vp[vp], msr, value);
	if (ret) {
		hv_count(&hv->counters.msr_faults);
		log_guest("VP %u: #GP for reading MSR 0x%x", vp, msr);
	}
	return ret;
}

int hv_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value)
{
	int ret;

	assert(vp < hv->config.vp_count);
	ret = msr_write(hv, &hv->vp[vp], msr, value);
	if (ret) {
		hv_count(&hv->counters.msr_faults);
		log_guest("VP %u: #GP for writing 0x%llx to MSR 0x%x", vp,
			(unsigned long long)value, msr);
	}
	return ret;
}
