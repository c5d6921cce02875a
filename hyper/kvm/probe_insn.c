/* SPDX-License-Identifier: MIT */
/*
 * Runs ring-0 instructions, one per VM, so that no failure can colour the
 * next. The guest is bytes in 64 KiB of RAM at GPA 0, identity mapped:
 *
 *   PML4, PDPT, PD   one 2 MiB page
 *   GDT, IDT         each exception enters `mov $vector,%al; out %al,PORT_TRAP`
 *   CODE             the instruction, then `out %al,PORT_DONE`
 *   DATA, stack
 *
 * So a run ends with OUT to PORT_DONE (it completed), OUT to PORT_TRAP (an
 * exception), KVM_EXIT_INTERNAL_ERROR (KVM could not emulate it), or not at
 * all, in which case a timer's signal ends KVM_RUN.
 */
#include <cpuid.h>
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hyper/kvm/probe.h"

enum {
	PML4 = 0x1000,
	PDPT = 0x2000,
	PD = 0x3000,
	GDT = 0x4000,
	IDT = 0x5000,
	HANDLERS = 0x6000,
	CODE = 0x7000,
	DATA = 0x8000,
	STACK_TOP = 0xF000,
	RAM_SIZE = 0x10000,
	HANDLER_SIZE = 8,
	VECTORS = 32,
	PORT_DONE = 0xF4,
	PORT_TRAP = 0xF5,
	CODE_SELECTOR = 0x08,
	DATA_SELECTOR = 0x10,
	CPUID_ENTRIES = 256,
};

#define CR0_LONG_MODE 0x80010033u /* PG WP NE ET MP PE */
#define CR4_BASE      0x00000620u /* OSXMMEXCPT OSFXSR PAE */
#define CR4_FSGSBASE  0x00010000u
#define CR4_OSXSAVE   0x00040000u
#define EFER_LONG     0x00000501u /* LMA LME SCE */

#define START_RAX 3u /* XSAVE mask: x87 and SSE; INVPCID type: all contexts */
#define START_RCX 0xF0F0u

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* The CPUID bit that promises an instruction; leaf 0 = every x86-64 has it. */
struct feature {
	uint32_t leaf, subleaf;
	enum cpuid_reg reg;
	unsigned bit;
};

struct recipe {
	const char *name;
	const char *purpose;
	bool needed;
	struct feature feature;
	uint8_t trap;        /* the exception it must raise, 0 = none */
	uint32_t expect_rax; /* 0 = any */
	uint8_t size;
	uint8_t code[24];
};

#define BYTES(...) .size = sizeof((const uint8_t[]){__VA_ARGS__}), .code = {__VA_ARGS__}

