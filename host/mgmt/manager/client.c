/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/client.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STEP 65536u

static int connect_to(const char *path, struct err *e)
{
	const struct timeval limit = {.tv_sec = CLIENT_TIMEOUT_S};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return err_set(e, -errno, "no socket: %s", strerror(errno));
	if (strlen(path) >= sizeof(address.sun_path))
		errno = ENAMETOOLONG;
	else
		memcpy(address.sun_path, path, strlen(path));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* also for connect */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (address.sun_path[0] && !connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	err_set(e, -errno, "%s: %s; does enlited run, and may you use it?", path, strerror(errno));
	close(fd);
	return -ECONNREFUSED;
}

static int send_all(int fd, const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t n = send(fd, at, length, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

/* HTTP/1.0: the answer ends with the connection, and comes in one piece. A manager that refuses
 * early answers before it has read all. */
static void send_request(
	int fd, const char *method, const char *path, const void *body, size_t length)
{
	char head[1024];
	int used = snprintf(head, sizeof(head),
		"%s %s HTTP/1.0\r\nHost: enlited\r\nContent-Length: %zu\r\n\r\n", method, path,
		length);

	if (used < (int)sizeof(head) && !send_all(fd, head, (size_t)used) && length)
		send_all(fd, body, length);
}

static int receive(int fd, struct client_answer *a)
{
	size_t used = 0, size = 0;
	ssize_t n;

	do {
		if (size - used < STEP / 2) {
			char *larger =
				size < CLIENT_ANSWER_MAX ? realloc(a->head, size + STEP) : NULL;

			if (!larger)
				return -EMSGSIZE;
			a->head = larger;
			size += STEP;
		}
		do
			n = recv(fd, a->head + used, size - used - 1, 0);
		while (n < 0 && errno == EINTR);
		if (n < 0 && !used)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	a->head[used] = '\0';
	a->length = used;
	return 0;
}

static bool header(const struct client_answer *a, const char *name, uint64_t *value)
{
	const char *at = strstr(a->head, name);

	if (at)
		*value = strtoull(at + strlen(name), NULL, 10);
	return at;
}

/* A manager that was killed, or that hangs, leaves a part of its answer. */
static int parse(struct client_answer *a)
{
	char *body = strstr(a->head, "\r\n\r\n");
	uint64_t length;

	if (!body || sscanf(a->head, "HTTP/1.%*d %u", &a->status) != 1)
		return -EPROTO;
	*body = '\0';
	a->body = body + 4;
	a->length -= (size_t)(a->body - a->head);
	header(a, "\r\nEnlite-Next: ", &a->next);
	return header(a, "\r\nContent-Length: ", &length) && length == a->length ? 0 : -EPROTO;
}

int client_call(const char *socket, const char *method, const char *path, const void *body,
	size_t length, struct client_answer *a, struct err *e)
{
	int ret, fd;

	memset(a, 0, sizeof(*a));
	fd = connect_to(socket, e);
	if (fd < 0)
		return fd;
	send_request(fd, method, path, body, length);
	ret = receive(fd, a);
	close(fd);
	if (!ret)
		ret = parse(a);
	if (!ret)
		return 0;
	client_free(a);
	return err_set(e, ret, "%s: no answer: %s; the request may still be carried out", socket,
		ret == -EPROTO ? "it is cut, or no HTTP" : strerror(-ret));
}

void client_free(struct client_answer *a)
{
	free(a->head);
	memset(a, 0, sizeof(*a));
}

int client_refused(const struct client_answer *a, struct err *e)
{
	json_t *json = json_loadb(a->body, a->length, 0, NULL);
	const char *why = json_string_value(json_object_get(json, "error"));
	int ret = a->status == 404 ? -ENOENT : a->status == 409 ? -EBUSY : -EINVAL;

	err_set(e, ret, "%.400s", why ? why : "the manager refuses it");
	json_decref(json);
	return ret;
}

int client_json(const char *socket, const char *method, const char *path, const json_t *body,
	json_t **reply, struct err *e)
{
	char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	struct client_answer a;
	int ret = client_call(socket, method, path, text, text ? strlen(text) : 0, &a, e);

	free(text);
	if (ret)
		return ret;
	*reply = a.status < 300 ? json_loadb(a.body, a.length, 0, NULL) : NULL;
	if (a.status >= 300)
		ret = client_refused(&a, e);
	else if (!*reply)
		ret = err_set(e, -EPROTO, "the manager's answer is no JSON");
	client_free(&a);
	return ret;
}
