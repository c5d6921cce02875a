/* SPDX-License-Identifier: MIT */
/*
 * The two buffers that the guest registers once and all channels share.
 *
 * The receive buffer is cut into sections of equal size. The first
 * RECV_CONTROL_SECTIONS carry control messages, one each; the others are shared
 * out to the channels in equal parts. A section belongs to the guest from the
 * transfer packet that names it to the guest's completion of that packet.
 *
 *   section: | header, PPIs | 0 or 4 | data ...            |
 *            0              RNDIS_RX_HEADROOM              section_size
 *
 * A section lies inside a page, or consists of whole pages: its pieces in host
 * memory are known without looking.
 *
 * Both are counted; the last user frees them, on any I/O thread. They do not hold
 * the guest's pages: each channel does, while it uses them (vsp_gpadl_get).
 */
#ifndef NETVSP_BUFFERS_H
#define NETVSP_BUFFERS_H

#include <stdatomic.h>

#include "vsp/netvsp/rndis.h"
#include "vsp/vsp.h"

#define RECV_CONTROL_SECTIONS 32u
#define RECV_SECTIONS_MIN     (2u * RECV_CONTROL_SECTIONS)
#define SEND_SECTION_SIZE     6144u
#define NVSP_SECTIONS_MAX     0xFFFFFFFEu

struct netvsp_transfer;

struct netvsp_recv {
	_Atomic uint32_t refs;
	struct vsp_gpadl *gpadl;
	uint16_t id;
	uint32_t section_size;
	uint32_t sections;
	uint32_t pages; /* iovec entries of one section */
	struct budget *budget;
	uint16_t *next_free; /* by section: the next one of its channel's free list */
	/* By first section: the packet that is with the guest, or NULL. Entries of a channel's own
	 * sections are its own. */
	struct netvsp_transfer *transfers[];
};

struct netvsp_send {
	_Atomic uint32_t refs;
	struct vsp_gpadl *gpadl;
	uint32_t sections;
};

/* mtu: payload of Ethernet. */
uint32_t recv_section_size(uint32_t mtu);
/* With one reference, or NULL: the buffer is too small, or no memory. They use gpadl, which the
 * caller has a reference on. What a receive buffer costs is taken from the budget. */
struct netvsp_recv *recv_create(
	struct vsp_gpadl *gpadl, uint16_t id, uint32_t mtu, struct budget *budget);
struct netvsp_send *send_create(struct vsp_gpadl *gpadl);
/* NULL is legal. */
void recv_get(struct netvsp_recv *recv);
void recv_put(struct netvsp_recv *recv);
void send_get(struct netvsp_send *send);
void send_put(struct netvsp_send *send);

/* Bytes of data in one section. */
static inline uint32_t recv_payload(const struct netvsp_recv *recv)
{
	return recv->section_size - RNDIS_RX_HEADROOM;
}
/* The data part of a section: recv->pages entries. */
void recv_section_iov(struct netvsp_recv *recv, uint32_t section, struct iovec *iov);
/* The header part. */
uint8_t *recv_section_header(struct netvsp_recv *recv, uint32_t section);

/* Sections [*first, *end) of channel `index` of `parts`. */
void recv_share(const struct netvsp_recv *recv, uint32_t index, uint32_t parts, uint32_t *first,
	uint32_t *end);

/* `size` bytes of a section: how many pieces, or -EINVAL. */
int send_section_iov(
	struct netvsp_send *send, uint32_t section, uint32_t size, struct iovec *iov, uint32_t max);

#endif
