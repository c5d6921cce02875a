/* SPDX-License-Identifier: MIT */
/*
 * All pairs of a guest: one pool after the other, one pair after the other. A guest can have any
 * number of them, and take its time for each: of a pool IC_KVP_ITEMS_MAX are asked for, and all of
 * it ends with the limit.
 *
 *   asking --a pair--> asking the next --...--> the next pool --...--> done()
 *
 * Thread: control.
 */
#ifndef IC_KVP_WALK_H
#define IC_KVP_WALK_H

#include "vsp/ic/kvp.h"

#define IC_KVP_WALK_NS 60000000000ull /* less than a client of the control socket waits */

struct ic_kvp_walk {
	/* the caller's */
	struct vsp_device **dev; /* *dev NULL: there is no guest */
	const char *what;        /* for errors */
	enum ic_kvp_pool pool, last;
	uint64_t limit_ns; /* 0: IC_KVP_WALK_NS */
	/* True: go on. */
	bool (*take)(struct ic_kvp_walk *w, const struct ic_kvp_item *item);
	/* Once, possibly before ic_kvp_walk_start() returns. e NULL: take() has had all, or wanted
	 * no more. */
	void (*done)(struct ic_kvp_walk *w, const struct err *e);
	/* its own; pool: the one of the item */
	uint64_t end_ns;
	uint32_t index;
	struct ic_kvp_request ask;
};

void ic_kvp_walk_start(struct ic_kvp_walk *w);

#endif
