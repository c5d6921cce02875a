/* SPDX-License-Identifier: MIT */
/*
 * A rate, all queues of a direction together. One number is shared: the time at
 * which everything let through so far would have left at that rate. A frame adds
 * its own time; it may go when that is no more than BURST_NS ahead. So there is no
 * lock, and nothing to fill up.
 */
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "nic/filter/filter.h"

#define RATE_MIN 8000ull /* bits per second */
#define RATE_MAX 1000000000000ull
#define BURST_NS (10 * NS_PER_MS)

struct limit_nic {
	struct nic nic;
	uint32_t directions;
	uint64_t rate; /* bits per second */
	_Atomic uint64_t tx_until_ns, rx_until_ns;
};

static uint64_t cost(const struct limit_nic *l, uint32_t bytes)
{
	return (uint64_t)bytes * 8 * NS_PER_S / l->rate;
}

/* When a frame of so many bytes may pass. */
static uint64_t reserve(struct limit_nic *l, _Atomic uint64_t *until, uint32_t bytes, uint64_t now)
{
	uint64_t old = atomic_load_explicit(until, memory_order_relaxed), start;

	do
		start = old > now ? old : now;
	while (!atomic_compare_exchange_weak_explicit(
		until, &old, start + cost(l, bytes), memory_order_relaxed, memory_order_relaxed));
	return start > now + BURST_NS ? start - BURST_NS : now;
}

/* Of frames that are dropped instead. */
static void give_back(struct limit_nic *l, _Atomic uint64_t *until, const struct nic_hold *hold)
{
	for (const struct nic_frame *frame = hold->fifo.head; frame; frame = frame->next)
		atomic_fetch_sub_explicit(until, cost(l, frame->length), memory_order_relaxed);
}

static void pass_or_hold(struct nic_filter_queue *q, struct nic_frame *frame, uint64_t now)
{
	struct limit_nic *l = (struct limit_nic *)q->queue.nic;
	uint64_t when = now;

	if (l->directions & NIC_FILTER_TX)
		when = reserve(l, &l->tx_until_ns, frame->length, now);
	if (when <= now && !q->tx.fifo.head)
		nic_filter_pass_tx(q, frame);
	else
		nic_hold_push(&q->tx, frame, when);
}

static void limit_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	uint64_t now = loop_now_ns();

	for (uint32_t i = 0; i < count; i++) {
		if (queue->stopping) /* by the client, in tx_done of a frame before it */
			nic_tx_drop(queue, frames[i], NIC_DROP_LINK_DOWN, -ECANCELED);
		else
			pass_or_hold((struct nic_filter_queue *)queue, frames[i], now);
	}
}

static void limit_rx(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = nic_filter_queue_of(client);
	struct limit_nic *l = (struct limit_nic *)q->queue.nic;
	uint64_t now = loop_now_ns();

	for (uint32_t i = 0; i < count; i++) {
		uint64_t when = l->directions & NIC_FILTER_RX
					? reserve(l, &l->rx_until_ns, frames[i]->length, now)
					: now;

		if (q->queue.stopping || (when <= now && !q->rx.fifo.head))
			nic_filter_pass_rx(q, frames[i]);
		else
			nic_hold_push(&q->rx, frames[i], when);
	}
}

static const struct nic_client_ops client_ops = {
	.tx_done = nic_filter_tx_done,
	.rx_get = nic_filter_rx_get,
	.rx = limit_rx,
	.rx_put = nic_filter_rx_put,
	.stopped = nic_filter_stopped,
};

static int limit_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	return nic_filter_queue_open_with(nic, index, loop, client, &client_ops, queue);
}

static void limit_queue_stop(struct nic_queue *queue)
{
	struct nic_filter_queue *q = (struct nic_filter_queue *)queue;
	struct limit_nic *l = (struct limit_nic *)queue->nic;

	give_back(l, &l->tx_until_ns, &q->tx);
	give_back(l, &l->rx_until_ns, &q->rx);
	nic_filter_queue_stop(queue);
}

static const struct nic_ops limit_ops = {
	.name = "limit",
	.close = nic_filter_close,
	.queue_open = limit_queue_open,
	.queue_stop = limit_queue_stop,
	.queue_close = nic_filter_queue_close,
	.tx = limit_tx,
	.rx_resume = nic_filter_rx_resume,
};

/* Bits per second, powers of 1000 as usual for networks: "100M". */
static int parse_rate(const char *text, uint64_t *rate)
{
	static const char suffixes[] = "KMG";
	size_t digits = strspn(text, "0123456789");
	const char *suffix = strchr(suffixes, text[digits]);
	char number[24];
	uint64_t unit = 1;

	if (!digits || digits >= sizeof(number) || !suffix || (*suffix && text[digits + 1]))
		return -EINVAL;
	for (const char *at = suffixes; *suffix && at <= suffix; at++)
		unit *= 1000;
	memcpy(number, text, digits);
	number[digits] = '\0';
	if (parse_number(number, 1, RATE_MAX / unit, rate))
		return -EINVAL;
	*rate *= unit;
	return *rate >= RATE_MIN ? 0 : -EINVAL;
}

uint64_t nic_limit_rate(const char *text)
{
	uint64_t bits;

	return parse_rate(text, &bits) ? 0 : bits;
}

bool nic_limit_valid(const char *rate)
{
	return nic_limit_rate(rate);
}

static int parse(const char *text, struct limit_nic *l)
{
	char rate[32];

	if (nic_filter_direction(text, rate, sizeof(rate), &l->directions))
		return -EINVAL;
	return parse_rate(rate, &l->rate);
}

static int limit_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct limit_nic *l = calloc(1, sizeof(*l));

	if (l && parse(o->argument, l)) {
		free(l);
		return err_set(e, -EINVAL,
			"net: limit=%s: must be " NIC_LIMIT_RULE ", then :tx or :rx for one way",
			o->argument);
	}
	if (!l || nic_filter_init(&l->nic, &limit_ops, o)) {
		free(l);
		return err_set(e, -ENOMEM, "net filter limit: out of memory");
	}
	*nic = &l->nic;
	return 0;
}

const struct nic_type nic_type_limit = {
	.name = "limit",
	.argument = "BITS[K|M|G][:tx|rx]",
	.help = "bits per second, all queues together",
	.filter = true,
	.open = limit_open,
};
