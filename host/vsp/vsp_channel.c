/* SPDX-License-Identifier: MIT */
/*
 * Life of an open channel, between the control thread (C) and its I/O thread (W).
 * The arrows are posted tasks; tasks from one thread to another keep their
 * order, so no generation counts are needed.
 *
 *   state     C                                       W                       stage
 *             bus: open
 *   OPENING   allocate, find rings, doorbell   -->    ops->open               RUNNING
 *   OPEN      bus_open_done(ok)                <--
 *                                              -->    chan_start
 *             bus: close
 *   CLOSING                                    -->    chan_quiesce, ops->stop DRAINING
 *                                                     requests, holds: 0
 *                                                     ops->close              CLOSED
 *                                                     holds: 0
 *                                                     chan_stop               STOPPED
 *   (gone)    calls, GPADLs: 0                 <--    chan stopped
 *             doorbell, rings, free
 *             bus_close_done
 *
 *   A failed ops->open goes from OPENING to (gone), with bus_open_done(!ok).
 *   The interrupt of a packet sent in ops->open must not come before the guest
 *   knows that the channel is open: hence the extra step to chan_start. It is
 *   left out when the bus closes inside bus_open_done(), and it waits for the end
 *   of a pause.
 *
 * W -> C at any time before "chan stopped", so always before ch is gone:
 *
 *   fault          OPENING, OPEN: rescind the device. CLOSING: nothing.
 *   sub-channels   OPEN: offer them. CLOSING: nothing.
 *
 * C -> W -> C: retarget. The bus makes no other call before it is complete.
 * Pausing is in pause.c, calls of the VSP in call.c.
 *
 * A fault of any channel rescinds the whole device: guests do not survive the
 * loss of a single sub-channel with requests in flight. The device is offered
 * again VSP_REOFFER_NS after the guest has released it, so that a new driver or a
 * new kernel finds it, and a guest that only makes faults gets one per second.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vsp/vsp_impl.h"

/* Answers that a guest must have outstanding to be taken for one that waits: more than TCP keeps
 * below its socket (two), fewer than fill the socket buffer of small datagrams. */
#define PATIENCE 8u

/* ---- calls of the ring (I/O thread) -------------------------------------- */

static struct vsp_channel *channel_of(struct chan *chan)
{
	return container_of(chan, struct vsp_channel, chan);
}

static int on_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	struct vsp_channel *ch = channel_of(chan);

	return ch->dev->ops->packet(ch, pkt);
}

static void on_interrupt(struct chan *chan, uint32_t vp)
{
	struct vsp_channel *ch = channel_of(chan);
	const struct vsp_host *host = ch->dev->host;

	host->ops->interrupt(host->ctx, vp, ch->relid);
}

static void fault_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, fault_task);
	struct vsp_device *dev = ch->dev;

	ON_CONTROL(dev);
	dev->faults++;
	if (ch->state != VSP_CHANNEL_CLOSING)
		bus_rescind(dev->offer.bus_chan);
}

static void on_fault(struct chan *chan)
{
	struct vsp_channel *ch = channel_of(chan);

	vsp_post(ch->dev->host->control, &ch->fault_task, fault_on_control);
}

static const struct chan_ops chan_ops = {
	.packet = on_packet,
	.sent = vsp_packet_sent,
	.fault = on_fault,
	.interrupt = on_interrupt,
};

/* ---- allocation (control) ------------------------------------------------ */

static int channel_init_chan(struct vsp_channel *ch, const struct bus_open_params *params)
{
	const struct vsp_ops *ops = ch->dev->ops;
	bool monitored = bus_channel_monitor_id(ch->offer->bus_chan) != VMBUS_MONITOR_ID_NONE;
	struct chan_params p = {
		.ops = &chan_ops,
		.loop = ch->io_thread,
		.polled = ops->interrupts != VSP_INTERRUPTS_PLAIN,
		.moderated = ops->interrupts != VSP_INTERRUPTS_PLAIN,
		.patience = ops->interrupts == VSP_INTERRUPTS_PATIENT ? PATIENCE : 0,
		.scan_ns = monitored ? VSP_SCAN_NS : 0,
		.relid = ch->relid,
		.target_vp = params->target_vp,
		.g2h = ch->rings.g2h,
		.h2g = ch->rings.h2g,
		.packet_max = ops->packet_max,
	};

	return chan_init(&ch->chan, &p);
}

