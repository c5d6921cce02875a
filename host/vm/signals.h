/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM, SIGCONT and SIGHUP, unless it was ignored at start, as events of a loop.
 *
 * Thread: the loop's. Threads that start before must block these signals (base/thread.h); those
 * that start later inherit the mask.
 */
#ifndef VM_SIGNALS_H
#define VM_SIGNALS_H

#include "base/err.h"
#include "base/loop.h"

struct signals {
	struct loop *loop; /* NULL: not open */
	void (*caught)(void *ctx, int signal);
	void *ctx;
	int fd;
	struct loop_op read_op;
	uint8_t buffer[128];
};

/* A pipe without a reader and a limit on file sizes are errors of writes, not the end. */
void signals_ignore(void);

int signals_open(struct signals *s, struct loop *loop, void (*caught)(void *ctx, int signal),
	void *ctx, struct err *e);
/* Also when it was never opened. The loop no longer runs. */
void signals_close(struct signals *s);

#endif
