/* SPDX-License-Identifier: MIT */
/*
 * enlited's HTTP side, with libmicrohttpd: what one client sends through a socket. Two bytes say
 * how, the rest is sent:
 *
 *   [0]  bytes of a piece, each of which the server sees alone; 0: all at once
 *   [1]  bit 0: the client goes away instead of waiting for its answers
 *
 * Behind it is no manager but three routes: /now is answered at once, /later when the server has
 * seen the next piece, /events is a stream. Each answer has the number of its request and what the
 * body was, so that an answer that is lost, or another's, is seen.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unix_socket.h"
#include "mgmt/manager/http.h"
#include "tests/fuzz/input.h"

#define REQUESTS_MAX 1024u
#define ANSWERS_MAX  (1u << 20)
#define TURNS_MAX    10000u /* of the loop, for one step of the client: more is a hang */
#define QUIET_TURNS  8u     /* without an answer: none will come */

static struct loop loop;
static struct manager m = {.loop = &loop};
static struct http *http;
static char directory[64], path[80];

/* ---- the interface ------------------------------------------------------- */

static unsigned begun;             /* requests of this client */
static bool is_head[REQUESTS_MAX]; /* their answers have no body */
static unsigned run, answered;
static struct api_request *late; /* waits for its answer */

static void on_run(struct api_request *q)
{
}

static const struct api_route routes[] = {
	{.method = "GET", .path = "/now", .run = on_run},
	{.method = "GET", .path = "/later", .run = on_run},
	{.method = "GET", .path = "/events"},
};

unsigned api_match(const char *method, const char *target, const struct api_route **route,
	char param[API_PARAMS][API_PARAM_MAX])
{
	require(begun < REQUESTS_MAX, "no more requests than bytes");
	is_head[begun++] = !strcmp(method, "HEAD");
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
		*route = &routes[i];
		if (!strcmp(target, routes[i].path))
			return 0;
	}
	return 404;
}

enum api_role api_needs(const struct api_route *route)
{
	return API_READ;
}

static void answer(struct api_request *q)
{
	answered++;
	q->answered(q);
}

void api_run(struct api_request *q, const char *body, size_t length)
{
	unsigned sum = 0;
	char *text = NULL;

	require(length <= API_BODY_MAX, "the body has a bound");
	require(!late, "one request of a connection at a time");
	for (size_t i = 0; i < length; i++)
		sum += (unsigned char)body[i]; /* each byte is there */
	check(asprintf(&text, "%u %zu %u", begun, length, sum) > 0);
	q->answer = (struct api_answer){
		.status = 200, .type = "text/plain", .text = text, .length = strlen(text)};
	run++;
	if (!strcmp(q->route->path, "/later"))
		late = q;
	else
		answer(q);
}

void api_free(struct api_request *q)
{
}

void api_fill_error(struct api_answer *a, unsigned status, const char *text)
{
	*a = (struct api_answer){.status = status, .type = "text/plain", .text = strdup(text)};
	check(a->text);
	a->length = strlen(a->text);
}

/* ---- answers ------------------------------------------------------------- */

static char answers[ANSWERS_MAX + 1];
static size_t received;

/* Header lines of an answer, from its status line on. NULL: it is not complete. */
static const char *end_of_headers(const char *at)
{
	const char *end = strstr(at, "\r\n\r\n");

	return end ? end + 4 : NULL;
}

static long content_length(const char *at, const char *headers_end)
{
	const char *line = strstr(at, "Content-Length: ");

	return line && line < headers_end ? atol(line + strlen("Content-Length: ")) : -1;
}

/* What api_run() has filled in for the request of this number. */
static void check_body(const char *body, long length, unsigned number)
{
	unsigned said = 0;

	require(sscanf(body, "%u ", &said) == 1 && said == number, "answers keep their order");
	require(length < 32, "an answer is as long as it says");
}

/* libmicrohttpd sends the header of its own refusals twice (0.9.75, of a wrong Content-Length), so
 * nothing can be said of what follows one. */
static bool is_last(const char *at, const char *headers_end)
{
	const char *line = strstr(at, "Connection: close");

	return line && line < headers_end;
}

static unsigned status_of(const char *at)
{
	unsigned status;

	require(sscanf(at, "HTTP/1.%*1u %3u ", &status) == 1, "an answer has a status");
	require(status >= 100 && status < 600, "the status is one");
	return status;
}

