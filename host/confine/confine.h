/* SPDX-License-Identifier: MIT */
/*
 * Confines a worker process (docs/adr/0012-confined-workers.md, SECURITY.md): what is not needed to
 * run a VM is given up before anything of it is opened.
 *
 * Thread: the only one there is.
 */
#ifndef CONFINE_CONFINE_H
#define CONFINE_CONFINE_H

#include "config/config.h"

/* As the configuration says: off, or a broker and all layers. auto: what the machine lacks is one
 * warning. 0; or -errno with one line: `require` and something is missing, or the worker would be
 * left half confined. */
int confine(const struct vm_config *config, struct err *e);
/* The descriptor that the variable ENLITE_STATUS_FD names: the line "ran" is written there before a
 * restored guest goes on, and "exit N" with our exit status last of all. It stays open. -1: none.
 */
int confine_status_fd(void);
/* Ends the broker. Also when there is none. */
void confine_end(void);

#endif
