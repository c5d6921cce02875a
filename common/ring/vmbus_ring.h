/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The VMBus ring, both ends, compiled once for host, guest modules, tests and
 * fuzzers. tx is the producer's end, rx the consumer's; they are different types,
 * so that they cannot be confused.
 *
 * Rules:
 *  - the own index is private and never re-read from shared memory; the peer's
 *    index is range-checked at every load (-EPROTO);
 *  - a packet is copied out ONCE, descriptor first, and only the copy is used;
 *  - indices are published once per batch by commit, which returns whether the
 *    peer must be signalled:
 *      tx: the ring was empty before the batch and the peer did not mask;
 *      rx: the peer waits for room (pending_send_size) and this batch made it.
 *
 * The memory of a ring is a list of contiguous runs. A guest maps its ring in one
 * piece, so its list has one entry. The host sees the pages where the guest has
 * them: one run for each group of neighbouring pages.
 *
 * Freestanding: no allocation, lock, log or sleep. The caller owns the memory
 * and is the only user of its end. Functions return 0 or -errno.
 */
#ifndef VMBUS_RING_H
#define VMBUS_RING_H

#include "hv/vmbus_ring_reg.h"
#include "ring/ring_port.h"

#define VMBUS_RING_SIZE_MAX (1u << 30)

/* Contiguous bytes of a ring's data. */
struct vmbus_run {
	uint8_t RING_SHARED *at;
	uint32_t bytes; /* a page multiple, not 0 */
};

/* The data of a ring: its runs, in the order of ring offsets. */
struct vmbus_ring_data {
	const struct vmbus_run *runs; /* the caller's; NULL: only `whole` */
	uint32_t count;
	struct vmbus_run whole;
};

/* An offset of the ring, as an address: `left` bytes (never 0) remain in run number `run`. */
struct vmbus_ring_place {
	uint8_t RING_SHARED *at;
	uint32_t left;
	uint32_t run;
};

struct vmbus_tx {
	struct vmbus_ring_ctl RING_SHARED *ctl; /* shared */
	struct vmbus_ring_place place;          /* of `write` */
	uint32_t size;      /* D: bytes, multiple of 8, not always a power of two */
	uint32_t write;     /* start of the next packet, behind the staged ones */
	uint32_t published; /* last write_index stored */
	uint32_t peer_read; /* read_index as last loaded and checked */
	bool pending;       /* our pending_send_size is not zero */
	bool signal;        /* write() published early; commit() returns this signal */
	struct vmbus_ring_data data;
};

struct vmbus_rx {
	struct vmbus_ring_ctl RING_SHARED *ctl; /* shared; the peer's indices are hostile */
	struct vmbus_ring_place place;          /* of `read` */
	uint32_t size;
	uint32_t read;       /* private: next packet */
	uint32_t taken;      /* bytes taken and not yet released by commit() */
	uint32_t peer_write; /* write_index as last loaded and checked */
	struct vmbus_ring_data data;
};

/* One piece of a packet to send; pieces are concatenated. */
struct vmbus_vec {
	const void *base;
	uint32_t len;
};

/* A received packet, in the caller's private buffer. */
struct vmbus_pkt {
	struct vmbus_pkt_desc desc; /* checked: 2 <= offset8 <= len8, flags known bits only */
	const uint8_t *extra;       /* type-specific header, extra_len bytes from offset 16 */
	uint32_t extra_len;
	const uint8_t *payload; /* payload_len bytes, 8-byte granularity */
	uint32_t payload_len;
};

/* ring: control page followed by data; bytes: both, a page multiple of at least two pages, else
 * -EINVAL. Starts with the contents of the ring if both indices are valid, else -EPROTO; from
 * then on only the peer's index is read. Memory zeroed by the guest gives an empty ring.
 * tx_init sets the pending-send-size feature bit and waits for nothing; rx_init leaves the
 * interrupt mask as it is (zeroed memory: signals wanted). */
int vmbus_tx_init(struct vmbus_tx *tx, void RING_SHARED *ring, uint32_t bytes);
int vmbus_rx_init(struct vmbus_rx *rx, void RING_SHARED *ring, uint32_t bytes);

