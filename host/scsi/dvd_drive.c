/* SPDX-License-Identifier: MIT */
/* Data about a DVD-ROM drive: features, mode pages, mechanism, speed. */
#include "scsi/scsi_impl.h"

#define PROFILE_DVD 0x0010u
#define PROFILE_CD  0x0008u

#define MODE_ALL         0x3Fu
#define MODE_SUBPAGE_ALL 0xFFu
#define MODE_PC_CHANGE   1u
#define MODE_PC_SAVED    3u
#define MODE_SELECT_SP   0x01u
#define MODE_LIST_MAX    256u
#define MODE_DESCRIPTOR  8u

#define SPEED       5540u /* kB/s: 4x */
#define SPEED_BYTES (SPEED >> 8), (SPEED & 0xFF)

#define PERFORMANCE_SPEEDS       0x00u
#define PERFORMANCE_WRITE_SPEEDS 0x03u
#define PERFORMANCE_NOMINAL      0x10u /* tolerance 10 %, reading, all */
#define PERFORMANCE_WRITE        0x04u
#define PERFORMANCE_EXCEPTIONS   0x03u
#define STREAMING_LIST           28u

/* ---- configuration ------------------------------------------------------- */

#define PERSISTENT 0x03u /* always current */
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

enum scsi_error scsi_decode_configuration(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if ((cmd->cdb[1] & 3) == 3)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_configuration, get_be16(cmd->cdb + 7));
}

/* ---- mode pages: nothing in them can be changed -------------------------- */

/* Sorted, as MODE SENSE returns them. */
static const struct mode_page {
	uint8_t size;
	uint8_t bytes[22];
} mode_pages[] = {
	{12, {0x01, 10}},                           /* error recovery */
	{12, {0x1A, 10}},                           /* power conditions: no timers */
	{12, {0x1D, 10, 0, 0, 0, 0, 0, 60, 0, 60}}, /* time-outs: a minute */
	/* reads CD-R, CD-RW and DVD-ROM, writes nothing; a tray that locks and ejects */
	{22, {0x2A, 20, 0x0B, 0, 0x70, 0, 0x29, 0, SPEED_BYTES, 0, 0, 0, 0, SPEED_BYTES}},
};
#define MODE_PAGE_COUNT (sizeof(mode_pages) / sizeof(mode_pages[0]))

static bool mode_short(const struct scsi_cmd *cmd)
{
	return cmd->op->cdb_length == 6;
}

static uint32_t mode_header(const struct scsi_cmd *cmd)
{
	return mode_short(cmd) ? 4 : 8;
}

static bool mode_asked(const struct scsi_cmd *cmd, const struct mode_page *page)
{
	uint8_t code = cmd->cdb[2] & 0x3F;

	return code == MODE_ALL || code == page->bytes[0];
}

static uint32_t build_mode(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint8_t *at = reply + mode_header(cmd);

	for (uint32_t i = 0; i < MODE_PAGE_COUNT; i++) {
		const struct mode_page *page = &mode_pages[i];

		if (!mode_asked(cmd, page))
			continue;
		memcpy(at, page->bytes, cmd->cdb[2] >> 6 == MODE_PC_CHANGE ? 2 : page->size);
		at += page->size;
	}
	if (mode_short(cmd))
		reply[0] = (uint8_t)(at - reply - 1);
	else
		put_be16(reply, (uint16_t)(at - reply - 2));
	return (uint32_t)(at - reply);
}

enum scsi_error scsi_decode_drive_mode_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool exists = false;

	for (uint32_t i = 0; i < MODE_PAGE_COUNT; i++)
		exists = exists || mode_asked(cmd, &mode_pages[i]);
	if (!exists || (cmd->cdb[3] && cmd->cdb[3] != MODE_SUBPAGE_ALL))
		return SCSI_ERR_CDB_FIELD;
	if (cmd->cdb[2] >> 6 == MODE_PC_SAVED)
		return SCSI_ERR_SAVE_UNSUPPORTED;
	return scsi_decode_reply(
		cmd, in, build_mode, mode_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7));
}

