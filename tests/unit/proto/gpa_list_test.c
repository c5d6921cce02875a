/* SPDX-License-Identifier: MIT */
/* Range lists of GPA-direct packets: both Linux forms, and invalid lists. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/vmbus_proto.h"

static const struct gpa_limits wide = {.ranges_max = UINT32_MAX, .bytes_max = UINT64_MAX};

/* A type header under construction; the copy that is parsed is exactly as long as it says. */
struct builder {
	uint8_t bytes[64 * 1024];
	uint32_t len;
};

static void add(struct builder *b, const void *src, uint32_t len)
{
	assert_true(b->len + len <= sizeof(b->bytes));
	memcpy(b->bytes + b->len, src, len);
	b->len += len;
}

static void add_header(struct builder *b, uint32_t range_count)
{
	/* The reserved word may be garbage. */
	const struct vmbus_gpa_direct header = {0xDEADBEEF, range_count};

	b->len = 0;
	add(b, &header, sizeof(header));
}

static void add_range(
	struct builder *b, uint32_t bytes, uint32_t offset, uint32_t pfns, uint64_t pfn)
{
	const struct vmbus_gpa_range range = {bytes, offset};

	add(b, &range, sizeof(range));
	for (; pfns; pfns--, pfn++)
		add(b, &pfn, sizeof(pfn));
}

static uint8_t *parsed_bytes; /* of the last parse(); the list points into it */

/* Parsed at an odd address: no alignment is assumed. */
static int parse_len(struct gpa_list *list, const struct builder *b, uint32_t len,
	const struct gpa_limits *limits)
{
	free(parsed_bytes);
	parsed_bytes = malloc(len + 1);
	assert_non_null(parsed_bytes);
	memcpy(parsed_bytes + 1, b->bytes, len);
	memset(list, 0xAA, sizeof(*list));
	return gpa_direct_parse(list, parsed_bytes + 1, len, limits);
}

static int parse(struct gpa_list *list, const struct builder *b)
{
	return parse_len(list, b, b->len, &wide);
}

/* storvsc: one range, offset inside the first page, any length. */
static void test_one_range(void **state)
{
	struct builder b;
	struct gpa_list list;
	struct gpa_range range;
	uint32_t i;

	add_header(&b, 1);
	add_range(&b, 0x21000, 0x123, 0x22, 0x8000000000ull);
	assert_int_equal(parse(&list, &b), 0);
	assert_int_equal(list.range_count, 1);
	assert_int_equal(list.page_count, 0x22);
	assert_true(list.byte_count == 0x21000);
	assert_int_equal(list.parsed, b.len - 8);
	assert_true(gpa_list_next(&list, &range));
	assert_int_equal(range.byte_count, 0x21000);
	assert_int_equal(range.byte_offset, 0x123);
	assert_int_equal(range.page_count, 0x22);
	for (i = 0; i < 0x22; i++)
		assert_true(gpa_range_pfn(&range, i) == 0x8000000000ull + i);
	assert_false(gpa_list_next(&list, &range));
	assert_false(gpa_list_next(&list, &range));
}

/* netvsc: 32 ranges of one page each, or of several (6.12). */
static void test_many_ranges(void **state)
{
	struct builder b;
	struct gpa_list list, again;
	struct gpa_range range;
	uint32_t i;

	add_header(&b, 32);
	for (i = 0; i < 32; i++)
		add_range(&b, i % 3 ? 60 : 9000, 4000, i % 3 ? 1 : 4, i * 100);
	assert_int_equal(parse(&list, &b), 0);
	again = list;
	assert_int_equal(list.page_count, 21 + 11 * 4);
	assert_true(list.byte_count == 21 * 60 + 11 * 9000);
	for (i = 0; i < 32; i++) {
		assert_true(gpa_list_next(&list, &range));
		assert_int_equal(range.byte_count, i % 3 ? 60 : 9000);
		assert_int_equal(range.page_count, i % 3 ? 1 : 4);
		assert_true(gpa_range_pfn(&range, range.page_count - 1) ==
			    i * 100 + range.page_count - 1);
	}
	assert_false(gpa_list_next(&list, &range));
	assert_true(gpa_list_next(&again, &range)); /* a copy can be walked again */
}

