/* SPDX-License-Identifier: MIT */
/*
 * The inside of a partition, shared by the files of this folder:
 * partition.c (life), vp.c (the run loop), pause.c, clock.c, cpuid.c, irq.c, auto_eoi.c,
 * doorbell.c, timer.c, save.c (images).
 */
#ifndef HYPER_PARTITION_IMPL_H
#define HYPER_PARTITION_IMPL_H

#include <linux/kvm.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "hyper/dev/dev.h"
#include "hyper/dev/pio.h"
#include "hyper/dev/testdev.h"
#include "hyper/hv/auto_eoi.h"
#include "hyper/kvm/partition.h"

/* KVM's memory slots. */
enum {
	SLOT_RAM_LOW,
	SLOT_RAM_HIGH,
	SLOT_RAM_REST,
	SLOT_ROM_LOW,
	SLOT_ROM_HIGH,
	SLOT_VIDEO,
	SLOT_RAM_ADDED
};

/* See reset_rom.c. */
#define RESET_ROM_SIZE     0x1000ull
#define RESET_ROM_LOW_GPA  0xFF000ull
#define RESET_ROM_LOW_END  (RESET_ROM_LOW_GPA + RESET_ROM_SIZE)
#define RESET_ROM_HIGH_GPA 0xFFFFF000ull

/* Makes KVM_RUN return. */
#define VP_KICK_SIGNAL SIGRTMIN

/* A LAPIC timer while the clocks are frozen: it has a deadline, or counts, or neither. */
struct lapic_timer {
	uint64_t deadline; /* guest TSC; 0: none */
	bool counting;
	uint32_t count; /* left */
};

/* See auto_eoi.c. Owner: the VP's thread, but for interrupts; counters are read by anyone. */
struct vp_auto_eoi {
	struct auto_eoi interrupts;
	timer_t timer; /* kicks the VP */
	bool has_timer;
	uint64_t waits_since; /* CLOCK_MONOTONIC, 0: the VP was ready */
	_Atomic uint64_t delivered, retries;
};

struct vp {
	/* set at creation */
	struct partition *p;
	uint32_t index; /* VP index = vCPU id = APIC id */
	int fd;
	struct kvm_run *run;
	size_t run_size;
	bool sync_regs; /* registers come and go through kvm_run */
	/* owner: control thread */
	pthread_t thread;
	bool started; /* the thread has to be joined */
	struct lapic_timer timer;
	bool timer_over; /* the VP's thread's until it is parked: see clock_note_timer() */
	pthread_mutex_t kick_lock;
	bool running; /* under kick_lock: the thread can be kicked */
	struct vp_auto_eoi auto_eoi;
	/* See flush.c. */
	struct {
		atomic_bool in_guest;    /* written by the VP thread */
		_Atomic uint64_t wanted; /* written by callers */
		_Atomic uint64_t done;   /* written by the VP thread: that many of `wanted` */
	} flush;
	/* written by the VP thread, read by anyone */
	struct {
		_Atomic uint64_t io, mmio, msr, hypercall, signal, interrupted, bus_lock, other;
	} exits;
};

/* One MSI route per (VP, SINT): an irqfd that any thread can write. */
struct irq_route {
	int eventfd;    /* -1 until the SINT first gets a vector */
	uint8_t vector; /* 0: masked */
};

struct irq_table {
	pthread_mutex_t lock;
	struct irq_route (*route)[HV_SINT_COUNT]; /* [vp] */
	uint32_t vp_count;
};

/* A thread that calls hv_stimer_expire() when a VP's timer is due. */
struct stimer_thread {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	bool started, stop;
	bool paused;              /* no timer expires */
	bool expiring;            /* the thread is in hv_stimer_expire() */
	uint64_t due[HV_VPS_MAX]; /* reference time, UINT64_MAX = none */
};

