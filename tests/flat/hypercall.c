/* SPDX-License-Identifier: MIT */
/* Hypercalls: status codes, order of checks, lists, registers. */
#include "hyperv.h"

#define SINT        8u
#define MESSAGE_ID  0x10u
#define EVENT_ID    0x20u
#define BEYOND_RAM  0xC0000000ull /* the hole below 4 GiB, whatever the memory size */
#define POST        HV_CALL_POST_MESSAGE
#define SIGNAL      HV_CALL_SIGNAL_EVENT
#define SIGNAL_FAST (HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST)
#define SPIN        HV_CALL_NOTIFY_LONG_SPIN_WAIT
#define USER_DONE() __asm__ volatile("ud2")

static uint8_t input_pages[2 * HV_PAGE_SIZE] __attribute__((aligned(HV_PAGE_SIZE)));

static uint64_t input_address(void)
{
	return (uintptr_t)input_pages;
}

static void expect(uint64_t control, uint64_t input, enum hv_status want, const char *name)
{
	report_eq(hv_call(control, input, 0), want, "%s", name);
}

/* A valid HvPostMessage input at `offset` in the two pages. */
static uint64_t make_post(uint32_t offset)
{
	struct hv_input_post_message *in = (void *)(input_pages + offset);

	in->connection_id = MESSAGE_ID;
	in->reserved = 0;
	in->message_type = 1;
	in->payload_size = 0;
	return (uintptr_t)in;
}

static void test_control_word(void)
{
	const uint64_t post = make_post(0);

	expect(0, post, HV_STATUS_INVALID_HYPERCALL_CODE, "code 0");
	expect(0x7FFF, post, HV_STATUS_INVALID_HYPERCALL_CODE, "unknown code");
	expect(0x7FFF | 1ull << 63, post, HV_STATUS_INVALID_HYPERCALL_CODE,
		"unknown code comes before reserved bits");
	expect(POST | 1ull << 27, post, HV_STATUS_INVALID_HYPERCALL_INPUT, "reserved bit 27");
	expect(POST | 1ull << 31, post, HV_STATUS_INVALID_HYPERCALL_INPUT, "nested bit");
	expect(POST | 1ull << 44, post, HV_STATUS_INVALID_HYPERCALL_INPUT, "reserved bit 44");
	expect(POST | 1ull << 63, post, HV_STATUS_INVALID_HYPERCALL_INPUT, "reserved bit 63");
	expect(POST | 1ull << HV_HCALL_REP_COUNT_SHIFT, post, HV_STATUS_INVALID_HYPERCALL_INPUT,
		"repetitions of a simple call");
	expect(POST | 1ull << HV_HCALL_REP_START_SHIFT, post, HV_STATUS_INVALID_HYPERCALL_INPUT,
		"start index of a simple call");
	expect(POST | 1ull << HV_HCALL_VARHEAD_SHIFT, post, HV_STATUS_INVALID_HYPERCALL_INPUT,
		"variable header where there is none");
	expect(POST | HV_HCALL_FAST, post, HV_STATUS_INVALID_HYPERCALL_INPUT,
		"256 bytes of input do not fit the fast form");
	expect(SIGNAL_FAST | 1ull << 60, EVENT_ID, HV_STATUS_INVALID_HYPERCALL_INPUT,
		"reserved bit of a fast call");
}

static void test_input_address(void)
{
	expect(POST, make_post(0), HV_STATUS_SUCCESS, "a valid call");
	expect(POST, make_post(HV_PAGE_SIZE - sizeof(struct hv_input_post_message)),
		HV_STATUS_SUCCESS, "input that ends with its page");
	expect(POST, make_post(4), HV_STATUS_INVALID_ALIGNMENT, "input not 8-aligned");
	expect(POST, make_post(HV_PAGE_SIZE - 8), HV_STATUS_INVALID_ALIGNMENT,
		"input crosses a page");
	expect(POST, BEYOND_RAM, HV_STATUS_INVALID_ALIGNMENT, "input outside RAM");
	expect(POST, 0xFEE00000, HV_STATUS_INVALID_ALIGNMENT, "input in the APIC's page");
	expect(POST, ~0xFFFull, HV_STATUS_INVALID_ALIGNMENT, "input at the end of everything");
	expect(SIGNAL, input_address() + HV_PAGE_SIZE - 4, HV_STATUS_INVALID_ALIGNMENT,
		"short input not 8-aligned");
}

