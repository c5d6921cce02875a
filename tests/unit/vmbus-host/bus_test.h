/* SPDX-License-Identifier: MIT */
/* What all tests of the bus begin with. */
#ifndef VMBUS_HOST_BUS_TEST_H
#define VMBUS_HOST_BUS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/support/bus_rig.h"

#define TEST_GPADL_PAGES 8190u /* as many as one GPADL can have */

/* The next message to the guest has to be of this type. */
static inline const struct rig_msg *take(struct rig *rig, uint32_t type)
{
	const struct rig_msg *msg = rig_take(rig);

	assert_non_null(msg);
	assert_int_equal(msg->h.type, type);
	return msg;
}

static inline void take_nothing(struct rig *rig)
{
	assert_null(rig_take(rig));
}

static inline void take_offer(struct rig *rig, const struct rig_dev *dev)
{
	assert_int_equal(take(rig, VMBUS_MSG_OFFER)->offer.relid, bus_channel_relid(dev->chan));
}

static inline void take_rescind(struct rig *rig, uint32_t relid)
{
	assert_int_equal(take(rig, VMBUS_MSG_RESCIND)->relid.relid, relid);
}

static inline void take_open_result(struct rig *rig, uint32_t relid, uint32_t open_id, bool ok)
{
	const struct rig_msg *msg = take(rig, VMBUS_MSG_OPEN_RESULT);

	assert_int_equal(msg->open_result.relid, relid);
	assert_int_equal(msg->open_result.open_id, open_id);
	if (ok)
		assert_int_equal(msg->open_result.status, VMBUS_STATUS_SUCCESS);
	else
		assert_int_not_equal(msg->open_result.status, VMBUS_STATUS_SUCCESS);
}

static inline void take_created(struct rig *rig, uint32_t relid, uint32_t gpadl, bool ok)
{
	const struct rig_msg *msg = take(rig, VMBUS_MSG_GPADL_CREATED);

	assert_int_equal(msg->created.relid, relid);
	assert_int_equal(msg->created.gpadl, gpadl);
	assert_int_equal(
		msg->created.status, ok ? VMBUS_STATUS_SUCCESS : VMBUS_STATUS_GPADL_FAILED);
}

static inline void take_torndown(struct rig *rig, uint32_t gpadl)
{
	assert_int_equal(take(rig, VMBUS_MSG_GPADL_TORNDOWN)->torndown.gpadl, gpadl);
}

static inline void take_modified(struct rig *rig, uint32_t relid, bool ok)
{
	const struct rig_msg *msg = take(rig, VMBUS_MSG_MODIFY_CHANNEL_RESPONSE);

	assert_int_equal(msg->modify.relid, relid);
	assert_int_equal(!msg->modify.status, ok);
}

/* The bus counts one more bad message for what `statement` does, and sends no answer. */
#define assert_bad(rig, statement)                                                                 \
	do {                                                                                       \
		uint64_t bad_before = bus_counters((rig)->bus)->bad_messages;                      \
		statement;                                                                         \
		assert_int_equal(bus_counters((rig)->bus)->bad_messages, bad_before + 1);          \
		take_nothing(rig);                                                                 \
	} while (0)

static inline uint32_t relid_of(const struct rig_dev *dev)
{
	return bus_channel_relid(dev->chan);
}

static inline uint32_t gpadls_alive(struct rig *rig)
{
	uint32_t count;
	uint64_t pages;

	bus_gpadl_usage(rig->bus, &count, &pages);
	return count;
}

static inline int setup(void **state)
{
	struct rig *rig = malloc(sizeof(*rig));

	if (!rig)
		return -1;
	rig_init(rig, VMBUS_VERSION_WIN10_V5_3, TEST_GPADL_PAGES);
	*state = rig;
	return 0;
}

static inline int teardown(void **state)
{
	rig_fini(*state);
	free(*state);
	return 0;
}

#define bus_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

#endif
