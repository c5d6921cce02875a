/* SPDX-License-Identifier: MIT */
#include "vm/screen.h"

#include <assert.h>
#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdlib.h>
#include <string.h>

#include "display/server.h"

/* ---- viewers ------------------------------------------------------------- */

static void watch(void *ctx, bool wanted)
{
	struct screen *s = ctx;

	if (s->video.vsp)
		video_watch(s->video.vsp, wanted);
}

/* The VNC server's numbers are checked here and in the device. */
static void key(void *ctx, uint32_t code, bool down)
{
	struct screen *s = ctx;
	uint32_t scan = key_scan_code(code);

	if (s->keyboard.vsp && scan)
		keyboard_key(s->keyboard.vsp, scan, down);
}

static void pointer(void *ctx, uint32_t x, uint32_t y, uint32_t buttons, int32_t wheel)
{
	struct screen *s = ctx;
	const struct mouse_report report = {
		(uint8_t)buttons, (uint16_t)x, (uint16_t)y, (int16_t)wheel};

	if (s->mouse.vsp)
		mouse_move(s->mouse.vsp, &report);
}

static const struct display_ops display_ops = {.watch = watch, .key = key, .pointer = pointer};

_Static_assert(LINK_POINTER_MAX == MOUSE_POSITION_MAX, "one scale");
_Static_assert(KEY_SCAN_PAUSE == KEYBOARD_KEY_PAUSE, "one table");

/* ---- the guest ----------------------------------------------------------- */

/* A helper thread. */
static int map_memory(void *ctx, uint64_t gpa)
{
	struct screen *s = ctx;

	return s->map(s->map_ctx, gpa);
}

/* The I/O thread, from here on. */

static void guest_mode(void *ctx, const struct picture_mode *mode)
{
	struct screen *s = ctx;

	display_set_mode(&s->display, mode, true);
}

static void guest_dirt(void *ctx, const struct picture_rect *rect)
{
	struct screen *s = ctx;

	display_dirt(&s->display, rect);
}

static void guest_closed(void *ctx)
{
	struct screen *s = ctx;

	display_untold(&s->display);
}

/* ---- commands ------------------------------------------------------------ */

int screen_check(const struct screen *s, struct err *e)
{
	if (s->offered)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		"the VM has no display; start it with --display headless or --display vnc=...");
}

static int check_keyboard(const struct screen *s, struct err *e)
{
	int ret = screen_check(s, e);

	if (ret || (s->keyboard.vsp && keyboard_is_ready(s->keyboard.vsp)))
		return ret;
	return err_set(e, -ENOTCONN,
		"the guest's keyboard driver (hyperv_keyboard) does not run: try again when it is loaded");
}

int screen_press(struct screen *s, const uint32_t *keys, uint32_t count, struct err *e)
{
	int ret = check_keyboard(s, e);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < count; i++)
		if (!key_scan_code(keys[i]))
			return err_set(e, -EINVAL, "key: a keyboard of this kind has no such key");
	if (keyboard_room(s->keyboard.vsp) < count)
		return err_set(e, -EBUSY, "key: the guest does not take what was typed before");
	for (uint32_t i = 0; i < count; i++)
		keyboard_key(s->keyboard.vsp, key_scan_code(keys[i]), true);
	for (uint32_t i = count; i > 0; i--)
		keyboard_key(s->keyboard.vsp, key_scan_code(keys[i - 1]), false);
	return 0;
}

/* ---- typing -------------------------------------------------------------- */

#define TYPING_NS 30000000ull

static void typing_end(struct screen *s, int error)
{
	struct screen_typing *t = s->typing;

	if (!t)
		return;
	s->typing = NULL;
	loop_timer_cancel(&t->timer);
	t->done(t->ctx, error);
	free(t);
}

static void stroke(struct vsp_device *keyboard, const struct screen_stroke *k)
{
	if (k->shift)
		keyboard_key(keyboard, KEY_LEFTSHIFT, true);
	keyboard_key(keyboard, k->scan, true);
	keyboard_key(keyboard, k->scan, false);
	if (k->shift)
		keyboard_key(keyboard, KEY_LEFTSHIFT, false);
}

static void type_on(struct loop_timer *timer);

/* What is in the queue is taken as fast as the guest's driver can bear it. */
static void type_more(struct screen *s)
{
	struct screen_typing *t = s->typing;

	if (!s->keyboard.vsp || !keyboard_is_ready(s->keyboard.vsp)) {
		typing_end(s, -ENOTCONN);
		return;
	}
	while (t->next < t->count && keyboard_room(s->keyboard.vsp) >= 2)
		stroke(s->keyboard.vsp, &t->strokes[t->next++]);
	if (t->next == t->count && keyboard_is_idle(s->keyboard.vsp))
		typing_end(s, 0);
	else
		loop_timer_start(s->control, &t->timer, TYPING_NS, type_on);
}

