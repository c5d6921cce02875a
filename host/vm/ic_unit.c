/* SPDX-License-Identifier: MIT */
/* ic.h as a unit. */
#include <errno.h>
#include <string.h>

#include "vm/commands.h"
#include "vm/vm_impl.h"

/* On an I/O thread, while the partition exists. */
static bool ref_time(void *ctx, uint64_t *time)
{
	struct vm *vm = ctx;
	struct hv *hv = partition_hv(vm->partition);

	if (hv_time_is_paused(hv))
		return false;
	*time = hv_ref_time(hv);
	return true;
}

static int open_unit(struct vm *vm, struct err *e)
{
	ic_init(&vm->ic, &vm->control, vm->options, ref_time, vm);
	return 0;
}

static int attach(struct vm *vm, struct err *e)
{
	return ic_attach(&vm->ic, vm->options, &vm->vsp_host, e);
}

static void pause_unit(struct vm *vm)
{
	device_group_pause(&vm->ic.devices, vm_unit_paused, vm);
}

static void resume(struct vm *vm)
{
	device_group_resume(&vm->ic.devices);
}

static void stop_answered(struct loop_task *task)
{
	vm_unit_stopped(container_of(task, struct vm, ic_stop_task));
}

/* In a turn of its own: the answer to `shutdown` is on its way before the process can end. */
static void stop(struct vm *vm)
{
	ic_shutdown_guest_ended(vm);
	vm->ic_stop_task.fn = stop_answered;
	loop_post(&vm->control, &vm->ic_stop_task);
}

/* What the services know is in their channels; but file systems that are frozen for a client of
 * this process would stay so, and a file that is half copied would stay open. */
static int archive(struct vm *vm, struct archive *a, struct err *e)
{
	if (a->reading)
		return 0;
	if (vm->ic.copy)
		return err_set(e, -EBUSY, "a file is being copied to the guest: wait for its end");
	if (!strcmp(ic_freeze_state_name(&vm->ic.freeze), "idle"))
		return 0;
	return err_set(e, -EBUSY, "the guest's file systems are frozen: thaw them first");
}

static void detach(struct vm *vm)
{
	ic_detach(&vm->ic);
}

static void close_unit(struct vm *vm)
{
	ic_close(&vm->ic);
}

const struct vm_unit_ops ic_unit = {
	.name = "integration services",
	.open = open_unit,
	.attach = attach,
	.pause = pause_unit,
	.resume = resume,
	.stop = stop,
	.archive = archive,
	.detach = detach,
	.close = close_unit,
};
