/* SPDX-License-Identifier: MIT */
/*
 * Devices: their offers (the primary's, which lasts, and those of sub-channels,
 * which last while the primary is open), removal, statistics. ON_CONTROL.
 *
 *   offered --fault, remove--> rescinded --guest released it--> waiting --VSP_REOFFER_NS--> offered
 *                                                            `-> removed(ctx)
 */
#include "vsp/vsp_device.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vsp/vsp_impl.h"

/* ---- offers -------------------------------------------------------------- */

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

/* -ENOTCONN: the guest closes the primary. */
void vsp_device_subs_offer(struct vsp_channel *primary)
{
	struct vsp_device *dev = primary->dev;
	int rc = 0;

	ON_CONTROL(dev);
	for (uint32_t index = 1; index <= primary->subs_count && !rc; index++)
		rc = sub_offer(dev, (uint16_t)index);
	if (rc && rc != -ENOTCONN)
		log_event(LOG_WARN, "%s: cannot offer all sub-channels: %s", dev->ops->name,
			strerror(-rc));
}

static const struct bus_device_ops device_ops;

static int device_offer(struct vsp_device *dev)
{
	struct vsp_offer_params offer = {.class_id = dev->ops->class_id};
	struct bus_offer_params params = {
		.instance_id = dev->instance_id,
		.flags = dev->ops->offer_flags,
		.user = offer.user,
		.monitored = dev->ops->monitored && dev->ops->monitored(dev),
	};

	if (dev->ops->offer)
		dev->ops->offer(dev, &offer);
	params.class_id = offer.class_id;
	params.mmio_megabytes = offer.mmio_megabytes;
	return bus_offer(dev->host->bus, &params, &device_ops, &dev->offer, &dev->offer.bus_chan);
}

static void reoffer_due(struct loop_timer *timer);

void vsp_device_reoffer(struct vsp_device *dev)
{
	int rc;

	ON_CONTROL(dev);
	dev->reoffer_waits = dev->pause_wanted;
	if (dev->pause_wanted)
		return;
	rc = device_offer(dev);
	if (!rc || rc == -ESHUTDOWN)
		return;
	log_event(LOG_ERROR, "%s: cannot offer the device again: %s; trying on", dev->ops->name,
		strerror(-rc));
	loop_timer_start(dev->host->control, &dev->reoffer, VSP_REOFFER_NS, reoffer_due);
}

static void reoffer_due(struct loop_timer *timer)
{
	vsp_device_reoffer(container_of(timer, struct vsp_device, reoffer));
}

/* The guest has released an offer that was rescinded, and the bus has dropped it. */
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
		loop_timer_start(dev->host->control, &dev->reoffer, VSP_REOFFER_NS, reoffer_due);
}

static const struct bus_device_ops device_ops = {
	.open = vsp_channel_open,
	.close = vsp_channel_close,
	.retarget = vsp_channel_retarget,
	.teardown = vsp_gpadl_teardown,
	.released = device_released,
	.archive_device = vsp_bus_archive_device,
	.archive_channel = vsp_bus_archive_channel,
	.restore_sub = vsp_bus_restore_sub,
};

/* ---- life ---------------------------------------------------------------- */

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
	rc = ops->create ? ops->create(dev, config, e) : 0;
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
	if (ops->destroy)
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
	if (dev->ops->destroy)
		dev->ops->destroy(dev);
	free(dev);
}

static void device_remove(struct vsp_device *dev, void (*rescind)(struct bus_channel *chan),
	void (*removed)(void *ctx), void *ctx)
{
	ON_CONTROL(dev);
	assert(!dev->removed);
	dev->removed = removed;
	dev->removed_ctx = ctx;
	dev->reoffer_waits = false;
	if (dev->offer.bus_chan) {
		rescind(dev->offer.bus_chan);
	} else {
		loop_timer_cancel(&dev->reoffer);
		removed(ctx);
	}
}

void vsp_device_remove(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx)
{
	device_remove(dev, bus_rescind, removed, ctx);
}

void vsp_device_remove_while_open(struct vsp_device *dev, void (*removed)(void *ctx), void *ctx)
{
	device_remove(dev, bus_rescind_while_open, removed, ctx);
}

void vsp_device_remove_now(struct vsp_device *dev)
{
	ON_CONTROL(dev);
	assert(dev->removed);
	if (dev->offer.bus_chan)
		bus_rescind(dev->offer.bus_chan);
}

/* ---- faults -------------------------------------------------------------- */

uint64_t vsp_device_faults(const struct vsp_device *dev)
{
	ON_CONTROL(dev);
	return dev->faults;
}

/* ---- accessors ----------------------------------------------------------- */

void *vsp_device_priv(struct vsp_device *dev)
{
	return dev->priv;
}

const struct hv_guid *vsp_device_instance(const struct vsp_device *dev)
{
	return &dev->instance_id;
}

const struct gmem *vsp_device_gmem(const struct vsp_device *dev)
{
	return dev->host->gmem;
}

struct budget *vsp_device_budget(const struct vsp_device *dev)
{
	return dev->host->budget;
}

struct loop *vsp_device_control(const struct vsp_device *dev)
{
	return dev->host->control;
}

uint32_t vsp_device_vps(const struct vsp_device *dev)
{
	return dev->host->vp_count;
}

uint64_t vsp_device_contacts(const struct vsp_device *dev)
{
	ON_CONTROL(dev);
	return bus_counters(dev->host->bus)->contacts;
}

bool vsp_device_pauses(const struct vsp_device *dev)
{
	ON_CONTROL(dev);
	return dev->pause_wanted;
}

struct vsp_channel *vsp_device_primary(struct vsp_device *dev)
{
	struct vsp_channel *ch = dev->offer.ch;

	ON_CONTROL(dev);
	return ch && ch->state == VSP_CHANNEL_OPEN ? ch : NULL;
}

void vsp_device_each_channel(
	struct vsp_device *dev, void (*fn)(void *ctx, struct vsp_channel *ch), void *ctx)
{
	ON_CONTROL(dev);
	if (dev->offer.ch)
		fn(ctx, dev->offer.ch);
	list_for_each (item, &dev->subs) {
		struct vsp_offer *sub = container_of(item, struct vsp_offer, link);

		if (sub->ch)
			fn(ctx, sub->ch);
	}
}
