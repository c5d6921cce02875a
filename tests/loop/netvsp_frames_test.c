/* SPDX-License-Identifier: MIT */
/*
 * The oracle of the NIC's data path. Random frames go in as a guest hands them
 * over: lengths and sums left to the host, any layout, on any channel. The back end
 * `loop` sends back what reached the wire. With RSC that is each frame, whole,
 * with its headers finished; without, the segments and complete sums that
 * nic/offload.h makes of it (which equal the kernel's: nic_gso_test).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/guest_pauser.h"
#include "tests/support/netvsp_rig.h"
#include "tests/support/nic_frames.h"

#ifdef __SANITIZE_THREAD__
#define FRAMES 6000u
#else
#define FRAMES 25000u
#endif
#define CHANNELS     4u
#define BATCH        12u
#define EXPECTED_MAX 4096u
#define RSC_MAX      62780u
#define SECTION      6144u
#define SUM_GARBAGE  0x1234u

struct expected {
	uint8_t *bytes;
	uint32_t length;
	bool whole; /* a super frame */
	bool vlan;
	uint32_t vlan_value;
};

struct oracle {
	struct nic_random random;
	bool rsc;
	uint32_t first[CHANNELS], count[CHANNELS];
	struct expected expected[CHANNELS][EXPECTED_MAX];
	uint64_t super, fragments, hashes, split, messages;
};

/* ---- what must come ------------------------------------------------------ */

