/* SPDX-License-Identifier: MIT */
#include "tests/support/fault_disk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct fault_queue {
	struct disk_queue queue;
	struct disk_queue *lower;
	struct list held;
};

/* Scratch; the request for the lower disk follows. */
struct fault_req {
	struct fault_queue *queue;
	struct list link;
	struct loop_timer timer;
};

static struct fault_disk *fault_of(struct disk *disk)
{
	return (struct fault_disk *)disk;
}

static struct disk_req *upper_of(struct fault_req *f)
{
	return (struct disk_req *)f - 1;
}

static void lower_done(struct disk_req *lower, int error)
{
	struct disk_req *req = lower->owner;

	/* A disk may modify it, and files do. */
	if (req->iov_count)
		memset(req->iov, 0, req->iov_count * sizeof(*req->iov));
	req->done(req, error);
}

static void pass_on(struct fault_req *f)
{
	struct disk_req *req = upper_of(f);
	struct disk_req *lower = disk_req_lower(f->queue->queue.disk, req);

	*lower = *req;
	lower->done = lower_done;
	lower->owner = req;
	disk_submit(f->queue->lower, lower);
}

static void delay_over(struct loop_timer *t)
{
	pass_on(container_of(t, struct fault_req, timer));
}

static int error_for(struct fault_disk *d, const struct disk_req *req)
{
	uint32_t left = atomic_load(&d->fail_after);

	if (!atomic_load(&d->error[req->op]))
		return 0;
	if (left) {
		atomic_store(&d->fail_after, left - 1);
		return 0;
	}
	return atomic_load(&d->error[req->op]);
}

static void count_request(struct fault_disk *d, const struct disk_req *req)
{
	atomic_fetch_add(&d->count[req->op], 1);
	if (req->flags & DISK_FLAG_FUA)
		atomic_fetch_add(&d->fua_count, 1);
	if (req->flags & DISK_FLAG_UNMAP)
		atomic_fetch_add(&d->unmap_count, 1);
}

static void fault_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct fault_disk *d = fault_of(queue->disk);
	struct fault_req *f = disk_req_scratch(req);
	int error = error_for(d, req);

	count_request(d, req);
	*f = (struct fault_req){.queue = (struct fault_queue *)queue};
	list_init(&f->link);
	if (error)
		req->done(req, error);
	else if (atomic_load(&d->hold))
		list_add_tail(&f->queue->held, &f->link);
	else if (atomic_load(&d->delay_ns))
		loop_timer_start(queue->loop, &f->timer, atomic_load(&d->delay_ns), delay_over);
	else
		pass_on(f);
}

void fault_disk_release(struct disk_queue *queue)
{
	struct fault_queue *q = (struct fault_queue *)queue;
	struct list held;

	list_init(&held);
	while (!list_empty(&q->held)) {
		struct list *first = q->held.next;

		list_del(first);
		list_add_tail(&held, first);
	}
	while (!list_empty(&held)) {
		struct fault_req *f = container_of(held.next, struct fault_req, link);

		list_del(&f->link);
		pass_on(f);
	}
}

static void release(void *arg)
{
	fault_disk_release(arg);
}

void fault_disk_release_all(struct fault_disk *d)
{
	for (uint32_t i = 0; i < FAULT_DISK_QUEUES; i++) {
		struct disk_queue *queue = atomic_load(&d->queues[i]);

		if (queue)
			loop_call(queue->loop, release, queue);
	}
}

/* Any number of queues may be open; the first ones are known. */
static void replace_queue(struct fault_disk *d, struct disk_queue *from, struct disk_queue *to)
{
	for (uint32_t i = 0; i < FAULT_DISK_QUEUES; i++) {
		struct disk_queue *old = from;

		if (atomic_compare_exchange_strong(&d->queues[i], &old, to))
			return;
	}
}

static void cancelled(struct loop_timer *t)
{
	struct disk_req *req = upper_of(container_of(t, struct fault_req, timer));

	req->done(req, -ECANCELED);
}

static void fault_cancel(struct disk_queue *queue, struct disk_req *req)
{
	struct fault_disk *d = fault_of(queue->disk);
	struct fault_req *f = disk_req_scratch(req);
	bool held = !list_empty(&f->link);

	atomic_fetch_add(&d->cancels, 1);
	if (!held && !f->timer.armed) {
		disk_cancel(f->queue->lower, disk_req_lower(queue->disk, req));
		return;
	}
	if (atomic_load(&d->stubborn))
		return;
	list_del(&f->link);
	loop_timer_start(queue->loop, &f->timer, 0, cancelled);
}

static int fault_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	struct fault_disk *d = fault_of(disk);
	struct fault_queue *q;
	int ret;

	if (atomic_load(&d->queues_left) && atomic_fetch_sub(&d->queues_left, 1) == 1)
		return -EMFILE;
	q = calloc(1, sizeof(*q));
	assert(q);
	q->queue.disk = disk;
	q->queue.loop = loop;
	list_init(&q->held);
	ret = disk_queue_open(disk->lower, loop, &q->lower);
	if (ret) {
		free(q);
		return ret;
	}
	replace_queue(fault_of(disk), NULL, &q->queue);
	*queue = &q->queue;
	return 0;
}

static void fault_queue_close(struct disk_queue *queue)
{
	struct fault_queue *q = (struct fault_queue *)queue;

	assert(list_empty(&q->held));
	replace_queue(fault_of(queue->disk), queue, NULL);
	disk_queue_close(q->lower);
	free(q);
}

static void fault_close(struct disk *disk)
{
	free(fault_of(disk));
}

static const struct disk_ops fault_ops = {
	.name = "fault",
	.req_size = sizeof(struct fault_req),
	.close = fault_close,
	.queue_open = fault_queue_open,
	.queue_close = fault_queue_close,
	.submit = fault_submit,
	.cancel = fault_cancel,
};

struct fault_disk *fault_disk_open(struct disk *lower)
{
	struct fault_disk *d = calloc(1, sizeof(*d));

	assert(d);
	d->disk.ops = &fault_ops;
	d->disk.lower = lower;
	d->disk.info = lower->info;
	return d;
}
