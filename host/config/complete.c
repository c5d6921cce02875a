/* SPDX-License-Identifier: MIT */
/* Options of `enlite run` and their values, for the completion of shells. */
#include <string.h>

#include "config/config_impl.h"
#include "mgmt/complete.h"

static void print_option(FILE *out, const char *word, const char *name, const char *help)
{
	char option[OPTION_NAME_MAX + 2];

	snprintf(option, sizeof(option), "--%s", name);
	complete_print(out, word, option, help);
}

static void options(FILE *out, const char *word)
{
	char name[OPTION_NAME_MAX];

	for (const struct schema_key *key = vm_keys; key->name; key++) {
		option_of_key(key, name);
		print_option(out, word, name, key->help);
	}
	for (const struct config_list *list = config_lists; list->name; list++) {
		print_option(out, word, list->option, list->help);
		if (list->flag_option)
			print_option(out, word, list->flag_option, list->flag_help);
	}
	print_option(out, word, "config", "a file with the same in JSON");
	print_option(out, word, "help", "all options");
}

static void values(FILE *out, const char *option, const char *word)
{
	char name[OPTION_NAME_MAX];

	for (const struct schema_key *key = vm_keys; key->name; key++) {
		option_of_key(key, name);
		if (key->arg && !strcmp(name, option))
			complete_choices(out, word, key->choices);
	}
}

void vm_config_candidates(FILE *out, const char *previous, const char *word)
{
	if (!strncmp(previous, "--", 2))
		values(out, previous + 2, word);
	if (*word == '-')
		options(out, word);
}
