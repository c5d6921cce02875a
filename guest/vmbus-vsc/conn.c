/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "guest/vmbus-vsc/conn.h"

#include "proto/vmbus_proto.h"

#ifdef __KERNEL__
#include <linux/string.h>
#else
#include <string.h>
#endif

/* Any number does; stock guests begin here, and host logs are easier to read that way. */
#define FIRST_GPADL 0xE1E10u

static const uint32_t versions[] = {
	VMBUS_VERSION_WIN10_V5_3,
	VMBUS_VERSION_WIN10_V5_2,
	VMBUS_VERSION_WIN10_V5_1,
	VMBUS_VERSION_WIN10_V5,
	VMBUS_VERSION_WIN10_RS3,
	VMBUS_VERSION_WIN10,
	VMBUS_VERSION_WIN8_1,
	VMBUS_VERSION_WIN8,
};
#define VERSIONS (sizeof(versions) / sizeof(versions[0]))

void conn_init(struct conn *conn, const struct conn_ops *ops, void *ctx)
{
	memset(conn, 0, sizeof(*conn));
	conn->ops = ops;
	conn->ctx = ctx;
	conn->next_gpadl = FIRST_GPADL;
}

static void changed(struct conn *conn)
{
	conn->ops->changed(conn->ctx);
}

static int post(struct conn *conn, uint32_t type, void *msg, uint32_t len)
{
	struct vmbus_msg_header header = {.type = type};

	memcpy(msg, &header, sizeof(header));
	return conn->ops->post(conn->ctx, conn->message_id, msg, len);
}

static int post_relid(struct conn *conn, uint32_t type, uint32_t relid)
{
	struct vmbus_relid_msg msg = {.relid = relid};

	return post(conn, type, &msg, sizeof(msg));
}

static int post_simple(struct conn *conn, uint32_t type)
{
	struct vmbus_msg_header msg;

	return post(conn, type, &msg, sizeof(msg));
}

/* ---- contact ------------------------------------------------------------- */

/* From 5.0 on the page's place has the SINT, and the port of the contact is another one. */
static int post_contact(struct conn *conn)
{
	const struct conn_contact *contact = &conn->contact;
	struct vmbus_initiate_contact msg;

	memset(&msg, 0, sizeof(msg));
	conn->version = versions[conn->version_index];
	msg.version = conn->version;
	msg.target_vp = contact->target_vp;
	msg.monitor_page_h2g = contact->monitor_page_h2g;
	msg.monitor_page_g2h = contact->monitor_page_g2h;
	if (conn->version >= VMBUS_VERSION_WIN10_V5)
		msg.sint = VMBUS_SINT;
	else
		msg.interrupt_page = contact->interrupt_page;
	conn->message_id = conn->version >= VMBUS_VERSION_WIN10_V5 ? VMBUS_CONN_MESSAGE_MULTI
								   : VMBUS_CONN_MESSAGE;
	return post(conn, VMBUS_MSG_INITIATE_CONTACT, &msg, sizeof(msg));
}

/* A host that does not know the port does not know the version either. */
static int contact_next(struct conn *conn)
{
	int err = -EPROTONOSUPPORT;

	for (; conn->version_index < VERSIONS; conn->version_index++) {
		err = post_contact(conn);
		if (err != -ENXIO)
			break;
	}
	if (err)
		conn->state = CONN_FAILED;
	return err;
}

int conn_connect(struct conn *conn, const struct conn_contact *contact)
{
	if (conn->state != CONN_IDLE && conn->state != CONN_FAILED)
		return -EBUSY;
	conn->contact = *contact;
	for (conn->version_index = 0; conn->version_index < VERSIONS; conn->version_index++)
		if (versions[conn->version_index] == contact->newest)
			break;
	if (conn->version_index == VERSIONS)
		return -EINVAL;
	conn->state = CONN_CONTACTING;
	conn->offers_delivered = false;
	return contact_next(conn);
}

/* Below 5.0 the answer repeats the version. */
static bool accepts(const struct conn *conn, const struct vmbus_version_response *msg)
{
	if (!msg->version_supported || msg->connection_state != VMBUS_CONNECTION_SUCCESSFUL)
		return false;
	return conn->version >= VMBUS_VERSION_WIN10_V5 ||
	       msg->version_or_conn_id == conn->version || !msg->version_or_conn_id;
}

