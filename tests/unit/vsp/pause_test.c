/* SPDX-License-Identifier: MIT */
/* Pausing and resuming devices, whatever their channels do meanwhile. */
#include "vsp_rig.h"

#include "vsp/vsp_impl.h"

static unsigned int paused_count;

static void on_paused(void *ctx)
{
	assert_true(loop_is_current(&f->control));
	paused_count++;
}

static bool is_paused(void)
{
	return paused_count > 0;
}

static int begin(void **state)
{
	paused_count = 0;
	return setup(state);
}

static void pause_device(void)
{
	vsp_device_pause(f->dev, on_paused, NULL);
}

static void pause_and_wait(void)
{
	pause_device();
	run_until(is_paused);
	assert_int_equal(paused_count, 1);
	paused_count = 0;
}

static unsigned int packets_awaited;

static bool has_packets(void)
{
	return test_device()->packets >= packets_awaited;
}

static void wait_packets(unsigned int count)
{
	packets_awaited = count;
	run_until(has_packets);
}

/* ---- one channel --------------------------------------------------------- */

static void a_device_without_channels_is_paused_at_once(void **state)
{
	create_test_device((struct test_config){0});
	pause_device();
	assert_int_equal(paused_count, 1);
	vsp_device_resume(f->dev);
}

static void no_packet_is_taken_while_paused(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	guest_send(c, 1);
	guest_expect_completion(c, 1);
	pause_and_wait();
	assert_int_equal(test_device()->pauses, 1);
	guest_send(c, 2);
	guest_signal(c);
	run_a_while();
	assert_int_equal(test_device()->packets, 1);
	vsp_device_resume(f->dev);
	guest_expect_completion(c, 2);
	assert_int_equal(test_device()->resumes, 1);
	close_channel(c);
}

/* Requests complete, nothing is cancelled; only then the device is paused. */
static void pausing_waits_for_requests(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	guest_send(c, 1);
	guest_send(c, 2);
	wait_packets(2);
	pause_device();
	run_a_while();
	assert_int_equal(paused_count, 0);
	loop_call(&f->io_thread[1], complete_held, ch);
	run_until(is_paused);
	guest_expect_completion(c, 1);
	guest_expect_completion(c, 2);
	vsp_device_resume(f->dev);
	close_channel(c);
}

static void resume_before_paused(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	guest_send(c, 1);
	wait_packets(1);
	pause_device();
	run_a_while();
	vsp_device_resume(f->dev);
	loop_call(&f->io_thread[1], complete_held, ch);
	guest_expect_completion(c, 1);
	run_a_while();
	assert_int_equal(paused_count, 0);
	guest_send(c, 2);
	wait_packets(2);
	/* And at once, and again. */
	for (int i = 0; i < 50; i++) {
		pause_device();
		vsp_device_resume(f->dev);
	}
	loop_call(&f->io_thread[1], complete_held, ch);
	guest_expect_completion(c, 2);
	run_a_while();
	assert_int_equal(paused_count, 0);
	pause_and_wait();
	vsp_device_resume(f->dev);
	close_channel(c);
}

/* A request whose answer waits for room in the ring needs the guest, not the host. */
static void a_full_ring_does_not_keep_from_pausing(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint8_t bytes[NULL_PAYLOAD_MAX] = {0};
	uint64_t sent = 0, received = 0;

	create_null_device(NULL);
	open_channel(c, 0);
	for (int i = 0; i < 3; i++) {
		while (!guest_send_bytes(c, sent, bytes, sizeof(bytes)))
			sent++;
		run_a_while();
	}
	pause_and_wait();
	guest_expect_completion(c, received++);
	guest_expect_completion(c, received++);
	vsp_device_resume(f->dev);
	while (received < sent)
		guest_expect_completion(c, received++);
	close_channel(c);
}

