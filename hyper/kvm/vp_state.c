/* SPDX-License-Identifier: MIT */
/*
 * Reading: the MP state first, since KVM handles INIT and SIPI for it, which may change the rest;
 * events last.
 *
 * Writing, each before what depends on it:
 *   registers    before events: they drop a pending exception
 *   sregs        before the LAPIC: APIC_BASE says which kind it is, and that it is on
 *   LAPIC        before MSRs: it cancels the timer, and a deadline is taken only in deadline mode.
 *                The deadline itself follows when the TSC is right: clock_thaw()
 *   events       a SIPI vector is valid only for a VP that waits to take it
 *   MP state     last
 * CPUID is set when the VP is created, IO-APIC and PICs before this.
 *
 * KVM checks control registers and MSRs itself; the XSAVE area is checked here.
 */
#include "hyper/kvm/vp_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define XSAVE_HEADER      512u /* offset */
#define XSAVE_HEADER_SIZE 64u
#define XSAVE_MXCSR       24u
#define XSAVE_MXCSR_MASK  0xFFFFu

static int failed(const struct vp *vp, const char *what, int error, struct err *e)
{
	return err_set(e, error, "VP %u: %s: %s", vp->index, what, strerror(-error));
}

static bool offers(const struct vp *vp, int cap)
{
	return ioctl(vp->p->kvm_fd, KVM_CHECK_EXTENSION, cap) > 0;
}

void vp_state_fini(struct vp_state *s)
{
	free(s->xsave);
	s->xsave = NULL;
}

/* ---- XSAVE --------------------------------------------------------------- */

/* How much this KVM reads and writes. Older ones know one size only. */
static uint32_t xsave_size(const struct vp *vp)
{
	int size = ioctl(vp->p->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);

	return size > (int)sizeof(struct kvm_xsave) ? (uint32_t)size : sizeof(struct kvm_xsave);
}

static int xsave_read(struct vp *vp, struct vp_state *s)
{
	uint32_t size = xsave_size(vp);
	unsigned long request = size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE;

	free(s->xsave);
	s->xsave = calloc(1, size);
	s->xsave_size = size;
	if (!s->xsave)
		return -ENOMEM;
	return ioctl(vp->fd, request, s->xsave) < 0 ? -errno : 0;
}

static uint64_t word_at(const uint8_t *bytes, size_t offset)
{
	uint64_t value;

	memcpy(&value, bytes + offset, sizeof(value));
	return value;
}

/* A bad area can make the host's own instruction fail. */
static bool xsave_ok(const struct vp *vp, const struct vp_state *s)
{
	const uint8_t *header = s->xsave + XSAVE_HEADER;
	uint32_t mxcsr;

	if (s->xsave_size < XSAVE_HEADER + XSAVE_HEADER_SIZE)
		return false;
	memcpy(&mxcsr, s->xsave + XSAVE_MXCSR, sizeof(mxcsr));
	if ((mxcsr & ~XSAVE_MXCSR_MASK) || (word_at(header, 0) & ~vp->p->xsave_components))
		return false;
	for (size_t i = 8; i < XSAVE_HEADER_SIZE; i += 8)
		if (word_at(header, i))
			return false;
	return true;
}

static int xsave_write(struct vp *vp, struct vp_state *s)
{
	uint32_t size = xsave_size(vp);
	uint8_t *area;
	int ret;

	if (!xsave_ok(vp, s))
		return -EINVAL;
	area = calloc(1, size > s->xsave_size ? size : s->xsave_size);
	if (!area)
		return -ENOMEM;
	memcpy(area, s->xsave, s->xsave_size);
	ret = ioctl(vp->fd, KVM_SET_XSAVE, area) < 0 ? -errno : 0;
	free(area);
	return ret;
}

/* ---- all of it ----------------------------------------------------------- */

/* One ioctl. */
struct step {
	unsigned long request;
	const char *name;
	void *arg;
};

static int run_steps(struct vp *vp, const struct step *steps, size_t count, struct err *e)
{
	for (size_t i = 0; i < count; i++)
		if (steps[i].arg && ioctl(vp->fd, steps[i].request, steps[i].arg) < 0)
			return failed(vp, steps[i].name, -errno, e);
	return 0;
}

int vp_state_read(struct vp *vp, struct vp_state *s, struct err *e)
{
	const struct step first[] = {
		{KVM_GET_MP_STATE, "KVM_GET_MP_STATE", &s->mp_state},
		{KVM_GET_REGS, "KVM_GET_REGS", &s->regs},
	};
	struct step second[] = {
		{KVM_GET_SREGS, "KVM_GET_SREGS", &s->sregs},
		{KVM_GET_SREGS2, "KVM_GET_SREGS2", NULL},
		{KVM_GET_XCRS, "KVM_GET_XCRS", &s->xcrs},
		{KVM_GET_DEBUGREGS, "KVM_GET_DEBUGREGS", &s->debugregs},
		{KVM_GET_LAPIC, "KVM_GET_LAPIC", &s->lapic},
	};
	const struct step last[] = {
		{KVM_GET_VCPU_EVENTS, "KVM_GET_VCPU_EVENTS", &s->events},
	};
	int ret = run_steps(vp, first, 2, e);

	s->has_sregs2 = offers(vp, KVM_CAP_SREGS2);
	if (s->has_sregs2)
		second[1].arg = &s->sregs2;
	if (!ret)
		ret = run_steps(vp, second, 5, e);
	if (ret)
		return ret;
	ret = xsave_read(vp, s);
	if (!ret)
		ret = vp_msrs_read(vp, s);
	if (ret)
		return failed(vp, "cannot be saved", ret, e);
	clock_timer_to_state(vp, s);
	for (uint32_t i = 0; i < AUTO_EOI_WORDS; i++)
		s->auto_eoi[i] = atomic_load(&vp->auto_eoi.interrupts.waiting[i]);
	return run_steps(vp, last, 1, e);
}

