/* SPDX-License-Identifier: MIT */
/*
 * A channel's life, all on its I/O thread:
 *
 *   initialised --start--> running --quiesce--> quiesced --stop--> stopping --> stopped()
 *
 * stop is legal in each of them and quiesces first. A fault (guest's doing) can
 * happen until stop; it ends all use of the rings at once.
 *
 * Receiving, while running:
 *
 *   idle       signals wanted; nothing unread
 *   draining   masked; after DRAIN_BUDGET packets, or DRAIN_NS with answers to
 *              publish, the rest waits for the next turn, so that one channel
 *              starves neither others of its I/O thread nor its guest of answers
 *   stalled    masked; unread packets wait for chan_retry()
 *   polled     masked; the loop polls the ring for a while before it sleeps
 *   lazy       masked; unread packets wait for chan_look()
 *
 * idle is entered only through vmbus_rx_unmask(), which checks once more: the
 * guest signals only when the ring was empty. A channel is polled instead of
 * going idle while its loop has a polling window; the loop ends that before it
 * sleeps. With chan_set_lazy() it is lazy instead of either.
 *
 * Sending: packets that do not fit wait in `out`. The guest's doorbell means
 * "data" or "room", without a difference, so each doorbell tries both.
 *
 * Pausing, from initialised on until quiesced; a fault may happen in between:
 *
 *   taking packets --pause--> paused --freeze--> frozen (rings not touched)
 *          ^---------resume-----+------------------'
 */
#include "vmbus-host/chan.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "hv/vmbus_reg.h"

#define DRAIN_BUDGET         16u /* half of a common queue: the other half overlaps with the guest */
#define DRAIN_NS             50000u
#define GAPS_PER_POLL_WINDOW 4u

/* ---- the end of a turn --------------------------------------------------- */

static void chan_interrupt(struct chan *chan)
{
	uint32_t vp = atomic_load_explicit(&chan->target_vp, memory_order_relaxed);

	if (!chan->irq_wanted)
		return;
	chan->irq_wanted = chan->irq_urgent = false;
	moderation_interrupted(&chan->moderation, chan->published);
	if (vp == VMBUS_VP_NONE)
		return;
	counter_add(&chan->counters.interrupts, 1);
	chan->ops->interrupt(chan, vp);
}

static bool chan_is_polled(const struct chan *chan)
{
	return !list_empty(&chan->poller.link);
}

static bool chan_defers(struct chan *chan)
{
	const struct moderation_view view = {
		.packets = chan->counters.packets,
		.answers = chan->published,
		.in_flight = chan->in_flight > 0 ? (uint64_t)chan->in_flight : 0,
		.patience = chan->patience,
	};
	uint64_t gap_ns = loop_poll_ns(chan->loop) / GAPS_PER_POLL_WINDOW;

	return gap_ns &&
	       moderation_defer(&chan->moderation, &view, loop_turn_ns(chan->loop), gap_ns);
}

/* An interrupt is deferred only while the ring is polled; it is sent before the loop sleeps. The
 * guest expects answers, and sends more meanwhile; it may be idle until it sees what is no answer.
 */
static void chan_interrupt_soon(struct chan *chan)
{
	if (!chan->irq_wanted)
		return;
	if (chan->moderated && !chan->irq_urgent && chan_is_polled(chan) && chan_defers(chan))
		return;
	chan_interrupt(chan);
}

static void chan_count_published(struct chan *chan, bool signal)
{
	int64_t used = vmbus_tx_used(&chan->tx);

	counter_add(&chan->counters.sent_batches, 1);
	if (used > (int64_t)chan->tx_highest)
		counter_set(&chan->tx_highest, (uint64_t)used);
	if (signal)
		return;
	if (vmbus_tx_masked(&chan->tx))
		counter_add(&chan->counters.interrupts_masked, 1);
	else
		counter_add(&chan->counters.interrupts_unneeded, 1);
}

static void chan_publish(struct chan *chan)
{
	bool signal = vmbus_tx_commit(&chan->tx);

	chan->irq_wanted |= signal;
	/* Behind answers of which the guest does not know, this publication alone signals nothing.
	 */
	chan->irq_urgent |= chan->irq_wanted && chan->news;
	chan->news = false;
	if (chan->published == chan->counters.sent)
		return;
	chan->published = chan->counters.sent;
	chan_count_published(chan, signal);
}

static void chan_hook(struct loop_hook *hook)
{
	struct chan *chan = container_of(hook, struct chan, hook);

	if (chan->faulted || chan->frozen)
		return;
	chan_publish(chan);
	if (vmbus_rx_commit(&chan->rx)) { /* the guest waits for room and cannot send meanwhile */
		chan->irq_wanted = true;
		chan_interrupt(chan);
	}
	chan_interrupt_soon(chan);
}

