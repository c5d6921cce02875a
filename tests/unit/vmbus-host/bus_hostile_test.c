/* SPDX-License-Identifier: MIT */
/* Hostile guests: every type in every state, short and long, and endless creation. */
#include "bus_test.h"

#include "proto/vmbus_proto.h"

#define ATTEMPTS 100000u
/* What 10^5 attempts may leave behind: the quotas of this test's bus are below it. */
#define HEAP_CAP (1u << 20)

static void test_lengths(void **state)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX + 1] = {0};
	struct rig *rig = *state;

	rig_connect(rig);
	for (uint32_t len = 0; len < 8; len++)
		assert_bad(rig, bus_message(rig->bus, bytes, len));
	for (uint32_t type = 0; type < 40; type++) {
		const struct vmbus_msg_info *info = vmbus_msg_info(type);
		uint32_t min = info ? info->size_min : 9;

		assert_bad(rig, rig_post(rig, type, bytes, min - 1));
		assert_bad(rig, rig_post(rig, type, bytes, sizeof(bytes)));
	}
}

static void test_host_messages_from_the_guest(void **state)
{
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct rig *rig = *state;

	rig_connect(rig);
	for (uint32_t type = 0; type < 300; type++) {
		const struct vmbus_msg_info *info = vmbus_msg_info(type);

		if (!info || info->dir == VMBUS_H2G)
			assert_bad(rig, rig_post(rig, type, bytes, sizeof(bytes)));
	}
	assert_bad(rig, rig_post(rig, 0xFFFFFFFF, bytes, sizeof(bytes)));
}

/* Every guest message has a handler: none may pass as unknown. */
static void test_all_types_in_all_states(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig->answer_at_once = false;
	for (uint32_t round = 0; round < 2000; round++) {
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
		uint32_t type = 1 + round * 7 % VMBUS_MSG_TYPE_MAX;
		uint32_t relid = dev->chan ? relid_of(dev) : 1;

		if (bus_version(rig->bus) == 0 && !rig_dev_owes(dev))
			rig_connect(rig);
		if (round % 5 == 0) {
			rig_gpadl(rig, relid, 1, 8);
			rig_open(rig, relid, round, 1);
		}
		memset(bytes, round % 3 ? 0 : 0xFF, sizeof(bytes));
		memcpy(bytes + 8, &relid, sizeof(relid));
		rig_post(rig, type, bytes, sizeof(bytes));
		if (round % 11 == 0 && rig_dev_owes(dev))
			rig_answer(dev, round % 2);
		rig_forget_sent(rig);
	}
	assert_true(dev->opens > 10);
	assert_true(bus_counters(rig->bus)->messages >= 2000);
}

static void test_reserved_channels(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);
	struct vmbus_open_reserved open = {.target_vp = 2, .target_sint = 5};
	struct vmbus_close_reserved close = {.relid = 1, .target_vp = 3, .target_sint = 6};
	const struct rig_msg *msg;

	rig_connect(rig);
	open.relid = relid_of(dev);
	rig_post(rig, VMBUS_MSG_OPEN_RESERVED, &open, sizeof(open));
	msg = take(rig, VMBUS_MSG_OPEN_RESULT);
	assert_int_equal(msg->vp, 2);
	assert_int_equal(msg->sint, 5);
	assert_int_equal(msg->open_result.relid, relid_of(dev));
	assert_int_not_equal(msg->open_result.status, 0);
	assert_int_equal(dev->opens, 0);
	rig_post(rig, VMBUS_MSG_CLOSE_RESERVED, &close, sizeof(close));
	msg = take(rig, VMBUS_MSG_CLOSE_RESERVED_RESPONSE);
	assert_int_equal(msg->vp, 3);
	assert_int_equal(msg->sint, 6);
	assert_int_equal(msg->relid.relid, 1);

	open.target_vp = RIG_VPS;
	assert_bad(rig, rig_post(rig, VMBUS_MSG_OPEN_RESERVED, &open, sizeof(open)));
	open.target_vp = 0;
	open.relid = 99;
	assert_bad(rig, rig_post(rig, VMBUS_MSG_OPEN_RESERVED, &open, sizeof(open)));
	close.target_sint = 16;
	assert_bad(rig, rig_post(rig, VMBUS_MSG_CLOSE_RESERVED, &close, sizeof(close)));
}

