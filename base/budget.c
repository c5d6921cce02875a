/* SPDX-License-Identifier: MIT */
#include "base/budget.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/inspect.h"

#define PARTS 64u

static const struct {
	const char *name;
	uint32_t share; /* of PARTS */
} users[BUDGET_USERS] = {
	[BUDGET_CHANNELS] = {"channels", 6},
	[BUDGET_REQUESTS] = {"requests", 8},
	[BUDGET_BOUNCES] = {"bounces", 4}, /* of BUDGET_MIN: one of the longest transfers */
	[BUDGET_MESSAGES] = {"messages", 2},
	[BUDGET_GPADLS] = {"gpadls", 4},
};

void budget_init(struct budget *b, uint64_t limit)
{
	assert(limit >= BUDGET_MIN);
	memset(b, 0, sizeof(*b));
	b->limit = b->common_limit = limit;
	for (uint32_t i = 0; i < BUDGET_USERS; i++) {
		b->accounts[i].share = limit / PARTS * users[i].share;
		b->common_limit -= b->accounts[i].share;
	}
}

static uint64_t beyond(uint64_t used, uint64_t share)
{
	return used > share ? used - share : 0;
}

static void raise_peak(struct budget *b, uint64_t used)
{
	uint64_t peak = atomic_load_explicit(&b->peak, memory_order_relaxed);

	while (used > peak && !atomic_compare_exchange_weak(&b->peak, &peak, used))
		;
}

/* Adds only what fits: who does not fit refuses no other. */
static bool common_take(struct budget *b, uint64_t bytes)
{
	uint64_t used = atomic_load(&b->common);

	do
		if (bytes > b->common_limit - used)
			return false;
	while (!atomic_compare_exchange_weak(&b->common, &used, used + bytes));
	return true;
}

/* From the common part first, and account_give() to it last: whatever threads do, it has at least
 * what the accounts use beyond their shares. */
static bool account_take(struct budget *b, struct budget_account *a, uint64_t bytes)
{
	uint64_t before = atomic_load(&a->used), common;

	for (;;) {
		common = beyond(before + bytes, a->share) - beyond(before, a->share);
		if (common && !common_take(b, common))
			return false;
		if (atomic_compare_exchange_weak(&a->used, &before, before + bytes))
			return true;
		atomic_fetch_sub(&b->common, common);
	}
}

static void account_give(struct budget *b, struct budget_account *a, uint64_t bytes)
{
	uint64_t before = atomic_fetch_sub(&a->used, bytes), common;

	assert(before >= bytes);
	common = beyond(before, a->share) - beyond(before - bytes, a->share);
	if (common)
		atomic_fetch_sub(&b->common, common);
}

bool budget_take(struct budget *b, enum budget_user user, uint64_t bytes)
{
	struct budget_account *a;

	if (!b)
		return true;
	a = &b->accounts[user];
	/* More than the limit is no use of any part, and sums cannot overflow. */
	if (bytes > b->limit || !account_take(b, a, bytes)) {
		atomic_fetch_add_explicit(&a->refusals, 1, memory_order_relaxed);
		return false;
	}
	raise_peak(b, atomic_fetch_add(&b->used, bytes) + bytes);
	return true;
}

void budget_give(struct budget *b, enum budget_user user, uint64_t bytes)
{
	if (!b)
		return;
	atomic_fetch_sub(&b->used, bytes);
	account_give(b, &b->accounts[user], bytes);
}

uint64_t budget_used(const struct budget *b)
{
	return atomic_load_explicit(&b->used, memory_order_relaxed);
}

uint64_t budget_peak(const struct budget *b)
{
	return atomic_load_explicit(&b->peak, memory_order_relaxed);
}

uint64_t budget_refusals(const struct budget *b, enum budget_user user)
{
	return atomic_load_explicit(&b->accounts[user].refusals, memory_order_relaxed);
}

static void account_inspect(const struct budget *b, enum budget_user user, struct inspect *i)
{
	const struct budget_account *a = &b->accounts[user];

	inspect_begin(i, NULL);
	inspect_text(i, "user", users[user].name);
	inspect_u64(i, "share", a->share);
	inspect_u64(i, "used", atomic_load_explicit(&a->used, memory_order_relaxed));
	inspect_u64(i, "refusals", budget_refusals(b, user));
	inspect_end(i);
}

void budget_inspect(const struct budget *b, struct inspect *i)
{
	inspect_u64(i, "limit", b->limit);
	inspect_u64(i, "used", budget_used(b));
	inspect_u64(i, "peak", budget_peak(b));
	inspect_begin_array(i, "users");
	for (enum budget_user user = 0; user < BUDGET_USERS; user++)
		account_inspect(b, user, i);
	inspect_end(i);
}
