/* SPDX-License-Identifier: MIT */
/* Saving the Hyper-V interface and restoring it over the same guest memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/hv/fake_partition.h"

#define TSC_PAGE (7 * (uint64_t)HV_PAGE_SIZE)
#define DIRECT   (HV_STIMER_DIRECT | 0x70ull << HV_STIMER_VECTOR_SHIFT)

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static void save(struct archive *a)
{
	hv_time_pause(&m.hv);
	archive_write(a);
	hv_archive(&m.hv, a);
	assert_int_equal(archive_error(a, NULL), 0);
}

/* A new interface on the memory there is; the host's TSC went on by so much. */
static int restore(const struct archive *saved, uint64_t tsc_passed)
{
	struct hv_config config = fake_config(&m);
	struct archive a;
	uint64_t tsc = m.tsc;

	hv_fini(&m.hv);
	memset(m.route, 0, sizeof(m.route));
	m.injected = 0;
	fake_init_config(&m, &config);
	m.tsc = tsc + tsc_passed;
	archive_read(&a, saved->bytes, saved->size);
	hv_archive(&m.hv, &a);
	archive_finish(&a);
	if (archive_error(&a, NULL))
		return archive_error(&a, NULL);
	hv_restored(&m.hv);
	hv_time_resume(&m.hv);
	return 0;
}

static void again(uint64_t tsc_passed)
{
	struct archive a;

	save(&a);
	assert_int_equal(restore(&a, tsc_passed), 0);
	archive_fini(&a);
}

static int post(uint32_t number)
{
	return synic_post(&m.hv, 1, FAKE_SINT, HV_MESSAGE_TYPE_VMBUS, 9, &number, sizeof(number));
}

static void messages_keep_their_order(void **state)
{
	struct hv_message msg;

	fake_synic_on(&m, 1);
	for (uint32_t number = 0; number < 4; number++)
		assert_int_equal(post(number), 0);
	for (uint32_t number = 0; number < 4; number++) {
		again(0);
		assert_int_equal(m.route[1][FAKE_SINT], FAKE_VECTOR);
		assert_true(fake_take(&m, 1, FAKE_SINT, &msg));
		assert_int_equal(msg.payload[0] & 0xFF, number);
	}
	assert_false(fake_take(&m, 1, FAKE_SINT, &msg));
}

/* What is in guest memory is not touched; each open SINT interrupts once. */
static void flags_stay(void **state)
{
	fake_synic_on(&m, 1);
	synic_signal(&m.hv, 1, FAKE_SINT, 77);
	again(0);
	assert_true(fake_flag(&m, 1, FAKE_SINT, 77));
	assert_int_equal(m.injected, 1);
	assert_int_equal(m.last_irq.vector, FAKE_VECTOR);
}

static void remembered_events_stay(void **state)
{
	synic_signal(&m.hv, 1, FAKE_SINT, 77);
	again(0);
	fake_synic_on(&m, 1);
	assert_true(fake_flag(&m, 1, FAKE_SINT, 77));
}

static void registers_stay(void **state)
{
	fake_synic_on(&m, 2);
	fake_wrmsr(&m, 0, HV_MSR_GUEST_OS_ID, 0x8100000000000001);
	fake_wrmsr(&m, 0, HV_MSR_CRASH_P0, 5);
	again(0);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_GUEST_OS_ID), 0x8100000000000001);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_CRASH_P0), 5);
	assert_int_equal(fake_rdmsr(&m, 2, HV_MSR_SIMP), FAKE_SIMP(2) | HV_MSR_PAGE_ENABLE);
	assert_int_equal(fake_rdmsr(&m, 2, HV_MSR_SINT0 + FAKE_SINT), FAKE_VECTOR);
}

/* Due times are reference times, which stood still. */
static void timers_go_on(void **state)
{
	fake_advance(&m, 5000);
	fake_wrmsr(&m, 1, HV_MSR_STIMER0_CONFIG, DIRECT | HV_STIMER_AUTO_ENABLE);
	fake_wrmsr(&m, 1, HV_MSR_STIMER0_COUNT, 9000);
	again(1000000);
	assert_int_equal(hv_ref_time(&m.hv), 5000);
	assert_int_equal(m.armed[1], 9000);
	fake_advance(&m, 4000);
	hv_stimer_expire(&m.hv, 1);
	assert_int_equal(m.direct, 1);
}

static uint64_t page_time(const struct hv_reference_tsc_page *page)
{
	return (uint64_t)(((unsigned __int128)m.tsc * page->scale) >> 64) + (uint64_t)page->offset;
}

/* It is right without a change as long as the TSC stood still; else it gets a new sequence. */
static void reference_page_is_right(void **state)
{
	const struct hv_reference_tsc_page *page = fake_ram(&m, TSC_PAGE);
	uint32_t sequence;

	fake_advance(&m, 5000);
	fake_wrmsr(&m, 0, HV_MSR_REFERENCE_TSC, TSC_PAGE | HV_MSR_PAGE_ENABLE);
	sequence = page->sequence;
	again(0);
	assert_int_equal(page->sequence, sequence);
	assert_int_equal(page_time(page), hv_ref_time(&m.hv));
	again(12345678);
	assert_int_not_equal(page->sequence, sequence);
	assert_int_equal(hv_ref_time(&m.hv), 5000);
	assert_int_equal(page_time(page), 5000);
}

/* No damage crashes, whatever it says. */
static void damage_is_harmless(void **state)
{
	struct archive a;

	fake_synic_on(&m, 1);
	for (uint32_t number = 0; number < 3; number++)
		post(number);
	synic_signal(&m.hv, 0, FAKE_SINT, 5);
	save(&a);
	for (size_t at = 0; at < a.size; at++) {
		a.bytes[at] ^= (uint8_t)(1u << at % 8);
		restore(&a, 0);
		hv_time_is_paused(&m.hv);
		a.bytes[at] ^= (uint8_t)(1u << at % 8);
	}
	assert_int_equal(restore(&a, 0), 0);
	archive_fini(&a);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(messages_keep_their_order),
		TEST(flags_stay),
		TEST(remembered_events_stay),
		TEST(registers_stay),
		TEST(timers_go_on),
		TEST(reference_page_is_right),
		TEST(damage_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
