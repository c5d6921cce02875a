/* SPDX-License-Identifier: MIT */
/* Synthetic keyboard and mouse: negotiation, keys that go down and up, moves, floods, pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guest_pauser.h"
#include "tests/support/guest_screen.h"
#include "vsp/input/queue.h"

static struct guest_screen *begin(const struct vsp_ops *ops)
{
	struct guest_screen *s = guest_screen_create(ops, 1);

	guest_screen_open(s);
	return s;
}

static struct guest_screen *begin_ready(const struct vsp_ops *ops)
{
	struct guest_screen *s = guest_screen_create(ops, 1);

	guest_screen_open_ready(s);
	return s;
}

/* ---- keyboard ------------------------------------------------------------ */

static uint32_t ask_keyboard(struct guest_screen *s, uint32_t version)
{
	const struct keyboard_request request = {KEYBOARD_PROTOCOL_REQUEST, version};
	const struct keyboard_response *m = (const void *)s->bytes;

	assert_true(guest_screen_send(s, &request, sizeof(request)));
	guest_screen_expect(s);
	assert_int_equal(s->len, 8);
	assert_int_equal(m->type, KEYBOARD_PROTOCOL_RESPONSE);
	return m->status;
}

static void expect_key(struct guest_screen *s, uint16_t code, uint32_t flags)
{
	const struct keyboard_event *m = (const void *)s->bytes;

	guest_screen_expect(s);
	assert_int_equal(s->len, 16);
	assert_int_equal(m->type, KEYBOARD_EVENT);
	assert_int_equal(m->code, code);
	assert_int_equal(m->reserved, 0);
	assert_int_equal(m->flags, flags);
}

static void keyboard_versions(void **state)
{
	struct guest_screen *s = begin(&keyboard_ops);

	assert_int_equal(ask_keyboard(s, 0x00020000), 0);
	assert_false(guest_screen_key(s, 0x1E, true));
	assert_int_equal(ask_keyboard(s, KEYBOARD_VERSION), KEYBOARD_ACCEPTED);
	assert_true(guest_screen_key(s, 0x1E, true));
	expect_key(s, 0x1E, 0);
	guest_screen_destroy(s);
}

