/* SPDX-License-Identifier: MIT */
/*
 * Guests that lie: each item of the spec sheet's list (section 11) that a guest can
 * reach, and the classes of faults that other hosts had. After each, an honest
 * frame must pass, or the device must be rescinded and offered again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/vmbus_guids.h"
#include "tests/support/netvsp_rig.h"

#define FIELD(member)     offsetof(struct rndis_packet, member)
#define PPI               sizeof(struct rndis_packet)
#define PPI_FIELD(member) (PPI + offsetof(struct rndis_ppi, member))
#define PPI_VALUE         (PPI + sizeof(struct rndis_ppi))
#define DATA              (PPI_VALUE + 4)
#define FRAME             60u
#define MESSAGE           (DATA + FRAME)

static const struct hv_guid nic_class = VMBUS_GUID_NIC;

static struct netvsp_rig *start(uint32_t version, uint32_t vps)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", vps, 2, NULL);

	guest_nic_open(&rig->n, version, vps - 1, true);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED | NDIS_FILTER_BROADCAST);
	if (rig->n.channel_count > 1)
		guest_nic_set_rss(&rig->n);
	return rig;
}

static void honest_frame(struct guest_nic *n)
{
	uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = sizeof(bytes)};
	uint64_t frames = n->frames;

	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &tx, bytes));
	guest_nic_wait_sent(n);
	assert_int_equal(n->last_status, NVSP_STATUS_SUCCESS);
	guest_nic_wait_frames(n, frames + 1);
}

static void stop(struct netvsp_rig *rig)
{
	honest_frame(&rig->n);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
}

/* ---- frames -------------------------------------------------------------- */

static void put32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* A TCP segment with a checksum PPI; all of it is right. */
static void good_message(uint8_t bytes[MESSAGE])
{
	static const uint8_t frame[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0, /* */
		0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,           /* */
		0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10};
	const struct netvsc_tx tx = {.length = FRAME,
		.csum = true,
		.csum_value = RNDIS_CSUM_TX_IPV4 | RNDIS_CSUM_TX_TCP};

	assert_int_equal(netvsc_frame_header(bytes, &tx, 0), DATA);
	memcpy(bytes + DATA, frame, FRAME);
}

static const struct lie {
	const char *name;
	uint32_t offset, value;
} lies[] = {
	{"message of another type", FIELD(header.type), RNDIS_INIT},
	{"message length 0", FIELD(header.length), 0},
	{"message shorter than its header", FIELD(header.length), 43},
	{"message longer than the packet", FIELD(header.length), MESSAGE + 1},
	{"bytes behind the last message", FIELD(header.length), MESSAGE - 4},
	{"message length of 4 GiB", FIELD(header.length), 0xFFFFFFFF},
	{"data in the header", FIELD(data_offset), 0},
	{"data behind the message", FIELD(data_offset), MESSAGE},
	{"data offset that overflows", FIELD(data_offset), 0xFFFFFFF8},
	{"data length of a byte too many", FIELD(data_length), FRAME + 1},
	{"data length that overflows", FIELD(data_length), 0xFFFFFFFF},
	{"frame of 13 bytes", FIELD(data_length), 13},
	{"frame without bytes", FIELD(data_length), 0},
	{"out of band data", FIELD(oob_length), 4},
	{"out of band elements", FIELD(oob_count), 1},
	{"PPIs in the header", FIELD(ppi_offset), 0},
	{"PPIs behind the message", FIELD(ppi_offset), MESSAGE},
	{"PPI offset that overflows", FIELD(ppi_offset), 0xFFFFFFF0},
	{"PPIs longer than the message", FIELD(ppi_length), MESSAGE},
	{"PPI length that overflows", FIELD(ppi_length), 0xFFFFFFFF},
	{"half a PPI", FIELD(ppi_length), 8},
	{"PPI of size 0, an endless loop elsewhere", PPI_FIELD(size), 0},
	{"PPI smaller than its header", PPI_FIELD(size), 11},
	{"PPI longer than the list", PPI_FIELD(size), 17},
	{"PPI of 4 GiB", PPI_FIELD(size), 0xFFFFFFFF},
	{"checksum of IPv4 and IPv6", PPI_VALUE, 0x07},
	{"checksum of no IP", PPI_VALUE, RNDIS_CSUM_TX_TCP},
	{"checksum of TCP and UDP", PPI_VALUE, 0x0D},
	{"checksum of UDP in TCP", PPI_VALUE, 0x09},
	{"checksum of IPv6 in IPv4", PPI_VALUE, 0x06},
	{"IP longer than the frame", DATA + 16, 0xFFFF},
	{"IP header of 0 bytes", DATA + 14, 0x00000040},
	{"TCP header of 0 bytes", DATA + 44, 0},
};

