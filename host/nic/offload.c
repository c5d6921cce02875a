/* SPDX-License-Identifier: MIT */
/* Headers and checksums. Sums are one's complement in memory order (RFC 1071), so that nothing is
 * swapped but the lengths. */
#include "nic/offload.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/iov.h"

#define ETHERTYPE_IP4    0x0800u
#define ETHERTYPE_IP6    0x86ddu
#define IP4_MIN          20u
#define IP6_HEADER       40u
#define TCP_MIN          20u
#define UDP_HEADER       8u
#define IP_LENGTH_MAX    65535u
#define TCP_CSUM_OFFSET  16u
#define UDP_CSUM_OFFSET  6u
#define TCP_FLAGS_OFFSET 13u
#define TCP_CWR          0x80u
#define IP6_EXTENSIONS   8 /* headers that are skipped at most */

static uint16_t get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, uint32_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* ---- sums ---------------------------------------------------------------- */

uint64_t nic_sum(uint64_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint64_t a = 0, b = 0;

	for (; len >= 16; len -= 16, at += 16) {
		uint32_t w[4];

		memcpy(w, at, sizeof(w));
		a += (uint64_t)w[0] + w[1];
		b += (uint64_t)w[2] + w[3];
	}
	for (; len >= 2; len -= 2, at += 2) {
		uint16_t w;

		memcpy(&w, at, sizeof(w));
		a += w;
	}
	if (len) {
		uint8_t last[2] = {*at, 0};
		uint16_t w;

		memcpy(&w, last, sizeof(w));
		a += w;
	}
	return sum + nic_fold(a) + nic_fold(b);
}

uint16_t nic_fold(uint64_t sum)
{
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffffffu) + (sum >> 32);
	sum = (sum & 0xffffu) + (sum >> 16);
	sum = (sum & 0xffffu) + (sum >> 16);
	return (uint16_t)sum;
}

/* From byte `offset` of the iovecs to their end, `length` bytes. */
static uint16_t sum_iov(const struct iovec *iov, uint32_t iov_count, size_t offset, size_t length)
{
	uint64_t sum = 0;
	bool odd = false;

	for (uint32_t i = 0; i < iov_count && length; i++) {
		size_t n = iov[i].iov_len;
		uint16_t part;

		if (offset >= n) {
			offset -= n;
			continue;
		}
		n -= offset;
		if (n > length)
			n = length;
		part = nic_fold(nic_sum(0, (const uint8_t *)iov[i].iov_base + offset, n));
		sum += odd ? (uint16_t)(part << 8 | part >> 8) : part;
		odd ^= n & 1;
		length -= n;
		offset = 0;
	}
	return nic_fold(sum);
}

void nic_csum_finish(const struct iovec *iov, uint32_t iov_count, uint32_t skip, uint32_t length,
	struct nic_offload *o)
{
	size_t field = (size_t)skip + o->csum_start + o->csum_offset;
	uint16_t folded;

	assert(o->flags & NIC_CSUM_PARTIAL);
	o->flags &= (uint8_t)~NIC_CSUM_PARTIAL;
	if (o->csum_start >= length)
		return;
	folded = (uint16_t)~sum_iov(
		iov, iov_count, (size_t)skip + o->csum_start, length - o->csum_start);
	if (!folded && o->csum_offset == UDP_CSUM_OFFSET)
		folded = 0xffff; /* 0 means "no checksum" in UDP */
	iov_copy_to(iov, iov_count, field, &folded, sizeof(folded));
}

/* ---- headers ------------------------------------------------------------- */

/* Offset of the network header; *type its Ethernet type. */
static uint32_t skip_tags(const uint8_t *bytes, uint32_t have, uint16_t *type)
{
	uint32_t tags = 0; /* bytes */

	while (tags < 2 * NIC_VLAN_TAG && nic_is_tagged(bytes + tags) &&
		have >= tags + NIC_VLAN_TAG + NIC_ETH_HEADER)
		tags += NIC_VLAN_TAG;
	*type = get16(bytes + tags + 12);
	return tags + NIC_ETH_HEADER;
}

