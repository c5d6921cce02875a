/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames to the host. Small ones are copied into a section of the send buffer, as many into one as
 * the host allows and come in a row; of large ones the host reads the pages.
 *
 * A queue stops when there may be no room for the next frame: no free slot, or a ring that is
 * almost full. NAPI wakes it, after completions, or when the host has signalled room in the ring.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <net/ip6_checksum.h>

#include "guest/netvsc/netvsc.h"

/* Of the ring, below which a queue stops; the rest is for completions of received packets. */
#define ROOM_SHARE 8u

/* ---- what the host is to do with a frame --------------------------------- */

static u32 l4_offset(const struct sk_buff *skb)
{
	return (u32)skb_transport_offset(skb);
}

/* Both ends agree that the lengths, and the checksum of an IPv4 header, are zero. */
static int describe_lso(struct sk_buff *skb, struct netvsc_tx *tx)
{
	struct tcphdr *tcp;

	if (skb_cow_head(skb, NETVSC_HEADER_MAX))
		return -ENOMEM;
	tx->lso = true;
	tx->lso_value = (skb_shinfo(skb)->gso_size & RNDIS_LSO_MSS_MASK) |
			l4_offset(skb) << RNDIS_LSO_L4_SHIFT | RNDIS_LSO_V2;
	tcp = tcp_hdr(skb);
	if (skb_shinfo(skb)->gso_type & SKB_GSO_TCPV4) {
		struct iphdr *ip = ip_hdr(skb);

		ip->tot_len = 0;
		ip->check = 0;
		tcp->check = ~csum_tcpudp_magic(ip->saddr, ip->daddr, 0, IPPROTO_TCP, 0);
	} else {
		struct ipv6hdr *ip = ipv6_hdr(skb);

		tx->lso_value |= RNDIS_LSO_IPV6;
		ip->payload_len = 0;
		tcp->check = ~csum_ipv6_magic(&ip->saddr, &ip->daddr, 0, IPPROTO_TCP, 0);
	}
	return 0;
}

static u32 csum_value(const struct netvsc_offloads *host, const struct sk_buff *skb)
{
	__be16 protocol = vlan_get_protocol(skb);
	bool v4 = protocol == htons(ETH_P_IP);
	u8 l4;

	if (!v4 && protocol != htons(ETH_P_IPV6))
		return 0;
	l4 = v4 ? ip_hdr(skb)->protocol : ipv6_hdr(skb)->nexthdr;
	if (l4 == IPPROTO_TCP && (v4 ? host->tcp4 : host->tcp6))
		return (v4 ? RNDIS_CSUM_TX_IPV4 : RNDIS_CSUM_TX_IPV6) | RNDIS_CSUM_TX_TCP;
	if (l4 == IPPROTO_UDP && (v4 ? host->udp4 : host->udp6))
		return (v4 ? RNDIS_CSUM_TX_IPV4 : RNDIS_CSUM_TX_IPV6) | RNDIS_CSUM_TX_UDP;
	return 0;
}

static int describe(const struct netvsc *n, struct sk_buff *skb, struct netvsc_tx *tx)
{
	u32 csum;

	*tx = (struct netvsc_tx){.length = skb->len};
	if (skb_vlan_tag_present(skb)) {
		tx->vlan = true;
		tx->vlan_value = netvsc_vlan_from_tci(skb_vlan_tag_get(skb));
	}
	if (skb_is_gso(skb))
		return describe_lso(skb, tx);
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return 0;
	csum = csum_value(&n->conn.offloads, skb);
	if (!csum)
		return skb_checksum_help(skb);
	tx->csum = true;
	tx->csum_value = csum | l4_offset(skb) << RNDIS_CSUM_TX_L4_SHIFT;
	return 0;
}

/* ---- slots and sections -------------------------------------------------- */

static struct netvsc_slot *slot_take(struct netvsc_chan *chan)
{
	struct netvsc_slot *slot = &chan->slots[chan->next_slot];

	if (smp_load_acquire(&slot->id)) /* pairs with slot_free() */
		return NULL;
	*slot = (struct netvsc_slot){.id = NETVSC_STAGED, .section = NVSP_SECTION_NONE};
	chan->next_slot = (chan->next_slot + 1) % NETVSC_SLOTS;
	return slot;
}

/* The one that was taken last. */
static void slot_return(struct netvsc_chan *chan, struct netvsc_slot *slot)
{
	chan->next_slot = (u32)(slot - chan->slots);
	slot->skb = NULL;
	WRITE_ONCE(slot->id, 0);
}

