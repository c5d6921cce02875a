/* SPDX-License-Identifier: MIT */
/*
 * A hostile guest, a busy host and time, against the Hyper-V interface.
 *
 * The input is a program: byte 0 chooses the configuration, then each byte
 * chooses an operation that takes its arguments from the bytes after it. After
 * every operation:
 *   - no byte outside RAM was touched (it faults), nor any page of RAM that was
 *     not enabled in a page MSR before or after the operation, nor the output of a hypercall
 *   - a message in a busy slot is unchanged but for the pending flag
 *   - messages of a VP and SINT arrive in the order they were posted
 *   - queues hold what they count and stay bounded
 *   - interrupts only went to open SINTs (checked by the fake port)
 *   - a running timer has the host timer armed
 *   - the operation caused a bounded number of port calls
 *   - reference time is monotonic
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "tests/support/check.h"
#include "tests/unit/hv/fake_partition.h"

#define VPS_MAX     3u
#define LOW_PAGES   (FAKE_LOW_SIZE / HV_PAGE_SIZE)
#define RAM_PAGES   ((FAKE_LOW_SIZE + FAKE_HIGH_SIZE) / HV_PAGE_SIZE)
#define CONNECTIONS 4u
#define OPERATIONS  256u /* per input */
#define PORT_CALLS  200u /* per operation; 3 VPs x 16 SINTs x 2 + timers stay below */
#define INPUT_GPA   (7 * HV_PAGE_SIZE + 0x100)
#define LIST_GPA    (7 * HV_PAGE_SIZE)
#define WORDS_MAX   40u

/* ---- the program --------------------------------------------------------- */

struct program {
	const uint8_t *at;
	size_t left;
};

static uint8_t take8(struct program *p)
{
	if (!p->left)
		return 0;
	p->left--;
	return *p->at++;
}

static uint64_t take64(struct program *p)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < 8; i++)
		value = value << 8 | take8(p);
	return value;
}

/* Mostly useful values: page MSR values in, at the edge of and outside RAM, timer
 * counts near the ends, small numbers. */
static uint64_t take_value(struct program *p)
{
	static const uint64_t special[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, 1ull << 63, 1ull << 52,
		FAKE_OUTSIDE_RAM | 1, 0xFEE00001, (GMEM_HIGH_START + FAKE_HIGH_SIZE) | 1, 0x1ED9,
		0x20009, 0x2000B, 0x100F3, 0xF3, 0x400F3, 0x8100000601000000};
	uint8_t how = take8(p);

	switch (how >> 6) {
	case 0:
		return (uint64_t)(how & 0xF) * HV_PAGE_SIZE | (how >> 4 & 1);
	case 1:
		return GMEM_HIGH_START + (uint64_t)(how & 3) * HV_PAGE_SIZE + (how >> 2 & 3);
	case 2:
		return special[how & 0xF];
	default:
		return how & 1 ? take64(p) : take8(p);
	}
}

/* ---- the machine and what was true before the operation ------------------ */

static struct fake_partition m;
static uint32_t vps;
static uint8_t before[RAM_PAGES][HV_PAGE_SIZE];
static struct hv_vp vp_before[VPS_MAX];
static uint64_t page_msrs_before[2]; /* hypercall, reference TSC */
static unsigned port_calls_before;
static uint64_t time_before;
static uint64_t output_gpa; /* of this operation's hypercall */
static unsigned elements;   /* of its list */
static uint32_t posted;     /* number of the last message */
static uint32_t arrived[VPS_MAX][HV_SINT_COUNT];

static struct hv_connection connection[CONNECTIONS];
static bool connected[CONNECTIONS];

static uint8_t *ram_page(uint32_t n)
{
	return n < LOW_PAGES ? m.gmem.base + n * HV_PAGE_SIZE
			     : m.gmem.base + GMEM_HIGH_START + (n - LOW_PAGES) * HV_PAGE_SIZE;
}

