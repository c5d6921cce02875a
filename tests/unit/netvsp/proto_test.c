/* SPDX-License-Identifier: MIT */
/* The guest's protocol half against hostile hosts; and what it sends, as our host reads it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest/netvsc/proto.h"
#include "vsp/netvsp/rss.h"

#define CHANNELS 4u

/* ---- a host that answers ------------------------------------------------- */

struct answers {
	struct nvsp_message nvsp;
	uint32_t info[64]; /* of a QUERY */
	uint32_t info_len;
};

static void put_offload(struct answers *a, uint32_t csum4, uint32_t lso_encapsulation)
{
	struct ndis_offload o = {
		.header = {NDIS_OBJECT_OFFLOAD, 3, sizeof(o)},
		.csum = {.tx4_encapsulation = NDIS_ENCAPSULATION_802_3,
			.tx4 = csum4,
			.tx6_encapsulation = NDIS_ENCAPSULATION_802_3,
			.tx6 = NDIS_CSUM_TCP | NDIS_CSUM_TCP_OPTIONS | NDIS_CSUM_UDP},
		.lso2 = {.encapsulation4 = lso_encapsulation,
			.size_max4 = 0xFFFFFFFFu,
			.encapsulation6 = NDIS_ENCAPSULATION_802_3,
			.size_max6 = 62780,
			.options6 = NDIS_LSO6_TCP_OPTIONS},
		.rsc4 = 1,
		.rsc6 = 1,
	};

	a->info_len = sizeof(o);
	memcpy(a->info, &o, sizeof(o));
}

static void put_rss_caps(struct answers *a, uint32_t queues, uint16_t entries)
{
	const struct ndis_rss_capabilities caps = {
		.header = {NDIS_OBJECT_RSS_CAPABILITIES, 2, sizeof(caps)},
		.queues = queues,
		.table_entries = entries,
	};

	a->info_len = sizeof(caps);
	memcpy(a->info, &caps, sizeof(caps));
}

/* What an honest host says in each state. */
static struct answers honest(const struct netvsc_conn *conn)
{
	struct answers a = {.info_len = 4};

	switch (conn->state) {
	case NETVSC_VERSION:
		a.nvsp.type = NVSP_INIT_COMPLETE;
		a.nvsp.init_complete.status = NVSP_STATUS_SUCCESS;
		break;
	case NETVSC_RECV_BUF:
		a.nvsp.type = NVSP_SEND_RECV_BUF_COMPLETE;
		a.nvsp.recv_buf_complete = (struct nvsp_recv_buf_complete){
			.status = NVSP_STATUS_SUCCESS,
			.section_count = 1,
			.sub_alloc_size = 1806,
			.sub_alloc_count = 100,
		};
		break;
	case NETVSC_SEND_BUF:
		a.nvsp.type = NVSP_SEND_SEND_BUF_COMPLETE;
		a.nvsp.send_buf_complete =
			(struct nvsp_send_buf_complete){NVSP_STATUS_SUCCESS, 6144};
		break;
	case NETVSC_SUB_CHANNELS:
		a.nvsp.type = NVSP_SUBCHANNEL;
		a.nvsp.subchannel =
			(struct nvsp_subchannel){NVSP_STATUS_SUCCESS, conn->sub_channels};
		break;
	case NETVSC_MTU:
		a.info[0] = 1500;
		break;
	case NETVSC_MAC:
		a.info_len = 6;
		a.info[0] = 0x12005452;
		break;
	case NETVSC_CAPS:
		put_offload(&a, 0x155, NDIS_ENCAPSULATION_802_3);
		break;
	case NETVSC_RSS_CAPS:
		put_rss_caps(&a, 8, 128);
		break;
	default:
		break;
	}
	return a;
}

static int answer_init(struct netvsc_conn *conn, uint32_t packets, uint32_t shift)
{
	const struct rndis_init_complete r = {
		.header = {RNDIS_INIT | RNDIS_COMPLETE, sizeof(r)},
		.request_id = conn->request_id,
		.packets_max = packets,
		.alignment_shift = shift,
	};

	return netvsc_answer(conn, &r, sizeof(r));
}

