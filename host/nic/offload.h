/* SPDX-License-Identifier: MIT */
/*
 * Checksums and segmentation in software, for transports and peers that cannot
 * do them, and the header work that clients need before nic_tx().
 *
 * Segments equal those of the Linux kernel for the same frame, byte for byte:
 * IPv4 id + 1 per segment, FIN and PSH only in the last, CWR only in the first,
 * everything else copied, the last one short.
 *
 * Pure functions over memory; any thread. Header bytes are private memory.
 */
#ifndef HOST_NIC_OFFLOAD_H
#define HOST_NIC_OFFLOAD_H

#include "nic/nic.h"

#define NIC_PROTO_TCP 6u
#define NIC_PROTO_UDP 17u

#define NIC_ETHERTYPE_VLAN 0x8100u
#define NIC_ETHERTYPE_QINQ 0x88a8u

/* Where the headers of a frame are; offsets from the first byte of the frame. */
struct nic_headers {
	uint16_t l3;      /* IP header */
	uint16_t l4;      /* TCP or UDP header; 0: none, or a fragment */
	uint16_t payload; /* behind the TCP or UDP header */
	uint8_t version;  /* 4, 6; 0: not IP */
	uint8_t protocol; /* NIC_PROTO_* when l4 is set */
};

/* Whether a VLAN tag is among the bytes, of which NIC_ETH_HEADER are there. */
static inline bool nic_is_tagged(const uint8_t *bytes)
{
	uint32_t type = (uint32_t)bytes[12] << 8 | bytes[13];

	return type == NIC_ETHERTYPE_VLAN || type == NIC_ETHERTYPE_QINQ;
}

/* bytes: the first `have` bytes of the frame, at most NIC_HEADERS_MAX of them are used. Up to two
 * VLAN tags among the bytes and IPv6 extension headers are skipped. False: h->l4 is 0. */
bool nic_parse(const uint8_t *bytes, uint32_t have, struct nic_headers *h);

/* ---- checksums ----------------------------------------------------------- */

/* One's complement sum of the bytes, added to `sum`, in memory order of 16-bit words; fold it. An
 * odd length counts a zero byte behind. */
uint64_t nic_sum(uint64_t sum, const void *bytes, size_t len);
uint16_t nic_fold(uint64_t sum);

/* The IPv4 header at bytes[h->l3]: fills in its checksum. */
void nic_ip_checksum(uint8_t *bytes, const struct nic_headers *h);

/* Stores the pseudo header's sum, for l4_length bytes of TCP or UDP, in the checksum field, and
 * describes it in *o: flags, csum_start, csum_offset. h->l4 is set. */
void nic_csum_prepare(
	uint8_t *bytes, const struct nic_headers *h, uint32_t l4_length, struct nic_offload *o);

/* Makes a frame of `length` bytes a TCP super frame: IP length and checksum, pseudo sum, GSO fields
 * and ECN of *o. When the payload is no longer than mss it needs no GSO and gets none. -EINVAL: no
 * TCP, mss or number of segments out of range, frame too long. */
int nic_tso_prepare(
	uint8_t *bytes, uint32_t have, uint32_t length, uint32_t mss, struct nic_offload *o);

/* Completes the sum of a frame with NIC_CSUM_PARTIAL in place and clears the flag. The frame is
 * `length` bytes from byte `skip` of iov[0] on; the field may lie anywhere. */
void nic_csum_finish(const struct iovec *iov, uint32_t iov_count, uint32_t skip, uint32_t length,
	struct nic_offload *o);

/* ---- metadata ------------------------------------------------------------ */

/* 0, or -EINVAL: fields that contradict each other, the length, or iov[1]. For frames to transmit.
 */
int nic_offload_check(const struct nic_frame *frame);

/* ---- segmentation -------------------------------------------------------- */

/* A part of a super frame: one or more whole segments. */
struct nic_part {
	uint32_t length; /* bytes, headers included */
	uint32_t payload_before;
	uint32_t segments_before;
	bool last;
};

/* Makes of the whole frame's header that of a part: all but the TCP or UDP checksum. h->l4 is set,
 * and the header is there up to h->payload. */
void nic_part_header(uint8_t *header, const struct nic_headers *h, const struct nic_part *part);

/* Cuts one frame into others: GSO into segments, or a frame without GSO into itself with its
 * checksum completed. Payload is not copied: a segment is a header of our own and slices of the
 * frame's iovecs. */
struct nic_seg {
	const struct nic_frame *frame;
	struct nic_headers h;
	uint8_t whole[NIC_HEADERS_MAX];  /* the header of the frame */
	uint8_t header[NIC_HEADERS_MAX]; /* of the segment */
	uint32_t header_len;
	uint32_t field;   /* where the checksum is stored; 0: nowhere */
	uint64_t pseudo;  /* its sum without the length */
	uint32_t payload; /* bytes of the whole frame behind the header */
	uint32_t done;    /* of them */
	uint32_t count;   /* segments */
	uint32_t index;   /* of the next segment */
	uint32_t iov;     /* the cursor: entry of frame->iov and byte in it */
	size_t iov_offset;
};

/* 0; -EINVAL: headers that do not fit the metadata. frame passed nic_offload_check() and stays as
 * it is until the last segment. */
int nic_seg_init(struct nic_seg *s, const struct nic_frame *frame);

/* Next segment: *iov_count entries of iov (NIC_IOV_MAX), the first of them is the header, which
 * stays until the next call. Returns its length; 0: there are no more. */
uint32_t nic_seg_next(struct nic_seg *s, struct iovec *iov, uint32_t *iov_count);

#endif