static void expect(struct oracle *o, uint32_t channel, const struct iovec *iov, uint32_t count,
	uint32_t length, const struct netvsc_tx *tx)
{
	struct expected *e = &o->expected[channel][o->count[channel]++];
	uint8_t *at;

	assert_true(o->count[channel] < EXPECTED_MAX);
	*e = (struct expected){.bytes = malloc(length),
		.length = length,
		.vlan = tx->vlan,
		.vlan_value = tx->vlan_value};
	at = e->bytes;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	assert_int_equal(at - e->bytes, length);
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put16(uint8_t *at, uint32_t v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static void put32(uint8_t *at, uint32_t v)
{
	put16(at, v >> 16);
	put16(at + 2, v);
}

/* [from, from + payload) of the payload, which begins with segment `segment`, as a frame. */
static void expect_part(struct oracle *o, uint32_t channel, const uint8_t *bytes,
	const struct nic_headers *h, uint32_t from, uint32_t payload, uint32_t segment, bool last,
	const struct netvsc_tx *tx)
{
	static uint8_t part[NIC_FRAME_MAX];
	struct iovec iov = {part, h->payload + payload};
	uint8_t *ip = part + h->l3, *tcp = part + h->l4;

	memcpy(part, bytes, h->payload);
	memcpy(part + h->payload, bytes + h->payload + from, payload);
	if (h->version == 4) {
		put16(ip + 2, h->payload + payload - h->l3);
		put16(ip + 4, (get32(ip + 4) >> 16) + segment);
		nic_ip_checksum(part, h);
	} else {
		put16(ip + 4, h->payload + payload - h->l3 - 40);
	}
	put32(tcp + 4, get32(tcp + 4) + from);
	tcp[13] &= (uint8_t) ~((last ? 0 : 0x09) | (segment ? 0x80 : 0)); /* FIN, PSH; CWR */
	expect(o, channel, &iov, 1, (uint32_t)iov.iov_len, tx);
	o->expected[channel][o->count[channel] - 1].whole = true;
}

/* A frame longer than Linux has memory for comes as two. */
static void expect_two(struct oracle *o, uint32_t channel, const uint8_t *bytes, uint32_t length,
	uint32_t mss, const struct netvsc_tx *tx)
{
	struct nic_headers h;
	uint32_t segments, first;

	assert_true(nic_parse(bytes, length, &h));
	segments = (RSC_MAX - h.payload) / mss;
	first = segments * mss;
	expect_part(o, channel, bytes, &h, 0, first, 0, false, tx);
	expect_part(o, channel, bytes, &h, first, length - h.payload - first, segments, true, tx);
	o->split++;
}

static void expect_frame(struct oracle *o, uint32_t channel, uint8_t *bytes, uint32_t length,
	const struct nic_offload *offload, const struct netvsc_tx *tx)
{
	struct iovec whole[2] = {{0}, {bytes, length}}, iov[NIC_IOV_MAX];
	struct nic_frame frame = {
		.offload = *offload, .length = length, .iov = whole, .iov_count = 2};
	struct nic_seg seg;
	uint32_t count, n;

	if (offload->gso && o->rsc && length > RSC_MAX) {
		expect_two(o, channel, bytes, length, offload->gso_size, tx);
		return;
	}
	if (offload->gso && o->rsc) {
		expect(o, channel, whole + 1, 1, length, tx);
		o->expected[channel][o->count[channel] - 1].whole = true;
		return;
	}
	if (!(offload->flags & NIC_CSUM_PARTIAL)) {
		expect(o, channel, whole + 1, 1, length, tx);
		return;
	}
	assert_int_equal(nic_seg_init(&seg, &frame), 0);
	while ((n = nic_seg_next(&seg, iov, &count)))
		expect(o, channel, iov, count, n, tx);
}

static void arrived(struct guest_nic *n, const struct guest_nic_frame *f)
{
	struct oracle *o = n->ctx;
	struct expected *e = &o->expected[f->channel][o->first[f->channel]++];

	assert_true(o->first[f->channel] <= o->count[f->channel]);
	assert_int_equal(f->length, e->length);
	assert_memory_equal(f->bytes, e->bytes, e->length);
	assert_int_equal(f->info.vlan, e->vlan);
	if (e->vlan)
		assert_int_equal(f->info.vlan_value, e->vlan_value);
	assert_int_equal(f->info.rsc, e->whole);
	if (e->whole) {
		assert_true(f->info.csum_value & RNDIS_CSUM_RX_TCP_OK);
		o->super++;
		o->fragments += f->fragments;
	}
	o->hashes += f->info.hash;
	free(e->bytes);
}

/* ---- what a guest hands over --------------------------------------------- */

static void spoil_ip(uint8_t *bytes, const struct nic_headers *h, bool length)
{
	if (h->version == 4)
		put16(bytes + h->l3 + 10, SUM_GARBAGE);
	if (length)
		put16(bytes + h->l3 + (h->version == 4 ? 2 : 4), 0);
}

static void spoil_l4(uint8_t *bytes, const struct nic_headers *h)
{
	put16(bytes + h->l4 + (h->protocol == NIC_PROTO_TCP ? 16 : 6), SUM_GARBAGE);
}

/* The PPIs for what is left to do, and the frame without what the host makes. */
static void hand_over(struct oracle *o, uint8_t *bytes, uint32_t length,
	const struct nic_offload *offload, struct netvsc_tx *tx)
{
	struct nic_headers h;
	uint32_t version;

	assert_true(nic_parse(bytes, length, &h));
	version = h.version == 4 ? RNDIS_CSUM_TX_IPV4 : RNDIS_CSUM_TX_IPV6;
	if (offload->gso) {
		tx->lso = true;
		tx->lso_value = offload->gso_size | (uint32_t)h.l4 << RNDIS_LSO_L4_SHIFT |
				RNDIS_LSO_V2 | (h.version == 6 ? RNDIS_LSO_IPV6 : 0);
		spoil_ip(bytes, &h, true);
		spoil_l4(bytes, &h);
	} else if (offload->flags & NIC_CSUM_PARTIAL) {
		tx->csum = true;
		tx->csum_value =
			version |
			(h.protocol == NIC_PROTO_TCP ? RNDIS_CSUM_TX_TCP : RNDIS_CSUM_TX_UDP) |
			(uint32_t)h.l4 << RNDIS_CSUM_TX_L4_SHIFT;
		spoil_l4(bytes, &h);
	} else if (h.version == 4 && nic_random(&o->random, 2)) {
		tx->csum = true;
		tx->csum_value = RNDIS_CSUM_TX_IPV4 | RNDIS_CSUM_TX_IP_HEADER;
		spoil_ip(bytes, &h, false);
	}
}

static bool send_one(struct guest_nic *n)
{
	static uint8_t bytes[NIC_FRAME_MAX];
	static const enum nic_frame_kind kinds[] = {
		NIC_FRAME_PLAIN, NIC_FRAME_PARTIAL, NIC_FRAME_TSO};
	struct oracle *o = n->ctx;
	uint32_t channel = nic_random(&o->random, n->channel_count);
	struct nic_offload offload;
	struct netvsc_tx tx = {0};
	uint32_t headers;

	nic_frame_make(&o->random, kinds[nic_random(&o->random, 3)], bytes, &tx.length, &headers,
		&offload);
	tx.vlan = !nic_random(&o->random, 4);
	if (tx.vlan)
		tx.vlan_value = nic_random(&o->random, 0x10000);
	expect_frame(o, channel, bytes, tx.length, &offload, &tx);
	hand_over(o, bytes, tx.length, &offload, &tx);
	return guest_nic_send(n, channel, nic_random(&o->random, NIC_LAYOUTS), &tx, bytes);
}

static uint64_t all_expected(const struct oracle *o)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < CHANNELS; i++)
		all += o->count[i];
	return all;
}

