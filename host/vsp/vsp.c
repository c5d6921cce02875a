/* SPDX-License-Identifier: MIT */
/*
 * Life of an open channel, between the control thread (C) and its I/O thread (W).
 * The arrows are posted tasks; tasks from one thread to another keep their
 * order, which is why nothing here needs a generation count.
 *
 *   state     C                                          W
 *             bus: open
 *   OPENING   allocate, map ring, doorbell        -->    ops->open
 *   OPEN      bus_open_done(ok)                   <--
 *                                                 -->    chan_start
 *             bus: close
 *   CLOSING                                       -->    chan_quiesce, ops->close
 *                                                        ... vsp_channel_closed(), chan_stop
 *   (gone)    doorbell, unmap, free               <--    chan stopped
 *             bus_close_done
 *
 *   A failed ops->open goes from OPENING to (gone), answered bus_open_done(!ok).
 *   The interrupt of a packet sent in ops->open must not come before the guest
 *   knows that the channel is open: hence the extra step to chan_start. When the
 *   bus closes inside bus_open_done(), that step is left out.
 *
 * W -> C at any time before "chan stopped", so always before ch is gone:
 *
 *   fault          OPENING, OPEN: rescind the device. CLOSING: nothing.
 *   sub-channels   OPEN: offer them. CLOSING: nothing.
 *
 * C -> W -> C: retarget. The bus asks for nothing else before it is answered.
 * And calls of the VSP (vsp_call.c), in any state: ch is gone when all are done.
 *
 * A fault of any channel rescinds the whole device: guests do not survive the
 * loss of a single sub-channel with requests in flight. The device is offered
 * again VSP_REOFFER_NS after the guest has let go, so that a new driver or a
 * new kernel finds it, and a guest that only makes faults gets one per second.
 */
#include "vsp/vsp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vsp/vsp_impl.h"

/* 8 MiB each way. More is not faster, and scattered pages cost a kernel mapping each. */
#define RING_PAGES_MAX 4098u

/* ---- channel: what the ring calls (I/O thread) --------------------------- */

static int on_packet(struct chan *chan, const struct vmbus_pkt *pkt)
{
	struct vsp_channel *ch = container_of(chan, struct vsp_channel, chan);

	return ch->dev->ops->packet(ch, pkt);
}

static void fault_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, fault_task);
	struct vsp_device *dev = ch->dev;

	ON_CONTROL(dev);
	dev->faults++;
	if (ch->state != CHANNEL_CLOSING)
		bus_rescind(dev->offer.bus_chan);
}

static void on_fault(struct chan *chan)
{
	struct vsp_channel *ch = container_of(chan, struct vsp_channel, chan);

	vsp_post(ch->dev->host->control, &ch->fault_task, fault_on_control);
}

static const struct chan_ops chan_ops = {
	.packet = on_packet,
	.fault = on_fault,
};

/* ---- channel: allocation (control) --------------------------------------- */

static int channel_map_ring(struct vsp_channel *ch, const struct bus_open_params *params)
{
	const uint64_t *pfns = gpadl_pfns(params->ring, &ch->pages);

	if (ch->pages > RING_PAGES_MAX)
		return -E2BIG;
	ch->view = gmem_map_pages(ch->dev->host->gmem, pfns, ch->pages, &ch->mapped);
	if (!ch->view)
		return -ENOMEM;
	gpadl_get(params->ring);
	ch->ring = params->ring;
	return 0;
}

static void channel_unmap_ring(struct vsp_channel *ch)
{
	gmem_unmap_pages(ch->view, ch->pages, ch->mapped);
	gpadl_put(ch->ring);
}

static int channel_init_chan(struct vsp_channel *ch, const struct bus_open_params *params)
{
	uint32_t g2h_bytes = params->downstream_page * HV_PAGE_SIZE;
	struct chan_params p = {
		.ops = &chan_ops,
		.loop = ch->io_thread,
		.irq = ch->dev->host->irq,
		.flag = bus_channel_relid(ch->offer->bus_chan),
		.target_vp = params->target_vp,
		.g2h = ch->view,
		.g2h_bytes = g2h_bytes,
		.h2g = (uint8_t GUEST_SHARED *)ch->view + g2h_bytes,
		.h2g_bytes = ch->pages * HV_PAGE_SIZE - g2h_bytes,
		.packet_max = ch->dev->ops->packet_max,
	};

	return chan_init(&ch->chan, &p);
}

