/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_nic_impl.h"

#include <string.h>

#include "hv/vmbus_guids.h"

#define RING_PAGES  33u
#define CONTROL_ID  0xC0000000ull
#define NVSP_ID     0xD0000000ull
#define SLOT_PAGES  (GUEST_NIC_SLOT / HV_PAGE_SIZE)
#define CONTROL_GPA (n->slots_gpa + (uint64_t)GUEST_NIC_SLOTS * GUEST_NIC_SLOT)
#define RANGES_MAX  34u

static const struct hv_guid nic_class = VMBUS_GUID_NIC;

/* ---- receiving ----------------------------------------------------------- */

static void complete(struct guest_nic *n, uint32_t channel, uint64_t id)
{
	struct nvsp_message m = {
		.type = NVSP_SEND_RNDIS_PKT_COMPLETE, .status = NVSP_STATUS_SUCCESS};

	if (!guest_chan_send(&n->channels[channel], VMBUS_PKT_COMPLETION, 0, id, NULL, &m, 8) &&
		!n->tolerant)
		die("no room for a completion");
}

/* Contents are only judged while the guest answers packets after it has read them: before, the host
 * may write to their sections again. */
static void judge(const struct guest_nic *n, const char *fault)
{
	if (!n->answers_early)
		die("%s", fault);
}

/* As strict as Linux is with the speed. */
static void take_indication(struct guest_nic *n, const uint8_t *bytes, uint32_t len)
{
	struct rndis_indicate m;

	memcpy(&m, bytes, sizeof(m));
	if (m.buffer_offset != sizeof(m) - RNDIS_OFFSET_BASE ||
		m.buffer_length != len - sizeof(m) ||
		m.buffer_length > sizeof(n->indication_info)) {
		judge(n, "indication that lies");
		return;
	}
	n->indications++;
	n->last_indication = m.status;
	n->indication_length = m.buffer_length;
	memcpy(n->indication_info, bytes + sizeof(m), m.buffer_length);
}

static void take_control(struct guest_nic *n, const struct vmbus_xfer_range *range)
{
	uint8_t bytes[sizeof(n->control)];
	struct netvsc_control a;

	if (range->byte_count > sizeof(bytes))
		die("control message of %u bytes", range->byte_count);
	guest_nic_copy(n, n->recv_gpa, GUEST_NIC_RECV, range->byte_offset, bytes, range->byte_count,
		false);
	if (netvsc_control_parse(bytes, range->byte_count, &a)) {
		judge(n, "control message that lies");
		return;
	}
	if (a.type == RNDIS_INDICATE) {
		take_indication(n, bytes, range->byte_count);
		return;
	}
	if (n->control_there && !n->tolerant)
		die("control message nobody has asked for");
	memcpy(n->control, bytes, range->byte_count);
	n->control_there = true;
	n->control_length = range->byte_count;
}

/* Fragments of one frame come in one packet, in order. */
static bool take_fragment(struct guest_nic *n, const struct netvsc_rx *rx, const uint8_t *bytes)
{
	struct guest_nic_frame *f = &n->frame;
	bool first = !rx->rsc || rx->rsc_id.flags & RNDIS_RSC_FIRST;

	if (first) {
		f->length = f->fragments = 0;
		f->info = *rx;
	} else if (!f->fragments || f->info.rsc_id.packet_id != rx->rsc_id.packet_id) {
		judge(n, "fragment of another frame");
		return false;
	}
	if (f->length + rx->data_length > sizeof(f->bytes)) {
		judge(n, "frame that is too long");
		return false;
	}
	memcpy(f->bytes + f->length, bytes + rx->data_offset, rx->data_length);
	f->length += rx->data_length;
	f->fragments++;
	return !rx->rsc || rx->rsc_id.flags & RNDIS_RSC_LAST;
}

static void take_frame(struct guest_nic *n, uint32_t channel, const struct vmbus_xfer_range *range)
{
	uint8_t bytes[65536];
	struct netvsc_rx rx;

	if (!range->byte_count || range->byte_count > n->conn.section_size)
		die("range of %u bytes", range->byte_count);
	guest_nic_copy(n, n->recv_gpa, GUEST_NIC_RECV, range->byte_offset, bytes, range->byte_count,
		false);
	if (netvsc_frame_parse(bytes, range->byte_count, &rx)) {
		judge(n, "frame that lies");
		return;
	}
	if (!take_fragment(n, &rx, bytes))
		return;
	n->frames++;
	n->frame.channel = channel;
	if (n->rx)
		n->rx(n, &n->frame);
	n->frame.fragments = 0;
}

