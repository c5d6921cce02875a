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
#include <sys/socket.h>
#include <unistd.h>

#include "base/blocking.h"
#include "base/log.h"
#include "disk/nbd/nbd_impl.h"

#define BACKOFF_MIN_NS (20 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S
#define HANDSHAKE_NS   (5 * NS_PER_S)
#define FENCE_NS       NS_PER_S
#define ZERO_MAX       (1ull << 30) /* bytes of one command */
#define ZEROS_SIZE     (128u << 10)

static const uint8_t zeros[ZEROS_SIZE];

static void conn_settle(struct nbd_conn *l);
static void conn_drop(struct nbd_conn *l);
static void conn_connect(struct nbd_conn *l);
static void conn_over(struct nbd_conn *l, bool over);

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

static bool is_change(const struct disk_req *req)
{
	return req->op == DISK_WRITE || req->op == DISK_WRITE_ZEROES || req->op == DISK_DISCARD;
}

static bool handle_dead(const struct nbd_conn *l)
{
	return libnbd.aio_is_dead(l->h) || libnbd.aio_is_closed(l->h);
}

static void settle_soon(struct nbd_conn *l)
{
	if (l->settle_posted)
		return;
	l->settle_posted = true;
	loop_post(l->loop, &l->settle);
}

/* ---- commands ------------------------------------------------------------ */

static void part_done(struct nbd_req *r)
{
	if (--r->parts)
		return;
	list_del(&r->list);
	list_add_tail(&r->conn->finished, &r->list);
}

static void part_error(struct nbd_req *r, int error)
{
	if (error == ENOTCONN || error == ESHUTDOWN)
		r->lost = true;
	else if (!r->error)
		r->error = error ? -error : -EIO;
}

/* Called inside libnbd: takes note only. */
static int command_done(void *user_data, int *error)
{
	struct nbd_req *r = user_data;

	if (!r->conn->h) /* being closed: the request waits for the next connection already */
		return 1;
	if (*error)
		part_error(r, *error);
	part_done(r);
	return 1;
}

static void command_sent(struct nbd_req *r, int64_t cookie)
{
	if (cookie >= 0)
		return;
	part_error(r, handle_dead(r->conn) ? ENOTCONN : libnbd.get_errno());
	part_done(r);
}

static nbd_completion_callback callback_of(struct nbd_req *r)
{
	r->parts++;
	return (nbd_completion_callback){.callback = command_done, .user_data = r};
}

static uint32_t fua_flag(const struct nbd_req *r)
{
	const struct disk_req *req = disk_req_of_scratch(r);

	return (req->flags & DISK_FLAG_FUA) && r->conn->disk->caps.fua ? LIBNBD_CMD_FLAG_FUA : 0;
}

static void send_transfer(struct nbd_req *r, uint8_t *bytes, size_t length, uint64_t offset)
{
	struct nbd_conn *l = r->conn;
	uint32_t max = l->disk->caps.request_max;

	while (length) {
		size_t piece = length < max ? length : max;

		if (nbd_disk_req(r)->op == DISK_READ)
			command_sent(
				r, libnbd.aio_pread(l->h, bytes, piece, offset, callback_of(r), 0));
		else
			command_sent(r, libnbd.aio_pwrite(l->h, bytes, piece, offset,
						callback_of(r), fua_flag(r)));
		bytes += piece;
		offset += piece;
		length -= piece;
	}
}

static bool segments_fit(const struct disk_req *req, uint32_t block)
{
	for (uint32_t i = 0; i < req->iov_count; i++)
		if (req->iov[i].iov_len % block)
			return false;
	return true;
}

/* One command a segment, straight from and to the submitter's pages. */
static void issue_transfer(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);
	uint64_t offset = req->offset;

	if (r->bounce) {
		send_transfer(r, r->bounce, req->length, offset);
		return;
	}
	for (uint32_t i = 0; i < req->iov_count; i++) {
		send_transfer(r, req->iov[i].iov_base, req->iov[i].iov_len, offset);
		offset += req->iov[i].iov_len;
	}
}

static void issue_zeroes(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);
	bool hole = req->op == DISK_DISCARD || (req->flags & DISK_FLAG_UNMAP);
	uint64_t max = r->conn->disk->caps.zero ? ZERO_MAX : ZEROS_SIZE;
	uint64_t at = 0;

	while (at < req->length) {
		uint64_t piece = req->length - at < max ? req->length - at : max;

		if (max == ZERO_MAX)
			command_sent(r,
				libnbd.aio_zero(r->conn->h, piece, req->offset + at, callback_of(r),
					fua_flag(r) | (hole ? 0 : LIBNBD_CMD_FLAG_NO_HOLE)));
		else
			command_sent(r, libnbd.aio_pwrite(r->conn->h, zeros, piece,
						req->offset + at, callback_of(r), fua_flag(r)));
		at += piece;
	}
}

