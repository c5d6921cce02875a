/* SPDX-License-Identifier: MIT */
/*
 * Pausing VPs: each completes the exit it is in, then waits on a condition variable; its thread
 * stays.
 *
 *   RUNNING --wanted, kicked--> exit complete --> timer folded --> PARKED --resume, stop--> RUNNING
 *
 * KVM completes an exit for port I/O, MMIO or an MSR only when KVM_RUN is called again; that may
 * lead to a further exit (string I/O). The kick makes KVM_RUN return -EINTR after it has completed
 * the exit and before it runs a guest instruction: VPs park nowhere else.
 *
 * A LAPIC timer that expired while the VP was outside of KVM_RUN is known to KVM only, in a counter
 * that clock.c would clear. One call of KVM_RUN with a signal pending moves it into the LAPIC;
 * again no guest instruction runs.
 */
#include <assert.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hyper/kvm/partition_impl.h"

void pause_init(struct partition *p)
{
	pthread_mutex_init(&p->pause.lock, NULL);
	pthread_cond_init(&p->pause.changed, NULL);
}

void pause_fini(struct partition *p)
{
	pthread_cond_destroy(&p->pause.changed);
	pthread_mutex_destroy(&p->pause.lock);
}

/* ---- VP threads ---------------------------------------------------------- */

void pause_vp_starts(struct partition *p)
{
	pthread_mutex_lock(&p->pause.lock);
	p->pause.running++;
	pthread_mutex_unlock(&p->pause.lock);
}

/* Under the lock: one VP less runs. The last one reports. */
static void leave(struct pause *pause)
{
	if (--pause->running == 0 && pause->wanted && pause->paused)
		pause->paused(pause->ctx);
}

void pause_vp_ends(struct partition *p)
{
	pthread_mutex_lock(&p->pause.lock);
	leave(&p->pause);
	pthread_mutex_unlock(&p->pause.lock);
}

/* The kernel's own form of a signal set, as KVM_SET_SIGNAL_MASK takes it. */
static void set_run_mask(struct vp *vp, const uint64_t *mask)
{
	union {
		struct kvm_signal_mask head;
		uint8_t space[sizeof(struct kvm_signal_mask) + sizeof(*mask)];
	} arg = {.head = {.len = sizeof(*mask)}};
	int ret;

	if (mask)
		memcpy(arg.head.sigset, mask, sizeof(*mask));
	ret = ioctl(vp->fd, KVM_SET_SIGNAL_MASK, mask ? &arg.head : NULL);
	assert(ret == 0);
	(void)ret;
}

/* The kick signal is blocked, but not in KVM_RUN, which thus always finds it pending. A kick
 * meanwhile makes KVM_RUN return too early; its reason is read after the pause. */
static void fold_timer(struct vp *vp)
{
	const uint64_t in_kvm_run = ~(1ull << (VP_KICK_SIGNAL - 1));
	sigset_t kick;

	sigemptyset(&kick);
	sigaddset(&kick, VP_KICK_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &kick, NULL);
	set_run_mask(vp, &in_kvm_run);
	pthread_kill(pthread_self(), VP_KICK_SIGNAL);
	do
		vp_take_kick(vp);
	while ((vp_run_once(vp) || vp_is_kicked(vp)) && !atomic_load(&vp->p->ended));
	set_run_mask(vp, NULL);
	pthread_sigmask(SIG_UNBLOCK, &kick, NULL);
}

void pause_vp_park(struct vp *vp)
{
	clock_note_timer(vp);
	fold_timer(vp);
	pause_vp_wait(vp);
}

void pause_vp_wait(struct vp *vp)
{
	struct pause *pause = &vp->p->pause;

	pthread_mutex_lock(&pause->lock);
	if (pause->wanted) {
		leave(pause);
		while (pause->wanted && !atomic_load(&vp->p->stopping))
			pthread_cond_wait(&pause->changed, &pause->lock);
		pause->running++;
	}
	pthread_mutex_unlock(&pause->lock);
}

/* ---- control thread ------------------------------------------------------ */

void partition_pause(struct partition *p, void (*paused)(void *ctx), void *ctx)
{
	struct pause *pause = &p->pause;
	bool all;

	pthread_mutex_lock(&pause->lock);
	assert(!pause->wanted);
	pause->paused = paused;
	pause->ctx = ctx;
	pause->wanted = true;
	all = pause->running == 0;
	pthread_mutex_unlock(&pause->lock);
	if (all)
		paused(ctx);
	for (uint32_t i = 0; i < p->vps_created; i++)
		vp_kick(&p->vps[i]);
}

bool partition_is_paused(struct partition *p)
{
	bool paused;

	pthread_mutex_lock(&p->pause.lock);
	paused = p->pause.wanted && p->pause.running == 0;
	pthread_mutex_unlock(&p->pause.lock);
	return paused;
}

void partition_freeze(struct partition *p)
{
	assert(partition_is_paused(p));
	clock_freeze(p);
}

void partition_resume(struct partition *p)
{
	clock_thaw(p);
	pause_end(p);
}

bool partition_is_frozen(const struct partition *p)
{
	return p->clock.frozen;
}

void pause_hold(struct partition *p)
{
	assert(!p->pause.running);
	p->pause.paused = NULL;
	p->pause.wanted = true;
}

/* Wakes the parked VPs, to run or to end. */
void pause_end(struct partition *p)
{
	pthread_mutex_lock(&p->pause.lock);
	p->pause.wanted = false;
	pthread_cond_broadcast(&p->pause.changed);
	pthread_mutex_unlock(&p->pause.lock);
}
