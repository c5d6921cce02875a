/* SPDX-License-Identifier: MIT */
#include "vsp/pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/counter.h"

#define ALIGNMENT 16u

static uint32_t smaller(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- the budget ---------------------------------------------------------- */

static uint64_t cost(const struct pool *pool, uint32_t requests)
{
	return requests * (uint64_t)(pool->stride + sizeof(*pool->slots));
}

static bool pay(struct pool *pool, uint32_t requests)
{
	if (!budget_take(pool->budget, BUDGET_REQUESTS, cost(pool, requests)))
		return false;
	pool->paid += requests;
	return true;
}

static bool grow(struct pool *pool)
{
	uint32_t left = pool->count - pool->paid;

	return pay(pool, smaller(left, pool->paid)) || pay(pool, smaller(left, POOL_FIRST));
}

/* ---- life ---------------------------------------------------------------- */

static int reserve(struct pool *pool, uint32_t count)
{
	pool->mapped = count * pool->stride;
	pool->memory = mmap(NULL, pool->mapped, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (pool->memory == MAP_FAILED)
		return -ENOMEM;
	pool->slots = calloc(count, sizeof(*pool->slots));
	if (pool->slots)
		return 0;
	munmap(pool->memory, pool->mapped);
	return -ENOMEM;
}

int pool_init(struct pool *pool, size_t size, uint32_t count, struct budget *budget)
{
	int ret;

	*pool = (struct pool){
		.stride = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1),
		.budget = budget,
	};
	if (!size || !count)
		return 0;
	if (!pay(pool, smaller(count, POOL_FIRST)))
		return -ENOMEM;
	ret = reserve(pool, count);
	if (ret) {
		budget_give(budget, BUDGET_REQUESTS, cost(pool, pool->paid));
		*pool = (struct pool){0};
		return ret;
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
	budget_give(pool->budget, BUDGET_REQUESTS, cost(pool, pool->paid));
}

/* ---- requests ------------------------------------------------------------ */

void *pool_get(struct pool *pool)
{
	uint32_t i = pool->first_free;

	if (pool->used == pool->count)
		return NULL;
	if (pool->used < pool->fresh)
		pool->first_free = pool->slots[i].next_free;
	else if (pool->fresh < pool->paid || grow(pool))
		i = pool->fresh++;
	else
		return NULL;
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
