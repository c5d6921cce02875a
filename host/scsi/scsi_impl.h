/* SPDX-License-Identifier: MIT */
/* Shared by the files of host/scsi only: command tables and big-endian fields. */
#ifndef HOST_SCSI_IMPL_H
#define HOST_SCSI_IMPL_H

#include <endian.h>
#include <string.h>

#include "scsi/scsi.h"

#define SCSI_NO_SERVICE_ACTION 0xFFu

#define SCSI_OP_WRITES         0x1u   /* refused when the medium is read only */
#define SCSI_OP_ABSENT         0x2u   /* performed even without a logical unit */
#define SCSI_OP_UNMAPS         0x4u   /* exists only on a disk that can discard */
#define SCSI_OP_VERIFY         0x8u   /* the data written must be on the medium */
#define SCSI_OP_UA_EXEMPT      0x10u  /* performed although a unit attention is pending */
#define SCSI_OP_REPORTS_UA     0x20u  /* its reply is the pending unit attention */
#define SCSI_OP_CLEARS_LUNS_UA 0x40u  /* its reply is the LUN list: the attention for it is over */
#define SCSI_OP_RESERVES       0x80u  /* exists only on a unit that can be reserved */
#define SCSI_OP_MEDIUM         0x100u /* needs the medium in */
#define SCSI_OP_TRAY_EVENT     0x200u /* its reply is the pending event of the tray */
#define SCSI_OP_FENCED         0x400u /* exists only on a unit that has a fence */

typedef enum scsi_error scsi_decode_fn(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in);

/* A row of the command table. */
struct scsi_op {
	uint8_t opcode;
	uint8_t service_action; /* or SCSI_NO_SERVICE_ACTION */
	uint8_t cdb_length;
	uint16_t flags; /* SCSI_OP_* */
	const char *name;
	scsi_decode_fn *decode;
	uint8_t usage[SCSI_CDB_SIZE]; /* bits of the CDB that are evaluated; from byte 1 on */
};

/* All commands of one kind of unit. */
struct scsi_op_table {
	const struct scsi_op *ops;
	uint32_t count;
};
extern const struct scsi_op_table scsi_disk_ops; /* table.c */
extern const struct scsi_op_table scsi_dvd_ops;  /* dvd_table.c */

/* dispatch.c */
const struct scsi_op_table *scsi_ops_of(const struct scsi_unit *unit);

/* dvd_tray.c */
bool scsi_tray_open(const struct scsi_unit *unit);
void scsi_tray_unlock(struct scsi_unit *unit);
enum scsi_error scsi_tray_perform(struct scsi_unit *unit, const struct scsi_cmd *cmd);
uint8_t scsi_tray_event(struct scsi_unit *unit, const struct scsi_cmd *cmd);

/* op.c. NULL: no such command. *opcode_known: one with another service action exists. */
const struct scsi_op *scsi_op_find(const struct scsi_op_table *table, const struct scsi_unit *unit,
	const uint8_t *cdb, bool *opcode_known);
bool scsi_op_supported(const struct scsi_unit *unit, const struct scsi_op *op);

/* perform.c: ends the task. transferred: bytes of the buffer, 0 after an error. */
void scsi_finish(struct scsi_task *task, enum scsi_error error, uint32_t transferred);
/* perform.c: ends it with the reply in scratch, `length` bytes in full. */
void scsi_reply(struct scsi_task *task, uint32_t length);

/* lba_status.c */
void scsi_perform_lba_status(struct scsi_task *task);
/* Before its done(): that comes soon, unless the file system does not answer. */
void scsi_cancel_lba_status(struct scsi_task *task);

/* The others have a status of their own. */
static inline bool scsi_error_has_sense(enum scsi_error error)
{
	return error && error != SCSI_ERR_NO_LUN && error != SCSI_ERR_CONFLICT &&
	       error != SCSI_ERR_FULL;
}

