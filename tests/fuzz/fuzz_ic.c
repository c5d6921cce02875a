/* SPDX-License-Identifier: MIT */
/*
 * A guest that answers its integration services with anything: right answers,
 * spoiled ones, several, none; that opens and closes channels, while the host
 * sends requests of every kind, freezes, copies a file, pauses.
 *
 * Oracles: the host never has two messages with the guest; what it sends is whole
 * and of its kind; every request ends exactly once; texts from the guest are UTF-8.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "tests/fuzz/input.h"
#include "tests/support/guest_ic.h"
#include "tests/support/guest_pauser.h"
#include "vsp/ic/copy.h"
#include "vsp/ic/freeze.h"
#include "vsp/ic/kvp.h"
#include "vsp/ic/shutdown.h"

#define OPS_MAX      200u
#define REQUESTS_MAX 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- what the host reads ------------------------------------------------- */

static bool ref_time(void *ctx, uint64_t *time)
{
	*time = 1;
	return true;
}

static const struct ic_timesync_settings time_settings = {.ref_time = ref_time};
static const struct ic_kvp_settings kvp_settings = {.facts = {{"HostName", "x"}, {"Name", "y"}}};

static const struct ic_config configs[] = {
	{.service = &ic_heartbeat, .tick_ns = 1},
	{.service = &ic_shutdown},
	{.service = &ic_timesync, .settings = &time_settings, .tick_ns = 1},
	{.service = &ic_kvp, .settings = &kvp_settings},
	{.service = &ic_vss},
	{.service = &ic_copy},
};

#define SERVICES (sizeof(configs) / sizeof(configs[0]))

struct ask {
	struct ic_kvp_request kvp; /* the largest; its request is used for all */
	struct ic_shutdown_request shutdown;
	bool started, walks;
};

struct target {
	struct guest_ic *s;
	struct input in;
	uint32_t service;
	bool open, holds, guessed, paused, copying, freezing, thawing;
	/* What the host sent: answers spoil the message. Its body is aligned. */
	_Alignas(8) uint32_t asked_len;
	union {
		struct ic_header header;
		uint8_t bytes[GUEST_IC_PACKET];
	} asked;
	struct ask asks[REQUESTS_MAX];
	struct ic_freeze freeze;
	struct ic_copy_job *job;
	char file[32];
};

/* ---- the guest ----------------------------------------------------------- */

static uint8_t byte(struct target *t)
{
	return (uint8_t)take(&t->in, 1);
}

static void hold(struct target *t)
{
	t->holds = true;
	t->asked_len = t->s->len;
	memcpy(t->asked.bytes, t->s->message.bytes, t->s->len);
}

static void take_message(struct target *t)
{
	if (!t->open || !guest_ic_take(t->s))
		return;
	check(!t->holds || t->guessed); /* one at a time */
	hold(t);
}

/* Packets are multiples of 8 bytes: a header that is cut behind its flags is whole for the host. */
static bool is_answer(const struct target *t, uint32_t len)
{
	const struct ic_header *h = &t->s->message.header;

	return len > offsetof(struct ic_header, flags) && h->type == t->asked.header.type &&
	       h->transaction == t->asked.header.transaction && h->flags & IC_FLAG_RESPONSE;
}

/* An answer to a message that the guest has not read: the host sends the next one behind it. */
static bool is_guess(const struct target *t)
{
	uint8_t ahead = (uint8_t)(t->s->message.header.transaction - t->asked.header.transaction);

	return !t->holds && ahead - 1u < INT8_MAX;
}

/* The guest may send before it has read. */
static bool has_room(struct target *t, uint32_t len)
{
	return guest_chan_send(
		&t->s->chan, VMBUS_PKT_INBAND, 0, byte(t), NULL, t->s->message.bytes, len);
}

static void answer(struct target *t, bool spoil)
{
	struct ic_header *h = &t->s->message.header;
	uint32_t len = t->s->len;

	if (!t->open)
		return;
	h->flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	h->status = byte(t) & 1 ? (uint32_t)take(&t->in, 4) : 0;
	for (uint32_t n = spoil ? byte(t) : 0; n && t->in.left; n--)
		t->s->message.bytes[take(&t->in, 2) % sizeof(t->s->message.bytes)] = byte(t);
	if (spoil && byte(t) & 1)
		len = (uint32_t)take(&t->in, 2) % 8000;
	if (!has_room(t, len))
		return;
	t->guessed |= is_guess(t);
	if (is_answer(t, len))
		t->holds = false; /* the host may take it for the answer */
}

/* The host's list, with one of each left. */
static void negotiate(struct target *t)
{
	const struct ic_negotiate *n = (const void *)(&t->asked.header + 1);

	if (!t->open || !t->holds || t->asked.header.type != IC_NEGOTIATE)
		return;
	t->s->len = t->asked_len;
	memcpy(t->s->message.bytes, t->asked.bytes, t->asked_len);
	guest_ic_answer_versions(t->s, n->versions[n->frameworks - 1],
		n->versions[n->frameworks + byte(t) % n->messages]);
	t->holds = false;
}

static void open_or_close(struct target *t)
{
	if (t->paused)
		return;
	if (t->open) {
		guest_chan_close(&t->s->chan);
	} else {
		guest_ic_open(t->s);
		t->guessed = false;
		hold(t);
	}
	t->open = !t->open;
	if (!t->open)
		t->holds = false;
}

/* ---- the host ------------------------------------------------------------ */

static void is_text(const char *text)
{
	json_t *json = json_string(text);

	check(json);
	json_decref(json);
}

