/* SPDX-License-Identifier: GPL-2.0 OR MIT */
#include "guest/winhv/hcall.h"

#ifdef __KERNEL__
#include <linux/errno.h>
#include <linux/string.h>
#else
#include <errno.h>
#include <string.h>
#endif

/* ---- results ------------------------------------------------------------- */

#define HV_STATUSES(X)                                                                             \
	X(SUCCESS, 0)                                                                              \
	X(INVALID_HYPERCALL_CODE, EOPNOTSUPP)                                                      \
	X(INVALID_HYPERCALL_INPUT, EINVAL)                                                         \
	X(INVALID_ALIGNMENT, EINVAL)                                                               \
	X(INVALID_PARAMETER, EINVAL)                                                               \
	X(ACCESS_DENIED, EACCES)                                                                   \
	X(INSUFFICIENT_MEMORY, ENOMEM)                                                             \
	X(INVALID_PARTITION_ID, EINVAL)                                                            \
	X(INVALID_VP_INDEX, EINVAL)                                                                \
	X(INVALID_PORT_ID, ENXIO)                                                                  \
	X(INVALID_CONNECTION_ID, ENXIO)                                                            \
	X(INSUFFICIENT_BUFFERS, EAGAIN)                                                            \
	X(INVALID_SYNIC_STATE, ENODEV)                                                             \
	X(INVALID_REGISTER_VALUE, EINVAL)

struct status {
	uint16_t status;
	uint16_t error;
	const char *name;
};

static const struct status statuses[] = {
#define X(name_, error_) {HV_STATUS_##name_, (error_), #name_},
	HV_STATUSES(X)
#undef X
};

static const struct status *status_of(uint64_t result)
{
	uint32_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == (result & HV_HCALL_STATUS_MASK))
			return &statuses[i];
	return NULL;
}

int winhv_status_errno(uint64_t result)
{
	const struct status *status = status_of(result);

	return status ? -(int)status->error : -EIO;
}

const char *winhv_status_name(uint64_t result)
{
	const struct status *status = status_of(result);

	return status ? status->name : "unknown status";
}

/* ---- messages and events ------------------------------------------------- */

int winhv_call_post_message(const struct winhv_hypercalls *calls, uint32_t connection_id,
	uint32_t type, const void *payload, uint32_t bytes)
{
	struct hv_input_post_message input;

	if (!type || (type & HV_MESSAGE_TYPE_RESERVED) || bytes > sizeof(input.payload))
		return -EINVAL;
	memset(&input, 0, sizeof(input)); /* the hypervisor reads all of it */
	input.connection_id = connection_id;
	input.message_type = type;
	input.payload_size = bytes;
	memcpy(input.payload, payload, bytes);
	return winhv_status_errno(
		calls->slow(calls->ctx, HV_CALL_POST_MESSAGE, &input, sizeof(input), NULL, 0));
}

int winhv_call_signal_event(
	const struct winhv_hypercalls *calls, uint32_t connection_id, uint16_t flag)
{
	return winhv_status_errno(calls->fast(calls->ctx, HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST,
		(uint64_t)flag << 32 | connection_id, 0));
}

/* ---- calls that repeat --------------------------------------------------- */

static uint32_t reps_done(uint64_t result)
{
	return (uint32_t)(result >> HV_HCALL_REP_COUNT_SHIFT) & HV_HCALL_REP_MASK;
}

static int rep_check(const struct winhv_rep *rep)
{
	uint64_t input = rep->header_bytes + (uint64_t)rep->count * rep->item_bytes;

	if (!rep->count || rep->count > HV_HCALL_REP_MASK || input > HV_PAGE_SIZE)
		return -EINVAL;
	return (uint64_t)rep->count * rep->output_bytes > HV_PAGE_SIZE ? -EINVAL : 0;
}

/* The hypervisor counts from 0 whatever the start was, and wants the whole list each time. */
int winhv_call_rep(const struct winhv_hypercalls *calls, struct winhv_rep *rep, void *page)
{
	uint32_t input = rep->header_bytes + rep->count * rep->item_bytes, done;
	uint64_t result, control;
	int err = rep_check(rep);

	rep->done = 0;
	if (err)
		return err;
	memcpy(page, rep->header, rep->header_bytes);
	memcpy((uint8_t *)page + rep->header_bytes, rep->items, rep->count * rep->item_bytes);
	while (rep->done < rep->count) {
		control = rep->code | (uint64_t)rep->count << HV_HCALL_REP_COUNT_SHIFT |
			  (uint64_t)rep->done << HV_HCALL_REP_START_SHIFT;
		result = calls->slow(calls->ctx, control, page, input, rep->outputs,
			rep->count * rep->output_bytes);
		done = reps_done(result);
		if (done > rep->count || done < rep->done)
			return -EIO;
		err = winhv_status_errno(result);
		if (!err && done == rep->done)
			err = -EIO;
		rep->done = done;
		if (err)
			return err;
	}
	return 0;
}

int winhv_call_get_register(
	const struct winhv_hypercalls *calls, uint32_t name, struct hv_register_value *value)
{
	struct hv_input_vp_registers header = {
		.partition_id = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF};
	uint8_t page[sizeof(header) + sizeof(name)];
	struct winhv_rep rep = {
		.code = HV_CALL_GET_VP_REGISTERS,
		.header = &header,
		.header_bytes = sizeof(header),
		.items = &name,
		.item_bytes = sizeof(name),
		.count = 1,
		.outputs = value,
		.output_bytes = sizeof(*value),
	};

	return winhv_call_rep(calls, &rep, page);
}