/* See clock.c. */
struct clock {
	bool tsc_stops;             /* this KVM can stop the guest's TSC */
	_Atomic int64_t tsc_offset; /* guest TSC - host TSC */
	bool frozen;
	_Atomic bool tsc_stopped; /* the guest's TSC stands at frozen_tsc */
	uint64_t frozen_tsc;
};

/* See pause.c. Under lock, but wanted may be read without it. */
struct pause {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	atomic_bool wanted;
	uint32_t running; /* VP threads that are neither parked nor ended */
	void (*paused)(void *ctx);
	void *ctx;
};

struct partition {
	struct partition_config config;
	int kvm_fd, vm_fd;
	struct gmem gmem;
	uint32_t slots_added; /* from SLOT_RAM_ADDED on, for what was added to gmem */
	uint64_t video_gpa;   /* of SLOT_VIDEO; 0: the slot is empty */
	void *reset_rom;      /* one page, NULL before its creation */
	bool reset_rom_read_only;
	struct hv_config hv_config; /* completed step by step until hv_init() */
	struct hv hv;
	bool hv_ready;
	uint64_t tsc_khz;
	struct clock clock;
	struct boot_entry entry;
	struct kvm_cpuid2 *cpuid;  /* of all VPs, but for APIC ids */
	uint64_t xsave_components; /* by cpuid */
	bool restored;

	struct pio pio;
	struct serial serial;
	struct rtc rtc;
	struct acpi_pm pm;
	struct i8042 i8042;
	struct debug_exit debug_exit;
	struct testdev testdev;
	struct irq_line {
		struct partition *p;
		uint32_t gsi;
	} serial_line, sci_line;

	struct irq_table irq;
	struct stimer_thread stimer;
	struct list doorbells;

	struct vp *vps;
	uint32_t vps_created;
	struct {
		pthread_mutex_t lock;
		pthread_cond_t changed;
	} flush; /* see flush.c */
	struct pause pause;
	atomic_bool stopping; /* VP threads leave their loops */
	atomic_bool ended;    /* events.end was called */
};

/* For a counter with one writer: no locked instruction needed. */
static inline void count_event(_Atomic uint64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
		memory_order_relaxed);
}

/* partition.c. Any thread; the first call wins. text may be NULL. */
void partition_end(struct partition *p, enum partition_end reason, int status, const char *text);

/* Any thread; vp below vps_created. */
void partition_vp_exits(struct partition *p, uint32_t vp, struct partition_exits *exits);

/* vp.c */
int vp_create(struct partition *p, uint32_t index, const struct kvm_cpuid2 *cpuid, struct err *e);
void vp_destroy(struct vp *vp);
int vp_set_entry(struct vp *vp, const struct boot_entry *entry, struct err *e);
int vp_start(struct vp *vp, struct err *e);
/* Makes KVM_RUN return, after it has completed the exit it was left with. Any thread; the reason
 * is stored before. Takes kick_lock. */
void vp_kick(struct vp *vp);
int vp_install_kick_handler(void);
/* On its thread, before the reasons are read. */
void vp_take_kick(struct vp *vp);
bool vp_is_kicked(struct vp *vp);
/* On its thread: KVM_RUN, and the handling of the exit. False: a signal or immediate_exit made it
 * return, nothing was to be handled. */
bool vp_run_once(struct vp *vp);
/* On its thread. 0 or -errno. */
int vp_get_regs(struct vp *vp, struct kvm_regs *regs);
/* Ends the guest: the VP cannot go on. On its thread. */
void vp_error(struct vp *vp, const char *what);
/* One MSR by KVM_GET_MSRS or KVM_SET_MSRS, past the MSR filter. On the VP's thread, or while it
 * does not run: KVM admits nobody else as long as a VP is in KVM_RUN. */
int vp_host_msr(struct vp *vp, unsigned long request, uint32_t index, uint64_t *value);

/* auto_eoi.c */
/* Any thread. */
void auto_eoi_inject(struct partition *p, uint32_t vp, uint8_t vector);
/* The VP's thread, after KVM_RUN was interrupted: gives it an interrupt if one waits and the VP is
 * ready, else kicks it again later. */