static void check_range(struct guest_nic *n, const struct vmbus_xfer_range *range)
{
	uint32_t end = n->conn.sections * n->conn.section_size;

	if (range->byte_offset > end || range->byte_count > end - range->byte_offset)
		die("range %#x + %#x is not in the buffer", range->byte_offset, range->byte_count);
}

static void take_transfer(struct guest_nic *n, uint32_t channel, const struct vmbus_pkt *pkt)
{
	struct vmbus_xfer_range ranges[600];
	struct vmbus_xfer_pages pages;
	struct nvsp_message m = {0};

	memcpy(&pages, pkt->extra, sizeof(pages));
	if (pages.pageset_id != 0xCAFE || !pages.range_count || pages.range_count > 375 ||
		pkt->extra_len < sizeof(pages) + pages.range_count * sizeof(ranges[0]))
		die("transfer of %u ranges, set %#x", pages.range_count, pages.pageset_id);
	if (pkt->desc.trans_id >= n->conn.sections || !(pkt->desc.flags & 1))
		die("transfer with id %#llx", (unsigned long long)pkt->desc.trans_id);
	memcpy(ranges, pkt->extra + sizeof(pages), pages.range_count * sizeof(ranges[0]));
	memcpy(&m, pkt->payload, pkt->payload_len < sizeof(m) ? pkt->payload_len : sizeof(m));
	if (m.type != NVSP_SEND_RNDIS_PKT || pkt->payload_len < netvsc_nvsp_size(&n->conn))
		die("transfer with message %u", m.type);
	for (uint32_t i = 0; i < pages.range_count; i++)
		check_range(n, &ranges[i]);
	if (m.rndis_pkt.channel_type == NVSP_CHANNEL_CONTROL) {
		if (channel || pages.range_count != 1)
			die("control message on channel %u", channel);
		take_control(n, &ranges[0]);
		complete(n, channel, pkt->desc.trans_id);
		return;
	}
	n->transfers++;
	for (uint32_t i = 0; i < pages.range_count; i++)
		take_frame(n, channel, &ranges[i]);
	if (n->frame.fragments)
		die("frame without an end");
	if (!n->hold) {
		complete(n, channel, pkt->desc.trans_id);
		return;
	}
	n->held[n->held_count].channel = channel;
	n->held[n->held_count++].id = pkt->desc.trans_id;
	if (n->held_count > 500)
		die("too many transfers");
}

void guest_nic_release(struct guest_nic *n)
{
	n->hold = false;
	for (uint32_t i = 0; i < n->held_count; i++)
		complete(n, n->held[i].channel, n->held[i].id);
	n->held_count = 0;
}

static void take_completion(struct guest_nic *n, uint32_t channel, const struct vmbus_pkt *pkt)
{
	uint64_t id = pkt->desc.trans_id;
	struct nvsp_message m = {0};

	memcpy(&m, pkt->payload, pkt->payload_len < sizeof(m) ? pkt->payload_len : sizeof(m));
	if (id == NVSP_ID) {
		if ((n->nvsp_there && !n->tolerant) || pkt->payload_len > sizeof(n->nvsp))
			die("two answers");
		n->nvsp_there = true;
		n->nvsp_length = pkt->payload_len;
		memcpy(n->nvsp, pkt->payload, pkt->payload_len);
		return;
	}
	if (m.type != NVSP_SEND_RNDIS_PKT_COMPLETE)
		die("completion %#llx with message %u", (unsigned long long)id, m.type);
	n->last_status = m.status;
	n->failed += m.status != NVSP_STATUS_SUCCESS;
	if (id == CONTROL_ID)
		return;
	if (id >= GUEST_NIC_SLOTS || !n->slots[id].busy || n->slots[id].channel != channel)
		die("completion %#llx of nothing", (unsigned long long)id);
	n->slots[id].busy = false;
	if (n->slots[id].section)
		n->sections_used &= ~(1ull << n->slots[id].section_index);
	n->busy--;
	n->completions++;
}

