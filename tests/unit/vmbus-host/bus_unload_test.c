/* SPDX-License-Identifier: MIT */
/* The end of a connection: UNLOAD, a new contact, a guest that takes no messages, shutdown. */
#include "bus_test.h"

static struct rig_dev *open_slow_dev(struct rig *rig)
{
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	rig_open_dev(rig, dev);
	rig->answer_at_once = false;
	return dev;
}

static void test_unload_waits_for_devices(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	struct gpadl *g;
	const struct rig_msg *msg;
	uint32_t flushes;

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 2);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	rig->answer_at_once = false;
	g = bus_gpadl_find(dev->chan, relid_of(dev));
	gpadl_get(g);
	flushes = rig->flushes;
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	assert_int_equal(rig->flushes, flushes + 1);
	assert_int_equal(bus_version(rig->bus), 0);
	assert_int_equal(dev->state, DEV_CLOSING);
	take_nothing(rig);
	rig_answer(dev, true);
	take_nothing(rig); /* somebody still holds guest pages */
	gpadl_put(g);
	msg = take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	assert_int_equal(msg->len, 8);
	assert_int_equal(msg->vp, 2);
	assert_int_equal(msg->sint, VMBUS_SINT);
	take_nothing(rig);
	assert_int_equal(gpadls_alive(rig), 0);
	assert_int_equal(dev->released, 0);
	/* Nothing works now but a new contact. */
	assert_bad(rig, rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS));
	assert_bad(rig, rig_open(rig, relid_of(dev), 1, 1));
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_nothing(rig); /* offers wait for the request */
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take_offer(rig, dev);
	take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED);
}

static void test_unload_unconnected_is_answered(void **state)
{
	struct rig *rig = *state;

	rig_simple(rig, VMBUS_MSG_UNLOAD);
	take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	take_nothing(rig);
}

static void test_contact_on_live_connection(void **state)
{
	static const uint64_t words[] = {8192, 1, 2};
	const struct rig_ranges partial = {
		.buflen = 24, .count = 1, .words = words, .word_count = 2, .header_words = 2};
	struct rig *rig = *state;
	struct rig_dev *dev = open_slow_dev(rig);
	const struct rig_msg *msg;

	rig_gpadl_raw(rig, relid_of(dev), 0xE1E10, &partial);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_2, 3);
	take_nothing(rig);
	assert_int_equal(bus_version(rig->bus), 0);
	assert_bad(rig, rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS));
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev)));
	rig_answer(dev, true);
	msg = take(rig, VMBUS_MSG_VERSION_RESPONSE);
	assert_int_equal(msg->vp, 3);
	assert_int_equal(msg->version.version_supported, 1);
	take_nothing(rig);
	assert_int_equal(bus_version(rig->bus), VMBUS_VERSION_WIN10_V5_2);
	assert_int_equal(dev->closes, 1);
	assert_int_equal(gpadls_alive(rig), 0);
	assert_int_equal(bus_counters(rig->bus)->resets, 1);
	/* The new kernel's ids start over where the old ones did. */
	rig->answer_at_once = true;
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_forget_sent(rig);
	rig_gpadl(rig, relid_of(dev), 0xE1E10, 8);
	take_created(rig, relid_of(dev), 0xE1E10, true);
	rig_open(rig, relid_of(dev), 1, 0xE1E10);
	take_open_result(rig, relid_of(dev), 1, true);
}

static void test_latest_request_wins(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = open_slow_dev(rig);

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_2, 3);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_1, 1); /* replaces */
	rig_answer(dev, true);
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->vp, 1);
	take_nothing(rig);
	assert_int_equal(bus_version(rig->bus), VMBUS_VERSION_WIN10_V5_1);

	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	rig_answer(dev, true);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 2); /* instead of the UNLOAD's answer */
	rig_answer(dev, true);
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->vp, 2);
	take_nothing(rig);

	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	rig_answer(dev, true);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 1);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	rig_answer(dev, true);
	assert_int_equal(take(rig, VMBUS_MSG_UNLOAD_RESPONSE)->vp, 1);
	take_nothing(rig);
	assert_int_equal(bus_version(rig->bus), 0);
}

static void test_refused_contact_ends_the_connection(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = open_slow_dev(rig);

	rig_contact(rig, 0x00060000, 0);
	take_nothing(rig);
	rig_answer(dev, true);
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 0);
	assert_int_equal(bus_version(rig->bus), 0);
	assert_bad(rig, rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS));
}

