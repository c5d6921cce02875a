/* SPDX-License-Identifier: MIT */
/*
 * TLB flushes by hypercall: VP 0 changes a page table entry that VP 1 reads through in ring 3
 * (which runs natively on every KVM) without a pause. After the call returns VP 1 must never read
 * through the old one. Without a call it may: how often it did is what makes this a test.
 *
 * And interrupts by hypercall; what both cost, beside what the LAPIC can do.
 */
#include "hyperv.h"

#define PAGE __attribute__((aligned(HV_PAGE_SIZE)))

#define VA           0x200000000ull /* 8 GiB: nothing else is there */
#define PTE_TABLE    7u             /* present, writable, user */
#define PDPT_INDEX   8u
#define ADDRESS_MASK 0x000FFFFFFFFFF000ull
#define ENTRIES      512

#define ROUNDS      40
#define CONTROLS    20
#define COST_ROUNDS 30
#define LOOPS       3 /* of the reader: the last of them began after the first ended */
#define WAIT_US     20000000

#define IPI_VECTOR  0x51
#define CALL_VECTOR 0x52

#define FLUSH      HV_CALL_FLUSH_SPACE
#define FLUSH_FAST (HV_CALL_FLUSH_SPACE | HV_HCALL_FAST)
#define COUNT(n)   ((uint64_t)(n) << HV_HCALL_REP_COUNT_SHIFT)
#define HEAD(n)    ((uint64_t)(n) << HV_HCALL_VARHEAD_SHIFT)

uint8_t user_call(void (*code)(void), void *stack); /* lib/boot.S */

static uint64_t directory[ENTRIES] PAGE, table[ENTRIES] PAGE;
static volatile uint64_t pages[2][ENTRIES] PAGE;
static uint64_t input[ENTRIES] PAGE;
static uint8_t reader_stack[HV_PAGE_SIZE] PAGE;

/* Written by VP 1 in ring 3. */
static volatile uint64_t seen;
static volatile uint32_t loops;

static void map_va(void)
{
	uint64_t *pml4, *pdpt;

	__asm__ volatile("mov %%cr3, %0" : "=r"(pml4));
	pdpt = (uint64_t *)(pml4[0] & ADDRESS_MASK);
	pages[0][0] = 0xA;
	pages[1][0] = 0xB;
	table[0] = (uintptr_t)pages[0] | PTE_TABLE;
	directory[0] = (uintptr_t)table | PTE_TABLE;
	pdpt[PDPT_INDEX] = (uintptr_t)directory | PTE_TABLE;
}

static volatile uint64_t new_entry;

static void write_entry(void)
{
	*(volatile uint64_t *)&table[0] = new_entry;
	__asm__ volatile("ud2");
}

/* In ring 3: what a software KVM emulates in ring 0 never leaves an old entry behind. */
static void map_page(unsigned which)
{
	new_entry = (uintptr_t)pages[which] | PTE_TABLE;
	user_run(write_entry);
}

static void reader(void)
{
	for (;;) {
		seen = *(volatile uint64_t *)VA;
		loops++;
	}
}

static void enter_reader(void)
{
	user_call(reader, reader_stack + sizeof(reader_stack));
}

/* What VP 1 reads now: its last read began after this did. */
static uint64_t read_by_vp1(void)
{
	uint32_t before = loops;

	wait_for_at_least(&loops, before + LOOPS, WAIT_US);
	return seen;
}

/* ---- without a call ------------------------------------------------------ */

static void test_without_flush(void)
{
	unsigned stale = 0;

	for (unsigned i = 1; i <= CONTROLS; i++) {
		map_page(i % 2);
		stale += read_by_vp1() != pages[i % 2][0];
	}
	print("without a flush, %u of %u reads were through the old entry\n", stale, CONTROLS);
	if (!stale)
		report_skip("a read through the old entry: this KVM drops it by itself");
}

/* ---- every form of the call ---------------------------------------------- */

static uint64_t flush_mask(void)
{
	input[0] = 0;
	input[1] = HV_FLUSH_ALL_SPACES;
	input[2] = 2;
	return hv_call(FLUSH, (uintptr_t)input, 0);
}

static uint64_t flush_all(void)
{
	input[0] = 0;
	input[1] = HV_FLUSH_ALL_VPS | HV_FLUSH_ALL_SPACES;
	input[2] = 0;
	return hv_call(FLUSH, (uintptr_t)input, 0);
}

static uint64_t flush_list(void)
{
	input[0] = 0;
	input[1] = HV_FLUSH_ALL_SPACES;
	input[2] = 2;
	input[3] = VA;
	return hv_call(HV_CALL_FLUSH_LIST | COUNT(1), (uintptr_t)input, 0) ^ COUNT(1);
}

static uint64_t flush_set(void)
{
	input[0] = 0;
	input[1] = HV_FLUSH_ALL_SPACES;
	input[2] = HV_VP_SET_SPARSE;
	input[3] = 1;
	input[4] = 2;
	return hv_call(HV_CALL_FLUSH_SPACE_EX | HEAD(1), (uintptr_t)input, 0);
}

