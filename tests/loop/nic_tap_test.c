/* SPDX-License-Identifier: MIT */
/*
 * A TAP whose queue runs on an I/O thread, under traffic, while its interface is
 * deleted and made again 100 times. After each time frames pass again, both ways;
 * nothing is stuck, nothing leaks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/nic_rig.h"

#define CYCLES 100u
#define WINDOW 64u /* frames that one side has on their way */

/* One end: control on the main thread, its queue on a thread of its own, which sends all the time.
 */
struct end {
	struct nic_rig rig;
	struct loop io;
	struct nic *nic;
	struct loop_timer tick;
	_Atomic bool stop;
	_Atomic uint64_t received, sent;
	struct nic_call call;
	_Atomic uint32_t calls;
	_Atomic bool calling;
	uint32_t ticks;
	_Atomic bool is_stopped;
};

static struct loop control;
static struct end a, b;

static void called(struct nic_call *call, int error)
{
	struct end *e = container_of(call, struct end, call);

	assert_int_equal(error, 0);
	e->calls++;
	e->calling = false;
}

/* Offloads change all the time, from the I/O thread as a guest's request would. */
static void change_offloads(struct end *e)
{
	if (e->calling || ++e->ticks % 50)
		return;
	e->calling = true;
	e->call = (struct nic_call){
		.nic = e->nic,
		.op = NIC_CALL_RX_OFFLOADS,
		.value = e->calls & 1 ? NIC_CAN_CSUM | NIC_CAN_TSO4 : 0,
		.loop = &e->io,
		.done = called,
	};
	nic_call(&e->call);
}

/* As fast as the loop turns, but not in one turn. */
static void tick(struct loop_timer *t)
{
	struct end *e = container_of(t, struct end, tick);

	for (uint32_t i = 0; i < WINDOW / 4 && !e->stop; i++) {
		uint8_t bytes[200] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, e == &a};

		if (e->rig.frames_out < WINDOW)
			nic_rig_send_bytes(&e->rig, bytes, sizeof(bytes));
	}
	if (!e->stop)
		change_offloads(e);
	atomic_store(&e->received, e->rig.received);
	atomic_store(&e->sent, e->rig.sent);
	if (!e->stop)
		loop_timer_start(&e->io, t, 100 * NS_PER_US, tick);
}

static void begin(void *arg)
{
	struct end *e = arg;

	nic_rig_attach(&e->rig, &e->io, e->nic, 0);
	tick(&e->tick);
}

static void end_stop(void *arg)
{
	struct end *e = arg;

	e->stop = true;
	loop_timer_cancel(&e->tick);
	nic_queue_stop(e->rig.queue);
}

static void start(struct end *e, const char *text)
{
	struct err err;

	assert_int_equal(nic_rig_stack(&e->nic, &control, text, 1, &err), 0);
	assert_int_equal(loop_init(&e->io, "io", NULL), 0);
	assert_int_equal(loop_start(&e->io), 0);
	loop_call(&e->io, begin, e);
}

static void is_stopped(void *arg)
{
	struct end *e = arg;

	if (e->rig.stopped)
		e->is_stopped = true;
}

static bool stopped(void *ctx)
{
	struct end *e = ctx;

	loop_call(&e->io, is_stopped, e);
	return e->is_stopped;
}

static void detach(void *arg)
{
	nic_rig_detach(&((struct end *)arg)->rig);
}

static void closed(void *ctx)
{
	*(bool *)ctx = true;
}

static bool is_true(void *ctx)
{
	return *(bool *)ctx;
}

/* The control loop sleeps while it waits: something must turn it. */
static void turn(struct loop_timer *t)
{
	loop_timer_start(&control, t, NS_PER_MS, turn);
}

static void finish(struct end *e)
{
	bool gone = false;

	loop_call(&e->io, end_stop, e);
	nic_rig_run(&control, stopped, e);
	loop_call(&e->io, detach, e);
	loop_stop(&e->io);
	loop_join(&e->io);
	loop_fini(&e->io);
	nic_close(e->nic, closed, &gone);
	nic_rig_run(&control, is_true, &gone);
}

/* ---- the test ------------------------------------------------------------ */

static uint64_t a_before, b_before;

static bool traffic_both_ways(void *ctx)
{
	return atomic_load(&a.received) > a_before + 100 &&
	       atomic_load(&b.received) > b_before + 100;
}

static void expect_traffic(void)
{
	a_before = atomic_load(&a.received);
	b_before = atomic_load(&b.received);
	nic_rig_run(&control, traffic_both_ways, NULL);
}

static bool down(void *ctx)
{
	return !nic_link_up(((struct end *)ctx)->nic);
}

static bool up(void *ctx)
{
	return nic_link_up(((struct end *)ctx)->nic);
}

static bool no_call(void *ctx)
{
	struct end *e = ctx;

	return !e->calling;
}

static void survives_100_deletions_under_traffic(void **state)
{
	struct loop_timer turner = {0};

	nic_rig_shell("ip link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0");
	nic_rig_shell("ip link set br0 up");
	start(&a, "tap:ta");
	start(&b, "tap:tb");
	turn(&turner);
	nic_rig_shell("ip link set ta master br0 && ip link set tb master br0");
	expect_traffic();
	for (uint32_t i = 0; i < CYCLES; i++) {
		nic_rig_shell("ip link del ta");
		if (i & 1)
			nic_rig_run(&control, down, &a);
		nic_rig_shell(
			"ip tuntap add dev ta mode tap %s vnet_hdr", i & 2 ? "multi_queue" : "");
		nic_rig_shell("ip link set ta up master br0");
		nic_rig_run(&control, up, &a);
		expect_traffic();
	}
	a.stop = b.stop = true;
	nic_rig_run(&control, no_call, &a);
	nic_rig_run(&control, no_call, &b);
	printf("# %u cycles, %llu and %llu frames, %u changes of offloads\n", CYCLES,
		(unsigned long long)a.received, (unsigned long long)b.received, a.calls);
	finish(&a);
	finish(&b);
	loop_timer_cancel(&turner);
	nic_rig_shell("ip link del ta");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(survives_100_deletions_under_traffic),
	};
	int failed;

	if (!nic_rig_unshare())
		return 0;
	assert_int_equal(loop_init(&control, "control", NULL), 0);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	loop_fini(&control);
	return failed;
}
