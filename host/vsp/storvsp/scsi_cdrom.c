/* SPDX-License-Identifier: MIT */
/*
 * A DVD-ROM drive with one image in it: its command table, its tray, and the
 * replies only a drive gives. Reading is as with a disk of 2048-byte blocks.
 *
 * The tray is one atomic, so that a command on any channel changes it as a whole:
 *
 *   CLOSED --eject, not LOCKED--> OPEN, event "removed"
 *   OPEN --close--> CLOSED, event "new medium", and the unit attention for it
 *   LOCKED is set and cleared by PREVENT ALLOW, in both states.
 */
#include "vsp/storvsp/scsi_impl.h"

#define TRAY_OPEN    0x1u
#define TRAY_LOCKED  0x2u
#define TRAY_NEW     0x4u /* events not yet told */
#define TRAY_REMOVED 0x8u

#define LOEJ          0x02u
#define START         0x01u
#define PREVENT       0x01u
#define OP_PREVENT    0x1Eu
#define TRACK_CONTROL 0x14u /* data track, position from Q channel */
#define LEAD_OUT      0xAAu
#define TOC_MSF       0x02u
#define FRAMES_START  150u

#define TRACK_BY          0x03u
#define TRACK_BY_BLOCK    0u
#define TRACK_BY_SESSION  2u
#define TRACK_INFO_SIZE   36u
#define TRACK_MODE_DATA   0x04u
#define TRACK_DATA_MODE_1 0x01u

#define PROFILE_DVD   0x0010u
#define PROFILE_CD    0x0008u
#define EVENT_POLLED  0x01u
#define EVENT_MEDIA   4u
#define EVENT_NONE    0x80u
#define MEDIA_NEW     2u
#define MEDIA_REMOVED 3u
#define MEDIA_OPEN    0x01u
#define MEDIA_PRESENT 0x02u
#define MODE_RECOVERY 0x01u
#define MODE_DRIVE    0x2Au
#define MODE_ALL      0x3Fu
#define MODE_PC_SAVED 3u
#define MODE_HEADER   8u

static scsi_build_fn build_event;

/* ---- tray ------------------------------------------------------------------------- */

bool scsi_tray_open(const struct scsi_unit *unit)
{
	return atomic_load_explicit(&unit->tray, memory_order_relaxed) & TRAY_OPEN;
}

static enum scsi_error eject(struct scsi_unit *unit)
{
	uint32_t old = atomic_load(&unit->tray), next;

	do {
		if (old & TRAY_OPEN)
			return SCSI_OK;
		if (old & TRAY_LOCKED)
			return SCSI_ERR_LOCKED;
		next = (old | TRAY_OPEN | TRAY_REMOVED) & ~TRAY_NEW;
	} while (!atomic_compare_exchange_weak(&unit->tray, &old, next));
	return SCSI_OK;
}

static enum scsi_error insert(struct scsi_unit *unit)
{
	uint32_t old = atomic_load(&unit->tray);

	do {
		if (!(old & TRAY_OPEN))
			return SCSI_OK;
	} while (!atomic_compare_exchange_weak(&unit->tray, &old, (old | TRAY_NEW) & ~TRAY_OPEN));
	scsi_unit_attention(unit, SCSI_ATTENTION_MEDIUM);
	return SCSI_OK;
}

enum scsi_error scsi_tray_perform(struct scsi_unit *unit, const struct scsi_cmd *cmd)
{
	if (cmd->op->opcode != OP_PREVENT)
		return cmd->cdb[4] & START ? insert(unit) : eject(unit);
	if (cmd->cdb[4] & PREVENT)
		atomic_fetch_or(&unit->tray, TRAY_LOCKED);
	else
		atomic_fetch_and(&unit->tray, ~TRAY_LOCKED);
	return SCSI_OK;
}

