/* SPDX-License-Identifier: MIT */
/* A channel at work, with a guest that keeps the rules. */
#include "chan_rig.h"

#include <sched.h>

/* ---- receiving and sending ----------------------------------------------- */

static void echoes(void **state)
{
	f->echo = true;
	start();
	guest_send(100);
	run_until(took_1);
	assert_true(f->mask_seen);
	assert_int_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask, 0);
	assert_int_equal(guest_receive(100), 1);
	assert_int_equal(f->irqs, 1);
	assert_int_equal(f->last_vp, 3);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->chan.counters.packets, 1);
	assert_int_equal(f->chan.counters.doorbells, 1);
}

static void a_batch_costs_one_interrupt(void **state)
{
	f->echo = true;
	start();
	for (uint64_t id = 0; id < 10; id++)
		assert_int_equal(guest_stage(id, 32), 0);
	assert_true(vmbus_tx_commit(&f->tx));
	guest_signal();
	run_until(took_10);
	assert_int_equal(guest_receive(0), 10);
	assert_int_equal(f->irqs, 1);
}

/* A packet of 32 bytes: descriptor, payload, trailer. */
#define PACKET_BYTES 56u

static void counts_batches_and_rings(void **state)
{
	struct chan_rings rings;

	f->echo = true;
	start();
	for (uint64_t id = 0; id < 10; id++)
		assert_int_equal(guest_stage(id, 32), 0);
	vmbus_tx_commit(&f->tx);
	guest_signal();
	run_until(took_10);
	chan_rings(&f->chan, &rings);
	assert_int_equal(f->chan.counters.packets, 10);
	assert_int_equal(f->chan.counters.batches, 1);
	assert_int_equal(f->chan.counters.sent, 10);
	assert_int_equal(f->chan.counters.sent_batches, 1);
	assert_int_equal(f->chan.counters.interrupts, 1);
	assert_int_equal(rings.rx_used, 0);
	assert_int_equal(rings.rx_highest, 10 * PACKET_BYTES);
	assert_int_equal(rings.rx_size, RING_BYTES - HV_PAGE_SIZE);
	assert_int_equal(rings.tx_used, 10 * PACKET_BYTES);
	assert_int_equal(rings.tx_highest, 10 * PACKET_BYTES);
	guest_receive(0);
	chan_rings(&f->chan, &rings);
	assert_int_equal(rings.tx_used, 0);
	assert_int_equal(rings.tx_highest, 10 * PACKET_BYTES);
}

/* Why a batch was published without an interrupt. */
static void counts_interrupts_that_were_not_sent(void **state)
{
	start();
	host_send(0, 100, 32);
	run_idle();
	host_send(1, 101, 32);
	run_idle();
	assert_int_equal(f->irqs, 1);
	assert_int_equal(f->chan.counters.interrupts_unneeded, 1);
	assert_int_equal(f->chan.counters.interrupts_masked, 0);
	guest_receive(100);
	vmbus_rx_mask(&f->rx);
	host_send(2, 102, 32);
	run_idle();
	assert_int_equal(f->irqs, 1);
	assert_int_equal(f->chan.counters.interrupts_unneeded, 1);
	assert_int_equal(f->chan.counters.interrupts_masked, 1);
	assert_int_equal(f->chan.counters.sent_batches, 3);
}

/* A guest with an invalid index has an empty ring, until the fault is found. */
static void rings_that_lie_are_empty(void **state)
{
	struct chan_rings rings;

	((struct vmbus_ring_ctl *)f->ring->g2h)->write_index = 4;
	((struct vmbus_ring_ctl *)f->ring->h2g)->read_index = RING_BYTES;
	chan_rings(&f->chan, &rings);
	assert_int_equal(rings.rx_used, 0);
	assert_int_equal(rings.tx_used, 0);
	start();
	assert_int_equal(f->faults, 1);
	chan_rings(&f->chan, &rings);
	assert_int_equal(rings.rx_highest, 0);
}

