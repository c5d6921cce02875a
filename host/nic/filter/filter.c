/* SPDX-License-Identifier: MIT */
#include "nic/filter/filter.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

/* ---- NIC ----------------------------------------------------------------- */

int nic_filter_init(struct nic *nic, const struct nic_ops *ops, const struct nic_open *o)
{
	struct nic *lower = o->lower;
	int ret = nic_init(nic, ops, o->env, lower->info.queues_max);

	if (ret)
		return ret;
	nic->info = lower->info;
	nic->queues = lower->queues;
	atomic_store(&nic->rx_offloads, atomic_load(&lower->rx_offloads));
	nic->lower = lower;
	lower->upper = nic;
	return 0;
}

static void release(struct nic *nic)
{
	free(nic);
}

void nic_filter_close(struct nic *nic)
{
	nic_closed(nic, release);
}

/* ---- frames that are held ------------------------------------------------ */

static void due(struct loop_timer *t);

static void hold_arm(struct nic_hold *h)
{
	uint64_t now = loop_now_ns(), when = h->fifo.head->due_ns;

	loop_timer_start(h->queue->queue.loop, &h->timer, when > now ? when - now : 0, due);
}

static void due(struct loop_timer *t)
{
	struct nic_hold *h = container_of(t, struct nic_hold, timer);
	uint64_t now = loop_now_ns();
	uint32_t n = 0;

	while (n++ < NIC_BATCH && h->fifo.head && h->fifo.head->due_ns <= now)
		h->release(h->queue, nic_fifo_pop(&h->fifo));
	if (h->fifo.head)
		hold_arm(h);
}

void nic_hold_push(struct nic_hold *h, struct nic_frame *frame, uint64_t due_ns)
{
	if (due_ns < h->last_due_ns)
		due_ns = h->last_due_ns;
	h->last_due_ns = frame->due_ns = due_ns;
	nic_fifo_push(&h->fifo, frame);
	if (!h->timer.armed)
		hold_arm(h);
}

static void hold_init(struct nic_hold *h, struct nic_filter_queue *q,
	void (*release_fn)(struct nic_filter_queue *queue, struct nic_frame *frame))
{
	*h = (struct nic_hold){.queue = q, .release = release_fn};
	nic_fifo_init(&h->fifo);
}

void nic_filter_pass_tx(struct nic_filter_queue *q, struct nic_frame *frame)
{
	nic_tx(q->lower, &frame, 1);
}

void nic_filter_pass_rx(struct nic_filter_queue *q, struct nic_frame *frame)
{
	nic_rx_complete(&q->queue, frame);
}

uint64_t nic_filter_random(struct nic_filter_queue *q)
{
	q->random ^= q->random << 13;
	q->random ^= q->random >> 7;
	q->random ^= q->random << 17;
	return q->random;
}

/* ---- queue --------------------------------------------------------------- */

int nic_filter_queue_open_with(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, const struct nic_client_ops *ops, struct nic_queue **queue)
{
	struct nic_filter_queue *q = calloc(1, sizeof(*q));
	int ret;

	if (!q)
		return -ENOMEM;
	nic_queue_init(&q->queue, nic, index, loop, client);
	q->client.ops = ops;
	q->random = 0x9e3779b97f4a7c15ull * (index + 1);
	hold_init(&q->tx, q, nic_filter_pass_tx);
	hold_init(&q->rx, q, nic_filter_pass_rx);
	ret = nic_queue_open(nic->lower, index, loop, &q->client, &q->lower);
	if (ret)
		free(q);
	else
		*queue = &q->queue;
	return ret;
}

/* What is held goes back first; the rest comes from below. */
void nic_filter_queue_stop(struct nic_queue *queue)
{
	struct nic_filter_queue *q = (struct nic_filter_queue *)queue;
	struct nic_frame *frame;

	loop_timer_cancel(&q->tx.timer);
	loop_timer_cancel(&q->rx.timer);
	while ((frame = nic_fifo_pop(&q->tx.fifo)))
		nic_tx_drop(queue, frame, NIC_DROP_LINK_DOWN, -ECANCELED);
	while ((frame = nic_fifo_pop(&q->rx.fifo)))
		nic_rx_put(queue, frame);
	nic_queue_stop(q->lower);
}

void nic_filter_stopped(struct nic_client *client)
{
	nic_queue_stopped(&nic_filter_queue_of(client)->queue);
}

void nic_filter_queue_close(struct nic_queue *queue)
{
	nic_queue_close(((struct nic_filter_queue *)queue)->lower);
	free(queue);
}

void nic_filter_rx_resume(struct nic_queue *queue)
{
	nic_rx_resume(((struct nic_filter_queue *)queue)->lower);
}

void nic_filter_tx_done(struct nic_client *client, struct nic_frame *frame, int error)
{
	struct nic_queue *queue = &nic_filter_queue_of(client)->queue;

	if (error)
		queue->client->ops->tx_done(queue->client, frame, error); /* counted below */
	else
		nic_tx_complete(queue, frame);
}

uint32_t nic_filter_rx_get(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_client *upper = nic_filter_queue_of(client)->queue.client;

	return upper->ops->rx_get(upper, frames, count);
}

void nic_filter_rx_put(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_client *upper = nic_filter_queue_of(client)->queue.client;

	upper->ops->rx_put(upper, frames, count);
}

/* ---- values -------------------------------------------------------------- */

int nic_filter_direction(const char *text, char *value, size_t size, uint32_t *directions)
{
	size_t len = strcspn(text, ":");

	*directions = NIC_FILTER_BOTH;
	if (!len || len >= size)
		return -EINVAL;
	memcpy(value, text, len);
	value[len] = '\0';
	if (!strcmp(text + len, ":tx"))
		*directions = NIC_FILTER_TX;
	else if (!strcmp(text + len, ":rx"))
		*directions = NIC_FILTER_RX;
	else if (text[len])
		return -EINVAL;
	return 0;
}

int nic_filter_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {{"ns", 1}, {"us", NS_PER_US}, {"ms", NS_PER_MS}, {"s", NS_PER_S}};
	size_t digits = strspn(text, "0123456789");
	char number[16];

	if (!digits || digits >= sizeof(number))
		return -EINVAL;
	memcpy(number, text, digits);
	number[digits] = '\0';
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(text + digits, units[i].name))
			continue;
		if (parse_number(number, 0, 3600 * NS_PER_S / units[i].ns, ns))
			return -EINVAL;
		*ns *= units[i].ns;
		return 0;
	}
	return -EINVAL;
}
