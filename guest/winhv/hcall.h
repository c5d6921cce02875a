/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Hypercalls as C functions (TLFS: hypercall-interface): how a control word is built, what a result
 * means, and when a repeated call goes on. How the processor gets into the hypervisor is the
 * caller's: winhv.ko uses the kernel's hypercall page, tests use a hypervisor of their own.
 *
 * Freestanding: no allocation, lock, log or sleep. 0 or -errno.
 */
#ifndef WINHV_HCALL_H
#define WINHV_HCALL_H

#include "hv/hv_reg.h"

/**
 * struct winhv_hypercalls - the way into the hypervisor
 * @slow: input and output are in memory. The function copies `input_bytes` to a page of its own,
 *        and up to `output_bytes` from one; 0: the call has no input, or no output.
 * @fast: input is in two registers
 *
 * Both return the result value (TLFS hypercall-result): status, and how many repetitions are done.
 */
struct winhv_hypercalls {
	uint64_t (*slow)(void *ctx, uint64_t control, const void *input, uint32_t input_bytes,
		void *output, uint32_t output_bytes);
	uint64_t (*fast)(void *ctx, uint64_t control, uint64_t input0, uint64_t input1);
	void *ctx;
};

/* -EOPNOTSUPP: no such call. -EACCES: not for this partition. -ENXIO: no such connection or port.
 * -EAGAIN: no buffer now. -ENOMEM. -EINVAL: bad arguments. -ENODEV: the other side's SynIC is off.
 * -EIO: anything else. */
int winhv_status_errno(uint64_t result);
/* As in the TLFS, for logs; never NULL. */
const char *winhv_status_name(uint64_t result);

/* payload: at most HV_MESSAGE_PAYLOAD_MAX bytes, else -EINVAL. type: not 0, bit 31 clear. */
int winhv_call_post_message(const struct winhv_hypercalls *calls, uint32_t connection_id,
	uint32_t type, const void *payload, uint32_t bytes);

/* flag: relative to the port's first. */
int winhv_call_signal_event(
	const struct winhv_hypercalls *calls, uint32_t connection_id, uint16_t flag);

/**
 * struct winhv_rep - a call that repeats over a list
 * @code:         HV_CALL_*
 * @header:       its fixed input, `header_bytes`
 * @items:        input of each repetition, `item_bytes` each
 * @count:        repetitions, at most HV_HCALL_REP_MASK
 * @outputs:      output of each, `output_bytes` each; may be NULL
 * @done:         set: repetitions that were done
 */
struct winhv_rep {
	uint16_t code;
	const void *header;
	uint32_t header_bytes;
	const void *items;
	uint32_t item_bytes;
	uint32_t count;
	void *outputs;
	uint32_t output_bytes;
	uint32_t done;
};

/* Goes on where the hypervisor has stopped, until all repetitions are done or one fails. -EIO also
 * when it reports success without progress. page: HV_PAGE_SIZE bytes for the input. -EINVAL: input
 * or output is longer than a page. */
int winhv_call_rep(const struct winhv_hypercalls *calls, struct winhv_rep *rep, void *page);

/* One register of the calling VP (HV_REGISTER_*). */
int winhv_call_get_register(
	const struct winhv_hypercalls *calls, uint32_t name, struct hv_register_value *value);

#endif
