/* SPDX-License-Identifier: MIT */
/*
 * A SCSI direct-access device over a disk: commands in, data and sense out.
 * Nothing here knows VMBus or SRBs.
 *
 * A command runs in two halves. Decode (scsi_decode, scsi_decode_list) turns
 * private copies of what the initiator sent into a struct scsi_cmd, or says
 * which sense data it earns. Perform (inside scsi_execute) only sees the checked
 * command: from then on only the disk can fail.
 *
 * Thread: a task belongs to the loop of its disk queue. Units are read only, but
 * for what several threads may change at any time: these are atomics, and a
 * command looks at each of them once.
 * Source: spec sheet "storvsp" sections 5 to 7; SPC-3, SBC-3.
 */
#ifndef STORVSP_SCSI_H
#define STORVSP_SCSI_H

#include <stdatomic.h>

#include "disk/disk.h"
#include "scsi/fence.h"

#define SCSI_CDB_SIZE   16u
#define SCSI_SENSE_SIZE 18u
#define SCSI_SERIAL_MAX 32u
#define SCSI_LUNS_MAX   64u
#define SCSI_ID_SIZE    16u

/* What the commands with a parameter list may ask for; also told in VPD page B0. */
#define SCSI_UNMAP_DESCRIPTORS_MAX    64u
#define SCSI_WRITE_SAME_BYTES_MAX     (8u << 20)
#define SCSI_COMPARE_WRITE_BLOCKS_MAX 128u

/* Private memory of a task: longer than every parameter list taken and every reply built here, and
 * the piece in which VERIFY reads the medium. */
#define SCSI_SCRATCH_SIZE 4096u
_Static_assert(8 + 16 * SCSI_UNMAP_DESCRIPTORS_MAX <= SCSI_SCRATCH_SIZE, "UNMAP list");

/* WRITE SAME takes one block there. */
#define SCSI_BLOCK_SIZE_MAX   512u
#define SCSI_CDROM_BLOCK_SIZE 2048u

/* How a command ends. Each is one row of the sense table, but for the first two. */
enum scsi_error {
	SCSI_OK,
	SCSI_ERR_NO_LUN, /* no such logical unit: transports have their own word for it */
	SCSI_ERR_INVALID_OPCODE,
	SCSI_ERR_LBA_RANGE,
	SCSI_ERR_CDB_FIELD,
	SCSI_ERR_PARAM_FIELD,
	SCSI_ERR_PARAM_LENGTH,
	SCSI_ERR_SAVE_UNSUPPORTED,
	SCSI_ERR_WRITE_PROTECTED,
	SCSI_ERR_SOFTWARE_PROTECTED, /* by the initiator itself, in the control mode page */
	SCSI_ERR_NO_SPACE,
	SCSI_ERR_MEDIUM_READ,
	SCSI_ERR_MEDIUM_WRITE,
	SCSI_ERR_TARGET_FAILURE,
	SCSI_ERR_MISCOMPARE,
	SCSI_ERR_NO_MEDIUM,       /* the tray is open */
	SCSI_ERR_LOCKED,          /* removing the medium is prevented */
	SCSI_ERR_TRACK_MODE,      /* not what is on this track */
	SCSI_ERR_NO_REGISTRATION, /* no room for another initiator's */
	SCSI_ERR_RELEASE,         /* of a reservation of another type */
	SCSI_ERR_ABORTED,         /* cancelled: any part of it may have happened */
	SCSI_ERR_CONFLICT,        /* with a reservation: has a status of its own, and no sense */
	SCSI_ERR_FULL,            /* not begun, no room for it: a status of its own, and no sense */
	SCSI_ERR_ATTENTION,       /* the first of enum scsi_attention, and as many rows as it has */
	SCSI_ERR_COUNT = SCSI_ERR_ATTENTION + 8,
};

/* What an initiator must be told before its next command is done; most important first. */
enum scsi_attention {
	SCSI_ATTENTION_RESET,
	SCSI_ATTENTION_MEDIUM, /* may have changed */
	SCSI_ATTENTION_LUNS,   /* REPORT LUNS would say something else */
	SCSI_ATTENTION_CAPACITY,
	SCSI_ATTENTION_MODE,         /* parameters changed */
	SCSI_ATTENTION_PREEMPTED,    /* reservation */
	SCSI_ATTENTION_RELEASED,     /* reservation */
	SCSI_ATTENTION_UNREGISTERED, /* registration preempted */
	SCSI_ATTENTION_COUNT,
};
_Static_assert(SCSI_ERR_ATTENTION + SCSI_ATTENTION_COUNT == SCSI_ERR_COUNT, "a row each");

