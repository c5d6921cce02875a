/* SPDX-License-Identifier: MIT */
/*
 * A directory of small JSON files that survives a crash at any instant: they are replaced as a
 * whole (base/file_replace.h). A reader finds the old file or the new one.
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
#include "base/file_replace.h"

#define STORE_NAME_MAX 64u
#define STORE_FILE_MAX (1u << 20)

struct store {
	int dir; /* -1: not open */
	char *path;
	const struct file_replace_calls *calls; /* file_replace_calls outside of tests */
};

/* Makes the directory if there is none; it must be ours alone. path is absolute. 0 or -errno with
 * one line. */
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

/* Calls fn for each name that ends with `suffix`, in no order. 0 or -errno. fn may change the
 * directory. */
int store_each(const struct store *s, const char *suffix, void (*fn)(void *ctx, const char *name),
	void *ctx);
/* Removes what interrupted writes have left. Only this process replaces files in the directory. */
void store_clean(struct store *s);

#endif