/* Guests interrupt-balance channels over VPs; I/O threads follow. */
static struct loop *pick_io_thread(struct vsp_host *host, uint32_t target_vp, uint16_t index)
{
	uint32_t n = target_vp == VMBUS_VP_NONE ? index : target_vp;

	return host->io_threads[n % host->io_thread_count];
}

static int channel_init(struct vsp_channel *ch, const struct bus_open_params *params)
{
	struct vsp_host *host = ch->dev->host;
	int rc = vsp_pools_init(ch);

	if (rc)
		return rc;
	rc = vsp_rings_get(&ch->rings, host, params);
	if (rc)
		goto fini_pools;
	rc = channel_init_chan(ch, params);
	if (rc)
		goto put_rings;
	rc = host->ops->doorbell_add(
		host->ctx, bus_channel_connection_id(ch->offer->bus_chan), ch->chan.doorbell_fd);
	if (rc)
		goto fini_chan;
	return 0;

fini_chan:
	chan_fini(&ch->chan);
put_rings:
	vsp_rings_put(&ch->rings);
fini_pools:
	vsp_pools_fini(ch);
	return rc;
}

/* With the buffer that its packets are copied to. */
static uint64_t channel_size(const struct vsp_ops *ops)
{
	return sizeof(struct vsp_channel) + ops->channel_size + ops->packet_max;
}

static struct vsp_channel *channel_alloc(struct vsp_device *dev)
{
	struct budget *budget = dev->host->budget;
	struct vsp_channel *ch;

	if (!budget_take(budget, BUDGET_CHANNELS, channel_size(dev->ops)))
		return NULL;
	ch = calloc(1, sizeof(*ch) + dev->ops->channel_size);
	if (!ch)
		budget_give(budget, BUDGET_CHANNELS, channel_size(dev->ops));
	return ch;
}

static void channel_free(struct vsp_channel *ch)
{
	budget_give(ch->dev->host->budget, BUDGET_CHANNELS, channel_size(ch->dev->ops));
	free(ch);
}

static int channel_create(
	struct vsp_channel **out, struct vsp_offer *offer, const struct bus_open_params *params)
{
	struct vsp_device *dev = offer->dev;
	struct vsp_channel *ch = channel_alloc(dev);
	int rc;

	if (!ch)
		return -ENOMEM;
	ch->dev = dev;
	ch->offer = offer;
	ch->relid = bus_channel_relid(offer->bus_chan);
	ch->index = bus_channel_index(offer->bus_chan);
	ch->io_thread = pick_io_thread(dev->host, params->target_vp, ch->index);
	list_init(&ch->gpadls);
	rc = channel_init(ch, params);
	if (rc) {
		channel_free(ch);
		return rc;
	}
	*out = ch;
	return 0;
}

static void channel_destroy(struct vsp_channel *ch)
{
	struct vsp_host *host = ch->dev->host;

	host->ops->doorbell_del(
		host->ctx, bus_channel_connection_id(ch->offer->bus_chan), ch->chan.doorbell_fd);
	chan_fini(&ch->chan);
	vsp_rings_put(&ch->rings);
	vsp_pools_fini(ch);
	ch->offer->ch = NULL;
	channel_free(ch);
}

void vsp_channel_check_gone(struct vsp_channel *ch)
{
	ON_CONTROL(ch->dev);
	if (ch->gone && !ch->calls && list_empty(&ch->gpadls))
		ch->gone(ch);
}

/* gone(ch) when no call and no GPADL is left; it frees ch. */
static void channel_wait_gone(struct vsp_channel *ch, void (*gone)(struct vsp_channel *ch))
{
	ch->gone = gone;
	vsp_channel_check_gone(ch);
}