static void take_table(struct guest_nic *n, const struct vmbus_pkt *pkt)
{
	struct nvsp_table_message m;

	if (pkt->payload_len < sizeof(m))
		die("in-band packet of %u bytes", pkt->payload_len);
	memcpy(&m, pkt->payload, sizeof(m));
	if (m.type != NVSP_SEND_INDIRECTION_TABLE || m.table.count != NVSP_TABLE_ENTRIES ||
		m.table.offset != 40)
		die("in-band message %u", m.type);
	for (uint32_t i = 0; i < NVSP_TABLE_ENTRIES; i++)
		if (m.table.table[i] >= n->channel_count)
			die("table entry %u", m.table.table[i]);
	memcpy(n->table, m.table.table, sizeof(n->table));
	n->tables++;
}

static void take(struct guest_nic *n, uint32_t channel, const struct vmbus_pkt *pkt)
{
	switch (pkt->desc.type) {
	case VMBUS_PKT_COMPLETION:
		take_completion(n, channel, pkt);
		break;
	case VMBUS_PKT_XFER_PAGES:
		take_transfer(n, channel, pkt);
		break;
	case VMBUS_PKT_INBAND:
		take_table(n, pkt);
		break;
	default:
		die("packet of type %u", pkt->desc.type);
	}
}

uint32_t guest_nic_poll(struct guest_nic *n)
{
	struct vmbus_pkt pkt;
	uint32_t count = 0;

	for (uint32_t i = 0; i < n->channel_count; i++) {
		while (guest_chan_receive_into(
			&n->channels[i], &pkt, n->packet, sizeof(n->packet))) {
			take(n, i, &pkt);
			count++;
		}
	}
	return count;
}

static void wait(struct guest_nic *n)
{
	uint64_t seen = guest_events(n->g);

	if (!guest_nic_poll(n))
		guest_wait_events(n->g, seen);
}

void guest_nic_wait_sent(struct guest_nic *n)
{
	while (n->busy)
		wait(n);
}

void guest_nic_wait_frames(struct guest_nic *n, uint64_t frames)
{
	while (n->frames < frames)
		wait(n);
}

/* ---- control ------------------------------------------------------------- */

struct packet_ranges {
	struct vmbus_gpa_direct direct;
	uint64_t words[RANGES_MAX * 2 + 2 * SLOT_PAGES];
};

static uint32_t add_range(struct packet_ranges *r, uint32_t at, uint32_t bytes, uint32_t offset)
{
	const struct vmbus_gpa_range range = {.byte_count = bytes, .byte_offset = offset};

	memcpy(&r->words[at], &range, sizeof(range));
	r->direct.range_count++;
	return at + 1;
}

bool guest_nic_try_control(struct guest_nic *n, const void *bytes, uint32_t len)
{
	struct packet_ranges r = {0};
	struct nvsp_message m = {.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_CONTROL, NVSP_SECTION_NONE, 0}};
	uint32_t at = add_range(&r, 0, len, 0);
	struct vmbus_vec extra;

	for (uint32_t i = 0; i * HV_PAGE_SIZE < len; i++)
		r.words[at++] = CONTROL_GPA / HV_PAGE_SIZE + i;
	memcpy(guest_at(n->g, CONTROL_GPA), bytes, len);
	extra = (struct vmbus_vec){&r, (uint32_t)(sizeof(r.direct) + at * sizeof(r.words[0]))};
	return guest_chan_send(&n->channels[0], VMBUS_PKT_GPA_DIRECT,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, CONTROL_ID, &extra, &m, NVSP_SIZE);
}

void guest_nic_control(struct guest_nic *n, const void *bytes, uint32_t len)
{
	if (!guest_nic_try_control(n, bytes, len))
		die("no room for a control message");
}

struct netvsc_control guest_nic_reply(struct guest_nic *n)
{
	struct netvsc_control a;

	while (!n->control_there)
		wait(n);
	n->control_there = false;
	if (netvsc_control_parse(n->control, n->control_length, &a))
		die("control message that lies");
	return a;
}

uint32_t guest_nic_query(struct guest_nic *n, uint32_t oid, const uint8_t **info, uint32_t *len)
{
	uint8_t bytes[NETVSC_MESSAGE_MAX];
	struct netvsc_control a;

	guest_nic_control(n, bytes, netvsc_query(bytes, ++n->conn.request_id, oid, NULL, 0));
	a = guest_nic_reply(n);
	if (a.type != (RNDIS_QUERY | RNDIS_COMPLETE) || a.request_id != n->conn.request_id)
		die("reply %#x to a query", a.type);
	*info = a.info;
	*len = a.info_len;
	return a.status;
}

