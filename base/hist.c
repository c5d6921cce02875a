/* SPDX-License-Identifier: MIT */
/*
 * In units of 64 ns: the first eight buckets are one unit each; from 2^e units on, the three bits
 * below the highest select the bucket.
 */
#include "base/hist.h"

#include <stdatomic.h>

#define SUB_BUCKETS (1u << HIST_SUB_SHIFT)

uint32_t hist_bucket(uint64_t ns)
{
	uint64_t units = ns >> HIST_UNIT_SHIFT;
	uint32_t shift;

	if (ns >> HIST_TIME_SHIFT)
		return HIST_BUCKETS - 1;
	if (units < SUB_BUCKETS)
		return (uint32_t)units;
	shift = 63 - HIST_SUB_SHIFT - (uint32_t)__builtin_clzll(units);
	return (shift << HIST_SUB_SHIFT) + (uint32_t)(units >> shift);
}

uint64_t hist_start(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < SUB_BUCKETS)
		return (uint64_t)bucket << HIST_UNIT_SHIFT;
	shift = (bucket >> HIST_SUB_SHIFT) - 1;
	return (uint64_t)(bucket - (shift << HIST_SUB_SHIFT)) << (shift + HIST_UNIT_SHIFT);
}

static uint64_t load(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* One writer: no read-modify-write needed. */
static void add(_Atomic uint64_t *value, uint64_t amount)
{
	atomic_store_explicit(value, load(value) + amount, memory_order_relaxed);
}

void hist_add(struct hist *hist, uint64_t ns)
{
	add(&hist->bucket[hist_bucket(ns)], 1);
	add(&hist->sum_ns, ns);
	if (ns > load(&hist->highest_ns))
		atomic_store_explicit(&hist->highest_ns, ns, memory_order_relaxed);
}

void hist_reset(struct hist *hist)
{
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		atomic_store_explicit(&hist->bucket[i], 0, memory_order_relaxed);
	atomic_store_explicit(&hist->sum_ns, 0, memory_order_relaxed);
	atomic_store_explicit(&hist->highest_ns, 0, memory_order_relaxed);
}

void hist_collect(struct hist_sum *sum, const struct hist *hist)
{
	uint64_t highest = load(&hist->highest_ns);

	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		uint64_t count = load(&hist->bucket[i]);

		sum->bucket[i] += count;
		sum->count += count;
	}
	sum->sum_ns += load(&hist->sum_ns);
	if (highest > sum->highest_ns)
		sum->highest_ns = highest;
}

/* The middle of the bucket, and at most the highest time. */
static uint64_t typical(const struct hist_sum *sum, uint32_t bucket)
{
	uint64_t start = hist_start(bucket);
	uint64_t middle = start + (hist_start(bucket + 1) - start) / 2;

	return middle < sum->highest_ns ? middle : sum->highest_ns;
}

uint64_t hist_percentile(const struct hist_sum *sum, uint32_t of_100000)
{
	uint64_t rank = (uint64_t)(((__uint128_t)sum->count * of_100000 + 99999) / 100000);
	uint64_t seen = 0;

	if (!sum->count)
		return 0;
	for (uint32_t i = 0; i < HIST_BUCKETS - 1; i++) {
		seen += sum->bucket[i];
		if (seen && seen >= rank)
			return typical(sum, i);
	}
	return sum->highest_ns;
}