static const uint32_t lso_lies[] = {
	RNDIS_LSO_V2,                         /* MSS 0 */
	RNDIS_LSO_V2 | 1,                     /* thousands of segments */
	RNDIS_LSO_V2 | 7,                     /* below the least */
	RNDIS_LSO_V2 | 0xFFFFF,               /* more than 16 bits */
	RNDIS_LSO_V2 | RNDIS_LSO_IPV6 | 1000, /* not IPv6 */
	1000,                                 /* version 1 */
};

static void refused(struct netvsp_rig *rig, const char *name, uint32_t index, uint32_t size,
	const uint8_t *bytes, uint32_t len)
{
	uint64_t before = netvsp_rig_counters(rig).tx_frames;

	assert_true(guest_nic_send_raw(&rig->n, 0, index, size, bytes, len));
	guest_nic_wait_sent(&rig->n);
	if (rig->n.last_status == NVSP_STATUS_SUCCESS)
		fail_msg("%s: was accepted", name);
	assert_int_equal(netvsp_rig_counters(rig).tx_frames, before);
}

static void test_frames(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	uint8_t bytes[MESSAGE];

	good_message(bytes);
	assert_true(guest_nic_send_raw(&rig->n, 0, 0, MESSAGE, bytes, MESSAGE));
	guest_nic_wait_sent(&rig->n);
	assert_int_equal(rig->n.last_status, NVSP_STATUS_SUCCESS);
	for (uint32_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		good_message(bytes);
		put32(bytes + lies[i].offset, lies[i].value);
		refused(rig, lies[i].name, 0, MESSAGE, bytes, MESSAGE);
	}
	for (uint32_t i = 0; i < sizeof(lso_lies) / sizeof(lso_lies[0]); i++) {
		good_message(bytes);
		put32(bytes + PPI_FIELD(type), RNDIS_PPI_LSO);
		put32(bytes + PPI_VALUE, lso_lies[i]);
		refused(rig, "LSO", 0, MESSAGE, bytes, MESSAGE);
	}
	stop(rig);
}

static void test_sections(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	uint32_t sections = rig->n.conn.send_sections, size = rig->n.conn.send_section_size;
	uint8_t bytes[MESSAGE];

	good_message(bytes);
	refused(rig, "section behind the last", sections, MESSAGE, bytes, MESSAGE);
	refused(rig, "section that overflows", 0xFFFFFFFE, MESSAGE, bytes, MESSAGE);
	refused(rig, "more than a section", 0, size + 1, bytes, MESSAGE);
	refused(rig, "section of 4 GiB", 0, 0xFFFFFFFF, bytes, MESSAGE);
	refused(rig, "nothing", 0, 0, bytes, MESSAGE);
	refused(rig, "no section and no pages", NVSP_SECTION_NONE, 0, bytes, 0);
	refused(rig, "half a header", 0, 40, bytes, MESSAGE);
	stop(rig);
}

static void test_too_many_messages(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	uint8_t bytes[9 * MESSAGE];

	for (uint32_t i = 0; i < 9; i++)
		good_message(bytes + i * MESSAGE);
	assert_true(guest_nic_send_raw(&rig->n, 0, 0, 8 * MESSAGE, bytes, 8 * MESSAGE));
	guest_nic_wait_sent(&rig->n);
	assert_int_equal(rig->n.last_status, NVSP_STATUS_SUCCESS);
	assert_true(guest_nic_send_raw(&rig->n, 0, 0, 9 * MESSAGE, bytes, 9 * MESSAGE));
	guest_nic_wait_sent(&rig->n);
	assert_int_not_equal(rig->n.last_status, NVSP_STATUS_SUCCESS);
	stop(rig);
}

/* ---- NVSP ---------------------------------------------------------------- */

