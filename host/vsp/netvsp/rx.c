/* SPDX-License-Identifier: MIT */
/*
 * Frames to the guest. The NIC writes straight into sections of the receive
 * buffer; a transfer packet names many of them; the guest's completion returns
 * them all.
 *
 *   section   free --fill--> in a buffer --frame--> in a transfer --flush--> with the guest
 *              ^                                                               |
 *              +------------------------ completion ---------------------------+
 *
 * A buffer holds enough sections for the longest frame: one, or with RSC those of
 * a super frame. A short frame takes the first few, which are filled up again
 * before the NIC gets the buffer the next time. A super frame lies in RSC
 * fragments already, without a copy.
 *
 * The guest is interrupted once per loop turn, for all frames of the turn.
 */
#include "base/counter.h"
#include "base/log.h"
#include "vsp/netvsp/netvsp_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS_SIZE (NETVSP_RX_BUFFERS * sizeof(struct netvsp_rx_buffer))
#define PEEK_MAX     128u /* of a frame's headers: copied, since the guest can write there */
/* A super frame with tags in its bytes, and one byte more: see recv_section_size(). */
#define SUPER_ROOM (NIC_FRAME_MAX + 2 * NIC_VLAN_TAG + 1)
/* What of one may be behind the cut: less than a segment more than what is too long. */
#define REST_MAX (NIC_FRAME_MAX - NETVSP_RSC_MAX + NETVSP_MTU_MAX + NIC_HEADERS_MAX)

_Static_assert(sizeof(struct rndis_rsc_id) == 4, "is a PPI's value");

/* ---- sections ------------------------------------------------------------ */

static uint32_t sections_for(const struct netvsp_recv *recv, uint32_t bytes)
{
	return (bytes + recv_payload(recv) - 1) / recv_payload(recv);
}

/* Of each buffer for super frames, at its end: for the second half of one that is cut. */
static uint32_t rest_sections(const struct netvsp_recv *recv)
{
	return sections_for(recv, REST_MAX);
}

static uint32_t super_sections(const struct netvsp_recv *recv)
{
	return sections_for(recv, SUPER_ROOM) + rest_sections(recv);
}

static struct iovec *section_iov(
	const struct netvsp_rx *rx, struct netvsp_rx_buffer *b, uint32_t index)
{
	return &b->iov[1 + index * rx->recv->pages];
}

bool rx_rsc_fits(const struct netvsp_recv *recv, uint32_t parts)
{
	uint32_t first, end;

	if (!recv)
		return false;
	recv_share(recv, 0, parts, &first, &end);
	return super_sections(recv) * recv->pages < NIC_IOV_MAX &&
	       end - first >= 2 * super_sections(recv);
}

static void put_section(struct netvsp_rx *rx, uint32_t section)
{
	rx->recv->next_free[section] = rx->first_free;
	rx->first_free = (uint16_t)section;
	rx->free_count++;
}

static uint32_t take_section(struct netvsp_rx *rx)
{
	uint32_t section = rx->first_free;

	rx->first_free = rx->recv->next_free[section];
	rx->free_count--;
	return section;
}

static void add_free(struct netvsp_rx *rx, uint32_t first, uint32_t end)
{
	for (uint32_t i = end; i-- > first;)
		put_section(rx, i);
}

/* False: there are not enough. What was found stays in the buffer. */
static bool fill(struct netvsp_rx *rx, struct netvsp_rx_buffer *b)
{
	while (b->holes && rx->free_count) {
		uint32_t section = take_section(rx);

		b->holes--;
		b->sections[b->holes] = section;
		recv_section_iov(rx->recv, section, section_iov(rx, b, b->holes));
	}
	return !b->holes;
}

static void empty(struct netvsp_rx *rx, struct netvsp_rx_buffer *b)
{
	while (b->holes < rx->per_buffer)
		put_section(rx, b->sections[b->holes++]);
}

static void empty_spares(struct netvsp_rx *rx)
{
	for (uint32_t i = 0; i < rx->spare_count; i++)
		empty(rx, rx->spare[i]);
}