enum scsi_dir {
	SCSI_DIR_NONE,
	SCSI_DIR_IN,  /* from the device */
	SCSI_DIR_OUT, /* to the device */
};

/* The write cache: drawn in scsi_mode.c. But for ON every write is durable before it is done. */
enum scsi_cache {
	SCSI_CACHE_ON,
	SCSI_CACHE_OFF,
	SCSI_CACHE_UNUSED, /* on, says the mode page */
};

/* A logical unit, or the place where none is (present = false). */
struct scsi_unit {
	bool present;
	bool cdrom; /* else a disk */
	uint8_t lun;
	const _Atomic uint64_t *luns; /* bit n: this target has LUN n; NULL: it has none */
	uint8_t id[SCSI_ID_SIZE];     /* see scsi_identify() */
	char serial[SCSI_SERIAL_MAX + 1];
	uint32_t transfer_bytes_max;          /* per command, by the transport */
	struct disk_info info;                /* but for its size */
	struct scsi_reservation *reservation; /* NULL: cannot be reserved */
	struct scsi_fence *fence;             /* NULL: no COMPARE AND WRITE */

	/* any thread, any time */
	_Atomic uint64_t size;       /* bytes */
	_Atomic uint32_t tray;       /* of a CD-ROM: see scsi_cdrom.c */
	_Atomic uint32_t cache;      /* enum scsi_cache; of a disk whose info has one */
	_Atomic bool write_protect;  /* SWP of the control mode page */
	_Atomic uint32_t attentions; /* bit: enum scsi_attention, not yet reported */
};

/* ---- identifiers --------------------------------------------------------- */

#define SCSI_NAME_MAX 4096u /* bytes of text that count */

/* What an identifier is made from: the disk keeps it on another LUN and in another VM, and loses it
 * with its name. A disk without serial and identity is known by its place in the VM. */
struct scsi_name {
	enum scsi_name_kind { SCSI_NAME_SERIAL, SCSI_NAME_MEDIUM, SCSI_NAME_PLACE } kind;
	const char *text;
	uint32_t copy; /* 0, or different numbers for disks of one VM that have one name */
};

/* Any thread. serial may be NULL. */
struct scsi_name scsi_name_of(const char *serial, const struct disk *disk, const char *place);
/* Any thread. The identifier of a name: always the same, and different for different names. */
void scsi_identify(uint8_t id[SCSI_ID_SIZE], const struct scsi_name *name);

/* ---- events -------------------------------------------------------------- */

/* Any thread. The next command is refused with this, once; there is one initiator only. */
void scsi_unit_attention(struct scsi_unit *unit, enum scsi_attention attention);
/* Any thread. A reset of the unit, target or bus: what ends with it, and telling the initiator. */
void scsi_unit_reset(struct scsi_unit *unit);
/* Any thread. The initiator has gone; one that comes finds nothing that only it could undo. */
void scsi_unit_nexus_lost(struct scsi_unit *unit);
/* Any thread, one at a time. Tells the initiator when it is news. */
void scsi_unit_resize(struct scsi_unit *unit, uint64_t size);

/* What the initiator sent: private copies. */
struct scsi_input {
	uint8_t cdb[SCSI_CDB_SIZE]; /* zero from cdb_length on */
	uint8_t cdb_length;
	enum scsi_dir dir;
	uint32_t length; /* bytes of data buffer in that direction */
};

enum scsi_action {
	SCSI_ACTION_NONE, /* GOOD as it is */
	SCSI_ACTION_REPLY,
	SCSI_ACTION_READ,
	SCSI_ACTION_WRITE,
	SCSI_ACTION_FLUSH,
	SCSI_ACTION_UNMAP,
	SCSI_ACTION_WRITE_ZEROES,
	SCSI_ACTION_WRITE_PATTERN,
	SCSI_ACTION_COMPARE,
	SCSI_ACTION_COMPARE_WRITE,
	SCSI_ACTION_WRITE_VERIFY,
	SCSI_ACTION_OR_WRITE,
	SCSI_ACTION_LBA_STATUS,
	SCSI_ACTION_RESERVE,
	SCSI_ACTION_TRAY,
};

struct scsi_op;
struct scsi_op_table;
struct scsi_cmd;

/* Builds a reply in zeroed scratch memory, gives its full length. */
typedef uint32_t scsi_build_fn(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply);

