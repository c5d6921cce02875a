/* SPDX-License-Identifier: MIT */
/* devices.h as a unit. */
#include "vm/vm_impl.h"

static int attach(struct vm *vm, struct err *e)
{
	return devices_attach(&vm->devices, device_rows, &vm->vsp_host, e);
}

static void pause_unit(struct vm *vm)
{
	device_group_pause(&vm->devices.group, vm_unit_paused, vm);
}

static void pause_late(struct vm *vm, struct err *e)
{
	devices_name_busy(&vm->devices, e);
}

static void resume(struct vm *vm)
{
	device_group_resume(&vm->devices.group);
}

static void detach(struct vm *vm)
{
	devices_detach(&vm->devices);
}

const struct vm_unit_ops devices_unit = {
	.name = "devices",
	.attach = attach,
	.pause = pause_unit,
	.pause_late = pause_late,
	.resume = resume,
	.detach = detach,
};
