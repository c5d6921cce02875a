/* SPDX-License-Identifier: MIT */
/* The guest's half of the bus against the host's: every message of each goes to the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "guest/vmbus-vsc/conn.h"
#include "tests/support/bus_rig.h"

#define CHANNELS 8u

struct pair {
	struct rig rig;
	struct conn conn;
	struct conn_channel channels[CHANNELS];
	uint32_t channel_count, rescinds;
};

static struct pair pair;

/* ---- the guest ----------------------------------------------------------- */

static int post(void *ctx, uint32_t connection_id, const void *msg, uint32_t len)
{
	struct pair *p = ctx;

	assert_true(
		connection_id == VMBUS_CONN_MESSAGE || connection_id == VMBUS_CONN_MESSAGE_MULTI);
	bus_message(p->rig.bus, msg, len);
	return 0;
}

static struct conn_channel *offered(
	void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary)
{
	struct pair *p = ctx;

	return p->channel_count < CHANNELS ? &p->channels[p->channel_count++] : NULL;
}

static void rescinded(void *ctx, struct conn_channel *chan)
{
	((struct pair *)ctx)->rescinds++;
}

static void changed(void *ctx)
{
}

static const struct conn_ops ops = {post, offered, rescinded, changed};

/* All that the host has sent; it may send more meanwhile. */
static void pump(struct pair *p)
{
	const struct rig_msg *msg;
	struct rig_msg copy;

	while ((msg = rig_take(&p->rig))) {
		copy = *msg;
		conn_message(&p->conn, copy.bytes, copy.len);
	}
}

static struct pair *start(uint32_t host, uint32_t newest)
{
	const struct conn_contact contact = {.newest = newest,
		.target_vp = 0,
		.interrupt_page = 0x1000,
		.monitor_page_h2g = 0x2000,
		.monitor_page_g2h = 0x3000};
	struct pair *p = &pair;

	memset(p, 0, sizeof(*p));
	rig_init(&p->rig, host, 4096);
	conn_init(&p->conn, &ops, p);
	rig_offer(&p->rig, 1, 1);
	assert_int_equal(conn_connect(&p->conn, &contact), 0);
	pump(p);
	return p;
}

static struct conn_channel *with_offers(struct pair *p)
{
	assert_int_equal(p->conn.state, CONN_CONNECTED);
	assert_int_equal(conn_request_offers(&p->conn), 0);
	pump(p);
	assert_true(p->conn.offers_delivered);
	assert_int_equal(p->channel_count, 1);
	return &p->channels[0];
}

/* Neither side has found fault with the other. */
static void finish(struct pair *p)
{
	assert_int_equal(p->conn.counts.invalid, 0);
	assert_int_equal(p->conn.counts.stray, 0);
	assert_int_equal(p->conn.counts.refused, 0);
	assert_int_equal(bus_counters(p->rig.bus)->bad_messages, 0);
	rig_fini(&p->rig);
}

static uint64_t pfn(const void *ctx, uint32_t index)
{
	return index;
}

static void create(
	struct pair *p, struct conn_channel *chan, struct conn_gpadl *gpadl, uint32_t count)
{
	const struct conn_pages pages = {count, pfn, NULL};

	assert_int_equal(conn_gpadl_create(&p->conn, chan, gpadl, &pages), 0);
	pump(p);
	assert_int_equal(gpadl->state, CONN_GPADL_CREATED);
}

static void open_channel(struct pair *p, struct conn_channel *chan, struct conn_gpadl *gpadl)
{
	create(p, chan, gpadl, 64);
	assert_int_equal(conn_open(&p->conn, chan, &(struct conn_open){gpadl->id, 1, 32}), 0);
	pump(p);
	assert_int_equal(chan->state, CONN_CHANNEL_OPEN);
}

static void close_channel(struct pair *p, struct conn_channel *chan, struct conn_gpadl *gpadl)
{
	assert_int_equal(conn_close(&p->conn, chan), 0);
	assert_int_equal(conn_gpadl_destroy(&p->conn, gpadl), 0);
	pump(p);
	assert_int_equal(gpadl->state, CONN_GPADL_NONE);
}

