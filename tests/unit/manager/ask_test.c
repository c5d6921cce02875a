/* SPDX-License-Identifier: MIT */
/* Questions to workers: good answers, hostile ones, none, and those of another process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/manager/ask.h"

static char directory[64], path[80];
static struct loop loop;
static pid_t worker;

/* ---- a worker ------------------------------------------------------------ */

static int listen_at(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Sends the text, again and again if `endless`; then waits for its end. */
static void serve(int listener, const char *text, bool endless)
{
	char bytes[256];
	int fd = accept(listener, NULL, NULL);
	ssize_t n = read(fd, bytes, sizeof(bytes));

	do
		n = send(fd, text, strlen(text), MSG_NOSIGNAL);
	while (endless && n > 0);
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	_exit(0);
}

static void start_worker(const char *text, bool endless)
{
	int listener;

	unlink(path);
	worker = fork();
	assert_true(worker >= 0);
	if (!worker) {
		listener = listen_at();
		serve(listener, text, endless);
	}
	while (access(path, F_OK)) /* bound; connect() is tried again until it listens */
		;
}

static void end_worker(void)
{
	kill(worker, SIGKILL);
	waitpid(worker, NULL, 0);
}

/* ---- a question ---------------------------------------------------------- */

static int result;
static int value;
static struct loop_task task;
static pid_t expected;
static unsigned limit_ms;
static struct ask *asked;

static void start_ask(struct loop_task *t);

static void on_done(void *ctx, json_t *reply, int error, const struct err *e)
{
	if (error == -ECONNREFUSED) { /* it does not listen yet */
		loop_post(&loop, &task);
		return;
	}
	assert_true(!reply == !!error);
	assert_true(!e == !error);
	result = error;
	value = (int)json_integer_value(json_object_get(reply, "value"));
	loop_stop(&loop);
}

static void start_ask(struct loop_task *t)
{
	json_t *request = json_pack("{s:s}", "command", "status");

	asked = ask_start(&loop, path, expected, request, limit_ms, on_done, NULL);
	json_decref(request);
	assert_non_null(asked);
}

static int ask(const char *text, bool endless, unsigned timeout_ms)
{
	start_worker(text, endless);
	expected = worker;
	limit_ms = timeout_ms;
	task.fn = start_ask;
	loop_post(&loop, &task);
	loop_run(&loop);
	end_worker();
	return result;
}

/* ---- tests --------------------------------------------------------------- */

static void a_good_answer(void **state)
{
	assert_int_equal(ask("{\"ok\": true, \"value\": 7}\n", false, 10000), 0);
	assert_int_equal(value, 7);
}

static void a_refusal(void **state)
{
	assert_int_equal(ask("{\"ok\": false, \"error\": \"no\"}\n", false, 10000), -EBUSY);
}

static void no_json(void **state)
{
	assert_int_equal(ask("\xff\xfe{\n", false, 10000), -EPROTO);
	assert_int_equal(ask("[]\n", false, 10000), -EPROTO);
	assert_int_equal(ask("\n", false, 10000), -EPROTO);
}

static void an_answer_without_end(void **state)
{
	static char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(ask(text, true, 60000), -EMSGSIZE);
}

static void no_answer(void **state)
{
	assert_int_equal(ask("", false, 50), -ETIMEDOUT);
	assert_int_equal(ask("{\"ok\": true", false, 50), -ETIMEDOUT);
}

/* Another process of our user listens at the path. */
static void another_process(void **state)
{
	start_worker("{\"ok\": true}\n", false);
	expected = 1;
	limit_ms = 10000;
	task.fn = start_ask;
	loop_post(&loop, &task);
	loop_run(&loop);
	end_worker();
	assert_int_equal(result, -EPERM);
}

static void no_socket(void **state)
{
	unlink(path);
	expected = getpid();
	loop_post(&loop, &task);
	loop_run(&loop);
	assert_int_equal(result, -ENOENT);
}

static int setup(void **state)
{
	struct err e;

	snprintf(directory, sizeof(directory), "/tmp/enlite-ask.XXXXXX");
	if (!mkdtemp(directory) || loop_init(&loop, "test", &e))
		return -1;
	snprintf(path, sizeof(path), "%s/sock", directory);
	return 0;
}

static int teardown(void **state)
{
	loop_fini(&loop);
	unlink(path);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_answer),
		cmocka_unit_test(a_refusal),
		cmocka_unit_test(no_json),
		cmocka_unit_test(an_answer_without_end),
		cmocka_unit_test(no_answer),
		cmocka_unit_test(another_process),
		cmocka_unit_test(no_socket),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
