/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of 64-bit callers. The checks have a fixed order: code, control word, input and
 * output, then the call's own checks. All calls are granted to every partition by CPUID. The caller
 * (VP loop) has checked the privilege level.
 *
 * Input is the fixed part, a variable header, a list (of "rep" calls). It lies in guest memory, in
 * one page, or (fast calls) in RDX, R8 and XMM0 to 5. It is copied once into private memory, and
 * never read from the guest again. Most calls are short enough to do a whole list at once; a guest
 * calls again for what a long one (hcall_heat.c) has left.
 *
 * A new call is its function and a row in hcall_table.
 *
 * Source: TLFS, chapter hypercall-interface.
 */
#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "hyper/hv/hv_impl.h"

#define BLOCK_ALIGN 8u /* of input and output in guest memory */

/* ---- the calls ----------------------------------------------------------- */

static enum hv_status notify_long_spin_wait(struct hv *hv, struct hcall_frame *f)
{
	return HV_STATUS_SUCCESS;
}

static enum hv_status query_ext_capabilities(struct hv *hv, struct hcall_frame *f)
{
	f->out.value = hv->config.discard ? HV_EXT_CAP_COLD_DISCARD : 0;
	return HV_STATUS_SUCCESS;
}

static const struct hcall hcall_table[] = {
	{
		.code = HV_CALL_FLUSH_SPACE,
		.perform = hcall_flush,
		.input_size = sizeof(struct hv_input_flush),
	},
	{
		.code = HV_CALL_FLUSH_LIST,
		.perform = hcall_flush,
		.input_size = sizeof(struct hv_input_flush),
		.element_size = sizeof(uint64_t),
	},
	{
		.code = HV_CALL_NOTIFY_LONG_SPIN_WAIT,
		.perform = notify_long_spin_wait,
		.input_size = sizeof(uint64_t),
	},
	{
		.code = HV_CALL_SEND_IPI,
		.perform = hcall_send_ipi,
		.input_size = sizeof(struct hv_input_send_ipi),
	},
	{
		.code = HV_CALL_FLUSH_SPACE_EX,
		.perform = hcall_flush_ex,
		.input_size = sizeof(struct hv_input_flush_ex),
		.takes_header = true,
	},
	{
		.code = HV_CALL_FLUSH_LIST_EX,
		.perform = hcall_flush_ex,
		.input_size = sizeof(struct hv_input_flush_ex),
		.takes_header = true,
		.element_size = sizeof(uint64_t),
	},
	{
		.code = HV_CALL_SEND_IPI_EX,
		.perform = hcall_send_ipi_ex,
		.input_size = sizeof(struct hv_input_send_ipi_ex),
		.takes_header = true,
	},
	{
		.code = HV_CALL_GET_VP_REGISTERS,
		.perform = hcall_get_registers,
		.input_size = sizeof(struct hv_input_vp_registers),
		.element_size = sizeof(uint32_t),
		.element_output_size = sizeof(struct hv_register_value),
	},
	{
		.code = HV_CALL_SET_VP_REGISTERS,
		.perform = hcall_set_registers,
		.input_size = sizeof(struct hv_input_vp_registers),
		.element_size = sizeof(struct hv_register_assoc),
	},
	{
		.code = HV_CALL_POST_MESSAGE,
		.perform = hcall_post_message,
		.input_size = sizeof(struct hv_input_post_message),
	},
	{
		.code = HV_CALL_SIGNAL_EVENT,
		.perform = hcall_signal_event,
		.input_size = sizeof(struct hv_input_signal_event),
	},
	{
		.code = HV_EXT_CALL_QUERY_CAPABILITIES,
		.perform = query_ext_capabilities,
		.output_size = sizeof(uint64_t),
	},
	{
		.code = HV_EXT_CALL_MEMORY_HEAT_HINT,
		.perform = hcall_heat_hint,
		.input_size = sizeof(struct hv_input_memory_heat_hint),
		.element_size = sizeof(uint64_t),
	},
	{0},
};

/* ---- the control word ---------------------------------------------------- */

static const struct hcall *hcall_find(const struct hcall *table, uint64_t control)
{
	for (const struct hcall *hcall = table; hcall->code; hcall++)
		if (hcall->code == (control & HV_HCALL_CODE_MASK))
			return hcall;
	return NULL;
}

static uint32_t rep_count(uint64_t control)
{
	return control >> HV_HCALL_REP_COUNT_SHIFT & HV_HCALL_REP_MASK;
}

static uint32_t rep_start(uint64_t control)
{
	return control >> HV_HCALL_REP_START_SHIFT & HV_HCALL_REP_MASK;
}

/* A call with a list has at least one element left to do; others have none. */
static bool control_is_valid(const struct hcall *hcall, uint64_t control)
{
	if (control & HV_HCALL_RSVD_MASK)
		return false;
	if ((control & HV_HCALL_VARHEAD_MASK) && !hcall->takes_header)
		return false;
	return hcall->element_size ? rep_start(control) < rep_count(control)
				   : !rep_start(control) && !rep_count(control);
}

