/* SPDX-License-Identifier: MIT */
/* A VM as a tree of nodes. Thread: control. */
#ifndef VM_INSPECT_H
#define VM_INSPECT_H

#include <jansson.h>

#include "base/inspect.h"
#include "vm/memory.h"
#include "vm/vm.h"

/* All of the VM. use: of guest memory, from memory_measure(). Waits for no other thread. */
void vm_inspect(const struct vm *vm, const struct gmem_use *use, struct inspect *i);
/* The same as JSON, a new object; NULL: out of memory. */
json_t *vm_inspect_json(const struct vm *vm, const struct gmem_use *use);

#endif
