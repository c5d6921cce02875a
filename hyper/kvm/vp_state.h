/* SPDX-License-Identifier: MIT */
/*
 * A VP's state in an image: read from KVM while all VPs are parked and the clocks are frozen,
 * written to a VP that has never run. Order and reasons: vp_state.c.
 * Thread: control.
 */
#ifndef HYPER_VP_STATE_H
#define HYPER_VP_STATE_H

#include "base/archive.h"
#include "hyper/kvm/partition_impl.h"

#define VP_MSRS_MAX  512u
#define VP_XSAVE_MAX (256u << 10)

struct vp_msr {
	uint32_t index;
	uint64_t value;
};

struct vp_state {
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	bool has_sregs2;
	struct kvm_sregs sregs;   /* without has_sregs2 */
	struct kvm_sregs2 sregs2; /* with it */
	uint32_t xsave_size;
	uint8_t *xsave; /* owned */
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
	uint64_t deadline; /* of the LAPIC timer; 0: none */
	struct vp_msr msrs[VP_MSRS_MAX];
	uint32_t msr_count;
	struct kvm_vcpu_events events;
	uint64_t auto_eoi[AUTO_EOI_WORDS];
};

void vp_state_fini(struct vp_state *s);
/* 0, or -errno with one line in e. */
int vp_state_read(struct vp *vp, struct vp_state *s, struct err *e);
int vp_state_write(struct vp *vp, struct vp_state *s, struct err *e);
/* Either direction. */
void vp_state_archive(struct vp_state *s, struct archive *a);

/* vp_msrs.c */
bool vp_msr_is_saved(uint32_t index);
int vp_msrs_read(struct vp *vp, struct vp_state *s);
int vp_msrs_write(struct vp *vp, const struct vp_state *s, struct err *e);

/* clock.c: the state of a VP's timer as clock_freeze() left it goes into the image's LAPIC, and
 * back to where clock_thaw() finds it. */
void clock_timer_to_state(const struct vp *vp, struct vp_state *s);
void clock_timer_from_state(struct vp *vp, const struct vp_state *s);

#endif
