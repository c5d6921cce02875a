/* SPDX-License-Identifier: MIT */
/*
 * A file whose storage never answers: a FUSE file system in a process of its own
 * that has one file, "disk", and leaves reads, writes, fsyncs, unlinks and searches for holes in
 * the kernel until the process is killed; then they fail. Needs root and /dev/fuse.
 */
#ifndef SUPPORT_STUCK_FILE_H
#define SUPPORT_STUCK_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct stuck_file {
	char dir[64];
	char path[80];
	pid_t server;
	struct stuck_file_seen *seen; /* shared with the server */
};

struct stuck_file_seen {
	_Atomic uint32_t reads, writes, fsyncs, lseeks, unlinks, flushes; /* that are stuck */
	_Atomic bool hold_close; /* set before the first close: a close is stuck, too */
};

/* False: why says why there can be none here. */
bool stuck_file_start(struct stuck_file *f, uint64_t size, const char **why);
/* Whatever is stuck fails; the path is gone. */
void stuck_file_stop(struct stuck_file *f);

#endif
