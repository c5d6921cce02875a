/* SPDX-License-Identifier: MIT */
/*
 * The rings of a channel: from the pages of its GPADL to runs of neighbouring pages.
 *
 *   page   0          1 ... downstream - 1   downstream      ... pages - 1
 *          control    data, guest to host    control         data, host to guest
 *
 * The pages stay where the guest has them; nothing is mapped a second time, so guest
 * memory may be of any kind (base/gmem.h).
 */
#include <errno.h>
#include <stdlib.h>

#include "vsp/vsp_impl.h"

/* 8 MiB each way; more is not faster. Bounds the list of runs to 64 KiB. */
#define RING_PAGES_MAX 4098u

static void GUEST_SHARED *page_at(const struct gmem *gmem, uint64_t pfn)
{
	return gmem_at(gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE);
}

/* Neighbours from pfns[0] on. The bus has checked that all are RAM, so no run enters a hole. */
static uint32_t run_pages(const uint64_t *pfns, uint32_t count)
{
	uint32_t n = 1;

	while (n < count && pfns[n] == pfns[0] + n)
		n++;
	return n;
}

/* Fills runs, which has room for count. */
static uint32_t find_runs(
	const struct gmem *gmem, const uint64_t *pfns, uint32_t count, struct vmbus_run *runs)
{
	uint32_t found = 0;

	while (count) {
		uint32_t n = run_pages(pfns, count);

		runs[found++] = (struct vmbus_run){page_at(gmem, pfns[0]), n * HV_PAGE_SIZE};
		pfns += n;
		count -= n;
	}
	return found;
}

static void ring_find(const struct gmem *gmem, const uint64_t *pfns, uint32_t pages,
	struct vmbus_run *runs, struct chan_ring *ring)
{
	*ring = (struct chan_ring){
		.ctl = page_at(gmem, pfns[0]),
		.runs = runs,
		.run_count = find_runs(gmem, pfns + 1, pages - 1, runs),
	};
}

int vsp_rings_get(
	struct vsp_rings *rings, const struct vsp_host *host, const struct bus_open_params *params)
{
	uint32_t pages, downstream = params->downstream_page;
	const uint64_t *pfns = gpadl_pfns(params->ring, &pages);
	struct vmbus_run *runs;

	assert(downstream && downstream < pages);
	if (pages > RING_PAGES_MAX)
		return -E2BIG;
	if (!budget_take(host->budget, BUDGET_CHANNELS, pages * sizeof(*runs)))
		return -ENOMEM;
	runs = calloc(pages, sizeof(*runs));
	if (!runs) {
		budget_give(host->budget, BUDGET_CHANNELS, pages * sizeof(*runs));
		return -ENOMEM;
	}
	ring_find(host->gmem, pfns, downstream, runs, &rings->g2h);
	ring_find(
		host->gmem, pfns + downstream, pages - downstream, runs + downstream, &rings->h2g);
	rings->runs = runs;
	rings->pages = pages;
	rings->budget = host->budget;
	rings->gpadl = params->ring;
	gpadl_get(params->ring);
	return 0;
}

void vsp_rings_put(struct vsp_rings *rings)
{
	free(rings->runs);
	budget_give(rings->budget, BUDGET_CHANNELS, rings->pages * sizeof(*rings->runs));
	gpadl_put(rings->gpadl);
}
