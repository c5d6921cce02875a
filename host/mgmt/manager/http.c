/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"

#define BEAT_NS      (15 * NS_PER_S) /* between two signs of life of an event stream */
#define CHECK_NS     NS_PER_S
#define RETRY_NS     (100 * NS_PER_MS)
#define STREAM_BLOCK 4096u

/* One connection, from accept() to its end. */
struct conn {
	struct http *h;
	struct list link;
	int fd;
	uid_t uid;
	enum api_role role;
	uint64_t since_ns; /* when it began to be in its state */
	bool busy;         /* a request is complete, its answer is not */
	bool stream;
};

/*   RECEIVING --body is complete--> RUNNING --answered--> ANSWERED --sent--> freed
 * In RUNNING the connection is suspended, unless the answer comes at once. */
struct request {
	struct api_request api;
	struct conn *conn;
	struct MHD_Connection *mhd;
	char *body;
	size_t length;
	bool received, suspended, answered;
	bool abandoned; /* the connection is gone: freed when answered */
};

/* A reader of events. */
struct stream {
	struct list link;
	struct MHD_Connection *mhd;
	struct http *h;
	uint64_t next;
	bool suspended, beat;
	size_t used, sent; /* of text */
	char text[STREAM_BLOCK];
};

struct http {
	struct manager *m;
	struct http_access access;
	struct MHD_Daemon *daemon;
	int listen_fd, epoll_fd;
	struct loop_op accept_op, epoll_op;
	struct loop_timer retry_timer, mhd_timer, check_timer, beat_timer;
	struct loop_task run_task;
	bool run_posted;
	struct list conns, streams;
};

static unsigned connections;

unsigned http_connections(void)
{
	return connections;
}

/* ---- libmicrohttpd in our loop ------------------------------------------- */

static void run(struct http *h);

static void run_posted(struct loop_task *task)
{
	struct http *h = container_of(task, struct http, run_task);

	h->run_posted = false;
	run(h);
}

/* Not from inside of it. */
static void run_soon(struct http *h)
{
	if (h->run_posted)
		return;
	h->run_posted = true;
	h->run_task.fn = run_posted;
	loop_post(h->m->loop, &h->run_task);
}

static void mhd_due(struct loop_timer *t)
{
	run(container_of(t, struct http, mhd_timer));
}

static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(h->daemon);
	if (MHD_get_timeout(h->daemon, &ms) == MHD_YES)
		loop_timer_start(
			h->m->loop, &h->mhd_timer, ms ? ms * NS_PER_MS : NS_PER_MS, mhd_due);
}

static void wait_epoll(struct http *h)
{
	io_uring_prep_poll_add(loop_sqe(h->m->loop, &h->epoll_op), h->epoll_fd, POLLIN);
}

static void on_epoll(struct loop_op *op, int res)
{
	struct http *h = container_of(op, struct http, epoll_op);

	run(h);
	wait_epoll(h);
}

/* ---- answers ------------------------------------------------------------- */

