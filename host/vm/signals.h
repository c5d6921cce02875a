/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM, SIGCONT and SIGHUP, unless it was ignored at start, as events of a loop.
 *
 * A thread of its own waits for them. It posts them to the loop, and measures how long
 * the process takes to end: nothing that keeps the loop's thread (a file system that
 * does not answer, a thread that cannot be joined) keeps the process longer than the
 * limit. Then the signal ends it as it would have without all this.
 *
 * Thread: the loop's. Threads that start before must block these signals (base/thread.h); those
 * that start later inherit the mask.
 */
#ifndef VM_SIGNALS_H
#define VM_SIGNALS_H

#include <pthread.h>
#include <signal.h>

#include "base/err.h"
#include "base/loop.h"

#define SIGNALS_LIMIT_NS 15000000000ull

struct signals_ops {
	/* ON_LOOP. */
	void (*caught)(void *ctx, int signal);
	/* On the signals' thread, while the loop's thread may be anywhere: the process has not
	 * ended within the limit, and ends after this. Undoes what would outlive it. */
	void (*overdue)(void *ctx);
};

struct signals {
	struct loop *loop; /* NULL: not open */
	const struct signals_ops *ops;
	void *ctx;
	uint64_t limit_ns;
	sigset_t set;
	pthread_t thread;
	_Atomic uint64_t pending; /* bit: signal number */
	struct loop_task task;    /* posted while pending is not 0 */
};

/* A pipe without a reader and a limit on file sizes are errors of writes, not the end. */
void signals_ignore(void);

/* limit_ns: from the first signal that ends the process; SIGNALS_LIMIT_NS, or less in tests. */
int signals_open(struct signals *s, struct loop *loop, const struct signals_ops *ops, void *ctx,
	uint64_t limit_ns, struct err *e);
/* Also when it was never opened. The loop no longer runs; the limit ends here. */
void signals_close(struct signals *s);

#endif
