/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

#define RAM        (16ull << 20)
#define INSTANCE   0x72
#define RING_PAGES 9u /* as Linux has it for keyboard and mouse */

/* ---- the embedder -------------------------------------------------------- */

static int map(void *ctx, uint64_t gpa)
{
	struct guest_screen *s = ctx;
	int error = s->map_error;

	s->maps++;
	if (!error)
		s->gpa = gpa;
	return error;
}

static void mode(void *ctx, const struct picture_mode *m)
{
	struct guest_screen *s = ctx;

	check(picture_mode_is_valid(m, (uint64_t)GUEST_SCREEN_MEGABYTES << 20));
	s->mode = *m;
	s->modes++;
}

static void dirt(void *ctx, const struct picture_rect *r)
{
	struct guest_screen *s = ctx;

	check(!picture_rect_is_empty(r) && r->right <= PICTURE_SIDE_MAX &&
		r->bottom <= PICTURE_SIDE_MAX);
	s->dirt = *r;
	s->dirts++;
}

static void closed(void *ctx)
{
	struct guest_screen *s = ctx;

	s->closes++;
}

/* ---- life ---------------------------------------------------------------- */

struct guest_screen *guest_screen_create(const struct vsp_ops *ops, uint32_t io_threads)
{
	const struct guest_config gc = {.ram = RAM, .vps = 1, .io_threads = io_threads};
	struct guest_screen *s = calloc(1, sizeof(*s));

	check(s);
	s->ops = ops;
	s->config = (struct video_config){
		.megabytes = GUEST_SCREEN_MEGABYTES,
		.width = 1024,
		.height = 768,
		.map = map,
		.mode = mode,
		.dirt = dirt,
		.closed = closed,
		.ctx = s,
	};
	guest_start(&s->g, &gc);
	s->dev = guest_add_device(&s->g, ops, INSTANCE, &s->config);
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	return s;
}

void guest_screen_destroy(struct guest_screen *s)
{
	guest_stop(&s->g);
	free(s);
}

void guest_screen_open(struct guest_screen *s)
{
	struct vmbus_offer offer = guest_wait_offer(&s->g, &s->ops->class_id, INSTANCE, 0);

	check(guest_chan_open(&s->chan, &s->g, &offer, RING_PAGES, 0));
}

void guest_screen_close(struct guest_screen *s)
{
	guest_chan_close(&s->chan);
}

static void ready_video(struct guest_screen *s)
{
	struct video_version_request version = {.version = VIDEO_VERSION(3, 5)};
	struct video_vram_location location = {
		.context = GUEST_SCREEN_GPA, .given = 1, .gpa = GUEST_SCREEN_GPA};

	guest_screen_say(s, VIDEO_VERSION_REQUEST, &version, sizeof(version));
	guest_screen_expect(s);
	guest_screen_say(s, VIDEO_VRAM_LOCATION, &location, sizeof(location));
	guest_screen_expect(s); /* the answer */
	guest_screen_expect(s); /* what the host wants to hear of */
}

static void ready_keyboard(struct guest_screen *s)
{
	const struct keyboard_request request = {KEYBOARD_PROTOCOL_REQUEST, KEYBOARD_VERSION};

	check(guest_screen_send(s, &request, sizeof(request)));
	guest_screen_expect(s);
}

static void ready_mouse(struct guest_screen *s)
{
	struct mouse_request request = {.version = MOUSE_VERSION};
	uint8_t ack[sizeof(struct mouse_header) + 1] = {0};

	guest_screen_say(s, MOUSE_PROTOCOL_REQUEST, &request, sizeof(request));
	guest_screen_expect(s);
	guest_screen_expect(s);
	guest_screen_say(s, MOUSE_DEVICE_INFO_ACK, ack, sizeof(ack));
	guest_run_host(&s->g);
}

void guest_screen_open_ready(struct guest_screen *s)
{
	guest_screen_open(s);
	if (s->ops == &video_ops)
		ready_video(s);
	else if (s->ops == &keyboard_ops)
		ready_keyboard(s);
	else
		ready_mouse(s);
}

/* ---- messages ------------------------------------------------------------ */

bool guest_screen_take(struct guest_screen *s)
{
	struct vmbus_pkt pkt;

	if (!guest_chan_receive_into(&s->chan, &pkt, s->bytes, sizeof(s->bytes)))
		return false;
	guest_chan_publish(&s->chan);
	check(pkt.desc.type == VMBUS_PKT_INBAND && !pkt.desc.flags);
	memmove(s->bytes, pkt.payload, pkt.payload_len);
	s->len = pkt.payload_len;
	return true;
}

void guest_screen_expect(struct guest_screen *s)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (!guest_screen_take(s)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
}

bool guest_screen_is_silent(struct guest_screen *s)
{
	for (uint32_t i = 0; i < 50; i++) {
		if (guest_screen_take(s))
			return false;
		guest_run_host(&s->g);
	}
	return true;
}

bool guest_screen_send(struct guest_screen *s, const void *bytes, uint32_t len)
{
	return guest_chan_send(&s->chan, VMBUS_PKT_INBAND, 0, 1, NULL, bytes, len);
}

void guest_screen_say(struct guest_screen *s, uint32_t type, void *message, uint32_t len)
{
	const struct video_header header = {
		{PIPE_DATA, len - (uint32_t)sizeof(struct pipe_header)}, type, len - 8};
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	memcpy(message, &header, sizeof(header));
	while (!guest_screen_send(s, message, len)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
}

/* ---- the host ------------------------------------------------------------ */

struct query {
	struct guest_screen *s;
	uint32_t key;
	struct mouse_report report;
	bool on, result;
};

static void press(void *arg)
{
	struct query *q = arg;

	q->result = keyboard_key(q->s->dev, q->key, q->on);
}

bool guest_screen_key(struct guest_screen *s, uint32_t key, bool down)
{
	struct query q = {.s = s, .key = key, .on = down};

	guest_control(&s->g, press, &q);
	return q.result;
}

static void move(void *arg)
{
	struct query *q = arg;

	q->result = mouse_move(q->s->dev, &q->report);
}

bool guest_screen_move(struct guest_screen *s, struct mouse_report report)
{
	struct query q = {.s = s, .report = report};

	guest_control(&s->g, move, &q);
	return q.result;
}

static void watch(void *arg)
{
	struct query *q = arg;

	video_watch(q->s->dev, q->on);
}

void guest_screen_watch(struct guest_screen *s, bool on)
{
	struct query q = {.s = s, .on = on};

	guest_control(&s->g, watch, &q);
}
