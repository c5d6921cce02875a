/* SPDX-License-Identifier: MIT */
/*
 * A disk filter for tests: counts, fails, delays or holds requests on their way
 * to the disk below. Settings may be changed from any thread while it works.
 */
#ifndef SUPPORT_FAULT_DISK_H
#define SUPPORT_FAULT_DISK_H

#include <stdatomic.h>

#include "disk/disk.h"

#define FAULT_DISK_QUEUES 16u

struct fault_disk {
	struct disk disk;
	_Atomic int error[DISK_OP_COUNT];      /* 0: pass on; -errno: fail with it */
	_Atomic uint32_t fail_after;           /* errors start after so many requests */
	_Atomic uint64_t delay_ns;             /* before it is passed on */
	_Atomic bool hold;                     /* keep until fault_disk_release() */
	_Atomic bool stubborn;                 /* what is kept or delayed cannot be cancelled */
	_Atomic uint64_t cancels;              /* of requests it was asked to cancel */
	_Atomic uint32_t queues_left;          /* not 0: the last of so many cannot be opened */
	_Atomic uint64_t count[DISK_OP_COUNT]; /* submitted */
	_Atomic(struct disk_queue *) queues[FAULT_DISK_QUEUES];
	_Atomic uint64_t fua_count;   /* with DISK_FLAG_FUA */
	_Atomic uint64_t unmap_count; /* with DISK_FLAG_UNMAP */
};

/* Takes lower over: closed with the filter. */
struct fault_disk *fault_disk_open(struct disk *lower);

/* ON_LOOP: passes on what the queue holds. */
void fault_disk_release(struct disk_queue *queue);
/* The same for all queues, on their loops. No queue is opened or closed meanwhile; not on a loop.
 */
void fault_disk_release_all(struct fault_disk *d);

#endif
