/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel: its rings, who may use them when, and which completions are believed.
 *
 * Interrupts are wanted while a request is in flight that needs one, or while nothing is in flight
 * at all (the host has news of its own). They are not while all requests are polled for. Who counts
 * a request as in flight does so before it writes the mask, and who drains writes the mask before
 * it reads the counts, so the last word is right.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/slab.h>

#include "guest/storvsc/storvsc.h"
#include "guest/storvsc/trace.h"

/* Packets an interrupt takes; then a tasklet goes on, so that a busy host cannot hold a CPU. */
#define BUDGET 256u

/* ---- interrupts, wanted or not ------------------------------------------- */

static bool wants_interrupts(const struct storvsc_chan *chan)
{
	return atomic_read(&chan->in_flight) || !atomic_read(&chan->polled_in_flight);
}

bool storvsc_chan_begin(struct storvsc_chan *chan, bool polled)
{
	struct vmbus_rx *rx = &chan->vsc->rx;

	if (!polled)
		return atomic_inc_return(&chan->in_flight) == 1 &&
		       atomic_read(&chan->polled_in_flight) && vmbus_rx_unmask(rx);
	atomic_inc(&chan->polled_in_flight);
	if (atomic_read(&chan->in_flight))
		return false;
	vmbus_rx_mask(rx);
	/* One that needs an interrupt may have begun meanwhile. */
	return atomic_read(&chan->in_flight) && vmbus_rx_unmask(rx);
}

void storvsc_chan_end(struct storvsc_chan *chan, bool polled)
{
	atomic_dec(polled ? &chan->polled_in_flight : &chan->in_flight);
}

/* ---- sending ------------------------------------------------------------- */

int storvsc_chan_send(struct storvsc_chan *chan, const struct storvsc_send *send)
{
	const struct vmbus_vec extra = {chan->range, send->range_bytes};
	const struct vmbus_vec payload = {
		send->packet, storvsc_packet_size(&chan->controller->conn)};
	int err;

	if (chan->closed)
		return -ENODEV;
	err = vmbus_tx_write(&chan->vsc->tx,
		send->range_bytes ? VMBUS_PKT_GPA_DIRECT : VMBUS_PKT_INBAND,
		VMBUS_PKT_FLAG_COMPLETION_REQUESTED, send->id, send->range_bytes ? &extra : NULL,
		&payload, 1);
	if (err == -EAGAIN) {
		chan->counts.ring_full++;
		trace_storvsc_ring_full(chan->index);
	}
	return err;
}

/* The doorbell belongs to the channel of the bus, which is freed once it is closed: so it is rung
 * under the lock that closing takes. */
void storvsc_chan_commit(struct storvsc_chan *chan)
{
	if (chan->closed || !vmbus_tx_commit(&chan->vsc->tx))
		return;
	chan->counts.doorbells++;
	vsc_doorbell(chan->vsc);
}

/* ---- receiving ----------------------------------------------------------- */

static void on_event(struct storvsc_chan *chan, const struct vmbus_pkt *pkt)
{
	if (storvsc_event_parse(pkt->payload, pkt->payload_len)) {
		chan->counts.invalid++;
		return;
	}
	chan->counts.events++;
	storvsc_luns_scan(chan->controller);
}

static void on_packet(struct storvsc_chan *chan, const struct vmbus_pkt *pkt)
{
	u64 id = pkt->desc.trans_id;

	if (pkt->desc.type == VMBUS_PKT_INBAND && id == 0)
		on_event(chan, pkt);
	else if (pkt->desc.type != VMBUS_PKT_COMPLETION)
		chan->counts.invalid++;
	else if (!storvsc_id_generation(id)) /* ids of free slots are like that */
		chan->counts.stray++;
	else if (storvsc_id_table(id) == STORVSC_TABLE_CONTROL)
		storvsc_control_answer(chan->controller, id, pkt);
	else if (storvsc_id_table(id) < STORVSC_TABLE_CONTROL)
		storvsc_scsi_complete(chan, id, pkt);
	else
		chan->counts.stray++;
}

/* With CHAN_DRAINING. A ring that has become invalid ends the controller. */
static unsigned int take_packets(struct storvsc_chan *chan)
{
	struct vmbus_rx *rx = &chan->vsc->rx;
	struct vmbus_pkt pkt;
	unsigned int count;
	int err = 0;

	for (count = 0; count < BUDGET; count++) {
		err = vmbus_rx_next(rx, &pkt, chan->packet, sizeof(chan->packet));
		if (err)
			break;
		on_packet(chan, &pkt);
	}
	if (err && err != -EAGAIN)
		storvsc_die(chan->controller, "the ring from the host is corrupt");
	if (vmbus_rx_commit(rx))
		vsc_doorbell(chan->vsc);
	return in_interrupt() ? count : count + storvsc_scsi_finish_deferred(chan);
}

