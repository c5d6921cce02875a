/* SPDX-License-Identifier: MIT */
#include "base/gmem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB 0x100000ull

static void sizes_are_checked(void **state)
{
	struct gmem g;
	struct err e;

	assert_int_equal(gmem_create(&g, 0, &e), -EINVAL);
	assert_int_equal(gmem_create(&g, 4095, &e), -EINVAL);
	assert_int_equal(gmem_create(&g, UINT64_MAX & ~4095ull, &e), -EINVAL);
	assert_true(strlen(e.text) > 0);
	gmem_destroy(&g); /* of one that was never created: harmless */
}

static void small_memory_is_all_low(void **state)
{
	struct gmem g;

	assert_int_equal(gmem_create(&g, 16 * MIB, NULL), 0);
	assert_int_equal(g.low_size, 16 * MIB);
	assert_int_equal(g.high_size, 0);
	assert_non_null(gmem_at(&g, 0, 16 * MIB));
	assert_null(gmem_at(&g, 0, 16 * MIB + 1));
	assert_null(gmem_at(&g, 16 * MIB, 1));
	assert_null(gmem_at(&g, GMEM_HIGH_START, 1));
	gmem_destroy(&g);
}

/* RAM above 3 GiB moves above 4 GiB; nothing is populated, so this costs no memory. */
static void large_memory_has_a_hole(void **state)
{
	struct gmem g;
	uint64_t high = 2 * MIB;
	uint32_t value = 0x12345678, back = 0;

	assert_int_equal(gmem_create(&g, GMEM_LOW_MAX + high, NULL), 0);
	assert_int_equal(g.low_size, GMEM_LOW_MAX);
	assert_int_equal(g.high_size, high);

	assert_true(gmem_contains(&g, GMEM_LOW_MAX - 1, 1));
	assert_false(gmem_contains(&g, GMEM_LOW_MAX - 1, 2));
	assert_false(gmem_contains(&g, GMEM_LOW_MAX, 1));
	assert_false(gmem_contains(&g, GMEM_HIGH_START - 1, 1));
	assert_true(gmem_contains(&g, GMEM_HIGH_START, high));
	assert_false(gmem_contains(&g, GMEM_HIGH_START, high + 1));
	assert_false(gmem_contains(&g, GMEM_HIGH_START + high, 1));

	/* The last bytes of each part are present, at the right offset of the file. */
	assert_int_equal(gmem_write(&g, GMEM_LOW_MAX - 4, &value, 4), 0);
	assert_int_equal(pread(g.memfd, &back, 4, GMEM_LOW_MAX - 4), 4);
	assert_int_equal(back, value);
	value++;
	assert_int_equal(gmem_write(&g, GMEM_HIGH_START + high - 4, &value, 4), 0);
	assert_int_equal(pread(g.memfd, &back, 4, GMEM_LOW_MAX + high - 4), 4);
	assert_int_equal(back, value);
	assert_int_equal(gmem_file_offset(&g, GMEM_HIGH_START), GMEM_LOW_MAX);
	gmem_destroy(&g);
}

