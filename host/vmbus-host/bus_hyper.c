/* SPDX-License-Identifier: MIT */
#include "vmbus-host/bus_hyper.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define DRAIN_BUDGET 64u
/* Pages of GPADL a guest may hold: what Hyper-V grants, 1280 MiB. */
#define GPADL_PAGES_MAX (1280ull << (20 - HV_PAGE_SHIFT))

/* ---- guest to host ------------------------------------------------------- */

/* Under the lock. */
static bool dequeue(struct bus_hyper *bh, struct bus_hyper_message *message)
{
	if (bh->count == 0)
		return false;
	*message = bh->queue[bh->head];
	bh->head = (bh->head + 1) % BUS_HYPER_QUEUE_MAX;
	bh->count--;
	return true;
}

static bool take(struct bus_hyper *bh, struct bus_hyper_message *message)
{
	bool any;

	pthread_mutex_lock(&bh->lock);
	any = dequeue(bh, message);
	pthread_mutex_unlock(&bh->lock);
	return any;
}

/* For the task, which ends when the queue is empty. */
static bool take_or_end(struct bus_hyper *bh, struct bus_hyper_message *message)
{
	bool any;

	pthread_mutex_lock(&bh->lock);
	any = dequeue(bh, message);
	bh->posted = any;
	pthread_mutex_unlock(&bh->lock);
	return any;
}

static void bus_hyper_free(struct bus_hyper *bh)
{
	pthread_mutex_destroy(&bh->lock);
	free(bh);
}

/* ON_CONTROL: messages are handled strictly in the order the guest posted them. A guest that posts
 * without end gets DRAIN_BUDGET of them handled per turn, so that signals, I/O threads and the
 * control socket are served, too. */
static void drain(struct loop_task *task)
{
	struct bus_hyper *bh = container_of(task, struct bus_hyper, task);
	struct bus_hyper_message message;

	ON_LOOP(bh->control);
	if (bh->dead) {
		bus_hyper_free(bh);
		return;
	}
	for (uint32_t i = 0; i < DRAIN_BUDGET; i++) {
		if (!take_or_end(bh, &message))
			return;
		bus_message(bh->bus, message.data, message.len);
	}
	loop_post(bh->control, &bh->task); /* posted stays true */
}

/* The task may be on its way, or not: posted is left alone. */
void bus_hyper_drain(struct bus_hyper *bh)
{
	struct bus_hyper_message message;

	ON_LOOP(bh->control);
	while (take(bh, &message))
		bus_message(bh->bus, message.data, message.len);
}

/* VP thread. */
static enum hv_status on_message(
	void *ctx, uint32_t id, uint32_t type, const void *payload, uint32_t size)
{
	struct bus_hyper *bh = ctx;
	enum hv_status status = HV_STATUS_INSUFFICIENT_BUFFERS;
	bool post = false;

	if (type != HV_MESSAGE_TYPE_VMBUS || size > VMBUS_MESSAGE_SIZE_MAX)
		return HV_STATUS_INVALID_PARAMETER;
	pthread_mutex_lock(&bh->lock);
	if (bh->count < BUS_HYPER_QUEUE_MAX) {
		struct bus_hyper_message *slot =
			&bh->queue[(bh->head + bh->count) % BUS_HYPER_QUEUE_MAX];

		slot->len = size;
		memcpy(slot->data, payload, size);
		bh->count++;
		post = !bh->posted;
		bh->posted = true;
		status = HV_STATUS_SUCCESS;
	}
	pthread_mutex_unlock(&bh->lock);
	if (post)
		loop_post(bh->control, &bh->task);
	return status;
}

/* ---- host to guest ------------------------------------------------------- */

static int port_send(void *ctx, uint32_t vp, uint32_t sint, const void *msg, uint32_t len)
{
	struct bus_hyper *bh = ctx;

	return synic_post(partition_hv(bh->partition), vp, sint, HV_MESSAGE_TYPE_VMBUS,
		VMBUS_CONN_MESSAGE, msg, len);
}

/* Some answers go to a SINT that the guest names, and one that never takes them fills the queue of
 * the VP for all SINTs: the next kernel must not find it so. */
static void port_flush(void *ctx)
{
	struct bus_hyper *bh = ctx;

	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		synic_flush(partition_hv(bh->partition), sint);
}

static const struct bus_port_ops port_ops = {
	.send = port_send,
	.flush = port_flush,
};

void bus_hyper_interrupt(struct bus_hyper *bh, uint32_t vp, uint32_t flag)
{
	synic_signal(partition_hv(bh->partition), vp, VMBUS_SINT, flag);
}

/* ---- life ---------------------------------------------------------------- */

static int listen_to_guest(struct bus_hyper *bh)
{
	struct hv *hv = partition_hv(bh->partition);
	int ret;

	bh->conn_message =
		(struct hv_connection){.id = VMBUS_CONN_MESSAGE, .message = on_message, .ctx = bh};
	bh->conn_multi = (struct hv_connection){
		.id = VMBUS_CONN_MESSAGE_MULTI, .message = on_message, .ctx = bh};
	ret = hv_connection_add(hv, &bh->conn_message);
	if (ret)
		return ret;
	ret = hv_connection_add(hv, &bh->conn_multi);
	if (ret)
		hv_connection_del(hv, &bh->conn_message);
	return ret;
}

int bus_hyper_create(struct bus_hyper **out, struct partition *p, struct loop *control,
	uint32_t vp_count, struct budget *budget, struct err *e)
{
	struct bus_hyper *bh = calloc(1, sizeof(*bh));
	struct bus_config config = {
		.gmem = partition_gmem(p),
		.vp_count = vp_count,
		.max_version = VMBUS_VERSION_WIN10_V5_3,
		.gpadl_pages_max = GPADL_PAGES_MAX,
		.budget = budget,
		.port = &port_ops,
		.port_ctx = bh,
	};
	int ret;

	ON_LOOP(control);
	if (!bh)
		return err_set(e, -ENOMEM, "no memory for the bus");
	bh->partition = p;
	bh->control = control;
	bh->task.fn = drain;
	pthread_mutex_init(&bh->lock, NULL);
	ret = bus_create(&bh->bus, &config);
	if (ret)
		goto free_bh;
	ret = listen_to_guest(bh);
	if (ret)
		goto destroy_bus;
	*out = bh;
	return 0;

destroy_bus:
	bus_destroy(bh->bus);
free_bh:
	pthread_mutex_destroy(&bh->lock);
	free(bh);
	return err_set(e, ret, "cannot create the bus: %s", strerror(-ret));
}

void bus_hyper_destroy(struct bus_hyper *bh)
{
	ON_LOOP(bh->control);
	hv_connection_del(partition_hv(bh->partition), &bh->conn_multi);
	hv_connection_del(partition_hv(bh->partition), &bh->conn_message);
	bus_destroy(bh->bus);
	/* The VPs are joined: no other thread uses `posted` now. */
	if (bh->posted)
		bh->dead = true;
	else
		bus_hyper_free(bh);
}
