/* SPDX-License-Identifier: MIT */
/*
 * `enlite freeze NAME -- COMMAND`: runs a command while the guest's file systems are frozen. The
 * VM thaws them by itself when this process does not, after --timeout.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "cli/cmd.h"
#include "vm/commands.h"
#include "vm/vm.h"

#define USAGE "enlite freeze NAME [--timeout S] -- COMMAND [ARGUMENTS]"

#define TIMEOUT_MAX 3600u

extern char **environ;

struct freeze {
	const char *name;
	uint64_t timeout_s;
	char **command;
};

/* ---- the VM -------------------------------------------------------------- */

static int ask(const struct freeze *f, const char *words, json_t *request, struct err *e)
{
	json_t *reply;
	int ret;

	json_object_set_new(request, "command", json_string(words));
	ret = cmd_ask(f->name, command_find(vm_commands, words), request, &reply, e);
	json_decref(request);
	if (!ret)
		json_decref(reply);
	return ret;
}

/* ---- the command --------------------------------------------------------- */

static volatile sig_atomic_t interrupted; /* the last signal, or 0 */
static volatile sig_atomic_t running;     /* the command's process, or 0 */

/* The command is to end; this process goes on to thaw. */
static void on_signal(int signal)
{
	interrupted = signal;
	if (running)
		kill(running, signal);
}

/* A handler, unlike SIG_IGN, is not inherited by the command. */
static void outlive_command(void)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

/* As a shell has it: 128 and the signal; 126 or 127 when it does not start. */
static int run(char **command)
{
	int error, status;
	pid_t pid;

	if (interrupted)
		return 128 + interrupted;
	error = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
	if (error) {
		struct err e;

		err_set(&e, -error, "freeze: %s: %s", command[0], strerror(error));
		return cmd_fail(&e, error == ENOENT ? 127 : 126);
	}
	running = pid;
	if (interrupted) /* meanwhile: the handler did not know of it */
		kill(pid, interrupted);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_ERROR;
	running = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int freeze(const struct freeze *f)
{
	struct err e;
	int status;

	outlive_command();
	if (ask(f, "freeze", json_pack("{s:I}", "timeout", (json_int_t)f->timeout_s), &e))
		return cmd_fail(&e, EXIT_ERROR);
	status = run(f->command);
	if (ask(f, "thaw", json_object(), &e))
		return cmd_fail(&e, status ? status : EXIT_ERROR);
	return status;
}

/* ---- command line -------------------------------------------------------- */

static int parse(struct freeze *f, int argc, char **argv, struct err *e)
{
	int i = 1;

	*f = (struct freeze){.timeout_s = IC_FREEZE_S};
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--timeout") && i + 1 < argc) {
			if (parse_number(argv[++i], 1, TIMEOUT_MAX, &f->timeout_s))
				return err_set(e, -EINVAL,
					"freeze: --timeout '%s': a number from 1 to %u is needed",
					argv[i], TIMEOUT_MAX);
		} else if (argv[i][0] != '-' && !f->name) {
			f->name = argv[i];
		} else {
			return err_set(
				e, -EINVAL, "freeze: '%s' is not expected; usage: " USAGE, argv[i]);
		}
	}
	f->command = argv + i + 1;
	if (!f->name || i + 1 >= argc)
		return err_set(e, -EINVAL, "freeze: usage: " USAGE);
	return 0;
}

int cmd_freeze(int argc, char **argv)
{
	struct freeze f;
	struct err e;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		puts("usage: " USAGE);
		return EXIT_SUCCESS;
	}
	if (parse(&f, argc, argv, &e))
		return cmd_fail(&e, EXIT_USAGE);
	return freeze(&f);
}
