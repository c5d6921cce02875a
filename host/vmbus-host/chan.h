/* SPDX-License-Identifier: MIT */
/*
 * An open channel at work on its I/O thread: both rings, the doorbell, the
 * interrupt. The VSP core opens and closes it; VSPs see vsp/vsp.h instead.
 *
 * Thread: the I/O thread whose loop it is (ON_LOOP), except where noted.
 *
 * Receive: doorbell -> mask -> packets one by one to ops->packet -> unmask and
 * re-check. Send: chan_send() stages into the ring, or queues when it is full.
 * Publishing and interrupting happen once per loop turn, in the flush hook.
 * The states are drawn at the top of chan.c.
 */
#ifndef VMBUS_HOST_CHAN_H
#define VMBUS_HOST_CHAN_H

#include "base/gmem.h"
#include "base/loop.h"
#include "ring/vmbus_ring.h"
#include "vmbus-host/chan_out.h"
#include "vmbus-host/moderation.h"

struct chan;
struct inspect;

struct chan_ops {
	/* One packet, in a private buffer that is reused after the call. 0: taken. -EAGAIN: no
	 * resources, the same packet comes again after chan_retry(). Other: the guest broke the
	 * protocol, the channel is faulted. */
	int (*packet)(struct chan *chan, const struct vmbus_pkt *pkt);
	/* The packet is in the ring, or dropped because the guest will not read it; inside
	 * chan_send() or later. From here on the owner may reuse or free out. */
	void (*sent)(struct chan *chan, struct chan_out *out);
	/* The ring or the guest's packets are corrupt; no further packet is taken, packets sent
	 * from now on are dropped. Post it to the control thread (rescind). Called at most once,
	 * and not after chan_quiesce(). */
	void (*fault)(struct chan *chan);
	/* Sets the channel's event flag for the VP and interrupts it if the flag was clear. */
	void (*interrupt)(struct chan *chan, uint32_t vp);
};

/* Written by the I/O thread, read by any with counter_get(). */
struct chan_counters {
	uint64_t packets;             /* received */
	uint64_t batches;             /* in which they were taken: one per wake-up, poll, or turn */
	uint64_t sent;                /* packets sent */
	uint64_t sent_batches;        /* in which they were published: at most one per turn */
	uint64_t doorbells;           /* wake-ups by the guest */
	uint64_t polls;               /* times packets were found by polling */
	uint64_t interrupts;          /* sent to the guest */
	uint64_t interrupts_masked;   /* batches without one: the guest polls */
	uint64_t interrupts_unneeded; /* batches without one: the ring was not empty */
	uint64_t tx_full;             /* times a packet had to wait for room */
	uint64_t stalls;              /* times packet() returned -EAGAIN */
};

/* How full the rings are, in bytes. */
struct chan_rings {
	uint64_t rx_used, rx_highest, rx_size; /* by the guest; highest: when we began a batch */
	uint64_t tx_used, tx_highest, tx_size; /* by us; highest: when we had published one */
};

struct chan {
	/* fixed */
	const struct chan_ops *ops;
	struct loop *loop;
	uint32_t relid;    /* for the log */
	int doorbell_fd;   /* eventfd, owned; signalled by the guest */
	bool polled;       /* may be polled */
	bool moderated;    /* interrupts for answers may wait while it is polled */
	uint32_t patience; /* see moderation_view */
	uint32_t packet_max;
	uint8_t *packet_buf; /* private copy of the packet being handled */
	uint64_t scan_ns;    /* the rings are polled so often: the guest does not signal; 0: it does
			      */
	uint64_t drain_ns;   /* longest batch while there are answers to publish */

	_Atomic uint32_t target_vp; /* VMBUS_VP_NONE: never interrupt */

