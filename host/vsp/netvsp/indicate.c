/* SPDX-License-Identifier: MIT */
/*
 * Indications, which the guest does not ask for: link, its speed, offloads. One indication is
 * with the guest at a time; the next one shows the state of then, so a link that
 * flaps faster than the guest reads is seen in its last state.
 *
 * ON_IO_THREAD(primary).
 */
#include <string.h>

#include "vsp/netvsp/netvsp_impl.h"

#define INFO_OFFSET (sizeof(struct rndis_indicate) - RNDIS_OFFSET_BASE)

static void note_link(struct netvsp_channel *c)
{
	atomic_store(&c->device->link_down_seen,
		!c->indicated.link && c->indicated.status != RNDIS_STATUS_MEDIA_DISCONNECT);
}

/* False: later, when a control section is free. */
static bool indicate(struct netvsp_channel *c, uint32_t status, const void *info, uint32_t len)
{
	const struct rndis_indicate message = {
		.header = {RNDIS_INDICATE, sizeof(message) + len},
		.status = status,
		.buffer_length = len,
		.buffer_offset = INFO_OFFSET,
	};
	struct netvsp_reply *reply = control_reply(c);

	if (!reply)
		return false;
	memcpy(reply->bytes, &message, sizeof(message));
	if (len)
		memcpy(reply->bytes + sizeof(message), info, len);
	reply->length = message.header.length;
	c->indicated.reply = reply;
	c->indicated.status = status;
	return true;
}

static bool indicate_link(struct netvsp_channel *c)
{
	bool up = netvsp_link_up(c->device);

	if (c->indicated.link == up ||
		!indicate(c, up ? RNDIS_STATUS_MEDIA_CONNECT : RNDIS_STATUS_MEDIA_DISCONNECT, NULL,
			0))
		return false;
	c->indicated.link = up;
	atomic_store(&c->device->link_shown_ns, loop_now_ns());
	note_link(c);
	return true;
}

/* A guest that knows this indication says so by the capability "teaming". */
static bool indicate_speed(struct netvsp_channel *c)
{
	uint32_t units = oid_speed(c->device);

	if (c->indicated.speed == units || !(c->settings.capabilities & NVSP_CAP_TEAMING) ||
		!indicate(c, RNDIS_STATUS_LINK_SPEED_CHANGE, &units, sizeof(units)))
		return false;
	c->indicated.speed = units;
	return true;
}

/* Windows waits for it after it has changed an offload. */
static bool indicate_offloads(struct netvsp_channel *c)
{
	struct ndis_offload o;

	if (!c->indicated.offloads_due)
		return false;
	oid_offloads_in_use(c->device, &o);
	if (!indicate(c, RNDIS_STATUS_OFFLOAD_CONFIG, &o, NDIS_OFFLOAD_SIZE_3))
		return false;
	c->indicated.offloads_due = false;
	return true;
}

void indicate_changes(struct netvsp_channel *c)
{
	if (!c->primary || !c->open || c->stopping || c->paused || !c->settings.running ||
		c->indicated.reply)
		return;
	if (indicate_link(c) || indicate_speed(c) || indicate_offloads(c))
		control_send(c, c->indicated.reply);
}

void indicate_offloads_changed(struct netvsp_channel *c)
{
	c->indicated.offloads_due = true;
	indicate_changes(c);
}

void indicate_known(struct netvsp_channel *c)
{
	c->indicated.link = netvsp_link_up(c->device);
	c->indicated.speed = oid_speed(c->device);
	note_link(c);
}

void indicate_ended(struct netvsp_channel *c, const struct netvsp_reply *reply)
{
	if (c->indicated.reply != reply)
		return;
	c->indicated.reply = NULL;
	c->indicated.status = 0;
	note_link(c);
}
