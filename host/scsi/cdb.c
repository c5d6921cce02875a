/* SPDX-License-Identifier: MIT */
/* Checks that the decode functions of all commands share. */
#include <assert.h>

#include "scsi/scsi_impl.h"

void scsi_cdb_extent(struct scsi_cmd *cmd)
{
	const uint8_t *cdb = cmd->cdb;

	switch (cmd->op->cdb_length) {
	case 6:
		cmd->lba = get_be32(cdb) & 0x1FFFFF;
		cmd->blocks = cdb[4] ? cdb[4] : 256;
		break;
	case 10:
		cmd->lba = get_be32(cdb + 2);
		cmd->blocks = get_be16(cdb + 7);
		break;
	case 12:
		cmd->lba = get_be32(cdb + 2);
		cmd->blocks = get_be32(cdb + 6);
		break;
	case 16:
		cmd->lba = get_be64(cdb + 2);
		cmd->blocks = get_be32(cdb + 10);
		break;
	default:
		assert(!"command length");
	}
}

bool scsi_extent_fits(const struct scsi_cmd *cmd, uint64_t lba, uint64_t blocks)
{
	return lba <= cmd->capacity && blocks <= cmd->capacity - lba;
}

enum scsi_error scsi_decode_with_list(
	struct scsi_cmd *cmd, const struct scsi_input *in, scsi_list_fn *list, uint32_t length)
{
	assert(length > 0 && length <= SCSI_SCRATCH_SIZE);
	if (in->dir != SCSI_DIR_OUT || length > in->length)
		return SCSI_ERR_CDB_FIELD;
	cmd->list = list;
	cmd->list_length = length;
	return SCSI_OK;
}

enum scsi_error scsi_decode_reply(struct scsi_cmd *cmd, const struct scsi_input *in,
	scsi_build_fn *build, uint32_t allocation)
{
	if (in->length && in->dir != SCSI_DIR_IN)
		return SCSI_ERR_CDB_FIELD;
	cmd->action = SCSI_ACTION_REPLY;
	cmd->build = build;
	cmd->reply_max = allocation < in->length ? allocation : in->length;
	return SCSI_OK;
}

enum scsi_error scsi_decode_none(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return SCSI_OK;
}

enum scsi_error scsi_decode_transfer(struct scsi_cmd *cmd, const struct scsi_unit *unit,
	const struct scsi_input *in, enum scsi_action action)
{
	enum scsi_dir dir = action == SCSI_ACTION_READ ? SCSI_DIR_IN : SCSI_DIR_OUT;

	if (!scsi_extent_fits(cmd, cmd->lba, cmd->blocks))
		return SCSI_ERR_LBA_RANGE;
	if (cmd->blocks == 0 || action == SCSI_ACTION_NONE)
		return SCSI_OK;
	if (in->dir != dir || cmd->blocks > in->length / unit->info.block_size)
		return SCSI_ERR_CDB_FIELD;
	cmd->action = action;
	return SCSI_OK;
}
