/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_pauser.h"
#include "tests/support/check.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t random_below(struct guest_pauser *p, uint64_t limit)
{
	p->random = p->random * 1664525 + 1013904223;
	return (p->random >> 8) % limit;
}

static void after(struct guest_pauser *p, uint64_t max_ns, void (*fn)(struct loop_timer *timer))
{
	loop_timer_start(&p->g->control, &p->timer, random_below(p, max_ns), fn);
}

static void pause_now(struct loop_timer *timer);

static void resume_now(struct loop_timer *timer)
{
	struct guest_pauser *p = container_of(timer, struct guest_pauser, timer);

	if (p->is_paused && p->activity)
		check(p->activity(p->ctx) == p->activity_then);
	p->paused += p->is_paused;
	p->is_paused = false;
	vsp_device_resume(p->dev);
	p->cycles++;
	if (p->stop)
		p->stopped = true;
	else
		after(p, p->run_max_ns, pause_now);
}

static void on_paused(void *ctx)
{
	struct guest_pauser *p = ctx;

	p->is_paused = true;
	if (p->activity)
		p->activity_then = p->activity(p->ctx);
	after(p, p->pause_max_ns, resume_now);
}

/* One in four is resumed whether it is paused then or not. */
static void pause_now(struct loop_timer *timer)
{
	struct guest_pauser *p = container_of(timer, struct guest_pauser, timer);

	vsp_device_pause(p->dev, on_paused, p);
	if (!p->is_paused && random_below(p, 4) == 0)
		after(p, p->pause_max_ns, resume_now);
}

static void start(void *arg)
{
	struct guest_pauser *p = arg;

	p->random = 12345;
	after(p, p->run_max_ns, pause_now);
}

void guest_pauser_start(struct guest_pauser *p)
{
	guest_control(p->g, start, p);
}

void guest_pauser_stop(struct guest_pauser *p)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	p->stop = true;
	while (!p->stopped) {
		check(loop_now_ns() < until);
		sched_yield();
	}
}

/* ---- one pause ----------------------------------------------------------- */

struct one_pause {
	struct vsp_device *dev;
	_Atomic bool paused;
};

static void one_paused(void *ctx)
{
	((struct one_pause *)ctx)->paused = true;
}

static void one_pause(void *arg)
{
	struct one_pause *one = arg;

	vsp_device_pause(one->dev, one_paused, one);
}

static void one_resume(void *arg)
{
	vsp_device_resume(arg);
}

void guest_pause(struct guest *g, struct vsp_device *dev)
{
	struct one_pause one = {.dev = dev};
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	guest_control(g, one_pause, &one);
	while (!one.paused) {
		check(loop_now_ns() < until);
		if (g->single)
			guest_turn(g);
		else
			sched_yield();
	}
}

void guest_resume(struct guest *g, struct vsp_device *dev)
{
	guest_control(g, one_resume, dev);
}

void guest_pause_or_resume(struct guest *g, struct vsp_device *dev, bool *paused)
{
	if (*paused)
		guest_resume(g, dev);
	else
		guest_pause(g, dev);
	*paused = !*paused;
}
