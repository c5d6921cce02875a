/* SPDX-License-Identifier: MIT */
/*
 * Classes of faults that virtual switches of other hosts had, one test each, named
 * after the public report. After each an honest frame must pass.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/time.h"
#include "tests/support/netvsp_rig.h"

#define FRAME 60u

static const uint8_t frame[FRAME] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
static const struct netvsc_tx plain = {.length = FRAME};

static struct netvsp_rig *start(uint32_t channels)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", channels, 2, NULL);

	guest_nic_open(&rig->n, NVSP_VERSION_6_1, channels - 1, true);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED);
	if (channels > 1)
		guest_nic_set_rss(&rig->n);
	return rig;
}

static void stop(struct netvsp_rig *rig)
{
	uint64_t frames = rig->n.frames;

	assert_true(guest_nic_send(&rig->n, 0, NIC_LAYOUT_RANGES, &plain, frame));
	guest_nic_wait_frames(&rig->n, frames + 1);
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
}

/* ---- CVE-2010-3960, CVE-2011-1872: a packet costs too much --------------- */

/* As many elements of per-packet information as a message has room for. */
static void a_packet_full_of_ppis(void **state)
{
	struct netvsp_rig *rig = start(1);
	uint8_t bytes[6144] = {0};
	struct rndis_packet p = {.header = {RNDIS_PACKET, sizeof(bytes)}};
	const struct rndis_ppi ppi = {.size = sizeof(ppi), .type = 7, .offset = sizeof(ppi)};
	uint32_t end = sizeof(bytes) - FRAME, count = (end - sizeof(p)) / sizeof(ppi);

	p.data_offset = end - RNDIS_OFFSET_BASE;
	p.data_length = FRAME;
	p.ppi_offset = sizeof(p) - RNDIS_OFFSET_BASE;
	p.ppi_length = count * (uint32_t)sizeof(ppi);
	memcpy(bytes, &p, sizeof(p));
	for (uint32_t i = 0; i < count; i++)
		memcpy(bytes + sizeof(p) + i * sizeof(ppi), &ppi, sizeof(ppi));
	memcpy(bytes + end, frame, FRAME);
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(guest_nic_send_raw(&rig->n, 0, 0, sizeof(bytes), bytes, sizeof(bytes)));
		guest_nic_wait_sent(&rig->n);
	}
	stop(rig);
}

/* ---- 2016: lists and parameters out of bounds ---------------------------- */

static void multicast_lists(void **state)
{
	struct netvsp_rig *rig = start(1);
	uint8_t list[600] = {1, 0, 0x5e};

	for (uint32_t len = 0; len <= sizeof(list); len++) {
		uint32_t status = guest_nic_set(&rig->n, OID_802_3_MULTICAST_LIST, list, len);

		if (len % 6)
			assert_int_equal(status, RNDIS_STATUS_INVALID_LENGTH);
		else
			assert_int_equal(status, len <= 32 * 6 ? 0 : RNDIS_STATUS_RESOURCES);
	}
	stop(rig);
}

static uint32_t set_with(struct guest_nic *n, uint32_t oid, uint32_t offset, uint32_t length)
{
	struct {
		struct rndis_oid_request s;
		uint8_t info[64];
	} m = {.s = {.header = {RNDIS_SET, sizeof(m)}, .request_id = 1, .oid = oid}};

	m.s.info_offset = offset;
	m.s.info_length = length;
	guest_nic_control(n, &m, sizeof(m));
	return guest_nic_reply(n).status;
}

