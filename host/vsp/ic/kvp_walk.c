/* SPDX-License-Identifier: MIT */
#include "vsp/ic/kvp_walk.h"

#include <errno.h>

static void ask(struct ic_kvp_walk *w);

static void next_pool(struct ic_kvp_walk *w)
{
	w->index = 0;
	if (w->pool == w->last) {
		w->done(w, NULL);
		return;
	}
	w->pool++;
	ask(w);
}

/* An item whose lengths are wrong is left out. */
static void take(struct ic_kvp_walk *w)
{
	struct ic_kvp_item item;

	if (ic_kvp_item(&w->ask, &item) && !w->take(w, &item))
		w->done(w, NULL);
	else if (++w->index < IC_KVP_ITEMS_MAX)
		ask(w);
	else
		next_pool(w);
}

static void answered(struct ic_request *r)
{
	struct ic_kvp_walk *w = container_of(r, struct ic_kvp_walk, ask.request);
	struct err e;

	if (!r->error && r->status == IC_STATUS_NO_MORE_ITEMS) {
		next_pool(w);
	} else if (ic_request_error(&ic_kvp, r, w->what, &e)) {
		w->done(w, &e);
	} else if (loop_now_ns() > w->end_ns) {
		err_set(&e, -ETIMEDOUT, "%s: the guest takes too long", w->what);
		w->done(w, &e);
	} else {
		take(w);
	}
}

static void ask(struct ic_kvp_walk *w)
{
	ic_kvp_fill_enumerate(&w->ask, w->pool, w->index);
	w->ask.request.timeout_ns = IC_KVP_REQUEST_NS;
	w->ask.request.done = answered;
	ic_request_start(*w->dev, &w->ask.request);
}

void ic_kvp_walk_start(struct ic_kvp_walk *w)
{
	w->end_ns = loop_now_ns() + (w->limit_ns ? w->limit_ns : IC_KVP_WALK_NS);
	w->index = 0;
	ask(w);
}
