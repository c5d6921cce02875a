/* SPDX-License-Identifier: MIT */
/*
 * One connection to an NBD server, driven by libnbd's state machine and the
 * loop's io_uring, which polls the socket.
 *
 *   WAITING --timer--> DIALLING --> CONNECTING --handshake done--> UP --nbd_conn_leave()--> LEAVING
 *      ^                  | refused, too late                     | the server ended         |
 *      |                  v                                       v                          |
 *      |                  |                FENCING <--------------+-- it ended, or too late --+
 *      |                  v                   | it is over, or too late
 *      +--all polls done--DRAINING <----------+
 *
 * DIALLING resolves the host's name, which may sleep: on a helper thread.
 *
 * Requests wait in `waiting`, are at the server in `active`, and libnbd's
 * callbacks move them to `finished`, from where conn_settle() completes them. When
 * the connection ends, what was active waits again, in front, and is sent again:
 * reads, writes, zeroes and flushes may be done twice.
 *
 * A change (write, zeroes, discard) may be done twice only one after the other: a
 * server that lives on could execute the first copy after later writes of the
 * guest, and undo them. So it is sent again only when the connection is known to be
 * over: NBD_CMD_DISC was sent and the server has sent EOF (the protocol has it
 * finish all requests before), or the kernel says that the server's end of the
 * socket is closed altogether. FENCING waits for that, a little. If it is not
 * known, the changes in flight fail, and so do all changes of this disk until it is
 * opened again. Reads and flushes go on.
 *
 * Acknowledgements are passed on only when the socket has nothing more to read:
 * so when the server died, that is known before the guest knows its last writes
 * were done (see durability.c).
 *
 * A server that is silent, or does not answer one request: timeout.c.
 * Cancelling: cancel.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/nbd/nbd_impl.h"

#define BACKOFF_MIN_NS (20 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S

static struct nbd_req *req_of(struct list *link)
{
	return container_of(link, struct nbd_req, list);
}

bool nbd_conn_dead(const struct nbd_conn *l)
{
	return libnbd.aio_is_dead(l->h) || libnbd.aio_is_closed(l->h);
}

void nbd_conn_settle_soon(struct nbd_conn *l)
{
	if (l->settle_posted)
		return;
	l->settle_posted = true;
	loop_post(l->loop, &l->settle);
}

static bool must_not_change(const struct nbd_req *r)
{
	return atomic_load(&r->conn->disk->unfenced) && nbd_is_change(disk_req_of_scratch(r));
}

static void conn_arm(struct nbd_conn *l);

static void issue_waiting(struct nbd_conn *l)
{
	while (l->state == CONN_UP && !list_empty(&l->waiting)) {
		struct list *first = l->waiting.next;

		list_del(first);
		if (must_not_change(req_of(first))) {
			nbd_fail(req_of(first), -EIO);
			continue;
		}
		list_add_tail(&l->active, first);
		nbd_issue(req_of(first));
	}
	if (l->state != CONN_UP)
		return;
	nbd_timeout_oldest(l);
	conn_arm(l);
	if (!list_empty(&l->finished) || nbd_conn_dead(l))
		nbd_conn_settle_soon(l);
}

/* ---- answers ------------------------------------------------------------- */

/* What the commands gave becomes the request's result. False: it goes on. */
static bool retire(struct nbd_req *r)
{
	struct nbd_disk *d = r->conn->disk;
	const struct disk_req *req = nbd_disk_req(r);
	bool fua = req->flags & DISK_FLAG_FUA;

	if (req->op == DISK_FLUSH) {
		r->error = nbd_durability_flush_end(&d->durability, &r->flush, r->error);
		return true;
	}
	if (r->error && r->stage == NBD_STAGE_FLUSH)
		nbd_durability_flush_failed(&d->durability, r->error);
	if (r->error || !d->caps.flush)
		return true;
	if (nbd_is_change(req) && !fua)
		nbd_durability_acked(&d->durability);
	if (nbd_is_change(req) && fua && !d->caps.fua && r->stage == NBD_STAGE_MAIN) {
		r->stage = NBD_STAGE_FLUSH;
		return false;
	}
	return true;
}

static void answer(struct nbd_req *r)
{
	if (r->bounce)
		disk_bounce_free(nbd_disk_req(r), r->bounce, r->error);
	nbd_complete(r);
}

void nbd_conn_answer_all(struct list *done)
{
	while (!list_empty(done)) {
		struct nbd_req *r = req_of(done->next);

		list_del(&r->list);
		answer(r);
	}
}

/* Sorts what libnbd is through with. True: some of it was lost. */
bool nbd_conn_take_finished(struct nbd_conn *l, struct list *done)
{
	bool lost = false;

	while (!list_empty(&l->finished)) {
		struct nbd_req *r = req_of(l->finished.next);

		list_del(&r->list);
		r->lost |= r->error && nbd_conn_dead(l); /* an error of the dying: ask again */
		lost |= r->lost;
		if (!r->lost)
			l->progress_ns = loop_now_ns();
		if (r->lost)
			list_add_tail(&l->active, &r->list);
		else if (retire(r))
			list_add_tail(done, &r->list);
		else
			list_add_tail(&l->waiting, &r->list);
	}
	return lost;
}

