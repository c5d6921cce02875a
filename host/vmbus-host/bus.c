/* SPDX-License-Identifier: MIT */
/*
 * The bus: the connection, and the dispatch of guest messages.
 *
 *                 INITIATE_CONTACT, refused
 *                  +-------------------+
 *                  v                   |
 *   DISCONNECTED --INITIATE_CONTACT--> DISCONNECTING(answer contact) --> CONNECTED
 *        ^ ^                              ^      |                          |
 *        | +------------------------------|------+ UNLOAD: answer unload    |
 *        |                                |                                 |
 *        +-- DISCONNECTING(then) <--------+---------------------------------+
 *              INITIATE_CONTACT, UNLOAD, bus_shutdown(), message queue full
 *
 * DISCONNECTING lasts until no GPADL has a reference (every open channel has one):
 * no time at all when no channel is open, which makes INITIATE_CONTACT one path
 * for a first and for a live connection (a crashed guest's new kernel). No
 * message is sent meanwhile, then the answer to the latest request; a request
 * that comes while waiting replaces the one before.
 *
 *   state            INITIATE_CONTACT   UNLOAD                    other messages
 *   DISCONNECTED     answer             answer                    bad, ignored
 *   CONNECTED        end, then answer   end, then answer          by table
 *   DISCONNECTING    replaces           replaces                  bad, ignored
 *   shut down        ignored            ignored                   ignored
 *
 * Channels survive as offers; their state ends with the connection.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hv/hv_reg.h"
#include "proto/vmbus_proto.h"
#include "vmbus-host/bus_impl.h"

static const uint32_t versions[] = {
	VMBUS_VERSION_WIN8,
	VMBUS_VERSION_WIN8_1,
	VMBUS_VERSION_WIN10,
	VMBUS_VERSION_WIN10_RS3,
	VMBUS_VERSION_WIN10_V5,
	VMBUS_VERSION_WIN10_V5_1,
	VMBUS_VERSION_WIN10_V5_2,
	VMBUS_VERSION_WIN10_V5_3,
};

bool bus_version_is_known(uint32_t version)
{
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		if (versions[i] == version)
			return true;
	}
	return false;
}

/* ---- sending ------------------------------------------------------------- */

void bus_bad(struct bus *bus, const char *what)
{
	bus->counters.bad_messages++;
	log_guest("vmbus: %s", what);
}

static void bus_send_to(
	struct bus *bus, uint32_t vp, uint32_t sint, uint32_t type, void *msg, uint32_t len)
{
	*(struct vmbus_msg_header *)msg = (struct vmbus_msg_header){.type = type};
	if (!bus->config.port->send(bus->config.port_ctx, vp, sint, msg, len))
		return;
	/* A guest that misses a message may wait for ever: the connection is dropped. */
	if (bus->state == BUS_CONNECTED)
		bus->send_failed = true;
}

void bus_send(struct bus *bus, uint32_t type, void *msg, uint32_t len)
{
	if (bus->state == BUS_CONNECTED && !bus->send_failed)
		bus_send_to(bus, bus->message_vp, VMBUS_SINT, type, msg, len);
}

/* ---- the connection ------------------------------------------------------ */

/* The target of the answer is decoded also for versions we refuse: newer ones keep the fields. */
static struct contact contact_decode(
	const struct bus *bus, const struct vmbus_initiate_contact *msg)
{
	struct contact contact = {.sint = VMBUS_SINT, .failure = VMBUS_CONNECTION_SUCCESSFUL};
	bool ok = bus_version_is_known(msg->version) && msg->version <= bus->config.max_version;

	if (msg->version >= VMBUS_VERSION_WIN8_1) {
		if (msg->target_vp < bus->config.vp_count)
			contact.vp = msg->target_vp;
		else
			ok = false;
	}
	if (msg->version >= VMBUS_VERSION_WIN10_V5) {
		if (msg->sint < HV_SINT_COUNT)
			contact.sint = msg->sint;
		ok = ok && msg->sint == VMBUS_SINT;
	}
	if (msg->version >= VMBUS_VERSION_WIN10_V5_1)
		ok = ok && !msg->vtl;
	if (!msg->monitor_page_h2g != !msg->monitor_page_g2h)
		contact.failure = VMBUS_CONNECTION_UNKNOWN_FAILURE;
	if (ok)
		contact.version = msg->version;
	return contact;
}

