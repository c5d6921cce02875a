/* SPDX-License-Identifier: MIT */
/*
 * Flushing the TLBs of other VPs. KVM has no call for it; ADR 0010 says why this one is right.
 *
 * A VP flushes its own TLB, on its thread, before it next runs an instruction. The caller asks,
 * makes the VP leave the guest if it is there, and waits until it has left. Each VP has two words:
 * the caller writes `wanted` and then reads `in_guest`; the VP writes `in_guest` and then reads
 * `wanted`. All are sequentially consistent, so that one of the two sees the other.
 *
 *   OUT --in_guest = true--> wanted > done? --no--> IN (KVM_RUN) --in_guest = false--> OUT
 *    ^                             | yes
 *    +---- flush, done = wanted ---+
 *
 * No deadlock: a VP that waits is not in the guest, so that no other VP waits for it.
 */
#include <sys/ioctl.h>

#include "hyper/kvm/partition_impl.h"

#define CR3_PWT 0x8ull /* how the top table is cached, of no effect in a guest */

void flush_init(struct partition *p)
{
	pthread_mutex_init(&p->flush.lock, NULL);
	pthread_cond_init(&p->flush.changed, NULL);
}

void flush_fini(struct partition *p)
{
	pthread_cond_destroy(&p->flush.changed);
	pthread_mutex_destroy(&p->flush.lock);
}

/* ---- the VP that is flushed: its thread ---------------------------------- */

static bool is_wanted(const struct vp *vp)
{
	return atomic_load(&vp->flush.wanted) != atomic_load(&vp->flush.done);
}

static void wake_callers(struct partition *p)
{
	pthread_mutex_lock(&p->flush.lock);
	pthread_cond_broadcast(&p->flush.changed);
	pthread_mutex_unlock(&p->flush.lock);
}

/* A CR3 with another value, and back: KVM drops the VP's page tables with each change, and flushes
 * when it enters the guest with new ones. */
static int flush_tlb(struct vp *vp)
{
	struct kvm_sregs sregs;

	if (ioctl(vp->fd, KVM_GET_SREGS, &sregs) < 0)
		return -1;
	sregs.cr3 ^= CR3_PWT;
	if (ioctl(vp->fd, KVM_SET_SREGS, &sregs) < 0)
		return -1;
	sregs.cr3 ^= CR3_PWT;
	return ioctl(vp->fd, KVM_SET_SREGS, &sregs);
}

/* A guest that ran on with a translation it believes to be gone would corrupt its memory. */
static bool serve(struct vp *vp)
{
	uint64_t wanted = atomic_load(&vp->flush.wanted);

	if (flush_tlb(vp) < 0) {
		vp_error(vp, "the TLB cannot be flushed");
		return false;
	}
	atomic_store(&vp->flush.done, wanted);
	wake_callers(vp->p);
	return true;
}

bool flush_before_run(struct vp *vp)
{
	atomic_store(&vp->flush.in_guest, true);
	while (is_wanted(vp)) {
		atomic_store(&vp->flush.in_guest, false);
		if (!serve(vp))
			return false;
		atomic_store(&vp->flush.in_guest, true);
	}
	return true;
}

void flush_after_run(struct vp *vp)
{
	atomic_store(&vp->flush.in_guest, false);
	if (is_wanted(vp))
		wake_callers(vp->p);
}

/* Callers signal the thread under the lock, and only while it is in the guest. */
void flush_vp_ends(struct vp *vp)
{
	wake_callers(vp->p);
}

/* ---- the caller: any VP's thread, in a hypercall ------------------------- */

static bool is_awaited(struct vp *vp, uint64_t ticket)
{
	return atomic_load(&vp->flush.in_guest) && atomic_load(&vp->flush.done) < ticket;
}

/* All are asked before the first is waited for. Asking once is enough: the VP leaves, and enters
 * again by flush_before_run() only. */
void flush_vps(struct partition *p, uint32_t caller, uint64_t vps)
{
	uint64_t ticket[HV_VPS_MAX] = {0};

	for (uint32_t i = 0; i < p->config.vp_count; i++)
		if (vps >> i & 1)
			ticket[i] = atomic_fetch_add(&p->vps[i].flush.wanted, 1) + 1;
	pthread_mutex_lock(&p->flush.lock);
	for (uint32_t i = 0; i < p->config.vp_count; i++)
		if (ticket[i] && i != caller && is_awaited(&p->vps[i], ticket[i]))
			vp_kick(&p->vps[i]);
	for (uint32_t i = 0; i < p->config.vp_count; i++)
		while (ticket[i] && i != caller && is_awaited(&p->vps[i], ticket[i]))
			pthread_cond_wait(&p->flush.changed, &p->flush.lock);
	pthread_mutex_unlock(&p->flush.lock);
}
