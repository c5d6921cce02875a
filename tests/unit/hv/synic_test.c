/* SPDX-License-Identifier: MIT */
/* SynIC delivery, rule by rule of the spec sheet, section 5.3, and its fences under threads. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/hv/fake_partition.h"

static struct fake_partition m;

static int setup(void **state)
{
	fake_init(&m);
	return 0;
}

static int teardown(void **state)
{
	fake_fini(&m);
	return 0;
}

static int post(uint32_t vp, uint32_t number)
{
	return synic_post(&m.hv, vp, FAKE_SINT, HV_MESSAGE_TYPE_VMBUS, 9, &number, sizeof(number));
}

static uint32_t number_of(const struct hv_message *msg)
{
	uint32_t number;

	memcpy(&number, msg->payload, sizeof(number));
	return number;
}

static struct hv_message *slot(uint32_t vp)
{
	return fake_slot(&m, vp, FAKE_SINT);
}

static void assert_slot_holds(uint32_t vp, uint32_t number)
{
	assert_int_equal(slot(vp)->type, HV_MESSAGE_TYPE_VMBUS);
	assert_int_equal(number_of(slot(vp)), number);
}

/* ---- messages ------------------------------------------------------------ */

static void message_fills_the_slot_and_interrupts(void **state)
{
	static const uint8_t zero[HV_MESSAGE_PAYLOAD_MAX];

	fake_synic_on(&m, 1);
	memset(slot(1), 0xA5, sizeof(struct hv_message));
	slot(1)->type = 0;
	assert_int_equal(post(1, 7), 0);
	assert_slot_holds(1, 7);
	assert_int_equal(slot(1)->payload_size, 4);
	assert_int_equal(slot(1)->flags, 0);
	assert_int_equal(slot(1)->reserved, 0);
	assert_int_equal(slot(1)->sender, 9);
	assert_memory_equal(slot(1)->payload + 4, zero, HV_MESSAGE_PAYLOAD_MAX - 4);
	assert_int_equal(m.injected, 1);
	assert_int_equal(m.last_irq.vp, 1);
	assert_int_equal(m.last_irq.sint, FAKE_SINT);
	assert_int_equal(m.last_irq.vector, FAKE_VECTOR);
	assert_int_equal(m.hv.counters.messages_delivered, 1);
}

static void busy_slot_asks_for_eom_and_keeps_order(void **state)
{
	struct hv_message msg;

	fake_synic_on(&m, 0);
	post(0, 0);
	assert_int_equal(slot(0)->flags, 0);
	for (uint32_t i = 1; i < 5; i++)
		post(0, i);
	assert_slot_holds(0, 0);
	assert_int_equal(slot(0)->flags, HV_MESSAGE_FLAG_PENDING);
	assert_int_equal(m.injected, 1);
	for (uint32_t i = 0; i < 5; i++) {
		assert_slot_holds(0, i);
		/* A message with others behind it has the pending flag. */
		assert_int_equal(slot(0)->flags, i < 4 ? HV_MESSAGE_FLAG_PENDING : 0);
		assert_true(fake_take(&m, 0, FAKE_SINT, &msg));
	}
	assert_false(fake_take(&m, 0, FAKE_SINT, &msg));
	assert_int_equal(m.injected, 5);
	assert_int_equal(m.hv.vp[0].queued, 0);
}

static void emptied_slot_without_eom_takes_the_next_post(void **state)
{
	fake_synic_on(&m, 0);
	post(0, 0);
	slot(0)->type = 0;
	post(0, 1);
	assert_slot_holds(0, 1);
	assert_int_equal(slot(0)->flags, 0);
}

/* The pending flag must not restore a type that the guest clears meanwhile, nor change other bytes.
 */
static void pending_flag_is_the_only_byte_written(void **state)
{
	struct hv_message before;

	fake_synic_on(&m, 0);
	memset(slot(0), 0x6B, sizeof(before));
	slot(0)->flags = 0x10;
	before = *slot(0);
	post(0, 1);
	before.flags = 0x11;
	assert_memory_equal(slot(0), &before, sizeof(before));
	assert_int_equal(m.injected, 0);
}

static void eom_of_another_vp_rescans_all(void **state)
{
	fake_synic_on(&m, 0);
	fake_synic_on(&m, 2);
	post(2, 1);
	post(2, 2);
	slot(2)->type = 0; /* VP 0 polls the slots of all VPs, as Linux does in a panic */
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_EOM, 0), 0);
	assert_slot_holds(2, 2);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_EOM), 0);
}

