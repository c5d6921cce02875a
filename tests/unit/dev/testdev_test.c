/* SPDX-License-Identifier: MIT */
/* The SynIC test device over a real struct hv and a port that records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/gmem.h"
#include "hyper/dev/testdev.h"

#define VPS         2u
#define MEMORY      (1u << 20)
#define VECTOR      0x60u
#define SINT        8u
#define MESSAGE_ID  0x10u
#define EVENT_ID    0x20u
#define PAGE(vp, n) (0x10000u + (vp)*0x2000u + (n)*0x1000u)
#define INPUT       0x8000u
#define COMMAND(op, vp, sint, id)                                                                  \
	((uint32_t)(sint) | (uint32_t)(vp) << 8 | (uint32_t)(op) << 16 | (uint32_t)(id) << 24)

struct fixture {
	struct gmem gmem;
	struct hv hv;
	struct pio pio;
	struct testdev dev;
	unsigned injected[VPS][256]; /* interrupts by vector */
};

/* ---- the machine under hv ------------------------------------------------ */

static void record_inject(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct fixture *f = ctx;

	f->injected[vp][vector]++;
}

static void ignore_sint(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
}

static void ignore_direct(void *ctx, uint32_t vp, uint8_t vector)
{
}

static uint64_t no_tsc(void *ctx)
{
	return 0;
}

static void ignore_arm(void *ctx, uint32_t vp, uint64_t ref_time)
{
}

static void ignore(void *ctx)
{
}

static void ignore_vp(void *ctx, uint32_t vp)
{
}

static void ignore_crash(void *ctx, const struct hv_crash *crash)
{
}

static const struct hv_port_ops port_ops = {
	.inject = record_inject,
	.inject_auto_eoi = ignore_direct,
	.sint_changed = ignore_sint,
	.inject_direct = ignore_direct,
	.guest_tsc = no_tsc,
	.timer_arm = ignore_arm,
	.tsc_invariant = ignore_vp,
	.reset = ignore,
	.crash = ignore_crash,
};

/* ---- fixture ------------------------------------------------------------- */

