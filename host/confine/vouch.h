/* SPDX-License-Identifier: MIT */
/*
 * Images of saved VMs are written by the worker, and `run --restore` opens what they name with the
 * user's rights. So a worker that has been taken over must not get one under the name that the user
 * gave it, unless its configuration is what the user configured: the broker looks before the
 * rename.
 *
 * The file cannot be changed afterwards: a lease says that it is not open for writing, and no
 * name is granted under which the worker could open it again.
 *
 * Process: the broker. Thread: any, one at a time, while no other request of the worker is served.
 */
#ifndef CONFINE_VOUCH_H
#define CONFINE_VOUCH_H

#include "base/broker.h"
#include "config/config.h"

/* Renames, if all is well. started: the VM's configuration. 0; -EPERM: the image names what the VM
 * was not given, or is none; -EBUSY: it is open for writing, or another writer's; -ENOLCK: the file
 * system has no leases; -errno. */
int vouch_rename(const char *from, const char *to, const struct vm_config *started);

#endif
