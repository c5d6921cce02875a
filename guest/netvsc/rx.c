/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames from the host. A transfer packet has up to NETVSC_RANGES_MAX ranges of the receive buffer,
 * each with one frame or, with RSC, a piece of one. Header and per-packet information are copied
 * and checked; the data are copied once, into memory of the channel's page pool.
 *
 * The host may use the ranges of a packet again when its completion is sent. Completions are
 * written once per poll; when the ring is full they wait: the host must be able to send meanwhile,
 * or both rings could stay full for ever.
 */
#include COMPAT_PAGE_POOL_H
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "guest/netvsc/netvsc.h"

#define COPY_BREAK 256u  /* up to here, memory of the skb's own */
#define SPLIT      2048u /* a page is enough for two frames of an MTU of 1500 */
#define POOL_PAGES 512u
#define HEADROOM   (NET_SKB_PAD + NET_IP_ALIGN)
#define FRAME_MAX  (65535u + ETH_HLEN)
#define RSC_WHOLE  (RNDIS_RSC_FIRST | RNDIS_RSC_LAST)

/* ---- memory -------------------------------------------------------------- */

/* A pool outlives connections: sockets may hold pages of it for long. */
int netvsc_rx_open(struct netvsc_chan *chan)
{
	const struct page_pool_params params = {
		.flags = COMPAT_PP_SPLIT,
		.pool_size = POOL_PAGES,
		.nid = NUMA_NO_NODE,
		.dev = chan->nic->device->dev,
	};
	struct page_pool *pool;
	int err;

	if (chan->pool)
		return 0;
	pool = page_pool_create(&params);
	if (IS_ERR(pool))
		return PTR_ERR(pool);
	err = xdp_rxq_info_reg(&chan->xdp_rxq, chan->nic->ndev, chan->index, chan->napi.napi_id);
	if (err)
		goto no_queue;
	err = xdp_rxq_info_reg_mem_model(&chan->xdp_rxq, MEM_TYPE_PAGE_POOL, pool);
	if (err)
		goto no_model;
	chan->pool = pool;
	return 0;

no_model:
	xdp_rxq_info_unreg(&chan->xdp_rxq);
no_queue:
	page_pool_destroy(pool);
	return err;
}

static void drop(struct netvsc_chan *chan, struct netvsc_frame *f)
{
	u32 i;

	if (!f->page)
		return;
	page_pool_put_full_page(chan->pool, f->page, false);
	for (i = 0; i < f->frag_count; i++)
		page_pool_put_full_page(chan->pool, f->frags[i], false);
	f->page = NULL;
}

void netvsc_rx_stop(struct netvsc_chan *chan)
{
	drop(chan, &chan->receive.frame);
}

void netvsc_rx_close(struct netvsc_chan *chan)
{
	if (!chan->pool)
		return;
	xdp_rxq_info_unreg(&chan->xdp_rxq);
	page_pool_destroy(chan->pool);
	chan->pool = NULL;
}

/* ---- a frame of one or more pieces --------------------------------------- */

/* Before 6.4 the stack takes a page that XDP redirects to it away from its pool, which must not
 * know it any more: so such a page is not one that the pool splits, even if all of it is used. */
static struct page *whole_page(struct netvsc_chan *chan)
{
	struct page *page = page_pool_dev_alloc_pages(chan->pool);

	if (page)
		compat_page_is_whole(page);
	return page;
}

static struct page *alloc_page_of(struct netvsc_chan *chan, u32 size, u32 *offset)
{
	*offset = 0;
	return size < PAGE_SIZE ? page_pool_dev_alloc_frag(chan->pool, offset, size)
				: whole_page(chan);
}

static int begin(struct netvsc_chan *chan, struct netvsc_frame *f, const struct netvsc_rx *rx)
{
	bool xdp = rcu_access_pointer(chan->nic->xdp);
	u32 size = xdp || rx->rsc ? PAGE_SIZE : SPLIT;

	f->headroom = xdp ? XDP_PACKET_HEADROOM : HEADROOM;
	if (f->headroom + rx->data_length > SKB_WITH_OVERHEAD(size))
		size = PAGE_SIZE;
	f->page = alloc_page_of(chan, size, &f->offset);
	if (!f->page)
		return -ENOMEM;
	f->rx = *rx;
	f->size = size;
	f->head_length = f->length = f->frag_count = 0;
	f->frag_used = PAGE_SIZE;
	return 0;
}

static u8 *head_of(const struct netvsc_frame *f)
{
	return (u8 *)page_address(f->page) + f->offset;
}

