/* SPDX-License-Identifier: MIT */
/* Guests that lie about memory again and again: bounded log lines, no memory, nothing out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/gmem_pages.h"
#include "base/log.h"
#include "tests/support/guest_dm.h"
#include "tests/support/log_lines.h"

#define MIB   (1ull << 20)
#define FREE  (32 * MIB)
#define FLOOD 20000u
#define LIES  4u

static uint64_t budget(struct guest_dm *s)
{
	return budget_used(&s->g.budget);
}

/* Answers to nothing, and reports that change all the time. */
static void a_flood_of_messages(void **state)
{
	const uint64_t range = GUEST_DM_RANGE(FREE, 512);
	struct guest_dm *s = guest_dm_create(false, 1);
	struct dm_header header = {0};
	uint64_t before;

	guest_dm_open_ready(s);
	guest_dm_target(s, GUEST_DM_RAM);
	before = budget(s);
	log_lines_begin();
	for (uint32_t i = 0; i < FLOOD; i++) {
		guest_dm_balloon(s, &range, 1, i & 1);
		guest_dm_say(s, DM_UNBALLOON_RESPONSE, &header, sizeof(header));
		guest_dm_report(s, i * MIB, (FLOOD - i) * MIB);
	}
	assert_true(guest_dm_is_silent(s));
	assert_int_equal(log_lines_end(), 0);
	assert_int_equal(guest_dm_count(s, "out_of_order"), 2 * FLOOD);
	assert_int_equal(guest_dm_count(s, "statuses"), FLOOD);
	assert_int_equal(budget(s), before);
	assert_int_equal(gmem_pages_out(&s->g.gmem), 0);
	guest_dm_destroy(s);
}

/* Each costs the guest its channel, and the host two lines. */
static void a_lie_after_each_other(void **state)
{
	const uint64_t range = GUEST_DM_RANGE(GUEST_DM_RAM, 512);
	struct guest_dm *s = guest_dm_create(false, 1);

	log_lines_begin();
	for (uint32_t i = 0; i < LIES; i++) {
		guest_dm_open_ready(s);
		guest_dm_target(s, GUEST_DM_RAM - 16 * MIB);
		guest_dm_expect(s, DM_BALLOON_REQUEST);
		guest_dm_balloon(s, &range, 1, false);
		guest_dm_wait_fault(s);
		guest_chan_close(&s->chan);
		assert_int_equal(gmem_pages_out(&s->g.gmem), 0);
		guest_release(&s->g, s->chan.offer.relid);
	}
	assert_in_range(log_lines_end(), LIES, 2 * LIES);
	guest_dm_destroy(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_of_messages),
		cmocka_unit_test(a_lie_after_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