/* One answer, to the request of this number. NULL: nothing can be said of what follows. */
static const char *check_answer(const char *at, unsigned number)
{
	const char *body = end_of_headers(at);
	unsigned status;
	long length;

	if (!body)
		return NULL;
	status = status_of(at);
	length = content_length(at, body);
	if (is_last(at, body) && status != 200)
		return NULL;
	if (length < 0)
		return status == 100 ? body : NULL; /* a stream has no end */
	if (number <= begun && is_head[number - 1])
		return body;
	if ((size_t)length > strlen(body))
		return NULL;
	if (status == 200)
		check_body(body, length, number);
	return body + length;
}

/* Interim answers (100) are no answers to be counted. */
static void check_answers(void)
{
	const char *at = answers;
	unsigned count = 0;

	answers[received] = '\0';
	require(strlen(answers) == received, "answers are text");
	while (at && *at) {
		bool interim = !strncmp(at, "HTTP/1.1 100", 12);

		at = check_answer(at, count + 1);
		count += !interim;
	}
	require(count <= begun + 1, "no more answers than requests, and one of the library's");
}

/* ---- the client ---------------------------------------------------------- */

static void turn(void)
{
	loop_stop(&loop);
	loop_run(&loop);
}

/* False: the server has ended the connection. */
static bool receive_some(int fd)
{
	ssize_t n;

	while ((n = recv(fd, answers + received, ANSWERS_MAX - received, MSG_DONTWAIT)) > 0)
		received += (size_t)n;
	require(received < ANSWERS_MAX, "answers are short");
	return n < 0 && errno == EAGAIN;
}

static bool step(int fd)
{
	struct api_request *q = late;

	turn();
	late = q ? NULL : late;
	if (q)
		answer(q);
	return receive_some(fd);
}

/* As much as the server reads: of who is in a stream it reads nothing more. */
static bool send_all(int fd, const uint8_t *at, size_t length, size_t piece)
{
	for (unsigned quiet = 0; length && quiet < QUIET_TURNS; quiet++) {
		size_t count = piece && piece < length ? piece : length;
		ssize_t n = send(fd, at, count, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return false;
		if (n > 0) {
			at += n;
			length -= (size_t)n;
			quiet = 0;
		}
		if (!step(fd))
			return false;
	}
	return true;
}

/* Up to the end, or until nothing more comes: a stream goes on, and who has not sent all of a body
 * is closed by http.c, but later. */
static void wait_answers(int fd)
{
	size_t before = received;

	for (unsigned quiet = 0; quiet < QUIET_TURNS && step(fd); quiet++) {
		if (received != before || late)
			quiet = 0;
		before = received;
	}
}

/* Streams find out when they next send. */
static void wait_gone(void)
{
	for (unsigned turns = 0; http_connections() || late; turns++) {
		require(turns < TURNS_MAX, "nothing is left of a connection");
		events_add(&m.events, json_object());
		if (late) {
			struct api_request *q = late;

			late = NULL;
			answer(q);
		}
		turn();
	}
}

/* ---- the target ---------------------------------------------------------- */

static void remove_directory(void)
{
	unlink(path);
	rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct http_access access = {.has_admin_group = false};
	struct err e;

	log_set_level(LOG_ERROR);
	snprintf(directory, sizeof(directory), "/dev/shm/enlite-fuzz.XXXXXX");
	check(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	check(!atexit(remove_directory));
	check(!loop_init(&loop, "fuzz", &e));
	events_init(&m.events);
	turn(); /* from here on this thread is the loop's */
	http = http_open(&m, unix_socket_listen(path, SOCK_STREAM, 16), &access, &e);
	check(http);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool leaves;
	int fd;

	if (size < 2)
		return 0;
	leaves = data[1] & 1;
	begun = run = answered = 0;
	received = 0;
	fd = unix_socket_connect(path, SOCK_STREAM);
	check(fd >= 0);
	if (send_all(fd, data + 2, size - 2, data[0]) && !leaves) {
		shutdown(fd, SHUT_WR);
		wait_answers(fd);
	}
	close(fd);
	wait_gone();
	require(run == answered, "each request is answered once");
	check_answers();
	return 0;
}