static uint32_t ask(
	struct guest_nic *n, const struct nvsp_message *m, uint32_t len, struct nvsp_message *reply)
{
	memset(reply, 0, sizeof(*reply));
	return guest_nic_nvsp(n, m, len, true, reply);
}

static void test_before_init(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	struct nvsp_message m = {0}, reply;

	guest_nic_open_primary(n);
	netvsc_conn_init(&n->conn, NVSP_VERSION_6_1);
	for (uint32_t type = 2; type < 140; type++) {
		m = (struct nvsp_message){
			.type = type, .rndis_pkt.channel_type = NVSP_CHANNEL_CONTROL};
		assert_int_equal(ask(n, &m, NVSP_SIZE, &reply) && reply.type != 0 &&
					 reply.type != NVSP_SEND_RNDIS_PKT_COMPLETE,
			0);
	}
	m = (struct nvsp_message){.type = NVSP_INIT, .init = {0x70000, 0x80000}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.type, NVSP_INIT_COMPLETE);
	assert_int_not_equal(reply.init_complete.status, NVSP_STATUS_SUCCESS);
	guest_nic_close_channels(n);
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

static void test_nvsp_lies(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 2);
	struct guest_nic *n = &rig->n;
	struct nvsp_message m, reply;

	m = (struct nvsp_message){.type = NVSP_INIT, .init = {NVSP_VERSION_1, NVSP_VERSION_1}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_not_equal(reply.init_complete.status, NVSP_STATUS_SUCCESS);
	m = (struct nvsp_message){.type = NVSP_SEND_RECV_BUF, .send_buf = {n->recv_gpadl, 1, 0}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.recv_buf_complete.status, NVSP_STATUS_FAIL);
	m = (struct nvsp_message){.type = NVSP_SEND_SEND_BUF, .send_buf = {n->send_gpadl, 1, 0}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.send_buf_complete.status, NVSP_STATUS_FAIL);
	m = (struct nvsp_message){.type = NVSP_SUBCHANNEL, .subchannel = {1, 1}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.subchannel.op, NVSP_STATUS_FAIL);
	assert_int_equal(reply.subchannel.count, 0);
	m = (struct nvsp_message){.type = NVSP_SEND_NDIS_CONFIG, .ndis_config = {.mtu = 60000}};
	ask(n, &m, NVSP_SIZE, &reply); /* its sections are cut: the MTU stays */
	m = (struct nvsp_message){.type = NVSP_REVOKE_RECV_BUF, .revoke_buf.id = 1};
	ask(n, &m, NVSP_SIZE, &reply);
	m.type = 0x7FFFFFFF;
	assert_int_equal(ask(n, &m, 8, &reply), 0);
	m.type = NVSP_SEND_RECV_BUF;
	assert_int_equal(ask(n, &m, 8, &reply), 0);
	m.type = NVSP_SWITCH_DATA_PATH;
	assert_int_equal(ask(n, &m, NVSP_SIZE, &reply), 0);
	m.type = NVSP_OID_QUERY_EX;
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.oid_query_ex_complete.status, RNDIS_STATUS_NOT_SUPPORTED);
	stop(rig);
}

static void test_buffers(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	struct nvsp_message m, reply;
	uint32_t small;

	guest_nic_open_primary(n);
	netvsc_conn_init(&n->conn, NVSP_VERSION_6_1);
	assert_int_equal(guest_nic_step(n), 0);
	m = (struct nvsp_message){.type = NVSP_SEND_RECV_BUF, .send_buf = {0x12345, 1, 0}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.recv_buf_complete.status, NVSP_STATUS_FAIL);
	small = guest_nic_gpadl(n, n->slots_gpa, 32 * HV_PAGE_SIZE - HV_PAGE_SIZE);
	m.send_buf.gpadl = small;
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.recv_buf_complete.status, NVSP_STATUS_FAIL);
	m = (struct nvsp_message){.type = NVSP_SEND_SEND_BUF, .send_buf = {small, 1, 0}};
	ask(n, &m, NVSP_SIZE, &reply); /* the pages of another buffer: the guest's own affair */
	guest_nic_tear_down(n, small);
	m = (struct nvsp_message){.type = NVSP_SEND_SEND_BUF, .send_buf = {0x12345, 1, 0}};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.send_buf_complete.status, NVSP_STATUS_FAIL);
	guest_nic_close_channels(n);
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

