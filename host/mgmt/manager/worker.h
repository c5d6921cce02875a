/* SPDX-License-Identifier: MIT */
/*
 * Starts worker processes, so that a manager which is killed at any instant loses none: the new
 * process waits in front of a gate until its identity is recorded. A manager that dies before that
 * closes the gate, and the process ends without having been anything, which it writes down.
 *
 * A worker has as descriptors: 0 console input (a FIFO), 1 console output and 2 log (files), 3 its
 * configuration (a memfd), 4 the file for its exit status. All of them outlive the manager.
 *
 * Thread: the manager's, the only one of its process.
 */
#ifndef MANAGER_WORKER_H
#define MANAGER_WORKER_H

#include <stdbool.h>

#include "base/err.h"
#include "mgmt/manager/identity.h"

#define WORKER_FDS       5u
#define WORKER_CONFIG_FD 3
#define WORKER_STATUS_FD 4

struct worker_start {
	const char *program; /* enlite */
	const char *run_dir; /* its ENLITE_RUN_DIR */
	int fds[WORKER_FDS];
};

struct worker_gate {
	struct identity id;
	int pidfd;
	int gate; /* write end */
};

/* 0: a child waits; worker_gate_open() or worker_gate_close() follows. -errno with one line. */
int worker_spawn(const struct worker_start *start, struct worker_gate *gate, struct err *e);
/* The child becomes the worker; if it cannot, its exit status says so. */
void worker_gate_open(struct worker_gate *gate);
/* The child ends, and is reaped. */
void worker_gate_close(struct worker_gate *gate);

#define WORKER_END_TEXT 96u

/* How a worker ended. */
struct worker_exit {
	int status; /* -1: it was killed, or nothing is known */
	bool ran;   /* it began from an image, and its guest was about to go on */
	char text[WORKER_END_TEXT];
};

/* From the file it left (status_fd; -1: none) and, for a child, from the kernel; reaps a child. */
void worker_read_exit(int pidfd, int status_fd, struct worker_exit *x);
/* The file became too long: what it says of the guest is kept. 0 or -errno. */
int worker_trim_status(int status_fd);

#endif
