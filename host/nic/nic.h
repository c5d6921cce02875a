/* SPDX-License-Identifier: MIT */
/*
 * NICs: the network behind a VSP. A NIC is a const vtable over some transport;
 * NICs stack (a filter holds a lower NIC). Nothing here knows Hyper-V or RNDIS.
 *
 *   struct nic        control thread: open, close, link, MTU, offloads, queues
 *   struct nic_queue  one queue pair, bound to one loop (I/O thread)
 *   struct nic_frame  a frame: its bytes (iovec) and its offload metadata
 *   struct nic_client the user of a queue, embedded in the user's own channel
 *
 * The data path allocates nothing, takes no lock, and copies no payload where
 * the transport allows that: memory of the client goes to and from the kernel.
 *
 * Transmit. nic_tx() submits frames; each is completed once through tx_done,
 * possibly before nic_tx() returns. An outstanding frame is the back-pressure:
 * the client bounds how many it has. Frames of one queue
 * leave in order. A frame that cannot leave (link down, invalid) is dropped,
 * counted, and done with an error: nothing is retried, no frame is ever stuck
 * while the link is down.
 *
 * Receive. The back end calls rx_get for empty frames ("buffers") when it has
 * something to receive, fills them, and returns filled ones through rx, unused
 * ones through rx_put. When rx_get returns 0 the queue is paused until
 * nic_rx_resume(); packets wait, or are lost, in the transport. A queue is
 * paused when it is opened. No buffer is held while nothing is received. A TAP
 * asks for one buffer at a time, so that the client can use what a short frame
 * left; one loop turn brings up to NIC_BATCH frames, long ones a few, and a client
 * that batches publishes them in a loop hook.
 *
 * Life of a queue:   open (paused) -> running -> nic_queue_stop() -> stopped -> close
 *
 * Threads: functions marked ON_LOOP run on queue->loop, "control" on the loop
 * of nic_env.control; the client's operations run on queue->loop.
 * All errors are -errno. struct err texts are for users.
 */
#ifndef HOST_NIC_H
#define HOST_NIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/loop.h"

#define NIC_QUEUES_MAX        64u
#define NIC_MTU_MIN           68u
#define NIC_ETH_HEADER        14u
#define NIC_VLAN_TAG          4u
#define NIC_FRAME_MAX         (65535u + NIC_ETH_HEADER) /* without a VLAN tag, GSO included */
#define NIC_IOV_MAX           64u                       /* entries of nic_frame.iov */
#define NIC_HEADERS_MAX       256u                      /* Ethernet to end of TCP, at most */
#define NIC_GSO_SIZE_MIN      8u
#define NIC_GSO_SEGMENTS_MAX  2048u
#define NIC_GSO_DATAGRAMS_MAX 128u /* of UDP segmentation: the kernel's limit */
#define NIC_ROOM_FIRST        64u
#define NIC_BATCH             64u /* frames that a back end asks for or hands over at once */

/* ---- frames -------------------------------------------------------------- */

enum nic_gso {
	NIC_GSO_NONE,
	NIC_GSO_TCP4,
	NIC_GSO_TCP6,
	NIC_GSO_UDP, /* UDP segmentation: one datagram per segment */
};

/* nic_offload.flags */
#define NIC_CSUM_PARTIAL                                                                           \
	0x01u /* sum from csum_start to the end is to be stored at csum_offset;                    \
	       */
/* the field holds the pseudo header's sum, length included */
#define NIC_CSUM_VALID 0x02u /* receive: the TCP or UDP checksum was verified */
#define NIC_GSO_ECN    0x04u /* TCP: CWR is set; only the first segment keeps it */
#define NIC_VLAN       0x08u /* vlan_tci is valid; the tag is not among the bytes */
#define NIC_HASH       0x10u /* receive: hash is a Toeplitz value of the configured key */

/* All offsets count from the first byte of the destination MAC, VLAN tag not counted. GSO implies
 * NIC_CSUM_PARTIAL. */
struct nic_offload {
	uint8_t flags;        /* NIC_* above */
	uint8_t gso;          /* enum nic_gso */
	uint16_t gso_size;    /* payload bytes of a segment (MSS) */
	uint16_t header_len;  /* GSO: Ethernet to end of TCP or UDP header. Receive: not reliable */
	uint16_t csum_start;  /* TCP or UDP header */
	uint16_t csum_offset; /* from csum_start: 16 TCP, 6 UDP */
	uint16_t vlan_tci;    /* PCP, DEI, VLAN id in host order */
	uint32_t hash;
};

