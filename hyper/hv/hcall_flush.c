/* SPDX-License-Identifier: MIT */
/*
 * HvFlushVirtualAddressSpace and HvFlushVirtualAddressList, and their forms for more than 64 VPs.
 * Whatever the guest wants flushed, the port flushes all of a VP's TLB; more is always right. Not
 * recommended to guests, and why it is right: ADR 0010.
 *
 * Source: TLFS, HvCallFlushVirtualAddressSpace.
 */
#include "hyper/hv/hv_impl.h"

#define FLAGS      (HV_FLUSH_ALL_VPS | HV_FLUSH_ALL_SPACES | HV_FLUSH_NON_GLOBAL)
#define LIST_FLAGS (HV_FLUSH_ALL_VPS | HV_FLUSH_ALL_SPACES)

static enum hv_status flush(struct hv *hv, struct hcall_frame *f, uint64_t flags, uint64_t vps)
{
	if (!hv->config.flush)
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if (flags & ~(f->rep_count ? LIST_FLAGS : FLAGS))
		return HV_STATUS_INVALID_PARAMETER;
	if (flags & HV_FLUSH_ALL_VPS)
		vps = vp_set_all(hv);
	if (vps)
		hv->config.port->flush_tlb(hv->config.ctx, f->vp->index, vps);
	f->rep_done = f->rep_count;
	return HV_STATUS_SUCCESS;
}

/* An empty mask is taken for all VPs: guests were seen to mean that, and it is never wrong. */
enum hv_status hcall_flush(struct hv *hv, struct hcall_frame *f)
{
	const struct hv_input_flush *in = &f->in.flush;

	return flush(
		hv, f, in->flags, in->vp_mask ? vp_set_from_mask(hv, in->vp_mask) : vp_set_all(hv));
}

enum hv_status hcall_flush_ex(struct hv *hv, struct hcall_frame *f)
{
	const struct hv_input_flush_ex *in = &f->in.flush_ex;
	enum hv_status status;
	uint64_t vps;

	status = vp_set_decode(hv, &in->vps, f->header, f->header_count, &vps);
	return status == HV_STATUS_SUCCESS ? flush(hv, f, in->flags, vps) : status;
}
