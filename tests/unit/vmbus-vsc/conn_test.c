/* SPDX-License-Identifier: MIT */
/* The guest's half of the bus against hosts that answer, refuse, are late, and lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "guest/vmbus-vsc/conn.h"

#define CHANNELS  8u
#define POSTS_MAX 512u

struct posted {
	uint32_t connection_id, len;
	union {
		struct vmbus_msg_header h;
		struct vmbus_initiate_contact contact;
		struct vmbus_open open;
		struct vmbus_relid_msg relid;
		struct vmbus_gpadl_teardown teardown;
		struct vmbus_modify_channel modify;
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	};
};

struct guest {
	struct conn conn;
	struct posted posts[POSTS_MAX];
	uint32_t post_count, taken;
	int post_error;
	uint32_t unknown_connection; /* posts to it fail */
	struct conn_channel channels[CHANNELS];
	uint32_t channel_count, rescinds, changes;
	bool unwanted;
};

/* ---- the owner ----------------------------------------------------------- */

static int post(void *ctx, uint32_t connection_id, const void *msg, uint32_t len)
{
	struct guest *g = ctx;
	struct posted *p = &g->posts[g->post_count];

	if (g->unknown_connection == connection_id)
		return -ENXIO;
	if (g->post_error)
		return g->post_error;
	assert_true(g->post_count < POSTS_MAX && len <= sizeof(p->bytes));
	p->connection_id = connection_id;
	p->len = len;
	memcpy(p->bytes, msg, len);
	g->post_count++;
	return 0;
}

static struct conn_channel *offered(
	void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary)
{
	struct guest *g = ctx;

	if (g->unwanted || g->channel_count == CHANNELS)
		return NULL;
	return &g->channels[g->channel_count++];
}

static void rescinded(void *ctx, struct conn_channel *chan)
{
	((struct guest *)ctx)->rescinds++;
	assert_true(chan->rescinded);
}

static void changed(void *ctx)
{
	((struct guest *)ctx)->changes++;
}

static const struct conn_ops ops = {post, offered, rescinded, changed};

/* The next message, which must be of this type. */
static const struct posted *take(struct guest *g, uint32_t type)
{
	assert_true(g->taken < g->post_count);
	assert_int_equal(g->posts[g->taken].h.type, type);
	return &g->posts[g->taken++];
}

static void took_all(const struct guest *g)
{
	assert_int_equal(g->taken, g->post_count);
}

/* ---- the host ------------------------------------------------------------ */

static void send(struct guest *g, uint32_t type, void *msg, uint32_t len)
{
	memcpy(msg, &(struct vmbus_msg_header){.type = type}, sizeof(struct vmbus_msg_header));
	conn_message(&g->conn, msg, len);
}

static void send_version(struct guest *g, bool supported, uint32_t field)
{
	struct vmbus_version_response msg = {
		.version_supported = supported, .version_or_conn_id = field};

	send(g, VMBUS_MSG_VERSION_RESPONSE, &msg, sizeof(msg));
}

static void send_offer(struct guest *g, uint32_t relid, uint8_t instance, uint16_t index)
{
	struct vmbus_offer msg = {
		.relid = relid, .sub_channel_index = index, .connection_id = 0x2000 + relid};

	msg.class_id.b[0] = 1;
	msg.instance_id.b[0] = instance;
	send(g, VMBUS_MSG_OFFER, &msg, sizeof(msg));
}

static void send_relid(struct guest *g, uint32_t type, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.relid = relid};

	send(g, type, &msg, sizeof(msg));
}

static void send_opened(struct guest *g, uint32_t relid, uint32_t open_id, uint32_t status)
{
	struct vmbus_open_result msg = {.relid = relid, .open_id = open_id, .status = status};

	send(g, VMBUS_MSG_OPEN_RESULT, &msg, sizeof(msg));
}

static void send_created(struct guest *g, uint32_t relid, uint32_t gpadl, uint32_t status)
{
	struct vmbus_gpadl_created msg = {.relid = relid, .gpadl = gpadl, .status = status};

	send(g, VMBUS_MSG_GPADL_CREATED, &msg, sizeof(msg));
}

