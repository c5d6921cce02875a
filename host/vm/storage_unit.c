/* SPDX-License-Identifier: MIT */
/* storage.h as a unit. */
#include "vm/vm_impl.h"

static int open_unit(struct vm *vm, struct err *e)
{
	return storage_open(&vm->storage, &vm->control, vm->options, e);
}

static int attach(struct vm *vm, struct err *e)
{
	return storage_attach(&vm->storage, &vm->vsp_host, e);
}

static void detach(struct vm *vm)
{
	storage_detach(&vm->storage);
}

static void close_unit(struct vm *vm)
{
	storage_close(&vm->storage);
}

const struct vm_unit_ops storage_unit = {
	.name = "storage",
	.open = open_unit,
	.attach = attach,
	.detach = detach,
	.close = close_unit,
};
