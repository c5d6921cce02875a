/* SPDX-License-Identifier: MIT */
/* INITIATE_CONTACT: versions, where answers go, what is refused. */
#include "bus_test.h"

static const uint32_t known[] = {0x00020004, 0x00030000, 0x00040000, 0x00040001, 0x00050000,
	0x00050001, 0x00050002, 0x00050003};

static void contact_fields(struct rig *rig, struct vmbus_initiate_contact msg)
{
	rig_post(rig, VMBUS_MSG_INITIATE_CONTACT, &msg, sizeof(msg));
}

static void take_refusal(struct rig *rig, uint32_t vp, uint32_t sint)
{
	const struct rig_msg *msg = take(rig, VMBUS_MSG_VERSION_RESPONSE);

	assert_int_equal(msg->len, 16);
	assert_int_equal(msg->version.version_supported, 0);
	assert_int_equal(msg->version.connection_state, 0);
	assert_int_equal(msg->version.version_or_conn_id, 0);
	assert_int_equal(msg->vp, vp);
	assert_int_equal(msg->sint, sint);
	assert_int_equal(bus_version(rig->bus), 0);
}

static void test_every_known_version(void **state)
{
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		const struct rig_msg *msg;

		rig_contact(rig, known[i], 3);
		msg = take(rig, VMBUS_MSG_VERSION_RESPONSE);
		assert_int_equal(msg->version.version_supported, 1);
		assert_int_equal(msg->version.connection_state, 0);
		assert_int_equal(
			msg->version.version_or_conn_id, known[i] >= 0x00050000 ? 1 : known[i]);
		assert_int_equal(msg->vp, known[i] >= 0x00030000 ? 3 : 0);
		assert_int_equal(msg->sint, VMBUS_SINT);
		assert_int_equal(bus_version(rig->bus), known[i]);
		take_nothing(rig);
	}
	assert_int_equal(bus_counters(rig->bus)->resets, 7);
}

static void test_other_values_refused(void **state)
{
	static const uint32_t unknown[] = {0, 0x0000000D, 0x00010001, 0x00020003, 0x00020005,
		0x00030001, 0x00040002, 0x00050004, 0x00060000, 0x7FFFFFFF, 0xFFFFFFFF};
	struct rig *rig = *state;

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		rig_contact(rig, unknown[i], 2);
		take_refusal(rig, unknown[i] >= 0x00030000 ? 2 : 0, VMBUS_SINT);
		take_nothing(rig);
	}
}

static void test_max_version_caps(void **state)
{
	struct rig *rig = *state;
	struct rig *capped = malloc(sizeof(*capped));

	assert_non_null(capped);
	rig_init(capped, VMBUS_VERSION_WIN10_V5, 16);
	rig_contact(capped, VMBUS_VERSION_WIN10_V5_1, 0);
	take_refusal(capped, 0, VMBUS_SINT);
	rig_contact(capped, VMBUS_VERSION_WIN10_V5, 0);
	assert_int_equal(take(capped, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 1);
	rig_fini(capped);
	free(capped);
	take_nothing(rig);
}

static void test_refused_sint_gets_the_answer(void **state)
{
	struct rig *rig = *state;
	struct vmbus_initiate_contact msg = {.version = VMBUS_VERSION_WIN10_V5, .target_vp = 1};

	for (uint32_t sint = 0; sint < 16; sint++) {
		if (sint == VMBUS_SINT)
			continue;
		msg.sint = sint;
		contact_fields(rig, msg);
		take_refusal(rig, 1, sint);
	}
	msg.sint = 200; /* no such SINT: the answer has to go somewhere */
	contact_fields(rig, msg);
	take_refusal(rig, 1, VMBUS_SINT);
}

static void test_vtl(void **state)
{
	struct rig *rig = *state;
	struct vmbus_initiate_contact msg = {
		.version = VMBUS_VERSION_WIN10_V5_1, .sint = VMBUS_SINT, .vtl = 2};

	contact_fields(rig, msg);
	take_refusal(rig, 0, VMBUS_SINT);
	msg.version = VMBUS_VERSION_WIN10_V5; /* the byte means nothing before 5.1 */
	contact_fields(rig, msg);
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 1);
}

