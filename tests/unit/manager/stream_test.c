/* SPDX-License-Identifier: MIT */
/* Readers of events: from where on, and whether they learn that some are lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/manager/http.h"
#include "tests/support/manager_rig.h"

#define PATIENCE_S 60

static char directory[64];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int gate[2]; /* a byte for each event */
static pid_t server;

/* ---- the manager, in a process of its own -------------------------------- */

static void add_events(struct loop_timer *t)
{
	char byte;
	ssize_t n = read(gate[0], &byte, 1);

	if (n > 0)
		events_add(&mgr.m.events, json_pack("{s:s}", "event", "test"));
	if (n)
		loop_timer_start(&mgr.loop, t, NS_PER_MS, add_events);
	else
		loop_stop(&mgr.loop);
}

static _Noreturn void serve(int listener)
{
	static struct loop_timer timer;
	const struct http_access access = {.has_admin_group = false};

	close(gate[1]);
	if (mgr_setup(NULL) || !http_open(&mgr.m, listener, &access, &mgr.e))
		_exit(EXIT_FAILURE);
	add_events(&timer);
	loop_run(&mgr.loop);
	_exit(mgr_teardown(NULL) ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int setup(void **state)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(directory, sizeof(directory), "/tmp/stream-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", directory);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1) ||
		pipe2(gate, O_NONBLOCK))
		return -1;
	server = fork();
	if (!server)
		serve(listener);
	close(listener);
	return server < 0;
}

static int teardown(void **state)
{
	int status;

	close(gate[0]);
	close(gate[1]);
	waitpid(server, &status, 0);
	return unlink(address.sun_path) || rmdir(directory) || status;
}

/* ---- a reader ------------------------------------------------------------ */

/* Adds to what was read, until `end` is in it. */
static void read_until(int fd, const char *end, char *text, size_t size)
{
	size_t used = strlen(text);
	ssize_t n;

	while (!strstr(text, end)) {
		n = recv(fd, text + used, size - used - 1, 0);
		if (n <= 0)
			fail_msg("'%s' is missing in '%s'", end, text);
		used += (size_t)n;
		text[used] = '\0';
	}
}

/* The first event comes when the stream has begun. */
static void follow(const char *from, char *text, size_t size)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char request[128];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	text[0] = '\0';
	snprintf(request, sizeof(request), "GET /events%s HTTP/1.1\r\nHost: x\r\n\r\n", from);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(fd, request, strlen(request), 0), strlen(request));
	read_until(fd, "\n:\n\n", text, size);
	assert_int_equal(write(gate[1], "", 1), 1);
	read_until(fd, "\"test\"", text, size);
	close(fd);
}

static void an_old_number_has_lost_some(void **state)
{
	char text[4096];

	follow("?from=5", text, sizeof(text));
	assert_non_null(strstr(text, "event: lost"));
	assert_true(strstr(text, "event: lost") < strstr(text, "\"test\""));
}

static void a_number_of_the_future_has_all(void **state)
{
	char text[4096];

	follow("?from=9000000000000000000", text, sizeof(text));
	assert_null(strstr(text, "event: lost"));
}

static void without_a_number_nothing_is_lost(void **state)
{
	char text[4096];

	follow("", text, sizeof(text));
	assert_null(strstr(text, "event: lost"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_old_number_has_lost_some),
		TEST(a_number_of_the_future_has_all),
		TEST(without_a_number_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
