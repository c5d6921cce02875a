/* SPDX-License-Identifier: MIT */
/* Data about the medium of a DVD-ROM drive: one session with one data track, one layer. */
#include "scsi/scsi_impl.h"

#define TRACK_CONTROL 0x14u /* data track, position from Q channel */
#define LEAD_OUT      0xAAu
#define TOC_MSF       0x02u
#define FRAMES_START  150u

#define RAW_DESCRIPTOR 11u
#define RAW_FIRST      0xA0u
#define RAW_LAST       0xA1u
#define RAW_LEAD_OUT   0xA2u

#define TRACK_OPEN     0x04u
#define TRACK_BY_LBA   0u
#define TRACK_BY_TRACK 1u
#define TRACK_SIZE     36u
#define LAST_VALID     0x02u

#define STRUCTURE_DVD           0x00u
#define STRUCTURE_PHYSICAL      0x00u
#define STRUCTURE_COPYRIGHT     0x01u
#define STRUCTURE_MANUFACTURING 0x04u
#define STRUCTURE_LIST          0xFFu
#define STRUCTURE_SIZE          2048u
#define STRUCTURE_READABLE      0x40u
#define DVD_FIRST_SECTOR        0x30000u
#define BOOK_ROM                0x01u
#define SIZE_120MM_ANY_RATE     0x0Fu
#define LAYER_EMBOSSED          0x01u

#define READ_CD_TYPE      0x1Cu
#define READ_CD_ANY       0x00u
#define READ_CD_MODE_1    0x08u
#define READ_CD_USER_DATA 0x10u

/* ---- table of contents --------------------------------------------------- */

static void put_msf(uint8_t *to, uint64_t lba)
{
	uint64_t frames = lba + FRAMES_START;

	to[1] = frames / (75 * 60) < 0xFF ? (uint8_t)(frames / (75 * 60)) : 0xFF;
	to[2] = (uint8_t)(frames / 75 % 60);
	to[3] = (uint8_t)(frames % 75);
}

static void put_address(const struct scsi_cmd *cmd, uint8_t *to, uint64_t lba)
{
	if (cmd->cdb[1] & TOC_MSF)
		put_msf(to, lba);
	else
		put_be32(to, lba < UINT32_MAX ? (uint32_t)lba : UINT32_MAX);
}

static uint8_t *put_track(const struct scsi_cmd *cmd, uint8_t *to, uint8_t track, uint64_t lba)
{
	to[1] = TRACK_CONTROL;
	to[2] = track;
	put_address(cmd, to + 4, lba);
	return to + 8;
}

static uint8_t toc_format(const struct scsi_cmd *cmd)
{
	return cmd->cdb[2] & 0x0F ? cmd->cdb[2] & 0x0F : cmd->cdb[9] >> 6; /* MMC; SFF 8020 */
}

static uint32_t build_toc(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + 4;

	if (toc_format(cmd) == 1 || cmd->cdb[6] <= 1)
		at = put_track(cmd, at, 1, 0);
	if (toc_format(cmd) == 0)
		at = put_track(cmd, at, LEAD_OUT, cmd->capacity);
	put_be16(reply, (uint16_t)(at - reply - 2));
	reply[2] = reply[3] = 1;
	return (uint32_t)(at - reply);
}

static uint8_t *put_raw(const struct scsi_cmd *cmd, uint8_t *to, uint8_t point)
{
	to[0] = 1; /* session */
	to[1] = TRACK_CONTROL;
	to[3] = point;
	return to + RAW_DESCRIPTOR;
}

/* As in the lead-in: addresses are always minutes, seconds and frames. */
static uint32_t build_raw_toc(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + 4;

	at[8] = 1;
	at = put_raw(cmd, at, RAW_FIRST);
	at[8] = 1;
	at = put_raw(cmd, at, RAW_LAST);
	put_msf(at + 7, cmd->capacity);
	at = put_raw(cmd, at, RAW_LEAD_OUT);
	put_msf(at + 7, 0);
	at = put_raw(cmd, at, 1);
	put_be16(reply, (uint16_t)(at - reply - 2));
	reply[2] = reply[3] = 1;
	return (uint32_t)(at - reply);
}

enum scsi_error scsi_decode_toc(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (toc_format(cmd) > 2)
		return SCSI_ERR_CDB_FIELD;
	if (toc_format(cmd) == 2) {
		if (cmd->cdb[6] > 1) /* first session requested */
			return SCSI_ERR_CDB_FIELD;
		return scsi_decode_reply(cmd, in, build_raw_toc, get_be16(cmd->cdb + 7));
	}
	if (toc_format(cmd) == 0 && cmd->cdb[6] > 1 && cmd->cdb[6] != LEAD_OUT)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_toc, get_be16(cmd->cdb + 7));
}

/* ---- disc ---------------------------------------------------------------- */

