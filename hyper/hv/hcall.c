/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls of 64-bit callers. The checks have a fixed order: code, control word,
 * input, output, then the call's own checks. All calls here are simple (no rep, no variable header)
 * and granted to every partition by CPUID. The caller (VP loop) has checked the privilege level.
 *
 * The input is copied once into private memory, and never read from the guest
 * again. The output is written to the guest only when the call succeeds.
 *
 * A new call is its function and a row in hcall_table.
 *
 * Source: TLFS, chapter hypercall-interface.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "hyper/hv/hv_impl.h"

#define BLOCK_ALIGN 8u /* of input and output in guest memory */

/* ---- connections --------------------------------------------------------- */

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

/* ---- the calls ----------------------------------------------------------- */

static enum hv_status notify_long_spin_wait(struct hv *hv, const union hcall_input *in)
{
	return HV_STATUS_SUCCESS;
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

static enum hv_status post_message(struct hv *hv, const union hcall_input *in)
{
	const struct hv_input_post_message *post = &in->post;
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

static enum hv_status signal_event(struct hv *hv, const union hcall_input *in)
{
	enum hv_status status;

	if (in->signal.reserved)
		return HV_STATUS_INVALID_PARAMETER;
	pthread_rwlock_rdlock(&hv->connection_lock);
	status = signal_to(hv, &in->signal);
	pthread_rwlock_unlock(&hv->connection_lock);
	return status;
}

static const struct hcall hcall_table[] = {
	{
		.code = HV_CALL_NOTIFY_LONG_SPIN_WAIT,
		.input_size = sizeof(uint64_t),
		.perform = notify_long_spin_wait,
	},
	{
		.code = HV_CALL_POST_MESSAGE,
		.input_size = sizeof(struct hv_input_post_message),
		.perform = post_message,
	},
	{
		.code = HV_CALL_SIGNAL_EVENT,
		.input_size = sizeof(struct hv_input_signal_event),
		.perform = signal_event,
	},
	{0},
};

/* ---- decoding ------------------------------------------------------------ */

static const struct hcall *hcall_find(const struct hcall *table, uint64_t control)
{
	for (const struct hcall *hcall = table; hcall->code; hcall++)
		if (hcall->code == (control & HV_HCALL_CODE_MASK))
			return hcall;
	return NULL;
}

/* A block of input or output is aligned, inside one page, and in RAM. The address of one without
 * bytes does not matter. */
static bool block_is_valid(struct hv *hv, uint64_t gpa, uint16_t size)
{
	if (!size)
		return true;
	return gpa % BLOCK_ALIGN == 0 && gpa % HV_PAGE_SIZE + size <= HV_PAGE_SIZE &&
	       gmem_at(hv->config.gmem, gpa, size);
}

/* The registers hold the input, so no output can follow. */
static enum hv_status read_fast_input(
	const struct hv_hypercall *call, const struct hcall *hcall, union hcall_input *in)
{
	if (hcall->input_size > sizeof(in->fast) || hcall->output_size)
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	in->fast[0] = call->input;
	in->fast[1] = call->output;
	return HV_STATUS_SUCCESS;
}

static enum hv_status read_memory_input(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, union hcall_input *in)
{
	if (!block_is_valid(hv, call->input, hcall->input_size) ||
		!block_is_valid(hv, call->output, hcall->output_size))
		return HV_STATUS_INVALID_ALIGNMENT;
	if (hcall->input_size && gmem_read(hv->config.gmem, call->input, in, hcall->input_size))
		return HV_STATUS_INVALID_ALIGNMENT;
	return HV_STATUS_SUCCESS;
}

static enum hv_status perform(struct hv *hv, const struct hv_hypercall *call,
	const struct hcall *hcall, const union hcall_input *in)
{
	union hcall_output out = {0};
	enum hv_status status;

	if (!hcall->output_size)
		return hcall->perform(hv, in);
	status = hcall->query(hv, in, &out);
	if (status == HV_STATUS_SUCCESS &&
		gmem_write(hv->config.gmem, call->output, &out, hcall->output_size))
		return HV_STATUS_INVALID_ALIGNMENT;
	return status;
}

enum hv_status hcall_dispatch(
	struct hv *hv, const struct hcall *table, const struct hv_hypercall *call)
{
	const struct hcall *hcall = hcall_find(table, call->control);
	union hcall_input in = {0};
	enum hv_status status;

	if (!hcall)
		return HV_STATUS_INVALID_HYPERCALL_CODE;
	/* Reserved bits, variable header and rep fields: all 0 in a simple call. */
	if (call->control & ~(HV_HCALL_CODE_MASK | HV_HCALL_FAST))
		return HV_STATUS_INVALID_HYPERCALL_INPUT;
	if (call->control & HV_HCALL_FAST)
		status = read_fast_input(call, hcall, &in);
	else
		status = read_memory_input(hv, call, hcall, &in);
	return status == HV_STATUS_SUCCESS ? perform(hv, call, hcall, &in) : status;
}

uint64_t hv_hypercall(struct hv *hv, uint32_t vp, const struct hv_hypercall *call)
{
	enum hv_status status;

	assert(vp < hv->config.vp_count);
	status = hcall_dispatch(hv, hcall_table, call);
	hv_count(&hv->counters.hypercalls);
	if (status != HV_STATUS_SUCCESS) {
		hv_count(&hv->counters.hypercalls_failed);
		/* Backpressure is normal: the guest retries. */
		if (status != HV_STATUS_INSUFFICIENT_BUFFERS)
			log_guest("VP %u: hypercall 0x%llx: status 0x%x", vp,
				(unsigned long long)call->control, status);
	}
	return status;
}
