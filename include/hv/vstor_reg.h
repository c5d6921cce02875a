/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * storvsp: synthetic SCSI over a VMBus channel.
 * Source: Linux drivers/scsi/storvsc_drv.c.
 */
#ifndef VSTOR_REG_H
#define VSTOR_REG_H

#include "hv_types.h"

/* Protocol versions, major << 8 | minor */
#define VSTOR_VERSION_WIN6   0x0200u
#define VSTOR_VERSION_WIN7   0x0402u
#define VSTOR_VERSION_WIN8   0x0501u
#define VSTOR_VERSION_WIN8_1 0x0600u
#define VSTOR_VERSION_WIN10  0x0602u

enum vstor_operation {
	VSTOR_OP_COMPLETE_IO = 1,   /* h2g, every completion */
	VSTOR_OP_REMOVE_DEVICE = 2, /* h2g, unsolicited */
	VSTOR_OP_EXECUTE_SRB = 3,
	VSTOR_OP_RESET_LUN = 4,
	VSTOR_OP_RESET_ADAPTER = 5,
	VSTOR_OP_RESET_BUS = 6,
	VSTOR_OP_BEGIN_INITIALIZATION = 7,
	VSTOR_OP_END_INITIALIZATION = 8,
	VSTOR_OP_QUERY_PROTOCOL_VERSION = 9,
	VSTOR_OP_QUERY_PROPERTIES = 10,
	VSTOR_OP_ENUMERATE_BUS = 11, /* h2g, unsolicited */
	VSTOR_OP_FCHBA_DATA = 12,
	VSTOR_OP_CREATE_SUB_CHANNELS = 13,
};

#define VSTOR_FLAG_REQUEST_COMPLETION 0x1u

/* vstor_packet.status: NTSTATUS values, host to guest */
#define VSTOR_STATUS_SUCCESS                0x00000000u
#define VSTOR_STATUS_PENDING                0x00000103u /* never sent */
#define VSTOR_STATUS_DATA_OVERRUN           0x80000005u
#define VSTOR_STATUS_DEVICE_BUSY            0x80000011u
#define VSTOR_STATUS_UNSUCCESSFUL           0xC0000001u
#define VSTOR_STATUS_INVALID_PARAMETER      0xC000000Du
#define VSTOR_STATUS_INVALID_DEVICE_REQUEST 0xC0000010u
#define VSTOR_STATUS_REVISION_MISMATCH      0xC0000059u
#define VSTOR_STATUS_IO_TIMEOUT             0xC00000B5u
#define VSTOR_STATUS_NO_SUCH_DEVICE         0xC00000C0u
#define VSTOR_STATUS_CANCELLED              0xC0000120u
#define VSTOR_STATUS_INVALID_DEVICE_STATE   0xC0000184u
#define VSTOR_STATUS_IO_DEVICE_ERROR        0xC0000185u

/* vstor_srb.srb_status (low 6 bits) */
#define VSTOR_SRB_SUCCESS         0x01u
#define VSTOR_SRB_ABORTED         0x02u
#define VSTOR_SRB_ERROR           0x04u
#define VSTOR_SRB_BUSY            0x05u
#define VSTOR_SRB_INVALID_REQUEST 0x06u
#define VSTOR_SRB_BUS_RESET       0x0Eu
#define VSTOR_SRB_DATA_OVERRUN    0x12u
#define VSTOR_SRB_INVALID_LUN     0x20u
#define VSTOR_SRB_AUTOSENSE_VALID 0x80u

/* vstor_srb.data_in */
#define VSTOR_DATA_OUT  0u /* to the device (write) */
#define VSTOR_DATA_IN   1u /* from the device (read) */
#define VSTOR_DATA_NONE 2u

#define VSTOR_CDB_SIZE   16u
#define VSTOR_SENSE_SIZE 20u

struct vstor_srb {
	uint16_t length; /* 0x34; 0x24 for WIN6/WIN7 */
	uint8_t srb_status;
	uint8_t scsi_status;
	uint8_t port_number;
	uint8_t path_id;
	uint8_t target_id;
	uint8_t lun;
	uint8_t cdb_length;
	uint8_t sense_info_length; /* request: buffer size; reply: valid bytes */
	uint8_t data_in;           /* VSTOR_DATA_* */
	uint8_t reserved;
	uint32_t data_transfer_length;
	union {
		uint8_t cdb[VSTOR_CDB_SIZE];
		uint8_t sense[VSTOR_SENSE_SIZE]; /* replies */
	};
	/* from WIN8 on */
	uint16_t reserved2;
	uint8_t queue_tag;
	uint8_t queue_action;
	uint32_t srb_flags;
	uint32_t timeout_seconds;
	uint32_t queue_sort_key;
};
HV_ASSERT_SIZE(struct vstor_srb, 52);
HV_ASSERT_OFFSET(struct vstor_srb, cdb, 16);
HV_ASSERT_OFFSET(struct vstor_srb, reserved2, 36);
HV_ASSERT_OFFSET(struct vstor_srb, srb_flags, 40);

struct vstor_version {
	uint16_t major_minor; /* VSTOR_VERSION_* */
	uint16_t revision;
};
HV_ASSERT_SIZE(struct vstor_version, 4);

#define VSTOR_PROPERTIES_MULTI_CHANNEL 0x1u
struct vstor_properties {
	uint32_t reserved;
	uint16_t max_channel_count; /* sub-channels beyond the primary */
	uint16_t reserved2;
	uint32_t flags; /* VSTOR_PROPERTIES_* */
	uint32_t max_transfer_bytes;
	uint64_t reserved3;
} HV_PACKED;
HV_ASSERT_SIZE(struct vstor_properties, 24);

/* The whole packet. Old versions send and expect VSTOR_PACKET_SIZE_WIN7 bytes only. */
struct vstor_packet {
	uint32_t operation; /* enum vstor_operation */
	uint32_t flags;     /* VSTOR_FLAG_* */
	uint32_t status;    /* VSTOR_STATUS_* */
	union {
		struct vstor_srb srb;
		struct vstor_version version;
		struct vstor_properties properties;
		uint16_t sub_channel_count;
		uint8_t body[52];
	};
} HV_PACKED;
HV_ASSERT_SIZE(struct vstor_packet, 64);
HV_ASSERT_OFFSET(struct vstor_packet, srb, 12);

#define VSTOR_PACKET_HEADER_SIZE 12u
#define VSTOR_PACKET_SIZE        64u
#define VSTOR_PACKET_SIZE_WIN7   48u

#endif
