/* SPDX-License-Identifier: MIT */
#include "mgmt/ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/broker.h"
#include "base/files.h"
#include "base/unix_socket.h"
#include "mgmt/ctl_impl.h"

/* ---- names and addresses ------------------------------------------------- */

int ctl_check_name(const char *name, struct err *e)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(name);

	if (len == 0 || len > CTL_NAME_MAX || strspn(name, allowed) != len || name[0] == '.')
		return err_set(e, -EINVAL,
			"VM name '%s': 1 to %u letters, digits, '-', '_' or '.', not starting with '.'",
			name, CTL_NAME_MAX);
	return 0;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, path, strlen(path));
	return addr;
}

int ctl_peer(int fd, uid_t *uid)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return -errno;
	*uid = peer.uid;
	return 0;
}

/* A worker process that is stopped (SIGSTOP) must not block its client for ever. */
int ctl_connect(const char *path, int *fd)
{
	const struct timeval limit = {.tv_sec = CTL_TIMEOUT_MS / 1000};
	struct sockaddr_un addr = address(path);
	int ret;

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* also for connect */
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	do
		ret = connect(*fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
	while (ret == -EINTR);
	if (ret)
		close(*fd);
	return ret;
}

/* ---- server: one client -------------------------------------------------- */

static void client_recv(struct ctl_client *c);
static void start_accept(struct ctl *ctl);

static void client_open(struct ctl_client *c, int fd)
{
	c->fd = fd;
	c->used = 0;
	c->evicted = false;
	c->active = ++c->ctl->clock;
	client_recv(c);
}

/* No operation of this client is in the ring. Its slot goes to the client that waits for one. */
static void client_close(struct ctl_client *c)
{
	struct ctl *ctl = c->ctl;
	int waiting = ctl->waiting_fd;

	if (c->asking)
		c->asking->client = NULL;
	c->asking = NULL;
	close(c->fd);
	free(c->reply);
	c->reply = NULL;
	c->fd = -1;
	if (waiting < 0)
		return;
	ctl->waiting_fd = -1;
	client_open(c, waiting);
	start_accept(ctl);
}

static void client_recv(struct ctl_client *c)
{
	io_uring_prep_recv(loop_sqe(c->ctl->loop, &c->recv_op), c->fd, c->request + c->used,
		sizeof(c->request) - c->used, 0);
}

static void client_send(struct ctl_client *c)
{
	io_uring_prep_send(loop_sqe(c->ctl->loop, &c->send_op), c->fd, c->reply + c->reply_sent,
		c->reply_len - c->reply_sent, MSG_NOSIGNAL);
}

/* ---- server: requests ---------------------------------------------------- */

/* Starts to send the answer; a newline replaces the terminator. */
static void client_reply(struct ctl_client *c, json_t *reply)
{
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;

	json_decref(reply);
	c->asking = NULL;
	c->active = ++c->ctl->clock;
	if (!text) {
		client_close(c);
		return;
	}
	c->reply = text;
	c->reply_len = strlen(text) + 1;
	c->reply[c->reply_len - 1] = '\n';
	c->reply_sent = 0;
	client_send(c);
}

static void finish(struct ctl_request *request, json_t *reply)
{
	if (request->client)
		client_reply(request->client, reply);
	else
		json_decref(reply);
	free(request);
}

void ctl_answer(struct ctl_request *request, json_t *reply)
{
	if (reply)
		json_object_set_new(reply, "ok", json_true());
	finish(request, reply);
}

void ctl_refuse(struct ctl_request *request, const struct err *e)
{
	finish(request, json_pack("{s:b, s:s}", "ok", 0, "error", e->text));
}

static void ask(struct ctl_request *request, const json_t *json)
{
	struct ctl *ctl = request->client->ctl;
	struct err e;

	if (json_is_object(json)) {
		ctl->handle(ctl->ctx, request, json);
		return;
	}
	err_set(&e, -EINVAL, "the request is not a JSON object");
	ctl_refuse(request, &e);
}

/* Removes one line from the front of the buffer and runs it. */
static void client_ask(struct ctl_client *c, size_t line)
{
	struct ctl_request *request = malloc(sizeof(*request));
	json_error_t error;
	json_t *json;

	if (!request) {
		client_close(c);
		return;
	}
	json = json_loadb(c->request, line, JSON_REJECT_DUPLICATES, &error);
	c->active = ++c->ctl->clock;
	c->used -= line + 1;
	memmove(c->request, c->request + line + 1, c->used);
	request->client = c;
	c->asking = request;
	ask(request, json); /* c may be gone now */
	json_decref(json);
}

static void client_next(struct ctl_client *c)
{
	char *newline = memchr(c->request, '\n', c->used);

	if (newline)
		client_ask(c, (size_t)(newline - c->request));
	else if (c->used == sizeof(c->request))
		client_close(c); /* no request is that long */
	else
		client_recv(c);
}

static void on_recv(struct loop_op *op, int res)
{
	struct ctl_client *c = container_of(op, struct ctl_client, recv_op);

	if (res <= 0 || c->evicted) {
		client_close(c);
		return;
	}
	c->used += (size_t)res;
	client_next(c);
}

static void on_sent(struct loop_op *op, int res)
{
	struct ctl_client *c = container_of(op, struct ctl_client, send_op);

	if (res <= 0 || c->evicted) {
		client_close(c);
		return;
	}
	c->reply_sent += (size_t)res;
	if (c->reply_sent < c->reply_len) {
		client_send(c);
		return;
	}
	free(c->reply);
	c->reply = NULL;
	client_next(c);
}

/* ---- server: accepting --------------------------------------------------- */

static bool peer_is_owner(int fd)
{
	uid_t uid = (uid_t)-1;

	return !ctl_peer(fd, &uid) && (uid == geteuid() || uid == 0);
}

static struct ctl_client *free_client(struct ctl *ctl)
{
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++)
		if (ctl->client[i].fd < 0)
			return &ctl->client[i];
	return NULL;
}

