/* SPDX-License-Identifier: MIT */
/* Pausing, freezing and resuming a channel; interrupt policies. */
#include "chan_rig.h"

#include <pthread.h>
#include <sched.h>

static void no_packet_is_taken_while_paused(void **state)
{
	start();
	chan_pause(&f->chan);
	guest_send(0);
	guest_signal();
	run_idle();
	assert_int_equal(f->taken, 0);
	chan_freeze(&f->chan);
	guest_send(1);
	guest_signal();
	run_idle();
	assert_int_equal(f->taken, 0);
	chan_resume(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 2);
	assert_int_equal(f->ids[0], 0);
	assert_int_equal(f->ids[1], 1);
}

static void answers_go_out_while_paused(void **state)
{
	start();
	chan_pause(&f->chan);
	host_send(0, 7, 16);
	run_idle();
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->irqs, 1);
	assert_int_equal(guest_receive(7), 1);
}

static void freezing_publishes_and_then_leaves_the_rings_alone(void **state)
{
	struct guest_ring *before = aligned_alloc(4096, sizeof(*before));

	start();
	chan_pause(&f->chan);
	host_send(0, 7, 16); /* staged in this turn */
	chan_freeze(&f->chan);
	assert_int_equal(f->irqs, 1);
	memcpy(before, f->ring, sizeof(*before));
	host_send(1, 8, 16);
	host_send(2, 9, 16);
	guest_signal();
	run_idle();
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->irqs, 1);
	assert_memory_equal(before, f->ring, sizeof(*before));
	free(before);
	assert_int_equal(guest_receive(7), 1);
	chan_resume(&f->chan);
	run_idle();
	assert_int_equal(f->sent, 3);
	assert_int_equal(guest_receive(8), 2);
	assert_int_equal(f->chan.counters.tx_full, 0);
}

static bool sent_500(void)
{
	return f->sent == 500;
}

/* The ring is full when it freezes; nothing is lost or reordered. */
static void a_full_ring_survives_a_freeze(void **state)
{
	uint64_t next = 0;

	start();
	for (unsigned int i = 0; i < 250; i++)
		host_send(i, i, 200);
	assert_true(f->sent < 250);
	chan_pause(&f->chan);
	chan_freeze(&f->chan);
	for (unsigned int i = 250; i < 500; i++)
		host_send(i, i, 200);
	next += guest_receive(next); /* makes room and signals */
	run_idle();
	assert_int_equal(f->sent, next);
	chan_resume(&f->chan);
	while (next < 500) {
		run_idle();
		next += guest_receive(next);
	}
	assert_true(sent_500());
}

static void a_stalled_channel_pauses(void **state)
{
	f->refuse_after = 1;
	start();
	guest_send(0);
	guest_send(1);
	run_idle();
	assert_true(f->chan.stalled);
	chan_pause(&f->chan);
	chan_freeze(&f->chan);
	f->refuse_after = 10;
	chan_retry(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 1);
	chan_resume(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 2);
}

static void a_polled_channel_pauses(void **state)
{
	loop_set_polling(&f->loop, 1000000000);
	start();
	guest_send(0);
	run_until(took_1);
	chan_pause(&f->chan);
	chan_freeze(&f->chan);
	guest_send(1);
	guest_signal();
	run_idle();
	assert_int_equal(f->taken, 1);
	chan_resume(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 2);
}

static void pauses_before_it_starts(void **state)
{
	host_send(0, 5, 16);
	guest_send(0);
	chan_pause(&f->chan);
	chan_freeze(&f->chan);
	host_send(1, 6, 16);
	assert_int_equal(f->irqs, 0);
	assert_int_equal(guest_receive(5), 0);
	chan_resume(&f->chan);
	run_idle();
	assert_int_equal(guest_receive(5), 0);
	start();
	assert_int_equal(f->taken, 1);
	assert_int_equal(guest_receive(5), 2);
}

static void stops_while_paused(void **state)
{
	start();
	chan_pause(&f->chan);
	host_send(0, 5, 16);
	chan_stop(&f->chan, host_stopped);
	run_until(has_stopped);
	assert_int_equal(guest_receive(5), 1);
}