/* Not by the library, and before the connection is ended. In one piece, or not at all. */
static void say_no(int fd, const char *status, const char *why)
{
	char text[256];
	int length = snprintf(text, sizeof(text),
		"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n{\"error\":\"%s\"}",
		status, strlen(why) + sizeof("{\"error\":\"\"}") - 1, why);

	send(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static enum MHD_Result queue(struct request *r, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result ret;

	if (!response)
		return MHD_NO;
	ret = MHD_queue_response(r->mhd, status, response);
	MHD_destroy_response(response);
	return ret;
}

static enum MHD_Result send_answer(struct request *r)
{
	struct api_answer *a = &r->api.answer;
	struct MHD_Response *response = MHD_create_response_from_buffer(
		a->text ? a->length : 0, a->text ? a->text : "", MHD_RESPMEM_MUST_COPY);
	char next[24];

	if (!response)
		return MHD_NO;
	if (a->type)
		MHD_add_response_header(response, "Content-Type", a->type);
	if (a->location[0])
		MHD_add_response_header(response, "Location", a->location);
	snprintf(next, sizeof(next), "%llu", (unsigned long long)a->next);
	if (a->has_next)
		MHD_add_response_header(response, "Enlite-Next", next);
	return queue(r, a->status, response);
}

static void free_request(struct request *r)
{
	api_free(&r->api);
	free(r->api.answer.text);
	free(r->body);
	free(r);
}

static void on_answered(struct api_request *q)
{
	struct request *r = container_of(q, struct request, api);

	r->answered = true;
	if (r->abandoned) {
		free_request(r);
	} else if (r->suspended) {
		r->suspended = false;
		MHD_resume_connection(r->mhd);
		run_soon(r->conn->h);
	}
}

static enum MHD_Result refuse(struct request *r, unsigned status, const char *text)
{
	api_fill_error(&r->api.answer, status, text);
	return send_answer(r);
}

/* ---- events -------------------------------------------------------------- */

static void resume_stream(struct stream *s)
{
	if (!s->suspended)
		return;
	s->suspended = false;
	MHD_resume_connection(s->mhd);
}

static void on_event(void *ctx)
{
	struct http *h = ctx;

	list_for_each (at, &h->streams)
		resume_stream(container_of(at, struct stream, link));
	run_soon(h);
}

/* Finds out who is no longer there. */
static void on_beat(struct loop_timer *t)
{
	struct http *h = container_of(t, struct http, beat_timer);

	list_for_each (at, &h->streams)
		container_of(at, struct stream, link)->beat = true;
	on_event(h);
	loop_timer_start(h->m->loop, &h->beat_timer, BEAT_NS, on_beat);
}

/* The next event as text; false: there is none. Until there is one, what was asked for stays: that
 * some are lost is said before it. */
static bool fill_stream(struct stream *s)
{
	uint64_t asked = s->next, number = asked;
	const char *event = events_from(&s->h->m->events, &number);
	int length;

	s->used = s->sent = 0;
	if (event && number > asked && asked) {
		length = snprintf(s->text, sizeof(s->text),
			"event: lost\ndata: {\"lost\": %llu}\n\n",
			(unsigned long long)(number - asked));
		s->next = number;
	} else if (event) {
		length = snprintf(s->text, sizeof(s->text), "id: %llu\ndata: %s\n\n",
			(unsigned long long)number, event);
		s->next = number + 1;
	} else if (s->beat) {
		length = snprintf(s->text, sizeof(s->text), ":\n\n");
	} else {
		return false;
	}
	s->beat = false;
	s->used = (size_t)length < sizeof(s->text) ? (size_t)length : 0;
	return s->used;
}

static ssize_t read_stream(void *cls, uint64_t at, char *to, size_t max)
{
	struct stream *s = cls;
	size_t count;

	if (s->sent == s->used && !fill_stream(s)) {
		s->suspended = true;
		MHD_suspend_connection(s->mhd);
		return 0;
	}
	count = s->used - s->sent < max ? s->used - s->sent : max;
	memcpy(to, s->text + s->sent, count);
	s->sent += count;
	return (ssize_t)count;
}

static void free_stream(void *cls)
{
	struct stream *s = cls;

	list_del(&s->link);
	free(s);
}

/* From an event on, or from now on. */
static uint64_t first_event(const struct request *r)
{
	const char *last = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Last-Event-ID");
	uint64_t number;

	if (last && !parse_number(last, 0, INT64_MAX, &number))
		return number + 1;
	return r->api.has_from ? r->api.from : r->api.m->events.next;
}

static unsigned streams_of(const struct http *h, uid_t uid)
{
	unsigned count = 0;

	list_for_each (at, &h->conns) {
		const struct conn *c = container_of(at, struct conn, link);

		count += c->stream && c->uid == uid;
	}
	return count;
}

static enum MHD_Result start_stream(struct request *r)
{
	struct stream *s;
	struct MHD_Response *response;

	if (r->conn->uid && streams_of(r->conn->h, r->conn->uid) >= HTTP_STREAMS_MAX)
		return refuse(r, 503, "you read events on too many connections");
	s = calloc(1, sizeof(*s));
	if (!s)
		return MHD_NO;
	s->mhd = r->mhd;
	s->h = r->conn->h;
	s->next = first_event(r);
	s->beat = true; /* headers and a first byte are sent at once */
	list_add_tail(&s->h->streams, &s->link);
	response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, s, free_stream);
	if (!response) {
		free_stream(s);
		return MHD_NO;
	}
	r->conn->stream = true;
	MHD_add_response_header(response, "Content-Type", "text/event-stream");
	MHD_add_response_header(response, "Cache-Control", "no-store");
	return queue(r, 200, response);
}

/* ---- requests ------------------------------------------------------------ */

static enum MHD_Result start(struct request *r)
{
	r->conn->busy = true;
	r->conn->since_ns = loop_now_ns();
	if (!r->api.route->run)
		return start_stream(r);
	api_run(&r->api, r->body ? r->body : "", r->length);
	if (r->answered)
		return send_answer(r);
	r->suspended = true;
	MHD_suspend_connection(r->mhd);
	return MHD_YES;
}

static void read_query(struct request *r)
{
	const char *from = MHD_lookup_connection_value(r->mhd, MHD_GET_ARGUMENT_KIND, "from");

	if (from)
		r->api.has_from = !parse_number(from, 0, INT64_MAX, &r->api.from);
}

static bool too_large(const struct request *r)
{
	const char *length = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Content-Length");
	uint64_t bytes = 0;

	return length && (parse_number(length, 0, INT64_MAX, &bytes) || bytes > API_BODY_MAX);
}

/* The request line and headers are there. A status: it is refused. */
static unsigned begin(struct request *r, const char *method, const char *path)
{
	unsigned status = api_match(method, path, &r->api.route, r->api.param);

	if (!status && r->conn->role < api_needs(r->api.route))
		status = 403;
	if (!status && too_large(r))
		status = 413;
	return status;
}

static const char *refusal(unsigned status)
{
	switch (status) {
	case 400:
		return "the path is not valid";
	case 403:
		return "you may read, not change";
	case 404:
		return "there is nothing of this name";
	case 405:
		return "this method is not for this path";
	case 413:
		return "the body is too large";
	default:
		return "the path is too long";
	}
}

static enum MHD_Result new_request(struct conn *c, struct MHD_Connection *mhd, const char *method,
	const char *path, void **cls)
{
	struct request *r = calloc(1, sizeof(*r));
	unsigned status;

	if (!r)
		return MHD_NO;
	*cls = r;
	r->conn = c;
	r->mhd = mhd;
	r->api.m = c->h->m;
	r->api.answered = on_answered;
	read_query(r);
	status = begin(r, method, path);
	if (status)
		return refuse(r, status, refusal(status));
	return MHD_YES;
}

/* The library would read all of a body before it answers. */
static enum MHD_Result refuse_body(struct request *r)
{
	say_no(r->conn->fd, "413 Content Too Large", refusal(413));
	return MHD_NO;
}

static enum MHD_Result take_body(struct request *r, const char *bytes, size_t *count)
{
	char *body;

	if (r->length + *count > API_BODY_MAX)
		return refuse_body(r);
	body = realloc(r->body, r->length + *count);
	if (!body)
		return MHD_NO;
	memcpy(body + r->length, bytes, *count);
	r->body = body;
	r->length += *count;
	*count = 0;
	return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mhd, const char *path,
	const char *method, const char *version, const char *bytes, size_t *count, void **req_cls)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct request *r = *req_cls;

	if (!info->socket_context)
		return MHD_NO;
	if (!r)
		return new_request(info->socket_context, mhd, method, path, req_cls);
	if (*count)
		return take_body(r, bytes, count);
	if (r->answered)
		return send_answer(r);
	return start(r);
}