/* ---- transfers ----------------------------------------------------------- */

static void transfer_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct netvsp_transfer, out)->sent = true;
}

static uint32_t first_section(const struct netvsp_rx *rx, const struct netvsp_transfer *t)
{
	return t->header.ranges[0].byte_offset / rx->recv->section_size;
}

static void flush(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;
	struct netvsp_transfer *t = rx->transfer;
	uint32_t id;

	if (!t || !t->sections)
		return;
	rx->transfer = NULL;
	id = first_section(rx, t);
	assert(!rx->recv->transfers[id]);
	rx->recv->transfers[id] = t;
	counter_add(&rx->sections_out, t->sections);
	t->sent = false;
	t->header.pages =
		(struct vmbus_xfer_pages){.pageset_id = rx->recv->id, .range_count = t->sections};
	t->message = (struct nvsp_message){
		.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_DATA, NVSP_SECTION_NONE, 0},
	};
	t->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_XFER_PAGES,
			.flags = VMBUS_PKT_FLAG_COMPLETION_REQUESTED,
			.trans_id = id,
			.header = {&t->header,
				(uint32_t)(sizeof(t->header.pages) +
					   t->sections * sizeof(t->header.ranges[0]))},
			.payload = {&t->message, netvsp_nvsp_size(c)}},
		.sent = transfer_sent,
	};
	netvsp_count(&c->counters->rx_packets, 1);
	vsp_send(c->ch, &t->out);
}

/* False: too many are with the guest. */
static bool has_room(struct netvsp_channel *c, uint32_t sections)
{
	struct netvsp_rx *rx = &c->rx;

	if (rx->transfer && rx->transfer->sections + sections > NETVSP_TRANSFER_RANGES)
		flush(c);
	if (!rx->transfer) {
		rx->transfer = vsp_request_get(c->ch, CLASS_TRANSFER);
		if (!rx->transfer)
			return false;
		rx->transfer->sections = 0;
	}
	return true;
}

static void transfer_end(struct netvsp_channel *c, struct netvsp_transfer *t)
{
	struct netvsp_rx *rx = &c->rx;

	for (uint32_t i = 0; i < t->sections; i++)
		put_section(rx, t->header.ranges[i].byte_offset / rx->recv->section_size);
	vsp_request_put(c->ch, t);
}

static void transfer_back(struct netvsp_channel *c, uint32_t id)
{
	struct netvsp_transfer *t = c->rx.recv->transfers[id];

	c->rx.recv->transfers[id] = NULL;
	counter_add(&c->rx.sections_out, 0 - (uint64_t)t->sections);
	transfer_end(c, t);
}

bool rx_completed(struct netvsp_channel *c, uint64_t id)
{
	struct netvsp_rx *rx = &c->rx;
	struct netvsp_transfer *t;

	if (!rx->recv || id < rx->first || id >= rx->end)
		return false;
	t = rx->recv->transfers[id];
	if (!t || !t->sent)
		return false;
	transfer_back(c, (uint32_t)id);
	rx->resume |= rx->starved;
	return true;
}

/* ---- buffers ------------------------------------------------------------- */

static struct netvsp_rx_buffer *buffer_of(struct nic_frame *f)
{
	return container_of(f, struct netvsp_rx_buffer, frame);
}

static void buffer_back(struct netvsp_channel *c, struct nic_frame *f)
{
	struct netvsp_rx_buffer *b = buffer_of(f);

	assert(b->out);
	b->out = false;
	c->rx.out--;
	c->rx.spare[c->rx.spare_count++] = b;
	c->rx.resume |= c->rx.starved; /* its frame may not have been for the guest */
	if (c->rx.revoked)
		empty(&c->rx, b);
}

