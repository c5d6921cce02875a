/* SPDX-License-Identifier: MIT */
/* Dynamic memory: negotiation, pages that are taken and given, memory that is added; guests that
 * lie, answer out of turn, pause, close and come again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/gmem_pages.h"
#include "tests/support/guest_dm.h"
#include "tests/support/guest_pauser.h"

#define MIB   (1ull << 20)
#define PAGE  4096ull
#define BLOCK (128 * MIB)
/* Where no ring of these tests is: they are at the begin of RAM. */
#define FREE (32 * MIB)

static struct guest_dm *begin(void)
{
	return guest_dm_create(false, 1);
}

static struct guest_dm *begin_ready(void)
{
	struct guest_dm *s = begin();

	guest_dm_open_ready(s);
	return s;
}

static void fill(struct guest_dm *s, uint64_t gpa, uint64_t bytes)
{
	memset(guest_at(&s->g, gpa), 0xA5, bytes);
}

static bool is_zero(struct guest_dm *s, uint64_t gpa, uint64_t bytes)
{
	const uint8_t *at = guest_at(&s->g, gpa);

	for (uint64_t i = 0; i < bytes; i++)
		if (at[i])
			return false;
	return true;
}

static uint64_t resident(struct guest_dm *s)
{
	struct gmem_use use;

	assert_int_equal(gmem_measure(&s->g.gmem, &use), 0);
	return use.resident;
}

/* The host wants `bytes`; the guest has one range for it. */
static void expect_take(struct guest_dm *s, uint64_t bytes)
{
	guest_dm_expect(s, DM_BALLOON_REQUEST);
	assert_int_equal(s->message.take.pages, bytes / PAGE);
	assert_int_equal(s->message.take.pages % DM_BALLOON_PAGES, 0);
}

static void give_range(struct guest_dm *s, uint64_t gpa, uint64_t bytes)
{
	const uint64_t range = GUEST_DM_RANGE(gpa, bytes / PAGE);

	guest_dm_balloon(s, &range, 1, false);
}

/* 16 MiB from FREE on are out. */
static struct guest_dm *begin_with_pages_out(void)
{
	struct guest_dm *s = begin_ready();

	fill(s, FREE, 16 * MIB);
	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	give_range(s, FREE, 16 * MIB);
	guest_dm_wait_granted(s, GUEST_DM_RAM - 16 * MIB);
	return s;
}

/* ---- negotiation --------------------------------------------------------- */

static void versions_are_negotiated(void **state)
{
	struct dm_version_request m = {.major = 3, .minor = 1};
	struct guest_dm *s = begin();

	guest_dm_open(s);
	guest_dm_say(s, DM_VERSION_REQUEST, &m, sizeof(m));
	guest_dm_expect(s, DM_VERSION_RESPONSE);
	assert_int_equal(s->message.response.flags, 0);
	m.major = 0;
	m.minor = 3;
	m.header.transaction = 77;
	guest_dm_say(s, DM_VERSION_REQUEST, &m, sizeof(m));
	guest_dm_expect(s, DM_VERSION_RESPONSE);
	assert_int_equal(s->message.response.flags, DM_ACCEPTED);
	assert_int_equal(s->message.header.transaction, 77);
	guest_dm_destroy(s);
}

static void the_maximum_is_told(void **state)
{
	struct guest_dm *s = begin_ready();

	assert_int_equal(s->message.info.pages, GUEST_DM_MAX / PAGE);
	assert_int_equal(s->message.info.info_size, 16);
	assert_string_equal(guest_dm_status(s).state, "idle");
	assert_int_equal(guest_dm_status(s).granted, GUEST_DM_RAM);
	guest_dm_destroy(s);
}

static bool never_ready(void *ctx)
{
	return false;
}

static void some_guests_are_not_asked_at_once(void **state)
{
	struct guest_dm *s = guest_dm_create_with(false, 1, never_ready);

	guest_dm_open_ready(s);
	guest_dm_target(s, GUEST_DM_MIN);
	assert_true(guest_dm_is_silent(s));
	guest_dm_destroy(s);
}

/* ---- taking -------------------------------------------------------------- */