static int answer_query(struct netvsc_conn *conn, const struct answers *a)
{
	struct {
		struct rndis_query_complete head;
		uint8_t info[256];
	} r = {.head = {.header = {RNDIS_QUERY | RNDIS_COMPLETE,
				(uint32_t)sizeof(r.head) + a->info_len},
		       .request_id = conn->request_id,
		       .info_length = a->info_len,
		       .info_offset = 16}};

	memcpy(r.info, a->info, a->info_len);
	return netvsc_answer(conn, &r, r.head.header.length);
}

static int answer(struct netvsc_conn *conn, const struct answers *a)
{
	const struct rndis_status_complete set = {
		.header = {RNDIS_SET | RNDIS_COMPLETE, sizeof(set)},
		.request_id = conn->request_id,
	};

	if (conn->state <= NETVSC_SEND_BUF || conn->state == NETVSC_SUB_CHANNELS)
		return netvsc_answer(conn, &a->nvsp, NVSP_SIZE);
	if (conn->state == NETVSC_RNDIS)
		return answer_init(conn, 8, 3);
	if (conn->state == NETVSC_OFFLOAD)
		return netvsc_answer(conn, &set, sizeof(set));
	return answer_query(conn, a);
}

/* A connection that has sent its request in this state, and waits. */
static struct netvsc_conn at(enum netvsc_state state)
{
	struct netvsc_conn conn;
	struct netvsc_step step;
	struct answers a;

	assert_int_equal(netvsc_conn_init(&conn, NVSP_VERSION_6_1), 0);
	conn.sub_channels = CHANNELS - 1;
	conn.recv_bytes = 100 * 1806;
	conn.send_bytes = 1u << 20;
	conn.rsc = true;
	for (;;) {
		enum netvsc_state now = conn.state;

		if (now == NETVSC_DONE)
			return conn;
		netvsc_step(&conn, &step);
		if (now == state)
			return conn;
		a = honest(&conn);
		if (step.answer)
			assert_int_equal(answer(&conn, &a), 0);
	}
}

/* ---- the start of a connection ------------------------------------------- */

static void connects(void **state)
{
	struct netvsc_conn conn = at(NETVSC_DONE);

	assert_int_equal(conn.sub_channels, CHANNELS - 1);
	assert_int_equal(conn.queues_max, 8);
	assert_int_equal(conn.rss_entries, 128);
	assert_int_equal(conn.sections, 100);
	assert_int_equal(conn.send_sections, (1u << 20) / 6144);
	assert_true(conn.host_rsc);
	assert_true(conn.offloads.tcp4 && conn.offloads.udp4 && conn.offloads.tcp6 &&
		    conn.offloads.udp6);
	assert_int_equal(conn.offloads.lso4_max, 65535); /* what a frame's length can say */
	assert_int_equal(conn.offloads.lso6_max, 62780);
}

static void offloads_need_what_they_use(void **state)
{
	struct netvsc_conn conn = at(NETVSC_CAPS);
	struct answers a = {.info_len = 0};

	put_offload(&a, NDIS_CSUM_TCP | NDIS_CSUM_UDP, NDIS_ENCAPSULATION_802_3);
	assert_int_equal(answer(&conn, &a), 0);
	assert_false(conn.offloads.tcp4); /* not with TCP options */
	assert_true(conn.offloads.udp4);
	assert_int_equal(conn.offloads.lso4_max, 0);
	conn = at(NETVSC_CAPS);
	put_offload(&a, 0x155, 0);
	assert_int_equal(answer(&conn, &a), 0);
	assert_true(conn.offloads.tcp4);
	assert_int_equal(conn.offloads.lso4_max, 0);
}

static int answer_recv(uint32_t sections, uint32_t offset, uint32_t size, uint32_t count)
{
	struct netvsc_conn conn = at(NETVSC_RECV_BUF);
	struct answers a = honest(&conn);

	a.nvsp.recv_buf_complete.section_count = sections;
	a.nvsp.recv_buf_complete.offset = offset;
	a.nvsp.recv_buf_complete.sub_alloc_size = size;
	a.nvsp.recv_buf_complete.sub_alloc_count = count;
	return answer(&conn, &a);
}

static void sections_are_inside_the_buffer(void **state)
{
	assert_int_equal(answer_recv(1, 0, 1806, 100), 0);
	assert_int_equal(answer_recv(1, 0, 1806, 101), -EPROTO);
	assert_int_equal(answer_recv(1, 0, 0x80000000u, 2), -EPROTO); /* 0 in 32 bits */
	assert_int_equal(answer_recv(1, 0, NETVSC_SECTION_MIN - 1, 1), -EPROTO);
	assert_int_equal(answer_recv(2, 0, 1806, 100), -EPROTO);
	assert_int_equal(answer_recv(1, 4, 1806, 1), -EPROTO);
}

