/* SPDX-License-Identifier: MIT */
/* The pure parts: streams of pieces, messages, VLAN numbers, the Toeplitz hash, RSS parameters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "guest/netvsc/proto.h"
#include "vsp/netvsp/offload.h"
#include "vsp/netvsp/rndis.h"
#include "vsp/netvsp/rss.h"

/* ---- streams ------------------------------------------------------------- */

static void test_stream(void **state)
{
	uint8_t bytes[100], copy[100];
	struct iovec iov[100], part[8];

	for (uint32_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (uint32_t piece = 1; piece <= 50; piece++) {
		struct rndis_stream s = {.iov = iov, .left = sizeof(bytes)};

		for (uint32_t at = 0; at < sizeof(bytes); at += piece)
			iov[s.iov_count++] = (struct iovec){bytes + at,
				at + piece > sizeof(bytes) ? sizeof(bytes) - at : piece};
		for (uint32_t at = 0; at < 90; at += 9) {
			rndis_stream_peek(&s, copy, 10);
			assert_memory_equal(copy, bytes + at, 10);
			if (piece >= 10)
				assert_in_range(rndis_stream_slice(&s, 10, part, 8), 1, 2);
			if (piece == 1)
				assert_int_equal(rndis_stream_slice(&s, 9, part, 8), -EMSGSIZE);
			rndis_stream_skip(&s, 9);
		}
		assert_int_equal(s.left, 10);
	}
}

/* ---- messages ------------------------------------------------------------ */

/* What the host builds, the guest's parser reads, and the other way round. */
static void test_round_trip(void **state)
{
	uint8_t bytes[256] = {0};
	struct iovec iov = {bytes, sizeof(bytes)};
	struct rndis_stream s = {.iov = &iov, .iov_count = 1};
	struct rndis_rx_info info;
	struct rndis_frame frame;
	struct netvsc_rx rx;

	for (uint32_t kinds = 0; kinds < 16; kinds++) {
		const struct netvsc_tx tx = {60, kinds & 1, kinds & 2, kinds & 4, 0x11, 0x22, 0x33};
		uint32_t header = netvsc_frame_header(bytes, &tx, 4);
		uint32_t length;

		s.left = header + 60 + 4;
		assert_int_equal(rndis_frame_parse(&s, &frame), 0);
		assert_int_equal(frame.data_offset, header);
		assert_int_equal(frame.message_length, s.left);
		assert_int_equal(frame.info.has_csum, tx.csum);
		assert_int_equal(frame.info.has_lso, tx.lso);
		assert_int_equal(frame.info.has_vlan, tx.vlan);
		if (tx.vlan)
			assert_int_equal(frame.info.vlan, 0x33);
		info = (struct rndis_rx_info){.has_csum = kinds & 1,
			.has_vlan = kinds & 2,
			.has_hash = kinds & 4,
			.has_rsc = kinds & 8,
			.csum = 8,
			.vlan = 0x50,
			.hash = 0x12345678,
			.rsc = {1, 3, 7}};
		length = rndis_rx_build(bytes, RNDIS_RX_HEADROOM, 70, &info);
		assert_int_equal(length, RNDIS_RX_HEADROOM + 70);
		assert_int_equal(netvsc_frame_parse(bytes, length, &rx), 0);
		assert_int_equal(rx.data_offset, RNDIS_RX_HEADROOM);
		assert_int_equal(rx.data_length, 70);
		assert_int_equal(rx.csum, info.has_csum);
		assert_int_equal(rx.vlan, info.has_vlan);
		assert_int_equal(rx.hash, info.has_hash);
		assert_int_equal(rx.rsc, info.has_rsc);
	}
}

/* A header that two pieces share, as guests with many VPs send it. */
static void test_split_header(void **state)
{
	uint8_t bytes[200] = {0};
	const struct netvsc_tx tx = {.length = 60, .csum = true};
	uint32_t len = netvsc_frame_header(bytes, &tx, 0) + 60;
	struct rndis_frame frame;

	for (uint32_t at = 1; at < len; at++) {
		struct iovec iov[2] = {{bytes, at}, {bytes + at, len - at}};
		struct rndis_stream s = {.iov = iov, .iov_count = 2, .left = len};

		assert_int_equal(rndis_frame_parse(&s, &frame), 0);
		assert_true(frame.info.has_csum);
		s.left = at;
		assert_int_equal(rndis_frame_parse(&s, &frame), -EINVAL);
	}
}

static void test_vlan(void **state)
{
	for (uint32_t tci = 0; tci < 0x10000; tci++)
		assert_int_equal(rndis_vlan_to_tci(rndis_vlan_from_tci((uint16_t)tci)), tci);
	assert_int_equal(rndis_vlan_to_tci(5 << 4), 5);
	assert_int_equal(rndis_vlan_to_tci(7), 0xE000);
	assert_int_equal(rndis_vlan_to_tci(8), 0x1000);
}

/* ---- RSS ----------------------------------------------------------------- */

/* The key and the values of Microsoft's "Verifying the RSS Hash Calculation". */
static const uint8_t key[RSS_KEY_SIZE] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41,
	0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4,
	0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01,
	0xfa};

