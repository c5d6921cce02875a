/* SPDX-License-Identifier: MIT */
/*
 * One queue of a TAP: one frame per readv and writev, straight from and to the
 * client's memory. Calls, not io_uring requests: they never wait (O_NONBLOCK),
 * cost the same (measured, README), keep the order, and leave nothing in flight
 * that a stop had to cancel. The ring holds one poll while the queue is idle.
 *
 *   idle --POLLIN--> reading --EAGAIN--> idle          one poll in the ring
 *        reading --turn is full--> posted --> reading
 *        reading --no buffer--> paused --nic_rx_resume()--> posted
 *        any --EBADFD--> gone --new generation--> posted
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "nic/tap/tap_impl.h"

#define VNET_NEEDS_CSUM 1u
#define VNET_DATA_VALID 2u
#define VNET_GSO_TCP4   1u
#define VNET_GSO_TCP6   4u
#define VNET_GSO_UDP_L4 5u
#define VNET_GSO_ECN    0x80u
#define MACS            12u
#define REVIVE_NS       (20 * NS_PER_MS)

static struct tap *tap_of(const struct tap_queue *q)
{
	return (struct tap *)q->queue.nic;
}

/* ---- polls --------------------------------------------------------------- */

static void check_stopped(struct tap_queue *q)
{
	const struct tap_poll *in = &q->in, *out = &q->out;

	if (q->queue.stopping && !in->armed && !in->cancelling && !out->armed && !out->cancelling &&
		!q->posted)
		nic_queue_stopped(&q->queue);
}

static void poll_arm(struct tap_queue *q, struct tap_poll *p, short events)
{
	if (p->armed)
		return;
	io_uring_prep_poll_add(loop_sqe(q->queue.loop, &p->op), q->fd, (unsigned int)events);
	p->armed = true;
}

static void poll_cancel(struct tap_queue *q, struct tap_poll *p)
{
	if (!p->armed || p->cancelling)
		return;
	io_uring_prep_cancel(loop_sqe(q->queue.loop, &p->cancel_op), &p->op, 0);
	p->cancelling = true;
}

static void read_later(struct tap_queue *q)
{
	if (q->posted)
		return;
	q->posted = true;
	loop_post(q->queue.loop, &q->task);
}

/* ---- the interface disappears -------------------------------------------- */

static bool revived(struct tap_queue *q)
{
	uint32_t now = atomic_load_explicit(&tap_of(q)->generation, memory_order_acquire);

	if (now == q->generation)
		return false;
	q->generation = now;
	q->gone = false;
	loop_timer_cancel(&q->revive);
	read_later(q);
	return true;
}

static void revive(struct loop_timer *t)
{
	struct tap_queue *q = container_of(t, struct tap_queue, revive);

	if (!revived(q))
		loop_timer_start(q->queue.loop, t, REVIVE_NS, revive);
}

static void lose(struct tap_queue *q)
{
	if (q->gone)
		return;
	q->gone = true;
	tap_lost(tap_of(q));
	loop_timer_start(q->queue.loop, &q->revive, REVIVE_NS, revive);
	nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ENETDOWN);
}

/* ---- transmit ------------------------------------------------------------ */

static void fill_header(struct tap_header *h, const struct nic_offload *o)
{
	static const uint8_t gso[] = {
		[NIC_GSO_TCP4] = VNET_GSO_TCP4,
		[NIC_GSO_TCP6] = VNET_GSO_TCP6,
		[NIC_GSO_UDP] = VNET_GSO_UDP_L4,
	};
	uint16_t tag = o->flags & NIC_VLAN ? NIC_VLAN_TAG : 0;

	*h = (struct tap_header){0};
	if (!(o->flags & NIC_CSUM_PARTIAL))
		return;
	h->flags = VNET_NEEDS_CSUM;
	h->csum_start = htole16((uint16_t)(o->csum_start + tag));
	h->csum_offset = htole16(o->csum_offset);
	if (!o->gso)
		return;
	h->gso_type = gso[o->gso] | (o->flags & NIC_GSO_ECN ? VNET_GSO_ECN : 0);
	h->gso_size = htole16(o->gso_size);
	h->hdr_len = htole16((uint16_t)(o->header_len + tag));
}

