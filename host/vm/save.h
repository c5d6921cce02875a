/* SPDX-License-Identifier: MIT */
/*
 * Saving a VM to an image, and restoring it from one (host/save/image.h).
 *
 *   RUNNING --pause--> PAUSED --> SAVING: state is collected --> disks are flushed -->
 *           the image is written (a helper thread) --> PAUSED --> ended, or resumed (keep)
 *
 * An image has the sections "config" (the VM's configuration as JSON, with absolute file names) and
 * "state" (an archive: one object per unit, and the bus). The file is opened in one place each:
 * image_write() and image_open().
 *
 * A failure at any step leaves the VM as it was before: it runs on if it ran.
 *
 * Restoring: units are attached as for a boot, but guest memory comes from the image; units, then
 * the bus, read their state; then everything comes to rest as in a pause, which opens the channels;
 * then the VM is PAUSED, and is resumed. A mistake found on the way ends the VM with one line
 * before the guest has run.
 *
 * Thread: control.
 */
#ifndef VM_SAVE_H
#define VM_SAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct vm;
struct archive;
struct gmem;
struct inspect;

struct save_options {
	bool keep; /* the VM goes on */
	bool raw;  /* memory is not compressed, and can be mapped by clones */
};

/* RUNNING or PAUSED. done(ctx, e) once, possibly before this returns; e NULL: saved, and the VM
 * ends or goes on. Else one line says why not. */
void vm_save(struct vm *vm, const char *path, const struct save_options *options,
	void (*done)(void *ctx, const struct err *e), void *ctx);
/* From vm_save() on: it ends soon, done() has the error. */
void vm_save_cancel(struct vm *vm);
/* Bytes of guest memory. False: the VM is not being saved. */
bool vm_save_progress(const struct vm *vm, uint64_t *done, uint64_t *size);
void vm_save_close(struct vm *vm);
/* Members of the node "save", while there is one. */
void vm_save_inspect(const struct vm *vm, struct inspect *i);

/* The partition unit: opens the image of options->restore, makes guest memory, and the archive.
 * 0, or -errno with one line in e. */
int vm_restore_open(struct vm *vm, struct gmem *memory, struct err *e);
/* All units are attached: they and the bus read their state. */
int vm_restore_state(struct vm *vm, struct err *e);
/* Everything is at rest: 0, or -errno with one line in e: a channel could not be opened. */
int vm_restore_check(struct vm *vm, struct err *e);
/* The image is not needed any more. */
void vm_restore_close(struct vm *vm);

#endif
