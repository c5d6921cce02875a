/* SPDX-License-Identifier: MIT */
/*
 * Video memory: one slot, of memory that is not RAM, so that no GPADL, page of the interface or
 * range of a packet can be in it. KVM cannot move a slot that is in use elsewhere: it is removed
 * and made anew, and what the guest writes in between is lost.
 */
#include <errno.h>
#include <sys/ioctl.h>

#include "hyper/kvm/partition_impl.h"

/* As the _CRS in hyper/boot/dsdt.asl says; nothing else of ours is there. */
static const struct {
	uint64_t start, end;
} windows[] = {
	{0xF8000000, 0xFE000000},
	{0xFC00000000, 0x10000000000},
};

static bool is_place(uint64_t gpa, uint64_t size)
{
	if (gpa % GMEM_PAGE_SIZE)
		return false;
	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++)
		if (gpa >= windows[i].start && gpa < windows[i].end && size <= windows[i].end - gpa)
			return true;
	return false;
}

static int set_slot(struct partition *p, uint64_t gpa, void *at, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = SLOT_VIDEO,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uint64_t)at,
	};

	return ioctl(p->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

static int remove_slot(struct partition *p)
{
	int ret = p->video_gpa ? set_slot(p, p->video_gpa, NULL, 0) : 0;

	if (!ret)
		p->video_gpa = 0;
	return ret;
}

int partition_map_video(struct partition *p, uint64_t gpa, void *at, uint64_t size)
{
	int ret;

	if (!is_place(gpa, size))
		return -EINVAL;
	if (p->video_gpa == gpa)
		return 0;
	ret = remove_slot(p);
	if (!ret)
		ret = set_slot(p, gpa, at, size);
	if (!ret)
		p->video_gpa = gpa;
	return ret;
}
