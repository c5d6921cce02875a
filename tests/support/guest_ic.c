/* SPDX-License-Identifier: MIT */
#include "tests/support/guest_ic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/guest_inspect.h"

/* ---- life ---------------------------------------------------------------- */

struct guest_ic *guest_ic_create(const struct ic_config *config, uint32_t io_threads)
{
	const struct guest_config gc = {.ram = GUEST_IC_RAM, .vps = 1, .io_threads = io_threads};
	struct guest_ic *s = calloc(1, sizeof(*s));

	check(s);
	s->config = *config;
	guest_start(&s->g, &gc);
	s->dev =
		guest_add_device(&s->g, ic_vsp_ops(config->service), GUEST_IC_INSTANCE, &s->config);
	guest_connect(&s->g, VMBUS_VERSION_WIN10_V5_3);
	return s;
}

void guest_ic_destroy(struct guest_ic *s)
{
	guest_stop(&s->g);
	free(s);
}

void guest_ic_open(struct guest_ic *s)
{
	const struct hv_guid *class = &ic_vsp_ops(s->config.service)->class_id;
	struct vmbus_offer offer = guest_wait_offer(&s->g, class, GUEST_IC_INSTANCE, 0);
	uint32_t pipe_mode;

	memcpy(&pipe_mode, offer.user, sizeof(pipe_mode));
	check(pipe_mode == VMBUS_PIPE_MODE_MESSAGE);
	check(offer.flags == (VMBUS_OFFER_ENUMERATE_DEVICE | VMBUS_OFFER_NAMED_PIPE));
	check(guest_chan_open(&s->chan, &s->g, &offer, GUEST_IC_RING_PAGES, 0));
	guest_ic_expect(s, IC_NEGOTIATE);
}

void guest_ic_open_ready(struct guest_ic *s)
{
	const struct ic_negotiate *n = (const void *)(&s->message.header + 1);

	guest_ic_open(s);
	guest_ic_answer_versions(
		s, n->versions[n->frameworks - 1], n->versions[n->frameworks + n->messages - 1]);
}

/* ---- messages ------------------------------------------------------------ */

/* Packets are multiples of 8 bytes; the message says how long it is. */
static void check_message(const struct guest_ic *s, const struct vmbus_pkt *pkt)
{
	const struct ic_header *h = &s->message.header;

	check(pkt->desc.type == VMBUS_PKT_INBAND && s->len >= sizeof(*h));
	check(h->pipe_type == IC_PIPE_DATA);
	check(s->len <= pkt->payload_len && s->len + 8 > pkt->payload_len);
	check(h->body_size == s->len - sizeof(*h));
	check(h->flags == (IC_FLAG_TRANSACTION | IC_FLAG_REQUEST));
	check(!h->status && !h->reserved);
}

bool guest_ic_take(struct guest_ic *s)
{
	struct vmbus_pkt pkt;

	if (!guest_chan_receive_into(&s->chan, &pkt, s->packet, sizeof(s->packet)))
		return false;
	guest_chan_publish(&s->chan);
	memcpy(s->message.bytes, pkt.payload, pkt.payload_len);
	s->len = s->message.header.pipe_length + IC_PIPE_HEADER_SIZE;
	check_message(s, &pkt);
	return true;
}

void *guest_ic_expect(struct guest_ic *s, enum ic_type type)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (!guest_ic_take(s)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
	check(s->message.header.type == type);
	return s->message.bytes + sizeof(s->message.header);
}

/* Waits for room. */
void guest_ic_send(struct guest_ic *s, const void *bytes, uint32_t len)
{
	while (!guest_chan_send(&s->chan, VMBUS_PKT_INBAND, 0, 0, NULL, bytes, len))
		guest_run_host(&s->g);
}

void guest_ic_answer(struct guest_ic *s, uint32_t status)
{
	s->message.header.flags = IC_FLAG_TRANSACTION | IC_FLAG_RESPONSE;
	s->message.header.status = status;
	guest_ic_send(s, s->message.bytes, s->len);
}

void guest_ic_answer_versions(
	struct guest_ic *s, struct ic_version framework, struct ic_version message)
{
	struct ic_negotiate *n = (void *)(s->message.bytes + sizeof(s->message.header));

	n->frameworks = 1;
	n->messages = 1;
	n->versions[0] = framework;
	n->versions[1] = message;
	s->message.header.body_size = 16;
	guest_ic_answer(s, 0);
}

/* ---- the host ------------------------------------------------------------ */

bool guest_ic_is_silent(struct guest_ic *s)
{
	for (uint32_t i = 0; i < 50; i++) {
		if (guest_ic_take(s))
			return false;
		guest_run_host(&s->g);
	}
	return true;
}

static void note_done(struct ic_request *r)
{
	struct guest_ic_request *q = container_of(r, struct guest_ic_request, r);

	__atomic_store_n(&q->done, true, __ATOMIC_RELEASE);
}

static void start(void *arg)
{
	struct guest_ic_request *q = arg;

	ic_request_start(q->s->dev, &q->r);
}

void guest_ic_start(
	struct guest_ic *s, struct guest_ic_request *q, uint32_t size, uint64_t timeout_ns)
{
	q->s = s;
	q->done = false;
	q->r.body = q->body;
	q->r.size = size;
	q->r.timeout_ns = timeout_ns;
	q->r.done = note_done;
	guest_control(&s->g, start, q);
}

void guest_ic_wait_flag(struct guest_ic *s, const bool *flag)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		check(loop_now_ns() < until);
		guest_run_host(&s->g);
	}
}

void guest_ic_wait(struct guest_ic *s, struct guest_ic_request *q)
{
	guest_ic_wait_flag(s, &q->done);
}

/* ---- what the host shows ------------------------------------------------- */

struct state_query {
	struct guest_ic *s;
	const char *text;
};

static void query_state(void *arg)
{
	struct state_query *q = arg;

	q->text = ic_state_text(q->s->dev);
}

const char *guest_ic_state(struct guest_ic *s)
{
	struct state_query q = {.s = s};

	guest_control(&s->g, query_state, &q);
	return q.text;
}

uint64_t guest_ic_count(struct guest_ic *s, const char *key)
{
	return guest_channel_count(&s->g, s->dev, key);
}
