/* SPDX-License-Identifier: MIT */
/*
 * HvExtCallMemoryHeatHint: free page reporting. The guest names pages that are on its free lists;
 * the host may have them until the guest uses them again. Hints of other kinds are not offered.
 *
 * Source: Linux drivers/hv/hv_balloon.c, include/asm-generic/hyperv-tlfs.h.
 */
#include <string.h>

#include "hyper/hv/hv_impl.h"

/* A call does no more at once: an element more when it has done this much. A guest reports up to
 * 4 GiB in each element. */
#define BYTES_PER_CALL (64ull << 20)

struct piece {
	uint64_t gpa, bytes;
};

static bool decode(uint64_t range, struct piece *piece)
{
	uint64_t units = (range & HV_RANGE_MORE_MASK) + 1;

	if (!(range & HV_RANGE_LARGE)) {
		*piece = (struct piece){range & ~(HV_PAGE_SIZE - 1ull), units * HV_PAGE_SIZE};
		return true;
	}
	*piece = (struct piece){range >> HV_RANGE_LARGE_SHIFT << HV_RANGE_LARGE_SHIFT,
		units << HV_RANGE_LARGE_SHIFT};
	return !(range & (HV_RANGE_1_GIB | HV_RANGE_RSVD_MASK));
}

static bool discard(struct hv *hv, uint64_t range, uint64_t *bytes)
{
	struct piece piece;

	if (!decode(range, &piece) ||
		hv->config.port->discard(hv->config.ctx, piece.gpa, piece.bytes))
		return false;
	*bytes += piece.bytes;
	return true;
}

enum hv_status hcall_heat_hint(struct hv *hv, struct hcall_frame *f)
{
	uint64_t range, bytes = 0;

	if (!hv->config.discard)
		return HV_STATUS_ACCESS_DENIED;
	if (f->in.heat.type != HV_HEAT_COLD_DISCARD)
		return HV_STATUS_INVALID_PARAMETER;
	for (; f->rep_done < f->rep_count && bytes < BYTES_PER_CALL; f->rep_done++) {
		memcpy(&range, f->elements + f->rep_done * sizeof(range), sizeof(range));
		if (!discard(hv, range, &bytes))
			return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}
