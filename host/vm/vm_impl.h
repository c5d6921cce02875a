/* SPDX-License-Identifier: MIT */
/* Shared by vm.c, the units of host/vm, and the tests of the state table. */
#ifndef VM_VM_IMPL_H
#define VM_VM_IMPL_H

#include <assert.h>

#include "vm/vm.h"

#define ON_CONTROL(vm) ON_LOOP(&(vm)->control)

enum vm_event {
	VM_START,          /* the process starts, or the guest reset */
	VM_WAIT,           /* the guest reset, again and again */
	VM_STARTED,        /* all units are attached and started */
	VM_START_FAILED,   /* a unit is not; vm->error says why */
	VM_PAUSE,          /* vm_pause() */
	VM_UNITS_PAUSED,   /* all units are at rest */
	VM_PAUSE_LATE,     /* one is not, VM_PAUSE_NS after the pause began */
	VM_RESUME,         /* vm_resume() */
	VM_RESUMED,        /* all units are resumed */
	VM_RESTORED,       /* all units are attached, started, and have their state of an image */
	VM_RESTORE_FAILED, /* they are attached; vm->error says why it failed */
	VM_SAVE,           /* vm_save() */
	VM_SAVE_ENDED,     /* it is done */
	VM_GUEST_ENDED,    /* power off, reset, fault: vm->end_reason */
	VM_STOP,           /* a request of ours: vm->stop_status */
	VM_HURRY,          /* a signal, also the first one */
	VM_STOPPED,        /* all units are stopped */
	VM_STOP_LATE,      /* one is not, STOP_NS after the stop began */
};
#define VM_EVENTS (VM_STOP_LATE + 1)

/* A VM that is OFF, with these units. The caller initialises vm->control. */
void vm_init(
	struct vm *vm, const struct vm_config *options, const struct vm_unit_ops *const *units);

/* ON_CONTROL. Takes the transition of the current state for this event, if there is one: sets the
 * next state, then runs the action. False: the event means nothing in this state. */
bool vm_handle(struct vm *vm, enum vm_event event);

/* images.c: opens kernel and initrd; closes them, also after a failure. */
int images_open(struct vm_held *held, const struct vm_config *options, struct err *e);
void images_close(struct vm_held *held);
/* Reads them, and loads them into the partition. */
int images_load(struct vm *vm, struct err *e);

#endif
