/* SPDX-License-Identifier: MIT */
/*
 * The ring, from bytes. The first byte says how:
 *   0  hostile producer: the consumer over a ring whose control page and data
 *      the input fills and keeps changing;
 *   1  hostile consumer: the producer over a control page that the input changes;
 *   2  two correct ends under an input-driven schedule, against a FIFO oracle
 *      that also detects a side that would sleep for ever.
 * Each byte after the ring set-up is an operation, with operands behind it. The input also says
 * how the data pages are cut into runs; each run is an allocation of its own.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "proto/vmbus_proto.h"
#include "ring/vmbus_ring.h"

#define REQUIRE(cond)                                                                              \
	do {                                                                                       \
		if (!(cond))                                                                       \
			abort();                                                                   \
	} while (0)

#define DATA_PAGES_MAX 3
#define BUF_SIZE       (DATA_PAGES_MAX * HV_PAGE_SIZE)

struct input {
	const uint8_t *at;
	size_t left;
};

static uint8_t in_u8(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static uint32_t in_u16(struct input *in)
{
	uint32_t low = in_u8(in);

	return low | (uint32_t)in_u8(in) << 8;
}

static uint32_t in_u32(struct input *in)
{
	uint32_t low = in_u16(in);

	return low | in_u16(in) << 16;
}

/* Mostly values near the right one, or almost all inputs would be rejected. */
static uint32_t in_index(struct input *in, uint32_t size)
{
	uint8_t how = in_u8(in);

	if (how < 192)
		return in_u16(in) * 8 % size;
	return how < 224 ? in_u16(in) : in_u32(in);
}

struct memory {
	struct vmbus_ring_ctl *ctl;
	struct vmbus_run runs[DATA_PAGES_MAX];
	uint32_t count;
	uint32_t size; /* bytes of all runs */
	bool whole;    /* in one piece with the control page, opened as such */
};

static void *pages_alloc(uint32_t pages)
{
	void *at = aligned_alloc(HV_PAGE_SIZE, pages * HV_PAGE_SIZE);

	REQUIRE(at);
	return memset(at, 0, pages * HV_PAGE_SIZE);
}

/* From one byte: how many pages, and behind which of them is a cut; low values mean one piece. */
static void memory_alloc(struct memory *m, uint8_t how)
{
	uint32_t pages = 1 + how % DATA_PAGES_MAX, cuts = how / DATA_PAGES_MAX, first = 0;

	*m = (struct memory){.whole = !(cuts % 8), .size = pages * HV_PAGE_SIZE};
	m->ctl = pages_alloc(m->whole ? 1 + pages : 1);
	if (m->whole) {
		m->runs[m->count++] =
			(struct vmbus_run){(uint8_t *)m->ctl + HV_PAGE_SIZE, pages * HV_PAGE_SIZE};
		return;
	}
	for (uint32_t page = 0; page < pages; page++) {
		if (page + 1 < pages && !(cuts >> page & 1))
			continue;
		m->runs[m->count++] = (struct vmbus_run){
			pages_alloc(page + 1 - first), (page + 1 - first) * HV_PAGE_SIZE};
		first = page + 1;
	}
}

static void memory_free(struct memory *m)
{
	for (uint32_t i = 0; !m->whole && i < m->count; i++)
		free(m->runs[i].at);
	free(m->ctl);
}

/* The byte at a ring offset, which may be past the end. */
static uint8_t *memory_at(const struct memory *m, uint32_t at)
{
	uint32_t i;

	at %= m->size;
	for (i = 0; at >= m->runs[i].bytes; i++)
		at -= m->runs[i].bytes;
	return m->runs[i].at + at;
}

static void memory_put(const struct memory *m, uint32_t at, const void *from, uint32_t len)
{
	const uint8_t *bytes = from;

	for (uint32_t i = 0; i < len; i++)
		*memory_at(m, at + i) = bytes[i];
}

static int memory_rx(const struct memory *m, struct vmbus_rx *rx)
{
	if (m->whole)
		return vmbus_rx_init(rx, m->ctl, HV_PAGE_SIZE + m->size);
	return vmbus_rx_init_runs(rx, m->ctl, m->runs, m->count);
}

static int memory_tx(const struct memory *m, struct vmbus_tx *tx)
{
	if (m->whole)
		return vmbus_tx_init(tx, m->ctl, HV_PAGE_SIZE + m->size);
	return vmbus_tx_init_runs(tx, m->ctl, m->runs, m->count);
}

static void fill_ctl(struct vmbus_ring_ctl *ctl, uint32_t size, struct input *in)
{
	ctl->write_index = in_index(in, size);
	ctl->read_index = in_index(in, size);
	ctl->interrupt_mask = in_u8(in) & 1;
	ctl->feature_bits = in_u8(in);
	ctl->pending_send_size = in_u16(in);
}

