/* SPDX-License-Identifier: MIT */
/*
 * A channel between a loop and a guest played by the test: both on one thread,
 * both rings in plain memory. The loop runs until something has happened, then
 * the guest looks at the rings.
 */
#include "vmbus-host/chan.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hv/vmbus_reg.h"

#define RING_BYTES (4 * HV_PAGE_SIZE)
#define PACKET_MAX 128
#define TURNS_MAX  100000
#define OUTS       1024

struct guest_ring {
	uint8_t g2h[RING_BYTES];
	uint8_t h2g[RING_BYTES];
} __attribute__((aligned(4096)));

struct fixture {
	struct loop loop;
	struct chan chan;
	struct guest_ring *ring;
	struct vmbus_tx tx; /* guest's ends */
	struct vmbus_rx rx;

	/* what happened at the host */
	uint64_t ids[4096];
	unsigned int taken;
	unsigned int faults, stops, irqs, sent;
	uint32_t last_vp, last_flag;
	uint64_t sent_ids[OUTS];
	struct chan_out outs[OUTS];

	/* how the host behaves */
	int packet_result;
	unsigned int refuse_after; /* packet() says -EAGAIN from this many on */
	bool echo;
	bool mask_seen;

	/* running the loop */
	struct loop_hook watch;
	struct loop_task keep_awake;
	bool awake;
	unsigned int turns_left;
	bool (*until)(void);
};

static struct fixture *f;

/* ---- running the loop ------------------------------------------------------------ */

static void stay_awake(struct loop_task *task)
{
	f->awake = false;
}

static void watch(struct loop_hook *hook)
{
	if (!f->turns_left-- || (f->until && f->until())) {
		loop_stop(&f->loop);
	} else if (!f->awake) {
		f->awake = true;
		loop_post(&f->loop, &f->keep_awake);
	}
}

static void run_until(bool (*until)(void))
{
	f->until = until;
	f->turns_left = TURNS_MAX;
	loop_run(&f->loop);
	assert_true(until());
}

/* Long enough for whatever is going to happen by itself. */
static void run_idle(void)
{
	f->until = NULL;
	f->turns_left = 50;
	loop_run(&f->loop);
}

/* ---- the host -------------------------------------------------------------------- */

static void count_sent(struct chan *chan, struct chan_out *out)
{
	f->sent_ids[f->sent++] = out->trans_id;
}

static void host_send(unsigned int n, uint64_t id, uint32_t len)
{
	static const uint8_t payload[2 * RING_BYTES];

	f->outs[n] = (struct chan_out){
		.type = VMBUS_PKT_COMPLETION,
		.trans_id = id,
		.payload = payload,
		.payload_len = len,
		.sent = count_sent,
	};
	chan_send(&f->chan, &f->outs[n]);
}

static int host_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	struct vmbus_ring_ctl *ctl = (void *)f->ring->g2h;

	f->mask_seen = ctl->interrupt_mask == 1;
	if (f->taken >= f->refuse_after)
		return -EAGAIN;
	if (f->packet_result)
		return f->packet_result;
	f->ids[f->taken++] = pkt->desc.trans_id;
	if (f->echo)
		host_send(f->taken % OUTS, pkt->desc.trans_id, pkt->payload_len);
	return 0;
}

static void host_fault(struct chan *chan)
{
	f->faults++;
}

static void host_stopped(struct chan *chan)
{
	f->stops++;
}

static void raise_irq(void *ctx, uint32_t vp, uint32_t flag)
{
	assert_ptr_equal(ctx, f);
	f->irqs++;
	f->last_vp = vp;
	f->last_flag = flag;
}

static const struct chan_ops host_ops = {.packet = host_packet, .fault = host_fault};

static struct chan_params params(void)
{
	return (struct chan_params){
		.ops = &host_ops,
		.loop = &f->loop,
		.irq = {raise_irq, f},
		.flag = 17,
		.target_vp = 3,
		.g2h = f->ring->g2h,
		.g2h_bytes = RING_BYTES,
		.h2g = f->ring->h2g,
		.h2g_bytes = RING_BYTES,
		.packet_max = PACKET_MAX,
	};
}

/* ---- the guest ------------------------------------------------------------------- */

static void guest_signal(void)
{
	loop_event_signal(f->chan.doorbell_fd);
}

