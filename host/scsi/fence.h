/* SPDX-License-Identifier: MIT */
/*
 * The fence of a unit: lets COMPARE AND WRITE run while no write runs.
 *
 * Writes come from all channels of a disk, on all I/O threads, without a lock, and
 * stay so: a write only counts itself in and out, on a cache line that (nearly
 * always) only its own I/O thread writes, and looks at a flag that does not change.
 * A COMPARE AND WRITE closes the fence. From then on whoever wants to write is
 * parked, first come first served; when the writes that were inside are done it
 * runs alone; then the fence lets in who is parked, and opens when nobody is.
 *
 *   OPEN --exclusive enters--> CLOSED --nobody inside--> EXCLUSIVE RUNS
 *     ^--nobody parked--.         ^--exclusive parked--'    | leaves
 *                        `---- parked are let in <----------'
 *
 * Nobody waits on a thread: enter() says "not now", and resume() is called on the
 * waiter's own loop. Non-overlapping writes wait too: COMPARE AND WRITE is rare and
 * small, and a fence that knew extents could be kept closed by others for ever.
 *
 * Why no write slips through: a write counts itself in, then looks at the flag;
 * the closer sets the flag, then looks at the counts; all sequentially
 * consistent, so one of them sees the other. Leaving is the same: count out, then
 * look whether somebody waits for that.
 *
 * Any thread. The lock is a leaf, held for a few instructions, only while closed.
 */
#ifndef STORVSP_SCSI_FENCE_H
#define STORVSP_SCSI_FENCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

#define SCSI_FENCE_SHARDS 8u

/* One write, or one exclusive; embedded in its owner. */
struct scsi_fence_pass {
	void (*resume)(struct scsi_fence_pass *pass); /* on loop, when enter() has said no */
	struct loop *loop;
	bool exclusive;
	/* private */
	struct list link;
	struct loop_task task;
};

struct scsi_fence {
	/* read by every write, changed only for exclusives */
	_Atomic bool closed __attribute__((aligned(64)));
	/* under lock */
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct list parked;
	struct scsi_fence_pass *running; /* the exclusive that is inside */
	/* writes inside; a loop always uses the same shard */
	struct scsi_fence_shard {
		_Atomic uint64_t inside;
	} __attribute__((aligned(64))) shards[SCSI_FENCE_SHARDS];
};

/* NULL: out of memory. */
struct scsi_fence *scsi_fence_create(void);
/* Nobody is inside or parked. */
void scsi_fence_destroy(struct scsi_fence *fence);

/* True: go on, and leave later. False: resume() will be called; that means true. */
bool scsi_fence_enter(struct scsi_fence *fence, struct scsi_fence_pass *pass);
void scsi_fence_leave(struct scsi_fence *fence, struct scsi_fence_pass *pass);

/* On pass->loop, after enter() has said no and before resume(). A pass that is parked is taken out:
 * instead of resume(), `gone` is called on the loop, and the pass is not inside. Else nothing
 * changes. */
void scsi_fence_withdraw(struct scsi_fence *fence, struct scsi_fence_pass *pass,
	void (*gone)(struct scsi_fence_pass *pass));

#endif