/* Undo one enabling at a time: posting must wait, redoing it must deliver. */
static void closed_sint_keeps_messages(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t closed, open;
	} gates[] = {
		{HV_MSR_SCONTROL, 0, 1},
		{HV_MSR_SIMP, FAKE_SIMP(0), FAKE_SIMP(0) | 1},
		{HV_MSR_SIMP, FAKE_OUTSIDE_RAM | 1, FAKE_SIMP(0) | 1},
		{HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_MASKED, FAKE_VECTOR},
	};

	fake_synic_on(&m, 0);
	for (uint32_t i = 0; i < sizeof(gates) / sizeof(gates[0]); i++) {
		slot(0)->type = 0;
		m.injected = 0;
		assert_int_equal(fake_wrmsr(&m, 0, gates[i].msr, gates[i].closed), 0);
		post(0, i);
		assert_int_equal(slot(0)->type, 0);
		assert_int_equal(m.hv.vp[0].queued, 1);
		assert_int_equal(m.injected, 0);
		assert_int_equal(fake_wrmsr(&m, 0, gates[i].msr, gates[i].open), 0);
		assert_slot_holds(0, i);
		assert_int_equal(m.injected, 1);
	}
}

static void polled_sint_gets_no_interrupt(void **state)
{
	fake_synic_on(&m, 0);
	fake_wrmsr(&m, 0, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_POLLING);
	assert_int_equal(m.last_route.vector, 0);
	post(0, 1);
	synic_signal(&m.hv, 0, FAKE_SINT, 5);
	assert_slot_holds(0, 1);
	assert_true(fake_flag(&m, 0, FAKE_SINT, 5));
	assert_int_equal(m.injected, 0);
}

static void slots_do_not_block_each_other(void **state)
{
	uint32_t one = 1;

	fake_synic_on(&m, 0);
	fake_wrmsr(&m, 0, HV_MSR_SINT0 + 15, 0x40);
	post(0, 1);
	post(0, 2);
	assert_int_equal(synic_post(&m.hv, 0, 15, 1, 0, &one, sizeof(one)), 0);
	assert_int_equal(fake_slot(&m, 0, 15)->type, 1);
	assert_int_equal(m.last_irq.vector, 0x40);
}

static void queue_is_bounded(void **state)
{
	struct hv_message msg;

	for (uint32_t i = 0; i < HV_SYNIC_QUEUE_MAX; i++)
		assert_int_equal(post(0, i), 0);
	assert_int_equal(post(0, 0), -ENOBUFS);
	assert_int_equal(post(1, 0), 0); /* per VP */
	assert_int_equal(m.hv.counters.messages_refused, 1);
	fake_synic_on(&m, 0);
	assert_int_equal(post(0, HV_SYNIC_QUEUE_MAX), 0);
	for (uint32_t i = 0; i <= HV_SYNIC_QUEUE_MAX; i++) {
		assert_true(fake_take(&m, 0, FAKE_SINT, &msg));
		assert_int_equal(number_of(&msg), i);
	}
}

/* 64 VPs with a queue each: 72 MiB without it. */
static void all_queues_are_bounded_by_the_budget(void **state)
{
	struct hv_config config;
	struct budget budget;
	uint64_t posted = 0;

	fake_fini(&m);
	memset(&m, 0, sizeof(m));
	fake_ram_init(&m.gmem);
	config = fake_config(&m);
	config.vp_count = HV_VPS_MAX;
	config.budget = &budget;
	budget_init(&budget, BUDGET_MIN);
	fake_init_config(&m, &config);
	for (uint32_t vp = 0; vp < HV_VPS_MAX; vp++)
		for (uint32_t i = 0; i < HV_SYNIC_QUEUE_MAX && !post(vp, i); i++)
			posted++;
	assert_true(posted > HV_SYNIC_QUEUE_MAX && posted < HV_VPS_MAX * HV_SYNIC_QUEUE_MAX);
	assert_true(m.hv.counters.messages_refused > 0);
	assert_int_equal(budget_used(&budget), posted * sizeof(struct hv_synic_message));
	synic_flush(&m.hv, FAKE_SINT);
	assert_int_equal(budget_used(&budget), 0);
	post(1, 1);
	hv_fini(&m.hv);
	assert_int_equal(budget_used(&budget), 0);
	fake_init_config(&m, &config); /* for the teardown */
}