/* Snapshot of the guest's memory while paused: the host writes nothing. */
static void a_paused_device_leaves_guest_memory_alone(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint8_t *before = malloc(MEMORY);
	unsigned int irqs;

	create_null_device(&(struct null_config){.tick_ns = 1000000});
	open_channel(c, 0);
	for (uint64_t id = 0; id < 40; id++)
		guest_send(c, id);
	pause_and_wait();
	irqs = f->irqs;
	memcpy(before, f->gmem.base, MEMORY);
	assert_int_equal(null_notify(f->dev, 7), 0); /* queued until the device is resumed */
	guest_signal(c);
	run_a_while();
	assert_memory_equal(before, f->gmem.base, MEMORY);
	assert_int_equal(f->irqs, irqs);
	free(before);
	vsp_device_resume(f->dev);
	close_channel(c);
}

/* ---- channels that change meanwhile -------------------------------------- */

static void a_channel_that_opens_is_paused(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_pkt pkt;

	create_test_device((struct test_config){.send_in_open = true});
	make_ring(c);
	send_open(c, 0);
	pause_device();
	assert_int_equal(paused_count, 0); /* OPENING */
	assert_int_equal(open_status(), VMBUS_STATUS_SUCCESS);
	run_until(is_paused);
	guest_send(c, 1);
	guest_signal(c);
	run_a_while();
	assert_int_equal(test_device()->packets, 0);
	assert_int_equal(f->irqs, 0);
	vsp_device_resume(f->dev);
	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.trans_id, 99);
	guest_expect_completion(c, 1);
	close_channel(c);
}

static void a_channel_opens_in_a_paused_device(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	pause_device();
	open_channel(c, 0);
	guest_send(c, 1);
	guest_signal(c);
	run_a_while();
	assert_int_equal(test_device()->packets, 0);
	assert_int_equal(test_device()->pauses, 1);
	vsp_device_resume(f->dev);
	pause_device(); /* before it could start */
	vsp_device_resume(f->dev);
	guest_expect_completion(c, 1);
	assert_int_equal(test_device()->pauses, test_device()->resumes);
	close_channel(c);
}

static void a_channel_that_cannot_open_is_not_waited_for(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.open_error = -EBUSY});
	make_ring(c);
	send_open(c, 0);
	pause_device();
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_int_equal(paused_count, 1);
	vsp_device_resume(f->dev);
}

static void a_paused_channel_closes(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	pause_and_wait();
	guest_send(c, 1);
	close_channel(c);
	assert_int_equal(test_device()->closes, 1);
	assert_int_equal(test_device()->packets, 0);
	open_channel(c, 1);
	vsp_device_resume(f->dev);
	guest_send(c, 2);
	guest_expect_completion(c, 2);
	close_channel(c);
}

/* A close that waits for requests is waited for. */
static void closing_while_pausing(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	guest_send(c, 1);
	wait_packets(1);
	pause_device();
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_stopped_once);
	run_a_while();
	assert_int_equal(paused_count, 0);
	loop_call(&f->io_thread[1], complete_held, ch);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(paused_count, 1);
	guest_expect_completion(c, 1);
	vsp_device_resume(f->dev);
}

static void resuming_while_closing(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	for (int i = 0; i < 20; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, (uint32_t)i % VPS);
		pause_device();
		if (i % 2)
			vsp_device_resume(f->dev);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		send_teardown(c);
		if (i % 2 == 0)
			vsp_device_resume(f->dev);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
	}
	assert_int_equal(test_device()->closes, 20);
}

static bool interrupts_vp_3(void)
{
	return f->irq_vp == 3;
}

/* A guest that had read the answer before would need no interrupt. */
static void a_paused_channel_is_retargeted(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vmbus_modify_channel msg = {.h.type = VMBUS_MSG_MODIFY_CHANNEL, .target_vp = 3};

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	pause_and_wait();
	msg.relid = c->relid;
	bus_message(f->bus, &msg, sizeof(msg));
	expect(VMBUS_MSG_MODIFY_CHANNEL_RESPONSE);
	guest_send(c, 1);
	vsp_device_resume(f->dev);
	run_until(interrupts_vp_3);
	guest_expect_completion(c, 1);
	close_channel(c);
}