static void send_torndown(struct guest *g, uint32_t gpadl)
{
	struct vmbus_gpadl_torndown msg = {.gpadl = gpadl};

	send(g, VMBUS_MSG_GPADL_TORNDOWN, &msg, sizeof(msg));
}

static void send_modified(struct guest *g, uint32_t relid, uint32_t status)
{
	struct vmbus_modify_channel_response msg = {.relid = relid, .status = status};

	send(g, VMBUS_MSG_MODIFY_CHANNEL_RESPONSE, &msg, sizeof(msg));
}

/* ---- fixtures ------------------------------------------------------------ */

static struct guest guest;

static const struct conn_contact contact = {
	.newest = VMBUS_VERSION_WIN10_V5_3,
	.target_vp = 1,
	.interrupt_page = 0x1000,
	.monitor_page_h2g = 0x2000,
	.monitor_page_g2h = 0x3000,
};

static struct guest *fresh(void)
{
	memset(&guest, 0, sizeof(guest));
	conn_init(&guest.conn, &ops, &guest);
	return &guest;
}

static struct guest *connected_with(uint32_t version)
{
	struct guest *g = fresh();
	struct conn_contact c = contact;

	c.newest = version;
	assert_int_equal(conn_connect(&g->conn, &c), 0);
	send_version(g, true, version >= VMBUS_VERSION_WIN10_V5 ? 1 : version);
	assert_int_equal(g->conn.state, CONN_CONNECTED);
	g->taken = g->post_count;
	return g;
}

static struct guest *connected(void)
{
	return connected_with(VMBUS_VERSION_WIN10_V5_3);
}

static struct conn_channel *with_offer(struct guest *g)
{
	send_offer(g, 5, 1, 0);
	assert_int_equal(g->channel_count, 1);
	return &g->channels[0];
}

static struct conn_channel *with_open(struct guest *g)
{
	struct conn_channel *chan = with_offer(g);

	assert_int_equal(conn_open(&g->conn, chan, &(struct conn_open){7, 1, 4}), 0);
	send_opened(g, 5, chan->open_id, 0);
	assert_int_equal(chan->state, CONN_CHANNEL_OPEN);
	g->taken = g->post_count;
	return chan;
}

static uint64_t pfn(const void *ctx, uint32_t index)
{
	return 0x1000 + index;
}

static int create(
	struct guest *g, struct conn_channel *chan, struct conn_gpadl *gpadl, uint32_t count)
{
	return conn_gpadl_create(&g->conn, chan, gpadl, &(struct conn_pages){count, pfn, NULL});
}

/* ---- contact ------------------------------------------------------------- */

static void contacts_with_the_newest(void **state)
{
	struct guest *g = fresh();
	const struct posted *p;

	assert_int_equal(conn_connect(&g->conn, &contact), 0);
	p = take(g, VMBUS_MSG_INITIATE_CONTACT);
	assert_int_equal(p->len, 40);
	assert_int_equal(p->connection_id, VMBUS_CONN_MESSAGE_MULTI);
	assert_int_equal(p->contact.version, VMBUS_VERSION_WIN10_V5_3);
	assert_int_equal(p->contact.target_vp, 1);
	assert_int_equal(p->contact.sint, VMBUS_SINT);
	assert_int_equal(p->contact.vtl, 0);
	assert_int_equal(p->contact.monitor_page_g2h, 0x3000);
	send_version(g, true, 0x77);
	assert_int_equal(g->conn.state, CONN_CONNECTED);
	assert_int_equal(conn_request_offers(&g->conn), 0);
	assert_int_equal(take(g, VMBUS_MSG_REQUEST_OFFERS)->connection_id, 0x77);
}

