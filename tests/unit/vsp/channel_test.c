/* SPDX-License-Identifier: MIT */
/* Devices, and one channel: open, work, close. */
#include "vsp_rig.h"

/* ---- devices ------------------------------------------------------------- */

static void an_instance_is_offered_once(void **state)
{
	struct vsp_device *dev = NULL;
	struct err e = {""};

	create_null_device(NULL);
	assert_int_equal(
		vsp_device_create(&dev, &f->host, &null_ops, &instance, NULL, &e), -EEXIST);
	assert_null(dev);
	assert_true(strlen(e.text) > 0);
	assert_memory_equal(vsp_device_instance(f->dev), &instance, sizeof(instance));
	assert_null(vsp_device_primary(f->dev));
}

static void a_device_that_cannot_be_created_is_not_offered(void **state)
{
	const struct test_config config = {.create_error = -ENODEV};
	struct vsp_device *dev;
	struct err e;

	assert_int_equal(
		vsp_device_create(&dev, &f->host, &test_ops, &instance, &config, &e), -ENODEV);
	assert_string_equal(e.text, "test: no");
	connect_bus();
	assert_true(no_more(VMBUS_MSG_OFFER));
}

static unsigned int irqs_awaited;

static bool interrupted(void)
{
	return f->irqs >= irqs_awaited;
}

/* ---- the null VSP -------------------------------------------------------- */

static void null_echoes(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_pkt pkt;
	uint8_t bytes[NULL_PAYLOAD_MAX];

	create_null_device(NULL);
	open_channel(c, 1);
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	assert_int_equal(guest_send_bytes(c, 0x1234567890abcdef, bytes, sizeof(bytes)), 0);
	irqs_awaited = 1;
	run_until(interrupted);
	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_COMPLETION);
	assert_int_equal(pkt.desc.trans_id, 0x1234567890abcdef);
	assert_int_equal(pkt.payload_len, sizeof(bytes));
	assert_memory_equal(pkt.payload, bytes, sizeof(bytes));
	assert_int_equal(f->irq_vp, 1);
	assert_int_equal(f->irq_flag, c->relid);
	close_channel(c);
}

static void null_answers_only_when_asked(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_null_device(NULL);
	open_channel(c, 0);
	assert_int_equal(vmbus_tx_write(&c->tx, VMBUS_PKT_INBAND, 0, 5, NULL, NULL, 0), 0);
	assert_int_equal(guest_send(c, 6), 0);
	guest_expect_completion(c, 6);
}

static uint64_t sent;

/* More than one ring has room for. */
static bool sends_many(void)
{
	const uint8_t bytes[NULL_PAYLOAD_MAX] = {0};

	while (!guest_send_bytes(&f->chan[0], sent, bytes, sizeof(bytes)))
		sent++;
	return sent > 80;
}

/* The guest sends without reading: requests run out, then both rings fill. Nothing is lost. */
static void null_survives_a_guest_that_does_not_read(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint64_t received = 0;

	create_null_device(NULL);
	open_channel(c, 0);
	sent = 0;
	run_until(sends_many);
	run_a_while();
	sends_many();
	while (received < sent)
		guest_expect_completion(c, received++);
	assert_int_equal(guest_send(c, received), 0);
	guest_expect_completion(c, received);
}

/* Full rings and waiting packets do not keep a channel from closing. */
static void a_full_channel_closes(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_null_device(NULL);
	open_channel(c, 0);
	sent = 0;
	for (int i = 0; i < 3; i++) {
		sends_many();
		run_a_while();
	}
	close_channel(c);
	open_channel(c, 0);
	assert_int_equal(guest_send(c, 1), 0);
	guest_expect_completion(c, 1);
}

/* ---- opening and closing ------------------------------------------------- */

static void reopens_many_times(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	for (unsigned int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, i % VPS);
		assert_non_null(vsp_device_primary(f->dev));
		assert_int_equal(vsp_channel_index(vsp_device_primary(f->dev)), 0);
		assert_int_equal(guest_send(c, i), 0);
		guest_expect_completion(c, i);
		close_channel(c);
		assert_null(vsp_device_primary(f->dev));
	}
	assert_int_equal(test_device()->opens, 20);
	assert_int_equal(test_device()->closes, 20);
	assert_int_equal(test_device()->io_thread_opens[0], 10);
	assert_int_equal(test_device()->io_thread_opens[1], 10);
}

/* The guest reads only when it is interrupted: one that polls may take the packet before the host
 * decides about the interrupt, and then rightly gets none. */
