/* SPDX-License-Identifier: MIT */
/* The rows of counters by themselves: sums, and a new life of a LUN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "vsp/storvsp/counts.h"

static struct storvsp_counts counts;

static int setup(void **state)
{
	return counts_init(&counts, 2);
}

static int teardown(void **state)
{
	counts_fini(&counts);
	return 0;
}

static void one_read(uint32_t channel, uint8_t lun)
{
	static struct scsi_unit unit = {.info.block_size = 512};
	static struct scsi_task task;
	struct storvsp_count_row *row = counts_of_channel(&counts, channel) + lun;

	task.unit = &unit;
	task.cmd.action = SCSI_ACTION_READ;
	task.cmd.blocks = 8;
	count_begin(row);
	count_end(row, &task, 1000);
}

static struct storvsp_counters sum_of(uint8_t lun)
{
	struct storvsp_counters sum = {0};

	for (uint32_t channel = 0; channel < 2; channel++)
		counts_collect(&sum, counts_of_channel(&counts, channel) + lun);
	return sum;
}

static void rows_do_not_touch_each_other(void **state)
{
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++)
		for (uint8_t n = 0; n <= lun; n++)
			one_read(lun % 2, lun);
	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		struct storvsp_counters sum = sum_of(lun);

		assert_int_equal(sum.reads, lun + 1);
		assert_int_equal(sum.read_bytes, (lun + 1) * 4096);
		assert_int_equal(sum.latency[STORVSP_LATENCY_READ].count, lun + 1);
		assert_int_equal(sum.latency[STORVSP_LATENCY_READ].sum_ns, (lun + 1) * 1000);
	}
}

static void reset_is_of_one_lun_on_all_channels(void **state)
{
	static const struct storvsp_counters none;
	struct storvsp_counters sum;

	one_read(0, 5);
	one_read(1, 5);
	one_read(1, 6);
	counts_reset(&counts, 5);
	sum = sum_of(5);
	assert_memory_equal(&sum, &none, sizeof(none));
	assert_int_equal(sum_of(6).reads, 1);
	one_read(1, 5);
	assert_int_equal(sum_of(5).reads, 1);
	assert_int_equal(sum_of(5).latency[STORVSP_LATENCY_READ].count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_do_not_touch_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(
			reset_is_of_one_lun_on_all_channels, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