static int guest_stage(uint64_t id, uint32_t len)
{
	static const uint8_t payload[512];
	struct vmbus_vec vec = {payload, len};

	return vmbus_tx_write(
		&f->tx, VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, NULL, &vec, 1);
}

static void guest_send(uint64_t id)
{
	assert_int_equal(guest_stage(id, 32), 0);
	if (vmbus_tx_commit(&f->tx))
		guest_signal();
}

/* Takes all there is, expecting the ids first, first + 1, ... */
static unsigned int guest_receive(uint64_t first)
{
	static uint8_t buf[RING_BYTES];
	struct vmbus_pkt pkt;
	unsigned int n = 0;

	while (!vmbus_rx_next(&f->rx, &pkt, buf, sizeof(buf)))
		assert_int_equal(pkt.desc.trans_id, first + n++);
	if (vmbus_rx_commit(&f->rx))
		guest_signal();
	return n;
}

/* ---- fixture --------------------------------------------------------------------- */

static int setup(void **state)
{
	struct chan_params p;

	f = calloc(1, sizeof(*f));
	f->ring = aligned_alloc(4096, sizeof(*f->ring));
	memset(f->ring, 0, sizeof(*f->ring));
	f->refuse_after = UINT32_MAX;
	if (loop_init(&f->loop, "worker", NULL))
		return -1;
	f->watch.fn = watch;
	f->keep_awake.fn = stay_awake;
	loop_hook_add(&f->loop, &f->watch);
	vmbus_tx_init(&f->tx, f->ring->g2h, RING_BYTES);
	vmbus_rx_init(&f->rx, f->ring->h2g, RING_BYTES);
	p = params();
	return chan_init(&f->chan, &p);
}

static void start(void)
{
	chan_start(&f->chan);
	run_idle();
}

static bool has_stopped(void)
{
	return f->stops > 0;
}

static int teardown(void **state)
{
	if (!f->chan.stopping)
		chan_stop(&f->chan, host_stopped);
	run_until(has_stopped);
	assert_int_equal(f->stops, 1);
	chan_fini(&f->chan);
	loop_fini(&f->loop);
	free(f->ring);
	free(f);
	return 0;
}

static bool took_1(void)
{
	return f->taken >= 1;
}

static bool took_10(void)
{
	return f->taken >= 10;
}

static bool has_faulted(void)
{
	return f->faults > 0;
}

/* ---- receiving and sending ------------------------------------------------------- */

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
	assert_int_equal(f->last_flag, 17);
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

/* ---- back-pressure --------------------------------------------------------------- */

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
	assert_int_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask, 1);

	f->refuse_after = UINT32_MAX;
	chan_resume(&f->chan);
	chan_resume(&f->chan);
	run_until(took_10);
	for (uint64_t id = 0; id < 10; id++)
		assert_int_equal(f->ids[id], id);
	run_idle();
	assert_int_equal(f->taken, 10);
	assert_int_equal(((struct vmbus_ring_ctl *)f->ring->g2h)->interrupt_mask, 0);
}

/* The guest's ring is full; it asks to be told when there is room. */
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
	return f->sent == 500;
}

static void a_full_ring_queues_in_order(void **state)
{
	struct vmbus_ring_ctl *ctl = (void *)f->ring->h2g;
	uint64_t next = 0;

	start();
	for (unsigned int i = 0; i < 500; i++)
		host_send(i, i, 200);
	run_idle();
	assert_in_range(f->sent, 10, 490);
	assert_int_equal(f->chan.counters.tx_full, 500 - f->sent);
	assert_int_not_equal(ctl->pending_send_size, 0);
	/* The guest takes a ring full at a time and signals only when it is asked to. */
	while (next < 500) {
		unsigned int n = guest_receive(next);

		assert_true(n > 0);
		next += n;
		run_idle();
	}
	assert_true(sent_all());
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(f->sent_ids[i], i);
	assert_int_equal(ctl->pending_send_size, 0);
	assert_true(f->chan.counters.doorbells > 0);
}

static void send_next(struct chan *chan, struct chan_out *out)
{
	uint64_t id = out->trans_id;

	f->sent_ids[f->sent++] = id;
	if (id < 3) {
		f->outs[id + 1] = *out;
		f->outs[id + 1].trans_id++;
		chan_send(chan, &f->outs[id + 1]);
	}
}