/* Who waits for an answer keeps its slot until it disconnects: without the answer it would not know
 * whether its request was carried out. */
static bool may_evict(const struct ctl_client *c)
{
	struct pollfd peer = {.fd = c->fd};

	return !c->asking || (poll(&peer, 1, 0) > 0 && peer.revents & (POLLHUP | POLLERR));
}

static struct ctl_client *least_active(struct ctl *ctl)
{
	struct ctl_client *oldest = NULL;

	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &ctl->client[i];

		if (may_evict(c) && (!oldest || c->active < oldest->active))
			oldest = c;
	}
	return oldest;
}

/* Closes the least recently active client. An operation of it in the ring ends with an error first.
 * false: all of them wait for answers. */
static bool evict(struct ctl *ctl, int fd)
{
	struct ctl_client *c = least_active(ctl);

	if (!c)
		return false;
	ctl->waiting_fd = fd;
	if (c->asking) {
		client_close(c);
	} else {
		c->evicted = true;
		shutdown(c->fd, SHUT_RDWR);
	}
	return true;
}

static void start_accept(struct ctl *ctl)
{
	io_uring_prep_accept(
		loop_sqe(ctl->loop, &ctl->accept_op), ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void on_retry(struct loop_timer *t)
{
	start_accept(container_of(t, struct ctl, retry_timer));
}

static void on_accept(struct loop_op *op, int res)
{
	struct ctl *ctl = container_of(op, struct ctl, accept_op);
	struct ctl_client *c = free_client(ctl);

	if (res < 0) { /* out of descriptors or memory: try again later */
		loop_timer_start(ctl->loop, &ctl->retry_timer, CTL_RETRY_MS * 1000000ull, on_retry);
	} else if (!peer_is_owner(res)) {
		close(res);
		start_accept(ctl);
	} else if (c) {
		client_open(c, res);
		start_accept(ctl);
	} else if (!evict(ctl, res)) {
		close(res);
		start_accept(ctl);
	}
}

static void unlink_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

/* True when a server answers on fd, or is stopped and cannot; false when it closes the connection.
 */
static bool answers(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char byte;
	int ret;

	send(fd, "{}\n", 3, MSG_NOSIGNAL);
	do
		ret = poll(&wait, 1, CTL_TIMEOUT_MS);
	while (ret < 0 && errno == EINTR);
	return ret == 0 || recv(fd, &byte, 1, MSG_DONTWAIT) > 0;
}

/* The socket of a killed process accepts connections until the kernel has destroyed its io_uring,
 * some milliseconds later; then they are reset. A live one that closes ours is another user's. */
static bool name_is_live(const char *path, int *ret)
{
	int fd;

	for (unsigned i = 0; i < 3; i++) {
		bool live;

		*ret = ctl_connect(path, &fd);
		if (*ret)
			return false;
		live = answers(fd);
		close(fd);
		if (live)
			return true;
	}
	return true;
}

static int take_path(const char *path, const char *name, struct err *e)
{
	int ret;

	if (name_is_live(path, &ret))
		return err_set(e, -EADDRINUSE,
			"name: %s: a running VM has this name; choose another", name);
	if (ret == -ECONNREFUSED) /* stale: its process was killed */
		unlink_socket(path);
	return 0;
}

int ctl_listen(char path[CTL_PATH_MAX], const char *name, struct err *e)
{
	int lock, fd, ret = ctl_path(path, name, e);

	if (ret)
		return ret;
	lock = ctl_dir_lock(path, e);
	if (lock < 0)
		return lock;
	fd = take_path(path, name, e);
	if (!fd) {
		fd = unix_socket_listen(path, SOCK_STREAM, CTL_CLIENTS_MAX);
		if (fd < 0)
			err_set(e, fd, "control socket %s: %s; free the name or set ENLITE_RUN_DIR",
				path, strerror(-fd));
	}
	close(lock);
	return fd;
}

/* The broker listens, and passes clients on to the socket that it gives us. */
static int listen_by_broker(char path[CTL_PATH_MAX], const char *name, struct err *e)
{
	struct {
		struct broker_request request;
		struct broker_reply reply;
	} *x = malloc(sizeof(*x));
	int ret = x ? ctl_path(path, name, e) : err_set(e, -ENOMEM, "out of memory");

	if (!ret) {
		broker_request_init(&x->request, BROKER_CTL, 0, 0);
		broker_request_add(&x->request, name); /* CTL_NAME_MAX at most */
		ret = broker_call(&x->request, &x->reply);
		if (ret < 0)
			err_set(e, ret, "%.*s", (int)x->reply.bytes, x->reply.text);
		else
			ret = x->reply.fds[0];
	}
	free(x);
	return ret;
}

int ctl_open(struct ctl *ctl, struct loop *loop, const char *name, ctl_handle_fn *handle, void *ctx,
	struct err *e)
{
	int ret;

	memset(ctl, 0, sizeof(*ctl));
	ctl->loop = loop;
	ctl->handle = handle;
	ctl->ctx = ctx;
	ctl->listen_fd = -1;
	ctl->waiting_fd = -1;
	ctl->accept_op.done = on_accept;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &ctl->client[i];

		c->ctl = ctl;
		c->fd = -1;
		c->recv_op.done = on_recv;
		c->send_op.done = on_sent;
	}
	ret = broker_used() ? listen_by_broker(ctl->path, name, e) : ctl_listen(ctl->path, name, e);
	if (ret < 0)
		return ret;
	ctl->listen_fd = ret;
	start_accept(ctl);
	return 0;
}

void ctl_unlink(const struct ctl *ctl)
{
	files_unlink_apart(ctl->path);
}

void ctl_close(struct ctl *ctl)
{
	if (ctl->listen_fd < 0)
		return;
	files_unlink(ctl->path);
	loop_timer_cancel(&ctl->retry_timer);
	close(ctl->listen_fd);
	ctl->listen_fd = -1;
	if (ctl->waiting_fd >= 0)
		close(ctl->waiting_fd);
	ctl->waiting_fd = -1;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++)
		if (ctl->client[i].fd >= 0)
			client_close(&ctl->client[i]);
}
