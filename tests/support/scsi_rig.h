/* SPDX-License-Identifier: MIT */
/*
 * A SCSI unit on a bench: a memory disk behind the fault filter, a queue on a
 * loop that runs only in scsi_rig_wait() (nearly everything finishes at once), and
 * a data buffer in scattered pieces. No VMBus.
 */
#ifndef SUPPORT_SCSI_RIG_H
#define SUPPORT_SCSI_RIG_H

#include "scsi/scsi.h"
#include "tests/support/fault_disk.h"

#define SCSI_RIG_BLOCKS 32768u /* 16 MiB */
#define SCSI_RIG_BLOCK  512u
#define SCSI_RIG_DATA   (1u << 20)
#define SCSI_RIG_IOV    257u

struct scsi_rig {
	struct loop loop;
	struct fault_disk *disk;
	struct disk_queue *queue;
	struct scsi_unit unit;
	_Atomic uint64_t luns; /* unit.luns */
	struct scsi_task task;
	struct iovec iov[SCSI_RIG_IOV];
	uint32_t done; /* times task was done */
	bool waiting;  /* for it, in the loop */
	uint8_t *data; /* SCSI_RIG_DATA bytes */
};

void scsi_rig_init(struct scsi_rig *rig);
void scsi_rig_fini(struct scsi_rig *rig);
/* For cmocka_unit_test_setup_teardown(): a rig in *state. */
int scsi_rig_setup(void **state);
int scsi_rig_teardown(void **state);

/* A CDB in scsi_rig_run()'s arguments: its length and bytes. */
#define CDB(...)                                                                                   \
	sizeof((uint8_t[]){__VA_ARGS__}), (uint8_t[])                                              \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

/* Starts a command whose data buffer is rig->data, in pieces of uneven size. */
void scsi_rig_start(struct scsi_rig *rig, enum scsi_dir dir, uint32_t length, size_t cdb_length,
	const uint8_t *cdb);
/* Until the task is done. */
void scsi_rig_wait(struct scsi_rig *rig);
/* Both. */
enum scsi_error scsi_rig_run(struct scsi_rig *rig, enum scsi_dir dir, uint32_t length,
	size_t cdb_length, const uint8_t *cdb);

/* Blocks straight from the disk, bypassing SCSI. */
void scsi_rig_peek(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, void *to);
void scsi_rig_poke(struct scsi_rig *rig, uint64_t lba, uint32_t blocks, const void *from);

#endif