/* The RAM page of an enabled page MSR, RAM_PAGES when none. */
static uint32_t page_of(uint64_t msr_value)
{
	uint64_t gpa = msr_value & HV_MSR_PAGE_PFN_MASK;

	if (!(msr_value & HV_MSR_PAGE_ENABLE) || !gmem_contains(&m.gmem, gpa, HV_PAGE_SIZE))
		return RAM_PAGES;
	return (uint32_t)(gmem_file_offset(&m.gmem, gpa) / HV_PAGE_SIZE);
}

static unsigned port_calls(void)
{
	return m.injected + m.direct + m.arms + m.routes + m.resets + m.invariants + m.crashes +
	       m.flushes + m.discards + m.xmm_reads;
}

static void remember(void)
{
	for (uint32_t i = 0; i < RAM_PAGES; i++)
		memcpy(before[i], ram_page(i), HV_PAGE_SIZE);
	for (uint32_t i = 0; i < vps; i++)
		vp_before[i] = m.hv.vp[i];
	page_msrs_before[0] = m.hv.hypercall;
	page_msrs_before[1] = m.hv.reference_tsc;
	port_calls_before = port_calls();
	time_before = hv_ref_time(&m.hv);
	output_gpa = 0;
	elements = 0;
}

/* ---- invariants ---------------------------------------------------------- */

/* How many page MSRs name each page, before or after; the entry RAM_PAGES collects "none". */
static void count_owners(unsigned owners[RAM_PAGES + 1])
{
	memset(owners, 0, (RAM_PAGES + 1) * sizeof(owners[0]));
	owners[page_of(output_gpa)]++;
	owners[page_of(page_msrs_before[0])]++;
	owners[page_of(page_msrs_before[1])]++;
	owners[page_of(m.hv.hypercall)]++;
	owners[page_of(m.hv.reference_tsc)]++;
	for (uint32_t i = 0; i < vps; i++) {
		owners[page_of(vp_before[i].simp)]++;
		owners[page_of(vp_before[i].siefp)]++;
		owners[page_of(m.hv.vp[i].simp)]++;
		owners[page_of(m.hv.vp[i].siefp)]++;
	}
}

static void check_foreign_pages(const unsigned owners[RAM_PAGES + 1])
{
	for (uint32_t i = 0; i < RAM_PAGES; i++)
		if (!owners[i])
			check(memcmp(before[i], ram_page(i), HV_PAGE_SIZE) == 0);
}

static void check_busy_slot(const struct hv_message *old, const struct hv_message *now)
{
	struct hv_message expected = *old;

	expected.flags = now->flags;
	check(memcmp(&expected, now, sizeof(expected)) == 0);
	check((old->flags | HV_MESSAGE_FLAG_PENDING) == now->flags || old->flags == now->flags);
}

static void check_arrival(uint32_t vp, uint32_t sint, const struct hv_message *msg)
{
	uint32_t number;

	check(msg->payload_size <= HV_MESSAGE_PAYLOAD_MAX);
	check((msg->flags & ~HV_MESSAGE_FLAG_PENDING) == 0);
	if (msg->type == HV_MESSAGE_TYPE_TIMER) {
		check(msg->payload_size == sizeof(struct hv_timer_message_payload));
		return;
	}
	memcpy(&number, msg->payload, sizeof(number));
	check(number > arrived[vp][sint] && number <= posted);
	arrived[vp][sint] = number;
}

/* Only where the page was the VP's message page, and nothing else, throughout. */
static void check_slots(uint32_t vp, const unsigned owners[RAM_PAGES + 1])
{
	uint32_t page = page_of(m.hv.vp[vp].simp);
	const struct hv_message_page *old, *now;

	if (page == RAM_PAGES || page != page_of(vp_before[vp].simp) || owners[page] != 2)
		return;
	old = (const struct hv_message_page *)before[page];
	now = (const struct hv_message_page *)ram_page(page);
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		if (old->sint[sint].type != HV_MESSAGE_TYPE_NONE)
			check_busy_slot(&old->sint[sint], &now->sint[sint]);
		else if (now->sint[sint].type != HV_MESSAGE_TYPE_NONE)
			check_arrival(vp, sint, &now->sint[sint]);
}

