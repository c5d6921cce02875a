/* SPDX-License-Identifier: MIT */
/* What back ends and filters share: base of NICs and queues, counters. For them only, not for
 * clients. */
#ifndef HOST_NIC_BACKEND_H
#define HOST_NIC_BACKEND_H

#include "base/time.h"
#include "nic/nic.h"
#include "nic/offload.h"

#define NIC_MTU_DEFAULT 1500u

/* nic is zeroed memory. 0 or -ENOMEM; nic_fini() frees what it made. */
int nic_init(
	struct nic *nic, const struct nic_ops *ops, const struct nic_env *env, uint32_t queues);
void nic_fini(struct nic *nic);

/* The end of ops->close: frees nic by release(), goes on with the layer below. Control. */
void nic_closed(struct nic *nic, void (*release)(struct nic *nic));

void nic_queue_init(struct nic_queue *queue, struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client);

/* ON_LOOP. The end of ops->queue_stop: nothing of the client is held. Posts client->stopped. */
void nic_queue_stopped(struct nic_queue *queue);

/* Control: of the bottom; the watcher is called on a change. */
void nic_link_set(struct nic *nic, bool up);
void nic_mtu_set(struct nic *nic, uint32_t mtu);

/* ---- counters: ON_LOOP --------------------------------------------------- */

/* One writer, readers anywhere. */
static inline void nic_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline void nic_count_frame(struct nic_counts *c, const struct nic_offload *o, uint32_t len)
{
	nic_count(&c->frames, 1);
	nic_count(&c->bytes, len);
	if (o->gso)
		nic_count(&c->gso_frames, 1);
	if (o->flags & NIC_CSUM_PARTIAL)
		nic_count(&c->partial_frames, 1);
}

static inline void nic_tx_complete(struct nic_queue *queue, struct nic_frame *frame)
{
	nic_count_frame(&queue->stats->tx, &frame->offload, frame->length);
	queue->client->ops->tx_done(queue->client, frame, 0);
}

static inline void nic_tx_drop(
	struct nic_queue *queue, struct nic_frame *frame, enum nic_drop cause, int error)
{
	nic_count(&queue->stats->tx.dropped[cause], 1);
	queue->client->ops->tx_done(queue->client, frame, error);
}

static inline void nic_rx_drop(struct nic_queue *queue, enum nic_drop cause)
{
	nic_count(&queue->stats->rx.dropped[cause], 1);
}

static inline void nic_rx_complete(struct nic_queue *queue, struct nic_frame *frame)
{
	nic_count_frame(&queue->stats->rx, &frame->offload, frame->length);
	queue->client->ops->rx(queue->client, &frame, 1);
}

/* NULL: the client has none. */
static inline struct nic_frame *nic_rx_get(struct nic_queue *queue)
{
	struct nic_frame *frame;

	return queue->client->ops->rx_get(queue->client, &frame, 1) ? frame : NULL;
}

static inline void nic_rx_put(struct nic_queue *queue, struct nic_frame *frame)
{
	queue->client->ops->rx_put(queue->client, &frame, 1);
}

/* ---- what a loop turn brings --------------------------------------------- */

/* The client publishes at the end of a turn, so a turn that copies many long frames keeps the
 * first one from it for as long. Short ones come NIC_BATCH at a time. */
#define NIC_TURN_BYTES (128u << 10)

/* Zero at the beginning of a turn. */
struct nic_turn {
	uint32_t frames, bytes;
};

static inline void nic_turn_count(struct nic_turn *turn, uint32_t length)
{
	turn->frames++;
	turn->bytes += length;
}

/* The next frame waits for the next turn. */
static inline bool nic_turn_is_full(const struct nic_turn *turn)
{
	return turn->frames >= NIC_BATCH || turn->bytes >= NIC_TURN_BYTES;
}

/* ---- frames that wait ---------------------------------------------------- */

/* First in, first out, linked by nic_frame.next. */
struct nic_fifo {
	struct nic_frame *head, **tail;
	uint32_t count;
};

void nic_fifo_init(struct nic_fifo *f);
void nic_fifo_push(struct nic_fifo *f, struct nic_frame *frame);
struct nic_frame *nic_fifo_pop(struct nic_fifo *f); /* NULL: empty */
/* Back to where it was taken from. */
void nic_fifo_push_front(struct nic_fifo *f, struct nic_frame *frame);

/* Frames that the transport cannot take now. A transport that takes none for NIC_STALL_NS is
 * stalled: what waits is dropped, and what comes, until there is progress again. So a receiver that
 * is stuck never blocks its sender for ever.
 *
 *   empty --push--> waiting --progress--> waiting | empty
 *                   waiting --NIC_STALL_NS--> stalled --progress--> empty
 *                   stalled --push--> dropped
 */
#define NIC_STALL_NS NS_PER_S

struct nic_backlog {
	struct nic_queue *queue;
	struct nic_fifo fifo;
	struct loop_timer timer;
	bool stalled;
	/* Optional: the frames are about to be dropped. A frame that is partly sent is
	 * abandoned. */
	void (*dropping)(struct nic_backlog *b);
};

void nic_backlog_init(struct nic_backlog *b, struct nic_queue *queue);
void nic_backlog_push(struct nic_backlog *b, struct nic_frame *frame);
/* The first one, which stays; and its end: the caller completes or drops it. */
static inline struct nic_frame *nic_backlog_first(const struct nic_backlog *b)
{
	return b->fifo.head;
}
struct nic_frame *nic_backlog_pop(struct nic_backlog *b);
/* The transport took something, or can: also when nothing waits, since that ends a stall. */
void nic_backlog_progress(struct nic_backlog *b);
/* Drops all of them. Also the end: the timer is cancelled. */
void nic_backlog_drop(struct nic_backlog *b, enum nic_drop cause, int error);

/* ---- frames from memory -------------------------------------------------- */

/* Copies a frame out of this process's memory into buffers of the client, for transports that are
 * memory. What the client's receive offloads do not cover is segmented and summed up here. */
struct nic_delivery {
	struct nic_queue *queue;
	struct nic_seg seg;
	bool segmenting;
	struct iovec iov[NIC_IOV_MAX]; /* the segment that is next, when length != 0 */
	uint32_t iov_count;
	uint32_t length;
};

/* True: delivered, or dropped and counted. False: no buffer; call again with the same frame, which
 * is unchanged, to go on where it stopped; or nic_delivery_cancel(). frame passed
 * nic_offload_check(). */
bool nic_deliver(struct nic_delivery *d, const struct nic_frame *frame);
static inline void nic_delivery_cancel(struct nic_delivery *d)
{
	d->segmenting = false;
}

#endif
