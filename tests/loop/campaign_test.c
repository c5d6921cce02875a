/* SPDX-License-Identifier: MIT */
/* Short forms of the durability campaigns, and the proof that they can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/campaign.h"

static void kills_lose_nothing(void **state)
{
	struct campaign c = {.rounds = 20, .seed = 1};

	campaign_kill(&c);
	if (c.violations)
		fail_msg("%s", c.first);
	assert_int_equal(c.rounds_done, 20);
}

static void power_cuts_keep_what_was_flushed(void **state)
{
	struct campaign c = {.rounds = 300, .seed = 2};

	campaign_powercut(&c);
	if (c.violations)
		fail_msg("%s", c.first);
	assert_int_equal(c.rounds_done, 300);
	assert_true(c.unflushed > 1000 && c.old > 100); /* there was something to lose */
	assert_true(c.counts.done[IO_FLUSH] > 300 && c.counts.done[IO_WRITE_FUA] > 300);
}

static void lies_about_flushes_are_found(void **state)
{
	struct campaign cut = {.rounds = 100, .seed = 3, .lie = true};
	struct campaign killed = {.rounds = 100, .seed = 3, .lie = true};

	campaign_powercut(&cut);
	assert_true(cut.violations > 0);
	assert_non_null(strstr(cut.first, "lost"));
	campaign_kill(&killed);
	assert_true(killed.violations > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kills_lose_nothing),
		cmocka_unit_test(power_cuts_keep_what_was_flushed),
		cmocka_unit_test(lies_about_flushes_are_found),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
