/* SPDX-License-Identifier: MIT */
#include "base/counter.h"
#include "base/inspect.h"
#include "vsp/vsp_impl.h"

static const char *const state_names[] = {
	[VSP_CHANNEL_OPENING] = "opening",
	[VSP_CHANNEL_OPEN] = "open",
	[VSP_CHANNEL_CLOSING] = "closing",
};

static const char *const pause_names[] = {
	[VSP_RUNNING] = "running",
	[VSP_PAUSING] = "pausing",
	[VSP_PAUSED] = "paused",
	[VSP_RESUMING] = "resuming",
};

static uint32_t io_thread_index(const struct vsp_channel *ch)
{
	const struct vsp_host *host = ch->dev->host;
	uint32_t index = 0;

	while (index < host->io_thread_count && host->io_threads[index] != ch->io_thread)
		index++;
	return index;
}

static void pool_inspect(const struct vsp_pool *p, struct inspect *i)
{
	inspect_begin(i, NULL);
	inspect_u64(i, "requests", p->pool.count);
	inspect_u64(i, "in_use", counter_get(&p->pool.used));
	inspect_bool(i, "with_guest", p->with_guest);
	inspect_end(i);
}

static void channel_inspect(struct vsp_channel *ch, struct inspect *i)
{
	const struct vsp_ops *ops = ch->dev->ops;

	inspect_u64(i, "index", ch->index);
	inspect_u64(i, "relid", ch->relid);
	inspect_text(i, "state", state_names[ch->state]);
	inspect_text(i, "pause", pause_names[ch->pause]);
	inspect_u64(i, "io_thread", io_thread_index(ch));
	inspect_u64(i, "requests_in_use", counter_get(&ch->in_use));
	inspect_begin_array(i, "request_classes");
	for (uint32_t class = 0; class < ops->request_classes; class ++)
		pool_inspect(&ch->pools[class], i);
	inspect_end(i);
	chan_inspect(&ch->chan, i);
	if (ops->inspect_channel)
		ops->inspect_channel(ch, i);
}

static void offer_inspect(const struct vsp_offer *offer, struct inspect *i)
{
	if (!offer->ch)
		return;
	inspect_begin(i, NULL);
	channel_inspect(offer->ch, i);
	inspect_end(i);
}

void vsp_device_inspect(struct vsp_device *dev, struct inspect *i)
{
	ON_CONTROL(dev);
	inspect_text(i, "class", dev->ops->name);
	guid_inspect(&dev->instance_id, i, "instance");
	inspect_bool(i, "offered", dev->offer.bus_chan != NULL);
	inspect_bool(i, "removing", dev->removed != NULL);
	inspect_u64(i, "channel_faults", dev->faults);
	inspect_begin_array(i, "channels");
	offer_inspect(&dev->offer, i);
	list_for_each (item, &dev->subs)
		offer_inspect(container_of(item, struct vsp_offer, link), i);
	inspect_end(i);
	if (dev->ops->inspect)
		dev->ops->inspect(dev, i);
}
