/* SPDX-License-Identifier: MIT */
/*
 * The calls of base/file_replace.h, of which one fails, or comes together with another writer's.
 * They are counted from 1, in the order in which they are made.
 */
#ifndef SUPPORT_REPLACE_CALLS_H
#define SUPPORT_REPLACE_CALLS_H

#include <stdbool.h>

#include "base/file_replace.h"

extern const struct file_replace_calls replace_calls;

/* Since replace_calls_fail() or replace_calls_between(). */
struct replace_calls_seen {
	unsigned int count;
	/* A letter each: open, lstat, write, fsync, close, rename, unlink; d: sync. */
	char order[64];
};
extern struct replace_calls_seen replace_calls_seen;

/* Call number `at` fails with EIO; a write leaves half of its bytes. 0: none does. crash: nothing
 * after it reaches the disk. */
void replace_calls_fail(unsigned int at, bool crash);
/* fn() runs once, after call number `at` has been made. */
void replace_calls_between(unsigned int at, void (*fn)(void));

#endif
