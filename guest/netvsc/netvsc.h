/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netvsc.ko inside: a NIC, which is a net_device, and its channels.
 *
 * Each channel has a transmit queue, and a NAPI instance for all that the host sends on it: frames,
 * completions, and, on the primary channel, control messages. NAPI runs from the moment a channel
 * is open until it is closed, whether the interface is up or not.
 *
 * Sending takes the channel's lock, which is uncontended as long as each CPU has a channel of its
 * own: it is taken by the transmit queue, by XDP, by control requests, and by NAPI when it has
 * completions to send. Receiving takes no lock. An interrupt only schedules NAPI.
 *
 * Who reconnects (change of MTU, channels, buffers) holds the RTNL lock: channels stop, everything
 * is negotiated again, and what the user has set is set again.
 *
 * Names: a section is a piece of the send or receive buffer. A batch is the section that is being
 * filled with frames. A slot is the memory of one packet that the host has not completed.
 */
#ifndef NETVSC_H
#define NETVSC_H

#include <linux/bpf.h>
#include <linux/completion.h>
#include <linux/etherdevice.h>
#include <linux/if_vlan.h>
#include <linux/mutex.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <net/xdp.h>

#include "guest/netvsc/proto.h"
#include "guest/vmbus-vsc/vsc.h"
#include "hv/vmbus_reg.h"

#define NETVSC_CHANNELS_MAX 64u
#define NETVSC_RING_BYTES   (512u << 10)
#define NETVSC_SLOTS        1024u  /* packets in flight of one channel */
#define NETVSC_OWED         16384u /* received packets whose completion waits for room in the ring */
#define NETVSC_PACKET_BYTES 4736u  /* a transfer packet with NETVSC_RANGES_MAX ranges */
#define NETVSC_SECTIONS_MAX 256u   /* of the send buffer, for one channel */
#define NETVSC_REPLY_MAX    1024u
#define NETVSC_FRAGS_MAX    17u
#define NETVSC_RANGE_WORDS  160u
#define NETVSC_BUFFER_MAX   (31u << 20)
#define NETVSC_MTU_MAX      (65535u - ETH_HLEN)

/* ---- sending ------------------------------------------------------------- */

/* No packet has this id, since a generation is never 0. */
#define NETVSC_STAGED 1ull

/* id is 0 while it is free, and NETVSC_STAGED until the sender needs neither the slot nor the frame
 * any more: the packet is in the ring, where the host does not see it yet, and BQL has counted it.
 * Then it is `tag`, and NAPI frees the slot when a completion, true or forged, has the same. */
struct netvsc_slot {
	u64 id;
	u64 tag;
	struct sk_buff *skb; /* whose memory the host reads; NULL: the frames are in a section */
	u32 section;         /* or NVSP_SECTION_NONE */
	u32 packets, bytes;  /* for BQL */
};

struct netvsc_batch {
	struct netvsc_slot *slot;
	u32 section;
	u32 used;   /* bytes of it */
	u32 frames; /* 0: there is no batch */
};

/* A GPA-direct packet's header: ranges, each followed by its page numbers. */
struct netvsc_ranges {
	struct vmbus_gpa_direct head;
	u64 words[NETVSC_RANGE_WORDS];
};

/* ---- receiving ----------------------------------------------------------- */

/* A frame that is being received, from one range or, with RSC, from several. */
struct netvsc_frame {
	struct netvsc_rx rx;
	struct page *page; /* its beginning; NULL: there is no frame */
	u32 offset;        /* of the memory in the page */
	u32 size;          /* of it: headroom, data, skb_shared_info */
	u32 headroom;
	u32 head_length;
	u32 length;
	u32 frag_count;
	u32 frag_used; /* bytes of the last one */
	struct page *frags[NETVSC_FRAGS_MAX];
};

/* The packet that is being received. */
struct netvsc_receive {
	struct netvsc_transfer transfer;
	u32 next; /* range; all are done when it is transfer.count */
	u64 id;
	struct netvsc_frame frame;
	u8 packet[NETVSC_PACKET_BYTES];
};

/* Ids of received packets, until they are sent as completions. */
struct netvsc_owed {
	u64 *ids; /* NETVSC_OWED */
	u32 head, tail;
};

/* ---- channels ------------------------------------------------------------ */

/* One writer each: the sender under the channel's lock, or NAPI. */
struct netvsc_counts {
	/* sender */
	u64 tx_packets, tx_bytes, tx_dropped, tx_sections, tx_direct, tx_doorbells, tx_ring_full,
		tx_stopped, xdp_tx, xdp_xmit, xdp_tx_dropped;
	/* NAPI */
	u64 rx_packets, rx_bytes, rx_dropped, rx_no_memory, rx_invalid, rx_transfers, rx_rsc,
		xdp_drop, xdp_pass, xdp_redirect, interrupts, polls, tx_refused, tx_stray, tx_woken;
};

