/* SPDX-License-Identifier: MIT */
/*
 * Messages from the host to a guest's input driver, in order, a few at a time: some drivers have
 * room for 16 and lose what comes on top. The queue belongs to the control thread. It hands a batch
 * to the channel's I/O thread and waits for it, so there is no lock, and what a guest that does not
 * read can cause is a full queue.
 *
 *   IDLE --push--> CALLING --sent--> RESTING --EVENTS_REST_NS, more to send--> CALLING
 *     ^                |                `--- nothing more ---.
 *     |                `--- the channel is paused, closed ---> RESTING
 *     `------------------------------------------------------'
 *
 * A batch that reached a channel that was paused is kept; one that reached a closed channel is lost
 * with all the queue when the guest opens it again.
 */
#ifndef VSP_INPUT_QUEUE_H
#define VSP_INPUT_QUEUE_H

#include "vsp/vsp.h"

#define EVENT_SIZE_MAX 24u
#define EVENTS_BATCH   16u
#define EVENTS_MAX     384u
#define EVENTS_REST_NS 20000000ull

struct event {
	uint8_t bytes[EVENT_SIZE_MAX];
};

struct input_queue {
	struct vsp_device *dev;
	uint32_t size; /* bytes of each message */
	struct event queue[EVENTS_MAX];
	uint32_t first, count;
	struct loop_timer timer;
	struct vsp_call call;
	bool calling;
	bool stale; /* the batch is for a driver that is gone */
	/* The I/O thread's during a call. */
	struct event batch[EVENTS_BATCH];
	struct vsp_out out[EVENTS_BATCH];
	uint32_t batched, sent;
	bool refused;
};

/* What the channel's private memory begins with. */
struct input_channel {
	struct vsp_channel *ch;
	bool ready; /* counter: the guest's driver takes events */
	bool paused, stopping;
	struct input_queue *sending; /* NULL: no batch is on its way */
};

/* ON_CONTROL. */
void input_queue_init(struct input_queue *q, struct vsp_device *dev, uint32_t size);
void input_queue_fini(struct input_queue *q);
/* The guest opens its channel: what was queued is for a driver that is gone. */
void input_queue_clear(struct input_queue *q);
/* False: the guest's driver does not take events. */
bool input_queue_is_taken(const struct input_queue *q);
uint32_t input_queue_room(const struct input_queue *q);
/* There is room. */
void input_queue_push(struct input_queue *q, const void *message);
/* The last one that waits and is not handed over yet; NULL: none. */
void *input_queue_last(struct input_queue *q);

/* ON_IO_THREAD: of the device's channel functions. */
void input_channel_open(struct input_channel *c, struct vsp_channel *ch);
void input_channel_stop(struct vsp_channel *ch);
void input_channel_pause(struct vsp_channel *ch);
void input_channel_resume(struct vsp_channel *ch);

#endif
