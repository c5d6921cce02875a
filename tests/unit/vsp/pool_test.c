/* SPDX-License-Identifier: MIT */
#include "vsp/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#define COUNT 5
#define SIZE  100 /* not a multiple of 16 */

static void gives_distinct_zeroed_aligned_requests(void **state)
{
	static const uint8_t zero[SIZE];
	uint8_t *requests[COUNT];
	struct pool pool;

	assert_int_equal(pool_init(&pool, SIZE, COUNT, NULL), 0);
	for (unsigned int i = 0; i < COUNT; i++) {
		requests[i] = pool_get(&pool);
		assert_non_null(requests[i]);
		assert_int_equal((uintptr_t)requests[i] % 16, 0);
		assert_memory_equal(requests[i], zero, SIZE);
		memset(requests[i], (int)i + 1, SIZE); /* would show in an overlapping one */
	}
	assert_null(pool_get(&pool));
	assert_int_equal(pool.used, COUNT);
	for (unsigned int i = 0; i < COUNT; i++) {
		assert_int_equal(requests[i][0], i + 1);
		assert_int_equal(requests[i][SIZE - 1], i + 1);
		pool_put(&pool, requests[i]);
	}
	assert_int_equal(pool.used, 0);
	pool_fini(&pool);
}

static void takes_back_in_any_order(void **state)
{
	void *requests[COUNT];
	struct pool pool;

	assert_int_equal(pool_init(&pool, SIZE, COUNT, NULL), 0);
	for (unsigned int round = 0; round < 100; round++) {
		for (unsigned int i = 0; i < COUNT; i++)
			requests[i] = pool_get(&pool);
		assert_null(pool_get(&pool));
		for (unsigned int i = 0; i < COUNT; i++)
			pool_put(&pool, requests[(i * 2 + round) % COUNT]);
	}
	pool_fini(&pool);
}

static void contents_stay(void **state)
{
	struct pool pool;
	uint8_t *request;

	assert_int_equal(pool_init(&pool, SIZE, 1, NULL), 0);
	request = pool_get(&pool);
	request[7] = 42;
	pool_put(&pool, request);
	assert_ptr_equal(pool_get(&pool), request);
	assert_int_equal(request[7], 42);
	pool_put(&pool, request);
	pool_fini(&pool);
}

static void an_empty_pool_is_legal(void **state)
{
	struct pool pool;

	assert_int_equal(pool_init(&pool, 0, 10, NULL), 0);
	assert_null(pool_get(&pool));
	pool_fini(&pool);
	assert_int_equal(pool_init(&pool, 10, 0, NULL), 0);
	assert_null(pool_get(&pool));
	pool_fini(&pool);
}

/* ---- the budget ---------------------------------------------------------- */

#define MANY 1000u
#define BIG  (64u << 10)

static void grows_with_its_use_and_gives_all_back(void **state)
{
	static void *requests[MANY];
	struct budget budget;
	struct pool pool;
	uint64_t first;

	budget_init(&budget, 16 * BUDGET_DEFAULT);
	assert_int_equal(pool_init(&pool, BIG, MANY, &budget), 0);
	first = budget_used(&budget);
	assert_true(first >= POOL_FIRST * BIG && first < 2 * POOL_FIRST * BIG);
	for (unsigned int i = 0; i < MANY; i++) {
		requests[i] = pool_get(&pool);
		assert_non_null(requests[i]);
		assert_true(budget_used(&budget) < (i + 1 + POOL_FIRST) * 2 * BIG);
	}
	for (unsigned int i = 0; i < MANY; i++)
		pool_put(&pool, requests[i]);
	pool_fini(&pool);
	assert_int_equal(budget_used(&budget), 0);
}

/* Warm, it takes no more from the budget; the others find it empty. */
static void goes_on_when_the_budget_is_used_up(void **state)
{
	static void *requests[MANY];
	struct pool pool, late, third;
	struct budget budget;
	unsigned int got = 0;
	uint64_t refusals;

	budget_init(&budget, BUDGET_MIN);
	assert_int_equal(pool_init(&late, BIG, MANY, &budget), 0);
	assert_int_equal(pool_init(&pool, BIG, MANY, &budget), 0);
	while ((requests[got] = pool_get(&pool)))
		got++;
	assert_true(got > 100 && got < MANY);
	refusals = budget_refusals(&budget, BUDGET_REQUESTS);
	assert_true(refusals > 0);
	for (unsigned int round = 0; round < 10; round++) {
		for (unsigned int i = 0; i < got; i++)
			pool_put(&pool, requests[i]);
		for (unsigned int i = 0; i < got; i++)
			assert_non_null(requests[i] = pool_get(&pool));
	}
	assert_int_equal(budget_refusals(&budget, BUDGET_REQUESTS), refusals);
	for (unsigned int i = 0; i < POOL_FIRST; i++)
		requests[got + i] = pool_get(&late);
	assert_int_equal(late.used, POOL_FIRST);
	assert_int_equal(pool_init(&third, BIG, MANY, &budget), -ENOMEM);
	for (unsigned int i = 0; i < got + POOL_FIRST; i++)
		pool_put(i < got ? &pool : &late, requests[i]);
	pool_fini(&pool);
	pool_fini(&late);
	assert_int_equal(budget_used(&budget), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_distinct_zeroed_aligned_requests),
		cmocka_unit_test(takes_back_in_any_order),
		cmocka_unit_test(contents_stay),
		cmocka_unit_test(an_empty_pool_is_legal),
		cmocka_unit_test(grows_with_its_use_and_gives_all_back),
		cmocka_unit_test(goes_on_when_the_budget_is_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
