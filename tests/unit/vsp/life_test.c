/* SPDX-License-Identifier: MIT */
/* What happens to a device as a whole: sub-channels, faults, removal, the end, a minimal one. */
#include "vsp_rig.h"

/* ---- sub-channels -------------------------------------------------------- */

static void open_with_two_subs(struct test_config config)
{
	config.subs = 2;
	create_test_device(config);
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	guest_expect_completion(&f->chan[0], 1);
	take_offer(&f->chan[1]);
	take_offer(&f->chan[2]);
	assert_int_equal(f->chan[1].index, 1);
	assert_int_equal(f->chan[2].index, 2);
	open_channel(&f->chan[1], 1);
	open_channel(&f->chan[2], 2);
}

static void expect_rescind_and_release(uint32_t relid)
{
	const struct vmbus_relid_msg *rescind = expect(VMBUS_MSG_RESCIND);

	assert_int_equal(rescind->relid, relid);
	send_relid(VMBUS_MSG_RELID_RELEASED, relid);
}

/* Their I/O threads close in any order. */
static void expect_rescind_and_release_of_subs(void)
{
	uint32_t relids = 0;

	for (int i = 0; i < 2; i++) {
		const struct vmbus_relid_msg *rescind = expect(VMBUS_MSG_RESCIND);

		assert_in_range(rescind->relid, 1, 31);
		relids |= 1u << rescind->relid;
		send_relid(VMBUS_MSG_RELID_RELEASED, rescind->relid);
	}
	assert_int_equal(relids, 1u << f->chan[1].relid | 1u << f->chan[2].relid);
}

static uint32_t wanted_flag;

static bool interrupts(void)
{
	return f->irq_flag == wanted_flag;
}

/* A guest that had read an answer before would need no interrupt. */
static void sub_channels_come_and_go_with_the_primary(void **state)
{
	open_with_two_subs((struct test_config){0});
	for (uint64_t i = 0; i < 3; i++) {
		wanted_flag = f->chan[i].relid;
		guest_send(&f->chan[i], 50 + i);
		run_until(interrupts);
		guest_expect_completion(&f->chan[i], 50 + i);
	}
	assert_int_equal(test_device()->io_thread_opens[0], 2);
	assert_int_equal(test_device()->io_thread_opens[1], 1);
	assert_true(no_more(VMBUS_MSG_OFFER));

	send_relid(VMBUS_MSG_CLOSE, f->chan[0].relid);
	expect_rescind_and_release_of_subs();
	assert_true(no_more(VMBUS_MSG_RESCIND));
	send_teardown(&f->chan[0]);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(f->doorbell_count, 0);

	/* Opened again, the primary has new ones. */
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	guest_expect_completion(&f->chan[0], 1);
	take_offer(&f->chan[1]);
	assert_int_equal(f->chan[1].index, 1);
}

/* The offers are on their way to the control thread when the primary closes. */
static void sub_channels_lose_the_race_against_close(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.subs = 3});
	for (int i = 0; i < 10; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, 0);
		guest_send(c, 1);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		send_teardown(c);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
	}
	assert_true(no_more(VMBUS_MSG_OFFER));
}

/* ---- faults -------------------------------------------------------------- */

static void break_ring(struct guest_channel *c)
{
	__atomic_store_n(&c->tx.ctl->write_index, 4, __ATOMIC_RELAXED);
	guest_signal(c);
}

static void a_fault_rescinds_and_offers_again(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint64_t start = loop_now_ns();

	create_test_device((struct test_config){0});
	open_channel(c, 0);
	break_ring(c);
	expect_rescind_and_release(c->relid);
	assert_int_equal(test_device()->closes, 1);
	assert_int_equal(f->doorbell_count, 0);
	assert_int_equal(vsp_device_faults(f->dev), 1);
	take_offer(c);
	assert_true(loop_now_ns() - start >= VSP_REOFFER_NS);
	open_channel(c, 0);
	guest_send(c, 3);
	guest_expect_completion(c, 3);
}

static void a_sub_channels_fault_takes_the_device(void **state)
{
	open_with_two_subs((struct test_config){0});
	break_ring(&f->chan[2]);
	expect_rescind_and_release_of_subs();
	expect_rescind_and_release(f->chan[0].relid);
	assert_int_equal(test_device()->closes, 3);
	assert_int_equal(vsp_device_faults(f->dev), 1);
}

