/* SPDX-License-Identifier: MIT */
/* Calls between control and I/O threads, holds, and channels that end meanwhile. */
#include "vsp_rig.h"

struct test_call {
	struct vsp_call call;
	bool late;                   /* not answered by run() */
	struct loop *_Atomic ran_on; /* last: the rest is written */
	bool was_open;
	bool done;
	bool again; /* done() calls once more */
};

static void run_call(struct vsp_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	t->was_open = test_device()->opens > test_device()->closes;
	t->ran_on = vsp_channel_loop(call->ch);
	if (!t->late)
		vsp_call_done(call);
}

static void call_done(struct vsp_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	assert_true(loop_is_current(f->host.control));
	if (t->again) {
		t->again = false;
		vsp_channel_call(call->ch, call, run_call, call_done);
		return;
	}
	t->done = true;
}

static struct test_call calls[2];
static bool control_done;

static void call_channel(void *ctx, struct vsp_channel *ch)
{
	uint32_t *count = ctx;

	vsp_channel_call(ch, &calls[(*count)++].call, run_call, call_done);
}

static uint32_t call_all(void)
{
	uint32_t count = 0;

	vsp_device_each_channel(f->dev, call_channel, &count);
	return count;
}

static void call_with_second(void *ctx, struct vsp_channel *ch)
{
	vsp_channel_call(ch, &calls[1].call, run_call, call_done);
	++*(uint32_t *)ctx;
}

static uint32_t call_second(void)
{
	uint32_t count = 0;

	vsp_device_each_channel(f->dev, call_with_second, &count);
	return count;
}

static void answer(void *arg)
{
	vsp_call_done(arg);
}

static bool has_run(void)
{
	return calls[0].ran_on;
}

static bool is_done(void)
{
	return calls[0].done;
}

static int begin(void **state)
{
	memset(calls, 0, sizeof(calls));
	control_done = false;
	return setup(state);
}

static void a_call_runs_on_the_io_thread(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	assert_int_equal(call_all(), 0);
	open_channel(c, 1);
	calls[0].again = true;
	assert_int_equal(call_all(), 1);
	run_until(is_done);
	assert_ptr_equal(calls[0].ran_on, &f->io_thread[1]);
	assert_true(calls[0].was_open);
	close_channel(c);
	assert_int_equal(call_all(), 0);
}

static bool has_closed_once(void)
{
	return test_device()->closes == 1;
}

/* TORNDOWN comes only when the channel's memory is not needed any more. */
static void closing_waits_for_calls(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	calls[0].late = true;
	assert_int_equal(call_all(), 1);
	run_until(has_run);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_closed_once);
	run_a_while();
	assert_int_equal(call_second(), 1);
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	loop_call(&f->io_thread[1], answer, &calls[0].call);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_true(calls[0].done && calls[1].done);
	assert_false(calls[1].was_open); /* it ran all the same */
}

/* It comes behind an open that fails. */
static void a_call_to_a_channel_that_does_not_open(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){.open_error = -EBUSY});
	make_ring(c);
	send_open(c, 0);
	calls[0].late = true;
	assert_int_equal(call_all(), 1);
	run_until(has_run);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_OPEN_RESULT));
	loop_call(&f->io_thread[0], answer, &calls[0].call);
	assert_int_not_equal(open_status(), VMBUS_STATUS_SUCCESS);
	assert_true(calls[0].done);
	assert_int_equal(call_all(), 0);
	send_teardown(c);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
}

/* ---- I/O thread to control ----------------------------------------------- */

static struct vsp_call *answer_later; /* control thread: run() has left it */

static void run_on_control(struct vsp_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	assert_true(loop_is_current(f->host.control));
	t->was_open = vsp_device_primary(f->dev) == call->ch;
	t->ran_on = f->host.control;
	if (t->late)
		answer_later = call;
	else
		vsp_call_done(call);
}

