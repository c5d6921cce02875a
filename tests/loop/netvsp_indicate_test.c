/* SPDX-License-Identifier: MIT */
/* Indications of the NIC to the guest: link, speed, offloads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/netvsp_rig.h"

struct change {
	struct netvsp_rig *rig;
	uint64_t speed;
	bool up;
};

static void set_speed(void *arg)
{
	const struct change *change = arg;

	netvsp_set_speed(change->rig->dev, change->speed);
}

static void set_link(void *arg)
{
	const struct change *change = arg;

	netvsp_set_link(change->rig->dev, change->up);
}

static struct netvsp_rig *start(uint32_t version)
{
	struct netvsp_rig *rig = netvsp_rig_create("loop", 1, 2, NULL);

	guest_nic_open(&rig->n, version, 0, true);
	guest_nic_set_filter(&rig->n, NDIS_FILTER_DIRECTED);
	return rig;
}

static void stop(struct netvsp_rig *rig)
{
	guest_nic_close(&rig->n);
	netvsp_rig_destroy(rig);
}

static void wait_indications(struct guest_nic *n, uint64_t count)
{
	while (n->indications < count)
		if (!guest_nic_poll(n))
			guest_chan_signal(&n->channels[0]);
}

/* A message there and back: what was sent before has arrived. */
static uint32_t query32(struct guest_nic *n, uint32_t oid)
{
	const uint8_t *info;
	uint32_t len, value;

	assert_int_equal(guest_nic_query(n, oid, &info, &len), 0);
	assert_int_equal(len, 4);
	memcpy(&value, info, sizeof(value));
	return value;
}

static void speed(void **state)
{
	static const uint64_t speeds[] = {25000000000, 1000000000, 10000000, 429496729500};
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1);
	struct guest_nic *n = &rig->n;
	struct change change = {.rig = rig};
	uint64_t seen = n->indications;
	uint32_t units;

	for (uint32_t i = 0; i < 4; i++) {
		change.speed = speeds[i];
		guest_control(&rig->g, set_speed, &change);
		wait_indications(n, ++seen);
		assert_int_equal(n->last_indication, RNDIS_STATUS_LINK_SPEED_CHANGE);
		assert_int_equal(n->indication_length, 4);
		memcpy(&units, n->indication_info, sizeof(units));
		assert_int_equal(units, i < 3 ? speeds[i] / 100 : 0xFFFFFFFE);
		assert_int_equal(query32(n, OID_GEN_LINK_SPEED), units);
		guest_control(&rig->g, set_speed, &change); /* the same: no indication */
	}
	query32(n, OID_GEN_LINK_SPEED);
	assert_int_equal(n->indications, seen);
	stop(rig);
}

/* It has not said that it knows the indication. */
static void speed_for_an_old_guest(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_4);
	struct change change = {.rig = rig, .speed = 25000000000};
	uint64_t seen = rig->n.indications;

	guest_control(&rig->g, set_speed, &change);
	assert_int_equal(query32(&rig->n, OID_GEN_LINK_SPEED), 250000000);
	assert_int_equal(rig->n.indications, seen);
	stop(rig);
}

static void offloads(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1);
	struct guest_nic *n = &rig->n;
	uint64_t seen = n->indications;

	for (uint32_t i = 0; i < 6; i++) {
		uint8_t rsc = i & 1 ? NDIS_PARAMETER_RSC_ON : NDIS_PARAMETER_RSC_ON - 1;
		struct ndis_offload_parameters p = {
			.header = {NDIS_OBJECT_DEFAULT, 3, sizeof(p)}, .rsc4 = rsc, .rsc6 = rsc};
		struct ndis_offload o;

		assert_int_equal(guest_nic_set(n, OID_TCP_OFFLOAD_PARAMETERS, &p, sizeof(p)), 0);
		wait_indications(n, ++seen);
		assert_int_equal(n->last_indication, RNDIS_STATUS_OFFLOAD_CONFIG);
		assert_int_equal(n->indication_length, NDIS_OFFLOAD_SIZE_3);
		memcpy(&o, n->indication_info, NDIS_OFFLOAD_SIZE_3);
		assert_int_equal(o.header.type, NDIS_OBJECT_OFFLOAD);
		assert_int_equal(o.header.size, NDIS_OFFLOAD_SIZE_3);
		assert_int_equal(o.rsc4, i & 1);
		assert_int_equal(o.rsc6, i & 1);
	}
	stop(rig);
}

/* A guest that does not read gets one indication, and one of the last state when it does. */
static void a_link_that_flaps_unseen(void **state)
{
	struct netvsp_rig *rig = start(NVSP_VERSION_6_1);
	struct guest_nic *n = &rig->n;
	struct change change = {.rig = rig};
	uint64_t seen;

	query32(n, OID_GEN_LINK_SPEED);
	seen = n->indications;
	for (uint32_t i = 0; i < 1001; i++) {
		change.up = i & 1;
		guest_control(&rig->g, set_link, &change);
	}
	assert_int_equal(query32(n, OID_GEN_MEDIA_CONNECT_STATUS), 1);
	query32(n, OID_GEN_LINK_SPEED);
	assert_in_range(n->indications - seen, 1, 3);
	change.up = true;
	guest_control(&rig->g, set_link, &change);
	while (n->last_indication != RNDIS_STATUS_MEDIA_CONNECT)
		if (!guest_nic_poll(n))
			guest_chan_signal(&n->channels[0]);
	stop(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(speed),
		cmocka_unit_test(speed_for_an_old_guest),
		cmocka_unit_test(offloads),
		cmocka_unit_test(a_link_that_flaps_unseen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
