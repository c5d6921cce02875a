/* SPDX-License-Identifier: MIT */
/*
 * Connections, and the two calls that use them: HvPostMessage and HvSignalEvent.
 *
 * Source: TLFS, chapter inter-partition-communication.
 */
#include <assert.h>
#include <errno.h>

#include "hyper/hv/hv_impl.h"

static struct hv_connection *connection_find(struct hv *hv, uint32_t id)
{
	list_for_each (item, &hv->connections) {
		struct hv_connection *conn = container_of(item, struct hv_connection, link);

		if (conn->id == id)
			return conn;
	}
	return NULL;
}

int hv_connection_add(struct hv *hv, struct hv_connection *conn)
{
	int ret = 0;

	assert(!conn->message != !conn->event);
	if (conn->id & ~HV_CONNECTION_ID_MASK)
		return -EINVAL;
	pthread_rwlock_wrlock(&hv->connection_lock);
	if (connection_find(hv, conn->id))
		ret = -EEXIST;
	else
		list_add_tail(&hv->connections, &conn->link);
	pthread_rwlock_unlock(&hv->connection_lock);
	return ret;
}

void hv_connection_del(struct hv *hv, struct hv_connection *conn)
{
	pthread_rwlock_wrlock(&hv->connection_lock);
	list_del(&conn->link);
	pthread_rwlock_unlock(&hv->connection_lock);
}

static enum hv_status post_to(struct hv *hv, const struct hv_input_post_message *in)
{
	struct hv_connection *conn = connection_find(hv, in->connection_id);

	if (!conn)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (!conn->message)
		return HV_STATUS_INVALID_PORT_ID;
	return conn->message(conn->ctx, conn->id, in->message_type, in->payload, in->payload_size);
}

enum hv_status hcall_post_message(struct hv *hv, struct hcall_frame *f)
{
	const struct hv_input_post_message *post = &f->in.post;
	enum hv_status status;

	if (post->reserved || post->payload_size > HV_MESSAGE_PAYLOAD_MAX ||
		post->message_type == HV_MESSAGE_TYPE_NONE ||
		(post->message_type & HV_MESSAGE_TYPE_RESERVED))
		return HV_STATUS_INVALID_PARAMETER;
	pthread_rwlock_rdlock(&hv->connection_lock);
	status = post_to(hv, post);
	pthread_rwlock_unlock(&hv->connection_lock);
	return status;
}

static enum hv_status signal_to(struct hv *hv, const struct hv_input_signal_event *in)
{
	struct hv_connection *conn = connection_find(hv, in->connection_id);

	if (!conn)
		return HV_STATUS_INVALID_CONNECTION_ID;
	if (!conn->event)
		return HV_STATUS_INVALID_PORT_ID;
	return conn->event(conn->ctx, conn->id, in->flag_number);
}

enum hv_status hcall_signal_event(struct hv *hv, struct hcall_frame *f)
{
	enum hv_status status;

	if (f->in.signal.reserved)
		return HV_STATUS_INVALID_PARAMETER;
	pthread_rwlock_rdlock(&hv->connection_lock);
	status = signal_to(hv, &f->in.signal);
	pthread_rwlock_unlock(&hv->connection_lock);
	return status;
}
