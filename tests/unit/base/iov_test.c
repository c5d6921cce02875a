/* SPDX-License-Identifier: MIT */
/* base/iov: every function against a flat model, over lists with empty and one-byte pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/iov.h"

#define BYTES  24u
#define PIECES 7u

/* Pieces lie apart and in another order than in the list: reading on behind one is an error. */
static const uint8_t sizes[PIECES] = {0, 5, 1, 0, 10, 8, 0};
static uint8_t *memory[PIECES];
static struct iovec iov[PIECES];

static int setup(void **state)
{
	uint8_t value = 1;

	for (uint32_t i = 0; i < PIECES; i++) {
		memory[i] = malloc(sizes[i] ? sizes[i] : 1);
		if (!memory[i])
			return -1;
		for (uint32_t j = 0; j < sizes[i]; j++)
			memory[i][j] = value++;
		iov[i] = (struct iovec){memory[i], sizes[i]};
	}
	return 0;
}

static int teardown(void **state)
{
	for (uint32_t i = 0; i < PIECES; i++)
		free(memory[i]);
	return 0;
}

/* All bytes of a list, without the functions under test. */
static uint32_t flatten(const struct iovec *list, uint32_t count, uint8_t to[BYTES])
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < count; i++)
		for (size_t j = 0; j < list[i].iov_len; j++)
			to[n++] = ((uint8_t *)list[i].iov_base)[j];
	return n;
}

#define for_each_range(at, length)                                                                 \
	for (uint32_t at = 0; at <= BYTES; at++)                                                   \
		for (uint32_t length = 0; length <= BYTES - at; length++)

static void copies_every_range_out(void **state)
{
	uint8_t all[BYTES], got[BYTES + 1];

	flatten(iov, PIECES, all);
	for_each_range (at, length) {
		memset(got, 0xEE, sizeof(got));
		iov_copy_from(iov, PIECES, at, got, length);
		assert_memory_equal(got, all + at, length);
		assert_int_equal(got[length], 0xEE);
	}
}

static void copies_every_range_in(void **state)
{
	uint8_t model[BYTES], now[BYTES], from[BYTES], value = 100;

	flatten(iov, PIECES, model);
	for_each_range (at, length) {
		for (uint32_t i = 0; i < length; i++)
			from[i] = model[at + i] = value++;
		iov_copy_to(iov, PIECES, at, from, length);
		flatten(iov, PIECES, now);
		assert_memory_equal(now, model, BYTES);
	}
}

static void equal_finds_each_difference(void **state)
{
	uint8_t all[BYTES];
	uint64_t where;

	flatten(iov, PIECES, all);
	for_each_range (at, length) {
		assert_true(iov_equal(iov, PIECES, at, all + at, length, &where));
		for (uint32_t bad = at; bad < at + length; bad++) {
			all[bad] ^= 0x80;
			assert_false(iov_equal(iov, PIECES, at, all + at, length, &where));
			assert_int_equal(where, bad);
			all[bad] ^= 0x80;
		}
	}
}

static void trim_keeps_the_beginning(void **state)
{
	uint8_t all[BYTES], got[BYTES];

	flatten(iov, PIECES, all);
	for (uint32_t length = 0; length <= BYTES; length++) {
		struct iovec list[PIECES];
		uint32_t count;

		memcpy(list, iov, sizeof(list));
		count = iov_trim(list, PIECES, length);
		assert_int_equal(flatten(list, count, got), length);
		assert_memory_equal(got, all, length);
	}
}

static void advance_keeps_the_end(void **state)
{
	uint8_t all[BYTES], got[BYTES];

	flatten(iov, PIECES, all);
	for (uint32_t length = 0; length <= BYTES; length++) {
		struct iovec list[PIECES], *rest = list;
		uint32_t count = PIECES;

		memcpy(list, iov, sizeof(list));
		iov_advance(&rest, &count, length);
		assert_int_equal(flatten(rest, count, got), BYTES - length);
		assert_memory_equal(got, all + length, BYTES - length);
		assert_true(count == 0 || rest->iov_len);
	}
}

static void slices_every_range(void **state)
{
	uint8_t all[BYTES], got[BYTES];

	flatten(iov, PIECES, all);
	for_each_range (at, length) {
		struct iovec list[PIECES];
		uint64_t bytes = length;
		uint32_t count = iov_slice(iov, PIECES, at, &bytes, list, PIECES);

		assert_int_equal(bytes, length);
		assert_int_equal(flatten(list, count, got), length);
		assert_memory_equal(got, all + at, length);
		for (uint32_t i = 0; i < count; i++)
			assert_true(list[i].iov_len);
	}
}

static void a_slice_stops_when_there_is_no_room(void **state)
{
	struct iovec list[PIECES];
	uint64_t bytes = BYTES;

	assert_int_equal(iov_slice(iov, PIECES, 0, &bytes, list, 2), 2);
	assert_int_equal(bytes, 6);
	bytes = BYTES - 3;
	assert_int_equal(iov_slice(iov, PIECES, 3, &bytes, list, 1), 1);
	assert_int_equal(bytes, 2);
	bytes = BYTES;
	assert_int_equal(iov_slice(iov, PIECES, 0, &bytes, list, 0), 0);
	assert_int_equal(bytes, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(copies_every_range_out),
		T(copies_every_range_in),
		T(equal_finds_each_difference),
		T(trim_keeps_the_beginning),
		T(advance_keeps_the_end),
		T(slices_every_range),
		T(a_slice_stops_when_there_is_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
