/* SPDX-License-Identifier: MIT */
/*
 * The Hyper-V guest interface of one partition, without KVM: CPUID
 * leaves, synthetic MSRs, hypercalls, SynIC, synthetic timers, reference time,
 * crash report. It reaches KVM through hv_port_ops only, so that unit tests and
 * fuzzers run the same code as VP threads do.
 *
 * Source: TLFS (chapters in the .c files).
 *
 * Threads: hv_msr_*, hv_hypercall: the VP's own thread. synic_*: any thread.
 *
 * Locks, in acquisition order:
 *   hv.connection_lock  the connection table; held for reading around a handler
 *   hv.lock             partition-wide registers
 *   hv_vp.lock          one VP's SynIC and timers. Held for a few memory writes,
 *                       also around the injection, so that a disable is a fence
 *                       for every writer of the guest's pages.
 * Port functions that run under hv_vp.lock: inject, inject_auto_eoi, inject_direct,
 * timer_arm, guest_tsc. They must not call back into this interface (hv_ref_time() is
 * fine), nor take a lock that is held anywhere around such a call. The others
 * run without locks.
 */
#ifndef HYPER_HV_H
#define HYPER_HV_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/archive.h"
#include "base/budget.h"
#include "base/gmem.h"
#include "base/list.h"
#include "hv/hv_reg.h"

#define HV_VPS_MAX           64u
#define HV_SYNIC_QUEUE_MAX   4096u /* messages waiting per VP, all SINTs */
#define HV_PORT_HYPERCALL    0xE0u /* I/O ports of the hypercall page */
#define HV_PORT_SIGNAL       0xE1u
#define HV_APIC_HZ           1000000000ull /* KVM's in-kernel LAPIC timer clock */
#define HV_STIMER_PERIOD_MIN 500u          /* 50 us: shorter periods run at this one, per VP */
#define HV_STIMER_NEVER      UINT64_MAX

struct hv;
struct inspect;

struct hv_crash {
	uint64_t param[HV_CRASH_PARAMS];
	char message[HV_PAGE_SIZE + 1]; /* guest text, "" when none; not sanitised */
};

/* Services of KVM and the VM. ctx is hv_config.ctx. */
struct hv_port_ops {
	/* Edge interrupt `vector` into the VP's LAPIC through SINT `sint`'s route, which was
	 * programmed by sint_changed() before. Any thread. */
	void (*inject)(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector);
	/* The same for a SINT with AutoEOI, which has no route: the VP's LAPIC must not keep the
	 * vector in service, since the guest writes no EOI. Those of one vector may merge until
	 * the VP takes it. Any thread. */
	void (*inject_auto_eoi)(void *ctx, uint32_t vp, uint8_t vector);
	/* The SINT's vector changed (0 = no interrupt, or AutoEOI): re-program its route. While
	 * this runs the SINT counts as masked, so nothing is injected through it. VP thread. */
	void (*sint_changed)(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector);
	/* A direct synthetic timer fires, or a VP sends an interrupt. Any thread. */
	void (*inject_direct)(void *ctx, uint32_t vp, uint8_t vector);
	/* Flushes the whole TLB of each VP in the set (bit n: VP n). When it returns, no
	 * instruction that they will execute uses an older translation. `caller` may be in the set.
	 * Only with hv_config.flush. The caller's own thread. */
	void (*flush_tlb)(void *ctx, uint32_t caller, uint64_t vps);
	/* The guest does not use these bytes of RAM (whole pages) at the moment: gives them to the
	 * host; the guest finds zeroes. 0, or -errno: they are not RAM, or in use by the host.
	 * Only with hv_config.discard. The caller's own thread; may sleep. */
	int (*discard)(void *ctx, uint64_t gpa, uint64_t bytes);
	/* XMM0 to XMM5 of a VP that makes a hypercall. Its own thread. */
	void (*read_xmm)(void *ctx, uint32_t vp, uint8_t xmm[HV_HCALL_XMM_SIZE]);
	/* The guest's TSC now, the same for all VPs. Any thread, and from hv_init(), where it
	 * sets the zero of reference time. */
	uint64_t (*guest_tsc)(void *ctx);
	/* Call hv_stimer_expire(hv, vp) at or after ref_time (100 ns); UINT64_MAX: disarm.
	 * Replaces the VP's previous request. Any thread. */
	void (*timer_arm)(void *ctx, uint32_t vp, uint64_t ref_time);
	/* The guest wrote HV_MSR_TSC_INVARIANT_CTL bit 0 on this VP. Its own thread. */
	void (*tsc_invariant)(void *ctx, uint32_t vp);
	/* The guest requested a reset (HV_MSR_RESET). */
	void (*reset)(void *ctx);
	/* The guest reported its own crash. crash is valid during the call. A hostile guest may
	 * report any number of times. */
	void (*crash)(void *ctx, const struct hv_crash *crash);
};

