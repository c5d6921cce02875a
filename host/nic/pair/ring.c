/* SPDX-License-Identifier: MIT */
#include "nic/pair/ring.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static uint64_t record_size(uint32_t length)
{
	return sizeof(struct pair_record) +
	       ((uint64_t)length + PAIR_ALIGN - 1) / PAIR_ALIGN * PAIR_ALIGN;
}

static uint32_t position(uint64_t index)
{
	return (uint32_t)(index & (PAIR_RING_SIZE - 1));
}

/* ---- producer ------------------------------------------------------------ */

static int room(struct pair_producer *p, uint64_t *free)
{
	uint64_t used = p->head - atomic_load(&p->other->tail);

	if (used > PAIR_RING_SIZE)
		return -EPROTO;
	*free = PAIR_RING_SIZE - used;
	return 0;
}

/* No room: asks for a signal at the tail that is needed, then checks again. */
static int wait_room(struct pair_producer *p, uint64_t need, uint64_t *free)
{
	atomic_store(&p->own->space, p->head + need - PAIR_RING_SIZE);
	return room(p, free);
}

static void put_bytes(struct pair_producer *p, uint64_t at, const uint8_t *from, size_t length)
{
	uint32_t pos = position(at);
	size_t first = PAIR_RING_SIZE - pos;

	if (first > length)
		first = length;
	memcpy(p->ring + pos, from, first);
	memcpy(p->ring, from + first, length - first);
}

static void put_record(struct pair_producer *p, const struct nic_frame *f)
{
	const struct nic_offload *o = &f->offload;
	struct pair_record r = {
		.length = f->length,
		.flags = o->flags & (NIC_CSUM_PARTIAL | NIC_GSO_ECN | NIC_VLAN),
		.gso = o->gso,
		.gso_size = o->gso_size,
		.header_len = o->header_len,
		.csum_start = o->csum_start,
		.csum_offset = o->csum_offset,
		.vlan_tci = o->vlan_tci,
	};

	memcpy(p->ring + position(p->head), &r, sizeof(r));
}

int pair_put(struct pair_producer *p, const struct nic_frame *frame)
{
	uint64_t need = record_size(frame->length), free, at = p->head + sizeof(struct pair_record);
	int ret = room(p, &free);

	if (!ret && free < need)
		ret = wait_room(p, need, &free);
	if (ret)
		return ret;
	if (free < need)
		return -EAGAIN;
	put_record(p, frame);
	for (uint32_t i = 1; i < frame->iov_count; i++) {
		put_bytes(p, at, frame->iov[i].iov_base, frame->iov[i].iov_len);
		at += frame->iov[i].iov_len;
	}
	p->head += need;
	return 0;
}

/* An event e lies in what was passed: from < e <= to. */
static bool passed(uint64_t event, uint64_t from, uint64_t to)
{
	return event - from - 1 < to - from;
}

bool pair_publish(struct pair_producer *p)
{
	uint64_t from = p->published;

	if (from == p->head)
		return false;
	p->published = p->head;
	atomic_store(&p->own->head, p->head);
	return passed(atomic_load(&p->other->data), from, p->head);
}

/* ---- consumer ------------------------------------------------------------ */

static int available(struct pair_consumer *c, uint64_t *bytes)
{
	*bytes = atomic_load_explicit(&c->other->head, memory_order_acquire) - c->tail;
	return *bytes > PAIR_RING_SIZE ? -EPROTO : 0;
}

/* Frames with metadata: their headers out of the ring, where the other could change them while we
 * rely on them. */
static uint32_t copy_headers(struct pair_consumer *c, uint32_t pos, uint32_t length)
{
	uint32_t n = length < sizeof(c->headers) ? length : (uint32_t)sizeof(c->headers);
	uint32_t first = PAIR_RING_SIZE - pos < n ? PAIR_RING_SIZE - pos : n;

	memcpy(c->headers, c->ring + pos, first);
	memcpy(c->headers + first, c->ring, n - first);
	return n;
}

static void describe(struct pair_consumer *c, uint32_t length)
{
	uint32_t pos = position(c->tail + sizeof(struct pair_record)), n = 1, done = 0, first;

	if (c->frame.offload.flags & NIC_CSUM_PARTIAL) {
		done = copy_headers(c, pos, length);
		c->iov[n++] = (struct iovec){c->headers, done};
		pos = position(c->tail + sizeof(struct pair_record) + done);
	}
	first = PAIR_RING_SIZE - pos < length - done ? PAIR_RING_SIZE - pos : length - done;
	if (first)
		c->iov[n++] = (struct iovec){(uint8_t *)c->ring + pos, first};
	if (done + first < length)
		c->iov[n++] = (struct iovec){(uint8_t *)c->ring, length - done - first};
	c->frame.iov = c->iov;
	c->frame.iov_count = n;
	c->frame.length = length;
}

int pair_peek(struct pair_consumer *c, const struct nic_frame **frame)
{
	struct pair_record r;
	uint64_t bytes;
	int ret = available(c, &bytes);

	if (ret || !bytes)
		return ret;
	if (bytes < sizeof(r))
		return -EPROTO;
	memcpy(&r, c->ring + position(c->tail), sizeof(r));
	if (r.length < NIC_ETH_HEADER || r.length > NIC_FRAME_MAX || record_size(r.length) > bytes)
		return -EPROTO;
	c->frame.offload = (struct nic_offload){
		.flags = r.flags & (NIC_CSUM_PARTIAL | NIC_GSO_ECN | NIC_VLAN),
		.gso = r.gso,
		.gso_size = r.gso_size,
		.header_len = r.header_len,
		.csum_start = r.csum_start,
		.csum_offset = r.csum_offset,
		.vlan_tci = r.vlan_tci,
	};
	describe(c, r.length);
	*frame = &c->frame;
	return 1;
}

void pair_skip(struct pair_consumer *c)
{
	c->tail += record_size(c->frame.length);
}

bool pair_release(struct pair_consumer *c)
{
	uint64_t from = c->published;

	if (from == c->tail)
		return false;
	c->published = c->tail;
	atomic_store(&c->own->tail, c->tail);
	return passed(atomic_load(&c->other->space), from, c->tail);
}

bool pair_sleep(struct pair_consumer *c)
{
	atomic_store(&c->own->data, c->tail + 1);
	return atomic_load(&c->other->head) != c->tail;
}
