/* SPDX-License-Identifier: MIT */
/*
 * Frames from the guest. A packet carries up to NETVSP_TX_FRAMES_MAX RNDIS
 * messages in a section of the send buffer and in pages of the guest. Of each
 * frame the headers are copied once, checked and finished; the payload goes to
 * the NIC from where it is. The packet is completed when the NIC has sent, or
 * dropped, all its frames.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "proto/vmbus_proto.h"
#include "vsp/netvsp/netvsp_impl.h"

#define TX_BYTES_MAX (NETVSP_TX_FRAMES_MAX * (NIC_FRAME_MAX + RNDIS_HEAD_MAX))

/* ---- pieces of a packet -------------------------------------------------- */

static int add_piece(struct iovec *iov, uint32_t *count, uint32_t max, void *base, uint32_t len)
{
	struct iovec *last = iov + *count - 1;

	if (*count && (char *)last->iov_base + last->iov_len == base) {
		last->iov_len += len;
		return 0;
	}
	if (*count == max)
		return -EINVAL;
	iov[(*count)++] = (struct iovec){base, len};
	return 0;
}

static int add_range(const struct gmem *gmem, const struct gpa_range *range, struct iovec *iov,
	uint32_t *count, uint32_t max)
{
	uint32_t left = range->byte_count, offset = range->byte_offset;

	for (uint32_t i = 0; left; i++, offset = 0) {
		uint64_t pfn = gpa_range_pfn(range, i);
		uint32_t n = HV_PAGE_SIZE - offset < left ? HV_PAGE_SIZE - offset : left;
		uint8_t *page;

		if (pfn > UINT64_MAX >> HV_PAGE_SHIFT)
			return -EINVAL;
		page = (GUEST_FORCE uint8_t *)gmem_at(gmem, pfn << HV_PAGE_SHIFT, HV_PAGE_SIZE);
		if (!page || add_piece(iov, count, max, page + offset, n))
			return -EINVAL;
		left -= n;
	}
	return 0;
}

static int add_ranges(struct netvsp_channel *c, const struct vmbus_pkt *pkt, struct iovec *iov,
	uint32_t *count, uint32_t max, uint32_t *bytes)
{
	static const struct gpa_limits limits = {
		.ranges_max = NETVSP_TX_RANGES_MAX, .bytes_max = TX_BYTES_MAX};
	const struct gmem *gmem = vsp_device_gmem(c->device->dev);
	struct gpa_range range;
	struct gpa_list list;

	if (gpa_direct_parse(&list, pkt->extra, pkt->extra_len, &limits))
		return -EINVAL;
	*bytes += (uint32_t)list.byte_count;
	while (gpa_list_next(&list, &range))
		if (add_range(gmem, &range, iov, count, max))
			return -EINVAL;
	return 0;
}

int tx_pieces(struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_rndis_pkt *m,
	struct iovec *iov, uint32_t max, uint32_t *bytes)
{
	uint32_t count = 0;
	int ret;

	*bytes = 0;
	if (m->section_index != NVSP_SECTION_NONE) {
		if (!c->send_view || !c->settings.send)
			return -EINVAL;
		ret = send_section_iov(c->send, m->section_index, m->section_size, iov, max);
		if (ret < 0)
			return -EINVAL;
		count = (uint32_t)ret;
		*bytes = m->section_size;
	}
	if (pkt->desc.type == VMBUS_PKT_GPA_DIRECT && add_ranges(c, pkt, iov, &count, max, bytes))
		return -EINVAL;
	return (int)count;
}

/* ---- completion ---------------------------------------------------------- */

static void release_view(struct netvsp_channel *c)
{
	if (!c->send_view || c->tx_out || (c->settings.send && !c->stopping))
		return;
	c->send_view = false;
	vsp_gpadl_put(c->send->gpadl);
}

static void complete(struct netvsp_tx *t)
{
	struct netvsp_channel *c = t->channel;

	c->tx_out--;
	release_view(c);
	if (c->rx.starved && !c->rx.token)
		c->rx.resume = true;
	if (!t->out.packet.type) {
		vsp_request_put(c->ch, t);
		return;
	}
	t->reply = (struct nvsp_message){.type = NVSP_SEND_RNDIS_PKT_COMPLETE, .status = t->status};
	t->out.packet.payload = (struct vmbus_vec){&t->reply, netvsp_nvsp_size(c)};
	vsp_send(c->ch, &t->out);
}

