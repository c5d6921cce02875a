/* SPDX-License-Identifier: MIT */
/* Inside the controller: shared by the .c files of this folder only. */
#ifndef STORVSP_IMPL_H
#define STORVSP_IMPL_H

#include <assert.h>
#include <stdatomic.h>

#include "hv/vstor_reg.h"
#include "scsi/fence.h"
#include "scsi/reserve.h"
#include "scsi/scsi.h"
#include "vsp/storvsp/barrier.h"
#include "vsp/storvsp/counts.h"
#include "vsp/storvsp/reset.h"
#include "vsp/storvsp/storvsp.h"

#define STORVSP_TRANSFER_MAX     0x100000u
#define STORVSP_IOV_MAX          (STORVSP_TRANSFER_MAX / HV_PAGE_SIZE + 1)
#define STORVSP_SUB_CHANNELS_MAX 63u
#define STORVSP_REQUESTS         512u /* in flight per channel; then the ring is not read */

/* Longer ranges than STORVSP_TRANSFER_MAX are refused one by one; only packets beyond this, which
 * no guest sends, fault the channel. */
#define STORVSP_PACKET_MAX 16384u

#define ON_CONTROL(dev) ON_LOOP(vsp_device_control(dev))
#define ON_IO_THREAD(c) ON_LOOP(vsp_channel_loop((c)->ch))

/* See luns.c. */
enum storvsp_lun_state { LUN_ADDING, LUN_PRESENT, LUN_REMOVING };

/* A logical unit that is present, is added or is removed. */
struct storvsp_lun {
	struct scsi_unit scsi; /* for the I/O threads */
	/* control thread */
	struct vsp_device *dev;
	struct disk *disk;
	uint64_t copied_before; /* disk_copied_bytes() when it was added */
	enum storvsp_lun_state state;
	uint32_t calls;                      /* of channels, not done */
	int error;                           /* why it cannot be added */
	void (*added)(void *ctx, int error); /* NULL: was called */
	void *added_ctx;
	void (*removed)(void *ctx); /* not NULL: its removal was requested */
	void *removed_ctx;
};

struct storvsp {
	/* constant after create */
	struct scsi_unit absent[SCSI_LUNS_MAX]; /* for LUNs without a unit */
	struct scsi_unit beyond;                /* LUNs this target cannot have */
	struct scsi_unit nowhere;               /* other targets */
	uint16_t sub_channels_max;
	size_t disk_req_size;
	/* control thread */
	struct storvsp_lun *luns[SCSI_LUNS_MAX];
	uint64_t ever_present; /* bit n: LUN n was present once */
	/* any thread */
	_Atomic uint64_t visible; /* bit n: guests find LUN n */
	struct barrier barrier;
	struct reset_tracker resets;
	struct storvsp_counts counts;
};

static inline bool storvsp_is_visible(const struct storvsp *s, uint8_t lun)
{
	return atomic_load_explicit(&s->visible, memory_order_relaxed) >> lun & 1;
}

/* The attachment of a LUN to a channel. See chan_luns.c. */
struct storvsp_chan_lun {
	/* fixed */
	struct storvsp_channel *channel;
	/* I/O thread */
	struct scsi_unit *unit; /* NULL: none */
	struct disk_queue *queue;
	uint32_t in_flight; /* commands that use the unit */
	bool detaching;     /* waits until these are done */
	struct loop_task detached_task;
	/* the control thread's; the I/O thread's during the call */
	struct {
		struct vsp_call call;
		struct storvsp_lun *lun;
		int error;
	} change;
};

/* The initialization of a channel. See storvsp.c. */
enum storvsp_state {
	STATE_BEGIN,
	STATE_VERSION,
	STATE_PROPERTIES,
	STATE_END,
	STATE_READY,
	STATE_SUB_CHANNEL,
};

struct storvsp_channel {
	/* fixed */
	struct storvsp *device;
	struct vsp_channel *ch;
	struct storvsp_count_row *counts; /* [LUN] */
	/* I/O thread */
	enum storvsp_state state;
	uint16_t version; /* 0: not negotiated */
	bool sub_channels_created;
	uint16_t sub_channels_to_offer;
	bool stopping; /* or never opened */
	bool closed;
	struct barrier_waiter waiter; /* of sub-channels */
	struct reset_member member;
	struct list in_flight; /* commands that use a unit */
	struct list resets;    /* requests that wait for a reset */
	struct {
		bool queued; /* for room in the ring */
		struct vsp_out out;
		struct vstor_packet packet;
	} enumerate;
	/* control thread */
	struct {
		struct vsp_call call; /* storvsp_enumerate() */
		bool running;
		bool again; /* one more is needed */
	} notify;
	/* see there */
	struct storvsp_chan_lun luns[SCSI_LUNS_MAX];
};

