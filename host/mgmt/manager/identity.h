/* SPDX-License-Identifier: MIT */
/*
 * Which process is which. A process ID alone is not enough: it is used again. With the time the
 * process began and the boot it began in, there is one process of an identity, ever.
 *
 * Thread: any.
 */
#ifndef MANAGER_IDENTITY_H
#define MANAGER_IDENTITY_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BOOT_ID_MAX 40u

struct identity {
	pid_t pid;
	uint64_t start; /* clock ticks since boot: /proc/PID/stat, field 22 */
	char boot[BOOT_ID_MAX];
};

/* Of a process that exists. 0 or -errno. */
int identity_of(pid_t pid, struct identity *id);

/* Of this boot of the host. 0 or -errno. */
int identity_boot(char boot[BOOT_ID_MAX]);

/* A pidfd of the process with this identity. -ESRCH: it has ended; -errno: it is not known. */
int identity_open(const struct identity *id);

/* The parent of a process; 0: unknown. */
pid_t identity_parent(pid_t pid);

json_t *identity_json(const struct identity *id);
bool identity_from_json(struct identity *id, const json_t *json);

#endif
