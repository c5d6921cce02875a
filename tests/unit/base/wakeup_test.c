/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/wakeup.h"

static void a_wakeup_takes_time(void **state)
{
	uint64_t ns = wakeup_measure_ns();

	assert_in_range(ns, 500, 1000000000);
}

static void without_descriptors_it_says_nothing(void **state)
{
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(wakeup_measure_ns(), 0);
	assert_int_equal(wakeup_poll_window_ns(), 50000); /* the least */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void a_window_is_within_limits(void **state)
{
	assert_in_range(wakeup_poll_window_ns(), 50000, 2000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wakeup_takes_time),
		cmocka_unit_test(without_descriptors_it_says_nothing),
		cmocka_unit_test(a_window_is_within_limits),
	};

	return cmocka_run_group_tests_name("wakeup", tests, NULL, NULL);
}
