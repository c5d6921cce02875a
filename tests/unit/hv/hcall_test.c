/* SPDX-License-Identifier: MIT */
/*
 * Hypercalls: every check of the spec sheet, section 3.4, in its order; the three calls; calls with
 * output, in a table of the test; the page, as bytes and run (a signal handler plays the host).
 */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "hyper/hv/hv_impl.h"
#include "tests/unit/hv/fake_partition.h"

#define POST   0x5Cull
#define SIGNAL 0x5Dull
#define FAST   (1ull << 16)
#define INPUT  0x2000u /* GPA of the input block */
#define OUTPUT 0x3000u /* GPA of the output block */

/* A code that the TLFS gives to no call, so that a new call does not make it known. */
#define UNASSIGNED 0x7FFFull

static struct fake_partition m;

static struct {
	unsigned messages, events;
	uint32_t id, type, size;
	uint16_t flag;
	uint8_t payload[HV_MESSAGE_PAYLOAD_MAX];
	enum hv_status answer;
} seen;

static enum hv_status on_message(
	void *ctx, uint32_t id, uint32_t type, const void *payload, uint32_t size)
{
	assert_ptr_equal(ctx, &seen);
	seen.messages++;
	seen.id = id;
	seen.type = type;
	seen.size = size;
	memcpy(seen.payload, payload, size);
	return seen.answer;
}

static enum hv_status on_event(void *ctx, uint32_t id, uint16_t flag)
{
	assert_ptr_equal(ctx, &seen);
	seen.events++;
	seen.id = id;
	seen.flag = flag;
	return flag < 4 ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}

static struct hv_connection message_conn, event_conn;

static int setup(void **state)
{
	fake_init(&m);
	memset(&seen, 0, sizeof(seen));
	message_conn = (struct hv_connection){.id = 4, .message = on_message, .ctx = &seen};
	event_conn = (struct hv_connection){.id = 0x10001, .event = on_event, .ctx = &seen};
	assert_int_equal(hv_connection_add(&m.hv, &message_conn), 0);
	assert_int_equal(hv_connection_add(&m.hv, &event_conn), 0);
	return 0;
}

static int teardown(void **state)
{
	hv_connection_del(&m.hv, &message_conn);
	hv_connection_del(&m.hv, &event_conn);
	fake_fini(&m);
	return 0;
}

static struct hv_input_post_message *good_message(uint64_t gpa)
{
	struct hv_input_post_message *in = fake_ram(&m, gpa);

	memset(in, 0xA5, sizeof(*in));
	in->connection_id = 4;
	in->reserved = 0;
	in->message_type = 1;
	in->payload_size = HV_MESSAGE_PAYLOAD_MAX;
	return in;
}

#define assert_status(call, status) assert_int_equal(call, HV_STATUS_##status)

/* ---- generic checks ------------------------------------------------------ */

static void unknown_codes(void **state)
{
	static const uint64_t codes[] = {
		0, UNASSIGNED, 0x4000 | POST, 0x8000 | POST, 0x8000 | SIGNAL, 0xFFFF};

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_status(fake_hypercall(&m, codes[i], INPUT, 0), INVALID_HYPERCALL_CODE);
	/* The code is looked at before the rest of the control word. */
	assert_status(fake_hypercall(&m, UNASSIGNED | 1ull << 63, 1, 0), INVALID_HYPERCALL_CODE);
	assert_int_equal(m.hv.counters.hypercalls, m.hv.counters.hypercalls_failed);
}

/* Bits 17 to 63 are a variable header, rep fields or reserved: all wrong in a simple call. */
static void control_bits_beyond_fast(void **state)
{
	good_message(INPUT);
	for (unsigned bit = 17; bit < 64; bit++) {
		assert_status(
			fake_hypercall(&m, POST | 1ull << bit, INPUT, 0), INVALID_HYPERCALL_INPUT);
		assert_status(fake_hypercall(&m, SIGNAL | FAST | 1ull << bit, 0x10001, 0),
			INVALID_HYPERCALL_INPUT);
	}
	assert_int_equal(seen.messages + seen.events, 0);
}

static void fast_input_must_fit_two_registers(void **state)
{
	assert_status(fake_hypercall(&m, POST | FAST, INPUT, 0), INVALID_HYPERCALL_INPUT);
}