/* ---- faults -------------------------------------------------------------- */

static void chan_drop_out(struct chan *chan)
{
	while (!list_empty(&chan->out)) {
		struct chan_out *out = container_of(chan->out.next, struct chan_out, link);

		list_del(&out->link);
		chan->ops->sent(chan, out);
	}
}

static void chan_fault(struct chan *chan, const char *what, int error)
{
	if (chan->faulted)
		return;
	chan->faulted = true;
	loop_poller_del(chan->loop, &chan->poller);
	log_guest("channel %u: %s: %s", chan->relid, what, strerror(-error));
	chan_drop_out(chan);
	if (!chan->quiesced)
		chan->ops->fault(chan);
}

/* ---- sending ------------------------------------------------------------- */

/* -EAGAIN: no room now. Anything else: done with, sent or not. */
static int chan_try_send(struct chan *chan, struct chan_out *out)
{
	const struct vmbus_vec *header = out->header.len ? &out->header : NULL;
	int rc;

	if (chan->faulted || chan->stopping)
		return 0;
	rc = vmbus_tx_write(
		&chan->tx, out->type, out->flags, out->trans_id, header, &out->payload, 1);
	if (rc == -EAGAIN && !chan->quiesced)
		return -EAGAIN;
	if (out->type == VMBUS_PKT_COMPLETION)
		counter_add(&chan->in_flight, -1);
	else
		chan->news = true;
	if (!rc)
		counter_add(&chan->counters.sent, 1);
	else if (rc != -EAGAIN)
		chan_fault(chan, "sending", rc);
	return 0;
}

void chan_send(struct chan *chan, struct chan_out *out)
{
	ON_LOOP(chan->loop);
	if (!chan->frozen && list_empty(&chan->out) && !chan_try_send(chan, out)) {
		chan->ops->sent(chan, out);
		return;
	}
	counter_add(&chan->counters.tx_full, !chan->frozen);
	list_add_tail(&chan->out, &out->link);
}

/* Each is off the list while it is tried: a fault runs ops->sent for all that are on it, and sent()
 * may send again, which goes behind those that wait. */
static void chan_send_waiting(struct chan *chan)
{
	while (!list_empty(&chan->out)) {
		struct chan_out *out = container_of(chan->out.next, struct chan_out, link);

		list_del(&out->link);
		if (chan_try_send(chan, out)) {
			list_add_tail(chan->out.next, &out->link); /* first again */
			return;
		}
		chan->ops->sent(chan, out);
	}
}

/* ---- receiving ----------------------------------------------------------- */

static void chan_post_drain(struct chan *chan)
{
	if (chan->drain_posted)
		return;
	chan->drain_posted = true;
	loop_post(chan->loop, &chan->drain_task);
}

/* False when there is nothing more to take now: ring empty, stalled or faulted. */
static bool chan_take_one(struct chan *chan)
{
	struct vmbus_pkt pkt;
	int rc = vmbus_rx_next(&chan->rx, &pkt, chan->packet_buf, chan->packet_max);

	if (rc) {
		if (rc != -EAGAIN)
			chan_fault(chan, "receiving", rc);
		return false;
	}
	rc = chan->ops->packet(chan, &pkt);
	if (rc == -EAGAIN) {
		vmbus_rx_untake(&chan->rx, &pkt);
		chan->stalled = true;
		counter_add(&chan->counters.stalls, 1);
		return false;
	}
	counter_add(&chan->counters.packets, 1);
	if (pkt.desc.flags & VMBUS_PKT_FLAG_COMPLETION_REQUESTED)
		counter_add(&chan->in_flight, 1);
	if (rc)
		chan_fault(chan, "packet", rc);
	return !chan->faulted;
}

/* True: packets came meanwhile. The read index is published before signals are requested. */
static bool chan_unmask(struct chan *chan)
{
	chan->irq_wanted |= vmbus_rx_commit(&chan->rx);
	return vmbus_rx_unmask(&chan->rx);
}

/* A back end that completes at once, by copying, makes the first answer wait for the last one,
 * while the guest could handle it already. */
static bool chan_answers_wait(const struct chan *chan)
{
	uint64_t since;

	if (chan->counters.sent == chan->published)
		return false;
	since = loop_turn_ns(chan->loop);
	return loop_now_ns() - since > chan->drain_ns;
}

