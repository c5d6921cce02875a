/* SPDX-License-Identifier: MIT */
#include "vsp/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define COUNT 5
#define SIZE  100 /* not a multiple of 16 */

static void gives_distinct_zeroed_aligned_requests(void **state)
{
	static const uint8_t zero[SIZE];
	uint8_t *requests[COUNT];
	struct pool pool;

	assert_int_equal(pool_init(&pool, SIZE, COUNT), 0);
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

	assert_int_equal(pool_init(&pool, SIZE, COUNT), 0);
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

	assert_int_equal(pool_init(&pool, SIZE, 1), 0);
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

	assert_int_equal(pool_init(&pool, 0, 10), 0);
	assert_null(pool_get(&pool));
	pool_fini(&pool);
	assert_int_equal(pool_init(&pool, 10, 0), 0);
	assert_null(pool_get(&pool));
	pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_distinct_zeroed_aligned_requests),
		cmocka_unit_test(takes_back_in_any_order),
		cmocka_unit_test(contents_stay),
		cmocka_unit_test(an_empty_pool_is_legal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
