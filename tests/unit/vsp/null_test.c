/* SPDX-License-Identifier: MIT */
/* The null VSP: commands, the guest's buffer, transfers, events. GPADL views on the way. */
#include "vsp_rig.h"

#include "null_rig.h"

/* ---- the buffer ---------------------------------------------------------- */

static void a_buffer_is_filled_and_transferred(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101, 90, 89, 103};
	struct vmbus_xfer_pages header;
	struct vmbus_xfer_range range;
	struct vmbus_pkt pkt;

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 5);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	send_fill(c, 50, 4090, 3 * HV_PAGE_SIZE, 0x5A);
	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_XFER_PAGES);
	assert_int_equal(pkt.desc.flags, VMBUS_PKT_FLAG_COMPLETION_REQUESTED);
	assert_int_equal(pkt.extra_len, sizeof(header) + sizeof(range));
	memcpy(&header, pkt.extra, sizeof(header));
	memcpy(&range, pkt.extra + sizeof(header), sizeof(range));
	assert_int_equal(header.range_count, 1);
	assert_int_equal(range.byte_offset, 4090);
	assert_int_equal(range.byte_count, 3 * HV_PAGE_SIZE);
	assert_int_equal(expect_result(c, 50), 0);
	see_io_threads();
	for (uint64_t at = 0; at < 5 * HV_PAGE_SIZE; at++) {
		bool inside = at >= 4090 && at < 4090 + 3 * HV_PAGE_SIZE;

		assert_int_equal(*buffer_byte(pages, at), inside ? 0x5A : 0);
	}
	answer_transfer(c, pkt.desc.trans_id);
	assert_int_equal(run_command(c, (struct null_command){.op = NULL_OP_UNMAP}), 0);
	tear_buffer(c, HANDLE);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	close_channel(c);
}

static void ranges_are_checked(void **state)
{
	static const struct {
		uint32_t offset, length;
		int error;
	} cases[] = {
		{0, 2 * HV_PAGE_SIZE + 1, -EFAULT},
		{2 * HV_PAGE_SIZE, 1, -EFAULT},
		{UINT32_MAX, UINT32_MAX, -EFAULT},
		{1, UINT32_MAX, -EFAULT},
		{2 * HV_PAGE_SIZE + 1, 0, -EFAULT},
	};
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	assert_int_equal(run_fill(c, 0, 1), -ENOENT);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(run_fill(c, cases[i].offset, cases[i].length), cases[i].error);
	for (uint64_t at = 0; at < 2 * HV_PAGE_SIZE; at++)
		assert_int_equal(*buffer_byte(pages, at), 0);
	close_channel(c);
}

/* 19 pages, none beside another: more pieces than the VSP takes. */
static void too_many_pieces_are_refused(void **state)
{
	struct guest_channel *c = &f->chan[0];
	uint64_t pages[19];

	for (uint64_t i = 0; i < 19; i++)
		pages[i] = 100 + 2 * i;
	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 19);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	assert_int_equal(run_fill(c, 0, 19 * HV_PAGE_SIZE), -EMSGSIZE);
	close_channel(c);
}

static void gpadls_that_cannot_be_mapped(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	assert_int_equal(map_buffer(c, 4711), -ENOENT);
	make_ranges(c, HANDLE, pages, 2, 100, HV_PAGE_SIZE); /* begins inside a page */
	assert_int_equal(map_buffer(c, HANDLE), -EINVAL);
	make_buffer(c, HANDLE + 1, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE + 1), 0);
	assert_int_equal(map_buffer(c, HANDLE + 1), -EBUSY);
	close_channel(c);
}

static void a_gpadl_of_another_channel_is_unknown(void **state)
{
	struct guest_channel *c = &f->chan[0], other = {.relid = 1999};
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	tear_buffer(&other, HANDLE); /* and nobody else can end it */
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	assert_int_equal(map_buffer(c, HANDLE), 0);
	close_channel(c);
}

/* ---- teardown ------------------------------------------------------------ */

/* The VSP gives the buffer up by itself; transfers that the guest has not answered keep the pages.
 */
static void teardown_waits_for_transfers(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};
	uint64_t ids[2];

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	for (int i = 0; i < 2; i++)
		ids[i] = fill_and_receive(c, 60 + (uint64_t)i, 0, 16);
	tear_buffer(c, HANDLE);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	assert_int_equal(run_fill(c, 0, 1), -ENOENT); /* no new ones */
	answer_transfer(c, ids[1]);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	answer_transfer(c, ids[0]);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(map_buffer(c, HANDLE), -ENOENT);
	close_channel(c);
}

static void teardown_of_a_mapped_buffer(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	for (uint32_t i = 0; i < 20; i++) {
		make_buffer(c, HANDLE, pages, 2);
		assert_int_equal(map_buffer(c, HANDLE), 0);
		tear_buffer(c, HANDLE);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
	}
	close_channel(c);
}

/* MAP and UNMAP are on their way while the guest takes the pages back; whoever wins, TORNDOWN comes
 * and nothing of the pages is used after it. */
