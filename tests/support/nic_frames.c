/* SPDX-License-Identifier: MIT */
#include "tests/support/nic_frames.h"

#include <string.h>

#include "tests/support/check.h"

struct maker {
	struct nic_random *r;
	uint8_t *bytes;
	uint32_t at;
	uint32_t l3, l4;
	bool v4, tcp;
};

static uint32_t rnd(struct maker *m, uint32_t limit)
{
	return nic_random(m->r, limit);
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

/* Out of a pool, because most of the time of a test would go here. */
static void noise(struct maker *m, uint32_t from, uint32_t to)
{
	static uint8_t pool[2 * NIC_FRAME_MAX];

	for (uint32_t i = 0; !pool[0] && i < sizeof(pool); i++)
		pool[i] = (uint8_t)(rnd(m, 255) + 1);
	memcpy(m->bytes + from, pool + rnd(m, NIC_FRAME_MAX), to - from);
}

static void put_ethernet(struct maker *m)
{
	static const uint8_t destination[6] = {2, 0, 0, 0, 0, 0xbb};
	static const uint8_t source[6] = {2, 0, 0, 0, 0, 0xaa};

	memcpy(m->bytes, destination, 6);
	memcpy(m->bytes + 6, source, 6);
	put16(m->bytes + 12, m->v4 ? 0x0800 : 0x86dd);
	m->at = m->l3 = NIC_ETH_HEADER;
}

static void put_ip4(struct maker *m)
{
	uint32_t options = rnd(m, 4) ? 0 : rnd(m, 11) * 4;
	uint8_t *ip = m->bytes + m->at;

	noise(m, m->at, m->at + 20);
	ip[0] = (uint8_t)(0x45 + options / 4);
	ip[6] = rnd(m, 2) ? 0x40 : 0; /* DF */
	ip[7] = 0;
	ip[8] = 64;
	ip[9] = m->tcp ? 6 : 17;
	put16(ip + 12, 0x0a00);
	put16(ip + 16, 0x0a00);
	memset(ip + 20, 1, options); /* no-operation */
	m->at += 20 + options;
}

static void put_ip6(struct maker *m)
{
	bool extension = !rnd(m, 4);
	uint8_t *ip = m->bytes + m->at;
	uint8_t next = m->tcp ? 6 : 17;

	noise(m, m->at, m->at + 40);
	ip[0] = (uint8_t)(0x60 | (ip[0] & 15));
	ip[6] = extension ? 60 : next;
	ip[7] = 64;
	put16(ip + 8, 0xfd00);
	put16(ip + 24, 0xfd00);
	m->at += 40;
	if (!extension)
		return;
	memset(m->bytes + m->at, 0, 16);
	m->bytes[m->at] = next;
	m->bytes[m->at + 1] = 1; /* 16 bytes of padding: one PadN option */
	m->bytes[m->at + 2] = 1;
	m->bytes[m->at + 3] = 12;
	m->at += 16;
}

static void put_tcp(struct maker *m)
{
	uint32_t options = rnd(m, 2) ? 12 : rnd(m, 11) * 4;
	uint8_t *tcp = m->bytes + m->at;

	noise(m, m->at, m->at + 20);
	tcp[12] = (uint8_t)((20 + options) / 4 << 4);
	tcp[13] = (uint8_t)(tcp[13] & ~0x02); /* SYN would be odd with payload */
	memset(tcp + 20, 1, options);
	m->at += 20 + options;
}

static void put_udp(struct maker *m)
{
	noise(m, m->at, m->at + 8);
	m->at += 8;
}

static void set_lengths(struct maker *m, uint32_t length)
{
	struct nic_headers h;

	if (m->v4)
		put16(m->bytes + m->l3 + 2, length - m->l3);
	else
		put16(m->bytes + m->l3 + 4, length - m->l3 - 40);
	if (!m->tcp)
		put16(m->bytes + m->l4 + 4, length - m->l4);
	check(nic_parse(m->bytes, length, &h));
	check(h.l4 == m->l4 && h.payload == m->at);
	if (m->v4)
		nic_ip_checksum(m->bytes, &h);
}

static uint32_t payload_length(struct maker *m, enum nic_frame_kind kind, uint32_t mss)
{
	uint32_t most = 65535 - (m->at - m->l3);

	if (kind == NIC_FRAME_USO && most > mss * 100)
		most = mss * 100;
	switch (kind) {
	case NIC_FRAME_PLAIN:
	case NIC_FRAME_PARTIAL:
		return rnd(m, 1500 - (m->at - m->l3) + 1);
	default:
		break;
	}
	if (most > mss * 200)
		most = mss * 200;
	return mss + 1 + rnd(m, rnd(m, 4) ? 5 * mss : most - mss - 1) % (most - mss);
}

void nic_frame_make(struct nic_random *r, enum nic_frame_kind kind, uint8_t *bytes,
	uint32_t *length, uint32_t *headers, struct nic_offload *o)
{
	struct maker m = {.r = r, .bytes = bytes, .v4 = nic_random(r, 2)};
	/* with headers it fits in an MTU of 1500 */
	uint32_t mss = nic_random(r, 8) ? 500 + nic_random(r, 880) : 16 + nic_random(r, 200);
	struct iovec iov = {bytes, 0};
	struct nic_headers h;

	m.tcp = kind == NIC_FRAME_TSO || (kind != NIC_FRAME_USO && rnd(&m, 2));
	put_ethernet(&m);
	if (m.v4)
		put_ip4(&m);
	else
		put_ip6(&m);
	m.l4 = m.at;
	if (m.tcp)
		put_tcp(&m);
	else
		put_udp(&m);
	*headers = m.at;
	iov.iov_len = *length = m.at + payload_length(&m, kind, mss);
	noise(&m, m.at, *length);
	set_lengths(&m, *length);
	*o = (struct nic_offload){0};
	check(nic_parse(bytes, *length, &h));
	if (kind == NIC_FRAME_TSO) {
		check(!nic_tso_prepare(bytes, *headers, *length, mss, o));
		return;
	}
	nic_csum_prepare(bytes, &h, *length - m.l4, o);
	if (kind == NIC_FRAME_PLAIN)
		nic_csum_finish(&iov, 1, 0, *length, o);
	if (kind == NIC_FRAME_PLAIN)
		*o = (struct nic_offload){0};
	if (kind == NIC_FRAME_USO) {
		o->gso = NIC_GSO_UDP;
		o->gso_size = (uint16_t)mss;
		o->header_len = (uint16_t)*headers;
	}
}
