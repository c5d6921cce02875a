/* SPDX-License-Identifier: MIT */
/* Sub-channels: they come with an open primary and go with it. */
#include "bus_test.h"

static struct rig_dev *open_primary(struct rig *rig)
{
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	rig_open_dev(rig, dev);
	return dev;
}

static void test_offer(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 3), *other;
	const struct rig_msg *msg = take(rig, VMBUS_MSG_OFFER);

	assert_int_equal(msg->offer.sub_channel_index, 3);
	assert_memory_equal(&msg->offer.class_id, bus_channel_class(primary->chan), 16);
	assert_memory_equal(&msg->offer.instance_id, bus_channel_instance(primary->chan), 16);
	assert_int_not_equal(msg->offer.relid, relid_of(primary));
	assert_int_equal(msg->offer.relid, relid_of(sub));
	assert_int_equal(msg->offer.connection_id, 0x2000 | relid_of(sub));
	assert_int_equal(bus_channel_index(sub->chan), 3);
	assert_int_equal(bus_channel_index(primary->chan), 0);

	assert_int_equal(rig_try_sub(primary, 3, &other), -EEXIST);
	assert_int_equal(rig_try_sub(primary, 0, &other), -EINVAL);
	assert_int_equal(rig_try_sub(sub, 1, &other), -EINVAL);
	rig_open_dev(rig, sub);
	assert_int_equal(sub->state, DEV_OPEN);
}

static void test_only_for_open_primaries(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *sub;

	assert_int_equal(rig_try_sub(dev, 1, &sub), -ENOTCONN);
	rig_connect(rig);
	assert_int_equal(rig_try_sub(dev, 1, &sub), -ENOTCONN);
	rig->answer_at_once = false;
	rig_open_dev(rig, dev);
	assert_int_equal(rig_try_sub(dev, 1, &sub), -ENOTCONN);
	rig_answer(dev, true);
	assert_int_equal(rig_try_sub(dev, 1, &sub), 0);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	assert_int_equal(rig_try_sub(dev, 2, &sub), -ENOTCONN);
}

static void test_not_offered_to_the_next_kernel(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1);

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	assert_int_equal(sub->released, 1);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_offer(rig, primary);
	take(rig, VMBUS_MSG_ALL_OFFERS_DELIVERED);
}

/* What Linux does: subs first, each released without a RESCIND, then the primary. */
static void test_linux_close_order(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1);
	uint32_t relid = relid_of(sub);

	rig_open_dev(rig, sub);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_teardown(rig, relid, relid);
	take_torndown(rig, relid);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(sub->released, 1);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(primary));
	take_nothing(rig);
	/* Fresh ones after the next open. */
	rig_open(rig, relid_of(primary), 2, relid_of(primary));
	take_open_result(rig, relid_of(primary), 2, true);
	sub = rig_sub(primary, 1);
	take_offer(rig, sub);
}

static void test_release_while_closing(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1), *other;
	uint32_t relid = relid_of(sub);

	rig_open_dev(rig, sub);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_teardown(rig, relid, relid);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(sub->released, 0); /* the device still works on it */
	assert_int_equal(rig_try_sub(primary, 2, &other), 0);
	assert_int_not_equal(relid_of(other), relid);
	rig_forget_sent(rig);
	rig_answer(sub, true);
	take_torndown(rig, relid);
	take_nothing(rig); /* no RESCIND for what was released */
	assert_int_equal(sub->released, 1);
}

