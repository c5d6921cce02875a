/* SPDX-License-Identifier: MIT */
/*
 * Files, pipes and terminals that a thread of ours writes to. Neither open nor write waits for the
 * reader of a pipe for ever. Thread: any, one at a time.
 */
#ifndef BASE_FILE_OUTPUT_H
#define BASE_FILE_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* flags: O_APPEND or 0. Locks a file. The descriptor; or -ENXIO: a pipe that nobody reads; -EBUSY:
 * a file that is locked; or another -errno. */
int file_output_open(const char *path, int flags, mode_t mode);

/* Waits for room, once *closing only for a moment: then -EAGAIN. 0 or -errno. */
int file_output_write(int fd, const void *bytes, size_t len, const _Atomic bool *closing);

#endif
