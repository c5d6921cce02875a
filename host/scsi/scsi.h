/* SPDX-License-Identifier: MIT */
/*
 * A SCSI direct-access device over a disk: commands in, data and sense out.
 * Nothing here knows VMBus or SRBs.
 *
 * A command runs in two halves. Decode (scsi_decode, scsi_decode_list) turns
 * private copies of the initiator's bytes into a struct scsi_cmd, or returns an
 * error. Perform (inside scsi_execute) sees the checked command only: from then on
 * only the disk can fail.
 *
 * Thread: a task belongs to the loop of its disk queue. Units are constant, except
 * for atomics that several threads may change at any time; a command reads each of
 * them once.
 * Source: SPC-3, SBC-3.
 */
#ifndef HOST_SCSI_SCSI_H
#define HOST_SCSI_SCSI_H

#include <stdatomic.h>

#include "base/blocking.h"
#include "disk/disk.h"
#include "scsi/fence.h"

#define SCSI_CDB_SIZE    16u
#define SCSI_SENSE_SIZE  18u
#define SCSI_SERIAL_MAX  32u
#define SCSI_SERIAL_RULE "1 to 32 printable ASCII characters without spaces"
#define SCSI_LUNS_MAX    64u
#define SCSI_ID_SIZE     16u

/* Limits of commands with a parameter list; VPD page B0 reports them. */
#define SCSI_UNMAP_DESCRIPTORS_MAX    64u
#define SCSI_WRITE_SAME_BYTES_MAX     (8u << 20)
#define SCSI_COMPARE_WRITE_BLOCKS_MAX 128u

/* Private memory of a task, larger than every parameter list and every reply; VERIFY reads the
 * medium in pieces of this size. */
#define SCSI_SCRATCH_SIZE 4096u
_Static_assert(8 + 16 * SCSI_UNMAP_DESCRIPTORS_MAX <= SCSI_SCRATCH_SIZE, "UNMAP list");

/* WRITE SAME copies one block to scratch. */
#define SCSI_BLOCK_SIZE_MAX   512u
#define SCSI_CDROM_BLOCK_SIZE 2048u

/* Results of a command. Each is a row of the sense table, except for the first two. */
enum scsi_error {
	SCSI_OK,
	SCSI_ERR_NO_LUN, /* no such logical unit: transports have their own status for it */
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
	SCSI_ERR_TRACK_MODE,      /* wrong sector type for this track */
	SCSI_ERR_NO_REGISTRATION, /* no room for another initiator */
	SCSI_ERR_RELEASE,         /* of a reservation of another type */
	SCSI_ERR_ABORTED,         /* cancelled: any part of it may be done */
	SCSI_ERR_CONFLICT,        /* with a reservation: a status of its own, no sense data */
	SCSI_ERR_FULL, /* not completed for lack of room, to be repeated: a status of its own, no
			* sense data */
	SCSI_ERR_ATTENTION, /* the first of enum scsi_attention; one row each */
	SCSI_ERR_COUNT = SCSI_ERR_ATTENTION + 8,
};

/* Unit attentions, reported instead of the next command; most important first. */
enum scsi_attention {
	SCSI_ATTENTION_RESET,
	SCSI_ATTENTION_MEDIUM, /* may have changed */
	SCSI_ATTENTION_LUNS,   /* the LUN list changed */
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

/* The write cache; states in mode.c. Except in ON, every write is durable before it completes. */
enum scsi_cache {
	SCSI_CACHE_ON,
	SCSI_CACHE_OFF,
	SCSI_CACHE_UNUSED, /* the mode page reports on */
};

/* A logical unit, or a LUN without one (present = false). */
struct scsi_unit {
	bool present;
	bool cdrom; /* else a disk */
	uint8_t lun;
	const _Atomic uint64_t *luns; /* bit n: this target has LUN n; NULL: it has none */
	uint8_t id[SCSI_ID_SIZE];     /* see scsi_identify() */
	char serial[SCSI_SERIAL_MAX + 1];
	uint32_t transfer_bytes_max;          /* per command, by the transport */
	struct disk_info info;                /* except for the size */
	struct scsi_reservation *reservation; /* NULL: cannot be reserved */
	struct scsi_fence *fence;             /* NULL: no COMPARE AND WRITE */

