/* SPDX-License-Identifier: MIT */
/* OPENCHANNEL, CLOSECHANNEL, MODIFYCHANNEL and devices that take their time. */
#include "bus_test.h"

static struct rig_dev *dev_with_ring(struct rig *rig)
{
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	rig_gpadl(rig, relid_of(dev), 1, 8);
	rig_forget_sent(rig);
	return dev;
}

static void test_open_close_open(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	struct vmbus_open open = {.relid = relid_of(dev),
		.open_id = 0xABCD,
		.ring_gpadl = 1,
		.target_vp = 3,
		.downstream_offset = 5};

	memset(open.user, 0x77, sizeof(open.user));
	rig_open_full(rig, &open);
	take_open_result(rig, relid_of(dev), 0xABCD, true);
	take_nothing(rig);
	assert_int_equal(dev->state, DEV_OPEN);
	assert_int_equal(dev->target_vp, 3);
	assert_int_equal(dev->downstream_page, 5);
	assert_int_equal(dev->ring_pages, 8);
	assert_memory_equal(dev->user, open.user, sizeof(open.user));
	assert_int_equal(bus_channel_target_vp(dev->chan), 3);

	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	take_nothing(rig); /* CLOSECHANNEL has no answer */
	assert_int_equal(dev->state, DEV_CLOSED);
	assert_int_equal(bus_channel_target_vp(dev->chan), VMBUS_VP_NONE);
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev)));

	open.open_id = 2;
	open.target_vp = VMBUS_VP_NONE;
	rig_open_full(rig, &open); /* the GPADL is still there */
	take_open_result(rig, relid_of(dev), 2, true);
	assert_int_equal(dev->opens, 2);
	assert_int_equal(dev->closes, 1);
	assert_int_equal(bus_counters(rig->bus)->opens, 2);
	assert_int_equal(bus_counters(rig->bus)->closes, 1);
}

static void test_open_checks(void **state)
{
	static const uint64_t odd[] = {6 * 4096 - 8, 1, 2, 3, 4, 5, 6};
	static const uint64_t two[] = {4 * 4096, 1, 2, 3, 4, 4 * 4096, 5, 6, 7, 8};
	static const uint64_t shifted[] = {1ull << 32 | (6 * 4096 - 1), 1, 2, 3, 4, 5, 6};
	const struct rig_ranges lists[] = {
		{.buflen = sizeof(odd),
			.count = 1,
			.words = odd,
			.word_count = 7,
			.header_words = 7},
		{.buflen = sizeof(two),
			.count = 2,
			.words = two,
			.word_count = 10,
			.header_words = 10},
		{.buflen = sizeof(shifted),
			.count = 1,
			.words = shifted,
			.word_count = 7,
			.header_words = 7},
	};
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig), *other = rig_offer(rig, 1, 2);
	uint32_t relid = relid_of(dev);
	const struct {
		uint32_t gpadl, downstream, vp;
		bool ok;
	} cases[] = {
		{99, 4, 0, false}, /* unknown */
		{20, 4, 0, false}, /* of another channel */
		{10, 4, 0, false}, /* not whole pages */
		{11, 4, 0, false}, /* two ranges */
		{12, 4, 0, false}, /* not page-aligned */
		{1, 0, 0, false},
		{1, 1, 0, false}, /* a control page and no data */
		{1, 7, 0, false},
		{1, 8, 0, false},
		{1, 9, 0, false},
		{1, 0xFFFFFFFF, 0, false},
		{1, 0xFFFFFFFE, 0, false},
		{2, 1, 0, false}, /* 3 pages cannot hold two rings */
		{2, 2, 0, false},
		{1, 4, RIG_VPS, false},
		{1, 4, 0xFFFFFFFE, false},
		{3, 2, 0, true}, /* 4 pages can */
		{1, 2, 0, true},
		{1, 6, RIG_VPS - 1, true},
		{1, 4, VMBUS_VP_NONE, true},
	};

	for (uint32_t i = 0; i < 3; i++) {
		rig_gpadl_raw(rig, relid, 10 + i, &lists[i]);
		while (rig_take(rig))
			;
		assert_non_null(bus_gpadl_find(dev->chan, 10 + i));
	}
	rig_gpadl(rig, relid, 2, 3);
	rig_gpadl(rig, relid, 3, 4);
	rig_gpadl(rig, relid_of(other), 20, 8);
	rig_forget_sent(rig);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vmbus_open open = {.relid = relid,
			.open_id = i,
			.ring_gpadl = cases[i].gpadl,
			.downstream_offset = cases[i].downstream,
			.target_vp = cases[i].vp};
		uint32_t opens = dev->opens;

		rig_open_full(rig, &open);
		take_open_result(rig, relid, i, cases[i].ok);
		take_nothing(rig);
		assert_int_equal(dev->opens, opens + cases[i].ok);
		if (cases[i].ok)
			rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	}
}