static void open_socket(struct nbd_conn *l)
{
	pthread_mutex_lock(&l->disk->conns_lock);
	l->socket = fcntl(libnbd.aio_get_fd(l->h), F_DUPFD_CLOEXEC, 0);
	if (l->socket >= 0)
		list_add_tail(&l->disk->conns, &l->of_disk);
	pthread_mutex_unlock(&l->disk->conns_lock);
}

void nbd_conn_close_socket(struct nbd_conn *l)
{
	pthread_mutex_lock(&l->disk->conns_lock);
	if (l->socket >= 0) {
		list_del(&l->of_disk);
		close(l->socket);
	}
	l->socket = -1;
	pthread_mutex_unlock(&l->disk->conns_lock);
}

/* True: some other queue has a connection, and no server has ended any of them. So the first
 * connection of a new queue has reached the server that they have, and nothing is lost. */
static bool other_conn_alive(const struct nbd_conn *l)
{
	bool ended = false, any = false;

	pthread_mutex_lock(&l->disk->conns_lock);
	list_for_each (pos, &l->disk->conns) {
		struct pollfd pfd = {
			.fd = container_of(pos, struct nbd_conn, of_disk)->socket,
			.events = POLLRDHUP,
		};

		any = true;
		ended |= poll(&pfd, 1, 0) != 0;
	}
	pthread_mutex_unlock(&l->disk->conns_lock);
	return any && !ended;
}

static void conn_up(struct nbd_conn *l)
{
	struct nbd_caps now;

	nbd_server_caps(l->h, &now);
	if (!nbd_server_same(&l->disk->caps, &now)) {
		log_event(LOG_ERROR, "disk %s: the server came back with less than it had",
			l->disk->uri);
		nbd_conn_drop(l);
		return;
	}
	if (l->was_up || !other_conn_alive(l))
		nbd_durability_lost(&l->disk->durability);
	if (l->backoff_ns > BACKOFF_MIN_NS || l->down)
		log_event(LOG_WARN, "disk %s: connected again", l->disk->uri);
	loop_timer_cancel(&l->timer);
	open_socket(l);
	l->state = CONN_UP;
	l->was_up = true;
	l->down = false;
	l->backoff_ns = BACKOFF_MIN_NS;
}

static bool talking(const struct nbd_conn *l)
{
	return l->state == CONN_CONNECTING || l->state == CONN_UP || l->state == CONN_LEAVING;
}

/* After anything libnbd may have done. Not from inside submit: it answers requests. */
static void conn_settle(struct nbd_conn *l)
{
	struct list done;
	bool lost;

	if (!talking(l))
		return;
	list_init(&done);
	lost = nbd_conn_take_finished(l, &done);
	if (lost && !nbd_conn_dead(l))
		nbd_conn_leave(l, NS_PER_S);
	if (nbd_conn_dead(l))
		nbd_conn_drop(l);
	else if (l->state == CONN_CONNECTING && libnbd.aio_is_ready(l->h))
		conn_up(l);
	else
		conn_arm(l);
	issue_waiting(l);
	nbd_conn_answer_all(&done);
}

static void settle_task(struct loop_task *task)
{
	struct nbd_conn *l = container_of(task, struct nbd_conn, settle);

	l->settle_posted = false;
	if (!l->closing)
		conn_settle(l);
}

/* ---- the socket ---------------------------------------------------------- */

static bool conn_quiet(const struct nbd_conn *l)
{
	const struct nbd_conn_poll *polls[] = {&l->in, &l->out, &l->gone};

	for (size_t i = 0; i < sizeof(polls) / sizeof(*polls); i++)
		if (polls[i]->armed || polls[i]->cancelling)
			return false;
	return true;
}

static void retry_due(struct loop_timer *t)
{
	nbd_dial(container_of(t, struct nbd_conn, timer));
}

void nbd_conn_drained(struct nbd_conn *l)
{
	if (l->closing || l->state != CONN_DRAINING || !conn_quiet(l))
		return;
	l->state = CONN_WAITING;
	loop_timer_start(l->loop, &l->timer, l->backoff_ns, retry_due);
	l->backoff_ns *= 2;
	if (l->backoff_ns > BACKOFF_MAX_NS)
		l->backoff_ns = BACKOFF_MAX_NS;
}

static bool readable(const struct nbd_conn *l)
{
	struct pollfd pfd = {.fd = libnbd.aio_get_fd(l->h), .events = POLLIN};

	return (libnbd.aio_get_direction(l->h) & LIBNBD_AIO_DIRECTION_READ) && !nbd_conn_dead(l) &&
	       poll(&pfd, 1, 0) > 0;
}