static uint32_t build_disc(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply, 32);
	reply[2] = 0x0E; /* last session and disc are complete */
	reply[3] = reply[4] = reply[5] = reply[6] = 1;
	reply[7] = 0x20; /* unrestricted use */
	put_be32(reply + 16, UINT32_MAX);
	put_be32(reply + 20, UINT32_MAX);
	return 34;
}

enum scsi_error scsi_decode_disc(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[1] & 7)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_disc, get_be16(cmd->cdb + 7));
}

/* ---- track --------------------------------------------------------------- */

static uint32_t clamp32(uint64_t blocks)
{
	return blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX;
}

static uint32_t build_track(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply, TRACK_SIZE - 2);
	reply[2] = reply[3] = 1; /* track, session */
	reply[5] = TRACK_CONTROL & 0x0F;
	reply[6] = 1; /* data mode 1 */
	reply[7] = LAST_VALID;
	put_be32(reply + 24, clamp32(cmd->capacity));
	put_be32(reply + 28, clamp32(cmd->capacity - 1));
	return TRACK_SIZE;
}

enum scsi_error scsi_decode_track(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t address = get_be32(cmd->cdb + 2);
	uint8_t by = cmd->cdb[1] & 3;

	if ((cmd->cdb[1] & TRACK_OPEN) || by > TRACK_BY_TRACK + 1)
		return SCSI_ERR_CDB_FIELD;
	if (by == TRACK_BY_LBA && address >= cmd->capacity)
		return SCSI_ERR_LBA_RANGE;
	if (by != TRACK_BY_LBA && address != 1)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_track, get_be16(cmd->cdb + 7));
}

/* ---- DVD structures ------------------------------------------------------ */

static uint32_t structure(uint8_t *reply, uint32_t size)
{
	put_be16(reply, (uint16_t)(size + 2));
	return 4 + size;
}

static uint32_t build_physical(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + 4;

	at[0] = BOOK_ROM;
	at[1] = SIZE_120MM_ANY_RATE;
	at[2] = LAYER_EMBOSSED;
	put_be32(at + 4, DVD_FIRST_SECTOR);
	put_be32(at + 8, (uint32_t)(DVD_FIRST_SECTOR + cmd->capacity - 1) & 0xFFFFFF);
	return structure(reply, STRUCTURE_SIZE);
}

/* Not protected, for all regions. */
static uint32_t build_copyright(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	return structure(reply, 4);
}

static uint32_t build_manufacturing(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	return structure(reply, STRUCTURE_SIZE);
}

static scsi_build_fn build_structures;

static const struct {
	uint8_t format;
	uint16_t size; /* with the header */
	scsi_build_fn *build;
} structures[] = {
	{STRUCTURE_PHYSICAL, STRUCTURE_SIZE + 4, build_physical},
	{STRUCTURE_COPYRIGHT, 8, build_copyright},
	{STRUCTURE_MANUFACTURING, STRUCTURE_SIZE + 4, build_manufacturing},
	{STRUCTURE_LIST, 0, build_structures},
};
#define STRUCTURE_COUNT (sizeof(structures) / sizeof(structures[0]))

static uint32_t build_structures(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + 4;

	for (uint32_t i = 0; i < STRUCTURE_COUNT; i++) {
		if (!structures[i].size)
			continue;
		at[0] = structures[i].format;
		at[1] = STRUCTURE_READABLE;
		put_be16(at + 2, structures[i].size);
		at += 4;
	}
	return structure(reply, (uint32_t)(at - reply) - 4);
}

enum scsi_error scsi_decode_structure(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if ((cmd->cdb[1] & 0x0F) != STRUCTURE_DVD || cmd->cdb[6]) /* a second layer */
		return SCSI_ERR_CDB_FIELD;
	for (uint32_t i = 0; i < STRUCTURE_COUNT; i++)
		if (structures[i].format == cmd->cdb[7])
			return scsi_decode_reply(
				cmd, in, structures[i].build, get_be16(cmd->cdb + 8));
	return SCSI_ERR_CDB_FIELD;
}

/* ---- READ CD ------------------------------------------------------------- */

/* An image has the user data of data sectors only: no headers, no check bytes, no sub-channels. */
enum scsi_error scsi_decode_read_cd(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t type = cmd->cdb[1] & READ_CD_TYPE, fields = cmd->cdb[9];

	if (type != READ_CD_ANY && type != READ_CD_MODE_1)
		return SCSI_ERR_TRACK_MODE;
	if ((fields & ~READ_CD_USER_DATA) || cmd->cdb[10])
		return SCSI_ERR_CDB_FIELD;
	cmd->lba = get_be32(cmd->cdb + 2);
	cmd->blocks = get_be32(cmd->cdb + 5) & 0xFFFFFF;
	return scsi_decode_transfer(cmd, unit, in, fields ? SCSI_ACTION_READ : SCSI_ACTION_NONE);
}

/* There is no head to move. */
enum scsi_error scsi_decode_seek(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return get_be32(cmd->cdb + 2) < cmd->capacity ? SCSI_OK : SCSI_ERR_LBA_RANGE;
}
