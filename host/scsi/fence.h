/* SPDX-License-Identifier: MIT */
/*
 * The fence of a unit: lets COMPARE AND WRITE and ORWRITE run while no write runs, and
 * a MODE SELECT that ends caching or writing.
 *
 * Writes come from all channels of a disk, on all I/O threads, without a lock: a
 * write increments and decrements a counter, on a cache line that usually only its
 * own I/O thread writes, and reads a flag that rarely changes. An exclusive command
 * closes the fence. From then on new commands wait, in order of arrival. When the
 * writes inside are complete, the exclusive command runs alone; then the waiting
 * commands are admitted, and the fence opens when none is left.
 *
 *   OPEN --exclusive enters--> CLOSED --idle--> EXCLUSIVE RUNS
 *     ^--none waits--.            ^--exclusive waits--'   | leaves
 *                     `---- waiting commands enter <------'
 *
 * No thread blocks: enter() returns false, and resume() is called later on the
 * ticket's loop. Writes of other blocks wait, too: exclusive commands are rare and
 * small, and a fence by extents could be kept closed for ever.
 *
 * No write passes a closed fence: a write increments its counter, then reads the
 * flag; an exclusive sets the flag, then reads the counters; all sequentially
 * consistent, so one of them sees the other. Leaving likewise: decrement, then
 * check for a waiting command.
 *
 * Thread: any. The lock is a leaf, held for a few instructions, only while closed.
 */
#ifndef HOST_SCSI_FENCE_H
#define HOST_SCSI_FENCE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

#define SCSI_FENCE_SHARDS 8u

/* One command; embedded in its owner. */
struct scsi_fence_ticket {
	void (*resume)(
		struct scsi_fence_ticket *ticket); /* on loop, after enter() returned false */
	struct loop *loop;
	bool exclusive;
	/* private */
	struct list link;
	struct loop_task task;
};

struct scsi_fence {
	/* read by every write, changed by exclusive commands only */
	_Atomic bool closed __attribute__((aligned(64)));
	/* under lock */
	pthread_mutex_t lock __attribute__((aligned(64)));
	struct list waiting;
	struct scsi_fence_ticket *running; /* the exclusive command inside */
	/* writes inside; a loop always uses the same shard */
	struct scsi_fence_shard {
		_Atomic uint64_t inside;
	} __attribute__((aligned(64))) shards[SCSI_FENCE_SHARDS];
};

/* NULL: out of memory. */
struct scsi_fence *scsi_fence_create(void);
/* No command is inside or waiting. */
void scsi_fence_destroy(struct scsi_fence *fence);

/* True: inside; leave later. False: resume() is called once it is inside. */
bool scsi_fence_enter(struct scsi_fence *fence, struct scsi_fence_ticket *ticket);
void scsi_fence_leave(struct scsi_fence *fence, struct scsi_fence_ticket *ticket);

/* On ticket->loop, after enter() returned false and before resume(). A waiting ticket is removed:
 * `gone` is called on the loop instead of resume(), and the ticket is not inside. No effect on a
 * ticket that was admitted. */
void scsi_fence_withdraw(struct scsi_fence *fence, struct scsi_fence_ticket *ticket,
	void (*gone)(struct scsi_fence_ticket *ticket));

#endif