/*
 * A frame to transmit, or a buffer to receive one. It and its iovec array belong
 * to the client before nic_tx() and after tx_done; before rx_get returns and
 * after rx or rx_put. In between only the back end touches them.
 *
 * iov[0] is scratch of the back end (a header goes there); the frame's bytes, or
 * the room for them, are iov[1] .. iov[iov_count - 1], which no layer modifies.
 *
 * Transmit: `length` is the sum of iov[1..]. iov[1] has at least 14 bytes and, with
 * NIC_CSUM_PARTIAL, is memory that no guest can change and holds at least the headers up to the end
 * of the TCP or UDP header.
 * Receive: iov[1] has at least NIC_ROOM_FIRST bytes. The frame is `length` bytes from byte `skip`
 * of iov[1] on. What is behind it in the room is undefined.
 */
struct nic_frame {
	struct nic_offload offload;
	uint32_t length; /* bytes, NIC_ETH_HEADER .. NIC_FRAME_MAX */
	uint32_t room;   /* receive: bytes of iov[1..]; longer than the frame, else it is dropped */
	uint32_t skip;   /* receive: bytes of iov[1] before the frame: 0 or NIC_VLAN_TAG */
	uint32_t iov_count;
	struct iovec *iov;
	void *owner;            /* the client's */
	struct nic_frame *next; /* of the layer that holds the frame */
	uint64_t due_ns;        /* the same */
};

/* ---- clients ------------------------------------------------------------- */

struct nic;
struct nic_queue;
struct nic_client;