/* The device answers for the old kernel while the new one waits: never mixed up. */
static void test_answers_after_reset(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	rig->answer_at_once = false;
	rig_open_dev(rig, dev);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	assert_int_equal(dev->state, DEV_OPENING);
	rig_answer(dev, true);
	take_nothing(rig); /* no OPEN_RESULT for the dead */
	assert_int_equal(dev->state, DEV_CLOSING);
	rig_answer(dev, true);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_nothing(rig);
	/* Retarget, and an open that waits. */
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	rig_answer(dev, true);
	rig_modify(rig, relid_of(dev), 1);
	rig_modify(rig, relid_of(dev), 2);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	rig_open(rig, relid_of(dev), 9, relid_of(dev));
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	rig_answer(dev, true);
	assert_int_equal(dev->state, DEV_CLOSING);
	rig_answer(dev, true);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_nothing(rig);
	assert_int_equal(dev->state, DEV_CLOSED);
	assert_int_equal(dev->opens, 2);
	assert_int_equal(dev->retargets, 1);
	/* What waited then is not in the way now. */
	rig->answer_at_once = true;
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	assert_int_equal(dev->opens, 3);
	assert_int_equal(dev->retargets, 1);
}

static void test_sub_before_primary(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = rig_offer(rig, 1, 1), *sub;

	rig_connect(rig);
	rig_open_dev(rig, primary);
	sub = rig_sub(primary, 1);
	rig_open_dev(rig, sub);
	rig->answer_at_once = false;
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	assert_int_equal(sub->state, DEV_CLOSING);
	assert_int_equal(primary->state, DEV_OPEN);
	rig_answer(sub, true);
	assert_int_equal(sub->released, 0); /* with the connection, not before */
	assert_int_equal(primary->state, DEV_CLOSING);
	rig_answer(primary, true);
	assert_int_equal(sub->released, 1);
	take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	take_nothing(rig);
}

static void test_full_queue_drops_the_connection(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = open_slow_dev(rig);

	rig->port_full = true;
	rig_gpadl(rig, relid_of(dev), 50, 1);
	rig->port_full = false;
	assert_int_equal(bus_version(rig->bus), 0);
	assert_int_equal(bus_counters(rig->bus)->dropped, 1);
	assert_int_equal(dev->state, DEV_CLOSING);
	assert_bad(rig, rig_gpadl(rig, relid_of(dev), 51, 1));
	rig_answer(dev, true);
	take_nothing(rig);
	assert_int_equal(gpadls_alive(rig), 0);
	rig_connect(rig); /* all is well again */
	assert_int_equal(bus_counters(rig->bus)->offers, 1);
}

static void test_full_queue_while_answering(void **state)
{
	struct rig *rig = *state;

	rig_offer(rig, 1, 1);
	rig->port_full = true;
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0); /* even the version response */
	assert_int_equal(bus_version(rig->bus), 0);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	rig_contact(rig, 77, 0);
	rig->port_full = false;
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	rig->port_full = true;
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig->port_full = false;
	assert_int_equal(bus_version(rig->bus), 0);
	assert_int_equal(bus_counters(rig->bus)->dropped, 2);
}

static void test_shutdown(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = open_slow_dev(rig), *other;

	rig_simple(rig, VMBUS_MSG_UNLOAD);
	rig_shutdown(rig);
	assert_int_equal(rig->shutdowns_done, 0);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	rig_answer(dev, true);
	assert_int_equal(rig->shutdowns_done, 1);
	take_nothing(rig); /* no message */
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	take_nothing(rig);
	assert_int_equal(rig_try_offer(rig, 2, 2, &other), -ESHUTDOWN);
	bus_rescind(dev->chan); /* still ends offers */
	assert_int_equal(dev->released, 1);
	assert_int_equal(rig->shutdowns_done, 1);
}

static void destroy_bus(void *ctx)
{
	bus_destroy(*(struct bus **)ctx);
	*(struct bus **)ctx = NULL;
}

static void no_flush(void *ctx)
{
}

static void test_destroy_from_done(void **state)
{
	static const struct bus_port_ops port = {.flush = no_flush};
	struct rig *rig = *state;
	const struct bus_config config = {.gmem = &rig->gmem,
		.vp_count = 1,
		.max_version = VMBUS_VERSION_WIN10,
		.port = &port};
	struct bus *bus;

	assert_int_equal(bus_create(&bus, &config), 0);
	bus_shutdown(bus, destroy_bus, &bus); /* nothing open: done runs inside the call */
	assert_null(bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_unload_waits_for_devices),
		bus_test(test_unload_unconnected_is_answered),
		bus_test(test_contact_on_live_connection),
		bus_test(test_latest_request_wins),
		bus_test(test_refused_contact_ends_the_connection),
		bus_test(test_answers_after_reset),
		bus_test(test_sub_before_primary),
		bus_test(test_full_queue_drops_the_connection),
		bus_test(test_full_queue_while_answering),
		bus_test(test_shutdown),
		bus_test(test_destroy_from_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