static void test_sockets_are_refused(void **state)
{
	struct rig *rig = *state;
	struct vmbus_tl_connect msg = {0};
	const struct rig_msg *answer;

	memset(&msg.guest_endpoint, 1, sizeof(msg.guest_endpoint));
	memset(&msg.host_service, 2, sizeof(msg.host_service));
	rig_connect(rig);
	rig_post(rig, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
	answer = take(rig, VMBUS_MSG_TL_CONNECT_RESULT);
	assert_memory_equal(&answer->tl_result.guest_endpoint, &msg.guest_endpoint, 16);
	assert_memory_equal(&answer->tl_result.host_service, &msg.host_service, 16);
	assert_int_equal(answer->tl_result.status, VMBUS_STATUS_CONNECTION_REFUSED);

	rig_contact(rig, VMBUS_VERSION_WIN10, 0); /* 4.0 has no such answer */
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	rig_post(rig, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
	take_nothing(rig);
	rig_contact(rig, VMBUS_VERSION_WIN8_1, 0); /* 3.0 no such request */
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	assert_bad(rig, rig_post(rig, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg)));
}

/* ---- endless creation (faults.md G4) ------------------------------------- */

struct creation {
	const char *what;
	void (*attempt)(struct rig *rig, struct rig_dev *dev, uint32_t i);
};

static void create_gpadl(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	rig_gpadl(rig, relid_of(dev), i, 1);
}

static void create_large_gpadl(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	static const uint64_t words[27] = {26 * 4096};
	const struct rig_ranges r = {
		.buflen = 65528, .count = 1, .words = words, .word_count = 27, .header_words = 27};

	rig_gpadl_raw(rig, relid_of(dev), i, &r);
}

/* Memory is taken by words, the quota counts pages: ranges must not make a difference. */
static void create_many_ranges(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	static const uint64_t words[1];
	const struct rig_ranges r = {.buflen = 65528,
		.count = 8191 - i % 4096,
		.words = words,
		.word_count = 1,
		.header_words = 1};

	rig_gpadl_raw(rig, relid_of(dev), i, &r);
}

static void create_building_gpadl(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	static const uint64_t words[2] = {8192};
	const struct rig_ranges r = {
		.buflen = 24, .count = 1, .words = words, .word_count = 2, .header_words = 2};

	rig_gpadl_raw(rig, relid_of(dev), i, &r);
}

static void create_bad_gpadl(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	static const uint64_t words[2] = {4096, ~0ull};
	const struct rig_ranges r = {
		.buflen = 16, .count = 1, .words = words, .word_count = 2, .header_words = 2};

	rig_gpadl_raw(rig, relid_of(dev), i, &r);
}

static void create_torn_gpadl(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	rig_gpadl(rig, relid_of(dev), i, 8);
	rig_teardown(rig, relid_of(dev), i);
}

static void create_open(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	if (!i)
		rig_gpadl(rig, relid_of(dev), 1, 8);
	rig_open(rig, relid_of(dev), i, 1);
	if (i % 3)
		rig_relid(rig, VMBUS_MSG_CLOSE, relid_of(dev));
}

static void create_connection(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	rig_contact(rig, i % 4 ? VMBUS_VERSION_WIN10_V5_3 : 99, i % RIG_VPS);
	rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS);
	rig_gpadl(rig, relid_of(dev), i, 8);
	rig_open(rig, relid_of(dev), i, i);
	if (i % 7 == 0)
		rig_simple(rig, VMBUS_MSG_UNLOAD);
}

