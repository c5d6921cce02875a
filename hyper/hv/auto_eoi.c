/* SPDX-License-Identifier: MIT */
#include "hyper/hv/auto_eoi.h"

#define WORD_BITS 64u

/* The upper four bits of a vector, or of a priority, are its class. */
#define PRIORITY_CLASS(vector) ((vector) >> 4)

/* Adds an eighth of the time that an interrupt waits anyway. */
#define RETRY_SHARE 8u

bool auto_eoi_raise(struct auto_eoi *a, uint8_t vector)
{
	uint64_t bit = 1ull << vector % WORD_BITS;

	return !(atomic_fetch_or(&a->waiting[vector / WORD_BITS], bit) & bit);
}

/* 0: none; no SINT has vector 0. */
static uint8_t highest_waiting(struct auto_eoi *a)
{
	for (uint32_t word = AUTO_EOI_WORDS; word-- > 0;) {
		uint64_t bits = atomic_load(&a->waiting[word]);

		if (bits)
			return (uint8_t)(word * WORD_BITS + WORD_BITS - 1 -
					 (uint32_t)__builtin_clzll(bits));
	}
	return 0;
}

static uint32_t highest_in_service(const struct auto_eoi_vp *vp)
{
	for (uint32_t word = LAPIC_WORDS; word-- > 0;)
		if (vp->in_service[word])
			return word * 32 + 31 - (uint32_t)__builtin_clz(vp->in_service[word]);
	return 0;
}

/* A VP takes an interrupt of a class above the task's and above the class of what it serves. */
static bool above_priority(const struct auto_eoi_vp *vp, uint8_t vector)
{
	uint32_t class = PRIORITY_CLASS(vector);

	return class > PRIORITY_CLASS(vp->task_priority) &&
	       class > PRIORITY_CLASS(highest_in_service(vp));
}

bool auto_eoi_waiting(struct auto_eoi *a)
{
	return highest_waiting(a) != 0;
}

struct auto_eoi_step auto_eoi_next(struct auto_eoi *a, const struct auto_eoi_vp *vp)
{
	uint8_t vector = highest_waiting(a);

	if (!vector)
		return (struct auto_eoi_step){AUTO_EOI_NOTHING, 0};
	if (!vp->lapic_on)
		return (struct auto_eoi_step){AUTO_EOI_FORGET, 0};
	if (vp->busy || !vp->interruptible || !above_priority(vp, vector))
		return (struct auto_eoi_step){AUTO_EOI_WAIT, 0};
	return (struct auto_eoi_step){AUTO_EOI_INJECT, vector};
}

void auto_eoi_take(struct auto_eoi *a, uint8_t vector)
{
	atomic_fetch_and(&a->waiting[vector / WORD_BITS], ~(1ull << vector % WORD_BITS));
}

void auto_eoi_forget(struct auto_eoi *a)
{
	for (uint32_t word = 0; word < AUTO_EOI_WORDS; word++)
		atomic_store(&a->waiting[word], 0);
}

uint64_t auto_eoi_retry_ns(uint64_t waited_ns)
{
	uint64_t ns = waited_ns / RETRY_SHARE;

	if (ns < AUTO_EOI_RETRY_MIN_NS)
		return AUTO_EOI_RETRY_MIN_NS;
	return ns < AUTO_EOI_RETRY_MAX_NS ? ns : AUTO_EOI_RETRY_MAX_NS;
}
