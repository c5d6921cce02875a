/* SPDX-License-Identifier: MIT */
/* `enlite complete`: what may follow on a command line; packaging/completion calls it. */
#include <stdbool.h>
#include <string.h>

#include "cli/cmd.h"
#include "config/config.h"
#include "mgmt/complete.h"
#include "vm/commands.h"

static void complete_config(int argc, char **argv)
{
	static const char *const actions[] = {"--check", "--print", NULL};

	if (argc == 1)
		complete_choices(stdout, argv[0], actions);
	else if (!strcmp(argv[0], "--print"))
		vm_config_candidates(stdout, argv[argc - 2], argv[argc - 1]);
}

static void complete_ctl(int argc, char **argv)
{
	if (argc == 1)
		complete_names(stdout, argv[0], "");
	else
		complete_command(stdout, vm_commands, argc - 1, argv + 1);
}

static bool takes_name(const char *subcommand)
{
	return !strcmp(subcommand, "freeze") || !strcmp(subcommand, "exec") ||
	       !strcmp(subcommand, "shell");
}

void cmd_complete_arguments(const char *subcommand, int argc, char **argv)
{
	const char *word = argv[argc - 1];

	if (!strcmp(subcommand, "run"))
		vm_config_candidates(stdout, argc > 1 ? argv[argc - 2] : "", word);
	else if (!strcmp(subcommand, "config"))
		complete_config(argc, argv);
	else if (!strcmp(subcommand, "ctl"))
		complete_ctl(argc, argv);
	else if (!strcmp(subcommand, "vm"))
		cmd_vm_complete(argc, argv);
	else if (!strcmp(subcommand, "cp") && argc == 2)
		complete_names(stdout, word, ":");
	else if (argc == 1 && takes_name(subcommand))
		complete_names(stdout, word, "");
	else if (!strcmp(subcommand, "probe"))
		complete_print(stdout, word, "--json", "for programs");
}
