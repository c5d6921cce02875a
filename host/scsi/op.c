/* SPDX-License-Identifier: MIT */
/* Finding a command in the table of a unit. */
#include "scsi/scsi_impl.h"

bool scsi_op_supported(const struct scsi_unit *unit, const struct scsi_op *op)
{
	if ((op->flags & SCSI_OP_UNMAPS) && !unit->info.discard)
		return false;
	if ((op->flags & SCSI_OP_FENCED) && !unit->fence)
		return false;
	return !(op->flags & SCSI_OP_RESERVES) || unit->reservation;
}

const struct scsi_op *scsi_op_find(const struct scsi_op_table *table, const struct scsi_unit *unit,
	const uint8_t *cdb, bool *opcode_known)
{
	*opcode_known = false;
	for (uint32_t i = 0; i < table->count; i++) {
		const struct scsi_op *op = &table->ops[i];

		if (op->opcode != cdb[0] || !scsi_op_supported(unit, op))
			continue;
		*opcode_known = true;
		if (op->service_action == SCSI_NO_SERVICE_ACTION ||
			op->service_action == (cdb[1] & 0x1F))
			return op;
	}
	return NULL;
}