/* The owner of the memory says how much there is; still checked. */
static void bad_sizes(struct vmbus_ring_ctl *ctl)
{
	static const uint32_t sizes[] = {0, 4096, 8192 + 8, 0xFFFFF000};
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	size_t i;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		REQUIRE(vmbus_tx_init(&tx, ctl, sizes[i]) == -EINVAL);
		REQUIRE(vmbus_rx_init(&rx, ctl, sizes[i]) == -EINVAL);
	}
	REQUIRE(vmbus_rx_init(&rx, NULL, 8192) == -EINVAL);
}

/* ---- hostile producer ---------------------------------------------------- */

static void ranges_consistent(const struct vmbus_pkt *pkt)
{
	static const struct gpa_limits limits = {1, 32, 1 << 20};
	uint64_t bytes = 0, pages = 0;
	struct gpa_range range;
	struct gpa_list list;

	if (gpa_direct_parse(&list, pkt->extra, pkt->extra_len, &limits))
		return;
	REQUIRE(list.range_count >= 1 && list.range_count <= 32 && list.byte_count <= 1 << 20);
	while (gpa_list_next(&list, &range)) {
		REQUIRE(range.byte_count && range.byte_offset < HV_PAGE_SIZE);
		REQUIRE((uint64_t)range.page_count * HV_PAGE_SIZE >=
			(uint64_t)range.byte_offset + range.byte_count);
		REQUIRE(range.pfns + 8 * range.page_count <= pkt->payload);
		gpa_range_pfn(&range, range.page_count - 1);
		bytes += range.byte_count;
		pages += range.page_count;
	}
	REQUIRE(bytes == list.byte_count && pages == list.page_count);
}

static void packet_consistent(const struct vmbus_pkt *pkt, const uint8_t *buf, uint32_t buf_size)
{
	static volatile uint8_t sink;
	uint32_t i;

	REQUIRE(pkt->desc.offset8 >= 2 && pkt->desc.len8 >= pkt->desc.offset8);
	REQUIRE(!(pkt->desc.flags & ~VMBUS_PKT_FLAG_COMPLETION_REQUESTED));
	REQUIRE(pkt->extra == buf + 16 && pkt->payload == pkt->extra + pkt->extra_len);
	REQUIRE(pkt->extra_len + pkt->payload_len + 16 == pkt->desc.len8 * 8u);
	REQUIRE(pkt->desc.len8 * 8u <= buf_size);
	for (i = 0; i < pkt->desc.len8 * 8u; i++)
		sink = buf[i];
	(void)sink;
	ranges_consistent(pkt);
}

/* A descriptor that is often right, at the consumer's position or anywhere. */
static void put_desc(const struct vmbus_rx *rx, struct input *in, const struct memory *m)
{
	uint32_t at = in_u8(in) & 1 ? rx->read : in_index(in, rx->size) % rx->size;
	struct vmbus_pkt_desc desc = {.type = in_u8(in), .flags = in_u8(in) & 0x83};

	desc.offset8 = (uint16_t)(in_u8(in) & 0x80 ? in_u16(in) : in_u8(in) % 8);
	desc.len8 = (uint16_t)(in_u8(in) & 0x80 ? in_u16(in) : desc.offset8 + in_u8(in));
	memory_put(m, at, &desc, sizeof(desc));
}

/* A range list that is often right, behind the consumer's next descriptor. */
static void put_range(const struct vmbus_rx *rx, struct input *in, const struct memory *m)
{
	const uint32_t words[] = {0, in_u8(in) % 4, in_u16(in), in_u16(in) % 4099};

	memory_put(m, rx->read + 16, words, sizeof(words));
}

static void rx_op(struct vmbus_rx *rx, struct input *in, const struct memory *m, uint8_t *buf)
{
	struct vmbus_pkt pkt;
	uint32_t buf_size = BUF_SIZE, taken = rx->taken;

	switch (in_u8(in) % 12) {
	case 0:
		rx->ctl->write_index = in_index(in, rx->size);
		break;
	case 1:
		put_desc(rx, in, m);
		break;
	case 2:
		*memory_at(m, in_u32(in)) = in_u8(in);
		break;
	case 3:
		rx->ctl->pending_send_size = in_index(in, rx->size);
		rx->ctl->feature_bits = in_u8(in);
		break;
	case 4:
		vmbus_rx_mask(rx);
		break;
	case 5:
		vmbus_rx_unmask(rx);
		break;
	case 6:
		vmbus_rx_commit(rx);
		REQUIRE(!rx->taken && (!taken || rx->ctl->read_index == rx->read));
		break;
	case 7:
		rx->ctl->read_index = in_u32(in); /* ours, but they can write it */
		break;
	case 8:
		put_range(rx, in, m);
		break;
	case 9:
		buf_size = in_u16(in) % BUF_SIZE;
		/* fallthrough */
	default:
		if (vmbus_rx_next(rx, &pkt, buf, buf_size))
			break;
		packet_consistent(&pkt, buf, buf_size);
		if (in_u8(in) & 1)
			vmbus_rx_untake(rx, &pkt);
	}
	REQUIRE(rx->read < rx->size && rx->read % 8 == 0);
	REQUIRE(rx->taken < rx->size && rx->taken % 8 == 0);
	REQUIRE(rx->peer_write < rx->size && rx->peer_write % 8 == 0);
}

