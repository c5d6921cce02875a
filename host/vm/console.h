/* SPDX-License-Identifier: MIT */
/*
 * The console of a VM: COM1 on standard input and output, a file, or nowhere.
 * A file is locked before it is truncated, and has a largest size: then output
 * continues at its beginning. VP threads only put bytes into a ring; the control thread
 * writes them out, so that a slow reader never blocks a VP. Bytes that do not fit
 * are dropped and counted.
 *
 * Thread: control, except console_put().
 */
#ifndef VM_CONSOLE_H
#define VM_CONSOLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "base/err.h"
#include "base/loop.h"

#define CONSOLE_BUFFER   (256u * 1024u) /* power of two */
#define CONSOLE_ESCAPE   0x01u          /* Ctrl-A */
#define CONSOLE_DRAIN_MS 2000u
#define CONSOLE_TYPED    (64u * 1024u)
#define CONSOLE_FILE_MAX (64ull << 20)

struct console_ops {
	/* Bytes typed by the user; returns how many the guest's UART took. */
	size_t (*input)(void *ctx, const uint8_t *bytes, size_t count);
	/* Ctrl-A x. */
	void (*quit)(void *ctx);
};

struct console {
	struct loop *loop;
	const struct console_ops *ops;
	void *ctx;
	int in_fd, out_fd; /* -1: none */
	bool own_out;
	uint64_t file_max;  /* bytes, of a regular file; 0: the output is none */
	uint64_t file_at;   /* where the next byte goes */
	_Atomic bool muted; /* output is dropped: there is nowhere to write to */
	bool raw;           /* the terminal was switched to raw mode */
	struct termios saved;
	/* output: head is the VP side's, tail the control thread's */
	_Atomic uint32_t head, tail;
	_Atomic uint64_t dropped;
	_Atomic bool wake_posted;
	struct loop_task wake;
	struct loop_op write_op;
	struct loop_op writable_op; /* poll, on a descriptor that is non-blocking */
	bool writing;               /* either is in the ring */
	void (*drained)(void *ctx); /* console_drain() waits */
	struct loop_timer drain_timer;
	/* input */
	struct loop_op read_op;
	struct loop_op readable_op; /* as writable_op */
	bool reading;               /* either is in the ring */
	uint8_t input[256];
	uint32_t pending; /* bytes of typed that the guest has not taken yet */
	struct loop_timer input_timer;
	bool escaped; /* Ctrl-A was the last byte */

	uint8_t typed[CONSOLE_TYPED]; /* these need not be cleared */
	uint8_t buffer[CONSOLE_BUFFER];
};

/* where: "stdio", "none" or a path. Puts a terminal into raw mode. */
int console_open(struct console *c, struct loop *loop, const char *where,
	const struct console_ops *ops, void *ctx, struct err *e);
/* Calls drained(ctx of console_open) when all output is written, or after CONSOLE_DRAIN_MS. The
 * guest has stopped. */
void console_drain(struct console *c, void (*drained)(void *ctx));
/* The process was stopped and goes on, or is in the foreground now (SIGCONT): the terminal is raw
 * again, and read. */
void console_continue(struct console *c);
/* Any thread, also while the control thread is stuck: the process is about to end. */
void console_restore(const struct console *c);
/* Restores the terminal. The loop no longer runs. */
void console_close(struct console *c);
/* One byte from the guest. One VP thread at a time. */
void console_put(struct console *c, uint8_t byte);

#endif
