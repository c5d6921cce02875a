/* SPDX-License-Identifier: MIT */
/*
 * LOG SENSE: the list of pages, and informational exceptions (2Fh), where tools
 * look for a disk's own opinion of its health. A disk image has none to tell,
 * nor a temperature.
 */
#include "vsp/storvsp/scsi_impl.h"

#define LOG_PAGES      0x00u
#define LOG_EXCEPTIONS 0x2Fu
#define LOG_HEADER     4u

#define LOG_SP            0x01u
#define LOG_PPC           0x02u
#define PC_CURRENT        1u /* cumulative values, thresholds and defaults: nothing here has them */
#define PARAM_BINARY_LIST 0x03u
#define TEMPERATURE_NONE  0xFFu

static uint32_t log_header(const struct scsi_cmd *cmd, uint8_t *reply, uint16_t length)
{
	reply[0] = cmd->cdb[2] & 0x3F;
	put_be16(reply + 2, length);
	return LOG_HEADER + length;
}

static uint32_t build_pages(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	reply[LOG_HEADER] = LOG_PAGES;
	reply[LOG_HEADER + 1] = LOG_EXCEPTIONS;
	return log_header(cmd, reply, 2);
}

/* Parameter 0, four bytes: code and qualifier 00/00, no temperature. */
static uint32_t build_exceptions(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *parameter = reply + LOG_HEADER;

	parameter[2] = PARAM_BINARY_LIST;
	parameter[3] = 4;
	parameter[6] = TEMPERATURE_NONE;
	return log_header(cmd, reply, 8);
}

enum scsi_error scsi_decode_log_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t page = cmd->cdb[2] & 0x3F;

	if (cmd->cdb[1] & (LOG_SP | LOG_PPC))
		return SCSI_ERR_CDB_FIELD;
	if (cmd->cdb[2] >> 6 != PC_CURRENT && page != LOG_PAGES)
		return SCSI_ERR_CDB_FIELD;
	if ((page != LOG_PAGES && page != LOG_EXCEPTIONS) || cmd->cdb[3])
		return SCSI_ERR_CDB_FIELD;
	if (get_be16(cmd->cdb + 5)) /* no parameter is that high */
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, page == LOG_PAGES ? build_pages : build_exceptions,
		get_be16(cmd->cdb + 7));
}
