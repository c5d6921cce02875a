/* SPDX-License-Identifier: MIT */
/*
 * Sub-channels wait here until the primary channel has finished the
 * initialization. Guests may open and fill them before that, and their commands
 * must be held, not failed.
 *
 * Any thread. The lock is a leaf held for a few instructions, only while the
 * gate is closed: a channel that has passed never looks at it again.
 */
#ifndef STORVSP_GATE_H
#define STORVSP_GATE_H

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"

struct storvsp_gate {
	pthread_mutex_t lock;
	uint16_t version; /* negotiated; 0: closed */
	struct list waiters;
};

/*   IDLE --gate_pass says 0--> WAITING --gate_open--> POSTED --task runs--> IDLE
 *                              WAITING --gate_leave--> IDLE                       */
enum storvsp_waiter_state { WAITER_IDLE, WAITER_WAITING, WAITER_POSTED };

struct storvsp_waiter {
	enum storvsp_waiter_state state;
	struct list link;
	struct loop *loop;
	struct loop_task task;
	void (*opened)(struct storvsp_waiter *w); /* on loop */
};

void gate_init(struct storvsp_gate *gate);
void gate_fini(struct storvsp_gate *gate);

void gate_close(struct storvsp_gate *gate);
void gate_open(struct storvsp_gate *gate, uint16_t version);
bool gate_is_open(struct storvsp_gate *gate);

void gate_waiter_init(
	struct storvsp_waiter *w, struct loop *loop, void (*opened)(struct storvsp_waiter *w));
/* The negotiated version, or 0: opened(w) will be called. */
uint16_t gate_pass(struct storvsp_gate *gate, struct storvsp_waiter *w);
/* True: w is unused. False: opened(w) is on its way, w is unused after it. */
bool gate_leave(struct storvsp_gate *gate, struct storvsp_waiter *w);

#endif
