/* SPDX-License-Identifier: MIT */
/*
 * Resets of LUNs, over all channels of a controller. A reset makes each channel,
 * on its own I/O thread, abort the commands it has in flight for these LUNs, and
 * is done when all of them are complete. A disk may never complete a request, but
 * a guest does not wait for ever: RESET_NS after its start a reset is done
 * anyway. A command that completes after that does so as usual: its pages are in
 * use until then.
 *
 *   RUNNING --no command of its LUNs is pending--> POSTED --task--> done(complete)
 *           --RESET_NS--> done(!complete)
 *           --reset_cancel()--> gone, nothing is called
 *
 * Any thread, except where noted. The lock is a leaf, and taken for resets and
 * aborted commands only.
 */
#ifndef STORVSP_RESET_H
#define STORVSP_RESET_H

#include <pthread.h>

#include "base/list.h"
#include "base/loop.h"
#include "scsi/scsi.h"

/* Linux fails a reset after 5 s. */
#define RESET_NS 3000000000ull

/* One per controller. */
struct reset_tracker {
	pthread_mutex_t lock;
	struct list members;
	struct list running;
	uint32_t pending[SCSI_LUNS_MAX]; /* members that have not cancelled, aborted commands */
	uint64_t busy;                   /* bit n: pending[n] is not 0 */
};

/* A channel. Callbacks are on its loop. */
struct reset_member {
	struct reset_tracker *tracker;
	struct loop *loop;
	/* Cancels commands: reset_command_aborted() for each, reset_command_done() when it is
	 * complete, which is not inside of this. */
	void (*cancel)(struct reset_member *member, uint64_t luns);
	/* After cancel(): the member may leave. */
	void (*cancelled)(struct reset_member *member);
	/* under lock */
	struct list link;
	uint64_t luns; /* of the next cancel() */
	bool posted;
	struct loop_task task;
};

struct reset {
	struct reset_tracker *tracker;
	struct loop *loop;
	uint64_t luns;
	void (*done)(struct reset *reset, bool complete); /* on loop; once */
	struct list link;                                 /* under lock: in tracker->running */
	struct loop_task task;
	struct loop_timer timer;
};

void reset_tracker_init(struct reset_tracker *tracker);
void reset_tracker_fini(struct reset_tracker *tracker);

/* ON_LOOP of the member. loop, cancel and cancelled are set. */
void reset_join(struct reset_tracker *tracker, struct reset_member *member);
/* ON_LOOP of the member. True: it is unused. False: cancelled() is posted, leave then. */
bool reset_leave(struct reset_member *member);

/* ON_LOOP of the reset; loop, luns and done are set. done is not called before this returns. */
void reset_start(struct reset_tracker *tracker, struct reset *reset);
/* ON_LOOP of the reset, not done yet. True: done will not be called. */
bool reset_cancel(struct reset *reset);

void reset_command_aborted(struct reset_tracker *tracker, uint32_t lun);
void reset_command_done(struct reset_tracker *tracker, uint32_t lun);

#endif