static void test_post_message(void)
{
	report_eq(hv_post(MESSAGE_ID + 1, 1, 0, 0), HV_STATUS_INVALID_CONNECTION_ID,
		"post: unknown connection");
	report_eq(hv_post(EVENT_ID, 1, 0, 0), HV_STATUS_INVALID_PORT_ID,
		"post: to an event connection");
	report_eq(hv_post(MESSAGE_ID, 0, 0, 0), HV_STATUS_INVALID_PARAMETER, "post: type 0");
	report_eq(hv_post(MESSAGE_ID, 1u << 31, 0, 0), HV_STATUS_INVALID_PARAMETER,
		"post: type with bit 31");
	report_eq(hv_post(MESSAGE_ID, HV_MESSAGE_TYPE_TIMER, 0, 0), HV_STATUS_INVALID_PARAMETER,
		"post: a forged timer message");
	report_eq(hv_post(MESSAGE_ID, 1, 0, 241), HV_STATUS_INVALID_PARAMETER, "post: 241 bytes");
	report_eq(hv_post(MESSAGE_ID, 1, 0, ~0u), HV_STATUS_INVALID_PARAMETER,
		"post: 4 GiB - 1 bytes");
	report_eq(hv_post(MESSAGE_ID, 1, 0x5A, 240), HV_STATUS_SUCCESS, "post: 240 bytes");
	report(hv_post(MESSAGE_ID | 1u << 24, 1, 0, 0) != HV_STATUS_SUCCESS,
		"post: reserved bits of the connection id");
}

static uint64_t make_signal(uint32_t connection, uint16_t flag, uint16_t reserved)
{
	struct hv_input_signal_event *in = (void *)input_pages;

	in->connection_id = connection;
	in->flag_number = flag;
	in->reserved = reserved;
	return (uintptr_t)in;
}

static void test_signal_event(void)
{
	expect(SIGNAL_FAST, EVENT_ID, HV_STATUS_SUCCESS, "signal: fast");
	expect(SIGNAL_FAST, EVENT_ID + 1, HV_STATUS_INVALID_CONNECTION_ID,
		"signal: fast, unknown connection");
	expect(SIGNAL_FAST, MESSAGE_ID, HV_STATUS_INVALID_PORT_ID,
		"signal: fast, to a message connection");
	expect(SIGNAL_FAST, EVENT_ID | 1ull << 32, HV_STATUS_INVALID_PARAMETER,
		"signal: fast, flag beyond the connection's");
	expect(SIGNAL_FAST, EVENT_ID | 1ull << 48, HV_STATUS_INVALID_PARAMETER,
		"signal: fast, reserved field");
	expect(SIGNAL, make_signal(EVENT_ID, 0, 0), HV_STATUS_SUCCESS, "signal: memory");
	expect(SIGNAL, make_signal(EVENT_ID + 1, 0, 0), HV_STATUS_INVALID_CONNECTION_ID,
		"signal: memory, unknown connection");
	expect(SIGNAL, make_signal(EVENT_ID, 1, 0), HV_STATUS_INVALID_PARAMETER,
		"signal: memory, flag beyond the connection's");
	expect(SIGNAL, make_signal(EVENT_ID, 0, 1), HV_STATUS_INVALID_PARAMETER,
		"signal: memory, reserved field");
}

static void test_spin_wait(void)
{
	expect(SPIN | HV_HCALL_FAST, 1000, HV_STATUS_SUCCESS, "long spin wait: fast");
	expect(SPIN, input_address(), HV_STATUS_SUCCESS, "long spin wait: memory");
}

/* ---- lists, variable headers, XMM input ---------------------------------- */

#define COUNT(n)   ((uint64_t)(n) << HV_HCALL_REP_COUNT_SHIFT)
#define START(n)   ((uint64_t)(n) << HV_HCALL_REP_START_SHIFT)
#define HEAD(n)    ((uint64_t)(n) << HV_HCALL_VARHEAD_SHIFT)
#define GET        HV_CALL_GET_VP_REGISTERS
#define SET        HV_CALL_SET_VP_REGISTERS
#define IPI_VECTOR 0x51
#define CR4_OSFXSR 0x200ull

