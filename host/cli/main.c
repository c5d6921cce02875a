/* SPDX-License-Identifier: MIT */
/*
 * enlite: the command line. User errors are printed by cmd_fail() only: one line
 * each, "enlite: what: where: what to do".
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "mgmt/complete.h"
#include "vm/vm.h"

/* ---- subcommands --------------------------------------------------------- */

static int cmd_version(int argc, char **argv);
static int cmd_help(int argc, char **argv);
static int cmd_complete(int argc, char **argv);

static const struct subcommand {
	const char *name;
	const char *alias; /* NULL: none */
	const char *usage;
	const char *help;
	int (*run)(int argc, char **argv);
} subcommands[] = {
	{"run", NULL, "run --kernel FILE [OPTIONS]", "boot a kernel in a VM", cmd_run},
	{"config", NULL, "config --check FILE | --print OPTIONS", "check or print a configuration",
		cmd_config},
	{"vm", NULL, "vm COMMAND [VM] [OPTIONS]", "manage VMs through enlited", cmd_vm},
	{"ctl", NULL, "ctl NAME COMMAND [--json]", "send a command to a running VM", cmd_ctl},
	{"cp", NULL, "cp FILE NAME:PATH [--force] [--parents]", "copy a file into a guest", cmd_cp},
	{"freeze", NULL, "freeze NAME [--timeout S] -- COMMAND",
		"run a command while a guest's file systems are frozen", cmd_freeze},
	{"exec", NULL, "exec NAME [--tty] -- COMMAND",
		"run a command in a guest that has our agent", cmd_exec},
	{"shell", NULL, "shell NAME", "a shell in a guest that has our agent", cmd_shell},
	{"probe", NULL, "probe [--json]", "report what /dev/kvm can do here", cmd_probe},
	{"complete", NULL, "complete WORD...",
		"print what may follow, for the completion of shells", cmd_complete},
	{"version", "--version", "version", "print the version", cmd_version},
	{"help", "--help", "help", "print this text", cmd_help},
};

#define SUBCOMMANDS (sizeof(subcommands) / sizeof(subcommands[0]))

static int cmd_version(int argc, char **argv)
{
	puts("enlite " ENLITE_VERSION);
	return EXIT_SUCCESS;
}

static int cmd_help(int argc, char **argv)
{
	puts("usage: enlite COMMAND [OPTIONS]\n");
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		printf("  %-40s  %s\n", subcommands[i].usage, subcommands[i].help);
	puts("\nSee `enlite run --help`, `enlite vm --help`, `enlite ctl --help` and enlite(1).");
	return EXIT_SUCCESS;
}

/* The last word is to be completed, the others are in front of it. */
static int cmd_complete(int argc, char **argv)
{
	if (argc > 2)
		cmd_complete_arguments(argv[1], argc - 2, argv + 2);
	for (size_t i = 0; argc == 2 && i < SUBCOMMANDS; i++)
		complete_print(stdout, argv[1], subcommands[i].name, subcommands[i].help);
	return EXIT_SUCCESS;
}

static const struct subcommand *find(const char *name)
{
	for (size_t i = 0; i < SUBCOMMANDS; i++) {
		const struct subcommand *s = &subcommands[i];

		if (!strcmp(s->name, name) || (s->alias && !strcmp(s->alias, name)))
			return s;
	}
	return NULL;
}

static int run_subcommand(int argc, char **argv)
{
	const struct subcommand *s = argc > 1 ? find(argv[1]) : NULL;
	struct err e;

	if (s)
		return s->run(argc - 1, argv + 1);
	if (argc > 1)
		err_set(&e, -EINVAL, "unknown command '%s'; see `enlite --help`", argv[1]);
	else
		err_set(&e, -EINVAL, "no command given; see `enlite --help`");
	return cmd_fail(&e, EXIT_USAGE);
}

/* ---- the process --------------------------------------------------------- */

/* A standard descriptor that the caller closed would be reused for the next file that is opened,
 * and the guest's console could be written into its disk. The replacement fails as a closed one
 * does. */
static int hold_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return -EBADF;
	return 0;
}

/* Output that could not be written is an error, too. */
static int finish_stdout(int status)
{
	struct err e;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	err_set(&e, -EIO, "standard output: %s", errno ? strerror(errno) : "write error");
	return cmd_fail(&e, EXIT_ERROR);
}

int main(int argc, char **argv)
{
	struct err e;

	/* Where our parent ignores it, it is not said how children end. */
	signal(SIGCHLD, SIG_DFL);
	if (hold_standard_fds()) {
		err_set(&e, -EBADF,
			"/dev/null: cannot be opened in place of a closed standard descriptor: give enlite all three");
		return cmd_fail(&e, EXIT_ERROR);
	}
	return finish_stdout(run_subcommand(argc, argv));
}