static void falls_back_to_every_version(void **state)
{
	static const uint32_t versions[] = {
		0x50003, 0x50002, 0x50001, 0x50000, 0x40001, 0x40000, 0x30000, 0x20004};
	struct guest *g = fresh();
	const struct posted *p;

	assert_int_equal(conn_connect(&g->conn, &contact), 0);
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(g->conn.state, CONN_CONTACTING);
		p = take(g, VMBUS_MSG_INITIATE_CONTACT);
		assert_int_equal(p->contact.version, versions[i]);
		assert_int_equal(p->connection_id, i < 4 ? 4 : 1);
		if (i >= 4)
			assert_int_equal(p->contact.interrupt_page, 0x1000);
		send_version(g, false, 0);
	}
	assert_int_equal(g->conn.state, CONN_FAILED);
	took_all(g);
	assert_int_equal(conn_connect(&g->conn, &contact), 0);
}

static void old_hosts_know_one_port_only(void **state)
{
	struct guest *g = fresh();

	g->unknown_connection = VMBUS_CONN_MESSAGE_MULTI;
	assert_int_equal(conn_connect(&g->conn, &contact), 0);
	assert_int_equal(take(g, VMBUS_MSG_INITIATE_CONTACT)->contact.version, 0x40001);
	send_version(g, true, 0x40000); /* another version than the one asked for */
	assert_int_equal(take(g, VMBUS_MSG_INITIATE_CONTACT)->contact.version, 0x40000);
	send_version(g, true, 0x40000);
	assert_int_equal(g->conn.state, CONN_CONNECTED);
	assert_int_equal(g->conn.message_id, VMBUS_CONN_MESSAGE);
}

static void contact_errors(void **state)
{
	struct conn_contact odd = contact;
	struct guest *g = fresh();

	odd.newest = 0x60000;
	assert_int_equal(conn_connect(&g->conn, &odd), -EINVAL);
	assert_int_equal(g->conn.state, CONN_IDLE);
	g->post_error = -EAGAIN;
	assert_int_equal(conn_connect(&g->conn, &contact), -EAGAIN);
	assert_int_equal(g->conn.state, CONN_FAILED);
	g->post_error = 0;
	assert_int_equal(conn_request_offers(&g->conn), -ENOTCONN);
	assert_int_equal(conn_unload(&g->conn), -ENOTCONN);
	g = connected();
	assert_int_equal(conn_connect(&g->conn, &contact), -EBUSY);
	send_version(g, false, 0);
	assert_int_equal(g->conn.state, CONN_CONNECTED);
	assert_int_equal(g->conn.counts.stray, 1);
}

/* ---- offers -------------------------------------------------------------- */

static void offers_become_channels(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);

	assert_int_equal(chan->offer.relid, 5);
	assert_null(chan->primary);
	send_offer(g, 6, 1, 1);
	assert_ptr_equal(g->channels[1].primary, chan);
	assert_false(g->conn.offers_delivered);
	send(g, VMBUS_MSG_ALL_OFFERS_DELIVERED, &(struct vmbus_msg_header){0}, 8);
	assert_true(g->conn.offers_delivered);
	assert_int_equal(g->changes, 4); /* with the version's */
}

static void bad_offers_are_refused(void **state)
{
	struct guest *g = connected();

	with_offer(g);
	send_offer(g, 0, 2, 0);
	send_offer(g, VMBUS_RELID_MAX + 1, 2, 0);
	send_offer(g, UINT32_MAX, 2, 0);
	send_offer(g, 5, 2, 0); /* a relid that is taken */
	send_offer(g, 6, 1, 0); /* an instance that is there */
	send_offer(g, 7, 3, 1); /* a sub-channel of nothing */
	assert_int_equal(g->conn.counts.refused, 6);
	assert_int_equal(g->channel_count, 1);
	send_relid(g, VMBUS_MSG_RESCIND, 6); /* of one that was refused */
	assert_int_equal(take(g, VMBUS_MSG_RELID_RELEASED)->relid.relid, 6);
	took_all(g);
	send_offer(g, 6, 2, 0);
	assert_int_equal(g->channel_count, 2);
}

static void unwanted_offers_are_released_later(void **state)
{
	struct guest *g = connected();

	g->unwanted = true;
	send_offer(g, 5, 1, 0);
	send_offer(g, 5, 2, 0);
	took_all(g);
	send_relid(g, VMBUS_MSG_RESCIND, 5);
	send_relid(g, VMBUS_MSG_RESCIND, 5);
	take(g, VMBUS_MSG_RELID_RELEASED);
	took_all(g);
	assert_int_equal(g->rescinds, 0);
}