static void issue(struct nbd_req *r)
{
	const struct disk_req *req = nbd_disk_req(r);

	r->parts = 1; /* ours, so that it cannot finish while parts are being sent */
	r->lost = false;
	r->error = 0;
	r->oldest_ns = 0;
	if (req->op == DISK_FLUSH || r->stage == NBD_STAGE_FLUSH)
		command_sent(r, libnbd.aio_flush(r->conn->h, callback_of(r), 0));
	else if (req->op == DISK_READ || req->op == DISK_WRITE)
		issue_transfer(r);
	else
		issue_zeroes(r);
	part_done(r);
}

static bool must_not_change(const struct nbd_req *r)
{
	return atomic_load(&r->conn->disk->unfenced) && is_change(disk_req_of_scratch(r));
}

/* The request is on no list. */
static void fail(struct nbd_req *r, int error)
{
	free(r->bounce);
	r->error = error;
	nbd_complete(r);
}

static void conn_arm(struct nbd_conn *l);

static void issue_waiting(struct nbd_conn *l)
{
	while (l->state == CONN_UP && !list_empty(&l->waiting)) {
		struct list *first = l->waiting.next;

		list_del(first);
		if (must_not_change(req_of(first))) {
			fail(req_of(first), -EIO);
			continue;
		}
		list_add_tail(&l->active, first);
		issue(req_of(first));
	}
	if (l->state != CONN_UP)
		return;
	nbd_timeout_oldest(l);
	conn_arm(l);
	if (!list_empty(&l->finished) || handle_dead(l))
		settle_soon(l);
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
	if (r->error || !d->caps.flush)
		return true;
	if (is_change(req) && !fua)
		nbd_durability_acked(&d->durability);
	if (is_change(req) && fua && !d->caps.fua && r->stage == NBD_STAGE_MAIN) {
		r->stage = NBD_STAGE_FLUSH;
		return false;
	}
	return true;
}

static void answer(struct nbd_req *r)
{
	if (r->bounce) {
		if (!r->error && nbd_disk_req(r)->op == DISK_READ)
			disk_req_copy(nbd_disk_req(r), r->bounce, false);
		free(r->bounce);
	}
	nbd_complete(r);
}

static void answer_all(struct list *done)
{
	while (!list_empty(done)) {
		struct nbd_req *r = req_of(done->next);

		list_del(&r->list);
		answer(r);
	}
}

/* Sorts what libnbd is through with. True: some of it was lost. */
static bool take_finished(struct nbd_conn *l, struct list *done)
{
	bool lost = false;

	if (!list_empty(&l->finished))
		l->progress_ns = loop_now_ns();
	while (!list_empty(&l->finished)) {
		struct nbd_req *r = req_of(l->finished.next);

		list_del(&r->list);
		r->lost |= r->error && handle_dead(l); /* an error of the dying: ask again */
		lost |= r->lost;
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

static void close_socket(struct nbd_conn *l)
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
		conn_drop(l);
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
	lost = take_finished(l, &done);
	if (lost && !handle_dead(l))
		nbd_conn_leave(l, FENCE_NS);
	if (handle_dead(l))
		conn_drop(l);
	else if (l->state == CONN_CONNECTING && libnbd.aio_is_ready(l->h))
		conn_up(l);
	else
		conn_arm(l);
	issue_waiting(l);
	answer_all(&done);
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
	conn_connect(container_of(t, struct nbd_conn, timer));
}

static void drained(struct nbd_conn *l)
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

	return (libnbd.aio_get_direction(l->h) & LIBNBD_AIO_DIRECTION_READ) && !handle_dead(l) &&
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
		conn_over(l, res > 0);
	else if (p != &l->gone && talking(l))
		socket_ready(l, p == &l->in);
	else
		drained(l);
}

static void poll_cancelled(struct loop_op *op, int res)
{
	struct nbd_conn_poll *p = container_of(op, struct nbd_conn_poll, cancel_op);

	p->cancelling = false;
	drained(p->conn);
}

static void poll_arm(struct nbd_conn_poll *p, int fd, unsigned int events)
{
	if (p->armed)
		return;
	p->armed = true;
	io_uring_prep_poll_add(loop_sqe(p->conn->loop, &p->op), fd, events);
}

static void poll_cancel(struct nbd_conn_poll *p)
{
	if (!p->armed || p->cancelling)
		return;
	p->cancelling = true;
	io_uring_prep_cancel(loop_sqe(p->conn->loop, &p->cancel_op), &p->op, 0);
}

