/* SPDX-License-Identifier: MIT */
/*
 * Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in host byte order, as the
 * format allows. Pure: into memory of the caller.
 */
#ifndef NIC_PCAPNG_H
#define NIC_PCAPNG_H

#include "nic/nic.h"

#define PCAPNG_SNAP_LENGTH 262144u
/* All of a block that is not the frame. */
#define PCAPNG_OVERHEAD 256u

enum pcapng_direction { PCAPNG_INBOUND = 1, PCAPNG_OUTBOUND = 2 };

/* Section header and interface description. Returns the length; size >= PCAPNG_OVERHEAD. */
size_t pcapng_begin(uint8_t *to, size_t size, const char *interface);

/* Bytes that pcapng_packet() needs. */
static inline size_t pcapng_packet_size(const struct nic_frame *frame)
{
	return frame->length + PCAPNG_OVERHEAD;
}

/* A packet, VLAN tag put back in. Offload metadata are a comment:
 * "gso=tcp4/1448 hdr=66 csum=34+16 ecn vlan=5", offsets without the tag. */
size_t pcapng_packet(uint8_t *to, const struct nic_frame *frame, enum pcapng_direction direction,
	uint32_t queue, uint64_t ns);

/* Statistics of the interface, at the end. */
size_t pcapng_end(uint8_t *to, uint64_t packets, uint64_t dropped, uint64_t ns);

#endif