static void a_rescind_comes_once(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);

	send_relid(g, VMBUS_MSG_RESCIND, 4);
	send_relid(g, VMBUS_MSG_RESCIND, UINT32_MAX);
	assert_int_equal(g->rescinds, 0);
	send_relid(g, VMBUS_MSG_RESCIND, 5);
	send_relid(g, VMBUS_MSG_RESCIND, 5);
	assert_int_equal(g->rescinds, 1);
	assert_int_equal(conn_open(&g->conn, chan, &(struct conn_open){1, 0, 1}), -ENODEV);
	send_offer(g, 5, 2, 0); /* not before it is released */
	send_offer(g, 6, 1, 1);
	assert_int_equal(g->channel_count, 1);
	took_all(g);
	conn_release(&g->conn, chan);
	assert_int_equal(take(g, VMBUS_MSG_RELID_RELEASED)->relid.relid, 5);
	send_offer(g, 5, 1, 0);
	assert_int_equal(g->channel_count, 2);
}

static void released_before_the_rescind(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);

	send_offer(g, 6, 1, 1);
	conn_release(&g->conn, chan);
	took_all(g);
	assert_null(g->channels[1].primary);
	send_relid(g, VMBUS_MSG_RESCIND, 5);
	take(g, VMBUS_MSG_RELID_RELEASED);
	assert_int_equal(g->rescinds, 0);
	conn_release(&g->conn, chan); /* again: harmless */
	took_all(g);
}

/* ---- channels ------------------------------------------------------------ */

static void opens_and_closes(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);
	const struct posted *p;

	assert_int_equal(conn_open(&g->conn, chan, &(struct conn_open){7, 3, 4}), 0);
	p = take(g, VMBUS_MSG_OPEN);
	assert_int_equal(p->open.relid, 5);
	assert_int_equal(p->open.ring_gpadl, 7);
	assert_int_equal(p->open.target_vp, 3);
	assert_int_equal(p->open.downstream_offset, 4);
	assert_int_equal(conn_open(&g->conn, chan, &(struct conn_open){7, 3, 4}), -EBUSY);
	send_opened(g, 5, p->open.open_id + 1, 0);
	send_opened(g, 6, p->open.open_id, 0);
	assert_int_equal(chan->state, CONN_CHANNEL_OPENING);
	send_opened(g, 5, p->open.open_id, 0);
	assert_int_equal(chan->state, CONN_CHANNEL_OPEN);
	send_opened(g, 5, p->open.open_id, VMBUS_STATUS_UNSUCCESSFUL);
	assert_int_equal(chan->state, CONN_CHANNEL_OPEN);
	assert_int_equal(conn_close(&g->conn, chan), 0);
	assert_int_equal(take(g, VMBUS_MSG_CLOSE)->relid.relid, 5);
	assert_int_equal(conn_close(&g->conn, chan), 0);
	took_all(g);
}

static void a_late_answer_opens_nothing(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);
	uint32_t first;

	conn_open(&g->conn, chan, &(struct conn_open){7, 3, 4});
	first = chan->open_id;
	conn_close(&g->conn, chan);
	conn_open(&g->conn, chan, &(struct conn_open){8, 3, 4});
	send_opened(g, 5, first, 0);
	assert_int_equal(chan->state, CONN_CHANNEL_OPENING);
	send_opened(g, 5, chan->open_id, VMBUS_STATUS_UNSUCCESSFUL);
	assert_int_equal(chan->state, CONN_CHANNEL_CLOSED);
	assert_int_equal(chan->status, VMBUS_STATUS_UNSUCCESSFUL);
}

