/* SPDX-License-Identifier: MIT */
/* Sense data: key, code and qualifier of each error, and the error of each errno. */
#include <assert.h>
#include <errno.h>

#include "scsi/scsi_impl.h"

#define SENSE_CURRENT_FIXED 0x70u
#define SENSE_INFO_VALID    0x80u
#define SENSE_INFORMATION   3
#define SENSE_ADDITIONAL    7
#define SENSE_KEY_SPECIFIC  15
#define SPECIFIC_VALID      0x80u
#define SPECIFIC_IN_CDB     0x40u /* else in the parameter list */

enum sense_key {
	KEY_NONE = 0x0,
	KEY_NOT_READY = 0x2,
	KEY_MEDIUM_ERROR = 0x3,
	KEY_HARDWARE_ERROR = 0x4,
	KEY_ILLEGAL_REQUEST = 0x5,
	KEY_UNIT_ATTENTION = 0x6,
	KEY_DATA_PROTECT = 0x7,
	KEY_ABORTED_COMMAND = 0xB,
	KEY_MISCOMPARE = 0xE,
};

static const struct {
	uint8_t key, asc, ascq;
} sense_table[SCSI_ERR_COUNT] = {
#define ATTENTION(kind) SCSI_ERR_ATTENTION + SCSI_ATTENTION_##kind
	[SCSI_OK] = {KEY_NONE, 0x00, 0x00},
	[SCSI_ERR_INVALID_OPCODE] = {KEY_ILLEGAL_REQUEST, 0x20, 0x00},
	[SCSI_ERR_LBA_RANGE] = {KEY_ILLEGAL_REQUEST, 0x21, 0x00},
	[SCSI_ERR_CDB_FIELD] = {KEY_ILLEGAL_REQUEST, 0x24, 0x00},
	[SCSI_ERR_NO_LUN] = {KEY_ILLEGAL_REQUEST, 0x25, 0x00},
	[SCSI_ERR_PARAM_FIELD] = {KEY_ILLEGAL_REQUEST, 0x26, 0x00},
	[SCSI_ERR_PARAM_LENGTH] = {KEY_ILLEGAL_REQUEST, 0x1A, 0x00},
	[SCSI_ERR_SAVE_UNSUPPORTED] = {KEY_ILLEGAL_REQUEST, 0x39, 0x00},
	[SCSI_ERR_WRITE_PROTECTED] = {KEY_DATA_PROTECT, 0x27, 0x00},
	[SCSI_ERR_SOFTWARE_PROTECTED] = {KEY_DATA_PROTECT, 0x27, 0x02},
	[SCSI_ERR_NO_SPACE] = {KEY_DATA_PROTECT, 0x27, 0x07},
	[SCSI_ERR_MEDIUM_READ] = {KEY_MEDIUM_ERROR, 0x11, 0x00},
	[SCSI_ERR_MEDIUM_WRITE] = {KEY_MEDIUM_ERROR, 0x0C, 0x00},
	[SCSI_ERR_TARGET_FAILURE] = {KEY_HARDWARE_ERROR, 0x44, 0x00},
	[SCSI_ERR_MISCOMPARE] = {KEY_MISCOMPARE, 0x1D, 0x00},
	[SCSI_ERR_ABORTED] = {KEY_ABORTED_COMMAND, 0x00, 0x00},
	[SCSI_ERR_RELEASE] = {KEY_ILLEGAL_REQUEST, 0x26, 0x04},
	[SCSI_ERR_TRACK_MODE] = {KEY_ILLEGAL_REQUEST, 0x64, 0x00},
	[SCSI_ERR_NO_REGISTRATION] = {KEY_ILLEGAL_REQUEST, 0x55, 0x04},
	[SCSI_ERR_NO_MEDIUM] = {KEY_NOT_READY, 0x3A, 0x02},
	[SCSI_ERR_LOCKED] = {KEY_ILLEGAL_REQUEST, 0x53, 0x02},
	[ATTENTION(RESET)] = {KEY_UNIT_ATTENTION, 0x29, 0x00},
	[ATTENTION(MEDIUM)] = {KEY_UNIT_ATTENTION, 0x28, 0x00},
	[ATTENTION(LUNS)] = {KEY_UNIT_ATTENTION, 0x3F, 0x0E},
	[ATTENTION(CAPACITY)] = {KEY_UNIT_ATTENTION, 0x2A, 0x09},
	[ATTENTION(MODE)] = {KEY_UNIT_ATTENTION, 0x2A, 0x01},
	[ATTENTION(PREEMPTED)] = {KEY_UNIT_ATTENTION, 0x2A, 0x03},
	[ATTENTION(RELEASED)] = {KEY_UNIT_ATTENTION, 0x2A, 0x04},
	[ATTENTION(UNREGISTERED)] = {KEY_UNIT_ATTENTION, 0x2A, 0x05},
#undef ATTENTION
};

void scsi_sense_build(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error)
{
	assert(error < SCSI_ERR_COUNT);
	memset(sense, 0, SCSI_SENSE_SIZE);
	sense[0] = SENSE_CURRENT_FIXED;
	sense[2] = sense_table[error].key;
	sense[SENSE_ADDITIONAL] = SCSI_SENSE_SIZE - SENSE_ADDITIONAL - 1;
	sense[12] = sense_table[error].asc;
	sense[13] = sense_table[error].ascq;
}

void scsi_sense_build_at(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error, uint64_t at)
{
	scsi_sense_build(sense, error);
	if (sense_table[error].key != KEY_MEDIUM_ERROR && error != SCSI_ERR_MISCOMPARE)
		return;
	if (at > UINT32_MAX)
		return;
	sense[0] |= SENSE_INFO_VALID;
	put_be32(sense + SENSE_INFORMATION, (uint32_t)at);
}

void scsi_sense_point(uint8_t sense[SCSI_SENSE_SIZE], enum scsi_error error, uint16_t byte)
{
	if (byte == 0 || (error != SCSI_ERR_CDB_FIELD && error != SCSI_ERR_PARAM_FIELD))
		return;
	sense[SENSE_KEY_SPECIFIC] =
		(uint8_t)(SPECIFIC_VALID | (error == SCSI_ERR_CDB_FIELD ? SPECIFIC_IN_CDB : 0));
	put_be16(sense + SENSE_KEY_SPECIFIC + 1, byte);
}

enum scsi_error scsi_error_of_disk(enum disk_op op, int error)
{
	static const enum scsi_error of_op[DISK_OP_COUNT] = {
		[DISK_READ] = SCSI_ERR_MEDIUM_READ,
		[DISK_WRITE] = SCSI_ERR_MEDIUM_WRITE,
		[DISK_FLUSH] = SCSI_ERR_MEDIUM_WRITE,
		[DISK_DISCARD] = SCSI_ERR_TARGET_FAILURE,
		[DISK_WRITE_ZEROES] = SCSI_ERR_MEDIUM_WRITE,
	};

	if (error == 0)
		return SCSI_OK;
	if (error == -ECANCELED)
		return SCSI_ERR_ABORTED;
	if (error == -ENOBUFS) /* of a copy of the data: the request may be repeated */
		return SCSI_ERR_FULL;
	/* A flush that fails for lack of space has lost data: a medium error. */
	if ((error == -ENOSPC || error == -EDQUOT) && op != DISK_FLUSH && op != DISK_READ)
		return SCSI_ERR_NO_SPACE;
	return of_op[op];
}
