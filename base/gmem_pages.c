/* SPDX-License-Identifier: MIT */
#include "base/gmem_pages.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A page's byte: whether it is out, and how often it is held. A count that reaches its end stays
 * there: then the page is held for ever. */
#define OUT      0x80u
#define HELD     0x7Fu
#define HELD_MAX 0x7Fu

#define WORD_OUT 0x8080808080808080ull

struct gmem_pages {
	uint8_t *state; /* [index], see index_of() */
	uint64_t count; /* with all that can be added */
	_Atomic uint64_t out;
	_Atomic bool small; /* no huge pages are made: see gmem_pages.h */
};

/* ---- places -------------------------------------------------------------- */

/* Pages are numbered in the order of GPAs, without holes. */
static uint64_t index_of(const struct gmem *g, uint64_t gpa)
{
	return gmem_file_offset(g, gpa) / GMEM_PAGE_SIZE;
}

/* Where the range of RAM that holds this index begins and ends; the GPA of its begin. */
struct range {
	uint64_t first, end; /* indices */
	uint64_t gpa;
};

static struct range range_of(const struct gmem *g, uint64_t index)
{
	uint64_t low = g->low_size / GMEM_PAGE_SIZE, high = g->high_size / GMEM_PAGE_SIZE;

	if (index < low)
		return (struct range){0, low, 0};
	if (index < low + high)
		return (struct range){low, low + high, GMEM_HIGH_START};
	return (struct range){low + high, g->pages->count, g->added_start};
}

static uint8_t *state_of(const struct gmem *g, const struct gmem_run *run)
{
	return g->pages->state + index_of(g, run->gpa);
}

static bool is_ram(const struct gmem *g, const struct gmem_run *run)
{
	return run->pages && run->gpa % GMEM_PAGE_SIZE == 0 &&
	       run->pages <= UINT64_MAX / GMEM_PAGE_SIZE &&
	       gmem_contains(g, run->gpa, run->pages * GMEM_PAGE_SIZE);
}

static uint8_t load(const uint8_t *state)
{
	return __atomic_load_n(state, __ATOMIC_ACQUIRE);
}

