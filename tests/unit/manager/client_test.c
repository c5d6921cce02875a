/* SPDX-License-Identifier: MIT */
/* Answers of the manager: whole ones, and those of one that was killed in the middle. */
#include "mgmt/manager/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

static char directory[64];
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static int listener;

static int setup(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/client-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s/sock", directory);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	return bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 1);
}

static int teardown(void **state)
{
	close(listener);
	unlink(address.sun_path);
	return rmdir(directory);
}

static void *answer(void *text)
{
	char request[1024];
	int fd = accept(listener, NULL, NULL);

	if (read(fd, request, sizeof(request)) > 0)
		send(fd, text, strlen(text), MSG_NOSIGNAL);
	close(fd);
	return NULL;
}

static int call(char *text, struct client_answer *a, struct err *e)
{
	pthread_t thread;
	int ret;

	assert_int_equal(pthread_create(&thread, NULL, answer, text), 0);
	ret = client_call(address.sun_path, "GET", "/", NULL, 0, a, e);
	pthread_join(thread, NULL);
	return ret;
}

static void whole_answers_are_taken(void **state)
{
	static char text[] = "HTTP/1.0 200 OK\r\nEnlite-Next: 7\r\nContent-Length: 5\r\n\r\nhello";
	struct client_answer a;
	struct err e;

	assert_int_equal(call(text, &a, &e), 0);
	assert_int_equal(a.status, 200);
	assert_int_equal(a.length, 5);
	assert_string_equal(a.body, "hello");
	assert_int_equal(a.next, 7);
	client_free(&a);
}

static void others_are_not(void **state)
{
	static char texts[][80] = {
		"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nhello",
		"HTTP/1.0 200 OK\r\n\r\nhello",
		"HTTP/1.0 200 OK\r\nContent-Le",
		"hello",
	};
	struct client_answer a;
	struct err e;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(call(texts[i], &a, &e), -EPROTO);
		assert_non_null(strstr(e.text, "no answer: it is cut, or no HTTP;"));
		assert_null(a.head);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_answers_are_taken),
		cmocka_unit_test(others_are_not),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