static void events_prepare(struct vp_state *s)
{
	s->events.flags &= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
			   KVM_VCPUEVENT_VALID_SMM;
	if (s->mp_state.mp_state == KVM_MP_STATE_SIPI_RECEIVED)
		s->events.flags |= KVM_VCPUEVENT_VALID_SIPI_VECTOR;
}

int vp_state_write(struct vp *vp, struct vp_state *s, struct err *e)
{
	const struct step registers[] = {
		{KVM_SET_REGS, "KVM_SET_REGS", &s->regs},
		{KVM_SET_SREGS, "KVM_SET_SREGS", s->has_sregs2 ? NULL : &s->sregs},
		{KVM_SET_SREGS2, "KVM_SET_SREGS2", s->has_sregs2 ? &s->sregs2 : NULL},
		{KVM_SET_XCRS, "KVM_SET_XCRS", &s->xcrs},
	};
	const struct step lapic[] = {
		{KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS", &s->debugregs},
		{KVM_SET_LAPIC, "KVM_SET_LAPIC", &s->lapic},
	};
	const struct step last[] = {
		{KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS", &s->events},
		{KVM_SET_MP_STATE, "KVM_SET_MP_STATE", &s->mp_state},
	};
	int ret = run_steps(vp, registers, 4, e);

	if (ret)
		return ret;
	ret = xsave_write(vp, s);
	if (ret)
		return failed(vp, "KVM_SET_XSAVE", ret, e);
	ret = run_steps(vp, lapic, 2, e);
	if (!ret)
		ret = vp_msrs_write(vp, s, e);
	events_prepare(s);
	if (!ret)
		ret = run_steps(vp, last, 2, e);
	clock_timer_from_state(vp, s);
	for (uint32_t i = 0; i < AUTO_EOI_WORDS; i++)
		atomic_store(&vp->auto_eoi.interrupts.waiting[i], s->auto_eoi[i]);
	return ret;
}

/* ---- the archive --------------------------------------------------------- */

static void msrs_archive(struct vp_state *s, struct archive *a)
{
	s->msr_count = archive_list(a, "msrs", s->msr_count, VP_MSRS_MAX);
	for (uint32_t i = 0; i < s->msr_count; i++) {
		archive_begin(a, NULL, 1);
		archive_u32(a, "index", &s->msrs[i].index);
		archive_u64(a, "value", &s->msrs[i].value);
		archive_end(a);
		if (!vp_msr_is_saved(s->msrs[i].index))
			archive_fail(a, "MSR 0x%x is none of an image", s->msrs[i].index);
	}
	archive_end(a);
}

static void xsave_archive(struct vp_state *s, struct archive *a)
{
	const void *area = archive_data(a, "KVM_GET_XSAVE", s->xsave, &s->xsave_size, VP_XSAVE_MAX);

	if (!a->reading || !area)
		return;
	s->xsave = malloc(s->xsave_size ? s->xsave_size : 1);
	if (s->xsave)
		memcpy(s->xsave, area, s->xsave_size);
	else
		archive_fail(a, "out of memory");
}

void vp_state_archive(struct vp_state *s, struct archive *a)
{
	archive_begin(a, NULL, 1);
	archive_bytes(a, "KVM_GET_MP_STATE", &s->mp_state, sizeof(s->mp_state));
	archive_bytes(a, "KVM_GET_REGS", &s->regs, sizeof(s->regs));
	archive_bool(a, "has_sregs2", &s->has_sregs2);
	if (s->has_sregs2)
		archive_bytes(a, "KVM_GET_SREGS2", &s->sregs2, sizeof(s->sregs2));
	else
		archive_bytes(a, "KVM_GET_SREGS", &s->sregs, sizeof(s->sregs));
	xsave_archive(s, a);
	archive_bytes(a, "KVM_GET_XCRS", &s->xcrs, sizeof(s->xcrs));
	archive_bytes(a, "KVM_GET_DEBUGREGS", &s->debugregs, sizeof(s->debugregs));
	archive_bytes(a, "KVM_GET_LAPIC", &s->lapic, sizeof(s->lapic));
	archive_u64(a, "deadline", &s->deadline);
	msrs_archive(s, a);
	archive_bytes(a, "KVM_GET_VCPU_EVENTS", &s->events, sizeof(s->events));
	archive_bytes(a, "auto_eoi", s->auto_eoi, sizeof(s->auto_eoi));
	archive_end(a);
}