static void no_interrupt_before_the_open_result(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_pkt pkt;

	create_test_device((struct test_config){.send_in_open = true});
	for (int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, 2);
		irqs_awaited = (unsigned int)i + 1;
		run_until(interrupted);
		guest_receive(c, &pkt);
		assert_int_equal(pkt.desc.trans_id, 99);
		close_channel(c);
	}
	assert_false(f->irq_before_open_result);
	assert_int_equal(f->irqs, 20);
}

static void a_vsp_may_refuse_to_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.open_error = -EBUSY, .send_in_open = true});
	make_ring(c);
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(f->doorbell_count, 0);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN); /* no reference is left */
	assert_int_equal(test_device()->closes, 0);
	assert_int_equal(f->irqs, 0);
}

static void no_doorbell_no_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	f->doorbell_error = -ENOSPC;
	make_ring(c);
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	f->doorbell_error = 0;
	send_open(c, 0);
	assert_int_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(test_device()->opens, 1);
	close_channel(c);
}

static void a_bad_ring_is_not_opened(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	make_ring(c);
	c->tx.ctl->write_index = RING_PAGES * HV_PAGE_SIZE;
	send_open(c, 0);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(test_device()->opens, 0);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
}

static bool holds_2(void)
{
	return test_device()->packets == 2;
}

/* The guest's memory is in use until the VSP has completed its requests. */
static void closing_waits_for_requests(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	guest_send(c, 1);
	guest_send(c, 2);
	run_until(holds_2);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_stopped_once);
	guest_send(c, 3);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	assert_int_equal(test_device()->packets, 2);
	assert_int_equal(test_device()->closes, 0);
	loop_call(&f->io_thread[1], complete_held, ch);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	guest_expect_completion(c, 1);
	guest_expect_completion(c, 2);
}

static void close_right_after_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.send_in_open = true});
	for (int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		make_ring(c);
		send_open(c, 0);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		send_teardown(c);
		open_status();
		expect(VMBUS_MSG_GPADL_TORNDOWN);
	}
	assert_int_equal(test_device()->opens, test_device()->closes);
}

static bool has_stalled(void)
{
	return test_device()->stalls > 0;
}

static unsigned int wanted_packets;

static bool has_taken_them(void)
{
	return test_device()->packets == wanted_packets;
}

static void requests_run_out_and_come_back(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true, .requests = 2});
	open_channel(c, 0);
	ch = vsp_device_primary(f->dev);
	for (uint64_t id = 0; id < 6; id++)
		guest_send(c, id);
	run_until(has_stalled);
	for (uint64_t id = 0; id < 6; id += 2) {
		wanted_packets = (unsigned int)id + 2;
		run_until(has_taken_them);
		run_a_while();
		assert_true(has_taken_them());
		loop_call(&f->io_thread[0], complete_held, ch);
		guest_expect_completion(c, id);
		guest_expect_completion(c, id + 1);
	}
	close_channel(c);
}

static bool moved(void)
{
	return f->irq_vp == 3;
}

static void interrupts_move_to_another_vp(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_modify_channel msg = {.h.type = VMBUS_MSG_MODIFY_CHANNEL, .target_vp = 3};
	const struct vmbus_modify_channel_response *response;

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	guest_send(c, 1);
	irqs_awaited = 1;
	run_until(interrupted);
	guest_expect_completion(c, 1);
	assert_int_equal(f->irq_vp, 1);
	msg.relid = c->relid;
	bus_message(f->bus, &msg, sizeof(msg));
	response = expect(VMBUS_MSG_MODIFY_CHANNEL_RESPONSE);
	assert_int_equal(response->status, 0);
	guest_send(c, 2);
	guest_expect_completion(c, 2);
	run_until(moved);
	/* And with CLOSE right behind. */
	msg.target_vp = 0;
	bus_message(f->bus, &msg, sizeof(msg));
	close_channel(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(an_instance_is_offered_once),
		T(a_device_that_cannot_be_created_is_not_offered),
		T(null_echoes),
		T(null_answers_only_when_asked),
		T(null_survives_a_guest_that_does_not_read),
		T(a_full_channel_closes),
		T(reopens_many_times),
		T(no_interrupt_before_the_open_result),
		T(a_vsp_may_refuse_to_open),
		T(no_doorbell_no_open),
		T(a_bad_ring_is_not_opened),
		T(closing_waits_for_requests),
		T(close_right_after_open),
		T(requests_run_out_and_come_back),
		T(interrupts_move_to_another_vp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