struct hv_config {
	const struct gmem *gmem;
	struct budget *budget; /* of the VM, for messages that wait; NULL: no limit */
	uint32_t vp_count;
	uint64_t tsc_hz;
	bool tsc_invariant; /* offer TSC_INVARIANT */
	bool stimer;        /* offer synthetic timers (and direct mode) */
	bool flush;         /* serve TLB flushes */
	bool discard;       /* take reports of unused pages */
	const struct hv_port_ops *port;
	void *ctx;
};

/*
 * A connection id that the guest can post messages to or signal. Handlers run on VP
 * threads under hv.connection_lock (shared): they must not block, nor add or
 * delete connections, nor take a lock that is held around hv_connection_add()
 * or hv_connection_del(). In return a handler never runs after
 * hv_connection_del() has returned.
 */
struct hv_connection {
	uint32_t id; /* within HV_CONNECTION_ID_MASK */
	/* Exactly one of the two. payload is a private copy. */
	enum hv_status (*message)(
		void *ctx, uint32_t id, uint32_t type, const void *payload, uint32_t size);
	enum hv_status (*event)(void *ctx, uint32_t id, uint16_t flag);
	void *ctx;
	struct list link;
};

struct hv_stimer {
	uint64_t config;
	uint64_t count;
	uint64_t due;         /* reference time of the next expiry, or HV_STIMER_NEVER */
	bool message_pending; /* expired, the message waits for the slot */
	uint64_t message_due; /* the due time in that message */
};

struct hv_synic_message { /* queued behind a busy slot */
	struct list link;
	struct hv_message msg;
};

struct hv_vp {
	pthread_mutex_t lock;
	uint32_t index;
	/* SynIC; page pointers are NULL while disabled or outside RAM */
	uint64_t scontrol, siefp, simp;
	uint64_t sint[HV_SINT_COUNT];
	struct hv_message_page GUEST_SHARED *message_page;
	struct hv_event_flags_page GUEST_SHARED *event_page;
	struct list queue[HV_SINT_COUNT];
	uint32_t queued;
	uint32_t pending_events[HV_SINT_COUNT][HV_EVENT_FLAG_WORDS]; /* raised while closed */
	uint32_t pending_sints; /* bit n: pending_events[n] is not all zero */
	struct hv_stimer stimer[HV_STIMER_COUNT];
	uint64_t timer_armed; /* last value passed to the port */
	uint64_t timer_ran;   /* reference time of the last hv_stimer_expire() */
	/* owner: the VP's thread */
	uint64_t assist_page;
};

/* Any thread, with relaxed loads. */
struct hv_counters {
	_Atomic uint64_t messages_delivered; /* into slots, timer messages included */
	_Atomic uint64_t messages_refused;   /* queue full or no memory */
	_Atomic uint64_t events_raised;      /* flags that went from 0 to 1 */
	_Atomic uint64_t interrupts;         /* injections, direct timers included */
	_Atomic uint64_t timer_expiries;
	_Atomic uint64_t hypercalls, hypercalls_failed;
	_Atomic uint64_t msr_faults; /* #GP given to the guest */
	_Atomic uint64_t crashes;    /* reports */
};

struct hv {
	struct hv_config config;
	/* constant after hv_init() */
	uint32_t features;  /* HV_FEAT_* offered: gates the MSRs */
	uint64_t tsc_scale; /* 0.64 fixed point: 100 ns per TSC tick; 0 = no usable TSC */
	/* changed only by hv_time_resume(), while no VP and no timer thread runs */
	int64_t tsc_offset; /* reference time = ((TSC * scale) >> 64) + offset */
	_Atomic bool time_paused;
	uint64_t paused_tsc; /* time_paused: (TSC * scale) >> 64 at hv_time_pause() */
	bool tsc_page_stale; /* time_paused: scale or offset are not those of the page */
	/* under lock */
	pthread_mutex_t lock;
	uint64_t guest_os_id, hypercall, reference_tsc, tsc_invariant_ctl;
	uint64_t crash_param[HV_CRASH_PARAMS];
	uint32_t tsc_sequence; /* last one written to a reference TSC page */
	/* under connection_lock */
	pthread_rwlock_t connection_lock;
	struct list connections;
	struct hv_counters counters;
	struct hv_vp vp[HV_VPS_MAX];
};

/* vp_count in 1..HV_VPS_MAX. -errno of the lock initialisers. The port's timer_arm and
 * guest_tsc must work. */
int hv_init(struct hv *hv, const struct hv_config *config);
/* No VP or timer thread may use hv any more; connections are removed. */
void hv_fini(struct hv *hv);