/* One at a time, the removal first: guests miss a change of the medium that is told at once. */
uint8_t scsi_tray_event(struct scsi_unit *unit, const struct scsi_cmd *cmd)
{
	if (cmd->build != build_event || cmd->reply_max <= 4) /* it would not reach the guest */
		return 0;
	if (atomic_fetch_and(&unit->tray, ~TRAY_REMOVED) & TRAY_REMOVED)
		return MEDIA_REMOVED;
	return atomic_fetch_and(&unit->tray, ~TRAY_NEW) & TRAY_NEW ? MEDIA_NEW : 0;
}

static enum scsi_error decode_start_stop(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[4] & LOEJ)
		cmd->action = SCSI_ACTION_TRAY;
	return SCSI_OK;
}

static enum scsi_error decode_prevent(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	cmd->action = SCSI_ACTION_TRAY;
	return SCSI_OK;
}

/* ---- table of contents: one data track -------------------------------------------- */

static void put_address(const struct scsi_cmd *cmd, uint8_t *to, uint64_t lba)
{
	uint64_t frames = lba + FRAMES_START;

	if (!(cmd->cdb[1] & TOC_MSF)) {
		put_be32(to, lba < UINT32_MAX ? (uint32_t)lba : UINT32_MAX);
		return;
	}
	to[1] = frames / (75 * 60) < 0xFF ? (uint8_t)(frames / (75 * 60)) : 0xFF;
	to[2] = (uint8_t)(frames / 75 % 60);
	to[3] = (uint8_t)(frames % 75);
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
	return cmd->cdb[2] & 0x0F ? cmd->cdb[2] & 0x0F : cmd->cdb[9] >> 6; /* now; long ago */
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

static enum scsi_error decode_toc(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (toc_format(cmd) > 1)
		return SCSI_ERR_CDB_FIELD;
	if (toc_format(cmd) == 0 && cmd->cdb[6] > 1 && cmd->cdb[6] != LEAD_OUT)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_toc, get_be16(cmd->cdb + 7));
}

/* The one track, whichever way it is asked for: by block, track number or session number. */
static uint32_t build_track(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply, TRACK_INFO_SIZE - 2);
	reply[2] = reply[3] = 1; /* track and session */
	reply[5] = TRACK_MODE_DATA;
	reply[6] = TRACK_DATA_MODE_1;
	put_be32(reply + 24, cmd->capacity < UINT32_MAX ? (uint32_t)cmd->capacity : UINT32_MAX);
	return TRACK_INFO_SIZE;
}

static enum scsi_error decode_track(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t by = cmd->cdb[1] & TRACK_BY;
	uint32_t number = get_be32(cmd->cdb + 2);

	if (by > TRACK_BY_SESSION || (by != TRACK_BY_BLOCK && number != 1))
		return SCSI_ERR_CDB_FIELD;
	if (by == TRACK_BY_BLOCK && number >= cmd->capacity)
		return SCSI_ERR_LBA_RANGE;
	return scsi_decode_reply(cmd, in, build_track, get_be16(cmd->cdb + 7));
}

/* ---- configuration ---------------------------------------------------------------- */

#define PERSISTENT 0x03u /* and so always current */
#define MEDIUM     0x01u /* current while there is a medium */

static const struct feature {
	uint16_t code;
	uint8_t flags; /* version << 2 | PERSISTENT or MEDIUM */
	uint8_t length;
	uint8_t data[8];
} features[] = {
	{0x0000, PERSISTENT, 8, {0, PROFILE_DVD, 0, 0, 0, PROFILE_CD}}, /* profiles */
	{0x0001, 2 << 2 | PERSISTENT, 8, {0, 0, 0, 1, 1}},              /* core: on SCSI */
	{0x0002, 1 << 2 | PERSISTENT, 4, {2}},                          /* events */
	{0x0003, PERSISTENT, 4, {0x29}},             /* tray, can be locked, can eject */
	{0x0010, MEDIUM, 8, {0, 0, 0x08, 0, 0, 16}}, /* random reading: blocks of 2048 */
	{0x001E, 0, 4, {0}},                         /* CD read */
	{0x001F, MEDIUM, 4, {0}},                    /* DVD read */
	{0x0100, PERSISTENT, 0, {0}},                /* power management */
	{0x0105, PERSISTENT, 4, {0}},                /* time-out */
};

