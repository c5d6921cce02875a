/* SPDX-License-Identifier: MIT */
/*
 * What a flat guest can use: console and verdicts, traps, VPs. A guest defines
 * flat_main(), which runs on VP 0 with interrupts off; the others wait for
 * vp_run(). See README.md.
 */
#ifndef FLAT_FLAT_H
#define FLAT_FLAT_H

#include <stddef.h>

#include "cpu.h"
#include "layout.h"

void flat_main(void);

/* ---- console.c ----------------------------------------------------------- */
#define printf_like(n) __attribute__((format(printf, n, n + 1)))

/* %s %u %x %lu %lx %% only. */
void print(const char *fmt, ...) printf_like(1);
/* One verdict: "PASS: text" or "FAIL: text". Returns pass. */
bool report(bool pass, const char *fmt, ...) printf_like(2);
/* report(), and says both numbers when they differ. */
bool report_eq(uint64_t got, uint64_t want, const char *fmt, ...) printf_like(3);
void report_skip(const char *fmt, ...) printf_like(1);

/* Statuses of the process are (code << 1) | 1. */
enum exit_code { EXIT_PASS = 0, EXIT_FAIL = 1, EXIT_SKIP = 38 };
__attribute__((noreturn)) void flat_exit(enum exit_code code);
/* For tests that end another way than by returning from flat_main(). */
__attribute__((noreturn)) void halt_forever(void);

/* ---- env.c: what the boot loader said ------------------------------------ */
/* Value of NAME in module 0's "NAME=VALUE" lines, or fallback. */
unsigned env_number(const char *name, unsigned fallback);
/* True when `word` is one of the words of the command line. */
bool cmdline_has(const char *word);

/* ---- trap.c -------------------------------------------------------------- */
struct trap_frame {
	uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

enum { VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14 };

/* These return the exception's vector, or 0 when there was none (the vector of #DE is 0 too, but
 * none of them divides). */
uint8_t rdmsr_safe(uint32_t msr, uint64_t *value);
uint8_t wrmsr_safe(uint32_t msr, uint64_t value);
/* Runs code in ring 3 with I/O privilege on VP 0; it ends by an exception, whose vector is
 * returned. */
uint8_t user_run(void (*code)(void));

/* Handler of an external interrupt (vector >= 32); runs before the EOI. May be NULL: interrupts
 * are counted in vp_this()->irqs all the same. */
void irq_set_handler(uint8_t vector, void (*handler)(void));
/* Whether the vector ends without an EOI of ours. */
void irq_set_auto_eoi(uint8_t vector, bool on);

/* ---- vp.c ---------------------------------------------------------------- */
struct vp {
	struct vp *self; /* at GS:0 */
	uint32_t index;
	uint32_t apic_id;
	/* A fault between here and there resumes at `recover`; set by the *_safe functions. */
	uint64_t recover;
	uint8_t fault_vector;
	volatile bool online;
	void (*volatile work)(void);
	volatile uint32_t irqs[256]; /* interrupts taken, by vector */
};

extern struct vp vps[VPS_MAX];
extern unsigned vp_count; /* as the boot loader says */

static inline struct vp *vp_this(void)
{
	struct vp *vp;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(vp));
	return vp;
}

/* Starts VP `index` (1..vp_count-1) by INIT and start-up IPI; false when it did not come up in
 * 2 s. */
bool vp_start(unsigned index);
/* INIT: the VP stops, and waits for a start-up IPI; VP 0 begins at the reset vector. The APIC id is
 * taken to be the VP index. */
void vp_init(unsigned index);
/* INIT and start-up IPI: the VP runs 16-bit code. */
void vp_start_code(unsigned index, const uint8_t *code, uint32_t size);
/* Runs fn on VP `index`, without or with waiting for its end. */
void vp_run_async(unsigned index, void (*fn)(void));
void vp_run(unsigned index, void (*fn)(void));
void vp_wait(unsigned index);

/* LAPICs are in x2APIC mode; in xAPIC mode with the word "xapic" on the command line. */
/* Sends a fixed interrupt. */
void apic_send(unsigned index, uint8_t vector);
void apic_eoi(void);
void apic_set_task_priority(uint8_t priority);
bool apic_in_service(uint8_t vector);
/* The LAPIC's timer, counting down from `count` at 1 GHz: once, or again and again. */
enum apic_timer_mode { APIC_ONE_SHOT, APIC_PERIODIC, APIC_DEADLINE };
void apic_timer_set(enum apic_timer_mode mode, uint8_t vector);
void apic_timer_count(uint32_t count);  /* APIC_ONE_SHOT, APIC_PERIODIC; 0 stops */
void apic_timer_deadline(uint64_t tsc); /* APIC_DEADLINE */
bool apic_timer_has_deadline(void);

/* ---- time.c: by the TSC and HV_MSR_TSC_FREQUENCY ------------------------- */
uint64_t tsc_hz(void);
/* Spins with `pause`, so that interrupts are taken. */
void delay_us(uint64_t us);
/* Spins until *(value) == want or `us` have passed; true when it became so. */
bool wait_for(const volatile uint32_t *value, uint32_t want, uint64_t us);
bool wait_for_at_least(const volatile uint32_t *value, uint32_t want, uint64_t us);

#endif