/* The same for a ring whose pages are scattered. ctl: its control page; runs: its data, valid and
 * unchanged while the end is used. -EINVAL also when a run is empty or no page multiple. */
int vmbus_tx_init_runs(
	struct vmbus_tx *tx, void RING_SHARED *ctl, const struct vmbus_run *runs, uint32_t count);
int vmbus_rx_init_runs(
	struct vmbus_rx *rx, void RING_SHARED *ctl, const struct vmbus_run *runs, uint32_t count);

/* A packet's length is 16 bits of 8 bytes; its trailer does not count. */
#define VMBUS_PKT_LEN_MAX (0xFFFFu * 8u)

/* Bytes of one packet in the ring. extra: type header bytes; both rounded up to 8. */
static inline uint32_t vmbus_pkt_ring_size(uint32_t extra, uint32_t payload)
{
	return (uint32_t)sizeof(struct vmbus_pkt_desc) + ((extra + 7) & ~7u) +
	       ((payload + 7) & ~7u) + VMBUS_PKT_TRAILER_SIZE;
}

/* Stages one packet: descriptor, `extra` (type header, may be NULL), payload pieces, zero padding,
 * trailer. Not visible to the peer before commit (except below).
 * -EAGAIN: no room; pending_send_size is set so that the peer signals when there is. The caller
 *          commits, signals if that returns true, and retries after the peer's signal. Staged
 *          packets are published before pending_send_size is set: the peer computes room from
 *          the published index, and would otherwise see room where there is none and never
 *          signal. Room is re-checked after the store, so that a consumer that drained meanwhile
 *          is not missed. A later write that succeeds withdraws the request for room.
 * -EPROTO: the peer's read index is out of range. -EMSGSIZE: cannot ever fit. */
int vmbus_tx_write(struct vmbus_tx *tx, uint16_t type, uint16_t flags, uint64_t trans_id,
	const struct vmbus_vec *extra, const struct vmbus_vec *payload, uint32_t payload_count);

/* Publishes staged packets. True: signal the peer now. Call it before any wait. */
bool vmbus_tx_commit(struct vmbus_tx *tx);

/* Bytes that can be staged now; or -EPROTO. */
int64_t vmbus_tx_room(const struct vmbus_tx *tx);

/* Published bytes that the peer has not taken yet; or -EPROTO. */
int64_t vmbus_tx_used(const struct vmbus_tx *tx);

/* True: the peer does not want signals now. */
bool vmbus_tx_masked(const struct vmbus_tx *tx);

/* Copies the next packet into buf, descriptor at its start. -EAGAIN: empty. -EPROTO: the ring is
 * corrupt (an invalid index or descriptor, or the peer overwrites bytes that commit() has not
 * released: a batch is at most one ring). -EMSGSIZE: longer than buf_size (descriptor + payload);
 * treat as corrupt. On success the packet counts as taken; vmbus_rx_untake() returns the last one,
 * before the next commit. */
int vmbus_rx_next(struct vmbus_rx *rx, struct vmbus_pkt *pkt, void *buf, uint32_t buf_size);
void vmbus_rx_untake(struct vmbus_rx *rx, const struct vmbus_pkt *pkt);

/* Publishes the read index of all packets taken. True: the peer waits for this room, signal it. */
bool vmbus_rx_commit(struct vmbus_rx *rx);

/* Masks signals for new data (polling or draining). */
void vmbus_rx_mask(struct vmbus_rx *rx);
/* Unmasks signals. True: data arrived meanwhile, for which there will be no signal: take it. The
 * mask is clear in both cases. Call after vmbus_rx_commit(). */
bool vmbus_rx_unmask(struct vmbus_rx *rx);

/* True when there is an unread byte, or the index is invalid (then _next returns -EPROTO). */
bool vmbus_rx_pending(const struct vmbus_rx *rx);

/* Unread bytes; or -EPROTO. */
int64_t vmbus_rx_used(const struct vmbus_rx *rx);

/* Bytes between the two indices as they are in shared memory, or 0 when one of them is invalid. For
 * statistics: neither end need be the caller's, and the peer can make it say anything. */
uint32_t vmbus_ring_fill(const struct vmbus_ring_ctl RING_SHARED *ctl, uint32_t size);

#endif