static void socket_ready(struct nbd_conn *l, bool in)
{
	unsigned int direction = libnbd.aio_get_direction(l->h);

	if (in && (direction & LIBNBD_AIO_DIRECTION_READ)) {
		do
			libnbd.aio_notify_read(l->h);
		while (readable(l));
	} else if (direction & LIBNBD_AIO_DIRECTION_WRITE) {
		libnbd.aio_notify_write(l->h);
	}
	conn_settle(l);
}

static void poll_done(struct loop_op *op, int res)
{
	struct nbd_conn_poll *p = container_of(op, struct nbd_conn_poll, op);
	struct nbd_conn *l = p->conn;

	p->armed = false;
	if (p == &l->gone && l->state == CONN_FENCING)
		nbd_conn_over(l, res > 0);
	else if (p != &l->gone && talking(l))
		socket_ready(l, p == &l->in);
	else
		nbd_conn_drained(l);
}

static void poll_cancelled(struct loop_op *op, int res)
{
	struct nbd_conn_poll *p = container_of(op, struct nbd_conn_poll, cancel_op);

	p->cancelling = false;
	nbd_conn_drained(p->conn);
}

void nbd_conn_poll_arm(struct nbd_conn_poll *p, int fd, unsigned int events)
{
	if (p->armed)
		return;
	p->armed = true;
	io_uring_prep_poll_add(loop_sqe(p->conn->loop, &p->op), fd, events);
}

void nbd_conn_poll_cancel(struct nbd_conn_poll *p)
{
	if (!p->armed || p->cancelling)
		return;
	p->cancelling = true;
	io_uring_prep_cancel(loop_sqe(p->conn->loop, &p->cancel_op), &p->op, 0);
}

static void conn_arm(struct nbd_conn *l)
{
	unsigned int direction = libnbd.aio_get_direction(l->h);

	if (nbd_conn_dead(l))
		return;
	if (direction & LIBNBD_AIO_DIRECTION_READ)
		nbd_conn_poll_arm(&l->in, libnbd.aio_get_fd(l->h), POLLIN);
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		nbd_conn_poll_arm(&l->out, libnbd.aio_get_fd(l->h), POLLOUT);
}

/* ---- life ---------------------------------------------------------------- */

void nbd_conn_submit(struct nbd_conn *l, struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);

	ON_LOOP(l->loop);
	assert(!l->closing);
	r->conn = l;
	r->error = l->down || must_not_change(r) ? -EIO : 0;
	if (!r->error && (req->op == DISK_READ || req->op == DISK_WRITE) &&
		!nbd_segments_fit(req, l->disk->caps.block_min))
		r->error = disk_bounce(req, &r->bounce);
	if (r->error) {
		nbd_complete(r);
		return;
	}
	nbd_timeout_request(l);
	list_add_tail(&l->waiting, &r->list);
	issue_waiting(l);
}

static void poll_init(struct nbd_conn_poll *p, struct nbd_conn *l)
{
	p->conn = l;
	p->op.done = poll_done;
	p->cancel_op.done = poll_cancelled;
}

/* Keeps the loop turning, and so running, until nothing of the connection is left in it. */
static void close_task(struct loop_task *task)
{
	struct nbd_conn *l = container_of(task, struct nbd_conn, close);

	if (conn_quiet(l) && !l->settle_posted)
		free(l);
	else
		loop_post(l->loop, &l->close);
}

struct nbd_conn *nbd_conn_open(struct nbd_disk *disk, struct loop *loop)
{
	struct nbd_conn *l = calloc(1, sizeof(*l));

	ON_LOOP(loop);
	if (!l)
		return NULL;
	l->disk = disk;
	l->loop = loop;
	l->backoff_ns = BACKOFF_MIN_NS;
	l->settle.fn = settle_task;
	l->close.fn = close_task;
	poll_init(&l->in, l);
	poll_init(&l->out, l);
	poll_init(&l->gone, l);
	l->socket = -1;
	list_init(&l->waiting);
	list_init(&l->active);
	list_init(&l->finished);
	nbd_dial(l);
	return l;
}

void nbd_conn_close(struct nbd_conn *l)
{
	ON_LOOP(l->loop);
	assert(list_empty(&l->waiting) && list_empty(&l->active) && list_empty(&l->finished));
	l->closing = true;
	loop_timer_cancel(&l->timer);
	loop_timer_cancel(&l->limit);
	loop_timer_cancel(&l->cancel);
	if (l->h) {
		if (l->state == CONN_UP)
			libnbd.aio_disconnect(l->h, 0); /* nothing is in flight: no need to wait */
		nbd_conn_disconnect(l);
	}
	if (l->dial)
		nbd_dial_cancel(l);
	nbd_conn_close_socket(l);
	l->state = CONN_DRAINING;
	loop_post(l->loop, &l->close);
}
