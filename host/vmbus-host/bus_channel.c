/* SPDX-License-Identifier: MIT */
/*
 * Channels: an offer and its state. Two state machines and three pending
 * requests, joined in channel_advance().
 *
 * The device's view (state). The device gets one call at a time and always
 * completes it, so no completion can come late: a close waits for it.
 *
 *   CLOSED --open--> OPENING --open_done(ok)--> OPEN --close--> CLOSING --close_done--> CLOSED
 *                       |                        |  ^
 *                  open_done(failed)       retarget  retarget_done
 *                       v                        v  |
 *                    CLOSED                    RETARGETING
 *
 * The guest's view (offer).
 *
 *   HIDDEN --OFFERCHANNEL--> MADE --RESCIND--> RESCINDED --RELID_RELEASED--> HIDDEN
 *                             +--RELID_RELEASED, connection over--> HIDDEN
 *
 * Pending requests. open_queued: an OPENCHANNEL waits until the channel is CLOSED.
 * close_wanted: CLOSECHANNEL, rescind, end of the connection; a primary waits
 * for its sub-channels. rescind_wanted: when CLOSED and the guest knows the
 * offer, RESCIND; when CLOSED and it does not, free the channel.
 *
 *   guest message    CLOSED     OPENING, OPEN     close wanted or CLOSING   RESCINDED
 *   OPENCHANNEL      open       bad, ignored      queued (once)             ignored
 *   CLOSECHANNEL     bad        close             ends a queued open        ignored
 *   MODIFYCHANNEL    failure    retarget if OPEN  failure                   failure
 *   RELID_RELEASED   hidden     bad, ignored      hidden; OPENING: bad      hidden
 *
 * A channel that was rescinded while open is RESCINDED and OPEN: CLOSECHANNEL and
 * RELID_RELEASED close it.
 *
 * Every OPENCHANNEL that is not ignored gets one OPENCHANNEL_RESULT, unless the
 * connection ends before. A sub-channel whose primary closes is rescinded; one
 * the guest releases is freed.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "vmbus-host/bus_impl.h"

/* ---- basics -------------------------------------------------------------- */

/* chan is advanced when the outermost call returns. */
static void channel_queue(struct bus_channel *chan)
{
	if (list_empty(&chan->work))
		list_add_tail(&chan->bus->work, &chan->work);
}

/* The only place a state changes. */
static void channel_set_state(struct bus_channel *chan, enum bus_channel_state state)
{
	log_event(LOG_DEBUG, "vmbus: channel %u: %s -> %s", chan->relid,
		channel_state_name(chan->state), channel_state_name(state));
	if (chan->primary)
		chan->primary->subs_busy +=
			(state != BUS_CHANNEL_CLOSED) - (chan->state != BUS_CHANNEL_CLOSED);
	chan->state = state;
	channel_queue(chan);
	if (state != BUS_CHANNEL_CLOSED)
		return;
	chan->close_wanted = false;
	chan->target_vp = VMBUS_VP_NONE;
	gpadl_put(chan->ring);
	chan->ring = NULL;
	if (chan->primary)
		channel_queue(chan->primary);
}

struct bus_channel *channel_by_relid(struct bus *bus, uint32_t relid)
{
	struct bus_channel *chan = relid <= VMBUS_RELID_MAX ? bus->relids[relid] : NULL;

	return chan && chan->offer != OFFER_HIDDEN ? chan : NULL;
}

/* Open, or about to be, and no close is pending. */
static bool channel_in_use(const struct bus_channel *chan)
{
	return chan->open_queued || (chan->state != BUS_CHANNEL_CLOSED && !chan->close_wanted);
}

static void channel_send_open_result(struct bus_channel *chan, uint32_t open_id, bool ok)
{
	struct vmbus_open_result msg = {.relid = chan->relid,
		.open_id = open_id,
		.status = ok ? VMBUS_STATUS_SUCCESS : VMBUS_STATUS_UNSUCCESSFUL};

	bus_send(chan->bus, VMBUS_MSG_OPEN_RESULT, &msg, sizeof(msg));
}

