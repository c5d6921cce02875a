/* SPDX-License-Identifier: MIT */
/*
 * Shared by the files of hyper/hv only.
 *
 * A page shared with the guest may be written by any VP at any moment. It is
 * touched only with __atomic builtins, here and in synic.c and reftime.c.
 */
#ifndef HYPER_HV_IMPL_H
#define HYPER_HV_IMPL_H

#include <stdatomic.h>

#include "hyper/hv/hv.h"

#define HV_PAGE_WORDS (HV_PAGE_SIZE / sizeof(uint64_t))

static inline void hv_count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* The guest page of a page MSR: NULL when it is disabled or not RAM. */
static inline void GUEST_SHARED *hv_msr_page(const struct hv *hv, uint64_t msr_value)
{
	if (!(msr_value & HV_MSR_PAGE_ENABLE))
		return NULL;
	return gmem_at(hv->config.gmem, msr_value & HV_MSR_PAGE_PFN_MASK, HV_PAGE_SIZE);
}

/* True when a page MSR's new value enables the page or moves it. */
static inline bool hv_msr_page_moved(uint64_t old, uint64_t value)
{
	return (old ^ value) & (HV_MSR_PAGE_ENABLE | HV_MSR_PAGE_PFN_MASK);
}

/* MSR handlers: 0, or -EPERM for #GP. The VP's own thread. */
typedef int hv_msr_read_fn(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value);
typedef int hv_msr_write_fn(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value);

hv_msr_read_fn hcall_msr_read, reftime_msr_read, synic_msr_read, stimer_msr_read, crash_msr_read;
hv_msr_write_fn hcall_msr_write, reftime_msr_write, synic_msr_write, stimer_msr_write,
	crash_msr_write;

/* hcall.c */
union hcall_input {
	struct hv_input_post_message post;
	struct hv_input_signal_event signal;
	uint64_t spin_count;
	uint64_t fast[2];
};

union hcall_output {
	uint64_t value;
};

/* One hypercall. Its function runs on the VP's own thread, with a private copy of the input. */
struct hcall {
	uint16_t code;       /* 0: the end of the table */
	uint16_t input_size; /* bytes; 0: the guest's input pointer is ignored */
	/* Calls without output. */
	enum hv_status (*perform)(struct hv *hv, const union hcall_input *in);
	/* Calls with output: *out is zeroed, and written to the guest after HV_STATUS_SUCCESS. */
	uint16_t output_size; /* bytes */
	enum hv_status (*query)(
		struct hv *hv, const union hcall_input *in, union hcall_output *out);
};

/* Decodes, checks and performs a call of the table: hv_hypercall() without its counters. */
enum hv_status hcall_dispatch(
	struct hv *hv, const struct hcall *table, const struct hv_hypercall *call);

/* reftime.c */
void reftime_init(struct hv *hv);

/* synic.c */
void synic_vp_init(struct hv_vp *vp);
void synic_vp_fini(struct hv_vp *vp);
/* Under hv_vp.lock: moves one waiting message of the SINT into its slot, if both are ready. */
void synic_deliver(struct hv *hv, struct hv_vp *vp, uint32_t sint);

/* stimer.c */
void stimer_vp_init(struct hv_vp *vp);
/* Under hv_vp.lock: an expired timer has a message for this SINT. */
bool stimer_message_waiting(const struct hv_vp *vp, uint32_t sint);
/* Under hv_vp.lock, when one is waiting: takes it. */
void stimer_message_take(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct hv_message *msg);

#endif