/* The tag goes between the MACs and the rest. */
static ssize_t write_tagged(
	struct tap_queue *q, const struct nic_frame *frame, struct tap_header *header)
{
	uint16_t tci = frame->offload.vlan_tci;
	uint8_t tag[NIC_VLAN_TAG] = {NIC_ETHERTYPE_VLAN >> 8, NIC_ETHERTYPE_VLAN & 0xff,
		(uint8_t)(tci >> 8), (uint8_t)tci};
	struct iovec iov[NIC_IOV_MAX + 2];
	uint8_t *first = frame->iov[1].iov_base;

	iov[0] = (struct iovec){header, sizeof(*header)};
	iov[1] = (struct iovec){first, MACS};
	iov[2] = (struct iovec){tag, sizeof(tag)};
	iov[3] = (struct iovec){first + MACS, frame->iov[1].iov_len - MACS};
	memcpy(iov + 4, frame->iov + 2, (frame->iov_count - 2) * sizeof(*iov));
	return writev(q->fd, iov, (int)frame->iov_count + 2);
}

/* 0 or -errno. */
static int write_frame(struct tap_queue *q, struct nic_frame *frame)
{
	struct tap_header header;
	ssize_t n;

	fill_header(&header, &frame->offload);
	frame->iov[0] = (struct iovec){&header, sizeof(header)};
	do
		n = frame->offload.flags & NIC_VLAN
			    ? write_tagged(q, frame, &header)
			    : writev(q->fd, frame->iov, (int)frame->iov_count);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static const struct {
	int error;
	enum nic_drop cause;
	int done;
} write_errors[] = {
	{-EIO, NIC_DROP_LINK_DOWN, -ENETDOWN}, /* set down */
	{-EBADFD, NIC_DROP_LINK_DOWN, -ENETDOWN},
	{-EINVAL, NIC_DROP_INVALID, -EINVAL},
	{-EMSGSIZE, NIC_DROP_INVALID, -EMSGSIZE},
	{-ENOMEM, NIC_DROP_FULL, -ENOBUFS},
	{-ENOBUFS, NIC_DROP_FULL, -ENOBUFS},
};

static void drop_for(struct tap_queue *q, struct nic_frame *frame, int error)
{
	if (error == -EBADFD)
		lose(q);
	for (size_t i = 0; i < sizeof(write_errors) / sizeof(write_errors[0]); i++) {
		if (write_errors[i].error == error) {
			nic_tx_drop(&q->queue, frame, write_errors[i].cause, write_errors[i].done);
			return;
		}
	}
	nic_tx_drop(&q->queue, frame, NIC_DROP_ERROR, -EIO);
}

static void sent(struct tap_queue *q, struct nic_frame *frame)
{
	if (q->backlog.stalled)
		nic_backlog_progress(&q->backlog);
	nic_tx_complete(&q->queue, frame);
}

/* False: it cannot be written now. */
static bool send_frame(struct tap_queue *q, struct nic_frame *frame)
{
	int error = q->gone && !revived(q) ? -EBADFD : write_frame(q, frame);

	if (error == -EAGAIN)
		return false;
	if (error)
		drop_for(q, frame, error);
	else
		sent(q, frame);
	return true;
}

/* In order: behind a frame that waits, all wait. */
void tap_queue_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct tap_queue *q = (struct tap_queue *)queue;

	for (uint32_t i = 0; i < count; i++) {
		if (!nic_backlog_first(&q->backlog) && send_frame(q, frames[i]))
			continue;
		if (queue->stopping) { /* by the client, in tx_done */
			nic_tx_drop(queue, frames[i], NIC_DROP_LINK_DOWN, -ECANCELED);
			continue;
		}
		nic_backlog_push(&q->backlog, frames[i]);
		poll_arm(q, &q->out, POLLOUT);
	}
}

static void poll_out_done(struct loop_op *op, int res)
{
	struct tap_queue *q = container_of(op, struct tap_queue, out.op);
	struct nic_frame *frame;
	bool progress = false;

	q->out.armed = false;
	if (q->queue.stopping) {
		check_stopped(q);
		return;
	}
	while ((frame = nic_backlog_pop(&q->backlog))) {
		if (!send_frame(q, frame)) {
			nic_fifo_push_front(&q->backlog.fifo, frame);
			break;
		}
		progress = true;
		if (q->queue.stopping)
			return;
	}
	if (progress)
		nic_backlog_progress(&q->backlog);
	if (nic_backlog_first(&q->backlog))
		poll_arm(q, &q->out, POLLOUT);
}