/* Guests interrupt-balance channels over VPs; I/O threads follow. */
static struct loop *pick_io_thread(struct vsp_host *host, uint32_t target_vp, uint16_t index)
{
	uint32_t n = target_vp == VMBUS_VP_NONE ? index : target_vp;

	return host->io_threads[n % host->io_thread_count];
}

static int channel_init_pool(struct vsp_channel *ch)
{
	const struct vsp_ops *ops = ch->dev->ops;
	uint32_t count = 0;
	size_t size = ops->request_size ? ops->request_size(ch->dev, &count) : 0;

	return pool_init(&ch->pool, size, count);
}

static int channel_create(
	struct vsp_channel **out, struct vsp_offer *offer, const struct bus_open_params *params)
{
	struct vsp_device *dev = offer->dev;
	struct vsp_host *host = dev->host;
	struct vsp_channel *ch = calloc(1, sizeof(*ch) + dev->ops->channel_size);
	int rc;

	if (!ch)
		return -ENOMEM;
	ch->dev = dev;
	ch->offer = offer;
	ch->index = bus_channel_index(offer->bus_chan);
	ch->io_thread = pick_io_thread(host, params->target_vp, ch->index);
	rc = channel_init_pool(ch);
	if (rc)
		goto free_channel;
	rc = channel_map_ring(ch, params);
	if (rc)
		goto free_pool;
	rc = channel_init_chan(ch, params);
	if (rc)
		goto unmap_ring;
	rc = host->doorbell_add(host->doorbell_ctx, bus_channel_connection_id(offer->bus_chan),
		ch->chan.doorbell_fd);
	if (rc)
		goto fini_chan;
	*out = ch;
	return 0;

fini_chan:
	chan_fini(&ch->chan);
unmap_ring:
	channel_unmap_ring(ch);
free_pool:
	pool_fini(&ch->pool);
free_channel:
	free(ch);
	return rc;
}

static void channel_destroy(struct vsp_channel *ch)
{
	struct vsp_host *host = ch->dev->host;

	host->doorbell_del(host->doorbell_ctx, bus_channel_connection_id(ch->offer->bus_chan),
		ch->chan.doorbell_fd);
	chan_fini(&ch->chan);
	channel_unmap_ring(ch);
	pool_fini(&ch->pool);
	ch->offer->ch = NULL;
	free(ch);
}

/* ---- channel: open ------------------------------------------------------- */

static void start_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);

	chan_start(&ch->chan);
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

	channel_destroy(ch);
	open_failed(offer, rc);
}

static void opened_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);
	struct vsp_offer *offer = ch->offer;

	ON_CONTROL(ch->dev);
	if (ch->open_result) {
		vsp_channel_let_go(ch, never_opened);
		return;
	}
	ch->state = CHANNEL_OPEN;
	bus_open_done(offer->bus_chan, true);
	if (ch->state == CHANNEL_OPEN)
		vsp_post(ch->io_thread, &ch->open_task, start_on_io_thread);
}

static void open_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, open_task);

	ON_IO_THREAD(ch);
	ch->open_result = ch->dev->ops->open(ch);
	if (ch->open_result)
		chan_quiesce(&ch->chan);
	vsp_post(ch->dev->host->control, &ch->open_task, opened_on_control);
}

static void device_open(struct bus_channel *bus_chan, const struct bus_open_params *params)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = NULL;
	int rc;

	ON_CONTROL(offer->dev);
	assert(!offer->ch);
	rc = channel_create(&ch, offer, params);
	if (rc) {
		open_failed(offer, rc);
		return;
	}
	offer->ch = ch;
	if (offer->dev->ops->prepare)
		offer->dev->ops->prepare(ch);
	vsp_post(ch->io_thread, &ch->open_task, open_on_io_thread);
}

/* ---- channel: close ------------------------------------------------------ */

static void closed(struct vsp_channel *ch)
{
	struct bus_channel *bus_chan = ch->offer->bus_chan;

	channel_destroy(ch);
	bus_close_done(bus_chan); /* may end with the device's destruction */
}

static void closed_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, close_task);

	ON_CONTROL(ch->dev);
	vsp_channel_let_go(ch, closed);
}

static void on_stopped(struct chan *chan)
{
	struct vsp_channel *ch = container_of(chan, struct vsp_channel, chan);

	vsp_post(ch->dev->host->control, &ch->close_task, closed_on_control);
}

void vsp_channel_closed(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	assert(!ch->pool.used);
	chan_stop(&ch->chan, on_stopped);
}

static void close_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, close_task);

	chan_quiesce(&ch->chan);
	ch->dev->ops->close(ch);
}