static void flush_forgets_what_is_not_in_a_slot(void **state)
{
	fake_synic_on(&m, 0);
	post(0, 1);
	post(0, 2);
	post(1, 3);
	synic_post(&m.hv, 0, 3, 1, 0, NULL, 0);
	synic_signal(&m.hv, 1, FAKE_SINT, 8);
	synic_flush(&m.hv, FAKE_SINT);
	synic_flush(&m.hv, HV_SINT_COUNT);
	assert_int_equal(m.hv.vp[0].queued, 1); /* of the other SINT */
	assert_int_equal(m.hv.vp[1].queued, 0);
	fake_synic_on(&m, 1);
	assert_int_equal(slot(1)->type, 0);
	assert_false(fake_flag(&m, 1, FAKE_SINT, 8));
	assert_slot_holds(0, 1);
}

static void post_arguments(void **state)
{
	static const uint8_t payload[HV_MESSAGE_PAYLOAD_MAX + 1];

	assert_int_equal(synic_post(&m.hv, 3, 2, 1, 0, payload, 1), -EINVAL);
	assert_int_equal(synic_post(&m.hv, ~0u, 2, 1, 0, payload, 1), -EINVAL);
	assert_int_equal(synic_post(&m.hv, 0, 16, 1, 0, payload, 1), -EINVAL);
	assert_int_equal(synic_post(&m.hv, 0, 2, 0, 0, payload, 1), -EINVAL);
	assert_int_equal(synic_post(&m.hv, 0, 2, 0x80000010, 0, payload, 1), -EINVAL);
	assert_int_equal(synic_post(&m.hv, 0, 2, 1, 0, payload, 241), -EINVAL);
	assert_int_equal(synic_post(&m.hv, 0, 2, 1, 0, payload, 240), 0);
}

/* ---- events -------------------------------------------------------------- */

static void event_interrupts_once_until_taken(void **state)
{
	static const uint32_t flags[] = {0, 1, 31, 32, 63, 64, 2047};
	uint8_t *page = fake_ram(&m, FAKE_SIEFP(0));
	unsigned set = 0;

	fake_synic_on(&m, 0);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		synic_signal(&m.hv, 0, FAKE_SINT, flags[i]);
		assert_true(fake_flag(&m, 0, FAKE_SINT, flags[i]));
		synic_signal(&m.hv, 0, FAKE_SINT, flags[i]);
		assert_int_equal(m.injected, i + 1);
	}
	for (size_t i = 0; i < HV_PAGE_SIZE; i++)
		set += (unsigned)__builtin_popcount(page[i]);
	assert_int_equal(set, 7); /* and no other bit of the page */
	page[FAKE_SINT * 256] = 0;
	synic_signal(&m.hv, 0, FAKE_SINT, 0);
	assert_int_equal(m.injected, 8);
	assert_int_equal(m.hv.counters.events_raised, 8);
}

static void events_while_closed_are_replayed(void **state)
{
	fake_synic_on(&m, 0);
	fake_wrmsr(&m, 0, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR | HV_SINT_MASKED);
	synic_signal(&m.hv, 0, FAKE_SINT, 7);
	synic_signal(&m.hv, 0, FAKE_SINT, 700);
	assert_false(fake_flag(&m, 0, FAKE_SINT, 7));
	fake_wrmsr(&m, 0, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR);
	assert_true(fake_flag(&m, 0, FAKE_SINT, 7));
	assert_true(fake_flag(&m, 0, FAKE_SINT, 700));
	assert_int_equal(m.injected, 1);
	memset(fake_ram(&m, FAKE_SIEFP(0)), 0, HV_PAGE_SIZE);
	fake_wrmsr(&m, 0, HV_MSR_EOM, 0); /* once */
	assert_false(fake_flag(&m, 0, FAKE_SINT, 7));
}

/* Interrupts may be due between any two writes of Linux' enable sequence. */
static void event_before_enable_arrives_after_the_last_write(void **state)
{
	synic_signal(&m.hv, 0, FAKE_SINT, 3);
	fake_wrmsr(&m, 0, HV_MSR_SIMP, FAKE_SIMP(0) | 1);
	fake_wrmsr(&m, 0, HV_MSR_SIEFP, FAKE_SIEFP(0) | 1);
	fake_wrmsr(&m, 0, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR);
	assert_false(fake_flag(&m, 0, FAKE_SINT, 3));
	fake_wrmsr(&m, 0, HV_MSR_SCONTROL, 1);
	assert_true(fake_flag(&m, 0, FAKE_SINT, 3));
	assert_int_equal(m.injected, 1);
}

