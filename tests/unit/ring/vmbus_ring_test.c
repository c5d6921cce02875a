/* SPDX-License-Identifier: MIT */
/*
 * The ring between two correct ends: layout, limits, wrapping, signals. All tests run over a ring
 * in one piece, and over one whose pages are apart.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_mem.h"

#define BUF_SIZE (64 * 1024)

struct pair {
	struct ring_mem mem;
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	struct vmbus_pkt pkt;
	uint8_t buf[BUF_SIZE];
};

static struct pair *pair_at(uint32_t data_pages, uint32_t start)
{
	struct pair *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	ring_mem_init(&p->mem, data_pages);
	p->mem.ctl->write_index = p->mem.ctl->read_index = start;
	assert_int_equal(ring_mem_tx(&p->mem, &p->tx), 0);
	assert_int_equal(ring_mem_rx(&p->mem, &p->rx), 0);
	return p;
}

static void pair_free(struct pair *p)
{
	ring_mem_fini(&p->mem);
	free(p);
}

static int put(struct pair *p, uint32_t payload_len, uint64_t trans_id)
{
	static const uint8_t zeroes[BUF_SIZE];
	struct vmbus_vec vec = {zeroes, payload_len};

	return vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, trans_id, NULL, &vec, 1);
}

/* A packet that takes exactly `ring_bytes`. */
static int put_ring_bytes(struct pair *p, uint32_t ring_bytes)
{
	return put(p, ring_bytes - vmbus_pkt_ring_size(0, 0), 0);
}

static int take(struct pair *p)
{
	return vmbus_rx_next(&p->rx, &p->pkt, p->buf, sizeof(p->buf));
}

static void test_init_sizes(void **state)
{
	static const struct {
		uint32_t bytes;
		int err;
	} cases[] = {
		{0, -EINVAL},
		{4096, -EINVAL},
		{8191, -EINVAL},
		{8192 + 8, -EINVAL},
		{8192, 0},
		{3 * 4096, 0},
		{0xFFFFF000u, -EINVAL},
	};
	void *ring = ring_mem_pages(3);
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(vmbus_tx_init(&tx, ring, cases[i].bytes), cases[i].err);
		assert_int_equal(vmbus_rx_init(&rx, ring, cases[i].bytes), cases[i].err);
	}
	assert_int_equal(vmbus_tx_init(&tx, NULL, 8192), -EINVAL);
	free(ring);
}

static void test_init_runs(void **state)
{
	uint8_t *at = ring_mem_pages(3);
	const struct {
		struct vmbus_run runs[2];
		uint32_t count;
		int err;
	} cases[] = {
		{{{0}}, 0, -EINVAL}, {{{at, 0}}, 1, -EINVAL}, {{{at, 4095}}, 1, -EINVAL},
		{{{at, 4096}}, 1, 0}, {{{at, 4096}, {at + 4096, 8}}, 2, -EINVAL},
		{{{at, 4096}, {at + 4096, 0}}, 2, -EINVAL}, {{{at, 4096}, {at + 4096, 4096}}, 2, 0},
		{{{at, VMBUS_RING_SIZE_MAX}, {at, 4096}}, 2, -EINVAL},
		{{{at, 0x80000000u}, {at, 0x80000000u}}, 2, -EINVAL},
		{{{at, 4096}, {at, 4096}}, 2, 0}, /* the same page twice: the guest's problem */
	};
	struct vmbus_tx tx;
	struct vmbus_rx rx;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(vmbus_tx_init_runs(&tx, at + 8192, cases[i].runs, cases[i].count),
			cases[i].err);
		assert_int_equal(vmbus_rx_init_runs(&rx, at + 8192, cases[i].runs, cases[i].count),
			cases[i].err);
	}
	free(at);
}

static void test_init_state(void **state)
{
	struct ring_mem mem;
	struct vmbus_tx tx;
	struct vmbus_rx rx;

	ring_mem_init(&mem, 1);
	mem.ctl->write_index = 4088;
	mem.ctl->read_index = 16;
	mem.ctl->pending_send_size = 123;
	mem.ctl->feature_bits = 0;
	mem.ctl->interrupt_mask = 1;
	assert_int_equal(ring_mem_tx(&mem, &tx), 0);
	assert_int_equal(ring_mem_rx(&mem, &rx), 0);
	assert_int_equal(tx.write, 4088);
	assert_int_equal(rx.read, 16);
	assert_int_equal(mem.ctl->feature_bits, VMBUS_RING_FEAT_PENDING_SEND_SIZE);
	assert_int_equal(mem.ctl->pending_send_size, 0);
	assert_int_equal(mem.ctl->interrupt_mask, 1); /* the consumer's, left alone */
	assert_int_equal(vmbus_tx_room(&tx), 4096 - 4072 - 8);
	ring_mem_fini(&mem);
}