/* Walking long queues after each operation would be most of the work. */
#define QUEUE_WALK_MAX 64u

static void check_queues(const struct hv_vp *vp)
{
	uint32_t queued = 0;

	check(vp->queued <= HV_SYNIC_QUEUE_MAX);
	if (vp->queued > QUEUE_WALK_MAX)
		return;
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++)
		list_for_each (item, &vp->queue[sint])
			queued++;
	check(queued == vp->queued);
}

static void check_timer(const struct hv_stimer *t, uint64_t armed)
{
	uint64_t now = hv_ref_time(&m.hv);

	if (t->due == HV_STIMER_NEVER)
		return;
	check(t->config & HV_STIMER_ENABLE);
	check(armed != HV_STIMER_NEVER);
	/* The host timer expires early enough; a period of centuries is never due. */
	check(t->due > now || armed <= now + HV_STIMER_PERIOD_MIN);
	check(t->due > now || !(t->config & HV_STIMER_PERIODIC) || !(t->count >> 60));
}

static void check_vp(uint32_t index)
{
	const struct hv_vp *vp = &m.hv.vp[index];

	check_queues(vp);
	check((page_of(vp->simp) == RAM_PAGES) == (vp->message_page == NULL));
	check((page_of(vp->siefp) == RAM_PAGES) == (vp->event_page == NULL));
	for (uint32_t i = 0; i < HV_STIMER_COUNT; i++)
		check_timer(&vp->stimer[i], m.armed[index]);
}

static void check_all(void)
{
	unsigned owners[RAM_PAGES + 1];

	count_owners(owners);
	check_foreign_pages(owners);
	for (uint32_t i = 0; i < vps; i++) {
		check_slots(i, owners);
		check_vp(i);
	}
	check(port_calls() - port_calls_before <= PORT_CALLS * (1 + elements));
	check(hv_ref_time(&m.hv) >= time_before);
}

/* ---- operations: the guest ----------------------------------------------- */

static const uint32_t msrs[] = {HV_MSR_GUEST_OS_ID, HV_MSR_HYPERCALL, HV_MSR_VP_INDEX, HV_MSR_RESET,
	HV_MSR_TIME_REF_COUNT, HV_MSR_REFERENCE_TSC, HV_MSR_TSC_FREQUENCY, HV_MSR_VP_ASSIST_PAGE,
	HV_MSR_SCONTROL, HV_MSR_SVERSION, HV_MSR_SIEFP, HV_MSR_SIMP, HV_MSR_EOM, HV_MSR_SINT0,
	HV_MSR_SINT0 + 1, HV_MSR_SINT0 + 2, HV_MSR_SINT15, HV_MSR_STIMER0_CONFIG,
	HV_MSR_STIMER0_COUNT, HV_MSR_STIMER0_CONFIG + 2, HV_MSR_STIMER0_COUNT + 2,
	HV_MSR_STIMER3_COUNT - 1, HV_MSR_STIMER3_COUNT, HV_MSR_CRASH_P0, HV_MSR_CRASH_P0 + 3,
	HV_MSR_CRASH_P4, HV_MSR_CRASH_CTL, HV_MSR_TSC_INVARIANT_CTL, HV_MSR_GUEST_IDLE, HV_MSR_EOI};
#define MSRS (sizeof(msrs) / sizeof(msrs[0]))

static void op_wrmsr(struct program *p)
{
	uint32_t vp = take8(p) % vps;
	uint8_t which = take8(p);
	uint32_t msr =
		which < 0xF0 ? msrs[which % MSRS] : HV_MSR_FIRST + (uint32_t)take64(p) % 0x2000;

	fake_wrmsr(&m, vp, msr, take_value(p));
}

static void op_rdmsr(struct program *p)
{
	uint32_t vp = take8(p) % vps;
	uint64_t value;

	hv_msr_read(
		&m.hv, vp, HV_MSR_FIRST + (take8(p) | (uint32_t)take8(p) << 8) % 0x2000, &value);
}

