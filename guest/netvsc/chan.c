/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A channel: its life, and its NAPI instance, which takes everything out of the ring.
 *
 * The ring is masked from the interrupt until NAPI has found it empty. The host signals room in the
 * other ring whether it is masked or not: that interrupt wakes a stopped queue.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/slab.h>

#include "guest/netvsc/netvsc.h"
#include "guest/netvsc/trace.h"

/* Packets of one poll, beside the budget of frames: a busy host cannot hold a CPU. */
#define PACKETS_MAX 1024u

void netvsc_die(struct netvsc *n, const char *why)
{
	if (xchg(&n->dead, true))
		return;
	dev_err(n->device->dev, "NIC failed: %s\n", why);
	netvsc_link_event(n, NETVSC_EVENT_LINK);
}

/* ---- packets ------------------------------------------------------------- */

static void on_completion(struct netvsc_chan *chan, const struct vmbus_pkt *pkt, int budget)
{
	if (!netvsc_control_id(pkt->desc.trans_id))
		netvsc_tx_complete(chan, pkt, budget);
	else if (!chan->index)
		netvsc_control_complete(chan->nic, pkt);
	else
		chan->counts.tx_stray++;
}

/* In-band messages are hints (which queue to send with) and news of a VF: neither is used. */
static void on_packet(struct netvsc_chan *chan, const struct vmbus_pkt *pkt, int budget)
{
	switch (pkt->desc.type) {
	case VMBUS_PKT_COMPLETION:
		on_completion(chan, pkt, budget);
		break;
	case VMBUS_PKT_XFER_PAGES:
		netvsc_rx_begin(chan, pkt);
		break;
	case VMBUS_PKT_INBAND:
		break;
	default:
		chan->counts.rx_invalid++;
	}
}

/* -EAGAIN: the ring is empty. 0: there may be more. */
static int take_packets(struct netvsc_chan *chan, int budget, int *done)
{
	struct netvsc_receive *r = &chan->receive;
	struct vmbus_pkt pkt;
	unsigned int packets;
	int err;

	for (packets = 0; packets < PACKETS_MAX; packets++) {
		while (netvsc_rx_busy(chan)) {
			if (*done >= budget)
				return 0;
			netvsc_rx_next(chan);
			(*done)++;
		}
		err = vmbus_rx_next(&chan->vsc->rx, &pkt, r->packet, sizeof(r->packet));
		if (err)
			return err;
		on_packet(chan, &pkt, budget);
	}
	return 0;
}

/* ---- NAPI ---------------------------------------------------------------- */

/* The mask is clear afterwards, or NAPI runs again. */
static void sleep_until_interrupt(struct netvsc_chan *chan)
{
	struct vmbus_rx *rx = &chan->vsc->rx;

	if (!vmbus_rx_unmask(rx) || !napi_schedule_prep(&chan->napi))
		return;
	vmbus_rx_mask(rx);
	__napi_schedule(&chan->napi);
}

/* A budget of 0 is that of a console which only wants to send: frames wait. */
static int poll(struct napi_struct *napi, int budget)
{
	struct netvsc_chan *chan = container_of(napi, struct netvsc_chan, napi);
	struct netvsc *n = chan->nic;
	int done = 0, err = -EPROTO;

	chan->counts.polls++;
	if (!READ_ONCE(n->dead))
		err = take_packets(chan, budget, &done);
	if (err && err != -EAGAIN)
		netvsc_die(n, "the ring from the host is corrupt");
	if (vmbus_rx_commit(&chan->vsc->rx))
		vsc_doorbell(chan->vsc);
	netvsc_xdp_flush(chan);
	netvsc_rx_finish(chan, budget);
	netvsc_tx_resume(chan, budget);
	trace_netvsc_poll(chan->index, done, budget);
	if (!err)
		return budget;
	done = min(done, budget - 1);
	if (budget && napi_complete_done(napi, done) && err == -EAGAIN)
		sleep_until_interrupt(chan);
	return max(done, 0);
}

static void on_interrupt(struct vsc_channel *vsc)
{
	struct netvsc_chan *chan = vsc->data;

	chan->counts.interrupts++;
	if (!napi_schedule_prep(&chan->napi))
		return;
	vmbus_rx_mask(&vsc->rx);
	__napi_schedule(&chan->napi);
}

/* Packets may have come before NAPI was there. */
static void napi_begin(struct netvsc_chan *chan)
{
	napi_enable(&chan->napi);
	local_bh_disable();
	napi_schedule(&chan->napi);
	local_bh_enable();
}

/* ---- life ---------------------------------------------------------------- */

struct netvsc_chan *netvsc_chan_create(struct netvsc *n, unsigned int index)
{
	struct netvsc_chan *chan = kvzalloc(sizeof(*chan), GFP_KERNEL);

	if (!chan)
		return NULL;
	chan->nic = n;
	chan->index = index;
	spin_lock_init(&chan->lock);
	netif_napi_add(n->ndev, &chan->napi, poll);
	return chan;
}

void netvsc_chan_free(struct netvsc_chan *chan)
{
	if (!chan)
		return;
	netif_napi_del(&chan->napi);
	netvsc_rx_close(chan);
	kvfree(chan);
}

static int alloc_memory(struct netvsc_chan *chan)
{
	u32 sections = chan->nic->setup.send_bytes / NETVSC_SECTION_MIN;

	chan->slots = kvcalloc(NETVSC_SLOTS, sizeof(*chan->slots), GFP_KERNEL);
	chan->owed.ids = kvcalloc(NETVSC_OWED, sizeof(*chan->owed.ids), GFP_KERNEL);
	chan->section_busy = kvzalloc(min(sections, NETVSC_SECTIONS_MAX), GFP_KERNEL);
	return chan->slots && chan->owed.ids && chan->section_busy ? 0 : -ENOMEM;
}

static void free_memory(struct netvsc_chan *chan)
{
	kvfree(chan->slots);
	kvfree(chan->owed.ids);
	kvfree(chan->section_busy);
	chan->slots = NULL;
	chan->owed = (struct netvsc_owed){0};
	chan->section_busy = NULL;
}

static void reset(struct netvsc_chan *chan)
{
	chan->vsc = NULL;
	chan->batch.frames = 0;
	chan->direct = NULL;
	chan->stuck = false;
	chan->next_slot = chan->next_section = chan->section_count = 0;
	chan->sent = chan->completed = 0;
	chan->receive.transfer.count = chan->receive.next = 0;
}

int netvsc_chan_open(struct netvsc_chan *chan, struct vsc_channel *vsc)
{
	int err = alloc_memory(chan);

	if (!err)
		err = netvsc_rx_open(chan);
	if (err)
		goto undo;
	vsc->data = chan;
	chan->vsc = vsc;
	err = vsc_open(vsc, NETVSC_RING_BYTES, NETVSC_RING_BYTES, on_interrupt);
	if (err)
		goto undo;
	chan->cpu = vsc_cpu(vsc);
	spin_lock_bh(&chan->lock);
	chan->open = true;
	spin_unlock_bh(&chan->lock);
	napi_begin(chan);
	return 0;

undo:
	free_memory(chan);
	reset(chan);
	return err;
}

void netvsc_chan_stop(struct netvsc_chan *chan)
{
	spin_lock_bh(&chan->lock);
	chan->open = false;
	spin_unlock_bh(&chan->lock);
	napi_disable(&chan->napi);
}

void netvsc_chan_release(struct netvsc_chan *chan)
{
	netvsc_tx_drop_all(chan);
	netvsc_rx_stop(chan);
	free_memory(chan);
	reset(chan);
}
