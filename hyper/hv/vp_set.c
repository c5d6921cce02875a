/* SPDX-License-Identifier: MIT */
/*
 * The VPs that a hypercall is for, as one bit per VP. VPs that do not exist are ignored: guests
 * pass masks of all they were built for.
 *
 * Source: TLFS, hv_vp_set; section "sparse virtual processor set".
 */
#include "hyper/hv/hv_impl.h"

_Static_assert(HV_VPS_MAX <= 64, "one word is enough");

static uint64_t all_vps(const struct hv *hv)
{
	return UINT64_MAX >> (64 - hv->config.vp_count);
}

uint64_t vp_set_all(const struct hv *hv)
{
	return all_vps(hv);
}

uint64_t vp_set_from_mask(const struct hv *hv, uint64_t mask)
{
	return mask & all_vps(hv);
}

/* Only the first bank can hold VPs that exist; the others are counted. A format of "all" may come
 * with any banks: Linux sends none, with a mask of 0. */
enum hv_status vp_set_decode(const struct hv *hv, const struct hv_vp_set *in, const uint64_t *banks,
	uint32_t bank_count, uint64_t *set)
{
	*set = 0;
	if (in->format == HV_VP_SET_ALL) {
		*set = all_vps(hv);
		return HV_STATUS_SUCCESS;
	}
	if (in->format != HV_VP_SET_SPARSE)
		return HV_STATUS_INVALID_PARAMETER;
	if (bank_count != (uint32_t)__builtin_popcountll(in->bank_mask))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (in->bank_mask & 1)
		*set = vp_set_from_mask(hv, banks[0]);
	return HV_STATUS_SUCCESS;
}
