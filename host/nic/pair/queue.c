/* SPDX-License-Identifier: MIT */
/*
 * One queue of `pair`. It produces into ring `index` of our block, and consumes
 * the peer's rings whose number modulo our queues is `index`: so sides may have
 * different numbers of queues, and each ring has one producer and one consumer.
 *
 * Idle: polled before the loop sleeps (loop_poller), then a receive on the
 * doorbell is in the ring and the producers know (pair_sleep()).
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "nic/pair/pair_impl.h"

static struct pair_nic *pair_of(const struct pair_queue *q)
{
	return (struct pair_nic *)q->queue.nic;
}

static void post(struct pair_queue *q)
{
	if (q->posted)
		return;
	q->posted = true;
	loop_post(q->queue.loop, &q->task);
}

/* A full socket holds unread signals, which serve as well. */
static void signal_peer(const struct pair_queue *q, uint32_t ring)
{
	const struct pair_side *peer = &q->join->peer;
	uint8_t byte = 1;
	ssize_t n =
		send(peer->doorbells[ring % peer->queues], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);

	(void)n;
}

static void violated(struct pair_queue *q)
{
	pair_violated(pair_of(q), q->join);
}

static bool usable(const struct pair_queue *q)
{
	return q->join && !atomic_load_explicit(&q->join->violated, memory_order_relaxed);
}

/* ---- transmit ------------------------------------------------------------ */

static void sent(struct pair_queue *q, struct nic_frame *frame)
{
	if (q->backlog.stalled)
		nic_backlog_progress(&q->backlog);
	nic_tx_complete(&q->queue, frame);
}

/* False: no room now. */
static bool send_frame(struct pair_queue *q, struct nic_frame *frame)
{
	int ret = usable(q) ? pair_put(&q->producer, frame) : -ENETDOWN;

	if (ret == -EAGAIN)
		return false;
	if (ret == -EPROTO)
		violated(q);
	if (ret)
		nic_tx_drop(&q->queue, frame, NIC_DROP_LINK_DOWN, -ENETDOWN);
	else
		sent(q, frame);
	return true;
}

static void publish(struct pair_queue *q)
{
	if (q->join && pair_publish(&q->producer))
		signal_peer(q, q->queue.index);
}

void pair_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct pair_queue *q = (struct pair_queue *)queue;

	for (uint32_t i = 0; i < count; i++) {
		if (!nic_backlog_first(&q->backlog) && send_frame(q, frames[i]))
			continue;
		if (queue->stopping)
			nic_tx_drop(queue, frames[i], NIC_DROP_LINK_DOWN, -ECANCELED);
		else
			nic_backlog_push(&q->backlog, frames[i]);
	}
	publish(q);
}

static void send_backlog(struct pair_queue *q)
{
	struct nic_frame *frame;
	bool progress = false;

	while ((frame = nic_backlog_pop(&q->backlog))) {
		if (!send_frame(q, frame)) {
			nic_fifo_push_front(&q->backlog.fifo, frame);
			break;
		}
		progress = true;
		if (q->queue.stopping)
			break;
	}
	publish(q);
	if (progress && !q->queue.stopping)
		nic_backlog_progress(&q->backlog);
}

/* ---- receive ------------------------------------------------------------- */

static void release(struct pair_queue *q, struct pair_consumer *c)
{
	uint32_t ring =
		(uint32_t)(c - q->consumers) * pair_of(q)->nic.info.queues_max + q->queue.index;

	if (pair_release(c))
		signal_peer(q, ring);
}

/* False: nothing there, no buffer, or the end. */
static bool receive_frame(struct pair_queue *q, struct pair_consumer *c, struct nic_turn *turn)
{
	const struct nic_frame *frame;
	int ret = 1;

	if (q->delivery.segmenting)
		frame = &c->frame;
	else
		ret = pair_peek(c, &frame);
	if (ret == -EPROTO)
		violated(q);
	if (ret != 1)
		return false;
	if (nic_offload_check(frame)) {
		nic_rx_drop(&q->queue, NIC_DROP_INVALID);
	} else if (!nic_deliver(&q->delivery, frame)) {
		q->paused = true;
		return false;
	}
	nic_turn_count(turn, frame->length);
	pair_skip(c);
	return !q->queue.stopping;
}

