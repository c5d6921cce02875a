/* SPDX-License-Identifier: MIT */
/*
 * Standard error is a pipe while a line is logged, so that the test sees each write(2). The clock
 * stands still, but for what a test adds to it.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/time.h"

static int pipe_fds[2];
static int real_stderr;

/* ---- time ---------------------------------------------------------------- */

static uint64_t fake_ns = 1000000 * NS_PER_S;

/* In place of libc's. */
int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	*ts = (struct timespec){(time_t)(fake_ns / NS_PER_S), (long)(fake_ns % NS_PER_S)};
	return 0;
}

/* ---- what is written ----------------------------------------------------- */

static int capture_start(void **state)
{
	/* Packet mode: one read returns what one write wrote. */
	if (pipe2(pipe_fds, O_DIRECT | O_NONBLOCK) ||
		fcntl(pipe_fds[1], F_SETPIPE_SZ, 256 * 4096) < 0)
		return -1;
	real_stderr = dup(STDERR_FILENO);
	return dup2(pipe_fds[1], STDERR_FILENO) < 0 ? -1 : 0;
}

static int capture_stop(void **state)
{
	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	log_set_level(LOG_WARN);
	return 0;
}

/* The next line written, without newline; false when there is none. */
static bool next_line(char *line, size_t size)
{
	ssize_t n = read(pipe_fds[0], line, size - 1);

	if (n <= 0)
		return false;
	assert_int_equal(line[n - 1], '\n');
	line[n - 1] = '\0';
	return true;
}

static void levels_have_prefixes_and_a_limit(void **state)
{
	char line[2048];

	log_error("a %d", 1);
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: error: a 1");
	log_warn("b");
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: warning: b");
	log_info("c");
	assert_false(next_line(line, sizeof(line)));

	log_set_level(LOG_DEBUG);
	log_info("d");
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: d");
	log_debug("e");
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: debug: e");
}

static void control_characters_do_not_pass(void **state)
{
	char line[2048];

	log_error("%s", "x\033[2J\r\ny\x7f\x9b");
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: error: x?[2J??y??");
	assert_false(next_line(line, sizeof(line)));
}

static void long_lines_are_cut(void **state)
{
	char text[4096], line[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
	assert_true(next_line(line, sizeof(line)));
	assert_int_equal(strlen(line), 1023);
	assert_false(next_line(line, sizeof(line)));
}

static void errno_survives(void **state)
{
	errno = EXDEV;
	log_error("x");
	log_guest("x");
	assert_int_equal(errno, EXDEV);
}

static void guest_lines_are_limited_and_counted(void **state)
{
	char line[2048];
	unsigned int lines = 0, told = 0;

	fake_ns += 3600 * NS_PER_S;
	for (unsigned int i = 0; i < 1000; i++)
		log_guest("bad packet %u", i);
	while (next_line(line, sizeof(line)))
		lines++;
	assert_int_equal(lines, LOG_GUEST_BURST);

	/* The bucket fills again: one more line, which reports the lost ones. */
	fake_ns += NS_PER_S / LOG_GUEST_PER_SECOND;
	log_guest("again");
	assert_true(next_line(line, sizeof(line)));
	assert_int_equal(sscanf(line, "enlite: guest: (%u lines suppressed) again", &told), 1);
	assert_int_equal(told, 1000 - lines);
	log_guest("third");
	assert_false(next_line(line, sizeof(line)));
}

/* No guest line is lost because of it. */
static void event_lines_are_limited_and_counted(void **state)
{
	char line[2048], text[1500];
	size_t bytes = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (unsigned int i = 0; i < 200000; i++) {
		log_event(LOG_ERROR, "%s", i % 2 ? text : "short");
		while (next_line(line, sizeof(line)))
			bytes += strlen(line) + 1;
	}
	assert_true(bytes > 32u << 10);
	assert_true(bytes <= LOG_EVENT_BURST);
	log_error("host");
	assert_true(next_line(line, sizeof(line)));
	assert_string_equal(line, "enlite: error: host");
}

/* The worst minute of both. */
static void the_limits_keep_the_promise(void **state)
{
	size_t guest = (LOG_GUEST_BURST + 60 * LOG_GUEST_PER_SECOND) * 1024;

	assert_true(guest + LOG_EVENT_BURST + LOG_EVENT_PER_MINUTE <= 1u << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			levels_have_prefixes_and_a_limit, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(
			control_characters_do_not_pass, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(long_lines_are_cut, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(errno_survives, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(
			guest_lines_are_limited_and_counted, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(
			event_lines_are_limited_and_counted, capture_start, capture_stop),
		cmocka_unit_test(the_limits_keep_the_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
