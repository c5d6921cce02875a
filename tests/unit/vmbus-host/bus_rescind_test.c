/* SPDX-License-Identifier: MIT */
/* Hot remove: RESCIND, what is answered after it, RELID_RELEASED. */
#include "bus_test.h"

static const uint64_t words[] = {8192, 1, 2};
static const struct rig_ranges partial = {
	.buflen = 24, .count = 1, .words = words, .word_count = 2, .header_words = 2};

static void test_closed(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *again;
	uint32_t relid;

	rig_connect(rig);
	relid = relid_of(dev);
	bus_rescind(dev->chan);
	take_rescind(rig, relid);
	assert_string_equal(bus_channel_state_name(dev->chan), "rescinded");
	bus_rescind(dev->chan); /* harmless */
	take_nothing(rig);
	assert_int_equal(rig_try_offer(rig, 1, 1, &again), -EEXIST);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(dev->released, 1);
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid));
	assert_int_equal(rig_try_offer(rig, 1, 1, &again), 0);
	take_offer(rig, again);
}

static void test_relid_is_reserved(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *other;
	uint32_t relid = relid_of(dev);

	rig_connect(rig);
	bus_rescind(dev->chan);
	other = rig_offer(rig, 1, 2);
	assert_int_not_equal(relid_of(other), relid);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	other = rig_offer(rig, 1, 3);
	assert_int_equal(relid_of(other), relid);
}

static void test_open_channel_closes_first(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	rig->answer_at_once = false;
	bus_rescind(dev->chan);
	take_nothing(rig); /* the device may still touch the rings */
	assert_int_equal(dev->state, DEV_CLOSING);
	rig_teardown(rig, relid, relid);
	rig_answer(dev, true);
	take_torndown(rig, relid);
	take_rescind(rig, relid);
	take_nothing(rig);
}

static void test_opening_is_answered_then_rescinded(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig->answer_at_once = false;
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	bus_rescind(dev->chan);
	take_nothing(rig);
	rig_answer(dev, true);
	take_open_result(rig, relid, relid, false);
	rig_answer(dev, true);
	take_rescind(rig, relid);
	take_nothing(rig);
}

static void test_queued_reopen_is_answered(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_open(rig, relid, 7, relid);
	bus_rescind(dev->chan);
	rig_answer(dev, true);
	take_open_result(rig, relid, 7, false);
	take_rescind(rig, relid);
	take_nothing(rig);
	assert_int_equal(dev->opens, 1);
}

static void test_messages_after_rescind(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;
	uint64_t bad;

	rig_connect(rig);
	rig_open_dev(rig, dev); /* GPADL relid stays */
	relid = relid_of(dev);
	bus_rescind(dev->chan);
	take_rescind(rig, relid);
	bad = bus_counters(rig->bus)->bad_messages;
	/* They crossed the RESCIND: no fault, and nobody may wait for ever. */
	rig_open(rig, relid, 1, relid);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	take_nothing(rig);
	rig_gpadl(rig, relid, 100, 64);
	take_created(rig, relid, 100, true);
	rig_teardown(rig, relid, 100);
	take_torndown(rig, 100);
	rig_teardown(rig, relid, relid);
	take_torndown(rig, relid);
	assert_int_equal(bus_counters(rig->bus)->bad_messages, bad);
	rig_modify(rig, relid, 1);
	take_modified(rig, relid, false);
	take_nothing(rig);
}

static void test_gpadls_at_rescind(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	relid = relid_of(dev);
	rig_gpadl(rig, relid, 1, 4);
	rig_gpadl_raw(rig, relid, 2, &partial);
	rig_forget_sent(rig);
	bus_rescind(dev->chan);
	take_created(rig, relid, 2, false); /* somebody waits for it */
	take_rescind(rig, relid);
	assert_bad(rig, rig_gpadl_body(rig, 2, words, 1));
	assert_int_equal(gpadls_alive(rig), 1);
	rig_gpadl_raw(rig, relid, 3, &partial);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid); /* never torn down, never completed */
	assert_int_equal(gpadls_alive(rig), 0);
	assert_int_equal(dev->released, 1);
	take_nothing(rig);
}

static void test_released_before_rescind_was_sent(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	bus_rescind(dev->chan);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(dev->released, 0);
	rig_answer(dev, true);
	take_nothing(rig); /* the guest no longer knows the relid */
	assert_int_equal(dev->released, 1);
}

static void test_not_offered_yet(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *a = rig_offer(rig, 1, 1), *b = rig_offer(rig, 1, 2);

	bus_rescind(a->chan); /* no connection */
	assert_int_equal(a->released, 1);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	bus_rescind(b->chan); /* connected, not asked for */
	assert_int_equal(b->released, 1);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED);
}

