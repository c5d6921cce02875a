/* SPDX-License-Identifier: MIT */
/*
 * The NICs of a VM. They outlive boots; a guest is offered them from
 * network_attach() to network_detach().
 *
 * Thread: control.
 */
#ifndef VM_NETWORK_H
#define VM_NETWORK_H

#include "base/inspect.h"
#include "config/config.h"
#include "nic/nic.h"
#include "vm/device_group.h"

struct network;

struct network_nic {
	struct network *network;
	uint32_t number;
	const struct nic_config *config;
	uint8_t mac[6];
	struct nic *nic; /* NULL: not open */
	struct vm_device device;
};

struct network {
	struct loop *control;
	struct network_nic nics[VM_NICS_MAX];
	uint32_t count;
	uint32_t open;
	struct device_group devices; /* the NICs that are offered */
};

/* Opens the NICs of the options. network_close() also after a failure. */
int network_open(struct network *n, struct loop *control, const struct vm_config *o, struct err *e);
/* No loop runs any more; the control loop is run until the NICs are closed. */
void network_close(struct network *n);

/* A new guest. network_detach() also after a failure. */
int network_attach(struct network *n, struct vsp_host *host, struct err *e);
/* The guest's bus is shut down. */
void network_detach(struct network *n);

/* paused(ctx) when no NIC touches guest memory any more, possibly before this returns. */
void network_pause(struct network *n, void (*paused)(void *ctx), void *ctx);
/* Also before paused() came: then it is not called any more. */
void network_resume(struct network *n);
/* One line in e: which NICs are not at rest. */
void network_name_busy(const struct network *n, struct err *e);

/* Members of the array "devices". */
void network_inspect(const struct network *n, struct inspect *i);

#endif