static void hypercall(uint32_t vp, uint64_t control, uint64_t input, uint64_t output)
{
	const struct hv_hypercall call = {.control = control, .input = input, .output = output};
	uint64_t result, done;

	output_gpa = output | HV_MSR_PAGE_ENABLE;
	elements = control >> HV_HCALL_REP_COUNT_SHIFT & HV_HCALL_REP_MASK;
	result = hv_hypercall(&m.hv, vp, &call);
	done = result >> HV_HCALL_REP_COUNT_SHIFT;
	check((result >> 16 & 0xFFFF) == 0 && done <= elements);
	check((result & HV_HCALL_STATUS_MASK) != HV_STATUS_SUCCESS || done == elements);
}

static void op_hypercall_raw(struct program *p)
{
	uint64_t control = take_value(p), input = take_value(p);

	hypercall(0, control, input, take_value(p));
}

/* A call for VPs, or one with a list: words of any kind, mostly the right number of them. */
static void op_hypercall_list(struct program *p)
{
	static const uint16_t codes[] = {HV_CALL_FLUSH_SPACE, HV_CALL_FLUSH_LIST, HV_CALL_SEND_IPI,
		HV_CALL_FLUSH_SPACE_EX, HV_CALL_FLUSH_LIST_EX, HV_CALL_SEND_IPI_EX,
		HV_CALL_GET_VP_REGISTERS};
	uint64_t words[WORDS_MAX] = {0},
		 control = codes[take8(p) % (sizeof(codes) / sizeof(codes[0]))];
	uint32_t vp = take8(p) % vps, count = take8(p) % WORDS_MAX;
	uint64_t gpa = take8(p) % 8 ? LIST_GPA : RAM_PAGES * HV_PAGE_SIZE - 8 * (1 + take8(p) % 8);

	for (uint32_t i = 0; i < count; i++)
		words[i] = take_value(p);
	memcpy(m.xmm, words, sizeof(m.xmm));
	gmem_write(&m.gmem, gpa, words, sizeof(words));
	remember();
	control |= (uint64_t)(take8(p) & 1) << 16 | (uint64_t)(take8(p) % 8)
							    << HV_HCALL_VARHEAD_SHIFT;
	control |= (uint64_t)take8(p) << HV_HCALL_REP_COUNT_SHIFT |
		   (uint64_t)(take8(p) % 4) << HV_HCALL_REP_START_SHIFT;
	hypercall(vp, control, control & HV_HCALL_FAST ? words[0] : gpa, take_value(p));
}

/* Well-formed, so that the values get through; no register twice, so that no page is enabled and
 * disabled by one call. */
static void op_set_registers(struct program *p)
{
	static const uint32_t names[12] = {HV_REGISTER_CRASH_P0, HV_REGISTER_CRASH_CTL,
		HV_REGISTER_GUEST_OS_ID, HV_REGISTER_VP_ASSIST_PAGE, HV_REGISTER_REFERENCE_TSC,
		HV_REGISTER_SINT0 + 2, HV_REGISTER_SCONTROL, HV_REGISTER_SIEFP, HV_REGISTER_SIMP,
		HV_REGISTER_EOM, HV_REGISTER_STIMER0_CONFIG, HV_REGISTER_STIMER3_COUNT};
	struct {
		struct hv_input_vp_registers head;
		struct hv_register_assoc list[4];
	} in = {.head = {.partition_id = HV_PARTITION_ID_SELF}};
	uint32_t vp = take8(p) % vps;
	uint64_t count = 1 + take8(p) % 4, start = take8(p) % 4;

	in.head.vp_index = take8(p) % 8 ? HV_VP_INDEX_SELF : vp;
	for (unsigned i = 0; i < 4; i++) {
		in.list[i].name = names[3 * i + take8(p) % 3];
		in.list[i].value.low = take_value(p);
	}
	gmem_write(&m.gmem, LIST_GPA, &in, sizeof(in));
	remember();
	hypercall(vp,
		HV_CALL_SET_VP_REGISTERS | count << HV_HCALL_REP_COUNT_SHIFT |
			start << HV_HCALL_REP_START_SHIFT,
		LIST_GPA, 0);
}

