/* SPDX-License-Identifier: MIT */
/*
 * What this host's KVM can do, found by trying: capabilities through
 * KVM_CHECK_EXTENSION, ring-0 instructions by running each of them once in a
 * tiny 64-bit guest. A KVM without VMX or SVM below it emulates ring-0 code in
 * software and knows only some instructions; a stock kernel needs them all.
 *
 * Thread: any, one at a time; takes SIGALRM over while a guest runs.
 */
#ifndef HYPER_PROBE_H
#define HYPER_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROBE_CAPABILITIES_MAX 32u
#define PROBE_INSTRUCTIONS_MAX 48u
#define PROBE_RUN_SECONDS      2 /* one instruction may take this long */

enum probe_kind { PROBE_KIND_UNKNOWN, PROBE_KIND_VMX, PROBE_KIND_SVM, PROBE_KIND_SOFTWARE };

struct probe_capability {
	const char *name;
	const char *purpose;
	int number; /* KVM_CAP_* */
	bool needed;
	int value; /* KVM_CHECK_EXTENSION's answer, 0 = missing */
};

enum probe_outcome {
	PROBE_WORKS,
	PROBE_NOT_OFFERED,  /* this CPU's CPUID does not promise it, so kernels do not use it */
	PROBE_NOT_EMULATED, /* KVM gave up: KVM_EXIT_INTERNAL_ERROR */
	PROBE_FAULTED,      /* the guest got an exception it should not get; detail = vector */
	PROBE_WRONG_RESULT, /* completed, with a result no CPU gives */
	PROBE_HUNG,         /* KVM_RUN did not come back within PROBE_RUN_SECONDS */
	PROBE_BROKEN,       /* another exit or error; detail = exit reason or -errno */
};

struct probe_instruction {
	const char *name;
	const char *purpose;
	bool needed; /* a stock kernel executes it when CPUID offers it */
	enum probe_outcome outcome;
	int detail;
};

struct probe_result {
	const char *path;
	bool present;    /* the device node is there */
	bool usable;     /* it opened and has every needed capability */
	int open_error;  /* 0, or the errno of open() or of the first VM */
	int api_version; /* 0 when not opened */
	enum probe_kind kind;
	char hypervisor[13]; /* signature of what this machine itself runs on, "" on bare metal */
	bool kernel_hyperv;  /* KVM's own Hyper-V emulation is compiled in; never used */
	bool distro_kernel;  /* a stock kernel can run here */
	size_t capability_count, instruction_count;
	struct probe_capability capability[PROBE_CAPABILITIES_MAX];
	struct probe_instruction instruction[PROBE_INSTRUCTIONS_MAX];
};

/* Fills *r. Never fails: what cannot be found out is reported as such. */
void probe_run(struct probe_result *r);

/* The ring-0 instructions, each in a VM of its own (probe_insn.c). Used by probe_run(). */
size_t probe_instructions(int kvm_fd, struct probe_instruction list[PROBE_INSTRUCTIONS_MAX]);

#endif
