/* SPDX-License-Identifier: MIT */
#include "hyper/kvm/probe.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "hyper/kvm/partition.h"

#define CPUID1_ECX_VMX        (1u << 5)
#define CPUID1_ECX_HYPERVISOR (1u << 31)
#define CPUID81_ECX_SVM       (1u << 2)

#define NEEDED   true
#define OPTIONAL false

static const struct probe_capability capabilities[] = {
	{"USER_MEMORY", "guest RAM from our own mapping", KVM_CAP_USER_MEMORY, NEEDED, 0},
	{"SET_TSS_ADDR", "real-mode start of VPs on VMX", KVM_CAP_SET_TSS_ADDR, OPTIONAL, 0},
	{"IRQCHIP", "local APICs in the kernel", KVM_CAP_IRQCHIP, NEEDED, 0},
	{"EXT_CPUID", "our own CPUID leaves", KVM_CAP_EXT_CPUID, NEEDED, 0},
	{"X86_USER_SPACE_MSR", "synthetic MSRs leave to us", KVM_CAP_X86_USER_SPACE_MSR, NEEDED, 0},
	{"X86_MSR_FILTER", "even when the kernel knows them", KVM_CAP_X86_MSR_FILTER, NEEDED, 0},
	{"IOEVENTFD", "doorbells without user exits", KVM_CAP_IOEVENTFD, NEEDED, 0},
	{"IRQFD", "interrupts from any thread", KVM_CAP_IRQFD, NEEDED, 0},
	{"IRQ_ROUTING", "one MSI route per VP and SINT", KVM_CAP_IRQ_ROUTING, NEEDED, 0},
	{"SIGNAL_MSI", "one-off interrupts", KVM_CAP_SIGNAL_MSI, NEEDED, 0},
	{"IMMEDIATE_EXIT", "stopping VPs without a race", KVM_CAP_IMMEDIATE_EXIT, NEEDED, 0},
	{"GET_TSC_KHZ", "scale of the reference TSC page", KVM_CAP_GET_TSC_KHZ, NEEDED, 0},
	{"SYNC_REGS", "hypercall results without an ioctl", KVM_CAP_SYNC_REGS, OPTIONAL, 0},
	{"TSC_CONTROL", "choosing the guest's TSC rate", KVM_CAP_TSC_CONTROL, OPTIONAL, 0},
	{"TSC_DEADLINE_TIMER", "the cheaper guest timer", KVM_CAP_TSC_DEADLINE_TIMER, OPTIONAL, 0},
	{"READONLY_MEM", "a reset vector that stays", KVM_CAP_READONLY_MEM, OPTIONAL, 0},
	{"PMU_CAPABILITY", "a VM without counters", KVM_CAP_PMU_CAPABILITY, OPTIONAL, 0},
	{"X86_BUS_LOCK_EXIT", "bus locks are limited", KVM_CAP_X86_BUS_LOCK_EXIT, OPTIONAL, 0},
	{"X86_NOTIFY_VMEXIT", "stuck guests end", KVM_CAP_X86_NOTIFY_VMEXIT, OPTIONAL, 0},
	{"MAX_VCPUS", "how many VPs", KVM_CAP_MAX_VCPUS, OPTIONAL, 0},
	{"X2APIC_API", "APIC ids above 254", KVM_CAP_X2APIC_API, OPTIONAL, 0},
	{"SPLIT_IRQCHIP", "I/O APIC in user space", KVM_CAP_SPLIT_IRQCHIP, OPTIONAL, 0},
};
#define CAPABILITY_COUNT (sizeof(capabilities) / sizeof(capabilities[0]))
_Static_assert(CAPABILITY_COUNT <= PROBE_CAPABILITIES_MAX, "capabilities fit the result");

/* VM-wide answers are more exact than the system's; not every kernel gives them. */
static int check(int kvm_fd, int vm_fd, int number)
{
	int value = vm_fd < 0 ? -1 : ioctl(vm_fd, KVM_CHECK_EXTENSION, number);

	if (value < 0)
		value = ioctl(kvm_fd, KVM_CHECK_EXTENSION, number);
	return value < 0 ? 0 : value;
}

static enum probe_kind host_kind(void)
{
	unsigned eax, ebx, ecx, edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & CPUID1_ECX_VMX))
		return PROBE_KIND_VMX;
	if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID81_ECX_SVM))
		return PROBE_KIND_SVM;
	return PROBE_KIND_SOFTWARE;
}

static void host_hypervisor(char signature[13])
{
	unsigned reg[4];

	memset(signature, 0, 13);
	if (!__get_cpuid(1, &reg[0], &reg[1], &reg[2], &reg[3]) ||
		!(reg[2] & CPUID1_ECX_HYPERVISOR))
		return;
	__cpuid(0x40000000, reg[0], reg[1], reg[2], reg[3]);
	memcpy(signature, &reg[1], 12);
}

static void ask_capabilities(int kvm_fd, int vm_fd, struct probe_result *r)
{
	r->usable = r->api_version == KVM_API_VERSION && vm_fd >= 0;
	for (size_t i = 0; i < CAPABILITY_COUNT; i++) {
		struct probe_capability *c = &r->capability[i];

		c->value = check(kvm_fd, vm_fd, c->number);
		if (c->needed && !c->value)
			r->usable = false;
	}
	r->kernel_hyperv = check(kvm_fd, vm_fd, KVM_CAP_HYPERV) ||
			   check(kvm_fd, vm_fd, KVM_CAP_HYPERV_SYNIC) ||
			   check(kvm_fd, vm_fd, KVM_CAP_HYPERV_CPUID);
}

static bool instructions_suffice(const struct probe_result *r)
{
	for (size_t i = 0; i < r->instruction_count; i++) {
		const struct probe_instruction *insn = &r->instruction[i];

		if (insn->needed && insn->outcome != PROBE_WORKS &&
			insn->outcome != PROBE_NOT_OFFERED)
			return false;
	}
	return r->instruction_count > 0;
}

static void ask_kvm(int kvm_fd, struct probe_result *r)
{
	int vm_fd;

	r->api_version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0);
	if (r->api_version < 0)
		r->api_version = 0;
	r->kind = host_kind();
	vm_fd = ioctl(kvm_fd, KVM_CREATE_VM, 0);
	if (vm_fd < 0)
		r->open_error = errno;
	ask_capabilities(kvm_fd, vm_fd, r);
	if (vm_fd >= 0)
		close(vm_fd);
	if (!r->usable)
		return;
	r->instruction_count = probe_instructions(kvm_fd, r->instruction);
	r->distro_kernel = instructions_suffice(r);
}

void probe_run(struct probe_result *r)
{
	int kvm_fd;

	*r = (struct probe_result){.path = PARTITION_KVM_PATH};
	r->capability_count = CAPABILITY_COUNT;
	memcpy(r->capability, capabilities, sizeof(capabilities));
	host_hypervisor(r->hypervisor);
	r->present = access(r->path, F_OK) == 0;
	kvm_fd = open(r->path, O_RDWR | O_CLOEXEC);
	if (kvm_fd < 0) {
		r->open_error = errno;
		return;
	}
	ask_kvm(kvm_fd, r);
	close(kvm_fd);
}
