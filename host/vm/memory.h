/* SPDX-License-Identifier: MIT */
/*
 * What guest memory takes of the host's, measured on request. The kernel visits page tables
 * for it, which is long for a large guest without huge pages: a helper thread waits for that, not
 * the control thread. Thread: control.
 */
#ifndef VM_MEMORY_H
#define VM_MEMORY_H

#include "base/gmem.h"

struct vm;

/* done(ctx, use) once: later, or before this returns when there is no guest memory now. use NULL:
 * the VM ends. -errno: no thread; done() is not called. */
int memory_measure(struct vm *vm, void (*done)(void *ctx, const struct gmem_use *use), void *ctx);

/* No loop runs any more: done(ctx, NULL) for all that are not done. */
void memory_close(struct vm *vm);

#endif
