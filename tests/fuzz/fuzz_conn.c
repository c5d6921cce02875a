/* SPDX-License-Identifier: MIT */
/*
 * A hostile host against the guest's half of the bus, with an owner that does all that an owner
 * may. Input: steps, a byte each, with their arguments.
 *
 * Whatever comes: an offer is given to the owner with a relid that is free and in range, at most
 * one device for an instance; a channel is rescinded once; states change as conn.h says; no more
 * is posted than the owner's calls and the host's rescinds ask for.
 */
#include <stdlib.h>

#include "guest/vmbus-vsc/conn.h"
#include "tests/fuzz/input.h"

#define CHANNELS 24u
#define GPADLS   12u
#define RELIDS   12u /* those that steps name; raw messages name any */

struct channel {
	struct conn_channel conn;
	bool told;
};

struct fuzz {
	struct input in;
	struct conn conn;
	struct channel *channels[CHANNELS]; /* each in memory of its own, freed when released */
	struct conn_gpadl *gpadls[GPADLS];
	uint32_t posts, allowed; /* since the step began */
	int post_error;
};

static struct fuzz fuzz;

/* ---- the owner ----------------------------------------------------------- */

static int post(void *ctx, uint32_t connection_id, const void *msg, uint32_t len)
{
	struct vmbus_msg_header header;

	check(len >= sizeof(header) && len <= VMBUS_MESSAGE_SIZE_MAX);
	check(connection_id <= HV_CONNECTION_ID_MASK);
	memcpy(&header, msg, sizeof(header));
	check(header.type && header.type <= VMBUS_MSG_TYPE_MAX && !header.padding);
	check(fuzz.posts++ < fuzz.allowed);
	return fuzz.post_error;
}

static bool alive(const struct channel *chan)
{
	return chan && fuzz.conn.channels[chan->conn.offer.relid] == &chan->conn;
}

static struct conn_channel *offered(
	void *ctx, const struct vmbus_offer *offer, struct conn_channel *primary)
{
	uint32_t slot;

	check(offer->relid && offer->relid <= VMBUS_RELID_MAX);
	check(!fuzz.conn.channels[offer->relid]);
	check(!offer->sub_channel_index == !primary);
	check(!primary || !primary->rescinded);
	for (slot = 0; slot < CHANNELS; slot++) {
		struct channel *chan = fuzz.channels[slot];

		if (alive(chan) && !chan->conn.primary && !primary)
			check(memcmp(&chan->conn.offer.instance_id, &offer->instance_id, 16));
	}
	for (slot = 0; slot < CHANNELS && fuzz.channels[slot]; slot++)
		;
	if (slot == CHANNELS || take(&fuzz.in, 1) == 0xFF)
		return NULL;
	fuzz.channels[slot] = calloc(1, sizeof(struct channel));
	check(fuzz.channels[slot] != NULL);
	return &fuzz.channels[slot]->conn;
}

static void rescinded(void *ctx, struct conn_channel *conn)
{
	struct channel *chan = (struct channel *)conn;

	check(alive(chan) && conn->rescinded && !chan->told);
	chan->told = true;
}

static void changed(void *ctx)
{
}

static const struct conn_ops ops = {post, offered, rescinded, changed};

/* ---- checks -------------------------------------------------------------- */

static void check_channel(const struct channel *chan)
{
	const struct conn_channel *conn = &chan->conn;

	check(conn->state <= CONN_CHANNEL_OPEN);
	check(conn->rescinded == chan->told);
	check(!conn->retargeting || conn->state == CONN_CHANNEL_OPEN);
	if (conn->primary && alive(chan))
		check(conn->offer.sub_channel_index && alive((struct channel *)conn->primary));
}

static void check_gpadls(void)
{
	uint32_t listed = 0, in_use = 0;

	for (struct conn_gpadl *g = fuzz.conn.gpadls; g; g = g->next) {
		check(g->state != CONN_GPADL_NONE && g->id);
		check(++listed <= GPADLS);
	}
	for (uint32_t i = 0; i < GPADLS; i++)
		in_use += fuzz.gpadls[i] && fuzz.gpadls[i]->state != CONN_GPADL_NONE;
	check(listed == in_use);
}

static void check_all(void)
{
	check(fuzz.conn.state <= CONN_FAILED);
	for (uint32_t i = 0; i < CHANNELS; i++)
		if (fuzz.channels[i])
			check_channel(fuzz.channels[i]);
	check_gpadls();
}

/* ---- the host ------------------------------------------------------------ */

/* At the end of a buffer of its own size, so that reading past it is seen. */
static void send(const void *msg, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	check(copy != NULL);
	memcpy(copy, msg, len);
	conn_message(&fuzz.conn, copy, len);
	free(copy);
}

