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

/* msr.c: hv_msr_read() and hv_msr_write() without their counters and log lines. */
int msr_read(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t *value);
int msr_write(struct hv *hv, struct hv_vp *vp, uint32_t msr, uint64_t value);

/* hcall.c */
/*
 * A hypercall while it is performed. Input is the fixed part, then the variable header, then the
 * elements of the list, all in one block; output has one element for each of the list's. Both are
 * private copies: the guest can change its own at any time.
 */
struct hcall_frame {
	struct hv_vp *vp;       /* the caller */
	const uint64_t *header; /* the variable header, header_count words */
	uint32_t header_count;
	const uint8_t *elements; /* of a list, from number 0 on */
	uint32_t rep_count;      /* elements, also those before rep_start; 0: no list */
	uint32_t rep_done;       /* begins as the start index; the call counts it up */
	union {
		struct hv_input_post_message post;
		struct hv_input_signal_event signal;
		struct hv_input_flush flush;
		struct hv_input_flush_ex flush_ex;
		struct hv_input_send_ipi ipi;
		struct hv_input_send_ipi_ex ipi_ex;
		struct hv_input_vp_registers registers;
		struct hv_input_memory_heat_hint heat;
		uint8_t bytes[HV_PAGE_SIZE];
		uint64_t words[HV_PAGE_WORDS];
	} in;
	union {
		uint64_t value;
		uint8_t bytes[HV_PAGE_SIZE];
	} out; /* zero until the call writes it */
};

/* Runs on the VP's own thread. A call with a list says in rep_done how many elements are done, also
 * when it fails; all other output counts only after HV_STATUS_SUCCESS. */
typedef enum hv_status hcall_fn(struct hv *hv, struct hcall_frame *f);

struct hcall {
	uint16_t code; /* 0: the end of the table */
	hcall_fn *perform;
	uint16_t input_size;  /* bytes of the fixed part */
	uint16_t output_size; /* bytes */
	bool takes_header;    /* a variable header may follow the fixed part */
	/* Calls with a list: bytes of its elements, and of the output for each. */
	uint16_t element_size, element_output_size;
};

hcall_fn hcall_send_ipi, hcall_send_ipi_ex;        /* hcall_ipi.c */
hcall_fn hcall_flush, hcall_flush_ex;              /* hcall_flush.c */
hcall_fn hcall_get_registers, hcall_set_registers; /* hcall_registers.c */
hcall_fn hcall_heat_hint;                          /* hcall_heat.c */
hcall_fn hcall_post_message, hcall_signal_event;   /* connection.c */

/* Decodes, checks and performs a call of the table: hv_hypercall() without its counters. */
uint64_t hcall_dispatch(
	struct hv *hv, uint32_t vp, const struct hcall *table, const struct hv_hypercall *call);

/* vp_set.c: one bit per VP that exists. */
uint64_t vp_set_all(const struct hv *hv);
uint64_t vp_set_from_mask(const struct hv *hv, uint64_t mask);
/* banks: bank_count words. */
enum hv_status vp_set_decode(const struct hv *hv, const struct hv_vp_set *in, const uint64_t *banks,
	uint32_t bank_count, uint64_t *set);

/* reftime.c */
void reftime_init(struct hv *hv);
void reftime_archive(struct hv *hv, struct archive *a);

/* synic.c */
void synic_vp_init(struct hv_vp *vp);
void synic_vp_fini(struct hv *hv, struct hv_vp *vp);
/* See hv_archive(). */
void synic_archive(struct hv *hv, struct hv_vp *vp, struct archive *a);
void synic_restored(struct hv *hv, struct hv_vp *vp);
/* Under hv_vp.lock: moves one waiting message of the SINT into its slot, if both are ready. */
void synic_deliver(struct hv *hv, struct hv_vp *vp, uint32_t sint);

/* stimer.c */
void stimer_vp_init(struct hv_vp *vp);
/* See hv_archive(). */
void stimer_archive(struct hv_vp *vp, struct archive *a);
void stimer_restored(struct hv *hv, struct hv_vp *vp);
/* Under hv_vp.lock: an expired timer has a message for this SINT. */
bool stimer_message_waiting(const struct hv_vp *vp, uint32_t sint);
/* Under hv_vp.lock, when one is waiting: takes it. */
void stimer_message_take(struct hv *hv, struct hv_vp *vp, uint32_t sint, struct hv_message *msg);

#endif