static void op_post(struct program *p)
{
	struct hv_input_post_message in = {0};
	uint64_t gpa = INPUT_GPA + take8(p) * 16;

	in.connection_id = take8(p) % (2 * CONNECTIONS);
	in.message_type = take8(p) % 4 ? 1 : (uint32_t)take_value(p);
	in.payload_size = take8(p);
	in.reserved = take8(p) == 0xFF;
	memcpy(in.payload, &gpa, sizeof(gpa));
	gmem_write(&m.gmem, gpa, &in, sizeof(in));
	remember();
	fake_hypercall(&m, HV_CALL_POST_MESSAGE, gpa, 0);
}

static void op_signal(struct program *p)
{
	uint64_t id = take8(p) % (2 * CONNECTIONS), flag = take8(p);

	fake_hypercall(&m, HV_CALL_SIGNAL_EVENT | HV_HCALL_FAST, id | flag << 32, 0);
}

/* Takes a message the way Linux does; EOM on any VP. */
static void op_take_message(struct program *p)
{
	uint32_t vp = take8(p) % vps, page = page_of(m.hv.vp[vp].simp);
	struct hv_message *slot;

	if (page == RAM_PAGES)
		return;
	slot = &((struct hv_message_page *)ram_page(page))->sint[take8(p) % HV_SINT_COUNT];
	slot->type = HV_MESSAGE_TYPE_NONE;
	remember();
	if (slot->flags & HV_MESSAGE_FLAG_PENDING)
		fake_wrmsr(&m, take8(p) % vps, HV_MSR_EOM, 0);
}

static void op_scribble(struct program *p)
{
	uint8_t *page = ram_page(take8(p) % RAM_PAGES);
	uint32_t offset = (take8(p) | (uint32_t)take8(p) << 8) % (HV_PAGE_SIZE - 8);
	uint64_t value = take_value(p);

	memcpy(page + offset, &value, sizeof(value));
	remember();
}

static void op_synic_on(struct program *p)
{
	uint32_t vp = take8(p) % vps;

	fake_synic_on(&m, vp);
	fake_wrmsr(&m, vp, HV_MSR_SINT0 + take8(p) % HV_SINT_COUNT, 0x40 + take8(p) % 0x80);
}

/* ---- operations: the host ------------------------------------------------ */

static int post_numbered(uint32_t vp, uint32_t sint, uint32_t size)
{
	uint8_t payload[HV_MESSAGE_PAYLOAD_MAX] = {0};

	posted++;
	memcpy(payload, &posted, sizeof(posted));
	return synic_post(&m.hv, vp, sint, HV_MESSAGE_TYPE_VMBUS, 0, payload,
		size < sizeof(posted) ? sizeof(posted) : size);
}

static enum hv_status on_message(
	void *ctx, uint32_t id, uint32_t type, const void *payload, uint32_t size)
{
	check(size <= HV_MESSAGE_PAYLOAD_MAX && type != 0 && type < HV_MESSAGE_TYPE_RESERVED);
	return post_numbered(id % vps, 2, size) ? HV_STATUS_INSUFFICIENT_BUFFERS
						: HV_STATUS_SUCCESS;
}

static enum hv_status on_event(void *ctx, uint32_t id, uint16_t flag)
{
	synic_signal(&m.hv, id % vps, 2, flag);
	return HV_STATUS_SUCCESS;
}

static void op_connection(struct program *p)
{
	uint32_t i = take8(p) % CONNECTIONS;

	if (connected[i])
		hv_connection_del(&m.hv, &connection[i]);
	else
		check(hv_connection_add(&m.hv, &connection[i]) == 0);
	connected[i] = !connected[i];
}

