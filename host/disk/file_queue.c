/* SPDX-License-Identifier: MIT */
#include "disk/file_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define RETRIES_MAX 1000u

static struct file_wait *wait_of(struct list *link)
{
	return container_of(link, struct file_wait, list);
}

static void move_all(struct list *from, struct list *to)
{
	while (!list_empty(from)) {
		struct list *first = from->next;

		list_del(first);
		list_add_tail(to, first);
	}
}

/* ---- fsync --------------------------------------------------------------- */

static void sync_submit(struct file_queue *q)
{
	io_uring_prep_fsync(loop_sqe(q->queue.loop, &q->sync), q->fd, IORING_FSYNC_DATASYNC);
}

static void sync_next(struct file_queue *q)
{
	if (!list_empty(&q->syncing) || list_empty(&q->sync_waiting))
		return;
	move_all(&q->sync_waiting, &q->syncing);
	q->sync_retries = 0;
	sync_submit(q);
}

/* The next one is in the ring before any request completes: what completes may close the queue,
 * when there is no next one. */
static void sync_done(struct loop_op *op, int res)
{
	struct file_queue *q = container_of(op, struct file_queue, sync);
	struct list done;

	if ((res == -EINTR || res == -EAGAIN) && q->sync_retries++ < RETRIES_MAX) {
		sync_submit(q);
		return;
	}
	list_init(&done);
	move_all(&q->syncing, &done);
	sync_next(q);
	while (!list_empty(&done)) {
		struct file_wait *wait = wait_of(done.next);

		list_del(&wait->list);
		wait->synced(wait, res < 0 ? res : 0);
	}
}

void file_queue_sync(struct file_queue *q, struct file_wait *wait)
{
	ON_LOOP(q->queue.loop);
	list_add_tail(&q->sync_waiting, &wait->list);
	sync_next(q);
}

/* ---- other operations that sleep ----------------------------------------- */

bool file_queue_sleeper_enter(struct file_queue *q, struct file_wait *wait)
{
	ON_LOOP(q->queue.loop);
	if (q->sleepers == FILE_SLEEPERS_MAX) {
		list_add_tail(&q->sleepers_waiting, &wait->list);
		return false;
	}
	q->sleepers++;
	return true;
}

void file_queue_sleeper_leave(struct file_queue *q)
{
	struct file_wait *next;

	ON_LOOP(q->queue.loop);
	if (list_empty(&q->sleepers_waiting)) {
		q->sleepers--;
		return;
	}
	next = wait_of(q->sleepers_waiting.next);
	list_del(&next->list);
	next->start(next);
}

static bool is_on(const struct list *list, const struct list *item)
{
	list_for_each (pos, list)
		if (pos == item)
			return true;
	return false;
}

bool file_queue_withdraw(struct file_queue *q, struct file_wait *wait)
{
	ON_LOOP(q->queue.loop);
	if (list_empty(&wait->list) || is_on(&q->syncing, &wait->list))
		return false;
	list_del(&wait->list);
	return true;
}

/* ---- life ---------------------------------------------------------------- */

int file_queue_open(struct disk *disk, int fd, struct loop *loop, struct disk_queue **queue)
{
	struct file_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->queue.disk = disk;
	q->queue.loop = loop;
	q->fd = fd;
	q->sync.done = sync_done;
	list_init(&q->sleepers_waiting);
	list_init(&q->syncing);
	list_init(&q->sync_waiting);
	loop_add_threads(loop, FILE_THREADS);
	*queue = &q->queue;
	return 0;
}

void file_queue_close(struct disk_queue *queue)
{
	struct file_queue *q = (struct file_queue *)queue;

	assert(list_empty(&q->syncing) && list_empty(&q->sync_waiting) && !q->sleepers);
	loop_add_threads(queue->loop, -(int)FILE_THREADS);
	free(q);
}