static void test_open_with_gpadl_in_teardown(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	struct gpadl *g = bus_gpadl_find(dev->chan, 1);

	gpadl_get(g);
	rig_teardown(rig, relid_of(dev), 1);
	rig_open(rig, relid_of(dev), 1, 1);
	take_open_result(rig, relid_of(dev), 1, false);
	gpadl_put(g);
	take_torndown(rig, 1);
}

static void test_unknown_relids(void **state)
{
	static const uint32_t relids[] = {0, 2, 2047, 2048, 0x10001, 0xFFFFFFFF};
	struct rig *rig = *state;

	dev_with_ring(rig); /* relid 1 */
	for (size_t i = 0; i < sizeof(relids) / sizeof(relids[0]); i++) {
		assert_bad(rig, rig_open(rig, relids[i], 1, 1));
		assert_bad(rig, rig_relid(rig, VMBUS_MSG_CLOSE, relids[i]));
		assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relids[i]));
		assert_bad(rig, rig_teardown(rig, relids[i], 1));
	}
}

static void test_slow_open(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);

	rig->answer_at_once = false;
	rig_open(rig, relid_of(dev), 1, 1);
	take_nothing(rig);
	assert_int_equal(dev->state, DEV_OPENING);
	assert_bad(rig, rig_open(rig, relid_of(dev), 2, 1)); /* one at a time */
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev)));
	rig_answer(dev, true);
	take_open_result(rig, relid_of(dev), 1, true);
	assert_bad(rig, rig_open(rig, relid_of(dev), 3, 1));
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev)));
	assert_int_equal(dev->opens, 1);
}

static void test_device_refuses(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);

	rig->fail_opens = true;
	rig_open(rig, relid_of(dev), 1, 1);
	take_open_result(rig, relid_of(dev), 1, false);
	assert_int_equal(dev->closes, 0);
	rig_teardown(rig, relid_of(dev), 1); /* the ring is not in use */
	take_torndown(rig, 1);
	assert_int_equal(bus_counters(rig->bus)->opens, 0);
}

static void test_close_while_opening(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);

	rig->answer_at_once = false;
	rig_open(rig, relid_of(dev), 1, 1);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid_of(dev)));
	assert_int_equal(dev->state, DEV_OPENING); /* one thing at a time */
	take_nothing(rig);
	rig_answer(dev, true);
	take_open_result(rig, relid_of(dev), 1, false);
	assert_int_equal(dev->state, DEV_CLOSING);
	rig_answer(dev, true);
	take_nothing(rig);
	assert_int_equal(dev->closes, 1);
	/* The same, and the device fails: nothing to close. */
	rig_open(rig, relid_of(dev), 2, 1);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
	rig_answer(dev, false);
	take_open_result(rig, relid_of(dev), 2, false);
	assert_int_equal(dev->closes, 1);
	rig_open(rig, relid_of(dev), 3, 1);
	rig_answer(dev, true);
	take_open_result(rig, relid_of(dev), 3, true);
}

static void test_reopen_while_closing(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig_gpadl(rig, relid, 2, 8);
	rig_open(rig, relid, 1, 1);
	rig_forget_sent(rig);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_teardown(rig, relid, 1);
	rig_open(rig, relid, 2, 2);
	take_nothing(rig);
	assert_bad(rig, rig_open(rig, relid, 3, 2)); /* one waits already */
	assert_bad(rig, rig_relid(rig, VMBUS_MSG_RELID_RELEASED, relid));
	rig_answer(dev, true);
	take_torndown(rig, 1);
	assert_int_equal(dev->state, DEV_OPENING);
	rig_answer(dev, true);
	take_open_result(rig, relid, 2, true);
	take_nothing(rig);
}

static void test_reopen_is_checked_when_its_time_comes(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig_open(rig, relid, 1, 1);
	rig_forget_sent(rig);
	rig->answer_at_once = false;
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_open(rig, relid, 2, 1);
	rig_teardown(rig, relid, 1);
	rig_answer(dev, true);
	take_torndown(rig, 1);
	take_open_result(rig, relid, 2, false);
	assert_int_equal(dev->opens, 1);
}

