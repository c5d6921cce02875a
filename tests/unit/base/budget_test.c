/* SPDX-License-Identifier: MIT */
#include "base/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after its prerequisites */
#include <cmocka.h>
#include <pthread.h>

#define MIB (1ull << 20)

static struct budget b;

static int setup(void **state)
{
	budget_init(&b, BUDGET_DEFAULT);
	return 0;
}

/* Bytes that one user gets, in steps. */
static uint64_t take_all(enum budget_user user, uint64_t step)
{
	uint64_t got = 0;

	while (budget_take(&b, user, step))
		got += step;
	return got;
}

static void one_user_gets_all_but_the_shares_of_others(void **state)
{
	uint64_t others = b.limit - b.common_limit - b.accounts[BUDGET_BOUNCES].share;

	assert_int_equal(take_all(BUDGET_BOUNCES, 4096), BUDGET_DEFAULT - others);
	assert_int_equal(budget_refusals(&b, BUDGET_BOUNCES), 1);
	for (enum budget_user user = 0; user < BUDGET_USERS; user++)
		if (user != BUDGET_BOUNCES)
			assert_int_equal(take_all(user, 4096), b.accounts[user].share);
	assert_int_equal(budget_used(&b), BUDGET_DEFAULT);
	assert_int_equal(budget_peak(&b), BUDGET_DEFAULT);
}

static void what_is_given_can_be_taken_by_another(void **state)
{
	uint64_t got = take_all(BUDGET_REQUESTS, MIB);

	assert_int_equal(take_all(BUDGET_MESSAGES, MIB), 2 * MIB); /* its share */
	budget_give(&b, BUDGET_REQUESTS, got);
	assert_true(take_all(BUDGET_MESSAGES, MIB) > 30 * MIB);
}

static void all_given_is_nothing_used(void **state)
{
	uint64_t got[BUDGET_USERS];

	for (enum budget_user user = 0; user < BUDGET_USERS; user++)
		got[user] = take_all(user, 12345);
	for (enum budget_user user = 0; user < BUDGET_USERS; user++)
		budget_give(&b, user, got[user]);
	assert_int_equal(budget_used(&b), 0);
	assert_int_equal(b.common, 0);
}

static void absurd_sizes_are_refused(void **state)
{
	assert_false(budget_take(&b, BUDGET_GPADLS, UINT64_MAX));
	assert_false(budget_take(&b, BUDGET_GPADLS, BUDGET_DEFAULT + 1));
	assert_true(budget_take(&b, BUDGET_GPADLS, 0));
	assert_int_equal(budget_used(&b), 0);
	assert_int_equal(budget_refusals(&b, BUDGET_GPADLS), 2);
}

/* The longest transfer of a storage channel, and its first requests. */
static void the_smallest_budget_lets_every_user_go_on(void **state)
{
	budget_init(&b, BUDGET_MIN);
	take_all(BUDGET_GPADLS, 4096);
	assert_true(budget_take(&b, BUDGET_BOUNCES, MIB));
	assert_true(budget_take(&b, BUDGET_REQUESTS, MIB));
	assert_true(budget_take(&b, BUDGET_MESSAGES, 4096));
	assert_true(budget_take(&b, BUDGET_CHANNELS, MIB));
}

static void no_budget_is_no_limit(void **state)
{
	assert_true(budget_take(NULL, BUDGET_BOUNCES, UINT64_MAX));
	budget_give(NULL, BUDGET_BOUNCES, UINT64_MAX);
}

/* ---- threads ------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  20000

static void *take_and_give(void *arg)
{
	const enum budget_user user = (enum budget_user)(uintptr_t)arg;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		uint64_t bytes = (i * 7919u % 30) * MIB;

		if (!budget_take(&b, user, bytes))
			continue;
		assert_true(budget_used(&b) <= BUDGET_DEFAULT);
		assert_true(b.common <= b.common_limit);
		budget_give(&b, user, bytes);
	}
	return NULL;
}

static void threads_leave_nothing_behind(void **state)
{
	pthread_t threads[THREADS];

	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, take_and_give, (void *)(i % 2)), 0);
	for (uint32_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(budget_used(&b), 0);
	assert_int_equal(b.common, 0);
	for (enum budget_user user = 0; user < BUDGET_USERS; user++)
		assert_int_equal(b.accounts[user].used, 0);
	assert_true(budget_peak(&b) <= BUDGET_DEFAULT);
}

static _Atomic bool enough;

static void *take_too_much(void *arg)
{
	while (!enough)
		assert_false(budget_take(&b, BUDGET_REQUESTS, BUDGET_DEFAULT));
	return NULL;
}

static void a_take_that_is_refused_refuses_no_other(void **state)
{
	const uint64_t bytes = b.accounts[BUDGET_MESSAGES].share + MIB;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, take_too_much, NULL), 0);
	while (budget_refusals(&b, BUDGET_REQUESTS) < ROUNDS) {
		assert_true(budget_take(&b, BUDGET_MESSAGES, bytes));
		budget_give(&b, BUDGET_MESSAGES, bytes);
	}
	enough = true;
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_user_gets_all_but_the_shares_of_others, setup),
		cmocka_unit_test_setup(what_is_given_can_be_taken_by_another, setup),
		cmocka_unit_test_setup(all_given_is_nothing_used, setup),
		cmocka_unit_test_setup(absurd_sizes_are_refused, setup),
		cmocka_unit_test_setup(the_smallest_budget_lets_every_user_go_on, setup),
		cmocka_unit_test_setup(no_budget_is_no_limit, setup),
		cmocka_unit_test_setup(threads_leave_nothing_behind, setup),
		cmocka_unit_test_setup(a_take_that_is_refused_refuses_no_other, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