static bool swap(uint8_t *state, uint8_t *old, uint8_t value)
{
	return __atomic_compare_exchange_n(
		state, old, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* ---- life ---------------------------------------------------------------- */

/* Whole words are read. */
static size_t mapped_size(const struct gmem_pages *p)
{
	return (p->count + 7) / 8 * 8;
}

int gmem_pages_create(struct gmem *g)
{
	struct gmem_pages *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->count = (g->low_size + g->high_size + g->added_max) / GMEM_PAGE_SIZE;
	p->state = mmap(NULL, mapped_size(p), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p->state == MAP_FAILED) {
		free(p);
		return -ENOMEM;
	}
	g->pages = p;
	return 0;
}

void gmem_pages_destroy(struct gmem *g)
{
	if (!g->pages)
		return;
	munmap(g->pages->state, mapped_size(g->pages));
	free(g->pages);
	g->pages = NULL;
}

/* ---- held ---------------------------------------------------------------- */

bool gmem_hold(const struct gmem *g, uint64_t gpa)
{
	uint8_t *state, old;

	if (!g->pages)
		return true;
	state = g->pages->state + index_of(g, gpa);
	old = load(state);
	do {
		if (old & OUT)
			return false;
		if (old == HELD_MAX)
			return true;
	} while (!swap(state, &old, old + 1));
	return true;
}

void gmem_unhold(const struct gmem *g, uint64_t gpa)
{
	uint8_t *state, old;

	if (!g->pages)
		return;
	state = g->pages->state + index_of(g, gpa);
	old = load(state);
	do {
		assert(old & HELD);
		if ((old & HELD) == HELD_MAX)
			return;
	} while (!swap(state, &old, old - 1));
}

/* ---- out ----------------------------------------------------------------- */

/* False: it is out already. */
static bool take_page(uint8_t *state, uint64_t *held)
{
	uint8_t old = __atomic_fetch_or(state, OUT, __ATOMIC_ACQ_REL);

	if (old & OUT)
		return false;
	*held += old != 0;
	return true;
}

static void give_pages(const struct gmem *g, uint8_t *state, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint8_t old = __atomic_fetch_and(&state[i], (uint8_t)~OUT, __ATOMIC_ACQ_REL);

		assert(old & OUT);
	}
	g->pages->out -= count;
}

int gmem_pages_take(const struct gmem *g, const struct gmem_run *run, uint64_t *held)
{
	uint64_t of_run = 0, done = 0;
	uint8_t *state;

	if (!is_ram(g, run))
		return -EFAULT;
	state = state_of(g, run);
	while (done < run->pages && take_page(&state[done], &of_run))
		done++;
	g->pages->out += done;
	if (done < run->pages) {
		give_pages(g, state, done);
		return -EEXIST;
	}
	*held += of_run;
	return 0;
}

void gmem_pages_give(const struct gmem *g, const struct gmem_run *run)
{
	assert(is_ram(g, run));
	give_pages(g, state_of(g, run), run->pages);
}

void gmem_pages_give_all(const struct gmem *g)
{
	struct gmem_run run;
	uint64_t at = 0;

	while (gmem_pages_out(g) && gmem_pages_next(g, &at, UINT64_MAX, &run))
		gmem_pages_give(g, &run);
}

uint64_t gmem_pages_out(const struct gmem *g)
{
	return g->pages ? g->pages->out : 0;
}

static bool is_out(const struct gmem_pages *p, uint64_t index)
{
	return load(&p->state[index]) & OUT;
}

/* Eight pages at once where none is out. */
static uint64_t first_out(const struct gmem_pages *p, uint64_t index)
{
	while (index < p->count && !is_out(p, index)) {
		const uint64_t *word = (const uint64_t *)(p->state + index / 8 * 8);

		if (index % 8 || __atomic_load_n(word, __ATOMIC_RELAXED) & WORD_OUT)
			index++;
		else
			index += 8;
	}
	return index;
}

bool gmem_pages_next(const struct gmem *g, uint64_t *at, uint64_t max, struct gmem_run *run)
{
	const struct gmem_pages *p = g->pages;
	uint64_t first = first_out(p, *at), end = first;
	struct range range;

	if (first >= p->count) {
		*at = p->count;
		return false;
	}
	range = range_of(g, first);
	while (end < range.end && end - first < max && is_out(p, end))
		end++;
	*run = (struct gmem_run){range.gpa + (first - range.first) * GMEM_PAGE_SIZE, end - first};
	*at = end;
	return true;
}

/* ---- huge pages ---------------------------------------------------------- */

static void advise(const struct gmem *g, uint64_t gpa, uint64_t size, int advice)
{
	if (size)
		madvise(g->base + gpa, size, advice); /* a kernel without huge pages: no matter */
}

static void make_small(const struct gmem *g, bool small)
{
	int advice = small ? MADV_NOHUGEPAGE : MADV_HUGEPAGE;

	g->pages->small = small;
	if (g->kind != GMEM_ANONYMOUS)
		return;
	advise(g, 0, g->low_size, advice);
	advise(g, GMEM_HIGH_START, g->high_size, advice);
	advise(g, g->added_start, g->added_max, advice);
}

bool gmem_pages_unsettled(const struct gmem *g)
{
	return g->pages && g->pages->small && !g->pages->out;
}

void gmem_pages_settle(const struct gmem *g)
{
	if (!gmem_pages_unsettled(g))
		return;
	make_small(g, false);
	if (g->pages->out) /* since then, and it was not advised */
		make_small(g, true);
}

/* ---- to the host --------------------------------------------------------- */

/* Pages from `from` on that are all in this state, or all are not. */
static uint64_t same_pages(const uint8_t *state, uint64_t from, uint64_t end, uint8_t wanted)
{
	bool is = load(&state[from]) == wanted;
	uint64_t n = from + 1;

	while (n < end && (load(&state[n]) == wanted) == is)
		n++;
	return n - from;
}

/* Those of the run in this state. */
static int release_pages(const struct gmem *g, const struct gmem_run *run, uint8_t wanted)
{
	const uint8_t *state = state_of(g, run);
	int ret = 0;

	for (uint64_t i = 0, n; i < run->pages && !ret; i += n) {
		bool release = load(&state[i]) == wanted;

		n = same_pages(state, i, run->pages, wanted);
		if (release)
			ret = gmem_release(g, run->gpa + i * GMEM_PAGE_SIZE, n * GMEM_PAGE_SIZE);
	}
	return ret;
}

int gmem_pages_release(const struct gmem *g, const struct gmem_run *run)
{
	assert(is_ram(g, run));
	if (!g->pages->small)
		make_small(g, true);
	return release_pages(g, run, OUT);
}

int gmem_pages_discard(const struct gmem *g, const struct gmem_run *run)
{
	if (!is_ram(g, run))
		return -EFAULT;
	return release_pages(g, run, 0);
}
