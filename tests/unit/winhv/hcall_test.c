/* SPDX-License-Identifier: MIT */
/* The guest's hypercall functions over a hypervisor of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "guest/winhv/hcall.h"

/* What it was called with, and what it answers. */
struct hypervisor {
	uint64_t control[8], input0, input1;
	uint32_t calls, input_bytes, output_bytes;
	uint8_t input[HV_PAGE_SIZE];
	uint64_t results[8];
};

static uint64_t slow(void *ctx, uint64_t control, const void *input, uint32_t input_bytes,
	void *output, uint32_t output_bytes)
{
	struct hypervisor *hv = ctx;

	memcpy(hv->input, input, input_bytes);
	hv->input_bytes = input_bytes;
	hv->output_bytes = output_bytes;
	if (output_bytes)
		memset(output, 0x5A, output_bytes);
	hv->control[hv->calls] = control;
	return hv->results[hv->calls++];
}

static uint64_t fast(void *ctx, uint64_t control, uint64_t input0, uint64_t input1)
{
	struct hypervisor *hv = ctx;

	hv->input0 = input0;
	hv->input1 = input1;
	hv->control[hv->calls] = control;
	return hv->results[hv->calls++];
}

#define CALLS(hv)                                                                                  \
	&(struct winhv_hypercalls)                                                                 \
	{                                                                                          \
		slow, fast, (hv)                                                                   \
	}

static uint64_t done(uint32_t reps, uint16_t status)
{
	return (uint64_t)reps << 32 | status;
}

static void statuses_are_errnos(void **state)
{
	assert_int_equal(winhv_status_errno(0), 0);
	assert_int_equal(winhv_status_errno(done(7, 0)), 0);
	assert_int_equal(winhv_status_errno(0x02), -EOPNOTSUPP);
	assert_int_equal(winhv_status_errno(0x05), -EINVAL);
	assert_int_equal(winhv_status_errno(0x06), -EACCES);
	assert_int_equal(winhv_status_errno(0x0B), -ENOMEM);
	assert_int_equal(winhv_status_errno(0x12), -ENXIO);
	assert_int_equal(winhv_status_errno(0x13), -EAGAIN);
	assert_int_equal(winhv_status_errno(0x1234), -EIO);
	assert_string_equal(winhv_status_name(0x13), "INSUFFICIENT_BUFFERS");
	assert_string_equal(winhv_status_name(0x1234), "unknown status");
}

static void messages_are_posted_whole(void **state)
{
	struct hv_input_post_message posted;
	struct hypervisor hv = {.results = {0, 0x13}};

	assert_int_equal(winhv_call_post_message(CALLS(&hv), 4, 1, "abcd", 4), 0);
	assert_int_equal(hv.control[0], 0x5C);
	assert_int_equal(hv.input_bytes, 256);
	memcpy(&posted, hv.input, sizeof(posted));
	assert_int_equal(posted.connection_id, 4);
	assert_int_equal(posted.message_type, 1);
	assert_int_equal(posted.payload_size, 4);
	assert_memory_equal(posted.payload, "abcd\0\0\0\0", 8);
	assert_int_equal(winhv_call_post_message(CALLS(&hv), 4, 1, "abcd", 4), -EAGAIN);
}

static void bad_messages_reach_no_hypervisor(void **state)
{
	struct hypervisor hv = {.calls = 0};
	uint8_t bytes[241] = {0};

	assert_int_equal(winhv_call_post_message(CALLS(&hv), 1, 1, bytes, 241), -EINVAL);
	assert_int_equal(winhv_call_post_message(CALLS(&hv), 1, 0, bytes, 8), -EINVAL);
	assert_int_equal(winhv_call_post_message(CALLS(&hv), 1, 0x80000010u, bytes, 8), -EINVAL);
	assert_int_equal(hv.calls, 0);
	assert_int_equal(winhv_call_post_message(CALLS(&hv), 1, 1, bytes, 240), 0);
}