/* ---- receive ------------------------------------------------------------- */

static bool gso_of(uint8_t type, struct nic_offload *o)
{
	static const uint8_t gso[] = {
		[VNET_GSO_TCP4] = NIC_GSO_TCP4,
		[VNET_GSO_TCP6] = NIC_GSO_TCP6,
		[VNET_GSO_UDP_L4] = NIC_GSO_UDP,
	};

	if (type & VNET_GSO_ECN)
		o->flags |= NIC_GSO_ECN;
	type &= (uint8_t)~VNET_GSO_ECN;
	if (type >= sizeof(gso) || !gso[type])
		return false;
	o->gso = gso[type];
	return true;
}

/* The kernel passes on what the sender of the frame claimed: check it. */
static bool offload_of(const struct tap_header *h, uint32_t length, struct nic_offload *o)
{
	*o = (struct nic_offload){0};
	if (h->flags & VNET_DATA_VALID)
		o->flags |= NIC_CSUM_VALID;
	if (h->flags & VNET_NEEDS_CSUM) {
		o->flags |= NIC_CSUM_PARTIAL;
		o->csum_start = le16toh(h->csum_start);
		o->csum_offset = le16toh(h->csum_offset);
		if (o->csum_start < NIC_ETH_HEADER || o->csum_start + o->csum_offset + 2u > length)
			return false;
	}
	if (!h->gso_type)
		return true;
	o->gso_size = le16toh(h->gso_size);
	o->header_len = le16toh(h->hdr_len);
	return o->gso_size && o->flags & NIC_CSUM_PARTIAL && gso_of(h->gso_type, o);
}

/* Offsets that count the tag lose it. */
static void strip_tag(struct nic_frame *frame)
{
	uint8_t *bytes = frame->iov[1].iov_base;
	struct nic_offload *o = &frame->offload;

	if (frame->length < NIC_ETH_HEADER + NIC_VLAN_TAG || bytes[12] != NIC_ETHERTYPE_VLAN >> 8 ||
		bytes[13] != (NIC_ETHERTYPE_VLAN & 0xff))
		return;
	if (o->flags & NIC_CSUM_PARTIAL && o->csum_start < NIC_ETH_HEADER + NIC_VLAN_TAG)
		return;
	o->vlan_tci = (uint16_t)(bytes[14] << 8 | bytes[15]);
	o->flags |= NIC_VLAN;
	memmove(bytes + NIC_VLAN_TAG, bytes, MACS);
	frame->skip = NIC_VLAN_TAG;
	frame->length -= NIC_VLAN_TAG;
	if (o->flags & NIC_CSUM_PARTIAL)
		o->csum_start -= NIC_VLAN_TAG;
	if (o->gso && o->header_len >= NIC_VLAN_TAG)
		o->header_len -= NIC_VLAN_TAG;
}

/* Frames that were in the kernel's queue when an offload was switched off. */
static bool fit_offloads(struct tap_queue *q, struct nic_frame *frame)
{
	uint32_t on = atomic_load_explicit(&q->queue.nic->rx_offloads, memory_order_relaxed);
	struct nic_offload *o = &frame->offload;

	if (o->gso && !(on & (NIC_CAN_TSO4 | NIC_CAN_TSO6)))
		return false;
	if ((o->flags & NIC_CSUM_PARTIAL) && !(on & NIC_CAN_CSUM)) {
		nic_csum_finish(
			frame->iov + 1, frame->iov_count - 1, frame->skip, frame->length, o);
		o->flags |= NIC_CSUM_VALID;
	}
	return true;
}

/* NIC_DROP_COUNT: the frame is good; else the cause to drop it. */
static enum nic_drop accept_frame(
	struct tap_queue *q, struct nic_frame *frame, const struct tap_header *h, size_t got)
{
	frame->skip = 0;
	if (got < sizeof(*h) + NIC_ETH_HEADER)
		return NIC_DROP_INVALID;
	frame->length = (uint32_t)(got - sizeof(*h));
	if (frame->length >= frame->room) /* the kernel cuts without saying so */
		return NIC_DROP_TOO_BIG;
	if (!offload_of(h, frame->length, &frame->offload))
		return NIC_DROP_INVALID;
	strip_tag(frame);
	return fit_offloads(q, frame) ? NIC_DROP_COUNT : NIC_DROP_OFFLOAD;
}