static void conn_arm(struct nbd_conn *l)
{
	unsigned int direction = libnbd.aio_get_direction(l->h);

	if (handle_dead(l))
		return;
	if (direction & LIBNBD_AIO_DIRECTION_READ)
		poll_arm(&l->in, libnbd.aio_get_fd(l->h), POLLIN);
	if (direction & LIBNBD_AIO_DIRECTION_WRITE)
		poll_arm(&l->out, libnbd.aio_get_fd(l->h), POLLOUT);
}

/* ---- the end of a connection --------------------------------------------- */

static void conn_disconnect(struct nbd_conn *l)
{
	struct nbd_handle *h = l->h;

	poll_cancel(&l->in);
	poll_cancel(&l->out);
	l->h = NULL;
	libnbd.close(h);
}

/* The write before a FUA write's flush was answered. */
static bool change_in_flight(struct nbd_req *r)
{
	return is_change(nbd_disk_req(r)) && r->stage == NBD_STAGE_MAIN;
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
static void conn_over(struct nbd_conn *l, bool over)
{
	struct list failed;

	loop_timer_cancel(&l->timer);
	poll_cancel(&l->gone);
	close_socket(l);
	list_init(&failed);
	take_failed(l, over, &failed);
	list_move_all(&l->waiting, &l->active);
	list_move_all(&l->active, &l->waiting);
	list_for_each (pos, &l->waiting)
		req_of(pos)->stage = NBD_STAGE_MAIN;
	nbd_cancel_soon(l);
	nbd_durability_lost(&l->disk->durability);
	l->state = CONN_DRAINING;
	drained(l);
	while (!list_empty(&failed)) {
		struct nbd_req *r = req_of(failed.next);

		list_del(&r->list);
		fail(r, r->error);
	}
}

static void fence_late(struct loop_timer *t)
{
	conn_over(container_of(t, struct nbd_conn, timer), false);
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
static void conn_drop(struct nbd_conn *l)
{
	bool half_sent = l->out.armed || l->state == CONN_LEAVING;
	bool over = l->state == CONN_LEAVING && libnbd.aio_is_closed(l->h);

	if (l->state == CONN_UP)
		log_event(LOG_WARN, "disk %s: lost the server; connecting again", l->disk->uri);
	loop_timer_cancel(&l->timer);
	conn_disconnect(l);
	list_move_all(&l->finished, &l->active);
	if (over || !any_change_in_flight(l) || server_gone(l)) {
		conn_over(l, true);
		return;
	}
	if (l->socket < 0 || half_sent) {
		conn_over(l, false);
		return;
	}
	send_disconnect(l);
	l->state = CONN_FENCING;
	poll_arm(&l->gone, l->socket, 0); /* POLLHUP and POLLERR are always meant */
	loop_timer_start(l->loop, &l->timer, FENCE_NS, fence_late);
}

static void leave_late(struct loop_timer *t)
{
	struct nbd_conn *l = container_of(t, struct nbd_conn, timer);
	struct list done;

	list_init(&done);
	take_finished(l, &done);
	conn_drop(l);
	answer_all(&done);
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
	settle_soon(l);
}

/* ---- connecting ---------------------------------------------------------- */

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

	d->failed = libnbd.aio_connect_uri(d->h, d->uri) != 0;
}

static void dial_release(struct blocking_call *call)
{
	dial_free(container_of(call, struct nbd_dial, call));
}

static void conn_refused(struct nbd_conn *l)
{
	l->state = CONN_DRAINING;
	loop_timer_cancel(&l->timer);
	drained(l);
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
		settle_soon(l);
	}
	dial_free(d);
}

static void dial_cancel(struct nbd_conn *l)
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
		conn_drop(l);
		return;
	}
	dial_cancel(l);
	conn_refused(l);
}

static void conn_connect(struct nbd_conn *l)
{
	l->state = CONN_DIALLING;
	if (dial_start(l))
		conn_refused(l);
	else
		loop_timer_start(l->loop, &l->timer, HANDSHAKE_NS, handshake_late);
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
		!segments_fit(req, l->disk->caps.block_min)) {
		r->bounce = malloc(req->length);
		if (!r->bounce)
			r->error = -ENOMEM;
		else if (req->op == DISK_WRITE)
			disk_req_copy(nbd_disk_req(r), r->bounce, true);
	}
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
	conn_connect(l);
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
		conn_disconnect(l);
	}
	if (l->dial)
		dial_cancel(l);
	close_socket(l);
	l->state = CONN_DRAINING;
	loop_post(l->loop, &l->close);
}
