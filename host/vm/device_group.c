/* SPDX-License-Identifier: MIT */
#include "vm/device_group.h"

void device_group_init(struct device_group *group)
{
	*group = (struct device_group){0};
	list_init(&group->devices);
}

static struct vm_device *device_of(struct list *item)
{
	return container_of(item, struct vm_device, link);
}

/* ---- pause --------------------------------------------------------------- */

static void one_at_rest(struct device_group *group)
{
	void (*at_rest)(void *ctx) = group->at_rest;

	if (--group->pausing || !at_rest)
		return;
	group->at_rest = NULL;
	at_rest(group->at_rest_ctx);
}

static void device_at_rest(void *ctx)
{
	struct vm_device *device = ctx;

	device->pausing = false;
	one_at_rest(device->group);
}

static void device_pause(struct vm_device *device)
{
	device->pausing = true;
	device->group->pausing++;
	vsp_device_pause(device->vsp, device_at_rest, device);
}

void device_group_pause(struct device_group *group, void (*at_rest)(void *ctx), void *ctx)
{
	group->at_rest = at_rest;
	group->at_rest_ctx = ctx;
	group->pausing = 1; /* this function */
	list_for_each (item, &group->devices)
		device_pause(device_of(item));
	one_at_rest(group);
}

void device_group_resume(struct device_group *group)
{
	group->at_rest = NULL;
	list_for_each (item, &group->devices) {
		device_of(item)->pausing = false;
		vsp_device_resume(device_of(item)->vsp);
	}
}

/* ---- life ---------------------------------------------------------------- */

int vm_device_create(struct vm_device *device, struct device_group *group, struct vsp_host *host,
	const struct vsp_ops *ops, const struct hv_guid *instance, const void *config,
	struct err *e)
{
	int ret = vsp_device_create(&device->vsp, host, ops, instance, config, e);

	if (ret)
		return ret;
	device->group = group;
	list_add_tail(&group->devices, &device->link);
	return 0;
}

void vm_device_destroy(struct vm_device *device)
{
	if (!device->vsp)
		return;
	list_del(&device->link);
	vsp_device_destroy(device->vsp);
	device->vsp = NULL;
	if (device->pausing)
		device_at_rest(device);
}

void device_group_destroy_all(struct device_group *group)
{
	group->at_rest = NULL;
	list_for_each_safe (item, &group->devices)
		vm_device_destroy(device_of(item));
}
