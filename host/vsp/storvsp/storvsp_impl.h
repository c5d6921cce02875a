/* SPDX-License-Identifier: MIT */
/* Shared by storvsp.c, units.c, places.c, srb.c, inflight.c and gate.c only. */
#ifndef STORVSP_IMPL_H
#define STORVSP_IMPL_H

#include "hv/vstor_reg.h"
#include "scsi/fence.h"
#include "scsi/reserve.h"
#include "scsi/scsi.h"
#include "vsp/storvsp/counts.h"
#include "vsp/storvsp/gate.h"
#include "vsp/storvsp/reset.h"
#include "vsp/storvsp/storvsp.h"

#define STORVSP_TRANSFER_MAX     0x100000u
#define STORVSP_IOV_MAX          (STORVSP_TRANSFER_MAX / HV_PAGE_SIZE + 1)
#define STORVSP_SUB_CHANNELS_MAX 63u
#define STORVSP_REQUESTS         512u /* in flight per channel; then the ring is left alone */

/* Longer ranges than STORVSP_TRANSFER_MAX are refused one by one; only packets beyond this, which
 * no guest sends, fault the channel. */
#define STORVSP_PACKET_MAX 16384u

/* See units.c. */
enum storvsp_unit_state { UNIT_ADDING, UNIT_PRESENT, UNIT_REMOVING };

/* A logical unit that is there, comes or goes. */
struct storvsp_unit {
	struct scsi_unit scsi; /* for the I/O threads */
	struct scsi_reservation reservation;
	/* control thread */
	struct vsp_device *dev;
	struct disk *disk;
	uint64_t copied_before; /* by the disk, for somebody else */
	enum storvsp_unit_state state;
	uint32_t calls;                      /* of channels that have not answered */
	int error;                           /* why it cannot be added */
	void (*added)(void *ctx, int error); /* NULL: it was told */
	void *added_ctx;
	void (*removed)(void *ctx); /* not NULL: is to go */
	void *removed_ctx;
};

struct storvsp {
	/* constant after create */
	struct scsi_unit absent[SCSI_LUNS_MAX]; /* where no unit is */
	struct scsi_unit beyond;                /* LUNs this target cannot have */
	struct scsi_unit nowhere;               /* other targets */
	uint16_t sub_channels_max;
	size_t disk_req_size;
	/* control thread */
	struct storvsp_unit *units[SCSI_LUNS_MAX];
	uint64_t luns_ever; /* bit n: there was a unit once */
	/* any thread */
	_Atomic uint64_t luns; /* bit n: guests find LUN n */
	struct storvsp_gate gate;
	struct reset_desk resets;
	struct storvsp_counts counts;
};

static inline bool storvsp_has_lun(const struct storvsp *s, uint8_t lun)
{
	return atomic_load_explicit(&s->luns, memory_order_relaxed) >> lun & 1;
}

/* What a channel has of a LUN. See places.c. */
struct storvsp_place {
	/* I/O thread */
	struct storvsp_channel *channel;
	struct scsi_unit *unit; /* NULL: none */
	struct disk_queue *queue;
	uint32_t in_flight; /* commands that have the unit */
	bool leaving;       /* waits for these */
	struct loop_task left;
	/* the control thread's change; the I/O thread's while it is called */
	struct vsp_call call;
	struct storvsp_unit *changes;
	int error;
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
	bool closed;
	struct storvsp_waiter waiter; /* sub-channels: for the gate */
	struct reset_port reset_port;
	struct list in_flight;            /* requests that have a place */
	struct list resets;               /* requests that wait for a reset */
	struct storvsp_count_row *counts; /* [LUN] */
	struct storvsp_place places[SCSI_LUNS_MAX];
	/* the primary's: how the guest learns that LUNs came or went */
	bool enumerate_waits; /* for room in the ring */
	struct chan_out enumerate;
	struct vstor_packet enumerate_packet;
	struct vsp_call enumerate_call;
	bool enumerate_asked; /* control thread: the call is under way */
	bool enumerate_again; /* control thread: and one more is needed */
};

/* One guest packet from arrival until its reply is in the ring. The disk request and the back
 * ends' scratch follow. */
struct storvsp_request {
	struct chan_out out;
	struct storvsp_channel *channel;
	struct storvsp_place *place;   /* NULL: of no unit */
	struct storvsp_count_row *row; /* NULL: of no unit */
	uint64_t begin_ns;
	struct list link; /* in the channel's in_flight or resets */
	struct reset reset;
	bool aborting;              /* a reset waits for it */
	struct vstor_packet packet; /* the guest's, then our reply */
	struct scsi_task task;
	struct iovec iov[STORVSP_IOV_MAX];
} __attribute__((aligned(16)));

/* srb.c: runs an EXECUTE_SRB packet; storvsp_reply() when done. pkt is valid during the call. */
void storvsp_execute_srb(struct storvsp_request *r, const struct vmbus_pkt *pkt);
/* Whether guests find a unit where this SRB is for. */
bool storvsp_srb_has_unit(const struct storvsp *s, const struct vstor_srb *srb);

/* inflight.c. What a channel has in flight. */
void inflight_init(struct storvsp_channel *c);
/* False: commands for this place that wait for its disk are refused now. */
bool inflight_room(const struct storvsp_channel *c, const struct storvsp_place *place);
/* Around the time a task runs; the request has a place. */
void inflight_add(struct storvsp_request *r);
void inflight_del(struct storvsp_request *r);
void inflight_abort(struct reset_port *port, uint64_t luns);
/* The unit is removed: asks its commands to end. */
void inflight_leave(struct storvsp_place *place);
/* No more packets come: asks all of it to end. */
void inflight_close(struct storvsp_channel *c);
/* A reset of these LUNs, at least one; it is answered later. */
void storvsp_reset(struct storvsp_request *r, uint64_t luns);

/* storvsp.c: sends r->packet as the answer, with this status. */
void storvsp_reply(struct storvsp_request *r, uint32_t status);
/* storvsp.c, a call on the primary: tells the guest to look for LUNs. */
void storvsp_enumerate(struct vsp_call *call);

/* units.c (control thread). */
int storvsp_units_create(
	struct vsp_device *dev, const struct storvsp_config *config, struct err *e);
void storvsp_units_destroy(struct storvsp *s);

/* places.c. Init on the control thread, before the I/O thread has the channel. */
void storvsp_places_init(struct storvsp_channel *c);
int storvsp_places_open(struct storvsp_channel *c);
void storvsp_places_close(struct storvsp_channel *c);
/* Calls on all channels. `arrive` leaves its result in place->error. */
void storvsp_place_arrive(struct vsp_call *call);
void storvsp_place_leave(struct vsp_call *call);
/* A command goes to LUN `lun`: gives it its unit, or the absent one. storvsp_place_put() when the
 * unit and its queue are not used any more. */
void storvsp_place_get(struct storvsp_request *r, uint8_t lun);
void storvsp_place_put(struct storvsp_request *r);

#endif
