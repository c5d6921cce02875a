/* SPDX-License-Identifier: MIT */
/*
 * Limited lines pass a token bucket kept as one number: the time at which the
 * bucket would be full again (`full_at`). Taking a token moves it into the future;
 * a line is refused when that would be more than a full bucket away. One
 * compare-and-swap, so any thread may log at any time.
 */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/time.h"

#define LINE_MAX_BYTES 1024
#define GUEST_INTERVAL (NS_PER_S / LOG_GUEST_PER_SECOND)
#define EVENT_INTERVAL (60 * NS_PER_S / LOG_EVENT_PER_MINUTE) /* of a byte */

struct bucket {
	uint64_t capacity_ns;
	_Atomic uint64_t full_at;
	_Atomic uint64_t suppressed;
};

static enum log_level max_level = LOG_WARN;
static struct bucket guest_bucket = {.capacity_ns = LOG_GUEST_BURST * GUEST_INTERVAL};
static struct bucket event_bucket = {.capacity_ns = LOG_EVENT_BURST * EVENT_INTERVAL};

static const char *const level_prefix[] = {
	[LOG_ERROR] = "enlite: error: ",
	[LOG_WARN] = "enlite: warning: ",
	[LOG_INFO] = "enlite: ",
	[LOG_DEBUG] = "enlite: debug: ",
};

struct line {
	char text[LINE_MAX_BYTES];
	size_t len; /* < sizeof(text): one byte stays free for the newline */
};

static void line_vadd(struct line *line, const char *fmt, va_list args)
{
	size_t room = sizeof(line->text) - line->len;
	int n = vsnprintf(line->text + line->len, room, fmt, args);

	if (n > 0)
		line->len += (size_t)n < room ? (size_t)n : room - 1;
}

__attribute__((format(printf, 2, 3))) static void line_add(struct line *line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	line_vadd(line, fmt, args);
	va_end(args);
}

/* Control characters are replaced: the text stays one line and cannot control a terminal. */
static void line_sanitise(struct line *line)
{
	for (size_t i = 0; i < line->len; i++) {
		unsigned char c = (unsigned char)line->text[i];

		if (c < 0x20 || c >= 0x7f)
			line->text[i] = '?';
	}
}

/* A stalled reader of a pipe must not block a VP: lines that do not fit are lost. A writable pipe
 * accepts PIPE_BUF bytes, more than a line. */
static void line_write(struct line *line)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	ssize_t n;

	line_sanitise(line);
	line->text[line->len] = '\n';
	if (poll(&out, 1, 0) != 1 || !(out.revents & POLLOUT))
		return;
	do
		n = write(STDERR_FILENO, line->text, line->len + 1);
	while (n < 0 && errno == EINTR);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(ts);
}

/* Counts the line when it is refused. */
static bool bucket_take(struct bucket *b, uint64_t cost_ns)
{
	uint64_t now = now_ns();
	uint64_t full_at = atomic_load(&b->full_at);
	uint64_t next;

	do {
		next = (full_at > now ? full_at : now) + cost_ns;
		if (next - now > b->capacity_ns) {
			atomic_fetch_add(&b->suppressed, 1);
			return false;
		}
	} while (!atomic_compare_exchange_weak(&b->full_at, &full_at, next));
	return true;
}

static void line_add_suppressed(struct line *line, struct bucket *b)
{
	uint64_t suppressed = atomic_exchange(&b->suppressed, 0);

	if (suppressed)
		line_add(line, "(%llu lines suppressed) ", (unsigned long long)suppressed);
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	struct line line = {.len = 0};
	int saved_errno = errno;
	va_list args;

	if (level > max_level)
		return;
	line_add(&line, "%s", level_prefix[level]);
	va_start(args, fmt);
	line_vadd(&line, fmt, args);
	va_end(args);
	line_write(&line);
	errno = saved_errno;
}

/* The longest line is paid for: its length is known only when it is written. */
void log_event(enum log_level level, const char *fmt, ...)
{
	struct line line = {.len = 0};
	int saved_errno = errno;
	va_list args;

	if (level > max_level || !bucket_take(&event_bucket, LINE_MAX_BYTES * EVENT_INTERVAL))
		return;
	line_add(&line, "%s", level_prefix[level]);
	line_add_suppressed(&line, &event_bucket);
	va_start(args, fmt);
	line_vadd(&line, fmt, args);
	va_end(args);
	line_write(&line);
	errno = saved_errno;
}

void log_guest(const char *fmt, ...)
{
	struct line line = {.len = 0};
	int saved_errno = errno;
	va_list args;

	if (LOG_WARN > max_level || !bucket_take(&guest_bucket, GUEST_INTERVAL))
		return;
	line_add(&line, "enlite: guest: ");
	line_add_suppressed(&line, &guest_bucket);
	va_start(args, fmt);
	line_vadd(&line, fmt, args);
	va_end(args);
	line_write(&line);
	errno = saved_errno;
}