static uint64_t output[HV_PAGE_SIZE / 8] __attribute__((aligned(HV_PAGE_SIZE)));

static struct hv_input_vp_registers *register_head(void)
{
	struct hv_input_vp_registers *in = (void *)input_pages;

	*in = (struct hv_input_vp_registers){
		.partition_id = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
	};
	return in;
}

static uint64_t get_registers(uint64_t control)
{
	uint32_t *names = (uint32_t *)(register_head() + 1);

	names[0] = HV_REGISTER_SVERSION;
	names[1] = HV_REGISTER_VP_INDEX;
	names[2] = 0xDEAD;
	output[0] = output[2] = output[4] = ~0ull;
	return hv_call(GET | control, input_address(), (uintptr_t)output);
}

static void test_get_registers(void)
{
	report_eq(get_registers(COUNT(2)), COUNT(2), "get: two registers");
	report(output[0] == HV_SYNIC_VERSION && output[2] == 0, "get: their values");
	report_eq(get_registers(COUNT(2) | START(1)), COUNT(2), "get: from number 1 on");
	report(output[0] == ~0ull && output[2] == 0, "get: number 0 is not written");
	report_eq(get_registers(COUNT(3)), HV_STATUS_INVALID_PARAMETER | COUNT(2),
		"get: the third does not exist");
	report(output[2] == 0 && output[4] == ~0ull, "get: it is not written");
	report_eq(get_registers(0), HV_STATUS_INVALID_HYPERCALL_INPUT, "get: an empty list");
	report_eq(get_registers(COUNT(2) | START(2)), HV_STATUS_INVALID_HYPERCALL_INPUT,
		"get: nothing left");
	report_eq(get_registers(COUNT(2) | HEAD(1)), HV_STATUS_INVALID_HYPERCALL_INPUT,
		"get: a variable header");
	report_eq(get_registers(COUNT(2) | HV_HCALL_FAST), HV_STATUS_INVALID_HYPERCALL_INPUT,
		"get: fast, with output");
	report_eq(get_registers(COUNT(257)), HV_STATUS_INVALID_ALIGNMENT,
		"get: more output than a page");
}

static void test_set_registers(void)
{
	struct hv_register_assoc *list = (void *)(register_head() + 1);

	list[0] = (struct hv_register_assoc){
		.name = HV_REGISTER_SINT0 + 3, .value = {HV_SINT_MASKED | 0x77, 0}};
	list[1] = (struct hv_register_assoc){.name = HV_REGISTER_SVERSION, .value = {1, 0}};
	report_eq(hv_call(SET | COUNT(2), input_address(), 0),
		HV_STATUS_INVALID_REGISTER_VALUE | COUNT(1), "set: the second is read-only");
	report_eq(rdmsr(HV_MSR_SINT0 + 3), HV_SINT_MASKED | 0x77, "set: the first is set");
}

static void test_ext_capabilities(void)
{
	output[0] = ~0ull;
	report_eq(hv_call(HV_EXT_CALL_QUERY_CAPABILITIES, 0, (uintptr_t)output), HV_STATUS_SUCCESS,
		"extended capabilities");
	report_eq(output[0], 0, "extended capabilities: none");
	report_eq(hv_call(HV_EXT_CALL_QUERY_CAPABILITIES, 0, BEYOND_RAM),
		HV_STATUS_INVALID_ALIGNMENT, "extended capabilities: output outside RAM");
}

static uint64_t xmm_value[2];

static void load_xmm0(void)
{
	__asm__ volatile("movdqu %0, %%xmm0" : : "m"(xmm_value));
	USER_DONE();
}

/* In ring 3, for a software KVM has no SSE in ring 0. */
static void set_xmm0(uint64_t low, uint64_t high)
{
	uint64_t cr4;

	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	__asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | CR4_OSFXSR));
	xmm_value[0] = low;
	xmm_value[1] = high;
	user_run(load_xmm0);
}