/* Where a ring end reads or writes next is where its offset is. */
static void place_consistent(
	const struct memory *m, const struct vmbus_ring_place *place, uint32_t at)
{
	REQUIRE(place->at == memory_at(m, at) && place->left > 0);
	REQUIRE(place->at + place->left == m->runs[place->run].at + m->runs[place->run].bytes);
}

static void hostile_producer(struct input *in)
{
	struct memory m;
	uint8_t *buf = malloc(BUF_SIZE);
	struct vmbus_rx rx;
	uint32_t i;

	memory_alloc(&m, in_u8(in));
	fill_ctl(m.ctl, m.size, in);
	bad_sizes(m.ctl);
	for (i = 0; i < m.size && in->left; i++)
		*memory_at(&m, i) = in->at[i % in->left];
	if (!memory_rx(&m, &rx))
		while (in->left) {
			rx_op(&rx, in, &m, buf);
			place_consistent(&m, &rx.place, rx.read);
		}
	free(buf);
	memory_free(&m);
}

/* ---- hostile consumer ---------------------------------------------------- */

static void tx_op(struct vmbus_tx *tx, struct input *in, const uint8_t *bytes)
{
	struct vmbus_vec extra, payload[2];

	switch (in_u8(in) % 8) {
	case 0:
		tx->ctl->read_index = in_index(in, tx->size);
		break;
	case 1:
		tx->ctl->interrupt_mask = in_u8(in) & 1;
		break;
	case 2:
		tx->ctl->write_index = in_u32(in); /* ours, but they can write it */
		tx->ctl->pending_send_size = in_u32(in);
		break;
	case 3:
		vmbus_tx_commit(tx);
		REQUIRE(tx->published == tx->write);
		break;
	case 4:
		REQUIRE(vmbus_tx_room(tx) <= (int64_t)tx->size - 8);
		break;
	default:
		extra = (struct vmbus_vec){bytes, in_u8(in)};
		payload[0] = (struct vmbus_vec){bytes, in_u16(in) % BUF_SIZE};
		payload[1] = (struct vmbus_vec){bytes, in_u8(in)};
		if (payload[1].len == 255) /* refused before it is read */
			payload[1].len = 0x80000 | in_u32(in);
		vmbus_tx_write(tx, VMBUS_PKT_INBAND, 0, 0, &extra, payload, in_u8(in) % 3);
	}
	REQUIRE(tx->write < tx->size && tx->write % 8 == 0);
	REQUIRE(tx->peer_read < tx->size && tx->peer_read % 8 == 0);
}

static void hostile_consumer(struct input *in)
{
	struct memory m;
	uint8_t *bytes = calloc(1, BUF_SIZE);
	struct vmbus_tx tx;

	memory_alloc(&m, in_u8(in));
	fill_ctl(m.ctl, m.size, in);
	if (!memory_tx(&m, &tx))
		while (in->left) {
			tx_op(&tx, in, bytes);
			place_consistent(&m, &tx.place, tx.write);
		}
	free(bytes);
	memory_free(&m);
}

/* ---- two honest ends and an oracle --------------------------------------- */

/* Packets by their number: length and bytes follow from it. */
struct oracle {
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	uint32_t lens[1024]; /* by number % 1024; a ring holds fewer */
	uint64_t written, published, taken;
	uint32_t staged_bytes, unread_bytes, uncommitted_bytes;
	bool tx_waits, rx_sleeps; /* and nobody has signalled since */
	uint32_t need;
	uint8_t *buf;
};

static void fill(uint8_t *bytes, uint32_t len, uint64_t number)
{
	uint32_t i;

	for (i = 0; i < len; i++)
		bytes[i] = (uint8_t)(number * 13 + i);
}

