/* SPDX-License-Identifier: MIT */
/*
 * Files that are replaced as a whole: the new one is written beside the old one, as NAME.tmp, and
 * gets its name when all of it is on the disk. A crash or a loss of power at any moment leaves the
 * old file or the new one, and at most a NAME.tmp, which the next writer replaces. A failure
 * leaves nothing.
 *
 *   file_replace_begin --> the caller writes to r->fd --> file_replace_commit
 *                                                    `--> file_replace_abort
 *
 * NAME.tmp is locked while it is written: two writers of one name do not mix, one of them is
 * refused. It is always a new file, never one that another user has put or linked there.
 *
 * In a confined worker these calls go to the broker (files.h), which needs grants for NAME.tmp
 * (look, read, write, create, remove), NAME (remove; read where the caller checks the old one) and
 * the directory (to synchronise it).
 *
 * Thread: any that may sleep on a file system; a struct file_replace belongs to one at a time, and
 * stays where it is.
 */
#ifndef BASE_FILE_REPLACE_H
#define BASE_FILE_REPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/list.h"

#define FILE_REPLACE_SUFFIX ".tmp"

/* What it does with files, as the functions of files.h and the system calls that these are named
 * after. Tests make each of them fail. */
struct file_replace_calls {
	int (*open)(const char *path, int flags, mode_t mode);
	int (*lstat)(const char *path, struct stat *st);
	ssize_t (*write)(int fd, const void *bytes, size_t size);
	int (*fsync)(int fd);
	int (*close)(int fd);
	int (*rename)(const char *from, const char *to);
	int (*unlink)(const char *path);
	int (*sync)(const char *directory);
};

extern const struct file_replace_calls file_replace_calls;

struct file_replace {
	int fd; /* the new file, for reading and writing; -1: none */
	/* private */
	const struct file_replace_calls *calls;
	char *path, *tmp_path;
	struct stat created; /* the new file, as fstat() said last */
	struct list link;    /* of all that are open and not renamed */
};

/* is_ours, if not NULL, checks the old file and at a NAME.tmp that was left: false keeps both.
 * Symbolic links at NAME are replaced, not followed. 0; -EEXIST: is_ours says no; -EBUSY: another
 * writer has NAME.tmp, or the old file is locked by a writer; another -errno. Then *r needs no
 * abort. */
int file_replace_begin(struct file_replace *r, const struct file_replace_calls *calls,
	const char *path, mode_t mode, bool (*is_ours)(int fd));
/* Makes the file durable, gives it its name, makes that durable, and closes it. 0 or -errno; then
 * the old file is in place and the new one is gone, unless only the last step failed: *named says
 * whether the new file has the name (it may not outlive a loss of power). named may be NULL. */
int file_replace_commit(struct file_replace *r, bool *named);
void file_replace_abort(struct file_replace *r);

/* The process ends without its threads: removes what they have not yet renamed. Any thread, also
 * while others are in the functions above. */
void file_replace_abandon_all(void);

/* All of it for bytes that are at hand. 0 or -errno; *named as file_replace_commit(). */
int file_replace(const struct file_replace_calls *calls, const char *path, const void *bytes,
	size_t size, mode_t mode, bool *named);

/* Makes durable what became of the names in the file's directory: a rename, an unlink. 0 or
 * -errno; file systems that cannot are taken to do it always. */
int file_sync_directory(const char *path);

#endif