static void slot_free(struct netvsc_chan *chan, struct netvsc_slot *slot)
{
	slot->skb = NULL;
	if (slot->section != NVSP_SECTION_NONE)
		smp_store_release(&chan->section_busy[slot->section - chan->first_section], 0);
	smp_store_release(&slot->id, 0); /* pairs with slot_take() */
}

/* NAPI's from now on. */
static void slot_give(struct netvsc_slot *slot)
{
	smp_store_release(&slot->id, slot->tag); /* pairs with slot_of() */
}

static u32 section_take(struct netvsc_chan *chan)
{
	u32 section = chan->next_section;

	if (section >= chan->section_count || smp_load_acquire(&chan->section_busy[section]))
		return NVSP_SECTION_NONE;
	chan->section_busy[section] = 1;
	chan->next_section = (section + 1) % chan->section_count;
	return chan->first_section + section;
}

/* ---- the ring ------------------------------------------------------------ */

static int write_packet(
	struct netvsc_chan *chan, struct netvsc_slot *slot, u32 section_bytes, u32 range_words)
{
	const struct nvsp_message message = {
		.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_DATA, slot->section, section_bytes},
	};
	const struct vmbus_vec payload = {&message, netvsc_nvsp_size(&chan->nic->conn)};
	const struct vmbus_vec extra = {
		&chan->ranges, offsetof(struct netvsc_ranges, words) + 8 * range_words};
	int err;

	chan->generation = chan->generation % 0x7FFFFFFFu + 1;
	slot->tag = (u64)chan->generation << 32 | (u32)(slot - chan->slots);
	err = vmbus_tx_write(&chan->vsc->tx, range_words ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, slot->tag, range_words ? &extra : NULL,
		&payload, 1);
	if (!err) {
		WRITE_ONCE(chan->sent, chan->sent + 1);
		return 0;
	}
	if (err == -EAGAIN)
		chan->counts.tx_ring_full++;
	else
		netvsc_die(chan->nic, "the ring to the host is corrupt");
	return err;
}

/* -EAGAIN: the batch waits until there is room. */
static int flush(struct netvsc_chan *chan)
{
	struct netvsc_batch *batch = &chan->batch;
	int err;

	if (!batch->frames)
		return 0;
	err = write_packet(chan, batch->slot, batch->used, 0);
	WRITE_ONCE(chan->stuck, err == -EAGAIN);
	if (!err) {
		chan->counts.tx_sections++;
		batch->frames = 0;
		slot_give(batch->slot);
	}
	return err;
}

/* The doorbell belongs to the channel of the bus, which is freed once it is closed: so it is rung
 * under the lock that closing takes. */
void netvsc_tx_push(struct netvsc_chan *chan)
{
	flush(chan);
	if (!vmbus_tx_commit(&chan->vsc->tx))
		return;
	chan->counts.tx_doorbells++;
	vsc_doorbell(chan->vsc);
}

/* ---- frames that are copied ---------------------------------------------- */

static int batch_begin(struct netvsc_chan *chan)
{
	struct netvsc_batch *batch = &chan->batch;

	batch->slot = slot_take(chan);
	if (!batch->slot)
		return -EAGAIN;
	batch->slot->section = section_take(chan);
	if (batch->slot->section == NVSP_SECTION_NONE) {
		slot_return(chan, batch->slot);
		return -ENOSPC;
	}
	batch->used = 0;
	return 0;
}

static u32 batch_bytes(const struct netvsc_chan *chan, const struct netvsc_tx *tx)
{
	return ALIGN(netvsc_frame_header_size(tx) + tx->length, chan->nic->conn.alignment);
}

/* Where the frame's data go. -EAGAIN: no slot, or no room in the ring. -ENOSPC: no section. */
static u8 *reserve(struct netvsc_chan *chan, const struct netvsc_tx *tx)
{
	const struct netvsc_conn *conn = &chan->nic->conn;
	struct netvsc_batch *batch = &chan->batch;
	u32 bytes = batch_bytes(chan, tx), header = netvsc_frame_header_size(tx);
	u8 *to = chan->nic->send.buffer;
	int err = 0;

	if (batch->frames == conn->packets_max || bytes > conn->send_section_size - batch->used)
		err = flush(chan);
	if (!err && !batch->frames)
		err = batch_begin(chan);
	if (err)
		return ERR_PTR(err);
	to += (size_t)batch->slot->section * conn->send_section_size + batch->used;
	netvsc_frame_header(to, tx, bytes - header - tx->length);
	batch->used += bytes;
	batch->frames++;
	return to + header;
}

static bool fits(const struct netvsc_chan *chan, const struct netvsc_tx *tx)
{
	return chan->section_count && batch_bytes(chan, tx) <= chan->nic->conn.send_section_size;
}