/* RAX = START_RAX, RCX = START_RCX, RDX = RBX = 0, RSI = RDI = DATA (zeroes). */
/* clang-format off */
static const struct recipe recipes[] = {
	{ "iretq", "return from every interrupt", true, .expect_rax = 0,
	  BYTES(0x48, 0x89, 0xE0, 0x6A, DATA_SELECTOR, 0x50, 0x9C, 0x6A, CODE_SELECTOR,
		0x48, 0x8D, 0x05, 3, 0, 0, 0, 0x50, 0x48, 0xCF) },
	{ "int3", "self test of code patching at boot", true, .trap = 3, BYTES(0xCC) },
	{ "ud2", "WARN() and BUG()", true, .trap = 6, BYTES(0x0F, 0x0B) },
	{ "int n", "software interrupts", false, .trap = 3, BYTES(0xCD, 3) },
	{ "swapgs", "every kernel entry", true, BYTES(0x0F, 0x01, 0xF8) },
	{ "rdmsr", "set-up of the CPU", true, .expect_rax = EFER_LONG,
	  BYTES(0xB9, 0x80, 0x00, 0x00, 0xC0, 0x0F, 0x32) },
	{ "mfence, lfence", "barriers", true, BYTES(0x0F, 0xAE, 0xF0, 0x0F, 0xAE, 0xE8) },
	{ "rdtsc", "clocks", true, BYTES(0x0F, 0x31) },
	{ "rdtscp", "ordered clock reads", true, { 0x80000001, 0, EDX, 27 },
	  BYTES(0x0F, 0x01, 0xF9) },
	{ "rdpid", "per-CPU data in exception entries", true, { 7, 0, ECX, 22 },
	  BYTES(0xF3, 0x0F, 0xC7, 0xF8) },
	{ "rdgsbase", "exception entries", true, { 7, 0, EBX, 0 },
	  BYTES(0xF3, 0x48, 0x0F, 0xAE, 0xC8) },
	{ "popcnt", "bit counts, patched in at boot", true, { 1, 0, ECX, 23 }, .expect_rax = 8,
	  BYTES(0xF3, 0x48, 0x0F, 0xB8, 0xC1) },
	{ "cmpxchg16b", "the slab allocator", true, { 1, 0, ECX, 13 },
	  BYTES(0x48, 0x0F, 0xC7, 0x0F) },
	{ "crc32", "checksums", true, { 1, 0, ECX, 20 },
	  BYTES(0xF2, 0x48, 0x0F, 0x38, 0xF1, 0xC1) },
	{ "movbe", "byte order", false, { 1, 0, ECX, 22 }, BYTES(0x48, 0x0F, 0x38, 0xF0, 0x07) },
	{ "rdrand", "seeding random numbers at boot", true, { 1, 0, ECX, 30 },
	  BYTES(0x48, 0x0F, 0xC7, 0xF0) },
	{ "clflush", "cache control", true, { 1, 0, EDX, 19 }, BYTES(0x0F, 0xAE, 0x3F) },
	{ "stac, clac", "every access to user memory", true, { 7, 0, EBX, 20 },
	  BYTES(0x0F, 0x01, 0xCB, 0x0F, 0x01, 0xCA) },
	{ "invpcid", "TLB flushes", true, { 7, 0, EBX, 10 }, BYTES(0x66, 0x0F, 0x38, 0x82, 0x07) },
	{ "fninit", "FPU set-up", true, BYTES(0xDB, 0xE3) },
	{ "fxsave, fxrstor", "FPU contexts without XSAVE", true,
	  BYTES(0x48, 0x0F, 0xAE, 0x07, 0x48, 0x0F, 0xAE, 0x0F) },
	{ "ldmxcsr", "begin of kernel FPU use", true, BYTES(0x0F, 0xAE, 0x17) },
	{ "SSE2 arithmetic", "RAID, cryptography", true, .expect_rax = 2 * START_RAX,
	  BYTES(0x66, 0x48, 0x0F, 0x6E, 0xC0, 0x66, 0x0F, 0xD4, 0xC0, 0x66, 0x48, 0x0F, 0x7E,
		0xC0) },
	{ "xsetbv", "FPU set-up", true, { 1, 0, ECX, 26 }, BYTES(0x31, 0xC9, 0x0F, 0x01, 0xD1) },
	{ "xgetbv", "FPU set-up", true, { 1, 0, ECX, 26 }, BYTES(0x31, 0xC9, 0x0F, 0x01, 0xD0) },
	{ "xsave", "FPU contexts", true, { 1, 0, ECX, 26 }, BYTES(0x48, 0x0F, 0xAE, 0x27) },
	{ "xrstor", "FPU contexts", true, { 1, 0, ECX, 26 }, BYTES(0x48, 0x0F, 0xAE, 0x2F) },
	{ "xsaves", "FPU contexts", true, { 0xD, 1, EAX, 3 }, BYTES(0x48, 0x0F, 0xC7, 0x2F) },
	{ "monitor", "idle by MWAIT", false, { 1, 0, ECX, 3 },
	  BYTES(0x48, 0x89, 0xF8, 0x31, 0xC9, 0x0F, 0x01, 0xC8) },
};
/* clang-format on */
#define RECIPE_COUNT (sizeof(recipes) / sizeof(recipes[0]))
_Static_assert(RECIPE_COUNT <= PROBE_INSTRUCTIONS_MAX, "instructions fit the result");

/* One VM with one VCPU. */
struct machine {
	int vm_fd, vcpu_fd;
	uint8_t *ram;
	struct kvm_run *run;
	size_t run_size;
};

static bool offers(const struct kvm_cpuid2 *list, struct feature f)
{
	if (!f.leaf)
		return true;
	for (uint32_t i = 0; i < list->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &list->entries[i];
		const uint32_t reg[] = {e->eax, e->ebx, e->ecx, e->edx};

		if (e->function == f.leaf && e->index == f.subleaf)
			return reg[f.reg] >> f.bit & 1;
	}
	return false;
}

/* ---- the guest's memory -------------------------------------------------- */

static void put64(uint8_t *ram, uint32_t gpa, uint64_t value)
{
	memcpy(ram + gpa, &value, sizeof(value));
}

static void put_tables(uint8_t *ram)
{
	put64(ram, PML4, PDPT | 3);
	put64(ram, PDPT, PD | 3);
	put64(ram, PD, 0x83); /* 2 MiB page */
	put64(ram, GDT + CODE_SELECTOR, 0x00AF9B000000FFFFull);
	put64(ram, GDT + DATA_SELECTOR, 0x00CF93000000FFFFull);
}