static void send_typed(uint32_t type, void *msg, uint32_t len)
{
	memcpy(msg, &(struct vmbus_msg_header){.type = type}, sizeof(struct vmbus_msg_header));
	send(msg, len);
}

static void host_raw(void)
{
	uint8_t bytes[256];
	uint32_t len = (uint32_t)take(&fuzz.in, 1);

	take_bytes(&fuzz.in, bytes, len);
	if (len >= 8)
		memcpy(bytes, &(struct vmbus_msg_header){.type = bytes[0] % 26}, 8);
	send(bytes, len);
}

static uint32_t take_relid(void)
{
	return (uint32_t)take(&fuzz.in, 1) % RELIDS;
}

static void host_offer(void)
{
	struct vmbus_offer msg = {.relid = take_relid()};

	msg.class_id.b[0] = (uint8_t)take(&fuzz.in, 1) % 2;
	msg.instance_id.b[0] = (uint8_t)take(&fuzz.in, 1) % 4;
	msg.sub_channel_index = (uint16_t)take(&fuzz.in, 1) % 3;
	msg.connection_id = (uint32_t)take(&fuzz.in, 1);
	send_typed(VMBUS_MSG_OFFER, &msg, sizeof(msg));
}

static void host_rescind(void)
{
	struct vmbus_relid_msg msg = {.relid = take_relid()};

	send_typed(VMBUS_MSG_RESCIND, &msg, sizeof(msg));
}

static void host_version(void)
{
	struct vmbus_version_response msg = {.version_supported = take(&fuzz.in, 1) & 1};

	msg.connection_state = take(&fuzz.in, 1) > 200;
	msg.version_or_conn_id = (uint32_t)take(&fuzz.in, 4);
	send_typed(VMBUS_MSG_VERSION_RESPONSE, &msg, sizeof(msg));
}

/* Ids of steps: the newest ones, so that answers are right now and then. */
static void host_opened(void)
{
	struct vmbus_open_result msg = {.relid = take_relid()};

	msg.open_id = fuzz.conn.next_open - (uint32_t)take(&fuzz.in, 1) % 4;
	msg.status = take(&fuzz.in, 1) > 200;
	send_typed(VMBUS_MSG_OPEN_RESULT, &msg, sizeof(msg));
}

static uint32_t take_gpadl_id(void)
{
	return fuzz.conn.next_gpadl - 1 - (uint32_t)take(&fuzz.in, 1) % 8;
}

static void host_created(void)
{
	struct vmbus_gpadl_created msg = {.relid = take_relid()};

	msg.gpadl = take_gpadl_id();
	msg.status = take(&fuzz.in, 1) > 200;
	send_typed(VMBUS_MSG_GPADL_CREATED, &msg, sizeof(msg));
}

static void host_torndown(void)
{
	struct vmbus_gpadl_torndown msg = {.gpadl = take_gpadl_id()};

	send_typed(VMBUS_MSG_GPADL_TORNDOWN, &msg, sizeof(msg));
}

static void host_modified(void)
{
	struct vmbus_modify_channel_response msg = {.relid = take_relid()};

	msg.status = (uint32_t)take(&fuzz.in, 1);
	send_typed(VMBUS_MSG_MODIFY_CHANNEL_RESPONSE, &msg, sizeof(msg));
}

static void host_simple(uint32_t type)
{
	struct vmbus_msg_header msg;

	send_typed(type, &msg, sizeof(msg));
}

/* ---- calls of the owner -------------------------------------------------- */

static struct channel *take_channel(void)
{
	return fuzz.channels[take(&fuzz.in, 1) % CHANNELS];
}

static void guest_connect(void)
{
	static const uint32_t newest[] = {VMBUS_VERSION_WIN10_V5_3, VMBUS_VERSION_WIN10_V5_3,
		VMBUS_VERSION_WIN10_RS3, VMBUS_VERSION_WIN8, 0x60000};
	struct conn_contact contact = {.newest = newest[take(&fuzz.in, 1) % 5]};

	fuzz.allowed = 8;
	conn_connect(&fuzz.conn, &contact);
}

static void guest_open(void)
{
	struct channel *chan = take_channel();
	const struct conn_open open = {.gpadl = 1, .downstream_page = 2};

	fuzz.allowed = 1;
	if (chan && !conn_open(&fuzz.conn, &chan->conn, &open))
		check(alive(chan) && !conn_channel_gone(&chan->conn));
}

static void guest_close(void)
{
	struct channel *chan = take_channel();

	fuzz.allowed = 1;
	if (!chan)
		return;
	conn_close(&fuzz.conn, &chan->conn);
	check(chan->conn.state == CONN_CHANNEL_CLOSED);
}

