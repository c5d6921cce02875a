/* SPDX-License-Identifier: MIT */
/*
 * Copies of disk files that belong together: those of a snapshot, of a VM that is restored, of a
 * clone. They share the blocks of their originals where the file system can (FICLONE: XFS, btrfs);
 * where it cannot, they are refused, or copied in full if that was asked for.
 *
 *   all files are opened and locked --> all are copied and flushed
 * A failure removes the files that were made. Files that were there, and are replaced in place,
 * may be half of the one and half of the other then: `changed` says so.
 *
 * Thread: any that may sleep; percent and cancelled: any.
 */
#ifndef MANAGER_DISK_COPY_H
#define MANAGER_DISK_COPY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct disk_copy {
	char *from, *to;
	uint64_t size, changed_ns; /* of `from`, when it was copied */
	int64_t set_changed_ns;    /* what `to` gets; -1: the same */
	bool known;                /* `from` must have these: a copy that must not change */
	int64_t known_size, known_changed_ns;
	/* private */
	int from_fd, to_fd;
	bool made;
};

struct disk_copies {
	struct disk_copy *list;
	uint32_t count;
	bool full;     /* a copy of all bytes is better than none */
	bool in_place; /* `to` is there: a disk, which stays the same file; else it must not be */
	bool frozen;   /* `to` can only be read afterwards */
	bool locked;   /* another process has locked `from` meanwhile: a VM that is paused */
	bool changed;  /* in place: something was written */
	atomic_bool cancelled;
	_Atomic uint64_t done; /* bytes, of `total` */
	_Atomic uint64_t total;
};

/* False: no file beside this one can share its blocks. True: it can, or that cannot be said without
 * a copy. */
bool disk_copy_shares(const char *path);
/* The line for those where it is false. Returns -EBUSY. */
int disk_copy_refuse(const char *path, struct err *e);
/* 0, or -errno with one line in e; -ECANCELED. */
int disk_copies_make(struct disk_copies *c, struct err *e);
/* What was made is of no use. */
void disk_copies_remove(const struct disk_copies *c);
/* Owned: from, to and the list. */
void disk_copies_free(struct disk_copies *c);

#endif
