/* SPDX-License-Identifier: MIT */
#include "vsp/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define ALIGNMENT 16u /* what calloc gives */

int pool_init(struct pool *pool, size_t size, uint32_t count)
{
	*pool = (struct pool){.stride = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1)};
	if (!size || !count)
		return 0;
	pool->memory = calloc(count, pool->stride);
	pool->slots = calloc(count, sizeof(*pool->slots));
	if (!pool->memory || !pool->slots) {
		pool_fini(pool);
		return -ENOMEM;
	}
	pool->count = count;
	for (uint32_t i = 0; i < count; i++)
		pool->slots[i].next_free = i + 1;
	return 0;
}

void pool_fini(struct pool *pool)
{
	assert(!pool->used);
	free(pool->slots);
	free(pool->memory);
}

void *pool_get(struct pool *pool)
{
	uint32_t i = pool->first_free;

	if (pool->used == pool->count)
		return NULL;
	pool->first_free = pool->slots[i].next_free;
	pool->slots[i].used = true;
	pool->used++;
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
	pool->used--;
}
