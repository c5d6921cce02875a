/* SPDX-License-Identifier: MIT */
/* See scsi_fence.h. */
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
	list_init(&fence->parked);
	fence->running = NULL;
	for (uint32_t i = 0; i < SCSI_FENCE_SHARDS; i++)
		atomic_init(&fence->shards[i].inside, 0);
	return fence;
}

void scsi_fence_destroy(struct scsi_fence *fence)
{
	assert(list_empty(&fence->parked) && !fence->running);
	pthread_mutex_destroy(&fence->lock);
	free(fence);
}

/* Loops are big structures: their low address bits say little. */
static _Atomic uint64_t *inside_of(struct scsi_fence *fence, const struct scsi_fence_pass *pass)
{
	uint64_t spread = (uint64_t)(uintptr_t)pass->loop * 0x9E3779B97F4A7C15ull;

	return &fence->shards[spread >> 61].inside;
}
_Static_assert(SCSI_FENCE_SHARDS == 1u << (64 - 61), "shard index");

static void wake(struct loop_task *task)
{
	struct scsi_fence_pass *pass = container_of(task, struct scsi_fence_pass, task);

	pass->resume(pass);
}

static void park(struct scsi_fence *fence, struct scsi_fence_pass *pass)
{
	pass->task.fn = wake;
	list_init(&pass->link);
	list_add_tail(&fence->parked, &pass->link);
}

/* While closed nobody new stays inside: who counts in now counts out again, and pumps. */
static bool nobody_inside(struct scsi_fence *fence)
{
	for (uint32_t i = 0; i < SCSI_FENCE_SHARDS; i++)
		if (atomic_load(&fence->shards[i].inside))
			return false;
	return true;
}

/* Locked, closed. Lets in whoever can be: in order. `self` is told by the caller itself. */
static void pump(struct scsi_fence *fence, const struct scsi_fence_pass *self)
{
	while (!fence->running && !list_empty(&fence->parked)) {
		struct scsi_fence_pass *first =
			container_of(fence->parked.next, struct scsi_fence_pass, link);

		if (first->exclusive && !nobody_inside(fence))
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

static void pump_unlocked(struct scsi_fence *fence)
{
	pthread_mutex_lock(&fence->lock);
	if (atomic_load(&fence->closed))
		pump(fence, NULL);
	pthread_mutex_unlock(&fence->lock);
}

static void count_out(struct scsi_fence *fence, const struct scsi_fence_pass *pass)
{
	atomic_fetch_sub(inside_of(fence, pass), 1);
	if (atomic_load(&fence->closed))
		pump_unlocked(fence);
}

static bool enter_exclusive(struct scsi_fence *fence, struct scsi_fence_pass *pass)
{
	bool now;

	pthread_mutex_lock(&fence->lock);
	park(fence, pass);
	atomic_store(&fence->closed, true);
	pump(fence, pass);
	now = fence->running == pass;
	pthread_mutex_unlock(&fence->lock);
	return now;
}

/* The fence was closed a moment ago. */
static bool enter_late(struct scsi_fence *fence, struct scsi_fence_pass *pass)
{
	bool closed;

	pthread_mutex_lock(&fence->lock);
	closed = atomic_load(&fence->closed);
	if (closed)
		park(fence, pass);
	else
		atomic_fetch_add(inside_of(fence, pass), 1);
	pthread_mutex_unlock(&fence->lock);
	return !closed;
}

bool scsi_fence_enter(struct scsi_fence *fence, struct scsi_fence_pass *pass)
{
	if (pass->exclusive)
		return enter_exclusive(fence, pass);
	atomic_fetch_add(inside_of(fence, pass), 1);
	if (!atomic_load(&fence->closed))
		return true;
	count_out(fence, pass);
	return enter_late(fence, pass);
}

void scsi_fence_leave(struct scsi_fence *fence, struct scsi_fence_pass *pass)
{
	if (!pass->exclusive) {
		count_out(fence, pass);
		return;
	}
	pthread_mutex_lock(&fence->lock);
	assert(fence->running == pass);
	fence->running = NULL;
	pump(fence, NULL);
	pthread_mutex_unlock(&fence->lock);
}

/* Those behind it may have waited for it only. */
void scsi_fence_withdraw(struct scsi_fence *fence, struct scsi_fence_pass *pass,
	void (*gone)(struct scsi_fence_pass *pass))
{
	bool parked;

	pthread_mutex_lock(&fence->lock);
	parked = !list_empty(&pass->link);
	if (parked) {
		list_del(&pass->link);
		pump(fence, NULL);
	}
	pthread_mutex_unlock(&fence->lock);
	if (!parked)
		return;
	pass->resume = gone;
	loop_post(pass->loop, &pass->task);
}