static void numbers_are_bounded(void **state)
{
	struct netvsc_conn conn = at(NETVSC_RNDIS);
	struct answers a;

	assert_int_equal(answer_init(&conn, 0, 3), -EPROTO);
	assert_int_equal(answer_init(&conn, 1000, 3), -EPROTO);
	assert_int_equal(answer_init(&conn, 8, 32), -EPROTO);
	conn = at(NETVSC_SUB_CHANNELS);
	a = honest(&conn);
	a.nvsp.subchannel.count = CHANNELS;
	assert_int_equal(answer(&conn, &a), -EPROTO);
	conn = at(NETVSC_RSS_CAPS);
	put_rss_caps(&a, 2, 0xFFFF);
	assert_int_equal(answer(&conn, &a), 0);
	assert_int_equal(conn.sub_channels, 1);
	assert_int_equal(conn.rss_entries, NETVSC_RSS_ENTRIES_MAX);
	conn = at(NETVSC_MTU);
	a = honest(&conn);
	a.info[0] = 65000; /* more than was asked for is not given */
	assert_int_equal(answer(&conn, &a), 0);
	assert_int_equal(conn.mtu, 1500);
}

/* An answer of another type, with the request's id, says nothing about what was asked. */
static void answers_have_the_type_of_their_request(void **state)
{
	static const enum netvsc_state states[] = {
		NETVSC_RNDIS, NETVSC_MTU, NETVSC_OFFLOAD, NETVSC_LINK};
	static const uint32_t types[] = {RNDIS_INIT, RNDIS_QUERY, RNDIS_SET, RNDIS_KEEPALIVE};
	static const uint32_t right[] = {RNDIS_INIT, RNDIS_QUERY, RNDIS_SET, RNDIS_QUERY};

	for (unsigned int i = 0; i < 4; i++)
		for (unsigned int type = 0; type < 4; type++) {
			struct netvsc_conn conn = at(states[i]);
			const struct rndis_init_complete r = {
				.header = {types[type] | RNDIS_COMPLETE, sizeof(r)},
				.request_id = conn.request_id,
				.packets_max = 8,
				.alignment_shift = 3,
			};

			if (types[type] == right[i])
				continue;
			assert_int_equal(netvsc_answer(&conn, &r, sizeof(r)), -EPROTO);
			assert_int_equal(conn.state, states[i]);
		}
}

static void old_hosts_take_small_buffers(void **state)
{
	struct netvsc_conn conn;

	assert_int_equal(netvsc_conn_init(&conn, NVSP_VERSION_2), 0);
	assert_int_equal(netvsc_recv_bytes(&conn, 16u << 20), 15u << 20);
	assert_int_equal(netvsc_conn_init(&conn, NVSP_VERSION_4), 0);
	assert_int_equal(netvsc_recv_bytes(&conn, 16u << 20), 16u << 20);
	assert_int_equal(netvsc_recv_bytes(&conn, 64u << 20), 31u << 20);
}

/* ---- packets ------------------------------------------------------------- */

struct transfer {
	struct vmbus_xfer_pages head;
	struct vmbus_xfer_range ranges[3];
};

static int parse_transfer(const struct transfer *t, uint32_t len, uint32_t type)
{
	const struct nvsp_message m = {.type = type};
	struct netvsc_transfer parsed;

	return netvsc_transfer_parse(t, len, &m, NVSP_SIZE, &parsed);
}

