/* SPDX-License-Identifier: MIT */
/*
 * Requests of one size. Address space is reserved for all of them at once, so that a
 * request never moves; memory is taken from the VM's budget in chunks, each as large
 * as all before it, when requests are in use that were not before. So a pool that has
 * grown allocates nothing, and one that cannot grow has POOL_FIRST requests at least.
 * Its memory is given back when it ends. The request used last is used next.
 * Thread: its owner's; init and fini may be on another.
 */
#ifndef VSP_POOL_H
#define VSP_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/budget.h"

#define POOL_FIRST 4u

struct pool_slot {
	uint32_t next_free;
	bool used;
};

struct pool {
	uint8_t *memory;
	size_t mapped;           /* bytes of it */
	struct pool_slot *slots; /* a slot's index is its request's */
	size_t stride;
	struct budget *budget;
	uint32_t count;
	uint32_t used;       /* readable on any thread with counter_get() */
	uint32_t fresh;      /* slots from here on were never used */
	uint32_t paid;       /* those from here on are not taken from the budget yet */
	uint32_t first_free; /* of those before; valid when used < fresh */
};

/* size 0 or count 0: a pool that is always empty. budget: NULL: no limit. 0; -ENOMEM, also when the
 * budget has no room for the first requests. Requests are zeroed and 16-byte aligned. */
int pool_init(struct pool *pool, size_t size, uint32_t count, struct budget *budget);
void pool_fini(struct pool *pool);

/* Contents as last left; NULL when all are in use, or the budget has no room for more: then at
 * least min(count, POOL_FIRST) are in use. */
void *pool_get(struct pool *pool);
/* Asserts that it is a request of this pool and in use: none is completed twice. */
void pool_put(struct pool *pool, void *request);
/* Whether it is a request of this pool. Any thread. */
static inline bool pool_owns(const struct pool *pool, const void *request)
{
	return (uintptr_t)request - (uintptr_t)pool->memory < pool->mapped;
}

#endif