static void put_handlers(uint8_t *ram)
{
	for (uint32_t vector = 0; vector < VECTORS; vector++) {
		const uint32_t handler = HANDLERS + vector * HANDLER_SIZE;
		const uint8_t code[] = {0xB0, (uint8_t)vector, 0xE6, PORT_TRAP, 0xF4};

		memcpy(ram + handler, code, sizeof(code));
		put64(ram, IDT + vector * 16,
			handler | CODE_SELECTOR << 16 | 0x8E00ull << 32); /* interrupt gate */
	}
}

static void put_code(uint8_t *ram, const struct recipe *recipe)
{
	const uint8_t end[] = {0xE6, PORT_DONE, 0xF4};

	memcpy(ram + CODE, recipe->code, recipe->size);
	memcpy(ram + CODE + recipe->size, end, sizeof(end));
}

/* ---- the VCPU ------------------------------------------------------------ */

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code)
{
	return (struct kvm_segment){
		.limit = 0xFFFFFFFF,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = !code,
		.s = 1,
		.l = code,
		.g = 1,
	};
}

static int set_sregs(int vcpu_fd, const struct kvm_cpuid2 *cpuid)
{
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = segment(CODE_SELECTOR, 11, true);
	s.ds = s.es = s.fs = s.gs = s.ss = segment(DATA_SELECTOR, 3, false);
	s.gdt.base = GDT;
	s.gdt.limit = DATA_SELECTOR + 7;
	s.idt.base = IDT;
	s.idt.limit = VECTORS * 16 - 1;
	s.cr0 = CR0_LONG_MODE;
	s.cr3 = PML4;
	s.cr4 = CR4_BASE;
	if (offers(cpuid, (struct feature){1, 0, ECX, 26}))
		s.cr4 |= CR4_OSXSAVE;
	if (offers(cpuid, (struct feature){7, 0, EBX, 0}))
		s.cr4 |= CR4_FSGSBASE;
	s.efer = EFER_LONG;
	return ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

static int set_regs(int vcpu_fd)
{
	const struct kvm_regs regs = {
		.rax = START_RAX,
		.rcx = START_RCX,
		.rsi = DATA,
		.rdi = DATA,
		.rsp = STACK_TOP,
		.rip = CODE,
		.rflags = 2,
	};

	return ioctl(vcpu_fd, KVM_SET_REGS, &regs) < 0 ? -errno : 0;
}

static int add_memory(struct machine *m)
{
	struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE};

	m->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->ram == MAP_FAILED)
		return -errno;
	region.userspace_addr = (uintptr_t)m->ram;
	return ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int add_vcpu(struct machine *m, int kvm_fd, const struct kvm_cpuid2 *cpuid)
{
	const int size = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	if (size < 0)
		return -errno;
	m->vcpu_fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, 0);
	if (m->vcpu_fd < 0)
		return -errno;
	m->run_size = (size_t)size;
	m->run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu_fd, 0);
	if (m->run == MAP_FAILED || ioctl(m->vcpu_fd, KVM_SET_CPUID2, cpuid) < 0)
		return -errno;
	return 0;
}

static void machine_destroy(struct machine *m)
{
	if (m->run != MAP_FAILED)
		munmap(m->run, m->run_size);
	if (m->vcpu_fd >= 0)
		close(m->vcpu_fd);
	if (m->vm_fd >= 0)
		close(m->vm_fd);
	if (m->ram != MAP_FAILED)
		munmap(m->ram, RAM_SIZE);
}

static int machine_create(struct machine *m, int kvm_fd, const struct kvm_cpuid2 *cpuid)
{
	int ret;

	*m = (struct machine){.vm_fd = -1, .vcpu_fd = -1, .ram = MAP_FAILED, .run = MAP_FAILED};
	m->vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (m->vm_fd < 0)
		return -errno;
	/* VMX without "unrestricted guest" wants it; others ignore it. */
	ioctl(m->vm_fd, KVM_SET_TSS_ADDR, 0xFFFBD000ul);
	ret = add_memory(m);
	if (!ret)
		ret = add_vcpu(m, kvm_fd, cpuid);
	if (!ret)
		ret = set_sregs(m->vcpu_fd, cpuid);
	if (!ret)
		ret = set_regs(m->vcpu_fd);
	if (ret)
		machine_destroy(m);
	return ret;
}

/* ---- a run that ends ----------------------------------------------------- */

static volatile sig_atomic_t alarm_rang; /* signal handlers have no other argument */

static void on_alarm(int signal)
{
	alarm_rang = 1;
}

struct alarm {
	timer_t timer;
	struct sigaction old;
};

