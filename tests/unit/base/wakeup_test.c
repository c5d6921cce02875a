/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/time.h"
#include "base/wakeup.h"

#define US 1000u

static void samples_of(struct wakeup_history *h, uint32_t count, uint64_t ns)
{
	for (uint32_t i = 0; i < count; i++)
		wakeup_history_add(h, ns);
}

/* ---- the arithmetic ------------------------------------------------------ */

static void without_samples_the_median_is_zero(void **state)
{
	struct wakeup_history h = {0};

	assert_int_equal(wakeup_history_median(&h), 0);
}

static void the_median_is_of_the_samples_there_are(void **state)
{
	struct wakeup_history h = {0};

	wakeup_history_add(&h, 30);
	assert_int_equal(wakeup_history_median(&h), 30);
	wakeup_history_add(&h, 10);
	wakeup_history_add(&h, 20);
	assert_int_equal(wakeup_history_median(&h), 20);
}

static void a_few_slow_samples_change_nothing(void **state)
{
	struct wakeup_history h = {0};

	samples_of(&h, WAKEUP_SAMPLES, 5 * US);
	samples_of(&h, WAKEUP_SAMPLES / 2, 4000 * US);
	assert_int_equal(wakeup_history_median(&h), 5 * US);
}

static void the_median_follows_the_machine(void **state)
{
	struct wakeup_history h = {0};

	samples_of(&h, 1000, 5 * US);
	samples_of(&h, WAKEUP_SAMPLES / 2 + 1, 40 * US);
	assert_int_equal(wakeup_history_median(&h), 40 * US);
	samples_of(&h, WAKEUP_SAMPLES / 2 + 1, 5 * US);
	assert_int_equal(wakeup_history_median(&h), 5 * US);
}

static void a_window_is_within_limits(void **state)
{
	assert_int_equal(wakeup_poll_window_ns(0), 50 * US);
	assert_int_equal(wakeup_poll_window_ns(10 * US), 400 * US);
	assert_int_equal(wakeup_poll_window_ns(50 * US), 2000 * US);
	assert_int_equal(wakeup_poll_window_ns(UINT64_MAX), 2000 * US);
}

/* ---- the thread ---------------------------------------------------------- */

static void a_wakeup_takes_time(void **state)
{
	struct wakeup_meter *m = wakeup_meter_new(NULL);

	assert_non_null(m);
	assert_in_range(wakeup_meter_ns(m), 200, NS_PER_S);
	wakeup_meter_free(m);
}

/* Whether asking skips a sample depends on the machine; that the meter ends does not. */
static void samples_may_be_asked_for_faster_than_taken(void **state)
{
	struct wakeup_meter *m = wakeup_meter_new(NULL);

	assert_non_null(m);
	for (int i = 0; i < 1000; i++)
		wakeup_meter_sample(m);
	assert_in_range(wakeup_meter_ns(m), 200, NS_PER_S);
	wakeup_meter_free(m);
}

static void without_descriptors_there_is_no_meter(void **state)
{
	struct rlimit before, none;
	struct err e;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_null(wakeup_meter_new(&e));
	assert_string_equal(
		e.text, "cannot measure the time to wake a thread: Too many open files");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	wakeup_meter_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_samples_the_median_is_zero),
		cmocka_unit_test(the_median_is_of_the_samples_there_are),
		cmocka_unit_test(a_few_slow_samples_change_nothing),
		cmocka_unit_test(the_median_follows_the_machine),
		cmocka_unit_test(a_window_is_within_limits),
		cmocka_unit_test(a_wakeup_takes_time),
		cmocka_unit_test(samples_may_be_asked_for_faster_than_taken),
		cmocka_unit_test(without_descriptors_there_is_no_meter),
	};

	return cmocka_run_group_tests_name("wakeup", tests, NULL, NULL);
}
