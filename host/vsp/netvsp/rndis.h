/* SPDX-License-Identifier: MIT */
/*
 * RNDIS messages as bytes: checks and builds them. Pure; input is a private copy.
 */
#ifndef NETVSP_RNDIS_H
#define NETVSP_RNDIS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "hv/rndis_reg.h"

/* ---- a stream of bytes in pieces ----------------------------------------- */

/* The bytes of one NVSP packet: a section of the send buffer, then ranges of guest pages. They may
 * change at any time: read them once. */
struct rndis_stream {
	const struct iovec *iov;
	uint32_t iov_count;
	size_t offset; /* consumed of iov[0] */
	uint32_t left; /* bytes */
};

/* len <= s->left. */
void rndis_stream_peek(const struct rndis_stream *s, void *to, uint32_t len);
void rndis_stream_skip(struct rndis_stream *s, uint32_t len);
/* The next len bytes as pieces; how many, or -EMSGSIZE: more than max. */
int rndis_stream_slice(const struct rndis_stream *s, uint32_t len, struct iovec *iov, uint32_t max);

/* ---- data packets from the guest ----------------------------------------- */

#define RNDIS_HEAD_MAX 512u /* header and PPIs of one message; Linux has 108 at most */

struct rndis_tx_info {
	bool has_csum, has_lso, has_vlan;
	uint32_t csum, lso, vlan;
};

struct rndis_frame {
	uint32_t message_length;
	uint32_t data_offset; /* from the start of the message */
	uint32_t data_length;
	struct rndis_tx_info info;
};

/* The message at the start of the stream. 0, or -EINVAL: not a data packet that is wholly inside.
 * What the numbers say is checked; the frame's bytes are not read. */
int rndis_frame_parse(const struct rndis_stream *s, struct rndis_frame *frame);

/* ---- data packets to the guest ------------------------------------------- */

/* Bytes before the data in a receive section: the header and all PPIs there can be. */
#define RNDIS_RX_HEADROOM 128u

struct rndis_rx_info {
	bool has_csum, has_vlan, has_hash, has_rsc;
	uint32_t csum;
	uint32_t vlan; /* as in the PPI */
	uint32_t hash, hash_info;
	struct rndis_rsc_id rsc;
};

/* Writes header and PPIs to `to` (RNDIS_RX_HEADROOM bytes), for data of `length` bytes at offset
 * data_offset (>= RNDIS_RX_HEADROOM) of the section. Returns the length of the message. */
uint32_t rndis_rx_build(
	uint8_t *to, uint32_t data_offset, uint32_t length, const struct rndis_rx_info *info);

/* Tag control information as PPI, and back. */
uint32_t rndis_vlan_from_tci(uint16_t tci);
uint16_t rndis_vlan_to_tci(uint32_t ppi);

/* ---- control messages ---------------------------------------------------- */

/* The information buffer of a QUERY or SET; len: bytes of the message that are there. False: it is
 * not wholly inside. */
bool rndis_info(const uint8_t *message, uint32_t len, const uint8_t **info, uint32_t *info_len);

#endif
