/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/ask.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "mgmt/manager/identity.h"

#define REPLY_STEP 4096u

/*   CONNECTING --> SENDING --> RECEIVING --a line, an error, the time is over--> done(), freed
 * In SENDING and RECEIVING one operation is in the ring; the timer and ask_cancel() end it by
 * shutdown(). */
struct ask {
	struct loop *loop;
	struct loop_task task; /* CONNECTING failed: done() still comes later */
	struct loop_op send_op, recv_op;
	struct loop_timer timer;
	int fd;
	int error; /* why it ends; 0: not known yet */
	char *request, *reply;
	size_t length, sent, used, size, limit;
	ask_done_fn *done;
	void *ctx;
};

static void ask_free(struct ask *a)
{
	loop_timer_cancel(&a->timer);
	if (a->fd >= 0)
		close(a->fd);
	free(a->request);
	free(a->reply);
	free(a);
}

static void fail(struct ask *a, int error)
{
	struct err e;

	if (a->error)
		error = a->error;
	err_set(&e, error, "the VM's process does not answer: %s", strerror(-error));
	a->done(a->ctx, NULL, error, &e);
	ask_free(a);
}

static void judge(struct ask *a, json_t *reply)
{
	const char *why = json_string_value(json_object_get(reply, "error"));
	struct err e;

	if (json_is_true(json_object_get(reply, "ok"))) {
		a->done(a->ctx, reply, 0, NULL);
	} else {
		err_set(&e, -EBUSY, "%s",
			why ? why : "the VM's process answers with no JSON object");
		a->done(a->ctx, NULL, why ? -EBUSY : -EPROTO, &e);
	}
	ask_free(a);
}

static void received_all(struct ask *a, size_t length)
{
	json_t *reply = json_loadb(a->reply, length, JSON_REJECT_DUPLICATES, NULL);

	judge(a, reply);
	json_decref(reply);
}

static void receive(struct ask *a)
{
	if (a->used == a->size) {
		size_t size = a->size ? 2 * a->size : REPLY_STEP;
		char *larger = size <= a->limit ? realloc(a->reply, size) : NULL;

		if (!larger) {
			fail(a, -EMSGSIZE);
			return;
		}
		a->reply = larger;
		a->size = size;
	}
	io_uring_prep_recv(
		loop_sqe(a->loop, &a->recv_op), a->fd, a->reply + a->used, a->size - a->used, 0);
}

static void on_received(struct loop_op *op, int res)
{
	struct ask *a = container_of(op, struct ask, recv_op);
	char *end;

	if (res <= 0) {
		fail(a, res ? res : -ECONNRESET);
		return;
	}
	end = memchr(a->reply + a->used, '\n', (size_t)res);
	a->used += (size_t)res;
	if (end)
		received_all(a, (size_t)(end - a->reply));
	else
		receive(a);
}

static void send_rest(struct ask *a)
{
	io_uring_prep_send(loop_sqe(a->loop, &a->send_op), a->fd, a->request + a->sent,
		a->length - a->sent, MSG_NOSIGNAL);
}

static void on_sent(struct loop_op *op, int res)
{
	struct ask *a = container_of(op, struct ask, send_op);

	if (res <= 0) {
		fail(a, res ? res : -ECONNRESET);
		return;
	}
	a->sent += (size_t)res;
	if (a->sent < a->length)
		send_rest(a);
	else
		receive(a);
}

static void on_late(struct loop_timer *t)
{
	struct ask *a = container_of(t, struct ask, timer);

	a->error = -ETIMEDOUT;
	shutdown(a->fd, SHUT_RDWR);
}

static void on_failed(struct loop_task *task)
{
	struct ask *a = container_of(task, struct ask, task);

	fail(a, a->error);
}

/* Who listens: the worker itself, or the broker that it started. */
static int check_peer(int fd, pid_t worker)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length))
		return -errno;
	if (peer.uid != geteuid())
		return -EPERM;
	return peer.pid == worker || identity_parent(peer.pid) == worker ? 0 : -EPERM;
}

/* Does not wait: a full queue of the listener is an error. */
static int connect_to(int fd, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return -errno;
	return fcntl(fd, F_SETFL, 0) ? -errno : 0;
}

static int open_socket(struct ask *a, const char *path, pid_t worker)
{
	int ret;

	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (a->fd < 0)
		return -errno;
	ret = connect_to(a->fd, path);
	return ret ? ret : check_peer(a->fd, worker);
}

struct ask *ask_start(struct loop *loop, const char *path, pid_t worker, const json_t *request,
	unsigned timeout_ms, ask_done_fn *done, void *ctx)
{
	struct ask *a = calloc(1, sizeof(*a));

	ON_LOOP(loop);
	if (!a)
		return NULL;
	*a = (struct ask){.loop = loop, .done = done, .ctx = ctx, .fd = -1, .limit = ASK_REPLY_MAX};
	a->send_op.done = on_sent;
	a->recv_op.done = on_received;
	a->task.fn = on_failed;
	a->request = json_dumps(request, JSON_COMPACT);
	if (!a->request) {
		ask_free(a);
		return NULL;
	}
	a->length = strlen(a->request) + 1;
	a->request[a->length - 1] = '\n'; /* replaces the terminator */
	a->error = open_socket(a, path, worker);
	if (a->error) {
		loop_post(loop, &a->task);
		return a;
	}
	loop_timer_start(loop, &a->timer, timeout_ms * NS_PER_MS, on_late);
	send_rest(a);
	return a;
}

void ask_limit(struct ask *a, size_t bytes)
{
	a->limit = bytes;
}

void ask_cancel(struct ask *a)
{
	if (!a->error)
		a->error = -ECANCELED;
	if (a->fd >= 0)
		shutdown(a->fd, SHUT_RDWR);
}