static void test_connection_end_releases(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *a = rig_offer(rig, 1, 1), *b = rig_offer(rig, 1, 2),
		       *c = rig_offer(rig, 1, 3);

	rig_connect(rig);
	rig_open_dev(rig, b);
	bus_rescind(a->chan);
	rig->answer_at_once = false;
	bus_rescind(b->chan);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	bus_rescind(c->chan); /* while disconnecting */
	assert_int_equal(a->released, 0);
	rig_answer(b, true);
	assert_int_equal(a->released, 1);
	assert_int_equal(b->released, 1);
	assert_int_equal(c->released, 1);
	take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	take_nothing(rig);
}

/* A device that offers itself again as soon as it may. */
struct phoenix {
	struct bus *bus;
	struct bus_channel *chan;
	uint32_t lives;
};

static void phoenix_released(struct bus_channel *chan);
static const struct bus_device_ops phoenix_ops = {.released = phoenix_released};

static void phoenix_offer(struct phoenix *p)
{
	const struct bus_offer_params params = {.flags = 1};

	assert_int_equal(bus_offer(p->bus, &params, &phoenix_ops, p, &p->chan), 0);
	p->lives++;
}

static void phoenix_released(struct bus_channel *chan)
{
	phoenix_offer(bus_channel_ctx(chan));
}

static void test_offer_again_from_released(void **state)
{
	struct rig *rig = *state;
	struct phoenix p = {.bus = rig->bus};
	uint32_t relid;

	phoenix_offer(&p);
	rig_connect(rig);
	relid = bus_channel_relid(p.chan);
	bus_rescind(p.chan);
	take_rescind(rig, relid);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(p.lives, 2);
	assert_int_equal(take(rig, VMBUS_MSG_OFFER)->offer.relid, bus_channel_relid(p.chan));
	take_nothing(rig);
}

/* ---- while open ---------------------------------------------------------- */

static void test_open_channel_is_served_on(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *sub;
	uint32_t relid, sub_relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	sub = rig_sub(dev, 1);
	take_offer(rig, sub);
	relid = relid_of(dev);
	sub_relid = relid_of(sub);
	bus_rescind_while_open(dev->chan);
	take_rescind(rig, sub_relid); /* was not open */
	take_rescind(rig, relid);
	assert_int_equal(dev->state, DEV_OPEN);
	assert_int_equal(rig_try_sub(dev, 2, &sub), -ENOTCONN);
	bus_rescind_while_open(dev->chan); /* harmless */
	take_nothing(rig);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, sub_relid);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	assert_int_equal(dev->state, DEV_CLOSED);
	rig_teardown(rig, relid, relid);
	take_torndown(rig, relid);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(dev->released, 1);
	take_nothing(rig);
}

static void test_release_closes(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	bus_rescind_while_open(dev->chan);
	take_rescind(rig, relid);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(dev->state, DEV_CLOSING);
	assert_int_equal(dev->released, 0);
	rig_answer(dev, true);
	assert_int_equal(dev->released, 1);
	take_nothing(rig);
}

/* The guest does not react: the host closes the channel by itself. */
static void test_rescind_after_rescind_while_open(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	uint32_t relid;

	rig_connect(rig);
	rig_open_dev(rig, dev);
	relid = relid_of(dev);
	bus_rescind_while_open(dev->chan);
	take_rescind(rig, relid);
	bus_rescind(dev->chan);
	assert_int_equal(dev->state, DEV_CLOSED);
	take_nothing(rig); /* not a second RESCIND */
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(dev->released, 1);
}

static void test_contact_ends_rescind_while_open(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	rig_open_dev(rig, dev);
	bus_rescind_while_open(dev->chan);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	assert_int_equal(dev->closes, 1);
	assert_int_equal(dev->released, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_closed),
		bus_test(test_relid_is_reserved),
		bus_test(test_open_channel_closes_first),
		bus_test(test_opening_is_answered_then_rescinded),
		bus_test(test_queued_reopen_is_answered),
		bus_test(test_messages_after_rescind),
		bus_test(test_gpadls_at_rescind),
		bus_test(test_released_before_rescind_was_sent),
		bus_test(test_not_offered_yet),
		bus_test(test_connection_end_releases),
		bus_test(test_offer_again_from_released),
		bus_test(test_open_channel_is_served_on),
		bus_test(test_release_closes),
		bus_test(test_rescind_after_rescind_while_open),
		bus_test(test_contact_ends_rescind_while_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