static void put_frame(struct netvsp_tx *t)
{
	if (!--t->frames_left)
		complete(t);
}

/* A frame that the NIC drops is sent, as far as the guest is concerned. */
void tx_done(struct nic_client *client, struct nic_frame *frame, int error)
{
	struct netvsp_channel *c = container_of(client, struct netvsp_channel, client);

	if (error)
		netvsp_count(&c->counters->tx_dropped, 1);
	put_frame(frame->owner);
}

void tx_flush(struct netvsp_channel *c)
{
	struct nic_frame *frames[NIC_BATCH];
	uint32_t count = c->batch_count;

	if (!count)
		return;
	memcpy(frames, c->batch, count * sizeof(frames[0]));
	c->batch_count = 0;
	nic_tx(c->queue, frames, count);
}

/* ---- frames -------------------------------------------------------------- */

static void count_frame(struct netvsp_channel *c, const struct nic_frame *f, const uint8_t *mac)
{
	struct netvsp_counters *n = c->counters;
	uint8_t all = mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5];

	netvsp_count(&n->tx_frames, 1);
	netvsp_count(&n->tx_bytes, f->length);
	if (all == 0xff) {
		netvsp_count(&n->tx_broadcast, 1);
		netvsp_count(&n->tx_broadcast_bytes, f->length);
	} else if (mac[0] & 1) {
		netvsp_count(&n->tx_multicast, 1);
		netvsp_count(&n->tx_multicast_bytes, f->length);
	}
}

static bool is_frame(const struct rndis_frame *rf)
{
	return rf->data_length >= NIC_ETH_HEADER && rf->data_length <= NIC_FRAME_MAX;
}

/* A frame, or a segment, longer than the MTU is no mistake of the driver: after a change of the MTU
 * it still sends what its queues held. */
static int check_length(
	const struct netvsp_channel *c, const struct nic_offload *o, uint32_t frame_length)
{
	uint32_t length = o->gso ? (uint32_t)o->header_len + o->gso_size : frame_length;

	return length <= c->settings.mtu + NIC_ETH_HEADER + NIC_VLAN_TAG ? 0 : -EMSGSIZE;
}

/* The rules of the host: its VLAN, and the guest's own MAC. Behind the tag of the VLAN one of the
 * guest's would choose another one, where that is taken off. */
static bool allowed(struct netvsp_channel *c, struct nic_offload *o, const uint8_t *headers)
{
	const struct netvsp_config *config = &c->device->config;

	if (config->mac_lock && memcmp(headers + 6, config->mac, 6))
		return false;
	if (!config->vlan)
		return true;
	if (nic_is_tagged(headers) || (o->flags & NIC_VLAN && o->vlan_tci & 0xfff))
		return false;
	o->vlan_tci = (uint16_t)((o->flags & NIC_VLAN ? o->vlan_tci & 0xf000 : 0) | config->vlan);
	o->flags |= NIC_VLAN;
	return true;
}

/* iov: 0 is the NIC's, 1 our copy of the headers, then what the guest has. */
static int build_frame(struct netvsp_channel *c, struct netvsp_tx *t, struct rndis_stream data,
	const struct rndis_frame *rf)
{
	struct netvsp_tx_frame *tf = &t->frames[t->frame_count];
	uint32_t copied = rf->data_length < NIC_HEADERS_MAX ? rf->data_length : NIC_HEADERS_MAX;
	struct nic_frame *f = &tf->frame;
	struct iovec *iov = &t->iov[t->iov_count];
	uint32_t room = (uint32_t)(sizeof(t->iov) / sizeof(t->iov[0])) - t->iov_count;
	int pieces, ret;

	if (room < 3 || !is_frame(rf))
		return -EINVAL;
	rndis_stream_peek(&data, tf->headers, copied);
	rndis_stream_skip(&data, copied);
	if (offload_tx(&rf->info, tf->headers, copied, rf->data_length, &f->offload))
		return -EINVAL;
	ret = check_length(c, &f->offload, rf->data_length);
	if (ret)
		return ret;
	if (!allowed(c, &f->offload, tf->headers))
		return -EPERM;
	room = room < NIC_IOV_MAX ? room : NIC_IOV_MAX;
	pieces = rndis_stream_slice(&data, rf->data_length - copied, iov + 2, room - 2);
	if (pieces < 0)
		return -EINVAL;
	iov[1] = (struct iovec){tf->headers, copied};
	f->iov = iov;
	f->iov_count = 2 + (uint32_t)pieces;
	f->length = rf->data_length;
	f->owner = t;
	t->iov_count += f->iov_count;
	t->frame_count++;
	return 0;
}

