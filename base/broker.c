/* SPDX-License-Identifier: MIT */
#include "base/broker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Constant while there are threads, also when the broker has ended. */
static int broker = -1;

void broker_use(int fd)
{
	broker = fd;
}

bool broker_used(void)
{
	return broker >= 0;
}

/* Threads that are left may be in a call, and may begin one: the number stays ours. */
void broker_end(void)
{
	if (broker >= 0)
		shutdown(broker, SHUT_RDWR);
}

/* ---- messages ------------------------------------------------------------ */

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(BROKER_FDS_MAX * sizeof(int))];
};

int broker_send(int socket, const void *bytes, size_t length, const int *fds, uint32_t count)
{
	struct iovec iov = {(void *)bytes, length};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	union control control;
	ssize_t n;

	if (count) {
		memset(&control, 0, sizeof(control));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
	}
	do
		n = sendmsg(socket, &m, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

static void close_all(const int *fds, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
}

static uint32_t take_fds(struct msghdr *m, int *fds)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	uint32_t count;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	memcpy(fds, CMSG_DATA(c), count * sizeof(int));
	return count;
}

int broker_receive(int socket, void *bytes, size_t size, int *fds, uint32_t *count)
{
	struct iovec iov = {bytes, size};
	union control control;
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*count = 0;
	do
		n = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*count = take_fds(&m, fds);
	if (!(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)))
		return (int)n;
	close_all(fds, *count);
	*count = 0;
	return -EMSGSIZE;
}

/* ---- calls --------------------------------------------------------------- */

void broker_request_init(struct broker_request *q, enum broker_op op, int32_t a, int32_t b)
{
	q->op = op;
	q->a = a;
	q->b = b;
	q->length = 0;
}

int broker_request_add(struct broker_request *q, const char *text)
{
	size_t size = strlen(text) + 1;

	if (size > sizeof(q->text) - q->length)
		return -ENAMETOOLONG;
	memcpy(q->text + q->length, text, size);
	q->length += (uint32_t)size;
	return 0;
}

static int receive_reply(int socket, struct broker_reply *r)
{
	uint32_t count;
	int n = broker_receive(socket, r, offsetof(struct broker_reply, fds), r->fds, &count);

	r->fd_count = count;
	if (n < 0)
		return n;
	if (n >= (int)offsetof(struct broker_reply, text) &&
		r->bytes == (uint32_t)n - offsetof(struct broker_reply, text))
		return r->result;
	close_all(r->fds, count);
	r->fd_count = 0;
	return -EPIPE; /* the broker is gone */
}

int broker_call(const struct broker_request *q, struct broker_reply *r)
{
	size_t length = offsetof(struct broker_request, text) + q->length;
	int ends[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return -errno;
	ret = broker_send(broker, q, length, &ends[1], 1);
	close(ends[1]);
	if (ret >= 0)
		ret = receive_reply(ends[0], r);
	close(ends[0]);
	return ret;
}

int broker_call_text(enum broker_op op, int32_t a, int32_t b, const char *text)
{
	struct {
		struct broker_request request;
		struct broker_reply reply;
	} *m = malloc(sizeof(*m));
	int ret;

	if (!m)
		return -ENOMEM;
	broker_request_init(&m->request, op, a, b);
	ret = broker_request_add(&m->request, text);
	if (!ret)
		ret = broker_call(&m->request, &m->reply);
	if (ret >= 0 && m->reply.fd_count)
		ret = m->reply.fds[0];
	free(m);
	return ret;
}
