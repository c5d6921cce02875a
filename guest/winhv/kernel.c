/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/errno.h>
#include <linux/irqflags.h>
#include <linux/kconfig.h>
#include <linux/percpu.h>
#include <linux/string.h>

#include <asm/mshyperv.h>

#include "guest/winhv/kernel.h"

#if IS_ENABLED(CONFIG_HYPERV)

#include <clocksource/hyperv_timer.h>

#define FEATURES_WANTED   (HV_MSR_SYNIC_AVAILABLE | HV_MSR_HYPERCALL_AVAILABLE)
#define PRIVILEGES_WANTED (HV_POST_MESSAGES | HV_SIGNAL_EVENTS)

/* ---- what there is ------------------------------------------------------- */

const char *kernel_lacks(int *err)
{
	*err = -ENODEV;
	if (!hv_is_hyperv_initialized())
		return "this machine is not a Hyper-V guest";
	*err = -EOPNOTSUPP;
	if (hv_is_isolation_supported())
		return "confidential guests are not supported";
	if ((ms_hyperv.features & FEATURES_WANTED) != FEATURES_WANTED)
		return "the hypervisor has no SynIC";
	if ((ms_hyperv.priv_high & PRIVILEGES_WANTED) != PRIVILEGES_WANTED)
		return "the hypervisor does not let this guest post messages and signal events";
	return NULL;
}

u32 kernel_vp_index(unsigned int cpu)
{
	return hv_vp_index[cpu];
}

u64 kernel_reference_time(void)
{
	return hv_read_reference_counter();
}

bool kernel_auto_eoi(void)
{
	return !(ms_hyperv.hints & HV_DEPRECATING_AEOI_RECOMMENDED);
}

u8 kernel_interrupt_vector(void)
{
	return HYPERVISOR_CALLBACK_VECTOR;
}

/* ---- hypercalls ---------------------------------------------------------- */

/* The page is this CPU's, to be used with interrupts off. The output follows the input in it: the
 * kernel has a page for output only in the root partition. */
u64 kernel_hypercall(
	u64 control, const void *input, u32 input_bytes, void *output, u32 output_bytes)
{
	u32 output_at = ALIGN(input_bytes, 8);
	unsigned long flags;
	void *page;
	u64 result;

	if (output_at + output_bytes > PAGE_SIZE)
		return HV_STATUS_INVALID_PARAMETER;
	local_irq_save(flags);
	page = *this_cpu_ptr(hyperv_pcpu_input_arg);
	memcpy(page, input, input_bytes);
	result = hv_do_hypercall(
		control, input_bytes ? page : NULL, output_bytes ? page + output_at : NULL);
	memcpy(output, page + output_at, output_bytes);
	local_irq_restore(flags);
	return result;
}

u64 kernel_fast_hypercall(u64 control, u64 input0, u64 input1)
{
	return hv_do_fast_hypercall16((u16)control, input0, input1);
}

void kernel_signal_event(u32 connection_id)
{
	hv_do_fast_hypercall8(HVCALL_SIGNAL_EVENT, connection_id);
}

/* ---- handlers ------------------------------------------------------------ */

static void (*on_crash)(void);

static void crash(struct pt_regs *regs)
{
	on_crash();
}

void kernel_handlers_set(
	void (*interrupt)(void), void (*kexec_handler)(void), void (*crash_handler)(void))
{
	on_crash = crash_handler;
	hv_setup_vmbus_handler(interrupt);
	hv_setup_kexec_handler(kexec_handler);
	hv_setup_crash_handler(crash);
}

void kernel_handlers_clear(void)
{
	hv_remove_crash_handler();
	hv_remove_kexec_handler();
	hv_remove_vmbus_handler();
}

/* ---- timers -------------------------------------------------------------- */

#if COMPAT_TIMER_MESSAGES

void kernel_timer_start(unsigned int cpu, int sint)
{
	hv_stimer_legacy_init(cpu, sint);
}

void kernel_timer_stop(unsigned int cpu)
{
	hv_stimer_legacy_cleanup(cpu);
}

void kernel_timer_interrupt(void)
{
	hv_stimer0_isr();
}

void kernel_timer_crash(void)
{
	if (ms_hyperv.features & HV_MSR_SYNTIMER_AVAILABLE)
		wrmsr(HV_X64_MSR_STIMER0_CONFIG, 0, 0);
}

#endif

void kernel_timers_stop(void)
{
	hv_stimer_global_cleanup();
}

#else /* no vector for interrupts, and no way for a module to make one */

const char *kernel_lacks(int *err)
{
	*err = -ENODEV;
	return "this kernel was built without CONFIG_HYPERV";
}

u64 kernel_hypercall(
	u64 control, const void *input, u32 input_bytes, void *output, u32 output_bytes)
{
	return 2; /* HV_STATUS_INVALID_HYPERCALL_CODE */
}

u64 kernel_fast_hypercall(u64 control, u64 input0, u64 input1)
{
	return 2;
}

void kernel_signal_event(u32 connection_id)
{
}

u32 kernel_vp_index(unsigned int cpu)
{
	return 0;
}

u64 kernel_reference_time(void)
{
	return 0;
}

bool kernel_auto_eoi(void)
{
	return false;
}

u8 kernel_interrupt_vector(void)
{
	return 0;
}

void kernel_handlers_set(
	void (*interrupt)(void), void (*kexec_handler)(void), void (*crash_handler)(void))
{
}

void kernel_handlers_clear(void)
{
}

void kernel_timers_stop(void)
{
}

#endif

#if !IS_ENABLED(CONFIG_HYPERV) || !COMPAT_TIMER_MESSAGES

void kernel_timer_start(unsigned int cpu, int sint)
{
}

void kernel_timer_stop(unsigned int cpu)
{
}

void kernel_timer_interrupt(void)
{
}

void kernel_timer_crash(void)
{
}

#endif
