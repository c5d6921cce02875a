/* SPDX-License-Identifier: MIT */
/*
 * What all integration services share: the message frame, the negotiation of
 * versions, one message at a time.
 *
 * One at a time, because Linux's drivers take one packet per interrupt, and a packet that finds the
 * ring not empty causes none. For the same reason nothing is ever sent twice: an answer that does
 * not come (no daemon) may still come hours later, and the channel waits for it.
 */
#include <string.h>

#include "base/log.h"
#include "vsp/ic/ic_impl.h"

void ic_offer(struct vsp_device *dev, struct vsp_offer_params *params)
{
	params->user[0] = VMBUS_PIPE_MODE_MESSAGE;
}

/* OpenBSD does not read the list: it looks whether the second entry is 3.x. */
static const struct ic_version frameworks[] = {{1, 0}, {3, 0}};

#define FRAMEWORKS (sizeof(frameworks) / sizeof(frameworks[0]))

/* ---- names --------------------------------------------------------------- */

const struct vsp_ops *ic_vsp_ops(const struct ic_service *service)
{
	return &service->vsp;
}

const struct hv_guid *ic_instance(const struct ic_service *service)
{
	return &service->instance;
}

const char *ic_name(const struct ic_service *service)
{
	return service->name;
}

static const struct ic_config *config_of(const struct ic_channel *c)
{
	return vsp_device_priv(vsp_channel_device(c->ch));
}

const void *ic_settings(const struct ic_channel *c)
{
	return config_of(c)->settings;
}

/* ---- sending ------------------------------------------------------------- */

static struct ic_header *message_of(struct ic_channel *c)
{
	return (struct ic_header *)((uint8_t *)c + c->service->message + IC_MESSAGE_BEGIN);
}

static void sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct ic_channel, out)->sending = false;
}

/* The body is in place. */
static void send_message(struct ic_channel *c, uint16_t type, uint32_t body_size)
{
	struct ic_header *header = message_of(c);

	*header = (struct ic_header){
		.pipe_type = IC_PIPE_DATA,
		.pipe_length = sizeof(*header) - IC_PIPE_HEADER_SIZE + body_size,
		.framework = c->framework,
		.type = type,
		.message = c->version,
		.body_size = (uint16_t)body_size,
		.transaction = ++c->transaction,
		.flags = IC_FLAG_TRANSACTION | IC_FLAG_REQUEST,
	};
	c->type = type;
	c->sending = true;
	counter_set(&c->waiting, true);
	counter_set(&c->asked_ns, loop_now_ns());
	counter_add(&c->sent, 1);
	c->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND,
			.trans_id = c->transaction,
			.payload = {header, (uint32_t)sizeof(*header) + body_size}},
		.sent = sent,
	};
	vsp_send(c->ch, &c->out);
}

/* An answer is the request sent back, so what is left in the buffer would come behind the guest's
 * texts. */
void ic_send_next(struct ic_channel *c)
{
	void *body = message_of(c) + 1;
	uint32_t size = 0;

	if (c->state != IC_READY || c->waiting || c->sending || c->paused)
		return;
	memset(body, 0, c->service->body_max);
	if (c->service->produce)
		size = c->service->produce(c, body);
	c->own = size;
	if (!size)
		size = ic_request_take(c, body);
	if (size)
		send_message(c, c->service->type, size);
}

/* ---- negotiation --------------------------------------------------------- */

static void negotiate(struct ic_channel *c)
{
	const struct ic_service *s = c->service;
	struct ic_negotiate *n = (void *)(message_of(c) + 1);

	_Static_assert(FRAMEWORKS == 2, "see IC_NEGOTIATE_MAX");
	*n = (struct ic_negotiate){.frameworks = FRAMEWORKS, .messages = s->version_count};
	memcpy(n->versions, frameworks, sizeof(frameworks));
	memcpy(n->versions + FRAMEWORKS, s->versions, s->version_count * sizeof(s->versions[0]));
	counter_set(&c->state, IC_NEGOTIATING);
	send_message(c, IC_NEGOTIATE,
		sizeof(*n) + (FRAMEWORKS + s->version_count) * (uint32_t)sizeof(n->versions[0]));
}

