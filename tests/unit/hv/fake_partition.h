/* SPDX-License-Identifier: MIT */
/*
 * A machine for the Hyper-V interface without KVM: small RAM in an address
 * window whose rest faults, a clock set by hand, and a port that records.
 * Shared by the unit tests and tests/fuzz/fuzz_hv.c.
 *
 * The TSC runs at 40 MHz, so that reference time is exactly TSC / 4.
 */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "hyper/hv/hv.h"

#define FAKE_LOW_SIZE  (8 * HV_PAGE_SIZE)
#define FAKE_HIGH_SIZE (2 * HV_PAGE_SIZE)
#define FAKE_WINDOW    (GMEM_HIGH_START + FAKE_HIGH_SIZE + HV_PAGE_SIZE)
#define FAKE_TSC_HZ    40000000ull
#define FAKE_TICK      4u /* TSC ticks per 100 ns */

#define FAKE_OUTSIDE_RAM FAKE_LOW_SIZE /* first GPA that is not RAM */

struct fake_irq {
	uint32_t vp, sint;
	uint8_t vector;
};

struct fake_partition {
	struct gmem gmem;
	struct hv hv;
	_Atomic uint64_t tsc;
	/* what the port was asked for */
	_Atomic unsigned injected, direct, auto_eoi; /* injected counts those with AutoEOI, too */
	struct fake_irq last_irq, last_route;
	unsigned routes;
	uint8_t route[HV_VPS_MAX][HV_SINT_COUNT];
	uint8_t last_direct;
	uint64_t armed[HV_VPS_MAX];
	unsigned arms, resets, invariants, crashes;
	uint8_t direct_vector[HV_VPS_MAX]; /* the last one to each VP */
	unsigned flushes;
	uint32_t last_flush_caller;
	uint64_t last_flush; /* the set of VPs */
	unsigned discards;
	uint64_t discarded, last_discard; /* bytes; a GPA */
	bool discards_all;                /* RAM or not */
	uint8_t xmm[HV_HCALL_XMM_SIZE];
	unsigned xmm_reads;
	struct hv_crash crash;
	/* called by inject (under hv_vp.lock) and by sint_changed, when set */
	void (*inject_hook)(struct fake_partition *m);
	void (*route_hook)(struct fake_partition *m);
};

/* Runs under hv_vp.lock. A SINT with AutoEOI has no route; some open SINT has the vector. */
static inline void fake_inject_auto_eoi(void *ctx, uint32_t vp, uint8_t vector)
{
	struct fake_partition *m = ctx;
	bool found = false;

	assert(vp < m->hv.config.vp_count && vector >= HV_SINT_FIRST_VECTOR);
	assert(m->hv.vp[vp].scontrol & HV_SCONTROL_ENABLE);
	assert(pthread_mutex_trylock(&m->hv.vp[vp].lock) == EBUSY);
	for (uint32_t sint = 0; sint < HV_SINT_COUNT; sint++) {
		uint64_t value = m->hv.vp[vp].sint[sint];

		if ((value & HV_SINT_AUTO_EOI) && (value & HV_SINT_VECTOR_MASK) == vector &&
			!(value & (HV_SINT_MASKED | HV_SINT_POLLING)))
			found = true;
	}
	assert(found);
	m->last_irq = (struct fake_irq){vp, 0, vector};
	m->injected++;
	m->auto_eoi++;
	if (m->inject_hook)
		m->inject_hook(m);
}

/* Delivery is only legal on an open SINT with a programmed route. Runs under hv_vp.lock. */
static inline void fake_inject(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct fake_partition *m = ctx;
	uint64_t value;

	assert(vp < m->hv.config.vp_count && sint < HV_SINT_COUNT);
	value = m->hv.vp[vp].sint[sint];
	assert(m->hv.vp[vp].scontrol & HV_SCONTROL_ENABLE);
	assert(!(value & (HV_SINT_MASKED | HV_SINT_POLLING | HV_SINT_AUTO_EOI)));
	assert(vector == (value & HV_SINT_VECTOR_MASK) && vector >= HV_SINT_FIRST_VECTOR);
	assert(m->route[vp][sint] == vector);
	assert(pthread_mutex_trylock(&m->hv.vp[vp].lock) == EBUSY);
	m->last_irq = (struct fake_irq){vp, sint, vector};
	m->injected++;
	if (m->inject_hook)
		m->inject_hook(m);
}