static void send_frame(struct netvsp_channel *c, struct netvsp_tx *t)
{
	struct netvsp_tx_frame *tf = &t->frames[t->frame_count - 1];

	if (c->batch_count == NIC_BATCH)
		tx_flush(c);
	count_frame(c, &tf->frame, tf->headers);
	t->frames_left++;
	c->batch[c->batch_count++] = &tf->frame;
}

/* What the guest sends legally, and the host does not let pass. */
static bool is_dropped(int ret)
{
	return ret == -EPERM || ret == -EMSGSIZE;
}

static void count_refused(struct netvsp_channel *c, int ret)
{
	netvsp_count(ret == -EMSGSIZE ? &c->counters->tx_dropped : &c->counters->tx_invalid, 1);
	if (ret == -EPERM)
		netvsp_count(&c->counters->tx_spoofed, 1);
}

/* The message at the start of the stream, which it leaves. */
static int take_message(struct netvsp_channel *c, struct netvsp_tx *t, struct rndis_stream *s)
{
	struct rndis_stream data = *s;
	struct rndis_frame rf;
	int ret;

	if (t->frame_count == NETVSP_TX_FRAMES_MAX || rndis_frame_parse(s, &rf))
		return -EINVAL;
	rndis_stream_skip(&data, rf.data_offset);
	data.left = rf.data_length;
	ret = build_frame(c, t, data, &rf);
	if (!ret)
		send_frame(c, t);
	else
		count_refused(c, ret);
	rndis_stream_skip(s, rf.message_length);
	return is_dropped(ret) ? 0 : ret;
}

/* Linux removes its driver without stopping its queues first: a frame behind HALT is no mistake. */
static bool nobody_takes(const struct netvsp_channel *c)
{
	return c->settings.halted || !atomic_load_explicit(&c->device->cable, memory_order_relaxed);
}

/* Frames in front of one that is wrong are sent. */
static uint32_t take_messages(struct netvsp_channel *c, struct netvsp_tx *t,
	const struct vmbus_pkt *pkt, const struct nvsp_rndis_pkt *m)
{
	struct iovec iov[NETVSP_TX_PIECES_MAX];
	struct rndis_stream s = {.iov = iov};
	int pieces;

	if (nobody_takes(c)) {
		netvsp_count(&c->counters->tx_dropped, 1);
		return NVSP_STATUS_SUCCESS;
	}
	if (!c->settings.running || !c->queue)
		return NVSP_STATUS_FAIL;
	pieces = tx_pieces(c, pkt, m, iov, NETVSP_TX_PIECES_MAX, &s.left);
	if (pieces < 0 || !s.left)
		return NVSP_STATUS_INVALID_RNDIS;
	s.iov_count = (uint32_t)pieces;
	while (s.left)
		if (take_message(c, t, &s))
			return NVSP_STATUS_INVALID_RNDIS;
	return NVSP_STATUS_SUCCESS;
}

int tx_packet(struct netvsp_channel *c, const struct vmbus_pkt *pkt, const struct nvsp_message *m)
{
	struct netvsp_tx *t = vsp_request_get(c->ch, CLASS_TX);

	if (!t)
		return -EAGAIN;
	t->channel = c;
	t->frame_count = t->iov_count = 0;
	t->frames_left = 1;
	t->out = (struct vsp_out){.request = t};
	if (pkt->desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED)
		t->out.packet = (struct chan_out){
			.type = VMBUS_PKT_COMPLETION, .trans_id = pkt->desc.trans_id};
	c->tx_out++;
	t->status = take_messages(c, t, pkt, &m->rndis_pkt);
	if (t->status != NVSP_STATUS_SUCCESS)
		log_guest("netvsp: packet refused, status %u", t->status);
	put_frame(t);
	return 0;
}

void tx_apply(struct netvsp_channel *c)
{
	release_view(c);
}