struct netvsc_chan {
	struct netvsc *nic;
	struct vsc_channel *vsc; /* NULL: closed */
	unsigned int index;
	unsigned int cpu; /* of its interrupts */
	/* sending, under the lock */
	spinlock_t lock ____cacheline_aligned_in_smp;
	bool open;
	bool stuck; /* the batch is complete, but there was no room for it */
	u32 generation;
	u32 next_slot;
	u32 first_section, section_count, next_section; /* its share of the send buffer */
	u32 sent;
	struct netvsc_slot *slots;
	u8 *section_busy; /* cleared by NAPI */
	struct netvsc_batch batch;
	struct netvsc_slot *direct; /* of a packet that BQL has not counted */
	struct netvsc_ranges ranges;
	/* receiving, in NAPI */
	struct napi_struct napi ____cacheline_aligned_in_smp;
	struct page_pool *pool;
	struct xdp_rxq_info xdp_rxq;
	bool xdp_sent, xdp_redirected; /* in this poll */
	u32 done_packets, done_bytes;  /* in this poll, for BQL */
	u32 completed;
	struct netvsc_owed owed;
	struct netvsc_receive receive;
	struct netvsc_counts counts;
};

/* A console of the network does not wait for the lock (interrupts are off when it sends, the budget
 * is 0 when it polls): it may have interrupted who has it, or be called by it. False: it has not
 * got it. The stack tries again, and NAPI, which is still scheduled, does what was not done. */
#define netvsc_lock(chan, wait)                                                                    \
	((wait) ? (spin_lock(&(chan)->lock), true) : spin_trylock(&(chan)->lock))

/* ---- the NIC ------------------------------------------------------------- */

/* The request in flight: an NVSP message, whose answer is a completion; or an RNDIS message, which
 * is completed and, most of them, answered by another one. */
struct netvsc_requests {
	struct mutex lock;
	bool connected; /* under the lock */
	bool broken;    /* one was not answered: the page may still be in use */
	u32 generation;
	u32 request_id;
	u64 awaited_id;    /* of the completion; 0: none */
	u32 awaited_reply; /* request id; 0: none */
	atomic_t awaited;  /* how many of the two */
	bool nvsp;         /* the completion is the answer */
	struct completion done;
	void *page; /* the host reads the message from here */
	u32 reply_length;
	u8 reply[NETVSC_REPLY_MAX];
};

/* What the user has chosen and a connection is made with. */
struct netvsc_setup {
	u32 mtu;
	u32 channels;
	u32 recv_bytes, send_bytes;
};

#define NETVSC_EVENT_LINK  0 /* bits of netvsc.events */
#define NETVSC_EVENT_FLAP  1
#define NETVSC_EVENT_SPEED 2

struct netvsc {
	struct vsc_device *device;
	struct net_device *ndev;
	struct netvsc_conn conn;
	struct netvsc_setup setup;
	struct netvsc_requests requests;
	unsigned int chan_max;   /* of chans[] */
	unsigned int chan_count; /* in use */
	struct netvsc_chan *chans[NETVSC_CHANNELS_MAX];
	struct vsc_gpadl recv, send; /* id 0: there is none */
	struct bpf_prog __rcu *xdp;
	bool dead; /* the host breaks the protocol: nothing is sent or received */
	bool up;   /* frames are wanted */
	/* RSS */
	struct netvsc_rss rss;
	bool rss_chosen; /* the table is the user's */
	/* sub-channels that a connection waits for */
	struct mutex chans_lock;
	unsigned int chans_wanted, chans_open;
	struct completion chans_there;
	/* link */
	unsigned long events;
	int link_up; /* by the last event, or by the answer to the last query; -1: no event yet */
	unsigned long link_next; /* the link work may run again at this time */
	u32 speed;               /* Mbit/s; 0: unknown */
	u32 filter;              /* as last set; under requests.lock */
	struct delayed_work link_work;
	struct work_struct filter_work;
};

/* ---- chan.c: a channel's life, and what NAPI does ------------------------ */

struct netvsc_chan *netvsc_chan_create(struct netvsc *n, unsigned int index);
void netvsc_chan_free(struct netvsc_chan *chan);
/* Process context. */
int netvsc_chan_open(struct netvsc_chan *chan, struct vsc_channel *vsc);
/* No packet is sent or received from now on. */
void netvsc_chan_stop(struct netvsc_chan *chan);
/* After the channel is closed: frees what was in flight. */
void netvsc_chan_release(struct netvsc_chan *chan);
/* The host breaks the protocol. Any context. */
void netvsc_die(struct netvsc *n, const char *why);

/* ---- tx.c: frames to the host -------------------------------------------- */

