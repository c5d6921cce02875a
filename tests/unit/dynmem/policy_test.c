/* SPDX-License-Identifier: MIT */
/* What a guest is to have, and the next step to get there. */
#include "vsp/dynmem/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct dynmem_view view(void)
{
	return (struct dynmem_view){
		.min = 256 * MIB,
		.max = 4 * GIB,
		.buffer = 20,
		.ram = 512 * MIB,
		.can_take = true,
		.alignment = 128 * MIB,
	};
}

static void check_next(const struct dynmem_view *v, enum dynmem_action action, uint64_t bytes)
{
	uint64_t got;

	assert_int_equal(dynmem_next(v, &got), action);
	assert_int_equal(got, bytes);
}

static void nothing_is_done_before_a_report(void **state)
{
	struct dynmem_view v = view();

	assert_int_equal(dynmem_target(&v), 512 * MIB);
	check_next(&v, DYNMEM_NOTHING, 0);
}

static void the_need_and_a_buffer(void **state)
{
	struct dynmem_view v = view();

	v.reported = true;
	v.committed = 300 * MIB;
	assert_int_equal(dynmem_target(&v), 360 * MIB);
	check_next(&v, DYNMEM_TAKE, DYNMEM_STEP);
	v.out = 100 * MIB; /* the guest counts it as committed */
	v.committed += v.out;
	assert_int_equal(dynmem_target(&v), 360 * MIB);
	check_next(&v, DYNMEM_TAKE, 52 * MIB);
	v.offline = 40 * MIB;
	v.committed += v.offline;
	assert_int_equal(dynmem_target(&v), 360 * MIB);
}

static void a_little_is_not_taken(void **state)
{
	struct dynmem_view v = view();

	v.reported = true;
	v.committed = 410 * MIB;
	assert_int_equal(dynmem_target(&v), 512 * MIB);
	v.committed = 440 * MIB; /* but given */
	assert_int_equal(dynmem_target(&v), 528 * MIB);
}

static void within_the_limits(void **state)
{
	static const uint64_t committed[] = {0, 1, UINT64_MAX, UINT64_MAX / 2, 1ull << 52};
	struct dynmem_view v = view();

	v.reported = true;
	for (size_t i = 0; i < sizeof(committed) / sizeof(*committed); i++) {
		v.committed = committed[i];
		v.buffer = 1000;
		assert_in_range(dynmem_target(&v), v.min, v.max);
	}
	v.wanted = 1;
	assert_int_equal(dynmem_target(&v), v.min);
	v.wanted = UINT64_MAX;
	assert_int_equal(dynmem_target(&v), v.max);
}

static void first_given_then_added(void **state)
{
	struct dynmem_view v = view();

	v.wanted = 700 * MIB;
	v.out = 10 * MIB + 4096;
	check_next(&v, DYNMEM_GIVE, 10 * MIB + 4096);
	v.out = 0;
	check_next(&v, DYNMEM_ADD, 128 * MIB);
	v.ram = 640 * MIB;
	check_next(&v, DYNMEM_ADD, 128 * MIB); /* more than missing */
	v.ram = 768 * MIB;
	check_next(&v, DYNMEM_TAKE, 68 * MIB);
	v.out = 68 * MIB;
	check_next(&v, DYNMEM_NOTHING, 0);
}

static void added_up_to_the_maximum(void **state)
{
	struct dynmem_view v = view();

	v.wanted = v.max = 700 * MIB;
	v.ram = 640 * MIB;
	check_next(&v, DYNMEM_NOTHING, 0); /* no block fits any more */
	v.max = 768 * MIB;
	check_next(&v, DYNMEM_ADD, 128 * MIB);
	v.alignment = 0;
	check_next(&v, DYNMEM_NOTHING, 0);
	v.alignment = 2 * GIB;
	v.max = v.wanted = 4 * GIB;
	check_next(&v, DYNMEM_ADD, 2 * GIB);
	v.ram = 2 * GIB + 1;
	check_next(&v, DYNMEM_NOTHING, 0);
}

static void a_guest_that_cannot_give(void **state)
{
	struct dynmem_view v = view();
	uint64_t bytes;

	v.wanted = 256 * MIB;
	v.can_take = false;
	assert_int_equal(dynmem_next(&v, &bytes), DYNMEM_NOTHING);
}

/* From any state to any target: a number of steps that is bounded, and never outside the limits. */
static void steps_lead_to_the_target(void **state)
{
	unsigned seed = 1;

	for (unsigned round = 0; round < 2000; round++) {
		struct dynmem_view v = view();
		unsigned steps = 0;
		uint64_t bytes;

		v.max = 512 * MIB + (uint64_t)(rand_r(&seed) % 28) * 128 * MIB;
		v.out = (uint64_t)rand_r(&seed) % (256 * MIB) / 4096 * 4096;
		v.wanted = v.min + (uint64_t)rand_r(&seed) * MIB % (v.max - v.min + 1);
		for (;;) {
			enum dynmem_action action = dynmem_next(&v, &bytes);

			if (action == DYNMEM_NOTHING)
				break;
			assert_true(bytes && steps++ < 200);
			v.ram += action == DYNMEM_ADD ? bytes : 0;
			v.out += action == DYNMEM_TAKE ? bytes : 0;
			v.out -= action == DYNMEM_GIVE ? bytes : 0;
			assert_in_range(v.ram, 512 * MIB, v.max);
			assert_true(v.out < v.ram);
		}
		assert_in_range(
			dynmem_granted(&v), dynmem_target(&v), dynmem_target(&v) + DYNMEM_UNIT - 1);
	}
}

/* ---- is it of any use? --------------------------------------------------- */

static void memory_that_stays_offline(void **state)
{
	struct dynmem_added a = {.bytes = 128 * MIB,
		.took_ns = 5100000000ull,
		.available = 100 * MIB,
		.committed = 300 * MIB};

	assert_true(dynmem_is_offline(&a, 98 * MIB, 428 * MIB));
	assert_false(dynmem_is_offline(&a, 220 * MIB, 428 * MIB)); /* it can be used */
	assert_false(dynmem_is_offline(&a, 98 * MIB, 310 * MIB));  /* it is not counted */
	a.took_ns = 4000000000ull;
	assert_false(dynmem_is_offline(&a, 98 * MIB, 428 * MIB)); /* nothing was waited for */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_done_before_a_report),
		cmocka_unit_test(the_need_and_a_buffer),
		cmocka_unit_test(a_little_is_not_taken),
		cmocka_unit_test(within_the_limits),
		cmocka_unit_test(first_given_then_added),
		cmocka_unit_test(added_up_to_the_maximum),
		cmocka_unit_test(a_guest_that_cannot_give),
		cmocka_unit_test(steps_lead_to_the_target),
		cmocka_unit_test(memory_that_stays_offline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