/* A page is accepted with its current values only. */
static const struct mode_page *mode_page_equal(const uint8_t *bytes, uint32_t room)
{
	for (uint32_t i = 0; i < MODE_PAGE_COUNT; i++)
		if (mode_pages[i].size <= room &&
			!memcmp(mode_pages[i].bytes, bytes, mode_pages[i].size))
			return &mode_pages[i];
	return NULL;
}

/* Some drivers set the block length; only the current one is accepted. */
static bool descriptor_valid(const uint8_t *descriptor, uint32_t length)
{
	uint32_t block = length ? get_be32(descriptor + 4) & 0xFFFFFF : 0;

	return length == 0 ||
	       (length == MODE_DESCRIPTOR && (block == 0 || block == SCSI_CDROM_BLOCK_SIZE));
}

static enum scsi_error mode_select_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	uint32_t at = mode_header(cmd), descriptors;

	if (cmd->list_length < at)
		return SCSI_ERR_PARAM_LENGTH;
	descriptors = mode_short(cmd) ? list[3] : get_be16(list + 6);
	if (descriptors > cmd->list_length - at)
		return SCSI_ERR_PARAM_LENGTH;
	if (!descriptor_valid(list + at, descriptors))
		return SCSI_ERR_PARAM_FIELD;
	for (at += descriptors; at < cmd->list_length;) {
		const struct mode_page *page = mode_page_equal(list + at, cmd->list_length - at);

		if (!page)
			return SCSI_ERR_PARAM_FIELD;
		at += page->size;
	}
	return SCSI_OK;
}

enum scsi_error scsi_decode_drive_mode_select(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t length = mode_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7);

	if (cmd->cdb[1] & MODE_SELECT_SP)
		return SCSI_ERR_CDB_FIELD;
	if (length == 0)
		return SCSI_OK;
	if (length > in->length || length > MODE_LIST_MAX)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, mode_select_list, length);
}

/* ---- mechanism and speed ------------------------------------------------- */

static uint32_t build_mechanism(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	reply[1] = scsi_tray_open(unit) ? 0x10 : 0;
	return 8;
}

enum scsi_error scsi_decode_mechanism(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	return scsi_decode_reply(cmd, in, build_mechanism, get_be16(cmd->cdb + 8));
}

/* One read speed over the whole disc, and no write speeds. */
static uint32_t build_performance(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	bool reads = cmd->cdb[10] == PERFORMANCE_SPEEDS && cmd->cdb[1] == PERFORMANCE_NOMINAL;
	uint32_t length = reads && get_be16(cmd->cdb + 8) ? 24 : 8;

	put_be32(reply, length - 4);
	if (cmd->cdb[10] == PERFORMANCE_SPEEDS && (cmd->cdb[1] & PERFORMANCE_WRITE))
		reply[4] = 2;
	if (length == 24) {
		put_be32(reply + 12, SPEED);
		put_be32(reply + 16, cmd->capacity ? (uint32_t)(cmd->capacity - 1) : 0);
		put_be32(reply + 20, SPEED);
	}
	return length;
}

enum scsi_error scsi_decode_performance(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t type = cmd->cdb[10];

	if (type != PERFORMANCE_SPEEDS && type != PERFORMANCE_WRITE_SPEEDS)
		return SCSI_ERR_CDB_FIELD;
	if (type == PERFORMANCE_SPEEDS && (cmd->cdb[1] & PERFORMANCE_EXCEPTIONS))
		return SCSI_ERR_CDB_FIELD;
	if (type == PERFORMANCE_SPEEDS && (cmd->cdb[1] & ~PERFORMANCE_WRITE) != PERFORMANCE_NOMINAL)
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(cmd, in, build_performance, UINT32_MAX);
}

/* Any speed is accepted. */
static enum scsi_error streaming_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	return SCSI_OK;
}

enum scsi_error scsi_decode_streaming(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (cmd->cdb[8]) /* not performance */
		return SCSI_ERR_CDB_FIELD;
	if (get_be16(cmd->cdb + 9) != STREAMING_LIST)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, streaming_list, STREAMING_LIST);
}