/* ---- open ---------------------------------------------------------------- */

static void start_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);

	ON_IO_THREAD(ch);
	chan_start(&ch->chan);
}

void vsp_channel_start(struct vsp_channel *ch)
{
	ON_CONTROL(ch->dev);
	vsp_post(ch->io_thread, &ch->open_task, start_on_io_thread);
}

static void open_failed(struct vsp_offer *offer, int rc)
{
	log_guest("%s: channel %u: cannot be opened: %s", offer->dev->ops->name,
		bus_channel_relid(offer->bus_chan), strerror(-rc));
	bus_open_done(offer->bus_chan, false);
}

static void never_opened(struct vsp_channel *ch)
{
	struct vsp_offer *offer = ch->offer;
	int rc = ch->open_result;

	offer->dev->host->restore_failed |= ch->restored;
	channel_destroy(ch);
	vsp_device_check_paused(offer->dev);
	open_failed(offer, rc);
}

static void opened_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);
	struct vsp_device *dev = ch->dev;

	ON_CONTROL(dev);
	if (ch->open_result) {
		channel_wait_gone(ch, never_opened);
		return;
	}
	ch->state = VSP_CHANNEL_OPEN;
	bus_open_done(ch->offer->bus_chan, true);
	if (ch->state != VSP_CHANNEL_OPEN)
		return;
	ch->start_waits = dev->pause_wanted;
	if (dev->pause_wanted)
		vsp_channel_pause(ch);
	else
		vsp_channel_start(ch);
}

static void open_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);

	ON_IO_THREAD(ch);
	if (ch->dev->ops->open)
		ch->open_result = ch->dev->ops->open(ch);
	if (ch->open_result) {
		chan_quiesce(&ch->chan);
		assert(!ch->in_use && !ch->holds);
	}
	vsp_post(ch->dev->host->control, &ch->open_task, opened_on_control);
}

void vsp_channel_open(struct bus_channel *bus_chan, const struct bus_open_params *params)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = NULL;
	int rc;

	ON_CONTROL(offer->dev);
	assert(!offer->ch);
	rc = channel_create(&ch, offer, params);
	if (rc) {
		offer->dev->host->restore_failed |= params->restore != NULL;
		open_failed(offer, rc);
		return;
	}
	offer->ch = ch;
	ch->restored = params->restore;
	if (offer->dev->ops->prepare)
		offer->dev->ops->prepare(ch);
	if (params->restore)
		vsp_channel_archive(ch, params->restore);
	vsp_post(ch->io_thread, &ch->open_task, open_on_io_thread);
}

/* ---- close --------------------------------------------------------------- */

static void closed(struct vsp_channel *ch)
{
	struct bus_channel *bus_chan = ch->offer->bus_chan;
	struct vsp_device *dev = ch->dev;

	channel_destroy(ch);
	vsp_device_check_paused(dev);
	bus_close_done(bus_chan); /* may end with the device's destruction */
}

static void closed_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, close_task);

	ON_CONTROL(ch->dev);
	vsp_gpadls_check_put(ch);
	channel_wait_gone(ch, closed);
}

static void on_stopped(struct chan *chan)
{
	struct vsp_channel *ch = channel_of(chan);

	vsp_post(ch->dev->host->control, &ch->close_task, closed_on_control);
}

/* A task of its own, so that neither close() nor the end of the channel comes inside the VSP's or a
 * back end's function that has put the last request. */
static void drained(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, drain_task);
	const struct vsp_ops *ops = ch->dev->ops;

	ON_IO_THREAD(ch);
	ch->drain_posted = false;
	if (ch->in_use || ch->holds)
		return;
	if (ch->stage == VSP_STAGE_DRAINING) {
		ch->stage = VSP_STAGE_CLOSED;
		if (ops->close)
			ops->close(ch);
		assert(!ch->in_use);
	}
	if (ch->holds || ch->stage != VSP_STAGE_CLOSED)
		return;
	ch->stage = VSP_STAGE_STOPPED;
	chan_stop(&ch->chan, on_stopped);
}

