/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM, SIGCONT and SIGHUP, unless it was ignored at start, as events of a loop.
 *
 * A thread of its own waits for them. It posts them to the loop, and measures how long
 * the process takes to end: nothing that keeps the loop's thread (a file system that
 * does not answer, a thread that cannot be joined) keeps the process longer than the
 * limit. Then the signal ends it as it would have without all this. What is undone before has a
 * part of the limit, and a thread of its own. Both threads are there from the beginning to the end
 * of the process: nothing has to be started when all else hangs.
 *
 * Thread: the loop's. Threads that start before must block these signals (base/thread.h); those
 * that start later inherit the mask.
 */
#ifndef VM_SIGNALS_H
#define VM_SIGNALS_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "base/err.h"
#include "base/loop.h"

#define SIGNALS_LIMIT_NS 15000000000ull

struct signals_ops {
	/* ON_LOOP. */
	void (*caught)(void *ctx, int signal);
	/* On a thread of its own, while the loop's thread may be anywhere: the process has not
	 * ended, and ends when this returns, or when a tenth of the limit is over. Undoes what
	 * would outlive it. */
	void (*overdue)(void *ctx);
};

struct signals {
	pthread_mutex_t lock; /* of `loop`, between its thread and ours */
	struct loop *loop;    /* NULL: not open, or closed */
	const struct signals_ops *ops;
	void *ctx;
	uint64_t limit_ns;
	sigset_t set;
	pthread_t thread, overdue;
	sem_t due;                /* overdue() is to be called */
	int first;                /* signal that ends the process; 0: none yet */
	uint64_t end_ns;          /* when overdue() is called, after the first signal */
	_Atomic uint64_t pending; /* bit: signal number */
	struct loop_task task;    /* posted while pending is not 0 */
};

/* A pipe without a reader and a limit on file sizes are errors of writes, not the end. */
void signals_ignore(void);

/* limit_ns: from the first signal to the end of the process; SIGNALS_LIMIT_NS, or less in tests. */
int signals_open(struct signals *s, struct loop *loop, const struct signals_ops *ops, void *ctx,
	uint64_t limit_ns, struct err *e);
/* Also when it was never opened. The loop no longer runs, and gets no more signals. The limit holds
 * until the process ends, which the last steps may delay: the threads, *s and ctx stay. */
void signals_close(struct signals *s);

#endif
