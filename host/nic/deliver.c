/* SPDX-License-Identifier: MIT */
/* Frames from memory into the client's buffers, whole or in segments. */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "nic/backend.h"

static bool gso_allowed(const struct nic_queue *queue, const struct nic_offload *o)
{
	static const uint32_t need[] = {
		[NIC_GSO_TCP4] = NIC_CAN_TSO4,
		[NIC_GSO_TCP6] = NIC_CAN_TSO6,
		[NIC_GSO_UDP] = NIC_CAN_USO,
	};
	uint32_t can = atomic_load_explicit(&queue->nic->rx_offloads, memory_order_relaxed);

	if (!(can & need[o->gso]))
		return false;
	return !(o->flags & NIC_GSO_ECN) || can & NIC_CAN_ECN;
}

static bool sum_allowed(const struct nic_queue *queue)
{
	return atomic_load_explicit(&queue->nic->rx_offloads, memory_order_relaxed) & NIC_CAN_CSUM;
}

/* `length` bytes; both sides have them. */
static void copy(const struct iovec *to, const struct iovec *from, size_t length)
{
	size_t at = 0, offset = 0;

	while (length) {
		size_t n = length;

		if (n > to->iov_len - at)
			n = to->iov_len - at;
		if (n > from->iov_len - offset)
			n = from->iov_len - offset;
		memcpy((uint8_t *)to->iov_base + at, (const uint8_t *)from->iov_base + offset, n);
		length -= n;
		at += n;
		offset += n;
		if (at == to->iov_len) {
			to++;
			at = 0;
		}
		if (offset == from->iov_len) {
			from++;
			offset = 0;
		}
	}
}

/* False: no buffer. */
static bool put_frame(struct nic_queue *queue, const struct iovec *iov, uint32_t length,
	const struct nic_offload *offload)
{
	struct nic_frame *buffer = nic_rx_get(queue);

	if (!buffer)
		return false;
	if (length >= buffer->room) {
		nic_rx_drop(queue, NIC_DROP_TOO_BIG);
		nic_rx_put(queue, buffer);
		return true;
	}
	copy(buffer->iov + 1, iov, length);
	buffer->offload = *offload;
	buffer->length = length;
	buffer->skip = 0;
	if ((buffer->offload.flags & NIC_CSUM_PARTIAL) && !sum_allowed(queue)) {
		nic_csum_finish(
			buffer->iov + 1, buffer->iov_count - 1, 0, length, &buffer->offload);
		buffer->offload.flags |= NIC_CSUM_VALID;
	}
	nic_rx_complete(queue, buffer);
	return true;
}

/* ---- segments ------------------------------------------------------------ */

static bool begin(struct nic_delivery *d, const struct nic_frame *frame)
{
	if (nic_seg_init(&d->seg, frame)) {
		nic_rx_drop(d->queue, NIC_DROP_INVALID);
		return false;
	}
	nic_count(&d->queue->stats->rx.segmented, 1);
	d->length = nic_seg_next(&d->seg, d->iov, &d->iov_count);
	d->segmenting = true;
	return true;
}

static bool put_segments(struct nic_delivery *d, const struct nic_frame *frame)
{
	struct nic_offload offload = {
		.flags = (frame->offload.flags & NIC_VLAN) | NIC_CSUM_VALID,
		.vlan_tci = frame->offload.vlan_tci,
	};

	while (d->segmenting && d->length) {
		if (!put_frame(d->queue, d->iov, d->length, &offload))
			return false;
		if (d->segmenting) /* the client did not stop the queue */
			d->length = nic_seg_next(&d->seg, d->iov, &d->iov_count);
	}
	d->segmenting = false;
	return true;
}

bool nic_deliver(struct nic_delivery *d, const struct nic_frame *frame)
{
	struct nic_offload offload = frame->offload;

	if (d->segmenting)
		return put_segments(d, frame);
	if (offload.gso && !gso_allowed(d->queue, &offload))
		return !begin(d, frame) || put_segments(d, frame);
	offload.flags &= NIC_CSUM_PARTIAL | NIC_GSO_ECN | NIC_VLAN;
	offload.hash = 0;
	return put_frame(d->queue, frame->iov + 1, frame->length, &offload);
}
