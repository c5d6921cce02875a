/* SPDX-License-Identifier: MIT */
/* screen.h as a unit. Its memory is there before the partition loads the guest, which the unit of
 * the partition asks for. */
#include <errno.h>

#include "vm/vm_impl.h"

/* On a helper thread, while a channel of the guest is open: the partition exists. */
static int map(void *ctx, uint64_t gpa)
{
	struct vm *vm = ctx;

	return partition_map_video(
		vm->partition, gpa, vm->screen.display.memory, vm->screen.display.bytes);
}

static int open_unit(struct vm *vm, struct err *e)
{
	screen_open(&vm->screen, &vm->control, vm->options, map, vm);
	return 0;
}

static int attach(struct vm *vm, struct err *e)
{
	return screen_attach(&vm->screen, &vm->vsp_host, e);
}

static void pause_unit(struct vm *vm)
{
	device_group_pause(&vm->screen.devices, vm_unit_paused, vm);
}

static void resume(struct vm *vm)
{
	device_group_resume(&vm->screen.devices);
}

/* Images have no place for video memory. */
static int archive(struct vm *vm, struct archive *a, struct err *e)
{
	if (!vm->screen.offered)
		return 0;
	return err_set(e, -EOPNOTSUPP,
		"a VM with a display cannot be saved; start it with --display none");
}

static void detach(struct vm *vm)
{
	screen_detach(&vm->screen);
}

static void close_unit(struct vm *vm)
{
	screen_close(&vm->screen);
}

const struct vm_unit_ops screen_unit = {
	.name = "display",
	.open = open_unit,
	.attach = attach,
	.pause = pause_unit,
	.resume = resume,
	.archive = archive,
	.detach = detach,
	.close = close_unit,
};