static void on_version_response(struct conn *conn, const void *bytes)
{
	struct vmbus_version_response msg;

	if (conn->state != CONN_CONTACTING) {
		conn->counts.stray++;
		return;
	}
	memcpy(&msg, bytes, sizeof(msg));
	if (accepts(conn, &msg)) {
		conn->state = CONN_CONNECTED;
		if (conn->version >= VMBUS_VERSION_WIN10_V5)
			conn->message_id = msg.version_or_conn_id & HV_CONNECTION_ID_MASK;
	} else {
		conn->version_index++;
		contact_next(conn);
	}
	changed(conn);
}

int conn_request_offers(struct conn *conn)
{
	return conn->state == CONN_CONNECTED ? post_simple(conn, VMBUS_MSG_REQUEST_OFFERS)
					     : -ENOTCONN;
}

int conn_unload(struct conn *conn)
{
	int err;

	if (conn->state == CONN_IDLE || conn->state == CONN_FAILED)
		return -ENOTCONN;
	err = post_simple(conn, VMBUS_MSG_UNLOAD);
	if (!err)
		conn->state = CONN_UNLOADING;
	return err;
}

static void on_unload_response(struct conn *conn)
{
	if (conn->state != CONN_UNLOADING) {
		conn->counts.stray++;
		return;
	}
	conn_forget_all(conn);
	changed(conn);
}

void conn_forget_all(struct conn *conn)
{
	struct conn_gpadl *gpadl;

	for (gpadl = conn->gpadls; gpadl; gpadl = gpadl->next)
		gpadl->state = CONN_GPADL_NONE;
	conn->gpadls = NULL;
	memset(conn->channels, 0, sizeof(conn->channels));
	conn->state = CONN_IDLE;
}

/* ---- offers -------------------------------------------------------------- */

static bool is_refused(const struct conn *conn, const struct conn_channel *chan)
{
	return chan == &conn->refused;
}

/* The channel of a relid, if it is the owner's. */
static struct conn_channel *find(const struct conn *conn, uint32_t relid)
{
	struct conn_channel *chan = relid <= VMBUS_RELID_MAX ? conn->channels[relid] : NULL;

	return chan && !is_refused(conn, chan) ? chan : NULL;
}