static void transfers(void **state)
{
	struct transfer t = {{NETVSC_RECV_ID, 0, 0, 3}, {{60, 0}, {60, 1806}, {1806, 99 * 1806}}};

	assert_int_equal(parse_transfer(&t, sizeof(t), NVSP_SEND_RNDIS_PKT), 0);
	assert_int_equal(parse_transfer(&t, sizeof(t) - 1, NVSP_SEND_RNDIS_PKT), -EPROTO);
	assert_int_equal(parse_transfer(&t, 7, NVSP_SEND_RNDIS_PKT), -EPROTO);
	assert_int_equal(parse_transfer(&t, sizeof(t), NVSP_SEND_RNDIS_PKT_COMPLETE), -EPROTO);
	t.head.range_count = 0;
	assert_int_equal(parse_transfer(&t, sizeof(t), NVSP_SEND_RNDIS_PKT), -EPROTO);
	t.head.range_count = 0x20000000u; /* 0 bytes in 32 bits */
	assert_int_equal(parse_transfer(&t, sizeof(t), NVSP_SEND_RNDIS_PKT), -EPROTO);
	t.head.range_count = 1;
	t.head.pageset_id = 0;
	assert_int_equal(parse_transfer(&t, sizeof(t), NVSP_SEND_RNDIS_PKT), -EPROTO);
}

static void ranges(void **state)
{
	struct netvsc_conn conn = at(NETVSC_DONE);
	const struct vmbus_xfer_range list[] = {
		{1806, 99 * 1806}, {1807, 0}, {60, 100 * 1806 - 59}, {1, 0xFFFFFFFFu}};
	const struct netvsc_transfer t = {(const uint8_t *)list, 4};
	struct vmbus_xfer_range range;

	assert_int_equal(netvsc_transfer_range(&conn, &t, 0, &range), 0);
	for (uint32_t i = 1; i < 4; i++)
		assert_int_equal(netvsc_transfer_range(&conn, &t, i, &range), -EPROTO);
}

static void completions(void **state)
{
	const uint32_t sent[] = {NVSP_SEND_RNDIS_PKT_COMPLETE, NVSP_STATUS_SUCCESS};
	const uint32_t refused[] = {NVSP_SEND_RNDIS_PKT_COMPLETE, NVSP_STATUS_FAIL};
	const uint32_t other[] = {NVSP_INIT_COMPLETE, NVSP_STATUS_SUCCESS};

	assert_int_equal(netvsc_sent_parse(sent, sizeof(sent)), 0);
	assert_int_equal(netvsc_sent_parse(sent, 7), -EPROTO);
	assert_int_equal(netvsc_sent_parse(refused, sizeof(refused)), -EIO);
	assert_int_equal(netvsc_sent_parse(other, sizeof(other)), -EPROTO);
}

/* ---- frames -------------------------------------------------------------- */

struct frame {
	struct rndis_packet head;
	struct rndis_ppi ppi;
	uint32_t value;
	uint8_t data[60];
};

static struct frame good_frame(void)
{
	return (struct frame){
		.head = {.header = {RNDIS_PACKET, sizeof(struct frame)},
			.data_offset = offsetof(struct frame, data) - 8,
			.data_length = 60,
			.ppi_offset = offsetof(struct frame, ppi) - 8,
			.ppi_length = 16},
		.ppi = {16, RNDIS_PPI_CSUM, 12},
		.value = RNDIS_CSUM_RX_TCP_OK,
	};
}

static int parse(const struct frame *f, uint32_t len)
{
	struct netvsc_rx rx;
	int err = netvsc_frame_parse(f, len, &rx);

	if (!err) {
		assert_true(rx.data_offset >= sizeof(f->head));
		assert_true((uint64_t)rx.data_offset + rx.data_length <= len);
		assert_true((uint64_t)rx.ppi_offset + rx.ppi_length <= len);
	}
	return err;
}

static void frames_that_lie(void **state)
{
	const uint32_t values[] = {0, 1, 3, 8, 12, 35, 36, 37, 44, 60, 61, 119, 120, 121, 256,
		0x7FFFFFFFu, 0x80000000u, 0xFFFFFFF8u, 0xFFFFFFFFu};
	struct frame f = good_frame();

	assert_int_equal(parse(&f, sizeof(f)), 0);
	assert_int_equal(parse(&f, sizeof(f) - 1), -EPROTO);
	for (uint32_t field = 0; field < sizeof(f.head) + sizeof(f.ppi); field += 4)
		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
			f = good_frame();
			memcpy((uint8_t *)&f + field, &values[i], 4);
			parse(&f, sizeof(f)); /* its assertions hold */
		}
	f = good_frame();
	f.ppi.size = 0; /* would never end */
	assert_int_equal(parse(&f, sizeof(f)), -EPROTO);
	f = good_frame();
	f.head.data_length = 61;
	assert_int_equal(parse(&f, sizeof(f)), -EPROTO);
}

