/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * storvsc.ko inside: a controller, which is a SCSI host, and its channels.
 *
 * Each channel has two hardware queues of the block layer: one whose requests complete in the
 * channel's interrupt, and one whose requests are polled for (io_uring with hipri). While only
 * polled requests are in flight, the ring is masked and the host sends no interrupts.
 *
 * Sending takes the channel's lock, which is uncontended as long as each CPU has a channel of its
 * own. Receiving takes no lock: it belongs to the context that has set CHAN_DRAINING, and a context
 * that finds it set leaves, since the owner reads the ring again after clearing it. An interrupt
 * takes no lock at all.
 *
 * Nothing is allocated for a request: page lists are written into a buffer of the channel, under
 * its lock, and copied into the ring from there.
 */
#ifndef STORVSC_H
#define STORVSC_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <scsi/scsi_cmnd.h>
#include <scsi/scsi_device.h>
#include <scsi/scsi_host.h>

#include "guest/storvsc/proto.h"
#include "guest/vmbus-vsc/vsc.h"

#define STORVSC_CHANNELS_MAX 64u
#define STORVSC_QUEUE_DEPTH  256u /* requests of one hardware queue */
#define STORVSC_RING_BYTES   (128u << 10)
#define STORVSC_TARGETS      2u
#define STORVSC_LUNS         256u
#define STORVSC_PACKET_BYTES 256u /* longer ones from the host are an error */
#define STORVSC_HISTOGRAM    24u  /* latencies below 2^n microseconds */

/* ---- requests ------------------------------------------------------------ */

/* The block layer wants polled requests completed in process context: one whose completion an
 * interrupt has taken waits in its channel's list, with this id, for the next poll. No packet has
 * it, since a generation is never 0. */
#define STORVSC_DEFERRED 1

/* A tag's place. id is 0 while it is free. The context that changes it from the id of a request to
 * 0 completes that request: so each one completes once, whatever the host sends and whatever races.
 */
struct storvsc_slot {
	atomic64_t id;
	struct scsi_cmnd *cmd; /* valid while id is not 0 */
	bool polled;
};

/* Behind each struct scsi_cmnd; nothing in it outlives the request. */
struct storvsc_request {
	struct storvsc_command command;
	bool polled;
	u64 sent_ns;
	struct scsi_cmnd *next_deferred;
};

static inline struct storvsc_request *storvsc_request(struct scsi_cmnd *cmd)
{
	return scsi_cmd_priv(cmd);
}

/* ---- channels ------------------------------------------------------------ */

/* Commands, and what is done for them. One writer each: the sender under the channel's lock, or the
 * context that drains. */
struct storvsc_counts {
	u64 sent, polled, doorbells, ring_full; /* sender */
	u64 completed, errors, interrupts, stray, invalid, events;
	u64 latency[STORVSC_HISTOGRAM];
};

#define CHAN_DRAINING 0 /* bit of storvsc_chan.state */

struct storvsc_chan {
	struct storvsc *controller;
	struct vsc_channel *vsc;
	unsigned int index; /* in controller->chans */
	unsigned int cpu;   /* of its interrupts */
	/* sending */
	spinlock_t lock;
	bool closed;
	u32 generation;
	struct storvsc_range *range; /* the request that is being sent */
	/* receiving */
	unsigned long state ____cacheline_aligned_in_smp;
	struct scsi_cmnd *deferred;
	struct tasklet_struct more; /* goes on when an interrupt has taken its share */
	u8 packet[STORVSC_PACKET_BYTES];
	/* both */
	atomic_t in_flight ____cacheline_aligned_in_smp; /* that need an interrupt */
	atomic_t polled_in_flight;
	struct storvsc_slot *slots[STORVSC_TABLE_CONTROL];
	struct storvsc_counts counts;
};

/* ---- controllers --------------------------------------------------------- */

/* The one request of its kind in flight: initialization, a reset. */
struct storvsc_control {
	struct mutex lock;
	atomic64_t id;
	struct completion answered;
	u8 reply[VSTOR_PACKET_SIZE];
	u32 reply_length;
};

struct storvsc {
	struct vsc_device *device;
	struct Scsi_Host *host;
	struct storvsc_conn conn;
	struct storvsc_control control;
	unsigned int chan_count;
	bool polling; /* there are poll queues */
	struct storvsc_chan *chans[STORVSC_CHANNELS_MAX];
	/* sub-channels that probe() waits for */
	struct mutex chans_lock;
	unsigned int chans_wanted;
	struct completion chans_there;
	/* life */
	bool added; /* to the SCSI layer */
	bool dead;  /* commands fail at once */
	bool shut;  /* all channels are closed; under shut_lock */
	struct mutex shut_lock;
	struct work_struct failure;
	struct completion failed;
	/* LUNs that come, go and change */
	struct workqueue_struct *work;
	struct work_struct scan, luns;
	DECLARE_BITMAP(luns_gone, STORVSC_TARGETS *STORVSC_LUNS);
	DECLARE_BITMAP(luns_changed, STORVSC_TARGETS *STORVSC_LUNS);
	struct dentry *debugfs;
};