static bool same_guid(const struct hv_guid *a, const struct hv_guid *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* An instance is unique over all classes. */
static struct conn_channel *find_primary(const struct conn *conn, const struct hv_guid *instance)
{
	struct conn_channel *chan;
	uint32_t relid;

	for (relid = 1; relid <= VMBUS_RELID_MAX; relid++) {
		chan = find(conn, relid);
		if (chan && !chan->primary && same_guid(&chan->offer.instance_id, instance))
			return chan;
	}
	return NULL;
}

/* A sub-channel belongs to a device that is there; a device is offered once. */
static bool offer_fits(const struct vmbus_offer *offer, const struct conn_channel *primary)
{
	if (!offer->connection_id || offer->connection_id > HV_CONNECTION_ID_MASK)
		return false;
	if (!offer->sub_channel_index)
		return !primary;
	return primary && !primary->rescinded &&
	       same_guid(&primary->offer.class_id, &offer->class_id);
}

static struct conn_channel *accept_offer(struct conn *conn, const struct vmbus_offer *offer)
{
	struct conn_channel *primary = find_primary(conn, &offer->instance_id), *chan;

	if (!offer_fits(offer, primary)) {
		conn->counts.refused++;
		return &conn->refused;
	}
	chan = conn->ops->offered(conn->ctx, offer, primary);
	if (!chan)
		return &conn->refused;
	memset(chan, 0, sizeof(*chan));
	chan->offer = *offer;
	chan->primary = primary;
	return chan;
}

static void on_offer(struct conn *conn, const void *bytes)
{
	struct vmbus_offer offer;

	memcpy(&offer, bytes, sizeof(offer));
	if (!offer.relid || offer.relid > VMBUS_RELID_MAX || conn->channels[offer.relid]) {
		conn->counts.refused++;
		return;
	}
	conn->channels[offer.relid] = accept_offer(conn, &offer);
	changed(conn);
}

static void free_relid(struct conn *conn, uint32_t relid)
{
	conn->channels[relid] = NULL;
	post_relid(conn, VMBUS_MSG_RELID_RELEASED, relid);
}

static void on_rescind(struct conn *conn, const void *bytes)
{
	struct conn_channel *chan;
	struct vmbus_relid_msg msg;

	memcpy(&msg, bytes, sizeof(msg));
	chan = msg.relid <= VMBUS_RELID_MAX ? conn->channels[msg.relid] : NULL;
	if (!chan || chan->rescinded) {
		conn->counts.stray++;
		return;
	}
	if (is_refused(conn, chan)) {
		free_relid(conn, msg.relid);
		return;
	}
	chan->rescinded = true;
	conn->ops->rescinded(conn->ctx, chan);
	changed(conn);
}

/* Sub-channels that outlive their primary have none from now on. */
static void forget_primary(struct conn *conn, const struct conn_channel *primary)
{
	struct conn_channel *chan;
	uint32_t relid;

	for (relid = 1; relid <= VMBUS_RELID_MAX; relid++) {
		chan = find(conn, relid);
		if (chan && chan->primary == primary)
			chan->primary = NULL;
	}
}

void conn_release(struct conn *conn, struct conn_channel *chan)
{
	uint32_t relid = chan->offer.relid;

	if (find(conn, relid) != chan) /* the connection has ended meanwhile */
		return;
	if (!chan->primary)
		forget_primary(conn, chan);
	if (chan->rescinded && conn->state == CONN_CONNECTED)
		free_relid(conn, relid);
	else
		conn->channels[relid] = &conn->refused;
}

/* ---- opening and closing ------------------------------------------------- */

static int usable(const struct conn *conn, const struct conn_channel *chan)
{
	if (conn->state != CONN_CONNECTED)
		return -ENOTCONN;
	/* One of an earlier connection is not in the table, and its primary may be freed. */
	return find(conn, chan->offer.relid) != chan || conn_channel_gone(chan) ? -ENODEV : 0;
}

/* Each attempt has an id of its own: a late answer to an earlier one is not taken for this one's.
 */
int conn_open(struct conn *conn, struct conn_channel *chan, const struct conn_open *open)
{
	struct vmbus_open msg;
	int err = usable(conn, chan);

	if (err)
		return err;
	if (chan->state != CONN_CHANNEL_CLOSED)
		return -EBUSY;
	memset(&msg, 0, sizeof(msg));
	chan->open_id = ++conn->next_open;
	msg.relid = chan->offer.relid;
	msg.open_id = chan->open_id;
	msg.ring_gpadl = open->gpadl;
	msg.target_vp = open->target_vp;
	msg.downstream_offset = open->downstream_page;
	err = post(conn, VMBUS_MSG_OPEN, &msg, sizeof(msg));
	if (!err) {
		chan->status = VMBUS_STATUS_SUCCESS;
		chan->state = CONN_CHANNEL_OPENING;
	}
	return err;
}

static void on_open_result(struct conn *conn, const void *bytes)
{
	struct vmbus_open_result msg;
	struct conn_channel *chan;

	memcpy(&msg, bytes, sizeof(msg));
	chan = find(conn, msg.relid);
	if (!chan || chan->state != CONN_CHANNEL_OPENING || chan->open_id != msg.open_id) {
		conn->counts.stray++;
		return;
	}
	chan->status = msg.status;
	chan->state = msg.status ? CONN_CHANNEL_CLOSED : CONN_CHANNEL_OPEN;
	changed(conn);
}

int conn_close(struct conn *conn, struct conn_channel *chan)
{
	if (chan->state == CONN_CHANNEL_CLOSED)
		return 0;
	chan->state = CONN_CHANNEL_CLOSED;
	chan->retargeting = false;
	if (conn->state != CONN_CONNECTED || find(conn, chan->offer.relid) != chan)
		return -ENOTCONN;
	return post_relid(conn, VMBUS_MSG_CLOSE, chan->offer.relid);
}

/* ---- retargeting --------------------------------------------------------- */

int conn_retarget(struct conn *conn, struct conn_channel *chan, uint32_t target_vp)
{
	struct vmbus_modify_channel msg = {.target_vp = target_vp};
	int err = usable(conn, chan);

	if (err)
		return err;
	if (conn->version < VMBUS_VERSION_WIN10_RS3)
		return -EOPNOTSUPP;
	if (chan->state != CONN_CHANNEL_OPEN)
		return -EINVAL;
	if (chan->retargeting)
		return -EBUSY;
	msg.relid = chan->offer.relid;
	err = post(conn, VMBUS_MSG_MODIFY_CHANNEL, &msg, sizeof(msg));
	if (err)
		return err;
	chan->status = VMBUS_STATUS_SUCCESS;
	chan->retargeting = conn->version >= VMBUS_VERSION_WIN10_V5_3;
	return !chan->retargeting;
}

static void on_modify_response(struct conn *conn, const void *bytes)
{
	struct vmbus_modify_channel_response msg;
	struct conn_channel *chan;

	memcpy(&msg, bytes, sizeof(msg));
	chan = find(conn, msg.relid);
	if (!chan || !chan->retargeting) {
		conn->counts.stray++;
		return;
	}
	chan->status = msg.status;
	chan->retargeting = false;
	changed(conn);
}

/* ---- GPADLs -------------------------------------------------------------- */

/* An id is 32 bits wide, and lives for less than 2^32 creations; 0 means none. */
static uint32_t new_gpadl_id(struct conn *conn)
{
	if (!conn->next_gpadl)
		conn->next_gpadl++;
	return conn->next_gpadl++;
}

static uint32_t put_pfns(uint8_t *at, const struct conn_pages *pages, uint32_t first, uint32_t most)
{
	uint32_t count = pages->count - first < most ? pages->count - first : most, i;

	for (i = 0; i < count; i++) {
		uint64_t pfn = pages->pfn(pages->ctx, first + i);

		memcpy(at + i * sizeof(pfn), &pfn, sizeof(pfn));
	}
	return count;
}

/* Returns how many PFNs it has posted, or -errno. */
static int post_gpadl_header(
	struct conn *conn, const struct conn_gpadl *gpadl, const struct conn_pages *pages)
{
	struct vmbus_gpa_range range = {.byte_count = pages->count * HV_PAGE_SIZE};
	struct vmbus_gpadl_header header = {.relid = gpadl->relid, .gpadl = gpadl->id};
	uint8_t msg[VMBUS_MESSAGE_SIZE_MAX];
	uint32_t at = sizeof(header) + sizeof(range), count;
	int err;

	header.range_buflen = (uint16_t)(sizeof(range) + pages->count * sizeof(uint64_t));
	header.range_count = 1;
	memcpy(msg, &header, sizeof(header));
	memcpy(msg + sizeof(header), &range, sizeof(range));
	count = put_pfns(msg + at, pages, 0, VMBUS_GPADL_HEADER_PFNS_MAX);
	err = post(conn, VMBUS_MSG_GPADL_HEADER, msg, at + count * (uint32_t)sizeof(uint64_t));
	return err ? err : (int)count;
}

static int post_gpadl_body(struct conn *conn, const struct conn_gpadl *gpadl,
	const struct conn_pages *pages, uint32_t first)
{
	struct vmbus_gpadl_body body = {.gpadl = gpadl->id};
	uint8_t msg[VMBUS_MESSAGE_SIZE_MAX];
	uint32_t count;
	int err;

	memcpy(msg, &body, sizeof(body));
	count = put_pfns(msg + sizeof(body), pages, first, VMBUS_GPADL_BODY_PFNS_MAX);
	err = post(conn, VMBUS_MSG_GPADL_BODY, msg,
		(uint32_t)(sizeof(body) + count * sizeof(uint64_t)));
	return err ? err : (int)count;
}

/* The host ignores a GPADL that is never complete. */
static int post_gpadl(
	struct conn *conn, const struct conn_gpadl *gpadl, const struct conn_pages *pages)
{
	int count = post_gpadl_header(conn, gpadl, pages);
	uint32_t posted;

	for (posted = 0; count > 0 && (posted += (uint32_t)count) < pages->count;)
		count = post_gpadl_body(conn, gpadl, pages, posted);
	return count < 0 ? count : 0;
}

/* In the list first: the answer may be here before this returns. */
int conn_gpadl_create(struct conn *conn, const struct conn_channel *chan, struct conn_gpadl *gpadl,
	const struct conn_pages *pages)
{
	int err = usable(conn, chan);

	if (err)
		return err;
	if (gpadl->state != CONN_GPADL_NONE || !pages->count)
		return -EINVAL;
	if (pages->count > CONN_GPADL_PAGES_MAX)
		return -E2BIG;
	gpadl->id = new_gpadl_id(conn);
	gpadl->relid = chan->offer.relid;
	gpadl->status = VMBUS_STATUS_SUCCESS;
	gpadl->state = CONN_GPADL_CREATING;
	gpadl->next = conn->gpadls;
	conn->gpadls = gpadl;
	err = post_gpadl(conn, gpadl, pages);
	if (err)
		conn_gpadl_forget(conn, gpadl);
	return err;
}

int conn_gpadl_destroy(struct conn *conn, struct conn_gpadl *gpadl)
{
	struct vmbus_gpadl_teardown msg = {.relid = gpadl->relid, .gpadl = gpadl->id};
	int err;

	if (conn->state != CONN_CONNECTED)
		return -ENOTCONN;
	if (gpadl->state != CONN_GPADL_CREATED)
		return -EINVAL;
	gpadl->state = CONN_GPADL_DESTROYING;
	err = post(conn, VMBUS_MSG_GPADL_TEARDOWN, &msg, sizeof(msg));
	if (err && gpadl->state == CONN_GPADL_DESTROYING)
		gpadl->state = CONN_GPADL_CREATED;
	return err;
}

void conn_gpadl_forget(struct conn *conn, struct conn_gpadl *gpadl)
{
	struct conn_gpadl **at = &conn->gpadls;

	while (*at && *at != gpadl)
		at = &(*at)->next;
	if (*at)
		*at = gpadl->next;
	gpadl->next = NULL;
	gpadl->state = CONN_GPADL_NONE;
}

static struct conn_gpadl *find_gpadl(
	const struct conn *conn, uint32_t id, enum conn_gpadl_state state)
{
	struct conn_gpadl *gpadl = conn->gpadls;

	while (gpadl && (gpadl->id != id || gpadl->state != state))
		gpadl = gpadl->next;
	return gpadl;
}

static void on_gpadl_created(struct conn *conn, const void *bytes)
{
	struct vmbus_gpadl_created msg;
	struct conn_gpadl *gpadl;

	memcpy(&msg, bytes, sizeof(msg));
	gpadl = find_gpadl(conn, msg.gpadl, CONN_GPADL_CREATING);
	if (!gpadl || gpadl->relid != msg.relid) {
		conn->counts.stray++;
		return;
	}
	gpadl->status = msg.status;
	if (msg.status)
		conn_gpadl_forget(conn, gpadl);
	else
		gpadl->state = CONN_GPADL_CREATED;
	changed(conn);
}

static void on_gpadl_torndown(struct conn *conn, const void *bytes)
{
	struct vmbus_gpadl_torndown msg;
	struct conn_gpadl *gpadl;

	memcpy(&msg, bytes, sizeof(msg));
	gpadl = find_gpadl(conn, msg.gpadl, CONN_GPADL_DESTROYING);
	if (!gpadl) {
		conn->counts.stray++;
		return;
	}
	conn_gpadl_forget(conn, gpadl);
	changed(conn);
}

/* ---- messages ------------------------------------------------------------ */

static void on_connected_message(struct conn *conn, uint32_t type, const void *msg)
{
	switch (type) {
	case VMBUS_MSG_OFFER:
		return on_offer(conn, msg);
	case VMBUS_MSG_RESCIND:
		return on_rescind(conn, msg);
	case VMBUS_MSG_ALL_OFFERS_DELIVERED:
		conn->offers_delivered = true;
		return changed(conn);
	case VMBUS_MSG_OPEN_RESULT:
		return on_open_result(conn, msg);
	case VMBUS_MSG_GPADL_CREATED:
		return on_gpadl_created(conn, msg);
	case VMBUS_MSG_GPADL_TORNDOWN:
		return on_gpadl_torndown(conn, msg);
	case VMBUS_MSG_MODIFY_CHANNEL_RESPONSE:
		return on_modify_response(conn, msg);
	default: /* of sockets and reserved channels, which this guest has none of */
		conn->counts.stray++;
	}
}

/* While the connection ends, what the host had sent before is still coming. */
void conn_message(struct conn *conn, const void *msg, uint32_t len)
{
	uint32_t version = conn->state == CONN_CONNECTED ? conn->version : 0, type;

	conn->counts.messages++;
	if (vmbus_msg_check(msg, len, VMBUS_H2G, version, &type) != VMBUS_CHECK_OK)
		conn->counts.invalid++;
	else if (type == VMBUS_MSG_VERSION_RESPONSE)
		on_version_response(conn, msg);
	else if (type == VMBUS_MSG_UNLOAD_RESPONSE)
		on_unload_response(conn);
	else if (conn->state == CONN_CONNECTED)
		on_connected_message(conn, type, msg);
	else
		conn->counts.stray++;
}