static void hostile_ranges_are_refused(void **state)
{
	struct gmem g;
	char byte = 0;
	const struct {
		uint64_t gpa, len;
	} bad[] = {
		{0, MIB + 1},
		{1, MIB},
		{MIB, 1},
		{MIB - 1, 2},
		{1, UINT64_MAX},
		{MIB - 1, UINT64_MAX},
		{UINT64_MAX, 1},
		{UINT64_MAX, UINT64_MAX},
		{UINT64_MAX - 4095, 4096},
		{GMEM_HIGH_START, 1},
		{1ull << 63, 1},
	};

	assert_int_equal(gmem_create(&g, MIB, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_null(gmem_at(&g, bad[i].gpa, bad[i].len));
	assert_int_equal(gmem_read(&g, MIB, &byte, 1), -EFAULT);
	assert_int_equal(gmem_write(&g, MIB, &byte, 1), -EFAULT);
	assert_int_equal(gmem_read(&g, MIB - 1, &byte, 1), 0);
	gmem_destroy(&g);
}

static void file_cannot_be_resized(void **state)
{
	struct gmem g;

	assert_int_equal(gmem_create(&g, MIB, NULL), 0);
	assert_int_equal(ftruncate(g.memfd, 0), -1);
	assert_int_equal(errno, EPERM);
	gmem_destroy(&g);
}

static void contiguous_pages_are_not_mapped_again(void **state)
{
	struct gmem g;
	const uint64_t pfns[] = {5, 6, 7};
	bool mapped = true;
	uint8_t *view;

	assert_int_equal(gmem_create(&g, MIB, NULL), 0);
	view = gmem_map_pages(&g, pfns, 3, &mapped);
	assert_ptr_equal(view, g.base + 5 * GMEM_PAGE_SIZE);
	assert_false(mapped);
	gmem_unmap_pages(view, 3, mapped);
	gmem_destroy(&g);
}

static void scattered_pages_become_linear(void **state)
{
	struct gmem g;
	const uint64_t pfns[] = {9, 3, 4, 3, 255}; /* a duplicate is legal */
	bool mapped = false;
	uint8_t *view;

	assert_int_equal(gmem_create(&g, MIB, NULL), 0);
	for (uint32_t i = 0; i < 256; i++)
		assert_int_equal(gmem_write(&g, i * GMEM_PAGE_SIZE, &(uint8_t){i}, 1), 0);
	view = gmem_map_pages(&g, pfns, 5, &mapped);
	assert_non_null(view);
	assert_true(mapped);
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(view[i * GMEM_PAGE_SIZE], pfns[i]);
	/* A write through a view is visible to the guest and in the duplicate. */
	view[GMEM_PAGE_SIZE + 7] = 0xAB;
	assert_int_equal(view[3 * GMEM_PAGE_SIZE + 7], 0xAB);
	assert_int_equal(g.base[3 * GMEM_PAGE_SIZE + 7], 0xAB);
	gmem_unmap_pages(view, 5, mapped);
	assert_int_equal(msync(view, GMEM_PAGE_SIZE, MS_ASYNC), -1); /* gone */
	gmem_destroy(&g);
}

/* More pages than the memory has, all the same one. */
static void many_duplicates(void **state)
{
	struct gmem g;
	const uint64_t pfns[] = {0, 0, 0, 0};
	bool mapped;
	uint8_t *view;

	assert_int_equal(gmem_create(&g, GMEM_PAGE_SIZE, NULL), 0);
	view = gmem_map_pages(&g, pfns, 4, &mapped);
	assert_non_null(view);
	view[0] = 1;
	assert_int_equal(view[3 * GMEM_PAGE_SIZE], 1);
	gmem_unmap_pages(view, 4, mapped);
	gmem_destroy(&g);
}

/* Pages on both sides of the hole: neighbours in the file, not in the guest's addresses. */
static void pages_across_the_hole(void **state)
{
	struct gmem g;
	const uint64_t across[] = {
		GMEM_LOW_MAX / GMEM_PAGE_SIZE - 1, GMEM_HIGH_START / GMEM_PAGE_SIZE};
	const uint64_t into_hole[] = {across[0], across[0] + 1};
	bool mapped;
	uint8_t *view;

	assert_int_equal(gmem_create(&g, GMEM_LOW_MAX + MIB, NULL), 0);
	assert_int_equal(gmem_write(&g, GMEM_HIGH_START, "h", 1), 0);
	view = gmem_map_pages(&g, across, 2, &mapped);
	assert_non_null(view);
	assert_int_equal(view[GMEM_PAGE_SIZE], 'h');
	gmem_unmap_pages(view, 2, mapped);
	assert_null(gmem_map_pages(&g, into_hole, 2, &mapped));
	gmem_destroy(&g);
}

static void hostile_pfns_are_refused(void **state)
{
	struct gmem g;
	const uint64_t bad[] = {
		256, 1ull << 20, 1ull << 52, UINT64_MAX / 4096, UINT64_MAX / 4096 + 1, UINT64_MAX};
	bool mapped;

	assert_int_equal(gmem_create(&g, MIB, NULL), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		const uint64_t first[] = {bad[i], 1}, last[] = {1, bad[i]};

		assert_null(gmem_map_pages(&g, first, 2, &mapped));
		assert_null(gmem_map_pages(&g, last, 2, &mapped));
		assert_null(gmem_map_pages(&g, first, 1, &mapped));
	}
	assert_null(gmem_map_pages(&g, (const uint64_t[]){255, 256}, 2, &mapped));
	assert_null(gmem_map_pages(&g, bad, 0, &mapped));
	gmem_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(small_memory_is_all_low),
		cmocka_unit_test(large_memory_has_a_hole),
		cmocka_unit_test(hostile_ranges_are_refused),
		cmocka_unit_test(file_cannot_be_resized),
		cmocka_unit_test(contiguous_pages_are_not_mapped_again),
		cmocka_unit_test(scattered_pages_become_linear),
		cmocka_unit_test(many_duplicates),
		cmocka_unit_test(pages_across_the_hole),
		cmocka_unit_test(hostile_pfns_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
