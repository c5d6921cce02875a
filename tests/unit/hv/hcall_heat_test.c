/* SPDX-License-Identifier: MIT */
/* Free page reporting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hyper/hv/hv_impl.h"
#include "tests/unit/hv/fake_partition.h"

#define HINT     0x8003ull
#define QUERY    0x8001ull
#define COUNT(n) ((uint64_t)(n) << 32)
#define START(n) ((uint64_t)(n) << 48)
#define DONE(n)  COUNT(n)
#define INPUT    0x2000u
#define OUTPUT   0x3000u
#define MIB      (1ull << 20)
#define COLD     2ull
#define LARGE    0x800ull

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

static uint64_t call(uint64_t control, const uint64_t *words, size_t count)
{
	memset(fake_ram(&m, INPUT), 0xEE, HV_PAGE_SIZE);
	memcpy(fake_ram(&m, INPUT), words, 8 * count);
	return fake_hypercall(&m, control, INPUT, OUTPUT);
}

#define CALL(control, ...)                                                                         \
	call(control, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

static void the_capability_is_offered(void **state)
{
	uint64_t value;

	assert_int_equal(fake_hypercall(&m, QUERY, 0, OUTPUT), HV_STATUS_SUCCESS);
	memcpy(&value, fake_ram(&m, OUTPUT), 8);
	assert_int_equal(value, 0x100);
	m.hv.config.discard = false;
	assert_int_equal(fake_hypercall(&m, QUERY, 0, OUTPUT), HV_STATUS_SUCCESS);
	memcpy(&value, fake_ram(&m, OUTPUT), 8);
	assert_int_equal(value, 0);
	assert_int_equal(CALL(HINT | COUNT(1), COLD, 0), HV_STATUS_ACCESS_DENIED);
}

static void pages(void **state)
{
	assert_int_equal(CALL(HINT | COUNT(1), COLD, 0x4000), DONE(1));
	assert_int_equal(m.last_discard, 0x4000);
	assert_int_equal(m.discarded, HV_PAGE_SIZE);
	assert_int_equal(CALL(HINT | COUNT(2), COLD, 0x4000 | 3, GMEM_HIGH_START | 1), DONE(2));
	assert_int_equal(m.last_discard, GMEM_HIGH_START);
	assert_int_equal(m.discarded, 7 * HV_PAGE_SIZE);
}

static void large_pages(void **state)
{
	m.discards_all = true;
	assert_int_equal(CALL(HINT | COUNT(1), COLD, 6 * MIB | LARGE | 4), DONE(1));
	assert_int_equal(m.last_discard, 6 * MIB);
	assert_int_equal(m.discarded, 10 * MIB);
}

static void wrong_input(void **state)
{
	assert_int_equal(CALL(HINT | COUNT(1), 0, 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(CALL(HINT | COUNT(1), 1, 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(CALL(HINT | COUNT(1), COLD | 4, 0x4000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(CALL(HINT, COLD), HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(m.discards, 0);
	m.discards_all = true;
	/* Units of 1 GiB, and bits that mean nothing. */
	assert_int_equal(CALL(HINT | COUNT(1), COLD, LARGE | 0x1000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(CALL(HINT | COUNT(1), COLD, LARGE | 0x2000), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(m.discards, 0);
}

/* What came before the wrong range is done. */
static void not_ram(void **state)
{
	assert_int_equal(CALL(HINT | COUNT(3), COLD, 0x4000, FAKE_OUTSIDE_RAM, 0x5000),
		HV_STATUS_INVALID_PARAMETER | DONE(1));
	assert_int_equal(m.discards, 1);
	assert_int_equal(CALL(HINT | COUNT(1), COLD, ~LARGE), HV_STATUS_INVALID_PARAMETER);
}

/* The guest calls again with what is left. */
static void a_long_list_is_done_in_parts(void **state)
{
	const uint64_t gib4 = LARGE | 2047;

	m.discards_all = true;
	assert_int_equal(CALL(HINT | COUNT(3), COLD, gib4, gib4, gib4), DONE(1));
	assert_int_equal(CALL(HINT | COUNT(3) | START(1), COLD, gib4, gib4, gib4), DONE(2));
	assert_int_equal(CALL(HINT | COUNT(3) | START(2), COLD, gib4, gib4, gib4), DONE(3));
	assert_int_equal(m.discards, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_capability_is_offered, setup, teardown),
		cmocka_unit_test_setup_teardown(pages, setup, teardown),
		cmocka_unit_test_setup_teardown(large_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_input, setup, teardown),
		cmocka_unit_test_setup_teardown(not_ram, setup, teardown),
		cmocka_unit_test_setup_teardown(a_long_list_is_done_in_parts, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