/* Every byte of a packet in the ring, against the layout in the spec; the padding must not have old
 * contents. */
static void test_wire_bytes(void **state)
{
	static const uint8_t expect[] = {
		0x09, 0x00, 0x04, 0x00, 0x06, 0x00, 0x01, 0x00, /* type, offset8, len8, flags */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, /* transaction id */
		'e', 'x', 't', 'r', 'a', ' ', 'h', 'e',         /* type header */
		'a', 'd', 0, 0, 0, 0, 0, 0,                     /* and its padding */
		'o', 'n', 'e', 't', 'w', 'o', 't', 'h',         /* payload of three pieces */
		'r', 'e', 'e', 0, 0, 0, 0, 0,                   /* and its padding */
		0, 0, 0, 0, 0x28, 0x00, 0x00, 0x00,             /* trailer: where it starts */
	};
	struct pair *p = pair_at(1, 0x28);
	struct vmbus_vec extra = {"extra head", 10};
	struct vmbus_vec payload[] = {{"one", 3}, {NULL, 0}, {"two", 3}, {"three", 5}};

	ring_mem_fill(&p->mem, 0xA5);
	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_GPA_DIRECT, 1, 0x1122334455667788, &extra,
				 payload, 4),
		0);
	assert_memory_equal(ring_mem_at(&p->mem, 0x28), expect, sizeof(expect));
	assert_int_equal(ring_mem_byte(&p->mem, 0x27), 0xA5);
	assert_int_equal(ring_mem_byte(&p->mem, 0x28 + sizeof(expect)), 0xA5);
	assert_int_equal(p->mem.ctl->write_index, 0x28); /* staged only */
	assert_int_equal(take(p), -EAGAIN);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(p->mem.ctl->write_index, 0x28 + sizeof(expect));
	assert_int_equal(vmbus_pkt_ring_size(10, 11), sizeof(expect));

	assert_int_equal(take(p), 0);
	assert_int_equal(p->pkt.desc.type, VMBUS_PKT_GPA_DIRECT);
	assert_int_equal(p->pkt.desc.flags, 1);
	assert_true(p->pkt.desc.trans_id == 0x1122334455667788);
	assert_int_equal(p->pkt.extra_len, 16);
	assert_memory_equal(p->pkt.extra, expect + 16, 16);
	assert_int_equal(p->pkt.payload_len, 16);
	assert_memory_equal(p->pkt.payload, expect + 32, 16);
	assert_memory_equal(p->buf, expect, sizeof(expect) - 8);
	assert_int_equal(take(p), -EAGAIN);
	pair_free(p);
}

static void test_empty_payload(void **state)
{
	struct pair *p = pair_at(1, 0);

	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_COMPLETION, 0, 7, NULL, NULL, 0), 0);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(take(p), 0);
	assert_int_equal(p->pkt.desc.offset8, 2);
	assert_int_equal(p->pkt.desc.len8, 2);
	assert_int_equal(p->pkt.extra_len, 0);
	assert_int_equal(p->pkt.payload_len, 0);
	pair_free(p);
}