static void taken_pages_are_returned_to_the_host(bool shared)
{
	struct guest_dm *s = guest_dm_create(shared, 1);
	uint64_t before;

	guest_dm_open_ready(s);
	fill(s, FREE, 16 * MIB);
	before = resident(s);
	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	give_range(s, FREE, 16 * MIB);
	guest_dm_wait_granted(s, GUEST_DM_RAM - 16 * MIB);
	assert_true(resident(s) + 16 * MIB <= before);
	guest_dm_target(s, GUEST_DM_RAM);
	guest_dm_expect(s, DM_UNBALLOON_REQUEST);
	assert_int_equal(s->message.give.count, 1);
	assert_int_equal(*(uint64_t *)(&s->message.give + 1), GUEST_DM_RANGE(FREE, 4096));
	assert_true(is_zero(s, FREE, 16 * MIB));
	guest_dm_say(s, DM_UNBALLOON_RESPONSE, &(struct dm_header){0}, sizeof(struct dm_header));
	guest_dm_wait_granted(s, GUEST_DM_RAM);
	guest_dm_destroy(s);
}

static void anonymous_pages_go_and_come_back_zeroed(void **state)
{
	taken_pages_are_returned_to_the_host(false);
}

static void shared_pages_go_and_come_back_zeroed(void **state)
{
	taken_pages_are_returned_to_the_host(true);
}

/* Single pages, in as many messages as they need. */
static void a_fragmented_guest(void **state)
{
	struct guest_dm *s = begin_ready();
	uint64_t ranges[DM_RANGES_MAX], done = 0, pages = 8 * MIB / PAGE;

	fill(s, FREE, 16 * MIB);
	guest_dm_target(s, GUEST_DM_RAM - 8 * MIB);
	expect_take(s, 8 * MIB);
	while (done < pages) {
		uint32_t n = 0;

		for (; n < DM_RANGES_MAX && done < pages; n++, done++)
			ranges[n] = GUEST_DM_RANGE(FREE + 2 * done * PAGE, 1);
		guest_dm_balloon(s, ranges, n, done < pages);
	}
	guest_dm_wait_granted(s, GUEST_DM_RAM - 8 * MIB);
	for (uint64_t i = 0; i < pages; i++) {
		assert_true(is_zero(s, FREE + 2 * i * PAGE, PAGE));
		assert_int_equal(*(uint8_t *)guest_at(&s->g, FREE + (2 * i + 1) * PAGE), 0xA5);
	}
	guest_dm_target(s, GUEST_DM_RAM);
	for (done = 0; done < pages; done += s->message.give.count) {
		guest_dm_expect(s, DM_UNBALLOON_REQUEST);
		assert_true(s->message.give.count && s->message.give.count <= DM_RANGES_MAX);
		guest_dm_say(
			s, DM_UNBALLOON_RESPONSE, &(struct dm_header){0}, sizeof(struct dm_header));
	}
	guest_dm_wait_granted(s, GUEST_DM_RAM);
	guest_dm_destroy(s);
}

/* It is asked again later. */
static void a_guest_that_gives_less(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	give_range(s, FREE, 4 * MIB);
	expect_take(s, 12 * MIB);
	guest_dm_balloon(s, NULL, 0, false);
	expect_take(s, 12 * MIB);
	give_range(s, FREE + 4 * MIB, 12 * MIB);
	guest_dm_wait_granted(s, GUEST_DM_RAM - 16 * MIB);
	guest_dm_destroy(s);
}

static void a_guest_that_cannot_is_not_asked(void **state)
{
	struct dm_version_request m = {.major = 2};
	struct guest_dm *s = begin();

	guest_dm_open(s);
	guest_dm_say(s, DM_VERSION_REQUEST, &m, sizeof(m));
	guest_dm_expect(s, DM_VERSION_RESPONSE);
	guest_dm_capabilities(s, 0);
	guest_dm_expect(s, DM_CAPABILITIES_RESPONSE);
	guest_dm_expect(s, DM_INFO);
	guest_dm_target(s, GUEST_DM_MIN);
	assert_true(guest_dm_is_silent(s));
	guest_dm_target(s, GUEST_DM_MAX);
	assert_true(guest_dm_is_silent(s));
	assert_string_equal(guest_dm_status(s).adding, "not supported");
	guest_dm_destroy(s);
}

/* ---- what the guest needs ------------------------------------------------ */