static void run_frames(struct guest_nic *n, uint32_t frames)
{
	struct oracle *o = n->ctx;
	uint64_t before;

	for (uint32_t done = 0; done < frames; done += BATCH) {
		before = n->frames;
		memset(o->first, 0, sizeof(o->first));
		memset(o->count, 0, sizeof(o->count));
		for (uint32_t i = 0; i < BATCH; i++)
			assert_true(send_one(n));
		guest_nic_wait_sent(n);
		guest_nic_wait_frames(n, before + all_expected(o));
		assert_int_equal(n->failed, 0);
	}
}

/* ---- several frames in one packet ---------------------------------------- */

#define PACKETS 8u /* at once: as many sections of the send buffer */

/* Adds one frame to the packet; false: this one does not fit. */
static bool add_message(struct oracle *o, uint32_t channel, uint8_t *packet, uint32_t *len)
{
	static uint8_t bytes[NIC_FRAME_MAX];
	static const enum nic_frame_kind kinds[] = {
		NIC_FRAME_PLAIN, NIC_FRAME_PARTIAL, NIC_FRAME_TSO};
	struct nic_offload offload;
	struct netvsc_tx tx = {0};
	uint32_t headers, header, pad;

	nic_frame_make(&o->random, kinds[nic_random(&o->random, 3)], bytes, &tx.length, &headers,
		&offload);
	if (*len + NETVSC_HEADER_MAX + tx.length + 8 > SECTION)
		return false;
	expect_frame(o, channel, bytes, tx.length, &offload, &tx);
	hand_over(o, bytes, tx.length, &offload, &tx);
	header = netvsc_frame_header(packet + *len, &tx, 0);
	pad = (8 - (header + tx.length) % 8) % 8;
	netvsc_frame_header(packet + *len, &tx, pad);
	memcpy(packet + *len + header, bytes, tx.length);
	memset(packet + *len + header + tx.length, 0xEE, pad);
	*len += header + tx.length + pad;
	o->messages++;
	return true;
}

static void send_packet(struct guest_nic *n, uint32_t section)
{
	struct oracle *o = n->ctx;
	uint32_t channel = nic_random(&o->random, n->channel_count), len = 0, count = 0;
	uint8_t packet[SECTION];

	while (count < 8 && (add_message(o, channel, packet, &len) || !count))
		count += len > 0;
	assert_true(guest_nic_send_raw(n, channel, section, len, packet, len));
}

