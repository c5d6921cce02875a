/* SPDX-License-Identifier: MIT */
/*
 * The host as GET /host shows it: CPUs, memory, NUMA nodes, KVM, and PCI devices with their names,
 * nodes and IOMMU groups by libpci.
 *
 * What KVM can do is found out by `enlite probe`, in a process of its own, at the start of the
 * manager.
 *
 * GET /host answers what was found up to 10 s ago.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_HOST_H
#define MANAGER_HOST_H

#include <jansson.h>

#include "base/loop.h"

/* Starts `enlite probe --json`; its result is in host_json() when it has ended. */
void host_probe(struct loop *loop, const char *program);

/* A new object; NULL: no memory. */
json_t *host_json(void);

#endif
