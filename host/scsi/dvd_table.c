/* SPDX-License-Identifier: MIT */
/*
 * The command table of a DVD-ROM drive with one image in it. Reading works as on
 * a disk of 2048-byte blocks; dvd_tray.c has the tray, dvd_medium.c the data about
 * the medium, dvd_drive.c the data about the drive.
 */
#include "scsi/scsi_impl.h"

#define NO_SA SCSI_NO_SERVICE_ACTION
#define IN    SCSI_OP_MEDIUM
#define FF2   0xFF, 0xFF
#define FF4   FF2, FF2
#define FF8   FF4, FF4

/* clang-format off */
static const struct scsi_op dvd_ops[] = {
	{0x00, NO_SA, 6, IN, "TEST UNIT READY", scsi_decode_none, {0}},
	{0x03, NO_SA, 6, SCSI_OP_UA_EXEMPT | SCSI_OP_REPORTS_UA, "REQUEST SENSE", scsi_decode_request_sense, {0, 1, 0, 0, 0xFF}},
	{0x12, NO_SA, 6, SCSI_OP_ABSENT | SCSI_OP_UA_EXEMPT, "INQUIRY", scsi_decode_inquiry, {0, 1, 0xFF, FF2}},
	{0x15, NO_SA, 6, 0, "MODE SELECT(6)", scsi_decode_drive_mode_select, {0, 0x11, 0, 0, 0xFF}},
	{0x1A, NO_SA, 6, 0, "MODE SENSE(6)", scsi_decode_drive_mode_sense, {0, 0x08, 0xFF, FF2}},
	{0x1B, NO_SA, 6, 0, "START STOP UNIT", scsi_decode_tray, {0, 1, 0, 0, 0xF7}},
	{0x1E, NO_SA, 6, 0, "PREVENT ALLOW", scsi_decode_prevent, {0, 0, 0, 0, 0x03}},
	{0x25, NO_SA, 10, IN, "READ CAPACITY(10)", scsi_decode_capacity10, {0}},
	{0x28, NO_SA, 10, IN, "READ(10)", scsi_decode_rw, {0, 0xF8, FF4, 0, FF2}},
	{0x2B, NO_SA, 10, IN, "SEEK(10)", scsi_decode_seek, {0, 0, FF4}},
	{0x35, NO_SA, 10, 0, "SYNCHRONIZE CACHE(10)", scsi_decode_none, {0, 0x02, FF4, 0, FF2}},
	{0x43, NO_SA, 10, IN, "READ TOC", scsi_decode_toc, {0, 0x02, 0x0F, 0, 0, 0, 0xFF, FF2, 0xC0}},
	{0x46, NO_SA, 10, 0, "GET CONFIGURATION", scsi_decode_configuration, {0, 0x03, FF2, 0, 0, 0, FF2}},
	{0x4A, NO_SA, 10, SCSI_OP_UA_EXEMPT | SCSI_OP_TRAY_EVENT, "GET EVENT STATUS NOTIFICATION", scsi_decode_event, {0, 0x01, 0, 0, 0xFF, 0, 0, FF2}},
	{0x51, NO_SA, 10, IN, "READ DISC INFORMATION", scsi_decode_disc, {0, 0x07, 0, 0, 0, 0, 0, FF2}},
	{0x52, NO_SA, 10, IN, "READ TRACK INFORMATION", scsi_decode_track, {0, 0x07, FF4, 0, FF2}},
	{0x55, NO_SA, 10, 0, "MODE SELECT(10)", scsi_decode_drive_mode_select, {0, 0x11, 0, 0, 0, 0, 0, FF2}},
	{0x5A, NO_SA, 10, 0, "MODE SENSE(10)", scsi_decode_drive_mode_sense, {0, 0x18, 0xFF, 0xFF, 0, 0, 0, FF2}},
	{0x88, NO_SA, 16, IN, "READ(16)", scsi_decode_rw, {0, 0xF8, FF8, FF4}},
	{0xA0, NO_SA, 12, SCSI_OP_ABSENT | SCSI_OP_UA_EXEMPT | SCSI_OP_CLEARS_LUNS_UA, "REPORT LUNS", scsi_decode_report_luns, {0, 0, 0xFF, 0, 0, 0, FF4}},
	{0xA3, 0x0C, 12, 0, "REPORT SUPPORTED OPERATION CODES", scsi_decode_report_opcodes, {0, 0x0C, 0x87, 0xFF, FF2, FF4}},
	{0xA8, NO_SA, 12, IN, "READ(12)", scsi_decode_rw, {0, 0xF8, FF4, FF4}},
	{0xAC, NO_SA, 12, IN, "GET PERFORMANCE", scsi_decode_performance, {0, 0x1F, FF4, 0, 0, FF2, 0xFF}},
	{0xAD, NO_SA, 12, IN, "READ DVD STRUCTURE", scsi_decode_structure, {0, 0x0F, FF4, FF4}},
	{0xB6, NO_SA, 12, 0, "SET STREAMING", scsi_decode_streaming, {0, 0, 0, 0, 0, 0, 0, 0, 0xFF, FF2}},
	{0xBB, NO_SA, 12, 0, "SET CD SPEED", scsi_decode_none, {0, 0x03, FF4}},
	{0xBD, NO_SA, 12, 0, "MECHANISM STATUS", scsi_decode_mechanism, {0, 0, 0, 0, 0, 0, 0, 0, FF2}},
	{0xBE, NO_SA, 12, IN, "READ CD", scsi_decode_read_cd, {0, 0x1E, FF4, 0xFF, FF2, 0xF8, 0x07}},
};
/* clang-format on */

const struct scsi_op_table scsi_dvd_ops = {dvd_ops, sizeof(dvd_ops) / sizeof(dvd_ops[0])};
