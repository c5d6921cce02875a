/* SPDX-License-Identifier: MIT */
/*
 * Time limits. One timer for two of them:
 *
 * Silence. While requests are there and nothing comes back: at half of retry_ns a
 * connection that is up is left for a new one; at all of it the requests fail,
 * and so do new ones, at once, until a connection is up again.
 *
 * A request the server does not answer while it answers others. Its time begins
 * when it is the oldest at the server: a queue before it is not its fault, nor
 * that of a server that is slow and works through it. After retry_ns the
 * connection ends, since only that makes sure that nothing moves from or to the
 * request's pages any more. What may be sent again is (connection.c). If the same
 * request hangs again, the next connection ends too, and the request fails; the
 * others go on.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "disk/nbd/nbd_impl.h"

#define HANGS_MAX 2u

static struct nbd_req *req_of(struct list *link)
{
	return container_of(link, struct nbd_req, list);
}

static struct nbd_req *oldest(const struct nbd_conn *l)
{
	return list_empty(&l->active) ? NULL : req_of(l->active.next);
}

void nbd_fail(struct nbd_req *r, int error)
{
	if (r->bounce)
		disk_bounce_free(nbd_disk_req(r), r->bounce, error);
	r->error = error;
	nbd_complete(r);
}

void nbd_fail_all(struct list *requests, int error)
{
	while (!list_empty(requests)) {
		struct nbd_req *r = req_of(requests->next);

		list_del(&r->list);
		nbd_fail(r, error);
	}
}

static void fail_waiting(struct nbd_conn *l)
{
	struct list done;

	log_event(LOG_ERROR,
		"disk %s: no answer from the server for %llu s; requests fail until it is back",
		l->disk->uri, (unsigned long long)(l->disk->retry_ns / NS_PER_S));
	l->down = true;
	list_init(&done);
	while (!list_empty(&l->waiting)) {
		struct list *first = l->waiting.next;

		list_del(first);
		list_add_tail(&done, first);
	}
	nbd_fail_all(&done, -EIO);
}

bool nbd_timeout_hangs(const struct nbd_req *r)
{
	return r->hangs >= HANGS_MAX;
}

static void leave_hung(struct nbd_conn *l, struct nbd_req *r)
{
	r->hangs++;
	log_event(LOG_WARN, "disk %s: no answer to a request for %llu s%s", l->disk->uri,
		(unsigned long long)(l->disk->retry_ns / NS_PER_S),
		r->hangs < HANGS_MAX ? "" : ", twice; it fails");
	nbd_conn_leave(l, l->disk->retry_ns / 2);
}

static void limit_due(struct loop_timer *t);

/* Whatever happens until then only makes the limits later. */
static void limit_start(struct nbd_conn *l)
{
	uint64_t limit = l->disk->retry_ns, now = loop_now_ns();
	uint64_t idle = now - l->progress_ns;
	uint64_t due = l->progress_ns + (idle < limit / 2 ? limit / 2 : limit);
	const struct nbd_req *r = oldest(l);

	/* A connection that is left has its own limit. */
	if (l->state == CONN_UP && r && r->oldest_ns && r->oldest_ns + limit < due)
		due = r->oldest_ns + limit;
	loop_timer_start(l->loop, &l->limit, due > now ? due - now : 0, limit_due);
}

static void limit_due(struct loop_timer *t)
{
	struct nbd_conn *l = container_of(t, struct nbd_conn, limit);
	uint64_t limit = l->disk->retry_ns, now = loop_now_ns();
	uint64_t idle = now - l->progress_ns;
	struct nbd_req *r = oldest(l);

	if (list_empty(&l->waiting) && list_empty(&l->active))
		return;
	if (idle >= limit)
		nbd_conn_leave(l, 0);
	else if (l->state == CONN_UP && idle >= limit / 2)
		nbd_conn_leave(l, limit / 4);
	else if (l->state == CONN_UP && r && r->oldest_ns && now - r->oldest_ns >= limit)
		leave_hung(l, r);
	if (idle < limit)
		limit_start(l);
	else
		fail_waiting(l);
}

void nbd_timeout_request(struct nbd_conn *l)
{
	if (l->limit.armed && (!list_empty(&l->waiting) || !list_empty(&l->active)))
		return;
	l->progress_ns = loop_now_ns();
	if (!l->limit.armed)
		limit_start(l);
}

void nbd_timeout_oldest(struct nbd_conn *l)
{
	struct nbd_req *r = oldest(l);

	if (r && !r->oldest_ns)
		r->oldest_ns = loop_now_ns();
}