static void unload(struct pair *p)
{
	assert_int_equal(conn_unload(&p->conn), 0);
	pump(p);
	assert_int_equal(p->conn.state, CONN_IDLE);
}

/* ---- tests --------------------------------------------------------------- */

static const uint32_t versions[] = {VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_2,
	VMBUS_VERSION_WIN10_V5_1, VMBUS_VERSION_WIN10_V5, VMBUS_VERSION_WIN10_RS3,
	VMBUS_VERSION_WIN10, VMBUS_VERSION_WIN8_1, VMBUS_VERSION_WIN8};

static void a_life_in_every_version(void **state)
{
	for (uint32_t i = 0; i < 8; i++) {
		struct pair *p = start(versions[i], VMBUS_VERSION_WIN10_V5_3);
		struct conn_channel *chan = with_offers(p);
		struct conn_gpadl gpadl = {0};
		int err;

		assert_int_equal(p->conn.version, versions[i]);
		open_channel(p, chan, &gpadl);
		err = conn_retarget(&p->conn, chan, 2);
		pump(p);
		assert_int_equal(err, i == 0 ? 0 : i <= 4 ? 1 : -EOPNOTSUPP);
		assert_false(chan->retargeting);
		assert_int_equal(chan->status, 0);
		close_channel(p, chan, &gpadl);
		open_channel(p, chan, &gpadl);
		close_channel(p, chan, &gpadl);
		unload(p);
		finish(p);
	}
}

static void sub_channels_come_and_go(void **state)
{
	struct pair *p = start(VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_3);
	struct conn_channel *chan = with_offers(p), *sub = &p->channels[1];
	struct rig_dev *dev = container_of(p->rig.devs.next, struct rig_dev, link);
	struct conn_gpadl rings = {0}, sub_rings = {0};

	open_channel(p, chan, &rings);
	rig_sub(dev, 1);
	pump(p);
	assert_int_equal(p->channel_count, 2);
	assert_ptr_equal(sub->primary, chan);
	open_channel(p, sub, &sub_rings);
	close_channel(p, sub, &sub_rings);
	close_channel(p, chan, &rings);
	assert_int_equal(p->rescinds, 1);
	assert_true(sub->rescinded);
	conn_release(&p->conn, sub);
	open_channel(p, chan, &rings);
	rig_sub(dev, 1);
	pump(p);
	assert_int_equal(p->channel_count, 3);
	unload(p);
	finish(p);
}

static void a_rescinded_device_ends(void **state)
{
	struct pair *p = start(VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_3);
	struct conn_channel *chan = with_offers(p);
	struct rig_dev *dev = container_of(p->rig.devs.next, struct rig_dev, link);
	struct conn_gpadl rings = {0};

	open_channel(p, chan, &rings);
	bus_rescind(dev->chan);
	pump(p);
	assert_int_equal(p->rescinds, 1);
	close_channel(p, chan, &rings); /* the host answers the teardown all the same */
	conn_release(&p->conn, chan);
	pump(p);
	assert_int_equal(dev->state, DEV_RELEASED);
	rig_offer(&p->rig, 1, 1);
	pump(p);
	assert_int_equal(p->channel_count, 2);
	unload(p);
	finish(p);
}

static void large_buffers_are_shared(void **state)
{
	struct pair *p = start(VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_3);
	struct conn_channel *chan = with_offers(p);
	struct conn_gpadl rings = {0}, buffer = {0};

	open_channel(p, chan, &rings);
	create(p, chan, &buffer, RIG_RAM_PAGES);
	assert_int_equal(conn_gpadl_destroy(&p->conn, &buffer), 0);
	pump(p);
	assert_int_equal(buffer.state, CONN_GPADL_NONE);
	close_channel(p, chan, &rings);
	unload(p);
	finish(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_life_in_every_version),
		cmocka_unit_test(sub_channels_come_and_go),
		cmocka_unit_test(a_rescinded_device_ends),
		cmocka_unit_test(large_buffers_are_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
