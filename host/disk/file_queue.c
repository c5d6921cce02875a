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
	q->sync_retries = 0;
	io_uring_prep_fsync(loop_sqe(q->queue.loop, &q->sync), q->fd, IORING_FSYNC_DATASYNC);
}

static void sync_task(struct loop_task *task)
{
	sync_submit(container_of(task, struct file_queue, sync_task));
}

/* Under the lock: the next fsync is for all that wait, on the loop of the first. NULL: none. */
static struct file_queue *sync_next(struct file_syncs *s)
{
	s->busy = !list_empty(&s->waiting);
	if (!s->busy)
		return NULL;
	move_all(&s->waiting, &s->running);
	list_for_each (pos, &s->running)
		wait_of(pos)->begun = true;
	return wait_of(s->running.next)->queue;
}

static void synced_task(struct loop_task *task)
{
	struct file_wait *wait = container_of(task, struct file_wait, task);

	wait->queue->syncs_here--;
	wait->synced(wait, wait->result);
}

/* Under the lock: its flushes are answered, each on its own loop. The next one is on its way
 * before: a queue may be closed when its flushes are answered. */
static void sync_end(struct file_syncs *s)
{
	struct file_queue *next;
	struct list done;

	if (s->result && !s->error)
		s->error = s->result;
	list_init(&done);
	move_all(&s->running, &done);
	next = sync_next(s);
	if (next)
		loop_post(next->queue.loop, &next->sync_task);
	while (!list_empty(&done)) {
		struct file_wait *wait = wait_of(done.next);

		list_del(&wait->list);
		wait->result = s->result ? s->result : s->error;
		loop_post(wait->queue->queue.loop, &wait->task);
	}
}

static void sync_done(struct loop_op *op, int res)
{
	struct file_queue *q = container_of(op, struct file_queue, sync);
	struct file_syncs *s = q->syncs;
	uint32_t turn;

	if ((res == -EINTR || res == -EAGAIN) && q->sync_retries++ < RETRIES_MAX) {
		io_uring_prep_fsync(
			loop_sqe(q->queue.loop, &q->sync), q->fd, IORING_FSYNC_DATASYNC);
		return;
	}
	pthread_mutex_lock(&s->lock);
	s->result = res < 0 ? res : 0;
	turn = s->turn;
	s->held = !s->result && s->writes[turn];
	if (s->held)
		s->turn = !turn;
	else
		sync_end(s);
	pthread_mutex_unlock(&s->lock);
}

void file_queue_sync(struct file_queue *q, struct file_wait *wait)
{
	struct file_syncs *s = q->syncs;
	struct file_queue *first = NULL;

	ON_LOOP(q->queue.loop);
	wait->queue = q;
	wait->task.fn = synced_task;
	wait->begun = false;
	q->syncs_here++;
	pthread_mutex_lock(&s->lock);
	list_add_tail(&s->waiting, &wait->list);
	if (!s->busy)
		first = sync_next(s);
	pthread_mutex_unlock(&s->lock);
	if (first)
		sync_submit(first);
}

/* ---- FUA writes ---------------------------------------------------------- */

uint32_t file_syncs_write_begin(struct file_syncs *s)
{
	uint32_t turn;

	pthread_mutex_lock(&s->lock);
	turn = s->turn;
	s->writes[turn]++;
	pthread_mutex_unlock(&s->lock);
	return turn;
}

void file_syncs_write_end(struct file_syncs *s, uint32_t turn, int lost)
{
	pthread_mutex_lock(&s->lock);
	if (lost && !s->error)
		s->error = lost;
	assert(s->writes[turn]);
	if (!--s->writes[turn] && s->held && turn != s->turn) {
		s->held = false;
		sync_end(s);
	}
	pthread_mutex_unlock(&s->lock);
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

bool file_queue_withdraw(struct file_queue *q, struct file_wait *wait)
{
	bool waits;

	ON_LOOP(q->queue.loop);
	pthread_mutex_lock(&q->syncs->lock);
	waits = !list_empty(&wait->list) && !wait->begun;
	if (waits)
		list_del(&wait->list);
	pthread_mutex_unlock(&q->syncs->lock);
	if (waits && wait->queue)
		q->syncs_here--;
	return waits;
}

/* ---- life ---------------------------------------------------------------- */

void file_syncs_init(struct file_syncs *s)
{
	*s = (struct file_syncs){.busy = false};
	pthread_mutex_init(&s->lock, NULL);
	list_init(&s->running);
	list_init(&s->waiting);
}

void file_syncs_fini(struct file_syncs *s)
{
	assert(!s->busy && !s->writes[0] && !s->writes[1]);
	pthread_mutex_destroy(&s->lock);
}

int file_queue_open(struct disk *disk, struct file_syncs *syncs, int fd, struct loop *loop,
	struct disk_queue **queue)
{
	struct file_queue *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->queue.disk = disk;
	q->queue.loop = loop;
	q->syncs = syncs;
	q->fd = fd;
	q->sync.done = sync_done;
	q->sync_task.fn = sync_task;
	list_init(&q->sleepers_waiting);
	loop_add_threads(loop, FILE_THREADS);
	*queue = &q->queue;
	return 0;
}

void file_queue_close(struct disk_queue *queue)
{
	struct file_queue *q = (struct file_queue *)queue;

	assert(!q->syncs_here && !q->sleepers);
	/* Another thread may still be waking this loop, which may go away after this. */
	pthread_mutex_lock(&q->syncs->lock);
	pthread_mutex_unlock(&q->syncs->lock);
	loop_add_threads(queue->loop, -(int)FILE_THREADS);
	free(q);
}
