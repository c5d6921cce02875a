/* SPDX-License-Identifier: MIT */
#include "vsp/storvsp/reset.h"

#include <assert.h>

static void reset_due(struct loop_task *task)
{
	struct reset *reset = container_of(task, struct reset, task);

	loop_timer_cancel(&reset->timer);
	reset->done(reset, true);
}

/* ---- under lock ---------------------------------------------------------- */

static void count_up(struct reset_desk *desk, uint32_t lun)
{
	desk->left[lun]++;
	desk->busy |= 1ull << lun;
}

/* True: that was the last. */
static bool count_down(struct reset_desk *desk, uint32_t lun)
{
	assert(desk->left[lun]);
	if (--desk->left[lun])
		return false;
	desk->busy &= ~(1ull << lun);
	return true;
}

static void post_done(struct reset_desk *desk)
{
	list_for_each_safe (pos, &desk->running) {
		struct reset *reset = container_of(pos, struct reset, link);

		if (reset->luns & desk->busy)
			continue;
		list_del(&reset->link);
		loop_post(reset->loop, &reset->task);
	}
}

static void ask(struct reset_port *port, uint64_t luns)
{
	uint64_t more = luns & ~port->luns;

	port->luns |= luns;
	for (uint64_t rest = more; rest; rest &= rest - 1)
		count_up(port->desk, (uint32_t)__builtin_ctzll(rest));
	if (port->posted || !more)
		return;
	port->posted = true;
	loop_post(port->loop, &port->task);
}

/* ---- ports --------------------------------------------------------------- */

static void visit_task(struct loop_task *task)
{
	struct reset_port *port = container_of(task, struct reset_port, task);
	struct reset_desk *desk = port->desk;
	bool last = false;
	uint64_t luns;

	pthread_mutex_lock(&desk->lock);
	luns = port->luns;
	port->luns = 0;
	port->posted = false;
	pthread_mutex_unlock(&desk->lock);
	port->visit(port, luns);
	pthread_mutex_lock(&desk->lock);
	for (uint64_t rest = luns; rest; rest &= rest - 1)
		last |= count_down(desk, (uint32_t)__builtin_ctzll(rest));
	if (last)
		post_done(desk);
	pthread_mutex_unlock(&desk->lock);
	port->visited(port);
}

void reset_join(struct reset_desk *desk, struct reset_port *port)
{
	port->desk = desk;
	port->luns = 0;
	port->posted = false;
	port->task.fn = visit_task;
	pthread_mutex_lock(&desk->lock);
	list_add_tail(&desk->ports, &port->link);
	pthread_mutex_unlock(&desk->lock);
}

bool reset_leave(struct reset_port *port)
{
	bool left;

	pthread_mutex_lock(&port->desk->lock);
	left = !port->posted;
	if (left)
		list_del(&port->link);
	pthread_mutex_unlock(&port->desk->lock);
	return left;
}

void reset_took(struct reset_desk *desk, uint32_t lun)
{
	pthread_mutex_lock(&desk->lock);
	count_up(desk, lun);
	pthread_mutex_unlock(&desk->lock);
}

void reset_gave_back(struct reset_desk *desk, uint32_t lun)
{
	pthread_mutex_lock(&desk->lock);
	if (count_down(desk, lun))
		post_done(desk);
	pthread_mutex_unlock(&desk->lock);
}

/* ---- resets -------------------------------------------------------------- */

bool reset_stop(struct reset *reset)
{
	bool running;

	pthread_mutex_lock(&reset->desk->lock);
	running = !list_empty(&reset->link);
	list_del(&reset->link);
	pthread_mutex_unlock(&reset->desk->lock);
	loop_timer_cancel(&reset->timer);
	return running;
}

static void too_late(struct loop_timer *timer)
{
	struct reset *reset = container_of(timer, struct reset, timer);

	if (reset_stop(reset))
		reset->done(reset, false);
}

/* The channel it came on is a port, so that something is left when it starts. */
void reset_start(struct reset_desk *desk, struct reset *reset)
{
	ON_LOOP(reset->loop);
	reset->desk = desk;
	reset->task.fn = reset_due;
	reset->timer = (struct loop_timer){0};
	loop_timer_start(reset->loop, &reset->timer, RESET_NS, too_late);
	pthread_mutex_lock(&desk->lock);
	list_add_tail(&desk->running, &reset->link);
	list_for_each (pos, &desk->ports)
		ask(container_of(pos, struct reset_port, link), reset->luns);
	pthread_mutex_unlock(&desk->lock);
}

/* ---- the desk ------------------------------------------------------------ */

void reset_desk_init(struct reset_desk *desk)
{
	*desk = (struct reset_desk){.busy = 0};
	pthread_mutex_init(&desk->lock, NULL);
	list_init(&desk->ports);
	list_init(&desk->running);
}

void reset_desk_fini(struct reset_desk *desk)
{
	assert(list_empty(&desk->ports) && list_empty(&desk->running) && !desk->busy);
	pthread_mutex_destroy(&desk->lock);
}
