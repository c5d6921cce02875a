/* SPDX-License-Identifier: MIT */
#include "hyper/kvm/requests.h"

#include <linux/kvm.h>

_Static_assert(KVM_REQUEST_TYPE == KVMIO, "type of requests");

const uint32_t kvm_requests_vp[] = {
	KVM_RUN,
	KVM_GET_REGS,
	KVM_SET_REGS,
	KVM_GET_SREGS,
	KVM_SET_SREGS,
	KVM_GET_FPU,
	KVM_GET_MSRS,
	KVM_SET_MSRS,
	KVM_GET_LAPIC,
	KVM_SET_LAPIC,
	KVM_GET_MP_STATE,
	KVM_SET_MP_STATE,
	KVM_GET_NESTED_STATE,
	KVM_GET_VCPU_EVENTS,
	KVM_SET_VCPU_EVENTS,
	KVM_SET_SIGNAL_MASK,
	KVM_GET_DEVICE_ATTR,
	0,
};

const uint32_t kvm_requests_interrupt[] = {
	KVM_SET_GSI_ROUTING,
	KVM_IRQFD,
	KVM_IRQ_LINE,
	KVM_SIGNAL_MSI,
	0,
};
