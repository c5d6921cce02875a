/* SPDX-License-Identifier: MIT */
/* `enlite cp FILE NAME:PATH`: the control command `copy` in the form of cp. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "vm/commands.h"
#include "vm/vm.h"

#define USAGE "enlite cp FILE NAME:PATH [--force] [--parents]"

#define WORDS_MAX 8

/* "NAME:PATH" in two. */
static char *cut(char *target)
{
	char *colon = strchr(target, ':');

	if (colon)
		*colon = '\0';
	return colon ? colon + 1 : NULL;
}

/* Options anywhere; the two words in between. 0, or -EINVAL. */
static int find_words(int argc, char **argv, int words[2])
{
	int count = 0;

	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "--", 2))
			continue;
		if (count == 2)
			return -EINVAL;
		words[count++] = i;
	}
	return count == 2 ? 0 : -EINVAL;
}

static int parse(int argc, char **argv, char **name, const struct command **command,
	json_t **request, struct err *e)
{
	char *words[WORDS_MAX];
	int at[2], count = 0;
	struct err why;

	if (argc >= WORDS_MAX || find_words(argc, argv, at))
		return err_set(e, -EINVAL, "cp: usage: " USAGE);
	*name = argv[at[1]];
	argv[at[1]] = cut(*name);
	if (!argv[at[1]])
		return err_set(e, -EINVAL,
			"cp: %s: must be NAME:PATH, the name of a VM and a path in its guest",
			*name);
	words[count++] = (char *)"copy";
	for (int i = 1; i < argc; i++)
		words[count++] = argv[i];
	if (command_parse(vm_commands, count, words, command, request, &why))
		return err_set(e, -EINVAL, "cp: %.500s", why.text);
	return 0;
}

int cmd_cp(int argc, char **argv)
{
	const struct command *command;
	json_t *request, *reply;
	char *name = NULL;
	struct err e;
	int ret;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		puts("usage: " USAGE);
		return EXIT_SUCCESS;
	}
	if (parse(argc, argv, &name, &command, &request, &e))
		return cmd_fail(&e, EXIT_USAGE);
	ret = cmd_ask(name, command, request, &reply, &e);
	json_decref(request);
	if (ret)
		return cmd_fail(&e, EXIT_ERROR);
	json_decref(reply);
	return EXIT_SUCCESS;
}