static void retargets(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_open(g);

	assert_int_equal(conn_retarget(&g->conn, chan, 2), 0);
	assert_int_equal(take(g, VMBUS_MSG_MODIFY_CHANNEL)->modify.target_vp, 2);
	assert_int_equal(conn_retarget(&g->conn, chan, 3), -EBUSY);
	send_modified(g, 6, 0);
	assert_true(chan->retargeting);
	send_modified(g, 5, VMBUS_STATUS_UNSUCCESSFUL);
	assert_false(chan->retargeting);
	assert_int_equal(chan->status, VMBUS_STATUS_UNSUCCESSFUL);
	send_modified(g, 5, 0);
	assert_int_equal(chan->status, VMBUS_STATUS_UNSUCCESSFUL);
	conn_close(&g->conn, chan);
	assert_int_equal(conn_retarget(&g->conn, chan, 2), -EINVAL);
}

static void retargets_as_the_version_does(void **state)
{
	struct guest *g = connected_with(VMBUS_VERSION_WIN10_RS3);

	assert_int_equal(conn_retarget(&g->conn, with_open(g), 2), 1);
	take(g, VMBUS_MSG_MODIFY_CHANNEL);
	g = connected_with(VMBUS_VERSION_WIN10);
	assert_int_equal(conn_retarget(&g->conn, with_open(g), 2), -EOPNOTSUPP);
	took_all(g);
}

/* ---- GPADLs -------------------------------------------------------------- */

/* All PFNs, in order, over header and bodies. */
static void gpadls_are_cut(void **state)
{
	static const uint32_t sizes[] = {1, 26, 27, 54, 55, 64, CONN_GPADL_PAGES_MAX};

	for (uint32_t s = 0; s < 7; s++) {
		struct guest *g = connected();
		struct conn_channel *chan = with_offer(g);
		struct conn_gpadl gpadl = {0};
		uint32_t next = 0, at = 28;
		struct vmbus_gpadl_header header;

		assert_int_equal(create(g, chan, &gpadl, sizes[s]), 0);
		memcpy(&header, take(g, VMBUS_MSG_GPADL_HEADER)->bytes, sizeof(header));
		assert_int_equal(header.range_buflen, 8 + 8 * sizes[s]);
		assert_int_equal(header.range_count, 1);
		assert_int_equal(header.relid, 5);
		assert_int_equal(header.gpadl, gpadl.id);
		g->taken--;
		for (; g->taken < g->post_count; g->taken++, at = 16) {
			const struct posted *p = &g->posts[g->taken];

			for (; at < p->len; at += 8) {
				uint64_t number;

				memcpy(&number, p->bytes + at, 8);
				assert_int_equal(number, 0x1000 + next++);
			}
		}
		assert_int_equal(next, sizes[s]);
	}
}

static void gpadls_are_created_and_destroyed(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);
	struct conn_gpadl a = {0}, b = {0};

	assert_int_equal(create(g, chan, &a, 0), -EINVAL);
	assert_int_equal(create(g, chan, &a, CONN_GPADL_PAGES_MAX + 1), -E2BIG);
	assert_int_equal(create(g, chan, &a, 2), 0);
	assert_int_equal(create(g, chan, &a, 2), -EINVAL);
	assert_int_equal(create(g, chan, &b, 2), 0);
	assert_int_not_equal(a.id, b.id);
	send_created(g, 6, a.id, 0); /* another channel's */
	assert_int_equal(a.state, CONN_GPADL_CREATING);
	send_created(g, 5, a.id, 0);
	send_created(g, 5, b.id, VMBUS_STATUS_GPADL_FAILED);
	assert_int_equal(a.state, CONN_GPADL_CREATED);
	assert_int_equal(b.state, CONN_GPADL_NONE);
	assert_int_equal(b.status, VMBUS_STATUS_GPADL_FAILED);
	send_torndown(g, a.id); /* not asked for */
	assert_int_equal(a.state, CONN_GPADL_CREATED);
	g->taken = g->post_count;
	assert_int_equal(conn_gpadl_destroy(&g->conn, &b), -EINVAL);
	assert_int_equal(conn_gpadl_destroy(&g->conn, &a), 0);
	assert_int_equal(take(g, VMBUS_MSG_GPADL_TEARDOWN)->teardown.gpadl, a.id);
	send_torndown(g, b.id);
	assert_int_equal(a.state, CONN_GPADL_DESTROYING);
	send_torndown(g, a.id);
	assert_int_equal(a.state, CONN_GPADL_NONE);
	assert_null(g->conn.gpadls);
}