/* One packet at `start`; untaken once, so that the place goes back over every boundary, too. */
static void pass_packet(uint32_t pages, uint32_t start)
{
	uint8_t payload_bytes[37], extra_bytes[12];
	struct vmbus_vec extra = {extra_bytes, sizeof(extra_bytes)};
	struct vmbus_vec payload[] = {{payload_bytes, 5}, {payload_bytes + 5, 32}};
	const uint32_t taken = vmbus_pkt_ring_size(12, 37);
	struct pair *p = pair_at(pages, start);
	uint32_t i;

	for (i = 0; i < sizeof(payload_bytes); i++)
		payload_bytes[i] = (uint8_t)(i + 1);
	memset(extra_bytes, 0xEE, sizeof(extra_bytes));
	ring_mem_fill(&p->mem, 0xA5);
	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, start, &extra, payload, 2), 0);
	assert_true(vmbus_tx_commit(&p->tx));
	assert_int_equal(p->mem.ctl->write_index, (start + taken) % p->mem.size);
	assert_int_equal(ring_mem_byte(&p->mem, start + taken - 4), start & 0xff);
	assert_int_equal(ring_mem_byte(&p->mem, start + taken - 3), start >> 8);
	assert_int_equal(ring_mem_byte(&p->mem, start + taken), 0xA5);
	assert_int_equal(ring_mem_byte(&p->mem, start + p->mem.size - 1), 0xA5);
	for (i = 0; i < 2; i++) {
		memset(p->buf, 0, 256);
		assert_int_equal(take(p), 0);
		assert_true(p->pkt.desc.trans_id == start);
		assert_memory_equal(p->pkt.extra, extra_bytes, 12);
		assert_memory_equal(p->pkt.payload, payload_bytes, 37);
		assert_int_equal(take(p), -EAGAIN);
		if (!i)
			vmbus_rx_untake(&p->rx, &p->pkt);
	}
	vmbus_rx_commit(&p->rx);
	assert_int_equal(p->mem.ctl->read_index, p->mem.ctl->write_index);
	/* Both ends stand at the same byte: the next packet arrives, too. */
	assert_int_equal(put(p, 40, 99), 0);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(take(p), 0);
	assert_true(p->pkt.desc.trans_id == 99);
	pair_free(p);
}

/* Packets that start at each unit of a ring that is no power of two, so that the end of the ring
 * cuts descriptor, type header, payload, padding and trailer at every boundary. */
static void test_wrap_everywhere(void **state)
{
	uint32_t start;

	for (start = 0; start < 3 * 4096; start += 8)
		pass_packet(3, start);
}

/* Every way to cut five pages into runs; packets around the end of each page. */
static void test_every_split(void **state)
{
	const uint64_t before = ring_mem_breaks;
	uint32_t page, start;

	for (ring_mem_breaks = 1; ring_mem_breaks < 1 << 4; ring_mem_breaks++)
		for (page = 1; page <= 5; page++)
			for (start = page * 4096 - 104; start < page * 4096; start += 8)
				pass_packet(5, start);
	ring_mem_breaks = before;
}

/* A packet that fills the ring has as many pieces as there are runs. */
static void test_whole_ring_in_a_packet(void **state)
{
	uint8_t bytes[5 * 4096 - 32];
	struct vmbus_vec vec = {bytes, sizeof(bytes)};
	struct pair *p;
	uint32_t start, i;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
	for (start = 0; start < 5 * 4096; start += 1000) {
		p = pair_at(5, start);
		assert_int_equal(vmbus_tx_write(&p->tx, 6, 0, start, NULL, &vec, 1), 0);
		vmbus_tx_commit(&p->tx);
		assert_int_equal(take(p), 0);
		vmbus_rx_untake(&p->rx, &p->pkt);
		assert_int_equal(take(p), 0);
		assert_int_equal(p->pkt.payload_len, sizeof(bytes));
		assert_memory_equal(p->pkt.payload, bytes, sizeof(bytes));
		pair_free(p);
	}
}

/* free > n: one unit always stays empty, whatever the indices. */
static void test_never_full(void **state)
{
	uint32_t start;

	for (start = 0; start < 4096; start += 4096 - 8) {
		struct pair *p = pair_at(1, start);

		assert_int_equal(vmbus_tx_room(&p->tx), 4088);
		assert_int_equal(put_ring_bytes(p, 4096), -EMSGSIZE);
		assert_int_equal(put_ring_bytes(p, 4088), 0);
		assert_int_equal(vmbus_tx_room(&p->tx), 0);
		assert_int_equal(put_ring_bytes(p, 24), -EAGAIN);
		vmbus_tx_commit(&p->tx);
		assert_int_equal(take(p), 0);
		assert_int_equal(p->pkt.payload_len, 4088 - 24);
		vmbus_rx_commit(&p->rx);
		assert_int_equal(vmbus_tx_room(&p->tx), 4088);
		pair_free(p);
	}
}

