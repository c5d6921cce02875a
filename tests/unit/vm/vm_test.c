/* SPDX-License-Identifier: MIT */
/* The state table of a VM with units that only record: every state and event, and the walks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vm/vm_impl.h"

/* ---- rig: three units, a, b and c; b has neither pause nor stop ---------- */

static struct vm vm;
static struct vm_config options;
static char calls[256];           /* one word per call: unit and function */
static void (*waiting)(void *vm); /* the callback of a pause or stop that is not answered */
static bool answer_at_once;
static const char *fails; /* the call that fails */

static int call(const char *what)
{
	size_t used = strlen(calls);

	snprintf(calls + used, sizeof(calls) - used, "%s%s", used ? " " : "", what);
	return fails && !strcmp(fails, what) ? -EIO : 0;
}

static void call_async(const char *what, void (*done)(void *vm))
{
	call(what);
	if (answer_at_once)
		done(&vm);
	else
		waiting = done;
}

#define UNIT_COMMON(u)                                                                             \
	static int u##_attach(struct vm *m, struct err *e)                                         \
	{                                                                                          \
		return call(#u ".attach");                                                         \
	}                                                                                          \
	static int u##_start(struct vm *m, struct err *e)                                          \
	{                                                                                          \
		return call(#u ".start");                                                          \
	}                                                                                          \
	static void u##_detach(struct vm *m)                                                       \
	{                                                                                          \
		call(#u ".detach");                                                                \
	}                                                                                          \
	static void u##_resume(struct vm *m)                                                       \
	{                                                                                          \
		call(#u ".resume");                                                                \
	}

#define UNIT_ASYNC(u)                                                                              \
	static void u##_pause(struct vm *m)                                                        \
	{                                                                                          \
		call_async(#u ".pause", vm_unit_paused);                                           \
	}                                                                                          \
	static void u##_stop(struct vm *m)                                                         \
	{                                                                                          \
		call_async(#u ".stop", vm_unit_stopped);                                           \
	}

UNIT_COMMON(a)
UNIT_ASYNC(a)
UNIT_COMMON(b)
UNIT_COMMON(c)
UNIT_ASYNC(c)

static void c_pause_late(struct vm *m, struct err *e)
{
	err_set(e, -ETIMEDOUT, "disk 7 is stuck");
}

#define COMMON(u)                                                                                  \
	.attach = u##_attach, .start = u##_start, .detach = u##_detach, .resume = u##_resume
#define ASYNC(u) .pause = u##_pause, .stop = u##_stop

static const struct vm_unit_ops unit_a = {.name = "a", COMMON(a), ASYNC(a)};
static const struct vm_unit_ops unit_b = {.name = "b", COMMON(b)};
static const struct vm_unit_ops unit_c = {
	.name = "c", COMMON(c), ASYNC(c), .pause_late = c_pause_late};
static const struct vm_unit_ops *const units[] = {&unit_a, &unit_b, &unit_c, NULL};

static struct answer {
	unsigned count;
	bool good;
	char text[512];
} answer;

static void pause_done(void *ctx, const struct err *e)
{
	answer.count++;
	answer.good = !e;
	snprintf(answer.text, sizeof(answer.text), "%s", e ? e->text : "");
}

static void answer_waiting(void)
{
	void (*done)(void *vm) = waiting;

	assert_non_null(done);
	waiting = NULL;
	done(&vm);
}

static void forget(void)
{
	calls[0] = '\0';
	answer = (struct answer){0};
}

static int setup(void **state)
{
	struct err e;

	options = (struct vm_config){.reboot = true};
	vm_init(&vm, &options, units);
	assert_int_equal(loop_init(&vm.control, "control", &e), 0);
	waiting = NULL;
	fails = NULL;
	answer_at_once = false;
	forget();
	return 0;
}

static int teardown(void **state)
{
	loop_timer_cancel(&vm.stop_timer);
	loop_timer_cancel(&vm.restart_timer);
	loop_timer_cancel(&vm.pause.timer);
	loop_fini(&vm.control);
	return 0;
}

static void start(void)
{
	assert_true(vm_handle(&vm, VM_START));
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	forget();
}

static void pause_all(void)
{
	vm_pause(&vm, pause_done, NULL);
	answer_waiting();
	answer_waiting();
	assert_int_equal(vm_state(&vm), VM_PAUSED);
	forget();
}

static void guest_ends(enum partition_end reason)
{
	vm.end_reason = reason;
	vm_handle(&vm, VM_GUEST_ENDED);
}

/* Brings a fresh VM into a state that lasts. */
static void enter(enum vm_state state)
{
	if (state == VM_OFF)
		return;
	if (state == VM_WAITING) {
		vm_handle(&vm, VM_WAIT);
		return;
	}
	start();
	switch (state) {
	case VM_PAUSING:
		vm_pause(&vm, pause_done, NULL);
		break;
	case VM_PAUSED:
		pause_all();
		break;
	case VM_SAVING:
		pause_all();
		vm_handle(&vm, VM_SAVE);
		break;
	case VM_RESTORING:
		vm_pause(&vm, pause_done, NULL);
		vm.pause.done = NULL;
		vm.state = VM_RESTORING;
		break;
	case VM_STOPPING:
		vm_stop(&vm, 5);
		break;
	case VM_CRITICAL:
		vm_stop(&vm, 5);
		vm_handle(&vm, VM_STOP_LATE);
		break;
	default:
		break;
	}
	assert_int_equal(vm_state(&vm), state);
	forget();
}

/* ---- every lasting state and every event --------------------------------- */

#define NONE VM_STATES /* the event means nothing */

/* The state in which the VM is afterwards. Units do not answer by themselves. */
/* Rows name what is taken; all other events mean nothing. */
static const struct {
	enum vm_state state;
	enum vm_event event;
	enum vm_state next;
} taken_events[] = {
	{VM_OFF, VM_START, VM_RUNNING},
	{VM_OFF, VM_WAIT, VM_WAITING},
	{VM_WAITING, VM_START, VM_RUNNING},
	{VM_WAITING, VM_STOP, VM_OFF},
	{VM_RUNNING, VM_PAUSE, VM_PAUSING},
	{VM_RUNNING, VM_GUEST_ENDED, VM_STOPPING},
	{VM_RUNNING, VM_STOP, VM_STOPPING},
	{VM_PAUSING, VM_UNITS_PAUSED, VM_PAUSED},
	{VM_PAUSING, VM_PAUSE_LATE, VM_RUNNING},
	{VM_PAUSING, VM_RESUME, VM_RUNNING},
	{VM_PAUSING, VM_GUEST_ENDED, VM_STOPPING},
	{VM_PAUSING, VM_STOP, VM_STOPPING},
	{VM_PAUSED, VM_RESUME, VM_RUNNING},
	{VM_PAUSED, VM_SAVE, VM_SAVING},
	{VM_PAUSED, VM_GUEST_ENDED, VM_STOPPING},
	{VM_PAUSED, VM_STOP, VM_STOPPING},
	{VM_RESTORING, VM_UNITS_PAUSED, VM_RUNNING},
	{VM_RESTORING, VM_PAUSE_LATE, VM_STOPPING},
	{VM_RESTORING, VM_STOP, VM_STOPPING},
	{VM_SAVING, VM_SAVE_ENDED, VM_PAUSED},
	{VM_SAVING, VM_STOP, VM_SAVING},
	{VM_SAVING, VM_GUEST_ENDED, VM_SAVING},
	{VM_STOPPING, VM_HURRY, VM_STOPPING},
	{VM_STOPPING, VM_STOPPED, VM_OFF},
	{VM_STOPPING, VM_STOP_LATE, VM_CRITICAL},
};

static int next(enum vm_state state, enum vm_event event)
{
	for (size_t i = 0; i < sizeof(taken_events) / sizeof(taken_events[0]); i++)
		if (taken_events[i].state == state && taken_events[i].event == event)
			return (int)taken_events[i].next;
	return NONE;
}

static const enum vm_state lasting[] = {VM_OFF, VM_WAITING, VM_RUNNING, VM_PAUSING, VM_PAUSED,
	VM_RESTORING, VM_SAVING, VM_STOPPING, VM_CRITICAL};

static void try_event(enum vm_state state, enum vm_event event)
{
	int want = next(state, event);
	bool taken;

	setup(NULL);
	enter(state);
	if (event == VM_PAUSE)
		vm.pause.done = pause_done;
	taken = vm_handle(&vm, event);
	if (taken != (want != NONE) || (int)vm_state(&vm) != (taken ? want : (int)state))
		fail_msg("%s, event %d: %s, now %s", vm_state_name(state), event,
			taken ? "taken" : "refused", vm_state_name(vm_state(&vm)));
	if (!taken)
		assert_string_equal(calls, "");
	teardown(NULL);
}

static void every_state_and_event(void **state)
{
	for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
		for (int event = 0; event < VM_EVENTS; event++)
			try_event(lasting[i], event);
}

/* ---- walks --------------------------------------------------------------- */

static void a_start_attaches_forwards_and_starts_backwards(void **state)
{
	vm_handle(&vm, VM_START);
	assert_string_equal(calls, "a.attach b.attach c.attach c.start b.start a.start");
	assert_int_equal(vm.boots, 1);
}

static void a_failed_attach_detaches_all(void **state)
{
	fails = "b.attach";
	vm_handle(&vm, VM_START);
	assert_string_equal(calls, "a.attach b.attach c.detach b.detach a.detach");
	assert_int_equal(vm_state(&vm), VM_OFF);
	assert_int_equal(vm.exit_status, EXIT_ERROR);
	assert_non_null(strstr(vm.error.text, "Input/output error"));
}

static void a_failed_start_detaches_all(void **state)
{
	fails = "b.start";
	vm_handle(&vm, VM_START);
	assert_string_equal(
		calls, "a.attach b.attach c.attach c.start b.start c.detach b.detach a.detach");
	assert_int_equal(vm_state(&vm), VM_OFF);
}

static void a_stop_walks_forwards_and_detaches_backwards(void **state)
{
	start();
	vm_stop(&vm, 7);
	assert_string_equal(calls, "a.stop");
	answer_waiting();
	assert_string_equal(calls, "a.stop c.stop");
	assert_true(vm.stop_timer.armed);
	answer_waiting();
	assert_string_equal(calls, "a.stop c.stop c.detach b.detach a.detach");
	assert_int_equal(vm_state(&vm), VM_OFF);
	assert_int_equal(vm.exit_status, 7);
	assert_false(vm.stop_timer.armed);
}

static void a_pause_walks_forwards_a_resume_backwards(void **state)
{
	struct err e;

	start();
	vm_pause(&vm, pause_done, NULL);
	assert_string_equal(calls, "a.pause");
	answer_waiting();
	assert_string_equal(calls, "a.pause c.pause");
	assert_int_equal(answer.count, 0);
	assert_true(vm.pause.timer.armed);
	answer_waiting();
	assert_int_equal(answer.count, 1);
	assert_true(answer.good);
	assert_false(vm.pause.timer.armed);
	assert_int_equal(vm_state(&vm), VM_PAUSED);
	forget();
	assert_int_equal(vm_resume(&vm, &e), 0);
	assert_string_equal(calls, "c.resume b.resume a.resume");
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(answer.count, 0);
}

static void units_may_answer_at_once(void **state)
{
	struct err e;

	answer_at_once = true;
	start();
	for (unsigned i = 0; i < 100; i++) {
		vm_pause(&vm, pause_done, NULL);
		assert_int_equal(vm_state(&vm), VM_PAUSED);
		assert_int_equal(vm_resume(&vm, &e), 0);
		forget();
	}
	vm_stop(&vm, 3);
	assert_int_equal(vm_state(&vm), VM_OFF);
	assert_int_equal(vm.exit_status, 3);
}

/* ---- pauses that do not come about --------------------------------------- */

static void a_late_unit_refuses_the_pause(void **state)
{
	start();
	vm_pause(&vm, pause_done, NULL);
	answer_waiting();
	forget();
	vm_handle(&vm, VM_PAUSE_LATE);
	assert_string_equal(calls, "c.resume b.resume a.resume");
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(answer.count, 1);
	assert_string_equal(answer.text, "disk 7 is stuck");
}

/* Units that were not paused are not resumed; one without pause_late is named. */
static void only_what_paused_is_resumed(void **state)
{
	start();
	vm_pause(&vm, pause_done, NULL);
	forget();
	vm_handle(&vm, VM_PAUSE_LATE);
	assert_string_equal(calls, "a.resume");
	assert_non_null(strstr(answer.text, "a: not at rest within 10 s"));
}

static void a_resume_cancels_a_pause(void **state)
{
	struct err e;

	start();
	vm_pause(&vm, pause_done, NULL);
	forget();
	assert_int_equal(vm_resume(&vm, &e), 0);
	assert_string_equal(calls, "a.resume");
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(answer.count, 1);
	assert_false(answer.good);
}

static void pause_and_resume_need_the_right_state(void **state)
{
	struct err e;

	vm_pause(&vm, pause_done, NULL);
	assert_string_equal(answer.text, "pause: the VM is off, not running");
	start();
	assert_int_equal(vm_resume(&vm, &e), -EBUSY);
	assert_string_equal(e.text, "resume: the VM is running, not paused");
	pause_all();
	vm_pause(&vm, pause_done, NULL);
	assert_string_equal(answer.text, "pause: the VM is paused, not running");
}

/* ---- ends while it pauses or is paused ----------------------------------- */

static void a_stop_ends_a_pause(void **state)
{
	void (*late)(void *vm);

	start();
	vm_pause(&vm, pause_done, NULL);
	late = waiting;
	forget();
	vm_stop(&vm, 9);
	assert_string_equal(calls, "a.stop");
	assert_int_equal(answer.count, 1);
	assert_false(answer.good);
	late(&vm); /* the unit comes to rest after all */
	assert_string_equal(calls, "a.stop");
	assert_int_equal(vm_state(&vm), VM_STOPPING);
	answer_waiting();
	answer_waiting();
	assert_int_equal(vm.exit_status, 9);
}

static void a_paused_vm_stops(void **state)
{
	start();
	pause_all();
	vm_stop(&vm, 0);
	answer_waiting();
	answer_waiting();
	assert_string_equal(calls, "a.stop c.stop c.detach b.detach a.detach");
	assert_int_equal(vm_state(&vm), VM_OFF);
}

static void a_guest_reset_ends_a_pause_and_restarts(void **state)
{
	start();
	vm_pause(&vm, pause_done, NULL);
	guest_ends(PARTITION_RESET);
	assert_false(answer.good);
	answer_waiting();
	answer_waiting();
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(vm.boots, 2);
	pause_all();
}

/* ---- how a VM ends ------------------------------------------------------- */

static void the_reason_gives_the_exit_status(void **state)
{
	static const struct {
		enum partition_end reason;
		int status;
	} ends[] = {
		{PARTITION_POWER_OFF, EXIT_POWER_OFF},
		{PARTITION_RESET, EXIT_RESET},
		{PARTITION_TRIPLE_FAULT, EXIT_TRIPLE_FAULT},
		{PARTITION_VP_ERROR, EXIT_VP_ERROR},
		{PARTITION_DEBUG_EXIT, 77},
	};

	teardown(NULL);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		setup(NULL);
		answer_at_once = true;
		options.reboot = false;
		vm.end_status = 77;
		start();
		guest_ends(ends[i].reason);
		assert_int_equal(vm_state(&vm), VM_OFF);
		assert_int_equal(vm.exit_status, ends[i].status);
		teardown(NULL);
	}
	setup(NULL);
}

/* So that a guest which resets all the time can be stopped. */
static void a_stop_outranks_a_reset(void **state)
{
	start();
	guest_ends(PARTITION_RESET);
	vm_stop(&vm, 143);
	vm_stop(&vm, 0);
	answer_waiting();
	answer_waiting();
	assert_int_equal(vm_state(&vm), VM_OFF);
	assert_int_equal(vm.exit_status, 143);
	assert_int_equal(vm.boots, 1);
}

static void a_reset_restarts(void **state)
{
	answer_at_once = true;
	start();
	for (unsigned i = 0; i < RESTARTS_AT_ONCE; i++)
		guest_ends(PARTITION_RESET);
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(vm.boots, 1 + RESTARTS_AT_ONCE);
}

/* One that resets for ever costs a start now and then; it can be stopped meanwhile. */
static void resets_without_end_restart_later(void **state)
{
	answer_at_once = true;
	start();
	for (unsigned i = 0; i <= RESTARTS_AT_ONCE; i++)
		guest_ends(PARTITION_RESET);
	assert_int_equal(vm_state(&vm), VM_WAITING);
	assert_true(vm.restart_timer.armed);
	assert_int_equal(vm.boots, 1 + RESTARTS_AT_ONCE);
	while (vm_state(&vm) == VM_WAITING) {
		loop_stop(&vm.control);
		loop_run(&vm.control);
	}
	assert_int_equal(vm_state(&vm), VM_RUNNING);
	assert_int_equal(vm.boots, 2 + RESTARTS_AT_ONCE);
	guest_ends(PARTITION_RESET);
	assert_int_equal(vm_state(&vm), VM_WAITING);
	vm_stop(&vm, 143);
	assert_int_equal(vm_state(&vm), VM_OFF);
	assert_false(vm.restart_timer.armed);
	assert_int_equal(vm.exit_status, 143);
}

static void restarts_wait_longer_and_longer(void **state)
{
	struct restart r = {0};
	uint64_t now = 0, delay = 0;

	for (unsigned i = 0; i < 1000; i++) {
		uint64_t before = delay;

		restart_began(&r, now);
		delay = restart_delay(&r, ++now);
		assert_true(delay >= before && delay <= RESTART_DELAY_MAX_NS);
		assert_int_equal(delay == 0, i < RESTARTS_AT_ONCE);
	}
	assert_int_equal(delay, RESTART_DELAY_MAX_NS);
	restart_began(&r, now);
	assert_int_equal(restart_delay(&r, now + RESTART_SHORT_NS), 0);
	assert_int_equal(r.short_boots, 0);
}

static void a_late_stop_is_critical(void **state)
{
	start();
	vm_stop(&vm, 130);
	forget();
	vm_handle(&vm, VM_STOP_LATE);
	assert_int_equal(vm_state(&vm), VM_CRITICAL);
	assert_string_equal(calls, "");
	assert_int_equal(vm.exit_status, 130);
	assert_non_null(strstr(vm.error.text, "did not complete its requests"));
}

/* The loop runs what is posted already before it ends. */
static void a_stop_that_is_done_too_late_stays_critical(void **state)
{
	start();
	vm_stop(&vm, 130);
	vm_handle(&vm, VM_STOP_LATE);
	forget();
	answer_waiting();
	assert_int_equal(vm_state(&vm), VM_CRITICAL);
	assert_string_equal(calls, "");
	assert_int_equal(vm.exit_status, 130);
}

/* The first signal asks, the second shortens the time limit, once. */
static void a_second_signal_hurries(void **state)
{
	uint64_t first, second;

	start();
	vm_handle(&vm, VM_HURRY);
	vm_stop(&vm, 143);
	first = vm.stop_timer.when_ns;
	vm_handle(&vm, VM_HURRY);
	second = vm.stop_timer.when_ns;
	assert_true(second < first);
	vm_handle(&vm, VM_HURRY);
	assert_int_equal(vm.stop_timer.when_ns, second);
}

/* A guest that ends by itself is not hurried: nobody asked for it. */
static void a_first_signal_does_not_hurry(void **state)
{
	uint64_t first;

	start();
	guest_ends(PARTITION_POWER_OFF);
	first = vm.stop_timer.when_ns;
	vm_handle(&vm, VM_HURRY);
	assert_int_equal(vm.stop_timer.when_ns, first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_and_event),
		TEST(a_start_attaches_forwards_and_starts_backwards),
		TEST(a_failed_attach_detaches_all),
		TEST(a_failed_start_detaches_all),
		TEST(a_stop_walks_forwards_and_detaches_backwards),
		TEST(a_pause_walks_forwards_a_resume_backwards),
		TEST(units_may_answer_at_once),
		TEST(a_late_unit_refuses_the_pause),
		TEST(only_what_paused_is_resumed),
		TEST(a_resume_cancels_a_pause),
		TEST(pause_and_resume_need_the_right_state),
		TEST(a_stop_ends_a_pause),
		TEST(a_paused_vm_stops),
		TEST(a_guest_reset_ends_a_pause_and_restarts),
		TEST(the_reason_gives_the_exit_status),
		TEST(a_stop_outranks_a_reset),
		TEST(a_reset_restarts),
		TEST(resets_without_end_restart_later),
		TEST(restarts_wait_longer_and_longer),
		TEST(a_late_stop_is_critical),
		TEST(a_stop_that_is_done_too_late_stays_critical),
		TEST(a_second_signal_hurries),
		TEST(a_first_signal_does_not_hurry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