static void contact_answer(struct bus *bus)
{
	const struct contact *contact = &bus->contact;
	struct vmbus_version_response msg = {.version_supported = contact->version != 0};

	bus->message_vp = contact->vp;
	if (contact->version) {
		msg.connection_state = contact->failure;
		msg.version_or_conn_id = contact->version >= VMBUS_VERSION_WIN10_V5
						 ? VMBUS_CONN_MESSAGE
						 : contact->version;
	}
	if (contact->version && contact->failure == VMBUS_CONNECTION_SUCCESSFUL) {
		bus->state = BUS_CONNECTED;
		bus->version = contact->version;
		bus->counters.offers = 0;
		bus->counters.contacts++;
	}
	bus_send_to(bus, contact->vp, contact->sint, VMBUS_MSG_VERSION_RESPONSE, &msg, sizeof(msg));
}

static void unload_answer(struct bus *bus)
{
	struct vmbus_msg_header msg;

	bus_send_to(bus, bus->message_vp, VMBUS_SINT, VMBUS_MSG_UNLOAD_RESPONSE, &msg, sizeof(msg));
}

/* disconnect_finish() goes on with `then`, soon or when devices have closed. */
static void disconnect_start(struct bus *bus, enum bus_then then)
{
	bus->then = then;
	bus->config.port->flush(bus->config.port_ctx);
	bus->state = BUS_DISCONNECTING;
	bus->version = 0;
	bus->offers_requested = false;
	bus->send_failed = false;
	list_for_each (pos, &bus->primaries)
		channel_disconnect(container_of(pos, struct bus_channel, link));
}

static void disconnect_finish(struct bus *bus)
{
	enum bus_then then = bus->then;

	bus->state = BUS_DISCONNECTED;
	bus->then = THEN_NOTHING;
	list_for_each (pos, &bus->primaries)
		channel_forget(container_of(pos, struct bus_channel, link));
	assert(!bus->gpadl_count && !bus->gpadl_pages);
	if (then == THEN_ANSWER_CONTACT)
		contact_answer(bus);
	else if (then == THEN_ANSWER_UNLOAD)
		unload_answer(bus);
}

/* ---- entry and exit ------------------------------------------------------ */

static struct bus_channel *work_pop(struct bus *bus)
{
	struct list *first = bus->work.next;

	if (first == &bus->work)
		return NULL;
	list_del(first);
	return container_of(first, struct bus_channel, work);
}

static void bus_settle(struct bus *bus)
{
	for (;;) {
		struct bus_channel *chan = work_pop(bus);

		if (chan) {
			channel_advance(chan);
		} else if (bus->send_failed) {
			log_guest("vmbus: guest takes no messages, connection dropped");
			bus->counters.dropped++;
			disconnect_start(bus, THEN_NOTHING);
		} else if (bus->state == BUS_DISCONNECTING && !bus->gpadl_users) {
			disconnect_finish(bus);
		} else {
			return;
		}
	}
}

void bus_enter(struct bus *bus)
{
	bus->depth++;
}

void bus_leave(struct bus *bus)
{
	void (*done)(void *ctx);

	/* Still counted while settling: calls of devices from there must not settle again. */
	if (bus->depth == 1)
		bus_settle(bus);
	if (--bus->depth || !bus->shut || bus->state != BUS_DISCONNECTED)
		return;
	done = bus->shutdown_done;
	bus->shutdown_done = NULL;
	if (done)
		done(bus->shutdown_ctx);
}

