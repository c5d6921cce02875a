/* SPDX-License-Identifier: MIT */
/* What a process uses, from /proc. Thread: any. */
#ifndef MANAGER_USAGE_H
#define MANAGER_USAGE_H

#include <stdint.h>
#include <sys/types.h>

struct usage {
	uint64_t cpu_ns;   /* user and system time of all its threads */
	uint64_t resident; /* bytes */
};

/* 0 or -errno. */
int usage_of(pid_t pid, struct usage *u);

#endif