static void forgotten_gpadls_get_no_answer(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_offer(g);
	struct conn_gpadl a = {0}, b = {0};
	uint64_t stray = g->conn.counts.stray;

	create(g, chan, &a, 2);
	create(g, chan, &b, 2);
	conn_gpadl_forget(&g->conn, &a);
	conn_gpadl_forget(&g->conn, &a);
	send_created(g, 5, a.id, 0);
	assert_int_equal(g->conn.counts.stray, stray + 1);
	assert_int_equal(a.state, CONN_GPADL_NONE);
	send_created(g, 5, b.id, 0);
	assert_int_equal(b.state, CONN_GPADL_CREATED);
	g->post_error = -EAGAIN;
	assert_int_equal(conn_gpadl_destroy(&g->conn, &b), -EAGAIN);
	assert_int_equal(b.state, CONN_GPADL_CREATED);
	assert_int_equal(create(g, chan, &a, 2), -EAGAIN);
	assert_ptr_equal(g->conn.gpadls, &b);
}

/* ---- the end ------------------------------------------------------------- */

static void unload_ends_all(void **state)
{
	struct guest *g = connected();
	struct conn_channel *chan = with_open(g);
	struct conn_gpadl gpadl = {0};

	create(g, chan, &gpadl, 2);
	g->taken = g->post_count;
	assert_int_equal(conn_unload(&g->conn), 0);
	take(g, VMBUS_MSG_UNLOAD);
	send_created(g, 5, gpadl.id, 0); /* was under way */
	send_offer(g, 9, 9, 0);
	assert_int_equal(g->channel_count, 1);
	assert_int_equal(conn_open(&g->conn, chan, &(struct conn_open){1, 0, 1}), -ENOTCONN);
	send(g, VMBUS_MSG_UNLOAD_RESPONSE, &(struct vmbus_msg_header){0}, 8);
	assert_int_equal(g->conn.state, CONN_IDLE);
	assert_int_equal(gpadl.state, CONN_GPADL_NONE);
	conn_release(&g->conn, chan);
	conn_close(&g->conn, chan);
	took_all(g);
	assert_int_equal(conn_connect(&g->conn, &contact), 0);
	assert_false(g->conn.offers_delivered);
}

static void malformed_messages_change_nothing(void **state)
{
	struct guest *g = connected();
	struct conn before = g->conn;
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};

	for (uint32_t type = 0; type < 40; type++) {
		memcpy(bytes, &type, sizeof(type));
		for (uint32_t len = 0; len < 8; len++)
			conn_message(&g->conn, bytes, len);
	}
	assert_int_equal(g->conn.counts.invalid, 320);
	assert_memory_equal(&g->conn.channels, &before.channels, sizeof(before.channels));
	assert_int_equal(g->conn.state, CONN_CONNECTED);
	took_all(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contacts_with_the_newest),
		cmocka_unit_test(falls_back_to_every_version),
		cmocka_unit_test(old_hosts_know_one_port_only),
		cmocka_unit_test(contact_errors),
		cmocka_unit_test(offers_become_channels),
		cmocka_unit_test(bad_offers_are_refused),
		cmocka_unit_test(unwanted_offers_are_released_later),
		cmocka_unit_test(a_rescind_comes_once),
		cmocka_unit_test(released_before_the_rescind),
		cmocka_unit_test(opens_and_closes),
		cmocka_unit_test(a_late_answer_opens_nothing),
		cmocka_unit_test(retargets),
		cmocka_unit_test(retargets_as_the_version_does),
		cmocka_unit_test(gpadls_are_cut),
		cmocka_unit_test(gpadls_are_created_and_destroyed),
		cmocka_unit_test(forgotten_gpadls_get_no_answer),
		cmocka_unit_test(unload_ends_all),
		cmocka_unit_test(malformed_messages_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