/* ---- input and output ---------------------------------------------------- */

/* At most 4095 elements of 32 bytes: far from an overflow, but perhaps more than a page. */
static uint32_t input_size(const struct hcall *hcall, const struct hcall_frame *f)
{
	return hcall->input_size + f->header_count * (uint32_t)sizeof(uint64_t) +
	       f->rep_count * hcall->element_size;
}

static uint32_t output_size(const struct hcall *hcall, const struct hcall_frame *f)
{
	return hcall->output_size + f->rep_count * hcall->element_output_size;
}

/* A block of input or output is aligned, inside one page, and in RAM. The address of one without
 * bytes does not matter. */
static bool block_is_valid(struct hv *hv, uint64_t gpa, uint32_t size)
{
	if (!size)
		return true;
	return gpa % BLOCK_ALIGN == 0 && gpa % HV_PAGE_SIZE + size <= HV_PAGE_SIZE &&
	       gmem_at(hv->config.gmem, gpa, size);
}

/* The registers hold the input, so no output can follow. */
static enum hv_status read_fast_input(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, struct hcall_frame *f)
{
	uint32_t size = input_size(hcall, f);

	if (size > HV_HCALL_FAST_SIZE || output_size(hcall, f))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	f->in.words[0] = call->input;
	f->in.words[1] = call->output;
	if (size > 2 * sizeof(uint64_t))
		hv->config.port->read_xmm(
			hv->config.ctx, f->vp->index, f->in.bytes + 2 * sizeof(uint64_t));
	return HV_STATUS_SUCCESS;
}

static enum hv_status read_memory_input(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, struct hcall_frame *f)
{
	uint32_t size = input_size(hcall, f);

	if (!block_is_valid(hv, call->input, size) ||
		!block_is_valid(hv, call->output, output_size(hcall, f)))
		return HV_STATUS_INVALID_ALIGNMENT;
	if (size && gmem_read(hv->config.gmem, call->input, f->in.bytes, size))
		return HV_STATUS_INVALID_ALIGNMENT;
	return HV_STATUS_SUCCESS;
}

static enum hv_status read_input(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, struct hcall_frame *f)
{
	enum hv_status status;

	f->header_count = (call->control & HV_HCALL_VARHEAD_MASK) >> HV_HCALL_VARHEAD_SHIFT;
	f->rep_count = rep_count(call->control);
	f->rep_done = rep_start(call->control);
	status = call->control & HV_HCALL_FAST ? read_fast_input(hv, call, hcall, f)
					       : read_memory_input(hv, call, hcall, f);
	if (status != HV_STATUS_SUCCESS)
		return status;
	f->header = f->in.words + hcall->input_size / sizeof(uint64_t);
	f->elements = (const uint8_t *)(f->header + f->header_count);
	return status;
}

/* Of a list: what this call has done, also when it then failed. */
static enum hv_status write_output(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, const struct hcall_frame *f, enum hv_status status)
{
	uint32_t from = rep_start(call->control) * hcall->element_output_size;
	uint32_t end = f->rep_done * hcall->element_output_size;

	if (status == HV_STATUS_SUCCESS)
		end += hcall->output_size;
	if (from < end &&
		gmem_write(hv->config.gmem, call->output + from, f->out.bytes + from, end - from))
		return HV_STATUS_INVALID_ALIGNMENT;
	return status;
}

/* ---- dispatch ------------------------------------------------------------ */

uint64_t hcall_dispatch(
	struct hv *hv, uint32_t vp, const struct hcall *table, const struct hv_hypercall *call)
{
	const struct hcall *hcall = hcall_find(table, call->control);
	struct hcall_frame f;
	enum hv_status status;

	if (!hcall)
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	if (!control_is_valid(hcall, call->control))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	memset(&f, 0, sizeof(f));
	f.vp = &hv->vp[vp];
	status = read_input(hv, call, hcall, &f);
	if (status != HV_STATUS_SUCCESS)
		return status;
	status = hcall->perform(hv, &f);
	status = write_output(hv, call, hcall, &f, status);
	return status | (uint64_t)f.rep_done << HV_HCALL_REP_COUNT_SHIFT;
}

uint64_t hv_hypercall(struct hv *hv, uint32_t vp, const struct hv_hypercall *call)
{
	uint64_t result;
	enum hv_status status;

	assert(vp < hv->config.vp_count);
	result = hcall_dispatch(hv, vp, hcall_table, call);
	status = result & HV_HCALL_STATUS_MASK;
	hv_count(&hv->counters.hypercalls);
	if (status != HV_STATUS_SUCCESS) {
		hv_count(&hv->counters.hypercalls_failed);
		/* Backpressure is normal: the guest retries. */
		if (status != HV_STATUS_INSUFFICIENT_BUFFERS)
			log_guest("VP %u: hypercall 0x%llx: status 0x%x", vp,
				(unsigned long long)call->control, status);
	}
	return result;
}
