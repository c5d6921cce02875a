/* SPDX-License-Identifier: MIT */
/* network.h as a unit. */
#include "vm/vm_impl.h"

static int open_unit(struct vm *vm, struct err *e)
{
	return network_open(&vm->network, &vm->control, vm->options, e);
}

static int attach(struct vm *vm, struct err *e)
{
	return network_attach(&vm->network, &vm->vsp_host, e);
}

static void pause_unit(struct vm *vm)
{
	network_pause(&vm->network, vm_unit_paused, vm);
}

static void pause_late(struct vm *vm, struct err *e)
{
	network_name_busy(&vm->network, e);
}

static void resume(struct vm *vm)
{
	network_resume(&vm->network);
}

static int archive(struct vm *vm, struct archive *a, struct err *e)
{
	network_archive(&vm->network, a);
	return archive_error(a, e);
}

static void detach(struct vm *vm)
{
	network_detach(&vm->network);
}

static void close_unit(struct vm *vm)
{
	network_close(&vm->network);
}

const struct vm_unit_ops network_unit = {
	.name = "network",
	.open = open_unit,
	.attach = attach,
	.pause = pause_unit,
	.pause_late = pause_late,
	.resume = resume,
	.archive = archive,
	.detach = detach,
	.close = close_unit,
};
