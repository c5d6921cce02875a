// SPDX-License-Identifier: MIT
/*
 * vmrun-fix: preloaded into L1's QEMU, it mends one instruction of its SVM emulation.
 *
 * QEMU's VMRUN delivers an interrupt that the hypervisor injects (EVENTINJ) at once, but before
 * that it also stores the vector as the CPU's pending exception and leaves it there. As long as
 * nothing kicks that CPU thread until the next #VMEXIT, nobody looks. A kick (another thread of
 * QEMU was slow, or it takes turns with thread=single) makes the emulator deliver the vector a
 * second time: with interrupts disabled, at the first instruction of the guest's handler. A Linux
 * guest then has the wrong GS base, faults until its stack is full, and ends in a triple fault or
 * a panic; with 4 VPs and a busy machine that was one boot in six.
 *
 * The store is needless: it becomes a no-op. Seen in QEMU 7.2 and 10.0. Where the code
 * looks different nothing is changed and a line on standard error says so.
 *
 * The site, before a call of do_interrupt_x86_hardirq(), as gcc compiles it:
 *   mov  %esi, exception_index(%rbx)          89 b3 d32            <- becomes a 6-byte no-op
 *   movl $0, exception_is_int(%rbx)           c7 83 d32 00000000
 *   movq $-1, exception_next_eip(%rbx)        48 c7 83 d32 ffffffff
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
#define CALL_MAX   48 /* bytes from the site's end to the end of the call */

struct search {
	const uint8_t *target; /* do_interrupt_x86_hardirq() */
	uint8_t *site;
	unsigned found;
};

static int is_site(const uint8_t *p)
{
	static const uint8_t zero[4], ones[4] = {0xFF, 0xFF, 0xFF, 0xFF};
	const uint8_t *movl = p + STORE_SIZE, *movq = movl + MOVL_SIZE;

	return p[0] == 0x89 && p[1] == 0xB3 && movl[0] == 0xC7 && movl[1] == 0x83 &&
	       !memcmp(movl + 6, zero, 4) && movq[0] == 0x48 && movq[1] == 0xC7 &&
	       movq[2] == 0x83 && !memcmp(movq + 7, ones, 4);
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

static int search_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uint8_t *start = (uint8_t *)(info->dlpi_addr + segment->p_vaddr);
		uint8_t *end = start + segment->p_memsz;

		if (segment->p_type != PT_LOAD || !(segment->p_flags & PF_X))
			continue;
		for (uint8_t *p = start; p + SITE_SIZE <= end; p++) {
			if (!is_site(p) || !calls(p + SITE_SIZE, end, s->target))
				continue;
			s->site = p;
			s->found++;
		}
	}
	return 1; /* the first object is the program */
}

static int mend(uint8_t *site)
{
	static const uint8_t nop[STORE_SIZE] = {0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00};
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uint8_t *start = (uint8_t *)((uintptr_t)site & ~(page - 1));
	size_t size = (size_t)(site + STORE_SIZE - start);

	if (mprotect(start, size, PROT_READ | PROT_WRITE))
		return -1;
	memcpy(site, nop, STORE_SIZE);
	return mprotect(start, size, PROT_READ | PROT_EXEC);
}

__attribute__((constructor)) static void fix(void)
{
	struct search s = {.target = dlsym(RTLD_DEFAULT, "do_interrupt_x86_hardirq")};

	if (!s.target)
		return; /* not QEMU: a program it starts */
	dl_iterate_phdr(search_object, &s);
	if (s.found != 1 || mend(s.site))
		fprintf(stderr,
			"bed: this QEMU's VMRUN looks unknown (%u matches): not mended, "
			"guests may get interrupts twice (bed/vmrun-fix.c)\n",
			s.found);
}
