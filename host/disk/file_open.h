/* SPDX-License-Identifier: MIT */
/*
 * Opening an image file or block device, as far as it has nothing to do with
 * I/O: what it is, whether it may be used, who else uses it. Each user mistake
 * gives one line. Thread: control.
 */
#ifndef BACKEND_FILE_OPEN_H
#define BACKEND_FILE_OPEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "disk/disk.h"

#define FILE_BLOCK_SIZE          512u
#define FILE_PHYSICAL_BLOCK_SIZE 4096u

int file_check_kind(const char *path, struct stat *st, struct err *e);
/* Of an image file or a block device, in bytes. */
int file_check_size(const char *path, uint64_t size, struct err *e);
/* The descriptor, or -errno. */
int file_open_fd(
	const char *path, const struct stat *st, const struct disk_file_options *o, struct err *e);
/* Against a second writer. */
int file_lock(int fd, const char *path, const struct disk_file_options *o, struct err *e);
/* fd was opened with O_DIRECT: does it take our blocks? */
int file_check_direct(int fd, const char *path, struct err *e);
/* No device is behind it: reading and writing are copying. */
bool file_is_in_memory(int fd, const struct stat *st);
bool file_device_can_punch(const struct stat *st);
/* See disk_identity(); malloc()ed. NULL: out of memory. */
char *file_identity(int fd, const struct stat *st);

#endif
