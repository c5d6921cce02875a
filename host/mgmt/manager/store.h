/* SPDX-License-Identifier: MIT */
/*
 * A directory of small JSON files that survives a crash at any instant: a file is written whole
 * beside the old one, flushed, renamed over it, and the directory is flushed; then the call
 * returns. A reader finds the old file or the new one.
 *
 * Files that are not ours (links, other owners, writable for others, torn) are reported and
 * skipped: none of them keeps another from being read.
 *
 * Thread: the manager's. Calls sleep in the file system.
 */
#ifndef MANAGER_STORE_H
#define MANAGER_STORE_H

#include <jansson.h>
#include <sys/types.h>

#include "base/err.h"

#define STORE_NAME_MAX 64u
#define STORE_FILE_MAX (1u << 20)

/* The system calls of a write, in this order; tests make each of them fail. As the calls they are
 * named after. */
struct store_calls {
	int (*openat)(int dir, const char *name, int flags, mode_t mode);
	ssize_t (*write)(int fd, const void *bytes, size_t count);
	int (*fsync)(int fd);
	int (*close)(int fd);
	int (*renameat)(int from_dir, const char *from, int to_dir, const char *to);
	int (*unlinkat)(int dir, const char *name, int flags);
};

extern const struct store_calls store_calls;

struct store {
	int dir; /* -1: not open */
	const struct store_calls *calls;
};

/* Makes the directory if there is none; it must be ours alone. 0 or -errno with one line. */
int store_open(struct store *s, const char *path, struct err *e);
void store_close(struct store *s);

/* 0: the file is on disk. -errno with one line: it is as it was; or, when only the flush of the
 * directory failed, it may be the new one. */
int store_write(const struct store *s, const char *name, const json_t *json, struct err *e);
/* 0: it is gone, for good; also if there was none. */
int store_remove(const struct store *s, const char *name, struct err *e);
/* 0 with a new object; -ENOENT; -errno with one line: it is not one of ours, or torn. */
int store_read(const struct store *s, const char *name, json_t **json, struct err *e);
/* A file of any kind changes its name, for good. */
int store_rename(const struct store *s, const char *from, const char *to, struct err *e);

/* Calls fn for each name that ends with `suffix`, in no order, and removes what an interrupted
 * write left. 0 or -errno. fn may change the directory. */
int store_each(const struct store *s, const char *suffix, void (*fn)(void *ctx, const char *name),
	void *ctx);

#endif
