/* SPDX-License-Identifier: MIT */
/* What others may know of a channel. */
#include "vmbus-host/bus_impl.h"

static const char *const state_names[] = {
	[BUS_CHANNEL_CLOSED] = "closed",
	[BUS_CHANNEL_OPENING] = "opening",
	[BUS_CHANNEL_OPEN] = "open",
	[BUS_CHANNEL_RETARGETING] = "retargeting",
	[BUS_CHANNEL_CLOSING] = "closing",
};

const char *channel_state_name(enum bus_channel_state state)
{
	return state_names[state];
}

uint32_t bus_channel_relid(const struct bus_channel *chan)
{
	return chan->relid;
}

/* Unique, and none of VMBUS_CONN_*: relids have 11 bits. */
uint32_t bus_channel_connection_id(const struct bus_channel *chan)
{
	return chan->relid | VMBUS_SINT << 12;
}

uint8_t bus_channel_monitor_id(const struct bus_channel *chan)
{
	return chan->monitor_id;
}

uint16_t bus_channel_index(const struct bus_channel *chan)
{
	return chan->index;
}

void *bus_channel_ctx(const struct bus_channel *chan)
{
	return chan->ctx;
}

struct bus *bus_channel_bus(const struct bus_channel *chan)
{
	return chan->bus;
}

const struct hv_guid *bus_channel_class(const struct bus_channel *chan)
{
	return &chan->class_id;
}

const struct hv_guid *bus_channel_instance(const struct bus_channel *chan)
{
	return &chan->instance_id;
}

uint32_t bus_channel_target_vp(const struct bus_channel *chan)
{
	return chan->target_vp;
}

const char *bus_channel_state_name(const struct bus_channel *chan)
{
	if (chan->state != BUS_CHANNEL_CLOSED)
		return channel_state_name(chan->state);
	if (chan->offer == OFFER_RESCINDED)
		return "rescinded";
	return chan->offer == OFFER_MADE ? "offered" : "hidden";
}

void bus_for_each_channel(
	struct bus *bus, void (*fn)(void *ctx, const struct bus_channel *chan), void *ctx)
{
	for (uint32_t relid = 1; relid <= VMBUS_RELID_MAX; relid++) {
		if (bus->relids[relid])
			fn(ctx, bus->relids[relid]);
	}
}
