/* SPDX-License-Identifier: MIT */
/*
 * vmrun-fix: preloaded into L1's QEMU, it mends two instructions of its SVM emulation, both in
 * helper_vmrun(). Seen in QEMU 7.2 and 10.0.
 *
 * 1. An interrupt that the hypervisor injects (EVENTINJ) is delivered at once, but before that its
 *    vector is also stored as the CPU's pending exception, and stays there. As long as nothing
 *    kicks that CPU thread until the next #VMEXIT, it is not read. A kick (another thread of QEMU
 * is late, or thread=single takes turns) makes the emulator deliver the vector a second time: with
 *    interrupts disabled, at the first instruction of the guest's handler. A Linux guest then has
 *    the wrong GS base, faults until its stack is full, and panics or ends in a triple fault. The
 *    store is needless: it becomes a no-op.
 * 2. The request of a virtual interrupt is or'ed into the CPU's interrupt requests without the
 *    lock that all others take, and not atomically: a request that another thread makes in that
 *    moment is lost. The instruction becomes an atomic one.
 *
 * Where the code looks different nothing is changed, and a line on standard error says so.
 *
 * The sites, as gcc compiles them; the second is in front of the first:
 *   mov  %esi, exception_index(%rbx)          89 b3 d32             -> 6-byte no-op
 *   movl $0, exception_is_int(%rbx)           c7 83 d32 00000000
 *   movq $-1, exception_next_eip(%rbx)        48 c7 83 d32 ffffffff
 *   ... call do_interrupt_x86_hardirq         e8 d32
 *
 *   orl  $0x100, interrupt_request(%rbx)      81 8b d32 00000100    -> lock btsl $8, d32(%rbx); nop
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORE_SIZE 6
#define MOVL_SIZE  10
#define MOVQ_SIZE  11
#define SITE_SIZE  (STORE_SIZE + MOVL_SIZE + MOVQ_SIZE)
#define CALL_SIZE  5
#define CALL_MAX   48 /* bytes from the store's site to the call */
#define OR_SIZE    10
#define OR_MAX     1024 /* bytes from the or to the store */

struct search {
	const uint8_t *target; /* do_interrupt_x86_hardirq() */
	uint8_t *store, * or ;
	unsigned stores, ors; /* found */
};

static int is_store(const uint8_t *p)
{
	static const uint8_t zero[4], ones[4] = {0xFF, 0xFF, 0xFF, 0xFF};
	const uint8_t *movl = p + STORE_SIZE, *movq = movl + MOVL_SIZE;

	return p[0] == 0x89 && p[1] == 0xB3 && movl[0] == 0xC7 && movl[1] == 0x83 &&
	       !memcmp(movl + 6, zero, 4) && movq[0] == 0x48 && movq[1] == 0xC7 &&
	       movq[2] == 0x83 && !memcmp(movq + 7, ones, 4);
}

static int is_or(const uint8_t *p)
{
	static const uint8_t virq[4] = {0x00, 0x01, 0x00, 0x00};

	return p[0] == 0x81 && p[1] == 0x8B && !memcmp(p + 6, virq, 4);
}

static int calls(const uint8_t *from, const uint8_t *end, const uint8_t *target)
{
	for (const uint8_t *p = from; p + CALL_SIZE <= end && p < from + CALL_MAX; p++) {
		int32_t relative;

		memcpy(&relative, p + 1, sizeof(relative));
		if (*p == 0xE8 && p + CALL_SIZE + relative == target)
			return 1;
	}
	return 0;
}

static void search_code(struct search *s, uint8_t *start, uint8_t *end)
{
	for (uint8_t *p = start; p + SITE_SIZE <= end; p++)
		if (is_store(p) && calls(p + SITE_SIZE, end, s->target)) {
			s->store = p;
			s->stores++;
		}
	if (s->stores != 1)
		return;
	for (uint8_t *p = s->store - OR_SIZE; p >= start && p > s->store - OR_MAX; p--)
		if (is_or(p)) {
			s->or = p;
			s->ors++;
		}
}

static int search_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uint8_t *start = (uint8_t *)(info->dlpi_addr + segment->p_vaddr);

		if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X))
			search_code(arg, start, start + segment->p_memsz);
	}
	return 1; /* the first object is the program */
}

static int write_code(uint8_t *to, const uint8_t *bytes, size_t count)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t *start = (uint8_t *)((uintptr_t)to & ~(page - 1));
	size_t size = (size_t)(to + count - start);

	if (mprotect(start, size, PROT_READ | PROT_WRITE))
		return -1;
	memcpy(to, bytes, count);
	return mprotect(start, size, PROT_READ | PROT_EXEC);
}

static int mend(const struct search *s)
{
	static const uint8_t nop[STORE_SIZE] = {0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00};
	uint8_t set[OR_SIZE] = {0xF0, 0x0F, 0xBA, 0xAB, 0, 0, 0, 0, 8, 0x90};

	memcpy(set + 4, s->or +2, 4);
	return write_code(s->store, nop, sizeof(nop)) || write_code(s->or, set, sizeof(set));
}

__attribute__((constructor)) static void fix(void)
{
	struct search s = {.target = dlsym(RTLD_DEFAULT, "do_interrupt_x86_hardirq")};

	if (!s.target)
		return; /* not QEMU: a program it starts */
	dl_iterate_phdr(search_object, &s);
	if (s.stores != 1 || s.ors != 1 || mend(&s))
		fprintf(stderr,
			"bed: this QEMU's VMRUN looks unknown (%u, %u matches): not mended, "
			"guests may get interrupts twice (bed/vmrun-fix.c)\n",
			s.stores, s.ors);
}
