/* SPDX-License-Identifier: MIT */
/*
 * A channel between a loop and a guest played by the test: both on one thread,
 * both rings in plain memory. The loop runs until something has happened, then
 * the guest reads the rings.
 */
#ifndef CHAN_RIG_H
#define CHAN_RIG_H

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

#define RING_BYTES    (4 * HV_PAGE_SIZE)
#define PACKET_MAX    128
#define TURNS_MAX     100000
#define OUTS          1024
#define ROUNDS        20000u
#define ROUNDS_POLLED 1000u /* both sides spin: slow where they share a CPU */

struct guest_ring {
	uint8_t g2h[RING_BYTES];
	uint8_t h2g[RING_BYTES];
} __attribute__((aligned(4096)));

struct fixture {
	struct loop loop;
	struct chan chan;
	struct guest_ring *ring;
	struct vmbus_run runs[2];
	struct vmbus_tx tx; /* guest's ends */
	struct vmbus_rx rx;

	/* what happened at the host */
	uint64_t ids[ROUNDS];
	_Atomic unsigned int taken;
	unsigned int rounds; /* of the guest thread */
	unsigned int faults, stops, irqs, sent;
	uint32_t last_vp;
	uint64_t sent_ids[OUTS];
	struct chan_out outs[OUTS];
	void (*on_sent)(struct chan *chan); /* optional */

	/* how the host behaves */
	int packet_result;
	unsigned int refuse_after; /* packet() returns -EAGAIN from this many on */
	bool echo;
	uint16_t out_type; /* VMBUS_PKT_* of what host_send() sends */
	unsigned int
		linger; /* packet() takes its time, up to this long, each time a little longer */
	bool mask_seen;

	/* running the loop */
	struct loop_hook watch;
	struct loop_task keep_awake;
	bool awake;
	unsigned int turns_left;
	bool (*until)(void);
};

static struct fixture *f;

/* ---- running the loop ---------------------------------------------------- */

static inline void stay_awake(struct loop_task *task)
{
	f->awake = false;
}

static inline void watch(struct loop_hook *hook)
{
	if (!f->turns_left-- || (f->until && f->until())) {
		loop_stop(&f->loop);
	} else if (!f->awake) {
		f->awake = true;
		loop_post(&f->loop, &f->keep_awake);
	}
}

static inline void run_until(bool (*until)(void))
{
	f->until = until;
	f->turns_left = TURNS_MAX;
	loop_run(&f->loop);
	assert_true(until());
}

/* Long enough for whatever is going to happen by itself. */
static inline void run_idle(void)
{
	f->until = NULL;
	f->turns_left = 50;
	loop_run(&f->loop);
}

/* ---- the host ------------------------------------------------------------ */

static inline void host_sent(struct chan *chan, struct chan_out *out)
{
	f->sent_ids[f->sent++] = out->trans_id;
	if (f->on_sent)
		f->on_sent(chan);
}

static inline void host_send(unsigned int n, uint64_t id, uint32_t len)
{
	static const uint8_t payload[2 * RING_BYTES];

	f->outs[n] = (struct chan_out){
		.type = f->out_type,
		.trans_id = id,
		.payload = {payload, len},
	};
	chan_send(&f->chan, &f->outs[n]);
}

static inline int host_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	struct vmbus_ring_ctl *ctl = (void *)f->ring->g2h;

	f->mask_seen = ctl->interrupt_mask == 1;
	if (f->taken >= f->refuse_after)
		return -EAGAIN;
	if (f->packet_result)
		return f->packet_result;
	f->ids[f->taken] = pkt->desc.trans_id;
	f->taken++;
	for (volatile unsigned int delay = f->taken % f->linger; delay; delay--)
		;
	if (f->echo)
		host_send(f->taken % OUTS, pkt->desc.trans_id, pkt->payload_len);
	return 0;
}

static inline void host_fault(struct chan *chan)
{
	f->faults++;
}

static inline void host_stopped(struct chan *chan)
{
	f->stops++;
}

static inline void host_interrupt(struct chan *chan, uint32_t vp)
{
	assert_ptr_equal(chan, &f->chan);
	f->irqs++;
	f->last_vp = vp;
}

static const struct chan_ops host_ops = {
	.packet = host_packet,
	.sent = host_sent,
	.fault = host_fault,
	.interrupt = host_interrupt,
};

/* In one piece, but for its control page. */
static inline struct chan_ring chan_ring(uint8_t *ring, struct vmbus_run *run)
{
	*run = (struct vmbus_run){ring + HV_PAGE_SIZE, RING_BYTES - HV_PAGE_SIZE};
	return (struct chan_ring){.ctl = ring, .runs = run, .run_count = 1};
}

static inline struct chan_params params(void)
{
	return (struct chan_params){
		.ops = &host_ops,
		.loop = &f->loop,
		.polled = true,
		.moderated = true,
		.relid = 17,
		.target_vp = 3,
		.g2h = chan_ring(f->ring->g2h, &f->runs[0]),
		.h2g = chan_ring(f->ring->h2g, &f->runs[1]),
		.packet_max = PACKET_MAX,
	};
}

/* ---- the guest ----------------------------------------------------------- */

static inline void guest_signal(void)
{
	loop_event_signal(f->chan.doorbell_fd);
}

static inline int guest_stage(uint64_t id, uint32_t len)
{
	static const uint8_t payload[512];
	struct vmbus_vec vec = {payload, len};

	return vmbus_tx_write(
		&f->tx, VMBUS_PKT_INBAND, VMBUS_PKT_FLAG_COMPLETION_REQUESTED, id, NULL, &vec, 1);
}

static inline void guest_send(uint64_t id)
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

/* ---- fixture ------------------------------------------------------------- */

static inline int setup(void **state)
{
	struct chan_params p;

	f = calloc(1, sizeof(*f));
	f->ring = aligned_alloc(4096, sizeof(*f->ring));
	memset(f->ring, 0, sizeof(*f->ring));
	f->refuse_after = UINT32_MAX;
	f->linger = 1;
	f->out_type = VMBUS_PKT_COMPLETION;
	if (loop_init(&f->loop, "io", NULL))
		return -1;
	f->watch.fn = watch;
	f->keep_awake.fn = stay_awake;
	loop_hook_add(&f->loop, &f->watch);
	vmbus_tx_init(&f->tx, f->ring->g2h, RING_BYTES);
	vmbus_rx_init(&f->rx, f->ring->h2g, RING_BYTES);
	p = params();
	if (chan_init(&f->chan, &p))
		return -1;
	f->chan.drain_ns = UINT64_MAX; /* batches do not depend on the load of the host */
	return 0;
}

static inline void start(void)
{
	chan_start(&f->chan);
	run_idle();
}

static inline bool has_stopped(void)
{
	return f->stops > 0;
}

static inline int teardown(void **state)
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

static inline bool took_1(void)
{
	return f->taken >= 1;
}

static inline bool took_10(void)
{
	return f->taken >= 10;
}

static inline bool has_faulted(void)
{
	return f->faults > 0;
}

#endif
