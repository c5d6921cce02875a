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
#ifndef INPUT_EVENTS_H
#define INPUT_EVENTS_H

#include "vsp/vsp.h"

#define EVENT_SIZE_MAX 24u
#define EVENTS_BATCH   16u
#define EVENTS_MAX     384u
#define EVENTS_REST_NS 20000000ull

struct event {
	uint8_t bytes[EVENT_SIZE_MAX];
};

struct events {
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
struct events_channel {
	struct vsp_channel *ch;
	bool ready; /* counter: the guest's driver takes events */
	bool paused, stopping;
	struct events *sending; /* NULL: no batch is on its way */
};

/* ON_CONTROL. */
void events_init(struct events *q, struct vsp_device *dev, uint32_t size);
void events_fini(struct events *q);
/* The guest opens its channel: what was queued is for a driver that is gone. */
void events_clear(struct events *q);
/* False: the guest's driver does not take events. */
bool events_are_taken(const struct events *q);
uint32_t events_room(const struct events *q);
/* There is room. */
void events_push(struct events *q, const void *message);
/* The last one that waits and is not handed over yet; NULL: none. */
void *events_last(struct events *q);

/* ON_IO_THREAD: of the device's channel functions. */
void events_channel_open(struct events_channel *c, struct vsp_channel *ch);
void events_channel_stop(struct vsp_channel *ch);
void events_channel_pause(struct vsp_channel *ch);
void events_channel_resume(struct vsp_channel *ch);

#endif
