/* SPDX-License-Identifier: MIT */
/*
 * The queue of `user`. passt knows no offloads: frames are segmented and summed
 * up here, payload still in place. One sendmsg per frame, because passt loses
 * the stream when a length is cut; what a short write left is sent first.
 *
 * Received bytes go to a buffer of this process, many frames at once, and from
 * there to the client: the one copy.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/iov.h"
#include "nic/user/user_impl.h"

static struct user_nic *user_of(const struct user_queue *q)
{
	return (struct user_nic *)q->queue.nic;
}

static void post(struct user_queue *q)
{
	if (q->posted)
		return;
	q->posted = true;
	loop_post(q->queue.loop, &q->task);
}

static bool usable(const struct user_queue *q)
{
	return q->conn && !atomic_load_explicit(&q->conn->broken, memory_order_relaxed);
}

/* ---- operations in the ring ---------------------------------------------- */

static void receive_arm(struct user_queue *q)
{
	uint32_t length;
	uint8_t *room;

	if (q->receiving || q->cancelling)
		return;
	room = stream_room(&q->conn->stream, &length);
	io_uring_prep_recv(loop_sqe(q->queue.loop, &q->receive_op), q->conn->fd, room, length, 0);
	q->receiving = true;
	q->in_ring++;
}

static void poll_arm(struct user_queue *q)
{
	if (q->polling || q->cancelling)
		return;
	io_uring_prep_poll_add(loop_sqe(q->queue.loop, &q->poll_op), q->conn->fd, POLLOUT);
	q->polling = true;
	q->in_ring++;
}

/* Both, once; `ended` follows when the ring has nothing of ours. */
static void cancel(struct user_queue *q)
{
	if (q->cancelling)
		return;
	q->cancelling = true;
	if (q->receiving) {
		io_uring_prep_cancel(
			loop_sqe(q->queue.loop, &q->receive_cancel), &q->receive_op, 0);
		q->in_ring++;
	}
	if (q->polling) {
		io_uring_prep_cancel(loop_sqe(q->queue.loop, &q->poll_cancel), &q->poll_op, 0);
		q->in_ring++;
	}
}

/* ---- transmit ------------------------------------------------------------ */

/* The next segment of the frame, with its length before it. False: there is none. */
static bool next_segment(struct user_queue *q)
{
	q->length = nic_seg_next(&q->seg, q->iov + 1, &q->iov_count);
	if (!q->length)
		return false;
	for (uint32_t i = 0; i < STREAM_PREFIX; i++)
		q->prefix[i] = (uint8_t)(q->length >> (24 - 8 * i));
	q->iov[0] = (struct iovec){q->prefix, sizeof(q->prefix)};
	q->iov_count++;
	return true;
}

/* Bytes behind the first `sent`. */
static void keep_rest(struct user_queue *q, size_t sent)
{
	struct user_conn *c = q->conn;

	c->rest_at = 0;
	c->rest = (uint32_t)(STREAM_PREFIX + q->length - sent);
	iov_copy_from(q->iov, q->iov_count, sent, c->rest_bytes, c->rest);
}