static void keys_before_the_driver_are_dropped(void **state)
{
	struct guest_screen *s = guest_screen_create(&keyboard_ops, 1);

	assert_false(guest_screen_key(s, 0x1E, true));
	guest_screen_open_ready(s);
	assert_true(guest_screen_is_silent(s));
	assert_true(guest_screen_key(s, 0x1E, false)); /* it was never down */
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

/* A group of them at once, since the host rests after each batch. */
#define GROUP 64u

static void every_key_goes_down_and_up(void **state)
{
	struct guest_screen *s = begin_ready(&keyboard_ops);

	for (uint32_t first = 0; first < 0x100; first += GROUP) {
		for (uint32_t key = first; key < first + GROUP; key++) {
			bool exists = key & 0x7F;

			assert_int_equal(guest_screen_key(s, key, true), exists);
			assert_int_equal(guest_screen_key(s, key, true), exists); /* repeated */
			assert_true(guest_screen_key(s, key, false) || !exists);
		}
		for (uint32_t key = first; key < first + GROUP; key++) {
			uint32_t e0 = key & KEYBOARD_KEY_E0 ? KEYBOARD_E0 : 0;

			if (!(key & 0x7F))
				continue;
			expect_key(s, key & 0x7F, e0);
			expect_key(s, key & 0x7F, e0);
			expect_key(s, key & 0x7F, e0 | KEYBOARD_BREAK);
		}
	}
	assert_false(guest_screen_key(s, 0x101, true));
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

/* Linux would take it for the result of a self-test. */
static void no_key_comes_up_that_is_not_down(void **state)
{
	struct guest_screen *s = begin_ready(&keyboard_ops);

	assert_true(guest_screen_key(s, 0x2A, false));
	assert_true(guest_screen_is_silent(s));
	guest_screen_key(s, 0x2A, true);
	expect_key(s, 0x2A, 0);
	guest_screen_close(s);
	guest_screen_open_ready(s);
	guest_screen_key(s, 0x2A, false);
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

static void pause_is_a_sequence(void **state)
{
	struct guest_screen *s = begin_ready(&keyboard_ops);

	assert_true(guest_screen_key(s, KEYBOARD_KEY_PAUSE, true));
	expect_key(s, 0x1D, KEYBOARD_E1);
	expect_key(s, 0x45, 0);
	expect_key(s, 0x1D, KEYBOARD_E1 | KEYBOARD_BREAK);
	expect_key(s, 0x45, KEYBOARD_BREAK);
	assert_true(guest_screen_key(s, KEYBOARD_KEY_PAUSE, false));
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

/* A driver that reads nothing: keys are dropped, but what went down has room to come up. */
static void a_full_queue_keeps_what_comes_up(void **state)
{
	struct guest_screen *s = begin_ready(&keyboard_ops);
	uint32_t taken = 0, downs = 0, ups = 0;

	guest_pause(&s->g, s->dev);
	while (taken < 2 * EVENTS_MAX && guest_screen_key(s, 1 + taken % 40, true))
		taken++;
	assert_in_range(taken, 100, EVENTS_MAX);
	for (uint32_t key = 1; key <= 40; key++)
		assert_true(guest_screen_key(s, key, false));
	guest_resume(&s->g, s->dev);
	while (downs + ups < taken + 40) {
		const struct keyboard_event *m = (const void *)s->bytes;

		guest_screen_expect(s);
		if (m->flags & KEYBOARD_BREAK)
			ups++;
		else
			downs++;
	}
	assert_int_equal(downs, taken);
	assert_int_equal(ups, 40);
	guest_screen_destroy(s);
}

static void keyboard_noise_is_ignored(void **state)
{
	uint8_t bytes[200] = {0};
	struct guest_screen *s = begin_ready(&keyboard_ops);

	for (uint32_t len = 0; len < 40; len++)
		assert_true(guest_screen_send(s, bytes, len));
	bytes[0] = KEYBOARD_LEDS;
	for (uint32_t i = 0; i < 200; i++)
		if (!guest_screen_send(s, bytes, 8))
			guest_run_host(&s->g);
	assert_true(guest_screen_is_silent(s));
	guest_screen_key(s, 0x1E, true);
	expect_key(s, 0x1E, 0);
	guest_screen_destroy(s);
}

/* ---- mouse --------------------------------------------------------------- */

static void expect_report(struct guest_screen *s, struct mouse_report wanted)
{
	const struct mouse_input *m = (const void *)s->bytes;

	guest_screen_expect(s);
	assert_int_equal(s->len, 24);
	assert_int_equal(m->header.pipe.type, PIPE_DATA);
	assert_int_equal(m->header.pipe.length, 15);
	assert_int_equal(m->header.type, MOUSE_INPUT_REPORT);
	assert_int_equal(m->header.size, 7); /* Linux copies so many */
	assert_memory_equal(&m->report, &wanted, sizeof(wanted));
}

static void mouse_is_described(void **state)
{
	struct mouse_request request = {.version = MOUSE_VERSION};
	struct guest_screen *s = begin(&mouse_ops);
	const struct mouse_device_info *m = (const void *)s->bytes;

	guest_screen_say(s, MOUSE_PROTOCOL_REQUEST, &request, sizeof(request));
	guest_screen_expect(s);
	assert_int_equal(m->header.type, MOUSE_PROTOCOL_RESPONSE);
	assert_int_equal(m->header.pipe.length, 13);
	assert_int_equal(s->len, 24);
	assert_memory_equal(s->bytes + 20, "\1\0\0\0", 4);
	guest_screen_expect(s);
	assert_int_equal(m->header.type, MOUSE_DEVICE_INFO);
	assert_int_equal(m->vendor, 0x045E);
	assert_int_equal(m->product, 0x0621);
	assert_int_equal(m->length, 9);
	assert_int_equal(m->header.pipe.length, 49 + m->report_size);
	assert_true(m->report_size >= 15);
	assert_int_not_equal(m->report_descriptor[14], 0x25); /* Linux would change it */
	assert_int_equal(m->report_descriptor[m->report_size - 1], 0xC0);
	guest_screen_destroy(s);
}

static void an_unknown_mouse_version_is_refused(void **state)
{
	struct mouse_request request = {.version = 0x00010000};
	struct guest_screen *s = begin(&mouse_ops);

	guest_screen_say(s, MOUSE_PROTOCOL_REQUEST, &request, sizeof(request));
	guest_screen_expect(s);
	assert_int_equal(s->bytes[20], 0);
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

static void reports_arrive(void **state)
{
	const struct mouse_report corners[] = {
		{0, 0, 0, 0}, {1, 32767, 32767, 0}, {0, 32767, 32767, 0}, {0, 1, 2, -1}};
	struct guest_screen *s = begin_ready(&mouse_ops);

	for (uint32_t i = 0; i < 4; i++) {
		assert_true(guest_screen_move(s, corners[i]));
		expect_report(s, corners[i]);
	}
	guest_screen_destroy(s);
}

/* Moves become one; edges of buttons and steps of the wheel do not. */
static void moves_become_one(void **state)
{
	struct guest_screen *s = begin_ready(&mouse_ops);

	guest_pause(&s->g, s->dev);
	for (uint16_t i = 0; i < 1000; i++)
		assert_true(guest_screen_move(s, (struct mouse_report){0, i, i, 0}));
	guest_screen_move(s, (struct mouse_report){1, 999, 999, 0});
	guest_screen_move(s, (struct mouse_report){0, 999, 999, 0});
	guest_screen_move(s, (struct mouse_report){0, 999, 999, 1});
	guest_screen_move(s, (struct mouse_report){0, 999, 999, 1});
	guest_resume(&s->g, s->dev);
	expect_report(s, (struct mouse_report){0, 999, 999, 0});
	expect_report(s, (struct mouse_report){1, 999, 999, 0});
	expect_report(s, (struct mouse_report){0, 999, 999, 1});
	expect_report(s, (struct mouse_report){0, 999, 999, 1});
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

/* A driver that reads nothing: clicks are lost, but no button stays down. */
static void a_full_queue_ends_with_the_last_buttons(void **state)
{
	struct guest_screen *s = begin_ready(&mouse_ops);
	const struct mouse_input *m = (const void *)s->bytes;

	guest_pause(&s->g, s->dev);
	for (uint32_t i = 0; i < EVENTS_MAX; i++)
		assert_true(guest_screen_move(s, (struct mouse_report){i % 2, 5, 5, 0}));
	assert_false(guest_screen_move(s, (struct mouse_report){4, 6, 6, 1}));
	assert_false(guest_screen_move(s, (struct mouse_report){0, 7, 7, 0}));
	guest_resume(&s->g, s->dev);
	for (uint32_t i = 0; i < EVENTS_MAX - 1; i++) {
		guest_screen_expect(s);
		assert_int_equal(m->report.buttons, i % 2);
	}
	expect_report(s, (struct mouse_report){0, 7, 7, 0});
	assert_true(guest_screen_is_silent(s));
	guest_screen_destroy(s);
}

static void mouse_noise_is_ignored(void **state)
{
	uint8_t bytes[64] = {0};
	struct guest_screen *s = begin_ready(&mouse_ops);

	for (uint32_t len = 0; len < sizeof(bytes); len++)
		assert_true(guest_screen_send(s, bytes, len));
	for (uint32_t type = 1; type < 20; type++)
		guest_screen_say(s, type, bytes, 17);
	assert_true(guest_screen_is_silent(s));
	guest_screen_move(s, (struct mouse_report){0, 1, 1, 0});
	expect_report(s, (struct mouse_report){0, 1, 1, 0});
	guest_screen_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keyboard_versions),
		cmocka_unit_test(keys_before_the_driver_are_dropped),
		cmocka_unit_test(every_key_goes_down_and_up),
		cmocka_unit_test(no_key_comes_up_that_is_not_down),
		cmocka_unit_test(pause_is_a_sequence),
		cmocka_unit_test(a_full_queue_keeps_what_comes_up),
		cmocka_unit_test(keyboard_noise_is_ignored),
		cmocka_unit_test(mouse_is_described),
		cmocka_unit_test(an_unknown_mouse_version_is_refused),
		cmocka_unit_test(reports_arrive),
		cmocka_unit_test(moves_become_one),
		cmocka_unit_test(a_full_queue_ends_with_the_last_buttons),
		cmocka_unit_test(mouse_noise_is_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