static void test_primary_close_revokes_subs(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *a = rig_sub(primary, 1),
		       *b = rig_sub(primary, 2), *c;
	uint32_t relid_a = relid_of(a), relid_b = relid_of(b);

	rig_open_dev(rig, a);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(primary));
	take_rescind(rig, relid_b); /* was not open */
	take_nothing(rig);
	assert_int_equal(a->state, DEV_CLOSING);
	assert_int_equal(primary->state, DEV_OPEN); /* waits for a */
	assert_int_equal(rig_try_sub(primary, 3, &c), -ENOTCONN);
	rig_answer(a, true);
	take_rescind(rig, relid_a);
	take_nothing(rig);
	assert_int_equal(primary->state, DEV_CLOSING);
	rig_answer(primary, true);
	assert_int_equal(primary->closes, 1);

	/* They keep their relids until released; the primary is free to be opened again. */
	rig_open(rig, a->chan ? relid_a : 0, 9, relid_a);
	take_nothing(rig);
	rig_open(rig, relid_of(primary), 2, relid_of(primary));
	rig_answer(primary, true);
	take_open_result(rig, relid_of(primary), 2, true);
	c = rig_sub(primary, 1);
	take_offer(rig, c);
	assert_int_not_equal(relid_of(c), relid_a);
	assert_int_not_equal(relid_of(c), relid_b);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_b);
	assert_int_equal(b->released, 1);
	assert_int_equal(a->released, 0);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_a);
	assert_int_equal(a->released, 1);
	take_nothing(rig);
}

static void test_sub_opening_when_primary_closes(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1);
	uint32_t relid = relid_of(sub);

	rig->answer_at_once = false;
	rig_open_dev(rig, sub);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(primary));
	take_nothing(rig);
	rig_answer(sub, true);
	take_open_result(rig, relid, relid, false);
	assert_int_equal(sub->state, DEV_CLOSING);
	rig_answer(sub, true);
	take_rescind(rig, relid);
	assert_int_equal(primary->state, DEV_CLOSING);
}

static void test_primary_rescind_takes_subs(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1);
	uint32_t relid = relid_of(primary), sub_relid = relid_of(sub);

	rig_open_dev(rig, sub);
	bus_rescind(primary->chan);
	take_rescind(rig, sub_relid);
	take_rescind(rig, relid);
	take_nothing(rig);
	/* The device keeps its primary until no sub-channel is left. */
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(primary->released, 0);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, sub_relid);
	assert_int_equal(sub->released, 1);
	assert_int_equal(primary->released, 1);
}

static void test_rescind_of_one_sub(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub = rig_sub(primary, 1);
	uint32_t relid = relid_of(sub);

	rig_open_dev(rig, sub);
	bus_rescind(sub->chan);
	take_rescind(rig, relid);
	assert_int_equal(primary->state, DEV_OPEN);
	rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid);
	assert_int_equal(sub->released, 1);
	take_nothing(rig);
}

static void test_relids_of_unreleased_subs_run_out(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *primary = open_primary(rig), *sub;
	uint32_t offered = 0, relid = relid_of(primary);
	int ret;

	/* A guest that closes and opens for ever and never releases what it was offered. */
	while (!(ret = rig_try_sub(primary, 1, &sub))) {
		offered++;
		rig_relid(rig, VMBUS_MSG_CLOSE, relid);
		rig_open(rig, relid, relid, relid);
		rig_forget_sent(rig);
	}
	assert_int_equal(ret, -ENOSPC);
	/* Devices find relids nevertheless. */
	for (uint32_t i = 0; i < BUS_RELIDS_PRIMARY; i++)
		rig_offer(rig, 2, 2 + i);
	assert_int_equal(offered, VMBUS_RELID_MAX - BUS_RELIDS_PRIMARY - 1);
	rig_simple(rig, VMBUS_MSG_UNLOAD);
	assert_int_equal(sub->released, 1); /* the last that was given */
	rig_connect(rig);
	rig_open_dev(rig, primary);
	assert_int_equal(rig_try_sub(primary, 1, &sub), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_offer),
		bus_test(test_only_for_open_primaries),
		bus_test(test_not_offered_to_the_next_kernel),
		bus_test(test_linux_close_order),
		bus_test(test_release_while_closing),
		bus_test(test_primary_close_revokes_subs),
		bus_test(test_sub_opening_when_primary_closes),
		bus_test(test_primary_rescind_takes_subs),
		bus_test(test_rescind_of_one_sub),
		bus_test(test_relids_of_unreleased_subs_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