static void test_sub_channel_counts(void **state)
{
	static const struct nvsp_subchannel wrong[] = {{1, 0}, {2, 1}, {0, 1}};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 4, 2, NULL);
	struct guest_nic *n = &rig->n;
	struct nvsp_message m = {.type = NVSP_SUBCHANNEL}, reply;

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	for (uint32_t i = 0; i < 3; i++) {
		m.subchannel = wrong[i];
		ask(n, &m, NVSP_SIZE, &reply);
		assert_int_equal(reply.subchannel.op, NVSP_STATUS_FAIL);
	}
	m.subchannel = (struct nvsp_subchannel){1, 0xFFFFFFFF};
	ask(n, &m, NVSP_SIZE, &reply);
	assert_int_equal(reply.subchannel.op, NVSP_STATUS_SUCCESS);
	assert_int_equal(reply.subchannel.count, 3);
	guest_wait_offer(n->g, &nic_class, n->instance, 3);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	honest_frame(n);
	for (uint16_t i = 1; i <= 3; i++) { /* never opened */
		n->channels[i].offer = guest_wait_offer(n->g, &nic_class, n->instance, i);
		n->channel_count++;
	}
	guest_nic_close_channels(n);
	netvsp_rig_destroy(rig);
}

/* ---- RNDIS --------------------------------------------------------------- */

static uint32_t control_status(struct guest_nic *n, const void *bytes, uint32_t len)
{
	n->last_status = 0;
	guest_nic_control(n, bytes, len);
	while (!n->last_status)
		if (!guest_nic_poll(n))
			guest_chan_signal(&n->channels[0]);
	return n->last_status;
}

static void test_rndis_lies(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 2);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[64] = {0};
	struct rndis_oid_request q = {
		.header = {RNDIS_QUERY, sizeof(q)}, .oid = OID_802_3_CURRENT_ADDRESS};

	assert_int_equal(control_status(n, bytes, 4), NVSP_STATUS_INVALID_RNDIS);
	q.header.length = sizeof(q) + 1;
	assert_int_equal(control_status(n, &q, sizeof(q)), NVSP_STATUS_INVALID_RNDIS);
	q.header.length = sizeof(q) - 1;
	assert_int_equal(control_status(n, &q, sizeof(q)), NVSP_STATUS_INVALID_RNDIS);
	q.header = (struct rndis_header){0x55, sizeof(q)};
	assert_int_equal(control_status(n, &q, sizeof(q)), NVSP_STATUS_INVALID_RNDIS);
	q.header.type = RNDIS_QUERY;
	for (uint32_t i = 0; i < 4; i++) {
		static const uint32_t ranges[4][2] = {
			{20, 1}, {0xFFFFFFF0, 16}, {21, 0xFFFFFFFF}, {0x7FFFFFFF, 0x80000001}};
		struct netvsc_control a;

		q.info_offset = ranges[i][0];
		q.info_length = ranges[i][1];
		guest_nic_control(n, &q, sizeof(q));
		a = guest_nic_reply(n);
		assert_int_equal(a.status, RNDIS_STATUS_INVALID_DATA);
		assert_int_equal(a.info_len, 0);
	}
	stop(rig);
}