/* ---- chan.c: the core, without SCSI -------------------------------------- */

struct storvsc_chan *storvsc_chan_create(struct storvsc *s, struct vsc_channel *vsc);
void storvsc_chan_free(struct storvsc_chan *chan);
/* Opens it; on success requests may be sent. Process context. */
int storvsc_chan_open(struct storvsc_chan *chan);
/* No request is sent and nothing received from now on. Process context. */
void storvsc_chan_stop(struct storvsc_chan *chan);

/* What storvsc_chan_send() needs to know. range: NULL or the channel's own. */
struct storvsc_send {
	u64 id;
	const struct vstor_packet *packet;
	u32 range_bytes;
};

/* Writes it into the ring, with chan->lock held. -EAGAIN: no room now. */
int storvsc_chan_send(struct storvsc_chan *chan, const struct storvsc_send *send);
/* Publishes what was sent, with chan->lock held. */
void storvsc_chan_commit(struct storvsc_chan *chan);

/* Takes completions out of the ring. Any context but NMI. Returns how many packets it took. */
unsigned int storvsc_chan_drain(struct storvsc_chan *chan);
/* Sleeps until nobody takes completions, or the controller is dead: a command whose slot is free
 * may not be complete before that. */
void storvsc_chan_settle(struct storvsc_chan *chan);

/* A request is about to be sent on an open channel, with chan->lock held: interrupts are wanted, or
 * not. True: call storvsc_chan_drain() after unlocking, a completion came while the ring was
 * masked. */
bool storvsc_chan_begin(struct storvsc_chan *chan, bool polled);
void storvsc_chan_end(struct storvsc_chan *chan, bool polled);

/* ---- control.c: initialization and resets -------------------------------- */

void storvsc_control_init(struct storvsc_control *control);
int storvsc_negotiate(struct storvsc *s, unsigned int sub_channels);
/* One request on the primary channel, and its answer. -ETIMEDOUT: none within `seconds`. */
int storvsc_control_request(
	struct storvsc *s, const struct vstor_packet *packet, unsigned int seconds);
/* Receives one; in the context that drains. */
void storvsc_control_answer(struct storvsc *s, u64 id, const struct vmbus_pkt *pkt);

/* ---- scsi.c: a SCSI host ------------------------------------------------- */

extern struct scsi_host_template storvsc_template;
/* Receives the completion of a command; in the context that drains. */
void storvsc_scsi_complete(struct storvsc_chan *chan, u64 id, const struct vmbus_pkt *pkt);
/* Completes what interrupts have deferred; in the context that drains, in process context. Returns
 * how many. */
unsigned int storvsc_scsi_finish_deferred(struct storvsc_chan *chan);
/* Completes every command in flight with an error. The host must not use their memory any more. */
void storvsc_scsi_fail_all(struct storvsc *s);
/* Commands in flight, of one LUN, or of all (NULL). */
unsigned int storvsc_scsi_in_flight(struct storvsc *s, const struct scsi_device *sdev);

/* ---- recovery.c: when the host does not answer --------------------------- */

compat_eh_timer_return storvsc_eh_timed_out(struct scsi_cmnd *cmd);
int storvsc_eh_abort(struct scsi_cmnd *cmd);
int storvsc_eh_reset_lun(struct scsi_cmnd *cmd);
int storvsc_eh_reset_host(struct scsi_cmnd *cmd);
/* Commands fail from now on; the channels are closed and what is in flight is failed, by a work
 * item. Any context. */
void storvsc_die(struct storvsc *s, const char *why);
/* Closes all channels and fails what is in flight. Process context; again is harmless. */
void storvsc_shut(struct storvsc *s);
void storvsc_recovery_init(struct storvsc *s);

/* ---- luns.c: LUNs that come, go and change ------------------------------- */

int storvsc_luns_init(struct storvsc *s);
void storvsc_luns_end(struct storvsc *s);
/* Any context. */
void storvsc_luns_scan(struct storvsc *s);
void storvsc_lun_gone(struct storvsc *s, const struct scsi_device *sdev);
void storvsc_lun_changed(struct storvsc *s, const struct scsi_device *sdev);

/* ---- stats.c: debugfs ---------------------------------------------------- */

void storvsc_stats_module_init(void);
void storvsc_stats_module_exit(void);
void storvsc_stats_add(struct storvsc *s);
void storvsc_stats_remove(struct storvsc *s);
/* In the context that drains. */
void storvsc_stats_latency(struct storvsc_counts *counts, u64 ns);

#endif
