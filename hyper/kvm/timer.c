/* SPDX-License-Identifier: MIT */
/*
 * The clock behind synthetic timers: one thread per partition that sleeps until
 * the earliest due time of any VP. It exists only when timers are offered.
 *
 * Reference time runs at the guest TSC's rate, the host clock at its own; the
 * thread re-reads reference time when it wakes and never expires a timer early.
 */
#include <errno.h>
#include <time.h>

#include "base/thread.h"
#include "base/time.h"
#include "hyper/kvm/partition_impl.h"

#define NS_PER_TICK 100u /* reference time counts 100 ns */

/* Sleep at most this long at once, so that a far due time cannot overflow. */
#define TIMER_SLEEP_MAX_NS (60 * NS_PER_S)

static struct timespec deadline_in(uint64_t ticks)
{
	struct timespec ts;
	uint64_t ns =
		ticks > TIMER_SLEEP_MAX_NS / NS_PER_TICK ? TIMER_SLEEP_MAX_NS : ticks * NS_PER_TICK;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ns += (uint64_t)ts.tv_nsec;
	ts.tv_sec += (time_t)(ns / NS_PER_S);
	ts.tv_nsec = (long)(ns % NS_PER_S);
	return ts;
}

/* Under the lock: true and the VP that has been due for longest; or false and when the next one is.
 * A VP whose timers take longer than their period is always due: the others come before it. */
static bool take_due(
	struct stimer_thread *t, uint32_t vp_count, uint64_t now, uint32_t *vp, uint64_t *next)
{
	*vp = 0;
	for (uint32_t i = 1; i < vp_count; i++)
		if (t->due[i] < t->due[*vp])
			*vp = i;
	*next = t->due[*vp];
	if (*next > now)
		return false;
	t->due[*vp] = UINT64_MAX;
	return true;
}

/* Under the lock. Expires one VP's timers, or sleeps until there may be something to do. */
static void timer_step(struct partition *p)
{
	struct stimer_thread *t = &p->stimer;
	uint64_t now = hv_ref_time(&p->hv), next;
	struct timespec ts;
	uint32_t vp;

	if (take_due(t, p->config.vp_count, now, &vp, &next)) {
		t->expiring = true;
		pthread_mutex_unlock(&t->lock);
		hv_stimer_expire(&p->hv, vp);
		pthread_mutex_lock(&t->lock);
		t->expiring = false;
		pthread_cond_broadcast(&t->cond);
	} else if (next == UINT64_MAX) {
		pthread_cond_wait(&t->cond, &t->lock);
	} else {
		ts = deadline_in(next - now);
		pthread_cond_timedwait(&t->cond, &t->lock, &ts);
	}
}

static void *timer_main(void *arg)
{
	struct partition *p = arg;
	struct stimer_thread *t = &p->stimer;

	thread_enter(THREAD_TIMER, "stimer");
	pthread_mutex_lock(&t->lock);
	while (!t->stop) {
		if (t->paused)
			pthread_cond_wait(&t->cond, &t->lock);
		else
			timer_step(p);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

int stimer_thread_start(struct partition *p)
{
	struct stimer_thread *t = &p->stimer;
	pthread_condattr_t attr;
	int ret;

	pthread_mutex_init(&t->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&t->cond, &attr);
	pthread_condattr_destroy(&attr);
	for (uint32_t i = 0; i < HV_VPS_MAX; i++)
		t->due[i] = UINT64_MAX;
	ret = pthread_create(&t->thread, NULL, timer_main, p);
	if (ret)
		return -ret;
	t->started = true;
	return 0;
}

void stimer_thread_stop(struct partition *p)
{
	struct stimer_thread *t = &p->stimer;

	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->stop = true;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->started = false;
	pthread_cond_destroy(&t->cond);
	pthread_mutex_destroy(&t->lock);
}

/* Called under hv_vp.lock: takes only the thread's own lock. */
void stimer_thread_arm(struct partition *p, uint32_t vp, uint64_t ref_time)
{
	struct stimer_thread *t = &p->stimer;

	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->due[vp] = ref_time;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
}

/* Waits for an expiry that is under way: some memory writes and an interrupt. */
void stimer_thread_pause(struct partition *p)
{
	struct stimer_thread *t = &p->stimer;

	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->paused = true;
	while (t->expiring)
		pthread_cond_wait(&t->cond, &t->lock);
	pthread_mutex_unlock(&t->lock);
}

/* Its sleep ended at a time that is due later now: look again. */
void stimer_thread_resume(struct partition *p)
{
	struct stimer_thread *t = &p->stimer;

	if (!t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->paused = false;
	pthread_cond_broadcast(&t->cond);
	pthread_mutex_unlock(&t->lock);
}
