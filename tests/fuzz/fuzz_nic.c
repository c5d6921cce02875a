/* SPDX-License-Identifier: MIT */
/*
 * What foreign bytes reach in host/nic: the stream of passt, the ring of a pair,
 * metadata of frames on their way through the segmenter, and the pcapng writer.
 *
 * The first byte chooses. Oracles: the stream's frames lie in what was fed and
 * have legal lengths; a ring never yields a frame beyond what its head says, and
 * what is delivered passed the metadata check; segments add up to the payload of
 * the frame; a pcapng block has its length at both ends and fits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nic/filter/pcapng.h"
#include "nic/pair/ring.h"
#include "nic/user/stream.h"
#include "tests/fuzz/input.h"

/* ---- stream -------------------------------------------------------------- */

static void fuzz_stream(struct input *in)
{
	static struct stream s;

	stream_reset(&s);
	while (in->left) {
		uint32_t n = (uint32_t)take(in, 1) * 16 + 1, room;
		uint8_t *to = stream_room(&s, &room);
		const uint8_t *frame;
		int length;

		n = n < room ? n : room;
		n = n < in->left ? n : (uint32_t)in->left;
		take_bytes(in, to, n);
		stream_received(&s, n);
		while ((length = stream_next(&s, &frame)) > 0) {
			check(length >= (int)NIC_ETH_HEADER && length <= (int)NIC_FRAME_MAX);
			check(frame >= s.bytes && frame + length <= s.bytes + s.end);
			stream_skip(&s, length);
		}
		if (length < 0)
			return;
	}
}

/* ---- segments and pcapng ------------------------------------------------- */

static void check_block(const uint8_t *block, size_t length)
{
	uint32_t first, last;

	check(length >= 12 && length % 4 == 0);
	memcpy(&first, block + 4, sizeof(first));
	memcpy(&last, block + length - 4, sizeof(last));
	check(first == length && last == length);
}

/* A frame that passed the check: each layer must cope with it. */
static void use_frame(const struct nic_frame *frame)
{
	static uint8_t block[NIC_FRAME_MAX + PCAPNG_OVERHEAD];
	struct iovec iov[NIC_IOV_MAX];
	uint32_t count, length, payload = 0, n = 0;
	struct nic_seg seg;
	size_t size;

	size = pcapng_packet(block, frame, PCAPNG_INBOUND, 3, 1);
	check(size <= pcapng_packet_size(frame));
	check_block(block, size);
	if (nic_seg_init(&seg, frame))
		return;
	while ((length = nic_seg_next(&seg, iov, &count))) {
		uint32_t sum = 0;

		for (uint32_t i = 0; i < count; i++)
			sum += (uint32_t)iov[i].iov_len;
		check(sum == length && length > seg.header_len - 1u);
		payload += length - seg.header_len;
		n++;
	}
	check(n == seg.count && n <= NIC_GSO_SEGMENTS_MAX + 1);
	check(payload == frame->length - seg.header_len);
}

static void take_offload(struct input *in, struct nic_offload *o)
{
	o->flags = (uint8_t)take(in, 1);
	o->gso = (uint8_t)take(in, 1);
	o->gso_size = (uint16_t)take(in, 2);
	o->header_len = (uint16_t)take(in, 2);
	o->csum_start = (uint16_t)take(in, 2);
	o->csum_offset = (uint16_t)take(in, 1);
	o->vlan_tci = (uint16_t)take(in, 2);
}

static void fuzz_frame(struct input *in)
{
	struct iovec iov[3];
	struct nic_frame f = {.iov = iov, .iov_count = 3};
	uint32_t first;
	uint8_t *bytes;

	take_offload(in, &f.offload);
	first = (uint32_t)take(in, 1) + NIC_ETH_HEADER;
	f.length = first + (uint32_t)take(in, 2);
	bytes = malloc(f.length); /* exact, so that a byte too many is found */
	check(bytes);
	take_bytes(in, bytes, f.length);
	iov[1] = (struct iovec){bytes, first};
	iov[2] = (struct iovec){bytes + first, f.length - first};
	if (!nic_offload_check(&f))
		use_frame(&f);
	free(bytes);
}

/* ---- pair ---------------------------------------------------------------- */

static void fuzz_pair(struct input *in)
{
	static uint8_t ring[PAIR_RING_SIZE];
	static struct pair_producer_line peer;
	static struct pair_consumer_line own;
	uint64_t start = take(in, 8);
	struct pair_consumer c = {
		.own = &own, .other = &peer, .ring = ring, .tail = start, .published = start};
	const struct nic_frame *frame;
	uint32_t at = (uint32_t)start & (PAIR_RING_SIZE - 1);

	c.tail = c.published = start & ~(uint64_t)(PAIR_ALIGN - 1);
	at &= ~(PAIR_ALIGN - 1);
	atomic_store(&own.tail, c.tail);
	atomic_store(&peer.head, c.tail + take(in, 4));
	while (in->left) {
		ring[at] = (uint8_t)take(in, 1);
		at = (at + 1) & (PAIR_RING_SIZE - 1);
	}
	for (uint32_t i = 0; i < 64 && pair_peek(&c, &frame) == 1; i++) {
		check(frame->length >= NIC_ETH_HEADER && frame->length <= NIC_FRAME_MAX);
		if (!nic_offload_check(frame))
			use_frame(frame);
		pair_skip(&c);
		check(atomic_load(&peer.head) - c.tail <= PAIR_RING_SIZE);
	}
	pair_release(&c);
	pair_sleep(&c);
}

/* What is put comes out, also around the end, whatever tail the peer claims. */
static void fuzz_producer(struct input *in)
{
	static uint8_t ring[PAIR_RING_SIZE], bytes[NIC_FRAME_MAX];
	static struct pair_producer_line own;
	static struct pair_consumer_line peer;
	uint64_t start = take(in, 8) & ~(uint64_t)(PAIR_ALIGN - 1);
	struct pair_producer p = {
		.own = &own, .other = &peer, .ring = ring, .head = start, .published = start};

	atomic_store(&peer.tail, start);
	while (in->left) {
		struct iovec iov[2] = {{0}, {bytes, NIC_ETH_HEADER + take(in, 2)}};
		struct nic_frame f = {
			.iov = iov, .iov_count = 2, .length = (uint32_t)iov[1].iov_len};
		uint64_t before = p.head;
		int ret;

		if (take(in, 1) & 1)
			atomic_store(&peer.tail, take(in, 1) & 1 ? take(in, 8) : p.head);
		ret = pair_put(&p, &f);
		check(ret == 0 || ret == -EAGAIN || ret == -EPROTO);
		check(ret ? p.head == before : p.head - before - 1 < PAIR_RING_SIZE);
		if (!ret)
			check(p.head - atomic_load(&peer.tail) <= PAIR_RING_SIZE);
		pair_publish(&p);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const targets[])(struct input * in) = {
		fuzz_stream, fuzz_frame, fuzz_pair, fuzz_producer};
	struct input in = {data, size};

	if (size)
		targets[take(&in, 1) % 4](&in);
	return 0;
}