/* Room in the last page, or a new one. */
static int next_frag(struct netvsc_chan *chan, struct netvsc_frame *f)
{
	if (f->frag_used < PAGE_SIZE)
		return 0;
	if (f->frag_count == NETVSC_FRAGS_MAX)
		return -EMSGSIZE;
	f->frags[f->frag_count] = whole_page(chan);
	if (!f->frags[f->frag_count])
		return -ENOMEM;
	f->frag_count++;
	f->frag_used = 0;
	return 0;
}

/* Copies from the receive buffer; the one copy. */
static int append(struct netvsc_chan *chan, struct netvsc_frame *f, const u8 *from, u32 length)
{
	u32 room = (u32)SKB_WITH_OVERHEAD(f->size) - f->headroom - f->head_length;
	u32 part = f->frag_count ? 0 : min(room, length);
	int err;

	if (length > FRAME_MAX - f->length)
		return -EMSGSIZE;
	memcpy(head_of(f) + f->headroom + f->head_length, from, part);
	f->head_length += part;
	f->length += length;
	for (from += part, length -= part; length; from += part, length -= part) {
		err = next_frag(chan, f);
		if (err)
			return err;
		part = min(length, (u32)PAGE_SIZE - f->frag_used);
		memcpy(page_address(f->frags[f->frag_count - 1]) + f->frag_used, from, part);
		f->frag_used += part;
	}
	return 0;
}

/* The frame's memory is the skb's. */
static struct sk_buff *make_skb(struct netvsc_chan *chan, struct netvsc_frame *f)
{
	struct sk_buff *skb = napi_build_skb(head_of(f), f->size);
	u32 i;

	if (!skb) {
		drop(chan, f);
		return NULL;
	}
	skb_reserve(skb, f->headroom);
	__skb_put(skb, f->head_length);
	for (i = 0; i < f->frag_count; i++)
		skb_add_rx_frag(skb, (int)i, f->frags[i], 0,
			(int)(i + 1 < f->frag_count ? PAGE_SIZE : f->frag_used), PAGE_SIZE);
	skb_mark_for_recycle(skb);
	f->page = NULL;
	return skb;
}

/* ---- to the stack -------------------------------------------------------- */

/* Bytes of the headers of a TCP segment, or 0. */
static u32 tcp_headers(const struct sk_buff *skb)
{
	const struct ipv6hdr *v6 = (const struct ipv6hdr *)skb->data;
	const struct iphdr *v4 = (const struct iphdr *)skb->data;
	u32 bytes = 0;

	if (skb_headlen(skb) < sizeof(*v6))
		return 0;
	if (skb->protocol == htons(ETH_P_IP) && v4->protocol == IPPROTO_TCP)
		bytes = v4->ihl * 4u;
	else if (skb->protocol == htons(ETH_P_IPV6) && v6->nexthdr == IPPROTO_TCP)
		bytes = sizeof(*v6);
	if (!bytes || skb_headlen(skb) < bytes + sizeof(struct tcphdr))
		return 0;
	return bytes + ((const struct tcphdr *)(skb->data + bytes))->doff * 4u;
}

/* A frame that RSC has made has the length of one segment, so that TCP acknowledges as often as
 * without. No gso_type: it is not to be sent as it is, and GRO only passes it on. */
static void set_segment_size(struct sk_buff *skb)
{
	u32 mtu = READ_ONCE(skb->dev->mtu), headers;

	if (skb->len <= mtu)
		return;
	headers = tcp_headers(skb);
	if (!headers || headers >= mtu)
		return;
	skb_shinfo(skb)->gso_size = (u16)(mtu - headers);
	skb_shinfo(skb)->gso_segs = (u16)DIV_ROUND_UP(skb->len - headers, mtu - headers);
}

/* Of several segments the host has made one, whose header may still say otherwise. */
static void finish_ip_header(struct sk_buff *skb)
{
	struct iphdr *ip = (struct iphdr *)skb->data;

	if (skb->protocol != htons(ETH_P_IP) || skb_headlen(skb) < sizeof(*ip) || ip->ihl < 5 ||
		skb_headlen(skb) < ip->ihl * 4u)
		return;
	ip->check = 0;
	ip->check = ip_fast_csum(ip, ip->ihl);
}