static void type_on(struct loop_timer *timer)
{
	struct screen_typing *t = container_of(timer, struct screen_typing, timer);

	type_more(t->screen);
}

static int decode(struct screen_typing *t, const char *text, struct err *e)
{
	uint32_t code;

	for (; *text; text++) {
		struct screen_stroke *k = &t->strokes[t->count];

		if (t->count == SCREEN_TEXT_MAX)
			return err_set(e, -E2BIG, "type: more than %u characters: use less at once",
				SCREEN_TEXT_MAX);
		if (!key_by_character(*text, &code, &k->shift))
			return err_set(e, -EINVAL,
				"type: character %u (byte 0x%02x) is not on a US keyboard",
				t->count + 1, (unsigned char)*text);
		k->scan = (uint8_t)key_scan_code(code);
		t->count++;
	}
	return 0;
}

int screen_type(struct screen *s, const char *text, void (*done)(void *ctx, int error), void *ctx,
	struct err *e)
{
	int ret = check_keyboard(s, e);
	struct screen_typing *t;

	if (ret)
		return ret;
	if (s->typing)
		return err_set(e, -EBUSY, "type: another text is being typed");
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	ret = decode(t, text, e);
	if (ret) {
		free(t);
		return ret;
	}
	t->screen = s;
	t->done = done;
	t->ctx = ctx;
	s->typing = t;
	type_more(s);
	return 0;
}

/* ---- guests -------------------------------------------------------------- */

int screen_attach_memory(struct screen *s, struct err *e)
{
	return s->offered ? display_attach(&s->display, e) : 0;
}

void screen_begin(struct screen *s)
{
	const struct picture_mode mode = {0, SCREEN_WIDTH, SCREEN_HEIGHT, SCREEN_WIDTH * 4};

	display_set_mode(&s->display, &mode, false);
}

int screen_attach(struct screen *s, struct vsp_host *host, struct err *e)
{
	int ret;

	if (!s->offered)
		return 0;
	ret = vm_device_create(
		&s->video, &s->devices, host, &video_ops, &video_instance, &s->video_config, e);
	if (!ret)
		ret = vm_device_create(&s->keyboard, &s->devices, host, &keyboard_ops,
			&keyboard_instance, NULL, e);
	if (!ret)
		ret = vm_device_create(
			&s->mouse, &s->devices, host, &mouse_ops, &mouse_instance, NULL, e);
	if (!ret)
		watch(s, s->display.viewers);
	return ret;
}

void screen_detach(struct screen *s)
{
	if (!s->offered)
		return;
	typing_end(s, -ENOTCONN);
	device_group_destroy_all(&s->devices);
	display_keep(&s->display);
	display_detach(&s->display);
}

/* ---- life ---------------------------------------------------------------- */

void screen_open(struct screen *s, struct loop *control, const struct vm_config *options,
	int (*map)(void *ctx, uint64_t gpa), void *ctx)
{
	s->control = control;
	s->offered = strcmp(options->display, "none") != 0;
	s->map = map;
	s->map_ctx = ctx;
	device_group_init(&s->devices);
	s->video_config = (struct video_config){
		.megabytes = SCREEN_MEGABYTES,
		.width = SCREEN_WIDTH,
		.height = SCREEN_HEIGHT,
		.map = map_memory,
		.mode = guest_mode,
		.dirt = guest_dirt,
		.closed = guest_closed,
		.ctx = s,
	};
	if (s->offered)
		display_open(&s->display, control, display_server_socket(),
			(uint64_t)SCREEN_MEGABYTES << 20, &display_ops, s);
}

void screen_close(struct screen *s)
{
	if (s->offered && s->control)
		display_close(&s->display);
}

/* ---- inspect ------------------------------------------------------------- */

void screen_inspect(struct screen *s, struct inspect *i)
{
	if (!s->offered)
		return;
	inspect_begin(i, "display");
	display_inspect(&s->display, i);
	if (s->video.vsp)
		inspect_text(i, "driver", video_state(s->video.vsp));
	inspect_end(i);
}

static void device_inspect(const struct vm_device *device, const char *id, struct inspect *i)
{
	if (!device->vsp)
		return;
	inspect_begin(i, NULL);
	inspect_text(i, "id", id);
	vsp_device_inspect(device->vsp, i);
	inspect_end(i);
}

void screen_inspect_devices(const struct screen *s, struct inspect *i)
{
	device_inspect(&s->video, "video", i);
	device_inspect(&s->keyboard, "keyboard", i);
	device_inspect(&s->mouse, "mouse", i);
}