/* ---- messages ------------------------------------------------------------ */

static void on_contact(struct bus *bus, const void *bytes, uint32_t len)
{
	bus->contact = contact_decode(bus, bytes);
	bus->counters.resets += bus->state == BUS_CONNECTED;
	disconnect_start(bus, THEN_ANSWER_CONTACT);
}

static void on_unload(struct bus *bus, const void *bytes, uint32_t len)
{
	/* Sent by the kernel whose INITIATE_CONTACT it replaces. */
	if (bus->then == THEN_ANSWER_CONTACT)
		bus->message_vp = bus->contact.vp;
	disconnect_start(bus, THEN_ANSWER_UNLOAD);
}

static void on_request_offers(struct bus *bus, const void *bytes, uint32_t len)
{
	struct vmbus_msg_header msg;

	if (bus->offers_requested) {
		bus_bad(bus, "REQUESTOFFERS twice");
		return;
	}
	bus->offers_requested = true;
	list_for_each (pos, &bus->primaries)
		channel_send_offer(container_of(pos, struct bus_channel, link));
	bus_send(bus, VMBUS_MSG_ALL_OFFERS_DELIVERED, &msg, sizeof(msg));
}

void bus_refuse_connect(
	struct bus *bus, const struct hv_guid *endpoint, const struct hv_guid *service)
{
	struct vmbus_tl_connect_result result = {
		.guest_endpoint = *endpoint,
		.host_service = *service,
		.status = VMBUS_STATUS_CONNECTION_REFUSED,
	};

	bus_enter(bus);
	if (bus->version >= VMBUS_VERSION_WIN10_RS3)
		bus_send(bus, VMBUS_MSG_TL_CONNECT_RESULT, &result, sizeof(result));
	bus_leave(bus);
}

void bus_set_connect(struct bus *bus, bus_connect_fn *connect, void *ctx)
{
	bus->connect = connect;
	bus->connect_ctx = ctx;
}

static void on_tl_connect(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_tl_connect *msg = bytes;

	if (!bus->connect ||
		!bus->connect(bus->connect_ctx, &msg->guest_endpoint, &msg->host_service))
		bus_refuse_connect(bus, &msg->guest_endpoint, &msg->host_service);
}

static bool reserved_target_ok(struct bus *bus, uint32_t vp, uint32_t sint)
{
	if (vp < bus->config.vp_count && sint < HV_SINT_COUNT)
		return true;
	bus_bad(bus, "reserved channel with a bad target");
	return false;
}

/* Channels that outlive the connection are not supported: the answer is always a failure. */
static void on_open_reserved(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_open_reserved *msg = bytes;
	struct vmbus_open_result result = {
		.relid = msg->relid, .status = VMBUS_STATUS_UNSUCCESSFUL};

	if (!channel_by_relid(bus, msg->relid))
		bus_bad(bus, "OPEN_RESERVED_CHANNEL for an unknown relid");
	else if (reserved_target_ok(bus, msg->target_vp, msg->target_sint))
		bus_send_to(bus, msg->target_vp, msg->target_sint, VMBUS_MSG_OPEN_RESULT, &result,
			sizeof(result));
}

/* None is ever open, so closing one is done at once. */
static void on_close_reserved(struct bus *bus, const void *bytes, uint32_t len)
{
	const struct vmbus_close_reserved *msg = bytes;
	struct vmbus_relid_msg response = {.relid = msg->relid};

	if (bus->version >= VMBUS_VERSION_WIN10 &&
		reserved_target_ok(bus, msg->target_vp, msg->target_sint))
		bus_send_to(bus, msg->target_vp, msg->target_sint,
			VMBUS_MSG_CLOSE_RESERVED_RESPONSE, &response, sizeof(response));
}

typedef void message_fn(struct bus *bus, const void *msg, uint32_t len);

