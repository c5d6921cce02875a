/* SPDX-License-Identifier: MIT */
/*
 * LOG SENSE: the lists of pages and of subpages, and informational exceptions (2Fh), which tools
 * read for the health of a disk. A disk image reports none, and no temperature.
 */
#include "scsi/scsi_impl.h"

#define LOG_PAGES      0x00u
#define LOG_EXCEPTIONS 0x2Fu
#define LOG_HEADER     4u
#define LOG_SPF        0x40u
#define SUBPAGES_ALL   0xFFu

#define LOG_SP            0x01u
#define LOG_PPC           0x02u
#define PC_CURRENT        1u /* no cumulative values, thresholds or defaults */
#define PARAM_BINARY_LIST 0x03u
#define TEMPERATURE_NONE  0xFFu

static uint32_t log_header(const struct scsi_cmd *cmd, uint8_t *reply, uint16_t length)
{
	reply[0] = (uint8_t)((cmd->cdb[2] & 0x3F) | (cmd->cdb[3] ? LOG_SPF : 0));
	reply[1] = cmd->cdb[3];
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

/* Pages and subpages in pairs. */
static uint32_t build_subpages(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	static const uint8_t pairs[] = {LOG_PAGES, 0, LOG_PAGES, SUBPAGES_ALL, LOG_EXCEPTIONS, 0};

	memcpy(reply + LOG_HEADER, pairs, sizeof(pairs));
	return log_header(cmd, reply, sizeof(pairs));
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

static scsi_build_fn *find_page(uint8_t page, uint8_t subpage)
{
	if (page == LOG_PAGES && subpage == SUBPAGES_ALL)
		return build_subpages;
	if (subpage)
		return NULL;
	if (page == LOG_PAGES)
		return build_pages;
	return page == LOG_EXCEPTIONS ? build_exceptions : NULL;
}

enum scsi_error scsi_decode_log_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t page = cmd->cdb[2] & 0x3F;
	scsi_build_fn *build = find_page(page, cmd->cdb[3]);

	if (cmd->cdb[1] & (LOG_SP | LOG_PPC))
		return scsi_cdb_field(cmd, 1);
	if (!build || (cmd->cdb[2] >> 6 != PC_CURRENT && page != LOG_PAGES))
		return scsi_cdb_field(cmd, 2);
	if (get_be16(cmd->cdb + 5)) /* all parameter codes are 0 */
		return scsi_cdb_field(cmd, 5);
	return scsi_decode_reply(cmd, in, build, get_be16(cmd->cdb + 7));
}