uint32_t guest_nic_set(struct guest_nic *n, uint32_t oid, const void *info, uint32_t len)
{
	uint8_t bytes[4096];
	struct netvsc_control a;

	guest_nic_control(n, bytes, netvsc_set(bytes, ++n->conn.request_id, oid, info, len));
	a = guest_nic_reply(n);
	if (a.type != (RNDIS_SET | RNDIS_COMPLETE) || a.request_id != n->conn.request_id)
		die("reply %#x to a set", a.type);
	return a.status;
}

void guest_nic_set_filter(struct guest_nic *n, uint32_t filter)
{
	if (guest_nic_set(n, OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof(filter)))
		die("filter %#x refused", filter);
}

void guest_nic_set_rss(struct guest_nic *n)
{
	struct {
		struct ndis_rss_parameters p;
		uint32_t table[128];
		uint8_t key[40];
	} rss = {
		.p = {.header = {NDIS_OBJECT_RSS_PARAMETERS, 2, 40},
			.hash_information = NDIS_HASH_TOEPLITZ | NDIS_HASH_IPV4 | NDIS_HASH_TCP4 |
					    NDIS_HASH_IPV6 | NDIS_HASH_TCP6,
			.table_size = sizeof(rss.table),
			.table_offset = offsetof(__typeof__(rss), table),
			.key_size = sizeof(rss.key),
			.key_offset = offsetof(__typeof__(rss), key)},
	};

	for (uint32_t i = 0; i < 128; i++)
		rss.table[i] = i % n->channel_count;
	for (uint32_t i = 0; i < 40; i++)
		rss.key[i] = (uint8_t)(i * 7 + 1);
	if (guest_nic_set(n, OID_GEN_RSS_PARAMETERS, &rss, sizeof(rss)))
		die("RSS refused");
}

uint32_t guest_nic_nvsp(
	struct guest_nic *n, const void *message, uint32_t len, bool wants, void *reply)
{
	if (!guest_chan_send(&n->channels[0], VMBUS_PKT_INBAND,
		    wants ? VMBUS_PKT_FLAG_COMPLETION_REQUESTED : 0, NVSP_ID, NULL, message, len))
		die("no room for a message");
	if (!wants)
		return 0;
	while (!n->nvsp_there)
		wait(n);
	n->nvsp_there = false;
	if (reply)
		memcpy(reply, n->nvsp, n->nvsp_length < NVSP_SIZE ? n->nvsp_length : NVSP_SIZE);
	return n->nvsp_length;
}

/* ---- life ---------------------------------------------------------------- */

void guest_nic_init(struct guest_nic *n, struct guest *g, uint8_t instance)
{
	memset(n, 0, sizeof(*n));
	n->g = g;
	n->instance = instance;
	n->recv_gpa = guest_ram(g, GUEST_NIC_RECV);
	n->send_gpa = guest_ram(g, GUEST_NIC_SEND);
	n->slots_gpa = guest_ram(g, (uint64_t)GUEST_NIC_SLOTS * GUEST_NIC_SLOT + 4 * HV_PAGE_SIZE);
}

static void open_channel(struct guest_nic *n, uint32_t index)
{
	struct vmbus_offer offer = guest_wait_offer(n->g, &nic_class, n->instance, (uint16_t)index);

	if (!guest_chan_open(
		    &n->channels[index], n->g, &offer, RING_PAGES, index % n->g->host.vp_count))
		die("channel %u is not opened", index);
	n->channel_count++;
}

void guest_nic_open_primary(struct guest_nic *n)
{
	open_channel(n, 0);
	n->recv_gpadl = guest_nic_gpadl(n, n->recv_gpa, GUEST_NIC_RECV);
	n->send_gpadl = guest_nic_gpadl(n, n->send_gpa, GUEST_NIC_SEND);
}

int guest_nic_step(struct guest_nic *n)
{
	struct netvsc_step step;

	netvsc_step(&n->conn, &step);
	if (!step.rndis_length) {
		guest_nic_nvsp(n, &step.nvsp, NVSP_SIZE, step.answer, NULL);
		return step.answer ? netvsc_answer(&n->conn, n->nvsp, n->nvsp_length) : 0;
	}
	guest_nic_control(n, step.rndis, step.rndis_length);
	guest_nic_reply(n);
	return netvsc_answer(&n->conn, n->control, n->control_length);
}