static uint64_t flush_list_of_set(void)
{
	input[0] = 0;
	input[1] = HV_FLUSH_ALL_SPACES;
	input[2] = HV_VP_SET_ALL;
	input[3] = 0;
	input[4] = VA;
	return hv_call(HV_CALL_FLUSH_LIST_EX | COUNT(1), (uintptr_t)input, 0) ^ COUNT(1);
}

static void test_flush(uint64_t (*flush)(void), const char *name)
{
	unsigned failed = 0, stale = 0;
	uint32_t before = loops;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		map_page(i % 2);
		failed += flush() != HV_STATUS_SUCCESS;
		stale += read_by_vp1() != pages[i % 2][0];
	}
	report_eq(failed, 0, "%s: calls that fail", name);
	report_eq(stale, 0, "%s: reads through an old entry in %u rounds", name, ROUNDS);
	report(loops != before, "%s: VP 1 runs", name);
}

/* The caller's own, in ring 3 too. */
static volatile uint64_t own_seen;

static void read_own(void)
{
	own_seen = *(volatile uint64_t *)VA;
	__asm__ volatile("ud2");
}

static void test_own_flush(void)
{
	unsigned stale = 0;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		map_page(i % 2);
		flush_all();
		user_run(read_own);
		stale += own_seen != pages[i % 2][0];
	}
	report_eq(stale, 0, "the caller reads through no old entry");
}

/* ---- callers that flush each other --------------------------------------- */

static uint64_t other_input[3] PAGE;
static volatile uint32_t other_done;

static void flush_all_again_and_again(void)
{
	other_input[1] = HV_FLUSH_ALL_VPS | HV_FLUSH_ALL_SPACES;
	for (unsigned i = 0; i < ROUNDS; i++)
		other_done += hv_call(FLUSH, (uintptr_t)other_input, 0) == HV_STATUS_SUCCESS;
}

static void test_mutual_flushes(void)
{
	vp_run_async(2, flush_all_again_and_again);
	for (unsigned i = 0; i < ROUNDS; i++)
		flush_all();
	report(wait_for(&other_done, ROUNDS, 10 * WAIT_US), "two VPs that flush each other");
	vp_wait(2);
}

/* ---- interrupts ---------------------------------------------------------- */

static void wait_for_irqs(void)
{
	irq_enable();
	while (vp_this()->irqs[IPI_VECTOR] < COST_ROUNDS ||
		vp_this()->irqs[CALL_VECTOR] < COST_ROUNDS)
		cpu_pause();
}

static void send_by_apic(uint8_t vector)
{
	apic_send(2, vector);
}

static void send_by_call(uint8_t vector)
{
	hv_call(HV_CALL_SEND_IPI | HV_HCALL_FAST, vector, 1u << 2);
}

/* Nanoseconds from sending to seeing that it arrived. */
static uint64_t cost_of(void (*send)(uint8_t), uint8_t vector)
{
	const uint64_t begin = rdtsc();

	for (uint32_t i = 1; i <= COST_ROUNDS; i++) {
		send(vector);
		if (!wait_for(&vps[2].irqs[vector], i, WAIT_US))
			break;
	}
	return (rdtsc() - begin) * 1000 / (tsc_hz() / 1000000) / COST_ROUNDS;
}

static void test_ipis(void)
{
	uint64_t by_apic, by_call;

	vp_run_async(2, wait_for_irqs);
	by_apic = cost_of(send_by_apic, IPI_VECTOR);
	by_call = cost_of(send_by_call, CALL_VECTOR);
	report_eq(vps[2].irqs[CALL_VECTOR], COST_ROUNDS, "interrupts by hypercall arrive");
	print("an interrupt to a running VP: by the LAPIC %lu ns, by hypercall %lu ns\n", by_apic,
		by_call);
	vp_wait(2);
	report_eq(hv_call(HV_CALL_SEND_IPI | HV_HCALL_FAST, 2, 4), HV_STATUS_INVALID_PARAMETER,
		"the vector of NMI");
	report_eq(hv_call(HV_CALL_SEND_IPI | HV_HCALL_FAST, IPI_VECTOR, 1ull << 63),
		HV_STATUS_SUCCESS, "VPs that do not exist");
}

/* Beside an interrupt whose handler would flush: the least that a guest needs instead. */
static void measure_flush(void)
{
	const uint64_t begin = rdtsc();

	for (unsigned i = 0; i < COST_ROUNDS; i++)
		flush_mask();
	print("a flush of a running VP by hypercall: %lu ns\n",
		(rdtsc() - begin) * 1000 / (tsc_hz() / 1000000) / COST_ROUNDS);
}

void flat_main(void)
{
	hv_start();
	map_va();
	if (!report(vp_start(1), "VP 1 comes up") || !report(vp_start(2), "VP 2 comes up"))
		return;
	test_ipis();
	vp_run_async(1, enter_reader);
	report(wait_for_at_least(&loops, LOOPS, WAIT_US), "VP 1 reads in ring 3");
	test_without_flush();
	test_flush(flush_mask, "flush of a mask");
	test_flush(flush_all, "flush of all");
	test_flush(flush_list, "flush of a list");
	test_flush(flush_set, "flush of a set");
	test_flush(flush_list_of_set, "flush of a list for all");
	test_own_flush();
	measure_flush();
	test_mutual_flushes();
}