/* RDX: the vector; R8: the set's format; XMM0: its bank mask and bank 0. */
static void test_xmm_input(void)
{
	const volatile uint32_t *irqs = &vp_this()->irqs[IPI_VECTOR];
	const uint64_t call = HV_CALL_SEND_IPI_EX | HV_HCALL_FAST | HEAD(1);

	set_xmm0(1, 1);
	report_eq(hv_call(call, IPI_VECTOR, HV_VP_SET_SPARSE), HV_STATUS_SUCCESS, "XMM: a set");
	irq_enable();
	report(wait_for(irqs, 1, 2000000), "XMM: its VP gets the interrupt");
	irq_disable();
	set_xmm0(3, 1);
	report_eq(hv_call(call, IPI_VECTOR, HV_VP_SET_SPARSE), HV_STATUS_INVALID_HYPERCALL_INPUT,
		"XMM: a set of two banks with one");
	report_eq(hv_call(call, 2, HV_VP_SET_SPARSE), HV_STATUS_INVALID_PARAMETER, "XMM: NMI");
}

/* ---- registers ----------------------------------------------------------- */

static bool same_but_rax(const struct hv_registers *a, const struct hv_registers *b)
{
	const uint64_t *x = (const uint64_t *)a, *y = (const uint64_t *)b;
	bool same = true;

	for (unsigned i = 1; i < sizeof(*a) / sizeof(*x); i++)
		same = same && x[i] == y[i];
	return same;
}

static void test_registers(uint64_t control, uint64_t input, const char *name)
{
	struct hv_registers before = {
		.rax = 0xA0A0A0A0A0A0A0A0,
		.rbx = 0xB1B1B1B1B1B1B1B1,
		.rcx = control,
		.rdx = input,
		.rsi = 0x5151515151515151,
		.rdi = 0xD1D1D1D1D1D1D1D1,
		.rbp = 0xBBBBBBBBBBBBBBBB,
		.r8 = 0x8888888888888888,
		.r9 = 0x9999999999999999,
		.r10 = 0x1010101010101010,
		.r11 = 0x1111111111111111,
		.r12 = 0x1212121212121212,
		.r13 = 0x1313131313131313,
		.r14 = 0x1414141414141414,
		.r15 = 0x1515151515151515,
	};
	struct hv_registers after = before;

	hv_call_registers(&after);
	report(same_but_rax(&before, &after), "%s: nothing but RAX changes", name);
	report_eq(after.rax, HV_STATUS_SUCCESS, "%s: the upper half of RAX too", name);
}

/* ---- ring 3 -------------------------------------------------------------- */

static uint64_t user_post_input;

static void user_port(void)
{
	__asm__ volatile("outl %%eax, $0xE0"
			 :
			 : "a"(POST), "c"((uint64_t)POST), "d"(user_post_input)
			 : "memory");
	USER_DONE();
}

static void user_page(void)
{
	hv_call(POST, user_post_input, 0);
	USER_DONE();
}

/* #UD by the TLFS, or #GP from the CPU, or our own ud2: what counts is that nothing was served. */
static void test_user(void (*code)(void), const char *name)
{
	volatile struct hv_message *slot = synic_slot(0, SINT);
	uint8_t vector;

	while (slot->type)
		synic_take(0, SINT);
	user_post_input = make_post(0);
	vector = user_run(code);
	report(vector == VECTOR_UD || vector == VECTOR_GP, "%s from ring 3: fault", name);
	report_eq(slot->type, HV_MESSAGE_TYPE_NONE, "%s from ring 3: no service", name);
	report_eq(
		hv_call(POST, user_post_input, 0), HV_STATUS_SUCCESS, "%s from ring 0 again", name);
	report_eq(slot->type, 1, "%s from ring 0: service", name);
}

void flat_main(void)
{
	hv_start();
	synic_start();
	synic_set_sint(SINT, HV_SINT_POLLING | 0x60); /* no interrupts in this test */
	testdev(TESTDEV_CREATE_MESSAGE, 0, SINT, MESSAGE_ID);
	testdev(TESTDEV_CREATE_EVENT, 0, SINT, EVENT_ID);
	test_control_word();
	test_input_address();
	test_post_message();
	test_signal_event();
	test_spin_wait();
	test_get_registers();
	test_set_registers();
	test_ext_capabilities();
	test_xmm_input();
	test_registers(POST, make_post(0), "post");
	test_registers(SIGNAL_FAST, EVENT_ID, "fast signal");
	test_registers(SPIN | HV_HCALL_FAST, 1, "fast call");
	test_user(user_port, "the port");
	test_user(user_page, "the page");
}