/* The packet that faults and the CLOSE arrive together, in both orders. */
static void a_fault_while_closing(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 0);
	break_ring(c);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(test_device()->closes, 1);
}

/* The VSP's first packet does not fit into the guest's ring: found before the channel is open. */
static void a_fault_while_opening(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.send_in_open = true, .greeting_length = 20000});
	make_ring(c);
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	expect_rescind_and_release(c->relid);
	assert_int_equal(test_device()->opens, 1);
	assert_int_equal(test_device()->closes, 1);
	assert_int_equal(f->irqs, 0);
	assert_int_equal(f->doorbell_count, 0);
}

/* ---- the end ------------------------------------------------------------- */

static void hot_remove_of_an_open_device(void **state)
{
	create_null_device(NULL);
	open_channel(&f->chan[0], 0);
	vsp_device_remove(f->dev, on_removed, NULL);
	expect(VMBUS_MSG_RESCIND);
	assert_false(f->removed);
	assert_int_equal(f->doorbell_count, 0);
	send_relid(VMBUS_MSG_RELID_RELEASED, f->chan[0].relid);
	run_until(is_removed);
}

static void hot_remove_of_an_unknown_device(void **state)
{
	assert_int_equal(vsp_device_create(&f->dev, &f->host, &null_ops, &instance, NULL, NULL), 0);
	vsp_device_remove(f->dev, on_removed, NULL);
	assert_true(f->removed);
}

static void hot_remove_while_waiting_to_be_offered_again(void **state)
{
	create_null_device(NULL);
	open_channel(&f->chan[0], 0);
	break_ring(&f->chan[0]);
	expect_rescind_and_release(f->chan[0].relid);
	vsp_device_remove(f->dev, on_removed, NULL);
	assert_true(f->removed);
}

/* teardown() shuts the bus down with everything in flight. */
static void shutdown_with_open_channels(void **state)
{
	open_with_two_subs((struct test_config){0});
	for (int i = 0; i < 3; i++) {
		for (uint64_t id = 0; id < 20; id++)
			guest_send(&f->chan[i], id);
	}
}

static void shutdown_while_opening(void **state)
{
	create_test_device((struct test_config){.send_in_open = true});
	make_ring(&f->chan[0]);
	send_open(&f->chan[0], 0);
}

static void shutdown_after_a_fault(void **state)
{
	create_test_device((struct test_config){0});
	open_channel(&f->chan[0], 0);
	break_ring(&f->chan[0]);
	expect(VMBUS_MSG_RESCIND);
}

/* A crashed guest's new kernel on a live connection. */
static void a_new_kernel_takes_over(void **state)
{
	open_with_two_subs((struct test_config){0});
	connect_bus();
	take_offer(&f->chan[3]);
	assert_true(no_more(VMBUS_MSG_OFFER));
	assert_int_equal(f->doorbell_count, 0);
	open_channel(&f->chan[3], 0);
	guest_send(&f->chan[3], 1);
	guest_expect_completion(&f->chan[3], 1);
}

/* ---- a VSP with packet() alone ------------------------------------------- */

static _Atomic unsigned int minimal_packets;

static int minimal_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	minimal_packets++;
	return 0;
}

static const struct vsp_ops minimal_ops = {
	.name = "minimal",
	.class_id = HV_GUID(0x11111111, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12),
	.packet_max = 256,
	.packet = minimal_packet,
};

static bool minimal_has_packet(void)
{
	return minimal_packets > 0;
}

static void all_but_packet_is_optional(void **state)
{
	assert_int_equal(
		vsp_device_create(&f->dev, &f->host, &minimal_ops, &instance, NULL, NULL), 0);
	connect_bus();
	take_offer(&f->chan[0]);
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	run_until(minimal_has_packet);
	close_channel(&f->chan[0]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sub_channels_come_and_go_with_the_primary),
		T(sub_channels_lose_the_race_against_close),
		T(a_fault_rescinds_and_offers_again),
		T(a_sub_channels_fault_takes_the_device),
		T(a_fault_while_closing),
		T(a_fault_while_opening),
		T(hot_remove_of_an_open_device),
		T(hot_remove_of_an_unknown_device),
		T(hot_remove_while_waiting_to_be_offered_again),
		T(shutdown_with_open_channels),
		T(shutdown_while_opening),
		T(shutdown_after_a_fault),
		T(a_new_kernel_takes_over),
		T(all_but_packet_is_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