static int send_copy(struct netvsc_chan *chan, struct sk_buff *skb, const struct netvsc_tx *tx)
{
	u8 *to = reserve(chan, tx);

	if (IS_ERR(to))
		return PTR_ERR(to);
	skb_copy_bits(skb, 0, to, (int)skb->len);
	chan->batch.slot->packets++;
	chan->batch.slot->bytes += skb->len;
	dev_consume_skb_any(skb);
	return 0;
}

int netvsc_tx_copy(struct netvsc_chan *chan, const void *data, u32 length)
{
	const struct netvsc_tx tx = {.length = length};
	u8 *to;

	if (!chan->open || !fits(chan, &tx))
		return -ENODEV;
	to = reserve(chan, &tx);
	if (IS_ERR(to))
		return PTR_ERR(to);
	memcpy(to, data, length);
	return 0;
}

/* ---- frames whose pages the host reads ----------------------------------- */

/* Physically contiguous memory as one range. Returns the words in use, more than there are when
 * they do not suffice. */
static u32 put_range(struct netvsc_ranges *ranges, u32 words, phys_addr_t at, u32 length)
{
	const struct vmbus_gpa_range range = {length, (u32)(at & (HV_PAGE_SIZE - 1))};
	u32 pages = DIV_ROUND_UP(range.byte_offset + length, HV_PAGE_SIZE), i;

	if (words + 1 + pages > NETVSC_RANGE_WORDS)
		return NETVSC_RANGE_WORDS + 1;
	memcpy(&ranges->words[words++], &range, sizeof(range));
	for (i = 0; i < pages; i++)
		ranges->words[words++] = (at / HV_PAGE_SIZE) + i;
	ranges->head.range_count++;
	return words;
}

/* The RNDIS header is in front of the data. */
static u32 put_ranges(struct netvsc_ranges *ranges, const struct sk_buff *skb, u32 header)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	u32 words, i;

	ranges->head = (struct vmbus_gpa_direct){0};
	words = put_range(ranges, 0, virt_to_phys(skb->data - header), header + skb_headlen(skb));
	for (i = 0; i < info->nr_frags && words <= NETVSC_RANGE_WORDS; i++) {
		const skb_frag_t *frag = &info->frags[i];

		words = put_range(ranges, words,
			page_to_phys(skb_frag_page(frag)) + skb_frag_off(frag),
			skb_frag_size(frag));
	}
	return words;
}

static int send_direct(struct netvsc_chan *chan, struct sk_buff *skb, const struct netvsc_tx *tx)
{
	u32 header = netvsc_frame_header_size(tx), words;
	struct netvsc_slot *slot;
	int err = flush(chan);

	if (err)
		return err;
	if (skb_cow_head(skb, header))
		return -ENOMEM;
	words = put_ranges(&chan->ranges, skb, header);
	if (words > NETVSC_RANGE_WORDS)
		return -EMSGSIZE;
	slot = slot_take(chan);
	if (!slot)
		return -EAGAIN;
	netvsc_frame_header(skb->data - header, tx, 0);
	slot->skb = skb;
	slot->packets = 1;
	slot->bytes = skb->len;
	err = write_packet(chan, slot, 0, words);
	if (err) {
		slot_return(chan, slot);
		return err;
	}
	chan->counts.tx_direct++;
	chan->direct = slot;
	return 0;
}

/* ---- the queue ----------------------------------------------------------- */

static struct netdev_queue *queue_of(const struct netvsc_chan *chan)
{
	return netdev_get_tx_queue(chan->nic->ndev, chan->index);
}

/* May the next frame be sent? With nothing in flight no completion wakes the queue. */
static bool ready(const struct netvsc_chan *chan)
{
	const struct vmbus_tx *tx = &chan->vsc->tx;

	if (chan->stuck || smp_load_acquire(&chan->slots[chan->next_slot].id))
		return false;
	return vmbus_tx_room(tx) >= tx->size / ROOM_SHARE ||
	       chan->sent == READ_ONCE(chan->completed);
}

/* Either NAPI sees that the queue is stopped, or this sees what NAPI has freed. */
static void stop(struct netvsc_chan *chan)
{
	struct netdev_queue *queue = queue_of(chan);

	netif_tx_stop_queue(queue);
	chan->counts.tx_stopped++;
	netvsc_tx_push(chan);
	smp_mb__after_atomic();
	if (ready(chan))
		netif_tx_start_queue(queue);
}

static int send(struct netvsc_chan *chan, struct sk_buff *skb, const struct netvsc_tx *tx)
{
	int err = -ENOSPC;

	if (!chan->open || READ_ONCE(chan->nic->dead))
		return -ENODEV;
	if (!tx->lso && fits(chan, tx))
		err = send_copy(chan, skb, tx);
	if (err == -ENOSPC)
		err = send_direct(chan, skb, tx);
	return err;
}

