/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest on the dynamic memory channel: real bus, VSP and page table, everything on one
 * loop but the release of pages. The input is a script: messages that are right, wrong or random,
 * targets, pauses, closes.
 *
 * Invariants: what is granted is between nothing and the maximum; a page that the guest has not
 * handed over keeps its contents; after a close nothing is out; the host survives.
 */
#include <string.h>

#include "base/gmem_pages.h"
#include "tests/fuzz/input.h"
#include "tests/support/guest_dm.h"
#include "tests/support/guest_pauser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPS_MAX 100u
#define MIB     (1ull << 20)

struct target {
	struct guest_dm *s;
	struct input in;
	bool open, paused;
};

static uint8_t byte(struct target *t)
{
	return (uint8_t)take(&t->in, 1);
}

/* The ring may be full, since this guest does not always wait. */
static void say(struct target *t, enum dm_type type, void *message, uint32_t len)
{
	struct dm_header *h = message;

	h->type = type;
	h->size = (uint16_t)len;
	if (byte(t) == 0)
		h->size = (uint16_t)take(&t->in, 2);
	guest_dm_send(t->s, message, len);
}

/* Most are in RAM. The first MiB has the rings, and is the guest's own mistake. */
static uint64_t range(struct target *t)
{
	uint8_t how = byte(t);

	if (how < 8)
		return take(&t->in, 8);
	if (how < 16)
		return GUEST_DM_RANGE(GMEM_HIGH_START + take(&t->in, 2) * 4096, byte(t));
	return GUEST_DM_RANGE(take(&t->in, 2) * 4096ull, how < 200 ? 1 : 512);
}

static void balloon(struct target *t)
{
	_Alignas(8) uint8_t bytes[DM_MESSAGE_MAX];
	struct dm_balloon_response *m = (void *)bytes;
	uint64_t *ranges = (uint64_t *)(m + 1);
	uint32_t count = byte(t) % 32, claimed = byte(t) ? count : (uint32_t)take(&t->in, 4);

	*m = (struct dm_balloon_response){
		.count = claimed << DM_RESPONSE_COUNT_SHIFT | (byte(t) & 1)};
	for (uint32_t i = 0; i < count; i++)
		ranges[i] = range(t);
	say(t, DM_BALLOON_RESPONSE, m, (uint32_t)(sizeof(*m) + count * sizeof(*ranges)));
}

static void answer(struct target *t)
{
	struct dm_version_request version = {.major = byte(t) % 4};
	struct dm_capabilities capabilities = {.flags = byte(t)};
	struct dm_status status = {
		.available = take(&t->in, 4), .committed = take(&t->in, byte(t) & 8)};
	struct dm_hot_add_response added = {
		.pages = byte(t) & 1 ? 32768 : (uint32_t)take(&t->in, 4), .result = byte(t) & 1};
	struct dm_header given;

	switch (byte(t) % 6) {
	case 0:
		say(t, DM_VERSION_REQUEST, &version, sizeof(version));
		break;
	case 1:
		say(t, DM_CAPABILITIES, &capabilities, sizeof(capabilities));
		break;
	case 2:
		say(t, DM_STATUS, &status, sizeof(status));
		break;
	case 3:
		balloon(t);
		break;
	case 4:
		say(t, DM_UNBALLOON_RESPONSE, &given, sizeof(given));
		break;
	case 5:
		say(t, DM_HOT_ADD_RESPONSE, &added, sizeof(added));
		break;
	}
}

static void random_bytes(struct target *t)
{
	_Alignas(8) uint8_t bytes[64];

	take_bytes(&t->in, bytes, sizeof(bytes));
	guest_dm_send(t->s, bytes, byte(t) % sizeof(bytes));
}

/* A fault that the guest has not noticed: the device is offered again only after a second. */
static bool is_gone(struct target *t)
{
	guest_turn(&t->s->g);
	guest_turn(&t->s->g);
	return guest_is_rescinded(&t->s->g, t->s->chan.offer.relid);
}

static void open_or_close(struct target *t)
{
	if (t->paused)
		return;
	if (!t->open && is_gone(t)) {
		t->in.left = 0;
		return;
	}
	if (t->open)
		guest_chan_close(&t->s->chan);
	else
		guest_dm_open_ready(t->s);
	t->open = !t->open;
	if (!t->open)
		check(!gmem_pages_out(&t->s->g.gmem));
}

/* ---- what must always hold ----------------------------------------------- */

static void check_amounts(struct target *t)
{
	struct dynmem_status status = guest_dm_status(t->s);

	check(status.granted <= GUEST_DM_MAX);
	check(status.target >= GUEST_DM_MIN && status.target <= GUEST_DM_MAX);
	check(status.out == gmem_pages_out(&t->s->g.gmem) * GMEM_PAGE_SIZE);
	check(status.added <= GUEST_DM_MAX - GUEST_DM_RAM);
	check(status.added <= t->s->g.gmem.added_size);
	check(status.granted + status.out == GUEST_DM_RAM + status.added);
}

/* The host gives only pages that are out no more, and never one twice. */
static void take_host_message(struct target *t)
{
	if (!t->open || !guest_dm_take(t->s))
		return;
	if (t->s->message.header.type == DM_HOT_ADD_REQUEST)
		check((t->s->message.add.range & DM_RANGE_PFN_MASK) >= GMEM_HIGH_START >>
			DM_PAGE_SHIFT);
	if (t->s->message.header.type == DM_UNBALLOON_REQUEST)
		check(t->s->message.give.count && t->s->message.give.count <= DM_RANGES_MAX);
}

/* When it is faulted, the guest releases it, and has no channel any more. */
static void notice_fault(struct target *t)
{
	if (!t->open || !guest_is_rescinded(&t->s->g, t->s->chan.offer.relid))
		return;
	if (t->paused)
		guest_pause_or_resume(&t->s->g, t->s->dev, &t->paused);
	guest_chan_close(&t->s->chan);
	check(!gmem_pages_out(&t->s->g.gmem));
	t->open = false;
	t->in.left = 0;
}

static void step(struct target *t)
{
	switch (byte(t) % 10) {
	case 0:
		open_or_close(t);
		break;
	case 1:
		guest_pause_or_resume(&t->s->g, t->s->dev, &t->paused);
		break;
	case 2:
	case 3:
		guest_dm_target(t->s, take(&t->in, 1) * 3 * MIB);
		break;
	case 4:
		if (t->open)
			random_bytes(t);
		break;
	default:
		if (t->open)
			answer(t);
	}
	guest_turn(&t->s->g);
	guest_turn(&t->s->g);
	take_host_message(t);
	check_amounts(t);
	notice_fault(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct target t = {.in = {data, size}};

	t.s = guest_dm_create(byte(&t) & 1, 0);
	open_or_close(&t);
	for (uint32_t i = 0; i < OPS_MAX && t.in.left; i++)
		step(&t);
	if (t.paused)
		guest_pause_or_resume(&t.s->g, t.s->dev, &t.paused);
	if (t.open)
		open_or_close(&t);
	check(!gmem_pages_out(&t.s->g.gmem));
	guest_dm_destroy(t.s);
	return 0;
}
