/* SPDX-License-Identifier: MIT */
#include "base/inspect.h"
#include "vmbus-host/bus_impl.h"

/* clang-format off */
static const struct inspect_field counter_fields[] = {
	INSPECT_FIELD(bus_counters, messages),
	INSPECT_FIELD(bus_counters, bad_messages),
	INSPECT_FIELD(bus_counters, offers),
	INSPECT_FIELD(bus_counters, opens),
	INSPECT_FIELD(bus_counters, closes),
	INSPECT_FIELD(bus_counters, gpadls_created),
	INSPECT_FIELD(bus_counters, gpadls_failed),
	INSPECT_FIELD(bus_counters, contacts),
	INSPECT_FIELD(bus_counters, resets),
	INSPECT_FIELD(bus_counters, dropped),
	{NULL, 0},
};
/* clang-format on */

static const char *const state_names[] = {
	[BUS_DISCONNECTED] = "disconnected",
	[BUS_CONNECTED] = "connected",
	[BUS_DISCONNECTING] = "disconnecting",
};

void guid_inspect(const struct hv_guid *guid, struct inspect *i, const char *key)
{
	const uint8_t *b = guid->b;

	inspect_textf(i, key,
		"%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[3], b[2],
		b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14],
		b[15]);
}

static void channel_inspect(const struct bus_channel *chan, struct inspect *i)
{
	inspect_u64(i, "relid", chan->relid);
	inspect_u64(i, "index", chan->index);
	inspect_u64(i, "connection_id", bus_channel_connection_id(chan));
	guid_inspect(&chan->class_id, i, "class");
	guid_inspect(&chan->instance_id, i, "instance");
	inspect_text(i, "state", bus_channel_state_name(chan));
	inspect_bool(i, "rescinding", chan->rescind_wanted);
	inspect_begin_array(i, "gpadls");
	gpadls_inspect(chan, i);
	inspect_end(i);
}

static void channels_inspect(const struct bus *bus, struct inspect *i)
{
	for (uint32_t relid = 1; relid <= VMBUS_RELID_MAX; relid++) {
		if (!bus->relids[relid])
			continue;
		inspect_begin(i, NULL);
		channel_inspect(bus->relids[relid], i);
		inspect_end(i);
	}
}

void bus_inspect(const struct bus *bus, struct inspect *i)
{
	inspect_text(i, "state", state_names[bus->state]);
	inspect_textf(i, "version", "%u.%u", bus->version >> 16, bus->version & 0xFFFF);
	inspect_u64(i, "message_vp", bus->message_vp);
	inspect_bool(i, "offers_requested", bus->offers_requested);
	inspect_fields(i, &bus->counters, counter_fields);
	inspect_u64(i, "gpadl_count", bus->gpadl_count);
	inspect_u64(i, "gpadls_building", bus->gpadls_building);
	inspect_u64(i, "gpadl_pages", bus->gpadl_pages);
	inspect_u64(i, "gpadl_pages_max", bus->config.gpadl_pages_max);
	inspect_begin_array(i, "channels");
	channels_inspect(bus, i);
	inspect_end(i);
}