static uint8_t *put_feature(const struct feature *f, bool open, uint8_t *to)
{
	put_be16(to, f->code);
	to[2] = f->flags == MEDIUM && open ? 0 : f->flags;
	to[3] = f->length;
	memcpy(to + 4, f->data, f->length);
	if (f->code == 0x0000)
		to[6] = !open; /* DVD-ROM is the current profile */
	return to + 4 + f->length;
}

static bool feature_asked(const struct scsi_cmd *cmd, const struct feature *f, bool open)
{
	uint16_t start = get_be16(cmd->cdb + 2);
	bool current = (f->flags & PERSISTENT) == PERSISTENT || (f->flags == MEDIUM && !open);

	switch (cmd->cdb[1] & 3) {
	case 0:
		return f->code >= start;
	case 1:
		return f->code >= start && current;
	default:
		return f->code == start;
	}
}

static uint32_t build_configuration(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	bool open = scsi_tray_open(unit);
	uint8_t *at = reply + 8;

	for (uint32_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (feature_asked(cmd, &features[i], open))
			at = put_feature(&features[i], open, at);
	put_be32(reply, (uint32_t)(at - reply) - 4);
	put_be16(reply + 6, open ? 0 : PROFILE_DVD);
	return (uint32_t)(at - reply);
}

static enum scsi_error decode_configuration(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if ((cmd->cdb[1] & 3) == 3)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_configuration, get_be16(cmd->cdb + 7));
}

/* ---- events ----------------------------------------------------------------------- */

static uint32_t build_event(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply, 6);
	reply[2] = EVENT_MEDIA;
	reply[3] = 1u << EVENT_MEDIA;
	reply[4] = cmd->event;
	reply[5] = scsi_tray_open(unit) ? MEDIA_OPEN : MEDIA_PRESENT;
	return 8;
}

static uint32_t build_no_event(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	put_be16(reply, 2);
	reply[2] = EVENT_NONE;
	reply[3] = 1u << EVENT_MEDIA;
	return 4;
}

static enum scsi_error decode_event(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool media = cmd->cdb[4] & (1u << EVENT_MEDIA);

	if (!(cmd->cdb[1] & EVENT_POLLED))
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(
		cmd, in, media ? build_event : build_no_event, get_be16(cmd->cdb + 7));
}

/* ---- disc, mechanism, mode -------------------------------------------------------- */

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

static enum scsi_error decode_disc(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[1] & 7)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_disc, get_be16(cmd->cdb + 7));
}

static uint32_t build_mechanism(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	reply[1] = scsi_tray_open(unit) ? 0x10 : 0;
	return 8;
}

static enum scsi_error decode_mechanism(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return scsi_decode_reply(cmd, in, build_mechanism, get_be16(cmd->cdb + 8));
}

static uint32_t build_mode(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	static const uint8_t recovery[12] = {MODE_RECOVERY, 10};
	/* Reads CD-R, CD-RW and DVD-ROM, writes nothing; a tray that locks and ejects. */
	static const uint8_t drive[22] = {MODE_DRIVE, 20, 0x0B, 0, 0x70, 0, 0x29, 0, 0x15, 0x70};
	uint8_t page = cmd->cdb[2] & 0x3F;
	uint8_t *at = reply + MODE_HEADER;

	if (page == MODE_RECOVERY || page == MODE_ALL) {
		memcpy(at, recovery, sizeof(recovery));
		at += sizeof(recovery);
	}
	if (page == MODE_DRIVE || page == MODE_ALL) {
		memcpy(at, drive, sizeof(drive));
		at += sizeof(drive);
	}
	put_be16(reply, (uint16_t)(at - reply - 2));
	return (uint32_t)(at - reply);
}

