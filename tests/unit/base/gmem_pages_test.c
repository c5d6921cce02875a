/* SPDX-License-Identifier: MIT */
/* Pages that are out and pages that are held: single rules, and random operations beside a model.
 */
#include "base/gmem_pages.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB   0x100000ull
#define PAGE  4096ull
#define RAM   (4 * MIB)
#define MORE  (2 * MIB)
#define PAGES (RAM / PAGE)

static struct gmem_run run(uint64_t gpa, uint64_t pages)
{
	return (struct gmem_run){gpa, pages};
}

static int take(const struct gmem *g, uint64_t gpa, uint64_t pages)
{
	struct gmem_run r = run(gpa, pages);
	uint64_t held = 0;
	int ret = gmem_pages_take(g, &r, &held);

	assert_int_equal(held, 0);
	return ret;
}

static void create(struct gmem *g, enum gmem_kind kind)
{
	assert_int_equal(gmem_create_dynamic(g, kind, RAM, MORE, NULL), 0);
}

/* ---- rules --------------------------------------------------------------- */

static void memory_that_is_not_dynamic(void **state)
{
	struct gmem g;

	assert_int_equal(gmem_create(&g, RAM, NULL), 0);
	assert_true(gmem_hold(&g, 0));
	gmem_unhold(&g, 0);
	assert_int_equal(gmem_pages_out(&g), 0);
	gmem_destroy(&g);
}

static void only_ram_can_be_out(void **state)
{
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	assert_int_equal(take(&g, RAM, 1), -EFAULT);
	assert_int_equal(take(&g, RAM - PAGE, 2), -EFAULT);
	assert_int_equal(take(&g, 0, 0), -EFAULT);
	assert_int_equal(take(&g, 1, 1), -EFAULT);
	assert_int_equal(take(&g, 0, UINT64_MAX), -EFAULT);
	assert_int_equal(take(&g, 0, UINT64_MAX / PAGE + 2), -EFAULT);
	assert_int_equal(take(&g, UINT64_MAX - PAGE + 1, 1), -EFAULT);
	assert_int_equal(take(&g, GMEM_HIGH_START, 1), -EFAULT);
	assert_int_equal(gmem_pages_out(&g), 0);
	assert_int_equal(take(&g, 0, PAGES), 0);
	assert_int_equal(gmem_pages_out(&g), PAGES);
	gmem_destroy(&g);
}

static void a_failure_changes_nothing(void **state)
{
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	assert_int_equal(take(&g, 8 * PAGE, 1), 0);
	assert_int_equal(take(&g, 0, 16), -EEXIST);
	assert_int_equal(gmem_pages_out(&g), 1);
	assert_int_equal(take(&g, 0, 8), 0);
	assert_int_equal(take(&g, 9 * PAGE, 7), 0);
	gmem_destroy(&g);
}

static void what_is_out_cannot_be_held(void **state)
{
	struct gmem_run r = run(PAGE, 1);
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	assert_int_equal(take(&g, PAGE, 1), 0);
	assert_false(gmem_hold(&g, PAGE));
	gmem_pages_give(&g, &r);
	assert_true(gmem_hold(&g, PAGE));
	gmem_unhold(&g, PAGE);
	gmem_destroy(&g);
}

static void what_is_held_is_not_released(void **state)
{
	struct gmem_run r = run(0, 3);
	uint64_t held = 0;
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	memset(g.base, 0xA5, 3 * PAGE);
	assert_true(gmem_hold(&g, PAGE));
	assert_int_equal(gmem_pages_discard(&g, &r), 0);
	assert_int_equal(g.base[0], 0);
	assert_int_equal(g.base[PAGE], 0xA5);
	memset(g.base, 0xA5, 3 * PAGE);
	assert_int_equal(gmem_pages_take(&g, &r, &held), 0);
	assert_int_equal(held, 1);
	assert_int_equal(gmem_pages_release(&g, &r), 0);
	assert_int_equal(g.base[0], 0);
	assert_int_equal(g.base[PAGE], 0xA5);
	assert_int_equal(g.base[2 * PAGE], 0);
	gmem_unhold(&g, PAGE);
	gmem_pages_give(&g, &r);
	assert_int_equal(gmem_pages_out(&g), 0);
	gmem_destroy(&g);
}