/* Signals this thread after PROBE_RUN_SECONDS and then again and again, so
 * that it does not matter where the first one strikes. */
static int alarm_start(struct alarm *a)
{
	const struct sigaction action = {.sa_handler = on_alarm}; /* no SA_RESTART */
	const struct itimerspec when = {
		.it_value = {.tv_sec = PROBE_RUN_SECONDS},
		.it_interval = {.tv_nsec = 100 * 1000 * 1000},
	};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	int ret;

	event._sigev_un._tid = (int)syscall(SYS_gettid);
	alarm_rang = 0;
	if (sigaction(SIGALRM, &action, &a->old) < 0)
		return -errno;
	if (timer_create(CLOCK_MONOTONIC, &event, &a->timer) < 0) {
		ret = -errno;
		goto restore_action;
	}
	if (timer_settime(a->timer, 0, &when, NULL) < 0) {
		ret = -errno;
		goto delete_timer;
	}
	return 0;
delete_timer:
	timer_delete(a->timer);
restore_action:
	sigaction(SIGALRM, &a->old, NULL);
	return ret;
}

static void alarm_stop(struct alarm *a)
{
	timer_delete(a->timer);
	sigaction(SIGALRM, &a->old, NULL);
}

static enum probe_outcome judge_done(struct machine *m, const struct recipe *recipe)
{
	struct kvm_regs regs;

	if (recipe->trap)
		return PROBE_WRONG_RESULT;
	if (!recipe->expect_rax)
		return PROBE_WORKS;
	if (ioctl(m->vcpu_fd, KVM_GET_REGS, &regs) < 0)
		return PROBE_BROKEN;
	return regs.rax == recipe->expect_rax ? PROBE_WORKS : PROBE_WRONG_RESULT;
}

static enum probe_outcome judge_exit(struct machine *m, const struct recipe *recipe, int *detail)
{
	const struct kvm_run *run = m->run;

	*detail = (int)run->exit_reason;
	if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR)
		return PROBE_NOT_EMULATED;
	if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT)
		return PROBE_BROKEN;
	if (run->io.port == PORT_DONE)
		return judge_done(m, recipe);
	*detail = ((const uint8_t *)run)[run->io.data_offset];
	return recipe->trap && *detail == recipe->trap ? PROBE_WORKS : PROBE_FAULTED;
}

/* Goes on when another signal interrupted it, not when ours did. */
static int run_until_alarm(int vcpu_fd)
{
	struct alarm alarm;
	int ret = alarm_start(&alarm);

	if (ret)
		return ret;
	do
		ret = ioctl(vcpu_fd, KVM_RUN, 0) < 0 ? -errno : 0;
	while (ret == -EINTR && !alarm_rang);
	alarm_stop(&alarm);
	return ret;
}

static enum probe_outcome run_once(struct machine *m, const struct recipe *recipe, int *detail)
{
	*detail = run_until_alarm(m->vcpu_fd);
	if (*detail == -EINTR)
		return PROBE_HUNG;
	return *detail ? PROBE_BROKEN : judge_exit(m, recipe, detail);
}

static enum probe_outcome try_recipe(
	int kvm_fd, const struct kvm_cpuid2 *cpuid, const struct recipe *recipe, int *detail)
{
	enum probe_outcome outcome;
	struct machine m;

	if (!offers(cpuid, recipe->feature))
		return PROBE_NOT_OFFERED;
	*detail = machine_create(&m, kvm_fd, cpuid);
	if (*detail)
		return PROBE_BROKEN;
	put_tables(m.ram);
	put_handlers(m.ram);
	put_code(m.ram, recipe);
	outcome = run_once(&m, recipe, detail);
	machine_destroy(&m);
	return outcome;
}

static struct kvm_cpuid2 *supported_cpuid(int kvm_fd)
{
	struct kvm_cpuid2 *cpuid =
		calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));

	if (!cpuid)
		return NULL;
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) < 0) {
		free(cpuid);
		return NULL;
	}
	return cpuid;
}

size_t probe_instructions(int kvm_fd, struct probe_instruction list[PROBE_INSTRUCTIONS_MAX])
{
	struct kvm_cpuid2 *cpuid = supported_cpuid(kvm_fd);

	if (!cpuid)
		return 0;
	for (size_t i = 0; i < RECIPE_COUNT; i++) {
		const struct recipe *r = &recipes[i];

		list[i] = (struct probe_instruction){.name = r->name, .purpose = r->purpose};
		list[i].needed = r->needed;
		list[i].outcome = try_recipe(kvm_fd, cpuid, r, &list[i].detail);
	}
	free(cpuid);
	return RECIPE_COUNT;
}
