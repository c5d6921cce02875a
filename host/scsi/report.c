/* SPDX-License-Identifier: MIT */
/* Small replies: capacities, LUN list, sense data, supported commands. */
#include "scsi/scsi_impl.h"

#define CAPACITY10_SIZE 8u
#define CAPACITY16_SIZE 32u
#define CAPACITY_LBPME  0x80u
#define CAPACITY_LBPRZ  0x40u

#define REPORT_ALL           0u
#define REPORT_WELL_KNOWN    1u
#define REPORT_ALL_AND_KNOWN 2u
#define LUNS_HEADER          8u
#define LUN_SIZE             8u

#define REQUEST_SENSE_DESC 0x01u

#define OPCODES_HEADER     4u
#define OPCODES_DESCRIPTOR 8u
#define OPCODES_SERVACTV   0x01u
#define OPCODES_CTDP       0x02u
#define OPCODES_ONE_CTDP   0x80u
#define OPCODES_RCTD       0x80u /* in the CDB: time-outs requested */
#define OPCODES_TIMEOUTS   12u
#define OPCODES_ABSENT     1u
#define OPCODES_PRESENT    3u

#define DEFECTS_ASKED    0x1Fu /* requested lists and format */
#define DEFECTS_HEADER10 4u
#define DEFECTS_HEADER12 8u

#define TASK_UNIT_RESET    0x08u
#define TASK_TARGET_RESET  0x02u
#define TASK_EXTENDED      0x80u
#define TASK_SIZE          4u
#define TASK_EXTENDED_SIZE 16u

enum report_opcodes {
	REPORT_OPCODES_ALL,
	REPORT_OPCODES_PLAIN,          /* one that has no service actions */
	REPORT_OPCODES_SERVICE_ACTION, /* one that has */
	REPORT_OPCODES_EITHER,
};

_Static_assert(LUNS_HEADER + LUN_SIZE * SCSI_LUNS_MAX <= SCSI_SCRATCH_SIZE, "LUN list");

/* ---- capacity ------------------------------------------------------------ */

static uint32_t build_capacity10(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint64_t last = cmd->capacity - 1;

	put_be32(reply, last < UINT32_MAX ? (uint32_t)last : UINT32_MAX);
	put_be32(reply + 4, unit->info.block_size);
	return CAPACITY10_SIZE;
}

enum scsi_error scsi_decode_capacity10(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return scsi_decode_reply(cmd, in, build_capacity10, CAPACITY10_SIZE);
}

static uint8_t physical_exponent(const struct disk_info *info)
{
	uint8_t exponent = 0;

	while (((uint64_t)info->block_size << exponent) < info->physical_block_size)
		exponent++;
	return exponent;
}

static uint32_t build_capacity16(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be64(reply, cmd->capacity - 1);
	put_be32(reply + 8, unit->info.block_size);
	reply[13] = physical_exponent(&unit->info);
	if (unit->info.discard)
		reply[14] = CAPACITY_LBPME | CAPACITY_LBPRZ;
	return CAPACITY16_SIZE;
}

enum scsi_error scsi_decode_capacity16(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return scsi_decode_reply(cmd, in, build_capacity16, get_be32(cmd->cdb + 10));
}

/* ---- LUNs ---------------------------------------------------------------- */

static uint64_t luns_now(const struct scsi_unit *unit)
{
	return unit->luns ? atomic_load_explicit(unit->luns, memory_order_relaxed) : 0;
}

/* Peripheral addressing: bus 0, LUN in the second byte. There are no well-known units. */
static uint32_t build_luns(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint64_t luns = cmd->cdb[2] == REPORT_WELL_KNOWN ? 0 : luns_now(unit);
	uint32_t length = LUNS_HEADER;

	for (uint8_t lun = 0; lun < SCSI_LUNS_MAX; lun++) {
		if (!(luns & (1ull << lun)))
			continue;
		reply[length + 1] = lun;
		length += LUN_SIZE;
	}
	put_be32(reply, length - LUNS_HEADER);
	return length;
}

enum scsi_error scsi_decode_report_luns(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[2] > REPORT_ALL_AND_KNOWN)
		return scsi_cdb_field(cmd, 2);
	return scsi_decode_reply(cmd, in, build_luns, get_be32(cmd->cdb + 6));
}

/* ---- sense --------------------------------------------------------------- */

/* Commands return their sense data themselves; only unit attentions remain for REQUEST SENSE. */
static uint32_t build_sense(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	scsi_sense_build(reply, cmd->sense);
	return SCSI_SENSE_SIZE;
}

enum scsi_error scsi_decode_request_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[1] & REQUEST_SENSE_DESC)
		return scsi_cdb_field(cmd, 1);
	return scsi_decode_reply(cmd, in, build_sense, cmd->cdb[4]);
}

/* ---- supported commands -------------------------------------------------- */

static bool timeouts_wanted(const struct scsi_cmd *cmd)
{
	return cmd->cdb[2] & OPCODES_RCTD;
}

