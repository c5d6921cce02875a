/* SPDX-License-Identifier: MIT */
/*
 * How long a VM waits before it restarts a guest that reset. Each restart costs the
 * host a new partition, so one that resets as soon as it runs, for ever, is slowed
 * down: RESTARTS_AT_ONCE times it restarts at once, then after 100 ms, 200 ms, 400 ms
 * and so on, RESTART_DELAY_MAX_NS at most. A boot of RESTART_SHORT_NS or longer ends
 * this. Thread: control.
 */
#ifndef VM_RESTART_H
#define VM_RESTART_H

#include <stdint.h>

#define RESTARTS_AT_ONCE     5u
#define RESTART_SHORT_NS     3000000000ull
#define RESTART_DELAY_NS     100000000ull
#define RESTART_DELAY_MAX_NS 5000000000ull

/* Zeroed: nothing has happened yet. */
struct restart {
	uint64_t began_ns;    /* of the present boot */
	uint32_t short_boots; /* in a row */
};

void restart_began(struct restart *r, uint64_t now_ns);
/* The guest reset: nanoseconds to wait before the next start, 0: none. */
uint64_t restart_delay(struct restart *r, uint64_t now_ns);

#endif
