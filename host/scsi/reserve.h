/* SPDX-License-Identifier: MIT */
/*
 * The persistent reservation of a unit. There is one initiator, so it is the
 * only possible registrant and holder: reads and writes never conflict. Only a
 * reservation command with a wrong key does.
 *
 *   UNREGISTERED --register--> REGISTERED --reserve, preempt--> RESERVED
 *        ^--clear, key 0, preempt-'  ^---------release------------'
 *        ^------------clear, register key 0----------------------'
 *
 * There is no state LOST, and so no REPLACE LOST RESERVATION (08h): a reservation is
 * durable before the initiator gets GOOD, and a disk whose reservation file cannot be
 * read is not attached (scsi_reserve_load). So RLR_C is 0, and the service action ends
 * like all that are not supported, with INVALID FIELD IN CDB.
 *
 * When the state must survive a loss of power, a command completes when a small file
 * is on its disk. That may take for ever (a frozen file system): a helper thread does
 * it, and until it has, further commands of the unit end with TASK SET FULL. A
 * command that is cancelled meanwhile is complete; the next one sees its effect.
 *
 * Any thread: the lock is a leaf, held for a few instructions.
 */
#ifndef HOST_SCSI_RESERVE_H
#define HOST_SCSI_RESERVE_H

#include <pthread.h>

#include "scsi/scsi.h"

struct scsi_reserve_state {
	uint64_t key; /* 0: not registered */
	uint8_t type; /* enum scsi_reserve_type; 0: nothing is reserved */
	bool keep;    /* through a loss of power */
};

/* Counted: a call that hangs may outlive the unit. */
struct scsi_reservation {
	char *path; /* of the file that keeps the state; NULL: not kept */
	pthread_mutex_t lock;
	uint32_t users;
	bool saving;
	struct scsi_reserve_state state;
	uint32_t generation;
};

enum scsi_reserve_type {
	RESERVE_WRITE_EXCLUSIVE = 1,
	RESERVE_EXCLUSIVE_ACCESS = 3,
	RESERVE_WRITE_EXCLUSIVE_REGISTRANTS = 5,
	RESERVE_EXCLUSIVE_ACCESS_REGISTRANTS = 6,
	RESERVE_WRITE_EXCLUSIVE_ALL = 7,
	RESERVE_EXCLUSIVE_ACCESS_ALL = 8,
};

enum scsi_reserve_action {
	RESERVE_REGISTER,
	RESERVE_RESERVE,
	RESERVE_RELEASE,
	RESERVE_CLEAR,
	RESERVE_PREEMPT,
	RESERVE_PREEMPT_AND_ABORT,
	RESERVE_REGISTER_AND_IGNORE,
	RESERVE_REGISTER_AND_MOVE,
};

/* disk_path: the state is kept in a file beside the file that this names, behind all symbolic
 * links, and read from there now, which may sleep; NULL: never kept. */
int scsi_reservation_open(struct scsi_reservation **r, const char *disk_path, struct err *e);
/* Another user of it, after a loss of power: what was not to be kept is gone. Reads no file; never
 * sleeps. */
void scsi_reservation_restart(struct scsi_reservation *r);
/* Of one user. No command is there. */
void scsi_reservation_close(struct scsi_reservation *r);

/* A checked PERSISTENT RESERVE OUT command, on the thread of op->loop. True: *error is its result.
 * False: op->done() is called later. */
bool scsi_reserve(struct scsi_reservation *r, const struct scsi_cmd *cmd,
	struct scsi_reserve_op *op, enum scsi_error *error);
/* ON_LOOP(op->loop). After scsi_reserve() was false and before done(): that comes soon. */
void scsi_reserve_cancel(struct scsi_reserve_op *op);

static inline bool scsi_reserve_type_valid(uint8_t type)
{
	return type == RESERVE_WRITE_EXCLUSIVE || type == RESERVE_EXCLUSIVE_ACCESS ||
	       (type >= RESERVE_WRITE_EXCLUSIVE_REGISTRANTS &&
		       type <= RESERVE_EXCLUSIVE_ACCESS_ALL);
}
/* Every registrant is a holder, so the reservation has no key of its own. */
static inline bool scsi_reserve_type_all(uint8_t type)
{
	return type == RESERVE_WRITE_EXCLUSIVE_ALL || type == RESERVE_EXCLUSIVE_ACCESS_ALL;
}

/* reserve_file.c. Makes the file say `next`: there is one only while keep is set. When that fails
 * it says `old`, as it did. May sleep. */
int scsi_reserve_save(const char *path, const struct scsi_reserve_state *old,
	const struct scsi_reserve_state *next);
/* No file: nothing is reserved. */
int scsi_reserve_load(const char *path, struct scsi_reserve_state *state, struct err *e);

#endif
