/* SPDX-License-Identifier: MIT */
/* Loses frames at random, like a bad cable: the sender sees success. Runs repeat the same choices.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "nic/filter/filter.h"

#define PPM_PER_CENT 10000u
#define PPM_ALL      1000000u

struct loss_nic {
	struct nic nic;
	uint32_t directions;
	uint32_t ppm; /* probability in millionths */
};

static bool lost(struct nic_filter_queue *q, uint32_t direction)
{
	const struct loss_nic *l = (struct loss_nic *)q->queue.nic;

	return l->directions & direction && nic_filter_random(q) % PPM_ALL < l->ppm;
}

static void loss_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = (struct nic_filter_queue *)queue;

	for (uint32_t i = 0; i < count; i++) {
		if (lost(q, NIC_FILTER_TX))
			nic_tx_drop(queue, frames[i], NIC_DROP_FILTER, 0);
		else if (queue->stopping) /* by the client, in tx_done */
			nic_tx_drop(queue, frames[i], NIC_DROP_LINK_DOWN, -ECANCELED);
		else
			nic_filter_pass_tx(q, frames[i]);
	}
}

static void loss_rx(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct nic_filter_queue *q = nic_filter_queue_of(client);

	for (uint32_t i = 0; i < count; i++) {
		if (!lost(q, NIC_FILTER_RX)) {
			nic_filter_pass_rx(q, frames[i]);
			continue;
		}
		nic_rx_drop(&q->queue, NIC_DROP_FILTER);
		nic_rx_put(&q->queue, frames[i]);
	}
}

static const struct nic_client_ops client_ops = {
	.tx_done = nic_filter_tx_done,
	.rx_get = nic_filter_rx_get,
	.rx = loss_rx,
	.rx_put = nic_filter_rx_put,
	.stopped = nic_filter_stopped,
};

static int loss_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	return nic_filter_queue_open_with(nic, index, loop, client, &client_ops, queue);
}

static const struct nic_ops loss_ops = {
	.name = "loss",
	.close = nic_filter_close,
	.queue_open = loss_queue_open,
	.queue_stop = nic_filter_queue_stop,
	.queue_close = nic_filter_queue_close,
	.tx = loss_tx,
	.rx_resume = nic_filter_rx_resume,
};

/* "1", "0.5", "12.25": per cent to millionths. */
static int parse_per_cent(char *text, uint32_t *ppm)
{
	char *fraction = strchr(text, '.');
	char padded[] = "0000";
	uint64_t whole, part = 0;

	if (fraction) {
		size_t digits = strlen(fraction + 1);

		*fraction = '\0';
		if (!digits || digits > 4)
			return -EINVAL;
		memcpy(padded, fraction + 1, digits);
		if (parse_number(padded, 0, PPM_PER_CENT - 1, &part))
			return -EINVAL;
	}
	if (parse_number(text, 0, 100, &whole) || whole * PPM_PER_CENT + part > PPM_ALL)
		return -EINVAL;
	*ppm = (uint32_t)(whole * PPM_PER_CENT + part);
	return 0;
}

static int parse_rate(const char *text, uint32_t *ppm)
{
	size_t len = strlen(text);
	char value[32];

	if (!len || len >= sizeof(value) || text[len - 1] != '%')
		return -EINVAL;
	memcpy(value, text, len - 1);
	value[len - 1] = '\0';
	return parse_per_cent(value, ppm);
}

bool nic_loss_valid(const char *rate)
{
	uint32_t ppm;

	return !parse_rate(rate, &ppm);
}

static int parse(const char *text, struct loss_nic *l)
{
	char rate[32];

	if (nic_filter_direction(text, rate, sizeof(rate), &l->directions))
		return -EINVAL;
	return parse_rate(rate, &l->ppm);
}

static int loss_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct loss_nic *l = calloc(1, sizeof(*l));

	if (l && parse(o->argument, l)) {
		free(l);
		return err_set(e, -EINVAL, "net: loss=%s: must be %s, then :tx or :rx for one way",
			o->argument, NIC_LOSS_RULE);
	}
	if (!l || nic_filter_init(&l->nic, &loss_ops, o)) {
		free(l);
		return err_set(e, -ENOMEM, "net filter loss: out of memory");
	}
	*nic = &l->nic;
	return 0;
}

const struct nic_type nic_type_loss = {
	.name = "loss",
	.argument = "N%[:tx|rx]",
	.help = "loses frames at random",
	.filter = true,
	.open = loss_open,
};