static void test_oid_lies(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 2);
	struct guest_nic *n = &rig->n;
	struct {
		struct ndis_rss_parameters p;
		uint32_t table[4];
	} rss = {.p = {.header = {NDIS_OBJECT_RSS_PARAMETERS, 2, 40},
			 .hash_information = NDIS_HASH_TOEPLITZ | NDIS_HASH_TCP4,
			 .table_size = 16,
			 .table_offset = 40}};
	struct ndis_config_parameter c = {.name_offset = 20, .name_length = 1};
	const uint8_t *info;
	uint32_t len, value = 1;

	assert_int_equal(guest_nic_query(n, 0xDEADBEEF, &info, &len), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(guest_nic_set(n, 0xDEADBEEF, &value, 4), RNDIS_STATUS_NOT_SUPPORTED);
	assert_int_equal(guest_nic_set(n, OID_GEN_CURRENT_PACKET_FILTER, &value, 3),
		RNDIS_STATUS_INVALID_LENGTH);
	rss.table[3] = 2; /* there are two channels */
	assert_int_equal(guest_nic_set(n, OID_GEN_RSS_PARAMETERS, &rss, sizeof(rss)),
		RNDIS_STATUS_INVALID_DATA);
	rss.table[3] = 0;
	rss.p.table_offset = 0xFFFFFFF0;
	assert_int_equal(guest_nic_set(n, OID_GEN_RSS_PARAMETERS, &rss, sizeof(rss)),
		RNDIS_STATUS_INVALID_DATA);
	rss.p.table_offset = 40;
	rss.p.key_size = 41;
	assert_int_equal(guest_nic_set(n, OID_GEN_RSS_PARAMETERS, &rss, sizeof(rss)),
		RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(guest_nic_set(n, OID_GEN_CONFIG_PARAMETER, &c, sizeof(c)),
		RNDIS_STATUS_INVALID_DATA);
	c.name_offset = 0xFFFFFFFF;
	assert_int_equal(guest_nic_set(n, OID_GEN_CONFIG_PARAMETER, &c, sizeof(c)),
		RNDIS_STATUS_INVALID_DATA);
	assert_int_equal(guest_nic_set(n, OID_802_3_MULTICAST_LIST, rss.table, 7),
		RNDIS_STATUS_INVALID_LENGTH);
	stop(rig);
}

/* Every OID of the list answers, with a length that no guest finds too long. */
static void test_all_oids(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 2);
	const uint8_t *info;
	uint32_t list[150], len, answered = 0;

	assert_int_equal(guest_nic_query(&rig->n, OID_GEN_SUPPORTED_LIST, &info, &len), 0);
	assert_true(len <= sizeof(list));
	memcpy(list, info, len);
	for (uint32_t i = 0, count = len / 4; i < count; i++)
		answered += !guest_nic_query(&rig->n, list[i], &info, &len);
	assert_true(answered > 50);
	stop(rig);
}

/* ---- protocol faults: the device is rescinded, and offered again --------- */

static void rescinded(struct netvsp_rig *rig)
{
	struct guest_nic *n = &rig->n;

	guest_wait_rescind(&rig->g, n->channels[0].offer.relid);
	for (uint32_t i = 0; i < n->channel_count; i++)
		guest_chan_forget(&n->channels[i]);
	for (uint32_t i = n->channel_count; i-- > 0;)
		guest_release(&rig->g, n->channels[i].offer.relid);
	n->channel_count = n->busy = n->held_count = 0;
	n->sections_used = 0;
	memset(n->slots, 0, sizeof(n->slots));
	n->hold = n->control_there = n->nvsp_there = false;
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

static void complete(struct guest_nic *n, uint64_t id)
{
	const struct nvsp_message m = {.type = NVSP_SEND_RNDIS_PKT_COMPLETE, .status = 1};

	guest_chan_send(&n->channels[0], VMBUS_PKT_COMPLETION, 0, id, NULL, &m, 8);
}

static void test_completion_of_nothing(void **state)
{
	static const uint64_t ids[] = {0, 31, 32, 5000, 0xFFFF, UINT64_MAX};

	for (uint32_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);

		complete(&rig->n, ids[i]);
		rescinded(rig);
	}
}

static void test_completion_twice(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	uint64_t id;

	rig->n.hold = true;
	honest_frame(&rig->n);
	id = rig->n.held[0].id;
	complete(&rig->n, id);
	complete(&rig->n, id);
	rescinded(rig);
}

static void test_packet_type(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	uint8_t bytes[32] = {0};

	guest_chan_send(&rig->n.channels[0], VMBUS_PKT_XFER_PAGES, 0, 1, NULL, bytes, 32);
	rescinded(rig);
}

static void test_control_on_sub_channel(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 2);
	const struct nvsp_message m = {
		.type = NVSP_SEND_RNDIS_PKT, .rndis_pkt = {NVSP_CHANNEL_CONTROL, 0, 28}};

	guest_chan_send(&rig->n.channels[1], VMBUS_PKT_INBAND, 1, 1, NULL, &m, NVSP_SIZE);
	rescinded(rig);
}

/* ---- guests that keep, and guests that leave ----------------------------- */

/* A guest that never returns sections gets no more frames, but can still send. */
static void test_sections_kept(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = sizeof(bytes)};

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	n->hold = true;
	for (uint32_t i = 0; i < 258; i++) {
		assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
		guest_nic_wait_sent(n); /* the echo is dropped after a second at most */
	}
	assert_true(netvsp_rig_counters(rig).rx_starved > 0);
	guest_nic_release(n);
	honest_frame(n);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* Leaves with everything under way: no revoke, no halt, transfers not completed. */