static void send_modify_response(struct bus *bus, uint32_t relid, bool ok)
{
	struct vmbus_modify_channel_response msg = {
		.relid = relid, .status = ok ? VMBUS_STATUS_SUCCESS : VMBUS_STATUS_UNSUCCESSFUL};

	if (bus->version >= VMBUS_VERSION_WIN10_V5_3)
		bus_send(bus, VMBUS_MSG_MODIFY_CHANNEL_RESPONSE, &msg, sizeof(msg));
}

/* ---- offers -------------------------------------------------------------- */

static int relid_alloc(struct bus *bus, struct bus_channel *chan, bool sub)
{
	if (sub && bus->relid_count >= VMBUS_RELID_MAX - BUS_RELIDS_PRIMARY)
		return -ENOSPC;
	for (uint32_t relid = 1; relid <= VMBUS_RELID_MAX; relid++) {
		if (!bus->relids[relid]) {
			bus->relids[relid] = chan;
			bus->relid_count++;
			chan->relid = relid;
			return 0;
		}
	}
	return -ENOSPC;
}

static void relid_free(struct bus_channel *chan)
{
	chan->bus->relids[chan->relid] = NULL;
	chan->bus->relid_count--;
}

/* As long as there are ids: without one the guest signals as usual. */
static void monitor_alloc(struct bus_channel *chan)
{
	struct bus *bus = chan->bus;

	for (uint8_t id = 0; id < VMBUS_MONITOR_IDS; id++) {
		if (bus->monitor_ids[id])
			continue;
		bus->monitor_ids[id] = true;
		chan->monitor_id = id;
		return;
	}
}

static void monitor_free(struct bus_channel *chan)
{
	if (chan->monitor_id != VMBUS_MONITOR_ID_NONE)
		chan->bus->monitor_ids[chan->monitor_id] = false;
}

void channel_choose_ids(struct bus_channel *chan)
{
	int ret = relid_alloc(chan->bus, chan, false);

	assert(!ret);
	(void)ret;
	chan->monitor_id = VMBUS_MONITOR_ID_NONE;
	if (chan->monitored)
		monitor_alloc(chan);
}

static int channel_create(struct bus *bus, const struct bus_offer_params *params,
	struct bus_channel *primary, const struct bus_device_ops *ops, void *ctx,
	struct bus_channel **out)
{
	struct bus_channel *chan = calloc(1, sizeof(*chan));
	int ret;

	if (!chan)
		return -ENOMEM;
	chan->bus = bus;
	chan->ops = ops;
	chan->ctx = ctx;
	chan->primary = primary;
	chan->class_id = params->class_id;
	chan->instance_id = params->instance_id;
	chan->flags = params->flags;
	chan->mmio_megabytes = params->mmio_megabytes;
	chan->monitored = params->monitored;
	chan->monitor_id = VMBUS_MONITOR_ID_NONE;
	if (params->user)
		memcpy(chan->user, params->user, sizeof(chan->user));
	chan->target_vp = VMBUS_VP_NONE;
	list_init(&chan->link);
	list_init(&chan->work);
	list_init(&chan->subs);
	list_init(&chan->gpadls);
	ret = relid_alloc(bus, chan, primary);
	if (ret) {
		free(chan);
		return ret;
	}
	if (chan->monitored)
		monitor_alloc(chan);
	*out = chan;
	return 0;
}

void channel_free(struct bus_channel *chan)
{
	assert(chan->state == BUS_CHANNEL_CLOSED && list_empty(&chan->subs));
	gpadl_drop_all(chan);
	list_del(&chan->link);
	list_del(&chan->work);
	relid_free(chan);
	monitor_free(chan);
	free(chan);
}