static void takes_what_came_before_the_doorbell(void **state)
{
	assert_int_equal(guest_stage(1, 32), 0);
	vmbus_tx_commit(&f->tx);
	chan_start(&f->chan);
	run_until(took_1);
	assert_int_equal(f->chan.counters.doorbells, 0);
}

/* What a VSP sends while opening stays unseen until the guest knows that the channel is open. */
static void nothing_is_visible_before_start(void **state)
{
	f->echo = true;
	host_send(0, 7, 16);
	guest_send(1);
	run_idle();
	assert_int_equal(guest_receive(7), 0);
	assert_int_equal(f->irqs, 0);
	assert_int_equal(f->taken, 0);
	start();
	assert_int_equal(f->irqs, 1);
	assert_int_equal(f->taken, 1);
}

static void no_interrupt_when_masked(void **state)
{
	start();
	vmbus_rx_mask(&f->rx);
	host_send(0, 1, 16);
	run_idle();
	assert_int_equal(f->irqs, 0);
	assert_true(vmbus_rx_unmask(&f->rx));
	assert_int_equal(guest_receive(1), 1);
}

static void no_interrupt_without_a_vp(void **state)
{
	chan_retarget(&f->chan, VMBUS_VP_NONE);
	start();
	host_send(0, 1, 16);
	run_idle();
	assert_int_equal(f->irqs, 0);
	assert_int_equal(guest_receive(1), 1);
}

static void interrupts_follow_a_retarget(void **state)
{
	start();
	host_send(0, 1, 16);
	chan_retarget(&f->chan, 1);
	run_idle();
	assert_int_equal(f->irqs, 1);
	assert_int_equal(f->last_vp, 1);
}

static void stray_doorbells_are_harmless(void **state)
{
	start();
	for (int i = 0; i < 1000; i++)
		guest_signal();
	run_idle();
	assert_int_equal(f->taken, 0);
	assert_int_equal(f->irqs, 0);
	assert_in_range(f->chan.counters.doorbells, 1, 2);
}

/* ---- back-pressure ------------------------------------------------------- */

static bool has_stalled(void)
{
	return f->chan.stalled;
}

static void a_refused_packet_comes_again(void **state)
{
	f->refuse_after = 2;
	start();
	for (uint64_t id = 0; id < 10; id++)
		assert_int_equal(guest_stage(id, 32), 0);
	if (vmbus_tx_commit(&f->tx))
		guest_signal();
	run_until(has_stalled);
	run_idle();
	assert_int_equal(f->taken, 2);
	assert_int_equal(f->chan.counters.stalls, 1); /* not tried again and again */
	/* The room of the two that were taken is the guest's again. */
	assert_int_not_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->read_index, 0);
	assert_int_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask, 1);

	f->refuse_after = UINT32_MAX;
	chan_retry(&f->chan);
	chan_retry(&f->chan);
	run_until(took_10);
	for (uint64_t id = 0; id < 10; id++)
		assert_int_equal(f->ids[id], id);
	run_idle();
	assert_int_equal(f->taken, 10);
	assert_int_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask, 0);
}

/* The guest's ring is full; it asks for a signal when there is room. */
static void room_is_announced(void **state)
{
	uint64_t id = 0;

	while (!guest_stage(id, 64))
		id++;
	vmbus_tx_commit(&f->tx);
	assert_int_not_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->pending_send_size, 0);
	start();
	assert_int_equal(f->taken, id);
	assert_int_equal(f->irqs, 1);
	assert_int_equal(guest_stage(id, 64), 0);
}

static bool sent_all(void)
{
	return f->sent == 501;
}

