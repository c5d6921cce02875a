/* SPDX-License-Identifier: MIT */
/*
 * Where the I/O threads run. On a machine with several NUMA nodes that is the node of the devices
 * behind the VM's disks and NICs, when all those that have one have the same; else anywhere.
 *
 * Thread: the only one, before the process is confined: afterwards there is no sysfs.
 */
#ifndef VM_PLACEMENT_H
#define VM_PLACEMENT_H

#include "config/config.h"

/* Sets io_placed, io_node and io_cpus of a complete configuration. sys: "/sys", see base/numa.h. */
void placement_choose(struct vm_config *config, const char *sys);

#endif