static struct netvsp_rig *start(const char *stack, struct oracle *o, uint32_t version, bool rsc)
{
	struct netvsp_rig *rig = netvsp_rig_create(stack, CHANNELS, 2, NULL);

	rig->n.rx = arrived;
	rig->n.ctx = o;
	guest_nic_open(&rig->n, version, CHANNELS - 1, rsc);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED | NDIS_FILTER_BROADCAST);
	if (rig->n.channel_count > 1)
		guest_nic_set_rss(&rig->n);
	o->rsc = rsc && rig->n.conn.host_rsc;
	return rig;
}

static struct oracle *oracle_new(uint64_t seed)
{
	struct oracle *o = calloc(1, sizeof(*o));

	o->random.state = seed;
	return o;
}

static void test_rsc(void **state)
{
	struct oracle *o = oracle_new(11);
	struct netvsp_rig *rig = start("loop", o, NVSP_VERSION_6_1, true);

	assert_true(o->rsc);
	run_frames(&rig->n, FRAMES);
	assert_true(o->super > 0 && o->fragments > o->super && o->hashes > 0 && o->split > 0);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

static void test_no_rsc(void **state)
{
	struct oracle *o = oracle_new(12);
	struct netvsp_rig *rig = start("loop", o, NVSP_VERSION_6_1, false);

	run_frames(&rig->n, FRAMES);
	assert_int_equal(o->super, 0);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

static void test_old_guest(void **state)
{
	struct oracle *o = oracle_new(13);
	struct netvsp_rig *rig = start("loop", o, NVSP_VERSION_2, true);

	assert_false(o->rsc);
	run_frames(&rig->n, FRAMES / 4);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

static void test_many_in_a_packet(void **state)
{
	struct oracle *o = oracle_new(16);
	struct netvsp_rig *rig = start("loop", o, NVSP_VERSION_6_1, true);
	uint32_t rounds = FRAMES / 100;

	for (uint32_t i = 0; i < rounds; i++) {
		uint64_t before = rig->n.frames;

		memset(o->first, 0, sizeof(o->first));
		memset(o->count, 0, sizeof(o->count));
		for (uint32_t k = 0; k < PACKETS; k++)
			send_packet(&rig->n, k);
		guest_nic_wait_sent(&rig->n);
		guest_nic_wait_frames(&rig->n, before + all_expected(o));
		assert_int_equal(rig->n.failed, 0);
	}
	assert_true(o->messages > 2ull * rounds * PACKETS);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

/* Buffers that a filter holds for a time, on the way up. */
static void test_delay(void **state)
{
	struct oracle *o = oracle_new(14);
	struct netvsp_rig *rig = start("loop,delay=1ms:rx", o, NVSP_VERSION_6_1, true);

	run_frames(&rig->n, FRAMES / 20);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

static uint64_t activity(void *ctx)
{
	struct netvsp_counters c;

	netvsp_counters(ctx, &c);
	return c.tx_frames + c.rx_frames;
}

static void test_pause(void **state)
{
	struct oracle *o = oracle_new(15);
	struct netvsp_rig *rig = start("loop,delay=1ms:rx", o, NVSP_VERSION_6_1, true);
	struct guest_pauser pauser = {
		.g = &rig->g,
		.dev = rig->dev,
		.pause_max_ns = 2000000,
		.run_max_ns = 5000000,
		.activity = activity,
		.ctx = rig->dev,
	};

	guest_pauser_start(&pauser);
	while (atomic_load(&pauser.paused) < 50)
		run_frames(&rig->n, BATCH);
	guest_pauser_stop(&pauser);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	free(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rsc),
		cmocka_unit_test(test_no_rsc),
		cmocka_unit_test(test_old_guest),
		cmocka_unit_test(test_many_in_a_packet),
		cmocka_unit_test(test_delay),
		cmocka_unit_test(test_pause),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
