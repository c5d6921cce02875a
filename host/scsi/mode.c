/* SPDX-License-Identifier: MIT */
/*
 * MODE SENSE and MODE SELECT of a disk: the pages caching (08h), control (0Ah) and informational
 * exceptions (1Ch). Two bits can be changed: the write cache of a disk that has one can be switched
 * off (WCE), and writes can be refused (SWP).
 *
 *   ON --WCE 0--> OFF --reset--> UNUSED --WCE 0--> OFF
 *   ^----WCE 1-----'               |
 *   ^------------------WCE 1-------'
 *
 * No values are saved, so after a reset the pages have their default values again (SPC), and the
 * unit attention 29h reports that. Linux does not read the caching page then: it still assumes that
 * there is no cache, and sends no flush. A cache in use would lose data that Linux believes to be
 * safe. A cache may be announced and not be used, which is UNUSED, until the guest switches it on
 * or the device is created again.
 */
#include "scsi/scsi_impl.h"

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

#define PAGE_SIZE_MAX         20u
#define CACHING_WCE           0x04u
#define CONTROL_REORDER       0x10u /* queue algorithm: unrestricted */
#define CONTROL_SWP           0x08u
#define EXCEPTIONS_ON_REQUEST 0x06u /* MRIE: health is not reported by itself */

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

static bool write_protected(const struct scsi_unit *unit)
{
	return atomic_load_explicit(&unit->write_protect, memory_order_relaxed);
}

/* ---- the pages ----------------------------------------------------------- */

static void caching_fill(const struct scsi_unit *unit, uint8_t control, uint8_t *page)
{
	bool on = control == MODE_PC_CURRENT ? write_cache_on(unit) : unit->info.write_cache;

	if (on)
		page[2] = CACHING_WCE;
}

static void control_fill(const struct scsi_unit *unit, uint8_t control, uint8_t *page)
{
	if (control != MODE_PC_CHANGEABLE)
		page[3] = CONTROL_REORDER;
	if (control == MODE_PC_CHANGEABLE || (control == MODE_PC_CURRENT && write_protected(unit)))
		page[4] = CONTROL_SWP;
}

static void exceptions_fill(const struct scsi_unit *unit, uint8_t control, uint8_t *page)
{
	if (control != MODE_PC_CHANGEABLE)
		page[3] = EXCEPTIONS_ON_REQUEST;
}

static void caching_take(struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *page)
{
	if (unit->info.write_cache)
		cmd->cache = page[2] & CACHING_WCE ? SCSI_SWITCH_ON : SCSI_SWITCH_OFF;
}

static void control_take(struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *page)
{
	cmd->protect = page[4] & CONTROL_SWP ? SCSI_SWITCH_ON : SCSI_SWITCH_OFF;
}

/* Sorted, as MODE SENSE returns them. fill gets zeros behind the page's header: the current values,
 * the bits that MODE SELECT can change, or the values after creation. take gets a checked page. */
static const struct mode_page {
	uint8_t code, size;
	void (*fill)(const struct scsi_unit *unit, uint8_t control, uint8_t *page);
	void (*take)(struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *page);
} pages[] = {
	{0x08, 20, caching_fill, caching_take},
	{0x0A, 12, control_fill, control_take},
	{0x1C, 12, exceptions_fill, NULL},
};
#define PAGE_COUNT (sizeof(pages) / sizeof(pages[0]))

static const struct mode_page *page_find(uint8_t code)
{
	for (uint32_t i = 0; i < PAGE_COUNT; i++)
		if (pages[i].code == code)
			return &pages[i];
	return NULL;
}

static void page_build(
	const struct mode_page *page, const struct scsi_unit *unit, uint8_t control, uint8_t *to)
{
	memset(to, 0, page->size);
	to[0] = page->code;
	to[1] = (uint8_t)(page->size - 2);
	page->fill(unit, control, to);
}

/* ---- MODE SENSE ---------------------------------------------------------- */

/* FUA is always supported. */
static uint8_t device_specific(const struct scsi_unit *unit)
{
	bool protected = unit->info.read_only || write_protected(unit);

	return (uint8_t)(DEVICE_DPOFUA | (protected ? DEVICE_WP : 0));
}

