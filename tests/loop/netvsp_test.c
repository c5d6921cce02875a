/* SPDX-License-Identifier: MIT */
/* The NIC as a guest sees it: bring-up with each version, frames both ways, closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/netvsp_rig.h"
#include "tests/support/nic_frames.h"

#define ALL_FRAMES (NDIS_FILTER_DIRECTED | NDIS_FILTER_ALL_MULTICAST | NDIS_FILTER_BROADCAST)

/* ---- one frame, echoed --------------------------------------------------- */

struct echo {
	uint8_t bytes[GUEST_NIC_FRAME];
	uint32_t length;
	uint64_t seen;
};

static void echoed(struct guest_nic *n, const struct guest_nic_frame *f)
{
	struct echo *e = n->ctx;

	assert_int_equal(f->length, e->length);
	assert_memory_equal(f->bytes, e->bytes, e->length);
	e->seen++;
}

static void send_echo(struct guest_nic *n, uint32_t channel, uint32_t length, uint32_t layout)
{
	struct echo *e = n->ctx;
	struct netvsc_tx tx = {.length = length};
	uint64_t frames = n->frames;

	for (uint32_t i = 0; i < length; i++)
		e->bytes[i] = (uint8_t)(i * 7 + length);
	memcpy(e->bytes, "\x02\0\0\0\0\xbb\x02\0\0\0\0\xaa\x88\xb5", 14);
	e->length = length;
	assert_true(guest_nic_send(n, channel, layout, &tx, e->bytes));
	guest_nic_wait_sent(n);
	guest_nic_wait_frames(n, frames + 1);
	assert_int_equal(n->last_status, NVSP_STATUS_SUCCESS);
}

static void bring_up_with(const struct netvsp_config *config, uint32_t version, uint32_t vps)
{
	static struct echo e;
	struct netvsp_rig *rig = netvsp_rig_create("loop", vps, 2, config);
	struct guest_nic *n = &rig->n;

	n->rx = echoed;
	n->ctx = &e;
	for (int round = 0; round < 3; round++) {
		guest_nic_open(n, version, vps - 1, true);
		assert_true(n->conn.connected);
		assert_memory_equal(n->conn.mac, rig->config.mac, 6);
		assert_int_equal(n->channel_count, version >= NVSP_VERSION_5 ? vps : 1);
		guest_nic_set_filter(n, ALL_FRAMES);
		if (n->channel_count > 1)
			guest_nic_set_rss(n);
		for (uint32_t channel = 0; channel < n->channel_count; channel++)
			for (uint32_t layout = 0; layout < NIC_LAYOUTS; layout++)
				for (uint32_t length = 14; length <= 1514; length += 375)
					send_echo(n, channel, length, layout);
		if (n->channel_count > 1)
			assert_int_not_equal(n->tables, 0);
		guest_nic_close(n);
	}
	netvsp_rig_destroy(rig);
}

static void bring_up(uint32_t version, uint32_t vps)
{
	bring_up_with(NULL, version, vps);
}

static void test_versions(void **state)
{
	for (uint32_t i = 0; i < NETVSC_VERSIONS; i++)
		bring_up(netvsc_versions[i], 1);
}

static void test_sub_channels(void **state)
{
	bring_up(NVSP_VERSION_6_1, 4);
	bring_up(NVSP_VERSION_5, 2);
	bring_up(NVSP_VERSION_4, 3);
}

/* The guest of this test never signals a channel that has a monitor id. */
static void test_monitored(void **state)
{
	static const struct netvsp_config config = {.monitored = true};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 4, 2, &config);
	uint32_t ids = 0;

	guest_nic_open(&rig->n, NVSP_VERSION_6_1, 3, true);
	for (uint32_t i = 0; i < rig->n.channel_count; i++) {
		const struct vmbus_offer *offer = &rig->n.channels[i].offer;

		assert_int_equal(offer->monitor_allocated, 1);
		assert_true(offer->monitor_id < 32);
		assert_false(ids >> offer->monitor_id & 1);
		ids |= 1u << offer->monitor_id;
	}
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
	bring_up_with(&config, NVSP_VERSION_6_1, 4);
	bring_up_with(&config, NVSP_VERSION_1, 1);
}

/* Frames that are not for the guest take all buffers, and bring none of them to the guest: what
 * waits for a buffer must go on when they are back. */
static void test_filtered_burst(void **state)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop,delay=3ms:rx", 4, 2, NULL);
	struct netvsc_tx tx = {.length = 1514};
	uint8_t bytes[1514] = {2, 0, 0, 0, 0, 0xcc, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	struct guest_nic *n = &rig->n;
	struct netvsp_counters c;

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
	for (uint32_t i = 0; i < 20; i++) {
		while (guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &tx, bytes))
			;
		guest_nic_wait_sent(n);
	}
	c = netvsp_rig_counters(rig);
	assert_true(c.rx_starved > 0);
	assert_int_equal(c.tx_dropped, 0);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* As a guest sends it that has just made its MTU smaller: lost, and nothing else happens. */