static void a_full_ring_queues_in_order(void **state)
{
	struct vmbus_ring_ctl *ctl = (void *)f->ring->h2g;
	uint64_t next = 0;

	start();
	for (unsigned int i = 0; i < 500; i++)
		host_send(i, i, 200);
	host_send(500, 500, 0); /* would fit, but not before the others */
	run_idle();
	assert_in_range(f->sent, 10, 490);
	assert_int_equal(f->chan.counters.tx_full, 501 - f->sent);
	assert_int_not_equal(ctl->pending_send_size, 0);
	/* The guest takes a ring full at a time and signals only when it is asked to. */
	while (next < 501) {
		unsigned int n = guest_receive(next);

		assert_true(n > 0);
		next += n;
		run_idle();
	}
	assert_true(sent_all());
	for (unsigned int i = 0; i < 501; i++)
		assert_int_equal(f->sent_ids[i], i);
	assert_int_equal(ctl->pending_send_size, 0);
	assert_true(f->chan.counters.doorbells > 0);
}

static void send_next(struct chan *chan)
{
	unsigned int id = f->sent;

	if (id < 4)
		host_send(id, id, 0);
}

static void sent_may_send(void **state)
{
	start();
	f->on_sent = send_next;
	host_send(0, 0, 0);
	run_idle();
	assert_int_equal(guest_receive(0), 4);
	assert_int_equal(f->sent, 4);
}

static void quiesce_drops_what_waits(void **state)
{
	start();
	for (unsigned int i = 0; i < 500; i++)
		host_send(i, i, 200);
	assert_true(f->sent < 500);
	chan_quiesce(&f->chan);
	assert_int_equal(f->sent, 500);
	/* From now on what does not fit is dropped at once, and nothing is received. */
	host_send(500, 500, 200);
	assert_int_equal(f->sent, 501);
	guest_send(1);
	guest_signal();
	run_idle();
	assert_int_equal(f->taken, 0);
	assert_int_equal(f->faults, 0);
	/* What did fit is published. */
	assert_true(guest_receive(0) > 10);
}

/* Two channels on one loop: the second is served before the first has emptied a long ring. */
static struct chan other;
static unsigned int other_turn_taken;

static int other_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	other_turn_taken = f->taken;
	return 0;
}

static void a_busy_channel_does_not_starve_others(void **state)
{
	static const struct chan_ops other_ops = {.packet = other_packet,
		.sent = host_sent,
		.fault = host_fault,
		.interrupt = host_interrupt};
	struct guest_ring *ring = f->ring;
	struct chan_params p = params();
	struct vmbus_tx tx;

	while (!guest_stage(0, 0))
		;
	vmbus_tx_commit(&f->tx);

	f->ring = aligned_alloc(4096, sizeof(*f->ring));
	memset(f->ring, 0, sizeof(*f->ring));
	p = params();
	p.ops = &other_ops;
	assert_int_equal(vmbus_tx_init(&tx, f->ring->g2h, RING_BYTES), 0);
	assert_int_equal(vmbus_tx_write(&tx, VMBUS_PKT_INBAND, 0, 1, NULL, NULL, 0), 0);
	vmbus_tx_commit(&tx);
	assert_int_equal(chan_init(&other, &p), 0);

	chan_start(&f->chan);
	chan_start(&other);
	run_idle();
	assert_in_range(other_turn_taken, 1, 256);
	assert_in_range(f->taken, 500, 600);

	chan_stop(&other, host_stopped);
	run_until(has_stopped);
	f->stops = 0;
	chan_fini(&other);
	free(f->ring);
	f->ring = ring;
}

/* Each packet is answered at once and takes a millisecond: the guest has answers to work on before
 * the last one is taken. */
#define SLOW_PACKETS   8u
#define SLOW_PACKET_NS 1000000u

static uint64_t published_at_last;

static int slow_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	uint64_t begin = loop_now_ns();

	while (loop_now_ns() - begin < SLOW_PACKET_NS)
		;
	published_at_last = chan->published;
	return host_packet(chan, pkt);
}

