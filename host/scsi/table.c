/* SPDX-License-Identifier: MIT */
/*
 * The command table of a disk.
 *
 * scsi_decode() refuses a command by its row when the CDB is too short, the
 * logical unit is absent or the medium is read only; the row's decode function
 * sees the rest. usage[] is the CDB usage data of REPORT SUPPORTED OPERATION
 * CODES; its first byte is always the opcode.
 */
#include "scsi/scsi_impl.h"

#define NO_SA SCSI_NO_SERVICE_ACTION
#define FF2   0xFF, 0xFF
#define FF4   FF2, FF2
#define FF8   FF4, FF4

/* clang-format off */
static const struct scsi_op disk_ops[] = {
	{0x00, NO_SA, 6, 0, "TEST UNIT READY", scsi_decode_none, {0}},
	{0x03, NO_SA, 6, SCSI_OP_UA_EXEMPT | SCSI_OP_REPORTS_UA, "REQUEST SENSE", scsi_decode_request_sense, {0, 1, 0, 0, 0xFF}},
	{0x04, NO_SA, 6, SCSI_OP_WRITES, "FORMAT UNIT", scsi_decode_format, {0, 0xFF, 0, FF2}},
	{0x08, NO_SA, 6, 0, "READ(6)", scsi_decode_rw, {0, 0x1F, FF2, 0xFF}},
	{0x0A, NO_SA, 6, SCSI_OP_WRITES, "WRITE(6)", scsi_decode_rw, {0, 0x1F, FF2, 0xFF}},
	{0x12, NO_SA, 6, SCSI_OP_ABSENT | SCSI_OP_UA_EXEMPT, "INQUIRY", scsi_decode_inquiry, {0, 1, 0xFF, FF2}},
	{0x15, NO_SA, 6, 0, "MODE SELECT(6)", scsi_decode_mode_select, {0, 0x11, 0, 0, 0xFF}},
	{0x16, NO_SA, 6, 0, "RESERVE(6)", scsi_decode_reserve6, {0, 0x11}},
	{0x17, NO_SA, 6, 0, "RELEASE(6)", scsi_decode_reserve6, {0, 0x11}},
	{0x1A, NO_SA, 6, 0, "MODE SENSE(6)", scsi_decode_mode_sense, {0, 0x08, 0xFF, FF2}},
	{0x1B, NO_SA, 6, 0, "START STOP UNIT", scsi_decode_start_stop, {0, 1, 0, 0, 0xF7}},
	{0x1D, NO_SA, 6, 0, "SEND DIAGNOSTIC", scsi_decode_send_diagnostic, {0, 0xF7, 0, FF2}},
	{0x1E, NO_SA, 6, 0, "PREVENT ALLOW", scsi_decode_none, {0, 0, 0, 0, 0x03}},
	{0x25, NO_SA, 10, 0, "READ CAPACITY(10)", scsi_decode_capacity10, {0}},
	{0x28, NO_SA, 10, 0, "READ(10)", scsi_decode_rw, {0, 0xF8, FF4, 0, FF2}},
	{0x2A, NO_SA, 10, SCSI_OP_WRITES, "WRITE(10)", scsi_decode_rw, {0, 0xF8, FF4, 0, FF2}},
	{0x2E, NO_SA, 10, SCSI_OP_WRITES | SCSI_OP_VERIFY, "WRITE AND VERIFY(10)", scsi_decode_rw, {0, 0xF2, FF4, 0, FF2}},
	{0x2F, NO_SA, 10, 0, "VERIFY(10)", scsi_decode_verify, {0, 0xF6, FF4, 0, FF2}},
	{0x34, NO_SA, 10, 0, "PRE-FETCH(10)", scsi_decode_pre_fetch, {0, 0x02, FF4, 0x1F, FF2}},
	{0x35, NO_SA, 10, 0, "SYNCHRONIZE CACHE(10)", scsi_decode_sync, {0, 0x02, FF4, 0, FF2}},
	{0x37, NO_SA, 10, 0, "READ DEFECT DATA(10)", scsi_decode_defects, {0, 0, 0x1F, 0, 0, 0, 0, FF2}},
	{0x41, NO_SA, 10, SCSI_OP_WRITES, "WRITE SAME(10)", scsi_decode_write_same, {0, 0xF8, FF4, 0, FF2}},
	{0x42, NO_SA, 10, SCSI_OP_WRITES | SCSI_OP_UNMAPS, "UNMAP", scsi_decode_unmap, {0, 1, 0, 0, 0, 0, 0, FF2}},
	{0x4D, NO_SA, 10, 0, "LOG SENSE", scsi_decode_log_sense, {0, 0x01, 0xFF, 0xFF, 0, FF2, FF2}},
	{0x55, NO_SA, 10, 0, "MODE SELECT(10)", scsi_decode_mode_select, {0, 0x11, 0, 0, 0, 0, 0, FF2}},
	{0x5A, NO_SA, 10, 0, "MODE SENSE(10)", scsi_decode_mode_sense, {0, 0x18, 0xFF, 0xFF, 0, 0, 0, FF2}},
	{0x5E, 0, 10, SCSI_OP_RESERVES, "PR IN, READ KEYS", scsi_decode_reserve_in, {0, 0x1F, 0, 0, 0, 0, 0, FF2}},
	{0x5E, 1, 10, SCSI_OP_RESERVES, "PR IN, READ RESERVATION", scsi_decode_reserve_in, {0, 0x1F, 0, 0, 0, 0, 0, FF2}},
	{0x5E, 2, 10, SCSI_OP_RESERVES, "PR IN, REPORT CAPABILITIES", scsi_decode_reserve_in, {0, 0x1F, 0, 0, 0, 0, 0, FF2}},
	{0x5E, 3, 10, SCSI_OP_RESERVES, "PR IN, READ FULL STATUS", scsi_decode_reserve_in, {0, 0x1F, 0, 0, 0, 0, 0, FF2}},
	{0x5F, 0, 10, SCSI_OP_RESERVES, "PR OUT, REGISTER", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 1, 10, SCSI_OP_RESERVES, "PR OUT, RESERVE", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 2, 10, SCSI_OP_RESERVES, "PR OUT, RELEASE", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 3, 10, SCSI_OP_RESERVES, "PR OUT, CLEAR", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 4, 10, SCSI_OP_RESERVES, "PR OUT, PREEMPT", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 5, 10, SCSI_OP_RESERVES, "PR OUT, PREEMPT AND ABORT", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 6, 10, SCSI_OP_RESERVES, "PR OUT, REGISTER AND IGNORE", scsi_decode_reserve_out, {0, 0x1F, 0xFF, 0, 0, FF4}},
	{0x5F, 7, 10, SCSI_OP_RESERVES, "PR OUT, REGISTER AND MOVE", scsi_decode_reserve_move, {0, 0x1F, 0, 0, 0, FF4}},
	{0x88, NO_SA, 16, 0, "READ(16)", scsi_decode_rw, {0, 0xF8, FF8, FF4}},
	{0x89, NO_SA, 16, SCSI_OP_WRITES | SCSI_OP_FENCED, "COMPARE AND WRITE", scsi_decode_compare_write, {0, 0xF8, FF8, 0, 0, 0, 0xFF}},
	{0x8A, NO_SA, 16, SCSI_OP_WRITES, "WRITE(16)", scsi_decode_rw, {0, 0xF8, FF8, FF4}},
	{0x8B, NO_SA, 16, SCSI_OP_WRITES | SCSI_OP_FENCED, "ORWRITE(16)", scsi_decode_or_write, {0, 0xF8, FF8, FF4}},
	{0x8E, NO_SA, 16, SCSI_OP_WRITES | SCSI_OP_VERIFY, "WRITE AND VERIFY(16)", scsi_decode_rw, {0, 0xF2, FF8, FF4}},
	{0x8F, NO_SA, 16, 0, "VERIFY(16)", scsi_decode_verify, {0, 0xF6, FF8, FF4}},
	{0x90, NO_SA, 16, 0, "PRE-FETCH(16)", scsi_decode_pre_fetch, {0, 0x02, FF8, FF4, 0x1F}},
	{0x91, NO_SA, 16, 0, "SYNCHRONIZE CACHE(16)", scsi_decode_sync, {0, 0x02, FF8, FF4}},
	{0x93, NO_SA, 16, SCSI_OP_WRITES, "WRITE SAME(16)", scsi_decode_write_same, {0, 0xF9, FF8, FF4}},
	{0x9E, 0x10, 16, 0, "READ CAPACITY(16)", scsi_decode_capacity16, {0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, FF4}},
	{0x9E, 0x12, 16, 0, "GET LBA STATUS", scsi_decode_lba_status, {0, 0x12, FF8, FF4}},
	{0xA0, NO_SA, 12, SCSI_OP_ABSENT | SCSI_OP_UA_EXEMPT | SCSI_OP_CLEARS_LUNS_UA, "REPORT LUNS", scsi_decode_report_luns, {0, 0, 0xFF, 0, 0, 0, FF4}},
	{0xA3, 0x0C, 12, 0, "REPORT SUPPORTED OPERATION CODES", scsi_decode_report_opcodes, {0, 0x0C, 0x87, 0xFF, FF2, FF4}},
	{0xA3, 0x0D, 12, 0, "REPORT SUPPORTED TASK MANAGEMENT", scsi_decode_task_management, {0, 0x0D, 0x80, 0, 0, 0, FF4}},
	{0xA8, NO_SA, 12, 0, "READ(12)", scsi_decode_rw, {0, 0xF8, FF4, FF4}},
	{0xAA, NO_SA, 12, SCSI_OP_WRITES, "WRITE(12)", scsi_decode_rw, {0, 0xF8, FF4, FF4}},
	{0xAE, NO_SA, 12, SCSI_OP_WRITES | SCSI_OP_VERIFY, "WRITE AND VERIFY(12)", scsi_decode_rw, {0, 0xF2, FF4, FF4}},
	{0xAF, NO_SA, 12, 0, "VERIFY(12)", scsi_decode_verify, {0, 0xF6, FF4, FF4}},
	{0xB7, NO_SA, 12, 0, "READ DEFECT DATA(12)", scsi_decode_defects, {0, 0x1F, 0, 0, 0, 0, FF4}},
};
/* clang-format on */

const struct scsi_op_table scsi_disk_ops = {disk_ops, sizeof(disk_ops) / sizeof(disk_ops[0])};
