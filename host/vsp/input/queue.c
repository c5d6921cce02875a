/* SPDX-License-Identifier: MIT */
#include "vsp/input/queue.h"

#include <assert.h>
#include <string.h>

#include "base/counter.h"

/* ---- the I/O thread ------------------------------------------------------ */

/* In the ring, or dropped by a channel that closes. */
static void one_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	struct input_channel *c = vsp_channel_priv(ch);
	struct input_queue *q = c->sending;

	if (++q->sent < q->batched)
		return;
	c->sending = NULL;
	vsp_call_done(&q->call);
}

static void send_batch(struct vsp_call *call)
{
	struct input_queue *q = container_of(call, struct input_queue, call);
	struct input_channel *c = vsp_channel_priv(call->ch);
	uint32_t count = q->batched; /* of which control thinks again when the last one is sent */

	q->sent = 0;
	q->refused = !c->ch || c->paused || c->stopping || !c->ready;
	if (q->refused) {
		vsp_call_done(call);
		return;
	}
	c->sending = q;
	for (uint32_t i = 0; i < count; i++) {
		q->out[i] = (struct vsp_out){
			.packet = {.type = VMBUS_PKT_INBAND, .payload = {&q->batch[i], q->size}},
			.sent = one_sent,
		};
		vsp_send(c->ch, &q->out[i]);
	}
}

void input_channel_open(struct input_channel *c, struct vsp_channel *ch)
{
	c->ch = ch;
}

void input_channel_stop(struct vsp_channel *ch)
{
	struct input_channel *c = vsp_channel_priv(ch);

	c->stopping = true;
	counter_set(&c->ready, false);
}

void input_channel_pause(struct vsp_channel *ch)
{
	struct input_channel *c = vsp_channel_priv(ch);

	c->paused = true;
}

void input_channel_resume(struct vsp_channel *ch)
{
	struct input_channel *c = vsp_channel_priv(ch);

	c->paused = false;
}

/* ---- control ------------------------------------------------------------- */

static void start(struct input_queue *q);

static void rested(struct loop_timer *timer)
{
	start(container_of(timer, struct input_queue, timer));
}

static void rest(struct input_queue *q)
{
	loop_timer_start(vsp_device_control(q->dev), &q->timer, EVENTS_REST_NS, rested);
}

static void batch_done(struct vsp_call *call)
{
	struct input_queue *q = container_of(call, struct input_queue, call);

	q->calling = false;
	if (!q->refused || q->stale)
		q->batched = 0;
	q->stale = false;
	rest(q);
}

static void take_batch(struct input_queue *q)
{
	while (q->count && q->batched < EVENTS_BATCH) {
		q->batch[q->batched++] = q->queue[q->first];
		q->first = (q->first + 1) % EVENTS_MAX;
		q->count--;
	}
}

static void start(struct input_queue *q)
{
	struct vsp_channel *ch = vsp_device_primary(q->dev);

	if (q->calling || q->timer.armed || !ch || !input_queue_is_taken(q) ||
		(!q->count && !q->batched))
		return;
	if (vsp_device_pauses(q->dev)) {
		rest(q);
		return;
	}
	take_batch(q);
	q->calling = true;
	vsp_channel_call(ch, &q->call, send_batch, batch_done);
}

void input_queue_init(struct input_queue *q, struct vsp_device *dev, uint32_t size)
{
	assert(size <= EVENT_SIZE_MAX);
	*q = (struct input_queue){.dev = dev, .size = size};
}

void input_queue_fini(struct input_queue *q)
{
	loop_timer_cancel(&q->timer);
}

/* A batch that is on its way stays: it is the I/O thread's. */
void input_queue_clear(struct input_queue *q)
{
	q->count = 0;
	q->stale = q->calling;
	if (!q->calling)
		q->batched = 0;
}

bool input_queue_is_taken(const struct input_queue *q)
{
	struct vsp_channel *ch = vsp_device_primary(q->dev);
	struct input_channel *c = ch ? vsp_channel_priv(ch) : NULL;

	ON_LOOP(vsp_device_control(q->dev));
	return c && counter_get(&c->ready);
}

uint32_t input_queue_room(const struct input_queue *q)
{
	return EVENTS_MAX - q->count;
}

void input_queue_push(struct input_queue *q, const void *message)
{
	struct event *e = &q->queue[(q->first + q->count) % EVENTS_MAX];

	assert(q->count < EVENTS_MAX);
	memcpy(e->bytes, message, q->size);
	q->count++;
	start(q);
}

void *input_queue_last(struct input_queue *q)
{
	return q->count ? q->queue[(q->first + q->count - 1) % EVENTS_MAX].bytes : NULL;
}
