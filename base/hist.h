/* SPDX-License-Identifier: MIT */
/*
 * A histogram of times, cheap enough for every request: no lock, no allocation, one writer, and
 * readers on any thread.
 *
 * Eight buckets for each power of two: a percentile is exact within 1/16 of its value from half a
 * microsecond on, and within half a bucket of 64 ns below. Times from 2^40 ns (18 minutes) on
 * share the last bucket.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdint.h>

#define HIST_UNIT_SHIFT 6u /* the smallest buckets: 64 ns */
#define HIST_SUB_SHIFT  3u /* buckets of a power of two */
#define HIST_TIME_SHIFT 40u
#define HIST_BUCKETS    ((HIST_TIME_SHIFT - HIST_UNIT_SHIFT - HIST_SUB_SHIFT + 1) << HIST_SUB_SHIFT)

struct hist {
	_Atomic uint64_t sum_ns;
	_Atomic uint64_t highest_ns;
	_Atomic uint64_t bucket[HIST_BUCKETS];
};

/* Sum of one or more histograms, read at one time. */
struct hist_sum {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t highest_ns;
	uint64_t bucket[HIST_BUCKETS];
};

/* The writer's thread. Zeroed memory is an empty histogram. */
void hist_add(struct hist *hist, uint64_t ns);
void hist_reset(struct hist *hist);

/* Any thread: adds the values of hist to sum. */
void hist_collect(struct hist_sum *sum, const struct hist *hist);

/* Bucket n holds the times from hist_start(n) up to hist_start(n + 1). */
uint32_t hist_bucket(uint64_t ns);
uint64_t hist_start(uint32_t bucket);

/* Percentile in units of 1/100,000; 0 when the sum is empty. */
uint64_t hist_percentile(const struct hist_sum *sum, uint32_t of_100000);

#endif
