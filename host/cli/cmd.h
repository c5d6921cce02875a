/* SPDX-License-Identifier: MIT */
/*
 * Subcommands of `enlite`: one row of main.c's table each, one file cmd_*.c each.
 * Thread: the main thread.
 */
#ifndef CLI_CMD_H
#define CLI_CMD_H

#include <jansson.h>

#include "base/err.h"

/* argv[0] is the subcommand's name. The process exit status. */
int cmd_run(int argc, char **argv);
int cmd_config(int argc, char **argv);
int cmd_ctl(int argc, char **argv);
int cmd_vm(int argc, char **argv);
int cmd_probe(int argc, char **argv);
int cmd_cp(int argc, char **argv);
int cmd_freeze(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_shell(int argc, char **argv);

/* cmd_ctl.c: sends a request of this row to a VM. 0: *reply, a new object, is its answer; -errno
 * with one line in e: there is none, or the VM refused. */
struct command;
int cmd_ask(const char *name, const struct command *command, const json_t *request, json_t **reply,
	struct err *e);

/* cmd_config.c: fills *config from a command line as of `enlite run`. 0; 1: the help text was
 * printed; -errno with one line in e. vm_config_free() in any case. */
struct vm_config;
int cmd_configure(struct vm_config *config, int argc, char **argv, struct err *e);

/* cmd_complete.c: what may follow a subcommand, to standard output. argc is at least 1; the last of
 * argv is to be completed. */
void cmd_complete_arguments(const char *subcommand, int argc, char **argv);

/* cmd_vm.c: the same of `enlite vm`. */
void cmd_vm_complete(int argc, char **argv);

/* Prints the error, one line (see err_set()). Returns status. */
int cmd_fail(const struct err *e, int status);

#endif
