/* SPDX-License-Identifier: MIT */
/* Guest registers are shown as the guest wrote them. */
#include <inttypes.h>
#include <string.h>

#include "base/inspect.h"
#include "hyper/hv/hv_impl.h"

/* clang-format off */
static const struct inspect_field counter_fields[] = {
	INSPECT_FIELD(hv_counters, messages_delivered),
	INSPECT_FIELD(hv_counters, messages_refused),
	INSPECT_FIELD(hv_counters, events_raised),
	INSPECT_FIELD(hv_counters, interrupts),
	INSPECT_FIELD(hv_counters, timer_expiries),
	INSPECT_FIELD(hv_counters, hypercalls),
	INSPECT_FIELD(hv_counters, hypercalls_failed),
	INSPECT_FIELD(hv_counters, msr_faults),
	INSPECT_FIELD(hv_counters, crashes),
	{NULL, 0},
};
/* clang-format on */

/* What hv_vp.lock guards, without the pages and queues. */
struct vp_copy {
	uint64_t scontrol, siefp, simp;
	uint64_t sint[HV_SINT_COUNT];
	uint32_t queued, pending_sints;
	struct hv_stimer stimer[HV_STIMER_COUNT];
};

static struct vp_copy vp_copy(struct hv_vp *vp)
{
	struct vp_copy copy;

	pthread_mutex_lock(&vp->lock);
	copy = (struct vp_copy){
		.scontrol = vp->scontrol,
		.siefp = vp->siefp,
		.simp = vp->simp,
		.queued = vp->queued,
		.pending_sints = vp->pending_sints,
	};
	memcpy(copy.sint, vp->sint, sizeof(copy.sint));
	memcpy(copy.stimer, vp->stimer, sizeof(copy.stimer));
	pthread_mutex_unlock(&vp->lock);
	return copy;
}

static void hex(struct inspect *i, const char *key, uint64_t value)
{
	inspect_textf(i, key, "%#" PRIx64, value);
}

/* A page MSR's page, or "off". */
static void page(struct inspect *i, const char *key, uint64_t msr)
{
	if (msr & HV_MSR_PAGE_ENABLE)
		hex(i, key, msr & HV_MSR_PAGE_PFN_MASK);
	else
		inspect_text(i, key, "off");
}

static void sint_inspect(struct inspect *i, uint32_t number, uint64_t sint)
{
	inspect_begin(i, NULL);
	inspect_u64(i, "sint", number);
	inspect_u64(i, "vector", sint & HV_SINT_VECTOR_MASK);
	inspect_bool(i, "masked", sint & HV_SINT_MASKED);
	inspect_bool(i, "auto_eoi", sint & HV_SINT_AUTO_EOI);
	inspect_bool(i, "polling", sint & HV_SINT_POLLING);
	inspect_end(i);
}

static void stimer_inspect(struct inspect *i, uint32_t number, const struct hv_stimer *t)
{
	inspect_begin(i, NULL);
	inspect_u64(i, "timer", number);
	hex(i, "config", t->config);
	inspect_u64(i, "count", t->count);
	inspect_bool(i, "armed", t->due != HV_STIMER_NEVER);
	inspect_u64(i, "due", t->due != HV_STIMER_NEVER ? t->due : 0);
	inspect_bool(i, "message_pending", t->message_pending);
	inspect_end(i);
}

/* SINTs and timers that were never programmed are left out. */
static void vp_inspect(const struct vp_copy *vp, struct inspect *i)
{
	inspect_bool(i, "synic", vp->scontrol & HV_SCONTROL_ENABLE);
	page(i, "message_page", vp->simp);
	page(i, "event_page", vp->siefp);
	inspect_u64(i, "messages_queued", vp->queued);
	hex(i, "events_pending_sints", vp->pending_sints);
	inspect_begin_array(i, "sints");
	for (uint32_t n = 0; n < HV_SINT_COUNT; n++)
		if (vp->sint[n] != HV_SINT_RESET_VALUE)
			sint_inspect(i, n, vp->sint[n]);
	inspect_end(i);
	inspect_begin_array(i, "stimers");
	for (uint32_t n = 0; n < HV_STIMER_COUNT; n++)
		if (vp->stimer[n].config)
			stimer_inspect(i, n, &vp->stimer[n]);
	inspect_end(i);
}

static void registers_inspect(struct hv *hv, struct inspect *i)
{
	uint64_t guest_os_id, hypercall, reference_tsc;
	uint32_t tsc_sequence;

	pthread_mutex_lock(&hv->lock);
	guest_os_id = hv->guest_os_id;
	hypercall = hv->hypercall;
	reference_tsc = hv->reference_tsc;
	tsc_sequence = hv->tsc_sequence;
	pthread_mutex_unlock(&hv->lock);
	hex(i, "features", hv->features);
	hex(i, "guest_os_id", guest_os_id);
	page(i, "hypercall_page", hypercall);
	page(i, "reference_tsc_page", reference_tsc);
	inspect_u64(i, "reference_tsc_sequence", tsc_sequence);
}

void hv_inspect(struct hv *hv, struct inspect *i)
{
	inspect_u64(i, "reference_time", hv_ref_time(hv));
	inspect_u64(i, "tsc_hz", hv->config.tsc_hz);
	registers_inspect(hv, i);
	inspect_fields(i, &hv->counters, counter_fields);
	inspect_begin_array(i, "vps");
	for (uint32_t n = 0; n < hv->config.vp_count; n++) {
		struct vp_copy copy = vp_copy(&hv->vp[n]);

		inspect_begin(i, NULL);
		vp_inspect(&copy, i);
		inspect_end(i);
	}
	inspect_end(i);
}