/* Every OID that can be set, with every pair that may be wrong. */
static void information_buffers(void **state)
{
	static const uint32_t oids[] = {OID_GEN_CURRENT_PACKET_FILTER, OID_GEN_CURRENT_LOOKAHEAD,
		OID_GEN_NETWORK_LAYER_ADDRESSES, OID_GEN_RSS_PARAMETERS, OID_GEN_MACHINE_NAME,
		OID_GEN_CONFIG_PARAMETER, OID_802_3_MULTICAST_LIST, OID_OFFLOAD_ENCAPSULATION,
		OID_TCP_OFFLOAD_PARAMETERS, OID_TCP_OFFLOAD_HARDWARE_CAPS, OID_GEN_SUPPORTED_LIST};
	static const uint32_t values[] = {0, 1, 3, 4, 8, 19, 20, 21, 63, 64, 65, 83, 84, 85, 92,
		0x7FFFFFFF, 0x80000000, 0xFFFFFFAC, 0xFFFFFFEC, 0xFFFFFFF8, 0xFFFFFFFF};
	const uint32_t count = sizeof(values) / sizeof(values[0]);
	struct netvsp_rig *rig = start(1);

	for (uint32_t i = 0; i < sizeof(oids) / sizeof(oids[0]) * count * count; i++) {
		uint32_t offset = values[i / count % count], length = values[i % count];
		uint32_t status = set_with(&rig->n, oids[i / count / count], offset, length);
		bool inside = (uint64_t)offset + length <= 20 + 64; /* a copy of the message */

		if (length && !inside)
			assert_int_not_equal(status, RNDIS_STATUS_SUCCESS);
	}
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

/* ---- CVE-2017-0075: the receive buffer changes while it is used ---------- */

static void buffers_change_in_traffic(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop,delay=500us:rx", 2, 2, NULL);
	struct guest_nic *n = &rig->n;

	for (uint32_t round = 0; round < 20; round++) {
		struct nvsp_message m = {.type = NVSP_SEND_RECV_BUF}, reply = {0};

		guest_nic_open(n, NVSP_VERSION_6_1, 1, round & 1);
		guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
		guest_nic_set_rss(n);
		for (uint32_t i = 0; i < 40; i++)
			assert_true(guest_nic_send(n, i & 1, NIC_LAYOUT_PAGES, &plain, frame));
		m.send_buf.gpadl = n->recv_gpadl;
		guest_nic_nvsp(n, &m, NVSP_SIZE, true, &reply);
		assert_int_equal(reply.recv_buf_complete.status, NVSP_STATUS_FAIL);
		m = (struct nvsp_message){.type = NVSP_REVOKE_RECV_BUF, .revoke_buf.id = 0xCAFE};
		guest_nic_nvsp(n, &m, NVSP_SIZE, false, NULL);
		m = (struct nvsp_message){.type = NVSP_SEND_RECV_BUF};
		m.send_buf.gpadl = n->send_gpadl; /* and another in its place, at once */
		memset(&reply, 0, sizeof(reply));
		guest_nic_nvsp(n, &m, NVSP_SIZE, true, &reply);
		assert_int_equal(reply.recv_buf_complete.status, NVSP_STATUS_FAIL);
		guest_nic_wait_sent(n);
		guest_nic_close_channels(n);
	}
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

/* ---- CVE-2019-0720: GPADL, revoke, close at once ------------------------- */

static void teardown_revoke_close(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop,delay=500us:rx", 2, 2, NULL);
	struct guest_nic *n = &rig->n;
	uint32_t random = 7;

	for (uint32_t round = 0; round < 60; round++) {
		struct nvsp_message m = {.type = NVSP_REVOKE_RECV_BUF, .revoke_buf.id = 0xCAFE};

		random = random * 1664525 + 1013904223;
		guest_nic_open(n, NVSP_VERSION_6_1, 1, random >> 8 & 1);
		guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
		guest_nic_set_rss(n);
		n->hold = true;
		for (uint32_t i = 0; i < 40; i++)
			assert_true(guest_nic_send(n, i & 1, i % NIC_LAYOUTS, &plain, frame));
		if (random >> 9 & 1)
			guest_nic_nvsp(n, &m, NVSP_SIZE, false, NULL);
		if (random >> 10 & 1)
			guest_nic_poll(n);
		if (random >> 11 & 1) {
			guest_nic_tear_down(n, n->recv_gpadl);
			n->recv_gpadl = guest_nic_gpadl(n, n->recv_gpa, GUEST_NIC_RECV);
		}
		if (random >> 12 & 1) {
			guest_nic_tear_down(n, n->send_gpadl);
			n->send_gpadl = guest_nic_gpadl(n, n->send_gpa, GUEST_NIC_SEND);
		}
		guest_nic_close_channels(n);
		n->hold = false;
	}
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	stop(rig);
}

/* ---- CVE-2021-28476: an OID whose information is taken for an object ----- */

/* The switch's OIDs, which are not for guests, with a pointer in the information. */
static void oids_of_the_switch(void **state)
{
	struct netvsp_rig *rig = start(1);
	uint64_t info[8];
	const uint8_t *reply;
	uint32_t len;

	for (uint32_t i = 0; i < 8; i++)
		info[i] = 0x4141414141414141ull;
	for (uint32_t oid = 0x00010230; oid < 0x00010300; oid++) {
		assert_int_equal(guest_nic_set(&rig->n, oid, info, sizeof(info)),
			RNDIS_STATUS_NOT_SUPPORTED);
		assert_int_equal(
			guest_nic_query(&rig->n, oid, &reply, &len), RNDIS_STATUS_NOT_SUPPORTED);
		assert_int_equal(len, 0);
	}
	stop(rig);
}

/* ---- CVE-2018-0888: bytes of the host in what the guest gets ------------- */

/* Sections are the guest's own memory: behind the header the host writes the frame only. */
static void nothing_but_the_frame_is_written(void **state)
{
	struct netvsp_rig *rig = start(1);
	struct guest_nic *n = &rig->n;
	uint32_t changed = 0;
	uint8_t *page;

	for (uint32_t at = 0; at < GUEST_NIC_RECV; at += HV_PAGE_SIZE)
		memset(guest_at(&rig->g, n->recv_gpa + at), 0xA5, HV_PAGE_SIZE);
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &plain, frame));
	guest_nic_wait_frames(n, 1);
	for (uint32_t at = 0; at < GUEST_NIC_RECV; at += HV_PAGE_SIZE) {
		page = guest_at(&rig->g, n->recv_gpa + at);
		for (uint32_t i = 0; i < HV_PAGE_SIZE; i++)
			changed += page[i] != 0xA5;
	}
	assert_in_range(changed, FRAME / 4, 44 + 4 * 16 + FRAME);
	stop(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_full_of_ppis),
		cmocka_unit_test(multicast_lists),
		cmocka_unit_test(information_buffers),
		cmocka_unit_test(buffers_change_in_traffic),
		cmocka_unit_test(teardown_revoke_close),
		cmocka_unit_test(oids_of_the_switch),
		cmocka_unit_test(nothing_but_the_frame_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
