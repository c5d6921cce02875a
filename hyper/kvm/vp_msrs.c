/* SPDX-License-Identifier: MIT */
/*
 * The MSRs of a VP in an image: those of KVM's list that are the guest's, and some that the list
 * leaves out. They are stored with their numbers. Not stored are: what has a way of its own (TSC,
 * the deadline), what makes KVM write to guest memory (its paravirtual clock), our own
 * (hyper/hv), and those of features that guests do not have.
 *
 * Source: KVM's api.rst; SDM volume 4.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/log.h"
#include "hyper/kvm/vp_state.h"

#define LIST_MAX 1024u /* of KVM's list */

struct range {
	uint32_t first, last;
};

static const struct range denied[] = {
	{0x10, 0x12}, /* TSC; KVM's wall clock and system time */
	{0xC1, 0xC8}, {0x186, 0x18D}, {0x309, 0x30B}, {0x345, 0x345}, {0x38D, 0x390},
	{0x3F1, 0x3F1}, {0x4C1, 0x4C8}, {0xC0010000, 0xC0010007}, {0xC0010200, 0xC001020B},
	{0xC0000300, 0xC0000302},                              /* PMU */
	{0x480, 0x493},                                        /* VMX */
	{0x560, 0x58F},                                        /* processor trace */
	{0x6E0, 0x6E0},                                        /* LAPIC deadline: clock.c */
	{HV_MSR_FIRST, HV_MSR_LAST}, {0x4B564D00, 0x4B564D07}, /* KVM's paravirtual ones */
};

static const struct range extra[] = {
	{0x2FF, 0x2FF}, {0x200, 0x20F}, {0x250, 0x250}, {0x258, 0x259}, {0x268, 0x26F}, /* MTRRs */
	{0x277, 0x277}, {0x400, 0x47F}, /* PAT, machine checks */
	{0xDA0, 0xDA0},                 /* XSS */
};

static bool in_ranges(const struct range *ranges, size_t count, uint32_t index)
{
	for (size_t i = 0; i < count; i++)
		if (index >= ranges[i].first && index <= ranges[i].last)
			return true;
	return false;
}

bool vp_msr_is_saved(uint32_t index)
{
	return !in_ranges(denied, sizeof(denied) / sizeof(denied[0]), index);
}

static bool has(const struct vp_state *s, uint32_t index)
{
	for (uint32_t i = 0; i < s->msr_count; i++)
		if (s->msrs[i].index == index)
			return true;
	return false;
}

/* What cannot be read is not there. */
static void read_one(struct vp *vp, struct vp_state *s, uint32_t index)
{
	uint64_t value = 0;

	if (s->msr_count >= VP_MSRS_MAX || has(s, index) || !vp_msr_is_saved(index) ||
		vp_host_msr(vp, KVM_GET_MSRS, index, &value))
		return;
	s->msrs[s->msr_count++] = (struct vp_msr){.index = index, .value = value};
}

int vp_msrs_read(struct vp *vp, struct vp_state *s)
{
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + LIST_MAX * sizeof(list->indices[0]));
	int ret = 0;

	if (!list)
		return -ENOMEM;
	list->nmsrs = LIST_MAX;
	s->msr_count = 0;
	if (ioctl(vp->p->kvm_fd, KVM_GET_MSR_INDEX_LIST, list) < 0)
		ret = -errno;
	for (uint32_t i = 0; i < list->nmsrs && !ret; i++)
		read_one(vp, s, list->indices[i]);
	for (size_t i = 0; i < sizeof(extra) / sizeof(extra[0]) && !ret; i++)
		for (uint32_t index = extra[i].first; index <= extra[i].last; index++)
			read_one(vp, s, index);
	free(list);
	return ret;
}

/* One that cannot be written, but has the value, is no difference. */
static bool write_one(struct vp *vp, const struct vp_msr *msr)
{
	uint64_t value = msr->value, there = 0;

	if (!vp_host_msr(vp, KVM_SET_MSRS, msr->index, &value))
		return true;
	return !vp_host_msr(vp, KVM_GET_MSRS, msr->index, &there) && there == msr->value;
}

int vp_msrs_write(struct vp *vp, const struct vp_state *s, struct err *e)
{
	for (uint32_t i = 0; i < s->msr_count; i++)
		if (!write_one(vp, &s->msrs[i]))
			return err_set(e, -ENOTSUP,
				"VP %u: this host refuses 0x%llx in MSR 0x%x: it is no host for this guest",
				vp->index, (unsigned long long)s->msrs[i].value, s->msrs[i].index);
	return 0;
}
