/* SPDX-License-Identifier: MIT */
/*
 * Devices of one kind that are paused and resumed together. A device is in the group while it is
 * offered to a guest.
 *
 *   vm_device_create --> running --device_group_pause--> pausing --> at rest
 *          running <--device_group_resume--------------------'----------'
 *   vm_device_destroy in each state
 *
 * Thread: control. Owner: the parent of the group, of its devices too.
 */
#ifndef VM_DEVICE_GROUP_H
#define VM_DEVICE_GROUP_H

#include "base/list.h"
#include "vsp/vsp_device.h"

struct device_group {
	struct list devices;
	uint32_t pausing; /* devices that are not at rest yet */
	void (*at_rest)(void *ctx);
	void *at_rest_ctx;
};

struct vm_device {
	struct list link; /* device_group.devices */
	struct device_group *group;
	struct vsp_device *vsp; /* NULL: no guest has it */
	bool pausing;           /* not at rest yet */
};

void device_group_init(struct device_group *group);
/* Offers a device. `device` is zeroed, or was destroyed. Errors: vsp_device_create(). */
int vm_device_create(struct vm_device *device, struct device_group *group, struct vsp_host *host,
	const struct vsp_ops *ops, const struct hv_guid *instance, const void *config,
	struct err *e);
/* All its channels are closed, so it is at rest. Harmless without a guest. */
void vm_device_destroy(struct vm_device *device);
/* The guest's bus is shut down: destroys all devices, and ends a pause. */
void device_group_destroy_all(struct device_group *group);

/* at_rest(ctx) when no device touches guest memory any more, possibly before this returns. */
void device_group_pause(struct device_group *group, void (*at_rest)(void *ctx), void *ctx);
/* Only after a pause; also before at_rest() was called: then it is not called any more. No device
 * was created meanwhile. */
void device_group_resume(struct device_group *group);

#endif
