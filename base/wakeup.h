/* SPDX-License-Identifier: MIT */
/*
 * What it costs to wake a sleeping thread on this machine: microseconds on a real one, a hundred
 * times that on a nested one. The unit in which polling pays or does not.
 */
#ifndef HOST_BASE_WAKEUP_H
#define HOST_BASE_WAKEUP_H

#include <stdint.h>

/* Two threads wake each other through eventfds a few times; the median of there and back, in
 * nanoseconds. Takes milliseconds at most. 0: there are no resources to measure it. Any
 * thread. */
uint64_t wakeup_measure_ns(void);
/* How long it is worth while to look for work before sleeping, by that measure: what `--poll auto`
 * takes, for loop_set_polling(). Within limits, so that no measure can make it absurd. */
uint64_t wakeup_poll_window_ns(void);

#endif
