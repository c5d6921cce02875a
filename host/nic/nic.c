/* SPDX-License-Identifier: MIT */
/* Common code of all NICs: entry points, stacks, counters, calls. */
#include "nic/nic.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "nic/backend.h"
#include "nic/offload.h"

const char *const nic_drop_names[NIC_DROP_COUNT] = {
	[NIC_DROP_LINK_DOWN] = "link_down",
	[NIC_DROP_INVALID] = "invalid",
	[NIC_DROP_TOO_BIG] = "too_big",
	[NIC_DROP_FULL] = "full",
	[NIC_DROP_OFFLOAD] = "offload",
	[NIC_DROP_FILTER] = "filter",
	[NIC_DROP_ERROR] = "error",
};

static const struct nic *bottom(const struct nic *nic)
{
	while (nic->lower)
		nic = nic->lower;
	return nic;
}

static struct nic *top(struct nic *nic)
{
	while (nic->upper)
		nic = nic->upper;
	return nic;
}

/* ---- base ---------------------------------------------------------------- */

int nic_init(struct nic *nic, const struct nic_ops *ops, const struct nic_env *env, uint32_t queues)
{
	assert(queues >= 1 && queues <= NIC_QUEUES_MAX);
	nic->stats = aligned_alloc(_Alignof(struct nic_stats), queues * sizeof(*nic->stats));
	if (!nic->stats)
		return -ENOMEM;
	memset(nic->stats, 0, queues * sizeof(*nic->stats));
	nic->ops = ops;
	nic->control = env->control;
	nic->info.queues_max = queues;
	nic->queues = 1;
	atomic_store(&nic->mtu, env->mtu ? env->mtu : NIC_MTU_DEFAULT);
	return 0;
}

void nic_fini(struct nic *nic)
{
	free(nic->stats);
	nic->stats = NULL;
}

void nic_queue_init(struct nic_queue *queue, struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client)
{
	*queue = (struct nic_queue){
		.nic = nic,
		.loop = loop,
		.client = client,
		.stats = &nic->stats[index],
		.index = index,
	};
}

static void stopped_run(struct loop_task *task)
{
	struct nic_queue *queue = container_of(task, struct nic_queue, stopped_task);

	queue->client->ops->stopped(queue->client);
}

void nic_queue_stopped(struct nic_queue *queue)
{
	assert(queue->stopping);
	queue->stopped_task.fn = stopped_run;
	loop_post(queue->loop, &queue->stopped_task);
}

void nic_link_set(struct nic *nic, bool up)
{
	struct nic *t = top(nic);

	ON_LOOP(nic->control);
	if (atomic_exchange(&nic->link_up, up) != up && t->watcher)
		t->watcher->changed(t->watcher, NIC_CHANGED_LINK);
}

void nic_mtu_set(struct nic *nic, uint32_t mtu)
{
	struct nic *t = top(nic);

	ON_LOOP(nic->control);
	if (atomic_exchange(&nic->mtu, mtu) != mtu && t->watcher)
		t->watcher->changed(t->watcher, NIC_CHANGED_MTU);
}

/* ---- control ------------------------------------------------------------- */

void nic_watch(struct nic *nic, struct nic_watcher *watcher)
{
	ON_LOOP(nic->control);
	nic->watcher = watcher;
}

void nic_close(struct nic *nic, void (*closed)(void *ctx), void *ctx)
{
	ON_LOOP(nic->control);
	nic->watcher = NULL;
	nic->closed = closed;
	nic->closed_ctx = ctx;
	nic->ops->close(nic);
}

void nic_closed(struct nic *nic, void (*release)(struct nic *nic))
{
	struct nic *lower = nic->lower;
	void (*closed)(void *ctx) = nic->closed;
	void *ctx = nic->closed_ctx;

	nic_fini(nic);
	release(nic);
	if (!lower) {
		closed(ctx);
		return;
	}
	lower->upper = NULL;
	nic_close(lower, closed, ctx);
}

int nic_set_rx_offloads(struct nic *nic, uint32_t offloads)
{
	int ret;

	ON_LOOP(nic->control);
	offloads &= nic->info.rx_native;
	if (!(offloads & NIC_CAN_CSUM))
		offloads = 0;
	if (nic->lower) {
		ret = nic_set_rx_offloads(nic->lower, offloads);
		atomic_store(&nic->rx_offloads, atomic_load(&nic->lower->rx_offloads));
		return ret;
	}
	ret = nic->ops->set_rx_offloads ? nic->ops->set_rx_offloads(nic, offloads) : 0;
	if (!ret)
		atomic_store(&nic->rx_offloads, offloads);
	return ret;
}

