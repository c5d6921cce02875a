/* SPDX-License-Identifier: MIT */
/*
 * What code that has taken over a worker might try, by the numbers of SECURITY.md. Each attempt is
 * made on a VP, an I/O thread and control of a process that is confined as `enlite run` is.
 */
#ifndef TESTS_ESCAPE_ATTEMPTS_H
#define TESTS_ESCAPE_ATTEMPTS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/loop.h"

/* What a process has, for the attempts. */
struct place {
	const char *directory; /* the user's, with the files below */
	const char *canary;    /* a file that was not named */
	const char *named;     /* a file that was named as a disk, read only, and was opened */
	const char *socket;    /* of another VM */
	pid_t neighbour;
	int kvm, read_only, memfd, stream;
	struct loop loop; /* of control; its ring is restricted and not enabled */
};

/* Outcomes. Others are numbers of errors. */
enum { ALLOWED = 0, DIES = 1000, KILLED = 1001 };

struct attempt {
	unsigned int number;
	const char *name;
	/* 0 or more: it worked; or -errno. */
	long (*make)(struct place *p);
	int vp, loop, control; /* what must happen */
};

extern const struct attempt attempts[]; /* up to one without a name */

#endif
