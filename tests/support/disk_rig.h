/* SPDX-License-Identifier: MIT */
/* A disk on a bench: one queue on a loop that runs inside the waits of the caller. No VMBus. */
#ifndef SUPPORT_DISK_RIG_H
#define SUPPORT_DISK_RIG_H

#include "disk/disk.h"

#define DISK_RIG_REQUESTS 256u

struct disk_rig_slot {
	struct disk_rig *rig;
	struct disk_req *req;
	struct iovec iov;
	bool busy;
	int error;
	uint64_t done_ns;
};

struct disk_rig {
	struct loop loop;
	struct disk *disk;
	struct disk_queue *queue;
	uint32_t in_flight;
	struct disk_rig_slot slots[DISK_RIG_REQUESTS];
};

/* Takes the disk over. */
void disk_rig_init(struct disk_rig *rig, struct disk *disk);
/* The queue is closed, and the disk unless keep. */
void disk_rig_fini(struct disk_rig *rig, bool keep);

/* Starts a request; bytes may be NULL for operations without data. */
void disk_rig_start(struct disk_rig *rig, uint32_t slot, enum disk_op op, uint32_t flags,
	uint64_t offset, uint64_t length, const void *bytes);
/* Until no more than `left` are in flight. */
void disk_rig_wait(struct disk_rig *rig, uint32_t left);
/* Asks for a request to be cancelled; it is not done yet, nor when this returns. */
void disk_rig_cancel(struct disk_rig *rig, uint32_t slot);
/* One request in slot 0, waited for: 0 or -errno. */
int disk_rig_run(struct disk_rig *rig, enum disk_op op, uint32_t flags, uint64_t offset,
	uint64_t length, const void *bytes);

#endif
