/* SPDX-License-Identifier: MIT */
/*
 * The shared memory of `pair`. Each side makes a block and writes it; the other
 * maps it read-only. So neither can change what the other relies on, and all
 * that is read from the other's block is copied once and checked.
 *
 * A block: lines of producers, lines of consumers, then one ring per queue.
 *
 *   producer line q  head: bytes ever put into ring q       space: wake me when the
 *                                                           consumer's tail gets there
 *   consumer line q  tail: bytes ever taken from the        data: wake me when the
 *                    other's ring q                         producer's head gets there
 *
 * Indices count bytes and never wrap (64 bits). A ring is a sequence of records:
 * a header of PAIR_ALIGN bytes and the frame, padded to PAIR_ALIGN.
 *
 * Wake-ups: the sleeper stores its event, then checks again; the other stores its
 * index, then reads the event, and signals when its index passed it. All four are
 * sequentially consistent: so at least one side sees the other's store.
 */
#ifndef NIC_PAIR_RING_H
#define NIC_PAIR_RING_H

#include <stdatomic.h>

#include "nic/backend.h"

#define PAIR_ALIGN     32u
#define PAIR_RING_SIZE (1u << 20)

struct pair_record {
	uint32_t length;
	uint8_t flags;
	uint8_t gso;
	uint16_t gso_size;
	uint16_t header_len;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t vlan_tci;
	uint8_t reserved[16];
};
_Static_assert(sizeof(struct pair_record) == PAIR_ALIGN, "a header never wraps");

struct pair_producer_line {
	_Atomic uint64_t head, space;
} __attribute__((aligned(64)));

struct pair_consumer_line {
	_Atomic uint64_t tail, data;
} __attribute__((aligned(64)));

struct pair_block {
	struct pair_producer_line producer[NIC_QUEUES_MAX];
	struct pair_consumer_line consumer[NIC_QUEUES_MAX];
	uint8_t rings[]; /* PAIR_RING_SIZE each */
};

static inline size_t pair_block_size(uint32_t queues)
{
	return sizeof(struct pair_block) + (size_t)queues * PAIR_RING_SIZE;
}

/* ---- producer ------------------------------------------------------------ */

struct pair_producer {
	struct pair_producer_line *own;
	const struct pair_consumer_line *other;
	uint8_t *ring;
	uint64_t head; /* the truth; own->head is a copy for the other */
	uint64_t published;
};

/* 0; -EAGAIN: no room, and the other will signal; -EPROTO: the other's tail is impossible. The
 * frame passed nic_offload_check(). */
int pair_put(struct pair_producer *p, const struct nic_frame *frame);
/* Makes what was put visible. True: signal the other. */
bool pair_publish(struct pair_producer *p);

/* ---- consumer ------------------------------------------------------------ */

struct pair_consumer {
	struct pair_consumer_line *own;
	const struct pair_producer_line *other;
	const uint8_t *ring;
	uint64_t tail;
	uint64_t published;
	/* The frame at tail, after pair_peek(). */
	struct nic_frame frame;
	struct iovec iov[4];
	uint8_t headers[NIC_HEADERS_MAX];
};

/* 1: *frame is the next frame, its payload still in the ring; 0: there is none; -EPROTO: index or
 * record are impossible. The metadata are checked by the caller (nic_offload_check()). */
int pair_peek(struct pair_consumer *c, const struct nic_frame **frame);
void pair_skip(struct pair_consumer *c); /* past the frame */
/* Gives the room back. True: signal the other. */
bool pair_release(struct pair_consumer *c);
/* Asks for a signal with the next frame. True: there is one already. */
bool pair_sleep(struct pair_consumer *c);

#endif
