/* SPDX-License-Identifier: MIT */
/* The guest's messages: copied once by the core, checked here, then used. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "vsp/dynmem/dynmem_impl.h"

#define MIB_SHIFT 20
/* Guests can have them larger; memory cannot be added in these. */
#define ALIGNMENT_MAX GMEM_ADDED_ALIGN

/* ---- what the host answers ----------------------------------------------- */

static void out_sent(struct vsp_channel *ch, struct vsp_out *out)
{
	container_of(out, struct dynmem_out, out)->sending = false;
	vsp_channel_resume(ch);
}

static void out_send(struct dynmem_channel *c, struct dynmem_out *o, uint16_t type, uint32_t size)
{
	o->message.header.type = type;
	o->message.header.size = (uint16_t)size;
	o->sending = true;
	o->out = (struct vsp_out){
		.packet = {.type = VMBUS_PKT_INBAND, .payload = {&o->message, size}},
		.sent = out_sent,
	};
	vsp_send(c->ch, &o->out);
}

static void respond(
	struct dynmem_channel *c, const struct dm_header *to, uint16_t type, bool accepted)
{
	c->reply.message.response = (struct dm_response){
		.header.transaction = to->transaction,
		.flags = accepted ? DM_ACCEPTED : 0,
	};
	out_send(c, &c->reply, type, sizeof(struct dm_response));
}

static void send_max(struct dynmem_channel *c)
{
	c->info.message.info = (struct dm_info){
		.header.transaction = ++c->transaction,
		.info_size = sizeof(struct dm_info) - offsetof(struct dm_info, type),
		.type = DM_INFO_MAX_PAGES,
		.data_size = sizeof(uint64_t),
		.pages = dynmem_device_of(c)->config.max >> DM_PAGE_SHIFT,
	};
	out_send(c, &c->info, DM_INFO, sizeof(struct dm_info));
}

/* ---- the beginning ------------------------------------------------------- */

/* Any version of 0.x to 2.0: what is used here is the same in all. */
static int on_version(struct dynmem_channel *c, const void *message, uint32_t len)
{
	const struct dm_version_request *m = message;
	bool known = m->major <= DM_VERSION_MAJOR_MAX;

	if (known)
		counter_set(&c->state, DYNMEM_CAPABILITIES);
	respond(c, &m->header, DM_VERSION_RESPONSE, known);
	return 0;
}

static void take_capabilities(struct dynmem_channel *c, uint64_t flags)
{
	uint64_t shift = flags >> DM_ALIGNMENT_SHIFT & DM_ALIGNMENT_MASK;

	c->can_take = flags & DM_CAN_BALLOON;
	c->alignment = 1ull << (MIB_SHIFT + shift);
	if (c->alignment < DYNMEM_UNIT)
		c->alignment = DYNMEM_UNIT;
	if (!(flags & DM_CAN_HOT_ADD) || c->alignment > ALIGNMENT_MAX)
		counter_set(&c->adding, DYNMEM_ADD_UNSUPPORTED);
}

static int on_capabilities(struct dynmem_channel *c, const void *message, uint32_t len)
{
	const struct dynmem_config *config = &dynmem_device_of(c)->config;
	const struct dm_capabilities *m = message;
	uint64_t settle = config->settle_ns ? config->settle_ns : DYNMEM_SETTLE_NS;

	take_capabilities(c, m->flags);
	c->take_after_ns = c->add_after_ns = loop_now_ns() + (c->ready ? 0 : settle);
	counter_set(&c->state, DYNMEM_IDLE);
	respond(c, &m->header, DM_CAPABILITIES_RESPONSE, true);
	send_max(c);
	dynmem_step(c);
	return 0;
}

/* ---- afterwards ---------------------------------------------------------- */

