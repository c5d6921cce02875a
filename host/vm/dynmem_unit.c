/* SPDX-License-Identifier: MIT */
/* dynmem.h as a unit. */
#include "vm/vm_impl.h"

/* On a helper thread, while a channel of the guest is open: the partition exists. */
static int add_memory(void *ctx, uint64_t size)
{
	struct vm *vm = ctx;

	return partition_add_memory(vm->partition, size);
}

/* Open-source systems need no time. */
static bool is_ready(void *ctx)
{
	struct vm *vm = ctx;

	return hv_guest_is_open_source(partition_hv(vm->partition));
}

/* With --on-crash continue. */
static bool is_dump(void *ctx)
{
	struct vm *vm = ctx;

	return atomic_load(&vm->crash_posted);
}

static int open_unit(struct vm *vm, struct err *e)
{
	dynmem_init(&vm->dynmem, &vm->options->memory, add_memory, is_ready, is_dump, vm);
	return 0;
}

static int attach(struct vm *vm, struct err *e)
{
	return dynmem_attach(&vm->dynmem, &vm->vsp_host, e);
}

static void pause_unit(struct vm *vm)
{
	device_group_pause(&vm->dynmem.devices, vm_unit_paused, vm);
}

static void resume(struct vm *vm)
{
	device_group_resume(&vm->dynmem.devices);
}

static void detach(struct vm *vm)
{
	dynmem_detach(&vm->dynmem);
}

const struct vm_unit_ops dynmem_unit = {
	.name = "dynamic memory",
	.open = open_unit,
	.attach = attach,
	.pause = pause_unit,
	.resume = resume,
	.detach = detach,
};