static void oracle_flush(struct oracle *o)
{
	if (vmbus_tx_commit(&o->tx))
		o->rx_sleeps = false;
	o->published = o->written;
	o->unread_bytes += o->staged_bytes;
	o->staged_bytes = 0;
}

static void oracle_write(struct oracle *o, uint32_t len)
{
	uint32_t ring_bytes = vmbus_pkt_ring_size(0, len);
	uint32_t room = o->tx.size - 8 - o->staged_bytes - o->unread_bytes - o->uncommitted_bytes;
	struct vmbus_vec vec[2] = {{o->buf, len / 2}, {o->buf + len / 2, len - len / 2}};
	int rc;

	fill(o->buf, len, o->written);
	rc = vmbus_tx_write(&o->tx, VMBUS_PKT_INBAND, 0, o->written, NULL, vec, 2);
	if (ring_bytes > o->tx.size - 8) {
		REQUIRE(rc == -EMSGSIZE);
	} else if (ring_bytes > room) {
		REQUIRE(rc == -EAGAIN);
		oracle_flush(o);
		o->tx_waits = true;
		o->need = ring_bytes;
	} else {
		REQUIRE(rc == 0);
		o->tx_waits = false;
		o->lens[o->written++ % 1024] = len;
		o->staged_bytes += ring_bytes;
	}
}

static void oracle_commit(struct oracle *o)
{
	if (vmbus_rx_commit(&o->rx))
		o->tx_waits = false;
	o->uncommitted_bytes = 0;
}

static void oracle_next(struct oracle *o, bool untake)
{
	uint32_t len = o->lens[o->taken % 1024];
	uint32_t ring_bytes = vmbus_pkt_ring_size(0, len);
	struct vmbus_pkt pkt;
	int rc = vmbus_rx_next(&o->rx, &pkt, o->buf, BUF_SIZE);
	uint8_t expect[256];

	if (o->taken == o->published) {
		REQUIRE(rc == -EAGAIN);
		return;
	}
	REQUIRE(rc == 0 && pkt.desc.trans_id == o->taken);
	REQUIRE(pkt.payload_len == ((len + 7) & ~7u));
	fill(expect, len < 256 ? len : 256, o->taken);
	REQUIRE(!memcmp(pkt.payload, expect, len < 256 ? len : 256));
	REQUIRE(!len || pkt.payload[len - 1] == (uint8_t)(o->taken * 13 + len - 1));
	if (untake) {
		vmbus_rx_untake(&o->rx, &pkt);
		return;
	}
	o->taken++;
	o->unread_bytes -= ring_bytes;
	o->uncommitted_bytes += ring_bytes;
}

/* The operations are whole, so these hold between any two of them. */
static void oracle_check(struct oracle *o)
{
	uint32_t used = o->unread_bytes + o->uncommitted_bytes;

	REQUIRE(vmbus_tx_room(&o->tx) == (int64_t)o->tx.size - 8 - used - o->staged_bytes);
	REQUIRE(vmbus_rx_pending(&o->rx) == (o->unread_bytes > 0));
	REQUIRE(!(o->rx_sleeps && o->unread_bytes));
	REQUIRE(!(o->tx_waits && o->tx.size - used > o->need));
}

static void oracle_op(struct oracle *o, struct input *in)
{
	uint8_t op = in_u8(in);

	switch (op % 8) {
	case 0:
	case 1:
		oracle_write(o, in_u8(in));
		break;
	case 2:
		oracle_write(o, in_u16(in) % (o->tx.size + 64));
		break;
	case 3:
		oracle_flush(o);
		break;
	case 4:
	case 5:
		oracle_next(o, op & 0x80);
		break;
	case 6:
		oracle_commit(o);
		break;
	default:
		if (op & 0x80)
			vmbus_rx_mask(&o->rx);
		oracle_commit(o);
		o->rx_sleeps = !vmbus_rx_unmask(&o->rx);
	}
	oracle_check(o);
}

static void two_ends(struct input *in)
{
	struct oracle o = {.buf = malloc(BUF_SIZE + 64)};
	struct memory m;

	memory_alloc(&m, in_u8(in));
	m.ctl->read_index = m.ctl->write_index = in_u16(in) * 8 % m.size;
	REQUIRE(!memory_tx(&m, &o.tx));
	REQUIRE(!memory_rx(&m, &o.rx));
	while (in->left) {
		oracle_op(&o, in);
		place_consistent(&m, &o.tx.place, o.tx.write);
		place_consistent(&m, &o.rx.place, o.rx.read);
	}
	free(o.buf);
	memory_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	switch (in_u8(&in) % 3) {
	case 0:
		hostile_producer(&in);
		break;
	case 1:
		hostile_consumer(&in);
		break;
	default:
		two_ends(&in);
	}
	return 0;
}
