/* SPDX-License-Identifier: MIT */
/*
 * The control socket with a real loop in a thread of its own, and clients that
 * do what clients should not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/ctl.h"

#define NOBODY    65534
#define BIG_REPLY (1u << 20)

static char dir[] = "/tmp/enlite-ctl-XXXXXX";
static struct loop loop;
static struct ctl ctl;
static struct err e;

/* ---- rig ----------------------------------------------------------------- */

static json_t *big_reply(void)
{
	char *text = malloc(BIG_REPLY + 1);
	json_t *reply;

	memset(text, 'b', BIG_REPLY);
	text[BIG_REPLY] = '\0';
	reply = json_pack("{s:s}", "big", text);
	free(text);
	return reply;
}

/* Requests "wait": they are answered by a later "finish" or "fail". On the loop's thread. */
#define WAITING_MAX 64u
static struct ctl_request *waiting[WAITING_MAX];
static uint32_t waiting_count;

static void finish_waiting(bool good)
{
	struct err why;

	err_set(&why, -EBUSY, "it was no good");
	for (uint32_t i = 0; i < waiting_count; i++) {
		if (good)
			ctl_answer(waiting[i], json_pack("{s:i}", "boots", 1));
		else
			ctl_refuse(waiting[i], &why);
	}
	waiting_count = 0;
}

static json_t *count_waiting(void)
{
	return json_pack("{s:i}", "waiting", (int)waiting_count);
}

static void handle(void *ctx, struct ctl_request *request, const json_t *json)
{
	const char *command = json_string_value(json_object_get(json, "command"));
	struct err why;

	command = command ? command : "";
	if (!strcmp(command, "stats")) {
		ctl_answer(request, json_pack("{s:i}", "boots", 1));
	} else if (!strcmp(command, "big")) {
		ctl_answer(request, big_reply());
	} else if (!strcmp(command, "memory")) {
		ctl_answer(request, NULL);
	} else if (!strcmp(command, "count")) {
		ctl_answer(request, count_waiting());
	} else if (!strcmp(command, "wait") && waiting_count < WAITING_MAX) {
		waiting[waiting_count++] = request;
	} else if (!strcmp(command, "finish") || !strcmp(command, "fail")) {
		finish_waiting(!strcmp(command, "finish"));
		ctl_answer(request, json_pack("{s:i}", "boots", 1));
	} else {
		err_set(&why, -EINVAL, "unknown command %s", command);
		ctl_refuse(request, &why);
	}
}

static void serve(void)
{
	assert_int_equal(loop_init(&loop, "control", &e), 0);
	if (ctl_open(&ctl, &loop, "t", handle, NULL, &e))
		fail_msg("%s", e.text);
	assert_int_equal(loop_start(&loop), 0);
}

static void stop_serving(void)
{
	loop_stop(&loop);
	loop_join(&loop);
	loop_fini(&loop); /* first: nothing of a client is in the ring when it is freed */
	ctl_close(&ctl);
	assert_int_equal(access(ctl.path, F_OK), -1);
}

static int group_setup(void **state)
{
	return !mkdtemp(dir) || setenv("ENLITE_RUN_DIR", dir, 1);
}

static int group_teardown(void **state)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/enlite", dir);
	return rmdir(path) || rmdir(dir);
}

static int setup(void **state)
{
	serve();
	return 0;
}

static int teardown(void **state)
{
	stop_serving();
	return 0;
}

