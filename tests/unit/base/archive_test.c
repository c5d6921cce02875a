/* SPDX-License-Identifier: MIT */
#include "base/archive.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PARTS_MAX 4u

struct part {
	uint16_t id;
	bool on;
};

struct thing {
	uint8_t u8;
	uint32_t u32;
	uint64_t u64;
	uint8_t raw[5];
	uint32_t count;
	struct part parts[PARTS_MAX];
};

static const struct thing sample = {
	.u8 = 0x12,
	.u32 = 0x12345678,
	.u64 = 0x123456789abcdef0ull,
	.raw = {1, 2, 3, 4, 5},
	.count = 3,
	.parts = {{1, true}, {2, false}, {3, true}},
};

static void thing_archive(struct thing *t, struct archive *a)
{
	archive_begin(a, "thing", 2);
	archive_u8(a, "u8", &t->u8);
	archive_u32(a, "u32", &t->u32);
	archive_u64(a, "u64", &t->u64);
	archive_bytes(a, "raw", t->raw, sizeof(t->raw));
	t->count = archive_list(a, "parts", t->count, PARTS_MAX);
	for (uint32_t i = 0; i < t->count; i++) {
		archive_begin(a, NULL, 1);
		archive_u16(a, "id", &t->parts[i].id);
		archive_bool(a, "on", &t->parts[i].on);
		archive_end(a);
	}
	archive_end(a);
	archive_end(a);
}

static void write_sample(struct archive *a)
{
	struct thing t = sample;

	archive_write(a);
	thing_archive(&t, a);
	assert_int_equal(archive_error(a, NULL), 0);
}

/* The error of reading these bytes; "" for none. */
static struct err read_back(const void *bytes, size_t size, struct thing *t)
{
	struct archive a;
	struct err e = {""};

	memset(t, 0xEE, sizeof(*t));
	archive_read(&a, bytes, size);
	thing_archive(t, &a);
	archive_finish(&a);
	if (archive_error(&a, &e))
		assert_true(e.text[0]);
	archive_fini(&a);
	return e;
}

static void test_round_trip(void **state)
{
	struct archive a;
	struct thing t;

	write_sample(&a);
	assert_string_equal(read_back(a.bytes, a.size, &t).text, "");
	assert_int_equal(t.u8, sample.u8);
	assert_int_equal(t.u32, sample.u32);
	assert_true(t.u64 == sample.u64);
	assert_memory_equal(t.raw, sample.raw, sizeof(t.raw));
	assert_int_equal(t.count, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(t.parts[i].id, sample.parts[i].id);
		assert_int_equal(t.parts[i].on, sample.parts[i].on);
	}
	archive_fini(&a);
}

static void test_every_cut_is_refused(void **state)
{
	struct archive a;
	struct thing t;

	write_sample(&a);
	for (size_t size = 0; size < a.size; size++) {
		void *cut = malloc(size + 1); /* of its own, so that ASan sees a read behind it */

		memcpy(cut, a.bytes, size);
		cut = realloc(cut, size ? size : 1);
		assert_string_not_equal(read_back(cut, size, &t).text, "");
		free(cut);
	}
	archive_fini(&a);
}

/* Values may change; structure may not. No flip reads beyond the end or makes a count too large. */
static void test_flips_are_harmless(void **state)
{
	struct archive a;
	struct thing t;
	uint32_t refused = 0;

	write_sample(&a);
	for (size_t bit = 0; bit < a.size * 8; bit++) {
		a.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		refused += read_back(a.bytes, a.size, &t).text[0] != 0;
		assert_true(t.count <= PARTS_MAX);
		a.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(refused > a.size * 4);
	archive_fini(&a);
}

static void begin_thing(struct archive *a, uint16_t version)
{
	archive_write(a);
	archive_begin(a, "thing", version);
}

static void test_newer_version(void **state)
{
	struct archive a;
	struct thing t;

	begin_thing(&a, 3);
	archive_end(&a);
	assert_string_equal(
		read_back(a.bytes, a.size, &t).text, "thing: is of version 3, newer than 2");
	archive_fini(&a);
}

static void test_unknown_field(void **state)
{
	struct archive a;
	uint8_t new_one = 1;

	begin_thing(&a, 1);
	archive_u8(&a, "new_one", &new_one);
	archive_end(&a);
	a.reading = true;
	archive_begin(&a, "thing", 1);
	archive_end(&a);
	assert_int_equal(archive_error(&a, NULL), -EINVAL);
	assert_string_equal(a.why.text, "thing: 'new_one' is unknown to this version");
	a.reading = false;
	archive_fini(&a);
}

static void test_error_says_where(void **state)
{
	struct archive a;
	struct thing t = sample;
	uint8_t *at;

	write_sample(&a);
	at = memmem(a.bytes, a.size, "\x05parts", 6); /* the last part's "on" is the last byte */
	assert_non_null(at);
	a.bytes[a.size - 1] = 7;
	assert_string_equal(read_back(a.bytes, a.size, &t).text,
		"thing: parts: 2: 'on' is neither true nor false");
	archive_fini(&a);
}

static void test_error_is_sticky(void **state)
{
	struct archive a;
	uint64_t value = 5;

	archive_read(&a, "", 0);
	archive_fail(&a, "first");
	archive_fail(&a, "second");
	archive_u64(&a, "value", &value);
	assert_int_equal(value, 0);
	assert_int_equal(archive_list(&a, "list", 9, 9), 0);
	archive_end(&a);
	assert_string_equal(a.why.text, "first");
}

static void test_data(void **state)
{
	struct archive a;
	uint32_t size = 6;
	const char *text;

	archive_write(&a);
	archive_data(&a, "text", "hello", &size, 6);
	a.reading = true;
	size = 99;
	text = archive_data(&a, "text", NULL, &size, 6);
	assert_int_equal(size, 6);
	assert_string_equal(text, "hello");
	a.at = 0;
	assert_null(archive_data(&a, "text", NULL, &size, 5));
	assert_int_equal(size, 0);
	assert_string_equal(a.why.text, "'text' has 6 bytes, more than 5");
	a.reading = false;
	archive_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_every_cut_is_refused),
		cmocka_unit_test(test_flips_are_harmless),
		cmocka_unit_test(test_newer_version),
		cmocka_unit_test(test_unknown_field),
		cmocka_unit_test(test_error_says_where),
		cmocka_unit_test(test_error_is_sticky),
		cmocka_unit_test(test_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