static void memory_follows_the_need(void **state)
{
	struct guest_dm *s = begin_ready();

	assert_true(guest_dm_is_silent(s)); /* nothing is known yet */
	guest_dm_report(s, 40 * MIB, 20 * MIB);
	expect_take(s, 40 * MIB); /* 24 MiB with the buffer */
	give_range(s, 20 * MIB, 40 * MIB);
	guest_dm_wait_granted(s, 24 * MIB);
	guest_dm_report(s, 1 * MIB, 60 * MIB + 10 * MIB); /* with what is out */
	guest_dm_expect(s, DM_UNBALLOON_REQUEST);
	guest_dm_destroy(s);
}

static void lies_about_the_need_are_bounded(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_report(s, 0, UINT64_MAX);
	guest_dm_expect(s, DM_HOT_ADD_REQUEST);
	assert_int_equal(guest_dm_status(s).target, GUEST_DM_MAX);
	guest_dm_report(s, 0, 0);
	assert_int_equal(guest_dm_status(s).added, 0);
	guest_dm_destroy(s);
}

/* ---- lies about pages ---------------------------------------------------- */

/* The host refuses all of the message: nothing of it is out, and no page has changed. */
static void check_refused(const uint64_t *ranges, uint32_t count)
{
	struct guest_dm *s = begin_ready();

	fill(s, FREE, 16 * MIB);
	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	guest_dm_balloon(s, ranges, count, false);
	guest_dm_wait_fault(s);
	assert_int_equal(gmem_pages_out(&s->g.gmem), 0);
	for (uint64_t i = 0; i < 16 * MIB; i += PAGE)
		assert_int_equal(*(uint8_t *)guest_at(&s->g, FREE + i), 0xA5);
	guest_dm_destroy(s);
}

static void pages_outside_of_ram(void **state)
{
	static const uint64_t bad[] = {
		GUEST_DM_RANGE(GUEST_DM_RAM, 1),
		GUEST_DM_RANGE(GUEST_DM_RAM - PAGE, 2),
		GUEST_DM_RANGE(GMEM_HIGH_START, 1),
		GUEST_DM_RANGE(GMEM_HIGH_START - PAGE, 1),
		DM_RANGE_PFN_MASK | 1ull << DM_RANGE_COUNT_SHIFT,
		GUEST_DM_RANGE(FREE, 0),
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const uint64_t ranges[] = {GUEST_DM_RANGE(FREE, 16), bad[i]};

		check_refused(ranges, 2);
	}
}

static void pages_twice(void **state)
{
	const uint64_t same[] = {GUEST_DM_RANGE(FREE, 16), GUEST_DM_RANGE(FREE, 16)};
	const uint64_t overlap[] = {GUEST_DM_RANGE(FREE, 16), GUEST_DM_RANGE(FREE + 15 * PAGE, 2)};

	check_refused(same, 2);
	check_refused(overlap, 2);
}

static void more_pages_than_asked_for(void **state)
{
	const uint64_t range = GUEST_DM_RANGE(FREE - 16 * MIB, 16 * MIB / PAGE + 1);

	check_refused(&range, 1);
}

static void pages_that_are_out_already(void **state)
{
	struct guest_dm *s = begin_with_pages_out();

	guest_dm_target(s, GUEST_DM_RAM - 20 * MIB);
	expect_take(s, 4 * MIB);
	give_range(s, FREE + 12 * MIB, 4 * MIB);
	guest_dm_wait_fault(s);
	guest_dm_destroy(s);
}

static void ranges_that_the_message_has_not(void **state)
{
	struct dm_balloon_response m = {.count = 7 << DM_RESPONSE_COUNT_SHIFT};
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	guest_dm_say(s, DM_BALLOON_RESPONSE, &m, sizeof(m));
	guest_dm_wait_fault(s);
	guest_dm_destroy(s);
}

/* The guest may hand them over, but they stay where the host reads and writes. */
static void rings_are_not_released(void **state)
{
	struct guest_dm *s = begin_ready();
	uint64_t bytes = 2ull * GUEST_DM_RING_PAGES * PAGE;

	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	expect_take(s, 16 * MIB);
	give_range(s, s->chan.gpa, bytes);
	guest_dm_expect(s, DM_BALLOON_REQUEST); /* the ring works */
	assert_int_equal(guest_dm_count(s, "held_pages"), bytes / PAGE);
	assert_int_equal(guest_dm_status(s).out, bytes);
	guest_dm_destroy(s);
}