static void answers_do_not_wait_for_a_long_batch(void **state)
{
	static const struct chan_ops slow_ops = {.packet = slow_packet,
		.sent = host_sent,
		.fault = host_fault,
		.interrupt = host_interrupt};

	f->chan.ops = &slow_ops;
	f->chan.drain_ns = SLOW_PACKET_NS / 5;
	f->echo = true;
	for (unsigned int i = 0; i < SLOW_PACKETS; i++)
		assert_int_equal(guest_stage(i, 32), 0);
	vmbus_tx_commit(&f->tx);
	start();
	assert_int_equal(f->taken, SLOW_PACKETS);
	assert_in_range(published_at_last, 1, SLOW_PACKETS - 1);
	assert_int_equal(guest_receive(0), SLOW_PACKETS);
}

/* ---- a guest on its own CPU ---------------------------------------------- */

/* Sends the next packet when the one before is taken. packet() lingers more or less long, so that
 * sometimes this happens just when the host finds the ring empty and is about to sleep. A lost
 * wake-up is waited for in vain. */
static void *guest_thread(void *arg)
{
	uint64_t deadline = loop_now_ns() + 120000000000ull;

	for (unsigned int i = 0; i < f->rounds && loop_now_ns() < deadline; i++) {
		guest_send(i);
		while (f->taken <= i && loop_now_ns() < deadline)
			sched_yield(); /* the host may be on the same CPU */
	}
	loop_stop(&f->loop);
	return NULL;
}

static void run_against_guest_thread(unsigned int rounds)
{
	pthread_t thread;

	f->rounds = rounds;
	f->linger = 1024;
	chan_start(&f->chan);
	loop_hook_del(&f->loop, &f->watch); /* sleeps when idle */
	pthread_create(&thread, NULL, guest_thread, NULL);
	loop_run(&f->loop);
	pthread_join(thread, NULL);
	loop_hook_add(&f->loop, &f->watch);
	assert_int_equal(f->taken, rounds);
}

static void no_wakeup_is_lost(void **state)
{
	run_against_guest_thread(ROUNDS);
	assert_int_equal(f->chan.counters.polls, 0);
}

/* The window is about as long as a packet takes, so that it ends just when the next one comes as
 * often as not: found by polling, found before sleeping, or signalled. */
static void no_wakeup_is_lost_at_the_end_of_a_poll_window(void **state)
{
	loop_set_polling(&f->loop, 50000);
	run_against_guest_thread(ROUNDS_POLLED);
}

static void polling_saves_doorbells(void **state)
{
	loop_set_polling(&f->loop, 1000000000); /* outlasts any scheduling */
	run_against_guest_thread(ROUNDS_POLLED);
	assert_true(f->chan.counters.doorbells < ROUNDS_POLLED / 2);
}

/* ---- stopping ------------------------------------------------------------ */

static void a_stopped_channel_leaves_the_rings_alone(void **state)
{
	struct guest_ring *before = aligned_alloc(4096, sizeof(*before));

	start();
	guest_send(1);
	run_until(took_1);
	guest_send(2);
	guest_signal();
	chan_stop(&f->chan, host_stopped);
	assert_int_equal(f->stops, 0); /* later, never from inside */
	memcpy(before, f->ring, sizeof(*before));
	host_send(0, 9, 16);
	chan_retry(&f->chan);
	run_until(has_stopped);
	run_idle();
	assert_int_equal(f->taken, 1);
	assert_int_equal(f->sent, 1);
	assert_int_equal(f->stops, 1);
	assert_memory_equal(before, f->ring, sizeof(*before));
	free(before);
}

static void stop_publishes_what_was_sent(void **state)
{
	start();
	host_send(0, 5, 16);
	chan_stop(&f->chan, host_stopped);
	assert_int_equal(guest_receive(5), 1);
	assert_int_equal(f->irqs, 1);
}

static void stops_without_start(void **state)
{
	host_send(0, 5, 16);
	chan_stop(&f->chan, host_stopped);
	assert_int_equal(f->stops, 0);
	run_until(has_stopped);
	assert_int_equal(guest_receive(5), 0);
}

