/* SPDX-License-Identifier: MIT */
/* The broker between clients of the control socket and a worker that may lie: this test is both. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "confine/broker.h"
#include "confine/grants.h"
#include "mgmt/ctl.h"
#include "mgmt/ctl_impl.h"

#define LIMIT_MS   120000
#define EXCHANGES  300u
#define LEFT_MAX   (CTL_CLIENTS_MAX / 2)
#define IDLE_TURNS 8u

static char directory[64], path[CTL_PATH_MAX];
static int listener; /* the worker's */

/* ---- how the broker waits ------------------------------------------------ */

/* How often it woke up for nothing; how many of its threads keep no more until a peer reads. */
static atomic_uint idle_turns, stuck;

static int wait_for_events(struct pollfd *p, nfds_t count, int ms)
{
	const struct timespec limit = {ms / 1000, ms % 1000 * 1000000l};

	return (int)syscall(SYS_ppoll, p, count, ms < 0 ? NULL : &limit, NULL, 0);
}

/* It would write to one side, and reads no more of the other. For GCC, poll() reads nothing. */
static __attribute__((noinline)) bool is_full(struct pollfd *p, nfds_t count)
{
	for (unsigned i = 0; count == 2 && i < 2; i++)
		if (p[i].events & POLLOUT && !(p[1 - i].events & POLLIN))
			return true;
	return false;
}

int poll(struct pollfd *p, nfds_t count, int ms)
{
	bool is_stuck = is_full(p, count) && wait_for_events(p, count, 0) == 0;
	bool wanted;
	int ret;

	atomic_fetch_add(&stuck, is_stuck);
	ret = wait_for_events(p, count, ms);
	atomic_fetch_sub(&stuck, is_stuck);
	wanted = ret <= 0;
	for (nfds_t i = 0; i < count; i++)
		wanted |= (p[i].revents & p[i].events) != 0;
	if (!wanted)
		atomic_fetch_add(&idle_turns, 1);
	return ret;
}

/* ---- the two ends -------------------------------------------------------- */

struct pair {
	int client, worker;
};

static int setup(void **state)
{
	struct err e;

	snprintf(directory, sizeof(directory), "/tmp/clients-test-XXXXXX");
	if (!mkdtemp(directory) || setenv("ENLITE_RUN_DIR", directory, 1) ||
		ctl_path(path, "vm", &e))
		return -1;
	return broker_serve_clients("vm", &listener, &e);
}

static int teardown(void **state)
{
	unlink(path);
	*strrchr(path, '/') = '\0';
	return rmdir(path) || rmdir(directory);
}

static struct pair connect_pair(void)
{
	const struct timeval limit = {.tv_sec = LIMIT_MS / 1000};
	struct pair p;

