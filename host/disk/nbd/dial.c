/* SPDX-License-Identifier: MIT */
/*
 * DIALLING and CONNECTING: a host name is resolved on a helper thread, then the
 * handshake has its time. See connection.c.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/blocking.h"
#include "disk/nbd/address.h"
#include "disk/nbd/nbd_impl.h"

#define HANDSHAKE_NS (5 * NS_PER_S)

/* A call of its own: the connection, its loop and the disk may be gone before it returns. */
struct nbd_dial {
	struct blocking_call call;
	struct nbd_conn *conn; /* NULL: it wants the handle no more */
	struct nbd_handle *h;
	char *uri;
	bool failed;
};

static void dial_free(struct nbd_dial *d)
{
	if (d->h)
		libnbd.close(d->h);
	free(d->uri);
	free(d);
}

static void dial_run(struct blocking_call *call)
{
	struct nbd_dial *d = container_of(call, struct nbd_dial, call);

	d->failed = nbd_address_use(d->h, d->uri) != 0;
}

static void dial_release(struct blocking_call *call)
{
	dial_free(container_of(call, struct nbd_dial, call));
}

static void conn_refused(struct nbd_conn *l)
{
	l->state = CONN_DRAINING;
	loop_timer_cancel(&l->timer);
	nbd_conn_drained(l);
}

static void dial_done(struct blocking_call *call)
{
	struct nbd_dial *d = container_of(call, struct nbd_dial, call);
	struct nbd_conn *l = d->conn;

	if (l)
		l->dial = NULL;
	if (l && d->failed) {
		conn_refused(l);
	} else if (l) {
		l->h = d->h;
		d->h = NULL;
		l->state = CONN_CONNECTING;
		nbd_conn_settle_soon(l);
	}
	dial_free(d);
}

void nbd_dial_cancel(struct nbd_conn *l)
{
	l->dial->conn = NULL;
	blocking_abandon(&l->dial->call); /* false: dial_done() comes, and frees it */
	l->dial = NULL;
}

static int dial_start(struct nbd_conn *l)
{
	struct nbd_dial *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->call.run = dial_run;
	d->call.done = dial_done;
	d->call.release = dial_release;
	d->conn = l;
	d->uri = strdup(l->disk->uri);
	d->h = d->uri ? nbd_server_handle() : NULL;
	if (!d->h || blocking_start(&d->call, l->loop)) {
		dial_free(d);
		return -ENOMEM;
	}
	l->dial = d;
	return 0;
}

static void handshake_late(struct loop_timer *t)
{
	struct nbd_conn *l = container_of(t, struct nbd_conn, timer);

	if (l->state == CONN_CONNECTING) {
		nbd_conn_drop(l);
		return;
	}
	nbd_dial_cancel(l);
	conn_refused(l);
}

void nbd_dial(struct nbd_conn *l)
{
	l->state = CONN_DIALLING;
	if (dial_start(l))
		conn_refused(l);
	else
		loop_timer_start(l->loop, &l->timer, HANDSHAKE_NS, handshake_late);
}