/* A client that does not use ctl_call(). A wait without end fails. */
static int dial(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const struct timeval limit = {.tv_sec = 120};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	memcpy(addr.sun_path, ctl.path, strlen(ctl.path));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* The loop's ring was made by this thread, whose waits it may interrupt. */
static ssize_t receive(int fd, void *bytes, size_t len)
{
	ssize_t n;

	do
		n = recv(fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	return n;
}

static void send_text(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* One line from the server, parsed; NULL when it closed the connection instead. */
static json_t *receive_reply(int fd)
{
	static char line[64 * 1024];
	size_t used = 0;
	json_t *reply;

	while (used < sizeof(line)) {
		ssize_t n = receive(fd, line + used, 1);

		if (n <= 0) {
			assert_true(n == 0 || errno == ECONNRESET);
			return NULL;
		}
		if (line[used++] == '\n')
			break;
	}
	reply = json_loadb(line, used, 0, NULL);
	assert_non_null(reply);
	return reply;
}

static void receives_refusal(int fd, const char *says)
{
	json_t *reply = receive_reply(fd);

	assert_non_null(reply);
	assert_true(json_is_false(json_object_get(reply, "ok")));
	assert_non_null(strstr(json_string_value(json_object_get(reply, "error")), says));
	json_decref(reply);
}

static void receives_stats(int fd)
{
	json_t *reply = receive_reply(fd);

	assert_non_null(reply);
	assert_true(json_is_true(json_object_get(reply, "ok")));
	assert_int_equal(json_integer_value(json_object_get(reply, "boots")), 1);
	json_decref(reply);
}

/* A client that uses ctl_call() is answered, whatever the other clients do. */
static void serves_another_client(void)
{
	json_t *request = json_pack("{s:s}", "command", "stats"), *reply;

	if (ctl_call("t", request, CTL_TIMEOUT_MS, &reply, &e))
		fail_msg("%s", e.text);
	assert_int_equal(json_integer_value(json_object_get(reply, "boots")), 1);
	json_decref(reply);
	json_decref(request);
}

/* ---- clients ------------------------------------------------------------- */

static void answers_line_by_line(void **state)
{
	int fd = dial();

	send_text(fd, "{\"command\":\"stats\"}\n");
	receives_stats(fd);
	send_text(fd, "{\"command\":\"stats\"}\n{\"command\":\"fly\"}\n{\"command\":");
	receives_stats(fd);
	receives_refusal(fd, "unknown command fly");
	send_text(fd, "\"stats\"}\n");
	receives_stats(fd);
	close(fd);
	serves_another_client();
}

static void requests_that_are_no_objects_are_refused(void **state)
{
	static const char *const lines[] = {"\n", "stats\n", "[]\n", "\"stats\"\n", "7\n", "null\n",
		"{\n", "{}}\n", "{\"a\":1,\"a\":2}\n", "\xff\xfe\n", "{\"command\":\"\xff\"}\n",
		"{\"command\":\"\\u0000\"}\n", "GET / HTTP/1.1\r\n"};
	int fd = dial();

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		send_text(fd, lines[i]);
		receives_refusal(fd, "not a JSON object");
	}
	send_text(fd, "{}\n{\"command\":7}\n");
	receives_refusal(fd, "unknown command");
	receives_refusal(fd, "unknown command");
	close(fd);
}

static void a_quoted_command_cut_in_a_character_is_answered(void **state)
{
	static const char head[] = "{\"command\":\"", euro[] = "\xe2\x82\xac", tail[] = "\"}\n";
	char line[sizeof(head) + 400 * sizeof(euro) + sizeof(tail)], *end = line;
	int fd = dial();

	end = stpcpy(end, head);
	for (int i = 0; i < 400; i++)
		end = stpcpy(end, euro);
	stpcpy(end, tail);
	send_text(fd, line);
	receives_refusal(fd, "unknown command \xe2\x82\xac");
	close(fd);
}

static void deep_nesting_is_refused(void **state)
{
	char line[CTL_REQUEST_MAX];
	int fd = dial();

	memset(line, '[', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
	receives_refusal(fd, "not a JSON object");
	close(fd);
}

static void a_line_that_never_ends_is_cut_off(void **state)
{
	static char garbage[64 * 1024];
	int fd = dial();

	memset(garbage, 'g', sizeof(garbage));
	for (int i = 0; i < 16; i++) /* 1 MiB, or what it takes */
		if (send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL) < 0)
			break;
	assert_null(receive_reply(fd));
	close(fd);
	serves_another_client();
}

static void the_longest_line_is_answered(void **state)
{
	char line[CTL_REQUEST_MAX];
	int fd = dial();

	memset(line, ' ', sizeof(line));
	memcpy(line, "{\"command\":\"stats\"}", 19);
	line[sizeof(line) - 1] = '\n';
	assert_int_equal(send(fd, line, sizeof(line), 0), sizeof(line));
	receives_stats(fd);
	close(fd);
}

static void a_half_closed_client_is_answered(void **state)
{
	int fd = dial();

	send_text(fd, "{\"command\":\"stats\"}\n");
	shutdown(fd, SHUT_WR);
	receives_stats(fd);
	assert_null(receive_reply(fd));
	close(fd);
}

static void one_byte_at_a_time(void **state)
{
	const char *line = "{\"command\":\"stats\"}\n";
	int fd = dial();

	for (const char *c = line; *c; c++) {
		assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		if (c == line + 5)
			serves_another_client();
	}
	receives_stats(fd);
	close(fd);
}

/* The reply is larger than any socket buffer: only this client's slot waits. */
static void a_client_that_does_not_read_blocks_no_other(void **state)
{
	static char bytes[64 * 1024];
	int fd = dial();
	size_t got = 0;
	ssize_t n;

	send_text(fd, "{\"command\":\"big\"}\n");
	serves_another_client();
	do {
		n = receive(fd, bytes, sizeof(bytes));
		assert_true(n > 0);
		got += (size_t)n;
	} while (bytes[n - 1] != '\n');
	assert_true(got > BIG_REPLY);
	close(fd);
}

static void a_client_disconnects_before_the_answer(void **state)
{
	for (int i = 0; i < 40; i++) {
		int fd = dial();

		send_text(fd, "{\"command\":\"big\"}\n");
		close(fd);
	}
	serves_another_client();
}

static void silent_clients_block_no_other(void **state)
{
	int fd[40];

	for (int i = 0; i < 40; i++) {
		fd[i] = dial();
		send_text(fd[i], i % 2 ? "{" : "{\"command\":\"big\"}\n");
	}
	serves_another_client();
	assert_null(receive_reply(fd[1])); /* among the longest without an answer */
	for (int i = 0; i < 40; i++)
		close(fd[i]);
	serves_another_client();
}

static void an_active_client_keeps_its_slot(void **state)
{
	int faithful = dial(), fd[40];

	for (int i = 0; i < 40; i++) {
		send_text(faithful, "{\"command\":\"stats\"}\n");
		receives_stats(faithful);
		fd[i] = dial();
	}
	send_text(faithful, "{\"command\":\"stats\"}\n");
	receives_stats(faithful);
	for (int i = 0; i < 40; i++)
		close(fd[i]);
	close(faithful);
}

/* ---- deferred answers ---------------------------------------------------- */

static void command(const char *name)
{
	json_t *request = json_pack("{s:s}", "command", name), *reply;

	if (ctl_call("t", request, CTL_TIMEOUT_MS, &reply, &e))
		fail_msg("%s", e.text);
	assert_true(json_is_true(json_object_get(reply, "ok")));
	json_decref(reply);
	json_decref(request);
}

/* Returns when so many requests wait, from other connections. */
static void wait_waiting(int count)
{
	json_t *request = json_pack("{s:s}", "command", "count"), *reply;
	int now = -1;

	for (int tries = 0; now != count && tries < 10000; tries++) {
		if (ctl_call("t", request, CTL_TIMEOUT_MS, &reply, &e))
			fail_msg("%s", e.text);
		now = (int)json_integer_value(json_object_get(reply, "waiting"));
		json_decref(reply);
	}
	assert_int_equal(now, count);
	json_decref(request);
}

static void assert_silent(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The next line waits for the first one's answer. */
static void a_deferred_answer(void **state)
{
	int fd = dial();

	send_text(fd, "{\"command\":\"wait\"}\n{\"command\":\"fly\"}\n");
	wait_waiting(1);
	serves_another_client();
	assert_silent(fd);
	command("finish");
	receives_stats(fd);
	receives_refusal(fd, "unknown command fly");
	send_text(fd, "{\"command\":\"wait\"}\n");
	wait_waiting(1);
	command("fail");
	receives_refusal(fd, "it was no good");
	close(fd);
}

static void clients_disconnect_before_a_deferred_answer(void **state)
{
	for (int i = 0; i < 10; i++) {
		int fd = dial();

		send_text(fd, "{\"command\":\"wait\"}\n");
		wait_waiting(i + 1);
		close(fd);
	}
	command("finish");
	wait_waiting(0);
	serves_another_client();
}

/* All slots but one wait, and more clients connect: they take the last one from each other. */
static void a_waiting_client_keeps_its_slot(void **state)
{
	const int waiters = CTL_CLIENTS_MAX - 1;
	int fd[CTL_CLIENTS_MAX], idle[40];

	for (int i = 0; i < waiters; i++) {
		fd[i] = dial();
		send_text(fd[i], "{\"command\":\"wait\"}\n");
		wait_waiting(i + 1);
	}
	for (int i = 0; i < 40; i++)
		idle[i] = dial();
	serves_another_client();
	command("finish");
	for (int i = 0; i < waiters; i++) {
		receives_stats(fd[i]);
		close(fd[i]);
	}
	for (int i = 0; i < 40; i++)
		close(idle[i]);
}

/* All slots wait: the next client is turned away, until one of them disconnects. */
static void no_slot_while_all_wait(void **state)
{
	const int last = CTL_CLIENTS_MAX - 1;
	int fd[CTL_CLIENTS_MAX], more;

	for (int i = 0; i < last; i++) {
		fd[i] = dial();
		send_text(fd[i], "{\"command\":\"wait\"}\n");
		wait_waiting(i + 1);
	}
	fd[last] = dial();
	send_text(fd[last], "{\"command\":\"fly\"}\n{\"command\":\"wait\"}\n");
	receives_refusal(fd[last], "unknown command fly");
	more = dial();
	assert_null(receive_reply(more));
	close(more);
	close(fd[0]);
	command("finish");
	for (int i = 1; i <= last; i++) {
		receives_stats(fd[i]);
		close(fd[i]);
	}
	serves_another_client();
}

static void no_memory_for_an_answer(void **state)
{
	int fd = dial();

	send_text(fd, "{\"command\":\"memory\"}\n");
	assert_null(receive_reply(fd));
	close(fd);
	serves_another_client();
}

/* The server ends first: the client's connection is closed, and the answer is dropped. */
static void answered_after_the_end(void **state)
{
	int fd;

	serve();
	fd = dial();
	send_text(fd, "{\"command\":\"wait\"}\n");
	wait_waiting(1);
	stop_serving();
	assert_null(receive_reply(fd));
	finish_waiting(true);
	close(fd);
}

/* ---- permissions --------------------------------------------------------- */

/* 0: was served; 1: could not connect; 2: the server closed the connection. */
static int ask_as(uid_t uid)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct sockaddr_un addr = {.sun_family = AF_UNIX};
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		char byte;

		memcpy(addr.sun_path, ctl.path, strlen(ctl.path));
		if (setuid(uid) || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
			_exit(1);
		if (send(fd, "{\"command\":\"stats\"}\n", 20, MSG_NOSIGNAL) != 20 ||
			recv(fd, &byte, 1, 0) != 1)
			_exit(2);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void others_are_refused(void **state)
{
	char path[64];
	struct stat st;

	assert_int_equal(stat(ctl.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	if (geteuid() != 0) {
		print_message("# skipped: needs root\n");
		skip();
	}
	snprintf(path, sizeof(path), "%s/enlite", dir);
	chmod(dir, 0755);
	chmod(path, 0755);
	assert_int_equal(ask_as(0), 0);
	assert_int_equal(ask_as(NOBODY), 1);
	chmod(ctl.path, 0666); /* the second lock */
	assert_int_equal(ask_as(NOBODY), 2);
	chmod(path, 0700);
	serves_another_client();
}

/* ---- names --------------------------------------------------------------- */

static void a_live_name_is_taken(void **state)
{
	static struct ctl second;
	static struct loop other;
	struct err why = {""};

	assert_int_equal(loop_init(&other, "other", &e), 0);
	assert_int_equal(ctl_open(&second, &other, "t", handle, NULL, &why), -EADDRINUSE);
	assert_non_null(strstr(why.text, "name: t"));
	ctl_close(&second); /* must not remove the first one's */
	loop_fini(&other);
	serves_another_client();
}

static void leave_socket_behind(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
}

static void a_dead_name_is_replaced(void **state)
{
	char path[CTL_PATH_MAX];

	assert_int_equal(ctl_path(path, "t", &e), 0);
	leave_socket_behind(path);
	serve();
	serves_another_client();
	stop_serving();
}

static void *hang_up(void *arg)
{
	int *listening = arg;
	int fd = accept(*listening, NULL, NULL);

	close(*listening);
	close(fd);
	return NULL;
}

/* The socket of a killed process whose io_uring still exists: it accepts, then closes. */
static void a_dying_name_is_replaced(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	char path[CTL_PATH_MAX];
	pthread_t thread;

	assert_int_equal(ctl_path(path, "t", &e), 0);
	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(pthread_create(&thread, NULL, hang_up, &fd), 0);
	serve();
	pthread_join(thread, NULL);
	serves_another_client();
	stop_serving();
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		served(answers_line_by_line),
		served(requests_that_are_no_objects_are_refused),
		served(a_quoted_command_cut_in_a_character_is_answered),
		served(deep_nesting_is_refused),
		served(a_line_that_never_ends_is_cut_off),
		served(the_longest_line_is_answered),
		served(a_half_closed_client_is_answered),
		served(one_byte_at_a_time),
		served(a_client_that_does_not_read_blocks_no_other),
		served(a_client_disconnects_before_the_answer),
		served(silent_clients_block_no_other),
		served(an_active_client_keeps_its_slot),
		served(a_deferred_answer),
		served(clients_disconnect_before_a_deferred_answer),
		served(a_waiting_client_keeps_its_slot),
		served(no_slot_while_all_wait),
		served(no_memory_for_an_answer),
		cmocka_unit_test(answered_after_the_end),
		served(others_are_refused),
		served(a_live_name_is_taken),
		cmocka_unit_test(a_dead_name_is_replaced),
		cmocka_unit_test(a_dying_name_is_replaced),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
