/* SPDX-License-Identifier: MIT */
/* Offers: order, fields, relids, hot add, enumeration. */
#include "bus_test.h"

static void test_order_and_end(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *c = rig_offer(rig, 7, 1), *b = rig_offer(rig, 3, 9),
		       *a = rig_offer(rig, 3, 2);

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 1);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_nothing(rig); /* not before the guest asks */
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take_offer(rig, a);
	take_offer(rig, b);
	take_offer(rig, c);
	assert_int_equal(take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED)->vp, 1);
	take_nothing(rig);
	assert_int_equal(bus_counters(rig->bus)->offers, 3);
	assert_bad(rig, rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS));
}

static void test_fields(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 5, 0x01020304);
	const struct vmbus_offer *offer;
	static const uint8_t zero[VMBUS_OFFER_USER_SIZE];
	const struct rig_msg *msg;

	rig_contact(rig, VMBUS_VERSION_WIN8, 3);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	msg = take(rig, VMBUS_MSG_OFFER);
	offer = &msg->offer;
	assert_int_equal(msg->len, 196);
	assert_int_equal(msg->vp, 0); /* 2.4: always */
	assert_memory_equal(&offer->class_id, bus_channel_class(dev->chan), 16);
	assert_memory_equal(&offer->instance_id, bus_channel_instance(dev->chan), 16);
	assert_int_equal(offer->flags, VMBUS_OFFER_ENUMERATE_DEVICE);
	assert_memory_equal(offer->user, zero, sizeof(zero));
	assert_int_equal(offer->sub_channel_index, 0);
	assert_in_range(offer->relid, 1, 2047);
	assert_int_equal(offer->monitor_id, 0xFF);
	assert_int_equal(offer->monitor_allocated, 0);
	assert_int_equal(offer->is_dedicated_interrupt, 1);
	assert_int_equal(offer->connection_id, 0x2000 | offer->relid);
	assert_int_equal(offer->connection_id, bus_channel_connection_id(dev->chan));
}

static void test_user_data_is_copied(void **state)
{
	static const struct bus_device_ops ops;
	struct rig *rig = *state;
	uint8_t user[VMBUS_OFFER_USER_SIZE];
	struct bus_offer_params params = {.flags = VMBUS_OFFER_NAMED_PIPE, .user = user};
	struct bus_channel *chan;
	const struct rig_msg *msg;

	memset(user, 0x5A, sizeof(user));
	assert_int_equal(bus_offer(rig->bus, &params, &ops, NULL, &chan), 0);
	memset(user, 0, sizeof(user));
	rig_contact(rig, VMBUS_VERSION_WIN10, 0);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	msg = take(rig, VMBUS_MSG_OFFER);
	assert_int_equal(msg->offer.flags, VMBUS_OFFER_NAMED_PIPE);
	assert_int_equal(msg->offer.user[0], 0x5A);
	assert_int_equal(msg->offer.user[VMBUS_OFFER_USER_SIZE - 1], 0x5A);
}

static void test_hot_add(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev;

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	dev = rig_offer(rig, 2, 2);
	take_nothing(rig); /* connected, but has not asked yet */
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take_offer(rig, dev);
	take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED);
	dev = rig_offer(rig, 1, 1);
	take_offer(rig, dev);
	take_nothing(rig);
}

static void test_instance_is_unique_over_classes(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev;

	rig_offer(rig, 1, 1);
	assert_int_equal(rig_try_offer(rig, 1, 1, &dev), -EEXIST);
	assert_int_equal(rig_try_offer(rig, 2, 1, &dev), -EEXIST);
}

static void test_relids_run_out(void **state)
{
	struct rig *rig = *state;
	uint8_t seen[VMBUS_RELID_MAX + 1] = {0};
	struct rig_dev *dev, *last = NULL;

	for (uint32_t i = 0; i < VMBUS_RELID_MAX; i++) {
		last = rig_offer(rig, 1, i);
		assert_in_range(relid_of(last), 1, VMBUS_RELID_MAX);
		assert_int_equal(seen[relid_of(last)]++, 0);
	}
	assert_int_equal(rig_try_offer(rig, 1, VMBUS_RELID_MAX, &dev), -ENOSPC);
	bus_rescind(last->chan); /* nobody connected: free at once */
	assert_int_equal(last->released, 1);
	assert_int_equal(rig_try_offer(rig, 1, VMBUS_RELID_MAX, &dev), 0);
	rig_connect(rig);
	assert_int_equal(bus_counters(rig->bus)->offers, VMBUS_RELID_MAX);
}

static void test_relids_are_stable(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *a = rig_offer(rig, 1, 1), *b = rig_offer(rig, 1, 2);
	uint32_t relid_a = relid_of(a), relid_b = relid_of(b);

	for (int i = 0; i < 3; i++) {
		rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
		rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
		take(rig, VMBUS_MSG_VERSION_RESPONSE);
		assert_int_equal(take(rig, VMBUS_MSG_OFFER)->offer.relid, relid_a);
		assert_int_equal(take(rig, VMBUS_MSG_OFFER)->offer.relid, relid_b);
		take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED);
		assert_int_equal(bus_counters(rig->bus)->offers, 2);
		rig_simple(rig, VMBUS_MSG_UNLOAD);
		take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
	}
}

static void test_released_offer_is_gone_till_next_contact(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *other;

	rig_connect(rig);
	assert_string_equal(bus_channel_state_name(dev->chan), "offered");
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev));
	assert_string_equal(bus_channel_state_name(dev->chan), "hidden");
	assert_int_equal(dev->released, 0); /* the device did not go */
	assert_int_equal(rig_try_offer(rig, 1, 1, &other), -EEXIST);
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev)));
	assert_bad(rig, rig_open(rig, relid_of(dev), 1, 1));
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_offer(rig, dev);
}

struct seen {
	uint32_t count, last;
};

static void see(void *ctx, const struct bus_channel *chan)
{
	struct seen *seen = ctx;

	assert_true(bus_channel_relid(chan) > seen->last);
	seen->last = bus_channel_relid(chan);
	seen->count++;
}

static void test_enumeration(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 9, 1);
	struct seen seen = {0};

	rig_offer(rig, 1, 2);
	rig_connect(rig);
	rig_open_dev(rig, dev);
	rig_sub(dev, 1);
	bus_for_each_channel(rig->bus, see, &seen);
	assert_int_equal(seen.count, 3);
	assert_string_equal(bus_channel_state_name(dev->chan), "open");
	assert_int_equal(bus_channel_target_vp(dev->chan), 0);
	assert_ptr_equal(bus_channel_bus(dev->chan), rig->bus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_order_and_end),
		bus_test(test_fields),
		bus_test(test_user_data_is_copied),
		bus_test(test_hot_add),
		bus_test(test_instance_is_unique_over_classes),
		bus_test(test_relids_run_out),
		bus_test(test_relids_are_stable),
		bus_test(test_released_offer_is_gone_till_next_contact),
		bus_test(test_enumeration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
