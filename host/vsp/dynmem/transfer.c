/* SPDX-License-Identifier: MIT */
/*
 * Pages that the guest hands over. A message is used as a whole: when one of its ranges is wrong,
 * nothing of it is. The pages are out from then on; a helper thread gives them to the host's
 * kernel, which may take long.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/dynmem/dynmem_impl.h"

#define SHORTFALLS_MAX 5u

static const struct gmem *gmem_of(const struct dynmem_channel *c)
{
	return vsp_device_gmem(vsp_channel_device(c->ch));
}

/* ---- release ------------------------------------------------------------- */

static void release_run(struct blocking_call *call)
{
	struct dynmem_release *r = container_of(call, struct dynmem_release, call);
	const struct gmem *g = vsp_device_gmem(vsp_channel_device(r->ch));

	for (uint32_t i = 0; i < r->count; i++) {
		int ret = gmem_pages_release(g, &r->runs[i]);

		if (ret)
			r->error = ret;
	}
}

/* A guest that has no more to give logs that each time it is asked: that is done ever less often.
 */
static void gave_too_little(struct dynmem_channel *c)
{
	c->take_after_ns = loop_now_ns() + (dynmem_retry_ns(c) << c->shortfalls);
	if (c->shortfalls < SHORTFALLS_MAX)
		c->shortfalls++;
}

/* All that the guest gives for this request is released. */
static void check_taken(struct dynmem_channel *c)
{
	if (c->state != DYNMEM_TAKING || !c->last || c->releasing)
		return;
	if (c->answered < c->asked)
		gave_too_little(c);
	else
		c->shortfalls = 0;
	dynmem_done(c);
}

static void released(struct dynmem_channel *c, struct dynmem_release *r)
{
	if (r->error) {
		counter_add(&c->release_errors, 1);
		log_event(LOG_WARN, "dynamic memory: the host did not take all pages: %s",
			strerror(-r->error));
	}
	c->releasing--;
	vsp_request_put(c->ch, r);
	check_taken(c);
}

static void release_done(struct blocking_call *call)
{
	struct dynmem_release *r = container_of(call, struct dynmem_release, call);

	released(vsp_channel_priv(r->ch), r);
}

/* Once it is started, *r is the helper's. */
static void release_start(struct dynmem_channel *c, struct dynmem_release *r)
{
	int ret;

	r->ch = c->ch;
	r->error = 0;
	r->call = (struct blocking_call){.run = release_run, .done = release_done};
	c->releasing++;
	ret = blocking_start(&r->call, vsp_channel_loop(c->ch));
	if (!ret)
		return;
	r->error = ret;
	released(c, r); /* the pages are out all the same */
}

/* ---- ranges -------------------------------------------------------------- */

static struct gmem_run run_of(uint64_t range)
{
	return (struct gmem_run){
		(range & DM_RANGE_PFN_MASK) << DM_PAGE_SHIFT, range >> DM_RANGE_COUNT_SHIFT};
}

/* False: more pages than were asked for. */
static bool decode(
	struct dynmem_channel *c, struct dynmem_release *r, const uint64_t *ranges, uint64_t *pages)
{
	*pages = 0;
	for (uint32_t i = 0; i < r->count; i++) {
		r->runs[i] = run_of(ranges[i]);
		*pages += r->runs[i].pages;
	}
	return *pages <= c->asked - c->answered;
}

/* All of them or none. */
static int take_all(struct dynmem_channel *c, const struct dynmem_release *r)
{
	uint64_t held = 0;

	for (uint32_t i = 0; i < r->count; i++) {
		int ret = gmem_pages_take(gmem_of(c), &r->runs[i], &held);

		if (!ret)
			continue;
		while (i)
			gmem_pages_give(gmem_of(c), &r->runs[--i]);
		return ret;
	}
	counter_add(&c->held, held);
	return 0;
}

