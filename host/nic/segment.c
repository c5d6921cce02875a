/* SPDX-License-Identifier: MIT */
/*
 * Segmentation. The header of each segment is made from that of the whole frame:
 * lengths, IPv4 id and checksum, TCP sequence and flags, or the UDP length.
 *
 * The checksum of a segment is the frame's pseudo sum, with the length of the
 * segment in place of the frame's, plus the bytes of the segment. So addresses
 * that are not the final ones (routing headers) need not be understood.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "nic/offload.h"

#define IP6_HEADER 40u
#define IP4_ID     4u
#define TCP_SEQ    4u
#define TCP_FLAGS  13u
#define TCP_FIN    0x01u
#define TCP_PSH    0x08u
#define TCP_CWR    0x80u
#define UDP_LENGTH 4u

static uint16_t load16(const uint8_t *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static void store16(uint8_t *at, uint32_t value)
{
	uint16_t v = htons((uint16_t)value);

	memcpy(at, &v, sizeof(v));
}

/* ---- headers ------------------------------------------------------------- */

static void edit_ip(uint8_t *header, const struct nic_headers *h, const struct nic_part *part)
{
	uint8_t *ip = header + h->l3;

	if (h->version == 6) {
		store16(ip + 4, part->length - h->l3 - IP6_HEADER);
		return;
	}
	store16(ip + 2, part->length - h->l3);
	store16(ip + IP4_ID, ntohs(load16(ip + IP4_ID)) + part->segments_before);
	nic_ip_checksum(header, h);
}

static void edit_tcp(uint8_t *tcp, const struct nic_part *part)
{
	uint32_t seq;

	memcpy(&seq, tcp + TCP_SEQ, sizeof(seq));
	seq = htonl(ntohl(seq) + part->payload_before);
	memcpy(tcp + TCP_SEQ, &seq, sizeof(seq));
	if (!part->last)
		tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (part->segments_before)
		tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
}

void nic_part_header(uint8_t *header, const struct nic_headers *h, const struct nic_part *part)
{
	edit_ip(header, h, part);
	if (h->protocol == NIC_PROTO_UDP)
		store16(header + h->l4 + UDP_LENGTH, part->length - h->l4);
	else
		edit_tcp(header + h->l4, part);
}

/* ---- begin --------------------------------------------------------------- */

static bool headers_match(const struct nic_headers *h, const struct nic_offload *o)
{
	static const struct {
		uint8_t version, protocol;
	} want[] = {
		[NIC_GSO_TCP4] = {4, NIC_PROTO_TCP},
		[NIC_GSO_TCP6] = {6, NIC_PROTO_TCP},
		[NIC_GSO_UDP] = {0, NIC_PROTO_UDP},
	};

	return h->l4 == o->csum_start && h->protocol == want[o->gso].protocol &&
	       (!want[o->gso].version || h->version == want[o->gso].version);
}

static uint32_t gso_header(struct nic_seg *s, const struct nic_frame *frame)
{
	const struct iovec *first = &frame->iov[1];

	if (!nic_parse(first->iov_base, (uint32_t)first->iov_len, &s->h) ||
		!headers_match(&s->h, &frame->offload))
		return 0;
	return s->h.payload;
}

/* Of a frame that is not cut: what must be changed, up to the checksum field. */
static uint32_t plain_header(const struct nic_frame *frame)
{
	const struct nic_offload *o = &frame->offload;

	return o->flags & NIC_CSUM_PARTIAL ? o->csum_start + o->csum_offset + 2u : NIC_ETH_HEADER;
}

int nic_seg_init(struct nic_seg *s, const struct nic_frame *frame)
{
	const struct nic_offload *o = &frame->offload;

	s->frame = frame;
	s->header_len = o->gso ? gso_header(s, frame) : plain_header(frame);
	if (!s->header_len || s->header_len > NIC_HEADERS_MAX || s->header_len > frame->length ||
		s->header_len > frame->iov[1].iov_len)
		return -EINVAL;
	memcpy(s->whole, frame->iov[1].iov_base, s->header_len);
	memcpy(s->header, s->whole, s->header_len);
	s->field = o->flags & NIC_CSUM_PARTIAL ? o->csum_start + o->csum_offset : 0;
	s->pseudo = s->field ? load16(s->header + s->field) : 0;
	/* In one's complement arithmetic, subtracting is adding the complement. */
	if (o->gso)
		s->pseudo += (uint16_t)~nic_fold(htonl(frame->length - o->csum_start));
	s->payload = frame->length - s->header_len;
	s->count = o->gso && s->payload ? (s->payload + o->gso_size - 1) / o->gso_size : 1;
	s->done = s->index = 0;
	s->iov = 1;
	s->iov_offset = s->header_len;
	return 0;
}

/* ---- next ---------------------------------------------------------------- */

/* The next `length` bytes of payload, as slices behind iov[0]. */
static uint32_t slice(struct nic_seg *s, uint32_t length, struct iovec *iov)
{
	uint32_t n = 1;

	while (length && s->iov < s->frame->iov_count) {
		const struct iovec *from = &s->frame->iov[s->iov];
		size_t here = from->iov_len - s->iov_offset;

		if (here > length)
			here = length;
		if (here)
			iov[n++] = (struct iovec){(uint8_t *)from->iov_base + s->iov_offset, here};
		length -= (uint32_t)here;
		s->iov_offset += here;
		if (s->iov_offset == from->iov_len) {
			s->iov++;
			s->iov_offset = 0;
		}
	}
	assert(!length);
	return n;
}

static void edit(struct nic_seg *s, uint32_t length, bool last)
{
	const struct nic_part part = {.length = length,
		.payload_before = s->done,
		.segments_before = s->index,
		.last = last};

	memcpy(s->header, s->whole, s->header_len);
	nic_part_header(s->header, &s->h, &part);
}

/* Adds up the segment behind csum_start and stores the result. */
static void finish(struct nic_seg *s, const struct iovec *iov, uint32_t iov_count, uint32_t length)
{
	struct nic_offload o = s->frame->offload;
	uint64_t sum = s->pseudo;
	uint16_t folded;

	if (o.gso)
		sum += htonl(length - o.csum_start);
	folded = nic_fold(sum);
	memcpy(s->header + s->field, &folded, sizeof(folded));
	nic_csum_finish(iov, iov_count, 0, length, &o);
}

uint32_t nic_seg_next(struct nic_seg *s, struct iovec *iov, uint32_t *iov_count)
{
	uint32_t left = s->payload - s->done, n = left, length;
	bool last = s->index + 1 == s->count;

	if (s->index == s->count)
		return 0;
	if (!last)
		n = s->frame->offload.gso_size;
	length = s->header_len + n;
	if (s->frame->offload.gso)
		edit(s, length, last);
	iov[0] = (struct iovec){s->header, s->header_len};
	*iov_count = slice(s, n, iov);
	if (s->field)
		finish(s, iov, *iov_count, length);
	s->done += n;
	s->index++;
	return length;
}
