/* SPDX-License-Identifier: MIT */
/*
 * Base of filters. A filter's queue is the client of a queue below; by default
 * everything passes both ways and is counted. A filter replaces `tx` of its
 * nic_ops and `rx` of its nic_filter_ops.
 */
#ifndef NIC_FILTER_H
#define NIC_FILTER_H

#include "nic/backend.h"
#include "nic/types.h"

/* Directions, from the client's view; a mask. */
#define NIC_FILTER_TX   0x1u
#define NIC_FILTER_RX   0x2u
#define NIC_FILTER_BOTH 0x3u

struct nic_filter_queue;

/* Frames that wait until they are due, in order. */
struct nic_hold {
	struct nic_filter_queue *queue;
	struct nic_fifo fifo;
	struct loop_timer timer;
	uint64_t last_due_ns;
	void (*release)(struct nic_filter_queue *queue, struct nic_frame *frame);
};

struct nic_filter_queue {
	struct nic_queue queue;
	struct nic_client client; /* of lower */
	struct nic_queue *lower;
	struct nic_hold tx, rx;
	uint64_t random; /* state of nic_filter_random() */
};

/* Takes over lower. 0 or -ENOMEM. */
int nic_filter_init(struct nic *nic, const struct nic_ops *ops, const struct nic_open *o);

/* nic_ops of filters. A filter whose close has nothing to do is freed by nic_filter_close(). */
void nic_filter_close(struct nic *nic);
int nic_filter_queue_open_with(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, const struct nic_client_ops *ops, struct nic_queue **queue);
void nic_filter_queue_stop(struct nic_queue *queue);
void nic_filter_queue_close(struct nic_queue *queue);
void nic_filter_rx_resume(struct nic_queue *queue);

/* Client operations of the lower queue. */
void nic_filter_tx_done(struct nic_client *client, struct nic_frame *frame, int error);
uint32_t nic_filter_rx_get(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
void nic_filter_rx_put(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
void nic_filter_stopped(struct nic_client *client);

static inline struct nic_filter_queue *nic_filter_queue_of(struct nic_client *client)
{
	return container_of(client, struct nic_filter_queue, client);
}

/* On to the layer below, or above. */
void nic_filter_pass_tx(struct nic_filter_queue *q, struct nic_frame *frame);
void nic_filter_pass_rx(struct nic_filter_queue *q, struct nic_frame *frame);

/* Passes it on at due_ns, or behind the frames before it. */
void nic_hold_push(struct nic_hold *h, struct nic_frame *frame, uint64_t due_ns);

uint64_t nic_filter_random(struct nic_filter_queue *q);

/* ---- values of users ----------------------------------------------------- */

/* "VALUE[:tx|rx]": the direction. The value is copied to `value`. 0 or -EINVAL. */
int nic_filter_direction(const char *text, char *value, size_t size, uint32_t *directions);
/* "5ms": ns, us, ms, s. 0 or -EINVAL. */
int nic_filter_time(const char *text, uint64_t *ns);

#endif
