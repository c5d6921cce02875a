/* SPDX-License-Identifier: MIT */
/*
 * The memory of one ring. Each run of pages is an allocation of its own, of exactly its
 * size, so that the sanitizer reports an access behind it.
 */
#ifndef RING_MEM_H
#define RING_MEM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring/vmbus_ring.h"

#define RING_MEM_PAGES_MAX 256u

/* How ring_mem_init() lays out the data. Bit n: page n + 1 does not follow page n. 0: all is
 * contiguous with the control page, as in a guest. */
static uint64_t ring_mem_breaks;

struct ring_mem {
	struct vmbus_ring_ctl *ctl;
	struct vmbus_run runs[RING_MEM_PAGES_MAX];
	uint32_t count; /* of runs */
	uint32_t bytes; /* with the control page */
	uint32_t size;  /* D */
};

static inline void *ring_mem_pages(uint32_t pages)
{
	void *at = aligned_alloc(HV_PAGE_SIZE, pages * HV_PAGE_SIZE);

	if (!at)
		abort();
	return memset(at, 0, pages * HV_PAGE_SIZE);
}

static inline void ring_mem_scatter(struct ring_mem *mem, uint32_t data_pages)
{
	uint32_t first = 0;

	mem->ctl = ring_mem_pages(1);
	for (uint32_t page = 0; page < data_pages; page++) {
		if (page + 1 < data_pages && !(ring_mem_breaks >> page % 64 & 1))
			continue;
		mem->runs[mem->count++] = (struct vmbus_run){
			ring_mem_pages(page + 1 - first), (page + 1 - first) * HV_PAGE_SIZE};
		first = page + 1;
	}
}

static inline void ring_mem_init(struct ring_mem *mem, uint32_t data_pages)
{
	*mem = (struct ring_mem){
		.bytes = (data_pages + 1) * HV_PAGE_SIZE, .size = data_pages * HV_PAGE_SIZE};
	if (ring_mem_breaks) {
		ring_mem_scatter(mem, data_pages);
		return;
	}
	mem->ctl = ring_mem_pages(data_pages + 1);
	mem->runs[mem->count++] = (struct vmbus_run){(uint8_t *)mem->ctl + HV_PAGE_SIZE, mem->size};
}

static inline void ring_mem_fini(struct ring_mem *mem)
{
	for (uint32_t i = 0; ring_mem_breaks && i < mem->count; i++)
		free(mem->runs[i].at);
	free(mem->ctl);
}

static inline int ring_mem_tx(struct ring_mem *mem, struct vmbus_tx *tx)
{
	if (ring_mem_breaks)
		return vmbus_tx_init_runs(tx, mem->ctl, mem->runs, mem->count);
	return vmbus_tx_init(tx, mem->ctl, mem->bytes);
}

static inline int ring_mem_rx(struct ring_mem *mem, struct vmbus_rx *rx)
{
	if (ring_mem_breaks)
		return vmbus_rx_init_runs(rx, mem->ctl, mem->runs, mem->count);
	return vmbus_rx_init(rx, mem->ctl, mem->bytes);
}

/* The byte at a ring offset, which may be past the end. */
static inline uint8_t *ring_mem_at(const struct ring_mem *mem, uint32_t at)
{
	uint32_t i;

	at %= mem->size;
	for (i = 0; at >= mem->runs[i].bytes; i++)
		at -= mem->runs[i].bytes;
	return mem->runs[i].at + at;
}

static inline uint8_t ring_mem_byte(const struct ring_mem *mem, uint32_t at)
{
	return *ring_mem_at(mem, at);
}

static inline void ring_mem_put(struct ring_mem *mem, uint32_t at, const void *src, uint32_t len)
{
	const uint8_t *bytes = src;
	uint32_t i;

	for (i = 0; i < len; i++)
		*ring_mem_at(mem, at + i) = bytes[i];
}

static inline void ring_mem_fill(struct ring_mem *mem, uint8_t byte)
{
	for (uint32_t i = 0; i < mem->count; i++)
		memset(mem->runs[i].at, byte, mem->runs[i].bytes);
}

#endif