static bool is_listed(
	const struct ic_version *list, uint32_t count, const struct ic_version *version)
{
	for (uint32_t i = 0; i < count; i++)
		if (!memcmp(&list[i], version, sizeof(*version)))
			return true;
	return false;
}

static bool take_versions(struct ic_channel *c, const void *body, uint32_t size)
{
	const struct ic_service *s = c->service;
	struct ic_version chosen[2];
	struct ic_negotiate counts;

	if (size < sizeof(counts) + sizeof(chosen))
		return false;
	memcpy(&counts, body, sizeof(counts));
	memcpy(chosen, (const uint8_t *)body + sizeof(counts), sizeof(chosen));
	if (counts.frameworks != 1 || counts.messages != 1 ||
		!is_listed(frameworks, FRAMEWORKS, &chosen[0]) ||
		!is_listed(s->versions, s->version_count, &chosen[1]))
		return false;
	c->framework = chosen[0];
	c->version = chosen[1];
	return true;
}

static void start_tick(struct ic_channel *c);

static void negotiated(struct ic_channel *c, const void *body, uint32_t size)
{
	if (!take_versions(c, body, size)) {
		log_guest("%s: the guest knows no version of ours", c->service->name);
		counter_set(&c->state, IC_REFUSED);
		ic_requests_fail(c, -EOPNOTSUPP);
		return;
	}
	counter_set(&c->state, IC_READY);
	if (c->service->ready)
		c->service->ready(c);
	start_tick(c);
}

/* ---- receiving ----------------------------------------------------------- */

/* What the guest sends without being asked is dropped, and so are answers to requests of an older
 * connection. Lengths inside the header are not used: some guests fill them in wrong. */
static bool is_answer(const struct ic_channel *c, const struct ic_header *h)
{
	return c->waiting && !c->sending && h->type == c->type &&
	       h->transaction == c->transaction && h->flags & IC_FLAG_RESPONSE;
}

/* An idle guest costs a wake-up for each tick, and none for its answers; but the first one after
 * the negotiation or a pause is heard at once. */
static void own_answered(struct ic_channel *c, uint32_t status, const void *body, uint32_t size)
{
	vsp_channel_set_lazy(c->ch, c->service->lazy);
	if (c->service->consume)
		c->service->consume(c, status, body, size);
}

static void answered(
	struct ic_channel *c, const struct ic_header *h, const void *body, uint32_t size)
{
	counter_set(&c->waiting, false);
	counter_add(&c->answered, 1);
	if (c->state == IC_NEGOTIATING)
		negotiated(c, body, size);
	else if (!c->own)
		ic_request_answered(c, h->status, body, size);
	else
		own_answered(c, h->status, body, size);
	ic_send_next(c);
}

int ic_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct ic_channel *c = vsp_channel_priv(ch);
	struct ic_header header = {0};

	if (pkt->desc.type == VMBUS_PKT_INBAND && pkt->payload_len >= sizeof(header))
		memcpy(&header, pkt->payload, sizeof(header));
	if (is_answer(c, &header))
		answered(c, &header, (const uint8_t *)pkt->payload + sizeof(header),
			pkt->payload_len - (uint32_t)sizeof(header));
	else
		counter_add(&c->dropped, 1);
	return 0;
}

/* ---- ticks --------------------------------------------------------------- */

static void tick(struct loop_timer *timer)
{
	struct ic_channel *c = container_of(timer, struct ic_channel, tick);

	vsp_channel_look(c->ch);
	c->service->tick(c);
	ic_send_next(c);
	start_tick(c);
}

static uint64_t tick_ns(const struct ic_config *config)
{
	return config->tick_ns ? config->tick_ns : config->service->tick_ns;
}

