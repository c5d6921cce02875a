/* SPDX-License-Identifier: MIT */
/*
 * Capabilities that protect the host, each enabled where this KVM has it: none of them is needed to
 * run, and guests do not notice them.
 *
 * - No PMU at all, rather than one that CPUID does not show.
 * - Bus locks (a locked access across two cache lines stops every CPU of the host) leave to us.
 * - So does a guest in which no event can be delivered for a long time, which would keep a host CPU
 *   from its other work (Intel's notify VM exit).
 *
 * Source: KVM's api.rst.
 */
#include <sys/ioctl.h>

#include "hyper/kvm/partition_impl.h"

/* Added to what the CPU itself allows. */
#define NOTIFY_WINDOW_CYCLES 0ull

static void enable(struct partition *p, uint32_t cap, uint64_t value)
{
	struct kvm_enable_cap request = {.cap = cap, .args = {value}};

	ioctl(p->vm_fd, KVM_ENABLE_CAP, &request);
}

static bool offers(struct partition *p, int cap, int bits)
{
	int value = ioctl(p->kvm_fd, KVM_CHECK_EXTENSION, cap);

	return value > 0 && (value & bits) == bits;
}

void vm_caps_enable(struct partition *p)
{
	if (!p->config.pmu && offers(p, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE))
		enable(p, KVM_CAP_PMU_CAPABILITY, KVM_PMU_CAP_DISABLE);
	if (offers(p, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT))
		enable(p, KVM_CAP_X86_BUS_LOCK_EXIT, KVM_BUS_LOCK_DETECTION_EXIT);
	if (offers(p, KVM_CAP_X86_NOTIFY_VMEXIT, 1))
		enable(p, KVM_CAP_X86_NOTIFY_VMEXIT,
			NOTIFY_WINDOW_CYCLES << 32 | KVM_X86_NOTIFY_VMEXIT_ENABLED |
				KVM_X86_NOTIFY_VMEXIT_USER);
}
