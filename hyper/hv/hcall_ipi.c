/* SPDX-License-Identifier: MIT */
/*
 * HvSendSyntheticClusterIpi and its form for more than 64 VPs: a fixed interrupt for each VP of a
 * set. Not recommended to guests: through KVM's LAPIC an IPI needs no exit to user space.
 *
 * Source: TLFS, HvCallSendSyntheticClusterIpi.
 */
#include <string.h>

#include "hyper/hv/hv_impl.h"

static bool is_valid(uint32_t vector, uint8_t target_vtl, const uint8_t reserved[3])
{
	static const uint8_t zero[3];

	return vector >= HV_IPI_FIRST_VECTOR && vector <= HV_IPI_LAST_VECTOR && target_vtl == 0 &&
	       memcmp(reserved, zero, sizeof(zero)) == 0;
}

static void send(struct hv *hv, uint64_t vps, uint8_t vector)
{
	for (uint32_t vp = 0; vp < hv->config.vp_count; vp++)
		if (vps >> vp & 1)
			hv->config.port->inject_direct(hv->config.ctx, vp, vector);
}

enum hv_status hcall_send_ipi(struct hv *hv, struct hcall_frame *f)
{
	const struct hv_input_send_ipi *in = &f->in.ipi;

	if (!is_valid(in->vector, in->target_vtl, in->reserved))
		return HV_STATUS_INVALID_PARAMETER;
	send(hv, vp_set_from_mask(hv, in->vp_mask), (uint8_t)in->vector);
	return HV_STATUS_SUCCESS;
}

enum hv_status hcall_send_ipi_ex(struct hv *hv, struct hcall_frame *f)
{
	const struct hv_input_send_ipi_ex *in = &f->in.ipi_ex;
	enum hv_status status;
	uint64_t vps;

	if (!is_valid(in->vector, in->target_vtl, in->reserved))
		return HV_STATUS_INVALID_PARAMETER;
	status = vp_set_decode(hv, &in->vps, f->header, f->header_count, &vps);
	if (status == HV_STATUS_SUCCESS)
		send(hv, vps, (uint8_t)in->vector);
	return status;
}