	/* any thread, any time */
	_Atomic uint64_t size;       /* bytes */
	_Atomic uint32_t tray;       /* of a DVD-ROM drive: see dvd_tray.c */
	_Atomic uint32_t cache;      /* enum scsi_cache; of a disk whose info has one */
	_Atomic bool write_protect;  /* SWP of the control mode page */
	_Atomic uint32_t attentions; /* bit: enum scsi_attention, pending */
	_Atomic bool mapping;        /* a GET LBA STATUS asks the disk: see lba_status.c */
};

/* The one rule for serial numbers; SCSI_SERIAL_RULE says it in words. */
bool scsi_serial_valid(const char *serial);

/* ---- identifiers --------------------------------------------------------- */

#define SCSI_NAME_MAX 4096u /* bytes of text that count */

/* The name that an identifier is made from: the disk keeps it on another LUN and in another VM. A
 * disk without serial and identity has its place in the VM as name. */
struct scsi_name {
	enum scsi_name_kind { SCSI_NAME_SERIAL, SCSI_NAME_MEDIUM, SCSI_NAME_PLACE } kind;
	const char *text;
	uint32_t copy; /* 0; distinct numbers for disks of one VM with the same name */
};

/* Any thread. serial may be NULL. */
struct scsi_name scsi_name_of(const char *serial, const struct disk *disk, const char *place);
/* Any thread. Equal names give equal identifiers, different names different ones. */
void scsi_identify(uint8_t id[SCSI_ID_SIZE], const struct scsi_name *name);

/* ---- events -------------------------------------------------------------- */

/* Any thread. Ends the next command with this attention; there is one initiator only. */
void scsi_unit_attention(struct scsi_unit *unit, enum scsi_attention attention);
/* Any thread. A reset of the unit, target or bus: default modes, unlocked tray, attention. */
void scsi_unit_reset(struct scsi_unit *unit);
/* The value of a tray that this code can have made. */
bool scsi_tray_valid(uint32_t tray);
/* Any thread. The initiator is gone: undoes settings that the next one could not undo. */
void scsi_unit_nexus_lost(struct scsi_unit *unit);
/* Any thread, one at a time. Sets the attention if the size differs. */
void scsi_unit_resize(struct scsi_unit *unit, uint64_t size);

/* The initiator's bytes: private copies. */
struct scsi_input {
	uint8_t cdb[SCSI_CDB_SIZE]; /* zero from cdb_length on */
	uint8_t cdb_length;
	enum scsi_dir dir;
	uint32_t length; /* bytes of data buffer in that direction */
};

enum scsi_action {
	SCSI_ACTION_NONE, /* GOOD without further action */
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

/* Builds a reply in zeroed scratch memory, returns its full length. */
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

/* A decoded command: every number is within the limits of unit and buffer. */
struct scsi_cmd {
	const struct scsi_op_table *ops; /* of the unit */
	const struct scsi_op *op;
	enum scsi_action action;
	bool fua;
	bool may_unmap;
	bool keep_reservation; /* through a loss of power */
	uint64_t key;          /* PERSISTENT RESERVE OUT */
	uint64_t action_key;
	enum scsi_error move;     /* result of REGISTER AND MOVE */
	enum scsi_switch cache;   /* new setting by MODE SELECT */
	enum scsi_switch protect; /* likewise */
	uint16_t field;           /* invalid byte of the CDB or the list; 0: unknown */
	uint64_t capacity;        /* of the unit in blocks, when the command arrived */
	uint64_t lba;
	uint64_t blocks;
	uint8_t event;         /* for GET EVENT STATUS */
	enum scsi_error sense; /* for REQUEST SENSE */
	uint32_t descriptors;  /* of an UNMAP list */
	uint32_t list_length;  /* data-out bytes to be copied to scratch before performing */
	scsi_list_fn *list;    /* checks them, when list_length > 0 */
	uint32_t reply_max;    /* data-in bytes at most */
	scsi_build_fn *build;
	uint8_t cdb[SCSI_CDB_SIZE];
};

/* See reserve.h. */
struct scsi_reserve_op {
	void (*done)(struct scsi_reserve_op *op, enum scsi_error error); /* on loop */
	struct loop *loop;
	/* private */
	struct scsi_reserve_save *save; /* while it runs */
	struct loop_task task;
};

struct scsi_task {
	/* by the transport */
	struct scsi_unit *unit;
	struct disk_queue *queue; /* of unit; NULL when the unit is absent */
	struct disk_req *req;     /* disk_req_size() bytes */
	struct scsi_input in;
	/* The data buffer, in.length bytes of guest memory; the list is modified. Any 256
	 * consecutive pieces have at least a block. */
	struct iovec *iov;
	uint32_t iov_count;
	uint32_t iov_max; /* room in iov, > 0 */
	bool full;        /* commands that need the disk end with SCSI_ERR_FULL */
	void (*done)(struct scsi_task *task);