/* Frees a channel the guest does not know. */
static void channel_release(struct bus_channel *chan)
{
	/* Out of sight first: the device may offer the same instance again at once. */
	gpadl_drop_all(chan);
	list_del(&chan->link);
	relid_free(chan);
	monitor_free(chan);
	if (chan->primary)
		channel_queue(chan->primary);
	chan->ops->released(chan);
	assert(list_empty(&chan->work));
	free(chan);
}

void channel_send_offer(struct bus_channel *chan)
{
	struct vmbus_offer msg = {
		.class_id = chan->class_id,
		.instance_id = chan->instance_id,
		.flags = chan->flags,
		.mmio_megabytes = chan->mmio_megabytes,
		.sub_channel_index = chan->index,
		.relid = chan->relid,
		.monitor_id = chan->monitor_id,
		.monitor_allocated = chan->monitor_id != VMBUS_MONITOR_ID_NONE,
		.is_dedicated_interrupt = 1,
		.connection_id = bus_channel_connection_id(chan),
	};

	assert(chan->offer == OFFER_HIDDEN);
	memcpy(msg.user, chan->user, sizeof(msg.user));
	chan->offer = OFFER_MADE;
	chan->bus->counters.offers++;
	bus_send(chan->bus, VMBUS_MSG_OFFER, &msg, sizeof(msg));
}

/* By class, then instance. */
static int offer_compare(const struct bus_channel *a, const struct bus_channel *b)
{
	int order = memcmp(&a->class_id, &b->class_id, sizeof(a->class_id));

	return order ? order : memcmp(&a->instance_id, &b->instance_id, sizeof(a->instance_id));
}

static void primaries_insert(struct bus *bus, struct bus_channel *chan)
{
	struct list *before = &bus->primaries;

	list_for_each (pos, &bus->primaries) {
		if (offer_compare(container_of(pos, struct bus_channel, link), chan) > 0) {
			before = pos;
			break;
		}
	}
	/* Adding to the tail of a list that starts at `before` puts chan in front of it. */
	list_add_tail(before, &chan->link);
}

static bool instance_in_use(struct bus *bus, const struct hv_guid *instance)
{
	list_for_each (pos, &bus->primaries) {
		struct bus_channel *chan = container_of(pos, struct bus_channel, link);

		if (!memcmp(&chan->instance_id, instance, sizeof(*instance)))
			return true;
	}
	return false;
}

int bus_offer(struct bus *bus, const struct bus_offer_params *params,
	const struct bus_device_ops *ops, void *ctx, struct bus_channel **chan)
{
	int ret;

	if (bus->shut)
		return -ESHUTDOWN;
	if (instance_in_use(bus, &params->instance_id))
		return -EEXIST;
	ret = channel_create(bus, params, NULL, ops, ctx, chan);
	if (ret)
		return ret;
	bus_enter(bus);
	primaries_insert(bus, *chan);
	if (bus->offers_requested)
		channel_send_offer(*chan);
	bus_leave(bus);
	return 0;
}

static bool sub_index_in_use(struct bus_channel *primary, uint16_t index)
{
	list_for_each (pos, &primary->subs) {
		struct bus_channel *sub = container_of(pos, struct bus_channel, link);

		/* Those on their way out belong to an earlier open of the primary. */
		if (sub->index == index && !sub->rescind_wanted)
			return true;
	}
	return false;
}

static int sub_create(
	struct bus_channel *primary, uint16_t index, void *ctx, struct bus_channel **chan)
{
	const struct bus_offer_params params = {
		.class_id = primary->class_id,
		.instance_id = primary->instance_id,
		.flags = primary->flags,
		.monitored = primary->monitored,
		.user = primary->user,
	};
	int ret;

	if (primary->primary || !index)
		return -EINVAL;
	if (sub_index_in_use(primary, index))
		return -EEXIST;
	ret = channel_create(primary->bus, &params, primary, primary->ops, ctx, chan);
	if (ret)
		return ret;
	(*chan)->index = index;
	list_add_tail(&primary->subs, &(*chan)->link);
	return 0;
}