/* Checks a parameter list (cmd->list_length bytes, a private copy). */
typedef enum scsi_error scsi_list_fn(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list);

enum scsi_switch {
	SCSI_SWITCH_KEEP,
	SCSI_SWITCH_ON,
	SCSI_SWITCH_OFF,
};

/* A decoded command: every number is inside the unit's and the buffer's limits. */
struct scsi_cmd {
	const struct scsi_op_table *ops; /* of the unit */
	const struct scsi_op *op;
	enum scsi_action action;
	bool fua;
	bool may_unmap;
	bool keep_reservation; /* through a loss of power */
	uint64_t key;          /* PERSISTENT RESERVE OUT */
	uint64_t action_key;
	enum scsi_error move;     /* where REGISTER AND MOVE would lead to */
	enum scsi_switch cache;   /* new setting by MODE SELECT */
	enum scsi_switch protect; /* likewise */
	uint16_t field;           /* byte at fault, of the CDB or the list; 0: not known */
	uint64_t capacity;        /* of the unit in blocks, when the command came */
	uint64_t lba;
	uint64_t blocks;
	uint8_t event;         /* what GET EVENT STATUS tells */
	enum scsi_error sense; /* what REQUEST SENSE tells */
	uint32_t descriptors;  /* of an UNMAP list */
	uint32_t list_length;  /* data-out bytes to be copied to scratch before performing */
	scsi_list_fn *list;    /* their check, when list_length > 0 */
	uint32_t reply_max;    /* data-in bytes at most */
	scsi_build_fn *build;
	uint8_t cdb[SCSI_CDB_SIZE];
};

struct scsi_task {
	/* by the transport */
	struct scsi_unit *unit;
	struct disk_queue *queue; /* of unit; NULL when the unit is absent */
	struct disk_req *req;     /* disk_req_size() bytes */
	struct scsi_input in;
	/* The data buffer, in.length bytes of guest memory; gets modified. No 256 pieces in a row
	 * are less than a block. */
	struct iovec *iov;
	uint32_t iov_count;
	uint32_t iov_max; /* room in iov, > 0 */
	bool full;        /* no command may wait for the disk */
	void (*done)(struct scsi_task *task);

	/* result */
	enum scsi_error error;
	uint32_t transferred;
	uint32_t copied; /* bytes of the buffer this layer copied: none of READ and WRITE */
	uint8_t sense[SCSI_SENSE_SIZE]; /* valid when error is neither OK nor NO_LUN */

	/* private */
	struct scsi_cmd cmd;
	uint32_t steps;           /* disk requests started */
	uint32_t next_unmap;      /* descriptor */
	uint64_t next_lba;        /* of a command with several disk requests */
	int step_error;           /* of the last one: 0 or -errno */
	enum scsi_error verdict;  /* of the last step, when the disk was fine */
	uint64_t verdict_at;      /* LBA, or byte of the buffer: see scsi_sense_build_at() */
	struct iovec scratch_iov; /* for disk requests that read to scratch */
	bool step_done;           /* no step is at the disk */
	bool submitting;
	bool cancelled;
	bool fenced; /* inside the unit's fence */
	bool second; /* COMPARE AND WRITE has come to its write, WRITE AND VERIFY to its reads */
	struct scsi_fence_pass pass;
	uint8_t scratch[SCSI_SCRATCH_SIZE] __attribute__((aligned(16)));
};

/* First half. No side effects. */
enum scsi_error scsi_decode(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in);
/* Second part of it: the parameter list, copied once. Nothing to do when there is none. */
static inline enum scsi_error scsi_decode_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	return cmd->list_length ? cmd->list(cmd, unit, list) : SCSI_OK;
}

/* An UNMAP descriptor of a checked list. */
void scsi_unmap_descriptor(const uint8_t *list, uint32_t index, uint64_t *lba, uint32_t *blocks);

/* Runs a task; done(task) exactly once, now or later. */
void scsi_execute(struct scsi_task *task);

/* Of a task that runs and is not done: asks its disk to give it back. done(task) comes later than
 * this returns, with what came of it; see disk_cancel(). */
void scsi_cancel(struct scsi_task *task);

/* Fills sense for an error a transport found by itself. */
void scsi_sense_build(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error);
/* The same with the INFORMATION field, when it fits: the LBA of a medium error, the offset of a
 * miscompare. */
void scsi_sense_build_at(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error, uint64_t at);
/* error: -errno of a disk request. */
enum scsi_error scsi_error_of_disk(enum disk_op op, int error);

#endif
