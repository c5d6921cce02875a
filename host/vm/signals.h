/* SPDX-License-Identifier: MIT */
/*
 * SIGINT, SIGTERM, SIGCONT and SIGHUP, unless it was ignored at start, as events of a loop.
 *
 * Thread: the loop's. Open before any other thread starts: all inherit the signal mask.
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

int signals_open(struct signals *s, struct loop *loop, void (*caught)(void *ctx, int signal),
	void *ctx, struct err *e);
/* Also when it was never opened. The loop no longer runs. */
void signals_close(struct signals *s);

#endif
