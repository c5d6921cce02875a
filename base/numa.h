/* SPDX-License-Identifier: MIT */
/*
 * Which NUMA node a device is at, from sysfs: that of the PCI device behind a disk or a network
 * interface. sys: "/sys", or a directory that looks like it, in tests.
 *
 * Thread: any that may sleep.
 */
#ifndef BASE_NUMA_H
#define BASE_NUMA_H

#include <sched.h>

#define NUMA_NONE (-1)

/* How many nodes this machine has; 0: it has no list of them. */
unsigned numa_count(const char *sys);
/* Of a block device, or of the one that a file is on; NUMA_NONE: not known. Through the device
 * mapper and RAID to the first disk with a node. */
int numa_of_file(const char *sys, const char *path);
/* Of a network interface; of one that is a port, as a TAP is, that of its bridge's ports. */
int numa_of_interface(const char *sys, const char *name);
/* 0 with the CPUs of a node; -errno. */
int numa_cpus(const char *sys, int node, cpu_set_t *cpus);

#endif