/* A time-outs descriptor that gives no value. */
static uint8_t *put_timeouts(uint8_t *at)
{
	put_be16(at, OPCODES_TIMEOUTS - 2);
	return at + OPCODES_TIMEOUTS;
}

static uint32_t build_all_opcodes(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + OPCODES_HEADER;

	for (uint32_t i = 0; i < cmd->ops->count; i++) {
		const struct scsi_op *op = &cmd->ops->ops[i];

		if (!scsi_op_supported(unit, op))
			continue;
		at[0] = op->opcode;
		if (op->service_action != SCSI_NO_SERVICE_ACTION) {
			put_be16(at + 2, op->service_action);
			at[5] = OPCODES_SERVACTV;
		}
		put_be16(at + 6, op->cdb_length);
		if (timeouts_wanted(cmd)) {
			at[5] |= OPCODES_CTDP;
			put_timeouts(at + OPCODES_DESCRIPTOR);
			at += OPCODES_TIMEOUTS;
		}
		at += OPCODES_DESCRIPTOR;
	}
	put_be32(reply, (uint32_t)(at - reply) - OPCODES_HEADER);
	return (uint32_t)(at - reply);
}

/* The requested command, looked up by the start of its CDB. */
static const struct scsi_op *op_asked(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, bool *opcode_known)
{
	uint16_t service_action = get_be16(cmd->cdb + 4);
	uint8_t cdb[2] = {cmd->cdb[3], (uint8_t)service_action};
	const struct scsi_op *op;

	op = scsi_op_find(cmd->ops, unit, cdb, opcode_known);
	if (op && op->service_action != SCSI_NO_SERVICE_ACTION &&
		op->service_action != service_action)
		return NULL;
	return op;
}

static uint32_t build_one_opcode(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	bool opcode_known;
	const struct scsi_op *op = op_asked(unit, cmd, &opcode_known);

	if (!op) {
		reply[1] = OPCODES_ABSENT;
		return OPCODES_HEADER;
	}
	reply[1] = OPCODES_PRESENT;
	put_be16(reply + 2, op->cdb_length);
	memcpy(reply + OPCODES_HEADER, op->usage, op->cdb_length);
	reply[OPCODES_HEADER] = op->opcode;
	if (!timeouts_wanted(cmd))
		return OPCODES_HEADER + op->cdb_length;
	reply[1] |= OPCODES_ONE_CTDP;
	return (uint32_t)(put_timeouts(reply + OPCODES_HEADER + op->cdb_length) - reply);
}

/* The initiator must know whether the opcode has service actions. */
static bool report_option_valid(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, enum report_opcodes option)
{
	bool opcode_known;
	const struct scsi_op *op = op_asked(unit, cmd, &opcode_known);
	bool has_actions = op ? op->service_action != SCSI_NO_SERVICE_ACTION : opcode_known;

	if (option == REPORT_OPCODES_PLAIN)
		return !has_actions;
	if (option == REPORT_OPCODES_SERVICE_ACTION)
		return has_actions || !opcode_known;
	return true;
}

enum scsi_error scsi_decode_report_opcodes(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	enum report_opcodes option = cmd->cdb[2] & 0x07;

	if (option > REPORT_OPCODES_EITHER)
		return scsi_cdb_field(cmd, 2);
	if (!report_option_valid(unit, cmd, option))
		return scsi_cdb_field(cmd, 3);
	return scsi_decode_reply(cmd, in,
		option == REPORT_OPCODES_ALL ? build_all_opcodes : build_one_opcode,
		get_be32(cmd->cdb + 6));
}

/* ---- defects ------------------------------------------------------------- */

/* Both lists are empty, in any format. */
static uint32_t build_defects(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	bool short_form = cmd->op->cdb_length == 10;

	reply[1] = (short_form ? cmd->cdb[2] : cmd->cdb[1]) & DEFECTS_ASKED;
	return short_form ? DEFECTS_HEADER10 : DEFECTS_HEADER12;
}

enum scsi_error scsi_decode_defects(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool short_form = cmd->op->cdb_length == 10;

	return scsi_decode_reply(cmd, in, build_defects,
		short_form ? get_be16(cmd->cdb + 7) : get_be32(cmd->cdb + 6));
}

/* ---- task management ----------------------------------------------------- */

/* The transport can reset a unit or the whole target, and nothing else. */
static uint32_t build_task_management(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	bool extended = cmd->cdb[2] & TASK_EXTENDED;

	reply[0] = TASK_UNIT_RESET | TASK_TARGET_RESET;
	reply[3] = extended ? TASK_EXTENDED_SIZE - 4 : 0;
	return extended ? TASK_EXTENDED_SIZE : TASK_SIZE;
}

enum scsi_error scsi_decode_task_management(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t allocation = get_be32(cmd->cdb + 6);

	if (allocation < TASK_SIZE)
		return scsi_cdb_field(cmd, 6);
	return scsi_decode_reply(cmd, in, build_task_management, allocation);
}
