/* SPDX-License-Identifier: MIT */
/* Words for the completion of shells, from the table of commands and the directory of sockets. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/command.h"
#include "mgmt/complete.h"
#include "mgmt/ctl_impl.h"

#define WORD_MAX 64u

void complete_print(FILE *out, const char *word, const char *name, const char *help)
{
	if (!strncmp(word, name, strlen(word)))
		fprintf(out, "%s\t%.*s\n", name, (int)strcspn(help, ";:"), help);
}

void complete_choices(FILE *out, const char *word, const char *const *choices)
{
	for (; choices && *choices; choices++)
		complete_print(out, word, *choices, "");
}

/* ---- names of VMs -------------------------------------------------------- */

static void print_name(FILE *out, const char *word, const char *file, const char *suffix)
{
	char name[CTL_NAME_MAX + 8];
	size_t len = strlen(file);

	if (len <= 5 || len - 5 > CTL_NAME_MAX || strcmp(file + len - 5, ".sock"))
		return;
	snprintf(name, sizeof(name), "%.*s%s", (int)(len - 5), file, suffix);
	complete_print(out, word, name, "a running VM");
}

void complete_names(FILE *out, const char *word, const char *suffix)
{
	char path[CTL_PATH_MAX];
	struct dirent *entry;
	struct err e;
	DIR *dir;

	if (ctl_path(path, "x", &e))
		return;
	*strrchr(path, '/') = 0;
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		print_name(out, word, entry->d_name, suffix);
	closedir(dir);
}

/* ---- commands ------------------------------------------------------------ */

/* Word n of "disk add"; "": there are fewer. */
static const char *nth_word(const char *words, int n, char word[WORD_MAX])
{
	for (; n > 0 && *words; n--) {
		words += strcspn(words, " ");
		words += strspn(words, " ");
	}
	snprintf(word, WORD_MAX, "%.*s", (int)strcspn(words, " "), words);
	return word;
}

/* How many of its words were typed, if all that was typed fits; else -1. */
static int typed_words(const struct command *command, int argc, char **argv)
{
	char word[WORD_MAX];
	int n;

	for (n = 0; *nth_word(command->words, n, word); n++) {
		if (n == argc)
			return n;
		if (strcmp(word, argv[n]))
			return -1;
	}
	return n;
}

static void complete_word(FILE *out, const struct command *command, int n, const char *word)
{
	char next[WORD_MAX], after[WORD_MAX];

	nth_word(command->words, n, next);
	nth_word(command->words, n + 1, after);
	complete_print(out, word, next, *after ? "" : command->help);
}

/* "disk" of "disk add" and "disk list" once: those rows are neighbours. */
static bool repeats(const struct command *table, const struct command *command, int n)
{
	char word[WORD_MAX], before[WORD_MAX];

	return command > table &&
	       !strcmp(nth_word(command->words, n, word), nth_word(command[-1].words, n, before));
}

static const struct command_arg *option_named(const struct command *command, const char *word)
{
	if (strncmp(word, "--", 2))
		return NULL;
	for (unsigned i = 0; i < COMMAND_OPTIONS_MAX && command->options[i].key; i++)
		if (!strcmp(command->options[i].key, word + 2))
			return &command->options[i];
	return NULL;
}

/* Behind all words of a command: its options and their values, and choices of its arguments. */
static void complete_rest(FILE *out, const struct command *command, int argc, char **argv)
{
	const char *word = argv[argc - 1];
	const struct command_arg *before = argc > 1 ? option_named(command, argv[argc - 2]) : NULL;
	char option[WORD_MAX];

	if (before && before->kind != COMMAND_FLAG) {
		complete_choices(out, word, before->choices);
		return;
	}
	for (unsigned i = 0; *word != '-' && i < COMMAND_ARGS_MAX && command->args[i].key; i++)
		complete_choices(out, word, command->args[i].choices);
	for (unsigned i = 0; *word == '-' && i < COMMAND_OPTIONS_MAX && command->options[i].key;
		i++) {
		snprintf(option, sizeof(option), "--%s", command->options[i].key);
		complete_print(out, word, option, "");
	}
	if (*word == '-')
		complete_print(out, word, "--json", "the answer for programs");
}

void complete_command(FILE *out, const struct command *table, int argc, char **argv)
{
	const char *word = argv[argc - 1];
	char next[WORD_MAX];

	for (const struct command *command = table; command->words; command++) {
		int n = typed_words(command, argc - 1, argv);

		if (n < 0)
			continue;
		if (!*nth_word(command->words, n, next))
			complete_rest(out, command, argc - n, argv + n);
		else if (!repeats(table, command, n))
			complete_word(out, command, n, word);
	}
}
