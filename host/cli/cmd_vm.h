/* SPDX-License-Identifier: MIT */
/* Shared by the files of `enlite vm`. Thread: the main thread. */
#ifndef CLI_CMD_VM_H
#define CLI_CMD_VM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

struct vm_args {
	const char *command, *vm; /* NULL: none */
	char *snapshot;           /* of VM@SNAPSHOT; NULL: none was given */
	const char *more;         /* the argument behind VM; NULL: the command has none */
	const char *socket, *timeout, *restart, *autostart;
	bool json, once, follow, no_wait, help, copy, disconnect;
	int argc; /* without our options; argv[0] is the command */
	char **argv;
};

/* A request to /vms, or to /vms/VM and what is below it. 0 with a new object; -errno with one line.
 */
int vm_call(const struct vm_args *a, const char *method, const char *below, const json_t *body,
	json_t **reply, struct err *e);

/* Until the job has ended, with its progress on a terminal; Ctrl-C cancels it. Owns job, an answer
 * of the manager. */
int vm_wait(const struct vm_args *a, json_t *job, struct err *e);
/* `start`, and what has the same form. */
int vm_change_state(const struct vm_args *a, const char *request, struct err *e);

/* ---- vm_snapshots.c ------------------------------------------------------ */

int vm_snapshot(const struct vm_args *a, struct err *e);
int vm_snapshots(const struct vm_args *a, struct err *e);
int vm_snapshot_restore(const struct vm_args *a, struct err *e);
int vm_snapshot_remove(const struct vm_args *a, struct err *e);
int vm_clone(const struct vm_args *a, struct err *e);
int vm_screenshot(const struct vm_args *a, struct err *e);

/* ---- vm_text.c ----------------------------------------------------------- */

int vm_console(const struct vm_args *a, struct err *e);
int vm_log(const struct vm_args *a, struct err *e);

#endif
