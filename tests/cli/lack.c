/* SPDX-License-Identifier: MIT */
/* Preloaded into enlite: /dev/kvm says that it lacks the capability named in LACK; "CPUID":
 * features that a guest can be given. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define CAP(name)                                                                                  \
	{                                                                                          \
		name, #name                                                                        \
	}

static const struct {
	long cap;
	const char *name;
} caps[] = {
	CAP(KVM_CAP_USER_MEMORY),
	CAP(KVM_CAP_IRQCHIP),
	CAP(KVM_CAP_IOEVENTFD),
	CAP(KVM_CAP_IRQFD),
	CAP(KVM_CAP_IRQ_ROUTING),
	CAP(KVM_CAP_SIGNAL_MSI),
	CAP(KVM_CAP_IMMEDIATE_EXIT),
	CAP(KVM_CAP_X86_USER_SPACE_MSR),
	CAP(KVM_CAP_X86_MSR_FILTER),
	CAP(KVM_CAP_GET_TSC_KHZ),
};

static int lacks(long cap)
{
	const char *name = getenv("LACK");

	for (size_t i = 0; name && i < sizeof(caps) / sizeof(caps[0]); i++)
		if (caps[i].cap == cap && !strcmp(caps[i].name, name))
			return 1;
	return 0;
}

/* VMX, SVM, all performance counters. */
static void remove_features(struct kvm_cpuid2 *cpuid)
{
	for (__u32 i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *leaf = &cpuid->entries[i];

		if (leaf->function == 1)
			leaf->ecx &= ~(1u << 5);
		if (leaf->function == 0x80000001)
			leaf->ecx &= ~(1u << 2 | 1u << 23);
		if (leaf->function == 0xA)
			leaf->eax = 0;
	}
}

static int lacks_features(void)
{
	const char *name = getenv("LACK");

	return name && !strcmp(name, "CPUID");
}

int ioctl(int fd, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) =
		(int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_CHECK_EXTENSION && lacks((long)arg))
		return 0;
	ret = next(fd, request, arg);
	if (ret == 0 && request == KVM_GET_SUPPORTED_CPUID && lacks_features())
		remove_features(arg);
	return ret;
}