/* One entry for each G2H message of the table in vmbus_msgs.h. */
static message_fn *const handlers[VMBUS_MSG_TYPE_MAX + 1] = {
	[VMBUS_MSG_REQUEST_OFFERS] = on_request_offers,
	[VMBUS_MSG_OPEN] = channel_on_open,
	[VMBUS_MSG_CLOSE] = channel_on_close,
	[VMBUS_MSG_GPADL_HEADER] = gpadl_on_header,
	[VMBUS_MSG_GPADL_BODY] = gpadl_on_body,
	[VMBUS_MSG_GPADL_TEARDOWN] = gpadl_on_teardown,
	[VMBUS_MSG_RELID_RELEASED] = channel_on_released,
	[VMBUS_MSG_INITIATE_CONTACT] = on_contact,
	[VMBUS_MSG_UNLOAD] = on_unload,
	[VMBUS_MSG_OPEN_RESERVED] = on_open_reserved,
	[VMBUS_MSG_CLOSE_RESERVED] = on_close_reserved,
	[VMBUS_MSG_TL_CONNECT] = on_tl_connect,
	[VMBUS_MSG_MODIFY_CHANNEL] = channel_on_modify,
};

static bool needs_connection(uint32_t type)
{
	return type != VMBUS_MSG_INITIATE_CONTACT && type != VMBUS_MSG_UNLOAD;
}

static void bus_dispatch(struct bus *bus, const void *msg, uint32_t len)
{
	/* Aligned, whatever the caller has. */
	union {
		uint64_t align;
		uint8_t bytes[VMBUS_MESSAGE_SIZE_MAX];
	} copy;
	enum vmbus_check check;
	uint32_t type;

	check = vmbus_msg_check(msg, len, VMBUS_G2H, bus->version, &type);
	if (check != VMBUS_CHECK_OK) {
		bus_bad(bus, vmbus_check_name(check));
		return;
	}
	if (bus->state != BUS_CONNECTED && needs_connection(type)) {
		bus_bad(bus, "message without a connection");
		return;
	}
	memcpy(copy.bytes, msg, len);
	handlers[type](bus, copy.bytes, len);
}

void bus_message(struct bus *bus, const void *msg, uint32_t len)
{
	if (bus->shut)
		return;
	bus_enter(bus);
	bus->counters.messages++;
	bus_dispatch(bus, msg, len);
	bus_leave(bus);
}

/* ---- life ---------------------------------------------------------------- */

int bus_create(struct bus **out, const struct bus_config *config)
{
	struct bus *bus;
	int ret;

	if (!config->vp_count || !bus_version_is_known(config->max_version))
		return -EINVAL;
	bus = calloc(1, sizeof(*bus));
	if (!bus)
		return -ENOMEM;
	bus->config = *config;
	list_init(&bus->work);
	list_init(&bus->primaries);
	ret = gpadl_table_init(bus);
	if (ret) {
		free(bus);
		return ret;
	}
	*out = bus;
	return 0;
}

void bus_destroy(struct bus *bus)
{
	assert(!bus->depth && !bus->gpadl_users);
	list_for_each_safe (pos, &bus->primaries) {
		struct bus_channel *primary = container_of(pos, struct bus_channel, link);

		list_for_each_safe (sub, &primary->subs)
			channel_free(container_of(sub, struct bus_channel, link));
		channel_free(primary);
	}
	free(bus);
}

void bus_shutdown(struct bus *bus, void (*done)(void *ctx), void *ctx)
{
	assert(!bus->shut);
	bus_enter(bus);
	bus->shut = true;
	bus->shutdown_done = done;
	bus->shutdown_ctx = ctx;
	disconnect_start(bus, THEN_NOTHING);
	bus_leave(bus);
}

uint32_t bus_version(const struct bus *bus)
{
	return bus->version;
}

const struct bus_counters *bus_counters(const struct bus *bus)
{
	return &bus->counters;
}