void vsp_channel_check_drained(struct vsp_channel *ch)
{
	if (ch->stage == VSP_STAGE_RUNNING || ch->in_use || ch->holds || ch->drain_posted)
		return;
	ch->drain_posted = true;
	vsp_post(ch->io_thread, &ch->drain_task, drained);
}

static void close_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, close_task);

	ON_IO_THREAD(ch);
	ch->pausing = false;
	chan_resume(&ch->chan); /* answers that waited for the end of the pause can go */
	chan_quiesce(&ch->chan);
	ch->stage = VSP_STAGE_DRAINING;
	if (ch->dev->ops->stop)
		ch->dev->ops->stop(ch);
	vsp_channel_check_drained(ch);
}

void vsp_channel_close(struct bus_channel *bus_chan)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	ON_CONTROL(offer->dev);
	assert(ch && ch->state == VSP_CHANNEL_OPEN);
	ch->state = VSP_CHANNEL_CLOSING;
	vsp_post(ch->io_thread, &ch->close_task, close_on_io_thread);
}

void vsp_channel_hold(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	assert(ch->stage != VSP_STAGE_STOPPED);
	ch->holds++;
}

void vsp_channel_release(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	assert(ch->holds);
	ch->holds--;
	vsp_channel_check_drained(ch);
}

/* ---- retarget ------------------------------------------------------------ */

static void retargeted_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, retarget_task);

	ON_CONTROL(ch->dev);
	bus_retarget_done(ch->offer->bus_chan, true);
}

/* On the I/O thread, so that no interrupt to the old VP can come after the answer. The channel
 * stays with its I/O thread: moving it would cost more than the interrupt's locality is worth. */
static void retarget_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, retarget_task);

	ON_IO_THREAD(ch);
	chan_retarget(&ch->chan, ch->retarget_vp);
	vsp_post(ch->dev->host->control, &ch->retarget_task, retargeted_on_control);
}

void vsp_channel_retarget(struct bus_channel *bus_chan, uint32_t target_vp)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	ON_CONTROL(offer->dev);
	ch->retarget_vp = target_vp;
	vsp_post(ch->io_thread, &ch->retarget_task, retarget_on_io_thread);
}

/* ---- sub-channels -------------------------------------------------------- */

/* The primary may have begun to close: then there is nothing to do. */
static void subs_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, subs_task);

	ON_CONTROL(ch->dev);
	if (ch->state == VSP_CHANNEL_OPEN)
		vsp_device_subs_offer(ch);
}

void vsp_offer_subchannels(struct vsp_channel *primary, uint16_t count)
{
	ON_IO_THREAD(primary);
	assert(!primary->index && !primary->subs_count);
	primary->subs_count = count;
	if (count)
		vsp_post(primary->dev->host->control, &primary->subs_task, subs_on_control);
}

/* ---- accessors ----------------------------------------------------------- */

uint16_t vsp_channel_sub_count(const struct vsp_channel *ch)
{
	return ch->subs_count;
}

void *vsp_channel_priv(struct vsp_channel *ch)
{
	return ch->priv;
}

struct vsp_device *vsp_channel_device(const struct vsp_channel *ch)
{
	return ch->dev;
}

uint16_t vsp_channel_index(const struct vsp_channel *ch)
{
	return ch->index;
}

bool vsp_channel_is_restored(const struct vsp_channel *ch)
{
	return ch->restored;
}

struct loop *vsp_channel_loop(const struct vsp_channel *ch)
{
	return ch->io_thread;
}

void vsp_channel_resume(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	chan_retry(&ch->chan);
}

void vsp_channel_set_lazy(struct vsp_channel *ch, bool lazy)
{
	ON_IO_THREAD(ch);
	chan_set_lazy(&ch->chan, lazy);
}

void vsp_channel_look(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	chan_look(&ch->chan);
}
