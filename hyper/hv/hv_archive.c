/* SPDX-License-Identifier: MIT */
/*
 * Saving and restoring the Hyper-V interface. What guest memory holds is not in the image a second
 * time: the hypercall page, message slots, event flags and the reference TSC page stay as they are.
 * The hypercall page is code in which a VP may stand, so it is never written again either; its
 * layout has a number, and all layouts there ever were have to go on working.
 *
 * Restoring does not go through MSR writes, which zero pages and forget events.
 */
#include <assert.h>

#include "hyper/hv/hv_impl.h"

#define HYPERCALL_PAGE_LAYOUT 1u

static void vp_archive(struct hv *hv, struct hv_vp *vp, struct archive *a)
{
	archive_begin(a, NULL, 1);
	synic_archive(hv, vp, a);
	stimer_archive(vp, a);
	archive_u64(a, "assist_page", &vp->assist_page);
	archive_end(a);
}

static void registers_archive(struct hv *hv, struct archive *a)
{
	uint32_t layout = HYPERCALL_PAGE_LAYOUT;

	archive_u64(a, "guest_os_id", &hv->guest_os_id);
	archive_u64(a, "hypercall", &hv->hypercall);
	archive_u32(a, "hypercall_page_layout", &layout);
	if (layout != HYPERCALL_PAGE_LAYOUT)
		archive_fail(a, "hypercall page of layout %u", layout);
	archive_u64(a, "tsc_invariant_ctl", &hv->tsc_invariant_ctl);
	archive_bytes(a, "crash_param", hv->crash_param, sizeof(hv->crash_param));
}

void hv_archive(struct hv *hv, struct archive *a)
{
	uint32_t count = hv->config.vp_count;

	assert(a->reading || hv_time_is_paused(hv));
	archive_begin(a, "hyper-v", 1);
	registers_archive(hv, a);
	reftime_archive(hv, a);
	count = archive_list(a, "vps", count, count);
	for (uint32_t i = 0; i < count; i++)
		vp_archive(hv, &hv->vp[i], a);
	if (count != hv->config.vp_count)
		archive_fail(a, "are %u, not %u", count, hv->config.vp_count);
	archive_end(a);
	archive_end(a);
}

void hv_restored(struct hv *hv)
{
	for (uint32_t i = 0; i < hv->config.vp_count; i++) {
		synic_restored(hv, &hv->vp[i]);
		stimer_restored(hv, &hv->vp[i]);
		if ((hv->tsc_invariant_ctl & 1) && hv->config.port->tsc_invariant)
			hv->config.port->tsc_invariant(hv->config.ctx, i);
	}
}