static void chan_take_batch(struct chan *chan)
{
	uint32_t budget = DRAIN_BUDGET;

	vmbus_rx_mask(&chan->rx);
	while (budget-- && !chan_answers_wait(chan)) {
		if (chan_take_one(chan))
			continue;
		if (chan->faulted || chan->stalled || chan->lazy)
			return;
		if (chan->polled && loop_poll_ns(chan->loop)) {
			loop_poller_add(chan->loop, &chan->poller);
			return;
		}
		if (!chan_unmask(chan))
			return;
		vmbus_rx_mask(&chan->rx);
	}
	chan_post_drain(chan);
}

static void chan_drain(struct chan *chan)
{
	uint64_t before = chan->counters.packets;
	int64_t used;

	if (chan->faulted || chan->quiesced || chan->stalled || chan->paused)
		return;
	used = vmbus_rx_used(&chan->rx);
	if (used > (int64_t)chan->rx_highest)
		counter_set(&chan->rx_highest, (uint64_t)used);
	chan_take_batch(chan);
	if (chan->counters.packets != before)
		counter_add(&chan->counters.batches, 1);
}

/* Nothing is published here: the loop's next turn does that, for the whole batch. */
static bool chan_poll(struct loop_poller *poller)
{
	struct chan *chan = container_of(poller, struct chan, poller);

	if (chan->stalled || chan->drain_posted || !vmbus_rx_pending(&chan->rx)) {
		chan_interrupt_soon(chan);
		return false;
	}
	counter_add(&chan->counters.polls, 1);
	chan_drain(chan);
	return true;
}

static bool chan_before_sleep(struct loop_poller *poller)
{
	struct chan *chan = container_of(poller, struct chan, poller);

	if (!chan->faulted)
		chan_interrupt(chan);
	if (chan->stalled || chan->faulted || chan->quiesced || chan->drain_posted ||
		!chan_unmask(chan))
		return false;
	chan_drain(chan);
	return true;
}

static void chan_check_stopped(struct chan *chan)
{
	if (chan->stopping && chan->event_stopped && !chan->drain_posted)
		chan->stopped(chan); /* may free chan */
}

static void chan_drain_task(struct loop_task *task)
{
	struct chan *chan = container_of(task, struct chan, drain_task);

	chan->drain_posted = false;
	if (chan->stopping)
		chan_check_stopped(chan);
	else
		chan_drain(chan);
}

static void chan_doorbell(struct loop_event *ev, uint64_t count)
{
	struct chan *chan = container_of(ev, struct chan, doorbell);

	counter_add(&chan->counters.doorbells, 1);
	if (!chan->frozen)
		chan_send_waiting(chan);
	if (!chan->drain_posted)
		chan_drain(chan);
}

/* ---- channels without signals -------------------------------------------- */

/* Takes what came without a signal. */
static void chan_find(struct chan *chan)
{
	if (chan->drain_posted || chan->stalled || !vmbus_rx_pending(&chan->rx))
		return;
	counter_add(&chan->counters.polls, 1);
	chan_drain(chan);
}

void chan_look(struct chan *chan)
{
	ON_LOOP(chan->loop);
	if (!chan->faulted && !chan->quiesced && !chan->paused)
		chan_find(chan);
}

/* The next drain masks or unmasks; there may be packets of which there was no signal. */
void chan_set_lazy(struct chan *chan, bool lazy)
{
	ON_LOOP(chan->loop);
	if (chan->lazy == lazy)
		return;
	chan->lazy = lazy;
	if (chan->started && !chan->stopping)
		chan_post_drain(chan);
}

/* ---- channels with a monitor id ------------------------------------------ */

static void chan_scan(struct loop_timer *timer);

static void chan_scan_start(struct chan *chan)
{
	if (chan->scan_ns && !chan->faulted)
		loop_timer_start(chan->loop, &chan->scan, chan->scan_ns, chan_scan);
}

/* The guest does not signal such a channel: it sets a bit in a page of its own memory, for the host
 * to find some time later. The rings say the same as the bit. */
static void chan_scan(struct loop_timer *timer)
{
	struct chan *chan = container_of(timer, struct chan, scan);

	chan_scan_start(chan);
	chan_send_waiting(chan);
	chan_find(chan);
}

void chan_retry(struct chan *chan)
{
	ON_LOOP(chan->loop);
	if (!chan->stalled)
		return;
	chan->stalled = false;
	if (!chan->stopping)
		chan_post_drain(chan);
}

/* ---- life ---------------------------------------------------------------- */

static int chan_init_rings(
	struct chan *chan, const struct chan_ring *g2h, const struct chan_ring *h2g)
{
	int rc = vmbus_rx_init_runs(&chan->rx, g2h->ctl, g2h->runs, g2h->run_count);

	return rc ? rc : vmbus_tx_init_runs(&chan->tx, h2g->ctl, h2g->runs, h2g->run_count);
}

