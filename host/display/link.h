/* SPDX-License-Identifier: MIT */
/*
 * What the worker process of a VM (W) and its VNC server (S), a process of its own, send each
 * other: one struct a message, on a socket of type SEQPACKET. S maps the guest's video memory, for
 * reading only, and finds out itself what changed; W never touches a pixel for it.
 *
 *   S: READY, or FAILED and it ends      W: MEMORY then, and with each boot, and a descriptor
 *   S: VIEWERS, KEY, POINTER             W: UPDATE --> S: DRAWN, before the next UPDATE
 *
 * A third process, the keeper (server.c), has S's end, too, and starts S again when it crashes:
 *
 *   keeper: ENDED, when S is dead        S: READY, after so many seconds
 */
#ifndef DISPLAY_LINK_H
#define DISPLAY_LINK_H

#include "display/picture.h"

enum link_type {
	LINK_READY,
	LINK_FAILED,
	LINK_MEMORY,
	LINK_UPDATE,
	LINK_DRAWN,
	LINK_VIEWERS,
	LINK_KEY,
	LINK_POINTER,
	LINK_ENDED,
};

#define LINK_POINTER_MAX 32767u
#define LINK_KEYS        256u
#define LINK_REST_MIN_S  1u
#define LINK_REST_MAX_S  60u

struct link_message {
	uint32_t type; /* enum link_type */
	union {
		char text[256]; /* FAILED: why */
		uint64_t bytes; /* MEMORY */
		struct {
			struct picture_mode mode; /* width 0: no picture */
			struct picture_rect dirt; /* may be empty */
			bool told;                /* what is drawn is in `dirt`, without looking */
		} update;
		uint32_t viewers;
		struct {
			uint32_t key;  /* Linux's code, see keys.h; below LINK_KEYS */
			uint32_t down; /* 0: up */
		} key;
		struct {
			uint32_t x, y;    /* 0 to LINK_POINTER_MAX */
			uint32_t buttons; /* bit 0 left, 1 right, 2 middle */
			int32_t wheel;    /* steps up */
		} pointer;
		struct {
			uint32_t signal; /* 0: it could not start */
			uint32_t rest_s; /* until it is started again */
		} ended;
	};
};

#endif
