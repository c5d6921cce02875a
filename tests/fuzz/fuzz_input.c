/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest on the keyboard's or the mouse's channel, while the host types and moves.
 *
 * Invariants: no key comes up that did not go down, and a report is never outside of its range, as
 * the guest reads them; the host survives.
 */
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
	bool mouse, open, paused;
	bool down[256]; /* as the guest has seen it */
};

static uint8_t byte(struct target *t)
{
	return (uint8_t)take(&t->in, 1);
}

static void ask(struct target *t)
{
	const struct keyboard_request request = {
		KEYBOARD_PROTOCOL_REQUEST, byte(t) ? KEYBOARD_VERSION : (uint32_t)take(&t->in, 4)};
	struct mouse_request mouse = {
		.header = {{PIPE_DATA, sizeof(mouse) - 8}, byte(t) & 1 ? 3 : 0, 4},
		.version = byte(t) ? MOUSE_VERSION : (uint32_t)take(&t->in, 4)};

	if (t->mouse)
		guest_screen_send(t->s, &mouse, sizeof(mouse));
	else
		guest_screen_send(t->s, &request, sizeof(request));
}

static void random_bytes(struct target *t)
{
	_Alignas(8) uint8_t bytes[64];

	take_bytes(&t->in, bytes, sizeof(bytes));
	guest_screen_send(t->s, bytes, byte(t) % sizeof(bytes));
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
	memset(t->down, 0, sizeof(t->down));
}

static void host_acts(struct target *t)
{
	const struct mouse_report report = {byte(t), (uint16_t)(take(&t->in, 2) & 0x7FFF),
		(uint16_t)(take(&t->in, 2) & 0x7FFF), (int16_t)(byte(t) % 3 - 1)};

	if (t->mouse)
		guest_screen_move(t->s, report);
	else
		guest_screen_key(t->s, (uint32_t)take(&t->in, 2) % 300, byte(t) & 1);
}

static void take_key(struct target *t)
{
	const struct keyboard_event *m = (const void *)t->s->bytes;
	uint32_t key = m->code | (m->flags & KEYBOARD_E0 ? KEYBOARD_KEY_E0 : 0);

	if (m->type != KEYBOARD_EVENT || m->flags & KEYBOARD_E1 || m->code == 0x45)
		return;
	check(m->code && m->code < 0x80 && !(m->flags & KEYBOARD_UNICODE));
	check(t->down[key] || !(m->flags & KEYBOARD_BREAK) || m->code == 0x1D);
	t->down[key] = !(m->flags & KEYBOARD_BREAK);
}

static void take_report(struct target *t)
{
	const struct mouse_input *m = (const void *)t->s->bytes;

	check(t->s->len >= sizeof(m->header) && m->header.pipe.length + 8 <= t->s->len);
	if (m->header.type == MOUSE_INPUT_REPORT)
		check(m->header.size == 7 && m->report.x <= MOUSE_POSITION_MAX &&
			m->report.y <= MOUSE_POSITION_MAX);
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
		if (t->open)
			random_bytes(t);
		break;
	case 3:
	case 4:
		if (t->open)
			ask(t);
		break;
	default:
		host_acts(t);
	}
	guest_turn(&t->s->g);
	guest_turn(&t->s->g);
	while (t->open && guest_screen_take(t->s)) {
		if (t->mouse)
			take_report(t);
		else
			take_key(t);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target t = {.in = {data, size}};

	t.mouse = byte(&t) & 1;
	t.s = guest_screen_create(t.mouse ? &mouse_ops : &keyboard_ops, 0);
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