static void replay_of_a_set_flag_does_not_interrupt(void **state)
{
	fake_synic_on(&m, 0);
	synic_signal(&m.hv, 0, FAKE_SINT, 3);
	fake_wrmsr(&m, 0, HV_MSR_SCONTROL, 0);
	synic_signal(&m.hv, 0, FAKE_SINT, 3);
	fake_wrmsr(&m, 0, HV_MSR_SCONTROL, 1);
	assert_int_equal(m.injected, 1);
}

static void signal_arguments(void **state)
{
	fake_synic_on(&m, 0);
	synic_signal(&m.hv, 3, FAKE_SINT, 0);
	synic_signal(&m.hv, 0, 16, 0);
	synic_signal(&m.hv, 0, FAKE_SINT, 2048);
	assert_int_equal(m.injected, 0);
}

/* ---- registers ----------------------------------------------------------- */

static void reserved_bits_read_back(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} writes[] = {
		{HV_MSR_SCONTROL, 0xFFFFFFFFFFFFFFFE},
		{HV_MSR_SIMP, 0x3FFE},
		{HV_MSR_SIEFP, 0x3FFF},
		{HV_MSR_SINT0, 0xFFFFFFFFFFFFFFFF},
		{HV_MSR_SINT15, 0xFFFFFFFFFFFAFF10},
	};

	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		assert_int_equal(fake_wrmsr(&m, 1, writes[i].msr, writes[i].value), 0);
		assert_int_equal(fake_rdmsr(&m, 1, writes[i].msr), writes[i].value);
	}
}

static void vectors_below_16_fault_unless_masked(void **state)
{
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SINT0, 15), -EPERM);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SINT0, 0), -EPERM);
	assert_int_equal(fake_rdmsr(&m, 0, HV_MSR_SINT0), HV_SINT_RESET_VALUE);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SINT0, HV_SINT_MASKED | 15), 0);
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SINT0, 16), 0);
}

static void route_follows_the_vector(void **state)
{
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x50);
	assert_int_equal(m.last_route.vp, 1);
	assert_int_equal(m.last_route.sint, 4);
	assert_int_equal(m.last_route.vector, 0x50);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x50 | 1ull << 19); /* same route */
	assert_int_equal(m.routes, 1);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51);
	assert_int_equal(m.last_route.vector, 0x51);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51 | HV_SINT_MASKED);
	assert_int_equal(m.last_route.vector, 0);
	assert_int_equal(m.routes, 3);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51 | HV_SINT_AUTO_EOI); /* needs none */
	assert_int_equal(m.routes, 3);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51);
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + 4, 0x51 | HV_SINT_AUTO_EOI);
	assert_int_equal(m.last_route.vector, 0);
	assert_int_equal(m.routes, 5);
}

static void enabling_zeroes_the_pages(void **state)
{
	static const uint8_t zero[HV_PAGE_SIZE];

	memset(fake_ram(&m, FAKE_SIMP(0)), 0xA5, 2 * HV_PAGE_SIZE);
	fake_synic_on(&m, 0);
	assert_memory_equal(fake_ram(&m, FAKE_SIMP(0)), zero, HV_PAGE_SIZE);
	assert_memory_equal(fake_ram(&m, FAKE_SIEFP(0)), zero, HV_PAGE_SIZE);
	post(0, 1);
	fake_wrmsr(&m, 0, HV_MSR_SIMP, FAKE_SIMP(0) | 1); /* no change, no zeroing */
	fake_wrmsr(&m, 0, HV_MSR_SIMP, FAKE_SIMP(0) | 0x801);
	assert_slot_holds(0, 1);
}

static void pages_are_left_alone_after_disable(void **state)
{
	uint8_t pages[2 * HV_PAGE_SIZE];

	fake_synic_on(&m, 0);
	post(0, 1);
	post(0, 2);
	fake_wrmsr(&m, 0, HV_MSR_SIMP, FAKE_SIMP(0));
	fake_wrmsr(&m, 0, HV_MSR_SIEFP, FAKE_SIEFP(1) | 1); /* moved, not disabled */
	memset(fake_ram(&m, FAKE_SIMP(0)), 0x5A, sizeof(pages));
	memset(pages, 0x5A, sizeof(pages));
	post(0, 3);
	synic_signal(&m.hv, 0, FAKE_SINT, 3);
	fake_wrmsr(&m, 0, HV_MSR_EOM, 0);
	assert_memory_equal(fake_ram(&m, FAKE_SIMP(0)), pages, sizeof(pages));
}