int bus_restore_subchannel(
	struct bus_channel *primary, uint16_t index, void *ctx, struct bus_channel **chan)
{
	int ret = sub_create(primary, index, ctx, chan);

	/* The image says which ids it has. */
	if (!ret) {
		relid_free(*chan);
		monitor_free(*chan);
		(*chan)->relid = 0;
	}
	return ret;
}

int bus_offer_subchannel(
	struct bus_channel *primary, uint16_t index, void *ctx, struct bus_channel **chan)
{
	struct bus *bus = primary->bus;
	int ret;

	if (primary->primary || !index)
		return -EINVAL;
	if ((primary->state != BUS_CHANNEL_OPEN && primary->state != BUS_CHANNEL_RETARGETING) ||
		primary->close_wanted || primary->rescind_wanted)
		return -ENOTCONN;
	ret = sub_create(primary, index, ctx, chan);
	if (ret)
		return ret;
	bus_enter(bus);
	channel_send_offer(*chan);
	bus_leave(bus);
	return 0;
}

/* ---- pending requests ---------------------------------------------------- */

/* Checks all of OPENCHANNEL; NULL when a field is wrong. */
static struct gpadl *open_decode(struct bus_channel *chan)
{
	const struct vmbus_open *msg = &chan->open;
	struct gpadl *ring = bus_gpadl_find(chan, msg->ring_gpadl);
	uint32_t pages;

	if (!ring || !gpadl_is_whole_pages(ring))
		return NULL;
	gpadl_pfns(ring, &pages);
	if (pages < 2 * RING_PAGES_MIN || msg->downstream_offset < RING_PAGES_MIN ||
		msg->downstream_offset > pages - RING_PAGES_MIN)
		return NULL;
	if (msg->target_vp >= chan->bus->config.vp_count && msg->target_vp != VMBUS_VP_NONE)
		return NULL;
	return ring;
}

/* -EINVAL: a field of chan->open is wrong. */
static int channel_open(struct bus_channel *chan, struct archive *restore)
{
	struct bus_open_params params = {
		.ring = open_decode(chan),
		.downstream_page = chan->open.downstream_offset,
		.target_vp = chan->open.target_vp,
		.user = chan->open.user,
		.restore = restore,
	};

	chan->open_queued = false;
	if (!params.ring)
		return -EINVAL;
	gpadl_get(params.ring);
	chan->ring = params.ring;
	chan->open_id = chan->open.open_id;
	chan->target_vp = params.target_vp;
	channel_set_state(chan, BUS_CHANNEL_OPENING);
	chan->ops->open(chan, &params);
	return 0;
}

static void channel_start_open(struct bus_channel *chan)
{
	if (!channel_open(chan, NULL))
		return;
	bus_bad(chan->bus, "OPENCHANNEL with bad ring or target VP");
	channel_send_open_result(chan, chan->open.open_id, false);
}

void channel_reopen(struct bus_channel *chan, struct archive *a)
{
	chan->restoring = true;
	if (channel_open(chan, a))
		archive_fail(a, "open channel with bad ring or target VP");
}

static void channel_cancel_open(struct bus_channel *chan)
{
	if (!chan->open_queued)
		return;
	chan->open_queued = false;
	channel_send_open_result(chan, chan->open.open_id, false);
}

static void channel_start_close(struct bus_channel *chan)
{
	if (chan->retarget_queued) {
		chan->retarget_queued = false;
		send_modify_response(chan->bus, chan->relid, false);
	}
	channel_set_state(chan, BUS_CHANNEL_CLOSING);
	chan->ops->close(chan);
}

static void channel_start_retarget(struct bus_channel *chan)
{
	chan->retarget_queued = false;
	chan->retarget_vp = chan->retarget_next;
	channel_set_state(chan, BUS_CHANNEL_RETARGETING);
	chan->ops->retarget(chan, chan->retarget_vp);
}

