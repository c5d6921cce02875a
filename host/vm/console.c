/* SPDX-License-Identifier: MIT */
#include "vm/console.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/files.h"
#include "base/log.h"

#define INPUT_RETRY_NS 10000000ull

/* ---- output -------------------------------------------------------------- */

void console_put(struct console *c, uint8_t byte)
{
	uint32_t head = atomic_load_explicit(&c->head, memory_order_relaxed);
	uint32_t tail = atomic_load_explicit(&c->tail, memory_order_acquire);

	if (atomic_load_explicit(&c->muted, memory_order_relaxed))
		return;
	if (head - tail == CONSOLE_BUFFER) {
		atomic_fetch_add_explicit(&c->dropped, 1, memory_order_relaxed);
		return;
	}
	c->buffer[head % CONSOLE_BUFFER] = byte;
	atomic_store_explicit(&c->head, head + 1, memory_order_release);
	if (!atomic_exchange(&c->wake_posted, true))
		loop_post(c->loop, &c->wake);
}

/* The longest run of bytes that can be written at once. */
static uint32_t next_run(struct console *c, const uint8_t **bytes)
{
	uint32_t tail = atomic_load_explicit(&c->tail, memory_order_relaxed);
	uint32_t used = atomic_load_explicit(&c->head, memory_order_acquire) - tail;
	uint32_t to_end = CONSOLE_BUFFER - tail % CONSOLE_BUFFER;

	*bytes = &c->buffer[tail % CONSOLE_BUFFER];
	return used < to_end ? used : to_end;
}

static void start_write(struct console *c)
{
	const uint8_t *bytes;
	uint32_t count = next_run(c, &bytes);

	if (c->writing || count == 0 || atomic_load(&c->muted))
		return;
	c->writing = true;
	if (c->file_max && count > c->file_max - c->file_at)
		count = (uint32_t)(c->file_max - c->file_at);
	io_uring_prep_write(loop_sqe(c->loop, &c->write_op), c->out_fd, bytes, count,
		c->file_max ? c->file_at : (uint64_t)-1);
}

/* Writing again at once would keep the loop busy until somebody reads. */
static void wait_writable(struct console *c)
{
	c->writing = true;
	io_uring_prep_poll_add(loop_sqe(c->loop, &c->writable_op), c->out_fd, POLLOUT);
}

static void finish_drain(struct console *c)
{
	void (*drained)(void *ctx) = c->drained;

	c->drained = NULL;
	loop_timer_cancel(&c->drain_timer);
	drained(c->ctx);
}

/* A guest prints without end; the newest output replaces the oldest. */
static void written(struct console *c, uint32_t count)
{
	atomic_fetch_add_explicit(&c->tail, count, memory_order_release);
	c->file_at += count;
	if (c->file_max && c->file_at >= c->file_max)
		c->file_at = 0;
}

static void on_written(struct loop_op *op, int res)
{
	struct console *c = container_of(op, struct console, write_op);

	c->writing = false;
	if (res == -EAGAIN) {
		wait_writable(c);
		return;
	}
	if (res < 0 && res != -EINTR) {
		log_event(LOG_WARN, "console: %s; output is dropped from here on", strerror(-res));
		atomic_store(&c->muted, true);
	}
	if (res > 0)
		written(c, (uint32_t)res);
	start_write(c);
	if (!c->writing && c->drained)
		finish_drain(c);
}

static void on_writable(struct loop_op *op, int res)
{
	struct console *c = container_of(op, struct console, writable_op);

	c->writing = false;
	start_write(c);
	if (!c->writing && c->drained)
		finish_drain(c);
}

static void on_wake(struct loop_task *task)
{
	struct console *c = container_of(task, struct console, wake);

	ON_LOOP(c->loop);
	atomic_store(&c->wake_posted, false);
	start_write(c);
}

/* ---- input --------------------------------------------------------------- */

/* A background process must not read, or change, its terminal: it would be stopped. */
static bool in_background(const struct console *c)
{
	pid_t group = tcgetpgrp(c->in_fd);

	return group > 0 && group != getpgrp();
}

static void start_read(struct console *c)
{
	if (c->reading || in_background(c))
		return;
	c->reading = true;
	io_uring_prep_read(
		loop_sqe(c->loop, &c->read_op), c->in_fd, c->input, sizeof(c->input), (uint64_t)-1);
}

/* Removes escape sequences in place; returns how many bytes are for the guest. */
static size_t filter_escapes(struct console *c, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		uint8_t byte = c->input[i];

		if (c->escaped) {
			c->escaped = false;
			if (byte == 'x') {
				c->ops->quit(c->ctx);
				continue;
			}
		} else if (byte == CONSOLE_ESCAPE) {
			c->escaped = true;
			continue;
		}
		c->input[kept++] = byte;
	}
	return kept;
}

static void give_input(struct console *c);

static void on_input_timer(struct loop_timer *t)
{
	give_input(container_of(t, struct console, input_timer));
}

/* The UART takes what its buffer has room for. It does not signal when there is room again. A pipe
 * is not read when there is no room; a terminal is, since Ctrl-A x must always work. */
static void give_input(struct console *c)
{
	size_t taken = c->pending ? c->ops->input(c->ctx, c->typed, c->pending) : 0;

	c->pending -= (uint32_t)taken;
	memmove(c->typed, c->typed + taken, c->pending);
	if (c->pending && !c->input_timer.armed)
		loop_timer_start(c->loop, &c->input_timer, INPUT_RETRY_NS, on_input_timer);
	if (CONSOLE_TYPED - c->pending >= sizeof(c->input) || c->raw)
		start_read(c);
}