static void test_longer_than_the_mtu(void **state)
{
	static struct echo e;
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	struct netvsc_tx tx = {.length = 1500 + 14 + 4 + 1};
	uint64_t frames;

	n->rx = echoed;
	n->ctx = &e;
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, ALL_FRAMES);
	frames = n->frames;
	assert_true(guest_nic_send(n, 0, 0, &tx, e.bytes));
	guest_nic_wait_sent(n);
	assert_int_equal(n->last_status, NVSP_STATUS_SUCCESS);
	send_echo(n, 0, 1514, 0);
	assert_int_equal(n->frames, frames + 1);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* Neither are segments, nor a frame that is one segment only. */
static void test_segments_longer_than_the_mtu(void **state)
{
	static const uint32_t sizes[] = {3960, 2000, 1465}; /* the first: all of it */
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	uint8_t bytes[54 + 3960] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 8, 0, 0x45, 0, 0, 0,
		0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0,
		0, 0x50, 0x10};
	struct netvsc_tx tx = {.length = sizeof(bytes), .lso = true};

	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, ALL_FRAMES);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		tx.lso_value = RNDIS_LSO_V2 | sizes[i];
		assert_true(guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &tx, bytes));
		guest_nic_wait_sent(n);
		assert_int_equal(n->last_status, NVSP_STATUS_SUCCESS);
		assert_int_equal(netvsp_rig_counters(rig).tx_dropped, i + 1);
	}
	assert_int_equal(netvsp_rig_counters(rig).tx_frames, 0);
	tx.lso_value = RNDIS_LSO_V2 | 1464; /* and a tag */
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_RANGES, &tx, bytes));
	guest_nic_wait_frames(n, 1);
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* ---- the guest's own address --------------------------------------------- */

static const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 0xdd};

static void open_directed(struct guest_nic *n)
{
	guest_nic_open(n, NVSP_VERSION_6_1, 0, true);
	guest_nic_set_filter(n, NDIS_FILTER_DIRECTED);
}

/* Linux connects anew to change its MTU or the number of channels, keeps the address it has set,
 * and does not say it again; one that has loaded its driver anew asks for the permanent one. */
static void test_own_address(void **state)
{
	static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 0xde};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;

	open_directed(n);
	assert_false(netvsp_rig_receives(rig, own_mac));
	netvsp_rig_set_mac(rig, own_mac);
	for (uint32_t i = 0; i < 3; i++) {
		assert_true(netvsp_rig_receives(rig, own_mac));
		assert_true(netvsp_rig_receives(rig, rig->config.mac));
		assert_false(netvsp_rig_receives(rig, other_mac));
		guest_nic_close(n);
		open_directed(n);
	}
	guest_nic_close(n);
	guest_connect(&rig->g, VMBUS_VERSION_WIN10_V5_3); /* another kernel */
	open_directed(n);
	assert_false(netvsp_rig_receives(rig, own_mac));
	assert_true(netvsp_rig_receives(rig, rig->config.mac));
	guest_nic_close(n);
	netvsp_rig_destroy(rig);
}

/* As Linux may, whose driver is removed while its queues run. */
static void test_frame_behind_halt(void **state)
{
	const struct rndis_request halt = {.header = {RNDIS_HALT, sizeof(halt)}, .request_id = 1};
	const struct nvsp_message again = {.type = NVSP_INIT};
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);
	struct guest_nic *n = &rig->n;
	const uint8_t bytes[60] = {2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa, 0x88, 0xb5};
	const struct netvsc_tx tx = {.length = sizeof(bytes)};

	open_directed(n);
	guest_nic_control(n, &halt, sizeof(halt));
	guest_nic_nvsp(n, &again, NVSP_SIZE, true, NULL); /* answered when HALT is done */
	assert_true(guest_nic_send(n, 0, NIC_LAYOUT_PAGES, &tx, bytes));
	guest_nic_wait_sent(n);
	assert_int_equal(n->failed, 0);
	assert_int_equal(netvsp_rig_counters(rig).tx_dropped, 1);
	guest_nic_close_channels(n);
	netvsp_rig_destroy(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_longer_than_the_mtu),
		cmocka_unit_test(test_segments_longer_than_the_mtu),
		cmocka_unit_test(test_sub_channels),
		cmocka_unit_test(test_monitored),
		cmocka_unit_test(test_filtered_burst),
		cmocka_unit_test(test_own_address),
		cmocka_unit_test(test_frame_behind_halt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
