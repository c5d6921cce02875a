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

static void pause_unit(struct vm *vm)
{
	storage_pause(&vm->storage, vm_unit_paused, vm);
}

static void pause_late(struct vm *vm, struct err *e)
{
	storage_name_busy(&vm->storage, e);
}

static void resume(struct vm *vm)
{
	storage_resume(&vm->storage);
}

static int archive(struct vm *vm, struct archive *a, struct err *e)
{
	storage_archive(&vm->storage, a);
	return archive_error(a, e);
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
	.pause = pause_unit,
	.pause_late = pause_late,
	.resume = resume,
	.archive = archive,
	.detach = detach,
	.close = close_unit,
};
