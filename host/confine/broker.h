/* SPDX-License-Identifier: MIT */
/*
 * The broker: a process beside the worker, with the rights of the user who started both. Its
 * protocol is base/broker.h; what it allows is grants.h. It reads what a worker sends as hostile:
 * lengths, ends of texts and operations are checked, and no request changes what is allowed.
 *
 *   main thread      takes requests, and ends the process when the worker is gone
 *   request          one each: it makes the call, which may sleep, and answers
 *   client           one each: passes a client of the control socket on (clients.c)
 */
#ifndef CONFINE_BROKER_H
#define CONFINE_BROKER_H

#include <sys/types.h>

#include "base/broker.h"
#include "config/config.h"

/* Before there are other threads. Starts it, and uses it from now on. 0 or -errno. */
int broker_start(const struct vm_config *config, struct err *e);
/* Ends it, and waits for that, three seconds at most. */
void broker_stop(void);

/* clients.c, in the broker: the control socket of VM `name`. *fd: where the worker accepts what is
 * passed on. 0, or -errno with one line. */
int broker_serve_clients(const char *name, int *fd, struct err *e);
/* The worker has ended: waits, for a second at most, until its last answers are passed on. */
void broker_finish_clients(void);

#endif
