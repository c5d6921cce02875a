/* SPDX-License-Identifier: MIT */
/*
 * A user-facing error: one line saying what, where, and what to do.
 *
 * Functions that can fail because of the user's input take a struct err * as last
 * argument and return -errno; host/cli prints the text, once.
 * Thread: belongs to its caller.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

struct err {
	char text[512];
};

/* Formats the text, in which control characters (U+0080 to U+009F, too) and what is not UTF-8
 * become '?', and returns `code` (a negative errno): callers can write
 * `return err_set(e, -EINVAL, "...")`. e may be NULL.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