static void teardown_races_with_map_and_unmap(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	for (uint32_t i = 0; i < 200; i++) {
		make_buffer(c, HANDLE, pages, 2);
		send_command(c, 70, (struct null_command){.op = NULL_OP_MAP, .handle = HANDLE});
		send_command(c, 71, (struct null_command){.op = NULL_OP_UNMAP});
		if (i % 3)
			wait_pending(c);
		tear_buffer(c, HANDLE);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		memset(f->gmem.base + (100 << HV_PAGE_SHIFT), 0xEE, 2 * HV_PAGE_SIZE);
		receive_result(c);
		receive_result(c);
		run_command(c, (struct null_command){.op = NULL_OP_UNMAP});
		see_io_threads();
		for (uint64_t at = 0; at < 2 * HV_PAGE_SIZE; at += 64)
			assert_int_equal(*buffer_byte(pages, at), 0xEE);
	}
	close_channel(c);
}

/* Receives the results of so many commands, answering the transfers between them. */
static void receive_and_answer(struct guest_channel *c, uint32_t results)
{
	struct vmbus_pkt pkt;

	while (results) {
		guest_receive(c, &pkt);
		if (pkt.desc.type == VMBUS_PKT_XFER_PAGES)
			answer_transfer(c, pkt.desc.trans_id);
		else
			results--;
	}
}

/* The class of CVE-2019-0720: the guest takes a shared buffer back while the host works with it.
 * The host writes to it before TORNDOWN or not at all. */
static void cve_2019_0720_torn_down_pages_are_not_written(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	for (uint32_t i = 0; i < 200; i++) {
		make_buffer(c, HANDLE, pages, 2);
		send_command(c, 70, (struct null_command){.op = NULL_OP_MAP, .handle = HANDLE});
		if (i % 2)
			wait_pending(c);
		send_fill(c, 71, 0, 2 * HV_PAGE_SIZE, 1);
		send_fill(c, 72, 0, 2 * HV_PAGE_SIZE, 2);
		if (i % 3)
			wait_pending(c);
		tear_buffer(c, HANDLE);
		receive_and_answer(c, 3);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		see_io_threads();
		memset(f->gmem.base + (100 << HV_PAGE_SHIFT), 0xEE, 2 * HV_PAGE_SIZE);
		assert_int_equal(run_fill(c, 0, 2 * HV_PAGE_SIZE), -ENOENT);
		see_io_threads();
		for (uint64_t at = 0; at < 2 * HV_PAGE_SIZE; at++)
			assert_int_equal(*buffer_byte(pages, at), 0xEE);
	}
	close_channel(c);
}

/* CLOSE and TEARDOWN of ring and buffer back to back, at each point of the VSP's life with it. */
static void closing_with_a_buffer(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	create_null_device(NULL);
	for (uint32_t i = 0; i < 60; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		open_channel(c, i % VPS);
		make_buffer(c, HANDLE, pages, 2);
		send_command(c, 1, (struct null_command){.op = NULL_OP_MAP, .handle = HANDLE});
		if (i % 3)
			send_fill(c, 2, 0, 100, 1);
		if (i % 2)
			wait_pending(c);
		if (i % 5 == 0)
			tear_buffer(c, HANDLE);
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		if (i % 5)
			tear_buffer(c, HANDLE);
		send_teardown(c);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		f->message_count = 0;
	}
}

/* teardown() shuts the bus down with a buffer mapped and a transfer unanswered. */
static void shutdown_with_a_buffer(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	fill_and_receive(c, 60, 0, 16);
}

/* ---- transfers ----------------------------------------------------------- */

static void transfers_are_limited(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};
	uint64_t ids[NULL_TRANSFERS];

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	for (uint64_t i = 0; i < NULL_TRANSFERS; i++)
		ids[i] = fill_and_receive(c, 60 + i, 0, 16);
	assert_int_equal(run_fill(c, 0, 1), -EBUSY);
	answer_transfer(c, ids[2]);
	assert_int_equal(fill_and_receive(c, 70, 0, 16), ids[2]);
	close_channel(c);
}

static bool rescinded(void)
{
	return find(VMBUS_MSG_RESCIND);
}

static void an_answer_to_no_transfer_is_a_fault(void **state)
{
	struct guest_channel *c = &f->chan[0];

	open_null_channel(NULL);
	answer_transfer(c, 0);
	run_until(rescinded);
	assert_int_equal(vsp_device_faults(f->dev), 1);
}

static void a_second_answer_is_a_fault(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};
	uint64_t id;

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	id = fill_and_receive(c, 60, 0, 16);
	answer_transfer(c, id);
	answer_transfer(c, id);
	run_until(rescinded);
}

