/* SPDX-License-Identifier: MIT */
/*
 * The dynamic memory of a VM: the device that is offered to each of its guests, and the target that
 * the user has set, which outlives a guest. Thread: control.
 */
#ifndef VM_DYNMEM_H
#define VM_DYNMEM_H

#include "base/inspect.h"
#include "config/config.h"
#include "vm/device_group.h"
#include "vsp/dynmem/dynmem.h"

struct dynmem {
	bool offered; /* the VM's memory is dynamic */
	struct device_group devices;
	struct vm_device device;
	struct dynmem_config config;
	uint64_t wanted; /* bytes; 0: automatic */
};

/* add, is_ready, is_dump, ctx: see struct dynmem_config. */
void dynmem_init(struct dynmem *d, const struct vm_memory *memory,
	int (*add)(void *ctx, uint64_t size), bool (*is_ready)(void *ctx),
	bool (*is_dump)(void *ctx), void *ctx);

/* A new guest, which has all of its memory. dynmem_detach() also after a failure. */
int dynmem_attach(struct dynmem *d, struct vsp_host *host, struct err *e);
void dynmem_detach(struct dynmem *d);

/* bytes; 0: automatic. -EOPNOTSUPP, -ERANGE with one line in e. */
int dynmem_set_target(struct dynmem *d, uint64_t bytes, struct err *e);

/* False: there is nothing to say, the memory is not dynamic. */
bool dynmem_get_status(const struct dynmem *d, struct dynmem_status *status);
const char *dynmem_mode(const struct dynmem *d);

/* Members of "memory". */
void dynmem_inspect(const struct dynmem *d, struct inspect *i);
/* Members of the array "devices". */
void dynmem_inspect_device(const struct dynmem *d, struct inspect *i);

#endif