netdev_tx_t netvsc_start_xmit(struct sk_buff *skb, struct net_device *ndev);
/* A frame of XDP, copied. With the lock; netvsc_tx_push() sends it. */
int netvsc_tx_copy(struct netvsc_chan *chan, const void *data, u32 length);
/* Sends the batch and rings, with the lock. */
void netvsc_tx_push(struct netvsc_chan *chan);
/* The completion of a packet; in NAPI. */
void netvsc_tx_complete(struct netvsc_chan *chan, const struct vmbus_pkt *pkt, int budget);
/* At the end of a poll: what can be sent now. */
void netvsc_tx_resume(struct netvsc_chan *chan, int budget);
/* The memory of all packets in flight; the host does not use it any more. */
void netvsc_tx_drop_all(struct netvsc_chan *chan);

/* ---- rx.c: frames from the host ------------------------------------------ */

int netvsc_rx_open(struct netvsc_chan *chan);
/* The channel is closed. */
void netvsc_rx_stop(struct netvsc_chan *chan);
/* It is not opened again. */
void netvsc_rx_close(struct netvsc_chan *chan);
/* A transfer packet has come; its ranges are received one by one. */
void netvsc_rx_begin(struct netvsc_chan *chan, const struct vmbus_pkt *pkt);
static inline bool netvsc_rx_busy(const struct netvsc_chan *chan)
{
	return chan->receive.next < chan->receive.transfer.count;
}
void netvsc_rx_next(struct netvsc_chan *chan);
/* At the end of a poll: completions of what was received. */
void netvsc_rx_finish(struct netvsc_chan *chan, int budget);

/* ---- xdp.c --------------------------------------------------------------- */

/* Frames with more memory are not for XDP. */
#define NETVSC_XDP_MTU_MAX                                                                         \
	((u32)(SKB_WITH_OVERHEAD(PAGE_SIZE) - XDP_PACKET_HEADROOM - ETH_HLEN - VLAN_HLEN))

/* True: the frame is XDP's now. False: it goes on, perhaps changed. */
bool netvsc_xdp_run(struct netvsc_chan *chan, struct netvsc_frame *frame, u32 *metadata);
void netvsc_xdp_flush(struct netvsc_chan *chan);
int netvsc_bpf(struct net_device *ndev, struct netdev_bpf *bpf);
int netvsc_xdp_xmit(struct net_device *ndev, int count, struct xdp_frame **frames, u32 flags);

/* ---- control.c: NVSP and RNDIS requests ---------------------------------- */

int netvsc_control_init(struct netvsc *n);
void netvsc_control_end(struct netvsc *n);
void netvsc_control_connect(struct netvsc *n, bool connected);
/* Process context. The answer is in requests.reply as long as the caller holds requests.lock.
 * -ETIMEDOUT, -ENODEV: none came. */
int netvsc_request_step(struct netvsc *n, const struct netvsc_step *step);
/* With an own id; takes the lock; 0: the host has done it. */
int netvsc_set_filter(struct netvsc *n, u32 filter);
int netvsc_set_rss(struct netvsc *n, const struct netvsc_rss *rss);
int netvsc_set_rsc(struct netvsc *n, bool on);
int netvsc_set_mac(struct netvsc *n, const u8 *mac);
int netvsc_query_u32(struct netvsc *n, u32 oid, u32 *value);
int netvsc_halt(struct netvsc *n);
/* A message without an answer. */
int netvsc_say(struct netvsc *n, const struct nvsp_message *message);
/* Of the primary channel, in NAPI. */
bool netvsc_control_id(u64 id);
void netvsc_control_complete(struct netvsc *n, const struct vmbus_pkt *pkt);
void netvsc_control_receive(struct netvsc *n, const void *message, u32 length);

/* ---- connect.c ----------------------------------------------------------- */

/* Opens and negotiates; registered devices: with RTNL. On failure nothing is open. */
int netvsc_connect(struct netvsc *n);
/* The reverse; harmless when nothing is open. */
void netvsc_disconnect(struct netvsc *n);
/* With RTNL. On failure the old set-up is in use again, if the host allows. */
int netvsc_reconnect(struct netvsc *n, const struct netvsc_setup *setup);
void netvsc_sub_channel(struct vsc_device *device, struct vsc_channel *vsc);

/* ---- netdev.c: the net_device; ethtool.c --------------------------------- */

extern const struct net_device_ops netvsc_netdev_ops;
extern const struct ethtool_ops netvsc_ethtool_ops;
void netvsc_set_features(struct netvsc *n);
void netvsc_link_init(struct netvsc *n);
/* Any context. */
void netvsc_link_event(struct netvsc *n, unsigned int event);
void netvsc_link_end(struct netvsc *n);
/* The interface is up: frames come, and the link is as the host says. With RTNL. */
int netvsc_link_begin(struct netvsc *n);
u32 netvsc_wanted_filter(const struct netvsc *n);

#endif
