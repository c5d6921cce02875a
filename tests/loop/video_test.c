/* SPDX-License-Identifier: MIT */
/* Synthetic video: negotiation, memory, modes, rectangles; guests that lie, and come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/support/guest_pauser.h"
#include "tests/support/guest_screen.h"

static struct guest_screen *begin(void)
{
	struct guest_screen *s = guest_screen_create(&video_ops, 1);

	guest_screen_open(s);
	return s;
}

static struct guest_screen *begin_ready(void)
{
	struct guest_screen *s = guest_screen_create(&video_ops, 1);

	guest_screen_open_ready(s);
	return s;
}

static const struct video_header *header(const struct guest_screen *s)
{
	return (const void *)s->bytes;
}

static void expect(struct guest_screen *s, enum video_type type, uint32_t size)
{
	guest_screen_expect(s);
	assert_int_equal(header(s)->type, type);
	assert_int_equal(header(s)->pipe.type, PIPE_DATA);
	assert_int_equal(header(s)->pipe.length, size - 8);
	assert_int_equal(s->len, (size + 7) / 8 * 8);
}

static uint8_t ask_version(struct guest_screen *s, uint32_t version)
{
	struct video_version_request m = {.version = version};

	guest_screen_say(s, VIDEO_VERSION_REQUEST, &m, sizeof(m));
	expect(s, VIDEO_VERSION_RESPONSE, 22);
	assert_memory_equal(s->bytes + 16, &version, sizeof(version));
	assert_int_equal(s->bytes[21], 1);
	return s->bytes[20];
}

static uint64_t ask_location(struct guest_screen *s, uint64_t gpa, uint64_t context)
{
	struct video_vram_location m = {.context = context, .given = 1, .gpa = gpa};
	uint64_t answer;

	guest_screen_say(s, VIDEO_VRAM_LOCATION, &m, sizeof(m));
	expect(s, VIDEO_VRAM_ACK, 24);
	memcpy(&answer, s->bytes + 16, sizeof(answer));
	return answer;
}

static struct video_situation situation(uint32_t width, uint32_t height, uint32_t pitch)
{
	return (struct video_situation){.context = 5,
		.outputs = 1,
		.active = 1,
		.depth = 32,
		.width = width,
		.height = height,
		.pitch = pitch};
}

static void say_situation(struct guest_screen *s, struct video_situation m)
{
	guest_screen_say(s, VIDEO_SITUATION, &m, sizeof(m));
	expect(s, VIDEO_SITUATION_ACK, 24);
	assert_int_equal(s->bytes[16], 5);
}

static void say_dirt(struct guest_screen *s, const struct video_rectangle *list, uint8_t count)
{
	uint8_t bytes[sizeof(struct video_dirt) + 255 * sizeof(*list)] = {0};

	bytes[17] = count;
	memcpy(bytes + 18, list, count * sizeof(*list));
	guest_screen_say(s, VIDEO_DIRT, bytes, 18u + count * 16u);
	guest_run_host(&s->g);
}

/* ---- negotiation --------------------------------------------------------- */

static void versions_are_negotiated(void **state)
{
	struct guest_screen *s = begin();

	assert_int_equal(ask_version(s, VIDEO_VERSION(3, 1)), 0);
	assert_int_equal(ask_version(s, VIDEO_VERSION(3, 6)), 0);
	assert_int_equal(ask_version(s, VIDEO_VERSION(5, 3)), 0);
	assert_int_equal(ask_version(s, 0x00050003), VIDEO_ACCEPTED);
	assert_int_equal(ask_version(s, VIDEO_VERSION(3, 2)), VIDEO_ACCEPTED);
	guest_screen_destroy(s);
}

/* Nothing is answered before a version is. */
static void the_version_comes_first(void **state)
{
	struct video_vram_location m = {.given = 1, .gpa = GUEST_SCREEN_GPA};
	struct guest_screen *s = begin();

	guest_screen_say(s, VIDEO_VRAM_LOCATION, &m, sizeof(m));
	assert_true(guest_screen_is_silent(s));
	assert_int_equal(s->maps, 0);
	guest_screen_destroy(s);
}