static void on_completed(
	void *cls, struct MHD_Connection *mhd, void **req_cls, enum MHD_RequestTerminationCode code)
{
	struct request *r = *req_cls;

	if (!r)
		return;
	r->conn->busy = false;
	r->conn->since_ns = loop_now_ns();
	if (r->suspended)
		r->abandoned = true;
	else
		free_request(r);
	*req_cls = NULL;
}

/* ---- connections --------------------------------------------------------- */

static uid_t peer_uid(int fd)
{
	struct ucred peer = {.uid = (uid_t)-1};
	socklen_t size = sizeof(peer);

	getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	return peer.uid;
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct http *h = cls;
	struct conn *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED && !c)
		return;
	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		list_del(&c->link);
		free(c);
		connections--;
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return; /* on_request() closes it */
	c->h = h;
	c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	c->role = http_role(c->fd, &h->access);
	c->uid = peer_uid(c->fd);
	c->since_ns = loop_now_ns();
	list_add_tail(&h->conns, &c->link);
	connections++;
	*context = c;
}

/* Slow peers lose their connection: those that send, and those that do not read. */
static void on_check(struct loop_timer *t)
{
	struct http *h = container_of(t, struct http, check_timer);
	uint64_t now = loop_now_ns();

	list_for_each (at, &h->conns) {
		struct conn *c = container_of(at, struct conn, link);

		if (!c->stream && now - c->since_ns > (c->busy ? HTTP_ANSWER_NS : HTTP_REQUEST_NS))
			shutdown(c->fd, SHUT_RDWR);
	}
	loop_timer_start(h->m->loop, &h->check_timer, CHECK_NS, on_check);
}

