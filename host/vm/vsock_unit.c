/* SPDX-License-Identifier: MIT */
/* vsock.h as a unit. */
#include "vm/vm_impl.h"

static int open_unit(struct vm *vm, struct err *e)
{
	return vsock_open(&vm->vsock, &vm->control, vm->options->vsock, e);
}

static int attach(struct vm *vm, struct err *e)
{
	vsock_attach(&vm->vsock, &vm->vsp_host);
	return 0;
}

static void pause_unit(struct vm *vm)
{
	vsock_pause(&vm->vsock, vm_unit_paused, vm);
}

static void pause_late(struct vm *vm, struct err *e)
{
	vsock_name_busy(&vm->vsock, e);
}

static void resume(struct vm *vm)
{
	vsock_resume(&vm->vsock);
}

static void detach(struct vm *vm)
{
	vsock_detach(&vm->vsock);
}

static void closed(void *ctx)
{
	struct vm *vm = ctx;

	loop_stop(&vm->control);
}

/* The loop runs once more: what clients have in flight ends first. */
static void close_unit(struct vm *vm)
{
	if (!vm->vsock.path)
		return;
	vsock_close(&vm->vsock, closed, vm);
	loop_run(&vm->control);
}

const struct vm_unit_ops vsock_unit = {
	.name = "sockets",
	.open = open_unit,
	.attach = attach,
	.pause = pause_unit,
	.pause_late = pause_late,
	.resume = resume,
	.detach = detach,
	.close = close_unit,
};