/* All ON_LOOP(queue->loop). tx_done and rx may call any function of their queue but close. */
struct nic_client_ops {
	/* 0; -EINVAL offload metadata, -ENETDOWN, -EMSGSIZE, -ENOBUFS, -ECANCELED (stop), -EIO */
	void (*tx_done)(struct nic_client *client, struct nic_frame *frame, int error);
	/* Up to `count` buffers; returns how many. 0: see nic_rx_resume(). Never more than
	 * NIC_BATCH. */
	uint32_t (*rx_get)(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
	/* Frames in order of arrival: length, skip and offload are set. */
	void (*rx)(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
	/* Buffers that were not needed. */
	void (*rx_put)(struct nic_client *client, struct nic_frame *frames[], uint32_t count);
	/* Once, later than nic_queue_stop() returned; then no operation is called any more. */
	void (*stopped)(struct nic_client *client);
};

struct nic_client {
	const struct nic_client_ops *ops;
};

/* ---- NICs ---------------------------------------------------------------- */

/* Offloads as capabilities. */
#define NIC_CAN_CSUM 0x01u /* NIC_CSUM_PARTIAL; the others need it */
#define NIC_CAN_TSO4 0x02u
#define NIC_CAN_TSO6 0x04u
#define NIC_CAN_ECN  0x08u
#define NIC_CAN_USO  0x10u
#define NIC_CAN_ALL  0x1fu

struct nic_info {
	uint32_t queues_max; /* 1 .. NIC_QUEUES_MAX */
	/* Transmit: every back end takes every frame. What is missing here costs it a pass over the
	 * payload in software. */
	uint32_t tx_native;
	uint32_t rx_native; /* receive offloads it can deliver; see nic_set_rx_offloads() */
	uint64_t speed_bps; /* nominal, for guests that ask */
};

enum nic_drop {
	NIC_DROP_LINK_DOWN, /* no interface, no peer, carrier off */
	NIC_DROP_INVALID,   /* transmit: metadata; receive: what a peer sent */
	NIC_DROP_TOO_BIG,   /* receive: longer than the buffer */
	NIC_DROP_FULL,      /* no room, no memory, no buffer */
	NIC_DROP_OFFLOAD,   /* receive: an offload that was just switched off */
	NIC_DROP_FILTER,    /* loss */
	NIC_DROP_ERROR,     /* any other error of the kernel */
	NIC_DROP_COUNT,
};
extern const char *const nic_drop_names[NIC_DROP_COUNT];

struct nic_counts {
	uint64_t frames;
	uint64_t bytes;
	uint64_t gso_frames;
	uint64_t partial_frames; /* with NIC_CSUM_PARTIAL, GSO included */
	uint64_t segmented;      /* frames that software segmented */
	uint64_t dropped[NIC_DROP_COUNT];
};

/* As the client sees it. One writer each: the loop of the queue. */
struct nic_stats {
	struct nic_counts tx, rx;
} __attribute__((aligned(64)));

/* nic_watcher.changed */
#define NIC_CHANGED_LINK 0x1u
#define NIC_CHANGED_MTU  0x2u

/* Control thread. Embedded in the owner of the NIC. */
struct nic_watcher {
	void (*changed)(struct nic_watcher *watcher, uint32_t what);
};

struct nic_ops {
	const char *name;
	/* Control; optional but close. close calls nic_closed(), now or later. */
	void (*close)(struct nic *nic);
	int (*set_rx_offloads)(struct nic *nic, uint32_t offloads);
	int (*set_queues)(struct nic *nic, uint32_t queues);
	int (*set_carrier)(struct nic *nic, bool up);
	/* ON_LOOP. */
	int (*queue_open)(struct nic *nic, uint32_t index, struct loop *loop,
		struct nic_client *client, struct nic_queue **queue);
	void (*queue_stop)(struct nic_queue *queue); /* then client->ops->stopped() */
	void (*queue_close)(struct nic_queue *queue);
	void (*tx)(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count);
	void (*rx_resume)(struct nic_queue *queue);
};

/* Base of every NIC; embedded first. */
struct nic {
	const struct nic_ops *ops;
	struct nic *lower; /* NULL at the bottom; owned */
	struct nic *upper; /* NULL at the top */
	struct loop *control;
	struct nic_info info;
	uint32_t queues; /* in use: nic_set_queues() */
	_Atomic bool link_up;
	_Atomic uint32_t mtu;
	_Atomic uint32_t rx_offloads;
	struct nic_watcher *watcher; /* of the top */
	struct nic_stats *stats;     /* info.queues_max entries */
	void (*closed)(void *ctx);
	void *closed_ctx;
};

/* Base of every queue; embedded first. */
struct nic_queue {
	struct nic *nic;
	struct loop *loop;
	struct nic_client *client;
	struct nic_stats *stats;
	uint32_t index;
	bool stopping; /* nic_queue_stop() was called */
	struct loop_task stopped_task;
};

/* What a back end is opened with. */
struct nic_env {
	struct loop *control;
	uint32_t queues; /* 1 .. NIC_QUEUES_MAX wanted; info.queues_max may be less */
	uint32_t mtu;    /* 0: the back end's own */
};

/* ---- control thread ------------------------------------------------------ */

/* One watcher at most; NULL: none. Called for changes after this. */
void nic_watch(struct nic *nic, struct nic_watcher *watcher);

/* The whole stack; all queues are closed. closed(ctx) runs on the control thread when nothing of
 * the NIC is left, maybe before this returns. */
void nic_close(struct nic *nic, void (*closed)(void *ctx), void *ctx);

/* Receive offloads that clients take from now on, any of info.rx_native; others are masked.
 * 0 after opening: complete checksums, no GSO. Frames that were in the transport before are
 * completed in software or dropped. Without NIC_CAN_CSUM nothing else is on. */
int nic_set_rx_offloads(struct nic *nic, uint32_t offloads);

/* Queues 0 .. queues - 1 may be open and get traffic; 1 after opening. -EINVAL: more than
 * info.queues_max. Queues beyond are closed by the client before. */
int nic_set_queues(struct nic *nic, uint32_t queues);

/* Shows the guest's link state to the other side of the transport, where that has one. */
int nic_set_carrier(struct nic *nic, bool up);

/* The same three from any thread; done runs on call->loop. The ioctls of a TAP may wait for other
 * users of the kernel's network configuration: never on an I/O thread. */
enum nic_call_op { NIC_CALL_RX_OFFLOADS, NIC_CALL_QUEUES, NIC_CALL_CARRIER };
struct nic_call {
	struct nic *nic;
	enum nic_call_op op;
	uint32_t value;
	struct loop *loop;
	void (*done)(struct nic_call *call, int error);
	int error;
	struct loop_task task;
};
void nic_call(struct nic_call *call);

/* ---- any thread ---------------------------------------------------------- */

/* Of the transport at the bottom. */
bool nic_link_up(const struct nic *nic);
uint32_t nic_mtu(const struct nic *nic); /* payload of Ethernet, bytes */
/* Of one layer (nic->lower for the next): one queue, or all that were ever open. */
void nic_queue_stats(const struct nic *nic, uint32_t index, struct nic_stats *stats);
void nic_stats(const struct nic *nic, struct nic_stats *stats);

/* ---- queues: ON_LOOP ----------------------------------------------------- */

/* index < nic->queues, not open. */
int nic_queue_open(struct nic *nic, uint32_t index, struct loop *loop, struct nic_client *client,
	struct nic_queue **queue);

/* Outstanding frames are completed (sent, or -ECANCELED), buffers returned, then client->stopped
 * runs, in a later turn. Nothing touches memory of the client after that. Once per queue. */
void nic_queue_stop(struct nic_queue *queue);

/* Stopped. May be called by client->stopped. */
void nic_queue_close(struct nic_queue *queue);

/* Checks the metadata of every frame (nic_offload_check()); the array is the caller's again when
 * this returns. */
void nic_tx(struct nic_queue *queue, struct nic_frame *frames[], uint32_t count);

/* Buffers are there again. Idempotent, cheap; may call the client before it returns. */
void nic_rx_resume(struct nic_queue *queue);

#endif