/* BQL has counted a frame before a completion of it is believed: it would stop the kernel. True:
 * the host is to be signalled now. */
static bool count_sent(struct netvsc_chan *chan, u32 bytes, u32 packets, bool more)
{
	bool now = __netdev_tx_sent_queue(queue_of(chan), bytes, more);

	chan->counts.tx_packets += packets;
	chan->counts.tx_bytes += bytes;
	if (chan->direct)
		slot_give(chan->direct);
	chan->direct = NULL;
	return now;
}

/* With the lock. */
static int transmit(
	struct netvsc_chan *chan, struct sk_buff *skb, const struct netvsc_tx *tx, bool more)
{
	u32 bytes = skb->len, packets = skb_is_gso(skb) ? skb_shinfo(skb)->gso_segs : 1;
	int err;

	skb_tx_timestamp(skb);
	err = send(chan, skb, tx);
	if (!err)
		more = !count_sent(chan, bytes, packets, more);
	if (!chan->open)
		return err;
	if (err == -EAGAIN || !ready(chan))
		stop(chan);
	else if (!more)
		netvsc_tx_push(chan);
	return err;
}

/* A console of the network sends with interrupts off, from anywhere. */
netdev_tx_t netvsc_start_xmit(struct sk_buff *skb, struct net_device *ndev)
{
	struct netvsc *n = netdev_priv(ndev);
	struct netvsc_chan *chan = n->chans[skb_get_queue_mapping(skb)];
	bool more = netdev_xmit_more();
	struct netvsc_tx tx;
	int err = describe(n, skb, &tx);

	if (!netvsc_lock(chan, !irqs_disabled()))
		return NETDEV_TX_BUSY;
	if (!err)
		err = transmit(chan, skb, &tx, more);
	else if (chan->open && !more)
		netvsc_tx_push(chan);
	if (err && err != -EAGAIN)
		chan->counts.tx_dropped++;
	spin_unlock(&chan->lock);
	if (err == -EAGAIN)
		return NETDEV_TX_BUSY;
	if (err)
		dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

/* ---- completions --------------------------------------------------------- */

/* The slot that this is the id of; the host may say anything. */
static struct netvsc_slot *slot_of(const struct netvsc_chan *chan, u64 id)
{
	u32 index = (u32)id;

	if (id >> 32 == 0 || index >= NETVSC_SLOTS ||
		smp_load_acquire(&chan->slots[index].id) != id)
		return NULL;
	return &chan->slots[index];
}

void netvsc_tx_complete(struct netvsc_chan *chan, const struct vmbus_pkt *pkt, int budget)
{
	struct netvsc_slot *slot = slot_of(chan, pkt->desc.trans_id);

	if (!slot) {
		chan->counts.tx_stray++;
		return;
	}
	if (netvsc_sent_parse(pkt->payload, pkt->payload_len))
		chan->counts.tx_refused++;
	chan->done_packets += slot->packets;
	chan->done_bytes += slot->bytes;
	if (slot->skb)
		napi_consume_skb(slot->skb, budget);
	WRITE_ONCE(chan->completed, chan->completed + 1);
	slot_free(chan, slot);
}

static void wake(struct netvsc_chan *chan, int budget)
{
	struct netdev_queue *queue = queue_of(chan);

	if (!netvsc_lock(chan, budget))
		return;
	if (chan->open) {
		if (chan->stuck)
			netvsc_tx_push(chan);
		if (netif_tx_queue_stopped(queue) && ready(chan) && READ_ONCE(chan->nic->up)) {
			chan->counts.tx_woken++;
			netif_tx_wake_queue(queue);
		}
	}
	spin_unlock(&chan->lock);
}

void netvsc_tx_resume(struct netvsc_chan *chan, int budget)
{
	if (chan->done_packets)
		netdev_tx_completed_queue(queue_of(chan), chan->done_packets, chan->done_bytes);
	chan->done_packets = chan->done_bytes = 0;
	smp_mb(); /* pairs with stop() */
	if (READ_ONCE(chan->stuck) || netif_tx_queue_stopped(queue_of(chan)))
		wake(chan, budget);
}

void netvsc_tx_drop_all(struct netvsc_chan *chan)
{
	u32 i;

	for (i = 0; i < NETVSC_SLOTS; i++) {
		dev_kfree_skb_any(chan->slots[i].skb);
		chan->slots[i] = (struct netvsc_slot){0};
	}
	chan->batch.frames = 0;
	chan->stuck = false;
	chan->sent = chan->completed = 0;
	netdev_tx_reset_queue(queue_of(chan));
}
