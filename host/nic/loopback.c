/* SPDX-License-Identifier: MIT */
/*
 * The NIC of tests: each frame is received on the queue that sent it. Offloads
 * that the client does not take are done in software. Without a buffer the frame
 * waits (nic_backlog).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "nic/backend.h"
#include "nic/types.h"

struct loopback_queue {
	struct nic_queue queue;
	struct nic_backlog backlog;
	struct nic_delivery delivery;
	struct loop_task task;
	bool posted;
	bool running; /* run() is on the stack */
	bool paused;
};

static void post(struct loopback_queue *q)
{
	if (q->posted)
		return;
	q->posted = true;
	loop_post(q->queue.loop, &q->task);
}

/* A client may send from its rx operation: then the frame waits for the loop below, which ends
 * after a batch, so that the client cannot keep the thread. */
static void run(struct loopback_queue *q)
{
	struct nic_frame *frame;
	uint32_t n = 0;

	if (q->running)
		return;
	q->running = true;
	while (!q->paused && n < NIC_BATCH && (frame = nic_backlog_first(&q->backlog))) {
		q->paused = !nic_deliver(&q->delivery, frame);
		if (q->queue.stopping)
			break;
		if (q->paused)
			continue;
		nic_backlog_pop(&q->backlog);
		nic_tx_complete(&q->queue, frame);
		n++;
	}
	q->running = false;
	if (q->queue.stopping)
		return;
	if (n)
		nic_backlog_progress(&q->backlog);
	if (!q->paused && nic_backlog_first(&q->backlog))
		post(q);
}

static void run_task(struct loop_task *task)
{
	struct loopback_queue *q = container_of(task, struct loopback_queue, task);

	q->posted = false;
	if (q->queue.stopping)
		nic_queue_stopped(&q->queue);
	else
		run(q);
}

static void loopback_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count)
{
	struct loopback_queue *q = (struct loopback_queue *)queue;

	for (uint32_t i = 0; i < count; i++)
		nic_backlog_push(&q->backlog, frames[i]);
	run(q);
}

static void loopback_rx_resume(struct nic_queue *queue)
{
	struct loopback_queue *q = (struct loopback_queue *)queue;

	if (!q->paused)
		return;
	q->paused = false;
	nic_backlog_progress(&q->backlog);
	run(q);
}

static void dropping(struct nic_backlog *b)
{
	nic_delivery_cancel(&container_of(b, struct loopback_queue, backlog)->delivery);
}

static int loopback_queue_open(struct nic *nic, uint32_t index, struct loop *loop,
	struct nic_client *client, struct nic_queue **queue)
{
	struct loopback_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	nic_queue_init(&q->queue, nic, index, loop, client);
	nic_backlog_init(&q->backlog, &q->queue);
	q->backlog.dropping = dropping;
	q->delivery.queue = &q->queue;
	q->task.fn = run_task;
	q->paused = true;
	*queue = &q->queue;
	return 0;
}

static void loopback_queue_stop(struct nic_queue *queue)
{
	struct loopback_queue *q = (struct loopback_queue *)queue;

	nic_backlog_drop(&q->backlog, NIC_DROP_LINK_DOWN, -ECANCELED);
	post(q);
}

static void loopback_queue_close(struct nic_queue *queue)
{
	free(queue);
}

static void release(struct nic *nic)
{
	free(nic);
}

static void loopback_close(struct nic *nic)
{
	nic_closed(nic, release);
}

static const struct nic_ops loopback_ops = {
	.name = "loop",
	.close = loopback_close,
	.queue_open = loopback_queue_open,
	.queue_stop = loopback_queue_stop,
	.queue_close = loopback_queue_close,
	.tx = loopback_tx,
	.rx_resume = loopback_rx_resume,
};

static int loopback_open(struct nic **nic, const struct nic_open *o, struct err *e)
{
	struct nic *n = calloc(1, sizeof(*n));

	if (!n || nic_init(n, &loopback_ops, o->env, o->env->queues)) {
		free(n);
		return err_set(e, -ENOMEM, "net loop: out of memory");
	}
	n->info.tx_native = n->info.rx_native = NIC_CAN_ALL;
	n->info.speed_bps = NIC_SPEED_DEFAULT;
	atomic_store(&n->link_up, true);
	*nic = n;
	return 0;
}

const struct nic_type nic_type_loop = {
	.name = "loop",
	.help = "echo: the guest receives what it sends",
	.open = loopback_open,
};
