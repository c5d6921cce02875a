/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * NVSP: the messages of the synthetic NIC. RNDIS messages (rndis_reg.h) travel in
 * the send and receive buffers and in guest pages; an NVSP message goes with them.
 * Source: spec sheet "netvsp" sections 1, 2; Linux drivers/net/hyperv/hyperv_net.h.
 */
#ifndef NVSP_REG_H
#define NVSP_REG_H

#include "hv_types.h"

#define NVSP_VERSION_1   0x00002u
#define NVSP_VERSION_2   0x30002u
#define NVSP_VERSION_4   0x40000u
#define NVSP_VERSION_5   0x50000u
#define NVSP_VERSION_6   0x60000u
#define NVSP_VERSION_6_1 0x60001u

enum nvsp_type {
	NVSP_INIT = 1,
	NVSP_INIT_COMPLETE = 2,
	NVSP_SEND_NDIS_VERSION = 100,
	NVSP_SEND_RECV_BUF = 101,
	NVSP_SEND_RECV_BUF_COMPLETE = 102,
	NVSP_REVOKE_RECV_BUF = 103,
	NVSP_SEND_SEND_BUF = 104,
	NVSP_SEND_SEND_BUF_COMPLETE = 105,
	NVSP_REVOKE_SEND_BUF = 106,
	NVSP_SEND_RNDIS_PKT = 107, /* both directions */
	NVSP_SEND_RNDIS_PKT_COMPLETE = 108,
	NVSP_SEND_NDIS_CONFIG = 125,
	NVSP_SEND_VF_ASSOCIATION = 128, /* h2g */
	NVSP_SWITCH_DATA_PATH = 129,
	NVSP_OID_QUERY_EX = 131,
	NVSP_OID_QUERY_EX_COMPLETE = 132,
	NVSP_SUBCHANNEL = 133,             /* request, and its reply */
	NVSP_SEND_INDIRECTION_TABLE = 134, /* h2g */
};

#define NVSP_STATUS_NONE          0u
#define NVSP_STATUS_SUCCESS       1u
#define NVSP_STATUS_FAIL          2u
#define NVSP_STATUS_TOO_NEW       3u
#define NVSP_STATUS_TOO_OLD       4u
#define NVSP_STATUS_INVALID_RNDIS 5u
#define NVSP_STATUS_BUSY          6u
#define NVSP_STATUS_UNSUPPORTED   7u

/* nvsp_ndis_config.capabilities */
#define NVSP_CAP_VMQ            0x01ull
#define NVSP_CAP_CHIMNEY        0x02ull
#define NVSP_CAP_SRIOV          0x04ull
#define NVSP_CAP_8021Q          0x08ull
#define NVSP_CAP_CORRELATION_ID 0x10ull
#define NVSP_CAP_TEAMING        0x20ull
#define NVSP_CAP_VSUBNET_ID     0x40ull
#define NVSP_CAP_RSC            0x80ull

#define NVSP_CHANNEL_DATA    0u
#define NVSP_CHANNEL_CONTROL 1u
#define NVSP_SECTION_NONE    0xFFFFFFFFu

#define NVSP_SUBCHANNEL_ALLOCATE 1u
#define NVSP_TABLE_ENTRIES       16u

struct nvsp_init {
	uint32_t version_min;
	uint32_t version_max;
};
HV_ASSERT_SIZE(struct nvsp_init, 8);

struct nvsp_init_complete {
	uint32_t version; /* deprecated */
	uint32_t mdl_chain_max;
	uint32_t status;
};
HV_ASSERT_SIZE(struct nvsp_init_complete, 12);

struct nvsp_ndis_version {
	uint32_t major;
	uint32_t minor;
};
HV_ASSERT_SIZE(struct nvsp_ndis_version, 8);

struct nvsp_send_buf {
	uint32_t gpadl;
	uint16_t id;
	uint16_t reserved;
};
HV_ASSERT_SIZE(struct nvsp_send_buf, 8);

struct nvsp_recv_buf_complete {
	uint32_t status;
	uint32_t section_count; /* one follows */
	uint32_t offset;
	uint32_t sub_alloc_size;
	uint32_t sub_alloc_count;
	uint32_t end_offset;
};
HV_ASSERT_SIZE(struct nvsp_recv_buf_complete, 24);

struct nvsp_send_buf_complete {
	uint32_t status;
	uint32_t section_size;
};
HV_ASSERT_SIZE(struct nvsp_send_buf_complete, 8);

struct nvsp_revoke_buf {
	uint16_t id;
	uint16_t reserved;
};
HV_ASSERT_SIZE(struct nvsp_revoke_buf, 4);

struct nvsp_rndis_pkt {
	uint32_t channel_type;  /* NVSP_CHANNEL_* */
	uint32_t section_index; /* of the send buffer; NVSP_SECTION_NONE */
	uint32_t section_size;  /* bytes used of it */
};
HV_ASSERT_SIZE(struct nvsp_rndis_pkt, 12);

struct nvsp_ndis_config {
	uint32_t mtu; /* with the Ethernet header */
	uint32_t reserved;
	uint64_t capabilities; /* NVSP_CAP_* */
} HV_PACKED;
HV_ASSERT_SIZE(struct nvsp_ndis_config, 16);

struct nvsp_subchannel {
	uint32_t op; /* NVSP_SUBCHANNEL_ALLOCATE; in the reply: status */
	uint32_t count;
};
HV_ASSERT_SIZE(struct nvsp_subchannel, 8);

struct nvsp_oid_query_ex_complete {
	uint32_t status; /* RNDIS_STATUS_* */
	uint32_t reserved[2];
};
HV_ASSERT_SIZE(struct nvsp_oid_query_ex_complete, 12);

/* Guests of version 6.0 and older read the table at byte 40, whatever the offset says, when the
 * message is long enough. */
struct nvsp_indirection_table {
	uint32_t count;  /* NVSP_TABLE_ENTRIES */
	uint32_t offset; /* from the start of the message: 40 */
	uint32_t reserved[7];
	uint32_t table[NVSP_TABLE_ENTRIES]; /* channel numbers */
};
HV_ASSERT_SIZE(struct nvsp_indirection_table, 100);

struct nvsp_message {
	uint32_t type; /* enum nvsp_type */
	union {
		struct nvsp_init init;
		struct nvsp_init_complete init_complete;
		struct nvsp_ndis_version ndis_version;
		struct nvsp_send_buf send_buf; /* both buffers */
		struct nvsp_recv_buf_complete recv_buf_complete;
		struct nvsp_send_buf_complete send_buf_complete;
		struct nvsp_revoke_buf revoke_buf;
		struct nvsp_rndis_pkt rndis_pkt;
		uint32_t status; /* SEND_RNDIS_PKT_COMPLETE */
		struct nvsp_ndis_config ndis_config;
		struct nvsp_subchannel subchannel;
		struct nvsp_oid_query_ex_complete oid_query_ex_complete;
		uint8_t body[36];
	};
};
HV_ASSERT_SIZE(struct nvsp_message, 40);
HV_ASSERT_OFFSET(struct nvsp_message, ndis_config, 4);

#define NVSP_SIZE     40u /* from version 6.1 on */
#define NVSP_SIZE_OLD 32u /* 28 and padding of the ring */

struct nvsp_table_message {
	uint32_t type; /* NVSP_SEND_INDIRECTION_TABLE */
	struct nvsp_indirection_table table;
};
HV_ASSERT_SIZE(struct nvsp_table_message, 104);
HV_ASSERT_OFFSET(struct nvsp_table_message, table.table, 40);

#endif
