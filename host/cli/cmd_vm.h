/* SPDX-License-Identifier: MIT */
/* Shared by the files of `enlite vm`. Thread: the main thread. */
#ifndef CLI_CMD_VM_H
#define CLI_CMD_VM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct vm_args {
	const char *command, *vm; /* NULL: none */
	const char *socket, *timeout, *restart, *autostart;
	bool json, once, follow, no_wait, help;
	int argc; /* without our options; argv[0] is the command */
	char **argv;
};

/* A request to /vms, or to /vms/VM and what is below it. 0 with a new object; -errno with one line.
 */
int vm_call(const struct vm_args *a, const char *method, const char *below, const json_t *body,
	json_t **reply, struct err *e);

int vm_console(const struct vm_args *a, struct err *e);
int vm_log(const struct vm_args *a, struct err *e);

#endif