static enum scsi_error decode_mode(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t page = cmd->cdb[2] & 0x3F;

	if (cmd->cdb[3] || (page != MODE_RECOVERY && page != MODE_DRIVE && page != MODE_ALL))
		return SCSI_ERR_CDB_FIELD;
	if (cmd->cdb[2] >> 6 == MODE_PC_SAVED)
		return SCSI_ERR_SAVE_UNSUPPORTED;
	return scsi_decode_reply(cmd, in, build_mode, get_be16(cmd->cdb + 7));
}

#define NO_SA SCSI_NO_SERVICE_ACTION
#define IN    SCSI_OP_MEDIUM
#define FF2   0xFF, 0xFF
#define FF4   FF2, FF2
#define FF8   FF4, FF4

/* clang-format off */
const struct scsi_op scsi_cdrom_ops[] = {
	{0x00, NO_SA, 6, IN, "TEST UNIT READY", scsi_decode_none, {0}},
	{0x03, NO_SA, 6, SCSI_OP_CALM | SCSI_OP_TELLS, "REQUEST SENSE", scsi_decode_request_sense, {0, 1, 0, 0, 0xFF}},
	{0x12, NO_SA, 6, SCSI_OP_ABSENT | SCSI_OP_CALM, "INQUIRY", scsi_decode_inquiry, {0, 1, 0xFF, FF2}},
	{0x1B, NO_SA, 6, 0, "START STOP UNIT", decode_start_stop, {0, 1, 0, 0, 0xF7}},
	{0x1E, NO_SA, 6, 0, "PREVENT ALLOW", decode_prevent, {0, 0, 0, 0, 0x03}},
	{0x25, NO_SA, 10, IN, "READ CAPACITY(10)", scsi_decode_capacity10, {0}},
	{0x28, NO_SA, 10, IN, "READ(10)", scsi_decode_rw, {0, 0xF8, FF4, 0, FF2}},
	{0x43, NO_SA, 10, IN, "READ TOC", decode_toc, {0, 0x02, 0x0F, 0, 0, 0, 0xFF, FF2, 0xC0}},
	{0x46, NO_SA, 10, 0, "GET CONFIGURATION", decode_configuration, {0, 0x03, FF2, 0, 0, 0, FF2}},
	{0x4A, NO_SA, 10, SCSI_OP_CALM | SCSI_OP_EVENT, "GET EVENT STATUS NOTIFICATION", decode_event, {0, 0x01, 0, 0, 0xFF, 0, 0, FF2}},
	{0x51, NO_SA, 10, IN, "READ DISC INFORMATION", decode_disc, {0, 0x07, 0, 0, 0, 0, 0, FF2}},
	{0x52, NO_SA, 10, IN, "READ TRACK INFORMATION", decode_track, {0, 0x03, FF4, 0, FF2}},
	{0x5A, NO_SA, 10, 0, "MODE SENSE(10)", decode_mode, {0, 0x18, 0xFF, 0xFF, 0, 0, 0, FF2}},
	{0x88, NO_SA, 16, IN, "READ(16)", scsi_decode_rw, {0, 0xF8, FF8, FF4}},
	{0xA0, NO_SA, 12, SCSI_OP_ABSENT | SCSI_OP_CALM | SCSI_OP_LUNS, "REPORT LUNS", scsi_decode_report_luns, {0, 0, 0xFF, 0, 0, 0, FF4}},
	{0xA3, 0x0C, 12, 0, "REPORT SUPPORTED OPERATION CODES", scsi_decode_report_opcodes, {0, 0x0C, 0x07, 0xFF, FF2, FF4}},
	{0xA8, NO_SA, 12, IN, "READ(12)", scsi_decode_rw, {0, 0xF8, FF4, FF4}},
	{0xBD, NO_SA, 12, 0, "MECHANISM STATUS", decode_mechanism, {0, 0, 0, 0, 0, 0, 0, 0, FF2}},
};
/* clang-format on */

const uint32_t scsi_cdrom_op_count = sizeof(scsi_cdrom_ops) / sizeof(scsi_cdrom_ops[0]);
