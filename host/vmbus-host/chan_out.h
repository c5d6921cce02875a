/* SPDX-License-Identifier: MIT */
#ifndef VMBUS_HOST_CHAN_OUT_H
#define VMBUS_HOST_CHAN_OUT_H

#include "base/list.h"
#include "ring/vmbus_ring.h"

/* One packet to send on a channel. The caller's; it and what it points to stay unchanged until the
 * packet is in the ring or dropped (chan_ops.sent). */
struct chan_out {
	struct list link; /* the channel's */
	uint16_t type;    /* VMBUS_PKT_* */
	uint16_t flags;
	uint64_t trans_id;
	struct vmbus_vec
		header; /* of the packet type, as VMBUS_PKT_XFER_PAGES has one; len 0: none */
	struct vmbus_vec payload;
};

#endif
