/* SPDX-License-Identifier: MIT */
/*
 * Interrupts of SINTs with AutoEOI (hyper/hv/auto_eoi.h), given to the VP without its LAPIC.
 *
 * KVM_SET_VCPU_EVENTS takes an "injected interrupt", which is an interrupt between the LAPIC's
 * acknowledgement and the VP's first instruction of its handler. Set by us, the LAPIC never sees
 * it: no bit in its registers is changed, so none that another thread sets meanwhile can be lost.
 *
 * KVM delivers such an interrupt without a check of its own. So a VP gets it only at a moment when
 * it would take one: out of KVM_RUN, with no exit left to complete, and ready by its registers. A
 * kick brings it there; when it is not ready, a timer kicks it again.
 *
 * It costs a kick and five or six short ioctls an interrupt. SINTs without AutoEOI do not come
 * here.
 *
 * Thread: the VP's own, but auto_eoi_inject().
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"
#include "hyper/kvm/partition_impl.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define RFLAGS_IF (1u << 9)

/* Offsets into the LAPIC's registers. */
#define LAPIC_TPR        0x80u
#define LAPIC_SPURIOUS   0xF0u
#define LAPIC_IN_SERVICE 0x100u
#define LAPIC_REG_SIZE   0x10u
#define SPURIOUS_ENABLE  (1u << 8)

/* The header and what KVM appends while the guest runs a guest of its own. */
#define NESTED_STATE_SIZE (sizeof(struct kvm_nested_state) + 3 * 4096)

/* What a VP that is out of the guest is about to do. */
struct vp_state {
	struct auto_eoi_vp decision;
	struct kvm_vcpu_events events;
	bool halted;
};

/* ---- the VP's state ------------------------------------------------------ */

static uint32_t lapic_reg(const struct kvm_lapic_state *lapic, uint32_t reg)
{
	uint32_t value;

	memcpy(&value, &lapic->regs[reg], sizeof(value));
	return value;
}

static int read_lapic(struct vp *vp, struct auto_eoi_vp *decision)
{
	struct kvm_lapic_state lapic;

	if (ioctl(vp->fd, KVM_GET_LAPIC, &lapic) < 0)
		return -errno;
	decision->lapic_on = lapic_reg(&lapic, LAPIC_SPURIOUS) & SPURIOUS_ENABLE;
	decision->task_priority = (uint8_t)lapic_reg(&lapic, LAPIC_TPR);
	for (uint32_t word = 0; word < LAPIC_WORDS; word++)
		decision->in_service[word] =
			lapic_reg(&lapic, LAPIC_IN_SERVICE + word * LAPIC_REG_SIZE);
	return 0;
}

/* Waits for INIT or SIPI: its LAPIC takes no interrupts. */
static int read_mp_state(struct vp *vp, struct vp_state *state)
{
	struct kvm_mp_state mp;

	if (ioctl(vp->fd, KVM_GET_MP_STATE, &mp) < 0)
		return -errno;
	state->halted = mp.mp_state == KVM_MP_STATE_HALTED;
	if (!state->halted && mp.mp_state != KVM_MP_STATE_RUNNABLE)
		state->decision.lapic_on = false;
	return 0;
}

/* True while the guest runs a guest of its own, which must not get our interrupt, or has turned
 * all interrupts off to start one (SVM's GIF). A KVM without nesting refuses to answer. */
static bool nested_holds_back(struct vp *vp)
{
	union {
		struct kvm_nested_state state;
		uint8_t space[NESTED_STATE_SIZE];
	} u;

	u.state.size = sizeof(u);
	if (ioctl(vp->fd, KVM_GET_NESTED_STATE, &u) < 0)
		return false;
	if (u.state.flags & (KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_RUN_PENDING))
		return true;
	return u.state.format == KVM_STATE_NESTED_FORMAT_SVM &&
	       !(u.state.flags & KVM_STATE_NESTED_GIF_SET);
}

static bool is_busy(const struct kvm_vcpu_events *events)
{
	return events->exception.injected || events->exception.pending || events->nmi.injected ||
	       events->interrupt.injected;
}

