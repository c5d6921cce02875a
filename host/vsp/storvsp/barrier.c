/* SPDX-License-Identifier: MIT */
#include "vsp/storvsp/barrier.h"

#include <assert.h>

static void waiter_task(struct loop_task *task)
{
	struct barrier_waiter *w = container_of(task, struct barrier_waiter, task);

	/* POSTED is left by this thread only. */
	w->state = WAITER_IDLE;
	w->opened(w);
}

void barrier_init(struct barrier *barrier)
{
	pthread_mutex_init(&barrier->lock, NULL);
	barrier->version = 0;
	list_init(&barrier->waiters);
}

void barrier_fini(struct barrier *barrier)
{
	assert(list_empty(&barrier->waiters));
	pthread_mutex_destroy(&barrier->lock);
}

void barrier_close(struct barrier *barrier)
{
	pthread_mutex_lock(&barrier->lock);
	barrier->version = 0;
	pthread_mutex_unlock(&barrier->lock);
}

void barrier_open(struct barrier *barrier, uint16_t version)
{
	pthread_mutex_lock(&barrier->lock);
	barrier->version = version;
	list_for_each_safe (pos, &barrier->waiters) {
		struct barrier_waiter *w = container_of(pos, struct barrier_waiter, link);

		list_del(&w->link);
		w->state = WAITER_POSTED;
		loop_post(w->loop, &w->task);
	}
	pthread_mutex_unlock(&barrier->lock);
}

bool barrier_is_open(struct barrier *barrier)
{
	bool open;

	pthread_mutex_lock(&barrier->lock);
	open = barrier->version;
	pthread_mutex_unlock(&barrier->lock);
	return open;
}

void barrier_waiter_init(
	struct barrier_waiter *w, struct loop *loop, void (*opened)(struct barrier_waiter *w))
{
	w->state = WAITER_IDLE;
	list_init(&w->link);
	w->loop = loop;
	w->task.fn = waiter_task;
	w->opened = opened;
}

uint16_t barrier_pass(struct barrier *barrier, struct barrier_waiter *w)
{
	uint16_t version;

	pthread_mutex_lock(&barrier->lock);
	version = barrier->version;
	if (!version && w->state == WAITER_IDLE) {
		w->state = WAITER_WAITING;
		list_add_tail(&barrier->waiters, &w->link);
	}
	pthread_mutex_unlock(&barrier->lock);
	return version;
}

bool barrier_leave(struct barrier *barrier, struct barrier_waiter *w)
{
	bool left;

	pthread_mutex_lock(&barrier->lock);
	if (w->state == WAITER_WAITING) {
		list_del(&w->link);
		w->state = WAITER_IDLE;
	}
	left = w->state == WAITER_IDLE;
	pthread_mutex_unlock(&barrier->lock);
	return left;
}