static void synic_open(struct fixture *f, uint32_t vp)
{
	struct hv *hv = &f->hv;

	assert_int_equal(hv_msr_write(hv, vp, HV_MSR_SIMP, PAGE(vp, 0) | 1), 0);
	assert_int_equal(hv_msr_write(hv, vp, HV_MSR_SIEFP, PAGE(vp, 1) | 1), 0);
	assert_int_equal(hv_msr_write(hv, vp, HV_MSR_SINT0 + SINT, VECTOR), 0);
	assert_int_equal(hv_msr_write(hv, vp, HV_MSR_SCONTROL, 1), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct hv_config config = {
		.vp_count = VPS,
		.tsc_hz = 1000000000,
		.port = &port_ops,
		.ctx = f,
	};

	assert_non_null(f);
	config.gmem = &f->gmem;
	assert_int_equal(gmem_create(&f->gmem, MEMORY, NULL), 0);
	assert_int_equal(hv_init(&f->hv, &config), 0);
	assert_int_equal(testdev_init(&f->dev, &f->pio, &f->hv), 0);
	for (uint32_t vp = 0; vp < VPS; vp++)
		synic_open(f, vp);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	testdev_fini(&f->dev);
	assert_true(list_empty(&f->hv.connections));
	hv_fini(&f->hv);
	gmem_destroy(&f->gmem);
	free(f);
	return 0;
}

static void command(struct fixture *f, uint32_t op, uint32_t vp, uint32_t sint, uint32_t id)
{
	pio_write(&f->pio, TESTDEV_PORT, COMMAND(op, vp, sint, id), 4);
}

static uint64_t post(struct fixture *f, uint32_t id, uint32_t type)
{
	struct hv_input_post_message in = {
		.connection_id = id,
		.message_type = type,
		.payload_size = 3,
		.payload = {7, 8, 9},
	};
	struct hv_hypercall call = {.control = HV_CALL_POST_MESSAGE, .input = INPUT};

	assert_int_equal(gmem_write(&f->gmem, INPUT, &in, sizeof(in)), 0);
	return hv_hypercall(&f->hv, 0, &call);
}

static uint64_t signal_event(struct fixture *f, uint32_t id, uint16_t flag)
{
	struct hv_hypercall call = {
		.control = HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST,
		.input = id | (uint64_t)flag << 32,
	};

	return hv_hypercall(&f->hv, 0, &call);
}

static struct hv_message slot(struct fixture *f, uint32_t vp, uint32_t sint)
{
	struct hv_message message;

	assert_int_equal(gmem_read(&f->gmem, PAGE(vp, 0) + sint * sizeof(message), &message,
				 sizeof(message)),
		0);
	return message;
}

static bool flag_is_set(struct fixture *f, uint32_t vp, uint32_t sint, uint32_t flag)
{
	uint8_t byte;

	assert_int_equal(gmem_read(&f->gmem, PAGE(vp, 1) + sint * 256 + flag / 8, &byte, 1), 0);
	return byte >> flag % 8 & 1;
}

/* ---- tests --------------------------------------------------------------- */

static void message_goes_where_the_connection_leads(void **state)
{
	struct fixture *f = *state;
	struct hv_message got;

	command(f, TESTDEV_CREATE_MESSAGE, 1, SINT, MESSAGE_ID);
	assert_int_equal(post(f, MESSAGE_ID, 0x1234), HV_STATUS_SUCCESS);
	got = slot(f, 1, SINT);
	assert_int_equal(got.type, 0x1234);
	assert_int_equal(got.sender, MESSAGE_ID);
	assert_int_equal(got.payload_size, 3);
	assert_memory_equal(got.payload, "\7\10\11", 3);
	assert_int_equal(f->injected[1][VECTOR], 1);
	assert_int_equal(f->injected[0][VECTOR], 0);
}

static void destroyed_message_connection_is_unknown(void **state)
{
	struct fixture *f = *state;

	command(f, TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID);
	command(f, TESTDEV_DESTROY_MESSAGE, 0, SINT, MESSAGE_ID);
	assert_int_equal(post(f, MESSAGE_ID, 1), HV_STATUS_INVALID_CONNECTION_ID);
	command(f, TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID);
	assert_int_equal(post(f, MESSAGE_ID, 1), HV_STATUS_SUCCESS);
}

static void full_queue_says_insufficient_buffers(void **state)
{
	struct fixture *f = *state;
	unsigned accepted = 0;

	command(f, TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID);
	while (accepted <= 2 * HV_SYNIC_QUEUE_MAX && post(f, MESSAGE_ID, 1) == HV_STATUS_SUCCESS)
		accepted++;
	assert_in_range(accepted, 1, HV_SYNIC_QUEUE_MAX + 1);
	assert_int_equal(post(f, MESSAGE_ID, 1), HV_STATUS_INSUFFICIENT_BUFFERS);
}

static void event_sets_the_flag_numbered_like_the_connection(void **state)
{
	struct fixture *f = *state;

	command(f, TESTDEV_CREATE_EVENT, 1, SINT, EVENT_ID);
	assert_int_equal(signal_event(f, EVENT_ID, 0), HV_STATUS_SUCCESS);
	assert_true(flag_is_set(f, 1, SINT, EVENT_ID));
	assert_int_equal(f->injected[1][VECTOR], 1);
	assert_int_equal(signal_event(f, EVENT_ID, 0), HV_STATUS_SUCCESS);
	assert_int_equal(f->injected[1][VECTOR], 1); /* was set already */
	assert_int_equal(signal_event(f, EVENT_ID, 1), HV_STATUS_INVALID_PARAMETER);
	command(f, TESTDEV_DESTROY_EVENT, 1, SINT, EVENT_ID);
	assert_int_equal(signal_event(f, EVENT_ID, 0), HV_STATUS_INVALID_CONNECTION_ID);
}

static void kinds_of_connection_are_distinct(void **state)
{
	struct fixture *f = *state;

	command(f, TESTDEV_CREATE_EVENT, 0, SINT, EVENT_ID);
	assert_int_equal(post(f, EVENT_ID, 1), HV_STATUS_INVALID_PORT_ID);
	command(f, TESTDEV_DESTROY_MESSAGE, 0, SINT, EVENT_ID); /* it is no such thing */
	assert_int_equal(signal_event(f, EVENT_ID, 0), HV_STATUS_SUCCESS);
	command(f, TESTDEV_CREATE_MESSAGE, 0, SINT, EVENT_ID); /* the id is taken */
	assert_int_equal(post(f, EVENT_ID, 1), HV_STATUS_INVALID_PORT_ID);
}

static void route_injects_what_the_sint_says(void **state)
{
	struct fixture *f = *state;

	command(f, TESTDEV_SET_SINT, 1, SINT, 0); /* no route yet */
	assert_int_equal(f->injected[1][VECTOR], 0);
	command(f, TESTDEV_CREATE_ROUTE, 1, SINT, 0);
	command(f, TESTDEV_SET_SINT, 1, SINT, 0);
	assert_int_equal(f->injected[1][VECTOR], 1);
	assert_int_equal(hv_msr_write(&f->hv, 1, HV_MSR_SINT0 + SINT, VECTOR + 1), 0);
	command(f, TESTDEV_SET_SINT, 1, SINT, 0);
	assert_int_equal(f->injected[1][VECTOR + 1], 1);
	assert_int_equal(f->injected[0][VECTOR], 0);
	command(f, TESTDEV_DESTROY_ROUTE, 1, SINT, 0);
	command(f, TESTDEV_SET_SINT, 1, SINT, 0);
	assert_int_equal(f->injected[1][VECTOR + 1], 1);
}

static void closed_sint_takes_no_interrupt(void **state)
{
	struct fixture *f = *state;

	command(f, TESTDEV_CREATE_ROUTE, 0, SINT, 0);
	assert_int_equal(hv_msr_write(&f->hv, 0, HV_MSR_SINT0 + SINT, HV_SINT_MASKED | VECTOR), 0);
	command(f, TESTDEV_SET_SINT, 0, SINT, 0);
	assert_int_equal(hv_msr_write(&f->hv, 0, HV_MSR_SINT0 + SINT, HV_SINT_POLLING | VECTOR), 0);
	command(f, TESTDEV_SET_SINT, 0, SINT, 0);
	assert_int_equal(hv_msr_write(&f->hv, 0, HV_MSR_SINT0 + SINT, VECTOR), 0);
	assert_int_equal(hv_msr_write(&f->hv, 0, HV_MSR_SCONTROL, 0), 0);
	command(f, TESTDEV_SET_SINT, 0, SINT, 0);
	assert_int_equal(f->injected[0][VECTOR], 0);
	assert_int_equal(hv_msr_write(&f->hv, 0, HV_MSR_SCONTROL, 1), 0);
	command(f, TESTDEV_SET_SINT, 0, SINT, 0);
	assert_int_equal(f->injected[0][VECTOR], 1);
}

static unsigned slots_used(const struct fixture *f)
{
	unsigned used = 0;

	for (unsigned i = 0; i < TESTDEV_SLOTS; i++)
		used += f->dev.slot[i].kind != TESTDEV_FREE;
	return used;
}

static void nonsense_changes_nothing(void **state)
{
	struct fixture *f = *state;

	command(f, 0, 0, SINT, 1);
	command(f, 8, 0, SINT, 1);
	command(f, 0xFF, 0xFF, 0xFF, 0xFF);
	for (uint32_t op = 1; op <= 7; op++) {
		command(f, op, VPS, SINT, 1);
		command(f, op, 0xFF, SINT, 1);
		command(f, op, 0, HV_SINT_COUNT, 1);
	}
	command(f, TESTDEV_DESTROY_EVENT, 0, SINT, 1);
	pio_write(&f->pio, TESTDEV_PORT, COMMAND(TESTDEV_CREATE_ROUTE, 0, SINT, 0), 2);
	pio_write(&f->pio, TESTDEV_PORT + 2, COMMAND(TESTDEV_CREATE_ROUTE, 0, SINT, 0), 4);
	assert_int_equal(slots_used(f), 0);
	assert_int_equal(pio_read(&f->pio, TESTDEV_PORT, 4), 0xFFFFFFFF);
}

static void creating_twice_takes_one_slot(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		command(f, TESTDEV_CREATE_ROUTE, 0, SINT, 0);
		command(f, TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID);
		command(f, TESTDEV_CREATE_EVENT, 0, SINT, EVENT_ID);
	}
	assert_int_equal(slots_used(f), 3);
}