static void test_close_ends_a_queued_reopen(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig->answer_at_once = false;
	rig_open(rig, relid, 1, 1);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_open(rig, relid, 2, 1);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	take_open_result(rig, relid, 2, false);
	rig_answer(dev, true);
	take_open_result(rig, relid, 1, false); /* each with its own id */
	rig_answer(dev, true);
	take_nothing(rig);
	assert_int_equal(dev->opens, 1);
	assert_int_equal(dev->closes, 1);
}

static void test_modify(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig_modify(rig, relid, 1);
	take_modified(rig, relid, false); /* not open */
	rig_open(rig, relid, 1, 1);
	take_open_result(rig, relid, 1, true);
	rig_modify(rig, relid, RIG_VPS);
	take_modified(rig, relid, false);
	rig_modify(rig, relid, VMBUS_VP_NONE);
	take_modified(rig, relid, false);
	rig_modify(rig, 55, 1);
	take_modified(rig, 55, false);
	assert_int_equal(dev->retargets, 0);
	rig_modify(rig, relid, 2);
	take_modified(rig, relid, true);
	assert_int_equal(dev->target_vp, 2);
	assert_int_equal(bus_channel_target_vp(dev->chan), 2);
	take_nothing(rig);
}

static void test_modify_before_5_3_has_no_answer(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_contact(rig, VMBUS_VERSION_WIN10_RS3, 0);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	rig_modify(rig, relid_of(dev), 2);
	assert_int_equal(dev->target_vp, 2);
	assert_bad(rig, rig_modify(rig, relid_of(dev), 99));
	take_nothing(rig);

	rig_contact(rig, VMBUS_VERSION_WIN10, 0); /* 4.0 has no such message */
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_open_dev(rig, dev);
	assert_bad(rig, rig_modify(rig, relid_of(dev), 2));
	assert_int_equal(dev->retargets, 1);
}

static void test_slow_modify(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig_open(rig, relid, 1, 1);
	rig_forget_sent(rig);
	rig->answer_at_once = false;
	rig_modify(rig, relid, 1);
	rig_modify(rig, relid, 2);
	take_nothing(rig);
	rig_modify(rig, relid, 3);
	take_modified(rig, relid, false); /* VP 2 will never be */
	rig_answer(dev, true);
	take_modified(rig, relid, true);
	assert_int_equal(bus_channel_target_vp(dev->chan), 1);
	assert_int_equal(dev->state, DEV_RETARGETING);
	rig_answer(dev, false);
	take_modified(rig, relid, false);
	assert_int_equal(bus_channel_target_vp(dev->chan), 1);
	take_nothing(rig);
}

static void test_close_while_retargeting(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = dev_with_ring(rig);
	uint32_t relid = relid_of(dev);

	rig_open(rig, relid, 1, 1);
	rig_forget_sent(rig);
	rig->answer_at_once = false;
	rig_modify(rig, relid, 1);
	rig_modify(rig, relid, 2);
	rig_relid(rig, VMBUS_MSG_CLOSE, relid);
	rig_modify(rig, relid, 3);
	take_modified(rig, relid, false); /* too late */
	assert_int_equal(dev->state, DEV_RETARGETING);
	rig_answer(dev, true);
	take_modified(rig, relid, true);
	take_modified(rig, relid, false); /* the one that waited */
	assert_int_equal(dev->state, DEV_CLOSING);
	rig_answer(dev, true);
	rig_open(rig, relid, 2, 1);
	rig_answer(dev, true);
	take_open_result(rig, relid, 2, true);
	assert_int_equal(dev->retargets, 1); /* nothing left over from before */
	take_nothing(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_open_close_open),
		bus_test(test_open_checks),
		bus_test(test_open_with_gpadl_in_teardown),
		bus_test(test_unknown_relids),
		bus_test(test_slow_open),
		bus_test(test_device_refuses),
		bus_test(test_close_while_opening),
		bus_test(test_reopen_while_closing),
		bus_test(test_reopen_is_checked_when_its_time_comes),
		bus_test(test_close_ends_a_queued_reopen),
		bus_test(test_modify),
		bus_test(test_modify_before_5_3_has_no_answer),
		bus_test(test_slow_modify),
		bus_test(test_close_while_retargeting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