/* A list of information elements that no stack buffer is made for. */
static void information_is_bounded(void **state)
{
	uint8_t bytes[512] = {0};
	struct rndis_packet p = {.header = {RNDIS_PACKET, sizeof(bytes)},
		.data_offset = 500 - 8,
		.data_length = 12,
		.ppi_offset = sizeof(p) - 8,
		.ppi_length = NETVSC_PPI_MAX + 4};
	struct netvsc_rx rx;

	memcpy(bytes, &p, sizeof(p));
	assert_int_equal(netvsc_frame_begin(bytes, sizeof(bytes), &rx), -EPROTO);
	p.ppi_length = NETVSC_PPI_MAX;
	memcpy(bytes, &p, sizeof(p));
	assert_int_equal(netvsc_frame_begin(bytes, sizeof(bytes), &rx), 0);
}

static void vlan_numbers(void **state)
{
	for (uint32_t tci = 0; tci < 0x10000; tci++)
		assert_int_equal(netvsc_vlan_to_tci(netvsc_vlan_from_tci((uint16_t)tci)), tci);
	assert_int_equal(netvsc_vlan_from_tci(5), 5u << 4);
	assert_int_equal(netvsc_vlan_from_tci(0xE000), 7);
}

/* ---- settings, as our host reads them ------------------------------------ */

static void rss_settings(void **state)
{
	struct netvsc_rss rss = {.on = true, .entries = 128};
	uint8_t message[NETVSC_RSS_MESSAGE_MAX];
	struct rndis_oid_request head;
	struct rss host = {0};
	uint32_t len;

	for (uint32_t i = 0; i < 128; i++)
		rss.table[i] = i % 3;
	memset(rss.key, 0xA5, sizeof(rss.key));
	len = netvsc_rss_message(message, 7, &rss);
	memcpy(&head, message, sizeof(head));
	assert_int_equal(head.header.length, len);
	assert_int_equal(head.oid, OID_GEN_RSS_PARAMETERS);
	assert_int_equal(rss_set(&host, message + sizeof(head), head.info_length, 3), 0);
	assert_true(host.enabled);
	assert_memory_equal(host.key, rss.key, sizeof(rss.key));
	for (uint32_t i = 0; i < 128; i++)
		assert_int_equal(rss_channel(&host, i, 3), i % 3);
	assert_false(host.hash_types & NDIS_HASH_UDP4);
	rss.udp4 = true;
	netvsc_rss_message(message, 8, &rss);
	assert_int_equal(rss_set(&host, message + sizeof(head), head.info_length, 3), 0);
	assert_true(host.hash_types & NDIS_HASH_UDP4);
	rss.on = false;
	netvsc_rss_message(message, 9, &rss);
	assert_int_equal(rss_set(&host, message + sizeof(head), head.info_length, 3), 0);
	assert_false(host.enabled);
}

static void mac_setting(void **state)
{
	static const uint8_t mac[6] = {0x02, 0xAB, 0x00, 0x9F, 0x10, 0xFE};
	static const char digits[] = "02AB009F10FE";
	uint8_t message[NETVSC_MAC_MESSAGE];
	struct ndis_config_parameter p;
	const uint8_t *info = message + sizeof(struct rndis_oid_request);

	assert_int_equal(netvsc_mac_message(message, 1, mac), sizeof(message));
	memcpy(&p, info, sizeof(p));
	assert_int_equal(p.value_length, 24);
	assert_int_equal(info + p.value_offset + p.value_length - message, sizeof(message));
	for (uint32_t i = 0; i < 12; i++) {
		assert_int_equal(info[p.value_offset + 2 * i], digits[i]);
		assert_int_equal(info[p.value_offset + 2 * i + 1], 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connects),
		cmocka_unit_test(offloads_need_what_they_use),
		cmocka_unit_test(sections_are_inside_the_buffer),
		cmocka_unit_test(numbers_are_bounded),
		cmocka_unit_test(answers_have_the_type_of_their_request),
		cmocka_unit_test(old_hosts_take_small_buffers),
		cmocka_unit_test(transfers),
		cmocka_unit_test(ranges),
		cmocka_unit_test(completions),
		cmocka_unit_test(frames_that_lie),
		cmocka_unit_test(information_is_bounded),
		cmocka_unit_test(vlan_numbers),
		cmocka_unit_test(rss_settings),
		cmocka_unit_test(mac_setting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