static void keep_input(struct console *c, size_t count)
{
	size_t room = CONSOLE_TYPED - c->pending;

	if (count > room) {
		log_guest("console: the guest does not read; %zu bytes of input dropped",
			count - room);
		count = room;
	}
	memcpy(c->typed + c->pending, c->input, count);
	c->pending += (uint32_t)count;
}

static void on_read(struct loop_op *op, int res)
{
	struct console *c = container_of(op, struct console, read_op);

	c->reading = false;
	if (res == -EAGAIN) {
		c->reading = true;
		io_uring_prep_poll_add(loop_sqe(c->loop, &c->readable_op), c->in_fd, POLLIN);
		return;
	}
	/* End of file on our standard input does not end the VM. */
	if (res == 0 || (res < 0 && res != -EINTR))
		return;
	if (res > 0)
		keep_input(c, filter_escapes(c, (size_t)res));
	give_input(c);
}

static void on_readable(struct loop_op *op, int res)
{
	struct console *c = container_of(op, struct console, readable_op);

	c->reading = false;
	start_read(c);
}

/* ---- life ---------------------------------------------------------------- */

static void set_raw(struct console *c)
{
	struct termios raw;

	if (!isatty(c->in_fd) || in_background(c))
		return;
	if (!c->raw && tcgetattr(c->in_fd, &c->saved) < 0)
		return;
	raw = c->saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* the log writes plain newlines to the same terminal */
	c->raw = tcsetattr(c->in_fd, TCSANOW, &raw) == 0;
}

/* O_NONBLOCK only during open(): a pipe without a reader must not block us. O_NOCTTY: a terminal
 * must not become our controlling one. */
static int open_file(struct console *c, const char *path, struct err *e)
{
	c->out_fd = files_open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	if (c->out_fd < 0 && errno == ENXIO)
		return err_set(e, -ENXIO,
			"console: %s: nobody reads from this pipe; start its reader first", path);
	if (c->out_fd < 0)
		return err_set(e, -errno,
			"console: %s: %s; give a file that can be written, stdio or none", path,
			strerror(errno));
	c->own_out = true;
	fcntl(c->out_fd, F_SETFL, fcntl(c->out_fd, F_GETFL) & ~O_NONBLOCK);
	return 0;
}

/* Locked before it is changed: it could be the image of a disk. */
static int take_file(struct console *c, const char *path, struct err *e)
{
	struct stat st;
	int ret = file_lock_take(c->out_fd, false);

	if (ret)
		return err_set(e, ret, "console: %s: %s; give a file that nothing else uses", path,
			ret == -EBUSY ? "is in use" : strerror(-ret));
	if (fstat(c->out_fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (ftruncate(c->out_fd, 0))
		return err_set(e, -errno, "console: %s: %s", path, strerror(errno));
	c->file_max = CONSOLE_FILE_MAX;
	return 0;
}

static int use_file(struct console *c, const char *path, struct err *e)
{
	int ret = open_file(c, path, e);

	if (!ret)
		ret = take_file(c, path, e);
	if (ret && c->out_fd >= 0) {
		close(c->out_fd);
		c->out_fd = -1;
	}
	return ret;
}

int console_open(struct console *c, struct loop *loop, const char *where,
	const struct console_ops *ops, void *ctx, struct err *e)
{
	ON_LOOP(loop);
	memset(c, 0, offsetof(struct console, typed));
	c->loop = loop;
	c->ops = ops;
	c->ctx = ctx;
	c->in_fd = c->out_fd = -1;
	c->wake.fn = on_wake;
	c->write_op.done = on_written;
	c->writable_op.done = on_writable;
	c->read_op.done = on_read;
	c->readable_op.done = on_readable;
	if (!strcmp(where, "none")) {
		c->muted = true;
		return 0;
	}
	if (strcmp(where, "stdio"))
		return use_file(c, where, e);
	c->in_fd = STDIN_FILENO;
	c->out_fd = STDOUT_FILENO;
	set_raw(c);
	start_read(c);
	return 0;
}

static void on_drain_timeout(struct loop_timer *t)
{
	struct console *c = container_of(t, struct console, drain_timer);

	atomic_store(&c->muted, true); /* nobody reads: drop the rest */
	finish_drain(c);
}

void console_drain(struct console *c, void (*drained)(void *ctx))
{
	ON_LOOP(c->loop);
	c->drained = drained;
	loop_timer_start(c->loop, &c->drain_timer, CONSOLE_DRAIN_MS * 1000000ull, on_drain_timeout);
	start_write(c);
	if (!c->writing)
		finish_drain(c);
}

void console_continue(struct console *c)
{
	if (c->in_fd < 0)
		return;
	set_raw(c);
	give_input(c);
}

void console_restore(const struct console *c)
{
	if (c->raw && !in_background(c))
		tcsetattr(c->in_fd, TCSANOW, &c->saved);
}

void console_close(struct console *c)
{
	uint64_t dropped = atomic_load(&c->dropped);

	ON_LOOP(c->loop);
	console_restore(c);
	if (dropped)
		log_event(LOG_WARN, "console: %llu bytes of output dropped",
			(unsigned long long)dropped);
	if (c->own_out && c->out_fd >= 0)
		close(c->out_fd);
}
