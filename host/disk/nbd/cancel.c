/* SPDX-License-Identifier: MIT */
/*
 * Cancelled requests of a connection. One that waits for a connection completes at
 * once. One that is at the server gets CANCEL_NS to finish; then the connection
 * ends, since only that makes sure that nothing moves from or to its pages any
 * more. What happens to the other requests: connection.c.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "disk/nbd/nbd_impl.h"

#define CANCEL_NS NS_PER_S
#define LEAVE_NS  NS_PER_S

static struct nbd_req *req_of(struct list *link)
{
	return container_of(link, struct nbd_req, list);
}

static void take_earlier(struct list *list, uint64_t *first)
{
	list_for_each (pos, list) {
		uint64_t when = req_of(pos)->cancelled_ns;

		if (when && (!*first || when < *first))
			*first = when;
	}
}

/* When the first of the cancelled ones was that the server has; 0: there are none. Of those that
 * are finished, some may go on. */
static uint64_t cancelled_first(struct nbd_conn *l)
{
	uint64_t first = 0;

	take_earlier(&l->active, &first);
	take_earlier(&l->finished, &first);
	return first;
}

static void answer_waiting(struct nbd_conn *l)
{
	struct list done;

	list_init(&done);
	list_for_each_safe (pos, &l->waiting) {
		if (!req_of(pos)->cancelled_ns)
			continue;
		list_del(pos);
		list_add_tail(&done, pos);
	}
	nbd_fail_all(&done, -ECANCELED);
}

static void cancel_due(struct loop_timer *t)
{
	struct nbd_conn *l = container_of(t, struct nbd_conn, cancel);
	uint64_t first = cancelled_first(l), now = loop_now_ns();

	if (first && now - first < CANCEL_NS) {
		loop_timer_start(l->loop, &l->cancel, first + CANCEL_NS - now, cancel_due);
	} else if (first) {
		nbd_conn_leave(l, LEAVE_NS); /* when it is over: nbd_cancel_soon() */
	}
	answer_waiting(l);
}

void nbd_cancel_soon(struct nbd_conn *l)
{
	loop_timer_start(l->loop, &l->cancel, 0, cancel_due);
}

void nbd_conn_cancel(struct nbd_conn *l, struct nbd_req *r)
{
	ON_LOOP(l->loop);
	if (r->cancelled_ns)
		return;
	r->cancelled_ns = loop_now_ns();
	loop_timer_start(l->loop, &l->cancel, 0, cancel_due);
}