static void pages_outside_ram_are_accepted_and_ignored(void **state)
{
	static const uint64_t bad[] = {
		FAKE_OUTSIDE_RAM, GMEM_HIGH_START + FAKE_HIGH_SIZE, 1ull << 52, ~0xFFFull};

	fake_synic_on(&m, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SIMP, bad[i] | 1), 0);
		assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SIEFP, bad[i] | 1), 0);
		post(0, 1);
		synic_signal(&m.hv, 0, FAKE_SINT, 1);
	}
	assert_int_equal(m.injected, 0);
}

/* ---- threads ------------------------------------------------------------- */

#define PAIRS 20000u

static _Atomic uint32_t taken;
static atomic_bool finished;

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static bool wait_for_taken(uint32_t count)
{
	double give_up = seconds() + 120;

	while (atomic_load(&taken) < count) {
		if (seconds() > give_up)
			return false;
		sched_yield();
	}
	return true;
}

/* Two messages at a time: the second meets the guest emptying the slot of the first, and no
 * third post comes to the rescue when both sides miss each other. As many as a second allows. */
static void *pair_poster(void *arg)
{
	double end = seconds() + 1;
	uint32_t *lost = arg;

	for (uint32_t sent = 0; sent < 2 * PAIRS && seconds() < end && !*lost; sent += 2) {
		post(0, sent);
		post(0, sent + 1);
		if (!wait_for_taken(sent + 2))
			*lost = sent + 2 - atomic_load(&taken);
	}
	atomic_store(&finished, true);
	return NULL;
}

static void racing_guest_loses_no_message(void **state)
{
	pthread_t thread;
	struct hv_message msg;
	uint32_t next = 0, lost = 0;

	fake_synic_on(&m, 0);
	atomic_store(&taken, 0);
	atomic_store(&finished, false);
	assert_int_equal(pthread_create(&thread, NULL, pair_poster, &lost), 0);
	while (!atomic_load(&finished))
		if (fake_take(&m, 0, FAKE_SINT, &msg)) {
			assert_int_equal(number_of(&msg), next++);
			atomic_store(&taken, next);
		} else if (next % 2 == 0) {
			sched_yield(); /* between pairs only: within one, race */
		}
	pthread_join(thread, NULL);
	assert_int_equal(lost, 0);
	assert_true(next >= 2);
}

/* The same at the worst moment, every time: the page is read-only, so the host's write of the
 * pending flag faults after it found the slot busy, and the handler plays the guest. */
static uint8_t flags_the_guest_saw;

static void empty_slot_on_fault(int sig, siginfo_t *info, void *context)
{
	mprotect(fake_ram(&m, FAKE_SIMP(0)), HV_PAGE_SIZE, PROT_READ | PROT_WRITE);
	slot(0)->type = HV_MESSAGE_TYPE_NONE;
	flags_the_guest_saw = slot(0)->flags;
}

static void slot_emptied_before_the_flag_is_set(void **state)
{
	struct sigaction sa = {.sa_sigaction = empty_slot_on_fault, .sa_flags = SA_SIGINFO}, old;

	fake_synic_on(&m, 0);
	post(0, 1);
	flags_the_guest_saw = 0xFF;
	assert_int_equal(sigaction(SIGSEGV, &sa, &old), 0);
	assert_int_equal(mprotect(fake_ram(&m, FAKE_SIMP(0)), HV_PAGE_SIZE, PROT_READ), 0);
	post(0, 2);
	assert_int_equal(sigaction(SIGSEGV, &old, NULL), 0);
	assert_int_equal(flags_the_guest_saw, 0); /* so it writes no EOM */
	assert_slot_holds(0, 2);
	assert_int_equal(slot(0)->flags, 0);
	assert_int_equal(m.injected, 2);
}

/* Once a disabling write has returned, no thread is inside a delivery: one that is holds the
 * write up. The hook waits a while for the write to return, in vain. */
static atomic_bool entered, disabled, disabled_early;