static void misaligned_or_crossing_input(void **state)
{
	for (unsigned off = 1; off < 8; off++) {
		memcpy(fake_ram(&m, INPUT + off), good_message(INPUT + 1024), 256);
		assert_status(fake_hypercall(&m, POST, INPUT + off, 0), INVALID_ALIGNMENT);
	}
	good_message(INPUT + HV_PAGE_SIZE - 248);
	assert_status(fake_hypercall(&m, POST, INPUT + HV_PAGE_SIZE - 248, 0), INVALID_ALIGNMENT);
	assert_int_equal(seen.messages, 0);
	good_message(INPUT + HV_PAGE_SIZE - 256);
	assert_status(fake_hypercall(&m, POST, INPUT + HV_PAGE_SIZE - 256, 0), SUCCESS);
}

static void input_outside_ram(void **state)
{
	static const uint64_t bad[] = {
		FAKE_OUTSIDE_RAM, 0xFEE00000, GMEM_HIGH_START + FAKE_HIGH_SIZE, 1ull << 63, ~7ull};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_status(fake_hypercall(&m, POST, bad[i], 0), INVALID_ALIGNMENT);
		assert_status(fake_hypercall(&m, SIGNAL, bad[i], 0), INVALID_ALIGNMENT);
		assert_status(fake_hypercall(&m, 8, bad[i], 0), INVALID_ALIGNMENT);
	}
	good_message(GMEM_HIGH_START);
	assert_status(fake_hypercall(&m, POST, GMEM_HIGH_START, 0), SUCCESS);
}

static void output_pointer_is_ignored(void **state)
{
	good_message(INPUT);
	assert_status(fake_hypercall(&m, POST, INPUT, ~0ull), SUCCESS);
}

/* ---- the calls ----------------------------------------------------------- */

static void post_message_reaches_its_handler(void **state)
{
	struct hv_input_post_message *in = good_message(INPUT);

	in->payload_size = 17;
	in->message_type = 0x7FFFFFFF;
	assert_status(fake_hypercall(&m, POST, INPUT, 0), SUCCESS);
	assert_int_equal(seen.messages, 1);
	assert_int_equal(seen.id, 4);
	assert_int_equal(seen.type, 0x7FFFFFFF);
	assert_int_equal(seen.size, 17);
	assert_memory_equal(seen.payload, in->payload, 17);
	seen.answer = HV_STATUS_INSUFFICIENT_BUFFERS;
	assert_status(fake_hypercall(&m, POST, INPUT, 0), INSUFFICIENT_BUFFERS);
}

static void post_message_parameters(void **state)
{
	static const struct {
		uint32_t id, reserved, type, size;
		enum hv_status status;
	} cases[] = {
		{4, 0, 0, 0, HV_STATUS_INVALID_PARAMETER},
		{4, 0, 0x80000000, 0, HV_STATUS_INVALID_PARAMETER},
		{4, 0, HV_MESSAGE_TYPE_TIMER, 0, HV_STATUS_INVALID_PARAMETER},
		{4, 0, 1, 241, HV_STATUS_INVALID_PARAMETER},
		{4, 0, 1, 0xFFFFFFFF, HV_STATUS_INVALID_PARAMETER},
		{4, 1, 1, 0, HV_STATUS_INVALID_PARAMETER},
		{5, 0, 1, 0, HV_STATUS_INVALID_CONNECTION_ID},
		{0x01000004, 0, 1, 0, HV_STATUS_INVALID_CONNECTION_ID},
		{0x10001, 0, 1, 0, HV_STATUS_INVALID_PORT_ID},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct hv_input_post_message *in = good_message(INPUT);

		in->connection_id = cases[i].id;
		in->reserved = cases[i].reserved;
		in->message_type = cases[i].type;
		in->payload_size = cases[i].size;
		assert_int_equal(fake_hypercall(&m, POST, INPUT, 0), cases[i].status);
	}
	assert_int_equal(seen.messages, 0);
}

