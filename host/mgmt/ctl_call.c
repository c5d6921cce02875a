/* SPDX-License-Identifier: MIT */
/* The client side of the control socket: one request, one reply. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mgmt/ctl.h"
#include "mgmt/ctl_impl.h"

static int send_request(int fd, const json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len, sent = 0;
	int ret = 0;

	if (!text)
		return -EINVAL;
	len = strlen(text) + 1;
	text[len - 1] = '\n'; /* replaces the terminator */
	while (!ret && sent < len) {
		ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);

		if (n > 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			ret = -errno;
	}
	free(text);
	return ret;
}

/* With a time-out set, recv() ends with EINTR even for a signal with SA_RESTART. */
static size_t receive(void *bytes, size_t len, void *fd)
{
	ssize_t n;

	do
		n = recv(*(int *)fd, bytes, len, 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? (size_t)-1 : (size_t)n;
}

static int receive_reply(int fd, unsigned timeout_ms, json_t **reply)
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000};
	json_error_t error;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	errno = 0;
	*reply = json_load_callback(receive, &fd, JSON_DISABLE_EOF_CHECK, &error);
	if (*reply)
		return 0;
	return errno == EAGAIN ? -ETIMEDOUT : -EPROTO;
}

static int call(const char *name, const char *path, int fd, const json_t *request,
	unsigned timeout_ms, json_t **reply, struct err *e)
{
	int ret = send_request(fd, request);

	if (!ret)
		ret = receive_reply(fd, timeout_ms, reply);
	if (ret == -ETIMEDOUT)
		return err_set(e, ret,
			"VM %s: no answer within %u s; is its process stopped? The command may still run",
			name, timeout_ms / 1000);
	if (ret)
		return err_set(
			e, ret, "%s: no answer; is the VM's process stopped or just ending?", path);
	return 0;
}

/* A user who may write to the directory of sockets can answer in a VM's place. */
static int check_server(const char *name, const char *path, int fd, struct err *e)
{
	uid_t uid = (uid_t)-1;
	int ret = ctl_peer(fd, &uid);

	if (ret)
		return err_set(e, ret, "VM %s: who answers? (%s: %s)", name, path, strerror(-ret));
	if (uid == geteuid() || uid == 0)
		return 0;
	return err_set(e, -EPERM,
		"VM %s: user %u answers on %s, neither you nor root; run ctl as the user you trust",
		name, uid, path);
}

int ctl_call(
	const char *name, const json_t *request, unsigned timeout_ms, json_t **reply, struct err *e)
{
	char path[CTL_PATH_MAX];
	int fd, ret = ctl_check_name(name, e);

	if (!ret)
		ret = ctl_path(path, name, e);
	if (ret)
		return ret;
	ret = ctl_connect(path, &fd);
	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return err_set(e, ret,
			"no VM named %s runs (%s: %s); give a VM this name and the same ENLITE_RUN_DIR",
			name, path, strerror(-ret));
	if (ret)
		return err_set(e, ret, "VM %s: cannot connect (%s: %s); be its owner or root", name,
			path, strerror(-ret));
	ret = check_server(name, path, fd, e);
	if (!ret)
		ret = call(name, path, fd, request, timeout_ms, reply, e);
	close(fd);
	return ret;
}