/* Number of PFNs for offset and count around page borders. */
static void test_page_count(void **state)
{
	static const struct {
		uint32_t bytes, offset, pages;
	} cases[] = {
		{1, 0, 1},
		{1, 4095, 1},
		{2, 4095, 2},
		{4096, 0, 1},
		{4096, 1, 2},
		{4097, 0, 2},
		{4097, 4095, 2},
		{4098, 4095, 3},
		{1 << 20, 0, 256},
		{1 << 20, 4095, 257},
	};
	struct builder b;
	struct gpa_list list;
	struct gpa_range range;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		add_header(&b, 1);
		add_range(&b, cases[i].bytes, cases[i].offset, cases[i].pages, 7);
		assert_int_equal(parse(&list, &b), 0);
		assert_true(gpa_list_next(&list, &range));
		assert_int_equal(range.page_count, cases[i].pages);
		assert_int_equal(parse_len(&list, &b, b.len - 1, &wide), -EPROTO);
		assert_int_equal(parse_len(&list, &b, b.len - 8, &wide), -EPROTO);
	}
}

/* Cut anywhere, a list is refused and not over-read. */
static void test_truncated(void **state)
{
	struct builder b;
	struct gpa_list list;
	uint32_t len;

	add_header(&b, 3);
	add_range(&b, 100, 0, 1, 1);
	add_range(&b, 8192, 100, 3, 2);
	add_range(&b, 512, 3584, 1, 3);
	for (len = 0; len < b.len; len++)
		assert_int_equal(parse_len(&list, &b, len, &wide), -EPROTO);
	assert_int_equal(parse(&list, &b), 0);
	/* Bytes behind the list are ignored. */
	len = b.len - 8;
	add(&b, "trailing", 8);
	assert_int_equal(parse(&list, &b), 0);
	assert_int_equal(list.parsed, len);
}

static void test_bad_ranges(void **state)
{
	static const struct {
		uint32_t bytes, offset;
	} cases[] = {
		{0, 0},
		{0, 1},
		{1, 4096},
		{1, 0x80000000},
		{1, 0xFFFFFFFF},
		{0xFFFFFFFF, 0},     /* 2^20 pages */
		{0xFFFFFFFF, 4095},  /* one more, over 32 bits */
		{0xFFFFF001, 0xFFF}, /* sum wraps to 0 in 32 bits */
		{0xFFFFFFFF, 0xFFFFFFFF},
	};
	struct builder b;
	struct gpa_list list;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		add_header(&b, 2);
		add_range(&b, 64, 0, 1, 1);
		add_range(&b, cases[i].bytes, cases[i].offset, 16, 1);
		assert_int_equal(parse(&list, &b), -EPROTO);
	}
}

static void test_count_lies(void **state)
{
	static const uint32_t counts[] = {3, 4, 0x10000000, 0x20000001, 0x80000000, 0xFFFFFFFF};
	struct builder b;
	struct gpa_list list;
	size_t i;

	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		add_header(&b, counts[i]);
		add_range(&b, 64, 0, 1, 1);
		add_range(&b, 64, 0, 1, 1);
		assert_int_equal(parse(&list, &b), -EPROTO);
	}
}

static void test_limits(void **state)
{
	const struct gpa_limits limits = {.ranges_min = 1, .ranges_max = 2, .bytes_max = 8192};
	struct builder b;
	struct gpa_list list;
	struct gpa_range range;

	add_header(&b, 0);
	assert_int_equal(parse_len(&list, &b, b.len, &limits), -EMSGSIZE);
	assert_int_equal(parse_len(&list, &b, b.len, &wide), 0);
	assert_true(list.byte_count == 0);
	assert_false(gpa_list_next(&list, &range));

	add_header(&b, 2);
	add_range(&b, 4096, 0, 1, 1);
	add_range(&b, 4096, 0, 1, 1);
	assert_int_equal(parse_len(&list, &b, b.len, &limits), 0);

	add_header(&b, 2);
	add_range(&b, 4096, 0, 1, 1);
	add_range(&b, 4097, 0, 2, 1);
	assert_int_equal(parse_len(&list, &b, b.len, &limits), -EMSGSIZE);

	add_header(&b, 3);
	add_range(&b, 1, 0, 1, 1);
	add_range(&b, 1, 0, 1, 1);
	add_range(&b, 1, 0, 1, 1);
	assert_int_equal(parse_len(&list, &b, b.len, &limits), -EMSGSIZE);
}

/* The same list as a GPADL carries it: no header in front. */
static void test_bare_list(void **state)
{
	struct builder b = {.len = 0};
	struct gpa_list list;

	add_range(&b, 0x20000, 0, 32, 5);
	assert_int_equal(gpa_list_parse(&list, b.bytes, b.len, 1, &wide), 0);
	assert_int_equal(list.page_count, 32);
	assert_int_equal(list.parsed, b.len);
	assert_int_equal(gpa_list_parse(&list, b.bytes, b.len, 2, &wide), -EPROTO);
}

static int teardown(void **state)
{
	free(parsed_bytes);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_range),
		cmocka_unit_test(test_many_ranges),
		cmocka_unit_test(test_page_count),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_bad_ranges),
		cmocka_unit_test(test_count_lies),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_bare_list),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