static int take_pages(struct dynmem_channel *c, struct dynmem_release *r, const uint64_t *ranges)
{
	uint64_t pages;

	if (!decode(c, r, ranges, &pages) || take_all(c, r)) {
		log_guest("dynamic memory: the guest gave pages that are not its own");
		vsp_request_put(c->ch, r);
		return -EPROTO;
	}
	c->answered += pages;
	counter_add(&c->taken, pages);
	release_start(c, r);
	return 0;
}

int dynmem_take_ranges(struct dynmem_channel *c, const uint64_t *ranges, uint32_t count, bool last)
{
	struct dynmem_release *r;
	int ret = 0;

	if (c->last)
		return -EPROTO;
	if (count) {
		r = vsp_request_get(c->ch, DYNMEM_RELEASE);
		if (!r)
			return -EAGAIN;
		r->count = count;
		ret = take_pages(c, r, ranges);
	}
	if (ret)
		return ret;
	c->last = last;
	check_taken(c);
	return 0;
}

/* ---- memory to add ------------------------------------------------------- */

static void map_run(struct blocking_call *call)
{
	struct dynmem_map *m = container_of(call, struct dynmem_map, call);
	struct dynmem_device *d = vsp_device_priv(vsp_channel_device(m->ch));

	m->error = d->config.add(d->config.ctx, m->size);
}

static void mapped(struct dynmem_channel *c, struct dynmem_map *m)
{
	uint64_t bytes = m->size - dynmem_device_of(c)->accepted;
	int error = m->error;

	vsp_request_put(c->ch, m);
	dynmem_add_request(c, error, bytes);
}

static void map_done(struct blocking_call *call)
{
	struct dynmem_map *m = container_of(call, struct dynmem_map, call);

	mapped(vsp_channel_priv(m->ch), m);
}

/* One at a time, as the state says: there is a request. */
void dynmem_map(struct dynmem_channel *c, uint64_t bytes)
{
	struct dynmem_map *m = vsp_request_get(c->ch, DYNMEM_MAP);
	int ret;

	assert(m);
	m->ch = c->ch;
	m->size = dynmem_device_of(c)->accepted + bytes;
	m->call = (struct blocking_call){.run = map_run, .done = map_done};
	ret = blocking_start(&m->call, vsp_channel_loop(c->ch));
	if (!ret)
		return;
	m->error = ret;
	mapped(c, m);
}

/* ---- what a guest leaves ------------------------------------------------- */

static void tidy_run(struct blocking_call *call)
{
	struct dynmem_tidy *t = container_of(call, struct dynmem_tidy, call);
	const struct gmem *g = vsp_device_gmem(vsp_channel_device(t->ch));
	const struct gmem_run added = {g->added_start, g->added_size / GMEM_PAGE_SIZE};

	if (t->clear)
		gmem_pages_discard(g, &added); /* what it cannot give stays: no harm */
	gmem_pages_settle(g);
}

static void tidied(struct dynmem_channel *c, struct dynmem_tidy *t)
{
	c->tidying = c->clear = false;
	vsp_request_put(c->ch, t);
}

static void tidy_done(struct blocking_call *call)
{
	struct dynmem_tidy *t = container_of(call, struct dynmem_tidy, call);
	struct dynmem_channel *c = vsp_channel_priv(t->ch);

	tidied(c, t);
	dynmem_step(c);
}

void dynmem_tidy(struct dynmem_channel *c)
{
	struct dynmem_tidy *t;

	if (c->tidying || (!c->clear && !gmem_pages_unsettled(gmem_of(c))))
		return;
	t = vsp_request_get(c->ch, DYNMEM_TIDY);
	if (!t)
		return;
	t->ch = c->ch;
	t->clear = c->clear;
	t->call = (struct blocking_call){.run = tidy_run, .done = tidy_done};
	c->tidying = true;
	if (blocking_start(&t->call, vsp_channel_loop(c->ch)))
		tidied(c, t); /* it is tried again when there is something to do */
}
