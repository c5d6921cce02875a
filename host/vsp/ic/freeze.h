/* SPDX-License-Identifier: MIT */
/*
 * Freezing the guest's file systems, for a snapshot of its disks.
 *
 * A guest thaws nothing by itself. So once a freeze was asked for, thaws are sent until the guest
 * has done one: when the caller asks, when the time is up, when the freeze failed (it may still
 * take place later), when its daemon was restarted.
 *
 *   idle --ic_freeze()--> asking --possible--> freezing --done--> frozen
 *     ^                     |                     |                 | ic_thaw(), time is up
 *     |<------- no ---------'            failed   v                 v
 *     |<--completing <------- done ------------ thawing <-----------'
 *     |                                          |  ^ IC_FREEZE_RETRY_NS
 *     `<--- ic_freeze_guest_gone() (any state)   failed
 *
 * Thread: control.
 */
#ifndef IC_FREEZE_H
#define IC_FREEZE_H

#include "vsp/ic/ic.h"

#define IC_FREEZE_RETRY_NS 1000000000ull

enum ic_freeze_state {
	IC_FREEZE_IDLE,
	IC_FREEZE_ASKING,
	IC_FREEZE_FREEZING,
	IC_FREEZE_FROZEN,
	IC_FREEZE_THAWING,
	IC_FREEZE_COMPLETING,
};

struct ic_freeze {
	struct loop *control;
	struct vsp_device **dev; /* *dev: NULL while there is no guest, or no such service */
	enum ic_freeze_state state;
	uint64_t limit_ns;
	uint64_t began_ns;
	bool late; /* the last freeze ended because its time was up */
	struct ic_request request;
	struct ic_vss body;
	struct loop_timer timer;
	struct ic_freeze_waiter {
		void (*done)(void *ctx, const struct err *e); /* NULL: none waits */
		void *ctx;
	} freezer, thawer;
};

void ic_freeze_init(struct ic_freeze *f, struct loop *control, struct vsp_device **dev);

/* done(ctx, e), possibly before this returns: e NULL: everything is frozen, for limit_ns at most;
 * else why not, after limit_ns at most. */
void ic_freeze(struct ic_freeze *f, uint64_t limit_ns, void (*done)(void *ctx, const struct err *e),
	void *ctx);
/* e NULL: it was frozen up to now, and runs again. Else: it was not, or did not thaw at once. */
void ic_thaw(struct ic_freeze *f, void (*done)(void *ctx, const struct err *e), void *ctx);

/* The guest was reset or ended: it is not frozen any more. All its channels are closed. */
void ic_freeze_guest_gone(struct ic_freeze *f);

const char *ic_freeze_state_name(const struct ic_freeze *f);

#endif
