/* SPDX-License-Identifier: MIT */
/*
 * Saving and restoring the bus: the connection, offers, GPADLs, open channels.
 *
 * Saving needs a bus at rest: no device works on a call (OPENING, CLOSING, RETARGETING), nothing is
 * queued, no connection is about to end. The guest does not run, so that state comes soon and
 * stays.
 *
 * Restoring begins with a new bus on which the VM has offered its devices. Offers are found by
 * their instance ids, and get the relids and monitor ids that the guest knows. Sub-channels are
 * created by their devices. Then come GPADLs, then each open channel is opened by its device with
 * what the image says of it, which ends with bus_open_done() as ever; the guest gets no message for
 * it. An offer that the image does not have is new to the guest, and is sent when it has asked for
 * offers.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmbus-host/bus_impl.h"

#define CHANNELS_MAX VMBUS_RELID_MAX

/* ---- at rest ------------------------------------------------------------- */

static bool channel_at_rest(const struct bus_channel *chan)
{
	bool state = chan->state == BUS_CHANNEL_CLOSED || chan->state == BUS_CHANNEL_OPEN;

	return state && !chan->close_wanted && !chan->open_queued && !chan->retarget_queued;
}

bool bus_is_at_rest(const struct bus *bus)
{
	for (uint32_t relid = 1; relid <= VMBUS_RELID_MAX; relid++)
		if (bus->relids[relid] && !channel_at_rest(bus->relids[relid]))
			return false;
	return bus->state != BUS_DISCONNECTING && list_empty(&bus->work) && !bus->send_failed;
}

/* ---- the connection ------------------------------------------------------ */

static void connection_archive(struct bus *bus, struct archive *a)
{
	bool connected = bus->state == BUS_CONNECTED;

	archive_begin(a, "connection", 1);
	archive_bool(a, "connected", &connected);
	archive_u32(a, "version", &bus->version);
	archive_u32(a, "message_vp", &bus->message_vp);
	archive_bool(a, "offers_requested", &bus->offers_requested);
	archive_end(a);
	if (connected &&
		(!bus_version_is_known(bus->version) || bus->version > bus->config.max_version ||
			bus->message_vp >= bus->config.vp_count))
		archive_fail(
			a, "connection of version 0x%x with VP %u", bus->version, bus->message_vp);
	bus->state = connected && !a->error ? BUS_CONNECTED : BUS_DISCONNECTED;
}

/* ---- offers -------------------------------------------------------------- */

/* What the guest knows of an offer, and what it did with it. */
struct saved {
	uint32_t relid, offer;
	uint8_t monitor_id;
	bool open, rescinded;
	uint16_t index;
};

static void saved_archive(struct saved *s, struct archive *a)
{
	archive_u16(a, "index", &s->index);
	archive_u32(a, "relid", &s->relid);
	archive_u32(a, "offer", &s->offer);
	archive_u8(a, "monitor_id", &s->monitor_id);
	archive_bool(a, "rescinded", &s->rescinded);
	archive_bool(a, "open", &s->open);
}

static bool saved_ok(const struct bus *bus, const struct saved *s)
{
	if (!s->relid || s->relid > VMBUS_RELID_MAX || bus->relids[s->relid])
		return false;
	if (s->monitor_id != VMBUS_MONITOR_ID_NONE &&
		(s->monitor_id >= VMBUS_MONITOR_IDS || bus->monitor_ids[s->monitor_id]))
		return false;
	if (s->offer != OFFER_HIDDEN && !bus->offers_requested)
		return false; /* it would be offered again when the guest asks */
	return s->offer <= OFFER_RESCINDED && !(s->open && s->offer == OFFER_HIDDEN);
}

static void take_ids(struct bus_channel *chan, const struct saved *s)
{
	struct bus *bus = chan->bus;

	bus->relids[s->relid] = chan;
	bus->relid_count++;
	chan->relid = s->relid;
	chan->monitor_id = s->monitor_id;
	if (s->monitor_id != VMBUS_MONITOR_ID_NONE)
		bus->monitor_ids[s->monitor_id] = true;
	chan->offer = s->offer;
	chan->rescind_wanted = s->rescinded;
}

/* ---- an open channel ----------------------------------------------------- */

static void open_archive(struct bus_channel *chan, struct archive *a)
{
	archive_begin(a, "open", 1);
	archive_u32(a, "open_id", &chan->open.open_id);
	archive_u32(a, "ring_gpadl", &chan->open.ring_gpadl);
	archive_u32(a, "target_vp", &chan->target_vp);
	archive_u32(a, "downstream_offset", &chan->open.downstream_offset);
	archive_bytes(a, "user", chan->open.user, sizeof(chan->open.user));
	if (a->reading) {
		chan->open.target_vp = chan->target_vp;
		if (!a->error)
			channel_reopen(chan, a);
	} else {
		chan->ops->archive_channel(chan, a);
	}
	archive_end(a);
}

/* ---- channels ------------------------------------------------------------ */

static struct saved saved_of(const struct bus_channel *chan)
{
	return (struct saved){
		.index = chan->index,
		.relid = chan->relid,
		.offer = chan->offer,
		.monitor_id = chan->monitor_id,
		.rescinded = chan->rescind_wanted,
		.open = chan->state == BUS_CHANNEL_OPEN,
	};
}

