/* SPDX-License-Identifier: MIT */
/*
 * Two ends of a pair, each with an I/O thread of its own and more queues on one
 * side than on the other: frames of random lengths with their sums go both ways
 * at full speed. They arrive in order by queue, unchanged; also while the loops
 * poll before they sleep.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/nic_frames.h"
#include "tests/support/nic_rig.h"

/* Of each queue, each way. */
#ifdef __SANITIZE_THREAD__
#define FRAMES 3000u
#else
#define FRAMES 30000u
#endif
#define WINDOW 128u

struct lane {
	struct nic_rig rig;
	struct end *end;
	struct nic_random random;
	uint32_t number; /* of the next frame to send */
	uint32_t id;
	uint32_t expected[8]; /* by the sender's lane */
};

struct end {
	struct loop io;
	struct nic *nic;
	struct lane lanes[2];
	uint32_t count;
	struct loop_timer timer;
	_Atomic uint64_t received, sent, dropped;
	_Atomic bool stopped;
};

struct payload {
	uint32_t lane, number, length, sum;
};

static struct loop control;
static struct end a, b;

static uint32_t add_up(const uint8_t *bytes, uint32_t length)
{
	return nic_fold(nic_sum(0, bytes, length));
}

static void send_one(struct lane *l)
{
	uint32_t head = NIC_ETH_HEADER + sizeof(struct payload);
	uint32_t length = head + nic_random(&l->random, nic_random(&l->random, 8) ? 1500 : 60000);
	struct nic_rig_frame *f = nic_rig_frame(&l->rig, length, NIC_ETH_HEADER, 7);
	struct payload p = {.lane = l->id, .number = l->number++, .length = length};

	check(f);
	memset(f->bytes + head, (int)p.number, length - head);
	p.sum = add_up(f->bytes + head, length - head);
	memcpy(f->bytes + NIC_ETH_HEADER, &p, sizeof(p));
	nic_rig_send(&l->rig, f);
}

static void receive(struct nic_rig *rig, const uint8_t *bytes, const struct nic_frame *frame)
{
	struct lane *l = container_of(rig, struct lane, rig);
	uint32_t head = NIC_ETH_HEADER + sizeof(struct payload);
	struct payload p;

	check(frame->length >= head);
	memcpy(&p, bytes + NIC_ETH_HEADER, sizeof(p));
	check(p.lane < 8 && p.length == frame->length);
	check(p.number >= l->expected[p.lane]);
	l->expected[p.lane] = p.number + 1;
	check(p.sum == add_up(bytes + head, p.length - head));
	atomic_fetch_add(&l->end->received, 1);
}

/* Each turn fills the windows, until all is sent. */
static void pump(struct loop_timer *t)
{
	struct end *e = container_of(t, struct end, timer);
	bool more = false;

	for (uint32_t i = 0; i < e->count; i++) {
		struct lane *l = &e->lanes[i];

		for (uint32_t n = 0; n < 32 && l->number < FRAMES && l->rig.frames_out < WINDOW;
			n++)
			send_one(l);
		more |= l->number < FRAMES;
	}
	if (more)
		loop_timer_start(&e->io, t, 20 * NS_PER_US, pump);
}

/* On a machine so busy that a receiver does not run for a second, its sender drops: legal, and the
 * rest must arrive all the same. */
static void sent(struct nic_rig *rig, int error)
{
	struct end *e = container_of(rig, struct lane, rig)->end;

	check(!error || error == -ENOBUFS);
	atomic_fetch_add(error ? &e->dropped : &e->sent, 1);
}

static void begin(void *arg)
{
	struct end *e = arg;

	for (uint32_t i = 0; i < e->count; i++) {
		struct lane *l = &e->lanes[i];

		l->end = e;
		l->id = (e == &a ? 0 : 4) + i;
		l->random.state = 77 + l->id;
		l->rig.rx = receive;
		l->rig.tx_done = sent;
		nic_rig_attach(&l->rig, &e->io, e->nic, i);
	}
}

static void go(void *arg)
{
	pump(&((struct end *)arg)->timer);
}