static void channel_send_rescind(struct bus_channel *chan)
{
	struct vmbus_relid_msg msg = {.relid = chan->relid};

	chan->offer = OFFER_RESCINDED;
	bus_send(chan->bus, VMBUS_MSG_RESCIND, &msg, sizeof(msg));
}

/* The offer ends, and nothing uses guest memory any more. */
static void channel_retract(struct bus_channel *chan)
{
	if (chan->offer == OFFER_MADE) {
		channel_cancel_open(chan);
		gpadl_fail_building(chan);
		channel_send_rescind(chan);
	} else if (chan->offer == OFFER_HIDDEN && list_empty(&chan->subs)) {
		channel_release(chan);
	}
}

void channel_advance(struct bus_channel *chan)
{
	if (chan->state == BUS_CHANNEL_OPEN && chan->close_wanted) {
		if (!chan->subs_busy)
			channel_start_close(chan);
	} else if (chan->state == BUS_CHANNEL_OPEN && chan->retarget_queued) {
		channel_start_retarget(chan);
	} else if (chan->state == BUS_CHANNEL_CLOSED && chan->bus->state != BUS_DISCONNECTING) {
		if (chan->rescind_wanted)
			channel_retract(chan);
		else if (chan->open_queued)
			channel_start_open(chan);
	}
}

static void channel_want_close(struct bus_channel *chan);

static void channel_want_rescind(struct bus_channel *chan)
{
	bool wanted = chan->rescind_wanted;

	chan->rescind_wanted = true;
	channel_want_close(chan);
	if (!wanted)
		channel_queue(chan);
}

static void channel_want_close(struct bus_channel *chan)
{
	if (chan->state == BUS_CHANNEL_CLOSED || chan->close_wanted)
		return;
	chan->close_wanted = true;
	list_for_each (pos, &chan->subs)
		channel_want_rescind(container_of(pos, struct bus_channel, link));
	channel_queue(chan);
}

void bus_rescind(struct bus_channel *chan)
{
	struct bus *bus = chan->bus;

	bus_enter(bus);
	channel_want_rescind(chan);
	bus_leave(bus);
}

static void channel_rescind_while_open(struct bus_channel *chan)
{
	bool open = chan->state == BUS_CHANNEL_OPEN || chan->state == BUS_CHANNEL_RETARGETING;
	bool known = chan->offer == OFFER_MADE && !chan->close_wanted;

	if (chan->rescind_wanted)
		return;
	if (known && open) {
		chan->rescind_wanted = true;
		channel_send_rescind(chan);
	} else if (known && chan->state == BUS_CHANNEL_CLOSED) {
		chan->rescind_wanted = true;
		channel_retract(chan); /* now: sub-channels before their primary */
	} else {
		channel_want_rescind(chan);
	}
}

void bus_rescind_while_open(struct bus_channel *chan)
{
	struct bus *bus = chan->bus;

	bus_enter(bus);
	list_for_each (pos, &chan->subs)
		channel_rescind_while_open(container_of(pos, struct bus_channel, link));
	channel_rescind_while_open(chan);
	bus_leave(bus);
}

void channel_disconnect(struct bus_channel *primary)
{
	channel_want_close(primary);
}

static void channel_forget_one(struct bus_channel *chan)
{
	gpadl_drop_all(chan);
	chan->offer = OFFER_HIDDEN;
	chan->open_queued = false;
	if (chan->primary)
		chan->rescind_wanted = true;
	if (chan->rescind_wanted)
		channel_queue(chan);
}

void channel_forget(struct bus_channel *primary)
{
	list_for_each (pos, &primary->subs)
		channel_forget_one(container_of(pos, struct bus_channel, link));
	channel_forget_one(primary);
}

/* ---- completions by the device ------------------------------------------- */

