/* SPDX-License-Identifier: MIT */
/*
 * A partition: what a guest runs in, on plain KVM, with the Hyper-V guest
 * interface. It knows nothing of VMBus: messages and signals leave through the
 * hv connections the embedder adds.
 *
 * Life: create -> (embedder adds connections, doorbells) -> load -> start ->
 * on_end(reason) from a VP thread -> stop -> destroy; from start to stop it may be
 * paused and resumed any number of times. A guest reset ends the
 * partition like a power off does; the embedder builds a new one (ADR 0003).
 *
 * Saving: a partition that is paused and frozen is written to an archive, which does not change it.
 * An image is read by partition_create() and partition_restore(), instead of load; start then
 * begins in a pause, which partition_resume() ends.
 *
 * Threads: all functions on the control thread, except where noted.
 */
#ifndef HYPER_PARTITION_H
#define HYPER_PARTITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/gmem.h"
#include "hyper/boot/boot.h"
#include "hyper/hv/hv.h"

struct inspect;
struct partition;

enum partition_end {
	PARTITION_POWER_OFF,
	PARTITION_RESET, /* guest asked: ACPI, keyboard controller, HV_MSR_RESET */
	PARTITION_TRIPLE_FAULT,
	PARTITION_DEBUG_EXIT, /* status: the exit port's value */
	PARTITION_VP_ERROR,   /* KVM could not run the VP; text says why */
};

struct partition_events {
	/* The guest is done; called once, from a VP thread: post it to the control thread. */
	void (*end)(void *ctx, enum partition_end reason, int status, const char *text);
	/* The guest reported a crash (HV_MSR_CRASH_CTL); it may go on (kdump) or reset after it.
	 * From a VP thread. */
	void (*crash)(void *ctx, const struct hv_crash *crash);
	/* A byte on COM1. From a VP thread, under the serial lock. */
	void (*console)(void *ctx, uint8_t byte);
	void *ctx;
};

struct partition_config {
	int kvm_fd;        /* of partition_open_kvm(); the caller's, for as long as the partition */
	uint32_t vp_count; /* 1..HV_VPS_MAX */
	uint64_t memory_size; /* bytes, MiB multiple */
	bool memory_shared;   /* base/gmem.h: shared, not anonymous */
	bool memory_dynamic;  /* base/gmem.h: dynamic; the guest may report pages it does not use */
	uint64_t memory_more; /* dynamic: bytes that can be added, MiB multiple */
	struct gmem *memory;  /* taken over, of memory_size bytes; NULL: made here, empty */
	/* NULL, or an image: partition_create() reads its first part. It stays until
	 * partition_restore(). */
	struct archive *restore;
	struct budget *budget; /* of the VM; NULL: no limit */
	bool stimer;
	bool nested; /* VMX or SVM for the guest; creation fails where KVM has neither */
	bool pmu;    /* performance counters, the same */
	bool test_device;
	struct partition_events events;
};

/* Exits to user space on VP threads, by kind. */
struct partition_exits {
	uint64_t io, mmio, msr, hypercall, signal, interrupted, bus_lock, other;
};

/* What this machine's KVM can do; see probe.h for the long form. */
#define PARTITION_KVM_PATH "/dev/kvm"

/* A descriptor of KVM that can be used, or -errno with one line. */
int partition_open_kvm(struct err *e);
int partition_create(struct partition **p, const struct partition_config *config, struct err *e);
int partition_load(struct partition *p, const struct boot_config *boot, struct err *e);
int partition_start(struct partition *p, struct err *e);
/*
 * A pause: VPs leave the guest with their exits complete, and wait. paused(ctx) when the last one
 * waits, from its thread: post it, and call nothing here; or before this returns. Then
 * partition_freeze() stops the guest's clocks. partition_resume() undoes both, at any time, also
 * before paused() came; then it may still come. A pause does not end what others do to the guest:
 * they may write its memory and send interrupts, which wait.
 */
void partition_pause(struct partition *p, void (*paused)(void *ctx), void *ctx);
/* All VPs wait. For a paused() that may be of an older pause. */
bool partition_is_paused(struct partition *p);
void partition_freeze(struct partition *p);
bool partition_is_frozen(const struct partition *p);
void partition_resume(struct partition *p);
/* 0, or -errno with one line in e. Guest memory is not in the archive. */
int partition_save(struct partition *p, struct archive *a, struct err *e);
/* Of the archive in partition_config.restore. Connections have been added; guest memory is there.
 */
int partition_restore(struct partition *p, struct archive *a, struct err *e);
/* Ends all VP threads, paused or not, and joins them. Idempotent. */
void partition_stop(struct partition *p);
void partition_destroy(struct partition *p);

const struct gmem *partition_gmem(const struct partition *p);
struct hv *partition_hv(struct partition *p);

/* HvSignalEvent on connection_id signals the eventfd, in the kernel (ioeventfd) for the fast form
 * and through the hv connection table for the others. */
int partition_doorbell_add(struct partition *p, uint32_t connection_id, int eventfd);
void partition_doorbell_del(struct partition *p, uint32_t connection_id, int eventfd);

/* Dynamic memory: bytes of RAM were added, counted from gmem.added_start, are `size` or more from
 * now on; the guest does not know of them yet. size: a MiB multiple, at most memory_more. Any
 * thread that may sleep, one at a time, while the partition exists. 0 or -errno. */
int partition_add_memory(struct partition *p, uint64_t size);

/* Video memory: `size` bytes at host address `at`, page multiples, are what the guest has at gpa;
 * where they were before there is nothing any more. -EINVAL: gpa is not where guests may put
 * devices. The memory is the caller's, until partition_destroy(). Any thread that may sleep, one at
 * a time. 0 or -errno. */
int partition_map_video(struct partition *p, uint64_t gpa, void *at, uint64_t size);

/* Console input for COM1; returns how many bytes fitted. */
size_t partition_console_input(struct partition *p, const uint8_t *bytes, size_t count);
/* ACPI power button. */
void partition_power_button(struct partition *p);

/* Exits of each VP, and the Hyper-V interface; may run while VPs do. */
void partition_inspect(struct partition *p, struct inspect *i);
/* Sum over VPs; may run while VPs do. */
void partition_exits(struct partition *p, struct partition_exits *exits);

#endif
