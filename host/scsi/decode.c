/* SPDX-License-Identifier: MIT */
/* The first half of block commands: checks only. See scsi.h. */
#include "scsi/scsi_impl.h"

#define CDB1_PROTECT        0xE0u /* RDPROTECT, WRPROTECT, VRPROTECT */
#define CDB1_FUA            0x08u
#define CDB1_BYTCHK         0x06u
#define BYTCHK_WHOLE        0x02u
#define WRITE_SAME_ANCHOR   0x10u
#define WRITE_SAME_UNMAP    0x08u
#define WRITE_SAME_OBSOLETE 0x06u /* PBDATA, LBDATA */
#define WRITE_SAME_NDOB     0x01u
#define UNMAP_ANCHOR        0x01u
#define UNMAP_HEADER        8u
#define UNMAP_DESCRIPTOR    16u
#define UNMAP_LIST_MAX      (UNMAP_HEADER + UNMAP_DESCRIPTOR * SCSI_UNMAP_DESCRIPTORS_MAX)
#define START_STOP_START    0x01u
#define START_STOP_LOEJ     0x02u
#define START_STOP_POWER    0xF0u
#define DIAGNOSTIC_CODE     0xE0u
#define FORMAT_PROTECTION   0xC0u
#define RESERVE_EXTENT      0x01u
#define RESERVE_OTHER       0x10u

/* The data buffer must have the size that follows from the CDB: another size is an error of the
 * initiator that writing part of the data would hide. */
static bool data_out_is(const struct scsi_input *in, uint64_t length)
{
	return length == 0 ? in->length == 0 : in->dir == SCSI_DIR_OUT && in->length == length;
}

/* Verified data are on the medium, hence FUA; BYTCHK adds a read and a comparison. */
static enum scsi_error decode_write_verify(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t check = cmd->cdb[1] & CDB1_BYTCHK;

	if (check && check != BYTCHK_WHOLE)
		return scsi_cdb_field(cmd, 1);
	cmd->fua = true;
	return scsi_decode_transfer(
		cmd, unit, in, check ? SCSI_ACTION_WRITE_VERIFY : SCSI_ACTION_WRITE);
}

/* READ, WRITE and WRITE AND VERIFY. */
enum scsi_error scsi_decode_rw(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool write = cmd->op->flags & SCSI_OP_WRITES;

	scsi_cdb_extent(cmd);
	if (cmd->op->cdb_length > 6) {
		if (cmd->cdb[1] & CDB1_PROTECT)
			return scsi_cdb_field(cmd, 1);
		cmd->fua = cmd->cdb[1] & CDB1_FUA;
	}
	if (cmd->op->flags & SCSI_OP_VERIFY)
		return decode_write_verify(cmd, unit, in);
	return scsi_decode_transfer(cmd, unit, in, write ? SCSI_ACTION_WRITE : SCSI_ACTION_READ);
}

/* With BYTCHK the medium is compared with the data buffer; else only the range is checked. */
enum scsi_error scsi_decode_verify(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t check = cmd->cdb[1] & CDB1_BYTCHK;

	scsi_cdb_extent(cmd);
	if ((cmd->cdb[1] & CDB1_PROTECT) || (check && check != BYTCHK_WHOLE))
		return scsi_cdb_field(cmd, 1);
	return scsi_decode_transfer(cmd, unit, in, check ? SCSI_ACTION_COMPARE : SCSI_ACTION_NONE);
}

/* The buffer has the blocks to compare with, then as many to write. */
enum scsi_error scsi_decode_compare_write(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	cmd->lba = get_be64(cmd->cdb + 2);
	cmd->blocks = cmd->cdb[13];
	if (cmd->cdb[1] & CDB1_PROTECT)
		return scsi_cdb_field(cmd, 1);
	if (cmd->blocks > SCSI_COMPARE_WRITE_BLOCKS_MAX)
		return scsi_cdb_field(cmd, 13);
	if (!scsi_extent_fits(cmd, cmd->lba, cmd->blocks))
		return SCSI_ERR_LBA_RANGE;
	if (!data_out_is(in, 2 * cmd->blocks * unit->info.block_size))
		return scsi_cdb_field(cmd, 13);
	if (cmd->blocks == 0)
		return SCSI_OK;
	cmd->fua = cmd->cdb[1] & CDB1_FUA;
	cmd->action = SCSI_ACTION_COMPARE_WRITE;
	return SCSI_OK;
}

enum scsi_error scsi_decode_or_write(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	scsi_cdb_extent(cmd);
	if (cmd->cdb[1] & CDB1_PROTECT)
		return scsi_cdb_field(cmd, 1);
	cmd->fua = cmd->cdb[1] & CDB1_FUA;
	return scsi_decode_transfer(cmd, unit, in, SCSI_ACTION_OR_WRITE);
}

/* No block needs to be in a cache before it is read: only the range is checked. */
enum scsi_error scsi_decode_pre_fetch(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	scsi_cdb_extent(cmd);
	return scsi_decode_transfer(cmd, unit, in, SCSI_ACTION_NONE);
}

/* The whole disk is flushed, whatever the range. */
enum scsi_error scsi_decode_sync(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	scsi_cdb_extent(cmd);
	if (!scsi_extent_fits(cmd, cmd->lba, cmd->blocks))
		return SCSI_ERR_LBA_RANGE;
	cmd->action = SCSI_ACTION_FLUSH;
	return SCSI_OK;
}

