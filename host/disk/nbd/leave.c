/* SPDX-License-Identifier: MIT */
/*
 * The end of a connection, and what may be sent again after it: see the drawing and
 * the text in connection.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/log.h"
#include "disk/nbd/nbd_impl.h"

#define FENCE_NS NS_PER_S

static void list_move_all(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *first = from->next;

		list_del(first);
		list_add_tail(to, first);
	}
}

static struct nbd_req *req_of(struct list *link)
{
	return container_of(link, struct nbd_req, list);
}

void nbd_conn_disconnect(struct nbd_conn *l)
{
	struct nbd_handle *h = l->h;

	nbd_conn_poll_cancel(&l->in);
	nbd_conn_poll_cancel(&l->out);
	l->h = NULL;
	libnbd.close(h);
}

/* The write before a FUA write's flush was answered. */
static bool change_in_flight(struct nbd_req *r)
{
	return nbd_is_change(nbd_disk_req(r)) && r->stage == NBD_STAGE_MAIN;
}

static bool any_change_in_flight(const struct nbd_conn *l)
{
	list_for_each (pos, &l->active)
		if (change_in_flight(req_of(pos)))
			return true;
	return false;
}

static void set_unfenced(struct nbd_conn *l)
{
	if (!atomic_exchange(&l->disk->unfenced, true))
		log_event(LOG_ERROR,
			"disk %s: the server may still execute a write of a lost connection; "
			"writes fail until the disk is opened again",
			l->disk->uri);
}

/* Takes out of `active` what must not be sent again, or waited too long. */
static void take_failed(struct nbd_conn *l, bool over, struct list *failed)
{
	list_for_each_safe (pos, &l->active) {
		struct nbd_req *r = req_of(pos);
		bool unfenced = !over && change_in_flight(r);

		if (unfenced)
			set_unfenced(l);
		if (!unfenced && !l->down && !nbd_timeout_hangs(r))
			continue;
		list_del(pos);
		r->error = r->cancelled_ns ? -ECANCELED : -EIO;
		list_add_tail(failed, pos);
	}
}

/* The requests of the connection wait for the next one, before those that wait already. over: the
 * server is known to have finished with it. */
void nbd_conn_over(struct nbd_conn *l, bool over)
{
	struct list failed;

	loop_timer_cancel(&l->timer);
	nbd_conn_poll_cancel(&l->gone);
	nbd_conn_close_socket(l);
	list_init(&failed);
	take_failed(l, over, &failed);
	list_move_all(&l->waiting, &l->active);
	list_move_all(&l->active, &l->waiting);
	list_for_each (pos, &l->waiting)
		req_of(pos)->stage = NBD_STAGE_MAIN;
	nbd_cancel_soon(l);
	nbd_durability_lost(&l->disk->durability);
	l->state = CONN_DRAINING;
	nbd_conn_drained(l);
	while (!list_empty(&failed)) {
		struct nbd_req *r = req_of(failed.next);

		list_del(&r->list);
		nbd_fail(r, r->error);
	}
}

static void fence_late(struct loop_timer *t)
{
	nbd_conn_over(container_of(t, struct nbd_conn, timer), false);
}

/* Nothing of ours was half sent: then NBD_CMD_DISC makes the server end, and a server that has
 * closed a TCP connection answers with a reset. */
static void send_disconnect(const struct nbd_conn *l)
{
	static const uint8_t request[28] = {0x25, 0x60, 0x95, 0x13, [7] = 2};

	if (send(l->socket, request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		return; /* it is gone: the poll says so */
}

static bool server_gone(const struct nbd_conn *l)
{
	struct pollfd pfd = {.fd = l->socket};

	return l->socket >= 0 && poll(&pfd, 1, 0) > 0 && (pfd.revents & (POLLHUP | POLLERR));
}

/* The handle is dead, or it is too late for it. */
void nbd_conn_drop(struct nbd_conn *l)
{
	bool half_sent = l->out.armed || l->state == CONN_LEAVING;
	bool over = l->state == CONN_LEAVING && libnbd.aio_is_closed(l->h);

	if (l->state == CONN_UP)
		log_event(LOG_WARN, "disk %s: lost the server; connecting again", l->disk->uri);
	loop_timer_cancel(&l->timer);
	nbd_conn_disconnect(l);
	list_move_all(&l->finished, &l->active);
	if (over || !any_change_in_flight(l) || server_gone(l)) {
		nbd_conn_over(l, true);
		return;
	}
	if (l->socket < 0 || half_sent) {
		nbd_conn_over(l, false);
		return;
	}
	send_disconnect(l);
	l->state = CONN_FENCING;
	nbd_conn_poll_arm(&l->gone, l->socket, 0); /* POLLHUP and POLLERR are always meant */
	loop_timer_start(l->loop, &l->timer, FENCE_NS, fence_late);
}

static void leave_late(struct loop_timer *t)
{
	struct nbd_conn *l = container_of(t, struct nbd_conn, timer);
	struct list done;

	list_init(&done);
	nbd_conn_take_finished(l, &done);
	nbd_conn_drop(l);
	nbd_conn_answer_all(&done);
}

void nbd_conn_leave(struct nbd_conn *l, uint64_t limit_ns)
{
	if (l->state == CONN_LEAVING && limit_ns == 0)
		loop_timer_start(l->loop, &l->timer, 0, leave_late);
	if (l->state != CONN_UP)
		return;
	log_event(LOG_WARN, "disk %s: leaving the server; connecting again", l->disk->uri);
	l->state = CONN_LEAVING;
	loop_timer_start(l->loop, &l->timer, limit_ns, leave_late);
	libnbd.aio_disconnect(l->h, 0);
	nbd_conn_settle_soon(l);
}