int nic_set_queues(struct nic *nic, uint32_t queues)
{
	int ret = 0;

	ON_LOOP(nic->control);
	if (queues < 1 || queues > nic->info.queues_max)
		return -EINVAL;
	if (nic->lower)
		ret = nic_set_queues(nic->lower, queues);
	else if (nic->ops->set_queues)
		ret = nic->ops->set_queues(nic, queues);
	if (!ret)
		nic->queues = queues;
	return ret;
}

int nic_set_carrier(struct nic *nic, bool up)
{
	const struct nic *b = bottom(nic);

	ON_LOOP(nic->control);
	return b->ops->set_carrier ? b->ops->set_carrier((struct nic *)b, up) : 0;
}

/* ---- calls from I/O threads ---------------------------------------------- */

static void call_done(struct loop_task *task)
{
	struct nic_call *call = container_of(task, struct nic_call, task);

	call->done(call, call->error);
}

static void call_run(struct loop_task *task)
{
	struct nic_call *call = container_of(task, struct nic_call, task);

	switch (call->op) {
	case NIC_CALL_RX_OFFLOADS:
		call->error = nic_set_rx_offloads(call->nic, call->value);
		break;
	case NIC_CALL_QUEUES:
		call->error = nic_set_queues(call->nic, call->value);
		break;
	case NIC_CALL_CARRIER:
		call->error = nic_set_carrier(call->nic, call->value);
		break;
	}
	call->task.fn = call_done;
	loop_post(call->loop, &call->task);
}

void nic_call(struct nic_call *call)
{
	call->task.fn = call_run;
	loop_post(call->nic->control, &call->task);
}

/* ---- state and counters -------------------------------------------------- */

bool nic_link_up(const struct nic *nic)
{
	return atomic_load_explicit(&bottom(nic)->link_up, memory_order_relaxed);
}

uint32_t nic_mtu(const struct nic *nic)
{
	return atomic_load_explicit(&bottom(nic)->mtu, memory_order_relaxed);
}

_Static_assert(sizeof(struct nic_counts) % sizeof(uint64_t) == 0, "counters only");

static void counts_add(struct nic_counts *to, const struct nic_counts *from)
{
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *part = (const uint64_t *)from;

	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += __atomic_load_n(&part[i], __ATOMIC_RELAXED);
}

static void stats_add(struct nic_stats *to, const struct nic_stats *from)
{
	counts_add(&to->tx, &from->tx);
	counts_add(&to->rx, &from->rx);
}

void nic_queue_stats(const struct nic *nic, uint32_t index, struct nic_stats *stats)
{
	assert(index < nic->info.queues_max);
	*stats = (struct nic_stats){0};
	stats_add(stats, &nic->stats[index]);
}

void nic_stats(const struct nic *nic, struct nic_stats *stats)
{
	*stats = (struct nic_stats){0};
	for (uint32_t i = 0; i < nic->info.queues_max; i++)
		stats_add(stats, &nic->stats[i]);
}

/* ---- queues -------------------------------------------------------------- */

int nic_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue)
{
	ON_LOOP(loop);
	if (index >= nic->info.queues_max)
		return -EINVAL;
	return nic->ops->queue_open(nic, index, loop, client, queue);
}

void nic_queue_stop(struct nic_queue *queue)
{
	ON_LOOP(queue->loop);
	assert(!queue->stopping);
	queue->stopping = true;
	queue->nic->ops->queue_stop(queue);
}

void nic_queue_close(struct nic_queue *queue)
{
	ON_LOOP(queue->loop);
	assert(queue->stopping);
	queue->nic->ops->queue_close(queue);
}

/* Passes on the valid frames in one piece, as long as all are. */
void nic_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	uint32_t start = 0;

	ON_LOOP(queue->loop);
	assert(!queue->stopping);
	for (uint32_t i = 0; i < count; i++) {
		if (!nic_offload_check(frames[i]))
			continue;
		if (i > start)
			queue->nic->ops->tx(queue, frames + start, i - start);
		nic_tx_drop(queue, frames[i], NIC_DROP_INVALID, -EINVAL);
		start = i + 1;
	}
	if (count > start)
		queue->nic->ops->tx(queue, frames + start, count - start);
}

void nic_rx_resume(struct nic_queue *queue)
{
	ON_LOOP(queue->loop);
	if (!queue->stopping)
		queue->nic->ops->rx_resume(queue);
}