static void device_close(struct bus_channel *bus_chan)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	ON_CONTROL(offer->dev);
	assert(ch && ch->state == CHANNEL_OPEN);
	ch->state = CHANNEL_CLOSING;
	vsp_post(ch->io_thread, &ch->close_task, close_on_io_thread);
}

/* ---- channel: retarget --------------------------------------------------- */

static void retargeted_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, retarget_task);

	bus_retarget_done(ch->offer->bus_chan, true);
}

/* On the I/O thread, so that no interrupt to the old VP can come after the answer. The channel
 * stays with its I/O thread: moving it would cost more than the interrupt's locality is worth. */
static void retarget_on_io_thread(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, retarget_task);

	chan_retarget(&ch->chan, ch->retarget_vp);
	vsp_post(ch->dev->host->control, &ch->retarget_task, retargeted_on_control);
}

static void device_retarget(struct bus_channel *bus_chan, uint32_t target_vp)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_channel *ch = offer->ch;

	ON_CONTROL(offer->dev);
	ch->retarget_vp = target_vp;
	vsp_post(ch->io_thread, &ch->retarget_task, retarget_on_io_thread);
}

/* ---- sub-channels -------------------------------------------------------- */

static int sub_offer(struct vsp_device *dev, uint16_t index)
{
	struct vsp_offer *sub = calloc(1, sizeof(*sub));
	int rc;

	if (!sub)
		return -ENOMEM;
	sub->dev = dev;
	list_add_tail(&dev->subs, &sub->link);
	rc = bus_offer_subchannel(dev->offer.bus_chan, index, sub, &sub->bus_chan);
	if (rc) {
		list_del(&sub->link);
		free(sub);
	}
	return rc;
}

/* The primary may have begun to close: then the bus says -ENOTCONN and there is nothing to do. */
static void subs_on_control(struct loop_task *task)
{
	struct vsp_channel *ch = container_of(task, struct vsp_channel, subs_task);
	struct vsp_device *dev = ch->dev;
	int rc = 0;

	ON_CONTROL(dev);
	if (ch->state != CHANNEL_OPEN)
		return;
	for (uint32_t index = 1; index <= ch->subs_count && !rc; index++)
		rc = sub_offer(dev, (uint16_t)index);
	if (rc && rc != -ENOTCONN)
		log_warn("%s: cannot offer all sub-channels: %s", dev->ops->name, strerror(-rc));
}

void vsp_offer_subchannels(struct vsp_channel *primary, uint16_t count)
{
	ON_IO_THREAD(primary);
	assert(!primary->index && !primary->subs_count);
	primary->subs_count = count;
	if (count)
		vsp_post(primary->dev->host->control, &primary->subs_task, subs_on_control);
}

/* ---- devices ------------------------------------------------------------- */

static const struct bus_device_ops device_ops;

static int device_offer(struct vsp_device *dev)
{
	const struct bus_offer_params params = {
		.class_id = dev->ops->class_id,
		.instance_id = dev->instance_id,
		.flags = dev->ops->offer_flags,
	};

	return bus_offer(dev->host->bus, &params, &device_ops, &dev->offer, &dev->offer.bus_chan);
}

static void device_reoffer(struct loop_timer *timer)
{
	struct vsp_device *dev = container_of(timer, struct vsp_device, reoffer);
	int rc = device_offer(dev);

	if (rc && rc != -ESHUTDOWN)
		log_error("%s: cannot offer the device again: %s", dev->ops->name, strerror(-rc));
}

/* The guest and the bus have let go of an offer that was rescinded. */
static void device_released(struct bus_channel *bus_chan)
{
	struct vsp_offer *offer = bus_channel_ctx(bus_chan);
	struct vsp_device *dev = offer->dev;

	ON_CONTROL(dev);
	assert(!offer->ch);
	if (offer != &dev->offer) {
		list_del(&offer->link);
		free(offer);
		return;
	}
	offer->bus_chan = NULL;
	if (dev->removed)
		dev->removed(dev->removed_ctx);
	else
		loop_timer_start(dev->host->control, &dev->reoffer, VSP_REOFFER_NS, device_reoffer);
}

static const struct bus_device_ops device_ops = {
	.open = device_open,
	.close = device_close,
	.retarget = device_retarget,
	.released = device_released,
};

