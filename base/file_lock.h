/* SPDX-License-Identifier: MIT */
/*
 * Files that we write have one user. Each takes this lock before it changes the file
 * (truncates, appends), so that an image is not a console at the same time. Open file
 * description locks: they hold within a process, too, and end with the descriptor.
 */
#ifndef BASE_FILE_LOCK_H
#define BASE_FILE_LOCK_H

#include <stdbool.h>

/* Any thread; does not wait. shared: for readers. Other things than regular files and block devices
 * are not locked. 0, -EBUSY when another descriptor has it, or -errno. */
int file_lock_take(int fd, bool shared);

#endif
