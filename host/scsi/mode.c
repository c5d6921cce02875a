/* SPDX-License-Identifier: MIT */
/*
 * MODE SENSE and MODE SELECT. There is one page, caching (08h), and one thing in it can change:
 * the write cache of a disk that has one can be switched off.
 *
 *   ON --WCE 0--> OFF --reset--> UNUSED --WCE 0--> OFF
 *   ^----WCE 1-----'               |
 *   ^------------------WCE 1-------'
 *
 * No values are saved (there is no memory for them that outlives us), so after a reset the page is
 * the default one again (SPC), and the unit attention 29h tells the guest. But Linux does not look
 * at the page then: it goes on believing that there is no cache and flushes nothing, and a cache
 * that came back would lose what it was told is safe. A cache may be on and not be used: so it is
 * not (UNUSED), until the guest itself switches it on, or the device is created again.
 */
#include "scsi/scsi_impl.h"

#define MODE_PAGE_CACHING  0x08u
#define MODE_PAGE_ALL      0x3Fu
#define MODE_SUBPAGE_ALL   0xFFu
#define MODE_PC_CURRENT    0u
#define MODE_PC_CHANGEABLE 1u
#define MODE_PC_SAVED      3u
#define MODE_SELECT_SP     0x01u
#define MODE_SPF           0x40u

#define HEADER6_SIZE  4u
#define HEADER10_SIZE 8u
#define DEVICE_WP     0x80u
#define DEVICE_DPOFUA 0x10u

#define CACHING_SIZE 20u
#define CACHING_WCE  0x04u

static bool is_short(const struct scsi_cmd *cmd)
{
	return cmd->op->cdb_length == 6;
}

static uint32_t header_size(const struct scsi_cmd *cmd)
{
	return is_short(cmd) ? HEADER6_SIZE : HEADER10_SIZE;
}

static uint8_t page_control(const struct scsi_cmd *cmd)
{
	return cmd->cdb[2] >> 6;
}

static bool write_cache_on(const struct scsi_unit *unit)
{
	return unit->info.write_cache &&
	       atomic_load_explicit(&unit->cache, memory_order_relaxed) != SCSI_CACHE_OFF;
}

/* What is; which bits MODE SELECT could change; or what is after creation. */
static void caching_page(const struct scsi_unit *unit, uint8_t control, uint8_t *page)
{
	bool on = control == MODE_PC_CURRENT ? write_cache_on(unit) : unit->info.write_cache;

	memset(page, 0, CACHING_SIZE);
	page[0] = MODE_PAGE_CACHING;
	page[1] = CACHING_SIZE - 2;
	if (on)
		page[2] = CACHING_WCE;
}

/* FUA is always honoured, so it is always announced. */
static uint8_t device_specific(const struct scsi_unit *unit)
{
	return (uint8_t)(DEVICE_DPOFUA | (unit->info.read_only ? DEVICE_WP : 0));
}

static uint32_t build_mode_sense(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint32_t header = header_size(cmd);
	uint32_t length = header + CACHING_SIZE;

	/* The length does not count itself. There are no block descriptors. */
	if (is_short(cmd)) {
		reply[0] = (uint8_t)(length - 1);
		reply[2] = device_specific(unit);
	} else {
		put_be16(reply, (uint16_t)(length - 2));
		reply[3] = device_specific(unit);
	}
	caching_page(unit, page_control(cmd), reply + header);
	return length;
}

static bool page_exists(uint8_t page, uint8_t subpage)
{
	if (page == MODE_PAGE_ALL)
		return subpage == 0 || subpage == MODE_SUBPAGE_ALL;
	return page == MODE_PAGE_CACHING && (subpage == 0 || subpage == MODE_SUBPAGE_ALL);
}

enum scsi_error scsi_decode_mode_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	if (!page_exists(cmd->cdb[2] & 0x3F, cmd->cdb[3]))
		return SCSI_ERR_CDB_FIELD;
	if (page_control(cmd) == MODE_PC_SAVED)
		return SCSI_ERR_SAVE_UNSUPPORTED;
	return scsi_decode_reply(
		cmd, in, build_mode_sense, is_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7));
}

static uint32_t block_descriptor_length(const struct scsi_cmd *cmd, const uint8_t *list)
{
	return is_short(cmd) ? list[3] : get_be16(list + 6);
}

/* A page may be sent back as it is, or with the write cache on or off. */
static enum scsi_error take_page(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *page, uint32_t room)
{
	uint8_t wanted[CACHING_SIZE];
	uint8_t mask[CACHING_SIZE];

	if ((page[0] & (MODE_SPF | 0x3F)) != MODE_PAGE_CACHING)
		return SCSI_ERR_PARAM_FIELD;
	if (room < CACHING_SIZE)
		return SCSI_ERR_PARAM_LENGTH;
	caching_page(unit, MODE_PC_CURRENT, wanted);
	caching_page(unit, MODE_PC_CHANGEABLE, mask);
	for (uint32_t i = 2; i < CACHING_SIZE; i++)
		wanted[i] = (uint8_t)((wanted[i] & ~mask[i]) | (page[i] & mask[i]));
	if (memcmp(page + 1, wanted + 1, CACHING_SIZE - 1))
		return SCSI_ERR_PARAM_FIELD;
	if (unit->info.write_cache)
		cmd->cache = page[2] & CACHING_WCE ? SCSI_SWITCH_ON : SCSI_SWITCH_OFF;
	return SCSI_OK;
}

static enum scsi_error mode_select_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	if (cmd->list_length < header_size(cmd))
		return SCSI_ERR_PARAM_LENGTH;
	if (block_descriptor_length(cmd, list))
		return SCSI_ERR_PARAM_FIELD;
	for (uint32_t at = header_size(cmd); at < cmd->list_length; at += CACHING_SIZE) {
		enum scsi_error error = take_page(cmd, unit, list + at, cmd->list_length - at);

		if (error)
			return error;
	}
	/* What the cache holds must be durable before the guest relies on there being none. */
	if (cmd->cache == SCSI_SWITCH_OFF)
		cmd->action = SCSI_ACTION_FLUSH;
	return SCSI_OK;
}

enum scsi_error scsi_decode_mode_select(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t length = is_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7);

	if (cmd->cdb[1] & MODE_SELECT_SP)
		return SCSI_ERR_CDB_FIELD;
	if (length == 0)
		return SCSI_OK;
	if (length > in->length || length > SCSI_SCRATCH_SIZE)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, mode_select_list, length);
}