static void test_toeplitz(void **state)
{
	static const struct {
		uint8_t input[12];
		uint32_t addresses, ports;
	} known[] = {
		{{66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6}, 0x323e8fc2,
			0x51ccc178},
		{{199, 92, 111, 2, 65, 69, 140, 83, 0x37, 0x96, 0x12, 0x83}, 0xd718262a,
			0xc626b0ea},
		{{24, 19, 198, 95, 12, 22, 207, 184, 0x32, 0x62, 0x94, 0x88}, 0xd2d0a5de,
			0x5c2b394a},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(rss_toeplitz(key, known[i].input, 8), known[i].addresses);
		assert_int_equal(rss_toeplitz(key, known[i].input, 12), known[i].ports);
	}
}

static void test_rss_parameters(void **state)
{
	struct {
		struct ndis_rss_parameters p;
		uint8_t key[RSS_KEY_SIZE];
		uint32_t table[8];
	} r = {.p = {.header = {NDIS_OBJECT_RSS_PARAMETERS, 2, 40},
		       .hash_information = NDIS_HASH_TOEPLITZ | NDIS_HASH_TCP4,
		       .table_size = sizeof(r.table),
		       .table_offset = offsetof(__typeof__(r), table),
		       .key_size = RSS_KEY_SIZE,
		       .key_offset = offsetof(__typeof__(r), key)}};
	struct rss rss = {0};

	memcpy(r.key, key, sizeof(key));
	for (uint32_t i = 0; i < 8; i++)
		r.table[i] = i % 3;
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, sizeof(r), 3), RNDIS_STATUS_SUCCESS);
	assert_true(rss.enabled);
	assert_memory_equal(rss.key, key, sizeof(key));
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(rss_channel(&rss, i, 3), i % 8 % 3);
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, sizeof(r), 2), RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, sizeof(r) - 1, 3), RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, 39, 3), RNDIS_STATUS_INVALID_LENGTH);
	assert_true(rss.enabled);
	memset(r.key, 0, sizeof(r.key));
	r.p.flags = NDIS_RSS_KEY_UNCHANGED | NDIS_RSS_TABLE_UNCHANGED;
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, sizeof(r), 2), RNDIS_STATUS_SUCCESS);
	assert_memory_equal(rss.key, key, sizeof(key));
	r.p.flags = NDIS_RSS_DISABLE;
	assert_int_equal(rss_set(&rss, (uint8_t *)&r, 40, 3), RNDIS_STATUS_SUCCESS);
	assert_false(rss.enabled);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stream),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_split_header),
		cmocka_unit_test(test_vlan),
		cmocka_unit_test(test_toeplitz),
		cmocka_unit_test(test_rss_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