/* A guest can list a page any number of times: then it is held for ever. */
static void a_page_that_is_held_too_often(void **state)
{
	struct gmem_run r = run(0, 1);
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	g.base[0] = 0xA5;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(gmem_hold(&g, 0));
	for (unsigned i = 0; i < 1000; i++)
		gmem_unhold(&g, 0);
	assert_int_equal(gmem_pages_discard(&g, &r), 0);
	assert_int_equal(g.base[0], 0xA5);
	gmem_destroy(&g);
}

/* Of the kinds that can be dynamic. */
static void discarded_pages_read_as_zeroes(void **state)
{
	for (int kind = GMEM_ANONYMOUS; kind <= GMEM_SHARED; kind++) {
		struct gmem_run r = run(2 * MIB, 512), outside = run(RAM, 1), out = run(0, 1);
		struct gmem_use use;
		struct gmem g;

		create(&g, kind);
		memset(g.base, 0xA5, RAM);
		assert_int_equal(gmem_pages_discard(&g, &r), 0);
		assert_int_equal(gmem_measure(&g, &use), 0);
		assert_int_equal(use.resident, RAM - 2 * MIB);
		assert_int_equal(g.base[2 * MIB - 1], 0xA5);
		assert_int_equal(g.base[2 * MIB], 0);
		assert_int_equal(g.base[4 * MIB - 1], 0);
		assert_int_equal(gmem_pages_discard(&g, &outside), -EFAULT);
		assert_int_equal(take(&g, 0, 1), 0);
		assert_int_equal(gmem_pages_discard(&g, &out), 0);
		assert_int_equal(g.base[0], 0xA5);
		gmem_destroy(&g);
	}
}

static void memory_of_an_image_stays(void **state)
{
	int fd = memfd_create("image", 0);
	struct gmem g;

	assert_int_equal(ftruncate(fd, RAM), 0);
	assert_int_equal(gmem_create_image(&g, fd, 0, RAM, NULL), 0);
	assert_int_equal(gmem_release(&g, 0, PAGE), -EOPNOTSUPP);
	gmem_destroy(&g);
	close(fd);
}

/* ---- added memory -------------------------------------------------------- */

#define COLLAPSE 25 /* MADV_COLLAPSE, Linux 6.1: what khugepaged does, now */

/* The kernel does not fill holes by making huge pages, until there are none. */
static void holes_are_not_filled_by_huge_pages(void **state)
{
	const struct gmem_run half = run(2 * MIB, MIB / PAGE);
	struct gmem_use use;
	uint64_t held = 0;
	struct gmem g;

	create(&g, GMEM_ANONYMOUS);
	memset(g.base, 1, RAM);
	if (madvise(g.base + 2 * MIB, 2 * MIB, COLLAPSE)) {
		print_message("SKIP: this kernel makes no huge pages: %s\n", strerror(errno));
		gmem_destroy(&g);
		skip();
	}
	assert_int_equal(gmem_pages_take(&g, &half, &held), 0);
	assert_int_equal(gmem_pages_release(&g, &half), 0);
	assert_false(gmem_pages_unsettled(&g));
	assert_int_not_equal(madvise(g.base + 2 * MIB, 2 * MIB, COLLAPSE), 0);
	assert_int_equal(gmem_measure(&g, &use), 0);
	assert_int_equal(use.resident, RAM - MIB);
	gmem_pages_settle(&g); /* too early */
	assert_int_not_equal(madvise(g.base + 2 * MIB, 2 * MIB, COLLAPSE), 0);
	gmem_pages_give(&g, &half);
	assert_true(gmem_pages_unsettled(&g));
	gmem_pages_settle(&g);
	assert_false(gmem_pages_unsettled(&g));
	assert_int_equal(madvise(g.base + 2 * MIB, 2 * MIB, COLLAPSE), 0);
	gmem_destroy(&g);
}