static void stops_while_stalled_or_draining(void **state)
{
	f->refuse_after = 300; /* more than one turn takes, fewer than there are */
	while (!guest_stage(0, 0))
		;
	vmbus_tx_commit(&f->tx);
	chan_start(&f->chan);
	run_until(took_1); /* the rest of the ring is posted */
	assert_true(f->chan.drain_posted || f->chan.stalled);
	chan_retry(&f->chan);
	chan_stop(&f->chan, host_stopped);
	run_until(has_stopped);
	assert_true(f->taken <= 300);
}

/* ---- without signals ----------------------------------------------------- */

static uint32_t rx_mask(void)
{
	return ((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask;
}

static void a_lazy_channel_takes_packets_when_it_looks(void **state)
{
	start();
	chan_set_lazy(&f->chan, true);
	run_idle();
	assert_int_equal(rx_mask(), 1);
	for (uint64_t id = 0; id < 40; id++) /* more than a turn takes */
		guest_send(id);
	run_idle();
	assert_int_equal(f->taken, 0);
	chan_look(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 40);
	assert_int_equal(f->ids[39], 39);
	chan_look(&f->chan);
	run_idle();
	assert_int_equal(rx_mask(), 1);
	assert_int_equal(f->chan.counters.doorbells, 0);
	assert_int_equal(f->chan.counters.polls, 1);
}

static void a_lazy_channel_can_be_lazy_no_more(void **state)
{
	chan_set_lazy(&f->chan, true); /* before the start */
	start();
	guest_send(1);
	run_idle();
	assert_int_equal(f->taken, 0);
	chan_set_lazy(&f->chan, false);
	run_idle();
	assert_int_equal(f->taken, 1);
	assert_int_equal(rx_mask(), 0);
	guest_send(2);
	run_idle();
	assert_int_equal(f->taken, 2);
	assert_int_equal(f->chan.counters.doorbells, 1);
}

static void a_lazy_channel_pauses_and_ends(void **state)
{
	chan_set_lazy(&f->chan, true);
	start();
	chan_pause(&f->chan);
	guest_send(1);
	chan_look(&f->chan);
	run_idle();
	assert_int_equal(f->taken, 0);
	chan_freeze(&f->chan);
	chan_look(&f->chan);
	chan_resume(&f->chan); /* takes what there is */
	run_idle();
	assert_int_equal(f->taken, 1);
	guest_send(2);
	chan_quiesce(&f->chan);
	chan_look(&f->chan);
	chan_set_lazy(&f->chan, false);
	run_idle();
	assert_int_equal(f->taken, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(echoes),
		T(a_batch_costs_one_interrupt),
		T(counts_batches_and_rings),
		T(counts_interrupts_that_were_not_sent),
		T(rings_that_lie_are_empty),
		T(takes_what_came_before_the_doorbell),
		T(nothing_is_visible_before_start),
		T(no_interrupt_when_masked),
		T(no_interrupt_without_a_vp),
		T(interrupts_follow_a_retarget),
		T(stray_doorbells_are_harmless),
		T(a_refused_packet_comes_again),
		T(room_is_announced),
		T(a_full_ring_queues_in_order),
		T(sent_may_send),
		T(quiesce_drops_what_waits),
		T(a_busy_channel_does_not_starve_others),
		T(answers_do_not_wait_for_a_long_batch),
		T(no_wakeup_is_lost),
		T(no_wakeup_is_lost_at_the_end_of_a_poll_window),
		T(polling_saves_doorbells),
		T(a_lazy_channel_takes_packets_when_it_looks),
		T(a_lazy_channel_can_be_lazy_no_more),
		T(a_lazy_channel_pauses_and_ends),
		T(a_stopped_channel_leaves_the_rings_alone),
		T(stop_publishes_what_was_sent),
		T(stops_without_start),
		T(stops_while_stalled_or_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
