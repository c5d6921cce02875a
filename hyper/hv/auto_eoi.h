/* SPDX-License-Identifier: MIT */
/*
 * AutoEOI: a SINT whose interrupts are at their end when the VP takes them. The guest writes no
 * EOI, so the vector must never stand in the LAPIC's in-service register.
 *
 * KVM's LAPIC has no such interrupts. Ours go past it: they wait here, like in the LAPIC's request
 * register, and are given to the VP as if its LAPIC had just acknowledged them:
 *
 *   auto_eoi_raise() -> WAITING -> auto_eoi_next() says INJECT -> auto_eoi_take() -> the VP has it
 *   WAITING -> WAITING  raised again: one interrupt, as in a LAPIC
 *   WAITING -> gone     the LAPIC was turned off, or the VP got an INIT
 *
 * KVM does not say when a VP becomes ready for an interrupt, so one that is not is asked again:
 * auto_eoi_retry_ns().
 *
 * Source: TLFS, chapter inter-partition-communication (SINTs); SDM volume 3, chapter APIC
 * (priorities).
 */
#ifndef HYPER_AUTO_EOI_H
#define HYPER_AUTO_EOI_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define AUTO_EOI_WORDS 4u /* of 64 vectors */
#define LAPIC_WORDS    8u /* of 32 vectors, as a LAPIC has them */

#define AUTO_EOI_RETRY_MIN_NS 50000u
#define AUTO_EOI_RETRY_MAX_NS 10000000u

/* The interrupts that wait for one VP. All zero is none. */
struct auto_eoi {
	_Atomic uint64_t waiting[AUTO_EOI_WORDS];
};

/* One VP that is out of the guest. */
struct auto_eoi_vp {
	bool lapic_on; /* enabled by its software, and the VP does not wait for an INIT or SIPI */
	bool interruptible; /* RFLAGS.IF is set, no STI or MOV SS holds interrupts back */
	bool busy;          /* it is being given another event */
	uint8_t task_priority;
	uint32_t in_service[LAPIC_WORDS];
};

enum auto_eoi_action {
	AUTO_EOI_NOTHING, /* none waits */
	AUTO_EOI_INJECT,  /* `vector` can be taken now */
	AUTO_EOI_WAIT,    /* not now */
	AUTO_EOI_FORGET,  /* the VP will take none of those that wait */
};

struct auto_eoi_step {
	enum auto_eoi_action action;
	uint8_t vector;
};

/* Any thread. True when the vector did not wait yet. */
bool auto_eoi_raise(struct auto_eoi *a, uint8_t vector);

/* The VP's own thread: */
bool auto_eoi_waiting(struct auto_eoi *a);
struct auto_eoi_step auto_eoi_next(struct auto_eoi *a, const struct auto_eoi_vp *vp);
/* Before the VP gets it: what is raised from then on is a new interrupt. */
void auto_eoi_take(struct auto_eoi *a, uint8_t vector);
void auto_eoi_forget(struct auto_eoi *a);

/* How long to let a VP run before it is asked again, after it was not ready for so long. */
uint64_t auto_eoi_retry_ns(uint64_t waited_ns);

#endif
