/* SPDX-License-Identifier: MIT */
/*
 * A unit: a part of a VM that is opened, attached, started, paused, stopped. vm.c walks a table of
 * units; a unit stands behind the units it depends on.
 *
 *                                  pause --> (paused) --> resume
 *                                    ^                      |
 *   open ----> attach ----> start ---+--> (the guest runs) -+--> stop ----> detach ----> close
 *                 ^                                                           |
 *                 +-------------------- guest reset --------------------------+
 *
 *   forwards    open, attach, pause, stop: the VPs, which cause all work, are first in the table
 *   backwards   start, resume, detach, close
 *
 * Every function is optional. Thread: control, all of them.
 */
#ifndef VM_UNIT_H
#define VM_UNIT_H

#include "base/archive.h"
#include "base/err.h"

struct vm;

struct vm_unit_ops {
	const char *name;
	/* Once: what outlives a guest reset. 0, or -errno with one line in e. */
	int (*open)(struct vm *vm, struct err *e);
	/* Each boot. 0, or -errno, with one line in e where the user can do something about it. */
	int (*attach)(struct vm *vm, struct err *e);
	/* Every unit is attached. Errors as attach. */
	int (*start)(struct vm *vm, struct err *e);
	/* Brings the unit to rest: what is in flight completes, nothing is cancelled or lost.
	 * vm_unit_paused(vm) when nothing is in flight, possibly before this returns. */
	void (*pause)(struct vm *vm);
	/* The unit has not come to rest within VM_PAUSE_NS: one line in e says what it waits for.
	 */
	void (*pause_late)(struct vm *vm, struct err *e);
	/* Undoes pause. Also before vm_unit_paused(): then it is not called any more. */
	void (*resume)(struct vm *vm);
	/* Ends what is in flight; vm_unit_stopped(vm) when nothing is, possibly before this
	 * returns. Called only after a successful start of all units. Also while the unit pauses or
	 * is paused; then resume() is not called, and vm_unit_paused() means nothing any more, but
	 * may be called up to detach(). */
	void (*stop)(struct vm *vm);
	/* Writes the state of a unit that is paused, or reads it into one that is attached and was
	 * never started; see save.h. 0, or -errno with one line in e. */
	int (*archive)(struct vm *vm, struct archive *a, struct err *e);
	/* Undoes attach, also one that failed or never took place. */
	void (*detach)(struct vm *vm);
	/* Undoes open, also one that failed or never took place. No loop runs any more. */
	void (*close)(struct vm *vm);
};

/* What units call; back ends of theirs know the struct vm as their context. */
void vm_unit_paused(void *vm);
void vm_unit_stopped(void *vm);

extern const struct vm_unit_ops partition_unit, storage_unit, network_unit, ic_unit, dynmem_unit,
	screen_unit, devices_unit, vsock_unit, io_threads_unit, console_unit;

#endif
