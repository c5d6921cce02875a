/* SPDX-License-Identifier: MIT */
/*
 * Lines that a guest can cause pass a token bucket, kept as one number: the time
 * at which the bucket is full again (`guest_full_at`). A token moves it one
 * interval into the future; a line is refused when it would then be more than a
 * full bucket away. One compare-and-swap, so any thread may log at any time.
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

static enum log_level max_level = LOG_WARN;
static _Atomic uint64_t guest_full_at;
static _Atomic uint64_t guest_suppressed;

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
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static bool guest_take_token(void)
{
	uint64_t now = now_ns();
	uint64_t full_at = atomic_load(&guest_full_at);
	uint64_t next;

	do {
		next = (full_at > now ? full_at : now) + GUEST_INTERVAL;
		if (next - now > LOG_GUEST_BURST * GUEST_INTERVAL)
			return false;
	} while (!atomic_compare_exchange_weak(&guest_full_at, &full_at, next));
	return true;
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

void log_guest(const char *fmt, ...)
{
	struct line line = {.len = 0};
	int saved_errno = errno;
	uint64_t suppressed;
	va_list args;

	if (LOG_WARN > max_level)
		return;
	if (!guest_take_token()) {
		atomic_fetch_add(&guest_suppressed, 1);
		return;
	}
	line_add(&line, "enlite: guest: ");
	suppressed = atomic_exchange(&guest_suppressed, 0);
	if (suppressed)
		line_add(&line, "(%llu lines suppressed) ", (unsigned long long)suppressed);
	va_start(args, fmt);
	line_vadd(&line, fmt, args);
	va_end(args);
	line_write(&line);
	errno = saved_errno;
}
