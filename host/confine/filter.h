/* SPDX-License-Identifier: MIT */
/*
 * The system calls that a worker may make: one table (filter.c), a filter for the process and one
 * more for each kind of thread, which has less. A call that is in neither ends the process with
 * SIGSYS and one line; opening files fails with EACCES, since libraries try that and go on.
 *
 * Thread: filters_make() and filter_process() before there are others; filter_thread() each, once.
 */
#ifndef CONFINE_FILTER_H
#define CONFINE_FILTER_H

#include "base/err.h"
#include "base/thread.h"

/* Builds all of them. 0 or -errno. */
int filters_make(struct err *e);
/* The filter of the process. Later threads have it, too. 0 or -errno. */
int filter_process(void);
/* Narrows the calling thread to what its kind needs; ends the process when that fails. */
void filter_thread(enum thread_kind kind);

#endif
