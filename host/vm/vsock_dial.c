/* SPDX-License-Identifier: MIT */
/* A guest's connection to a program of the host: a connect() that may sleep, for the file system.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "vm/vsock_impl.h"

struct vsock_dial {
	struct blocking_call call;
	struct vsock_connection *connection; /* NULL: the guest is gone */
	int fd;                              /* or -errno */
	char path[UNIX_SOCKET_PATH_MAX];
};

static void run(struct blocking_call *call)
{
	struct vsock_dial *d = container_of(call, struct vsock_dial, call);

	d->fd = unix_socket_connect(d->path, SOCK_STREAM);
}

static void release(struct blocking_call *call)
{
	struct vsock_dial *d = container_of(call, struct vsock_dial, call);

	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static void done(struct blocking_call *call)
{
	struct vsock_dial *d = container_of(call, struct vsock_dial, call);
	struct vsock_connection *c = d->connection;

	if (!c) {
		release(call);
		return;
	}
	c->dial = NULL;
	c->fd = d->fd;
	free(d);
	vsock_connection_offer(c);
}

int vsock_dial(struct vsock_connection *c, uint32_t port)
{
	struct vsock_dial *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return -ENOMEM;
	d->call = (struct blocking_call){.run = run, .done = done, .release = release};
	d->connection = c;
	d->fd = -1;
	snprintf(d->path, sizeof(d->path), "%s_%u", c->vsock->path, port);
	ret = blocking_start(&d->call, c->vsock->control);
	if (ret) {
		free(d);
		return ret;
	}
	c->state = VSOCK_DIALING;
	c->dial = d;
	return 0;
}

void vsock_dial_abandon(struct vsock_connection *c)
{
	struct vsock_dial *d = c->dial;

	c->dial = NULL;
	d->connection = NULL;
	if (blocking_cancel(&d->call))
		release(&d->call);
	else
		blocking_abandon(&d->call);
}