static void resolutions_are_offered(void **state)
{
	uint8_t room[sizeof(struct video_header) + 1] = {0};
	struct guest_screen *s = begin();
	const struct video_resolutions *m = (const void *)s->bytes;

	ask_version(s, VIDEO_VERSION(3, 5));
	guest_screen_say(s, VIDEO_RESOLUTION_REQUEST, room, sizeof(room));
	guest_screen_expect(s);
	assert_int_equal(header(s)->type, VIDEO_RESOLUTION_RESPONSE);
	assert_true(m->count && m->preferred < m->count);
	assert_int_equal(s->len, (147u + 4u * m->count + 7) / 8 * 8);
	assert_int_equal(m->list[m->preferred].width, 1024);
	assert_int_equal(m->list[m->preferred].height, 768);
	guest_screen_destroy(s);
}

static void windows_requests_are_answered(void **state)
{
	struct video_header m;
	struct guest_screen *s = begin();

	ask_version(s, VIDEO_VERSION(3, 5));
	guest_screen_say(s, VIDEO_BIOS_INFO_REQUEST, &m, sizeof(m));
	expect(s, VIDEO_BIOS_INFO_RESPONSE, 32);
	guest_screen_say(s, VIDEO_CAPABILITY_REQUEST, &m, sizeof(m));
	expect(s, VIDEO_CAPABILITY_RESPONSE, 80);
	guest_screen_destroy(s);
}

/* ---- memory -------------------------------------------------------------- */

static void memory_is_there_before_the_answer(void **state)
{
	struct guest_screen *s = begin();

	ask_version(s, VIDEO_VERSION(3, 5));
	assert_int_equal(ask_location(s, GUEST_SCREEN_GPA, 77), 77);
	assert_int_equal(s->gpa, GUEST_SCREEN_GPA);
	expect(s, VIDEO_FEATURE_CHANGE, 20);
	assert_int_equal(s->bytes[16], 0); /* there is no viewer */
	assert_int_equal(ask_location(s, GUEST_SCREEN_GPA, 78), 78);
	assert_int_equal(s->maps, 1);
	guest_screen_destroy(s);
}

static void a_refused_place_is_told(void **state)
{
	struct guest_screen *s = begin();

	ask_version(s, VIDEO_VERSION(3, 5));
	s->map_error = -EINVAL;
	assert_int_not_equal(ask_location(s, 0x1000, 77), 77);
	assert_true(guest_screen_is_silent(s)); /* no features without memory */
	s->map_error = 0;
	assert_int_equal(ask_location(s, GUEST_SCREEN_GPA, 77), 77);
	guest_screen_destroy(s);
}

static void moves_are_limited(void **state)
{
	struct guest_screen *s = begin();
	uint32_t refused = 0;

	ask_version(s, VIDEO_VERSION(3, 5));
	for (uint32_t i = 0; i < 20; i++) {
		bool accepted = ask_location(s, GUEST_SCREEN_GPA + (i << 20), 77) == 77;

		if (accepted)
			expect(s, VIDEO_FEATURE_CHANGE, 20);
		refused += !accepted;
	}
	assert_true(refused > 0 && s->maps < 20);
	guest_screen_destroy(s);
}

/* ---- the picture --------------------------------------------------------- */

static void modes_are_told(void **state)
{
	struct guest_screen *s = begin_ready();

	say_situation(s, situation(800, 600, 3328));
	assert_int_equal(s->modes, 1);
	assert_int_equal(s->mode.width, 800);
	assert_int_equal(s->mode.height, 600);
	assert_int_equal(s->mode.pitch, 3328);
	guest_screen_destroy(s);
}

/* Each has its answer, and none is shown. */
static void wrong_modes_are_not_shown(void **state)
{
	struct guest_screen *s = begin_ready();
	struct video_situation m = situation(1024, 768, 4096);

	say_situation(s, situation(0, 600, 3200));
	say_situation(s, situation(800, 0, 3200));
	say_situation(s, situation(800, 600, 3196));
	say_situation(s, situation(800, 600, 3202));
	say_situation(s, situation(8193, 1, 32772));
	say_situation(s, situation(1024, 768, UINT32_MAX - 3));
	say_situation(s, situation(2560, 1600, 10240)); /* more than the memory has */
	m.offset = UINT32_MAX - 3;
	say_situation(s, m);
	m.offset = 2;
	say_situation(s, m);
	m.offset = 0;
	m.depth = 16;
	say_situation(s, m);
	m.depth = 32;
	m.outputs = 0;
	say_situation(s, m);
	assert_int_equal(s->modes, 0);
	m.outputs = 1;
	m.offset = (8u << 20) - 1024 * 768 * 4;
	say_situation(s, m);
	assert_int_equal(s->modes, 1);
	guest_screen_destroy(s);
}

