/* SPDX-License-Identifier: MIT */
/* Hypercalls for a set of VPs: flushes and interrupts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hyper/hv/hv_impl.h"
#include "tests/unit/hv/fake_partition.h"

#define FLUSH      0x02ull
#define LIST       0x03ull
#define IPI        0x0Bull
#define FLUSH_EX   0x13ull
#define LIST_EX    0x14ull
#define IPI_EX     0x15ull
#define FAST       (1ull << 16)
#define HEAD(n)    ((uint64_t)(n) << 17)
#define COUNT(n)   ((uint64_t)(n) << 32)
#define START(n)   ((uint64_t)(n) << 48)
#define INPUT      0x2000u
#define ALL_OF_SET 0x7u /* of 3 VPs */

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

#define assert_status(call, status) assert_int_equal(call, HV_STATUS_##status)

static uint64_t call_from_memory(uint64_t control, const uint64_t *words, size_t count)
{
	memset(fake_ram(&m, INPUT), 0xEE, HV_PAGE_SIZE); /* what is not input is wrong input */
	memcpy(fake_ram(&m, INPUT), words, 8 * count);
	return fake_hypercall(&m, control, INPUT, 0);
}

#define CALL(control, ...)                                                                         \
	call_from_memory(control, (const uint64_t[]){__VA_ARGS__},                                 \
		sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

/* ---- flush --------------------------------------------------------------- */

static void flush_of_a_mask(void **state)
{
	static const struct {
		uint64_t flags, mask, vps;
	} cases[] = {
		{0, 1, 1},
		{2, 2, 2},
		{6, 5, 5},
		{4, 7, 7},
		{0, ~0ull, 7},
		{0, 0, 7},
		{1, 1, 7},
		{3, 0, 7},
		{7, 2, 7},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_status(CALL(FLUSH, 0x1000, cases[i].flags, cases[i].mask), SUCCESS);
		assert_int_equal(m.last_flush, cases[i].vps);
		assert_int_equal(m.flushes, i + 1);
		assert_int_equal(m.last_flush_caller, 0);
	}
}

/* No VP is left to be flushed. */
static void flush_of_absent_vps(void **state)
{
	assert_status(CALL(FLUSH, 0, 0, 0x18), SUCCESS);
	assert_status(CALL(FLUSH, 0, 0, 1ull << 63), SUCCESS);
	assert_int_equal(m.flushes, 0);
}

static void flush_flags(void **state)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		assert_int_equal(CALL(FLUSH, 0, 1ull << bit, 1),
			bit < 3 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(CALL(LIST | COUNT(1), 0, 1ull << bit, 1, 0x5000) & 0xFFFF,
			bit < 2 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(CALL(FLUSH_EX, 0, 1ull << bit, 1, 0),
			bit < 3 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(CALL(LIST_EX | COUNT(1), 0, 1ull << bit, 1, 0, 0x5000) & 0xFFFF,
			bit < 2 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(m.flushes, 3 + 2 + 3 + 2);
}

/* All repetitions are done by one flush, wherever they begin. */
static void flush_of_a_list(void **state)
{
	assert_int_equal(CALL(LIST | COUNT(2), 0, 0, 4, 0x7000, 0x9FFF), COUNT(2));
	assert_int_equal(m.last_flush, 4);
	assert_int_equal(CALL(LIST | COUNT(2) | START(1), 0, 0, 2, 0x7000, 0x9FFF), COUNT(2));
	assert_int_equal(m.last_flush, 2);
	assert_int_equal(m.flushes, 2);
	assert_status(CALL(LIST, 0, 0, 1), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(LIST | COUNT(1) | START(1), 0, 0, 1, 0), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(LIST | COUNT(1) | HEAD(1), 0, 0, 1, 0), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(FLUSH | COUNT(1), 0, 0, 1, 0), INVALID_HYPERCALL_INPUT);
	/* 24 bytes and 509 addresses are the page; one more is not. */
	assert_int_equal(CALL(LIST | COUNT(509), 0, 0, 1), COUNT(509));
	assert_status(CALL(LIST | COUNT(510), 0, 0, 1), INVALID_ALIGNMENT);
}

static void flush_from_registers(void **state)
{
	const uint64_t xmm[] = {5, 0x1000, 0x2000};

	memcpy(m.xmm, xmm, sizeof(xmm));
	assert_status(fake_hypercall(&m, FLUSH | FAST, 0x1000, 2), SUCCESS);
	assert_int_equal(m.last_flush, 5);
	assert_int_equal(fake_hypercall(&m, LIST | FAST | COUNT(2), 0x1000, 0), COUNT(2));
	assert_int_equal(m.last_flush, 5);
	assert_int_equal(fake_hypercall(&m, LIST | FAST | COUNT(11), 0x1000, 0), COUNT(11));
	assert_status(
		fake_hypercall(&m, LIST | FAST | COUNT(12), 0x1000, 0), INVALID_HYPERCALL_INPUT);
}

static void flush_is_unknown_unless_configured(void **state)
{
	m.hv.config.flush = false;
	assert_status(CALL(FLUSH, 0, 0, 1), INVALID_HYPERCALL_CODE);
	assert_int_equal(
		CALL(LIST | COUNT(1), 0, 0, 1, 0) & 0xFFFF, HV_STATUS_INVALID_HYPERCALL_CODE);
	assert_status(CALL(FLUSH_EX, 0, 0, 1, 0), INVALID_HYPERCALL_CODE);
}

/* ---- sets of VPs --------------------------------------------------------- */

/* What Linux and others send, with the flush's flags 0. */
static void sets_of_every_format(void **state)
{
	/* sparse: banks 0; 0 and 63; 5 only; none */
	assert_status(CALL(FLUSH_EX | HEAD(1), 0, 0, 0, 1, 6), SUCCESS);
	assert_int_equal(m.last_flush, 6);
	assert_status(CALL(FLUSH_EX | HEAD(2), 0, 0, 0, 1ull << 63 | 1, 2, ~0ull), SUCCESS);
	assert_int_equal(m.last_flush, 2);
	assert_int_equal(m.flushes, 2);
	assert_status(CALL(FLUSH_EX | HEAD(1), 0, 0, 0, 1 << 5, ~0ull), SUCCESS);
	assert_status(CALL(FLUSH_EX, 0, 0, 0, 0), SUCCESS);
	assert_int_equal(m.flushes, 2);
	/* all: with and without banks */
	assert_status(CALL(FLUSH_EX, 0, 0, 1, 0), SUCCESS);
	assert_int_equal(m.last_flush, ALL_OF_SET);
	assert_status(CALL(FLUSH_EX | HEAD(1), 0, 0, 1, 1, 1), SUCCESS);
	assert_int_equal(m.last_flush, ALL_OF_SET);
	assert_int_equal(m.flushes, 4);
	/* the flag for all VPs needs no set */
	assert_status(CALL(FLUSH_EX, 0, 1, 0, 0), SUCCESS);
	assert_int_equal(m.last_flush, ALL_OF_SET);
}

static void set_of_64_banks(void **state)
{
	uint64_t words[4 + 64] = {0, 0, 0, ~0ull};

	words[4] = 4;
	memset(words + 5, 0xFF, 63 * 8);
	assert_status(call_from_memory(FLUSH_EX | HEAD(64), words, 68), SUCCESS);
	assert_int_equal(m.last_flush, 4);
}

static void sets_that_are_wrong(void **state)
{
	assert_status(CALL(FLUSH_EX, 0, 0, 2, 0), INVALID_PARAMETER);
	assert_status(CALL(FLUSH_EX, 0, 0, ~0ull, 0), INVALID_PARAMETER);
	assert_status(CALL(FLUSH_EX, 0, 0, 0, 1), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(FLUSH_EX | HEAD(1), 0, 0, 0, 0, 0), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(FLUSH_EX | HEAD(1), 0, 0, 0, 3, 0), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(FLUSH_EX | HEAD(3), 0, 0, 0, 3, 0, 0, 0), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(IPI_EX | HEAD(1), 0x40, 0, 0, 0), INVALID_HYPERCALL_INPUT);
	assert_int_equal(m.flushes + m.direct, 0);
}

/* Bank, then addresses. */
static void set_before_a_list(void **state)
{
	assert_int_equal(
		CALL(LIST_EX | HEAD(1) | COUNT(2), 0, 0, 0, 1, 4, 0x1000, 0x2000), COUNT(2));
	assert_int_equal(m.last_flush, 4);
	assert_int_equal(CALL(LIST_EX | COUNT(1), 0, 0, 1, 0, 0x1000), COUNT(1));
	assert_int_equal(m.last_flush, ALL_OF_SET);
}

/* ---- interrupts ---------------------------------------------------------- */

static void ipi_reaches_each_vp_of_the_mask(void **state)
{
	assert_status(fake_hypercall(&m, IPI | FAST, 0x41, 5), SUCCESS);
	assert_int_equal(m.direct, 2);
	assert_int_equal(m.direct_vector[0], 0x41);
	assert_int_equal(m.direct_vector[1], 0);
	assert_int_equal(m.direct_vector[2], 0x41);
	assert_status(CALL(IPI, 0xFF, 2), SUCCESS);
	assert_int_equal(m.direct_vector[1], 0xFF);
	assert_int_equal(m.direct, 3);
	assert_status(fake_hypercall(&m, IPI | FAST, 0x41, 0), SUCCESS);
	assert_status(fake_hypercall(&m, IPI | FAST, 0x41, ~7ull), SUCCESS);
	assert_int_equal(m.direct, 3);
}

/* Vectors of exceptions, NMI and INIT among them; other VTLs; reserved bytes. */
static void ipi_parameters(void **state)
{
	for (uint64_t vector = 0; vector < 0x120; vector++)
		assert_int_equal(fake_hypercall(&m, IPI | FAST, vector, 1),
			vector >= 0x10 && vector <= 0xFF ? HV_STATUS_SUCCESS
							 : HV_STATUS_INVALID_PARAMETER);
	for (unsigned bit = 8; bit < 64; bit++) {
		assert_status(
			fake_hypercall(&m, IPI | FAST, 0x40 | 1ull << bit, 1), INVALID_PARAMETER);
		assert_status(CALL(IPI_EX, 0x40 | 1ull << bit, 1, 0), INVALID_PARAMETER);
	}
	assert_status(CALL(IPI_EX, 0xF, 1, 0), INVALID_PARAMETER);
	assert_status(CALL(IPI | COUNT(1), 0x40, 1), INVALID_HYPERCALL_INPUT);
	assert_status(CALL(IPI | HEAD(1), 0x40, 1), INVALID_HYPERCALL_INPUT);
	assert_int_equal(m.direct, 0xF0);
}

static void ipi_to_a_set(void **state)
{
	const uint64_t xmm[] = {1, 6};

	assert_status(CALL(IPI_EX | HEAD(1), 0x42, 0, 1, 2), SUCCESS);
	assert_int_equal(m.direct, 1);
	assert_int_equal(m.direct_vector[1], 0x42);
	assert_status(CALL(IPI_EX, 0x43, 1, 0), SUCCESS);
	assert_int_equal(m.direct, 4);
	memcpy(m.xmm, xmm, sizeof(xmm));
	assert_status(fake_hypercall(&m, IPI_EX | FAST | HEAD(1), 0x44, 0), SUCCESS);
	assert_int_equal(m.direct, 6);
	assert_int_equal(m.direct_vector[0], 0x43);
	assert_int_equal(m.direct_vector[2], 0x44);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(flush_of_a_mask),
		TEST(flush_of_absent_vps),
		TEST(flush_flags),
		TEST(flush_of_a_list),
		TEST(flush_from_registers),
		TEST(flush_is_unknown_unless_configured),
		TEST(sets_of_every_format),
		TEST(set_of_64_banks),
		TEST(sets_that_are_wrong),
		TEST(set_before_a_list),
		TEST(ipi_reaches_each_vp_of_the_mask),
		TEST(ipi_parameters),
		TEST(ipi_to_a_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
