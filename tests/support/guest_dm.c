/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_dm.h"

#include <stdlib.h>
#include <string.h>

#include "base/gmem_pages.h"
#include "tests/support/check.h"
#include "tests/support/guest_inspect.h"

/* ---- life ---------------------------------------------------------------- */

static int add(void *ctx, uint64_t size)
{
	struct guest_dm *s = ctx;
	int ret = s->add_error;

	s->adds++;
	if (!ret)
		ret = gmem_map_added(&s->g.gmem, size);
	if (!ret)
		gmem_publish_added(&s->g.gmem, size);
	return ret;
}

static struct guest_dm *create(
	bool shared, uint32_t io_threads, bool (*is_ready)(void *ctx), bool (*is_dump)(void *ctx))
{
	const struct guest_config gc = {
		.ram = GUEST_DM_RAM,
		.vps = 1,
		.io_threads = io_threads,
		.shared = shared,
		.dynamic = true,
		.more = GUEST_DM_MAX - GUEST_DM_RAM,
	};
	struct guest_dm *s = calloc(1, sizeof(*s));

	check(s);
	s->config = (struct dynmem_config){
		.min = GUEST_DM_MIN,
		.max = GUEST_DM_MAX,
		.buffer = 20,
		.add = add,
		.is_ready = is_ready,
		.is_dump = is_dump,
		.ctx = s,
		.retry_ns = 1000000,
	};
	guest_start(&s->g, &gc);
	s->dev = guest_add_device(&s->g, &dynmem_ops, GUEST_DM_INSTANCE, &s->config);
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	return s;
}

struct guest_dm *guest_dm_create(bool shared, uint32_t io_threads)
{
	return create(shared, io_threads, NULL, NULL);
}

struct guest_dm *guest_dm_create_with(bool shared, uint32_t io_threads, bool (*is_ready)(void *ctx))
{
	return create(shared, io_threads, is_ready, NULL);
}

struct guest_dm *guest_dm_create_dump(bool (*is_dump)(void *ctx))
{
	return create(false, 1, NULL, is_dump);
}

void guest_dm_destroy(struct guest_dm *s)
{
	guest_stop(&s->g);
	free(s);
}

void guest_dm_open(struct guest_dm *s)
{
	struct vmbus_offer offer =
		guest_wait_offer(&s->g, &dynmem_ops.class_id, GUEST_DM_INSTANCE, 0);

	check(guest_chan_open(&s->chan, &s->g, &offer, GUEST_DM_RING_PAGES, 0));
}

void guest_dm_open_ready(struct guest_dm *s)
{
	struct dm_version_request m = {.major = 2};

	guest_dm_open(s);
	guest_dm_say(s, DM_VERSION_REQUEST, &m, sizeof(m));
	guest_dm_expect(s, DM_VERSION_RESPONSE);
	check(s->message.response.flags == DM_ACCEPTED);
	guest_dm_capabilities(
		s, DM_CAN_BALLOON | DM_CAN_HOT_ADD | GUEST_DM_ALIGNMENT << DM_ALIGNMENT_SHIFT);
	guest_dm_expect(s, DM_CAPABILITIES_RESPONSE);
	check(s->message.response.flags == DM_ACCEPTED);
	guest_dm_expect(s, DM_INFO);
}

/* ---- messages ------------------------------------------------------------ */

bool guest_dm_take(struct guest_dm *s)
{
	struct vmbus_pkt pkt;

	if (!guest_chan_receive_into(&s->chan, &pkt, s->packet, sizeof(s->packet)))
		return false;
	guest_chan_publish(&s->chan);
	check(pkt.desc.type == VMBUS_PKT_INBAND && pkt.payload_len <= DM_MESSAGE_MAX);
	memcpy(s->message.bytes, pkt.payload, pkt.payload_len);
	s->len = s->message.header.size;
	check(s->len <= pkt.payload_len && s->len + 8 > pkt.payload_len);
	return true;
}

void guest_dm_expect(struct guest_dm *s, enum dm_type type)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (!guest_dm_take(s)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
	check(s->message.header.type == type);
}

bool guest_dm_is_silent(struct guest_dm *s)
{
	for (uint32_t i = 0; i < 50; i++) {
		if (guest_dm_take(s))
			return false;
		guest_run_host(&s->g);
	}
	return true;
}

void guest_dm_wait_fault(struct guest_dm *s)
{
	guest_wait_rescind(&s->g, s->chan.offer.relid);
}

bool guest_dm_send(struct guest_dm *s, const void *bytes, uint32_t len)
{
	return guest_chan_send(&s->chan, VMBUS_PKT_INBAND, 0, 0, NULL, bytes, len);
}

void guest_dm_say(struct guest_dm *s, enum dm_type type, void *message, uint32_t len)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;
	struct dm_header *h = message;

	h->type = type;
	h->size = (uint16_t)len;
	while (!guest_dm_send(s, message, len)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
}

void guest_dm_capabilities(struct guest_dm *s, uint64_t flags)
{
	struct dm_capabilities m = {.flags = flags, .max_page = UINT64_MAX};

	guest_dm_say(s, DM_CAPABILITIES, &m, sizeof(m));
}

void guest_dm_report(struct guest_dm *s, uint64_t available, uint64_t committed)
{
	struct dm_status m = {
		.available = available >> DM_PAGE_SHIFT, .committed = committed >> DM_PAGE_SHIFT};

	guest_dm_say(s, DM_STATUS, &m, sizeof(m));
}

void guest_dm_balloon(struct guest_dm *s, const uint64_t *ranges, uint32_t count, bool more)
{
	_Alignas(8) uint8_t bytes[DM_MESSAGE_MAX];
	struct dm_balloon_response *m = (void *)bytes;

	*m = (struct dm_balloon_response){
		.count = count << DM_RESPONSE_COUNT_SHIFT | (more ? DM_RESPONSE_MORE : 0)};
	if (count)
		memcpy(m + 1, ranges, count * sizeof(*ranges));
	guest_dm_say(s, DM_BALLOON_RESPONSE, m, (uint32_t)(sizeof(*m) + count * sizeof(*ranges)));
}

void guest_dm_added(struct guest_dm *s, uint64_t bytes, uint32_t result)
{
	struct dm_hot_add_response m = {
		.pages = (uint32_t)(bytes >> DM_PAGE_SHIFT), .result = result};

	guest_dm_say(s, DM_HOT_ADD_RESPONSE, &m, sizeof(m));
}

/* ---- the host ------------------------------------------------------------ */

struct query {
	struct guest_dm *s;
	uint64_t bytes;
	struct dynmem_status status;
};

static void set_target(void *arg)
{
	struct query *q = arg;

	dynmem_set_wanted(q->s->dev, q->bytes);
}

void guest_dm_target(struct guest_dm *s, uint64_t bytes)
{
	struct query q = {.s = s, .bytes = bytes};

	guest_control(&s->g, set_target, &q);
}

static void get_status(void *arg)
{
	struct query *q = arg;

	dynmem_status(q->s->dev, &q->status);
}

struct dynmem_status guest_dm_status(struct guest_dm *s)
{
	struct query q = {.s = s};

	guest_control(&s->g, get_status, &q);
	return q.status;
}

void guest_dm_wait_granted(struct guest_dm *s, uint64_t bytes)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;
	struct dynmem_status status = guest_dm_status(s);

	while (status.granted != bytes || strcmp(status.state, "idle")) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
		status = guest_dm_status(s);
	}
}

uint64_t guest_dm_count(struct guest_dm *s, const char *key)
{
	return guest_channel_count(&s->g, s->dev, key);
}