/* The status that the host gives. */
static uint32_t gpadl_of_page(struct guest_dm *s, uint32_t id, uint64_t gpa)
{
	struct {
		struct vmbus_gpadl_header header;
		uint64_t words[2];
	} HV_PACKED msg = {
		.header = {.relid = s->chan.offer.relid,
			.gpadl = id,
			.range_buflen = 16,
			.range_count = 1},
		.words = {PAGE, gpa / PAGE},
	};
	struct vmbus_gpadl_created created;

	guest_post(&s->g, VMBUS_MSG_GPADL_HEADER, &msg, sizeof(msg));
	guest_expect(&s->g, VMBUS_MSG_GPADL_CREATED, &created, sizeof(created));
	assert_int_equal(created.gpadl, id);
	return created.status;
}

static void teardown(struct guest_dm *s, uint32_t id)
{
	struct vmbus_gpadl_teardown msg = {.relid = s->chan.offer.relid, .gpadl = id};
	struct vmbus_gpadl_torndown torndown;

	guest_post(&s->g, VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
	guest_expect(&s->g, VMBUS_MSG_GPADL_TORNDOWN, &torndown, sizeof(torndown));
}

/* A device's buffer made of pages that the host has. */
static void pages_out_cannot_be_used_by_devices(void **state)
{
	struct guest_dm *s = begin_with_pages_out();

	assert_false(gmem_hold(&s->g.gmem, FREE));
	assert_true(gmem_hold(&s->g.gmem, FREE - PAGE));
	gmem_unhold(&s->g.gmem, FREE - PAGE);
	assert_int_not_equal(gpadl_of_page(s, 900, FREE), 0);
	assert_int_equal(gpadl_of_page(s, 901, FREE - PAGE), 0);
	s->g.gmem.base[FREE - PAGE] = 0xA5;
	assert_int_equal(gmem_pages_discard(&s->g.gmem, &(struct gmem_run){FREE - PAGE, 1}), 0);
	assert_int_equal(s->g.gmem.base[FREE - PAGE], 0xA5);
	teardown(s, 901);
	assert_int_equal(gmem_pages_discard(&s->g.gmem, &(struct gmem_run){FREE - PAGE, 1}), 0);
	assert_int_equal(s->g.gmem.base[FREE - PAGE], 0);
	guest_dm_destroy(s);
}

/* ---- messages out of turn ------------------------------------------------ */

static void answers_without_a_request_are_dropped(void **state)
{
	struct guest_dm *s = begin_ready();
	struct dm_header h = {0};

	fill(s, FREE, MIB);
	give_range(s, FREE, MIB);
	guest_dm_say(s, DM_UNBALLOON_RESPONSE, &h, sizeof(h));
	guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
	guest_dm_capabilities(s, ~0ull);
	guest_dm_say(s, 99, &h, sizeof(h));
	assert_true(guest_dm_is_silent(s));
	assert_int_equal(guest_dm_count(s, "out_of_order"), 5);
	assert_int_equal(guest_dm_status(s).granted, GUEST_DM_RAM);
	assert_false(is_zero(s, FREE, PAGE));
	guest_dm_destroy(s);
}

static void check_bad_packet(const void *bytes, uint32_t len)
{
	struct guest_dm *s = begin_ready();

	assert_true(guest_dm_send(s, bytes, len));
	guest_dm_wait_fault(s);
	guest_dm_destroy(s);
}

static void sizes_are_checked(void **state)
{
	const struct dm_status larger = {.header = {DM_STATUS, sizeof(larger) + 8, 0}};
	const struct dm_status smaller = {.header = {DM_STATUS, sizeof(smaller) - 16, 0}};
	const struct dm_header none = {DM_STATUS, 0, 0}, shorter = {DM_STATUS, 8, 0};

	check_bad_packet(&larger, sizeof(larger));
	check_bad_packet(&smaller, sizeof(smaller));
	check_bad_packet(&none, sizeof(none));
	check_bad_packet(&shorter, sizeof(shorter));
}

/* ---- adding -------------------------------------------------------------- */

static void expect_add(struct guest_dm *s, uint64_t at, uint64_t bytes)
{
	guest_dm_expect(s, DM_HOT_ADD_REQUEST);
	assert_int_equal(s->message.header.size, sizeof(struct dm_hot_add_request));
	assert_int_equal(s->message.add.range, GUEST_DM_RANGE(GMEM_HIGH_START + at, bytes / PAGE));
}

static void memory_is_added(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_RAM + 200 * MIB);
	expect_add(s, 0, BLOCK);
	fill(s, GMEM_HIGH_START, BLOCK); /* it is there */
	guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
	expect_add(s, BLOCK, BLOCK);
	guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
	expect_take(s, 56 * MIB); /* blocks are larger than what was missing */
	give_range(s, GMEM_HIGH_START + MIB, 56 * MIB); /* of what was added, too */
	guest_dm_wait_granted(s, GUEST_DM_RAM + 200 * MIB);
	assert_int_equal(guest_dm_status(s).added, 2 * BLOCK);
	guest_dm_destroy(s);
}