static bool give(struct netvsp_channel *c, struct nic_frame **frame)
{
	struct netvsp_rx *rx = &c->rx;
	struct netvsp_rx_buffer *b;
	uint32_t room;

	if (!rx->spare_count || !has_room(c, rx->per_buffer))
		return false;
	b = rx->spare[rx->spare_count - 1];
	if (!fill(rx, b))
		return false;
	rx->spare_count--;
	rx->out++;
	b->out = true;
	room = rx->per_buffer > 1 ? rx->per_buffer - rest_sections(rx->recv) : 1;
	b->frame.iov_count = 1 + room * rx->recv->pages;
	b->frame.room = room * recv_payload(rx->recv);
	*frame = &b->frame;
	return true;
}

/* ---- which frames -------------------------------------------------------- */

static bool in_multicast_list(const struct netvsp_settings *s, const uint8_t *mac)
{
	for (uint32_t i = 0; i < s->multicast_count; i++)
		if (!memcmp(s->multicast[i], mac, 6))
			return true;
	return false;
}

static bool is_broadcast(const uint8_t *mac)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	return !memcmp(mac, broadcast, 6);
}

static bool filter_passes(const struct netvsp_channel *c, const uint8_t *mac)
{
	const struct netvsp_settings *s = &c->settings;

	if (s->filter & NDIS_FILTER_PROMISCUOUS)
		return true;
	if (is_broadcast(mac))
		return s->filter & NDIS_FILTER_BROADCAST;
	if (mac[0] & 1)
		return s->filter & NDIS_FILTER_ALL_MULTICAST ||
		       (s->filter & NDIS_FILTER_MULTICAST && in_multicast_list(s, mac));
	return s->filter & NDIS_FILTER_DIRECTED &&
	       (!memcmp(s->mac, mac, 6) || !memcmp(c->device->config.mac, mac, 6));
}

/* The guest does not see the tag of its access VLAN. */
static bool vlan_passes(const struct netvsp_channel *c, struct nic_offload *o)
{
	uint16_t vlan = c->device->config.vlan;

	if (!vlan)
		return true;
	if (!(o->flags & NIC_VLAN) || (o->vlan_tci & 0xfff) != vlan)
		return false;
	o->flags &= (uint8_t)~NIC_VLAN;
	return true;
}

static bool size_passes(const struct netvsp_channel *c, const struct nic_frame *f)
{
	const struct netvsp_settings *s = &c->settings;

	switch (f->offload.gso) {
	case NIC_GSO_NONE:
		return f->length <= s->mtu + NIC_ETH_HEADER + NIC_VLAN_TAG;
	case NIC_GSO_TCP4:
		return s->rsc4;
	case NIC_GSO_TCP6:
		return s->rsc6;
	default:
		return false;
	}
}

/* A paused channel receives as long as packets of the guest are with the NIC: one that echoes
 * cannot send without room to receive. */
static bool receives(const struct netvsp_channel *c)
{
	const struct netvsp_settings *s = &c->settings;

	return c->open && !c->stopping && (!c->paused || c->tx_out) && c->rx.view &&
	       !c->rx.revoked && s->running && s->filter && (c->primary || s->sub_channels_ready);
}

/* ---- frames -------------------------------------------------------------- */

struct peek {
	uint8_t bytes[NIC_HEADERS_MAX];
	uint32_t have;
	struct nic_headers h;
};

/* The first bytes lie in the first piece: it is as long as half a page less its headroom. */
static void peek_headers(const struct nic_frame *f, struct peek *p, uint32_t max)
{
	memset(p->bytes, 0, max);
	p->have = f->length < max ? f->length : max;
	memcpy(p->bytes, (const uint8_t *)f->iov[1].iov_base + f->skip, p->have);
	nic_parse(p->bytes, p->have, &p->h);
}

static void count_frame(struct netvsp_channel *c, const struct nic_frame *f, const uint8_t *mac)
{
	struct netvsp_counters *n = c->counters;

	netvsp_count(&n->rx_frames, 1);
	netvsp_count(&n->rx_bytes, f->length);
	if (is_broadcast(mac)) {
		netvsp_count(&n->rx_broadcast, 1);
		netvsp_count(&n->rx_broadcast_bytes, f->length);
	} else if (mac[0] & 1) {
		netvsp_count(&n->rx_multicast, 1);
		netvsp_count(&n->rx_multicast_bytes, f->length);
	}
}