static void signal_event_fast_and_from_memory(void **state)
{
	struct hv_input_signal_event *in = fake_ram(&m, INPUT + 8);

	assert_status(fake_hypercall(&m, SIGNAL | FAST, 0x10001, ~0ull), SUCCESS);
	assert_int_equal(seen.id, 0x10001);
	assert_int_equal(seen.flag, 0);
	*in = (struct hv_input_signal_event){.connection_id = 0x10001, .flag_number = 3};
	assert_status(fake_hypercall(&m, SIGNAL, INPUT + 8, 0), SUCCESS);
	assert_int_equal(seen.events, 2);
	assert_int_equal(seen.flag, 3);
	in = fake_ram(&m, INPUT + HV_PAGE_SIZE - 8);
	*in = (struct hv_input_signal_event){.connection_id = 0x10001, .flag_number = 9};
	assert_status(fake_hypercall(&m, SIGNAL, INPUT + HV_PAGE_SIZE - 8, 0), INVALID_PARAMETER);
}

static void signal_event_parameters(void **state)
{
	assert_status(fake_hypercall(&m, SIGNAL | FAST, 0x10002, 0), INVALID_CONNECTION_ID);
	assert_status(fake_hypercall(&m, SIGNAL | FAST, 4, 0), INVALID_PORT_ID);
	assert_status(
		fake_hypercall(&m, SIGNAL | FAST, 0x10001 | 1ull << 48, 0), INVALID_PARAMETER);
	assert_status(
		fake_hypercall(&m, SIGNAL | FAST, 0x10001 | 4ull << 32, 0), INVALID_PARAMETER);
	assert_int_equal(seen.events, 1); /* only the last one reached the port */
}

static void long_spin_wait_succeeds(void **state)
{
	assert_status(fake_hypercall(&m, 8 | FAST, 0xFFFFFFFF, 0), SUCCESS);
	assert_status(fake_hypercall(&m, 8, INPUT, 0), SUCCESS);
}

/* ---- calls with output --------------------------------------------------- */

#define ANSWER 0x1122334455667788ull

static unsigned queries;
static enum hv_status query_status;

static enum hv_status query(struct hv *hv, struct hcall_frame *f)
{
	queries++;
	f->out.value = ANSWER + f->in.words[0];
	return query_status;
}

static const struct hcall query_table[] = {
	{.code = 0x10, .output_size = sizeof(uint64_t), .perform = query},
	{.code = 0x11, .input_size = 8, .output_size = sizeof(uint64_t), .perform = query},
	{0},
};

static uint64_t ask(uint64_t control, uint64_t input, uint64_t output)
{
	const struct hv_hypercall call = {.control = control, .input = input, .output = output};

	return hcall_dispatch(&m.hv, 0, query_table, &call);
}

static void output_is_written_on_success(void **state)
{
	uint64_t *out = fake_ram(&m, OUTPUT);

	query_status = HV_STATUS_SUCCESS;
	out[1] = 7;
	assert_status(ask(0x10, ~0ull, OUTPUT), SUCCESS); /* it has no input */
	assert_int_equal(out[0], ANSWER);
	assert_int_equal(out[1], 7);
	*(uint64_t *)fake_ram(&m, INPUT) = 2;
	assert_status(ask(0x11, INPUT, OUTPUT + HV_PAGE_SIZE - 8), SUCCESS);
	assert_int_equal(out[HV_PAGE_SIZE / 8 - 1], ANSWER + 2);
	out[0] = 9;
	query_status = HV_STATUS_INVALID_PARAMETER;
	assert_status(ask(0x10, 0, OUTPUT), INVALID_PARAMETER);
	assert_int_equal(out[0], 9);
}

/* The call does not even run. */
static void output_must_be_a_block_of_ram(void **state)
{
	static const uint64_t bad[] = {OUTPUT + 4, FAKE_OUTSIDE_RAM, 0xFEE00000, ~7ull, 1ull << 63};

	queries = 0;
	query_status = HV_STATUS_SUCCESS;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_status(ask(0x10, 0, bad[i]), INVALID_ALIGNMENT);
	assert_status(ask(0x11, 4, OUTPUT), INVALID_ALIGNMENT);
	assert_status(ask(0x11 | FAST, 0, OUTPUT), INVALID_HYPERCALL_INPUT);
	assert_status(ask(0x12, 0, OUTPUT), INVALID_HYPERCALL_CODE);
	assert_int_equal(queries, 0);
}

static void ext_capabilities(void **state)
{
	uint64_t *out = fake_ram(&m, OUTPUT);

	m.hv.config.discard = false;
	*out = 7;
	assert_status(fake_hypercall(&m, 0x8001, ~0ull, OUTPUT), SUCCESS);
	assert_int_equal(*out, 0);
	assert_status(fake_hypercall(&m, 0x8001, 0, OUTPUT + 4), INVALID_ALIGNMENT);
	assert_status(fake_hypercall(&m, 0x8001 | FAST, 0, 0), INVALID_HYPERCALL_INPUT);
}