static void memory_is_added(void **state)
{
	for (int kind = GMEM_ANONYMOUS; kind <= GMEM_SHARED; kind++) {
		struct gmem_run r;
		uint64_t at = 0;
		struct gmem g;

		create(&g, kind);
		assert_int_equal(g.added_start, GMEM_HIGH_START);
		assert_int_equal(gmem_map_added(&g, MIB), 0);
		assert_null(gmem_at(&g, g.added_start, 1));
		gmem_publish_added(&g, MIB);
		assert_non_null(gmem_at(&g, g.added_start, MIB));
		assert_null(gmem_at(&g, g.added_start, MIB + 1));
		assert_null(gmem_at(&g, g.added_start - 1, 2));
		assert_int_equal(gmem_map_added(&g, MORE), 0);
		gmem_publish_added(&g, MORE);
		gmem_publish_added(&g, MIB); /* it never shrinks */
		memset(g.base + g.added_start, 0xA5, MORE);
		assert_int_equal(take(&g, RAM - PAGE, 1), 0);
		assert_int_equal(take(&g, g.added_start, 2), 0);
		assert_true(gmem_pages_next(&g, &at, UINT64_MAX, &r));
		assert_int_equal(r.gpa, RAM - PAGE);
		assert_int_equal(r.pages, 1); /* no run crosses from one range into another */
		assert_true(gmem_pages_next(&g, &at, 1, &r));
		assert_int_equal(r.gpa, g.added_start);
		assert_int_equal(r.pages, 1);
		gmem_destroy(&g);
	}
}

static void added_memory_is_next_to_no_other(void **state)
{
	static const uint64_t high[] = {PAGE, 2048 * MIB, 4096 * MIB, 4096 * MIB + PAGE};
	struct gmem g;

	for (size_t i = 0; i < sizeof(high) / sizeof(*high); i++) {
		assert_int_equal(
			gmem_create_dynamic(&g, GMEM_ANONYMOUS, GMEM_LOW_MAX + high[i], MORE, NULL),
			0);
		assert_int_equal(g.added_start % GMEM_ADDED_ALIGN, 0);
		assert_true(g.added_start > GMEM_HIGH_START + high[i]);
		assert_int_equal(gmem_end_max(&g), g.added_start + MORE);
		assert_int_equal(gmem_file_offset(&g, g.added_start), GMEM_LOW_MAX + high[i]);
		gmem_destroy(&g);
	}
}

/* ---- random operations, with a model ------------------------------------- */

struct model {
	struct gmem g;
	bool out[PAGES];
	uint8_t held[PAGES];
	uint8_t byte[PAGES]; /* what is in it */
	uint64_t count;
};

static bool all_in(const struct model *m, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++)
		if (i >= PAGES || m->out[i])
			return false;
	return count;
}

static void model_take(struct model *m, uint64_t first, uint64_t count)
{
	struct gmem_run r = run(first * PAGE, count);
	bool ok = all_in(m, first, count);
	uint64_t held = 0, want = 0;

	assert_int_equal(!gmem_pages_take(&m->g, &r, &held), ok);
	if (!ok)
		return;
	assert_int_equal(gmem_pages_release(&m->g, &r), 0);
	for (uint64_t i = first; i < first + count; i++) {
		m->out[i] = true;
		want += m->held[i] != 0;
		m->byte[i] = m->held[i] ? m->byte[i] : 0;
	}
	m->count += count;
	assert_int_equal(held, want);
}

static void model_give(struct model *m, uint64_t from, uint64_t max)
{
	struct gmem_run r;
	uint64_t at = from;

	if (!gmem_pages_next(&m->g, &at, max, &r)) {
		for (uint64_t i = from; i < PAGES; i++)
			assert_false(m->out[i]);
		return;
	}
	assert_true(r.pages && r.pages <= max);
	for (uint64_t i = from; i < r.gpa / PAGE; i++)
		assert_false(m->out[i]);
	gmem_pages_give(&m->g, &r);
	for (uint64_t i = 0; i < r.pages; i++) {
		assert_true(m->out[r.gpa / PAGE + i]);
		m->out[r.gpa / PAGE + i] = false;
	}
	m->count -= r.pages;
}

static void model_hold(struct model *m, uint64_t page)
{
	if (m->held[page] == 100)
		return;
	assert_int_equal(gmem_hold(&m->g, page * PAGE), !m->out[page]);
	m->held[page] += !m->out[page];
}

static void model_unhold(struct model *m, uint64_t page)
{
	if (!m->held[page])
		return;
	gmem_unhold(&m->g, page * PAGE);
	m->held[page]--;
}

