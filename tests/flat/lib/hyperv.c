/* SPDX-License-Identifier: MIT */
#include "hyperv.h"

#include "memory.h"

#define TESTDEV_PORT 0x3000

#define PAGE __attribute__((aligned(HV_PAGE_SIZE)))

uint8_t hypercall_page[HV_PAGE_SIZE] PAGE;
struct hv_input_post_message post_input PAGE;
static struct hv_message_page message_page[VPS_MAX] PAGE;
static struct hv_event_flags_page event_page[VPS_MAX] PAGE;

void hv_start(void)
{
	wrmsr(HV_MSR_GUEST_OS_ID, GUEST_OS_ID);
	wrmsr(HV_MSR_HYPERCALL, (uintptr_t)hypercall_page | HV_MSR_PAGE_ENABLE);
}

uint64_t hv_call(uint64_t control, uint64_t input, uint64_t output)
{
	register uint64_t r8 __asm__("r8") = output;
	uint64_t result;

	/* By the TLFS only RAX changes (RCX too, on calls with repetitions): say no more. */
	__asm__ volatile("call *%[page]"
			 : "=a"(result), "+c"(control)
			 : "d"(input), "r"(r8), [page] "r"(hypercall_page)
			 : "memory", "cc");
	return result;
}

uint64_t hv_post(uint32_t connection, uint32_t type, uint8_t fill, uint32_t size)
{
	post_input.connection_id = connection;
	post_input.reserved = 0;
	post_input.message_type = type;
	post_input.payload_size = size;
	memset(post_input.payload, fill, size < HV_MESSAGE_PAYLOAD_MAX ? size : 0);
	return hv_call(HV_CALL_POST_MESSAGE, (uintptr_t)&post_input, 0);
}

uint64_t hv_signal(uint32_t connection)
{
	return hv_call(HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST, connection, 0);
}

void synic_enable_page(uint32_t msr, bool enable)
{
	const unsigned vp = vp_this()->index;
	const uintptr_t page =
		msr == HV_MSR_SIMP ? (uintptr_t)&message_page[vp] : (uintptr_t)&event_page[vp];

	wrmsr(msr, enable ? page | HV_MSR_PAGE_ENABLE : 0);
}

void synic_set_sint(unsigned sint, uint64_t value)
{
	wrmsr(HV_MSR_SINT0 + sint, value);
}

void synic_start(void)
{
	synic_enable_page(HV_MSR_SIMP, true);
	synic_enable_page(HV_MSR_SIEFP, true);
	wrmsr(HV_MSR_SCONTROL, HV_SCONTROL_ENABLE);
}

void synic_stop(void)
{
	for (unsigned sint = 0; sint < HV_SINT_COUNT; sint++)
		synic_set_sint(sint, HV_SINT_RESET_VALUE);
	synic_enable_page(HV_MSR_SIMP, false);
	synic_enable_page(HV_MSR_SIEFP, false);
	wrmsr(HV_MSR_SCONTROL, 0);
}

volatile struct hv_message *synic_slot(unsigned vp, unsigned sint)
{
	return &message_page[vp].sint[sint];
}

static volatile uint32_t *flag_word(unsigned vp, unsigned sint, unsigned flag)
{
	return &event_page[vp].sint[sint][flag / 32];
}

bool synic_flag(unsigned vp, unsigned sint, unsigned flag)
{
	return *flag_word(vp, sint, flag) >> flag % 32 & 1;
}

void synic_clear_flag(unsigned vp, unsigned sint, unsigned flag)
{
	__atomic_and_fetch(flag_word(vp, sint, flag), ~(1u << flag % 32), __ATOMIC_SEQ_CST);
}

void synic_take(unsigned vp, unsigned sint)
{
	volatile struct hv_message *slot = synic_slot(vp, sint);

	/* The exchange is a full barrier between the type and the flags: the host sets the flag
	 * before it reads the type. */
	__atomic_exchange_n(&slot->type, HV_MESSAGE_TYPE_NONE, __ATOMIC_SEQ_CST);
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		wrmsr(HV_MSR_EOM, 0);
}

void testdev(enum testdev_op op, unsigned vp, unsigned sint, unsigned id)
{
	outl(TESTDEV_PORT, sint | vp << 8 | (uint32_t)op << 16 | id << 24);
}