void guest_nic_open(struct guest_nic *n, uint32_t newest, uint32_t sub_channels, bool rsc)
{
	int ret;

	if (netvsc_conn_init(&n->conn, newest))
		die("version %#x", newest);
	n->conn.sub_channels = sub_channels;
	n->conn.rsc = rsc;
	guest_nic_open_primary(n);
	n->conn.recv_gpadl = n->recv_gpadl;
	n->conn.send_gpadl = n->send_gpadl;
	n->conn.recv_bytes = GUEST_NIC_RECV;
	n->conn.send_bytes = GUEST_NIC_SEND;
	while (n->conn.state != NETVSC_DONE) {
		ret = guest_nic_step(n);
		if (ret)
			die("state %d: %d", n->conn.state, ret);
	}
	if (n->conn.version < NVSP_VERSION_5 || n->conn.queues_max < 2)
		n->conn.sub_channels = 0;
	for (uint32_t i = 1; i <= n->conn.sub_channels; i++)
		open_channel(n, i);
}

void guest_nic_close_channels(struct guest_nic *n)
{
	uint32_t count = n->channel_count;

	for (uint32_t i = count; i-- > 1;)
		guest_chan_close(&n->channels[i]);
	guest_chan_close(&n->channels[0]);
	guest_nic_tear_down(n, n->recv_gpadl);
	guest_nic_tear_down(n, n->send_gpadl);
	for (uint32_t i = 1; i < count; i++) {
		guest_wait_rescind(n->g, n->channels[i].offer.relid);
		guest_release(n->g, n->channels[i].offer.relid);
	}
	n->channel_count = 0;
	n->busy = n->held_count = 0;
	n->sections_used = 0;
	memset(n->slots, 0, sizeof(n->slots));
	n->control_there = n->nvsp_there = false;
}

void guest_nic_close(struct guest_nic *n)
{
	const struct rndis_request halt = {.header = {RNDIS_HALT, sizeof(halt)}, .request_id = 1};
	struct nvsp_message m = {.type = NVSP_REVOKE_RECV_BUF, .revoke_buf.id = 0xCAFE};

	guest_nic_set_filter(n, 0);
	guest_nic_control(n, &halt, sizeof(halt));
	guest_nic_nvsp(n, &m, NVSP_SIZE, false, NULL);
	m = (struct nvsp_message){.type = NVSP_REVOKE_SEND_BUF};
	guest_nic_nvsp(n, &m, NVSP_SIZE, false, NULL);
	guest_nic_wait_sent(n);
	guest_nic_close_channels(n);
}

/* ---- sending ------------------------------------------------------------- */

static uint32_t free_slot(struct guest_nic *n)
{
	uint32_t slot = 0;

	while (slot < GUEST_NIC_SLOTS && n->slots[slot].busy)
		slot++;
	return slot;
}

static uint32_t free_section(struct guest_nic *n)
{
	uint32_t section = 0;

	while (section < n->conn.send_sections && n->sections_used >> section & 1)
		section++;
	return section;
}

/* [from, from + len) of the slot as ranges; single: one for each page. */
static uint32_t add_pages(struct guest_nic *n, struct packet_ranges *r, uint32_t at, uint32_t slot,
	uint32_t from, uint32_t len, bool single)
{
	uint64_t gpa = n->slots_gpa + (uint64_t)slot * GUEST_NIC_SLOT;

	while (len) {
		uint32_t offset = from % HV_PAGE_SIZE;
		uint32_t piece =
			single && HV_PAGE_SIZE - offset < len ? HV_PAGE_SIZE - offset : len;
		uint32_t pages = (offset + piece + HV_PAGE_SIZE - 1) / HV_PAGE_SIZE;

		at = add_range(r, at, piece, offset);
		for (uint32_t i = 0; i < pages; i++)
			r->words[at++] =
				guest_nic_page(gpa, GUEST_NIC_SLOT, from / HV_PAGE_SIZE + i) /
				HV_PAGE_SIZE;
		from += piece;
		len -= piece;
	}
	return at;
}