static void wait_for_disabled(struct fake_partition *machine)
{
	struct timespec now, start;

	atomic_store(&entered, true);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (atomic_load(&disabled))
			atomic_store(&disabled_early, true);
	} while (!atomic_load(&disabled_early) &&
		 (now.tv_sec - start.tv_sec) * 1000000000ll + now.tv_nsec - start.tv_nsec <
			 20 * 1000 * 1000);
}

static void *post_once(void *arg)
{
	post(0, 1);
	return NULL;
}

static void disabling_waits_for_writers(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t value;
	} writes[] = {{HV_MSR_SIMP, 0}, {HV_MSR_SIEFP, 0}, {HV_MSR_SCONTROL, 0},
		{HV_MSR_SINT0 + FAKE_SINT, HV_SINT_MASKED}};

	m.inject_hook = wait_for_disabled;
	for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
		pthread_t thread;

		fake_synic_on(&m, 0);
		slot(0)->type = 0;
		atomic_store(&entered, false);
		atomic_store(&disabled, false);
		assert_int_equal(pthread_create(&thread, NULL, post_once, NULL), 0);
		while (!atomic_load(&entered))
			sched_yield();
		assert_int_equal(fake_wrmsr(&m, 0, writes[i].msr, writes[i].value), 0);
		atomic_store(&disabled, true);
		pthread_join(thread, NULL);
		assert_false(atomic_load(&disabled_early));
	}
}

/* While the port changes the route, posts wait; then they use the new one. */
static void post_seven(struct fake_partition *machine)
{
	assert_int_equal(post(0, 7), 0);
	assert_int_equal(slot(0)->type, 0);
	synic_signal(&m.hv, 0, FAKE_SINT, 7);
}

static void nothing_is_injected_into_a_changing_route(void **state)
{
	fake_synic_on(&m, 0);
	m.route_hook = post_seven;
	assert_int_equal(fake_wrmsr(&m, 0, HV_MSR_SINT0 + FAKE_SINT, 0x77), 0);
	assert_slot_holds(0, 7);
	assert_true(fake_flag(&m, 0, FAKE_SINT, 7));
	assert_int_equal(m.injected, 2);
	assert_int_equal(m.last_irq.vector, 0x77);
}

/* SINT 2 is open on VP 0; masked on VP 1; VP 2 has no SynIC. */
static void open_sints_are_interrupted_on_request(void **state)
{
	unsigned before;

	fake_synic_on(&m, 0);
	fake_synic_on(&m, 1);
	before = m.injected;
	fake_wrmsr(&m, 1, HV_MSR_SINT0 + FAKE_SINT, HV_SINT_MASKED | FAKE_VECTOR);
	for (uint32_t vp = 0; vp < 3; vp++)
		synic_interrupt(&m.hv, vp);
	assert_int_equal(m.injected, before + 1);
	assert_int_equal(m.last_irq.vp, 0);
	assert_int_equal(m.last_irq.vector, FAKE_VECTOR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(message_fills_the_slot_and_interrupts),
		TEST(busy_slot_asks_for_eom_and_keeps_order),
		TEST(emptied_slot_without_eom_takes_the_next_post),
		TEST(pending_flag_is_the_only_byte_written),
		TEST(eom_of_another_vp_rescans_all),
		TEST(closed_sint_keeps_messages),
		TEST(polled_sint_gets_no_interrupt),
		TEST(slots_do_not_block_each_other),
		TEST(queue_is_bounded),
		TEST(all_queues_are_bounded_by_the_budget),
		TEST(flush_forgets_what_is_not_in_a_slot),
		TEST(post_arguments),
		TEST(event_interrupts_once_until_taken),
		TEST(events_while_closed_are_replayed),
		TEST(event_before_enable_arrives_after_the_last_write),
		TEST(replay_of_a_set_flag_does_not_interrupt),
		TEST(signal_arguments),
		TEST(reserved_bits_read_back),
		TEST(vectors_below_16_fault_unless_masked),
		TEST(route_follows_the_vector),
		TEST(enabling_zeroes_the_pages),
		TEST(pages_are_left_alone_after_disable),
		TEST(pages_outside_ram_are_accepted_and_ignored),
		TEST(racing_guest_loses_no_message),
		TEST(slot_emptied_before_the_flag_is_set),
		TEST(disabling_waits_for_writers),
		TEST(nothing_is_injected_into_a_changing_route),
		TEST(open_sints_are_interrupted_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