static uint32_t put_pages(const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *to)
{
	uint8_t asked = cmd->cdb[2] & MODE_PAGE_ALL;
	uint32_t length = 0;

	for (uint32_t i = 0; i < PAGE_COUNT; i++) {
		if (asked != MODE_PAGE_ALL && asked != pages[i].code)
			continue;
		page_build(&pages[i], unit, page_control(cmd), to + length);
		length += pages[i].size;
	}
	return length;
}

static uint32_t build_mode_sense(
	const struct scsi_unit *unit, const struct scsi_cmd *cmd, uint8_t *reply)
{
	uint32_t header = header_size(cmd);
	uint32_t length = header + put_pages(unit, cmd, reply + header);

	/* The length does not count itself. There are no block descriptors. */
	if (is_short(cmd)) {
		reply[0] = (uint8_t)(length - 1);
		reply[2] = device_specific(unit);
	} else {
		put_be16(reply, (uint16_t)(length - 2));
		reply[3] = device_specific(unit);
	}
	return length;
}

enum scsi_error scsi_decode_mode_sense(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t asked = cmd->cdb[2] & MODE_PAGE_ALL;

	if (asked != MODE_PAGE_ALL && !page_find(asked))
		return scsi_cdb_field(cmd, 2);
	if (cmd->cdb[3] && cmd->cdb[3] != MODE_SUBPAGE_ALL)
		return scsi_cdb_field(cmd, 3);
	if (page_control(cmd) == MODE_PC_SAVED)
		return SCSI_ERR_SAVE_UNSUPPORTED;
	return scsi_decode_reply(
		cmd, in, build_mode_sense, is_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7));
}

/* ---- MODE SELECT --------------------------------------------------------- */

static uint32_t block_descriptor_length(const struct scsi_cmd *cmd, const uint8_t *list)
{
	return is_short(cmd) ? list[3] : get_be16(list + 6);
}

/* Bits that cannot be changed must have their current values. `at`: offset of the page in the
 * list. */
static enum scsi_error check_page(struct scsi_cmd *cmd, const struct scsi_unit *unit,
	const struct mode_page *page, const uint8_t *list, uint32_t at)
{
	uint8_t now[PAGE_SIZE_MAX], mask[PAGE_SIZE_MAX];

	page_build(page, unit, MODE_PC_CURRENT, now);
	page_build(page, unit, MODE_PC_CHANGEABLE, mask);
	mask[1] = 0;
	for (uint32_t i = 1; i < page->size; i++)
		if ((list[at + i] ^ now[i]) & ~mask[i])
			return scsi_list_field(cmd, at + i);
	return SCSI_OK;
}

static enum scsi_error take_page(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list, uint32_t *at)
{
	const struct mode_page *page = page_find(list[*at] & (MODE_SPF | MODE_PAGE_ALL));
	enum scsi_error error;

	if (!page)
		return scsi_list_field(cmd, *at);
	if (cmd->list_length - *at < page->size)
		return SCSI_ERR_PARAM_LENGTH;
	error = check_page(cmd, unit, page, list, *at);
	if (error)
		return error;
	if (page->take)
		page->take(cmd, unit, list + *at);
	*at += page->size;
	return SCSI_OK;
}

static enum scsi_error mode_select_list(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const uint8_t *list)
{
	uint32_t at = header_size(cmd);

	if (cmd->list_length < at)
		return SCSI_ERR_PARAM_LENGTH;
	if (block_descriptor_length(cmd, list))
		return scsi_list_field(cmd, is_short(cmd) ? 3 : 6);
	while (at < cmd->list_length) {
		enum scsi_error error = take_page(cmd, unit, list, &at);

		if (error)
			return error;
	}
	/* Cached data become durable before the cache is off or writes are refused. */
	if (cmd->cache == SCSI_SWITCH_OFF || cmd->protect == SCSI_SWITCH_ON)
		cmd->action = SCSI_ACTION_FLUSH;
	return SCSI_OK;
}

enum scsi_error scsi_decode_mode_select(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint32_t length = is_short(cmd) ? cmd->cdb[4] : get_be16(cmd->cdb + 7);

	if (cmd->cdb[1] & MODE_SELECT_SP)
		return scsi_cdb_field(cmd, 1);
	if (length == 0)
		return SCSI_OK;
	if (length > in->length || length > SCSI_SCRATCH_SIZE)
		return SCSI_ERR_PARAM_LENGTH;
	return scsi_decode_with_list(cmd, in, mode_select_list, length);
}