/* Any thread. The guest has registered an open-source operating system: Linux, the BSDs. */
bool hv_guest_is_open_source(struct hv *hv);

/*
 * Saving (hv_archive.c). The state that guest memory does not hold, either direction, while time is
 * paused. Reading is no write of MSRs: pages of the guest keep what they hold. It comes after
 * hv_init(), before VPs run; connections are added by their owners; time is paused then, at the
 * reference time of the image. Control thread.
 */
void hv_archive(struct hv *hv, struct archive *a);
/* After reading, when interrupts reach the VPs and timers can be armed: what waits is delivered as
 * far as possible, and each open SINT interrupts once. */
void hv_restored(struct hv *hv);

/* Any thread. Registers, SynIC and synthetic timers of each VP, counters. Takes hv.lock and each
 * hv_vp.lock for a copy. */
void hv_inspect(struct hv *hv, struct inspect *i);

/* ---- CPUID (cpuid.c) ----------------------------------------------------- */
struct hv_cpuid_leaf {
	uint32_t leaf, eax, ebx, ecx, edx;
};
#define HV_CPUID_LEAVES 7u
/* The leaves HV_CPUID_VENDOR.. in order, for this configuration. */
void hv_cpuid(const struct hv_config *config, struct hv_cpuid_leaf leaves[HV_CPUID_LEAVES]);

/* ---- MSRs (msr.c) -------------------------------------------------------- */
/* 0, or -EPERM: inject #GP. */
int hv_msr_read(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t *value);
int hv_msr_write(struct hv *hv, uint32_t vp, uint32_t msr, uint64_t value);

/* ---- hypercalls (hcall*.c, connection.c) --------------------------------- */
struct hv_hypercall {
	uint64_t control, input, output; /* RCX, RDX, R8 of a 64-bit caller */
};
/* The result word for RAX. */
uint64_t hv_hypercall(struct hv *hv, uint32_t vp, const struct hv_hypercall *call);
/* The code of the hypercall page; see hcall_page.c for the listing. */
void hv_hypercall_page_fill(uint8_t page[HV_PAGE_SIZE]);
#define HV_HYPERCALL_PAGE_SIGNAL_RET 0x1Cu /* offset of the `ret` after the signal `out` */

/* Adds a connection; conn must stay until deleted. -EEXIST; -EINVAL for an id that is no
 * connection id. Any thread, not from a handler. */
int hv_connection_add(struct hv *hv, struct hv_connection *conn);
/* Waits for running handlers. Any thread, not from a handler; see struct hv_connection. */
void hv_connection_del(struct hv *hv, struct hv_connection *conn);

/* ---- SynIC (synic.c). Any thread. ---------------------------------------- */
/* Queues a message for the VP's slot `sint` and delivers it when possible. FIFO per SINT.
 * -ENOBUFS: HV_SYNIC_QUEUE_MAX reached. -ENOMEM, also beyond the budget. -EINVAL: vp, sint, type (0
 * or bit 31 set) or size out of range. */
int synic_post(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t type, uint64_t sender,
	const void *payload, uint32_t size);
/* Sets the event flag; interrupts if it was clear. Kept for later while the SynIC is disabled.
 * Out of range arguments are ignored. */
void synic_signal(struct hv *hv, uint32_t vp, uint32_t sint, uint32_t flag);
/* Drops, on all VPs, messages not yet in a slot and events kept for later. */
void synic_flush(struct hv *hv, uint32_t sint);
/* Interrupts the VP once through each open SINT. Guests bear it: they look for flags and messages.
 * For an interrupt that may have been lost on its way to the VP. */
void synic_interrupt(struct hv *hv, uint32_t vp);
/* Interrupts the VP through this SINT, if it is open; without a message or an event. */
void synic_interrupt_sint(struct hv *hv, uint32_t vp, uint32_t sint);

/* ---- time (reftime.c, stimer.c) ------------------------------------------ */
uint64_t hv_ref_time(struct hv *hv); /* 100 ns since the partition started, monotonic */
/* Reference time stands still from hv_time_pause() to hv_time_resume(), and goes on from there.
 * When the guest's TSC ran on meanwhile, the reference TSC page is rewritten with a new sequence.
 * No VP and no timer thread runs from before the first to after the second. Control thread. */
void hv_time_pause(struct hv *hv);
void hv_time_resume(struct hv *hv);
/* Any thread: between the two. */
bool hv_time_is_paused(struct hv *hv);
/* The host timer of this VP expired: handles due timers, arms it for the others. Harmless when
 * early or repeated. Any thread. */
void hv_stimer_expire(struct hv *hv, uint32_t vp);

#endif