static void contents_archive(struct bus_channel *chan, bool open, struct archive *a)
{
	gpadls_archive(chan, a);
	if (open)
		open_archive(chan, a);
}

/* Those of a primary that is closed are closed, too, and on their way out. */
static bool sub_ok(const struct bus_channel *primary, const struct saved *s)
{
	bool gone = primary->state == BUS_CHANNEL_CLOSED;

	return saved_ok(primary->bus, s) && s->index && !(gone && (s->open || !s->rescinded));
}

static void sub_read(struct bus_channel *primary, struct archive *a)
{
	struct bus_channel *chan = NULL;
	struct saved s;

	saved_archive(&s, a);
	if (!a->error && !sub_ok(primary, &s))
		archive_fail(a, "sub-channel with bad numbers");
	if (!a->error && primary->ops->restore_sub)
		chan = primary->ops->restore_sub(primary, s.index);
	if (!chan) {
		archive_fail(a, "sub-channel %u cannot be created", s.index);
		return;
	}
	take_ids(chan, &s);
	contents_archive(chan, s.open, a);
}

static void sub_write(struct bus_channel *chan, struct archive *a)
{
	struct saved s = saved_of(chan);

	saved_archive(&s, a);
	contents_archive(chan, s.open, a);
}

static void subs_archive(struct bus_channel *primary, struct archive *a)
{
	struct list *pos = &primary->subs;
	uint32_t count = 0;

	list_for_each (sub, &primary->subs)
		count++;
	count = archive_list(a, "sub_channels", count, CHANNELS_MAX);
	for (uint32_t i = 0; i < count && !a->error; i++) {
		archive_begin(a, NULL, 1);
		pos = pos->next;
		if (a->reading)
			sub_read(primary, a);
		else
			sub_write(container_of(pos, struct bus_channel, link), a);
		archive_end(a);
	}
	archive_end(a);
}

static void primary_contents(struct bus_channel *chan, const struct saved *s, struct archive *a)
{
	chan->ops->archive_device(chan, a);
	contents_archive(chan, s->open, a);
	subs_archive(chan, a);
}

static struct bus_channel *find(struct bus *bus, const struct hv_guid *instance)
{
	list_for_each (pos, &bus->primaries) {
		struct bus_channel *chan = container_of(pos, struct bus_channel, link);

		if (!memcmp(&chan->instance_id, instance, sizeof(*instance)))
			return chan;
	}
	return NULL;
}

static void primary_read(struct bus *bus, struct archive *a)
{
	struct bus_channel *chan;
	struct hv_guid class, instance;
	struct saved s;

	archive_bytes(a, "class", &class, sizeof(class));
	archive_bytes(a, "instance", &instance, sizeof(instance));
	saved_archive(&s, a);
	if (a->error)
		return;
	chan = find(bus, &instance);
	if (!chan || memcmp(&chan->class_id, &class, sizeof(class)))
		archive_fail(a, "the guest had a device that this VM does not offer");
	else if (chan->relid || !saved_ok(bus, &s) || s.index)
		archive_fail(a, "device with bad numbers");
	if (a->error)
		return;
	take_ids(chan, &s);
	primary_contents(chan, &s, a);
}

static void primary_write(struct bus_channel *chan, struct archive *a)
{
	struct saved s = saved_of(chan);

	archive_bytes(a, "class", &chan->class_id, sizeof(chan->class_id));
	archive_bytes(a, "instance", &chan->instance_id, sizeof(chan->instance_id));
	saved_archive(&s, a);
	primary_contents(chan, &s, a);
}

static void channels_archive(struct bus *bus, struct archive *a)
{
	struct list *pos = &bus->primaries;
	uint32_t count = 0;

	list_for_each (primary, &bus->primaries)
		count++;
	count = archive_list(a, "devices", count, CHANNELS_MAX);
	for (uint32_t i = 0; i < count && !a->error; i++) {
		archive_begin(a, NULL, 1);
		pos = pos->next;
		if (a->reading)
			primary_read(bus, a);
		else
			primary_write(container_of(pos, struct bus_channel, link), a);
		archive_end(a);
	}
	archive_end(a);
}

/* ---- both ---------------------------------------------------------------- */

/* The offers made so far free the ids they chose. */
static void forget_ids(struct bus *bus)
{
	list_for_each (pos, &bus->primaries)
		container_of(pos, struct bus_channel, link)->relid = 0;
	memset(bus->relids, 0, sizeof(bus->relids));
	memset(bus->monitor_ids, 0, sizeof(bus->monitor_ids));
	bus->relid_count = 0;
}

static void offer_new_ones(struct bus *bus)
{
	list_for_each (pos, &bus->primaries) {
		struct bus_channel *chan = container_of(pos, struct bus_channel, link);

		if (chan->relid)
			continue;
		channel_choose_ids(chan);
		if (bus->offers_requested && bus->state == BUS_CONNECTED)
			channel_send_offer(chan);
	}
}

void bus_archive(struct bus *bus, struct archive *a)
{
	assert(a->reading ? bus->state == BUS_DISCONNECTED && !bus->gpadl_count
			  : bus_is_at_rest(bus));
	bus_enter(bus);
	if (a->reading)
		forget_ids(bus);
	archive_begin(a, "bus", 1);
	connection_archive(bus, a);
	channels_archive(bus, a);
	archive_end(a);
	if (a->reading)
		offer_new_ones(bus);
	bus_leave(bus);
}