static void test_leave(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop,delay=3ms", 4, 2, NULL);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = sizeof(bytes)};

	for (uint32_t round = 0; round < 20; round++) {
		guest_nic_open(n, NVSP_VERSION_6_1, 3, round & 1);
		guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
		guest_nic_set_rss(n);
		n->hold = true;
		for (uint32_t i = 0; i < 60; i++)
			assert_true(guest_nic_send(n, i % 4, i % NIC_LAYOUTS, &tx, bytes));
		if (round & 2)
			guest_nic_poll(n);
		guest_nic_close_channels(n);
		n->hold = false;
	}
	guest_nic_open(n, NVSP_VERSION_6_1, 3, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

/* ---- settings of the host ------------------------------------------------ */

static void test_mac_lock(void **state)
{
	const struct netvsp_config config = {.mac = {2, 0, 0, 0, 0, 0xcc}, .mac_lock = true};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, &config);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[FRAME] = {2, 0, 0, 0, 0, 0xcc, 2, 0, 0, 0, 0, 0xcc, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = sizeof(bytes)};

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
	guest_nic_wait_frames(n, 1);
	bytes[11] = 0xdd;
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
	guest_nic_wait_sent(n);
	assert_int_equal(netvsp_rig_counters(rig).tx_invalid, 1);
	assert_int_equal(netvsp_rig_counters(rig).tx_spoofed, 1);
	assert_int_equal(netvsp_rig_counters(rig).tx_frames, 1);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* The switch behind takes the outer tag off: an inner one would choose another VLAN there. */
static void test_tag_behind_the_vlan(void **state)
{
	static const uint8_t types[][2] = {{0x81, 0}, {0x88, 0xa8}};
	const struct netvsp_config config = {.mac = {2, 0, 0, 0, 0, 0xcc}, .vlan = 7};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, &config);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[FRAME] = {
		2, 0, 0, 0, 0, 0xcc, 2, 0, 0, 0, 0, 0xcc, 0x88, 0xb5, 0, 9, 0x88, 0xb5};
	struct netvsc_tx tx = {.length = sizeof(bytes)};

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
	guest_nic_wait_frames(n, 1);
	for (uint32_t i = 0; i < 2; i++) {
		memcpy(bytes + 12, types[i], 2);
		assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
		guest_nic_wait_sent(n);
		assert_int_equal(n->last_status, NVSP_STATUS_SUCCESS);
		assert_int_equal(netvsp_rig_counters(rig).tx_spoofed, i + 1);
	}
	assert_int_equal(netvsp_rig_counters(rig).tx_frames, 1);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

static void set_link(void *arg)
{
	static bool up = true;
	struct netvsp_rig *rig = arg;

	up = !up;
	netvsp_set_link(rig->dev, up);
}

static void test_link(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1, 1);
	struct guest_nic *n = &rig->n;

	for (uint32_t i = 0; i < 20; i++) {
		uint64_t seen = n->indications;

		guest_control(&rig->g, set_link, rig);
		while (n->indications == seen)
			if (!guest_nic_poll(n))
				guest_chan_signal(&n->channels[0]);
		assert_int_equal(n->last_indication,
			i & 1 ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT);
	}
	stop(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_sections),
		cmocka_unit_test(test_too_many_messages),
		cmocka_unit_test(test_before_init),
		cmocka_unit_test(test_nvsp_lies),
		cmocka_unit_test(test_buffers),
		cmocka_unit_test(test_sub_channel_counts),
		cmocka_unit_test(test_rndis_lies),
		cmocka_unit_test(test_oid_lies),
		cmocka_unit_test(test_all_oids),
		cmocka_unit_test(test_completion_of_nothing),
		cmocka_unit_test(test_completion_twice),
		cmocka_unit_test(test_packet_type),
		cmocka_unit_test(test_control_on_sub_channel),
		cmocka_unit_test(test_sections_kept),
		cmocka_unit_test(test_leave),
		cmocka_unit_test(test_mac_lock),
		cmocka_unit_test(test_tag_behind_the_vlan),
		cmocka_unit_test(test_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
