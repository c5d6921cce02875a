/* SPDX-License-Identifier: MIT */
#include "vsp/storvsp/reset.h"

#include <assert.h>

static void reset_due(struct loop_task *task)
{
	struct reset *reset = container_of(task, struct reset, task);

	ON_LOOP(reset->loop);
	loop_timer_cancel(&reset->timer);
	reset->done(reset, true);
}

/* ---- under lock ---------------------------------------------------------- */

static void count_up(struct reset_tracker *tracker, uint32_t lun)
{
	tracker->pending[lun]++;
	tracker->busy |= 1ull << lun;
}

/* True: that was the last. */
static bool count_down(struct reset_tracker *tracker, uint32_t lun)
{
	assert(tracker->pending[lun]);
	if (--tracker->pending[lun])
		return false;
	tracker->busy &= ~(1ull << lun);
	return true;
}

static void post_done(struct reset_tracker *tracker)
{
	list_for_each_safe (pos, &tracker->running) {
		struct reset *reset = container_of(pos, struct reset, link);

		if (reset->luns & tracker->busy)
			continue;
		list_del(&reset->link);
		loop_post(reset->loop, &reset->task);
	}
}

static void post_cancel(struct reset_member *member, uint64_t luns)
{
	uint64_t more = luns & ~member->luns;

	member->luns |= luns;
	for (uint64_t rest = more; rest; rest &= rest - 1)
		count_up(member->tracker, (uint32_t)__builtin_ctzll(rest));
	if (member->posted || !more)
		return;
	member->posted = true;
	loop_post(member->loop, &member->task);
}

/* ---- members ------------------------------------------------------------- */

static uint64_t take_luns(struct reset_member *member)
{
	uint64_t luns;

	pthread_mutex_lock(&member->tracker->lock);
	luns = member->luns;
	member->luns = 0;
	member->posted = false;
	pthread_mutex_unlock(&member->tracker->lock);
	return luns;
}

static void cancel_task(struct loop_task *task)
{
	struct reset_member *member = container_of(task, struct reset_member, task);
	struct reset_tracker *tracker = member->tracker;
	uint64_t luns = take_luns(member);
	bool last = false;

	ON_LOOP(member->loop);
	member->cancel(member, luns);
	pthread_mutex_lock(&tracker->lock);
	for (uint64_t rest = luns; rest; rest &= rest - 1)
		last |= count_down(tracker, (uint32_t)__builtin_ctzll(rest));
	if (last)
		post_done(tracker);
	pthread_mutex_unlock(&tracker->lock);
	member->cancelled(member);
}

void reset_join(struct reset_tracker *tracker, struct reset_member *member)
{
	ON_LOOP(member->loop);
	member->tracker = tracker;
	member->luns = 0;
	member->posted = false;
	member->task.fn = cancel_task;
	pthread_mutex_lock(&tracker->lock);
	list_add_tail(&tracker->members, &member->link);
	pthread_mutex_unlock(&tracker->lock);
}

bool reset_leave(struct reset_member *member)
{
	bool unused;

	ON_LOOP(member->loop);
	pthread_mutex_lock(&member->tracker->lock);
	unused = !member->posted;
	if (unused)
		list_del(&member->link);
	pthread_mutex_unlock(&member->tracker->lock);
	return unused;
}

void reset_command_aborted(struct reset_tracker *tracker, uint32_t lun)
{
	pthread_mutex_lock(&tracker->lock);
	count_up(tracker, lun);
	pthread_mutex_unlock(&tracker->lock);
}

void reset_command_done(struct reset_tracker *tracker, uint32_t lun)
{
	pthread_mutex_lock(&tracker->lock);
	if (count_down(tracker, lun))
		post_done(tracker);
	pthread_mutex_unlock(&tracker->lock);
}

/* ---- resets -------------------------------------------------------------- */

bool reset_cancel(struct reset *reset)
{
	bool running;

	ON_LOOP(reset->loop);
	pthread_mutex_lock(&reset->tracker->lock);
	running = !list_empty(&reset->link);
	list_del(&reset->link);
	pthread_mutex_unlock(&reset->tracker->lock);
	loop_timer_cancel(&reset->timer);
	return running;
}

static void timed_out(struct loop_timer *timer)
{
	struct reset *reset = container_of(timer, struct reset, timer);

	if (reset_cancel(reset))
		reset->done(reset, false);
}

/* The channel it came on is a member, so something is pending when it starts. */
void reset_start(struct reset_tracker *tracker, struct reset *reset)
{
	ON_LOOP(reset->loop);
	reset->tracker = tracker;
	reset->task.fn = reset_due;
	reset->timer = (struct loop_timer){0};
	loop_timer_start(reset->loop, &reset->timer, RESET_NS, timed_out);
	pthread_mutex_lock(&tracker->lock);
	list_add_tail(&tracker->running, &reset->link);
	list_for_each (pos, &tracker->members)
		post_cancel(container_of(pos, struct reset_member, link), reset->luns);
	pthread_mutex_unlock(&tracker->lock);
}

/* ---- the tracker --------------------------------------------------------- */

void reset_tracker_init(struct reset_tracker *tracker)
{
	*tracker = (struct reset_tracker){.busy = 0};
	pthread_mutex_init(&tracker->lock, NULL);
	list_init(&tracker->members);
	list_init(&tracker->running);
}

void reset_tracker_fini(struct reset_tracker *tracker)
{
	assert(list_empty(&tracker->members) && list_empty(&tracker->running) && !tracker->busy);
	pthread_mutex_destroy(&tracker->lock);
}