static bool write_same_flags_valid(const struct scsi_cmd *cmd, const struct scsi_unit *unit)
{
	uint8_t refused = CDB1_PROTECT | WRITE_SAME_ANCHOR | WRITE_SAME_OBSOLETE;

	if (cmd->op->cdb_length == 10)
		refused |= WRITE_SAME_NDOB;
	if (!unit->info.discard)
		refused |= WRITE_SAME_UNMAP;
	return !(cmd->cdb[1] & refused);
}

static bool block_is_zero(const uint8_t *block, uint32_t size)
{
	return block[0] == 0 && !memcmp(block, block + 1, size - 1);
}

static enum scsi_error write_same_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *block)
{
	if (!block_is_zero(block, unit->info.block_size))
		cmd->action = SCSI_ACTION_WRITE_PATTERN;
	return SCSI_OK;
}

/* Without data (NDOB) zeros are written; with data write_same_list() decides. */
enum scsi_error scsi_decode_write_same(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	scsi_cdb_extent(cmd);
	if (!write_same_flags_valid(cmd, unit))
		return scsi_cdb_field(cmd, 1);
	if (!scsi_extent_fits(cmd, cmd->lba, cmd->blocks))
		return SCSI_ERR_LBA_RANGE;
	if (cmd->blocks == 0) /* to the end of the medium */
		cmd->blocks = cmd->capacity - cmd->lba;
	if (cmd->blocks > SCSI_WRITE_SAME_BYTES_MAX / unit->info.block_size)
		return scsi_cdb_field(cmd, cmd->op->cdb_length == 10 ? 7 : 10);
	if (!data_out_is(in, cmd->cdb[1] & WRITE_SAME_NDOB ? 0 : unit->info.block_size))
		return SCSI_ERR_CDB_FIELD;
	if (cmd->blocks == 0)
		return SCSI_OK;
	cmd->may_unmap = cmd->cdb[1] & WRITE_SAME_UNMAP;
	cmd->action = SCSI_ACTION_WRITE_ZEROES;
	if (cmd->cdb[1] & WRITE_SAME_NDOB)
		return SCSI_OK;
	return scsi_decode_with_list(cmd, in, write_same_list, unit->info.block_size);
}

void scsi_unmap_descriptor(const uint8_t *list, uint32_t index, uint64_t *lba, uint32_t *blocks)
{
	const uint8_t *d = list + UNMAP_HEADER + index * UNMAP_DESCRIPTOR;

	*lba = get_be64(d);
	*blocks = get_be32(d + 8);
}

/* All descriptors are checked before the first is performed. */
static enum scsi_error unmap_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	uint32_t room = cmd->list_length - UNMAP_HEADER;
	uint32_t bytes = get_be16(list + 2);

	if (bytes > room) /* a shortened list is legal */
		bytes = room;
	cmd->descriptors = bytes / UNMAP_DESCRIPTOR;
	for (uint32_t i = 0; i < cmd->descriptors; i++) {
		uint64_t lba;
		uint32_t blocks;

		scsi_unmap_descriptor(list, i, &lba, &blocks);
		if (!scsi_extent_fits(cmd, lba, blocks))
			return SCSI_ERR_LBA_RANGE;
	}
	cmd->action = SCSI_ACTION_UNMAP;
	return SCSI_OK;
}

enum scsi_error scsi_decode_unmap(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t length = get_be16(cmd->cdb + 7);

	if (cmd->cdb[1] & UNMAP_ANCHOR)
		return scsi_cdb_field(cmd, 1);
	if (length == 0)
		return SCSI_OK;
	if (length < UNMAP_HEADER)
		return SCSI_ERR_PARAM_LENGTH;
	if (length > UNMAP_LIST_MAX)
		return SCSI_ERR_PARAM_FIELD;
	return scsi_decode_with_list(cmd, in, unmap_list, length);
}

/* STOP flushes the disk; there is no motor. */
enum scsi_error scsi_decode_start_stop(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[4] & (START_STOP_LOEJ | START_STOP_POWER))
		return scsi_cdb_field(cmd, 4);
	if (!(cmd->cdb[4] & START_STOP_START))
		cmd->action = SCSI_ACTION_FLUSH;
	return SCSI_OK;
}

/* The default self-test always passes; other tests and parameter lists are not supported. */
enum scsi_error scsi_decode_send_diagnostic(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if ((cmd->cdb[1] & DIAGNOSTIC_CODE) || get_be16(cmd->cdb + 3))
		return SCSI_ERR_CDB_FIELD;
	return SCSI_OK;
}

/* Formatting has no effect: the contents stay. */
enum scsi_error scsi_decode_format(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return cmd->cdb[1] & FORMAT_PROTECTION ? scsi_cdb_field(cmd, 1) : SCSI_OK;
}

/* RESERVE(6) and RELEASE(6): the single initiator always holds the whole unit. */
enum scsi_error scsi_decode_reserve6(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return cmd->cdb[1] & (RESERVE_EXTENT | RESERVE_OTHER) ? scsi_cdb_field(cmd, 1) : SCSI_OK;
}

enum scsi_error scsi_decode_lba_status(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t allocation = get_be32(cmd->cdb + 10);

	cmd->lba = get_be64(cmd->cdb + 2);
	if (cmd->lba >= cmd->capacity)
		return SCSI_ERR_LBA_RANGE;
	if (in->length && in->dir != SCSI_DIR_IN)
		return SCSI_ERR_CDB_FIELD;
	cmd->action = SCSI_ACTION_LBA_STATUS;
	cmd->reply_max = allocation < in->length ? allocation : in->length;
	return SCSI_OK;
}