	assert_int_equal(ctl_connect(path, &p.client), 0);
	p.worker = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(p.worker >= 0);
	setsockopt(p.worker, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return p;
}

static void close_pair(struct pair *p)
{
	close(p->client);
	close(p->worker);
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads to the end of `lines` lines. */
static void hear(int fd, unsigned lines)
{
	char byte;

	while (lines) {
		assert_int_equal(recv(fd, &byte, 1, 0), 1);
		lines -= byte == '\n';
	}
}

/* What is left is read first. */
static void assert_closed(int fd)
{
	char bytes[4096];
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		;
	assert_true(n == 0 || errno == ECONNRESET);
}

/* The whole connection, not only its requests. */
static void assert_gone(int fd)
{
	struct pollfd end = {.fd = fd};

	assert_int_equal(poll(&end, 1, LIMIT_MS), 1);
	assert_true(end.revents & POLLHUP);
}

static void ask_for_disk(const struct pair *p, const char *file)
{
	char text[128];

	snprintf(text, sizeof(text), "{\"command\": \"disk add\", \"spec\": \"%s\"}\n", file);
	say(p->client, text);
}

static bool allows(const char *file)
{
	static struct broker_request q;

	broker_request_init(&q, BROKER_OPEN, O_RDWR, 0);
	assert_int_equal(broker_request_add(&q, file), 0);
	return grants_allow(&q);
}

/* The other clients are served as ever. */
static void exchange(void)
{
	struct pair p = connect_pair();

	for (unsigned i = 0; i < EXCHANGES; i++) {
		say(p.client, "{}\n");
		hear(p.worker, 1);
		say(p.worker, "{\"ok\":true}\n");
		hear(p.client, 1);
	}
	close_pair(&p);
}

/* ---- answers ------------------------------------------------------------- */

static void an_answer_ends_what_was_named(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/a");
	hear(p.worker, 1);
	assert_true(allows("/img/a"));
	say(p.worker, "{\"ok\":true}\n");
	hear(p.client, 1);
	assert_false(allows("/img/a"));
	close_pair(&p);
}

/* It would have answered the next request before that came. */
static void an_answer_to_nothing_ends_the_connection(void **state)
{
	struct pair p = connect_pair();

	say(p.worker, "{\"ok\":true}\n");
	assert_closed(p.worker);
	assert_closed(p.client);
	close_pair(&p);
}

static void a_second_answer_ends_the_connection(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/b");
	hear(p.worker, 1);
	say(p.worker, "{\"ok\":true}\n{\"ok\":true}\n");
	assert_closed(p.client);
	assert_closed(p.worker);
	assert_false(allows("/img/b"));
	close_pair(&p);
}

/* ---- clients that leave -------------------------------------------------- */

static void the_request_of_a_client_that_left_is_carried_out(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/c");
	ask_for_disk(&p, "/img/d");
	hear(p.worker, 2);
	say(p.worker, "{\"ok\":true}\n");
	hear(p.client, 1);
	close(p.client);
	assert_int_equal(recv(p.worker, &(char){0}, 1, 0), 0); /* it asks no more */
	assert_true(allows("/img/d"));
	say(p.worker, "{\"ok\":true}\n");
	assert_gone(p.worker);
	assert_false(allows("/img/c"));
	assert_false(allows("/img/d"));
	close(p.worker);
}

static void the_same_with_answers_it_did_not_read(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/e");
	ask_for_disk(&p, "/img/f");
	hear(p.worker, 2);
	say(p.worker, "{\"ok\":true}\n");
	assert_int_equal(recv(p.client, &(char){0}, 1, MSG_PEEK), 1);
	close(p.client);
	assert_int_equal(recv(p.worker, &(char){0}, 1, 0), 0);
	assert_false(allows("/img/e"));
	assert_true(allows("/img/f"));
	say(p.worker, "{\"ok\":false,\"error\":\"x\"}\n");
	assert_gone(p.worker);
	assert_false(allows("/img/f"));
	close(p.worker);
}

static void what_the_worker_does_not_answer_is_not_granted(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/g");
	hear(p.worker, 1);
	assert_true(allows("/img/g"));
	close(p.worker);
	assert_closed(p.client);
	assert_false(allows("/img/g"));
	close(p.client);
}

static unsigned count_granted(void)
{
	unsigned count = 0;
	char file[32];

	for (unsigned i = 0; i <= LEFT_MAX; i++) {
		snprintf(file, sizeof(file), "/img/left%u", i);
		count += allows(file);
	}
	return count;
}

static unsigned count_ended(const struct pair *p, unsigned pairs)
{
	unsigned count = 0;

	for (unsigned i = 0; i < pairs; i++) {
		struct pollfd end = {.fd = p[i].worker};

		poll(&end, 1, 0);
		count += (end.revents & POLLHUP) != 0;
	}
	return count;
}

/* Which of them is not waited for depends on the order in which their threads learn of it. */
static void only_some_that_left_are_waited_for(void **state)
{
	struct pair p[LEFT_MAX + 1];
	char file[32];

	for (unsigned i = 0; i <= LEFT_MAX; i++) {
		p[i] = connect_pair();
		snprintf(file, sizeof(file), "/img/left%u", i);
		ask_for_disk(&p[i], file);
		hear(p[i].worker, 1);
	}
	assert_int_equal(count_granted(), LEFT_MAX + 1);
	for (unsigned i = 0; i <= LEFT_MAX; i++)
		close(p[i].client);
	for (unsigned ms = 0; ms < LIMIT_MS && count_granted() > LEFT_MAX; ms++)
		poll(NULL, 0, 1);
	assert_int_equal(count_granted(), LEFT_MAX);
	assert_int_equal(count_ended(p, LEFT_MAX + 1), 1);
	for (unsigned i = 0; i <= LEFT_MAX; i++)
		close(p[i].worker);
}

/* A client that has all its answers is none of those that are waited for. */
static void clients_with_all_answers_end_no_request(void **state)
{
	struct pair p[LEFT_MAX];
	char file[32];

	for (unsigned i = 0; i < LEFT_MAX; i++) {
		p[i] = connect_pair();
		snprintf(file, sizeof(file), "/img/left%u", i);
		ask_for_disk(&p[i], file);
		hear(p[i].worker, 1);
		close(p[i].client);
		assert_int_equal(recv(p[i].worker, &(char){0}, 1, 0), 0);
	}
	for (unsigned i = 0; i < 2 * LEFT_MAX; i++) {
		struct pair other = connect_pair();

		say(other.client, "{}\n");
		hear(other.worker, 1);
		say(other.worker, "{\"ok\":true}\n");
		hear(other.client, 1);
		close(other.client);
		assert_gone(other.worker);
		close(other.worker);
	}
	assert_int_equal(count_granted(), LEFT_MAX);
	assert_int_equal(count_ended(p, LEFT_MAX), 0);
	for (unsigned i = 0; i < LEFT_MAX; i++)
		close(p[i].worker);
}

/* Sends some of it; false: the broker takes no more. One that is only slow is waited for. */
static bool send_some(int fd, const char *bytes, size_t size, size_t *sent)
{
	for (unsigned ms = 0; ms < LIMIT_MS; ms++) {
		bool was_stuck = atomic_load(&stuck);
		ssize_t n = send(fd, bytes + *sent, size - *sent, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			*sent += (size_t)n;
		else
			assert_int_equal(errno, EAGAIN);
		if (n > 0 || was_stuck)
			return n > 0;
		poll(NULL, 0, 1);
	}
	fail();
	return false;
}

/* Those of tests before. */
static void await_none_stuck(void)
{
	for (unsigned ms = 0; ms < LIMIT_MS && atomic_load(&stuck); ms++)
		poll(NULL, 0, 1);
	assert_int_equal(atomic_load(&stuck), 0);
}

#define LINES_MAX 4096u

static void make_line(char *text, size_t size, unsigned number)
{
	int n = snprintf(
		text, size, "{\"command\": \"disk add\", \"spec\": \"/img/line%u\"", number);

	memset(text + n, ' ', size - (size_t)n);
	memcpy(text + size - 2, "}\n", 2);
}

/* As many lines as go in while the worker reads none. */
static unsigned fill_with_requests(int fd)
{
	char text[2000];
	unsigned lines = 0;
	size_t sent = 0;

	await_none_stuck();
	make_line(text, sizeof(text), lines);
	while (lines < LINES_MAX && send_some(fd, text, sizeof(text), &sent)) {
		if (sent < sizeof(text))
			continue;
		make_line(text, sizeof(text), ++lines);
		sent = 0;
	}
	return lines;
}

static unsigned count_lines_granted(unsigned lines)
{
	unsigned count = 0;
	char file[32];

	for (unsigned i = 0; i < lines; i++) {
		snprintf(file, sizeof(file), "/img/line%u", i);
		count += allows(file);
	}
	return count;
}

/* The broker knows that the client has left. */
static void await_less_granted(unsigned lines)
{
	unsigned most = 0, now = count_lines_granted(lines);

	for (unsigned ms = 0; ms < LIMIT_MS && now >= most; ms++) {
		most = now;
		poll(NULL, 0, 1);
		now = count_lines_granted(lines);
	}
	assert_true(now < most);
}

static unsigned hear_to_the_end(int fd)
{
	char bytes[4096];
	unsigned lines = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		for (ssize_t i = 0; i < n; i++)
			lines += bytes[i] == '\n';
	assert_int_equal(n, 0);
	return lines;
}

/* Whole lines: the one that was passed on in part is the last. */
static void what_was_not_passed_on_is_dropped(void **state)
{
	struct pair p = connect_pair();
	unsigned lines = fill_with_requests(p.client), heard;

	close(p.client);
	await_less_granted(lines);
	heard = hear_to_the_end(p.worker);
	assert_true(heard < lines);
	assert_int_equal(count_lines_granted(lines), heard);
	for (unsigned i = 0; i < heard; i++)
		say(p.worker, "{\"ok\":true}\n");
	assert_gone(p.worker);
	assert_int_equal(count_lines_granted(lines), 0);
	close(p.worker);
}

/* As without a broker: it was sent, and nothing is in its way. */
static void a_client_need_not_wait_for_its_only_request(void **state)
{
	struct pair p = connect_pair();

	ask_for_disk(&p, "/img/h");
	close(p.client);
	hear(p.worker, 1);
	assert_true(allows("/img/h"));
	close(p.worker);
}

/* ---- who waits for nothing does not run ---------------------------------- */

/* As much as goes in. */
static void fill(int fd, char last)
{
	char text[1000];
	size_t sent = 0;

	await_none_stuck();
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = last;
	while (send_some(fd, text, sizeof(text), &sent))
		sent %= sizeof(text);
}

static void a_client_that_left_and_a_worker_that_does_not_read(void **state)
{
	struct pair p = connect_pair();
	unsigned before;

	fill(p.client, '\n');
	before = atomic_load(&idle_turns);
	close(p.client);
	exchange();
	assert_true(atomic_load(&idle_turns) - before < IDLE_TURNS);
	close(p.worker);
}

static void a_worker_that_ended_and_a_client_that_does_not_read(void **state)
{
	struct pair p = connect_pair();
	unsigned before;

	say(p.client, "{}\n");
	hear(p.worker, 1);
	fill(p.worker, 'x');
	before = atomic_load(&idle_turns);
	close(p.worker);
	exchange();
	assert_true(atomic_load(&idle_turns) - before < IDLE_TURNS);
	assert_closed(p.client);
	close(p.client);
}

/* ---- the end ------------------------------------------------------------- */

/* The last test: there is no listener afterwards. */
static void when_the_worker_ends_others_get_their_answers(void **state)
{
	struct pair p = connect_pair();
	int fd, ret;

	say(p.client, "{}\n");
	hear(p.worker, 1);
	close(listener);
	if (!ctl_connect(path, &fd)) {
		assert_closed(fd);
		close(fd);
	}
	for (unsigned i = 0; i < LIMIT_MS && !(ret = ctl_connect(path, &fd)); i++)
		close(fd);
	assert_int_equal(ret, -ECONNREFUSED); /* as a worker that is gone */
	say(p.worker, "{\"ok\":true}\n");
	hear(p.client, 1);
	close_pair(&p);
	broker_finish_clients();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_ends_what_was_named),
		cmocka_unit_test(an_answer_to_nothing_ends_the_connection),
		cmocka_unit_test(a_second_answer_ends_the_connection),
		cmocka_unit_test(the_request_of_a_client_that_left_is_carried_out),
		cmocka_unit_test(the_same_with_answers_it_did_not_read),
		cmocka_unit_test(what_the_worker_does_not_answer_is_not_granted),
		cmocka_unit_test(only_some_that_left_are_waited_for),
		cmocka_unit_test(clients_with_all_answers_end_no_request),
		cmocka_unit_test(what_was_not_passed_on_is_dropped),
		cmocka_unit_test(a_client_need_not_wait_for_its_only_request),
		cmocka_unit_test(a_client_that_left_and_a_worker_that_does_not_read),
		cmocka_unit_test(a_worker_that_ended_and_a_client_that_does_not_read),
		cmocka_unit_test(when_the_worker_ends_others_get_their_answers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
