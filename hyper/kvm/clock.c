/* SPDX-License-Identifier: MIT */
/*
 * The clocks of a guest: its TSC, and with it reference time and synthetic timers; and the timers
 * of its LAPICs. All of them can be frozen and run on from there, while VPs do not run.
 *
 * KVM has no switch that stops a VM's time. The TSC stands still by an offset that grows by the
 * length of the pause (KVM_VCPU_TSC_OFFSET). A KVM without a working offset lets the guest's TSC
 * run on; reference time stands still all the same, by an offset of its own (hv_time_pause). A
 * LAPIC timer counts on in the kernel; it is started again with the count, or the deadline, that it
 * had.
 *
 * Thread: control.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "base/log.h"
#include "hyper/kvm/partition_impl.h"
#include "hyper/kvm/vp_state.h"

#define MSR_IA32_TSC          0x10u
#define MSR_IA32_TSC_DEADLINE 0x6E0u

/* Offsets into the LAPIC's registers. */
#define LAPIC_LVT_TIMER     0x320u
#define LAPIC_INITIAL_COUNT 0x380u
#define LAPIC_CURRENT_COUNT 0x390u
#define LVT_TIMER_MODE      (3u << 17)
#define LVT_TIMER_PERIODIC  (1u << 17)
#define LVT_TIMER_DEADLINE  (2u << 17)

/* ---- TSC ----------------------------------------------------------------- */

static int tsc_offset_attr(struct vp *vp, unsigned long request, int64_t *offset)
{
	struct kvm_device_attr attr = {
		.group = KVM_VCPU_TSC_CTRL,
		.attr = KVM_VCPU_TSC_OFFSET,
		.addr = (uint64_t)(uintptr_t)offset,
	};

	return ioctl(vp->fd, request, &attr) < 0 ? -errno : 0;
}

/* The same offset on all VPs. */
static int set_tsc_offset(struct partition *p, int64_t offset)
{
	int ret = 0;

	for (uint32_t i = 0; i < p->vps_created && !ret; i++)
		ret = tsc_offset_attr(&p->vps[i], KVM_SET_DEVICE_ATTR, &offset);
	return ret;
}

/* VP 0's TSC - the host's, by reading both. */
static int measure_tsc_offset(struct partition *p, int64_t *offset)
{
	uint64_t guest = 0;
	int ret = vp_host_msr(&p->vps[0], KVM_GET_MSRS, MSR_IA32_TSC, &guest);

	*offset = (int64_t)(guest - __rdtsc());
	return ret;
}

/* True when the guest's TSC runs at this offset: within 10 ms. */
static bool tsc_runs_at(struct partition *p, int64_t offset)
{
	int64_t measured;

	return !measure_tsc_offset(p, &measured) &&
	       llabs(measured - offset) < (int64_t)p->tsc_khz * 10;
}

/* True when KVM takes another offset and the guest's TSC follows. Some take it and do nothing. */
static bool try_tsc_offset(struct partition *p, int64_t offset)
{
	int64_t second = (int64_t)p->tsc_khz * 1000;
	bool works = !set_tsc_offset(p, offset - second) && tsc_runs_at(p, offset - second);

	return !set_tsc_offset(p, offset) && works;
}

int clock_init(struct partition *p, struct err *e)
{
	struct clock *clock = &p->clock;
	int64_t measured, offset;

	if (measure_tsc_offset(p, &measured))
		return err_set(e, -EIO, "%s: cannot read a VP's TSC", PARTITION_KVM_PATH);
	if (!tsc_offset_attr(&p->vps[0], KVM_GET_DEVICE_ATTR, &offset)) {
		clock->tsc_stops = try_tsc_offset(p, offset);
		/* Where the attribute means nothing, guest and host have the same TSC. */
		measured = tsc_runs_at(p, offset) ? offset : 0;
	}
	atomic_store(&clock->tsc_offset, measured);
	if (!clock->tsc_stops)
		log_event(LOG_DEBUG, "this KVM cannot stop a guest's TSC: a pause is seen there");
	return 0;
}

uint64_t clock_guest_tsc(struct partition *p)
{
	struct clock *clock = &p->clock;

	if (atomic_load_explicit(&clock->tsc_stopped, memory_order_acquire))
		return clock->frozen_tsc;
	return __rdtsc() + (uint64_t)atomic_load_explicit(&clock->tsc_offset, memory_order_relaxed);
}

static void tsc_freeze(struct partition *p)
{
	struct clock *clock = &p->clock;

	if (!clock->tsc_stops)
		return;
	clock->frozen_tsc = clock_guest_tsc(p);
	atomic_store(&clock->tsc_stopped, true);
}

/* KVM's TSC goes on from where it stood; clock_guest_tsc() stands still until tsc_thawed(). */
static void tsc_thaw(struct partition *p)
{
	struct clock *clock = &p->clock;
	int64_t offset = (int64_t)(clock->frozen_tsc - __rdtsc());
	int ret;

	if (!clock->tsc_stops)
		return;
	ret = set_tsc_offset(p, offset);
	if (ret)
		log_event(LOG_ERROR, "the TSC offset of a VP cannot be set: %s; its clock jumps",
			strerror(-ret));
	atomic_store(&clock->tsc_offset, offset);
}

