/* SPDX-License-Identifier: MIT */
/* Random frames with and without offloads, from a seed. */
#ifndef TESTS_NIC_FRAMES_H
#define TESTS_NIC_FRAMES_H

#include "nic/offload.h"

struct nic_random {
	uint64_t state;
};

/* xorshift64*: 0 .. limit - 1. */
static inline uint32_t nic_random(struct nic_random *r, uint32_t limit)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (uint32_t)((r->state * 0x2545f4914f6cdd1dull >> 33) % limit);
}

enum nic_frame_kind {
	NIC_FRAME_PLAIN, /* complete sums */
	NIC_FRAME_PARTIAL,
	NIC_FRAME_TSO,
	NIC_FRAME_USO,
	NIC_FRAME_KINDS,
};

/* Makes headers and payload at `bytes` (NIC_FRAME_MAX); *o says what is left to do, *length how
 * long it is, *headers where the payload begins. IPv4 or IPv6 with options and extension headers,
 * TCP or UDP, between two unicast addresses. */
void nic_frame_make(struct nic_random *r, enum nic_frame_kind kind, uint8_t *bytes,
	uint32_t *length, uint32_t *headers, struct nic_offload *o);

#endif