/* ---- calls with lists and variable headers ------------------------------- */

#define COUNT(n) ((uint64_t)(n) << 32)
#define START(n) ((uint64_t)(n) << 48)
#define HEAD(n)  ((uint64_t)(n) << 17)

static unsigned stop_before; /* the element at which the call fails */
static uint64_t head_sum;

/* Element n of the output is element n of the input, plus the variable header's sum. */
static enum hv_status add_up(struct hv *hv, struct hcall_frame *f)
{
	head_sum = 0;
	for (uint32_t i = 0; i < f->header_count; i++)
		head_sum += f->header[i];
	for (; f->rep_done < f->rep_count; f->rep_done++) {
		uint64_t value;

		if (f->rep_done == stop_before)
			return HV_STATUS_ACCESS_DENIED;
		memcpy(&value, f->elements + 8 * f->rep_done, 8);
		value += head_sum;
		memcpy(f->out.bytes + 8 * f->rep_done, &value, 8);
	}
	return HV_STATUS_SUCCESS;
}

static const struct hcall list_table[] = {
	{.code = 0x20,
		.perform = add_up,
		.input_size = 8,
		.element_size = 8,
		.element_output_size = 8},
	{.code = 0x21,
		.perform = add_up,
		.input_size = 8,
		.takes_header = true,
		.element_size = 8,
		.element_output_size = 8},
	{.code = 0x22, .perform = add_up, .input_size = 8, .takes_header = true, .element_size = 8},
	{0},
};

static uint64_t list_call(uint64_t control, uint64_t input, uint64_t output)
{
	const struct hv_hypercall call = {.control = control, .input = input, .output = output};

	return hcall_dispatch(&m.hv, 0, list_table, &call);
}

/* Words 0, 1, 2 ... from `gpa` on; output all ones. */
static uint64_t *make_list(uint64_t gpa, unsigned words)
{
	uint64_t *out = fake_ram(&m, OUTPUT);

	for (unsigned i = 0; i < words; i++)
		((uint64_t *)fake_ram(&m, gpa))[i] = i;
	memset(out, 0xFF, HV_PAGE_SIZE);
	stop_before = UINT32_MAX;
	return out;
}

static void list_control_words(void **state)
{
	make_list(INPUT, 8);
	assert_status(list_call(0x20, INPUT, OUTPUT), INVALID_HYPERCALL_INPUT);
	assert_status(
		list_call(0x20 | COUNT(2) | START(2), INPUT, OUTPUT), INVALID_HYPERCALL_INPUT);
	assert_status(
		list_call(0x20 | COUNT(2) | START(3), INPUT, OUTPUT), INVALID_HYPERCALL_INPUT);
	assert_status(list_call(0x20 | START(1), INPUT, OUTPUT), INVALID_HYPERCALL_INPUT);
	assert_status(list_call(0x20 | COUNT(2) | HEAD(1), INPUT, OUTPUT), INVALID_HYPERCALL_INPUT);
	for (unsigned bit = 27; bit < 64; bit++)
		if (bit <= 31 || (bit >= 44 && bit <= 47) || bit >= 60)
			assert_status(list_call(0x20 | COUNT(2) | 1ull << bit, INPUT, OUTPUT),
				INVALID_HYPERCALL_INPUT);
	assert_int_equal(list_call(0x20 | COUNT(2), INPUT, OUTPUT), COUNT(2));
}

static void list_begins_at_its_start_index(void **state)
{
	uint64_t *out = make_list(INPUT, 8);

	assert_int_equal(list_call(0x20 | COUNT(5) | START(3), INPUT, OUTPUT), COUNT(5));
	assert_int_equal(out[2], UINT64_MAX); /* not of this call */
	assert_int_equal(out[3], 4);
	assert_int_equal(out[4], 5);
	assert_int_equal(out[5], UINT64_MAX);
}