static void events_are_fast_calls(void **state)
{
	struct hypervisor hv = {.results = {0}};

	assert_int_equal(winhv_call_signal_event(CALLS(&hv), 0x2005, 3), 0);
	assert_int_equal(hv.control[0], 0x1005D);
	assert_int_equal(hv.input0, 0x300002005ull);
	assert_int_equal(hv.input1, 0);
}

static struct winhv_rep three(const uint32_t *items)
{
	return (struct winhv_rep){.code = 3,
		.header = "headerhd",
		.header_bytes = 8,
		.items = items,
		.item_bytes = 4,
		.count = 3};
}

static void repetitions_go_on_where_they_stopped(void **state)
{
	struct hypervisor hv = {.results = {done(1, 0), done(2, 0), done(3, 0)}};
	uint32_t items[3] = {1, 2, 3};
	struct winhv_rep rep = three(items);
	uint8_t page[HV_PAGE_SIZE];

	assert_int_equal(winhv_call_rep(CALLS(&hv), &rep, page), 0);
	assert_int_equal(rep.done, 3);
	assert_int_equal(hv.calls, 3);
	assert_int_equal(hv.control[0], 0x300000003ull);
	assert_int_equal(hv.control[2], 0x2000300000003ull);
	assert_memory_equal(hv.input, "headerhd", 8);
	assert_memory_equal(hv.input + 8, items, sizeof(items));
}

static void repetitions_end(void **state)
{
	struct hypervisor fails = {.results = {done(1, 0), done(2, 5)}};
	struct hypervisor stands = {.results = {done(1, 0), done(1, 0)}};
	struct hypervisor lies = {.results = {done(4, 0)}};
	struct hypervisor returns = {.results = {done(2, 0), done(1, 0)}};
	uint32_t items[3] = {1, 2, 3};
	struct winhv_rep rep = three(items);
	uint8_t page[HV_PAGE_SIZE];

	assert_int_equal(winhv_call_rep(CALLS(&fails), &rep, page), -EINVAL);
	assert_int_equal(rep.done, 2);
	assert_int_equal(winhv_call_rep(CALLS(&stands), &rep, page), -EIO);
	assert_int_equal(winhv_call_rep(CALLS(&lies), &rep, page), -EIO);
	assert_int_equal(winhv_call_rep(CALLS(&returns), &rep, page), -EIO);
}

static void repetitions_fit_a_page(void **state)
{
	struct hypervisor hv = {.calls = 0};
	struct winhv_rep rep = three(NULL);
	uint8_t page[HV_PAGE_SIZE];

	rep.count = 0;
	assert_int_equal(winhv_call_rep(CALLS(&hv), &rep, page), -EINVAL);
	rep.count = 1023;
	assert_int_equal(winhv_call_rep(CALLS(&hv), &rep, page), -EINVAL);
	rep.count = 3;
	rep.output_bytes = HV_PAGE_SIZE;
	assert_int_equal(winhv_call_rep(CALLS(&hv), &rep, page), -EINVAL);
	assert_int_equal(hv.calls, 0);
}

static void registers_are_read(void **state)
{
	struct hypervisor hv = {.results = {done(1, 0)}};
	struct hv_register_value value;
	uint32_t name;

	assert_int_equal(winhv_call_get_register(CALLS(&hv), HV_REGISTER_VP_INDEX, &value), 0);
	assert_int_equal(hv.control[0], 0x100000050ull);
	memcpy(&name, hv.input + 16, sizeof(name));
	assert_int_equal(name, HV_REGISTER_VP_INDEX);
	assert_int_equal(hv.output_bytes, 16);
	assert_int_equal(value.low, 0x5A5A5A5A5A5A5A5Aull);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_are_errnos),
		cmocka_unit_test(messages_are_posted_whole),
		cmocka_unit_test(bad_messages_reach_no_hypervisor),
		cmocka_unit_test(events_are_fast_calls),
		cmocka_unit_test(repetitions_go_on_where_they_stopped),
		cmocka_unit_test(repetitions_end),
		cmocka_unit_test(repetitions_fit_a_page),
		cmocka_unit_test(registers_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
