/* SPDX-License-Identifier: MIT */
/*
 * The time to wake a sleeping thread on another CPU: microseconds on a physical host, a hundred
 * times that on a nested host, more on a busy one. Polling pays when work arrives within a few of
 * these times.
 *
 * A meter has a thread that does nothing but sleep; a sample is the time from waking it until it
 * runs. The result is the median of the last samples, so that it follows the machine: whoever uses
 * it asks for a sample from time to time.
 */
#ifndef BASE_WAKEUP_H
#define BASE_WAKEUP_H

#include <stdint.h>

#include "base/err.h"

#define WAKEUP_SAMPLES 15u

/* ---- the thread ---------------------------------------------------------- */

struct wakeup_meter;

/* Creates the meter and takes the first WAKEUP_SAMPLES; takes milliseconds on an idle machine.
 * NULL: no resources for it, and *e says which. */
struct wakeup_meter *wakeup_meter_new(struct err *e);
/* NULL is allowed. After the last wakeup_meter_sample() on any thread. */
void wakeup_meter_free(struct wakeup_meter *meter);

/* Any thread. Takes a sample unless one is being taken; does not wait for it. */
void wakeup_meter_sample(struct wakeup_meter *meter);
/* Any thread. Median of the last samples in nanoseconds. */
uint64_t wakeup_meter_ns(const struct wakeup_meter *meter);

/* ---- the arithmetic ------------------------------------------------------ */

/* The last samples; all zero is none. */
struct wakeup_history {
	uint64_t ns[WAKEUP_SAMPLES];
	uint32_t count; /* of all samples so far */
};

void wakeup_history_add(struct wakeup_history *history, uint64_t ns);
/* 0: no samples yet. */
uint64_t wakeup_history_median(const struct wakeup_history *history);

/* The polling window for loop_set_polling() that follows from a time to wake a thread, clamped to
 * sane limits (docs/adr/0007). */
uint64_t wakeup_poll_window_ns(uint64_t wakeup_ns);

#endif