static void model_discard(struct model *m, uint64_t first, uint64_t count)
{
	struct gmem_run r = run(first * PAGE, count);
	bool ok = count && first + count <= PAGES;

	assert_int_equal(!gmem_pages_discard(&m->g, &r), ok);
	for (uint64_t i = first; ok && i < first + count; i++)
		if (!m->held[i] && !m->out[i])
			m->byte[i] = 0;
}

static void model_write(struct model *m, uint64_t page, uint8_t byte)
{
	memset(m->g.base + page * PAGE, byte, PAGE);
	m->byte[page] = byte;
}

static void model_check(const struct model *m)
{
	assert_int_equal(gmem_pages_out(&m->g), m->count);
	for (uint64_t i = 0; i < PAGES; i++) {
		assert_int_equal(m->g.base[i * PAGE], m->byte[i]);
		assert_int_equal(m->g.base[(i + 1) * PAGE - 1], m->byte[i]);
	}
}

static void model_step(struct model *m, unsigned *seed)
{
	uint64_t page = (uint64_t)rand_r(seed) % PAGES, count = 1 + (uint64_t)rand_r(seed) % 20;

	switch (rand_r(seed) % 8) {
	case 0:
	case 1:
		model_take(m, page, count);
		break;
	case 2:
		model_give(m, page, count);
		break;
	case 3:
		model_hold(m, page);
		break;
	case 4:
		model_unhold(m, page);
		break;
	case 5:
		model_discard(m, page, count);
		break;
	default:
		model_write(m, page, (uint8_t)rand_r(seed));
	}
}

static void random_operations(void **state)
{
	for (unsigned round = 0; round < 20; round++) {
		unsigned seed = round;
		struct model *m = calloc(1, sizeof(*m));

		create(&m->g, round % 2 ? GMEM_SHARED : GMEM_ANONYMOUS);
		for (unsigned i = 0; i < 3000; i++) {
			model_step(m, &seed);
			if (i % 300 == 0)
				model_check(m);
		}
		model_check(m);
		gmem_pages_give_all(&m->g);
		assert_int_equal(gmem_pages_out(&m->g), 0);
		gmem_destroy(&m->g);
		free(m);
	}
}

/* ---- two threads --------------------------------------------------------- */

#define ROUNDS 20000u

struct holder {
	struct gmem *g;
	uint64_t held;
};

static void *hold_and_check(void *arg)
{
	struct holder *h = arg;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (!gmem_hold(h->g, 0))
			continue;
		h->held++;
		gmem_unhold(h->g, 0);
	}
	return NULL;
}

/* Whoever holds a page after it was out, or takes it: never both without the other's knowledge. */
static void one_thread_holds_another_takes(void **state)
{
	struct gmem_run r = run(0, 1);
	struct holder h;
	pthread_t thread;
	struct gmem g;
	uint64_t held = 0;

	create(&g, GMEM_ANONYMOUS);
	h = (struct holder){.g = &g};
	assert_int_equal(pthread_create(&thread, NULL, hold_and_check, &h), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		assert_int_equal(gmem_pages_take(&g, &r, &held), 0);
		gmem_pages_give(&g, &r);
	}
	pthread_join(thread, NULL);
	assert_true(held <= ROUNDS && h.held <= ROUNDS);
	assert_int_equal(gmem_pages_out(&g), 0);
	assert_int_equal(gmem_pages_discard(&g, &r), 0); /* not held any more */
	gmem_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_that_is_not_dynamic),
		cmocka_unit_test(only_ram_can_be_out),
		cmocka_unit_test(a_failure_changes_nothing),
		cmocka_unit_test(what_is_out_cannot_be_held),
		cmocka_unit_test(what_is_held_is_not_released),
		cmocka_unit_test(a_page_that_is_held_too_often),
		cmocka_unit_test(discarded_pages_read_as_zeroes),
		cmocka_unit_test(memory_of_an_image_stays),
		cmocka_unit_test(holes_are_not_filled_by_huge_pages),
		cmocka_unit_test(memory_is_added),
		cmocka_unit_test(added_memory_is_next_to_no_other),
		cmocka_unit_test(random_operations),
		cmocka_unit_test(one_thread_holds_another_takes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
