/* SPDX-License-Identifier: MIT */
/*
 * 200 random targets, many of them changed before they are reached, and a scripted guest that gives
 * random ranges, all that is asked for or less, in any number of messages, and takes added memory
 * whole, in part or later. A model of each page says at every message whether the host keeps to
 * what it may do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/gmem_pages.h"
#include "tests/support/guest_dm.h"

#define MIB     (1ull << 20)
#define PAGE    4096ull
#define TARGETS 200u
#define BOOT    (GUEST_DM_RAM / PAGE) /* pages that the guest boots with */
#define ALL     (GUEST_DM_MAX / PAGE)
#define FLOOR   (16 * MIB / PAGE) /* rings are below */
#define BLOCK   (128 * MIB / PAGE)

struct model {
	struct guest_dm *s;
	uint32_t seed;
	bool out[ALL];
	uint64_t pages; /* that the guest has: the first ones */
	uint64_t out_count;
	uint64_t takes, gives, adds; /* messages */
};

static uint32_t below(struct model *m, uint64_t limit)
{
	m->seed = m->seed * 1664525 + 1013904223;
	return (uint32_t)((m->seed >> 8) % limit);
}

static uint64_t gpa_of(uint64_t page)
{
	return page < BOOT ? page * PAGE : GMEM_HIGH_START + (page - BOOT) * PAGE;
}

static uint64_t page_of(uint64_t gpa)
{
	return gpa < GMEM_HIGH_START ? gpa / PAGE : BOOT + (gpa - GMEM_HIGH_START) / PAGE;
}

static volatile uint64_t *word_of(struct model *m, uint64_t page)
{
	return guest_at(&m->s->g, gpa_of(page));
}

/* ---- pages to the host --------------------------------------------------- */

/* A run of the guest's own pages from `page` on, in one range of RAM. */
static uint64_t own_run(const struct model *m, uint64_t page, uint64_t max)
{
	uint64_t end = page < BOOT ? BOOT : m->pages, n = 0;

	while (n < max && page + n < end && !m->out[page + n])
		n++;
	return n;
}

static uint32_t choose_ranges(struct model *m, uint64_t *ranges, uint64_t *left)
{
	uint32_t count = 0, max = 1 + below(m, DM_RANGES_MAX);

	for (uint32_t tries = 0; tries < 2000 && count < max && *left; tries++) {
		uint64_t page = FLOOR + below(m, m->pages - FLOOR);
		uint64_t most = 1ull << below(m, 14);
		uint64_t n = own_run(m, page, most < *left ? most : *left);

		if (!n)
			continue;
		*word_of(m, page) = ~0ull;
		memset(m->out + page, true, n);
		ranges[count++] = GUEST_DM_RANGE(gpa_of(page), n);
		m->out_count += n;
		*left -= n;
	}
	return count;
}

static void on_take(struct model *m)
{
	uint64_t left = m->s->message.take.pages, granted = m->pages - m->out_count;
	uint64_t ranges[DM_RANGES_MAX];
	bool more;

	assert_int_equal(left % DM_BALLOON_PAGES, 0);
	assert_true(left && left <= granted && granted - left >= GUEST_DM_MIN / PAGE);
	m->takes++;
	do {
		uint32_t count = choose_ranges(m, ranges, &left);

		more = left && count && below(m, 8);
		guest_dm_balloon(m->s, ranges, count, more);
	} while (more);
}

/* ---- and back ------------------------------------------------------------ */

static void take_back(struct model *m, uint64_t range)
{
	uint64_t page = page_of((range & DM_RANGE_PFN_MASK) << DM_PAGE_SHIFT);
	uint64_t n = range >> DM_RANGE_COUNT_SHIFT;

	assert_true(n && page + n <= m->pages);
	for (uint64_t i = page; i < page + n; i++) {
		assert_true(m->out[i]);
		m->out[i] = false;
		if (i % 64 == 0 || i == page)
			assert_int_equal(*word_of(m, i), 0);
	}
	m->out_count -= n;
}