/* A field of the CDB, or of the parameter list, is invalid. byte: its first, for the sense data. */
static inline enum scsi_error scsi_cdb_field(struct scsi_cmd *cmd, uint16_t byte)
{
	cmd->field = byte;
	return SCSI_ERR_CDB_FIELD;
}
static inline enum scsi_error scsi_list_field(struct scsi_cmd *cmd, uint32_t byte)
{
	cmd->field = (uint16_t)byte;
	return SCSI_ERR_PARAM_FIELD;
}
/* sense.c: adds the field pointer to the sense data of these two errors. */
void scsi_sense_point(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error, uint16_t byte);

/* cdb.c: LBA and block count, which block commands of one length have at the same place. */
void scsi_cdb_extent(struct scsi_cmd *cmd);
bool scsi_extent_fits(const struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks);

/* cdb.c: a command whose reply is built by `build`, at most `allocation` bytes. */
enum scsi_error scsi_decode_reply(struct scsi_cmd *cmd, const struct scsi_input *in,
	scsi_build_fn *build, uint32_t allocation);

/* cdb.c: a command with a parameter list of `length` bytes, 0 < length <= SCSI_SCRATCH_SIZE. */
enum scsi_error scsi_decode_with_list(
	struct scsi_cmd *cmd, const struct scsi_input *in, scsi_list_fn *list, uint32_t length);

/* cdb.c: a transfer of cmd->blocks from cmd->lba on: READ or WRITE; NONE checks the range only. */
enum scsi_error scsi_decode_transfer(struct scsi_cmd *cmd, const struct scsi_unit *unit,
	const struct scsi_input *in, enum scsi_action action);
scsi_decode_fn scsi_decode_none; /* cdb.c: nothing to check, nothing to do */

/* decode.c */
scsi_decode_fn scsi_decode_rw, scsi_decode_verify, scsi_decode_sync;
scsi_decode_fn scsi_decode_write_same, scsi_decode_unmap, scsi_decode_start_stop;
scsi_decode_fn scsi_decode_send_diagnostic, scsi_decode_format, scsi_decode_reserve6;
scsi_decode_fn scsi_decode_lba_status, scsi_decode_compare_write, scsi_decode_or_write;
scsi_decode_fn scsi_decode_pre_fetch;

/* dvd_tray.c */
scsi_decode_fn scsi_decode_tray, scsi_decode_prevent, scsi_decode_event;
/* dvd_medium.c */
scsi_decode_fn scsi_decode_toc, scsi_decode_disc, scsi_decode_track, scsi_decode_structure;
scsi_decode_fn scsi_decode_read_cd, scsi_decode_seek;
/* dvd_drive.c */
scsi_decode_fn scsi_decode_configuration, scsi_decode_mechanism, scsi_decode_performance;
scsi_decode_fn scsi_decode_drive_mode_sense, scsi_decode_drive_mode_select, scsi_decode_streaming;
/* log_pages.c */
scsi_decode_fn scsi_decode_log_sense;
/* inquiry.c */
scsi_decode_fn scsi_decode_inquiry;
/* mode.c */
scsi_decode_fn scsi_decode_mode_sense, scsi_decode_mode_select;
/* report.c */
scsi_decode_fn scsi_decode_request_sense, scsi_decode_capacity10, scsi_decode_capacity16;
scsi_decode_fn scsi_decode_report_luns, scsi_decode_report_opcodes, scsi_decode_task_management;
scsi_decode_fn scsi_decode_defects;

/* reserve_cmd.c */
scsi_decode_fn scsi_decode_reserve_in, scsi_decode_reserve_out, scsi_decode_reserve_move;

/* attention.c: takes the most important pending attention; SCSI_OK: none. */
enum scsi_error scsi_attention_take(struct scsi_unit *unit);
static inline bool scsi_attention_pending(const struct scsi_unit *unit)
{
	return atomic_load_explicit(&unit->attentions, memory_order_relaxed);
}
void scsi_attention_forget(struct scsi_unit *unit, enum scsi_attention attention);

static inline uint16_t get_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t get_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
