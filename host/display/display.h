/* SPDX-License-Identifier: MIT */
/*
 * The picture of a VM: the guest's video memory, what part of it is shown, what was drawn since it
 * the last update; and the link to the VNC server, which compares. A guest that draws costs the VM
 * a rectangle under a lock; no thread of the VM reads pixels, but for a screenshot and the last
 * picture of a guest that ends.
 *
 * Threads: control, but for what is marked. The lock is held for a copy of a few words.
 */
#ifndef DISPLAY_DISPLAY_H
#define DISPLAY_DISPLAY_H

#include <pthread.h>

#include "base/err.h"
#include "base/inspect.h"
#include "base/loop.h"
#include "display/link.h"
#include "display/picture.h"

/* On the control thread. */
struct display_ops {
	void (*watch)(void *ctx, bool watch);            /* viewers are there now, or not */
	void (*key)(void *ctx, uint32_t key, bool down); /* Linux's code, see keys.h */
	/* x, y: 0 to LINK_POINTER_MAX; buttons: bit 0 left, 1 right, 2 middle; wheel: steps up */
	void (*pointer)(void *ctx, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel);
};

/*
 * The VNC server:
 *
 *   NONE <--the link ended-- SERVING --ENDED--> RESTING --READY--> SERVING
 *     ^                                            |
 *     `--- the link ended -------------------------'
 *
 * More ENDEDs than the keeper sends are the end of the link.
 *
 * When it is SERVING no more, the keys and buttons come up that its viewers held.
 *
 * Updates of it: one at a time. Without viewers only a mode is one, and at most one in a second.
 *
 *   IDLE --drawn, a mode--> POSTED --control--> SENT --DRAWN--> IDLE, or POSTED
 */
enum display_server { DISPLAY_NONE, DISPLAY_SERVING, DISPLAY_RESTING };

struct display {
	struct loop *control;
	const struct display_ops *ops;
	void *ctx;
	uint64_t bytes; /* of video memory */
	/* one boot's */
	int memfd; /* -1: no guest */
	uint8_t *memory;
	struct picture last; /* of a guest before, or before a crash */
	/* the link */
	int link; /* display_server_stop() closes it */
	struct loop_op op;
	bool reading;
	struct link_message message;
	uint32_t viewers;
	bool sent; /* an UPDATE is with the server */
	uint64_t updates, ends;
	uint32_t rest_s;      /* after the last end */
	uint32_t ends_left;   /* ENDEDs that are listened to */
	uint64_t refilled_ns; /* up to when they were counted */
	uint64_t mode_due_ns; /* without viewers no mode is sent until then */
	struct loop_timer timer;
	bool down[LINK_KEYS];
	uint32_t x, y, buttons;
	/* under the lock */
	pthread_mutex_t lock;
	enum display_server server; /* written by control */
	struct picture_mode mode;   /* width 0: there is no picture */
	struct picture_rect dirt;
	bool told, changed;
	bool posted;
	struct loop_task task; /* any thread posts it, when `posted` was not set */
};

/* link: of display_server_socket(), or -1. bytes: of video memory, a MiB multiple. */
void display_open(struct display *d, struct loop *control, int link, uint64_t bytes,
	const struct display_ops *ops, void *ctx);
/* The loop runs no more. */
void display_close(struct display *d);

/* A new guest: memory that is zero, no picture. 0, or -errno with one line. */
int display_attach(struct display *d, struct err *e);
void display_detach(struct display *d);

/* Any thread. A mode that is valid for the memory; reported: display_dirt() reports what is drawn.
 */
void display_set_mode(struct display *d, const struct picture_mode *mode, bool told);
/* Any thread: the guest's driver says nothing any more. The picture stays. */
void display_untold(struct display *d);
/* Any thread. */
void display_dirt(struct display *d, const struct picture_rect *rect);

/* The guest crashed, or ends: this is its last picture. */
void display_keep(struct display *d);
/* A copy. last: of display_keep(). 0, -ENODATA: there is none; -ENOMEM. */
int display_copy(struct display *d, bool last, struct picture *p);

void display_inspect(struct display *d, struct inspect *i);

#endif