void bus_open_done(struct bus_channel *chan, bool ok)
{
	struct bus *bus = chan->bus;
	assert(chan->state == BUS_CHANNEL_OPENING);
	bus_enter(bus);
	bus->counters.opens += ok;
	if (!chan->restoring)
		channel_send_open_result(chan, chan->open_id, ok && !chan->close_wanted);
	chan->restoring = false;
	channel_set_state(chan, ok ? BUS_CHANNEL_OPEN : BUS_CHANNEL_CLOSED);
	bus_leave(bus);
}

void bus_close_done(struct bus_channel *chan)
{
	struct bus *bus = chan->bus;

	assert(chan->state == BUS_CHANNEL_CLOSING);
	bus_enter(bus);
	bus->counters.closes++;
	channel_set_state(chan, BUS_CHANNEL_CLOSED);
	bus_leave(bus);
}

void bus_retarget_done(struct bus_channel *chan, bool ok)
{
	struct bus *bus = chan->bus;

	assert(chan->state == BUS_CHANNEL_RETARGETING);
	bus_enter(bus);
	if (ok)
		chan->target_vp = chan->retarget_vp;
	send_modify_response(bus, chan->relid, ok);
	channel_set_state(chan, BUS_CHANNEL_OPEN);
	bus_leave(bus);
}

/* ---- guest messages ------------------------------------------------------ */

void channel_on_open(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_open *msg = bytes;
	struct bus_channel *chan = channel_by_relid(bus, msg->relid);

	if (!chan || (chan->offer == OFFER_MADE && channel_in_use(chan))) {
		bus_bad(bus, "OPENCHANNEL for a channel that cannot be opened");
		return;
	}
	/* The guest may not have seen the RESCIND yet: not an error. */
	if (chan->offer == OFFER_RESCINDED)
		return;
	chan->open = *msg;
	chan->open_queued = true;
	channel_queue(chan);
}

void channel_on_close(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_relid_msg *msg = bytes;
	struct bus_channel *chan = channel_by_relid(bus, msg->relid);

	if (!chan) {
		bus_bad(bus, "CLOSECHANNEL for an unknown relid");
	} else if (chan->open_queued) {
		channel_cancel_open(chan);
	} else if (chan->offer == OFFER_MADE && chan->state == BUS_CHANNEL_CLOSED) {
		bus_bad(bus, "CLOSECHANNEL for a closed channel");
	} else {
		channel_want_close(chan); /* nothing when RESCINDED */
	}
}

void channel_on_modify(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_modify_channel *msg = bytes;
	struct bus_channel *chan = channel_by_relid(bus, msg->relid);

	if (!chan || (chan->state != BUS_CHANNEL_OPEN && chan->state != BUS_CHANNEL_RETARGETING) ||
		chan->close_wanted || msg->target_vp >= bus->config.vp_count) {
		bus_bad(bus, "MODIFYCHANNEL for a channel that is not open, or a bad VP");
		send_modify_response(bus, msg->relid, false);
		return;
	}
	/* One waits behind the one in progress; a newer one replaces it. */
	if (chan->retarget_queued)
		send_modify_response(bus, chan->relid, false);
	chan->retarget_next = msg->target_vp;
	chan->retarget_queued = true;
	channel_queue(chan);
}

void channel_on_released(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_relid_msg *msg = bytes;
	struct bus_channel *chan = channel_by_relid(bus, msg->relid);

	/* A channel that opens still needs its OPENCHANNEL_RESULT. */
	if (!chan || (chan->offer == OFFER_MADE && channel_in_use(chan)) ||
		chan->state == BUS_CHANNEL_OPENING) {
		bus_bad(bus, "RELID_RELEASED for a relid unknown or in use");
		return;
	}
	channel_want_close(chan); /* nothing, unless it was rescinded while open */
	chan->offer = OFFER_HIDDEN;
	gpadl_drop_all(chan);
	if (chan->primary)
		chan->rescind_wanted = true;
	channel_queue(chan);
}