	/* result */
	enum scsi_error error;
	uint32_t transferred;
	uint32_t copied; /* bytes of the buffer copied by this layer: none for READ and WRITE */
	uint8_t sense[SCSI_SENSE_SIZE]; /* valid when error is neither OK nor NO_LUN */

	/* private */
	struct scsi_cmd cmd;
	uint32_t steps;           /* disk requests started */
	uint32_t next_unmap;      /* descriptor */
	uint64_t next_lba;        /* of a command with several disk requests */
	int step_error;           /* of the last one: 0 or -errno */
	enum scsi_error verdict;  /* of the last step, when the disk reported no error */
	uint64_t verdict_at;      /* LBA, or byte of the buffer: see scsi_sense_build_at() */
	struct iovec scratch_iov; /* for disk requests that read to scratch */
	bool step_done;           /* no step is at the disk */
	bool submitting;
	bool cancelled;
	bool fenced; /* inside the unit's fence */
	bool second; /* phase 2: the write of COMPARE AND WRITE, the reads of WRITE AND VERIFY */
	struct scsi_fence_ticket ticket;
	struct scsi_reserve_op reserve_op;
	struct scsi_map {
		struct blocking_call call;
		uint64_t length; /* bytes */
		bool mapped;
		int error;
	} map;
	uint8_t scratch[SCSI_SCRATCH_SIZE] __attribute__((aligned(16)));
};

/* The first half, without side effects. */
enum scsi_error scsi_decode(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in);
/* Its second part: checks the parameter list, copied once, if there is one. */
static inline enum scsi_error scsi_decode_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	return cmd->list_length ? cmd->list(cmd, unit, list) : SCSI_OK;
}

/* An UNMAP descriptor of a checked list. */
void scsi_unmap_descriptor(const uint8_t *list, uint32_t index, uint64_t *lba, uint32_t *blocks);

/* Runs a task; calls done(task) exactly once, inside or later. */
void scsi_execute(struct scsi_task *task);

/* Cancels a task that runs and is not done. done(task) follows after the return, with the result;
 * see disk_cancel(). */
void scsi_cancel(struct scsi_task *task);

/* Fills sense for an error found by a transport. */
void scsi_sense_build(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error);
/* With the INFORMATION field, when the value fits: the LBA of a medium error, the offset of a
 * miscompare. */
void scsi_sense_build_at(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error, uint64_t at);
/* error: -errno of a disk request. */
enum scsi_error scsi_error_of_disk(enum disk_op op, int error);

#endif