void auto_eoi_deliver(struct vp *vp);
void auto_eoi_end(struct vp *vp);

/* pause.c; the functions of partition.h, and */
void pause_init(struct partition *p);
void pause_fini(struct partition *p);
void pause_vp_starts(struct partition *p);
/* On the VP's thread. */
void pause_vp_park(struct vp *vp);
void pause_vp_ends(struct partition *p);
void pause_end(struct partition *p);
/* Before the VPs start: they begin in a pause. */
void pause_hold(struct partition *p);
/* On the VP's thread: parks until the end of the pause, if there is one. */
void pause_vp_wait(struct vp *vp);

/* flush.c */
void flush_init(struct partition *p);
void flush_fini(struct partition *p);
/* On the VP's thread, around each KVM_RUN, and when the thread ends. False: the partition has
 * ended, the VP must not run. */
bool flush_before_run(struct vp *vp);
void flush_after_run(struct vp *vp);
void flush_vp_ends(struct vp *vp);
/* hv_port_ops.flush_tlb. On the caller's thread; waits until the VPs have left the guest. */
void flush_vps(struct partition *p, uint32_t caller, uint64_t vps);

/* clock.c. All VPs are created, none runs. */
int clock_init(struct partition *p, struct err *e);
/* The guest's TSC now. Any thread. */
uint64_t clock_guest_tsc(struct partition *p);
/* The VP's thread, before it folds its timer: a one-shot timer that is over now has its interrupt
 * in the LAPIC when the VP is parked, or the guest has had it. */
void clock_note_timer(struct vp *vp);
/* All VPs are parked. */
void clock_freeze(struct partition *p);
/* Nothing, unless frozen. */
void clock_thaw(struct partition *p);

/* doorbell.c; the functions of partition.h, and */
void doorbells_free(struct partition *p);

/* cpuid.c: the table common to all VPs (free() it); says in hv_config whether the TSC is
 * invariant. vp_create() sets APIC ids. */
int kvm_cpuid_build(struct partition *p, struct kvm_cpuid2 **cpuid, struct err *e);
bool kvm_cpuid_tsc_invariant(const struct kvm_cpuid2 *cpuid);
/* Bits of a guest physical address. */
uint32_t kvm_cpuid_address_bits(const struct kvm_cpuid2 *cpuid);

uint64_t kvm_cpuid_xsave_components(const struct kvm_cpuid2 *cpuid);

/* save.c: replaces this host's table by that of the image, if the guest can do with the former. */
int partition_machine_restore(
	struct partition *p, struct archive *a, struct kvm_cpuid2 **cpuid, struct err *e);

/* vm_caps.c: what this KVM has to protect its host from the guest. VPs are created after it. */
void vm_caps_enable(struct partition *p);

/* reset_rom.c. 0 or -errno; the VM exists, its RAM leaves the page at RESET_ROM_LOW_GPA out. */
int reset_rom_create(struct partition *p);
void reset_rom_destroy(struct partition *p);

/* irq.c */
int irq_init(struct partition *p, struct err *e);
void irq_fini(struct partition *p);
void irq_inject_sint(struct partition *p, uint32_t vp, uint32_t sint);
void irq_set_sint(struct partition *p, uint32_t vp, uint32_t sint, uint8_t vector);
void irq_inject_vector(struct partition *p, uint32_t vp, uint8_t vector);
void irq_set_line(struct partition *p, uint32_t gsi, bool level);

/* timer.c */
int stimer_thread_start(struct partition *p);
void stimer_thread_stop(struct partition *p);
/* No timer expires from the return of the first to the second; due times stay. */
void stimer_thread_pause(struct partition *p);
void stimer_thread_resume(struct partition *p);
void stimer_thread_arm(struct partition *p, uint32_t vp, uint64_t ref_time);

#endif
