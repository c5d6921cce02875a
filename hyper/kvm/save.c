/* SPDX-License-Identifier: MIT */
/*
 * Saving and restoring a partition.
 *
 * An image has two parts for it. "machine" is what must be known before VPs are created: the CPUID
 * table as it was given to KVM (KVM's own has changes made at run time) and the TSC's frequency.
 * "partition" is the rest; it is read into a partition that is created and never ran, which is then
 * paused and frozen, like the one that was saved: partition_resume() lets both go on.
 *
 * The order of writing to KVM: interrupt controllers of the VM (the IO-APIC sends again what is
 * pending on its pins; the LAPICs' images then replace what that did), VPs (vp_state.c), lines of
 * devices (their levels are not in KVM's image), the Hyper-V interface.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <x86intrin.h>

#include "hyper/kvm/cpuid.h"
#include "hyper/kvm/vp_state.h"

#define IRQCHIPS 3u

/* A crystal differs by less from another of the same frequency. */
#define TSC_PPM_MAX 250u

/* ---- machine ------------------------------------------------------------- */

static void cpuid_archive(struct kvm_cpuid2 *cpuid, struct archive *a)
{
	cpuid->nent = archive_list(a, "cpuid", cpuid->nent, CPUID_ENTRIES_MAX);
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];

		archive_begin(a, NULL, 1);
		archive_u32(a, "function", &entry->function);
		archive_u32(a, "index", &entry->index);
		archive_u32(a, "flags", &entry->flags);
		archive_u32(a, "eax", &entry->eax);
		archive_u32(a, "ebx", &entry->ebx);
		archive_u32(a, "ecx", &entry->ecx);
		archive_u32(a, "edx", &entry->edx);
		archive_end(a);
	}
	archive_end(a);
}

static void machine_archive(struct partition *p, struct kvm_cpuid2 *cpuid, struct archive *a)
{
	archive_begin(a, "machine", 1);
	cpuid_archive(cpuid, a);
	archive_end(a);
}

int partition_machine_restore(
	struct partition *p, struct archive *a, struct kvm_cpuid2 **cpuid, struct err *e)
{
	struct kvm_cpuid2 *guest = cpuid_alloc();
	int ret;

	if (!guest)
		return err_set(e, -ENOMEM, "no memory for the CPUID table");
	machine_archive(p, guest, a);
	ret = archive_error(a, e);
	if (!ret)
		ret = cpuid_check_compatible(guest, *cpuid, e);
	if (ret) {
		free(guest);
		return ret;
	}
	free(*cpuid);
	*cpuid = guest;
	return 0;
}

/* ---- clocks -------------------------------------------------------------- */

static void check_frequency(const struct partition *p, uint64_t khz, struct archive *a)
{
	uint64_t difference = khz > p->tsc_khz ? khz - p->tsc_khz : p->tsc_khz - khz;

	if (difference * 1000000 > p->tsc_khz * TSC_PPM_MAX)
		archive_fail(a, "the guest's TSC runs at %llu kHz, this host's at %llu kHz",
			(unsigned long long)khz, (unsigned long long)p->tsc_khz);
}

/* Where the TSC cannot be set it has to be ahead of what the guest has seen. */
static void tsc_restore(struct partition *p, uint64_t tsc, struct archive *a)
{
	if (p->clock.tsc_stops) {
		p->clock.frozen_tsc = tsc;
		atomic_store(&p->clock.tsc_stopped, true);
	} else if (clock_guest_tsc(p) < tsc) {
		archive_fail(a,
			"the host's TSC is behind the guest's, which this KVM cannot set; was the host restarted?");
	}
	p->clock.frozen = true;
}

static void clock_archive(struct partition *p, struct archive *a)
{
	uint64_t khz = p->tsc_khz, tsc = clock_guest_tsc(p);

	archive_begin(a, "clock", 1);
	archive_u64(a, "tsc_khz", &khz);
	archive_u64(a, "tsc", &tsc);
	if (a->reading && !a->error) {
		check_frequency(p, khz, a);
		tsc_restore(p, tsc, a);
	}
	archive_end(a);
}

/* ---- interrupt controllers ----------------------------------------------- */

static void irqchips_archive(struct partition *p, struct archive *a)
{
	uint32_t count = archive_list(a, "KVM_GET_IRQCHIP", IRQCHIPS, IRQCHIPS);

	for (uint32_t i = 0; i < count; i++) {
		struct kvm_irqchip chip = {.chip_id = i};

		if (!a->reading && ioctl(p->vm_fd, KVM_GET_IRQCHIP, &chip) < 0)
			archive_fail(a, "%s", strerror(errno));
		archive_begin(a, NULL, 1);
		archive_bytes(a, "chip", &chip, sizeof(chip));
		archive_end(a);
		chip.chip_id = i;
		if (a->reading && !a->error && ioctl(p->vm_fd, KVM_SET_IRQCHIP, &chip) < 0)
			archive_fail(a, "%s", strerror(errno));
	}
	archive_end(a);
}

/* ---- VPs ----------------------------------------------------------------- */

static void vp_archive(struct vp *vp, struct vp_state *s, struct archive *a)
{
	struct err e;

	if (!a->reading && vp_state_read(vp, s, &e))
		archive_fail(a, "%.180s", e.text);
	vp_state_archive(s, a);
	if (a->reading && !a->error && vp_state_write(vp, s, &e))
		archive_fail(a, "%.180s", e.text);
	vp_state_fini(s);
}

static void vps_archive(struct partition *p, struct archive *a)
{
	uint32_t count = archive_list(a, "vps", p->vps_created, p->vps_created);
	struct vp_state *s = malloc(sizeof(*s));

	if (count != p->vps_created)
		archive_fail(a, "are %u, not %u", count, p->vps_created);
	if (!s)
		archive_fail(a, "out of memory");
	for (uint32_t i = 0; i < count && !a->error; i++) {
		memset(s, 0, sizeof(*s));
		vp_archive(&p->vps[i], s, a);
	}
	archive_end(a);
	free(s);
}

/* ---- all of it ----------------------------------------------------------- */

static void devices_archive(struct partition *p, struct archive *a)
{
	serial_archive(&p->serial, a);
	rtc_archive(&p->rtc, a);
	acpi_pm_archive(&p->pm, a);
	if (!p->config.test_device)
		return;
	debug_exit_archive(&p->debug_exit, a);
	testdev_archive(&p->testdev, a);
}

static void partition_archive(struct partition *p, struct archive *a)
{
	archive_begin(a, "partition", 1);
	clock_archive(p, a);
	irqchips_archive(p, a);
	vps_archive(p, a);
	devices_archive(p, a);
	hv_archive(&p->hv, a);
	archive_end(a);
}

int partition_save(struct partition *p, struct archive *a, struct err *e)
{
	assert(p->clock.frozen && partition_is_paused(p));
	if (p->config.nested)
		return err_set(e, -ENOTSUP, "a VM with --nested cannot be saved");
	if (p->config.pmu)
		return err_set(e, -ENOTSUP, "a VM with --pmu cannot be saved");
	machine_archive(p, p->cpuid, a);
	partition_archive(p, a);
	return archive_error(a, e);
}

int partition_restore(struct partition *p, struct archive *a, struct err *e)
{
	assert(p->config.restore == a);
	partition_archive(p, a);
	pause_hold(p);
	p->restored = true;
	return archive_error(a, e);
}