static void list_stops_at_a_failing_element(void **state)
{
	uint64_t *out = make_list(INPUT, 8);

	stop_before = 2;
	assert_int_equal(
		list_call(0x20 | COUNT(5), INPUT, OUTPUT), HV_STATUS_ACCESS_DENIED | COUNT(2));
	assert_int_equal(out[1], 2);
	assert_int_equal(out[2], UINT64_MAX);
	stop_before = 0;
	assert_int_equal(list_call(0x20 | COUNT(5), INPUT, OUTPUT), HV_STATUS_ACCESS_DENIED);
}

static void list_follows_the_variable_header(void **state)
{
	uint64_t *out = make_list(INPUT, 16);

	assert_int_equal(list_call(0x21 | HEAD(3) | COUNT(2), INPUT, OUTPUT), COUNT(2));
	assert_int_equal(head_sum, 1 + 2 + 3);
	assert_int_equal(out[0], 6 + 4);
	assert_int_equal(out[1], 6 + 5);
	assert_int_equal(list_call(0x21 | COUNT(1), INPUT, OUTPUT), COUNT(1));
	assert_int_equal(out[0], 1);
}

/* Input and output are one block each, in one page, whatever makes them long. */
static void list_stays_in_its_page(void **state)
{
	const uint64_t last = INPUT + HV_PAGE_SIZE - 24; /* room for 3 words */

	make_list(last, 3);
	assert_int_equal(list_call(0x20 | COUNT(2), last, OUTPUT), COUNT(2));
	assert_status(list_call(0x20 | COUNT(3), last, OUTPUT), INVALID_ALIGNMENT);
	assert_status(list_call(0x21 | HEAD(2) | COUNT(1), last, OUTPUT), INVALID_ALIGNMENT);
	assert_status(
		list_call(0x20 | COUNT(2), INPUT, OUTPUT + HV_PAGE_SIZE - 8), INVALID_ALIGNMENT);
	assert_status(list_call(0x20 | COUNT(4095), INPUT, OUTPUT), INVALID_ALIGNMENT);
	assert_status(list_call(0x21 | HEAD(1023) | COUNT(1), INPUT, OUTPUT), INVALID_ALIGNMENT);
	assert_status(list_call(0x20 | COUNT(1), FAKE_OUTSIDE_RAM, OUTPUT), INVALID_ALIGNMENT);
	assert_status(list_call(0x20 | COUNT(1), INPUT, FAKE_OUTSIDE_RAM), INVALID_ALIGNMENT);
}

/* ---- XMM ----------------------------------------------------------------- */

static void set_xmm_words(void)
{
	for (uint64_t i = 0; i < HV_HCALL_XMM_SIZE / 8; i++)
		memcpy(m.xmm + 8 * i, &i, 8);
}