static bool drain_begin(struct storvsc_chan *chan)
{
	return !test_and_set_bit_lock(CHAN_DRAINING, &chan->state);
}

/* True: there is more, which no interrupt will report. */
static bool drain_end(struct storvsc_chan *chan)
{
	struct vmbus_rx *rx = &chan->vsc->rx;
	bool wanted = wants_interrupts(chan);

	if (wanted)
		vmbus_rx_unmask(rx);
	clear_bit_unlock(CHAN_DRAINING, &chan->state);
	/* Who came before this line found the bit set, and left its data to us: an interrupt, or a
	 * sender whose request is the first to want one. */
	smp_mb__after_atomic();
	return (wanted || wants_interrupts(chan)) && !READ_ONCE(chan->controller->dead) &&
	       vmbus_rx_pending(rx);
}

static unsigned int drain(struct storvsc_chan *chan)
{
	unsigned int count = 0;

	do {
		if (!drain_begin(chan))
			break;
		vmbus_rx_mask(&chan->vsc->rx);
		count += take_packets(chan);
		if (count >= BUDGET) {
			clear_bit_unlock(CHAN_DRAINING, &chan->state);
			tasklet_schedule(&chan->more);
			break;
		}
	} while (drain_end(chan));
	return count;
}

/* Who drains is not interrupted by another thread: an interrupt's data wait for it. */
unsigned int storvsc_chan_drain(struct storvsc_chan *chan)
{
	unsigned int count;

	preempt_disable();
	count = drain(chan);
	preempt_enable();
	return count;
}

void storvsc_chan_settle(struct storvsc_chan *chan)
{
	while (test_bit(CHAN_DRAINING, &chan->state) && !READ_ONCE(chan->controller->dead))
		msleep(1);
}

static void on_interrupt(struct vsc_channel *vsc)
{
	struct storvsc_chan *chan = vsc->data;

	chan->counts.interrupts++;
	drain(chan);
}

static void on_more(struct tasklet_struct *more)
{
	drain(container_of(more, struct storvsc_chan, more));
}

/* ---- life ---------------------------------------------------------------- */

static bool alloc_slots(struct storvsc_chan *chan)
{
	unsigned int i;

	for (i = 0; i < STORVSC_TABLE_CONTROL; i++) {
		chan->slots[i] = kcalloc(STORVSC_QUEUE_DEPTH, sizeof(*chan->slots[i]), GFP_KERNEL);
		if (!chan->slots[i])
			return false;
	}
	return true;
}

/* The longest page list; what the host allows may be less, but is not known yet. */
static size_t range_bytes(void)
{
	struct storvsc_range *range;

	return struct_size(range, pfns, STORVSC_TRANSFER_MAX / HV_PAGE_SIZE + 1);
}

struct storvsc_chan *storvsc_chan_create(struct storvsc *s, struct vsc_channel *vsc)
{
	struct storvsc_chan *chan = kzalloc(sizeof(*chan), GFP_KERNEL);

	if (!chan)
		return NULL;
	chan->range = kzalloc(range_bytes(), GFP_KERNEL);
	if (!chan->range || !alloc_slots(chan)) {
		storvsc_chan_free(chan);
		return NULL;
	}
	chan->controller = s;
	chan->vsc = vsc;
	chan->closed = true;
	spin_lock_init(&chan->lock);
	tasklet_setup(&chan->more, on_more);
	vsc->data = chan;
	return chan;
}

void storvsc_chan_free(struct storvsc_chan *chan)
{
	unsigned int i;

	for (i = 0; i < STORVSC_TABLE_CONTROL; i++)
		kfree(chan->slots[i]);
	kfree(chan->range);
	kfree(chan);
}

int storvsc_chan_open(struct storvsc_chan *chan)
{
	int err = vsc_open(chan->vsc, STORVSC_RING_BYTES, STORVSC_RING_BYTES, on_interrupt);

	if (err)
		return err;
	chan->cpu = vsc_cpu(chan->vsc);
	spin_lock(&chan->lock);
	chan->closed = false;
	spin_unlock(&chan->lock);
	storvsc_chan_drain(chan);
	return 0;
}

/* CHAN_DRAINING stays set: interrupts that still come find the channel taken. */
void storvsc_chan_stop(struct storvsc_chan *chan)
{
	spin_lock(&chan->lock);
	chan->closed = true;
	spin_unlock(&chan->lock);
	tasklet_kill(&chan->more);
	while (!drain_begin(chan))
		msleep(1);
	tasklet_kill(&chan->more);
}