static void start_tick(struct ic_channel *c)
{
	uint64_t period = tick_ns(config_of(c));

	if (c->service->tick && c->state == IC_READY && !c->paused)
		loop_timer_start(
			vsp_channel_loop(c->ch), &c->tick, period - loop_now_ns() % period, tick);
}

/* ---- life ---------------------------------------------------------------- */

int ic_create(struct vsp_device *dev, const void *config, struct err *e)
{
	memcpy(vsp_device_priv(dev), config, sizeof(struct ic_config));
	return 0;
}

int ic_open(struct vsp_channel *ch)
{
	struct ic_channel *c = vsp_channel_priv(ch);

	c->ch = ch;
	c->service = config_of(c)->service;
	list_init(&c->queue);
	negotiate(c);
	return 0;
}

/* A restored service negotiates again, as guests expect it (open() does it): answers to what the
 * service asked before carry other numbers, and are dropped. */
void ic_archive_channel(struct vsp_channel *ch, struct archive *a)
{
	struct ic_channel *c = vsp_channel_priv(ch);

	archive_u8(a, "transaction", &c->transaction);
}

void ic_stop(struct vsp_channel *ch)
{
	struct ic_channel *c = vsp_channel_priv(ch);

	loop_timer_cancel(&c->tick);
	counter_set(&c->state, IC_CLOSED);
	if (c->service->stopped)
		c->service->stopped(c);
	ic_requests_fail(c, -ESHUTDOWN);
}

void ic_pause(struct vsp_channel *ch)
{
	struct ic_channel *c = vsp_channel_priv(ch);

	counter_set(&c->paused, true);
	loop_timer_cancel(&c->tick);
}

void ic_resume(struct vsp_channel *ch)
{
	struct ic_channel *c = vsp_channel_priv(ch);

	counter_set(&c->asked_ns, loop_now_ns()); /* it could not answer */
	counter_set(&c->paused, false);
	vsp_channel_set_lazy(c->ch, false); /* a sync waits for what it owes */
	if (c->state == IC_READY && c->service->resumed)
		c->service->resumed(c);
	start_tick(c);
	ic_send_next(c);
}

/* ---- inspect (control thread) -------------------------------------------- */

/* A lazy service reads answers at its ticks. */
static uint64_t silent_ns(const struct ic_config *config)
{
	return IC_SILENT_NS + (config->service->lazy ? tick_ns(config) : 0);
}

static const char *state_text(struct ic_channel *c, const struct ic_config *config)
{
	bool silent = counter_get(&c->waiting) && !counter_get(&c->paused) &&
		      loop_now_ns() - counter_get(&c->asked_ns) > silent_ns(config);
	enum ic_state state = counter_get(&c->state);

	switch (state) {
	case IC_NEGOTIATING:
		return silent ? "negotiating (no answer)" : "negotiating";
	case IC_READY:
		return silent ? "ready (no answer)" : "ready";
	case IC_REFUSED:
		return "refused";
	case IC_CLOSED:
		break;
	}
	return "closed";
}

const char *ic_state_text(struct vsp_device *dev)
{
	struct vsp_channel *ch = vsp_device_primary(dev);

	ON_LOOP(vsp_device_control(dev));
	return ch ? state_text(vsp_channel_priv(ch), vsp_device_priv(dev)) : "closed";
}

void ic_inspect_channel(struct vsp_channel *ch, struct inspect *i)
{
	struct ic_channel *c = vsp_channel_priv(ch);
	const struct ic_config *config = vsp_device_priv(vsp_channel_device(ch));

	inspect_text(i, "state", state_text(c, config));
	inspect_u64(i, "requests", counter_get(&c->sent));
	inspect_u64(i, "answers", counter_get(&c->answered));
	inspect_u64(i, "unasked", counter_get(&c->dropped));
	if (config->service->inspect)
		config->service->inspect(c, i);
}