int vsp_device_create(struct vsp_device **out, struct vsp_host *host, const struct vsp_ops *ops,
	const struct hv_guid *instance_id, const void *config, struct err *e)
{
	struct vsp_device *dev = calloc(1, sizeof(*dev) + ops->device_size);
	int rc;

	ON_LOOP(host->control);
	if (!dev)
		return err_set(e, -ENOMEM, "%s: out of memory", ops->name);
	dev->host = host;
	dev->ops = ops;
	dev->instance_id = *instance_id;
	dev->offer.dev = dev;
	list_init(&dev->subs);
	rc = ops->create(dev, config, e);
	if (rc)
		goto free_device;
	rc = device_offer(dev);
	if (rc) {
		err_set(e, rc, "%s: cannot be offered: %s", ops->name, strerror(-rc));
		goto destroy;
	}
	*out = dev;
	return 0;

destroy:
	ops->destroy(dev);
free_device:
	free(dev);
	return rc;
}

void vsp_device_destroy(struct vsp_device *dev)
{
	ON_CONTROL(dev);
	assert(!dev->offer.ch && list_empty(&dev->subs));
	loop_timer_cancel(&dev->reoffer);
	dev->ops->destroy(dev);
	free(dev);
}

void vsp_device_remove(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx)
{
	ON_CONTROL(dev);
	assert(!dev->removed);
	dev->removed = removed;
	dev->removed_ctx = ctx;
	if (dev->offer.bus_chan) {
		bus_rescind(dev->offer.bus_chan);
	} else {
		loop_timer_cancel(&dev->reoffer);
		removed(ctx);
	}
}

struct stats_call {
	struct vsp_channel *ch;
	struct vsp_channel_stats stats;
};

static void read_stats(void *arg)
{
	struct stats_call *call = arg;
	struct chan *chan = &call->ch->chan;

	call->stats.target_vp = chan->target_vp;
	call->stats.requests_in_use = call->ch->pool.used;
	call->stats.counters = chan->counters;
	chan_rings(chan, &call->stats.rings);
}

static void offer_stats(struct vsp_offer *offer,
	void (*fn)(void *ctx, const struct vsp_channel_stats *stats), void *ctx)
{
	struct stats_call call = {.ch = offer->ch};

	if (!offer->ch)
		return;
	call.stats.index = offer->ch->index;
	call.stats.relid = bus_channel_relid(offer->bus_chan);
	loop_call(offer->ch->io_thread, read_stats, &call);
	fn(ctx, &call.stats);
}

void vsp_device_for_each_channel(struct vsp_device *dev,
	void (*fn)(void *ctx, const struct vsp_channel_stats *stats), void *ctx)
{
	ON_CONTROL(dev);
	offer_stats(&dev->offer, fn, ctx);
	list_for_each (item, &dev->subs)
		offer_stats(container_of(item, struct vsp_offer, link), fn, ctx);
}

uint64_t vsp_device_faults(const struct vsp_device *dev)
{
	return dev->faults;
}

/* ---- requests ------------------------------------------------------------ */

void *vsp_request_get(struct vsp_channel *ch)
{
	ON_IO_THREAD(ch);
	return pool_get(&ch->pool);
}

void vsp_request_put(struct vsp_channel *ch, void *request)
{
	ON_IO_THREAD(ch);
	pool_put(&ch->pool, request);
	chan_resume(&ch->chan);
}

uint32_t vsp_requests_in_use(const struct vsp_channel *ch)
{
	return ch->pool.used;
}

/* ---- what VSPs ask ------------------------------------------------------- */

void *vsp_device_priv(struct vsp_device *dev)
{
	return dev->priv;
}

struct vsp_host *vsp_device_host(struct vsp_device *dev)
{
	return dev->host;
}

const struct hv_guid *vsp_device_instance(const struct vsp_device *dev)
{
	return &dev->instance_id;
}

struct vsp_channel *vsp_device_primary(struct vsp_device *dev)
{
	struct vsp_channel *ch = dev->offer.ch;

	ON_CONTROL(dev);
	return ch && ch->state == CHANNEL_OPEN ? ch : NULL;
}

void *vsp_channel_priv(struct vsp_channel *ch)
{
	return ch->priv;
}

struct vsp_device *vsp_channel_device(struct vsp_channel *ch)
{
	return ch->dev;
}

struct chan *vsp_channel_chan(struct vsp_channel *ch)
{
	return &ch->chan;
}

uint16_t vsp_channel_index(const struct vsp_channel *ch)
{
	return ch->index;
}

const struct gmem *vsp_channel_gmem(const struct vsp_channel *ch)
{
	return ch->dev->host->gmem;
}
