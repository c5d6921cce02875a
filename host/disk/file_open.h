/* SPDX-License-Identifier: MIT */
/*
 * Opening an image file or block device: type, permissions, locks, alignment.
 * Each mistake of the user is one line in e. Thread: the one that opens the disk.
 */
#ifndef BACKEND_FILE_OPEN_H
#define BACKEND_FILE_OPEN_H

#include <stdbool.h>
#include <sys/stat.h>

#include "disk/disk.h"

#define FILE_BLOCK_SIZE          512u
#define FILE_PHYSICAL_BLOCK_SIZE 4096u

int file_check_kind(const char *path, struct stat *st, struct err *e);
/* size: of an image file or a block device, in bytes. */
int file_check_size(const char *path, uint64_t size, struct err *e);
/* The descriptor, or -errno. */
int file_open_fd(
	const char *path, const struct stat *st, const struct disk_file_options *o, struct err *e);
/* Takes the lock that keeps a second writer out. */
int file_lock(int fd, const char *path, const struct disk_file_options *o, struct err *e);
/* For O_DIRECT: reads one block of FILE_BLOCK_SIZE, to find out whether that is possible. */
int file_check_direct(int fd, const char *path, struct err *e);
/* A regular file on tmpfs or ramfs: I/O is a memory copy. */
bool file_is_in_memory(int fd, const struct stat *st);
/* Of a file that may be written: punching a hole beyond its end changes nothing, and shows whether
 * holes are supported. size: bytes. */
bool file_can_punch(int fd, const struct stat *st, uint64_t size);
/* Of a regular file, in ns since 1970; 0: it is none. */
uint64_t file_changed_ns(int fd);
/* See disk_identity(); malloc()ed. NULL: out of memory. */
char *file_identity(int fd, const struct stat *st);

/* Reads and writes that would sleep are asynchronous in the kernel. FUSE, for example, has none:
 * io_uring may try them on the thread that submits, which then sleeps. */
bool file_io_is_async(int fd);

/* See disk_map(). */
int file_map_range(int fd, uint64_t offset, uint64_t *length, bool *mapped);

/* The size of a disk; one that is none is refused. */
int file_read_size(int fd, const char *path, uint64_t *size, struct err *e);

#endif