/* All rings in turn; the one that ran out of buffers in the middle of a frame goes on first. True:
 * there may be more. */
static bool receive_batch(struct pair_queue *q)
{
	struct nic_turn turn = {0};
	uint32_t empty = 0;

	while (!nic_turn_is_full(&turn) && empty < q->consumer_count && usable(q)) {
		struct pair_consumer *c = &q->consumers[q->next];

		if (receive_frame(q, c, &turn)) {
			empty = 0;
			continue;
		}
		release(q, c);
		if (q->paused || q->queue.stopping)
			return false;
		q->next = (q->next + 1) % q->consumer_count;
		empty++;
	}
	if (!nic_turn_is_full(&turn))
		return false;
	release(q, &q->consumers[q->next]);
	q->next = (q->next + 1) % q->consumer_count; /* a busy ring does not starve the others */
	return true;
}

/* The rings are empty: poll before the loop sleeps, or sleep at once. */
static bool fall_asleep(struct pair_queue *q)
{
	bool more = false;

	for (uint32_t i = 0; i < q->consumer_count; i++)
		more |= pair_sleep(&q->consumers[i]);
	return more;
}

static void receive(struct pair_queue *q)
{
	if (q->running || q->paused || !usable(q) || q->queue.stopping)
		return;
	q->running = true;
	if (receive_batch(q))
		post(q);
	else if (!q->paused && usable(q) && !q->queue.stopping) {
		if (loop_poll_ns(q->queue.loop))
			loop_poller_add(q->queue.loop, &q->poller);
		else if (fall_asleep(q))
			post(q);
	}
	q->running = false;
}

static bool poll_rings(struct loop_poller *poller)
{
	struct pair_queue *q = container_of(poller, struct pair_queue, poller);
	bool work = false;

	for (uint32_t i = 0; i < q->consumer_count && !work && usable(q) && !q->paused; i++)
		work = atomic_load_explicit(&q->consumers[i].other->head, memory_order_relaxed) !=
		       q->consumers[i].tail;
	if (work)
		receive(q);
	return work;
}

static bool before_sleep(struct loop_poller *poller)
{
	struct pair_queue *q = container_of(poller, struct pair_queue, poller);

	if (q->paused || !usable(q) || !fall_asleep(q))
		return false;
	post(q);
	return true;
}

void pair_queue_rx_resume(struct nic_queue *queue)
{
	struct pair_queue *q = (struct pair_queue *)queue;

	if (!q->paused)
		return;
	q->paused = false;
	post(q);
}

/* ---- doorbell ------------------------------------------------------------ */

static void doorbell_arm(struct pair_queue *q)
{
	io_uring_prep_recv(loop_sqe(q->queue.loop, &q->doorbell_op),
		q->join->own.doorbells[q->queue.index], q->doorbell_bytes,
		sizeof(q->doorbell_bytes), 0);
	q->doorbell_armed = true;
}

static void doorbell_cancel(struct pair_queue *q)
{
	if (!q->doorbell_armed || q->doorbell_cancelling)
		return;
	io_uring_prep_cancel(loop_sqe(q->queue.loop, &q->doorbell_cancel_op), &q->doorbell_op, 0);
	q->doorbell_cancelling = true;
}

static void switch_join(struct pair_queue *q);
static void check_stopped(struct pair_queue *q);

/* The receive has ended, with or without the cancellation that was asked for. */
static void doorbell_ended(struct pair_queue *q)
{
	if (q->doorbell_armed || q->doorbell_cancelling)
		return;
	if (q->queue.stopping)
		check_stopped(q);
	else
		switch_join(q);
}

static void doorbell_cancelled(struct loop_op *op, int res)
{
	struct pair_queue *q = container_of(op, struct pair_queue, doorbell_cancel_op);

	q->doorbell_cancelling = false;
	doorbell_ended(q);
}

/* A byte means data, room, or nothing: the rings are checked. */
static void doorbell_done(struct loop_op *op, int res)
{
	struct pair_queue *q = container_of(op, struct pair_queue, doorbell_op);

	q->doorbell_armed = false;
	if (res <= 0 || q->queue.stopping || q->doorbell_cancelling) {
		doorbell_ended(q);
		return;
	}
	doorbell_arm(q);
	send_backlog(q);
	receive(q);
}