static inline void fake_sint_changed(void *ctx, uint32_t vp, uint32_t sint, uint8_t vector)
{
	struct fake_partition *m = ctx;

	m->last_route = (struct fake_irq){vp, sint, vector};
	if (m->route_hook)
		m->route_hook(m);
	m->route[vp][sint] = vector;
	m->routes++;
}

static inline void fake_inject_direct(void *ctx, uint32_t vp, uint8_t vector)
{
	struct fake_partition *m = ctx;

	assert(vp < m->hv.config.vp_count && vector >= HV_SINT_FIRST_VECTOR);
	m->last_direct = vector;
	m->direct_vector[vp] = vector;
	m->direct++;
}

static inline void fake_flush_tlb(void *ctx, uint32_t caller, uint64_t vps)
{
	struct fake_partition *m = ctx;

	assert(m->hv.config.flush && caller < m->hv.config.vp_count);
	assert(vps && !(vps & ~(UINT64_MAX >> (64 - m->hv.config.vp_count))));
	m->last_flush_caller = caller;
	m->last_flush = vps;
	m->flushes++;
}

static inline int fake_discard(void *ctx, uint64_t gpa, uint64_t bytes)
{
	struct fake_partition *m = ctx;

	assert(m->hv.config.discard && bytes && (gpa | bytes) % HV_PAGE_SIZE == 0);
	if (!m->discards_all && !gmem_contains(&m->gmem, gpa, bytes))
		return -EFAULT;
	m->last_discard = gpa;
	m->discarded += bytes;
	m->discards++;
	return 0;
}

static inline void fake_read_xmm(void *ctx, uint32_t vp, uint8_t xmm[HV_HCALL_XMM_SIZE])
{
	struct fake_partition *m = ctx;

	memcpy(xmm, m->xmm, HV_HCALL_XMM_SIZE);
	m->xmm_reads++;
}

static inline uint64_t fake_guest_tsc(void *ctx)
{
	struct fake_partition *m = ctx;

	return m->tsc;
}

static inline void fake_timer_arm(void *ctx, uint32_t vp, uint64_t ref_time)
{
	struct fake_partition *m = ctx;

	m->armed[vp] = ref_time;
	m->arms++;
}

static inline void fake_tsc_invariant(void *ctx, uint32_t vp)
{
	((struct fake_partition *)ctx)->invariants++;
}

static inline void fake_reset(void *ctx)
{
	((struct fake_partition *)ctx)->resets++;
}

static inline void fake_crash(void *ctx, const struct hv_crash *crash)
{
	struct fake_partition *m = ctx;

	m->crash = *crash;
	m->crashes++;
}

static const struct hv_port_ops fake_port = {
	.inject = fake_inject,
	.inject_auto_eoi = fake_inject_auto_eoi,
	.sint_changed = fake_sint_changed,
	.inject_direct = fake_inject_direct,
	.flush_tlb = fake_flush_tlb,
	.discard = fake_discard,
	.read_xmm = fake_read_xmm,
	.guest_tsc = fake_guest_tsc,
	.timer_arm = fake_timer_arm,
	.tsc_invariant = fake_tsc_invariant,
	.reset = fake_reset,
	.crash = fake_crash,
};

static inline struct hv_config fake_config(struct fake_partition *m)
{
	return (struct hv_config){
		.gmem = &m->gmem,
		.vp_count = 3,
		.tsc_hz = FAKE_TSC_HZ,
		.tsc_invariant = true,
		.stimer = true,
		.flush = true,
		.discard = true,
		.port = &fake_port,
		.ctx = m,
	};
}