static void on_give(struct model *m)
{
	const uint64_t *ranges = (const uint64_t *)(&m->s->message.give + 1);
	uint32_t count = m->s->message.give.count;

	assert_true(count && count <= DM_RANGES_MAX);
	for (uint32_t i = 0; i < count; i++)
		take_back(m, ranges[i]);
	m->gives++;
	guest_dm_say(m->s, DM_UNBALLOON_RESPONSE, &(struct dm_header){0}, sizeof(struct dm_header));
}

/* ---- more ---------------------------------------------------------------- */

static void on_add(struct model *m)
{
	uint64_t range = m->s->message.add.range, n = range >> DM_RANGE_COUNT_SHIFT;
	uint64_t taken = n / BLOCK * BLOCK;

	assert_int_equal(page_of((range & DM_RANGE_PFN_MASK) << DM_PAGE_SHIFT), m->pages);
	assert_true(n && n % BLOCK == 0 && m->pages + n <= ALL);
	assert_int_equal(m->out_count, 0); /* pages that are out are given back before */
	*word_of(m, m->pages + n - 1) = 1; /* it is there */
	*word_of(m, m->pages + n - 1) = 0;
	m->adds++;
	if (below(m, 4) == 0)
		taken = 0;
	m->pages += taken;
	guest_dm_added(m->s, taken * PAGE, taken ? DM_HOT_ADD_DONE : DM_HOT_ADD_LATER);
}

static void answer(struct model *m)
{
	switch (m->s->message.header.type) {
	case DM_BALLOON_REQUEST:
		on_take(m);
		break;
	case DM_UNBALLOON_REQUEST:
		on_give(m);
		break;
	case DM_HOT_ADD_REQUEST:
		on_add(m);
		break;
	default:
		fail_msg("message %u", m->s->message.header.type);
	}
}

/* ---- targets ------------------------------------------------------------- */

static bool next_message(struct model *m)
{
	for (uint32_t turn = 0; turn < 20; turn++) {
		if (guest_dm_take(m->s))
			return true;
		guest_run_host(&m->s->g);
	}
	return false;
}

/* Until nothing comes any more, or for a few messages only. A guest that gives less than it is
 * asked for is asked for ever. */
static void follow(struct model *m)
{
	uint32_t most = below(m, 4) ? 1 + below(m, 6) : 60;

	for (uint32_t i = 0; i < most && next_message(m); i++)
		answer(m);
}

static void check_counts(struct model *m)
{
	struct dynmem_status status = guest_dm_status(m->s);

	/* The last answer is perhaps not read yet. */
	assert_true(status.added <= (m->pages - BOOT) * PAGE);
	assert_true(status.out <= m->out_count * PAGE);
}

static void check_end(struct model *m)
{
	guest_dm_target(m->s, GUEST_DM_MAX);
	while (m->pages < ALL || m->out_count) {
		guest_run_host(&m->s->g);
		if (guest_dm_take(m->s))
			answer(m);
	}
	guest_dm_wait_granted(m->s, GUEST_DM_MAX);
	assert_int_equal(gmem_pages_out(&m->s->g.gmem), 0);
	assert_int_equal(guest_dm_count(m->s, "release_errors"), 0);
	assert_int_equal(guest_dm_count(m->s, "out_of_order"), 0);
	assert_true(m->takes > 10 && m->gives > 10 && m->adds >= 4);
}

static void random_targets(bool shared, uint32_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->s = guest_dm_create(shared, 1);
	m->seed = seed;
	m->pages = BOOT;
	guest_dm_open_ready(m->s);
	for (uint32_t i = 0; i < TARGETS; i++) {
		uint64_t most = below(m, 4) ? m->pages * PAGE : GUEST_DM_MAX;

		guest_dm_target(m->s, GUEST_DM_MIN + below(m, (most - GUEST_DM_MIN) / PAGE) * PAGE);
		follow(m);
		check_counts(m);
	}
	check_end(m);
	printf("takes %llu, gives %llu, adds %llu\n", (unsigned long long)m->takes,
		(unsigned long long)m->gives, (unsigned long long)m->adds);
	guest_dm_destroy(m->s);
	free(m);
}

static void anonymous(void **state)
{
	random_targets(false, 1);
}

static void shared(void **state)
{
	random_targets(true, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anonymous),
		cmocka_unit_test(shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
