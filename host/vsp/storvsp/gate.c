/* SPDX-License-Identifier: MIT */
#include "vsp/storvsp/gate.h"

#include <assert.h>

static void waiter_task(struct loop_task *task)
{
	struct storvsp_waiter *w = container_of(task, struct storvsp_waiter, task);

	/* POSTED is left by this thread only. */
	w->state = WAITER_IDLE;
	w->opened(w);
}

void gate_init(struct storvsp_gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	gate->version = 0;
	list_init(&gate->waiters);
}

void gate_fini(struct storvsp_gate *gate)
{
	assert(list_empty(&gate->waiters));
	pthread_mutex_destroy(&gate->lock);
}

void gate_close(struct storvsp_gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->version = 0;
	pthread_mutex_unlock(&gate->lock);
}

void gate_open(struct storvsp_gate *gate, uint16_t version)
{
	pthread_mutex_lock(&gate->lock);
	gate->version = version;
	list_for_each_safe (pos, &gate->waiters) {
		struct storvsp_waiter *w = container_of(pos, struct storvsp_waiter, link);

		list_del(&w->link);
		w->state = WAITER_POSTED;
		loop_post(w->loop, &w->task);
	}
	pthread_mutex_unlock(&gate->lock);
}

bool gate_is_open(struct storvsp_gate *gate)
{
	bool open;

	pthread_mutex_lock(&gate->lock);
	open = gate->version;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

void gate_waiter_init(
	struct storvsp_waiter *w, struct loop *loop, void (*opened)(struct storvsp_waiter *w))
{
	w->state = WAITER_IDLE;
	list_init(&w->link);
	w->loop = loop;
	w->task.fn = waiter_task;
	w->opened = opened;
}

uint16_t gate_pass(struct storvsp_gate *gate, struct storvsp_waiter *w)
{
	uint16_t version;

	pthread_mutex_lock(&gate->lock);
	version = gate->version;
	if (!version && w->state == WAITER_IDLE) {
		w->state = WAITER_WAITING;
		list_add_tail(&gate->waiters, &w->link);
	}
	pthread_mutex_unlock(&gate->lock);
	return version;
}

bool gate_leave(struct storvsp_gate *gate, struct storvsp_waiter *w)
{
	bool left;

	pthread_mutex_lock(&gate->lock);
	if (w->state == WAITER_WAITING) {
		list_del(&w->link);
		w->state = WAITER_IDLE;
	}
	left = w->state == WAITER_IDLE;
	pthread_mutex_unlock(&gate->lock);
	return left;
}
