/* SPDX-License-Identifier: MIT */
/*
 * What the worker process of a VM (W) and its VNC server (S), a process of its own, send each
 * other: one struct a message, on a socket of type SEQPACKET. S maps the guest's video memory, for
 * reading only, and finds out itself what changed; W never touches a pixel for it.
 *
 *   S: READY or FAILED, once             W: MEMORY with each boot, and a descriptor
 *   S: VIEWERS, KEY, POINTER             W: UPDATE --> S: DRAWN, before the next UPDATE
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
};

#define LINK_POINTER_MAX 32767u

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
			uint32_t key; /* Linux's code, see keys.h */
			bool down;
		} key;
		struct {
			uint32_t x, y;    /* 0 to LINK_POINTER_MAX */
			uint32_t buttons; /* bit 0 left, 1 right, 2 middle */
			int32_t wheel;    /* steps up */
		} pointer;
	};
};

#endif
