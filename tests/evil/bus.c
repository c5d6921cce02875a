/* SPDX-License-Identifier: MIT */
/*
 * Lies on the bus. Most messages keep the guest waiting when they are spoiled, so what is spoiled
 * is a copy; the true one follows, but for a few.
 */
#include <string.h>

#include "hv/vmbus_msgs.h"
#include "tests/evil/evil.h"
#include "tests/evil/wrap.h"

#define RELIDS 64u /* that a test comes to use */

struct message {
	uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	uint32_t size;
};

static void set_type(struct message *m, uint32_t type)
{
	memcpy(m->bytes, &type, sizeof(type));
}

/* A message of another type, with the numbers that the true one has. */
static void invent(struct message *m)
{
	set_type(m, evil_random(28));
	m->size = evil_random(2) ? VMBUS_MESSAGE_SIZE_MAX : evil_random(VMBUS_MESSAGE_SIZE_MAX + 1);
}

/* The guest is to know what it is offered, and what it has. */
static void offer(struct message *m)
{
	struct vmbus_offer o;

	for (uint32_t i = 0; i < sizeof(m->bytes); i++)
		m->bytes[i] = (uint8_t)evil_random(256);
	memcpy(&o, m->bytes, sizeof(o));
	o.h.type = VMBUS_MSG_OFFER;
	o.relid = RELIDS + evil_random(VMBUS_RELID_MAX - RELIDS);
	o.sub_channel_index = (uint16_t)evil_random(2);
	memcpy(m->bytes, &o, sizeof(o));
	m->size = sizeof(o);
}

/* Not of a true channel. */
static void rescind(struct message *m)
{
	struct vmbus_relid_msg r = {.h.type = VMBUS_MSG_RESCIND,
		.relid = RELIDS + evil_random(VMBUS_RELID_MAX - RELIDS)};

	memcpy(m->bytes, &r, sizeof(r));
	m->size = sizeof(r);
}

static uint32_t type_of(const struct message *m)
{
	uint32_t type;

	memcpy(&type, m->bytes, sizeof(type));
	return type;
}

/* A device that is offered under another number first would not be taken under its own. */
static void spoil(struct message *m)
{
	if (type_of(m) == VMBUS_MSG_OFFER)
		return offer(m);
	switch (evil_random(5)) {
	case 0:
		return invent(m);
	case 1:
		return offer(m);
	case 2:
		return rescind(m);
	case 3:
		return; /* twice */
	default:
		evil_spoil(m->bytes, m->size);
	}
}

/* A rescind of what a test runs from ends it. */
static bool ends_a_channel(const struct message *m)
{
	struct vmbus_relid_msg r;

	memcpy(&r, m->bytes, sizeof(r));
	return type_of(m) == VMBUS_MSG_RESCIND && r.relid < RELIDS;
}

int __wrap_synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, uint64_t sender,
	const void *payload, uint32_t size)
{
	struct message m = {.size = size};

	if (size > sizeof(m.bytes) || !evil_now_on_bus())
		return __real_synic_post(hv, vp, sint, type, sender, payload, size);
	memcpy(m.bytes, payload, size);
	spoil(&m);
	if (!ends_a_channel(&m))
		__real_synic_post(hv, vp, sint, type, sender, m.bytes, m.size);
	return evil_loses() ? 0 : __real_synic_post(hv, vp, sint, type, sender, payload, size);
}