static void table_is_bounded(void **state)
{
	struct fixture *f = *state;

	for (uint32_t vp = 0; vp < VPS; vp++)
		for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
			command(f, TESTDEV_CREATE_ROUTE, vp, sint, 0);
	for (uint32_t id = 0; id < 256; id++)
		command(f, TESTDEV_CREATE_EVENT, 0, SINT, id);
	assert_int_equal(slots_used(f), TESTDEV_SLOTS);
	assert_int_equal(signal_event(f, 255, 0), HV_STATUS_INVALID_CONNECTION_ID);
	command(f, TESTDEV_DESTROY_EVENT, 0, SINT, 0);
	command(f, TESTDEV_CREATE_EVENT, 0, SINT, 255);
	assert_int_equal(signal_event(f, 255, 0), HV_STATUS_SUCCESS);
}

static void port_is_taken_once(void **state)
{
	struct fixture *f = *state;
	struct testdev *second = calloc(1, sizeof(*second));

	assert_non_null(second);
	assert_int_equal(testdev_init(second, &f->pio, &f->hv), -EEXIST);
	testdev_fini(second);
	free(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(message_goes_where_the_connection_leads),
		TEST(destroyed_message_connection_is_unknown),
		TEST(full_queue_says_insufficient_buffers),
		TEST(event_sets_the_flag_numbered_like_the_connection),
		TEST(kinds_of_connection_are_distinct),
		TEST(route_injects_what_the_sint_says),
		TEST(closed_sint_takes_no_interrupt),
		TEST(nonsense_changes_nothing),
		TEST(creating_twice_takes_one_slot),
		TEST(table_is_bounded),
		TEST(port_is_taken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
