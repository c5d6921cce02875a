/* SPDX-License-Identifier: MIT */
/*
 * Calls that may sleep for a long time (a file system that is frozen, a name
 * server that is silent), for threads that must not: each runs on a helper thread,
 * and its result is posted to the loop that started it.
 *
 *   IDLE --start--> WAITING --a thread is free--> RUNNING --run() returns--> POSTED --> IDLE
 *                      | cancel                      | abandon
 *                      v                             v
 *                     IDLE                       ABANDONED --run() returns--> release()
 *
 * At most BLOCKING_THREADS_MAX calls run at once; more wait, oldest first. An owner
 * that may block for ever keeps no more than one call, so that one stuck storage
 * holds one thread per user of it, and the others find threads.
 *
 * A call that sleeps cannot be interrupted. An owner that must end before it does
 * abandons the call: nothing of the owner may then be used by run(), so a call that
 * can be abandoned is allocated on its own, with copies of all that run() needs.
 *
 * Helper threads block all signals and are never joined: they do not keep a process
 * from ending with _exit() or exit().
 */
#ifndef BASE_BLOCKING_H
#define BASE_BLOCKING_H

#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

#define BLOCKING_THREADS_MAX 64u

enum blocking_state {
	BLOCKING_IDLE,
	BLOCKING_WAITING,
	BLOCKING_RUNNING,
	BLOCKING_POSTED,
	BLOCKING_ABANDONED,
};

/* Zeroed: idle. The state belongs to blocking.c. */
struct blocking_call {
	/* On a helper thread. May sleep. */
	void (*run)(struct blocking_call *call);
	/* On the loop, once, when run() has returned. The call is idle: it may be started again or
	 * freed. */
	void (*done)(struct blocking_call *call);
	/* On any thread, instead of done(), after blocking_abandon(). */
	void (*release)(struct blocking_call *call);
	struct loop *loop;
	struct loop_task task;
	struct list link;
	enum blocking_state state;
};

/* ON_LOOP(loop). run, done and, if it may be abandoned, release are set. Never sleeps. 0; or
 * -errno when no thread can be created: the call is idle then. */
int blocking_start(struct blocking_call *call, struct loop *loop);

/* ON_LOOP(call->loop). True: the call had not begun and is idle; done() is not called. False: it
 * runs or has run, and done() is called. */
bool blocking_cancel(struct blocking_call *call);

/* ON_LOOP(call->loop). True: done() is not called; release(call) is, now or when run() returns,
 * and the call is no longer the owner's. False: the call is idle, or its result is posted already
 * and done() comes in a next turn of the loop. */
bool blocking_abandon(struct blocking_call *call);

/* From now on a thread of its own creates helper threads: callers may be narrow (thread.h), and a
 * thread inherits that. For the life of the process. 0 or -errno. */
int blocking_use_starter(void);

#endif
