/* SPDX-License-Identifier: MIT */
/* A channel whose guest breaks the rules. */
#include "chan_rig.h"

/* ---- hostile guests ------------------------------------------------------ */

static void expect_fault_once(void)
{
	guest_signal();
	run_until(has_faulted);
	f->echo = true;
	guest_signal();
	host_send(0, 1, 16);
	run_idle();
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 1); /* dropped, but given back */
	assert_int_equal(f->irqs, 0);
	assert_int_equal(guest_receive(0), 0);
}

static void a_lying_write_index_faults(void **state)
{
	static const uint32_t bad[] = {4, RING_BYTES - HV_PAGE_SIZE, UINT32_MAX, 0x80000000};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start();
		((struct vmbus_ring_ctl *)f->ring->g2h)->write_index = bad[i];
		expect_fault_once();
		assert_int_equal(f->taken, 0);
		teardown(state);
		setup(state);
	}
}

static void a_bad_descriptor_faults(void **state)
{
	struct vmbus_pkt_desc *desc = (void *)(f->ring->g2h + HV_PAGE_SIZE);

	start();
	assert_int_equal(guest_stage(1, 32), 0);
	desc->offset8 = 1;
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->taken, 0);
}

static void a_packet_too_long_faults(void **state)
{
	start();
	assert_int_equal(guest_stage(1, PACKET_MAX - 16), 0);
	assert_int_equal(guest_stage(2, PACKET_MAX - 16 + 8), 0);
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->taken, 1);
}

static void a_protocol_error_faults(void **state)
{
	start();
	f->packet_result = -EPROTO;
	assert_int_equal(guest_stage(1, 32), 0);
	assert_int_equal(guest_stage(2, 32), 0);
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->chan.counters.packets, 1);
}

static void a_lying_read_index_faults_all_that_wait(void **state)
{
	start();
	for (unsigned int i = 0; i < 500; i++)
		host_send(i, i, 200);
	assert_true(f->sent < 500);
	((struct vmbus_ring_ctl *)f->ring->h2g)->read_index = 12;
	guest_signal();
	run_until(has_faulted);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 500);
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(f->sent_ids[i] < 500, true);
}

/* A ring too small for the device's packet. */
static void a_packet_that_never_fits_faults(void **state)
{
	start();
	host_send(0, 1, RING_BYTES);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 1);
}

static void bad_rings_are_refused(void **state)
{
	struct chan chan;
	struct chan_params p = params();

	((struct vmbus_ring_ctl *)f->ring->g2h)->read_index = 4;
	assert_int_equal(chan_init(&chan, &p), -EPROTO);
	((struct vmbus_ring_ctl *)f->ring->g2h)->read_index = 0;
	((struct vmbus_ring_ctl *)f->ring->h2g)->write_index = RING_BYTES;
	assert_int_equal(chan_init(&chan, &p), -EPROTO);
	((struct vmbus_ring_ctl *)f->ring->h2g)->write_index = 0;
	p.g2h.run_count = 0;
	assert_int_equal(chan_init(&chan, &p), -EINVAL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_lying_write_index_faults),
		T(a_bad_descriptor_faults),
		T(a_packet_too_long_faults),
		T(a_protocol_error_faults),
		T(a_lying_read_index_faults_all_that_wait),
		T(a_packet_that_never_fits_faults),
		T(bad_rings_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
