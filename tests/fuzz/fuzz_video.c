/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest on the video channel: real bus and VSP, everything on one loop but the mapping of
 * memory. The input is a script: messages that are right, wrong or random, viewers that come and
 * go, pauses, closes.
 *
 * Invariants (also in tests/support/guest_screen.c): a mode that is reported can be shown, a
 * rectangle is not empty; each answer belongs to a request; the host survives.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/input.h"
#include "tests/support/check.h"
#include "tests/support/guest_pauser.h"
#include "tests/support/guest_screen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPS_MAX 200u

struct target {
	struct guest_screen *s;
	struct input in;
	bool open, paused;
	uint32_t asked, answered;
};

static uint8_t byte(struct target *t)
{
	return (uint8_t)take(&t->in, 1);
}

/* The ring may be full, since this guest does not always wait. */
static void say(struct target *t, uint32_t type, void *message, uint32_t len)
{
	struct video_header header = {{PIPE_DATA, len - 8}, type, len - 8};

	if (byte(t) == 0)
		header.pipe.length = (uint32_t)take(&t->in, 4);
	memcpy(message, &header, sizeof(header));
	if (guest_screen_send(t->s, message, len))
		t->asked++;
}

static void situation(struct target *t)
{
	struct video_situation m = {.outputs = 1, .depth = 32, .context = byte(t)};

	m.width = (uint32_t)take(&t->in, 2) % 4096;
	m.height = (uint32_t)take(&t->in, 2) % 4096;
	m.pitch = byte(t) ? m.width * 4 + byte(t) * 4 : (uint32_t)take(&t->in, 4);
	m.offset = byte(t) ? 0 : (uint32_t)take(&t->in, 4);
	say(t, VIDEO_SITUATION, &m, sizeof(m));
}

static void dirt(struct target *t)
{
	uint8_t bytes[sizeof(struct video_dirt) + 8 * sizeof(struct video_rectangle)] = {0};
	uint32_t count = byte(t) % 9;

	take_bytes(
		&t->in, bytes + sizeof(struct video_dirt), count * sizeof(struct video_rectangle));
	bytes[17] = byte(t) ? (uint8_t)count : byte(t);
	say(t, VIDEO_DIRT, bytes, (uint32_t)(sizeof(struct video_dirt) + count * 16));
}

static void ask(struct target *t)
{
	struct video_version_request version = {
		.version = byte(t) ? VIDEO_VERSION(3, 5) : (uint32_t)take(&t->in, 4)};
	struct video_vram_location location = {.context = byte(t),
		.given = byte(t) != 0,
		.gpa = byte(t) & 1 ? GUEST_SCREEN_GPA : take(&t->in, 8)};
	uint8_t bytes[48] = {0};

	switch (byte(t) % 6) {
	case 0:
		say(t, VIDEO_VERSION_REQUEST, &version, sizeof(version));
		break;
	case 1:
		t->s->map_error = byte(t) ? 0 : -EINVAL;
		say(t, VIDEO_VRAM_LOCATION, &location, sizeof(location));
		break;
	case 2:
		situation(t);
		break;
	case 3:
		dirt(t);
		break;
	default:
		say(t, byte(t) % 20, bytes, 16 + byte(t) % 32);
	}
}

static void random_bytes(struct target *t)
{
	_Alignas(8) uint8_t bytes[64];

	take_bytes(&t->in, bytes, sizeof(bytes));
	if (guest_screen_send(t->s, bytes, byte(t) % sizeof(bytes)))
		t->asked++;
}

static void open_or_close(struct target *t)
{
	if (t->paused)
		return;
	if (t->open)
		guest_screen_close(t->s);
	else
		guest_screen_open(t->s);
	t->open = !t->open;
	t->asked = t->answered = 0;
}

static void take_answers(struct target *t)
{
	while (t->open && guest_screen_take(t->s)) {
		const struct video_header *h = (const void *)t->s->bytes;

		check(t->s->len >= sizeof(*h) && h->pipe.type == PIPE_DATA);
		check(h->pipe.length + 8 <= t->s->len);
		if (h->type != VIDEO_FEATURE_CHANGE)
			check(++t->answered <= t->asked);
	}
}

static void step(struct target *t)
{
	switch (byte(t) % 10) {
	case 0:
		open_or_close(t);
		break;
	case 1:
		guest_pause_or_resume(&t->s->g, t->s->dev, &t->paused);
		break;
	case 2:
		guest_screen_watch(t->s, byte(t) & 1);
		break;
	case 3:
		if (t->open)
			random_bytes(t);
		break;
	default:
		if (t->open)
			ask(t);
	}
	guest_turn(&t->s->g);
	guest_turn(&t->s->g);
	take_answers(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target t = {.in = {data, size}};

	t.s = guest_screen_create(&video_ops, 0);
	open_or_close(&t);
	for (uint32_t i = 0; i < OPS_MAX && t.in.left; i++)
		step(&t);
	if (t.paused)
		guest_pause_or_resume(&t.s->g, t.s->dev, &t.paused);
	if (t.open)
		open_or_close(&t);
	guest_screen_destroy(t.s);
	return 0;
}