static void rectangles_become_one(void **state)
{
	const struct video_rectangle list[] = {
		{10, 20, 30, 40}, {5, 100, 6, 101}, {50, 50, 50, 60}, {-7, 30, -1, 40}};
	struct guest_screen *s = begin_ready();

	say_dirt(s, list, 4);
	assert_int_equal(s->dirts, 1);
	assert_int_equal(s->dirt.left, 5);
	assert_int_equal(s->dirt.top, 20);
	assert_int_equal(s->dirt.right, 30);
	assert_int_equal(s->dirt.bottom, 101);
	guest_screen_destroy(s);
}

static void wrong_rectangles_are_ignored(void **state)
{
	const struct video_rectangle inverted = {30, 40, 10, 20};
	const struct video_rectangle huge = {INT32_MIN, INT32_MIN, INT32_MAX, INT32_MAX};
	uint8_t cut[sizeof(struct video_dirt) + 16] = {0};
	struct guest_screen *s = begin_ready();

	say_dirt(s, &inverted, 1);
	say_dirt(s, &inverted, 0);
	cut[17] = 2; /* more than there are */
	guest_screen_say(s, VIDEO_DIRT, cut, sizeof(cut));
	guest_run_host(&s->g);
	assert_int_equal(s->dirts, 0);
	say_dirt(s, &huge, 1);
	assert_int_equal(s->dirts, 1);
	assert_int_equal(s->dirt.right, PICTURE_SIDE_MAX);
	guest_screen_destroy(s);
}

static void the_host_says_what_it_wants(void **state)
{
	struct guest_screen *s = begin_ready();

	assert_int_equal(s->bytes[16], 0);
	guest_screen_watch(s, true);
	expect(s, VIDEO_FEATURE_CHANGE, 20);
	assert_int_equal(s->bytes[16], 1);
	guest_screen_watch(s, true);
	assert_true(guest_screen_is_silent(s));
	guest_screen_watch(s, false);
	expect(s, VIDEO_FEATURE_CHANGE, 20);
	assert_int_equal(s->bytes[16], 0);
	guest_screen_destroy(s);
}

/* ---- life ---------------------------------------------------------------- */

static void a_driver_comes_again(void **state)
{
	struct guest_screen *s = begin_ready();

	guest_screen_watch(s, true);
	expect(s, VIDEO_FEATURE_CHANGE, 20);
	guest_screen_close(s);
	assert_int_equal(s->closes, 1);
	guest_screen_open_ready(s);
	assert_int_equal(s->bytes[16], 1);
	say_situation(s, situation(1024, 768, 4096));
	guest_screen_destroy(s);
}

static void nothing_is_sent_in_a_pause(void **state)
{
	struct guest_screen *s = begin_ready();

	guest_pause(&s->g, s->dev);
	guest_screen_watch(s, true);
	assert_true(guest_screen_is_silent(s));
	guest_resume(&s->g, s->dev);
	expect(s, VIDEO_FEATURE_CHANGE, 20);
	assert_int_equal(s->bytes[16], 1);
	guest_screen_destroy(s);
}

static void short_and_foreign_messages_are_ignored(void **state)
{
	uint8_t bytes[64] = {0};
	struct guest_screen *s = begin_ready();

	for (uint32_t len = 0; len < sizeof(bytes); len++)
		assert_true(guest_screen_send(s, bytes, len));
	for (uint32_t type = 0; type < 40; type++)
		if (type != VIDEO_BIOS_INFO_REQUEST && type != VIDEO_CAPABILITY_REQUEST)
			guest_screen_say(s, type, bytes, 16);
	assert_true(guest_screen_is_silent(s));
	assert_int_equal(s->modes + s->dirts, 0);
	say_situation(s, situation(1024, 768, 4096)); /* it lives */
	guest_screen_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_negotiated),
		cmocka_unit_test(the_version_comes_first),
		cmocka_unit_test(resolutions_are_offered),
		cmocka_unit_test(windows_requests_are_answered),
		cmocka_unit_test(memory_is_there_before_the_answer),
		cmocka_unit_test(a_refused_place_is_told),
		cmocka_unit_test(moves_are_limited),
		cmocka_unit_test(modes_are_told),
		cmocka_unit_test(wrong_modes_are_not_shown),
		cmocka_unit_test(rectangles_become_one),
		cmocka_unit_test(wrong_rectangles_are_ignored),
		cmocka_unit_test(the_host_says_what_it_wants),
		cmocka_unit_test(a_driver_comes_again),
		cmocka_unit_test(nothing_is_sent_in_a_pause),
		cmocka_unit_test(short_and_foreign_messages_are_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
