/* SPDX-License-Identifier: MIT */
/* IDT, exceptions that tests expect, interrupts. */
#include "trap.h"

#include "flat.h"

struct gate {
	uint16_t offset_low, selector, type, offset_middle;
	uint32_t offset_high, reserved;
};

struct tss {
	uint32_t reserved;
	uint64_t rsp0;
	uint8_t rest[92];
} __attribute__((packed));

struct table_pointer {
	uint16_t limit;
	uint64_t base;
} __attribute__((packed));

#define GATE_INTERRUPT 0x8E00
#define TSS_AVAILABLE  0x89ull
#define USER_STACK     4096

extern const uint8_t trap_stubs[];
extern uint64_t gdt[];
extern const uint8_t user_return[];
extern uint64_t user_saved_rsp;
uint8_t user_call(void (*code)(void), void *stack);

static struct gate idt[256];
static struct tss tss;
static uint8_t user_stack[USER_STACK] __attribute__((aligned(16)));
static uint8_t fault_stack[USER_STACK] __attribute__((aligned(16)));
static void (*handlers[256])(void);
static bool auto_eoi[256];

static void make_tss(void)
{
	const uint64_t base = (uintptr_t)&tss, limit = sizeof(tss) - 1;

	tss.rsp0 = (uintptr_t)fault_stack + sizeof(fault_stack);
	gdt[TSS / 8] = limit | (base & 0xFFFFFF) << 16 | TSS_AVAILABLE << 40 | base >> 24 << 56;
	gdt[TSS / 8 + 1] = 0;
}

void trap_init(void)
{
	for (unsigned vector = 0; vector < 256; vector++) {
		const uintptr_t stub = (uintptr_t)trap_stubs + vector * VECTOR_STUB;

		idt[vector] = (struct gate){
			.offset_low = (uint16_t)stub,
			.selector = CODE64,
			.type = GATE_INTERRUPT,
			.offset_middle = (uint16_t)(stub >> 16),
		};
	}
	make_tss();
	__asm__ volatile("ltr %w0" : : "r"(TSS));
}

void trap_init_vp(void)
{
	const struct table_pointer pointer = {sizeof(idt) - 1, (uintptr_t)idt};

	__asm__ volatile("lidt %0" : : "m"(pointer));
}

void irq_set_handler(uint8_t vector, void (*handler)(void))
{
	handlers[vector] = handler;
}

void irq_set_auto_eoi(uint8_t vector, bool on)
{
	auto_eoi[vector] = on;
}

static void die(const struct trap_frame *frame)
{
	report(false, "exception %lu, error 0x%lx at 0x%lx", frame->vector, frame->error,
		frame->rip);
	flat_exit(EXIT_FAIL);
}

static void on_exception(struct trap_frame *frame)
{
	struct vp *vp = vp_this();

	if ((frame->cs & 3) == 3) { /* user_call() returns */
		frame->rax = frame->vector;
		frame->rip = (uintptr_t)user_return;
		frame->rsp = user_saved_rsp;
		frame->cs = CODE64;
		frame->ss = DATA;
		frame->rflags = RFLAGS_FIXED;
	} else if (vp->recover) {
		vp->fault_vector = (uint8_t)frame->vector;
		frame->rip = vp->recover;
	} else {
		die(frame);
	}
}

void trap_dispatch(struct trap_frame *frame)
{
	if (frame->vector < 32) {
		on_exception(frame);
		return;
	}
	if (handlers[frame->vector])
		handlers[frame->vector]();
	vp_this()->irqs[frame->vector]++;
	if (!auto_eoi[frame->vector])
		apic_eoi();
}

uint8_t rdmsr_safe(uint32_t msr, uint64_t *value)
{
	struct vp *vp = vp_this();
	uint32_t low = 0, high = 0;

	vp->fault_vector = 0;
	__asm__ volatile("movq $1f, %2\n\t"
			 "rdmsr\n"
			 "1:\n\t"
			 "movq $0, %2"
			 : "+a"(low), "+d"(high), "=m"(vp->recover)
			 : "c"(msr)
			 : "memory");
	*value = low | (uint64_t)high << 32;
	return vp->fault_vector;
}

uint8_t wrmsr_safe(uint32_t msr, uint64_t value)
{
	struct vp *vp = vp_this();

	vp->fault_vector = 0;
	__asm__ volatile("movq $1f, %0\n\t"
			 "wrmsr\n"
			 "1:\n\t"
			 "movq $0, %0"
			 : "=m"(vp->recover)
			 : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
			 : "memory");
	return vp->fault_vector;
}

uint8_t user_run(void (*code)(void))
{
	return user_call(code, user_stack + sizeof(user_stack));
}