static void kvp_done(struct ic_request *r)
{
	struct ask *a = container_of(r, struct ask, kvp.request);
	static struct ic_kvp_addresses addresses;
	static struct ic_kvp_item item;
	struct err e;

	check(a->started);
	a->started = false;
	ic_request_error(&ic_kvp, r, "x", &e);
	if (ic_kvp_item(&a->kvp, &item)) {
		is_text(item.key);
		is_text(item.value);
	}
	ic_kvp_addresses(&a->kvp, &addresses);
	is_text(addresses.addresses);
	is_text(addresses.dns);
}

static void shutdown_done(struct ic_request *r)
{
	struct ask *a = container_of(r, struct ask, shutdown.request);

	check(a->started);
	a->started = false;
}

static void start_kvp(struct target *t, struct ask *a)
{
	static const uint8_t mac[6];
	static const struct hv_guid guid;
	static const struct ic_kvp_addresses none;
	enum ic_kvp_pool pool = byte(t) % IC_KVP_POOLS;
	struct err e;

	switch (byte(t) % 5) {
	case 0:
		check(!ic_kvp_fill_set(&a->kvp, pool, "key", "value", &e));
		break;
	case 1:
		check(!ic_kvp_fill_delete(&a->kvp, pool, "key", &e));
		break;
	case 2:
		ic_kvp_fill_enumerate(&a->kvp, pool, byte(t));
		break;
	case 3:
		ic_kvp_fill_get_ip(&a->kvp, mac);
		break;
	case 4:
		check(!ic_kvp_fill_set_ip(&a->kvp, &guid, &none, &e));
		break;
	}
	a->kvp.request.timeout_ns = byte(t) & 1;
	a->kvp.request.done = kvp_done;
	ic_request_start(t->s->dev, &a->kvp.request);
}

static void start_freeze_done(void *ctx, const struct err *e)
{
	struct target *t = ctx;

	check(t->freezing);
	t->freezing = false;
}

static void thaw_done(void *ctx, const struct err *e)
{
	struct target *t = ctx;

	check(t->thawing);
	t->thawing = false;
}

static void freeze_or_thaw(struct target *t)
{
	if (byte(t) & 1 && !t->freezing) {
		t->freezing = true;
		ic_freeze(&t->freeze, byte(t) & 1 ? 1 : 1000000000, start_freeze_done, t);
	} else if (!t->thawing) {
		t->thawing = true;
		ic_thaw(&t->freeze, thaw_done, t);
	}
}

static void copy_done(void *ctx, const struct err *e)
{
	struct target *t = ctx;

	check(t->copying);
	t->copying = false;
}

static void start_copy(struct target *t)
{
	const struct ic_copy_params params = {.file = t->file, .directory = "/", .name = "x"};
	struct err e;

	if (t->copying)
		return;
	t->copying = true;
	check(!ic_copy_start(&t->job, &t->s->g.control, &t->s->dev, &params, copy_done, t, &e));
}

/* On the control thread. */
static void request(void *arg)
{
	struct target *t = arg;
	struct ask *a = &t->asks[byte(t) % REQUESTS_MAX];

	if (configs[t->service].service == &ic_vss) {
		freeze_or_thaw(t);
	} else if (configs[t->service].service == &ic_copy) {
		start_copy(t);
	} else if (!a->started && configs[t->service].service == &ic_kvp) {
		a->started = true;
		start_kvp(t, a);
	} else if (!a->started && configs[t->service].service == &ic_shutdown) {
		a->started = true;
		a->shutdown.request.timeout_ns = byte(t) & 1;
		a->shutdown.request.done = shutdown_done;
		ic_shutdown_start(t->s->dev, &a->shutdown, byte(t) & 1);
	}
}

/* ---- one run ------------------------------------------------------------- */

static void step(struct target *t)
{
	switch (byte(t) % 10) {
	case 0:
		open_or_close(t);
		break;
	case 1:
	case 2:
		negotiate(t);
		break;
	case 3:
	case 4:
		answer(t, false);
		break;
	case 5:
		answer(t, true);
		break;
	case 6:
	case 7:
		request(t);
		break;
	case 8:
		guest_pause_or_resume(&t->s->g, t->s->dev, &t->paused);
		break;
	case 9:
		guest_ic_state(t->s);
		break;
	}
	guest_turn(&t->s->g);
	guest_turn(&t->s->g);
	take_message(t);
}

static void begin(struct target *t)
{
	int fd;

	t->service = byte(t) % SERVICES;
	t->s = guest_ic_create(&configs[t->service], 0);
	ic_freeze_init(&t->freeze, &t->s->g.control, &t->s->dev);
	snprintf(t->file, sizeof(t->file), "/tmp/fuzz_ic.XXXXXX");
	if (configs[t->service].service != &ic_copy)
		return;
	fd = mkstemp(t->file);
	check(fd >= 0 && !ftruncate(fd, 20000));
	close(fd);
}

/* Everything ends with the guest. */
static void end(struct target *t)
{
	if (t->paused)
		guest_pause_or_resume(&t->s->g, t->s->dev, &t->paused);
	if (t->open)
		guest_chan_close(&t->s->chan);
	while (t->copying)
		guest_turn(&t->s->g);
	guest_shut_down(&t->s->g);
	ic_freeze_guest_gone(&t->freeze);
	for (uint32_t i = 0; i < REQUESTS_MAX; i++)
		check(!t->asks[i].started);
	check(!t->freezing && !t->thawing);
	guest_ic_destroy(t->s);
	unlink(t->file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct target t;

	memset(&t, 0, sizeof(t));
	t.in = (struct input){data, size};
	begin(&t);
	for (uint32_t i = 0; i < OPS_MAX && t.in.left; i++)
		step(&t);
	end(&t);
	return 0;
}