static void check_online(struct dynmem_channel *c, const struct dm_status *m)
{
	uint64_t available = m->available << DM_PAGE_SHIFT;
	uint64_t committed = m->committed << DM_PAGE_SHIFT;

	if (!c->checked.bytes || c->state == DYNMEM_ADDING)
		return;
	if (dynmem_is_offline(&c->checked, available, committed)) {
		if (c->adding == DYNMEM_ADD_POSSIBLE)
			log_event(LOG_WARN,
				"dynamic memory: the guest does not bring added memory online: "
				"boot it with memhp_default_state=online");
		counter_set(&c->adding, DYNMEM_ADD_OFFLINE);
		counter_add(&c->offline, c->checked.bytes);
	}
	c->checked.bytes = 0;
}

static int on_status(struct dynmem_channel *c, const void *message, uint32_t len)
{
	const struct dm_status *m = message;

	check_online(c, m);
	counter_set(&c->available, m->available << DM_PAGE_SHIFT);
	counter_set(&c->committed, m->committed << DM_PAGE_SHIFT);
	counter_set(&c->reported, true);
	counter_add(&c->statuses, 1);
	dynmem_step(c);
	return 0;
}

static int on_balloon(struct dynmem_channel *c, const void *message, uint32_t len)
{
	const struct dm_balloon_response *m = message;
	uint32_t count = m->count >> DM_RESPONSE_COUNT_SHIFT;

	if (count > DM_RANGES_MAX || len < sizeof(*m) + count * sizeof(uint64_t))
		return -EPROTO;
	return dynmem_take_ranges(
		c, (const uint64_t *)(m + 1), count, !(m->count & DM_RESPONSE_MORE));
}

static int on_unballoon(struct dynmem_channel *c, const void *message, uint32_t len)
{
	dynmem_done(c);
	return 0;
}

static int on_hot_add(struct dynmem_channel *c, const void *message, uint32_t len)
{
	return dynmem_add_answered(c, message);
}

/* ---- the table ----------------------------------------------------------- */

#define STATE(name) (1u << DYNMEM_##name)
#define BEGUN       (STATE(IDLE) | STATE(TAKING) | STATE(GIVING) | STATE(MAPPING) | STATE(ADDING))

static const struct {
	uint16_t type;
	uint32_t size;   /* at least */
	uint32_t states; /* in which it means something */
	int (*take)(struct dynmem_channel *c, const void *message, uint32_t len);
} messages[] = {
	{DM_VERSION_REQUEST, sizeof(struct dm_version_request), STATE(VERSION), on_version},
	{DM_CAPABILITIES, sizeof(struct dm_capabilities), STATE(CAPABILITIES), on_capabilities},
	{DM_STATUS, sizeof(struct dm_status), BEGUN, on_status},
	{DM_BALLOON_RESPONSE, sizeof(struct dm_balloon_response), STATE(TAKING), on_balloon},
	{DM_UNBALLOON_RESPONSE, sizeof(struct dm_header), STATE(GIVING), on_unballoon},
	{DM_HOT_ADD_RESPONSE, sizeof(struct dm_hot_add_response), STATE(ADDING), on_hot_add},
};

/* An answer to a request that the guest cannot have read yet is none. */
static bool is_expected(const struct dynmem_channel *c, uint32_t states)
{
	return states >> c->state & 1 && (states == BEGUN || !c->request_sending);
}

static int take_message(struct dynmem_channel *c, const struct dm_header *h, uint32_t len)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (messages[i].type != h->type)
			continue;
		if (len < messages[i].size)
			return -EPROTO;
		if (is_expected(c, messages[i].states))
			return messages[i].take(c, h, len);
	}
	counter_add(&c->out_of_order, 1);
	return 0;
}

/* The size in the header is the packet's, but for padding. The packet's copy is aligned. */
int dynmem_packet(struct vsp_channel *ch, const struct vmbus_pkt *pkt)
{
	struct dynmem_channel *c = vsp_channel_priv(ch);
	const struct dm_header *h = (const void *)pkt->payload;

	if (pkt->desc.type != VMBUS_PKT_INBAND || pkt->payload_len < sizeof(*h) ||
		h->size < sizeof(*h) || h->size > pkt->payload_len ||
		pkt->payload_len - h->size >= 8)
		return -EPROTO;
	if (c->reply.sending || c->info.sending)
		return -EAGAIN;
	return take_message(c, h, h->size);
}
