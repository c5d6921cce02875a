/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What winhv.ko uses of the kernel's own Hyper-V code. The kernel's headers and ours name the same
 * things, so kernel.c is the only file that includes the former.
 */
#ifndef WINHV_KERNEL_H
#define WINHV_KERNEL_H

#include <linux/types.h>

/* Why this kernel cannot be a guest of Hyper-V here: NULL, or a text; *err says it as -errno. */
const char *kernel_lacks(int *err);

u64 kernel_hypercall(
	u64 control, const void *input, u32 input_bytes, void *output, u32 output_bytes);
u64 kernel_fast_hypercall(u64 control, u64 input0, u64 input1);
void kernel_signal_event(u32 connection_id);
u32 kernel_vp_index(unsigned int cpu);
u64 kernel_reference_time(void);

/* The recommendation against AutoEOI (HV_HINT_NO_AUTO_EOI). */
bool kernel_auto_eoi(void);
u8 kernel_interrupt_vector(void);

/* Handlers of vmlinux: there is one of each kind, and the last to come wins. */
void kernel_handlers_set(void (*interrupt)(void), void (*kexec)(void), void (*crash)(void));
void kernel_handlers_clear(void);

/* Synthetic timers whose expirations are messages. */
void kernel_timer_start(unsigned int cpu, int sint);
void kernel_timer_stop(unsigned int cpu);
void kernel_timers_stop(void);
/* Of this CPU, in a crash: the kernel's own function would take a mutex. */
void kernel_timer_crash(void);
void kernel_timer_interrupt(void);

#endif
