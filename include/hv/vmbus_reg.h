/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * VMBus control plane: channel messages carried in SynIC message slots.
 * Source: Linux include/linux/hyperv.h.
 * g2h = guest to host, h2g = host to guest.
 */
#ifndef VMBUS_REG_H
#define VMBUS_REG_H

#include "hv_types.h"

#define VMBUS_SINT               2u
#define VMBUS_CONN_MESSAGE       1u /* g2h messages, protocol < 5.0; and the id we assign */
#define VMBUS_CONN_EVENT         2u /* legacy shared event */
#define VMBUS_CONN_MONITOR       3u
#define VMBUS_CONN_MESSAGE_MULTI 4u /* INITIATE_CONTACT from 5.0 */
#define VMBUS_MESSAGE_SIZE_MAX   240u
#define VMBUS_RELID_MAX          2047u
#define VMBUS_VP_NONE            0xFFFFFFFFu /* OPENCHANNEL.target_vp: no interrupt */

#define VMBUS_VERSION(major, minor) (((uint32_t)(major) << 16) | (minor))
#define VMBUS_VERSION_WIN8          VMBUS_VERSION(2, 4)
#define VMBUS_VERSION_WIN8_1        VMBUS_VERSION(3, 0)
#define VMBUS_VERSION_WIN10         VMBUS_VERSION(4, 0)
#define VMBUS_VERSION_WIN10_RS3     VMBUS_VERSION(4, 1)
#define VMBUS_VERSION_WIN10_V5      VMBUS_VERSION(5, 0)
#define VMBUS_VERSION_WIN10_V5_1    VMBUS_VERSION(5, 1)
#define VMBUS_VERSION_WIN10_V5_2    VMBUS_VERSION(5, 2)
#define VMBUS_VERSION_WIN10_V5_3    VMBUS_VERSION(5, 3)

/* Message numbers come from the table in vmbus_msgs.h (VMBUS_MSG_*). */
struct vmbus_msg_header {
	uint32_t type; /* VMBUS_MSG_* */
	uint32_t padding;
};
HV_ASSERT_SIZE(struct vmbus_msg_header, 8);

/* OFFERCHANNEL.flags */
#define VMBUS_OFFER_ENUMERATE_DEVICE 0x0001u
#define VMBUS_OFFER_NAMED_PIPE       0x0010u
#define VMBUS_OFFER_TLNPI_PROVIDER   0x2000u
#define VMBUS_OFFER_USER_SIZE        120u
#define VMBUS_MONITOR_ID_NONE        0xFFu
#define VMBUS_MONITOR_IDS            128u /* four trigger groups of 32 bits */

/* h2g: a device, or a sub-channel, is present. */
struct vmbus_offer {
	struct vmbus_msg_header h;
	struct hv_guid class_id;    /* interface type */
	struct hv_guid instance_id; /* unique in the partition over all classes */
	uint8_t reserved[16];
	uint16_t flags; /* VMBUS_OFFER_* */
	uint16_t mmio_megabytes;
	uint8_t user[VMBUS_OFFER_USER_SIZE];
	uint16_t sub_channel_index; /* 0 = primary */
	uint16_t mmio_megabytes_optional;
	uint32_t relid; /* 1..VMBUS_RELID_MAX */
	uint8_t monitor_id;
	uint8_t monitor_allocated;
	uint16_t is_dedicated_interrupt; /* always 1 here */
	uint32_t connection_id;          /* argument of HvSignalEvent */
};
HV_ASSERT_SIZE(struct vmbus_offer, 196);
HV_ASSERT_OFFSET(struct vmbus_offer, user, 60);
HV_ASSERT_OFFSET(struct vmbus_offer, relid, 184);
HV_ASSERT_OFFSET(struct vmbus_offer, connection_id, 192);

/* RESCIND (h2g), CLOSECHANNEL, RELID_RELEASED (g2h), CLOSE_RESERVED_RESPONSE (h2g) */
struct vmbus_relid_msg {
	struct vmbus_msg_header h;
	uint32_t relid;
};
HV_ASSERT_SIZE(struct vmbus_relid_msg, 12);

#define VMBUS_OPEN_USER_SIZE 120u
struct vmbus_open {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t open_id;
	uint32_t ring_gpadl;
	uint32_t target_vp;         /* VP index or VMBUS_VP_NONE */
	uint32_t downstream_offset; /* pages: first page of the h2g ring */
	uint8_t user[VMBUS_OPEN_USER_SIZE];
};
HV_ASSERT_SIZE(struct vmbus_open, 148);

struct vmbus_open_result {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t open_id;
	uint32_t status; /* VMBUS_STATUS_* */
};
HV_ASSERT_SIZE(struct vmbus_open_result, 20);