static void test_room_exact(void **state)
{
	struct pair *p = pair_at(1, 4000);

	assert_int_equal(put_ring_bytes(p, 4088 - 64), 0);
	assert_int_equal(vmbus_tx_room(&p->tx), 64);
	assert_int_equal(put_ring_bytes(p, 72), -EAGAIN);
	assert_int_equal(put_ring_bytes(p, 64), 0);
	assert_int_equal(vmbus_tx_room(&p->tx), 0);
	pair_free(p);
}

/* Both ends report the published and untaken bytes; across the end of the ring, too. */
static void test_used(void **state)
{
	struct pair *p = pair_at(1, 4000);

	assert_int_equal(put_ring_bytes(p, 1024), 0);
	assert_int_equal(put_ring_bytes(p, 512), 0);
	assert_int_equal(vmbus_tx_used(&p->tx), 0);
	assert_int_equal(vmbus_rx_used(&p->rx), 0);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(vmbus_tx_used(&p->tx), 1536);
	assert_int_equal(vmbus_rx_used(&p->rx), 1536);
	assert_int_equal(take(p), 0);
	assert_int_equal(vmbus_tx_used(&p->tx), 1536);
	assert_int_equal(vmbus_rx_used(&p->rx), 512);
	vmbus_rx_commit(&p->rx);
	assert_int_equal(vmbus_tx_used(&p->tx), 512);
	assert_false(vmbus_tx_masked(&p->tx));
	vmbus_rx_mask(&p->rx);
	assert_true(vmbus_tx_masked(&p->tx));
	pair_free(p);
}

/* len8 is 16 bits, and sums of piece lengths do not wrap. */
static void test_length_limit(void **state)
{
	struct pair *p = pair_at(256, 0);
	uint8_t *big = calloc(1, 0xFFFF * 8);
	struct vmbus_vec vec = {big, 0xFFFF * 8 - 16};
	struct vmbus_vec huge[] = {{big, 0xFFFFFFF0u}, {big, 0x20}};

	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, 0, NULL, huge, 2), -EMSGSIZE);
	assert_int_equal(
		vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, 0, &huge[0], NULL, 0), -EMSGSIZE);
	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, 0, NULL, &vec, 1), 0);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(vmbus_rx_next(&p->rx, &p->pkt, big, 0xFFFF * 8), 0);
	assert_int_equal(p->pkt.desc.len8, 0xFFFF);
	vec.len += 1;
	assert_int_equal(vmbus_tx_write(&p->tx, VMBUS_PKT_INBAND, 0, 0, NULL, &vec, 1), -EMSGSIZE);
	assert_int_equal(p->mem.ctl->pending_send_size, 0); /* nothing to wait for */
	free(big);
	pair_free(p);
}

static void test_signal_empty_only(void **state)
{
	struct pair *p = pair_at(1, 4056);

	assert_false(vmbus_tx_commit(&p->tx)); /* nothing staged */
	put(p, 8, 1);
	put(p, 8, 2);
	assert_true(vmbus_tx_commit(&p->tx)); /* once per batch */
	assert_false(vmbus_tx_commit(&p->tx));
	put(p, 8, 3);
	assert_false(vmbus_tx_commit(&p->tx)); /* was not empty */
	take(p);
	take(p);
	vmbus_rx_commit(&p->rx);
	put(p, 8, 4);
	assert_false(vmbus_tx_commit(&p->tx)); /* packet 3 is unread */
	take(p);
	take(p);
	put(p, 8, 5);
	assert_false(vmbus_tx_commit(&p->tx)); /* taken but not released: not empty */
	take(p);
	vmbus_rx_commit(&p->rx);
	put(p, 8, 6);
	assert_true(vmbus_tx_commit(&p->tx));
	pair_free(p);
}

static void test_signal_mask(void **state)
{
	struct pair *p = pair_at(1, 0);

	vmbus_rx_mask(&p->rx);
	assert_int_equal(p->mem.ctl->interrupt_mask, 1);
	put(p, 8, 1);
	assert_false(vmbus_tx_commit(&p->tx));
	assert_true(vmbus_rx_unmask(&p->rx)); /* arrived meanwhile */
	assert_int_equal(p->mem.ctl->interrupt_mask, 0);
	assert_true(vmbus_rx_pending(&p->rx));
	take(p);
	vmbus_rx_commit(&p->rx);
	assert_false(vmbus_rx_pending(&p->rx));
	assert_false(vmbus_rx_unmask(&p->rx));
	put(p, 8, 2);
	assert_true(vmbus_tx_commit(&p->tx));
	/* Any value but 0 masks; the field belongs to the peer. */
	take(p);
	vmbus_rx_commit(&p->rx);
	p->mem.ctl->interrupt_mask = 0x80000000u;
	put(p, 8, 3);
	assert_false(vmbus_tx_commit(&p->tx));
	pair_free(p);
}

