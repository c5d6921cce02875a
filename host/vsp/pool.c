/* SPDX-License-Identifier: MIT */
#include "vsp/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/counter.h"

#define ALIGNMENT 16u

int pool_init(struct pool *pool, size_t size, uint32_t count)
{
	*pool = (struct pool){.stride = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)};
	if (!size || !count)
		return 0;
	pool->slots = calloc(count, sizeof(*pool->slots));
	if (!pool->slots)
		return -ENOMEM;
	pool->mapped = count * pool->stride;
	pool->memory = mmap(NULL, pool->mapped, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED) {
		free(pool->slots);
		return -ENOMEM;
	}
	pool->count = count;
	return 0;
}

void pool_fini(struct pool *pool)
{
	assert(!pool->used);
	free(pool->slots);
	if (pool->mapped)
		munmap(pool->memory, pool->mapped);
}

void *pool_get(struct pool *pool)
{
	uint32_t i = pool->first_free;

	if (pool->used == pool->count)
		return NULL;
	if (pool->used < pool->fresh)
		pool->first_free = pool->slots[i].next_free;
	else
		i = pool->fresh++;
	pool->slots[i].used = true;
	counter_add(&pool->used, 1);
	return pool->memory + i * pool->stride;
}

void pool_put(struct pool *pool, void *request)
{
	size_t offset = (size_t)((uint8_t *)request - pool->memory);
	size_t i;

	assert(pool->count);
	i = offset / pool->stride;
	assert(offset % pool->stride == 0 && i < pool->count && pool->slots[i].used);
	pool->slots[i] = (struct pool_slot){.next_free = pool->first_free};
	pool->first_free = (uint32_t)i;
	counter_add(&pool->used, -1);
}