static unsigned connections_of(const struct http *h, uid_t uid)
{
	unsigned count = 0;

	list_for_each (at, &h->conns)
		count += container_of(at, struct conn, link)->uid == uid;
	return count;
}

static void turn_away(int fd, const char *status, const char *why)
{
	say_no(fd, status, why);
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void take_connection(struct http *h, int fd)
{
	struct sockaddr address = {.sa_family = AF_UNIX};
	uid_t uid = peer_uid(fd);
	enum api_role role = http_role(fd, &h->access);
	unsigned max = HTTP_CONNECTIONS_MAX - (role == API_ADMIN ? 0 : HTTP_CONNECTIONS_ADMIN);

	if (role == API_NONE)
		turn_away(fd, "403 Forbidden", "you are not in a group that may use this");
	else if (connections >= max || (uid && connections_of(h, uid) >= HTTP_CONNECTIONS_MAX / 2))
		turn_away(fd, "503 Service Unavailable", "too many connections");
	else
		MHD_add_connection(h->daemon, fd, &address, sizeof(address));
}

static void start_accept(struct http *h)
{
	io_uring_prep_accept(loop_sqe(h->m->loop, &h->accept_op), h->listen_fd, NULL, NULL,
		SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void on_retry(struct loop_timer *t)
{
	start_accept(container_of(t, struct http, retry_timer));
}

static void on_accept(struct loop_op *op, int res)
{
	struct http *h = container_of(op, struct http, accept_op);

	if (res < 0) { /* out of descriptors or memory: try again later */
		loop_timer_start(h->m->loop, &h->retry_timer, RETRY_NS, on_retry);
		return;
	}
	take_connection(h, res);
	run_soon(h);
	start_accept(h);
}

/* ---- life ---------------------------------------------------------------- */

/* Segments of paths are decoded one by one: api.c. */
static size_t leave_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
	return strlen(text);
}

static void log_library(void *cls, const char *format, va_list args)
{
	char text[200];

	vsnprintf(text, sizeof(text), format, args);
	text[strcspn(text, "\n")] = '\0';
	log_event(LOG_DEBUG, "libmicrohttpd: %s", text);
}

static struct MHD_Daemon *start_daemon(struct http *h)
{
	return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG |
					MHD_ALLOW_SUSPEND_RESUME,
		0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, log_library, h,
		MHD_OPTION_CONNECTION_LIMIT, HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		60u, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, h, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes, h, MHD_OPTION_END);
}

struct http *http_open(struct manager *m, int fd, const struct http_access *access, struct err *e)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h) {
		h->m = m;
		h->access = *access;
		h->listen_fd = fd;
		list_init(&h->conns);
		list_init(&h->streams);
		h->daemon = start_daemon(h);
	}
	if (!h || !h->daemon) {
		err_set(e, -ENOMEM, "the HTTP server cannot be started");
		free(h);
		return NULL;
	}
	h->epoll_fd = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	h->accept_op.done = on_accept;
	h->epoll_op.done = on_epoll;
	m->events.added = on_event;
	m->events.ctx = h;
	wait_epoll(h);
	start_accept(h);
	loop_timer_start(m->loop, &h->check_timer, CHECK_NS, on_check);
	loop_timer_start(m->loop, &h->beat_timer, BEAT_NS, on_beat);
	return h;
}

void http_close(struct http *h)
{
	h->m->events.added = NULL;
	list_for_each (at, &h->streams)
		resume_stream(container_of(at, struct stream, link));
	close(h->listen_fd);
}