/* One guest packet from arrival until its reply is in the ring. I/O thread. The disk request and
 * the back ends' scratch follow. */
struct storvsp_request {
	struct vsp_out out;
	struct storvsp_channel *channel;
	struct storvsp_chan_lun *lun;  /* NULL: uses no unit */
	struct storvsp_count_row *row; /* NULL: is not counted */
	uint64_t begin_ns;
	struct list link; /* the channel's in_flight or resets */
	struct reset reset;
	bool aborting;              /* a reset waits for it */
	struct vstor_packet packet; /* the guest's, then our reply */
	struct scsi_task task;
	struct iovec iov[STORVSP_IOV_MAX];
} __attribute__((aligned(16)));

/* ---- srb.c (I/O thread) -------------------------------------------------- */

/* Runs an EXECUTE_SRB packet; storvsp_reply() when done. pkt is valid during the call. */
void storvsp_execute_srb(struct storvsp_request *r, const struct vmbus_pkt *pkt);
/* Whether guests find a unit at the address of this SRB. */
bool storvsp_srb_has_unit(const struct storvsp *s, const struct vstor_srb *srb);

/* ---- inflight.c (I/O thread): the commands in flight of a channel -------- */

void inflight_init(struct storvsp_channel *c);
/* False: commands for this LUN that wait for its disk are refused now. */
bool inflight_has_room(const struct storvsp_channel *c, const struct storvsp_chan_lun *lun);
/* Around the time a task runs; the request uses a unit. */
void inflight_add(struct storvsp_request *r);
void inflight_del(struct storvsp_request *r);
/* reset_member.cancel. */
void inflight_abort(struct reset_member *member, uint64_t luns);
/* The LUN is detached: cancels its commands. */
void inflight_cancel_lun(struct storvsp_chan_lun *lun);
/* No more packets come: cancels all commands and resets. */
void inflight_cancel_all(struct storvsp_channel *c);
/* A reset of these LUNs, at least one; it is answered later. */
void storvsp_reset(struct storvsp_request *r, uint64_t luns);

/* ---- reply.c (I/O thread) ------------------------------------------------ */

/* The answer to a guest's packet of this size: r->packet, unless another is sent. */
void storvsp_reply_init(struct storvsp_request *r, const struct vmbus_pkt *pkt);
/* Sends r->packet as the answer, with this status; r may be free after this. */
void storvsp_reply(struct storvsp_request *r, uint32_t status);
/* A call on the primary: makes the guest enumerate LUNs. */
void storvsp_enumerate(struct vsp_call *call);

/* ---- storvsp_inspect.c: see vsp_ops -------------------------------------- */

void storvsp_inspect(struct vsp_device *dev, struct inspect *i);
void storvsp_channel_inspect(struct vsp_channel *ch, struct inspect *i);

/* ---- save.c: see vsp_ops ------------------------------------------------- */

void storvsp_archive(struct vsp_device *dev, struct archive *a);
void storvsp_archive_channel(struct vsp_channel *ch, struct archive *a);
uint16_t storvsp_sub_channels_max(struct vsp_device *dev);

/* ---- luns.c (control thread) --------------------------------------------- */

int storvsp_luns_create(struct vsp_device *dev, const struct storvsp_config *config, struct err *e);
void storvsp_luns_destroy(struct storvsp *s);

/* ---- chan_luns.c --------------------------------------------------------- */

/* ON_CONTROL, before the I/O thread has the channel. */
void chan_luns_init(struct storvsp_channel *c);
/* I/O thread, all below. */
int chan_luns_open(struct storvsp_channel *c);
void chan_luns_close(struct storvsp_channel *c);
/* Calls on all channels, of chan_lun.change. */
void chan_lun_attach(struct vsp_call *call);
void chan_lun_detach(struct vsp_call *call);
/* A command for LUN `lun`: sets its unit, or the absent one. chan_lun_put() when the unit and its
 * queue are not used any more. */
void chan_lun_get(struct storvsp_request *r, uint8_t lun);
void chan_lun_put(struct storvsp_request *r);

#endif
