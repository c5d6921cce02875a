/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * VMBus ring: control page and packet descriptors.
 * Source: Linux include/linux/hyperv.h.
 *
 * One ring is a control page followed by D bytes of data, D a page multiple
 * that need not be a power of two. Indices are byte offsets in [0, D),
 * multiples of 8. read == write means empty, so at most D - 8 bytes are used.
 */
#ifndef VMBUS_RING_REG_H
#define VMBUS_RING_REG_H

#include "hv_types.h"

#define VMBUS_RING_FEAT_PENDING_SEND_SIZE 1u

struct vmbus_ring_ctl {
	uint32_t write_index;       /* producer writes */
	uint32_t read_index;        /* consumer writes */
	uint32_t interrupt_mask;    /* consumer writes; 1 = do not signal new data */
	uint32_t pending_send_size; /* producer writes; bytes it waits for, 0 = none */
	uint8_t reserved[48];
	uint32_t feature_bits; /* producer writes; VMBUS_RING_FEAT_* */
	uint8_t reserved2[4028];
};
HV_ASSERT_SIZE(struct vmbus_ring_ctl, 4096);
HV_ASSERT_OFFSET(struct vmbus_ring_ctl, feature_bits, 64);

#define VMBUS_PKT_INBAND     0x6u
#define VMBUS_PKT_XFER_PAGES 0x7u
#define VMBUS_PKT_GPADL      0x8u
#define VMBUS_PKT_GPA_DIRECT 0x9u
#define VMBUS_PKT_COMPLETION 0xBu

#define VMBUS_PKT_FLAG_COMPLETION_REQUESTED 0x1u

struct vmbus_pkt_desc {
	uint16_t type;    /* VMBUS_PKT_* */
	uint16_t offset8; /* payload offset / 8, >= 2 */
	uint16_t len8;    /* descriptor + payload / 8, without the trailer */
	uint16_t flags;   /* VMBUS_PKT_FLAG_* */
	uint64_t trans_id;
};
HV_ASSERT_SIZE(struct vmbus_pkt_desc, 16);

/* The header of VMBUS_PKT_XFER_PAGES: ranges of a buffer the guest has given to the host. Without a
 * completion the host may not use the ranges again. Source: Linux drivers/net/hyperv. */
struct vmbus_xfer_range {
	uint32_t byte_count;
	uint32_t byte_offset; /* in the buffer */
};
HV_ASSERT_SIZE(struct vmbus_xfer_range, 8);

struct vmbus_xfer_pages {
	uint16_t pageset_id; /* the buffer's */
	uint8_t sender_owns_set;
	uint8_t reserved;
	uint32_t range_count; /* struct vmbus_xfer_range follow */
};
HV_ASSERT_SIZE(struct vmbus_xfer_pages, 8);

#define VMBUS_PKT_TRAILER_SIZE 8u /* u32 0, u32 ring offset of the packet's start */

/* Follows the descriptor of a GPA-direct packet; then the ranges (vmbus_gpa_range + PFNs). */
struct vmbus_gpa_direct {
	uint32_t reserved; /* may be garbage */
	uint32_t range_count;
};
HV_ASSERT_SIZE(struct vmbus_gpa_direct, 8);

#endif
