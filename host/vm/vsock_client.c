/* SPDX-License-Identifier: MIT */
/* Programs of the host that connect to PATH, and the one line each begins with. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include "base/parse.h"
#include "vm/vsock_impl.h"
#include "vsp/hvsock/hvsock.h"

#define RETRY_NS (100 * NS_PER_MS)

/* ---- the line ------------------------------------------------------------ */

/* In text form the first three groups are big-endian. */
static void guid_from_uuid(struct hv_guid *guid, const uuid_t uuid)
{
	static const uint8_t order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};

	for (uint32_t i = 0; i < sizeof(order); i++)
		guid->b[i] = uuid[order[i]];
}

/* A port, or the GUID of a service. */
static int parse_service(const char *text, struct hv_guid *service)
{
	uint64_t port;
	uuid_t uuid;

	if (!parse_number(text, 0, UINT32_MAX, &port)) {
		hvsock_port_guid((uint32_t)port, service);
		return 0;
	}
	if (uuid_parse(text, uuid))
		return -EINVAL;
	guid_from_uuid(service, uuid);
	return 0;
}

static int parse_line(struct vsock_connection *c)
{
	static const char verb[] = "CONNECT ";
	size_t verb_length = sizeof(verb) - 1;

	if (strncasecmp(c->line, verb, verb_length))
		return -EINVAL;
	return parse_service(c->line + verb_length, &c->service);
}

static bool choose_endpoint(struct hv_guid *endpoint)
{
	return getrandom(endpoint->b, sizeof(endpoint->b), 0) == sizeof(endpoint->b);
}

static void line_complete(struct vsock_connection *c)
{
	loop_timer_cancel(&c->timer);
	c->line[c->line_length - 1] = 0;
	if (!parse_line(c) && choose_endpoint(&c->endpoint))
		vsock_connection_offer(c);
	else
		vsock_connection_refuse(c);
}

/* Byte by byte: the data that may follow belongs to the guest. */
static void read_byte(struct vsock_connection *c)
{
	io_uring_prep_recv(
		loop_sqe(c->vsock->control, &c->line_op), c->fd, c->line + c->line_length, 1, 0);
}

static void on_byte(struct loop_op *op, int res)
{
	struct vsock_connection *c = container_of(op, struct vsock_connection, line_op);

	if (res == 1 && c->state == VSOCK_READING)
		c->line_length++;
	else if (res != -EINTR || c->state != VSOCK_READING) {
		vsock_connection_free(c);
		return;
	}
	if (c->line_length && c->line[c->line_length - 1] == '\n')
		line_complete(c);
	else if (c->line_length == sizeof(c->line))
		vsock_connection_free(c); /* no line is that long */
	else
		read_byte(c);
}

void vsock_client_close(struct vsock_connection *c)
{
	loop_timer_cancel(&c->timer);
	c->state = VSOCK_CLOSING;
	shutdown(c->fd, SHUT_RDWR); /* ends the read */
}

static void line_late(struct loop_timer *timer)
{
	vsock_client_close(container_of(timer, struct vsock_connection, timer));
}

/* ---- accepting ----------------------------------------------------------- */

static void client_open(struct vsock_connection *c, int fd)
{
	c->fd = fd;
	c->state = VSOCK_READING;
	c->line_op.done = on_byte;
	loop_timer_start(c->vsock->control, &c->timer, VSOCK_LINE_NS, line_late);
	read_byte(c);
}

static void retry(struct loop_timer *timer)
{
	vsock_accept(container_of(timer, struct vsock, retry_timer));
}

static bool client_accepted(struct vsock *v, int fd)
{
	struct vsock_connection *c = vsock_connection_new(v, true);

	if (!c) {
		close(fd);
		return false;
	}
	client_open(c, fd);
	return true;
}

/* Out of descriptors or memory: tries again later. */
static void accepted(struct loop_op *op, int res)
{
	struct vsock *v = container_of(op, struct vsock, accept_op);

	v->accepting = false;
	if (v->closed) {
		if (res >= 0)
			close(res);
		vsock_check_closed(v);
	} else if (res >= 0 && client_accepted(v, res)) {
		vsock_accept(v);
	} else {
		loop_timer_start(v->control, &v->retry_timer, RETRY_NS, retry);
	}
}

void vsock_accept(struct vsock *v)
{
	if (v->accepting || v->closed || v->from_host >= VSOCK_HOST_MAX)
		return;
	v->accepting = true;
	v->accept_op.done = accepted;
	io_uring_prep_accept(
		loop_sqe(v->control, &v->accept_op), v->listen_fd, NULL, NULL, SOCK_CLOEXEC);
}
