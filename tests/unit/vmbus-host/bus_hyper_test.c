/* SPDX-License-Identifier: MIT */
/* The bus on the SynIC of a partition that has no KVM: what one kernel leaves behind, and the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "hyper/kvm/partition_impl.h"
#include "tests/unit/hv/fake_partition.h"
#include "vmbus-host/bus_hyper.h"

static struct fake_partition m;
static struct partition *p;
static struct bus_hyper *bh;
static struct loop control;

static struct hv_port_ops port;

static void no_interrupt(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
}

static void no_vector(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
}

static int setup(void **state)
{
	struct hv_config config;

	memset(&m, 0, sizeof(m));
	p = calloc(1, sizeof(*p));
	fake_ram_init(&m.gmem);
	p->gmem = m.gmem;
	config = fake_config(&m);
	port = fake_port;
	port.inject = no_interrupt;
	port.sint_changed = no_vector;
	config.port = &port;
	assert_int_equal(hv_init(&p->hv, &config), 0);
	assert_int_equal(loop_init(&control, "control", NULL), 0);
	return bus_hyper_create(&bh, p, &control, config.vp_count, NULL, NULL);
}

static void nothing(void *ctx)
{
}

static int teardown(void **state)
{
	bus_shutdown(bh->bus, nothing, NULL);
	bus_hyper_destroy(bh);
	loop_stop(&control);
	loop_run(&control); /* the task of the last message */
	loop_fini(&control);
	hv_fini(&p->hv);
	fake_ram_fini(&m.gmem);
	free(p);
	return 0;
}

/* ---- the guest ----------------------------------------------------------- */

static void post(uint32_t type, void *msg, uint32_t size)
{
	*(struct vmbus_msg_header *)msg = (struct vmbus_msg_header){.type = type};
	assert_int_equal(
		bh->conn_message.message(bh, VMBUS_CONN_MESSAGE, HV_MESSAGE_TYPE_VMBUS, msg, size),
		HV_STATUS_SUCCESS);
	bus_hyper_drain(bh);
}

static void contact(uint32_t sint)
{
	struct vmbus_initiate_contact msg = {
		.version = VMBUS_VERSION_WIN10_V5_3, .sint = (uint8_t)sint};

	post(VMBUS_MSG_INITIATE_CONTACT, &msg, sizeof(msg));
}

static void close_reserved(uint32_t vp, uint32_t sint)
{
	struct vmbus_close_reserved msg = {.relid = 1, .target_vp = vp, .target_sint = sint};

	post(VMBUS_MSG_CLOSE_RESERVED, &msg, sizeof(msg));
}

/* A new kernel switches its SynIC on, and must be answered, also while it takes no message. */
static void assert_next_kernel_connects(void)
{
	uint64_t page = 0x5000 | HV_MSR_PAGE_ENABLE;
	const struct hv_message *slot;

	assert_int_equal(hv_msr_write(&p->hv, 0, HV_MSR_SIMP, page), 0);
	assert_int_equal(hv_msr_write(&p->hv, 0, HV_MSR_SCONTROL, HV_SCONTROL_ENABLE), 0);
	assert_int_equal(hv_msr_write(&p->hv, 0, HV_MSR_SINT0 + VMBUS_SINT, 0x30), 0);
	contact(VMBUS_SINT);
	slot = (const struct hv_message *)(m.gmem.base + 0x5000) + VMBUS_SINT;
	assert_int_equal(slot->type, HV_MESSAGE_TYPE_VMBUS);
	for (uint32_t i = 0; i < 16; i++) {
		struct vmbus_tl_connect msg = {0};

		post(VMBUS_MSG_TL_CONNECT, &msg, sizeof(msg)); /* one answer each */
	}
	assert_int_equal(bus_version(bh->bus), VMBUS_VERSION_WIN10_V5_3);
}

/* ---- tests --------------------------------------------------------------- */

/* Answers for a SINT that is never opened fill the queue of the VP, which all SINTs share. */
static void answers_on_other_sints_do_not_outlive_a_kernel(void **state)
{
	contact(VMBUS_SINT);
	for (uint32_t i = 0; i < HV_SYNIC_QUEUE_MAX + 10; i++) {
		close_reserved(0, 3 + i % 13);
		if (!bus_version(bh->bus))
			contact(VMBUS_SINT);
	}
	assert_next_kernel_connects();
}

/* A refused contact is answered on the SINT that it names, and again, and again. */
static void refused_contacts_do_not_outlive_a_kernel(void **state)
{
	for (uint32_t i = 0; i < HV_SYNIC_QUEUE_MAX + 10; i++)
		contact(5);
	assert_next_kernel_connects();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			answers_on_other_sints_do_not_outlive_a_kernel, setup, teardown),
		cmocka_unit_test_setup_teardown(
			refused_contacts_do_not_outlive_a_kernel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