static void test_pending_set_and_cleared(void **state)
{
	struct pair *p = pair_at(1, 0);

	assert_int_equal(put_ring_bytes(p, 3000), 0);
	assert_int_equal(put_ring_bytes(p, 1096), -EAGAIN);
	assert_int_equal(p->mem.ctl->pending_send_size, 1096);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(put_ring_bytes(p, 2000), -EAGAIN);
	assert_int_equal(p->mem.ctl->pending_send_size, 2000);
	assert_int_equal(take(p), 0);
	assert_true(vmbus_rx_commit(&p->rx));
	assert_int_equal(put_ring_bytes(p, 2000), 0);
	assert_int_equal(p->mem.ctl->pending_send_size, 0);
	/* A permanent value of the peer is ignored. */
	p->mem.ctl->pending_send_size = 77;
	assert_int_equal(put_ring_bytes(p, 24), 0);
	assert_int_equal(p->mem.ctl->pending_send_size, 77);
	pair_free(p);
}

/* The peer computes room from the published index. Packets staged when the ring is full must be
 * published before the producer requests room; else the peer's commit finds the threshold already
 * crossed and never signals the producer. */
static void test_pending_publishes_staged(void **state)
{
	struct pair *p = pair_at(1, 0);

	assert_int_equal(put_ring_bytes(p, 3000), 0);
	assert_true(vmbus_tx_commit(&p->tx));
	assert_int_equal(take(p), 0);
	assert_int_equal(put_ring_bytes(p, 800), 0); /* staged */
	assert_int_equal(put_ring_bytes(p, 504), -EAGAIN);
	assert_int_equal(p->mem.ctl->write_index, 3800);
	assert_true(vmbus_rx_commit(&p->rx)); /* 3000 bytes released: crossed */
	assert_false(vmbus_tx_commit(&p->tx));
	assert_int_equal(put_ring_bytes(p, 504), 0);
	pair_free(p);
}

/* After an early publication by write(), the next commit returns the signal. */
static void test_pending_owes_signal(void **state)
{
	struct pair *p = pair_at(1, 0);

	assert_int_equal(put_ring_bytes(p, 4000), 0);
	assert_int_equal(put_ring_bytes(p, 504), -EAGAIN);
	assert_int_equal(put_ring_bytes(p, 504), -EAGAIN);
	assert_true(vmbus_tx_commit(&p->tx));
	assert_false(vmbus_tx_commit(&p->tx));
	pair_free(p);
}

/* signal iff free_new > p and free_new - freed <= p; p without its low three bits. */
static void test_room_crossing(void **state)
{
	enum { SIZE = 4096, FREED = 400, USED = 1000 };
	const uint32_t after = SIZE - USED + FREED;
	struct {
		uint32_t wanted;
		uint32_t feature;
		bool signal;
	} cases[] = {
		{0, 1, false},
		{7, 1, false}, /* 0 in units */
		{after, 1, false},
		{after + 7, 1, false},
		{after - 1, 1, true}, /* after - 8 in units */
		{after - 8, 1, true},
		{after - FREED, 1, true},
		{after - FREED - 1, 1, false},
		{after - FREED - 8, 1, false},
		{8, 1, false},
		{SIZE - 1, 1, false},
		{0xFFFFFFFFu, 1, false},
		{0xFFFFFFF8u, 1, false},
		{after - 8, 0, false},           /* no feature bit, no signal */
		{after - 8, 0xFFFFFFFEu, false}, /* unknown bits are not it */
		{after - 8, 0xFFFFFFFFu, true},
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair *p = pair_at(1, 3600);

		put_ring_bytes(p, FREED);
		put_ring_bytes(p, USED - FREED);
		vmbus_tx_commit(&p->tx);
		p->mem.ctl->pending_send_size = cases[i].wanted;
		p->mem.ctl->feature_bits = cases[i].feature;
		assert_int_equal(take(p), 0);
		assert_int_equal(vmbus_rx_commit(&p->rx), cases[i].signal);
		assert_false(vmbus_rx_commit(&p->rx));
		pair_free(p);
	}
}