static void tsc_thawed(struct partition *p)
{
	atomic_store(&p->clock.tsc_stopped, false);
}

/* ---- LAPIC timers -------------------------------------------------------- */

static uint32_t lapic_get(const struct kvm_lapic_state *lapic, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, &lapic->regs[reg], sizeof(value));
	return value;
}

static void lapic_set(struct kvm_lapic_state *lapic, uint32_t reg, uint32_t value)
{
	memcpy(&lapic->regs[reg], &value, sizeof(value));
}

/* A one-shot timer with nothing left to count has expired: KVM keeps its interrupt. */
static bool is_counting(const struct kvm_lapic_state *lapic, uint32_t mode)
{
	return lapic_get(lapic, LAPIC_INITIAL_COUNT) &&
	       (mode == LVT_TIMER_PERIODIC || lapic_get(lapic, LAPIC_CURRENT_COUNT));
}

static void lapic_timer_freeze(struct vp *vp)
{
	struct lapic_timer *timer = &vp->timer;
	struct kvm_lapic_state lapic;
	uint32_t mode;

	*timer = (struct lapic_timer){0};
	if (ioctl(vp->fd, KVM_GET_LAPIC, &lapic) < 0)
		return;
	mode = lapic_get(&lapic, LAPIC_LVT_TIMER) & LVT_TIMER_MODE;
	if (mode == LVT_TIMER_DEADLINE) {
		vp_host_msr(vp, KVM_GET_MSRS, MSR_IA32_TSC_DEADLINE, &timer->deadline);
	} else if (is_counting(&lapic, mode)) {
		timer->counting = true;
		timer->count = lapic_get(&lapic, LAPIC_CURRENT_COUNT);
	}
}

static bool is_over(const struct kvm_lapic_state *lapic)
{
	return !(lapic_get(lapic, LAPIC_LVT_TIMER) & LVT_TIMER_MODE) &&
	       !lapic_get(lapic, LAPIC_CURRENT_COUNT);
}

void clock_note_timer(struct vp *vp)
{
	struct kvm_lapic_state lapic;

	vp->timer_over = ioctl(vp->fd, KVM_GET_LAPIC, &lapic) == 0 && is_over(&lapic);
}

/* KVM_SET_LAPIC expires a one-shot timer that has an initial count and nothing left of it once
 * more. One whose interrupt is not lost must not do that. */
void clock_timer_to_state(const struct vp *vp, struct vp_state *s)
{
	if (vp->timer_over && is_over(&s->lapic))
		lapic_set(&s->lapic, LAPIC_INITIAL_COUNT, 0);
	s->deadline = vp->timer.deadline;
	if (vp->timer.counting)
		lapic_set(&s->lapic, LAPIC_CURRENT_COUNT, vp->timer.count);
}

void clock_timer_from_state(struct vp *vp, const struct vp_state *s)
{
	uint32_t mode = lapic_get(&s->lapic, LAPIC_LVT_TIMER) & LVT_TIMER_MODE;

	vp->timer = (struct lapic_timer){0};
	if (mode == LVT_TIMER_DEADLINE) {
		vp->timer.deadline = s->deadline;
	} else if (is_counting(&s->lapic, mode)) {
		vp->timer.counting = true;
		vp->timer.count = lapic_get(&s->lapic, LAPIC_CURRENT_COUNT);
	}
}

/* The whole LAPIC is read and written back; an interrupt that comes in between is lost. Of what can
 * come here, only SINTs: VPs, timers and the devices of the control thread rest. */
static void lapic_count_thaw(struct vp *vp)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vp->fd, KVM_GET_LAPIC, &lapic) < 0)
		return;
	lapic_set(&lapic, LAPIC_CURRENT_COUNT, vp->timer.count);
	if (ioctl(vp->fd, KVM_SET_LAPIC, &lapic) < 0)
		log_event(LOG_ERROR, "VP %u: KVM_SET_LAPIC: %s", vp->index, strerror(errno));
	synic_interrupt(&vp->p->hv, vp->index);
}

/* A deadline that has passed by the guest's TSC, and one that expired unseen by the VP, fires at
 * once. */
static void lapic_timer_thaw(struct vp *vp)
{
	if (vp->timer.deadline)
		vp_host_msr(vp, KVM_SET_MSRS, MSR_IA32_TSC_DEADLINE, &vp->timer.deadline);
	else if (vp->timer.counting)
		lapic_count_thaw(vp);
}

/* ---- all of them --------------------------------------------------------- */

void clock_freeze(struct partition *p)
{
	assert(!p->clock.frozen);
	p->clock.frozen = true;
	stimer_thread_pause(p);
	for (uint32_t i = 0; i < p->vps_created; i++)
		lapic_timer_freeze(&p->vps[i]);
	tsc_freeze(p);
	hv_time_pause(&p->hv);
}

void clock_thaw(struct partition *p)
{
	if (!p->clock.frozen)
		return;
	p->clock.frozen = false;
	tsc_thaw(p);
	hv_time_resume(&p->hv);
	tsc_thawed(p);
	for (uint32_t i = 0; i < p->vps_created; i++)
		lapic_timer_thaw(&p->vps[i]);
	stimer_thread_resume(p);
}
