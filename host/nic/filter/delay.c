/* SPDX-License-Identifier: MIT */
/* Holds frames for a time, fixed or random. Their order stays. A frame that is held stays the
 * client's property that is outstanding, so it bounds how many there are. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nic/filter/filter.h"

struct delay_nic {
	struct nic nic;
	uint32_t directions;
	uint64_t min_ns, max_ns;
};

static uint64_t when(struct nic_filter_queue *q)
{
	const struct delay_nic *d = (struct delay_nic *)q->queue.nic;
	uint64_t span = d->max_ns - d->min_ns;

	return loop_now_ns() + d->min_ns + (span ? nic_filter_random(q) % (span + 1) : 0);
}

static void delay_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = (struct nic_filter_queue *)queue;

	if (!(((struct delay_nic *)queue->nic)->directions & NIC_FILTER_TX)) {
		nic_tx(q->lower, frames, count);
		return;
	}
	for (uint32_t i = 0; i < count; i++)
		nic_hold_push(&q->tx, frames[i], when(q));
}

static void delay_rx(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = nic_filter_queue_of(client);
	bool hold = ((struct delay_nic *)q->queue.nic)->directions & NIC_FILTER_RX;

	for (uint32_t i = 0; i < count; i++) {
		if (hold && !q->queue.stopping)
			nic_hold_push(&q->rx, frames[i], when(q));
		else
			nic_filter_pass_rx(q, frames[i]);
	}
}

static const struct nic_client_ops client_ops = {
	.tx_done = nic_filter_tx_done,
	.rx_get = nic_filter_rx_get,
	.rx = delay_rx,
	.rx_put = nic_filter_rx_put,
	.stopped = nic_filter_stopped,
};

static int delay_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	return nic_filter_queue_open_with(nic, index, loop, client, &client_ops, queue);
}

static const struct nic_ops delay_ops = {
	.name = "delay",
	.close = nic_filter_close,
	.queue_open = delay_queue_open,
	.queue_stop = nic_filter_queue_stop,
	.queue_close = nic_filter_queue_close,
	.tx = delay_tx,
	.rx_resume = nic_filter_rx_resume,
};

/* "5ms", "1ms-20ms". */
static int parse_range(const char *text, uint64_t *min_ns, uint64_t *max_ns)
{
	char range[64], *dash;

	if (strlen(text) >= sizeof(range))
		return -EINVAL;
	snprintf(range, sizeof(range), "%s", text);
	dash = strchr(range, '-');
	if (dash)
		*dash++ = '\0';
	if (nic_filter_time(range, min_ns) || nic_filter_time(dash ? dash : range, max_ns))
		return -EINVAL;
	return *min_ns <= *max_ns ? 0 : -EINVAL;
}

bool nic_delay_valid(const char *range)
{
	uint64_t min_ns, max_ns;

	return !parse_range(range, &min_ns, &max_ns);
}

static int parse(const char *text, struct delay_nic *d)
{
	char range[64];

	if (nic_filter_direction(text, range, sizeof(range), &d->directions))
		return -EINVAL;
	return parse_range(range, &d->min_ns, &d->max_ns);
}

static int delay_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct delay_nic *d = calloc(1, sizeof(*d));

	if (d && parse(o->argument, d)) {
		free(d);
		return err_set(e, -EINVAL,
			"net: delay=%s: must be " NIC_DELAY_RULE ", then :tx or :rx for one way",
			o->argument);
	}
	if (!d || nic_filter_init(&d->nic, &delay_ops, o)) {
		free(d);
		return err_set(e, -ENOMEM, "net filter delay: out of memory");
	}
	*nic = &d->nic;
	return 0;
}

const struct nic_type nic_type_delay = {
	.name = "delay",
	.argument = "TIME[-TIME][:tx|rx]",
	.help = "holds frames for a time, fixed or random",
	.filter = true,
	.open = delay_open,
};