static void resume_without_a_pause_is_harmless(void **state)
{
	start();
	chan_resume(&f->chan);
	guest_send(0);
	run_until(took_1);
}

/* ---- interrupt policies -------------------------------------------------- */

#define ROUNDS_READ 50u

/* Sends a packet and polls for its answer, which makes the ring empty again: each answer may
 * interrupt. */
static void *reading_guest(void *arg)
{
	uint64_t deadline = loop_now_ns() + 120000000000ull;

	for (unsigned int i = 0; i < ROUNDS_READ && loop_now_ns() < deadline; i++) {
		guest_send(i);
		while (!guest_receive(i) && loop_now_ns() < deadline)
			sched_yield();
	}
	loop_stop(&f->loop);
	return NULL;
}

static void run_against_reading_guest(bool polled, bool moderated)
{
	struct chan_params p = params();
	pthread_t thread;

	p.polled = polled;
	p.moderated = moderated;
	chan_fini(&f->chan);
	assert_int_equal(chan_init(&f->chan, &p), 0);
	f->chan.drain_ns = UINT64_MAX;
	f->echo = true;
	loop_set_polling(&f->loop, 1000000000); /* outlasts any scheduling */
	f->loop.poll_ns = 1000000000; /* not only after some sleeps, of which there may be none */
	chan_start(&f->chan);
	loop_hook_del(&f->loop, &f->watch); /* sleeps or polls when idle */
	pthread_create(&thread, NULL, reading_guest, NULL);
	loop_run(&f->loop);
	pthread_join(thread, NULL);
	loop_hook_add(&f->loop, &f->watch);
	assert_int_equal(f->taken, ROUNDS_READ);
}

/* The guest may have read an answer before the host looks whether it must signal. */
static void expect_no_deferred_interrupt(void)
{
	assert_int_equal(f->irqs + f->chan.counters.interrupts_unneeded, ROUNDS_READ);
}

static void a_moderated_channel_defers_interrupts(void **state)
{
	run_against_reading_guest(true, true);
	assert_true(f->chan.counters.polls > 0);
	assert_in_range(f->irqs, 0, ROUNDS_READ - 1);
}

static void a_moderated_channel_does_not_defer_news(void **state)
{
	f->out_type = VMBUS_PKT_INBAND;
	run_against_reading_guest(true, true);
	assert_true(f->chan.counters.polls > 0);
	expect_no_deferred_interrupt();
}

/* The ring is not empty when the news is published, since the guest does not know of the answer. */
static void news_behind_a_deferred_answer_interrupt(void **state)
{
	f->echo = true;
	start();
	f->loop.poll_ns = 40000000000; /* a gap of 10 s */
	guest_send(0);
	run_idle();
	assert_int_equal(f->taken, 1);
	assert_int_equal(f->irqs, 0);
	f->out_type = VMBUS_PKT_XFER_PAGES;
	host_send(1, 1, 8);
	run_idle();
	assert_int_equal(f->irqs, 1);
	f->out_type = VMBUS_PKT_COMPLETION;
	assert_int_equal(guest_receive(0), 2);
	guest_send(2);
	run_idle();
	assert_int_equal(f->irqs, 1);
}

static void an_immediate_channel_is_polled_and_never_defers(void **state)
{
	run_against_reading_guest(true, false);
	assert_true(f->chan.counters.polls > 0);
	expect_no_deferred_interrupt();
}

static void a_plain_channel_is_not_polled(void **state)
{
	run_against_reading_guest(false, false);
	assert_int_equal(f->chan.counters.polls, 0);
	expect_no_deferred_interrupt();
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(no_packet_is_taken_while_paused),
		T(answers_go_out_while_paused),
		T(freezing_publishes_and_then_leaves_the_rings_alone),
		T(a_full_ring_survives_a_freeze),
		T(a_stalled_channel_pauses),
		T(a_polled_channel_pauses),
		T(pauses_before_it_starts),
		T(stops_while_paused),
		T(resume_without_a_pause_is_harmless),
		T(a_moderated_channel_defers_interrupts),
		T(a_moderated_channel_does_not_defer_news),
		T(news_behind_a_deferred_answer_interrupt),
		T(an_immediate_channel_is_polled_and_never_defers),
		T(a_plain_channel_is_not_polled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
