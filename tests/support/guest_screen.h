/* SPDX-License-Identifier: MIT */
/* The guest's side of one video, keyboard or mouse channel, scripted; and the host's embedder of
 * synthetic video, which records its calls. */
#ifndef SUPPORT_GUEST_SCREEN_H
#define SUPPORT_GUEST_SCREEN_H

#include "tests/support/guest.h"
#include "vsp/input/keyboard.h"
#include "vsp/input/mouse.h"
#include "vsp/video/video.h"

#define GUEST_SCREEN_MEGABYTES 8u
#define GUEST_SCREEN_GPA       0xF8000000ull

struct guest_screen {
	struct guest g;
	const struct vsp_ops *ops;
	struct vsp_device *dev;
	struct guest_chan chan;
	struct video_config config;
	/* calls of the host's embedder */
	_Atomic uint64_t gpa;   /* 0: no memory */
	_Atomic uint32_t maps;  /* calls of map() */
	_Atomic int map_error;  /* what it returns */
	_Atomic uint32_t modes; /* calls */
	_Atomic uint32_t dirts, closes;
	struct picture_mode mode;
	struct picture_rect dirt;
	/* the last message that was taken */
	uint32_t len;
	_Alignas(8) uint8_t bytes[1024];
};

/* A connected guest with this one device; the channel is not open. */
struct guest_screen *guest_screen_create(const struct vsp_ops *ops, uint32_t io_threads);
void guest_screen_destroy(struct guest_screen *s);

void guest_screen_open(struct guest_screen *s);
void guest_screen_close(struct guest_screen *s);
/* As Linux does it, up to where the host may send. */
void guest_screen_open_ready(struct guest_screen *s);

/* False: there is none. */
bool guest_screen_take(struct guest_screen *s);
/* Waits for one. */
void guest_screen_expect(struct guest_screen *s);
/* Nothing comes, though the host has run. */
bool guest_screen_is_silent(struct guest_screen *s);
/* False: no room, which only happens to a guest that does not wait. */
bool guest_screen_send(struct guest_screen *s, const void *bytes, uint32_t len);
/* A message of video or mouse with its header. */
void guest_screen_say(struct guest_screen *s, uint32_t type, void *message, uint32_t len);

bool guest_screen_key(struct guest_screen *s, uint32_t key, bool down);
bool guest_screen_move(struct guest_screen *s, struct mouse_report report);
void guest_screen_watch(struct guest_screen *s, bool watch);

#endif