static void never_more_than_the_maximum(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, UINT64_MAX);
	for (uint64_t at = 0; at < 4 * BLOCK; at += BLOCK) {
		expect_add(s, at, BLOCK);
		guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
	}
	guest_dm_wait_granted(s, GUEST_DM_MAX);
	assert_true(guest_dm_is_silent(s));
	guest_dm_destroy(s);
}

static void a_guest_that_refuses_is_asked_no_more(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_MAX);
	expect_add(s, 0, BLOCK);
	guest_dm_added(s, 0, DM_HOT_ADD_LATER);
	expect_add(s, 0, BLOCK);
	guest_dm_added(s, 0, DM_HOT_ADD_DONE);
	assert_true(guest_dm_is_silent(s));
	assert_string_equal(guest_dm_status(s).adding, "refused");
	guest_dm_destroy(s);
}

static void more_added_than_offered(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_MAX);
	expect_add(s, 0, BLOCK);
	guest_dm_added(s, 2 * BLOCK, DM_HOT_ADD_DONE);
	guest_dm_wait_fault(s);
	assert_int_equal(guest_dm_status(s).added, 0);
	guest_dm_destroy(s);
}

static void a_host_without_memory_tries_again(void **state)
{
	struct guest_dm *s = begin_ready();

	s->add_error = -ENOMEM;
	guest_dm_target(s, GUEST_DM_MAX);
	while (s->adds < 3)
		guest_run_host(&s->g);
	assert_true(guest_dm_is_silent(s));
	guest_dm_destroy(s);
}

/* ---- guests that end ----------------------------------------------------- */

static void a_closed_channel_has_everything_back(void **state)
{
	struct guest_dm *s = begin_with_pages_out();

	guest_chan_close(&s->chan);
	assert_int_equal(gmem_pages_out(&s->g.gmem), 0);
	assert_string_equal(guest_dm_status(s).state, "closed");
	assert_int_equal(guest_dm_status(s).granted, GUEST_DM_RAM);
	guest_dm_open_ready(s);
	expect_take(s, 16 * MIB); /* the target is still there */
	guest_dm_destroy(s);
}

static void a_guest_that_ends_in_the_middle(void **state)
{
	struct guest_dm *s = begin_with_pages_out();

	guest_dm_target(s, GUEST_DM_MIN);
	guest_dm_expect(s, DM_BALLOON_REQUEST);
	give_range(s, 24 * MIB, 8 * MIB); /* perhaps not released yet */
	guest_chan_close(&s->chan);
	assert_int_equal(gmem_pages_out(&s->g.gmem), 0);
	guest_dm_destroy(s);
}

static bool host_has(struct guest_dm *s, uint64_t bytes)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (resident(s) > bytes && loop_now_ns() < until)
		guest_run_host(&s->g);
	return resident(s) <= bytes;
}

static bool dumps;

static bool is_dump(void *ctx)
{
	return dumps;
}

