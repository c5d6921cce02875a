/* SPDX-License-Identifier: MIT */
#include "base/gmem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
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

	/* The last bytes of each part are present. */
	assert_int_equal(gmem_write(&g, GMEM_LOW_MAX - 4, &value, 4), 0);
	assert_int_equal(gmem_write(&g, GMEM_HIGH_START + high - 4, &value, 4), 0);
	assert_int_equal(gmem_read(&g, GMEM_HIGH_START + high - 4, &back, 4), 0);
	assert_int_equal(back, value);
	gmem_destroy(&g);
}

/* ---- kinds --------------------------------------------------------------- */

static int image_of(uint64_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* Image memory keeps its file without the descriptor. */
static void create_kind(struct gmem *g, enum gmem_kind kind, uint64_t size)
{
	int fd;

	switch (kind) {
	case GMEM_ANONYMOUS:
		assert_int_equal(gmem_create(g, size, NULL), 0);
		break;
	case GMEM_SHARED:
		assert_int_equal(gmem_create_shared(g, size, NULL), 0);
		break;
	case GMEM_IMAGE:
		fd = image_of(size);
		assert_int_equal(gmem_create_image(g, fd, 0, size, NULL), 0);
		close(fd);
		break;
	}
	assert_int_equal(g->kind, kind);
}

/* What is a huge page of the host's must be able to be one of the guest's. */
static void guest_and_host_addresses_agree_in_2_mib(void **state)
{
	const uint64_t sizes[] = {MIB, 2 * MIB, 15 * MIB, 16 * MIB, GMEM_LOW_MAX + 3 * MIB};
	struct gmem g[3];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		for (int kind = GMEM_ANONYMOUS; kind <= GMEM_IMAGE; kind++) {
			create_kind(&g[kind], kind, sizes[i]);
			assert_int_equal((uintptr_t)gmem_at(&g[kind], 0, 1) % GMEM_HUGE_SIZE, 0);
			if (g[kind].high_size)
				assert_int_equal((uintptr_t)gmem_at(&g[kind], GMEM_HIGH_START, 1) %
							 GMEM_HUGE_SIZE,
					0);
		}
		for (int kind = GMEM_ANONYMOUS; kind <= GMEM_IMAGE; kind++)
			gmem_destroy(&g[kind]);
	}
}

/* The reservation is neither too small nor left behind. */
static void all_of_it_is_usable_and_given_back(void **state)
{
	struct gmem g;
	uint8_t *at;

	for (int kind = GMEM_ANONYMOUS; kind <= GMEM_IMAGE; kind++) {
		create_kind(&g, kind, 5 * MIB);
		for (uint64_t gpa = 0; gpa < 5 * MIB; gpa += GMEM_PAGE_SIZE) {
			uint64_t value = 1;

			assert_int_equal(gmem_read(&g, gpa, &value, 8), 0);
			assert_int_equal(value, 0);
			assert_int_equal(gmem_write(&g, gpa, &gpa, 8), 0);
		}
		at = g.base;
		gmem_destroy(&g);
		assert_int_equal(msync(at, 5 * MIB, MS_ASYNC), -1); /* gone */
		assert_int_equal(errno, ENOMEM);
	}
}

static struct gmem_use measure(const struct gmem *g)
{
	struct gmem_use use;

	assert_int_equal(gmem_measure(g, &use), 0);
	return use;
}

static bool huge_pages_on_request(void)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64] = "";

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	return strstr(line, "[always]") || strstr(line, "[madvise]");
}

static void anonymous_memory_has_huge_pages(void **state)
{
	struct gmem_use use;
	struct gmem g;

	if (!huge_pages_on_request()) {
		print_message("# skipped: this kernel gives no transparent huge pages\n");
		skip();
	}
	assert_int_equal(gmem_create(&g, 64 * MIB, NULL), 0);
	assert_int_equal(measure(&g).resident, 0);
	for (uint64_t gpa = 0; gpa < 32 * MIB; gpa += GMEM_PAGE_SIZE)
		gmem_write(&g, gpa, "x", 1);
	use = measure(&g);
	assert_int_equal(use.resident, 32 * MIB);
	assert_int_equal(use.private, 32 * MIB);
	assert_true(use.huge >= 16 * MIB); /* a fragmented host may lack some */
	gmem_destroy(&g);
}