static void take_info(struct sk_buff *skb, const struct netvsc_rx *rx)
{
	netdev_features_t features = skb->dev->features;
	const u32 ok = RNDIS_CSUM_RX_TCP_OK | RNDIS_CSUM_RX_UDP_OK;
	const u32 ip_wrong = RNDIS_CSUM_RX_IP_OK | RNDIS_CSUM_RX_IP_VALUE_WRONG;

	if (rx->csum && (rx->csum_value & ip_wrong) == ip_wrong)
		finish_ip_header(skb);
	if (rx->csum && rx->csum_value & ok && features & NETIF_F_RXCSUM)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	if (rx->vlan)
		__vlan_hwaccel_put_tag(skb, htons(ETH_P_8021Q), netvsc_vlan_to_tci(rx->vlan_value));
	if (rx->hash && features & NETIF_F_RXHASH)
		skb_set_hash(skb, rx->hash_value, PKT_HASH_TYPE_L4);
}

static void deliver(struct netvsc_chan *chan, struct sk_buff *skb, const struct netvsc_rx *rx)
{
	chan->counts.rx_packets++;
	chan->counts.rx_bytes += skb->len;
	skb->protocol = eth_type_trans(skb, chan->nic->ndev);
	skb_record_rx_queue(skb, (u16)chan->index);
	take_info(skb, rx);
	set_segment_size(skb);
	chan->counts.rx_rsc += skb_is_gso(skb);
	napi_gro_receive(&chan->napi, skb);
}

/* A program that was there when the frame began would not see all of it: what it would let pass is
 * not known. */
static bool is_beyond_xdp(const struct netvsc_chan *chan, const struct netvsc_frame *f)
{
	return f->frag_count && f->headroom == XDP_PACKET_HEADROOM &&
	       rcu_access_pointer(chan->nic->xdp);
}

static void end(struct netvsc_chan *chan, struct netvsc_frame *f)
{
	u32 metadata = 0;
	struct sk_buff *skb;

	if (f->length < ETH_HLEN || is_beyond_xdp(chan, f)) { /* pieces have any length */
		chan->counts.rx_invalid += f->length < ETH_HLEN;
		chan->counts.rx_dropped += f->length >= ETH_HLEN;
		drop(chan, f);
		return;
	}
	if (rcu_access_pointer(chan->nic->xdp) && netvsc_xdp_run(chan, f, &metadata))
		return;
	skb = make_skb(chan, f);
	if (!skb) {
		chan->counts.rx_no_memory++;
		return;
	}
	if (metadata)
		skb_metadata_set(skb, (u8)metadata);
	deliver(chan, skb, &f->rx);
}

/* ---- one range ----------------------------------------------------------- */

static void small_frame(struct netvsc_chan *chan, const struct netvsc_rx *rx, const u8 *data)
{
	struct sk_buff *skb = napi_alloc_skb(&chan->napi, rx->data_length);

	if (!skb) {
		chan->counts.rx_no_memory++;
		return;
	}
	__skb_put_data(skb, data, rx->data_length);
	deliver(chan, skb, rx);
}

/* False: this piece does not belong to the frame that has begun. */
static bool continues(const struct netvsc_frame *f, const struct netvsc_rx *rx)
{
	bool first = !rx->rsc || rx->rsc_id.flags & RNDIS_RSC_FIRST;

	if (first || !f->page)
		return first && !f->page;
	return f->rx.rsc && f->rx.rsc_id.packet_id == rx->rsc_id.packet_id;
}

static void take_piece(struct netvsc_chan *chan, const struct netvsc_rx *rx, const u8 *data)
{
	struct netvsc_frame *f = &chan->receive.frame;
	int err = 0;

	if (!continues(f, rx)) {
		chan->counts.rx_invalid++;
		drop(chan, f);
		return;
	}
	if (!f->page)
		err = begin(chan, f, rx);
	if (!err)
		err = append(chan, f, data, rx->data_length);
	if (err) {
		chan->counts.rx_no_memory += err == -ENOMEM;
		chan->counts.rx_invalid += err != -ENOMEM;
		drop(chan, f);
	} else if (!rx->rsc || rx->rsc_id.flags & RNDIS_RSC_LAST) {
		end(chan, f);
	}
}

/* A piece of a frame that is a whole frame of its own is like one without RSC. */
static void take_frame(struct netvsc_chan *chan, struct netvsc_rx *rx, const u8 *data)
{
	if (rx->rsc && (rx->rsc_id.flags & RSC_WHOLE) == RSC_WHOLE)
		rx->rsc = false;
	if (!rx->rsc && rx->data_length < ETH_HLEN) {
		chan->counts.rx_invalid++;
	} else if (!READ_ONCE(chan->nic->up)) {
		chan->counts.rx_dropped++;
		drop(chan, &chan->receive.frame); /* the interface goes down between two pieces */
	} else if (!rx->rsc && rx->data_length <= COPY_BREAK && !chan->receive.frame.page &&
		   !rcu_access_pointer(chan->nic->xdp)) {
		small_frame(chan, rx, data);
	} else {
		take_piece(chan, rx, data);
	}
}