/* The ring is full, so the transfer waits in the host when the guest answers it. */
static void an_answer_before_the_transfer_is_a_fault(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};
	uint8_t bytes[NULL_PAYLOAD_MAX] = {0};

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	for (uint64_t id = 0; id < 50; id++) /* 15,000 bytes of completions for 12 KiB of ring */
		while (guest_send_bytes(c, id, bytes, sizeof(bytes)))
			run_a_while();
	send_fill(c, 60, 0, 16, 1);
	answer_transfer(c, 0);
	run_until(rescinded);
}

/* The guest keeps transfers as long as it likes: a pause does not wait for them. */
static void paused_count_up(void *ctx)
{
	++*(unsigned int *)ctx;
}

static unsigned int pauses;

static bool has_paused(void)
{
	return pauses == 1;
}

static void a_pause_does_not_wait_for_the_guest(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const uint64_t pages[] = {100, 101};
	uint64_t id;

	open_null_channel(NULL);
	make_buffer(c, HANDLE, pages, 2);
	assert_int_equal(map_buffer(c, HANDLE), 0);
	id = fill_and_receive(c, 60, 0, 16);
	pauses = 0;
	vsp_device_pause(f->dev, paused_count_up, &pauses);
	run_until(has_paused);
	answer_transfer(c, id);
	vsp_device_resume(f->dev);
	assert_int_equal(fill_and_receive(c, 61, 0, 16), id);
	close_channel(c);
}

/* ---- calls and events ---------------------------------------------------- */

static void channels_are_counted_on_control(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct null_result result;

	open_null_channel(NULL);
	send_command(c, 80, (struct null_command){.op = NULL_OP_CHANNELS});
	result = receive_result(c);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.value, 1);
	assert_int_equal(run_command(c, (struct null_command){.op = 99}), -EINVAL);
	close_channel(c);
}

static struct null_event receive_event(struct guest_channel *c)
{
	struct null_event event;
	struct vmbus_pkt pkt;

	guest_receive(c, &pkt);
	assert_int_equal(pkt.desc.type, VMBUS_PKT_INBAND);
	assert_int_equal(pkt.payload_len, sizeof(event));
	memcpy(&event, pkt.payload, sizeof(event));
	return event;
}

static void notifications_reach_the_guest(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct null_event event;

	open_null_channel(NULL);
	assert_int_equal(null_notify(f->dev, 7), 0);
	assert_int_equal(null_notify(f->dev, 8), -EBUSY);
	event = receive_event(c);
	assert_int_equal(event.kind, NULL_EVENT_NOTIFY);
	assert_int_equal(event.value, 7);
	close_channel(c);
	assert_int_equal(null_notify(f->dev, 9), 0); /* nobody is there */
}

static void ticks_stop_while_paused(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct null_event event, next;

	open_null_channel(&(struct null_config){.tick_ns = 1000000});
	for (uint32_t i = 1; i < 4; i++) {
		event = receive_event(c);
		assert_int_equal(event.kind, NULL_EVENT_TICK);
		assert_int_equal(event.value, i);
	}
	pauses = 0;
	vsp_device_pause(f->dev, paused_count_up, &pauses);
	run_until(has_paused);
	while (vmbus_rx_pending(&c->rx))
		event = receive_event(c);
	run_a_while();
	assert_false(vmbus_rx_pending(&c->rx));
	vsp_device_resume(f->dev);
	next = receive_event(c);
	assert_int_equal(next.value, event.value + 1);
	close_channel(c);
}

/* The guest need not signal: each answer comes with a tick. */
static void lazy_packets_wait_for_a_tick(void **state)
{
	struct guest_channel *c = &f->chan[0];
	const struct vmbus_ring_ctl *ctl;
	struct vmbus_pkt pkt;

	open_null_channel(&(struct null_config){.tick_ns = 1000000, .lazy = true});
	ctl = ring_page(c, 0);
	for (uint64_t id = 0; id < 10; id++) {
		guest_send(c, id);
		do
			guest_receive(c, &pkt);
		while (pkt.desc.type != VMBUS_PKT_COMPLETION);
		assert_int_equal(pkt.desc.trans_id, id);
		assert_int_equal(__atomic_load_n(&ctl->interrupt_mask, __ATOMIC_ACQUIRE), 1);
	}
	close_channel(c);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_buffer_is_filled_and_transferred),
		T(ranges_are_checked),
		T(too_many_pieces_are_refused),
		T(gpadls_that_cannot_be_mapped),
		T(a_gpadl_of_another_channel_is_unknown),
		T(teardown_waits_for_transfers),
		T(teardown_of_a_mapped_buffer),
		T(teardown_races_with_map_and_unmap),
		T(cve_2019_0720_torn_down_pages_are_not_written),
		T(closing_with_a_buffer),
		T(shutdown_with_a_buffer),
		T(transfers_are_limited),
		T(an_answer_to_no_transfer_is_a_fault),
		T(a_second_answer_is_a_fault),
		T(an_answer_before_the_transfer_is_a_fault),
		T(a_pause_does_not_wait_for_the_guest),
		T(channels_are_counted_on_control),
		T(notifications_reach_the_guest),
		T(ticks_stop_while_paused),
		T(lazy_packets_wait_for_a_tick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