static void create_socket(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	struct vmbus_tl_connect msg = {0};

	memcpy(&msg.guest_endpoint, &i, sizeof(i));
	rig_post(rig, VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg));
}

static void create_reserved(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	struct vmbus_open_reserved msg = {.relid = relid_of(dev), .ring_gpadl = i};

	rig_post(rig, VMBUS_MSG_OPEN_RESERVED, &msg, sizeof(msg));
}

static void create_retarget(struct rig *rig, struct rig_dev *dev, uint32_t i)
{
	if (!i)
		rig_open_dev(rig, dev);
	rig->answer_at_once = false;
	rig_modify(rig, relid_of(dev), i % RIG_VPS);
}

static const struct creation creations[] = {
	{"GPADLs", create_gpadl},
	{"GPADLs announced large", create_large_gpadl},
	{"GPADLs of many ranges", create_many_ranges},
	{"GPADLs never completed", create_building_gpadl},
	{"GPADLs with bad lists", create_bad_gpadl},
	{"GPADLs torn down", create_torn_gpadl},
	{"opens", create_open},
	{"connections", create_connection},
	{"sockets", create_socket},
	{"reserved channels", create_reserved},
	{"interrupt targets", create_retarget},
};

static void test_endless_creation(void **state)
{
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(creations) / sizeof(creations[0]); i++) {
		struct rig_dev *dev = rig_offer(rig, 1, i);
		size_t before;

		rig_connect(rig);
		before = rig_heap();
		for (uint32_t n = 0; n < ATTEMPTS; n++) {
			creations[i].attempt(rig, dev, n);
			rig_forget_sent(rig);
			if (rig_heap() > before + HEAP_CAP)
				fail_msg("%s: heap grows after %u", creations[i].what, n);
		}
		rig->answer_at_once = true;
		if (rig_dev_owes(dev))
			rig_answer(dev, true);
		/* All of it is the connection's, nothing stays. */
		rig_simple(rig, VMBUS_MSG_UNLOAD);
		take(rig, VMBUS_MSG_UNLOAD_RESPONSE);
		rig_forget_sent(rig);
		assert_int_equal(rig_heap(), before);
		bus_rescind(dev->chan);
	}
}

static void test_endless_subchannels(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1), *sub;
	uint32_t relid = relid_of(dev), refused = 0;
	size_t cap = VMBUS_RELID_MAX * (2048 + sizeof(struct rig_dev)), before;

	rig_connect(rig);
	before = rig_heap();
	for (uint32_t n = 0; n < ATTEMPTS / 10; n++) {
		if (dev->state == DEV_CLOSED)
			rig_open_dev(rig, dev);
		for (uint16_t index = 1; index <= 10; index++)
			refused += rig_try_sub(dev, index, &sub) != 0;
		rig_relid(rig, VMBUS_MSG_CLOSE, relid);
		rig_teardown(rig, relid, relid);
		rig_forget_sent(rig);
		assert_true(rig_heap() < before + cap);
	}
	assert_true(refused > ATTEMPTS / 2);
}

/* Ids that differ in their high bits only, and as many as there may be. */
static void test_many_alike_ids(void **state)
{
	struct rig *rig = *state;
	struct rig_dev *dev = rig_offer(rig, 1, 1);

	rig_connect(rig);
	for (uint32_t i = 0; i < 4096; i++)
		rig_gpadl(rig, relid_of(dev), i << 20, 1);
	rig_forget_sent(rig);
	for (uint32_t i = 0; i < ATTEMPTS; i++)
		assert_non_null(bus_gpadl_find(dev->chan, (i % 4096) << 20));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_lengths),
		bus_test(test_host_messages_from_the_guest),
		bus_test(test_all_types_in_all_states),
		bus_test(test_reserved_channels),
		bus_test(test_sockets_are_refused),
		bus_test(test_endless_creation),
		bus_test(test_endless_subchannels),
		bus_test(test_many_alike_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
