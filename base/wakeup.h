/* SPDX-License-Identifier: MIT */
/*
 * The time to wake a sleeping thread: microseconds on a physical host, a hundred times that on a
 * nested host. Polling pays when work arrives within a few of these times.
 */
#ifndef HOST_BASE_WAKEUP_H
#define HOST_BASE_WAKEUP_H

#include <stdint.h>

/* Two threads wake each other through eventfds a few times: the median round trip in nanoseconds.
 * Takes milliseconds at most. 0: no resources to measure it. Any thread. */
uint64_t wakeup_measure_ns(void);
/* The polling window for loop_set_polling() that follows from this time, clamped to sane limits:
 * the automatic setting. */
uint64_t wakeup_poll_window_ns(void);

#endif
