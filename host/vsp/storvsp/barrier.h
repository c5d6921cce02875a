/* SPDX-License-Identifier: MIT */
/*
 * The init barrier: sub-channels wait here until the primary channel has finished
 * the initialization. Guests may open and fill them before that, and their
 * commands must wait, not fail.
 *
 * Any thread. The lock is a leaf held for a few instructions, only until the
 * barrier is open: a channel that has passed does not take it again.
 */
#ifndef STORVSP_BARRIER_H
#define STORVSP_BARRIER_H

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"

struct barrier {
	pthread_mutex_t lock;
	uint16_t version; /* negotiated; 0: closed */
	struct list waiters;
};

/*   IDLE --barrier_pass() == 0--> WAITING --barrier_open--> POSTED --task runs--> IDLE
 *                                 WAITING --barrier_leave--> IDLE                      */
enum barrier_waiter_state { WAITER_IDLE, WAITER_WAITING, WAITER_POSTED };

struct barrier_waiter {
	enum barrier_waiter_state state;
	struct list link;
	struct loop *loop;
	struct loop_task task;
	void (*opened)(struct barrier_waiter *w); /* on loop */
};

void barrier_init(struct barrier *barrier);
void barrier_fini(struct barrier *barrier);

void barrier_close(struct barrier *barrier);
void barrier_open(struct barrier *barrier, uint16_t version);
bool barrier_is_open(struct barrier *barrier);

void barrier_waiter_init(
	struct barrier_waiter *w, struct loop *loop, void (*opened)(struct barrier_waiter *w));
/* The negotiated version, or 0: opened(w) will be called. */
uint16_t barrier_pass(struct barrier *barrier, struct barrier_waiter *w);
/* True: w is unused. False: opened(w) is posted, w is unused after it. */
bool barrier_leave(struct barrier *barrier, struct barrier_waiter *w);

#endif
