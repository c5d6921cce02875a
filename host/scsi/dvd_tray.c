/* SPDX-License-Identifier: MIT */
/*
 * The tray of a DVD-ROM drive: opening, closing, locking, and the events for it.
 *
 * Its state is one atomic, so that a command on any channel changes it as a whole:
 *
 *   CLOSED --eject, not LOCKED--> OPEN, event "removed"
 *   OPEN --close--> CLOSED, event "new medium", and the unit attention for it
 *   LOCKED is set and cleared by PREVENT ALLOW, in both states; a reset and the loss of the
 *   initiator clear it, too.
 */
#include "scsi/scsi_impl.h"

#define TRAY_OPEN    0x1u
#define TRAY_LOCKED  0x2u
#define TRAY_NEW     0x4u /* pending events */
#define TRAY_REMOVED 0x8u

#define POWER_CONDITION 0xF0u
#define POWER_SLEEP     0x50u
#define POWER_RESERVED  0x40u
#define FORMAT_LAYER    0x04u
#define LOEJ            0x02u
#define START           0x01u
#define PREVENT         0x01u
#define OP_PREVENT      0x1Eu
#define EVENT_POLLED    0x01u
#define EVENT_MEDIA     4u
#define EVENT_NONE      0x80u
#define MEDIA_NEW       2u
#define MEDIA_REMOVED   3u
#define MEDIA_OPEN      0x01u
#define MEDIA_PRESENT   0x02u

static scsi_build_fn build_event;

bool scsi_tray_valid(uint32_t tray)
{
	return !(tray & ~(TRAY_OPEN | TRAY_LOCKED | TRAY_NEW | TRAY_REMOVED));
}

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

void scsi_tray_unlock(struct scsi_unit *unit)
{
	atomic_fetch_and(&unit->tray, ~TRAY_LOCKED);
}

enum scsi_error scsi_tray_perform(struct scsi_unit *unit, const struct scsi_cmd *cmd)
{
	if (cmd->op->opcode != OP_PREVENT)
		return cmd->cdb[4] & START ? insert(unit) : eject(unit);
	if (cmd->cdb[4] & PREVENT)
		atomic_fetch_or(&unit->tray, TRAY_LOCKED);
	else
		scsi_tray_unlock(unit);
	return SCSI_OK;
}

/* One event per reply, the removal first: guests miss a change of medium in a single event. */
uint8_t scsi_tray_event(struct scsi_unit *unit, const struct scsi_cmd *cmd)
{
	if (cmd->build != build_event ||
		cmd->reply_max <= 4) /* the buffer is too short for the event */
		return 0;
	if (atomic_fetch_and(&unit->tray, ~TRAY_REMOVED) & TRAY_REMOVED)
		return MEDIA_REMOVED;
	return atomic_fetch_and(&unit->tray, ~TRAY_NEW) & TRAY_NEW ? MEDIA_NEW : 0;
}

/* Power conditions and the motor have no effect. */
enum scsi_error scsi_decode_tray(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	uint8_t condition = cmd->cdb[4] & POWER_CONDITION;

	if (condition > POWER_SLEEP || condition == POWER_RESERVED || (cmd->cdb[4] & FORMAT_LAYER))
		return SCSI_ERR_CDB_FIELD;
	if (!condition && (cmd->cdb[4] & LOEJ))
		cmd->action = SCSI_ACTION_TRAY;
	return SCSI_OK;
}

enum scsi_error scsi_decode_prevent(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	cmd->action = SCSI_ACTION_TRAY;
	return SCSI_OK;
}

/* ---- events -------------------------------------------------------------- */

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

enum scsi_error scsi_decode_event(
	struct scsi_cmd *cmd, const struct scsi_unit *unit, const struct scsi_input *in)
{
	bool media = cmd->cdb[4] & (1u << EVENT_MEDIA);

	if (!(cmd->cdb[1] & EVENT_POLLED))
		return SCSI_ERR_CDB_FIELD;
	return scsi_decode_reply(
		cmd, in, media ? build_event : build_no_event, get_be16(cmd->cdb + 7));
}