	/* the I/O thread's */
	struct vmbus_rx rx;
	struct vmbus_tx tx;
	struct loop_event doorbell;
	struct loop_hook hook;
	struct loop_poller poller;
	struct loop_task drain_task;
	struct loop_timer scan;
	struct list out;   /* chan_out waiting for room, in order */
	bool started;      /* doorbell and hook are on the loop */
	bool drain_posted; /* drain_task is posted */
	int64_t in_flight; /* packets that need an answer and have none; a VSP may answer more */
	struct moderation moderation;
	bool news;          /* something that is no answer was sent, and is not published */
	bool irq_wanted;    /* there is something to interrupt for */
	bool irq_urgent;    /* ... that does not wait */
	bool stalled;       /* packet() returned -EAGAIN */
	bool lazy;          /* see chan_set_lazy() */
	bool paused;        /* no packet is taken */
	bool frozen;        /* paused, and the rings are not touched */
	bool faulted;       /* the rings are not touched any more */
	bool quiesced;      /* no packet is taken, no packet waits for room */
	bool stopping;      /* the rings are not touched any more */
	bool event_stopped; /* the doorbell is off the loop */
	void (*stopped)(struct chan *chan);
	struct chan_counters counters;
	uint64_t published;              /* of counters.sent */
	uint64_t rx_highest, tx_highest; /* see chan_rings */
};

/* Where a ring is in guest memory; valid and unchanged until the chan has stopped. */
struct chan_ring {
	void GUEST_SHARED *ctl;       /* its control page */
	const struct vmbus_run *runs; /* its data */
	uint32_t run_count;
};

struct chan_params {
	const struct chan_ops *ops;
	struct loop *loop;
	bool polled, moderated; /* see struct chan */
	uint64_t scan_ns;       /* the same */
	uint32_t patience;      /* see moderation_view */
	uint32_t relid;
	uint32_t target_vp;
	struct chan_ring g2h; /* the guest produces into it */
	struct chan_ring h2g;
	uint32_t packet_max; /* longest packet taken, descriptor included */
};

/* Any thread; creates the doorbell eventfd (register it with the VM before start).
 * -EPROTO or -EINVAL: not a ring (see vmbus_tx_init_runs); -ENOMEM, -EMFILE. */
int chan_init(struct chan *chan, const struct chan_params *params);
/* Takes packets and publishes what was sent before; until here the guest sees no packet and gets no
 * interrupt. */
void chan_start(struct chan *chan);
/* No packet is taken before chan_resume(); sending goes on. Also before chan_start(). */
void chan_pause(struct chan *chan);
/* Paused: publishes what was sent, sends a deferred interrupt, and does not touch the rings before
 * chan_resume(): packets that are sent wait. */
void chan_freeze(struct chan *chan);
/* Ends both. Harmless otherwise. */
void chan_resume(struct chan *chan);
/* The guest closes: no packet is taken from now on, and nothing waits for the guest to make room:
 * packets that do not fit are dropped (ops->sent runs). Not while frozen. */
void chan_quiesce(struct chan *chan);
/* Quiesces, publishes what was sent, and from then on does not touch the rings. stopped(chan) runs
 * later, when the loop does not use chan any more; it may free chan. */
void chan_stop(struct chan *chan, void (*stopped)(struct chan *chan));
/* Any thread; stopped or never started. */
void chan_fini(struct chan *chan);

/* Sends or queues, in order. Never fails. */
void chan_send(struct chan *chan, struct chan_out *out);
/* After packet() returned -EAGAIN: resources are back. Harmless otherwise. */
void chan_retry(struct chan *chan);
/* Lazy: the guest does not signal, and its packets are taken by chan_look(). Other events take
 * them, too: resuming, a guest that signals all the same. */
void chan_set_lazy(struct chan *chan, bool lazy);
void chan_look(struct chan *chan);
/* Any thread, before chan_fini(): what the indices in shared memory say now. A ring with an invalid
 * index counts as empty. */
void chan_rings(const struct chan *chan, struct chan_rings *rings);
/* Any thread, as chan_rings(). Counters, rings, interrupt moderation. */
void chan_inspect(const struct chan *chan, struct inspect *i);
/* Any thread: interrupts go to another VP from now on. When it returns to the chan's own I/O
 * thread, no interrupt goes to the old one; on another thread one may still be sent. */
void chan_retarget(struct chan *chan, uint32_t target_vp);

#endif