static void frame_info(struct netvsp_channel *c, struct nic_frame *f, const struct peek *p,
	struct rndis_rx_info *info)
{
	struct nic_offload *o = &f->offload;
	const struct rss *rss = &c->settings.rss;

	*info = (struct rndis_rx_info){0};
	if (o->flags & NIC_CSUM_PARTIAL && !o->gso) {
		nic_csum_finish(f->iov + 1, f->iov_count - 1, f->skip, f->length, o);
		o->flags |= NIC_CSUM_VALID;
	}
	offload_rx(o, &p->h, info);
	if (rss->enabled)
		info->has_hash = rss_hash(rss, p->bytes, &p->h, &info->hash, &info->hash_info);
	if (info->has_hash)
		info->hash_info |= NDIS_HASH_TOEPLITZ;
	info->has_rsc = o->gso;
	info->rsc = (struct rndis_rsc_id){.version = 1,
		.flags = RNDIS_RSC_FRAGMENT | RNDIS_RSC_FIRST,
		.packet_id = c->rx.rsc_id};
}

/* The frame's sections become ranges of the transfer. */
static void add_sections(
	struct netvsp_channel *c, struct netvsp_rx_buffer *b, struct rndis_rx_info *info)
{
	struct netvsp_rx *rx = &c->rx;
	struct netvsp_transfer *t = rx->transfer;
	uint32_t left = b->frame.length, skip = b->frame.skip;

	while (left) {
		uint32_t section = b->sections[b->holes++];
		uint32_t room = recv_payload(rx->recv) - skip;
		uint32_t n = left < room ? left : room;

		left -= n;
		if (!left)
			info->rsc.flags |= RNDIS_RSC_LAST;
		t->header.ranges[t->sections++] = (struct vmbus_xfer_range){
			.byte_count = rndis_rx_build(recv_section_header(rx->recv, section),
				RNDIS_RX_HEADROOM + skip, n, info),
			.byte_offset = section * rx->recv->section_size,
		};
		skip = 0;
		*info = (struct rndis_rx_info){.has_rsc = info->has_rsc, .rsc = info->rsc};
		info->rsc.flags = RNDIS_RSC_FRAGMENT;
	}
}

static bool passes(struct netvsp_channel *c, struct nic_frame *f, const struct peek *p)
{
	if (!atomic_load_explicit(&c->device->cable, memory_order_relaxed) ||
		(!receives(c) && !c->paused))
		return false;
	return vlan_passes(c, &f->offload) && size_passes(c, f) && filter_passes(c, p->bytes);
}

static void give_frame(struct netvsp_channel *c, struct netvsp_rx_buffer *b, const struct peek *p)
{
	struct rndis_rx_info info;

	if (!has_room(c, c->rx.per_buffer)) {
		netvsp_count(&c->counters->rx_dropped, 1);
		return;
	}
	frame_info(c, &b->frame, p, &info);
	count_frame(c, &b->frame, p->bytes);
	add_sections(c, b, &info);
	c->rx.rsc_id++;
}

/* Copies what is behind `from` bytes of the frame to `at` bytes behind a piece. They do not
 * overlap. */
static void copy_rest(const struct nic_frame *f, uint32_t from, const struct iovec *to, size_t at)
{
	uint32_t left = f->length - from;
	const struct iovec *piece = f->iov + 1;
	size_t offset = f->skip + from;

	while (left) {
		size_t n = left;

		for (; offset >= piece->iov_len; piece++)
			offset -= piece->iov_len;
		for (; at >= to->iov_len; to++)
			at -= to->iov_len;
		n = n < piece->iov_len - offset ? n : piece->iov_len - offset;
		n = n < to->iov_len - at ? n : to->iov_len - at;
		memcpy((uint8_t *)to->iov_base + at, (const uint8_t *)piece->iov_base + offset, n);
		left -= (uint32_t)n;
		offset += n;
		at += n;
	}
}

