/* SPDX-License-Identifier: GPL-2.0-only */
/* winhv.ko: hypercalls through the kernel's hypercall page, and where the module may be loaded. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/module.h>

#include "guest/winhv/kernel.h"
#include "guest/winhv/winhv.h"

/* ---- hypercalls ---------------------------------------------------------- */

static u64 slow(
	void *ctx, u64 control, const void *input, u32 input_bytes, void *output, u32 output_bytes)
{
	return kernel_hypercall(control, input, input_bytes, output, output_bytes);
}

static u64 fast(void *ctx, u64 control, u64 input0, u64 input1)
{
	return kernel_fast_hypercall(control, input0, input1);
}

static const struct winhv_hypercalls calls = {.slow = slow, .fast = fast};

const struct winhv_hypercalls *winhv_hypercalls(void)
{
	return &calls;
}
EXPORT_SYMBOL_GPL(winhv_hypercalls);

int winhv_post_message(u32 connection_id, u32 type, const void *payload, u32 bytes)
{
	return winhv_call_post_message(&calls, connection_id, type, payload, bytes);
}
EXPORT_SYMBOL_GPL(winhv_post_message);

void winhv_signal_event(u32 connection_id)
{
	kernel_signal_event(connection_id);
}
EXPORT_SYMBOL_GPL(winhv_signal_event);

EXPORT_SYMBOL_GPL(winhv_status_errno);
EXPORT_SYMBOL_GPL(winhv_status_name);
EXPORT_SYMBOL_GPL(winhv_call_post_message);
EXPORT_SYMBOL_GPL(winhv_call_signal_event);
EXPORT_SYMBOL_GPL(winhv_call_rep);
EXPORT_SYMBOL_GPL(winhv_call_get_register);

/* ---- facts --------------------------------------------------------------- */

u32 winhv_vp_index(unsigned int cpu)
{
	return kernel_vp_index(cpu);
}
EXPORT_SYMBOL_GPL(winhv_vp_index);

u64 winhv_reference_time(void)
{
	return kernel_reference_time();
}
EXPORT_SYMBOL_GPL(winhv_reference_time);

/* ---- module -------------------------------------------------------------- */

static int __init winhv_init(void)
{
	const char *why;
	int err;

	why = kernel_lacks(&err);
	if (!why)
		return 0;
	pr_err("%s\n", why);
	return err;
}

/* Without an exit a module cannot be unloaded. Clients hold it, so there is nothing to undo. */
static void __exit winhv_exit(void)
{
}

module_init(winhv_init);
module_exit(winhv_exit);
MODULE_DESCRIPTION("The hypervisor's interface for modules of Hyper-V guests");
MODULE_AUTHOR("The Enlite authors");
MODULE_LICENSE("GPL");
