/* SPDX-License-Identifier: MIT */
/*
 * When a VM whose worker process ended is started again. Pure. Thread: any.
 *
 * The n-th start in a row waits POLICY_DELAY_NS * 2^(n - 1), at most POLICY_DELAY_MAX_NS. A worker
 * that ran for POLICY_STEADY_NS begins a new row.
 */
#ifndef MANAGER_POLICY_H
#define MANAGER_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/time.h"

#define POLICY_DELAY_NS     (1 * NS_PER_S)
#define POLICY_DELAY_MAX_NS (60 * NS_PER_S)
#define POLICY_STEADY_NS    (60 * NS_PER_S)

enum policy { POLICY_NEVER, POLICY_ON_FAILURE, POLICY_ALWAYS };

/* Up to NULL; their index is enum policy. */
extern const char *const policy_names[];
/* -1: there is none of this name. */
int policy_of(const char *name);

/* How a worker process ended: the guest powered off or it was stopped; everything else; or the user
 * asked for it. */
enum worker_end { WORKER_DONE, WORKER_FAILED, WORKER_WANTED };

struct restarts {
	uint32_t row; /* starts in a row, by policy */
};

/* True: start it again, after *delay_ns. ran_ns: how long the worker ran. */
bool policy_restarts(enum policy policy, enum worker_end end, uint64_t ran_ns, struct restarts *r,
	uint64_t *delay_ns);

#endif
