/* SPDX-License-Identifier: MIT */
/*
 * One request to the control socket of a worker process (mgmt/ctl.h), without waiting: the
 * manager's thread serves all VMs, and a worker may be stopped or hostile. The answer is bounded in
 * time and size, and comes from the process that was meant, or not at all.
 *
 * Thread: the manager's loop.
 */
#ifndef MANAGER_ASK_H
#define MANAGER_ASK_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/loop.h"
#include "mgmt/ctl.h"

#define ASK_REPLY_MAX (4u << 20)

struct ask;

/* reply: borrowed, with "ok" true; NULL: e says why, error is -errno;
 * -EBUSY: the worker refused, else no answer came. Called once. */
typedef void ask_done_fn(void *ctx, json_t *reply, int error, const struct err *e);

/* Asks the process `worker`, or its broker, through the socket at `path`. request: borrowed.
 * done() is called later, also after ask_cancel(). NULL: out of memory, done() is not called. */
struct ask *ask_start(struct loop *loop, const char *path, pid_t worker, const json_t *request,
	unsigned timeout_ms, ask_done_fn *done, void *ctx);
/* A longer answer is -EMSGSIZE; ASK_REPLY_MAX unless this is called. */
void ask_limit(struct ask *a, size_t bytes);
/* The answer is no longer waited for: done() comes soon, with -ECANCELED. */
void ask_cancel(struct ask *a);

#endif