int chan_init(struct chan *chan, const struct chan_params *params)
{
	int rc;

	assert(params->packet_max >= sizeof(struct vmbus_pkt_desc));
	*chan = (struct chan){
		.ops = params->ops,
		.loop = params->loop,
		.relid = params->relid,
		.polled = params->polled,
		.moderated = params->moderated,
		.patience = params->patience,
		.packet_max = params->packet_max,
		.scan_ns = params->scan_ns,
		.drain_ns = DRAIN_NS,
		.hook.fn = chan_hook,
		.drain_task.fn = chan_drain_task,
		.poller = {.poll = chan_poll, .before_sleep = chan_before_sleep},
	};
	list_init(&chan->poller.link);
	atomic_init(&chan->target_vp, params->target_vp);
	list_init(&chan->out);
	rc = chan_init_rings(chan, &params->g2h, &params->h2g);
	if (rc)
		return rc;
	chan->packet_buf = malloc(params->packet_max);
	if (!chan->packet_buf)
		return -ENOMEM;
	chan->doorbell_fd = eventfd(0, EFD_CLOEXEC);
	if (chan->doorbell_fd < 0) {
		rc = -errno;
		free(chan->packet_buf);
		return rc;
	}
	return 0;
}

void chan_fini(struct chan *chan)
{
	assert(list_empty(&chan->out));
	close(chan->doorbell_fd);
	free(chan->packet_buf);
}

/* Packets may have come before the doorbell was registered: the first drain needs no signal. */
void chan_start(struct chan *chan)
{
	ON_LOOP(chan->loop);
	assert(!chan->started && !chan->stopping);
	chan->started = true;
	loop_hook_add(chan->loop, &chan->hook);
	loop_event_start(chan->loop, &chan->doorbell, chan->doorbell_fd, chan_doorbell);
	chan_post_drain(chan);
	if (!chan->paused)
		chan_scan_start(chan);
}

void chan_pause(struct chan *chan)
{
	ON_LOOP(chan->loop);
	assert(!chan->quiesced);
	chan->paused = true;
	loop_poller_del(chan->loop, &chan->poller);
}

/* The guest may not poll for what was published before chan_start(): no interrupt before that. */
void chan_freeze(struct chan *chan)
{
	ON_LOOP(chan->loop);
	assert(chan->paused && !chan->quiesced);
	loop_timer_cancel(&chan->scan);
	if (chan->started)
		chan_hook(&chan->hook); /* not polled: the interrupt is not deferred */
	chan->frozen = true;
}

void chan_resume(struct chan *chan)
{
	ON_LOOP(chan->loop);
	if (!chan->paused)
		return;
	chan->paused = false;
	chan->frozen = false;
	chan_send_waiting(chan);
	if (!chan->started)
		return;
	chan_post_drain(chan);
	chan_scan_start(chan);
}

void chan_quiesce(struct chan *chan)
{
	ON_LOOP(chan->loop);
	assert(!chan->frozen);
	chan->quiesced = true;
	loop_poller_del(chan->loop, &chan->poller);
	loop_timer_cancel(&chan->scan);
	chan_drop_out(chan);
}

static void chan_doorbell_stopped(struct loop_event *ev)
{
	struct chan *chan = container_of(ev, struct chan, doorbell);

	chan->event_stopped = true;
	chan_check_stopped(chan);
}

void chan_stop(struct chan *chan, void (*stopped)(struct chan *chan))
{
	ON_LOOP(chan->loop);
	assert(!chan->stopping);
	chan_quiesce(chan);
	chan->stopped = stopped;
	if (chan->started) {
		chan_hook(&chan->hook);
		loop_hook_del(chan->loop, &chan->hook);
		loop_event_stop(&chan->doorbell, chan_doorbell_stopped);
	} else {
		chan->event_stopped = true;
		chan_post_drain(chan); /* stopped() may free chan, which the caller still uses */
	}
	chan->stopping = true;
}

void chan_retarget(struct chan *chan, uint32_t target_vp)
{
	atomic_store_explicit(&chan->target_vp, target_vp, memory_order_relaxed);
}

void chan_rings(const struct chan *chan, struct chan_rings *rings)
{
	*rings = (struct chan_rings){
		.rx_used = vmbus_ring_fill(chan->rx.ctl, chan->rx.size),
		.rx_highest = counter_get(&chan->rx_highest),
		.rx_size = chan->rx.size,
		.tx_used = vmbus_ring_fill(chan->tx.ctl, chan->tx.size),
		.tx_highest = counter_get(&chan->tx_highest),
		.tx_size = chan->tx.size,
	};
}