/* Offset of the transport header and its protocol; 0: there is none that can be found. */
static uint32_t parse_ip4(const uint8_t *bytes, uint32_t have, uint32_t l3, uint8_t *protocol)
{
	uint32_t header;

	if (have < l3 + IP4_MIN || bytes[l3] >> 4 != 4)
		return 0;
	header = (bytes[l3] & 15u) * 4;
	if (header < IP4_MIN || have < l3 + header)
		return 0;
	if (get16(bytes + l3 + 6) & 0x3fff) /* MF or an offset: a fragment */
		return 0;
	*protocol = bytes[l3 + 9];
	return l3 + header;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == 0 || protocol == 43 || protocol == 60; /* hop, routing, destination */
}

static uint32_t parse_ip6(const uint8_t *bytes, uint32_t have, uint32_t l3, uint8_t *protocol)
{
	uint32_t at = l3 + IP6_HEADER;

	if (have < at || bytes[l3] >> 4 != 6)
		return 0;
	*protocol = bytes[l3 + 6];
	for (int i = 0; i < IP6_EXTENSIONS && is_extension(*protocol); i++) {
		if (have < at + 8)
			return 0;
		*protocol = bytes[at];
		at += (bytes[at + 1] + 1u) * 8;
	}
	return at;
}

/* Offset behind the transport header; 0: it is not there. */
static uint32_t parse_l4(const uint8_t *bytes, uint32_t have, uint32_t l4, uint8_t protocol)
{
	uint32_t header = UDP_HEADER;

	if (protocol == NIC_PROTO_TCP) {
		if (have < l4 + TCP_MIN)
			return 0;
		header = (bytes[l4 + 12] >> 4) * 4u;
		if (header < TCP_MIN)
			return 0;
	} else if (protocol != NIC_PROTO_UDP) {
		return 0;
	}
	return have < l4 + header ? 0 : l4 + header;
}

bool nic_parse(const uint8_t *bytes, uint32_t have, struct nic_headers *h)
{
	uint32_t l3, l4 = 0, payload = 0;
	uint16_t type;

	*h = (struct nic_headers){0};
	if (have > NIC_HEADERS_MAX)
		have = NIC_HEADERS_MAX;
	if (have < NIC_ETH_HEADER)
		return false;
	l3 = skip_tags(bytes, have, &type);
	if (type == ETHERTYPE_IP4)
		l4 = parse_ip4(bytes, have, l3, &h->protocol);
	else if (type == ETHERTYPE_IP6)
		l4 = parse_ip6(bytes, have, l3, &h->protocol);
	else
		return false;
	h->l3 = (uint16_t)l3;
	h->version = type == ETHERTYPE_IP4 ? 4 : 6;
	if (l4)
		payload = parse_l4(bytes, have, l4, h->protocol);
	if (!payload)
		return false;
	h->l4 = (uint16_t)l4;
	h->payload = (uint16_t)payload;
	return true;
}

void nic_ip_checksum(uint8_t *bytes, const struct nic_headers *h)
{
	uint8_t *ip = bytes + h->l3;
	uint16_t sum;

	put16(ip + 10, 0);
	sum = (uint16_t)~nic_fold(nic_sum(0, ip, (ip[0] & 15u) * 4));
	memcpy(ip + 10, &sum, sizeof(sum));
}

static uint16_t pseudo_sum(const uint8_t *bytes, const struct nic_headers *h, uint32_t l4_length)
{
	const uint8_t *ip = bytes + h->l3;
	uint64_t sum = h->version == 4 ? nic_sum(0, ip + 12, 8) : nic_sum(0, ip + 8, 32);

	return nic_fold(sum + htons(h->protocol) + htonl(l4_length));
}