/* Bytes sent, or -errno. */
static ssize_t send_iov(const struct user_queue *q, struct iovec *iov, uint32_t count)
{
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = count};
	ssize_t n;

	do
		n = sendmsg(q->conn->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* 0, or -errno; -EAGAIN: not all of it. */
static int send_rest(struct user_queue *q)
{
	struct user_conn *c = q->conn;

	while (c->rest_at < c->rest) {
		struct iovec iov = {c->rest_bytes + c->rest_at, c->rest - c->rest_at};
		ssize_t n = send_iov(q, &iov, 1);

		if (n < 0)
			return (int)n;
		c->rest_at += (uint32_t)n;
	}
	return 0;
}

/* 0, or -errno. */
static int send_segment(struct user_queue *q)
{
	int ret = send_rest(q);
	ssize_t n = ret ? ret : send_iov(q, q->iov, q->iov_count);

	if (n < 0)
		return (int)n;
	keep_rest(q, (size_t)n);
	q->length = 0;
	return 0;
}

static int send_segments(struct user_queue *q)
{
	while (q->length || next_segment(q)) {
		int ret = send_segment(q);

		if (ret)
			return ret;
	}
	return 0;
}

/* 0: out; -EAGAIN: later, q keeps where it stopped; else the error to complete it with. */
static int send_frame(struct user_queue *q, const struct nic_frame *frame)
{
	int ret;

	if (!usable(q))
		return -ENETDOWN;
	if (!q->segmenting) {
		/* passt ignores tagged frames. */
		if ((frame->offload.flags & NIC_VLAN) || nic_seg_init(&q->seg, frame))
			return -EINVAL;
		q->segmenting = true;
		q->length = 0;
		if (frame->offload.gso)
			nic_count(&q->queue.stats->tx.segmented, 1);
	}
	ret = send_segments(q);
	if (ret == -EAGAIN)
		return ret;
	q->segmenting = false;
	if (ret)
		user_broken(user_of(q), q->conn);
	return ret ? -ENETDOWN : 0;
}

static void dropping(struct nic_backlog *b)
{
	container_of(b, struct user_queue, backlog)->segmenting = false;
}

static void complete(struct user_queue *q, struct nic_frame *frame, int error)
{
	if (!error)
		nic_tx_complete(&q->queue, frame);
	else
		nic_tx_drop(&q->queue, frame,
			error == -EINVAL ? NIC_DROP_INVALID : NIC_DROP_LINK_DOWN, error);
}

/* tx_done may stop the queue, which drops the backlog. */
static void send_backlog(struct user_queue *q)
{
	struct nic_frame *frame;
	bool progress = false;

	if (q->sending)
		return;
	q->sending = true;
	while (!q->queue.stopping && (frame = nic_backlog_first(&q->backlog))) {
		int error = send_frame(q, frame);

		if (error == -EAGAIN) {
			poll_arm(q);
			break;
		}
		nic_backlog_pop(&q->backlog);
		complete(q, frame, error);
		progress = true;
	}
	q->sending = false;
	if (!q->queue.stopping && usable(q) && q->conn->rest_at < q->conn->rest &&
		send_rest(q) == -EAGAIN)
		poll_arm(q);
	if (progress && !q->queue.stopping)
		nic_backlog_progress(&q->backlog);
}

void user_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct user_queue *q = (struct user_queue *)queue;

	for (uint32_t i = 0; i < count; i++)
		nic_backlog_push(&q->backlog, frames[i]);
	if (!q->polling)
		send_backlog(q);
}

/* ---- receive ------------------------------------------------------------- */

/* False: no buffer. */
static bool deliver(struct user_queue *q, const uint8_t *bytes, uint32_t length)
{
	struct iovec iov[2] = {{0}, {(void *)bytes, length}};
	struct nic_frame frame = {.iov = iov, .iov_count = 2, .length = length};
	struct nic_delivery d = {.queue = &q->queue};

	return nic_deliver(&d, &frame);
}

/* A batch of what is in the buffer; then, when it is empty, more is received. */
static void receive(struct user_queue *q)
{
	struct nic_turn turn = {0};
	const uint8_t *frame;
	int length = 0;

	if (q->running || q->paused || q->receiving || !usable(q) || q->queue.stopping)
		return;
	q->running = true;
	while (!nic_turn_is_full(&turn) && (length = stream_next(&q->conn->stream, &frame)) > 0) {
		q->paused = !deliver(q, frame, (uint32_t)length);
		if (q->paused || q->queue.stopping)
			break;
		stream_skip(&q->conn->stream, length);
		nic_turn_count(&turn, (uint32_t)length);
	}
	q->running = false;
	if (length < 0)
		user_broken(user_of(q), q->conn);
	else if (nic_turn_is_full(&turn))
		post(q);
	else if (!q->paused && !q->queue.stopping)
		receive_arm(q);
}

