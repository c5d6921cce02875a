/* SPDX-License-Identifier: MIT */
#include "vsp/dynmem/policy.h"
#include "base/gmem.h"

/* Linux waits that long for each block of memory to come online; no block is smaller. */
#define ONLINE_WAIT_NS 5000000000ull
#define BLOCK          (128ull << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t minus(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

static uint64_t clamp(const struct dynmem_view *v, uint64_t bytes)
{
	if (bytes < v->min)
		return v->min;
	return least(bytes, v->max);
}

uint64_t dynmem_granted(const struct dynmem_view *v)
{
	return minus(v->ram, v->out);
}

/* Beyond what any guest has: so the sums below do not overflow. */
#define SANE_MAX (1ull << 50)

static uint64_t automatic(const struct dynmem_view *v)
{
	uint64_t granted = dynmem_granted(v), slack = granted / 16;
	uint64_t need = minus(least(v->committed, SANE_MAX), v->out + v->offline);
	uint64_t target = round_up(need + need / 100 * v->buffer, DYNMEM_UNIT);

	if (!v->reported)
		return granted;
	if (slack < DYNMEM_SLACK)
		slack = DYNMEM_SLACK;
	return target < granted && granted - target < slack ? granted : target;
}

uint64_t dynmem_target(const struct dynmem_view *v)
{
	return clamp(v, v->wanted ? v->wanted : automatic(v)) / GMEM_PAGE_SIZE * GMEM_PAGE_SIZE;
}

/* Never beyond max: what does not fit any more is not added. */
static uint64_t to_add(const struct dynmem_view *v, uint64_t missing)
{
	uint64_t most = minus(v->max, v->ram), bytes = DYNMEM_STEP;

	if (!v->alignment)
		return 0;
	bytes = round_up(least(missing, DYNMEM_STEP), v->alignment);
	return bytes <= most ? bytes : most / v->alignment * v->alignment;
}

enum dynmem_action dynmem_next(const struct dynmem_view *v, uint64_t *bytes)
{
	uint64_t granted = dynmem_granted(v), target = dynmem_target(v);

	*bytes = least(minus(granted, target), DYNMEM_STEP) / DYNMEM_UNIT * DYNMEM_UNIT;
	if (*bytes)
		return v->can_take ? DYNMEM_TAKE : DYNMEM_NOTHING;
	*bytes = least(minus(target, granted), v->out);
	if (*bytes)
		return DYNMEM_GIVE;
	if (granted < target)
		*bytes = to_add(v, target - granted);
	return *bytes ? DYNMEM_ADD : DYNMEM_NOTHING;
}

bool dynmem_is_offline(const struct dynmem_added *a, uint64_t available, uint64_t committed)
{
	return a->took_ns >= a->bytes / BLOCK * ONLINE_WAIT_NS &&
	       committed >= a->committed + a->bytes / 16 * 15 &&
	       available < a->available + a->bytes / 2;
}
