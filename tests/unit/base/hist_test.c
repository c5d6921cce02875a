/* SPDX-License-Identifier: MIT */
/* The histogram of times: buckets, and the precision of percentiles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <string.h>

#include "base/hist.h"

static struct hist hist;
static struct hist_sum sum;

static int setup(void **state)
{
	memset(&hist, 0, sizeof(hist));
	memset(&sum, 0, sizeof(sum));
	return 0;
}

/* ---- buckets ------------------------------------------------------------- */

static void buckets_have_no_gap(void **state)
{
	assert_int_equal(hist_start(0), 0);
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		assert_int_equal(hist_bucket(hist_start(i)), i);
		if (i + 1 < HIST_BUCKETS)
			assert_int_equal(hist_bucket(hist_start(i + 1) - 1), i);
	}
	assert_int_equal(hist_start(HIST_BUCKETS), 1ull << HIST_TIME_SHIFT);
}

static void buckets_are_narrow(void **state)
{
	for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
		uint64_t width = hist_start(i + 1) - hist_start(i);

		assert_true(width == 64 || width * 8 <= hist_start(i));
	}
}

static void the_longest_times_share_the_last_bucket(void **state)
{
	assert_int_equal(hist_bucket((1ull << HIST_TIME_SHIFT) - 1), HIST_BUCKETS - 1);
	assert_int_equal(hist_bucket(1ull << HIST_TIME_SHIFT), HIST_BUCKETS - 1);
	assert_int_equal(hist_bucket(UINT64_MAX), HIST_BUCKETS - 1);
}

/* ---- percentiles --------------------------------------------------------- */

static void nothing_has_no_percentiles(void **state)
{
	hist_collect(&sum, &hist);
	assert_int_equal(sum.count, 0);
	assert_int_equal(hist_percentile(&sum, 50000), 0);
	assert_int_equal(hist_percentile(&sum, 100000), 0);
}

static void one_time_is_every_percentile(void **state)
{
	hist_add(&hist, 1000000);
	hist_collect(&sum, &hist);
	assert_int_equal(sum.count, 1);
	assert_int_equal(sum.sum_ns, 1000000);
	assert_int_equal(sum.highest_ns, 1000000);
	assert_in_range(hist_percentile(&sum, 0), 937500, 1000000);
	assert_in_range(hist_percentile(&sum, 50000), 937500, 1000000);
	assert_in_range(hist_percentile(&sum, 99900), 937500, 1000000);
}

static void assert_near(uint64_t got, uint64_t wanted)
{
	assert_in_range(got, wanted - wanted / 15, wanted + wanted / 15);
}

/* The percentiles of 1, 2, ... 100,000 of some unit are known. */
static void percentiles_are_true(void **state)
{
	static const uint64_t units[] = {10, 100, 777, 12345, 1000000};

	for (uint32_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		setup(NULL);
		for (uint64_t i = 1; i <= 100000; i++)
			hist_add(&hist, i * units[u]);
		hist_collect(&sum, &hist);
		assert_int_equal(sum.count, 100000);
		assert_int_equal(sum.highest_ns, 100000 * units[u]);
		assert_int_equal(sum.sum_ns, units[u] * (100000ull * 100001 / 2));
		for (uint32_t p = 1000; p < 100000; p += 500)
			assert_near(hist_percentile(&sum, p), p * units[u]);
		assert_near(hist_percentile(&sum, 99900), 99900 * units[u]);
		assert_near(hist_percentile(&sum, 100000), 100000 * units[u]);
	}
}

/* One slow request in a thousand is the p99.9, and is not in the p99. */
static void the_tail_is_seen(void **state)
{
	for (uint32_t i = 0; i < 998; i++)
		hist_add(&hist, 50000);
	hist_add(&hist, 9000000);
	hist_add(&hist, 9000000);
	hist_collect(&sum, &hist);
	assert_near(hist_percentile(&sum, 50000), 50000);
	assert_near(hist_percentile(&sum, 99000), 50000);
	assert_near(hist_percentile(&sum, 99900), 9000000);
}

static void too_long_is_told_by_the_longest(void **state)
{
	hist_add(&hist, 3ull << HIST_TIME_SHIFT);
	hist_collect(&sum, &hist);
	assert_int_equal(hist_percentile(&sum, 50000), 3ull << HIST_TIME_SHIFT);
}

static void histograms_add_up(void **state)
{
	hist_add(&hist, 1000);
	hist_add(&hist, 5000);
	hist_collect(&sum, &hist);
	hist_collect(&sum, &hist);
	assert_int_equal(sum.count, 4);
	assert_int_equal(sum.sum_ns, 12000);
	assert_int_equal(sum.highest_ns, 5000);
	assert_int_equal(sum.bucket[hist_bucket(1000)], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(buckets_have_no_gap, setup),
		cmocka_unit_test_setup(buckets_are_narrow, setup),
		cmocka_unit_test_setup(the_longest_times_share_the_last_bucket, setup),
		cmocka_unit_test_setup(nothing_has_no_percentiles, setup),
		cmocka_unit_test_setup(one_time_is_every_percentile, setup),
		cmocka_unit_test_setup(percentiles_are_true, setup),
		cmocka_unit_test_setup(the_tail_is_seen, setup),
		cmocka_unit_test_setup(too_long_is_told_by_the_longest, setup),
		cmocka_unit_test_setup(histograms_add_up, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