static void sent_may_send(void **state)
{
	start();
	f->outs[0] = (struct chan_out){
		.type = VMBUS_PKT_COMPLETION, .trans_id = 0, .payload = "", .sent = send_next};
	chan_send(&f->chan, &f->outs[0]);
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
	static const struct chan_ops other_ops = {.packet = other_packet, .fault = host_fault};
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

/* ---- hostile guests -------------------------------------------------------------- */

static void expect_fault_once(void)
{
	guest_signal();
	run_until(has_faulted);
	f->echo = true;
	guest_signal();
	host_send(0, 1, 16);
	run_idle();
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 1); /* dropped, but given back */
	assert_int_equal(f->irqs, 0);
	assert_int_equal(guest_receive(0), 0);
}

static void a_lying_write_index_faults(void **state)
{
	static const uint32_t bad[] = {4, RING_BYTES - HV_PAGE_SIZE, UINT32_MAX, 0x80000000};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		start();
		((struct vmbus_ring_ctl *)f->ring->g2h)->write_index = bad[i];
		expect_fault_once();
		assert_int_equal(f->taken, 0);
		teardown(state);
		setup(state);
	}
}

static void a_bad_descriptor_faults(void **state)
{
	struct vmbus_pkt_desc *desc = (void *)(f->ring->g2h + HV_PAGE_SIZE);

	start();
	assert_int_equal(guest_stage(1, 32), 0);
	desc->offset8 = 1;
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->taken, 0);
}

static void a_packet_too_long_faults(void **state)
{
	start();
	assert_int_equal(guest_stage(1, PACKET_MAX - 16), 0);
	assert_int_equal(guest_stage(2, PACKET_MAX - 16 + 8), 0);
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->taken, 1);
}

static void a_protocol_error_faults(void **state)
{
	start();
	f->packet_result = -EPROTO;
	assert_int_equal(guest_stage(1, 32), 0);
	assert_int_equal(guest_stage(2, 32), 0);
	vmbus_tx_commit(&f->tx);
	expect_fault_once();
	assert_int_equal(f->chan.counters.packets, 1);
}

static void a_lying_read_index_faults_all_that_wait(void **state)
{
	start();
	for (unsigned int i = 0; i < 500; i++)
		host_send(i, i, 200);
	assert_true(f->sent < 500);
	((struct vmbus_ring_ctl *)f->ring->h2g)->read_index = 12;
	guest_signal();
	run_until(has_faulted);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 500);
	for (unsigned int i = 0; i < 500; i++)
		assert_int_equal(f->sent_ids[i] < 500, true);
}

/* A ring too small for what the device has to say. */
static void a_packet_that_never_fits_faults(void **state)
{
	start();
	host_send(0, 1, RING_BYTES);
	assert_int_equal(f->faults, 1);
	assert_int_equal(f->sent, 1);
}

static void bad_rings_are_refused(void **state)
{
	struct chan chan;
	struct chan_params p = params();

	((struct vmbus_ring_ctl *)f->ring->g2h)->read_index = 4;
	assert_int_equal(chan_init(&chan, &p), -EPROTO);
	((struct vmbus_ring_ctl *)f->ring->g2h)->read_index = 0;
	((struct vmbus_ring_ctl *)f->ring->h2g)->write_index = RING_BYTES;
	assert_int_equal(chan_init(&chan, &p), -EPROTO);
	((struct vmbus_ring_ctl *)f->ring->h2g)->write_index = 0;
	p.g2h_bytes = HV_PAGE_SIZE;
	assert_int_equal(chan_init(&chan, &p), -EINVAL);
}

/* ---- stopping -------------------------------------------------------------------- */

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
	chan_resume(&f->chan);
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
	chan_resume(&f->chan);
	chan_stop(&f->chan, host_stopped);
	run_until(has_stopped);
	assert_true(f->taken <= 300);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(echoes),
		T(a_batch_costs_one_interrupt),
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
		T(a_lying_write_index_faults),
		T(a_bad_descriptor_faults),
		T(a_packet_too_long_faults),
		T(a_protocol_error_faults),
		T(a_lying_read_index_faults_all_that_wait),
		T(a_packet_that_never_fits_faults),
		T(bad_rings_are_refused),
		T(a_stopped_channel_leaves_the_rings_alone),
		T(stop_publishes_what_was_sent),
		T(stops_without_start),
		T(stops_while_stalled_or_draining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
