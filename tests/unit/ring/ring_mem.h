/* SPDX-License-Identifier: MIT */
/* One ring in memory of its own, of exactly its size (the sanitizer reports an access behind it).
 */
#ifndef RING_MEM_H
#define RING_MEM_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ring/vmbus_ring.h"

struct ring_mem {
	struct vmbus_ring_ctl *ctl;
	uint8_t *data;
	uint32_t bytes; /* with the control page */
	uint32_t size;  /* D */
};

static inline void ring_mem_init(struct ring_mem *mem, uint32_t data_pages)
{
	mem->bytes = (data_pages + 1) * HV_PAGE_SIZE;
	mem->size = data_pages * HV_PAGE_SIZE;
	mem->ctl = aligned_alloc(HV_PAGE_SIZE, mem->bytes);
	if (!mem->ctl)
		abort();
	memset(mem->ctl, 0, mem->bytes);
	mem->data = (uint8_t *)mem->ctl + HV_PAGE_SIZE;
}

static inline void ring_mem_fini(struct ring_mem *mem)
{
	free(mem->ctl);
}

/* Byte at ring offset `at`, which may be past the end by less than a ring. */
static inline uint8_t ring_mem_byte(const struct ring_mem *mem, uint32_t at)
{
	return mem->data[at % mem->size];
}

static inline void ring_mem_put(struct ring_mem *mem, uint32_t at, const void *src, uint32_t len)
{
	const uint8_t *bytes = src;
	uint32_t i;

	for (i = 0; i < len; i++)
		mem->data[(at + i) % mem->size] = bytes[i];
}

#endif
