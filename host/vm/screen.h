/* SPDX-License-Identifier: MIT */
/*
 * The VM's screen, keyboard and mouse: the devices that the guest has, the picture, and what
 * viewers and commands type. Without --display there are none of them.
 *
 * Thread: control, but for what the devices call on their I/O thread.
 */
#ifndef VM_SCREEN_H
#define VM_SCREEN_H

#include "config/config.h"
#include "display/display.h"
#include "display/keys.h"
#include "vm/device_group.h"
#include "vsp/input/keyboard.h"
#include "vsp/input/mouse.h"
#include "vsp/video/video.h"

#define SCREEN_MEGABYTES 16u /* of video memory: 2560x1600 */
#define SCREEN_WIDTH     1024u
#define SCREEN_HEIGHT    768u
/* Where the memory is when the guest starts, and where Linux's driver puts it, too: the first
 * address of the window for devices. */
#define SCREEN_GPA 0xF8000000u

#define SCREEN_TEXT_MAX 1024u /* characters that are typed at once */

/* Keys that are typed one after the other, as the guest takes them. */
struct screen_typing {
	struct screen_stroke {
		uint8_t scan;
		bool shift;
	} strokes[SCREEN_TEXT_MAX];
	uint32_t count, next;
	struct loop_timer timer;
	struct screen *screen;
	void (*done)(void *ctx, int error); /* 0, or -ENOTCONN: the guest's driver is gone */
	void *ctx;
};

struct screen {
	bool offered;
	struct loop *control;
	int (*map)(void *ctx, uint64_t gpa);
	void *map_ctx;
	struct display display;
	struct video_config video_config;
	struct vm_device video, keyboard, mouse;
	struct device_group devices;
	struct screen_typing *typing; /* NULL: nothing is typed */
};

/* map: as in struct video_config, with ctx; the memory is display.memory. */
void screen_open(struct screen *s, struct loop *control, const struct vm_config *options,
	int (*map)(void *ctx, uint64_t gpa), void *ctx);
void screen_close(struct screen *s);

/* Video memory, before the guest is loaded. 0, or -errno with one line. */
int screen_attach_memory(struct screen *s, struct err *e);
/* The devices. */
int screen_attach(struct screen *s, struct vsp_host *host, struct err *e);
/* The guest's last picture is kept. */
void screen_detach(struct screen *s);
/* The guest draws on the framebuffer that was named when it was loaded. */
void screen_begin(struct screen *s);

/* All at once down, and up again in the opposite order. 0, or -errno with one line. */
int screen_press(struct screen *s, const uint32_t *keys, uint32_t count, struct err *e);
/* Types a text: done() later, unless -errno with one line. */
int screen_type(struct screen *s, const char *text, void (*done)(void *ctx, int error), void *ctx,
	struct err *e);
/* 0, or -EOPNOTSUPP with one line: there is no screen. */
int screen_check(const struct screen *s, struct err *e);

void screen_inspect(struct screen *s, struct inspect *i);
/* Members of the array "devices". */
void screen_inspect_devices(const struct screen *s, struct inspect *i);

#endif