static bool send_packet(struct guest_nic *n, uint32_t channel, uint32_t slot,
	const struct packet_ranges *r, uint32_t words, const struct nvsp_message *m)
{
	struct vmbus_vec extra = {r, (uint32_t)(sizeof(r->direct) + words * sizeof(r->words[0]))};

	n->slots[slot].section = m->rndis_pkt.section_index < 64;
	n->slots[slot].section_index = m->rndis_pkt.section_index;
	n->slots[slot].channel = channel;
	if (!guest_chan_send(&n->channels[channel], words ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
		    VMBUS_PKT_FLAG_COMPLETION_REQUESTED, slot, words ? &extra : NULL, m, NVSP_SIZE))
		return false;
	n->slots[slot].busy = true;
	n->busy++;
	if (n->slots[slot].section)
		n->sections_used |= 1ull << n->slots[slot].section_index;
	return true;
}

bool guest_nic_send(struct guest_nic *n, uint32_t channel, enum guest_nic_layout layout,
	const struct netvsc_tx *tx, const uint8_t *bytes)
{
	uint8_t header[NETVSC_HEADER_MAX];
	uint32_t header_len = netvsc_frame_header(header, tx, 0);
	uint32_t slot = free_slot(n), section = free_section(n), words = 0, at;
	struct nvsp_message m = {.type = NVSP_SEND_RNDIS_PKT,
		.rndis_pkt = {NVSP_CHANNEL_DATA, NVSP_SECTION_NONE, 0}};
	struct packet_ranges r = {0};
	uint64_t gpa = n->slots_gpa + (uint64_t)slot * GUEST_NIC_SLOT;

	if (layout == NIC_LAYOUT_SECTION && header_len + tx->length > n->conn.send_section_size)
		layout = NIC_LAYOUT_PARTIAL;
	if (slot == GUEST_NIC_SLOTS)
		return false;
	if (layout >= NIC_LAYOUT_SECTION && section >= n->conn.send_sections)
		layout = NIC_LAYOUT_PAGES;
	/* The data begins somewhere in the first page. */
	at = layout == NIC_LAYOUT_PAGES ? 0 : HV_PAGE_SIZE + slot * 37 % HV_PAGE_SIZE;
	if (layout >= NIC_LAYOUT_SECTION) {
		m.rndis_pkt.section_index = section;
		m.rndis_pkt.section_size = header_len;
		guest_nic_copy(n, n->send_gpa, GUEST_NIC_SEND, section * n->conn.send_section_size,
			header, header_len, true);
	}
	switch (layout) {
	case NIC_LAYOUT_PAGES:
		at = slot * 61 % HV_PAGE_SIZE;
		guest_nic_copy(n, gpa, GUEST_NIC_SLOT, at, header, header_len, true);
		guest_nic_copy(
			n, gpa, GUEST_NIC_SLOT, at + header_len, (void *)bytes, tx->length, true);
		words = add_pages(n, &r, 0, slot, at, header_len + tx->length, true);
		break;
	case NIC_LAYOUT_RANGES:
		guest_nic_copy(n, gpa, GUEST_NIC_SLOT, 8, header, header_len, true);
		guest_nic_copy(n, gpa, GUEST_NIC_SLOT, at, (void *)bytes, tx->length, true);
		words = add_pages(n, &r, 0, slot, 8, header_len, true);
		words = add_pages(n, &r, words, slot, at, tx->length, false);
		break;
	case NIC_LAYOUT_SECTION:
		guest_nic_copy(n, n->send_gpa, GUEST_NIC_SEND,
			section * n->conn.send_section_size + header_len, (void *)bytes, tx->length,
			true);
		m.rndis_pkt.section_size += tx->length;
		break;
	default:
		guest_nic_copy(n, gpa, GUEST_NIC_SLOT, at, (void *)bytes, tx->length, true);
		words = add_pages(n, &r, 0, slot, at, tx->length, true);
	}
	return send_packet(n, channel, slot, &r, words, &m);
}

bool guest_nic_send_raw(struct guest_nic *n, uint32_t channel, uint32_t index, uint32_t size,
	const void *bytes, uint32_t len)
{
	struct nvsp_message m = {
		.type = NVSP_SEND_RNDIS_PKT, .rndis_pkt = {NVSP_CHANNEL_DATA, index, size}};
	struct packet_ranges r = {0};
	uint32_t slot = free_slot(n);

	if (slot == GUEST_NIC_SLOTS)
		return false;
	guest_nic_copy(n, n->send_gpa, GUEST_NIC_SEND, index % 8 * n->conn.send_section_size,
		(void *)bytes, len, true);
	return send_packet(n, channel, slot, &r, 0, &m);
}