/* What a kernel had beyond its RAM is the host's when another comes, but for one that dumps it. */
static void what_another_kernel_had_is_given_back(void **state)
{
	for (dumps = false;; dumps = true) {
		struct guest_dm *s = guest_dm_create_dump(is_dump);
		uint64_t before;

		guest_dm_open_ready(s);
		guest_dm_target(s, GUEST_DM_RAM + BLOCK);
		expect_add(s, 0, BLOCK);
		guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
		guest_dm_wait_granted(s, GUEST_DM_RAM + BLOCK);
		before = resident(s);
		fill(s, GMEM_HIGH_START, 16 * MIB);
		guest_dm_target(s, GUEST_DM_RAM);
		guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
		guest_chan_forget(&s->chan);
		guest_dm_open_ready(s);
		if (dumps) {
			assert_true(guest_dm_is_silent(s));
			assert_int_equal(*(uint8_t *)guest_at(&s->g, GMEM_HIGH_START), 0xA5);
		} else {
			assert_true(host_has(s, before + MIB));
			assert_true(is_zero(s, GMEM_HIGH_START, 16 * MIB));
		}
		guest_dm_destroy(s);
		if (dumps)
			break;
	}
}

/* What was added stays with the same kernel, and is added anew to another. */
static void added_memory_and_the_next_kernel(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_dm_target(s, GUEST_DM_RAM + BLOCK);
	expect_add(s, 0, BLOCK);
	guest_dm_added(s, BLOCK, DM_HOT_ADD_DONE);
	guest_dm_wait_granted(s, GUEST_DM_RAM + BLOCK);
	guest_chan_close(&s->chan);
	guest_dm_open_ready(s);
	assert_int_equal(guest_dm_status(s).granted, GUEST_DM_RAM + BLOCK);
	assert_true(guest_dm_is_silent(s));
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	guest_chan_forget(&s->chan);
	guest_dm_open_ready(s);
	expect_add(s, 0, BLOCK);
	guest_dm_destroy(s);
}

/* ---- pauses -------------------------------------------------------------- */

static void nothing_is_asked_during_a_pause(void **state)
{
	struct guest_dm *s = begin_ready();

	guest_pause(&s->g, s->dev);
	guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
	assert_true(guest_dm_is_silent(s));
	guest_resume(&s->g, s->dev);
	expect_take(s, 16 * MIB);
	guest_pause(&s->g, s->dev);
	give_range(s, FREE, 16 * MIB);
	assert_true(guest_dm_is_silent(s));
	assert_int_equal(guest_dm_status(s).granted, GUEST_DM_RAM);
	guest_resume(&s->g, s->dev);
	guest_dm_wait_granted(s, GUEST_DM_RAM - 16 * MIB);
	guest_dm_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_negotiated),
		cmocka_unit_test(the_maximum_is_told),
		cmocka_unit_test(some_guests_are_not_asked_at_once),
		cmocka_unit_test(anonymous_pages_go_and_come_back_zeroed),
		cmocka_unit_test(shared_pages_go_and_come_back_zeroed),
		cmocka_unit_test(a_fragmented_guest),
		cmocka_unit_test(a_guest_that_gives_less),
		cmocka_unit_test(a_guest_that_cannot_is_not_asked),
		cmocka_unit_test(memory_follows_the_need),
		cmocka_unit_test(lies_about_the_need_are_bounded),
		cmocka_unit_test(pages_outside_of_ram),
		cmocka_unit_test(pages_twice),
		cmocka_unit_test(more_pages_than_asked_for),
		cmocka_unit_test(pages_that_are_out_already),
		cmocka_unit_test(ranges_that_the_message_has_not),
		cmocka_unit_test(rings_are_not_released),
		cmocka_unit_test(pages_out_cannot_be_used_by_devices),
		cmocka_unit_test(answers_without_a_request_are_dropped),
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(memory_is_added),
		cmocka_unit_test(never_more_than_the_maximum),
		cmocka_unit_test(a_guest_that_refuses_is_asked_no_more),
		cmocka_unit_test(more_added_than_offered),
		cmocka_unit_test(a_host_without_memory_tries_again),
		cmocka_unit_test(a_closed_channel_has_everything_back),
		cmocka_unit_test(a_guest_that_ends_in_the_middle),
		cmocka_unit_test(added_memory_and_the_next_kernel),
		cmocka_unit_test(what_another_kernel_had_is_given_back),
		cmocka_unit_test(nothing_is_asked_during_a_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
