/* SPDX-License-Identifier: MIT */
/*
 * Pauses and resumes a device at random on the control thread while the test's
 * guest works on it. Between paused() and the resume the device must do nothing:
 * `activity` is a counter that would show it.
 */
#ifndef SUPPORT_GUEST_PAUSER_H
#define SUPPORT_GUEST_PAUSER_H

#include <stdatomic.h>

#include "tests/support/guest.h"

struct guest_pauser {
	/* the caller's */
	struct guest *g;
	struct vsp_device *dev;
	uint64_t pause_max_ns, run_max_ns;
	uint64_t (*activity)(void *ctx); /* any thread; NULL: not checked */
	void *ctx;
	/* control thread */
	struct loop_timer timer;
	uint32_t random;
	uint64_t activity_then;
	bool is_paused;
	/* any thread */
	_Atomic bool stop, stopped;
	_Atomic uint32_t cycles; /* resumed */
	_Atomic uint32_t paused; /* of these, after paused() */
};

void guest_pauser_start(struct guest_pauser *p);
/* Returns when the device runs again. */
void guest_pauser_stop(struct guest_pauser *p);

/* One pause, waited for; and its end. */
void guest_pause(struct guest *g, struct vsp_device *dev);
void guest_resume(struct guest *g, struct vsp_device *dev);
/* The one of them that is due; *paused follows. */
void guest_pause_or_resume(struct guest *g, struct vsp_device *dev, bool *paused);

#endif