static inline void fake_ram_init(struct gmem *gmem)
{
	uint8_t *base = mmap(
		NULL, FAKE_WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int ret;

	assert(base != MAP_FAILED);
	ret = mprotect(base, FAKE_LOW_SIZE, PROT_READ | PROT_WRITE);
	assert(ret == 0);
	ret = mprotect(base + GMEM_HIGH_START, FAKE_HIGH_SIZE, PROT_READ | PROT_WRITE);
	assert(ret == 0);
	*gmem = (struct gmem){
		.memfd = -1, .base = base, .low_size = FAKE_LOW_SIZE, .high_size = FAKE_HIGH_SIZE};
}

static inline void fake_ram_fini(struct gmem *gmem)
{
	munmap(gmem->base, FAKE_WINDOW);
}

/* The recorders start at zero, the clock at 1000 so that a forgotten offset shows. */
static inline void fake_init_config(struct fake_partition *m, const struct hv_config *config)
{
	int ret;

	m->tsc = 1000 * FAKE_TICK;
	for (uint32_t i = 0; i < HV_VPS_MAX; i++)
		m->armed[i] = HV_STIMER_NEVER;
	ret = hv_init(&m->hv, config);
	assert(ret == 0);
}

static inline void fake_init(struct fake_partition *m)
{
	struct hv_config config = fake_config(m);

	memset(m, 0, sizeof(*m));
	fake_ram_init(&m->gmem);
	fake_init_config(m, &config);
}

static inline void fake_fini(struct fake_partition *m)
{
	hv_fini(&m->hv);
	fake_ram_fini(&m->gmem);
}

static inline void fake_advance(struct fake_partition *m, uint64_t ref_ticks)
{
	m->tsc += ref_ticks * FAKE_TICK;
}

static inline void *fake_ram(struct fake_partition *m, uint64_t gpa)
{
	return m->gmem.base + gpa;
}

/* ---- what a guest does --------------------------------------------------- */

static inline int fake_wrmsr(struct fake_partition *m, uint32_t vp, uint32_t msr, uint64_t value)
{
	return hv_msr_write(&m->hv, vp, msr, value);
}

/* A read that must not fault. */
static inline uint64_t fake_rdmsr(struct fake_partition *m, uint32_t vp, uint32_t msr)
{
	uint64_t value = 0;
	int ret = hv_msr_read(&m->hv, vp, msr, &value);

	assert(ret == 0);
	return value;
}

static inline uint64_t fake_hypercall(
	struct fake_partition *m, uint64_t control, uint64_t input, uint64_t output)
{
	struct hv_hypercall call = {.control = control, .input = input, .output = output};

	return hv_hypercall(&m->hv, 0, &call);
}

/* SynIC pages of the VP: messages in RAM page 1 + 2 * vp, events in the next. */
#define FAKE_SIMP(vp)  ((1 + 2 * (uint64_t)(vp)) * HV_PAGE_SIZE)
#define FAKE_SIEFP(vp) ((2 + 2 * (uint64_t)(vp)) * HV_PAGE_SIZE)
#define FAKE_SINT      2u
#define FAKE_VECTOR    0xF3u

/* In Linux' order. */
static inline void fake_synic_on(struct fake_partition *m, uint32_t vp)
{
	fake_wrmsr(m, vp, HV_MSR_SIMP, FAKE_SIMP(vp) | HV_MSR_PAGE_ENABLE);
	fake_wrmsr(m, vp, HV_MSR_SIEFP, FAKE_SIEFP(vp) | HV_MSR_PAGE_ENABLE);
	fake_wrmsr(m, vp, HV_MSR_SINT0 + FAKE_SINT, FAKE_VECTOR);
	fake_wrmsr(m, vp, HV_MSR_SCONTROL, HV_SCONTROL_ENABLE);
}

static inline struct hv_message *fake_slot(struct fake_partition *m, uint32_t vp, uint32_t sint)
{
	return &((struct hv_message_page *)fake_ram(m, FAKE_SIMP(vp)))->sint[sint];
}

static inline bool fake_flag(struct fake_partition *m, uint32_t vp, uint32_t sint, uint32_t flag)
{
	const uint8_t *page = fake_ram(m, FAKE_SIEFP(vp));

	return page[sint * 256 + flag / 8] >> flag % 8 & 1;
}

/* The guest's side of a slot: copy, clear the type, EOM if asked. False when it was empty. */
static inline bool fake_take(
	struct fake_partition *m, uint32_t vp, uint32_t sint, struct hv_message *out)
{
	struct hv_message *slot = fake_slot(m, vp, sint);

	if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == HV_MESSAGE_TYPE_NONE)
		return false;
	memcpy(out, slot, sizeof(*out));
	__atomic_exchange_n(&slot->type, HV_MESSAGE_TYPE_NONE, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->flags, __ATOMIC_SEQ_CST) & HV_MESSAGE_FLAG_PENDING)
		fake_wrmsr(m, vp, HV_MSR_EOM, 0);
	return true;
}

#endif
