/* SPDX-License-Identifier: MIT */
/* The first half of every command: looks up its row, makes the checks of the row's flags, and calls
 * the decode function. */
#include "scsi/scsi_impl.h"

const struct scsi_op_table *scsi_ops_of(const struct scsi_unit *unit)
{
	return unit->cdrom ? &scsi_dvd_ops : &scsi_disk_ops;
}

enum scsi_error scsi_decode(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool opcode_known;
	enum scsi_error error;

	memset(cmd, 0, sizeof(*cmd));
	memcpy(cmd->cdb, in->cdb, sizeof(cmd->cdb));
	cmd->ops = scsi_ops_of(unit);
	cmd->op = scsi_op_find(cmd->ops, unit, cmd->cdb, &opcode_known);
	if (!unit->present && !(cmd->op && (cmd->op->flags & SCSI_OP_ABSENT)))
		return SCSI_ERR_NO_LUN;
	if (unit->present)
		cmd->capacity = atomic_load_explicit(&unit->size, memory_order_acquire) /
				unit->info.block_size;
	if (in->cdb_length == 0 || in->cdb_length > SCSI_CDB_SIZE)
		return SCSI_ERR_CDB_FIELD;
	if (!cmd->op)
		return opcode_known ? scsi_cdb_field(cmd, 1) : SCSI_ERR_INVALID_OPCODE;
	if (in->cdb_length < cmd->op->cdb_length)
		return SCSI_ERR_CDB_FIELD;
	if ((cmd->op->flags & SCSI_OP_WRITES) && unit->info.read_only)
		return SCSI_ERR_WRITE_PROTECTED;
	if ((cmd->op->flags & SCSI_OP_WRITES) &&
		atomic_load_explicit(&unit->write_protect, memory_order_relaxed))
		return SCSI_ERR_SOFTWARE_PROTECTED;
	if ((cmd->op->flags & SCSI_OP_MEDIUM) && scsi_tray_open(unit))
		return SCSI_ERR_NO_MEDIUM;
	error = cmd->op->decode(cmd, unit, in);
	/* Without a write cache in use, writes are durable when they complete. */
	if ((cmd->op->flags & SCSI_OP_WRITES) &&
		atomic_load_explicit(&unit->cache, memory_order_relaxed) != SCSI_CACHE_ON)
		cmd->fua = true;
	return error;
}