static void break_ring(struct guest_channel *c)
{
	__atomic_store_n(&c->tx.ctl->write_index, 4, __ATOMIC_RELAXED);
	guest_signal(c);
}

static void expect_rescind_and_release(uint32_t relid)
{
	const struct vmbus_relid_msg *rescind = expect(VMBUS_MSG_RESCIND);

	assert_int_equal(rescind->relid, relid);
	send_relid(VMBUS_MSG_RELID_RELEASED, relid);
}

static bool reoffer_waits(void)
{
	return f->dev->reoffer_waits;
}

/* The fault is found when the device goes on; a device that is paused is not offered again. */
static void a_fault_and_a_pause(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 0);
	pause_and_wait();
	break_ring(c);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_RESCIND));
	vsp_device_resume(f->dev);
	expect_rescind_and_release(c->relid);
	pause_device();
	assert_int_equal(paused_count, 1);
	run_until(reoffer_waits);
	assert_true(no_more(VMBUS_MSG_OFFER));
	vsp_device_resume(f->dev);
	take_offer(c);
	open_channel(c, 0);
	guest_send(c, 3);
	guest_expect_completion(c, 3);
}

static void a_paused_device_is_removed(void **state)
{
	create_null_device(NULL);
	open_channel(&f->chan[0], 0);
	pause_and_wait();
	vsp_device_remove(f->dev, on_removed, NULL);
	expect_rescind_and_release(f->chan[0].relid);
	run_until(is_removed);
}

static void a_device_that_pauses_is_removed(void **state)
{
	create_null_device(NULL);
	open_channel(&f->chan[0], 0);
	pause_device();
	vsp_device_remove(f->dev, on_removed, NULL);
	expect_rescind_and_release(f->chan[0].relid);
	run_until(is_removed);
	assert_int_equal(paused_count, 1);
}

static void sub_channels_are_paused(void **state)
{
	create_test_device((struct test_config){.subs = 2});
	open_channel(&f->chan[0], 0);
	guest_send(&f->chan[0], 1);
	guest_expect_completion(&f->chan[0], 1);
	take_offer(&f->chan[1]);
	take_offer(&f->chan[2]);
	open_channel(&f->chan[1], 1);
	open_channel(&f->chan[2], 2);
	pause_and_wait();
	for (int i = 0; i < 3; i++)
		guest_send(&f->chan[i], 10);
	run_a_while();
	assert_int_equal(test_device()->packets, 1);
	vsp_device_resume(f->dev);
	for (int i = 0; i < 3; i++)
		guest_expect_completion(&f->chan[i], 10);
	/* teardown() shuts the bus down with the device paused */
	pause_and_wait();
}

/* teardown() shuts the bus down while the device pauses. */
static void shutdown_while_pausing(void **state)
{
	create_test_device((struct test_config){0});
	open_channel(&f->chan[0], 0);
	for (uint64_t id = 0; id < 20; id++)
		guest_send(&f->chan[0], id);
	pause_device();
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_device_without_channels_is_paused_at_once),
		T(no_packet_is_taken_while_paused),
		T(pausing_waits_for_requests),
		T(resume_before_paused),
		T(a_full_ring_does_not_keep_from_pausing),
		T(a_paused_device_leaves_guest_memory_alone),
		T(a_channel_that_opens_is_paused),
		T(a_channel_opens_in_a_paused_device),
		T(a_channel_that_cannot_open_is_not_waited_for),
		T(a_paused_channel_closes),
		T(closing_while_pausing),
		T(resuming_while_closing),
		T(a_paused_channel_is_retargeted),
		T(a_fault_and_a_pause),
		T(a_paused_device_is_removed),
		T(a_device_that_pauses_is_removed),
		T(sub_channels_are_paused),
		T(shutdown_while_pausing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