/* Only what was copied is believed: the host can change the buffer at any time. */
static void on_frame(struct netvsc_chan *chan, const u8 *range, u32 length, const void *packet)
{
	u8 ppis[NETVSC_PPI_MAX];
	struct netvsc_rx rx;
	int err = netvsc_frame_begin(packet, length, &rx);

	if (!err && rx.ppi_length) {
		memcpy(ppis, range + rx.ppi_offset, rx.ppi_length);
		barrier();
		err = netvsc_frame_ppis(ppis, &rx);
	}
	if (err)
		chan->counts.rx_invalid++;
	else
		take_frame(chan, &rx, range + rx.data_offset);
}

static void on_message(struct netvsc_chan *chan, const u8 *range, u32 length)
{
	if (chan->index)
		chan->counts.rx_invalid++;
	else
		netvsc_control_receive(chan->nic, range, length);
}

void netvsc_rx_next(struct netvsc_chan *chan)
{
	struct netvsc_receive *r = &chan->receive;
	struct netvsc *n = chan->nic;
	struct rndis_packet packet = {0};
	struct vmbus_xfer_range range;
	const u8 *at = n->recv.buffer;

	if (netvsc_transfer_range(&n->conn, &r->transfer, r->next++, &range) ||
		range.byte_count < sizeof(packet.header)) {
		chan->counts.rx_invalid++;
	} else {
		at += range.byte_offset;
		memcpy(&packet, at, min_t(u32, sizeof(packet), range.byte_count));
		barrier();
		if (packet.header.type == RNDIS_PACKET)
			on_frame(chan, at, range.byte_count, &packet);
		else
			on_message(chan, at, range.byte_count);
	}
	if (!netvsc_rx_busy(chan)) {
		chan->counts.rx_invalid += !!r->frame.page; /* its end did not come */
		drop(chan, &r->frame);
		chan->owed.ids[chan->owed.head++ % NETVSC_OWED] = r->id;
	}
}

/* ---- packets ------------------------------------------------------------- */

void netvsc_rx_begin(struct netvsc_chan *chan, const struct vmbus_pkt *pkt)
{
	struct netvsc_receive *r = &chan->receive;

	r->next = 0;
	r->id = pkt->desc.trans_id;
	chan->counts.rx_transfers++;
	if (netvsc_transfer_parse(
		    pkt->extra, pkt->extra_len, pkt->payload, pkt->payload_len, &r->transfer)) {
		r->transfer.count = 0;
		chan->counts.rx_invalid++;
	}
	/* An honest host has no more packets outstanding than the buffer has sections. */
	if (chan->owed.head - chan->owed.tail == NETVSC_OWED) {
		r->transfer.count = 0;
		netvsc_die(chan->nic, "more packets than the receive buffer can hold");
	}
}

static int write_completion(struct netvsc_chan *chan, u64 id)
{
	const u32 message[2] = {NVSP_SEND_RNDIS_PKT_COMPLETE, NVSP_STATUS_SUCCESS};
	const struct vmbus_vec payload = {message, sizeof(message)};

	return vmbus_tx_write(&chan->vsc->tx, VMBUS_PKT_COMPLETION, 0, id, NULL, &payload, 1);
}

/* With the lock. */
static int send_owed(struct netvsc_chan *chan)
{
	struct netvsc_owed *owed = &chan->owed;
	int err = 0;

	while (chan->open && !err && owed->tail != owed->head) {
		err = write_completion(chan, owed->ids[owed->tail % NETVSC_OWED]);
		owed->tail += !err;
	}
	if (chan->open)
		netvsc_tx_push(chan);
	return err;
}

void netvsc_rx_finish(struct netvsc_chan *chan, int budget)
{
	int err;

	if (chan->owed.head == chan->owed.tail && !chan->xdp_sent)
		return;
	if (!netvsc_lock(chan, budget))
		return;
	err = send_owed(chan);
	spin_unlock(&chan->lock);
	chan->xdp_sent = false;
	if (err && err != -EAGAIN)
		netvsc_die(chan->nic, "the ring to the host is corrupt");
}