/* RDX is the fixed part, R8 the first word of the header, XMM0 the second and the first element. */
static void fast_input_goes_on_in_xmm_registers(void **state)
{
	set_xmm_words();
	stop_before = UINT32_MAX;
	assert_int_equal(list_call(0x22 | FAST | HEAD(2) | COUNT(1), 0, 100), COUNT(1));
	assert_int_equal(head_sum, 100 + 0);
	assert_int_equal(list_call(0x22 | FAST | HEAD(13) | COUNT(0), 0, 1),
		HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(
		list_call(0x22 | FAST | HEAD(12) | COUNT(1), 0, 1), COUNT(1)); /* 112 bytes */
	assert_int_equal(head_sum, 1 + 0 + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10);
	assert_int_equal(m.xmm_reads, 2);
}

static void fast_input_of_two_registers_reads_no_xmm(void **state)
{
	stop_before = UINT32_MAX;
	assert_int_equal(list_call(0x22 | FAST | COUNT(1), 0, 1), COUNT(1));
	assert_int_equal(m.xmm_reads, 0);
}

static void fast_input_beyond_xmm_registers(void **state)
{
	assert_status(list_call(0x22 | FAST | HEAD(13) | COUNT(1), 0, 1), INVALID_HYPERCALL_INPUT);
	assert_status(list_call(0x22 | FAST | COUNT(14), 0, 1), INVALID_HYPERCALL_INPUT);
	assert_status(
		list_call(0x21 | FAST | COUNT(1), 0, 1), INVALID_HYPERCALL_INPUT); /* output */
	assert_int_equal(m.xmm_reads, 0);
}

/* ---- connections --------------------------------------------------------- */

static void connections_are_unique_and_go_away(void **state)
{
	struct hv_connection twin = {.id = 4, .event = on_event, .ctx = &seen};
	struct hv_connection huge = {.id = 0x01000000, .event = on_event, .ctx = &seen};

	assert_int_equal(hv_connection_add(&m.hv, &twin), -EEXIST);
	assert_int_equal(hv_connection_add(&m.hv, &huge), -EINVAL);
	hv_connection_del(&m.hv, &message_conn);
	good_message(INPUT);
	assert_status(fake_hypercall(&m, POST, INPUT, 0), INVALID_CONNECTION_ID);
	assert_int_equal(hv_connection_add(&m.hv, &twin), 0);
	assert_status(fake_hypercall(&m, SIGNAL | FAST, 4, 0), SUCCESS);
	hv_connection_del(&m.hv, &twin);
	assert_int_equal(hv_connection_add(&m.hv, &message_conn), 0);
}

/* A thread inside a handler holds up the deletion: the handler's ctx may be freed after it. */
static atomic_bool entered, deleted;

static enum hv_status on_slow_event(void *ctx, uint32_t id, uint16_t flag)
{
	struct timespec now, end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += 20 * 1000 * 1000;
	atomic_store(&entered, true);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (!atomic_load(&deleted) &&
		(now.tv_sec - end.tv_sec) * 1000000000ll + now.tv_nsec < end.tv_nsec);
	*(bool *)ctx = atomic_load(&deleted);
	return HV_STATUS_SUCCESS;
}

static void *signaller(void *arg)
{
	fake_hypercall(&m, SIGNAL | FAST, 0x77, 0);
	return NULL;
}

static void deletion_waits_for_handlers(void **state)
{
	bool *deleted_early = calloc(1, sizeof(*deleted_early)), early;
	struct hv_connection conn = {.id = 0x77, .event = on_slow_event, .ctx = deleted_early};
	pthread_t thread;

	atomic_store(&entered, false);
	atomic_store(&deleted, false);
	assert_int_equal(hv_connection_add(&m.hv, &conn), 0);
	assert_int_equal(pthread_create(&thread, NULL, signaller, NULL), 0);
	while (!atomic_load(&entered))
		sched_yield();
	hv_connection_del(&m.hv, &conn);
	atomic_store(&deleted, true);
	pthread_join(thread, NULL);
	early = *deleted_early;
	free(deleted_early);
	assert_false(early);
}

/* ---- the page ------------------------------------------------------------ */

static void page_matches_the_listing(void **state)
{
	static const uint8_t listing[] = {
		0xF3, 0x0F, 0x1E, 0xFA,                   /* 00 endbr64 */
		0x48, 0x81, 0xF9, 0x5D, 0x00, 0x01, 0x00, /* 04 cmp rcx,1005D */
		0x75, 0x10,                               /* 0B jne 1D */
		0x48, 0x89, 0xD0,                         /* 0D mov rax,rdx */
		0x48, 0xC1, 0xE8, 0x20,                   /* 10 shr rax,32 */
		0x75, 0x07,                               /* 14 jne 1D */
		0x89, 0xD0,                               /* 16 mov eax,edx */
		0xE7, 0xE1,                               /* 18 out E1,eax */
		0x31, 0xC0,                               /* 1A xor eax,eax */
		0xC3,                                     /* 1C ret */
		0x89, 0xC8,                               /* 1D mov eax,ecx */
		0xE7, 0xE0,                               /* 1F out E0,eax */
		0xC3,                                     /* 21 ret */
	};
	uint8_t page[HV_PAGE_SIZE];

	hv_hypercall_page_fill(page);
	assert_memory_equal(page, listing, sizeof(listing));
	assert_int_equal(page[HV_HYPERCALL_PAGE_SIGNAL_RET], 0xC3);
	for (size_t i = sizeof(listing); i < sizeof(page); i++)
		assert_int_equal(page[i], 0xCC);
}

static struct {
	const uint8_t *page;
	unsigned outs;
	uint8_t port;
	uint64_t eax, rcx, rdx, r8; /* at the OUT */
	uint64_t answer;            /* RAX the host gives back */
} trap;

/* The host: only an OUT imm8, EAX inside the page is expected. */
static void on_trap(int sig, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	const uint8_t *rip = (const uint8_t *)regs[REG_RIP];

	if (rip < trap.page || rip >= trap.page + HV_PAGE_SIZE || rip[0] != 0xE7)
		_exit(99);
	trap.outs++;
	trap.port = rip[1];
	trap.eax = (uint32_t)regs[REG_RAX];
	trap.rcx = (uint64_t)regs[REG_RCX];
	trap.rdx = (uint64_t)regs[REG_RDX];
	trap.r8 = (uint64_t)regs[REG_R8];
	if (trap.port == HV_PORT_HYPERCALL)
		regs[REG_RAX] = (greg_t)trap.answer;
	regs[REG_RIP] += 2;
}

static uint64_t call_page(uint64_t rcx, uint64_t rdx, uint64_t r8_in)
{
	const uint8_t *page = trap.page;
	uint64_t rax = 0xDEAD, out_rcx = rcx, out_rdx = rdx, out_r8;

	trap.outs = 0;
	asm volatile("mov %[in], %%r8\n\t"
		     "call *%[page]\n\t"
		     "mov %%r8, %[out]"
		     : "+a"(rax), "+c"(out_rcx), "+d"(out_rdx), [out] "=&r"(out_r8)
		     : [page] "b"(page), [in] "r"(r8_in)
		     : "r8", "memory", "cc");
	/* A strict guest tolerates a change of RAX and flags only. */
	assert_int_equal(out_rcx, rcx);
	assert_int_equal(out_rdx, rdx);
	assert_int_equal(out_r8, r8_in);
	return rax;
}

static void assert_trap(uint8_t port, uint64_t eax)
{
	assert_int_equal(trap.outs, 1);
	assert_int_equal(trap.port, port);
	assert_int_equal(trap.eax, eax);
}

static void run_the_page(void)
{
	trap.answer = 0x0000000500000012; /* all 64 bits of RAX are the result */
	assert_int_equal(call_page(0x5C, 0x123456789ABC, 7), trap.answer);
	assert_trap(HV_PORT_HYPERCALL, 0x5C);
	assert_int_equal(trap.rcx, 0x5C);
	assert_int_equal(trap.rdx, 0x123456789ABC);
	assert_int_equal(trap.r8, 7);

	assert_int_equal(call_page(0x1005D, 0xFFFFFFFF, 0), 0);
	assert_trap(HV_PORT_SIGNAL, 0xFFFFFFFF);

	/* Flag number or reserved bits set, other forms of the call: the general way. */
	assert_int_equal(call_page(0x1005D, 1ull << 32 | 5, 0), trap.answer);
	assert_trap(HV_PORT_HYPERCALL, 0x1005D);
	assert_int_equal(call_page(0x1005D, 1ull << 63 | 5, 0), trap.answer);
	assert_trap(HV_PORT_HYPERCALL, 0x1005D);
	assert_int_equal(call_page(0x5D, 0x3000, 0), trap.answer);
	assert_trap(HV_PORT_HYPERCALL, 0x5D);
	assert_int_equal(call_page(0x000000010001005D, 5, 0), trap.answer);
	assert_trap(HV_PORT_HYPERCALL, 0x1005D);
}

static void page_runs(void **state)
{
	struct sigaction sa = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO}, old;
	uint8_t *page = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(page, MAP_FAILED);
	hv_hypercall_page_fill(page);
	trap.page = page;
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	run_the_page();
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	munmap(page, HV_PAGE_SIZE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_codes),
		TEST(control_bits_beyond_fast),
		TEST(fast_input_must_fit_two_registers),
		TEST(misaligned_or_crossing_input),
		TEST(input_outside_ram),
		TEST(output_pointer_is_ignored),
		TEST(post_message_reaches_its_handler),
		TEST(post_message_parameters),
		TEST(signal_event_fast_and_from_memory),
		TEST(signal_event_parameters),
		TEST(long_spin_wait_succeeds),
		TEST(output_is_written_on_success),
		TEST(output_must_be_a_block_of_ram),
		TEST(ext_capabilities),
		TEST(list_control_words),
		TEST(list_begins_at_its_start_index),
		TEST(list_stops_at_a_failing_element),
		TEST(list_follows_the_variable_header),
		TEST(list_stays_in_its_page),
		TEST(fast_input_goes_on_in_xmm_registers),
		TEST(fast_input_of_two_registers_reads_no_xmm),
		TEST(fast_input_beyond_xmm_registers),
		TEST(connections_are_unique_and_go_away),
		TEST(deletion_waits_for_handlers),
		TEST(page_matches_the_listing),
		TEST(page_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