static void test_interrupt_page_is_not_a_sint(void **state)
{
	struct rig *rig = *state;
	struct vmbus_initiate_contact msg = {
		.version = VMBUS_VERSION_WIN10_RS3, .interrupt_page = 0x12345000};

	contact_fields(rig, msg);
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 1);
}

static void test_target_vp(void **state)
{
	struct rig *rig = *state;

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, RIG_VPS);
	take_refusal(rig, 0, VMBUS_SINT);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0xFFFFFFFF);
	take_refusal(rig, 0, VMBUS_SINT);
	rig_contact(rig, VMBUS_VERSION_WIN8, RIG_VPS); /* not a VP before 3.0 */
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 1);
}

static void test_one_monitor_page(void **state)
{
	struct rig *rig = *state;
	struct vmbus_initiate_contact msg = {.version = VMBUS_VERSION_WIN10_V5_3,
		.sint = VMBUS_SINT,
		.monitor_page_h2g = 0x1000};
	const struct rig_msg *answer;

	contact_fields(rig, msg);
	answer = take(rig, VMBUS_MSG_VERSION_RESPONSE);
	assert_int_equal(answer->version.version_supported, 1);
	assert_int_equal(answer->version.connection_state, VMBUS_CONNECTION_UNKNOWN_FAILURE);
	assert_int_equal(bus_version(rig->bus), 0);
	assert_bad(rig, rig_simple(rig, VMBUS_MSG_REQUEST_OFFERS));

	msg.monitor_page_g2h = 0x2000;
	contact_fields(rig, msg);
	answer = take(rig, VMBUS_MSG_VERSION_RESPONSE);
	assert_int_equal(answer->version.connection_state, VMBUS_CONNECTION_SUCCESSFUL);
	assert_int_equal(bus_version(rig->bus), VMBUS_VERSION_WIN10_V5_3);
}

static void test_padded_contact(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};
	struct vmbus_initiate_contact *msg = (void *)bytes;

	msg->version = VMBUS_VERSION_WIN10_V5_3;
	msg->sint = VMBUS_SINT;
	rig_post(rig, VMBUS_MSG_INITIATE_CONTACT, bytes, sizeof(bytes));
	assert_int_equal(take(rig, VMBUS_MSG_VERSION_RESPONSE)->version.version_supported, 1);
	assert_bad(rig, rig_post(rig, VMBUS_MSG_INITIATE_CONTACT, bytes, 39));
}

static void test_nothing_without_contact(void **state)
{
	struct rig *rig = *state;
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX] = {0};

	rig_offer(rig, 1, 1);
	for (uint32_t type = 0; type < 40; type++) {
		if (type == VMBUS_MSG_INITIATE_CONTACT || type == VMBUS_MSG_UNLOAD)
			continue;
		assert_bad(rig, rig_post(rig, type, bytes, sizeof(bytes)));
	}
}

static void test_contact_flushes_the_queue(void **state)
{
	struct rig *rig = *state;

	rig_contact(rig, VMBUS_VERSION_WIN10_V5_3, 0);
	rig_contact(rig, VMBUS_VERSION_WIN10_V5_2, 0);
	assert_int_equal(rig->flushes, 2);
	take(rig, VMBUS_MSG_VERSION_RESPONSE);
	take_nothing(rig);
	assert_int_equal(bus_version(rig->bus), VMBUS_VERSION_WIN10_V5_2);
}

static void test_config_is_checked(void **state)
{
	struct rig *rig = *state;
	struct bus_config config = {.gmem = &rig->gmem, .max_version = VMBUS_VERSION_WIN10};
	struct bus *bus;

	assert_int_equal(bus_create(&bus, &config), -EINVAL);
	config.vp_count = 1;
	config.max_version = 0x00060000;
	assert_int_equal(bus_create(&bus, &config), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		bus_test(test_every_known_version),
		bus_test(test_other_values_refused),
		bus_test(test_max_version_caps),
		bus_test(test_refused_sint_gets_the_answer),
		bus_test(test_vtl),
		bus_test(test_interrupt_page_is_not_a_sint),
		bus_test(test_target_vp),
		bus_test(test_one_monitor_page),
		bus_test(test_padded_contact),
		bus_test(test_nothing_without_contact),
		bus_test(test_contact_flushes_the_queue),
		bus_test(test_config_is_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
