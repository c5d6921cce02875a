/* SPDX-License-Identifier: MIT */
/*
 * Heartbeat: does the guest's kernel run? Linux answers in an interrupt handler, so
 * a guest whose user space is dead still beats.
 */
#include <string.h>

#include "base/log.h"
#include "vsp/ic/ic_impl.h"

struct heartbeat_channel {
	struct ic_channel ic;
	bool due;
	bool contact;         /* counter: it has answered since the channel was opened */
	uint32_t missed;      /* counter: ticks without an answer */
	uint32_t application; /* counter: IC_APPLICATION_* */
	uint64_t sequence;    /* counter */
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_heartbeat))];
};

static struct heartbeat_channel *heartbeat_of(struct ic_channel *c)
{
	return container_of(c, struct heartbeat_channel, ic);
}

/* ---- on the I/O thread --------------------------------------------------- */

static void ready(struct ic_channel *c)
{
	heartbeat_of(c)->due = true;
}

static void tick(struct ic_channel *c)
{
	struct heartbeat_channel *h = heartbeat_of(c);

	h->due = !c->waiting;
	if (h->due)
		return;
	counter_add(&h->missed, 1);
	if (h->contact && h->missed == IC_HEARTBEAT_LOST_TICKS)
		log_event(LOG_WARN, "heartbeat: the guest does not answer any more");
}

/* The guest may have been paused while it owed an answer. */
static void resumed(struct ic_channel *c)
{
	counter_set(&heartbeat_of(c)->missed, 0);
}

static uint32_t produce(struct ic_channel *c, void *body)
{
	struct heartbeat_channel *h = heartbeat_of(c);
	struct ic_heartbeat *beat = body;

	if (!h->due)
		return 0;
	h->due = false;
	beat->sequence = h->sequence;
	counter_add(&h->sequence, 2);
	return sizeof(*beat);
}

static void consume(struct ic_channel *c, uint32_t status, const void *body, uint32_t size)
{
	struct heartbeat_channel *h = heartbeat_of(c);
	struct ic_heartbeat beat = {0};

	memcpy(&beat, body, size < sizeof(beat) ? size : sizeof(beat));
	if (h->contact && h->missed >= IC_HEARTBEAT_LOST_TICKS)
		log_event(LOG_WARN, "heartbeat: the guest answers again");
	counter_set(&h->contact, true);
	counter_set(&h->missed, 0);
	counter_set(&h->application, beat.application);
}

/* ---- on the control thread ----------------------------------------------- */

static enum ic_heartbeat_state state_of(struct heartbeat_channel *h)
{
	if (counter_get(&h->ic.paused))
		return IC_HEARTBEAT_PAUSED;
	if (!counter_get(&h->contact))
		return IC_HEARTBEAT_NO_CONTACT;
	return counter_get(&h->missed) < IC_HEARTBEAT_LOST_TICKS ? IC_HEARTBEAT_OK
								 : IC_HEARTBEAT_LOST;
}

enum ic_heartbeat_state ic_heartbeat_state(struct vsp_device *dev)
{
	struct vsp_channel *ch = dev ? vsp_device_primary(dev) : NULL;

	return ch ? state_of(vsp_channel_priv(ch)) : IC_HEARTBEAT_NO_CONTACT;
}

const char *ic_heartbeat_state_name(enum ic_heartbeat_state state)
{
	static const char *const names[] = {
		[IC_HEARTBEAT_NO_CONTACT] = "no contact",
		[IC_HEARTBEAT_OK] = "ok",
		[IC_HEARTBEAT_LOST] = "lost",
		[IC_HEARTBEAT_PAUSED] = "paused",
	};

	return names[state];
}

static const char *application_name(uint32_t application)
{
	static const char *const names[] = {"unknown", "healthy", "critical", "stopped"};

	return application < sizeof(names) / sizeof(names[0]) ? names[application] : "unknown";
}

static void inspect(struct ic_channel *c, struct inspect *i)
{
	struct heartbeat_channel *h = heartbeat_of(c);

	inspect_text(i, "heartbeat", ic_heartbeat_state_name(state_of(h)));
	inspect_text(i, "application", application_name(counter_get(&h->application)));
	inspect_u64(i, "missed", counter_get(&h->missed));
}

const struct ic_service ic_heartbeat = {
	.vsp = IC_VSP("heartbeat", IC_HEARTBEAT_CLASS, struct heartbeat_channel),
	.name = "heartbeat",
	.needs = "the module hv_utils",
	.instance = IC_HEARTBEAT_INSTANCE,
	.type = IC_HEARTBEAT,
	.version_count = 2,
	.versions = {{1, 0}, {3, 0}},
	.body_max = sizeof(struct ic_heartbeat),
	.message = offsetof(struct heartbeat_channel, message),
	.tick_ns = IC_HEARTBEAT_NS,
	.lazy = true,
	.ready = ready,
	.tick = tick,
	.resumed = resumed,
	.produce = produce,
	.consume = consume,
	.inspect = inspect,
};