static void op_host_post(struct program *p)
{
	uint32_t vp = take8(p) % (vps + 1), sint = take8(p) % (HV_SINT_COUNT + 1);
	uint32_t size = take8(p);
	int ret = post_numbered(vp, sint, size);

	check((ret == -EINVAL) ==
		(vp >= vps || sint >= HV_SINT_COUNT || size > HV_MESSAGE_PAYLOAD_MAX));
}

/* Reaches the bound in few bytes. */
static void op_host_post_many(struct program *p)
{
	uint32_t vp = take8(p) % vps, sint = take8(p) % HV_SINT_COUNT, count = take8(p) * 8;

	while (count--)
		post_numbered(vp, sint, 4);
}

static void op_host_signal(struct program *p)
{
	uint32_t vp = take8(p) % (vps + 1), sint = take8(p) % (HV_SINT_COUNT + 1);

	synic_signal(&m.hv, vp, sint, take8(p) | (uint32_t)take8(p) << 8);
}

static void op_flush(struct program *p)
{
	synic_flush(&m.hv, take8(p) % (HV_SINT_COUNT + 1));
}

static void op_expire(struct program *p)
{
	uint32_t vp = take8(p) % (vps + 1);

	if (vp < vps)
		m.armed[vp] = HV_STIMER_NEVER; /* spent, perhaps early */
	hv_stimer_expire(&m.hv, vp);
}

/* Time passes, and the host timers expire. */
static void op_advance(struct program *p)
{
	uint8_t how = take8(p);

	fake_advance(&m, how & 0x80 ? 1ull << (how & 0x2F) : how);
	for (uint32_t vp = 0; vp < vps; vp++)
		if (m.armed[vp] <= hv_ref_time(&m.hv)) {
			m.armed[vp] = HV_STIMER_NEVER;
			hv_stimer_expire(&m.hv, vp);
		}
}

static void (*const operations[])(struct program *p) = {op_wrmsr, op_wrmsr, op_wrmsr, op_rdmsr,
	op_hypercall_raw, op_post, op_signal, op_take_message, op_scribble, op_synic_on,
	op_connection, op_host_post, op_host_post_many, op_host_signal, op_flush, op_expire,
	op_advance, op_advance, op_hypercall_list, op_hypercall_list, op_set_registers};

/* ---- one run ------------------------------------------------------------- */

static void start(uint8_t choice)
{
	struct hv_config config;

	config = fake_config(&m);
	vps = config.vp_count = 1 + choice % VPS_MAX;
	config.stimer = !(choice & 0x10);
	config.tsc_invariant = !(choice & 0x20);
	config.flush = !(choice & 0x08);
	if (choice & 0x40)
		config.tsc_hz = choice & 0x80 ? 0 : 2394987654;
	fake_init_config(&m, &config);
	for (uint32_t i = 0; i < RAM_PAGES; i++)
		memset(ram_page(i), 0, HV_PAGE_SIZE);
	for (uint32_t i = 0; i < CONNECTIONS; i++) {
		connection[i] = (struct hv_connection){.id = i};
		if (i % 2)
			connection[i].event = on_event;
		else
			connection[i].message = on_message;
		check(hv_connection_add(&m.hv, &connection[i]) == 0);
		connected[i] = true;
	}
	memset(arrived, 0, sizeof(arrived));
	posted = 0;
}

/* Keeps RAM, resets the recorders: no routes, as at power on. */
static void reset_machine(void)
{
	struct gmem gmem = m.gmem;

	memset(&m, 0, offsetof(struct fake_partition, hv));
	memset((char *)&m + offsetof(struct fake_partition, tsc), 0,
		sizeof(m) - offsetof(struct fake_partition, tsc));
	m.gmem = gmem;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_set_level(LOG_ERROR);
	fake_ram_init(&m.gmem);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program p = {.at = data, .left = size};

	reset_machine();
	start(take8(&p));
	for (unsigned i = 0; i < OPERATIONS && p.left; i++) {
		remember();
		operations[take8(&p) % (sizeof(operations) / sizeof(operations[0]))](&p);
		check_all();
	}
	hv_fini(&m.hv);
	return 0;
}
