/* SPDX-License-Identifier: MIT */
/* `null` takes everything and receives nothing; `none` is a NIC without a cable. */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "nic/backend.h"
#include "nic/types.h"

static void null_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		nic_tx_complete(queue, frames[i]);
}

static void none_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		nic_tx_drop(queue, frames[i], NIC_DROP_LINK_DOWN, -ENETDOWN);
}

static void null_rx_resume(struct nic_queue *queue)
{
}

static int null_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	struct nic_queue *q = malloc(sizeof(*q));

	if (!q)
		return -ENOMEM;
	nic_queue_init(q, nic, index, loop, client);
	*queue = q;
	return 0;
}

static void null_queue_close(struct nic_queue *queue)
{
	free(queue);
}

static void release(struct nic *nic)
{
	free(nic);
}

static void null_close(struct nic *nic)
{
	nic_closed(nic, release);
}

static const struct nic_ops null_ops = {
	.name = "null",
	.close = null_close,
	.queue_open = null_queue_open,
	.queue_stop = nic_queue_stopped,
	.queue_close = null_queue_close,
	.tx = null_tx,
	.rx_resume = null_rx_resume,
};

static const struct nic_ops none_ops = {
	.name = "none",
	.close = null_close,
	.queue_open = null_queue_open,
	.queue_stop = nic_queue_stopped,
	.queue_close = null_queue_close,
	.tx = none_tx,
	.rx_resume = null_rx_resume,
};

static int open_with(
	struct nic **nic, const struct nic_ops *ops, const struct nic_open *o, struct err *e)
{
	struct nic *n = calloc(1, sizeof(*n));

	if (!n || nic_init(n, ops, o->env, o->env->queues)) {
		free(n);
		return err_set(e, -ENOMEM, "net %s: out of memory", ops->name);
	}
	n->info.tx_native = NIC_CAN_ALL;
	n->info.speed_bps = NIC_SPEED_DEFAULT;
	*nic = n;
	return 0;
}

static int null_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	int ret = open_with(nic, &null_ops, o, e);

	if (!ret)
		atomic_store(&(*nic)->link_up, true);
	return ret;
}

static int none_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	return open_with(nic, &none_ops, o, e);
}

const struct nic_type nic_type_null = {
	.name = "null",
	.help = "takes everything, receives nothing",
	.open = null_open,
};

const struct nic_type nic_type_none = {
	.name = "none",
	.help = "no cable: the link is down",
	.open = none_open,
};