static void receive(
	struct tap_queue *q, struct nic_frame *frame, const struct tap_header *h, size_t got)
{
	enum nic_drop cause = accept_frame(q, frame, h, got);

	if (cause == NIC_DROP_COUNT) {
		nic_rx_complete(&q->queue, frame);
		return;
	}
	nic_rx_drop(&q->queue, cause);
	nic_rx_put(&q->queue, frame);
}

/* The answer to a read that brought nothing. */
static void read_ended(struct tap_queue *q, int error)
{
	if (error == EBADFD)
		lose(q);
	else
		poll_arm(q, &q->in, POLLIN);
}

/* False: no frame now; the next step is scheduled. */
static bool read_frame(struct tap_queue *q, struct nic_turn *turn)
{
	struct nic_frame *frame = nic_rx_get(&q->queue);
	struct tap_header header;
	ssize_t n;

	if (!frame) {
		q->paused = true;
		return false;
	}
	frame->iov[0] = (struct iovec){&header, sizeof(header)};
	do
		n = readv(q->fd, frame->iov, (int)frame->iov_count);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		nic_turn_count(turn, (uint32_t)n);
		receive(q, frame, &header, (size_t)n);
		return true;
	}
	n = errno;
	nic_rx_put(&q->queue, frame);
	if (!q->queue.stopping)
		read_ended(q, (int)n);
	return false;
}

static void read_frames(struct tap_queue *q)
{
	struct nic_turn turn = {0};

	while (!nic_turn_is_full(&turn) && !q->queue.stopping && read_frame(q, &turn))
		;
	if (nic_turn_is_full(&turn) && !q->queue.stopping)
		read_later(q);
}

static void read_task(struct loop_task *task)
{
	struct tap_queue *q = container_of(task, struct tap_queue, task);

	q->posted = false;
	if (q->queue.stopping)
		check_stopped(q);
	else if (!q->paused && !q->gone && !q->in.armed)
		read_frames(q);
}

static void poll_in_done(struct loop_op *op, int res)
{
	struct tap_queue *q = container_of(op, struct tap_queue, in.op);

	q->in.armed = false;
	if (q->queue.stopping)
		check_stopped(q);
	else if (!q->paused && !q->gone)
		read_frames(q);
}

void tap_queue_rx_resume(struct nic_queue *queue)
{
	struct tap_queue *q = (struct tap_queue *)queue;

	if (!q->paused)
		return;
	q->paused = false;
	read_later(q);
}

/* ---- life ---------------------------------------------------------------- */

static void cancel_in_done(struct loop_op *op, int res)
{
	struct tap_queue *q = container_of(op, struct tap_queue, in.cancel_op);

	q->in.cancelling = false;
	check_stopped(q);
}

static void cancel_out_done(struct loop_op *op, int res)
{
	struct tap_queue *q = container_of(op, struct tap_queue, out.cancel_op);

	q->out.cancelling = false;
	check_stopped(q);
}

int tap_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue)
{
	struct tap *tap = (struct tap *)nic;
	struct tap_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	nic_queue_init(&q->queue, nic, index, loop, client);
	nic_backlog_init(&q->backlog, &q->queue);
	q->fd = tap->dev.fds[index];
	q->in.op.done = poll_in_done;
	q->in.cancel_op.done = cancel_in_done;
	q->out.op.done = poll_out_done;
	q->out.cancel_op.done = cancel_out_done;
	q->task.fn = read_task;
	q->generation = atomic_load_explicit(&tap->generation, memory_order_acquire);
	q->paused = true;
	*queue = &q->queue;
	return 0;
}

/* check_stopped() runs from the task at the earliest: not below the client's own call. */
void tap_queue_stop(struct nic_queue *queue)
{
	struct tap_queue *q = (struct tap_queue *)queue;

	loop_timer_cancel(&q->revive);
	nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ECANCELED);
	poll_cancel(q, &q->in);
	poll_cancel(q, &q->out);
	read_later(q);
}

void tap_queue_close(struct nic_queue *queue)
{
	free(queue);
}