static void guest_retarget(void)
{
	struct channel *chan = take_channel();

	fuzz.allowed = 1;
	if (chan)
		conn_retarget(&fuzz.conn, &chan->conn, 1);
}

static void release(uint32_t slot)
{
	struct channel *chan = fuzz.channels[slot];

	if (!chan)
		return;
	conn_close(&fuzz.conn, &chan->conn);
	conn_release(&fuzz.conn, &chan->conn);
	check(!alive(chan));
	fuzz.channels[slot] = NULL;
	free(chan);
}

static void guest_release(void)
{
	fuzz.allowed = 2;
	release(take(&fuzz.in, 1) % CHANNELS);
}

static uint64_t pfn(const void *ctx, uint32_t index)
{
	check(index < *(const uint32_t *)ctx);
	return index;
}

static void guest_gpadl(void)
{
	struct conn_gpadl **gpadl = &fuzz.gpadls[take(&fuzz.in, 1) % GPADLS];
	struct channel *chan = take_channel();
	uint32_t count = (uint32_t)take(&fuzz.in, 1) * 40;
	const struct conn_pages pages = {count, pfn, &count};

	fuzz.allowed = 1 + count / VMBUS_GPADL_BODY_PFNS_MAX + 1;
	if (!*gpadl)
		*gpadl = calloc(1, sizeof(**gpadl));
	check(*gpadl != NULL);
	if (chan)
		conn_gpadl_create(&fuzz.conn, &chan->conn, *gpadl, &pages);
}

static void guest_gpadl_end(bool forget)
{
	uint32_t slot = take(&fuzz.in, 1) % GPADLS;
	struct conn_gpadl *gpadl = fuzz.gpadls[slot];

	fuzz.allowed = 1;
	if (!gpadl)
		return;
	if (!forget) {
		conn_gpadl_destroy(&fuzz.conn, gpadl);
		return;
	}
	conn_gpadl_forget(&fuzz.conn, gpadl);
	fuzz.gpadls[slot] = NULL;
	free(gpadl);
}

static void guest_unload(void)
{
	fuzz.allowed = 1;
	conn_unload(&fuzz.conn);
}

static void guest_request_offers(void)
{
	fuzz.allowed = 1;
	conn_request_offers(&fuzz.conn);
}

/* ---- steps --------------------------------------------------------------- */

/* A message posts at most: the contacts of the versions that are left, or one release. */
static void host_step(uint8_t op)
{
	fuzz.allowed = 8;
	switch (op % 12) {
	case 0:
		return host_raw();
	case 1:
	case 2:
		return host_offer();
	case 3:
		return host_rescind();
	case 4:
		return host_version();
	case 5:
	case 6:
		return host_opened();
	case 7:
		return host_created();
	case 8:
		return host_torndown();
	case 9:
		return host_modified();
	case 10:
		return host_simple(VMBUS_MSG_UNLOAD_RESPONSE);
	default:
		return host_simple(VMBUS_MSG_ALL_OFFERS_DELIVERED);
	}
}

static void guest_step(uint8_t op)
{
	switch (op % 10) {
	case 0:
		return guest_connect();
	case 1:
		return guest_request_offers();
	case 2:
		return guest_open();
	case 3:
		return guest_close();
	case 4:
		return guest_retarget();
	case 5:
		return guest_release();
	case 6:
		return guest_gpadl();
	case 7:
		return guest_gpadl_end(false);
	case 8:
		return guest_gpadl_end(true);
	default:
		return guest_unload();
	}
}

static void step(uint8_t op)
{
	static const int errors[] = {0, 0, 0, 0, 0, 0, -EAGAIN, -ENXIO};

	fuzz.posts = 0;
	fuzz.post_error = errors[op >> 5];
	if (op & 1)
		host_step((op >> 1) & 15);
	else
		guest_step((op >> 1) & 15);
	check_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conn_contact contact = {.newest = VMBUS_VERSION_WIN10_V5_3};
	uint32_t i;

	memset(&fuzz, 0, sizeof(fuzz));
	fuzz.in = (struct input){data, size};
	conn_init(&fuzz.conn, &ops, NULL);
	fuzz.allowed = 1;
	conn_connect(&fuzz.conn, &contact);
	while (fuzz.in.left)
		step((uint8_t)take(&fuzz.in, 1));
	fuzz.allowed = UINT32_MAX;
	for (i = 0; i < CHANNELS; i++)
		release(i);
	for (i = 0; i < GPADLS; i++) {
		if (fuzz.gpadls[i])
			conn_gpadl_forget(&fuzz.conn, fuzz.gpadls[i]);
		free(fuzz.gpadls[i]);
	}
	check(!fuzz.conn.gpadls);
	return 0;
}
