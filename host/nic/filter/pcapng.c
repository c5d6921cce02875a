/* SPDX-License-Identifier: MIT */
#include "nic/filter/pcapng.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/iov.h"
#include "nic/offload.h"

#define BLOCK_SECTION    0x0a0d0d0au
#define BLOCK_INTERFACE  1u
#define BLOCK_STATISTICS 5u
#define BLOCK_PACKET     6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINK_ETHERNET    1u
#define OPTION_COMMENT   1u
#define OPTION_IF_NAME   2u
#define OPTION_TSRESOL   9u
#define OPTION_FLAGS     2u
#define OPTION_QUEUE     6u
#define OPTION_RECEIVED  4u
#define OPTION_DROPPED   5u
#define MACS             12u

struct writer {
	uint8_t *start, *at;
};

static void put(struct writer *w, const void *bytes, size_t length)
{
	memcpy(w->at, bytes, length);
	w->at += length;
}

static void put16(struct writer *w, uint32_t v)
{
	uint16_t value = (uint16_t)v;

	put(w, &value, sizeof(value));
}

static void put32(struct writer *w, uint32_t v)
{
	put(w, &v, sizeof(v));
}

/* Of 64 bits: high half first, in either byte order. */
static void put_time(struct writer *w, uint64_t ns)
{
	put32(w, (uint32_t)(ns >> 32));
	put32(w, (uint32_t)ns);
}

static void pad(struct writer *w)
{
	while ((w->at - w->start) % 4)
		*w->at++ = 0;
}

static void begin(struct writer *w, uint8_t *to, uint32_t type)
{
	w->start = w->at = to;
	put32(w, type);
	put32(w, 0);
}

/* The length stands at both ends. */
static size_t end(struct writer *w)
{
	uint32_t length = (uint32_t)(w->at - w->start) + 4;

	memcpy(w->start + 4, &length, sizeof(length));
	put32(w, length);
	return length;
}

static void option(struct writer *w, uint32_t code, const void *bytes, size_t length)
{
	put16(w, code);
	put16(w, (uint32_t)length);
	put(w, bytes, length);
	pad(w);
}

static void options_end(struct writer *w)
{
	put32(w, 0);
}

size_t pcapng_begin(uint8_t *to, size_t size, const char *interface)
{
	const uint8_t nanoseconds = 9;
	struct writer w;
	size_t length;

	assert(size >= PCAPNG_OVERHEAD && strlen(interface) <= 64);
	begin(&w, to, BLOCK_SECTION);
	put32(&w, BYTE_ORDER_MAGIC);
	put16(&w, 1);
	put16(&w, 0);
	put32(&w, UINT32_MAX); /* length of the section: not known */
	put32(&w, UINT32_MAX);
	length = end(&w);
	begin(&w, to + length, BLOCK_INTERFACE);
	put16(&w, LINK_ETHERNET);
	put16(&w, 0);
	put32(&w, PCAPNG_SNAP_LENGTH);
	option(&w, OPTION_IF_NAME, interface, strlen(interface));
	option(&w, OPTION_TSRESOL, &nanoseconds, sizeof(nanoseconds));
	options_end(&w);
	return length + end(&w);
}

/* ---- packets ------------------------------------------------------------- */

static void put_frame(struct writer *w, const struct nic_frame *f)
{
	uint16_t tci = f->offload.vlan_tci;
	uint8_t tag[NIC_VLAN_TAG] = {NIC_ETHERTYPE_VLAN >> 8, NIC_ETHERTYPE_VLAN & 0xff,
		(uint8_t)(tci >> 8), (uint8_t)tci};
	uint32_t head = f->offload.flags & NIC_VLAN ? MACS : 0;

	iov_copy_from(f->iov + 1, f->iov_count - 1, f->skip, w->at, head);
	w->at += head;
	if (head)
		put(w, tag, sizeof(tag));
	iov_copy_from(f->iov + 1, f->iov_count - 1, f->skip + head, w->at, f->length - head);
	w->at += f->length - head;
	pad(w);
}

static size_t comment(const struct nic_offload *o, char *text, size_t size)
{
	static const char *const gso[] = {
		[NIC_GSO_TCP4] = "tcp4", [NIC_GSO_TCP6] = "tcp6", [NIC_GSO_UDP] = "udp"};
	int n = 0;

	text[0] = '\0';
	if (o->gso)
		n += snprintf(text + n, size - (size_t)n, " gso=%s/%u hdr=%u", gso[o->gso],
			o->gso_size, o->header_len);
	if (o->flags & NIC_CSUM_PARTIAL)
		n += snprintf(
			text + n, size - (size_t)n, " csum=%u+%u", o->csum_start, o->csum_offset);
	if (o->flags & NIC_CSUM_VALID)
		n += snprintf(text + n, size - (size_t)n, " csum-valid");
	if (o->flags & NIC_GSO_ECN)
		n += snprintf(text + n, size - (size_t)n, " ecn");
	if (o->flags & NIC_VLAN)
		n += snprintf(text + n, size - (size_t)n, " vlan=%u", o->vlan_tci);
	if (o->flags & NIC_HASH)
		n += snprintf(text + n, size - (size_t)n, " hash=%08x", o->hash);
	assert((size_t)n < size);
	return (size_t)n;
}

size_t pcapng_packet(uint8_t *to, const struct nic_frame *frame, enum pcapng_direction direction,
	uint32_t queue, uint64_t ns)
{
	uint32_t length = frame->length + (frame->offload.flags & NIC_VLAN ? NIC_VLAN_TAG : 0);
	uint32_t flags = direction;
	char text[120];
	size_t text_length = comment(&frame->offload, text, sizeof(text));
	struct writer w;

	begin(&w, to, BLOCK_PACKET);
	put32(&w, 0); /* interface */
	put_time(&w, ns);
	put32(&w, length);
	put32(&w, length);
	put_frame(&w, frame);
	if (text_length)
		option(&w, OPTION_COMMENT, text + 1, text_length - 1);
	option(&w, OPTION_FLAGS, &flags, sizeof(flags));
	option(&w, OPTION_QUEUE, &queue, sizeof(queue));
	options_end(&w);
	return end(&w);
}

size_t pcapng_end(uint8_t *to, uint64_t packets, uint64_t dropped, uint64_t ns)
{
	struct writer w;

	begin(&w, to, BLOCK_STATISTICS);
	put32(&w, 0);
	put_time(&w, ns);
	option(&w, OPTION_RECEIVED, &packets, sizeof(packets));
	option(&w, OPTION_DROPPED, &dropped, sizeof(dropped));
	options_end(&w);
	return end(&w);
}
