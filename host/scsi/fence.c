/* SPDX-License-Identifier: MIT */
/* See fence.h. */
#include "scsi/fence.h"

#include <assert.h>
#include <stdlib.h>

struct scsi_fence *scsi_fence_create(void)
{
	struct scsi_fence *fence = aligned_alloc(64, sizeof(*fence));

	if (!fence)
		return NULL;
	atomic_init(&fence->closed, false);
	pthread_mutex_init(&fence->lock, NULL);
	list_init(&fence->waiting);
	fence->running = NULL;
	for (uint32_t i = 0; i < SCSI_FENCE_SHARDS; i++)
		atomic_init(&fence->shards[i].inside, 0);
	return fence;
}

void scsi_fence_destroy(struct scsi_fence *fence)
{
	assert(list_empty(&fence->waiting) && !fence->running);
	pthread_mutex_destroy(&fence->lock);
	free(fence);
}

/* Loops are large structures: their low address bits hardly differ. */
static _Atomic uint64_t *inside_of(struct scsi_fence *fence, const struct scsi_fence_ticket *ticket)
{
	uint64_t spread = (uint64_t)(uintptr_t)ticket->loop * 0x9E3779B97F4A7C15ull;

	return &fence->shards[spread >> 61].inside;
}
_Static_assert(SCSI_FENCE_SHARDS == 1u << (64 - 61), "shard index");

static void resume_task(struct loop_task *task)
{
	struct scsi_fence_ticket *ticket = container_of(task, struct scsi_fence_ticket, task);

	ticket->resume(ticket);
}

static void enqueue(struct scsi_fence *fence, struct scsi_fence_ticket *ticket)
{
	ticket->task.fn = resume_task;
	list_init(&ticket->link);
	list_add_tail(&fence->waiting, &ticket->link);
}

/* While closed, no new write stays inside: one that increments a counter now decrements it again
 * and calls admit(). */
static bool is_idle(struct scsi_fence *fence)
{
	for (uint32_t i = 0; i < SCSI_FENCE_SHARDS; i++)
		if (atomic_load(&fence->shards[i].inside))
			return false;
	return true;
}

/* Locked, closed. Admits waiting commands in order, as far as possible. `self` gets no resume():
 * its caller returns the result. */
static void admit(struct scsi_fence *fence, const struct scsi_fence_ticket *self)
{
	while (!fence->running && !list_empty(&fence->waiting)) {
		struct scsi_fence_ticket *first =
			container_of(fence->waiting.next, struct scsi_fence_ticket, link);

		if (first->exclusive && !is_idle(fence))
			return;
		list_del(&first->link);
		if (first->exclusive)
			fence->running = first;
		else
			atomic_fetch_add(inside_of(fence, first), 1);
		if (first != self)
			loop_post(first->loop, &first->task);
	}
	if (!fence->running)
		atomic_store(&fence->closed, false);
}

static void admit_unlocked(struct scsi_fence *fence)
{
	pthread_mutex_lock(&fence->lock);
	if (atomic_load(&fence->closed))
		admit(fence, NULL);
	pthread_mutex_unlock(&fence->lock);
}

static void count_out(struct scsi_fence *fence, const struct scsi_fence_ticket *ticket)
{
	atomic_fetch_sub(inside_of(fence, ticket), 1);
	if (atomic_load(&fence->closed))
		admit_unlocked(fence);
}

static bool enter_exclusive(struct scsi_fence *fence, struct scsi_fence_ticket *ticket)
{
	bool now;

	pthread_mutex_lock(&fence->lock);
	enqueue(fence, ticket);
	atomic_store(&fence->closed, true);
	admit(fence, ticket);
	now = fence->running == ticket;
	pthread_mutex_unlock(&fence->lock);
	return now;
}

/* The fence was closed when its flag was read. */
static bool enter_late(struct scsi_fence *fence, struct scsi_fence_ticket *ticket)
{
	bool closed;

	pthread_mutex_lock(&fence->lock);
	closed = atomic_load(&fence->closed);
	if (closed)
		enqueue(fence, ticket);
	else
		atomic_fetch_add(inside_of(fence, ticket), 1);
	pthread_mutex_unlock(&fence->lock);
	return !closed;
}

bool scsi_fence_enter(struct scsi_fence *fence, struct scsi_fence_ticket *ticket)
{
	if (ticket->exclusive)
		return enter_exclusive(fence, ticket);
	atomic_fetch_add(inside_of(fence, ticket), 1);
	if (!atomic_load(&fence->closed))
		return true;
	count_out(fence, ticket);
	return enter_late(fence, ticket);
}

void scsi_fence_leave(struct scsi_fence *fence, struct scsi_fence_ticket *ticket)
{
	if (!ticket->exclusive) {
		count_out(fence, ticket);
		return;
	}
	pthread_mutex_lock(&fence->lock);
	assert(fence->running == ticket);
	fence->running = NULL;
	admit(fence, NULL);
	pthread_mutex_unlock(&fence->lock);
}

/* Commands behind it may have waited for it only. */
void scsi_fence_withdraw(struct scsi_fence *fence, struct scsi_fence_ticket *ticket,
	void (*gone)(struct scsi_fence_ticket *ticket))
{
	bool waiting;

	pthread_mutex_lock(&fence->lock);
	waiting = !list_empty(&ticket->link);
	if (waiting) {
		list_del(&ticket->link);
		admit(fence, NULL);
	}
	pthread_mutex_unlock(&fence->lock);
	if (!waiting)
		return;
	ticket->resume = gone;
	loop_post(ticket->loop, &ticket->task);
}