/* A peer that requests the whole ring (size - 1) gets a signal when it is empty. */
static void test_room_whole_ring(void **state)
{
	struct pair *p = pair_at(1, 8);

	put_ring_bytes(p, 400);
	put_ring_bytes(p, 400);
	vmbus_tx_commit(&p->tx);
	p->mem.ctl->pending_send_size = 4095;
	assert_int_equal(take(p), 0);
	assert_false(vmbus_rx_commit(&p->rx));
	assert_int_equal(take(p), 0);
	assert_true(vmbus_rx_commit(&p->rx));
	pair_free(p);
}

static void test_untake(void **state)
{
	struct pair *p = pair_at(1, 4096 - 24);

	put(p, 8, 1);
	put(p, 16, 2);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(take(p), 0);
	vmbus_rx_untake(&p->rx, &p->pkt);
	assert_false(vmbus_rx_commit(&p->rx));
	assert_int_equal(p->mem.ctl->read_index, 4096 - 24);
	assert_true(vmbus_rx_pending(&p->rx));
	assert_int_equal(take(p), 0);
	assert_true(p->pkt.desc.trans_id == 1);
	assert_int_equal(take(p), 0);
	vmbus_rx_untake(&p->rx, &p->pkt);
	vmbus_rx_commit(&p->rx);
	assert_int_equal(p->mem.ctl->read_index, 8);
	assert_int_equal(take(p), 0);
	assert_true(p->pkt.desc.trans_id == 2);
	assert_int_equal(take(p), -EAGAIN);
	pair_free(p);
}

/* Released bytes count neither as freed again nor against the ring's size. */
static void test_untake_accounts(void **state)
{
	struct pair *p = pair_at(1, 0);
	uint32_t i;

	put_ring_bytes(p, 400);
	vmbus_tx_commit(&p->tx);
	p->mem.ctl->pending_send_size = 3600; /* 3696 are free */
	for (i = 0; i < 100; i++) {
		assert_int_equal(take(p), 0);
		vmbus_rx_untake(&p->rx, &p->pkt);
		assert_false(vmbus_rx_commit(&p->rx));
	}
	assert_int_equal(take(p), 0);
	put_ring_bytes(p, 4088 - 400);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(take(p), 0);
	assert_int_equal(p->pkt.payload_len, 4088 - 400 - 24);
	assert_true(vmbus_rx_commit(&p->rx));
	pair_free(p);
}

static void test_buffer_too_small(void **state)
{
	struct pair *p = pair_at(1, 0);

	put(p, 64, 1);
	vmbus_tx_commit(&p->tx);
	assert_int_equal(vmbus_rx_next(&p->rx, &p->pkt, p->buf, 79), -EMSGSIZE);
	assert_int_equal(vmbus_rx_next(&p->rx, &p->pkt, p->buf, 80), 0); /* not taken before */
	pair_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_sizes),
		cmocka_unit_test(test_init_runs),
		cmocka_unit_test(test_init_state),
		cmocka_unit_test(test_wire_bytes),
		cmocka_unit_test(test_empty_payload),
		cmocka_unit_test(test_wrap_everywhere),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_whole_ring_in_a_packet),
		cmocka_unit_test(test_never_full),
		cmocka_unit_test(test_room_exact),
		cmocka_unit_test(test_used),
		cmocka_unit_test(test_length_limit),
		cmocka_unit_test(test_signal_empty_only),
		cmocka_unit_test(test_signal_mask),
		cmocka_unit_test(test_pending_set_and_cleared),
		cmocka_unit_test(test_pending_publishes_staged),
		cmocka_unit_test(test_pending_owes_signal),
		cmocka_unit_test(test_room_crossing),
		cmocka_unit_test(test_room_whole_ring),
		cmocka_unit_test(test_untake),
		cmocka_unit_test(test_untake_accounts),
		cmocka_unit_test(test_buffer_too_small),
	};
	int failed = cmocka_run_group_tests_name("one piece", tests, NULL, NULL);

	ring_mem_breaks = UINT64_MAX;
	return failed + cmocka_run_group_tests_name("scattered", tests, NULL, NULL);
}