/* Statuses are NTSTATUS values. */
#define VMBUS_STATUS_SUCCESS      0x00000000u
#define VMBUS_STATUS_UNSUCCESSFUL 0xC0000001u
#define VMBUS_STATUS_GPADL_FAILED 0x8000FFFFu

#define VMBUS_GPADL_HEADER_PFNS_MAX 26u
#define VMBUS_GPADL_BODY_PFNS_MAX   28u

/* The range list starts at offset 20: {u32 byte_count, u32 byte_offset, u64 pfn[]}... */
struct vmbus_gpadl_header {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t gpadl;
	uint16_t range_buflen; /* bytes of the whole range list over header and bodies */
	uint16_t range_count;
	uint8_t ranges[];
} HV_PACKED;
HV_ASSERT_SIZE(struct vmbus_gpadl_header, 20);

struct vmbus_gpadl_body {
	struct vmbus_msg_header h;
	uint32_t message_number; /* Linux always sends 0: not checked */
	uint32_t gpadl;
	uint8_t ranges[]; /* continuation of the range list */
} HV_PACKED;
HV_ASSERT_SIZE(struct vmbus_gpadl_body, 16);

/* Header of one range in a GPADL or in a GPA-direct packet; PFNs follow. */
struct vmbus_gpa_range {
	uint32_t byte_count;
	uint32_t byte_offset; /* inside the first page */
};
HV_ASSERT_SIZE(struct vmbus_gpa_range, 8);

struct vmbus_gpadl_created {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t gpadl;
	uint32_t status;
};
HV_ASSERT_SIZE(struct vmbus_gpadl_created, 20);

struct vmbus_gpadl_teardown {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t gpadl;
};
HV_ASSERT_SIZE(struct vmbus_gpadl_teardown, 16);

struct vmbus_gpadl_torndown {
	struct vmbus_msg_header h;
	uint32_t gpadl;
};
HV_ASSERT_SIZE(struct vmbus_gpadl_torndown, 12);

struct vmbus_initiate_contact {
	struct vmbus_msg_header h;
	uint32_t version;
	uint32_t target_vp; /* honoured from 3.0 */
	/* < 5.0: interrupt page GPA; >= 5.0: u8 sint, u8 vtl, u16 pad, u32 feature flags */
	union {
		uint64_t interrupt_page;
		struct {
			uint8_t sint;
			uint8_t vtl;
			uint16_t padding;
			uint32_t feature_flags;
		};
	};
	uint64_t monitor_page_h2g;
	uint64_t monitor_page_g2h;
};
HV_ASSERT_SIZE(struct vmbus_initiate_contact, 40);
HV_ASSERT_OFFSET(struct vmbus_initiate_contact, sint, 16);
HV_ASSERT_OFFSET(struct vmbus_initiate_contact, monitor_page_h2g, 24);

#define VMBUS_CONNECTION_SUCCESSFUL      0u
#define VMBUS_CONNECTION_UNKNOWN_FAILURE 2u
struct vmbus_version_response {
	struct vmbus_msg_header h;
	uint8_t version_supported;
	uint8_t connection_state; /* VMBUS_CONNECTION_* */
	uint16_t padding;
	uint32_t version_or_conn_id; /* >= 5.0: message connection id, else the version */
};
HV_ASSERT_SIZE(struct vmbus_version_response, 16);

struct vmbus_open_reserved {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t target_vp;
	uint32_t target_sint;
	uint32_t ring_gpadl;
	uint32_t downstream_offset;
};
HV_ASSERT_SIZE(struct vmbus_open_reserved, 28);

struct vmbus_close_reserved {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t target_vp;
	uint32_t target_sint;
};
HV_ASSERT_SIZE(struct vmbus_close_reserved, 20);

struct vmbus_tl_connect {
	struct vmbus_msg_header h;
	struct hv_guid guest_endpoint;
	struct hv_guid host_service;
};
HV_ASSERT_SIZE(struct vmbus_tl_connect, 40);

#define VMBUS_STATUS_CONNECTION_REFUSED 0xC0000236u
struct vmbus_tl_connect_result {
	struct vmbus_msg_header h;
	struct hv_guid guest_endpoint;
	struct hv_guid host_service;
	uint32_t status;
};
HV_ASSERT_SIZE(struct vmbus_tl_connect_result, 44);

struct vmbus_modify_channel {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t target_vp;
};
HV_ASSERT_SIZE(struct vmbus_modify_channel, 16);

struct vmbus_modify_channel_response {
	struct vmbus_msg_header h;
	uint32_t relid;
	uint32_t status;
};
HV_ASSERT_SIZE(struct vmbus_modify_channel_response, 16);

#endif
