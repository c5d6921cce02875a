/* SPDX-License-Identifier: MIT */
/* SINTs with AutoEOI: which interrupt a VP gets when; and what the SynIC hands to the port. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hyper/hv/auto_eoi.h"
#include "tests/unit/hv/fake_partition.h"

/* ---- the interrupts of one VP -------------------------------------------- */

static struct auto_eoi waiting;
static struct auto_eoi_vp vp;

static int setup_vp(void **state)
{
	memset(&waiting, 0, sizeof(waiting));
	vp = (struct auto_eoi_vp){.lapic_on = true, .interruptible = true};
	return 0;
}

static void assert_next(enum auto_eoi_action action, uint8_t vector)
{
	struct auto_eoi_step step = auto_eoi_next(&waiting, &vp);

	assert_int_equal(step.action, action);
	assert_int_equal(step.vector, vector);
}

static void serve(uint8_t vector)
{
	vp.in_service[vector / 32] |= 1u << vector % 32;
}

static void every_vector_is_delivered(void **state)
{
	for (uint32_t vector = HV_SINT_FIRST_VECTOR; vector < 256; vector++) {
		assert_false(auto_eoi_waiting(&waiting));
		assert_true(auto_eoi_raise(&waiting, (uint8_t)vector));
		assert_true(auto_eoi_waiting(&waiting));
		assert_next(AUTO_EOI_INJECT, (uint8_t)vector);
		auto_eoi_take(&waiting, (uint8_t)vector);
		assert_next(AUTO_EOI_NOTHING, 0);
	}
}

static void raised_twice_is_taken_once(void **state)
{
	assert_true(auto_eoi_raise(&waiting, 0xF3));
	assert_false(auto_eoi_raise(&waiting, 0xF3));
	auto_eoi_take(&waiting, 0xF3);
	assert_false(auto_eoi_waiting(&waiting));
	assert_true(auto_eoi_raise(&waiting, 0xF3));
}

static void highest_comes_first(void **state)
{
	static const uint8_t vectors[] = {0x51, 0xF3, 0x30, 0xF2, 0x80, 0x7F};
	static const uint8_t sorted[] = {0xF3, 0xF2, 0x80, 0x7F, 0x51, 0x30};

	for (size_t i = 0; i < sizeof(vectors); i++)
		auto_eoi_raise(&waiting, vectors[i]);
	for (size_t i = 0; i < sizeof(sorted); i++) {
		assert_next(AUTO_EOI_INJECT, sorted[i]);
		auto_eoi_take(&waiting, sorted[i]);
	}
}

static void vp_that_is_not_ready_keeps_them(void **state)
{
	auto_eoi_raise(&waiting, 0xF3);
	vp.interruptible = false;
	assert_next(AUTO_EOI_WAIT, 0);
	vp.interruptible = true;
	vp.busy = true;
	assert_next(AUTO_EOI_WAIT, 0);
	vp.busy = false;
	assert_next(AUTO_EOI_INJECT, 0xF3);
}

static void vp_without_lapic_loses_them(void **state)
{
	auto_eoi_raise(&waiting, 0xF3);
	auto_eoi_raise(&waiting, 0x30);
	vp.lapic_on = false;
	vp.interruptible = false;
	assert_next(AUTO_EOI_FORGET, 0);
	auto_eoi_forget(&waiting);
	assert_next(AUTO_EOI_NOTHING, 0);
}

static void class_above_the_task_priority_comes(void **state)
{
	auto_eoi_raise(&waiting, 0x51);
	vp.task_priority = 0x50;
	assert_next(AUTO_EOI_WAIT, 0);
	vp.task_priority = 0x60;
	assert_next(AUTO_EOI_WAIT, 0);
	vp.task_priority = 0x4F;
	assert_next(AUTO_EOI_INJECT, 0x51);
}

static void class_above_what_is_in_service_comes(void **state)
{
	auto_eoi_raise(&waiting, 0x6F);
	serve(0x60);
	assert_next(AUTO_EOI_WAIT, 0);
	serve(0xFF);
	assert_next(AUTO_EOI_WAIT, 0);
	memset(vp.in_service, 0, sizeof(vp.in_service));
	serve(0x5F);
	serve(0x10);
	assert_next(AUTO_EOI_INJECT, 0x6F);
}

/* A high one that may come is not held back by a low one that may not. */
static void low_one_waits_behind_a_high_one(void **state)
{
	auto_eoi_raise(&waiting, 0x51);
	auto_eoi_raise(&waiting, 0x73);
	serve(0x60);
	assert_next(AUTO_EOI_INJECT, 0x73);
	auto_eoi_take(&waiting, 0x73);
	assert_next(AUTO_EOI_WAIT, 0);
}

static void retries_are_bounded_and_add_little(void **state)
{
	assert_int_equal(auto_eoi_retry_ns(0), AUTO_EOI_RETRY_MIN_NS);
	assert_int_equal(auto_eoi_retry_ns(8000000), 1000000);
	assert_int_equal(auto_eoi_retry_ns(UINT64_MAX), AUTO_EOI_RETRY_MAX_NS);
}