static void done_on_io_thread(struct vsp_call *call)
{
	struct test_call *t = container_of(call, struct test_call, call);

	assert_true(loop_is_current(vsp_channel_loop(call->ch)));
	assert_int_equal(test_device()->closes, 0); /* close() waits for it */
	if (t->again) {
		t->again = false;
		vsp_control_call(call->ch, call, run_on_control, done_on_io_thread);
		return;
	}
	t->done = true;
}

static void make_control_call(void *arg)
{
	vsp_control_call(arg, &calls[0].call, run_on_control, done_on_io_thread);
}

static void read_done(void *arg)
{
	control_done = calls[0].done;
}

static bool io_thread_is_done(void)
{
	loop_call(&f->io_thread[1], read_done, NULL);
	return control_done;
}

static void a_call_runs_on_control(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	calls[0].again = true;
	loop_call(&f->io_thread[1], make_control_call, vsp_device_primary(f->dev));
	run_until(io_thread_is_done);
	assert_true(calls[0].was_open);
	close_channel(c);
}

static void closing_waits_for_calls_to_control(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	calls[0].late = true;
	loop_call(&f->io_thread[1], make_control_call, vsp_device_primary(f->dev));
	run_until(has_run);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_stopped_once);
	run_a_while();
	assert_int_equal(test_device()->closes, 0);
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	vsp_call_done(answer_later);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_true(calls[0].done);
	assert_int_equal(test_device()->closes, 1);
}

/* The close and the call are posted at the same time, from both threads. */
static void calls_race_with_a_close(void **state)
{
	struct guest_channel *c = &f->chan[0];

	create_test_device((struct test_config){0});
	for (int i = 0; i < 50; i++) {
		f->next_pfn = 0;
		memset(f->gmem.base, 0, MEMORY);
		memset(calls, 0, sizeof(calls));
		open_channel(c, 1);
		test_device()->closes = 0;
		loop_call(&f->io_thread[1], make_control_call, vsp_device_primary(f->dev));
		send_relid(VMBUS_MSG_CLOSE, c->relid);
		assert_int_equal(call_second(), 1);
		send_teardown(c);
		expect(VMBUS_MSG_GPADL_TORNDOWN);
		assert_true(calls[0].done && calls[1].done);
	}
}

/* ---- holds --------------------------------------------------------------- */

static void hold(void *arg)
{
	vsp_channel_hold(arg);
}

static void release(void *arg)
{
	vsp_channel_release(arg);
}

static void holds_keep_a_channel_from_closing(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){0});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	loop_call(&f->io_thread[1], hold, ch);
	loop_call(&f->io_thread[1], hold, ch);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_stopped_once);
	loop_call(&f->io_thread[1], release, ch);
	run_a_while();
	assert_int_equal(test_device()->closes, 0);
	loop_call(&f->io_thread[1], release, ch);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(test_device()->closes, 1);
}

/* close() may hold, as a VSP does that is still in somebody's list. */
static void a_hold_in_close_keeps_the_memory(void **state)
{
	struct guest_channel *c = &f->chan[0];
	struct vsp_channel *ch;

	create_test_device((struct test_config){.hold_in_close = true});
	open_channel(c, 1);
	ch = vsp_device_primary(f->dev);
	send_relid(VMBUS_MSG_CLOSE, c->relid);
	send_teardown(c);
	run_until(has_closed_once);
	run_a_while();
	assert_true(no_more(VMBUS_MSG_GPADL_TORNDOWN));
	loop_call(&f->io_thread[1], release, ch);
	expect(VMBUS_MSG_GPADL_TORNDOWN);
	assert_int_equal(test_device()->closes, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, begin, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_call_runs_on_the_io_thread),
		T(closing_waits_for_calls),
		T(a_call_to_a_channel_that_does_not_open),
		T(a_call_runs_on_control),
		T(closing_waits_for_calls_to_control),
		T(calls_race_with_a_close),
		T(holds_keep_a_channel_from_closing),
		T(a_hold_in_close_keeps_the_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