void user_queue_rx_resume(struct nic_queue *queue)
{
	struct user_queue *q = (struct user_queue *)queue;

	if (!q->paused)
		return;
	q->paused = false;
	post(q);
}

/* ---- connections --------------------------------------------------------- */

static void switch_conn(struct user_queue *q)
{
	struct nic_conn *conn = nic_plug_conn(&q->plug, q->conn ? &q->conn->conn : NULL);

	if (q->conn && conn == &q->conn->conn)
		return;
	if (q->in_ring) {
		cancel(q);
		if (conn)
			nic_conn_put(conn); /* taken again when the ring is empty */
		return;
	}
	q->cancelling = false;
	if (q->conn) {
		struct user_conn *old = q->conn;

		q->conn = NULL;
		nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ENETDOWN);
		nic_conn_put(&old->conn);
	}
	if (!conn)
		return;
	q->conn = container_of(conn, struct user_conn, conn);
	if (q->conn->rest_at < q->conn->rest)
		poll_arm(q);
	post(q);
}

static void check_stopped(struct user_queue *q)
{
	if (q->in_ring || q->posted || nic_plug_pending(&q->plug))
		return;
	if (q->conn)
		nic_conn_put(&q->conn->conn);
	q->conn = NULL;
	nic_queue_stopped(&q->queue);
}

static void conn_changed(struct nic_plug *plug)
{
	struct user_queue *q = container_of(plug, struct user_queue, plug);

	if (q->queue.stopping)
		check_stopped(q);
	else
		switch_conn(q);
}

/* True: the queue or its connection is at its end, received data is discarded. */
static bool ended(struct user_queue *q)
{
	q->in_ring--;
	if (q->queue.stopping)
		check_stopped(q);
	else if (q->cancelling)
		switch_conn(q);
	return q->queue.stopping || q->cancelling || !q->conn;
}

static void receive_done(struct loop_op *op, int res)
{
	struct user_queue *q = container_of(op, struct user_queue, receive_op);

	q->receiving = false;
	if (res > 0)
		stream_received(&q->conn->stream, (uint32_t)res);
	if (ended(q))
		return;
	if (res > 0 || res == -EINTR || res == -EAGAIN)
		receive(q);
	else
		user_broken(user_of(q), q->conn);
}

static void poll_done(struct loop_op *op, int res)
{
	struct user_queue *q = container_of(op, struct user_queue, poll_op);

	q->polling = false;
	if (ended(q))
		return;
	nic_backlog_progress(&q->backlog); /* there is room, also when nothing waits any more */
	send_backlog(q);
}

static void receive_cancelled(struct loop_op *op, int res)
{
	ended(container_of(op, struct user_queue, receive_cancel));
}

static void poll_cancelled(struct loop_op *op, int res)
{
	ended(container_of(op, struct user_queue, poll_cancel));
}

/* ---- life ---------------------------------------------------------------- */

static void run_task(struct loop_task *task)
{
	struct user_queue *q = container_of(task, struct user_queue, task);

	q->posted = false;
	if (q->queue.stopping)
		check_stopped(q);
	else
		receive(q);
}

int user_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue)
{
	struct user_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	nic_queue_init(&q->queue, nic, index, loop, client);
	nic_backlog_init(&q->backlog, &q->queue);
	q->backlog.dropping = dropping;
	q->receive_op.done = receive_done;
	q->poll_op.done = poll_done;
	q->receive_cancel.done = receive_cancelled;
	q->poll_cancel.done = poll_cancelled;
	q->task.fn = run_task;
	q->paused = true;
	nic_plug_insert(&q->plug, &user_of(q)->hub, loop, conn_changed);
	switch_conn(q);
	*queue = &q->queue;
	return 0;
}

void user_queue_stop(struct nic_queue *queue)
{
	struct user_queue *q = (struct user_queue *)queue;

	nic_plug_remove(&q->plug);
	nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ECANCELED);
	cancel(q);
	post(q);
}

void user_queue_close(struct nic_queue *queue)
{
	free(queue);
}
