/* SPDX-License-Identifier: MIT */
/* Shared by storvsp.c, srb.c, inflight.c and gate.c only. */
#ifndef STORVSP_IMPL_H
#define STORVSP_IMPL_H

#include "hv/vstor_reg.h"
#include "vsp/storvsp/gate.h"
#include "vsp/storvsp/reset.h"
#include "vsp/storvsp/scsi.h"
#include "vsp/storvsp/scsi_reserve.h"
#include "vsp/storvsp/storvsp.h"

#define STORVSP_TRANSFER_MAX     0x100000u
#define STORVSP_IOV_MAX          (STORVSP_TRANSFER_MAX / HV_PAGE_SIZE + 1)
#define STORVSP_SUB_CHANNELS_MAX 63u
#define STORVSP_REQUESTS         512u /* in flight per channel; then the ring is left alone */

/* Longer ranges than STORVSP_TRANSFER_MAX are refused one by one; only packets beyond this, which
 * no guest sends, fault the channel. */
#define STORVSP_PACKET_MAX 16384u

enum storvsp_count {
	COUNT_READS,
	COUNT_READ_BYTES,
	COUNT_WRITES,
	COUNT_WRITTEN_BYTES,
	COUNT_FLUSHES,
	COUNT_UNMAPS,
	COUNT_OTHERS,
	COUNT_ERRORS,
	COUNT_COPIED_BYTES,
	COUNT_KINDS,
};

/* Counters of one LUN on one channel: a cache line with one writer, read by anybody. */
struct storvsp_count_row {
	_Atomic uint64_t count[COUNT_KINDS];
} __attribute__((aligned(64)));

struct storvsp {
	/* constant after create, but for the atomics of units */
	struct scsi_unit units[SCSI_LUNS_MAX];
	struct scsi_unit beyond;                             /* LUNs this target cannot have */
	struct scsi_unit nowhere;                            /* other targets */
	struct scsi_reservation reservations[SCSI_LUNS_MAX]; /* of the units that have one */
	struct disk *disks[SCSI_LUNS_MAX];
	uint16_t sub_channels_max;
	size_t disk_req_size;
	/* any thread */
	struct storvsp_gate gate;
	struct reset_desk resets;
	struct storvsp_count_row *counts; /* [channel index][LUN] */
};

/* Where the initialization stands. See storvsp.c. */
enum storvsp_state {
	STATE_BEGIN,
	STATE_VERSION,
	STATE_PROPERTIES,
	STATE_END,
	STATE_READY,
	STATE_SUB_CHANNEL,
};

struct storvsp_channel {
	struct storvsp *device;
	struct vsp_channel *ch;
	enum storvsp_state state;
	uint16_t version; /* 0: not negotiated */
	bool sub_channels_created;
	uint16_t sub_channels_to_offer;
	bool closing;
	struct storvsp_waiter waiter; /* sub-channels: for the gate */
	struct reset_port reset_port;
	struct list in_flight;            /* requests at their disks */
	struct list resets;               /* requests that wait for a reset */
	uint32_t held[SCSI_LUNS_MAX];     /* of in_flight */
	struct storvsp_count_row *counts; /* [LUN] */
	struct disk_queue *queues[SCSI_LUNS_MAX];
};

/* One guest packet from arrival until its reply is in the ring. The disk request and the back
 * ends' scratch follow. */
struct storvsp_request {
	struct chan_out out;
	struct storvsp_channel *channel;
	struct list link; /* in the channel's in_flight or resets */
	struct reset reset;
	uint8_t lun;                /* while in_flight */
	bool aborting;              /* a reset waits for it */
	struct vstor_packet packet; /* the guest's, then our reply */
	struct scsi_task task;
	struct iovec iov[STORVSP_IOV_MAX];
} __attribute__((aligned(16)));

/* srb.c: runs an EXECUTE_SRB packet; storvsp_reply() when done. pkt is valid during the call. */
void storvsp_execute_srb(struct storvsp_request *r, const struct vmbus_pkt *pkt);
/* Never NULL: there are units where nothing is. */
struct scsi_unit *storvsp_find_unit(struct storvsp *s, const struct vstor_srb *srb);
/* inflight.c. What a channel has in flight. */
void inflight_init(struct storvsp_channel *c);
/* False: commands for this unit that wait for its disk are refused now. */
bool inflight_room(const struct storvsp_channel *c, const struct scsi_unit *unit);
/* Around the time a task runs; its unit has a disk. */
void inflight_add(struct storvsp_request *r);
void inflight_del(struct storvsp_request *r);
void inflight_abort(struct reset_port *port, uint64_t luns);
/* No more packets come: asks all of it to end. */
void inflight_close(struct storvsp_channel *c);
/* A reset of these LUNs, which are there; it is answered later. */
void storvsp_reset(struct storvsp_request *r, uint64_t luns);
/* storvsp.c: sends r->packet as the answer, with this status. */
void storvsp_reply(struct storvsp_request *r, uint32_t status);

#endif