static void put_header(void *to, const struct peek *p, const struct nic_part *part)
{
	uint8_t header[NIC_HEADERS_MAX];

	memcpy(header, p->bytes, p->h.payload);
	nic_part_header(header, &p->h, part);
	memcpy(to, header, p->h.payload);
}

static void swap_sections(struct netvsp_rx *rx, struct netvsp_rx_buffer *b, uint32_t i, uint32_t k)
{
	uint32_t section = b->sections[i];

	b->sections[i] = b->sections[k];
	b->sections[k] = section;
	recv_section_iov(rx->recv, b->sections[i], section_iov(rx, b, i));
	recv_section_iov(rx->recv, b->sections[k], section_iov(rx, b, k));
}

/* Where a super frame is cut. False: it cannot be, or its rest does not fit. */
static bool cut(const struct netvsp_rx *rx, const struct nic_frame *f, const struct peek *p,
	struct nic_part *first, struct nic_part *rest)
{
	uint32_t header = p->h.payload, size = f->offload.gso_size;
	uint32_t segments = size ? (NETVSP_RSC_MAX - header) / size : 0;

	*first = (struct nic_part){.length = header + segments * size};
	*rest = (struct nic_part){.length = f->length - segments * size,
		.payload_before = segments * size,
		.segments_before = segments,
		.last = true};
	return segments && p->h.l4 && header <= p->have &&
	       rest->length <= rest_sections(rx->recv) * recv_payload(rx->recv);
}

/* A super frame that is too long for the guest becomes two. The rest moves to the sections that
 * every buffer has for that, which then follow those of the first. */
static void give_two(struct netvsp_channel *c, struct netvsp_rx_buffer *b, const struct peek *p)
{
	struct netvsp_rx *rx = &c->rx;
	uint32_t reserve = rx->per_buffer - rest_sections(rx->recv);
	struct iovec *to = section_iov(rx, b, reserve);
	struct nic_part first, rest;

	if (!cut(rx, &b->frame, p, &first, &rest)) {
		netvsp_count(&c->counters->rx_dropped, 1);
		return;
	}
	copy_rest(&b->frame, first.length, to, p->h.payload);
	put_header((uint8_t *)b->frame.iov[1].iov_base + b->frame.skip, p, &first);
	put_header(to->iov_base, p, &rest);
	b->frame.length = first.length;
	give_frame(c, b, p);
	for (uint32_t i = 0; i < rest_sections(rx->recv); i++)
		swap_sections(rx, b, b->holes + i, reserve + i);
	b->frame.length = rest.length;
	b->frame.skip = 0;
	give_frame(c, b, p);
}

static void take_frame(struct netvsp_channel *c, struct netvsp_rx_buffer *b)
{
	bool is_long = b->frame.offload.gso && b->frame.length > NETVSP_RSC_MAX;
	struct peek p;

	if (c->stopping || c->rx.revoked || !c->rx.view)
		return;
	peek_headers(&b->frame, &p, is_long ? NIC_HEADERS_MAX : PEEK_MAX);
	if (!passes(c, &b->frame, &p)) {
		netvsp_count(&c->counters->rx_filtered, 1);
		return;
	}
	if (is_long)
		give_two(c, b, &p);
	else
		give_frame(c, b, &p);
}

/* ---- the NIC's calls ----------------------------------------------------- */

/* A pause waits for it. */
static bool take_token(struct netvsp_channel *c)
{
	if (!c->rx.token)
		c->rx.token = vsp_request_get(c->ch, CLASS_TOKEN);
	return c->rx.token;
}

uint32_t rx_get(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct netvsp_channel *c = container_of(client, struct netvsp_channel, client);
	uint32_t n = 0;

	if (receives(c) && take_token(c))
		while (n < count && give(c, &frames[n]))
			n++;
	if (!n) {
		c->rx.starved = true;
		netvsp_count(&c->counters->rx_starved, 1);
	}
	return n;
}