/* Several threads raise, one takes: what was raised last is never lost. */
#define RAISES 20000u

static _Atomic unsigned raisers;

static void *raise_many(void *arg)
{
	for (unsigned i = 0; i < RAISES; i++)
		auto_eoi_raise(&waiting, (uint8_t)(uintptr_t)arg);
	raisers--;
	return NULL;
}

static void raising_races_with_taking(void **state)
{
	pthread_t thread[2];
	struct auto_eoi_step step;

	raisers = 2;
	pthread_create(&thread[0], NULL, raise_many, (void *)(uintptr_t)0x51);
	pthread_create(&thread[1], NULL, raise_many, (void *)(uintptr_t)0x52);
	do {
		step = auto_eoi_next(&waiting, &vp);
		if (step.action == AUTO_EOI_INJECT) {
			assert_in_range(step.vector, 0x51, 0x52);
			auto_eoi_take(&waiting, step.vector);
		}
	} while (raisers || auto_eoi_waiting(&waiting));
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
}

/* ---- the SynIC above it -------------------------------------------------- */

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	fake_synic_on(&m, 1);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_AUTO_EOI);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static void post(uint32_t number)
{
	synic_post(&m.hv, 1, FAKE_SINT, HV_MESSAGE_TYPE_VMBUS, 9, &number, sizeof(number));
}

static void messages_interrupt_without_a_route(void **state)
{
	struct hv_message msg;

	post(1);
	post(2);
	assert_int_equal(m.auto_eoi, 1);
	assert_int_equal(m.last_irq.vp, 1);
	assert_int_equal(m.last_irq.vector, FAKE_VECTOR);
	assert_int_equal(m.route[1][FAKE_SINT], 0);
	assert_true(fake_take(&m, 1, FAKE_SINT, &msg)); /* its EOM brings the second */
	assert_int_equal(m.auto_eoi, 2);
	assert_int_equal(m.injected, 2);
}

static void events_interrupt_once_until_taken(void **state)
{
	synic_signal(&m.hv, 1, FAKE_SINT, 7);
	synic_signal(&m.hv, 1, FAKE_SINT, 7);
	assert_int_equal(m.auto_eoi, 1);
}

static void masked_sint_keeps_its_events(void **state)
{
	fake_wrmsr(
		&m, 1, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_AUTO_EOI | HV_SINT_MASKED);
	synic_signal(&m.hv, 1, FAKE_SINT, 7);
	assert_int_equal(m.auto_eoi, 0);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_AUTO_EOI);
	assert_int_equal(m.auto_eoi, 1);
}

static void polled_sint_gets_no_interrupt(void **state)
{
	fake_wrmsr(
		&m, 1, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_AUTO_EOI | HV_SINT_POLLING);
	post(1);
	assert_int_equal(m.injected, 0);
	assert_int_equal(fake_slot(&m, 1, FAKE_SINT)->type, HV_MESSAGE_TYPE_VMBUS);
}

/* FreeBSD: messages and timer have a SINT each, and one vector. */
static void two_sints_may_have_one_vector(void **state)
{
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, FAKE_VECTOR | HV_SINT_AUTO_EOI);
	post(1);
	fake_wrmsr(
		&m, 1, HV_MSR_STIMER0_CONFIG, HV_STIMER_AUTO_ENABLE | 4ull << HV_STIMER_SINT_SHIFT);
	fake_wrmsr(&m, 1, HV_MSR_STIMER0_COUNT, 1);
	fake_advance(&m, 1);
	hv_stimer_expire(&m.hv, 1);
	assert_int_equal(m.auto_eoi, 2);
	assert_int_equal(fake_slot(&m, 1, 4)->type, HV_MESSAGE_TYPE_TIMER);
}

static void without_the_bit_the_route_is_used(void **state)
{
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR);
	synic_signal(&m.hv, 1, FAKE_SINT, 7);
	assert_int_equal(m.auto_eoi, 0);
	assert_int_equal(m.injected, 1);
	assert_int_equal(m.route[1][FAKE_SINT], FAKE_VECTOR);
}

#define VP_TEST(name) cmocka_unit_test_setup(name, setup_vp)
#define TEST(name)    cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VP_TEST(every_vector_is_delivered),
		VP_TEST(raised_twice_is_taken_once),
		VP_TEST(highest_comes_first),
		VP_TEST(vp_that_is_not_ready_keeps_them),
		VP_TEST(vp_without_lapic_loses_them),
		VP_TEST(class_above_the_task_priority_comes),
		VP_TEST(class_above_what_is_in_service_comes),
		VP_TEST(low_one_waits_behind_a_high_one),
		VP_TEST(retries_are_bounded_and_add_little),
		VP_TEST(raising_races_with_taking),
		TEST(messages_interrupt_without_a_route),
		TEST(events_interrupt_once_until_taken),
		TEST(masked_sint_keeps_its_events),
		TEST(polled_sint_gets_no_interrupt),
		TEST(two_sints_may_have_one_vector),
		TEST(without_the_bit_the_route_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
