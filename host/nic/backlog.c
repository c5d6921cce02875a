/* SPDX-License-Identifier: MIT */
/* Frames that wait for their transport; see backend.h for the states. */
#include <assert.h>
#include <errno.h>

#include "nic/backend.h"

void nic_fifo_init(struct nic_fifo *f)
{
	f->head = NULL;
	f->tail = &f->head;
	f->count = 0;
}

void nic_fifo_push(struct nic_fifo *f, struct nic_frame *frame)
{
	frame->next = NULL;
	*f->tail = frame;
	f->tail = &frame->next;
	f->count++;
}

struct nic_frame *nic_fifo_pop(struct nic_fifo *f)
{
	struct nic_frame *frame = f->head;

	if (!frame)
		return NULL;
	f->head = frame->next;
	if (!f->head)
		f->tail = &f->head;
	f->count--;
	return frame;
}

void nic_fifo_push_front(struct nic_fifo *f, struct nic_frame *frame)
{
	frame->next = f->head;
	f->head = frame;
	if (!frame->next)
		f->tail = &frame->next;
	f->count++;
}

/* ---- backlog ------------------------------------------------------------- */

static void drop_all(struct nic_backlog *b, enum nic_drop cause, int error)
{
	struct nic_frame *frame;

	if (b->dropping)
		b->dropping(b);
	while ((frame = nic_fifo_pop(&b->fifo)))
		nic_tx_drop(b->queue, frame, cause, error);
}

static void stalled(struct loop_timer *t)
{
	struct nic_backlog *b = container_of(t, struct nic_backlog, timer);

	b->stalled = true;
	drop_all(b, NIC_DROP_FULL, -ENOBUFS);
}

void nic_backlog_init(struct nic_backlog *b, struct nic_queue *queue)
{
	*b = (struct nic_backlog){.queue = queue};
	nic_fifo_init(&b->fifo);
}

void nic_backlog_push(struct nic_backlog *b, struct nic_frame *frame)
{
	if (b->stalled) {
		nic_tx_drop(b->queue, frame, NIC_DROP_FULL, -ENOBUFS);
		return;
	}
	nic_fifo_push(&b->fifo, frame);
	if (!b->timer.armed)
		loop_timer_start(b->queue->loop, &b->timer, NIC_STALL_NS, stalled);
}

struct nic_frame *nic_backlog_pop(struct nic_backlog *b)
{
	return nic_fifo_pop(&b->fifo);
}

void nic_backlog_progress(struct nic_backlog *b)
{
	b->stalled = false;
	loop_timer_cancel(&b->timer);
	if (b->fifo.head)
		loop_timer_start(b->queue->loop, &b->timer, NIC_STALL_NS, stalled);
}

void nic_backlog_drop(struct nic_backlog *b, enum nic_drop cause, int error)
{
	b->stalled = false;
	loop_timer_cancel(&b->timer);
	drop_all(b, cause, error);
}
