// SPDX-License-Identifier: MIT
#include "ctl.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"

/* ---- addresses --------------------------------------------------------------------------- */

static const char *run_dir(void)
{
	const char *dir = getenv("ENLITE_RUN_DIR");

	if (dir && *dir)
		return dir;
	dir = getenv("XDG_RUNTIME_DIR");
	return dir && *dir ? dir : "/run";
}

int ctl_path(char path[CTL_PATH_MAX], const char *name, bool create, struct err *e)
{
	char dir[CTL_PATH_MAX];

	if (snprintf(dir, sizeof(dir), "%s/enlite", run_dir()) >= (int)sizeof(dir) ||
		snprintf(path, CTL_PATH_MAX, "%s/%s.sock", dir, name) >= (int)CTL_PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s/enlite/%s.sock: too long for a socket; set "
			"ENLITE_RUN_DIR to a shorter directory", run_dir(), name);
	if (create && mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, "cannot create %s: %s; set ENLITE_RUN_DIR", dir,
			strerror(errno));
	return 0;
}

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	memcpy(addr.sun_path, path, strlen(path));
	return addr;
}

/* 0 with *fd, or -errno. */
static int connect_to(const char *path, int *fd)
{
	struct sockaddr_un addr = address(path);

	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return -errno;
	if (connect(*fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		int ret = -errno;

		close(*fd);
		return ret;
	}
	return 0;
}

/* ---- server: one client --------------------------------------------------------------------- */

static void client_close(struct ctl_client *c)
{
	close(c->fd);
	free(c->reply);
	c->reply = NULL;
	c->fd = -1;
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

static json_t *answer(struct ctl *ctl, const char *line, size_t len)
{
	struct err e = {""};
	json_error_t error;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &error);
	json_t *reply = NULL;

	if (!json_is_object(request))
		err_set(&e, -EINVAL, "the request is not a JSON object");
	else
		reply = ctl->handle(ctl->ctx, request, &e);
	json_decref(request);
	if (!reply)
		return json_pack("{s:b, s:s}", "ok", 0, "error", e.text);
	json_object_set_new(reply, "ok", json_true());
	return reply;
}

/* Takes one line off the front of the buffer and answers it. */
static void client_answer(struct ctl_client *c, size_t line)
{
	json_t *reply = answer(c->ctl, c->request, line);
	char *text = reply ? json_dumps(reply, JSON_COMPACT) : NULL;

	json_decref(reply);
	c->used -= line + 1;
	memmove(c->request, c->request + line + 1, c->used);
	if (!text) {
		client_close(c);
		return;
	}
	c->reply = text;
	c->reply_len = strlen(text) + 1;
	c->reply[c->reply_len - 1] = '\n'; /* in the place of the terminator */
	c->reply_sent = 0;
	client_send(c);
}

static void client_next(struct ctl_client *c)
{
	char *newline = memchr(c->request, '\n', c->used);

	if (newline)
		client_answer(c, (size_t)(newline - c->request));
	else if (c->used == sizeof(c->request))
		client_close(c); /* no command is that long */
	else
		client_recv(c);
}

static void on_recv(struct loop_op *op, int res)
{
	struct ctl_client *c = container_of(op, struct ctl_client, recv_op);

	if (res <= 0) {
		client_close(c);
		return;
	}
	c->used += (size_t)res;
	client_next(c);
}

static void on_sent(struct loop_op *op, int res)
{
	struct ctl_client *c = container_of(op, struct ctl_client, send_op);

	if (res <= 0) {
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

/* ---- server: accepting --------------------------------------------------------------------------- */

static bool peer_is_owner(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       (peer.uid == geteuid() || peer.uid == 0);
}

static struct ctl_client *free_client(struct ctl *ctl)
{
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++)
		if (ctl->client[i].fd < 0)
			return &ctl->client[i];
	return NULL;
}

static void start_accept(struct ctl *ctl)
{
	io_uring_prep_accept(
		loop_sqe(ctl->loop, &ctl->accept_op), ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}

static void on_accept(struct loop_op *op, int res)
{
	struct ctl *ctl = container_of(op, struct ctl, accept_op);
	struct ctl_client *c = free_client(ctl);

	if (res >= 0 && c && peer_is_owner(res)) {
		c->fd = res;
		c->used = 0;
		client_recv(c);
	} else if (res >= 0) {
		close(res);
	}
	if (res != -EBADF && res != -EINVAL)
		start_accept(ctl);
}

static int take_path(struct ctl *ctl, const char *name, struct err *e)
{
	int fd, ret = ctl_path(ctl->path, name, true, e);

	if (ret)
		return ret;
	ret = connect_to(ctl->path, &fd);
	if (ret == 0) {
		close(fd);
		return err_set(e, -EADDRINUSE, "--name %s: a running partition has this name", name);
	}
	if (ret == -ECONNREFUSED) /* left behind by a worker that was killed */
		unlink(ctl->path);
	return 0;
}

int ctl_open(struct ctl *ctl, struct loop *loop, const char *name,
	json_t *(*handle)(void *ctx, const json_t *request, struct err *e), void *ctx, struct err *e)
{
	struct sockaddr_un addr;
	mode_t mask;
	int ret;

	memset(ctl, 0, sizeof(*ctl));
	ctl->loop = loop;
	ctl->handle = handle;
	ctl->ctx = ctx;
	ctl->listen_fd = -1;
	ctl->accept_op.done = on_accept;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++) {
		struct ctl_client *c = &ctl->client[i];

		c->ctl = ctl;
		c->fd = -1;
		c->recv_op.done = on_recv;
		c->send_op.done = on_sent;
	}
	ret = take_path(ctl, name, e);
	if (ret)
		return ret;
	ctl->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	addr = address(ctl->path);
	mask = umask(0177);
	ret = ctl->listen_fd < 0 || bind(ctl->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
			      listen(ctl->listen_fd, CTL_CLIENTS_MAX) < 0
		      ? -errno
		      : 0;
	umask(mask);
	if (ret) {
		if (ctl->listen_fd >= 0)
			close(ctl->listen_fd);
		ctl->listen_fd = -1;
		return err_set(e, ret, "control socket %s: %s", ctl->path, strerror(-ret));
	}
	start_accept(ctl);
	return 0;
}

void ctl_close(struct ctl *ctl)
{
	if (ctl->listen_fd < 0)
		return;
	unlink(ctl->path);
	close(ctl->listen_fd);
	ctl->listen_fd = -1;
	for (uint32_t i = 0; i < CTL_CLIENTS_MAX; i++)
		if (ctl->client[i].fd >= 0)
			client_close(&ctl->client[i]);
}

/* ---- client side ------------------------------------------------------------------------------------ */

static int send_request(int fd, const json_t *request)
{
	FILE *out = fdopen(dup(fd), "w");
	int ret;

	if (!out)
		return -errno;
	ret = json_dumpf(request, out, JSON_COMPACT) < 0 || fputc('\n', out) == EOF ? -EIO : 0;
	return fclose(out) == EOF ? -EIO : ret;
}

static int receive_reply(int fd, json_t **reply)
{
	FILE *in = fdopen(fd, "r");
	json_error_t error;

	if (!in)
		return -errno;
	*reply = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error);
	fclose(in);
	return *reply ? 0 : -EPROTO;
}

int ctl_call(const char *name, const json_t *request, json_t **reply, struct err *e)
{
	char path[CTL_PATH_MAX];
	int fd, ret = ctl_path(path, name, false, e);

	if (ret)
		return ret;
	ret = connect_to(path, &fd);
	if (ret)
		return err_set(e, ret, "no partition named %s (%s: %s)", name, path, strerror(-ret));
	ret = send_request(fd, request);
	if (ret) {
		close(fd);
		return err_set(e, ret, "%s: cannot send the request", path);
	}
	ret = receive_reply(fd, reply);
	return ret ? err_set(e, ret, "%s: no answer", path) : 0;
}