static int read_state(struct vp *vp, struct vp_state *state)
{
	struct kvm_regs regs;
	int ret = read_lapic(vp, &state->decision);

	if (!ret)
		ret = read_mp_state(vp, state);
	if (!ret)
		ret = vp_get_regs(vp, &regs);
	if (!ret)
		ret = ioctl(vp->fd, KVM_GET_VCPU_EVENTS, &state->events) < 0 ? -errno : 0;
	if (ret)
		return ret;
	state->decision.busy = is_busy(&state->events);
	state->decision.interruptible = (regs.rflags & RFLAGS_IF) &&
					!state->events.interrupt.shadow && !state->events.smi.smm &&
					!nested_holds_back(vp);
	return 0;
}

/* ---- delivery ------------------------------------------------------------ */

/* Without flags the call leaves alone what other threads may change meanwhile: a pending NMI, a
 * SIPI. A halted VP is made to run, since KVM looks only at its LAPIC for what ends a halt. */
static int inject(struct vp *vp, struct vp_state *state, uint8_t vector)
{
	struct kvm_mp_state running = {.mp_state = KVM_MP_STATE_RUNNABLE};

	state->events.flags = 0;
	state->events.interrupt.injected = 1;
	state->events.interrupt.nr = vector;
	state->events.interrupt.soft = 0;
	if (ioctl(vp->fd, KVM_SET_VCPU_EVENTS, &state->events) < 0)
		return -errno;
	if (state->halted && ioctl(vp->fd, KVM_SET_MP_STATE, &running) < 0)
		return -errno;
	count_event(&vp->auto_eoi.delivered);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return timespec_ns(ts);
}

static int create_timer(struct vp *vp)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = VP_KICK_SIGNAL};

	event.sigev_notify_thread_id = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &vp->auto_eoi.timer))
		return -errno;
	vp->auto_eoi.has_timer = true;
	return 0;
}

/* The timer's signal is a kick. */
static int kick_later(struct vp *vp)
{
	struct vp_auto_eoi *a = &vp->auto_eoi;
	struct itimerspec when = {0};
	uint64_t now = now_ns();
	int ret = a->has_timer ? 0 : create_timer(vp);

	if (ret)
		return ret;
	if (!a->waits_since)
		a->waits_since = now;
	when.it_value.tv_nsec = (long)auto_eoi_retry_ns(now - a->waits_since);
	count_event(&a->retries);
	return timer_settime(a->timer, 0, &when, NULL) ? -errno : 0;
}

static int step(struct vp *vp)
{
	struct vp_auto_eoi *a = &vp->auto_eoi;
	struct vp_state state = {0};
	struct auto_eoi_step next;
	int ret = read_state(vp, &state);

	if (ret)
		return ret;
	next = auto_eoi_next(&a->interrupts, &state.decision);
	if (next.action == AUTO_EOI_WAIT)
		return kick_later(vp);
	a->waits_since = 0;
	if (next.action == AUTO_EOI_FORGET)
		auto_eoi_forget(&a->interrupts);
	if (next.action != AUTO_EOI_INJECT)
		return 0;
	auto_eoi_take(&a->interrupts, next.vector);
	ret = inject(vp, &state, next.vector);
	/* The next one, when the handler of this one lets it. */
	if (!ret && auto_eoi_waiting(&a->interrupts))
		ret = kick_later(vp);
	return ret;
}

void auto_eoi_deliver(struct vp *vp)
{
	int ret = auto_eoi_waiting(&vp->auto_eoi.interrupts) ? step(vp) : 0;

	if (ret)
		vp_error(vp, "an interrupt with AutoEOI cannot be delivered");
}

void auto_eoi_end(struct vp *vp)
{
	if (vp->auto_eoi.has_timer)
		timer_delete(vp->auto_eoi.timer);
	vp->auto_eoi.has_timer = false;
}

void auto_eoi_inject(struct partition *p, uint32_t vp, uint8_t vector)
{
	if (auto_eoi_raise(&p->vps[vp].auto_eoi.interrupts, vector))
		vp_kick(&p->vps[vp]);
}