/* ---- joins --------------------------------------------------------------- */

static void attach(struct pair_queue *q, struct pair_join *join)
{
	struct pair_side *own = &join->own, *peer = &join->peer;
	uint32_t index = q->queue.index;

	q->join = join;
	q->producer = (struct pair_producer){
		.own = &own->block->producer[index],
		.other = &peer->block->consumer[index],
		.ring = own->block->rings + (size_t)index * PAIR_RING_SIZE,
		.head = atomic_load(&own->block->producer[index].head),
	};
	q->producer.published = q->producer.head;
	q->consumer_count = q->next = 0;
	for (uint32_t ring = index; ring < peer->queues; ring += own->queues) {
		struct pair_consumer *c = &q->consumers[q->consumer_count++];

		c->own = &own->block->consumer[ring];
		c->other = &peer->block->producer[ring];
		c->ring = peer->block->rings + (size_t)ring * PAIR_RING_SIZE;
		c->tail = c->published = atomic_load(&own->block->consumer[ring].tail);
	}
	doorbell_arm(q);
	post(q);
}

/* Nothing of ours uses the join's memory behind this. */
static void detach(struct pair_queue *q)
{
	loop_poller_del(q->queue.loop, &q->poller);
	nic_delivery_cancel(&q->delivery);
	q->consumer_count = 0;
	pair_join_put(q->join);
	q->join = NULL;
}

static struct pair_join *current_join(struct pair_queue *q)
{
	struct nic_conn *conn = nic_plug_conn(&q->plug, q->join ? &q->join->conn : NULL);

	return conn ? container_of(conn, struct pair_join, conn) : NULL;
}

/* To what control has now: first ends the receive on the old doorbell. */
static void switch_join(struct pair_queue *q)
{
	struct pair_join *join = current_join(q);

	if (join == q->join && q->join)
		return;
	if (q->doorbell_armed || q->doorbell_cancelling) {
		doorbell_cancel(q);
		if (join)
			pair_join_put(join); /* taken again when the receive has ended */
		return;
	}
	if (q->join) {
		detach(q);
		nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ENETDOWN);
	}
	if (join)
		attach(q, join);
}

static void join_changed(struct nic_plug *plug)
{
	struct pair_queue *q = container_of(plug, struct pair_queue, plug);

	if (q->queue.stopping)
		check_stopped(q);
	else
		switch_join(q);
}

/* ---- life ---------------------------------------------------------------- */

static void check_stopped(struct pair_queue *q)
{
	if (q->posted || q->doorbell_armed || q->doorbell_cancelling || nic_plug_pending(&q->plug))
		return;
	if (q->join)
		detach(q);
	nic_queue_stopped(&q->queue);
}

static void run_task(struct loop_task *task)
{
	struct pair_queue *q = container_of(task, struct pair_queue, task);

	q->posted = false;
	if (q->queue.stopping)
		check_stopped(q);
	else
		receive(q);
}

int pair_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue)
{
	struct pair_nic *pair = (struct pair_nic *)nic;
	struct pair_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	nic_queue_init(&q->queue, nic, index, loop, client);
	nic_backlog_init(&q->backlog, &q->queue);
	q->delivery.queue = &q->queue;
	q->doorbell_op.done = doorbell_done;
	q->doorbell_cancel_op.done = doorbell_cancelled;
	q->poller.poll = poll_rings;
	q->poller.before_sleep = before_sleep;
	list_init(&q->poller.link);
	q->task.fn = run_task;
	q->paused = true;
	nic_plug_insert(&q->plug, &pair->hub, loop, join_changed);
	switch_join(q);
	*queue = &q->queue;
	return 0;
}

void pair_queue_stop(struct nic_queue *queue)
{
	struct pair_queue *q = (struct pair_queue *)queue;

	nic_plug_remove(&q->plug);
	loop_poller_del(queue->loop, &q->poller);
	nic_delivery_cancel(&q->delivery);
	nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ECANCELED);
	doorbell_cancel(q);
	post(q);
}

void pair_queue_close(struct nic_queue *queue)
{
	free(queue);
}
