/* SPDX-License-Identifier: MIT */
/*
 * A guest with one storage controller: LUN 5 is a memory disk behind the fault
 * filter, LUN 63 a plain one. For the loop tests.
 */
#ifndef SUPPORT_STORVSP_RIG_H
#define SUPPORT_STORVSP_RIG_H

#include "tests/support/fault_disk.h"
#include "tests/support/guest_disk.h"
#include "vsp/storvsp/storvsp.h"

#define RIG_RAM        (192u << 20)
#define RIG_BLOCK      512u
#define RIG_DISK_BYTES (8u << 20)
#define RIG_BLOCKS     (RIG_DISK_BYTES / RIG_BLOCK)
#define RIG_LUN        5u
#define RIG_LUN_LAST   63u
#define RIG_INSTANCE   0x42

/* A CDB in guest_disk_run()'s arguments: its length and bytes. */
#define CDB(...)                                                                                   \
	sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[])                                              \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
#define BE4(v)                                                                                     \
	(uint8_t)((uint32_t)(v) >> 24), (uint8_t)((v) >> 16), (uint8_t)((v) >> 8), (uint8_t)(v)

struct storvsp_rig {
	struct guest g;
	struct guest_disk d;
	struct fault_disk *disk; /* LUN 5 */
	struct disk *last;       /* LUN 63 */
	struct vsp_device *dev;
	uint8_t *shadow; /* of LUN 5 */
	uint32_t random;
};

/* The guest is connected; the controller's channel is not open. */
struct storvsp_rig *storvsp_rig_create(uint32_t vps);
void storvsp_rig_destroy(struct storvsp_rig *rig);
void storvsp_rig_add_controller(struct storvsp_rig *rig);

/* Requests LUN 5's disk has seen. */
uint64_t storvsp_rig_requests(const struct storvsp_rig *rig);

/* Random reads, writes, zeroes and flushes on all open channels, all slots busy, until so many
 * have been started and are done. What is read is compared with the shadow. */
void storvsp_rig_traffic(struct storvsp_rig *rig, uint32_t commands);

/* The primary channel is open. Sends TEST UNIT READY with transaction ids from 1 on, and takes no
 * reply, until both rings and all requests are full. How many were sent. */
uint64_t storvsp_rig_fill(struct storvsp_rig *rig);
/* Takes the replies that are there now; they come in order, `received` of them before. The new
 * `received`. */
uint64_t storvsp_rig_take(struct storvsp_rig *rig, uint64_t received);
/* The same until `sent` have come. */
void storvsp_rig_take_all(struct storvsp_rig *rig, uint64_t received, uint64_t sent);

#endif