static void anonymous_memory_works_without_huge_pages(void **state)
{
	struct gmem g;

	assert_int_equal(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
	assert_int_equal(gmem_create(&g, 8 * MIB, NULL), 0);
	assert_int_equal(gmem_write(&g, 4 * MIB, "x", 1), 0);
	assert_int_equal(measure(&g).resident, GMEM_PAGE_SIZE);
	assert_int_equal(measure(&g).huge, 0);
	gmem_destroy(&g);
	assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

static void shared_memory_is_its_file(void **state)
{
	struct gmem g;
	uint32_t value = 0x12345678, back = 0;
	const uint64_t gpas[] = {0, GMEM_LOW_MAX - 4, GMEM_HIGH_START, GMEM_HIGH_START + MIB - 4};

	assert_int_equal(gmem_create_shared(&g, GMEM_LOW_MAX + MIB, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		value++;
		assert_int_equal(gmem_write(&g, gpas[i], &value, 4), 0);
		assert_int_equal(pread(g.memfd, &back, 4, (off_t)gmem_file_offset(&g, gpas[i])), 4);
		assert_int_equal(back, value);
	}
	assert_int_equal(gmem_file_offset(&g, GMEM_HIGH_START), GMEM_LOW_MAX);
	assert_int_equal(measure(&g).resident, 4 * GMEM_PAGE_SIZE);
	assert_int_equal(measure(&g).private, 0);
	gmem_destroy(&g);
}

static void image_memory_is_private_where_written(void **state)
{
	const uint64_t size = GMEM_LOW_MAX + MIB, gpas[] = {4096, GMEM_HIGH_START};
	struct gmem first, second;
	char byte = 0;
	int fd = image_of(size);

	assert_int_equal(pwrite(fd, "l", 1, 4096), 1);
	assert_int_equal(pwrite(fd, "h", 1, (off_t)GMEM_LOW_MAX), 1);
	assert_int_equal(gmem_create_image(&first, fd, 0, size, NULL), 0);
	assert_int_equal(gmem_create_image(&second, fd, 0, size, NULL), 0);
	for (size_t i = 0; i < 2; i++) {
		gmem_read(&first, gpas[i], &byte, 1);
		assert_int_equal(byte, "lh"[i]);
		gmem_write(&first, gpas[i], "X", 1);
		gmem_read(&second, gpas[i], &byte, 1);
		assert_int_equal(byte, "lh"[i]);
		assert_int_equal(pread(fd, &byte, 1, (off_t)gmem_file_offset(&first, gpas[i])), 1);
		assert_int_equal(byte, "lh"[i]);
	}
	assert_int_equal(measure(&first).private, 2 * GMEM_PAGE_SIZE);
	assert_int_equal(measure(&second).private, 0);
	gmem_destroy(&first);
	gmem_destroy(&second);
	close(fd);
}

static void a_short_image_is_refused(void **state)
{
	int fd = image_of(MIB - GMEM_PAGE_SIZE);
	struct gmem g;
	struct err e;

	assert_int_equal(gmem_create_image(&g, fd, 0, MIB, &e), -EINVAL);
	assert_non_null(strstr(e.text, "has 1044480 bytes, want 1048576"));
	assert_int_equal(gmem_create_image(&g, -1, 0, MIB, &e), -EBADF);
	gmem_destroy(&g);
	close(fd);
}

/* Pages of anonymous memory would be copied, away from requests in flight, while a child has them.
 */
static void a_child_does_not_have_it(void **state)
{
	struct gmem g;
	int status;
	pid_t pid;

	for (int kind = GMEM_ANONYMOUS; kind <= GMEM_IMAGE; kind++) {
		create_kind(&g, kind, MIB);
		gmem_write(&g, 0, "x", 1);
		pid = fork();
		if (!pid)
			_exit(msync(g.base, GMEM_PAGE_SIZE, MS_ASYNC) ? errno : 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(WEXITSTATUS(status), ENOMEM);
		gmem_destroy(&g);
	}
}

/* ---- checks -------------------------------------------------------------- */

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

/* No other mapping can get into the window, before memory is added and after. */
static void assert_no_hole(const struct gmem *g)
{
	assert_int_equal(msync(g->base, gmem_end_max(g), MS_ASYNC), 0); /* ENOMEM: a hole */
}

static void memory_that_is_added(void **state)
{
	struct gmem g;
	struct err e;

	for (int shared = 0; shared < 2; shared++) {
		assert_int_equal(gmem_create_dynamic(&g, shared ? GMEM_SHARED : GMEM_ANONYMOUS,
					 4 << 20, 1 << 30, &e),
			0);
		assert_no_hole(&g);
		for (uint64_t size = 32 << 20; size <= 1 << 30; size *= 2) {
			assert_int_equal(gmem_map_added(&g, size), 0);
			assert_null(gmem_at(&g, g.added_start + size - 1, 1));
			gmem_publish_added(&g, size);
			assert_int_equal(g.base[g.added_start + size - 1], 0);
			g.base[g.added_start + size - 1] = 1;
			assert_no_hole(&g);
		}
		gmem_destroy(&g);
	}
}

/* However the guest asks, there are at most GMEM_ADDED_PIECES. */
static void memory_is_added_in_few_pieces(void **state)
{
	static const uint64_t maxima[] = {2 << 20, 1 << 30, (1 << 30) + 4096, 3ull << 40};

	for (size_t i = 0; i < sizeof(maxima) / sizeof(maxima[0]); i++) {
		struct gmem g = {.added_max = maxima[i]};
		uint32_t pieces = 0;

		while (g.added_size < g.added_max) {
			uint64_t size = gmem_added_piece(&g, g.added_size + 4096);

			assert_true(size > g.added_size && size <= g.added_max);
			g.added_size = size;
			pieces++;
		}
		assert_true(pieces <= GMEM_ADDED_PIECES);
		assert_int_equal(gmem_added_piece(&g, 0), 0);
	}
}

static void file_cannot_be_resized(void **state)
{
	struct gmem g;

	assert_int_equal(gmem_create_shared(&g, MIB, NULL), 0);
	assert_int_equal(ftruncate(g.memfd, 0), -1);
	assert_int_equal(errno, EPERM);
	gmem_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_checked),
		cmocka_unit_test(small_memory_is_all_low),
		cmocka_unit_test(large_memory_has_a_hole),
		cmocka_unit_test(guest_and_host_addresses_agree_in_2_mib),
		cmocka_unit_test(all_of_it_is_usable_and_given_back),
		cmocka_unit_test(anonymous_memory_has_huge_pages),
		cmocka_unit_test(anonymous_memory_works_without_huge_pages),
		cmocka_unit_test(shared_memory_is_its_file),
		cmocka_unit_test(image_memory_is_private_where_written),
		cmocka_unit_test(a_short_image_is_refused),
		cmocka_unit_test(a_child_does_not_have_it),
		cmocka_unit_test(hostile_ranges_are_refused),
		cmocka_unit_test(memory_that_is_added),
		cmocka_unit_test(memory_is_added_in_few_pieces),
		cmocka_unit_test(file_cannot_be_resized),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