void rx_frames(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct netvsp_channel *c = container_of(client, struct netvsp_channel, client);

	for (uint32_t i = 0; i < count; i++) {
		take_frame(c, buffer_of(frames[i]));
		buffer_back(c, frames[i]);
	}
	rx_release_view(c);
}

void rx_put(struct nic_client *client, struct nic_frame *frames[], uint32_t count)
{
	struct netvsp_channel *c = container_of(client, struct netvsp_channel, client);

	for (uint32_t i = 0; i < count; i++)
		buffer_back(c, frames[i]);
	rx_release_view(c);
}

void rx_resume(struct netvsp_channel *c)
{
	if (!c->queue || c->stopping || !receives(c))
		return;
	c->rx.starved = false;
	nic_rx_resume(c->queue);
}

/* ---- settings ------------------------------------------------------------ */

/* Own sections: those it did not have before. */
static void take_share(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;
	uint32_t first, end;

	recv_share(rx->recv, vsp_channel_index(c->ch), c->settings.parts, &first, &end);
	if (rx->end && end <= rx->end)
		return;
	add_free(rx, rx->end ? rx->end : first, end);
	rx->first = first;
	rx->end = end;
}

static void size_buffers(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;
	bool super = c->settings.rsc4 || c->settings.rsc6;
	uint32_t wanted = super ? super_sections(rx->recv) : 1;

	if (wanted == rx->per_buffer || rx->out)
		return;
	empty_spares(rx);
	rx->per_buffer = wanted;
	for (uint32_t i = 0; i < NETVSP_RX_BUFFERS; i++)
		rx->buffers[i].holes = wanted;
}

void rx_apply(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;

	if (!rx->recv)
		return;
	if (!c->settings.recv && !rx->revoked) {
		flush(c);
		rx->revoked = true;
		empty_spares(rx);
		rx_release_view(c);
	}
	if (rx->revoked)
		return;
	take_share(c);
	size_buffers(c);
	rx->resume = true;
}

/* The token is put after the flush: from then on a pause may be complete. */
void rx_turn(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;

	flush(c);
	if (rx->out)
		return;
	if (rx->recv && !rx->revoked && !c->stopping)
		size_buffers(c);
	if (rx->token)
		vsp_request_put(c->ch, rx->token);
	rx->token = NULL;
}

/* ---- life ---------------------------------------------------------------- */

int rx_init(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;

	if (!budget_take(vsp_device_budget(c->device->dev), BUDGET_CHANNELS, BUFFERS_SIZE))
		return -ENOMEM;
	rx->buffers = calloc(1, BUFFERS_SIZE);
	if (!rx->buffers) {
		budget_give(vsp_device_budget(c->device->dev), BUDGET_CHANNELS, BUFFERS_SIZE);
		return -ENOMEM;
	}
	rx->per_buffer = 1;
	for (uint32_t i = 0; i < NETVSP_RX_BUFFERS; i++) {
		struct netvsp_rx_buffer *b = &rx->buffers[i];

		b->holes = 1;
		b->frame.iov = b->iov;
		rx->spare[rx->spare_count++] = b;
	}
	return 0;
}

void rx_fini(struct netvsp_channel *c)
{
	if (c->rx.buffers)
		budget_give(vsp_device_budget(c->device->dev), BUDGET_CHANNELS, BUFFERS_SIZE);
	free(c->rx.buffers);
	recv_put(c->rx.recv);
	c->rx.recv = NULL;
}

void rx_release_view(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;

	if (!rx->view || rx->out || (!rx->revoked && !c->stopping))
		return;
	rx->view = false;
	vsp_gpadl_put(rx->recv->gpadl);
}

void rx_stop(struct netvsp_channel *c)
{
	struct netvsp_rx *rx = &c->rx;

	for (uint32_t id = rx->first; rx->recv && id < rx->end; id++)
		if (rx->recv->transfers[id])
			transfer_back(c, id);
	if (rx->transfer)
		transfer_end(c, rx->transfer);
	rx->transfer = NULL;
	rx_release_view(c);
}