void nic_csum_prepare(
	uint8_t *bytes, const struct nic_headers *h, uint32_t l4_length, struct nic_offload *o)
{
	uint16_t sum = pseudo_sum(bytes, h, l4_length);

	assert(h->l4);
	o->flags |= NIC_CSUM_PARTIAL;
	o->csum_start = h->l4;
	o->csum_offset = h->protocol == NIC_PROTO_TCP ? TCP_CSUM_OFFSET : UDP_CSUM_OFFSET;
	memcpy(bytes + o->csum_start + o->csum_offset, &sum, sizeof(sum));
}

static void set_ip_length(uint8_t *bytes, const struct nic_headers *h, uint32_t length)
{
	if (h->version == 4) {
		put16(bytes + h->l3 + 2, length - h->l3);
		nic_ip_checksum(bytes, h);
	} else {
		put16(bytes + h->l3 + 4, length - h->l3 - IP6_HEADER);
	}
}

int nic_tso_prepare(
	uint8_t *bytes, uint32_t have, uint32_t length, uint32_t mss, struct nic_offload *o)
{
	struct nic_headers h;
	uint32_t payload;

	if (!nic_parse(bytes, have, &h) || h.protocol != NIC_PROTO_TCP || length < h.payload)
		return -EINVAL;
	if (length - h.l3 - (h.version == 6 ? IP6_HEADER : 0) > IP_LENGTH_MAX)
		return -EINVAL;
	payload = length - h.payload;
	if (mss < NIC_GSO_SIZE_MIN || mss > UINT16_MAX || payload / mss >= NIC_GSO_SEGMENTS_MAX)
		return -EINVAL;
	set_ip_length(bytes, &h, length);
	nic_csum_prepare(bytes, &h, length - h.l4, o);
	if (payload <= mss)
		return 0;
	o->gso = h.version == 4 ? NIC_GSO_TCP4 : NIC_GSO_TCP6;
	o->gso_size = (uint16_t)mss;
	o->header_len = h.payload;
	if (bytes[h.l4 + TCP_FLAGS_OFFSET] & TCP_CWR)
		o->flags |= NIC_GSO_ECN;
	return 0;
}

/* ---- metadata ------------------------------------------------------------ */

static bool gso_valid(const struct nic_frame *f)
{
	const struct nic_offload *o = &f->offload;
	bool udp = o->gso == NIC_GSO_UDP;

	if (o->gso > NIC_GSO_UDP || !(o->flags & NIC_CSUM_PARTIAL))
		return false;
	if (o->csum_offset != (udp ? UDP_CSUM_OFFSET : TCP_CSUM_OFFSET))
		return false;
	if (o->header_len < o->csum_start + (udp ? UDP_HEADER : TCP_MIN) ||
		o->header_len > NIC_HEADERS_MAX || o->header_len > f->iov[1].iov_len)
		return false;
	return o->gso_size >= NIC_GSO_SIZE_MIN && o->gso_size < UINT16_MAX &&
	       (f->length - o->header_len) / o->gso_size <
		       (udp ? NIC_GSO_DATAGRAMS_MAX : NIC_GSO_SEGMENTS_MAX);
}

int nic_offload_check(const struct nic_frame *f)
{
	const struct nic_offload *o = &f->offload;
	uint32_t field = o->csum_start + o->csum_offset;

	if (f->length < NIC_ETH_HEADER || f->length > NIC_FRAME_MAX || f->iov_count < 2 ||
		f->iov_count > NIC_IOV_MAX || f->iov[1].iov_len < NIC_ETH_HEADER)
		return -EINVAL;
	if ((o->flags & NIC_CSUM_PARTIAL) &&
		(o->csum_start < NIC_ETH_HEADER || field + 2 > f->iov[1].iov_len))
		return -EINVAL;
	return !o->gso || gso_valid(f) ? 0 : -EINVAL;
}