static void end(void *arg)
{
	struct end *e = arg;

	for (uint32_t i = 0; i < e->count; i++)
		nic_queue_stop(e->lanes[i].rig.queue);
}

static void look_stopped(void *arg)
{
	struct end *e = arg;

	e->stopped = true;
	for (uint32_t i = 0; i < e->count; i++)
		e->stopped = e->stopped && e->lanes[i].rig.stopped;
}

static bool stopped(void *ctx)
{
	loop_call(&((struct end *)ctx)->io, look_stopped, ctx);
	return ((struct end *)ctx)->stopped;
}

static void detach(void *arg)
{
	struct end *e = arg;

	for (uint32_t i = 0; i < e->count; i++) {
		nic_rig_detach(&e->lanes[i].rig);
	}
}

static void start(struct end *e, const char *text, uint32_t queues, uint64_t poll_ns)
{
	struct err err;

	memset(e, 0, sizeof(*e));
	e->count = queues;
	assert_int_equal(nic_rig_stack(&e->nic, &control, text, queues, &err), 0);
	assert_int_equal(nic_set_queues(e->nic, queues), 0);
	assert_int_equal(loop_init(&e->io, "io", NULL), 0);
	loop_set_polling(&e->io, poll_ns);
	assert_int_equal(loop_start(&e->io), 0);
	loop_call(&e->io, begin, e);
}

static void closed(void *ctx)
{
	*(bool *)ctx = true;
}

static bool is_true(void *ctx)
{
	return *(bool *)ctx;
}

static void finish(struct end *e)
{
	bool gone = false;

	loop_call(&e->io, end, e);
	nic_rig_run(&control, stopped, e);
	loop_call(&e->io, detach, e);
	loop_stop(&e->io);
	loop_join(&e->io);
	loop_fini(&e->io);
	nic_close(e->nic, closed, &gone);
	nic_rig_run(&control, is_true, &gone);
}

/* The control loop sleeps while it waits for other threads: something must turn it. */
static void turn(struct loop_timer *t)
{
	loop_timer_start(&control, t, NS_PER_MS, turn);
}

static bool joined(void *ctx)
{
	return nic_link_up(a.nic) && nic_link_up(b.nic);
}

static bool all_done(const struct end *from, const struct end *to)
{
	uint64_t sent_now = atomic_load(&from->sent), dropped = atomic_load(&from->dropped);

	return sent_now + dropped == (uint64_t)FRAMES * from->count &&
	       atomic_load(&to->received) == sent_now;
}

static bool all_received(void *ctx)
{
	return all_done(&a, &b) && all_done(&b, &a);
}

static void run(uint64_t poll_ns)
{
	struct loop_timer turner = {0};
	char text[80], lock[96];
	uint64_t before;

	snprintf(text, sizeof(text), "pair:/tmp/enlite-pair-loop-%d", (int)getpid());
	start(&a, text, 1, poll_ns);
	start(&b, text, 2, poll_ns);
	turn(&turner);
	nic_rig_run(&control, joined, NULL);
	before = loop_now_ns();
	loop_call(&a.io, go, &a);
	loop_call(&b.io, go, &b);
	nic_rig_run(&control, all_received, NULL);
	printf("# %u frames in %llu ms, %llu dropped\n", 3 * FRAMES,
		(unsigned long long)((loop_now_ns() - before) / NS_PER_MS),
		(unsigned long long)(a.dropped + b.dropped));
	finish(&a);
	finish(&b);
	loop_timer_cancel(&turner);
	snprintf(lock, sizeof(lock), "%s.lock", text + strlen("pair:"));
	unlink(lock);
}

static void nothing_is_lost_with_wake_ups(void **state)
{
	run(0);
}

static void nothing_is_lost_while_polling(void **state)
{
	run(50 * NS_PER_US);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_lost_with_wake_ups),
		cmocka_unit_test(nothing_is_lost_while_polling),
	};
	int failed;

	if (loop_init(&control, "control", NULL))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	loop_fini(&control);
	return failed;
}
