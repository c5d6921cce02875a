/* SPDX-License-Identifier: MIT */
#include "mgmt/command.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"

#define HELP_COLUMN 24

static uint32_t arg_count(const struct command *command)
{
	uint32_t count = 0;

	while (count < COMMAND_ARGS_MAX && command->args[count].key)
		count++;
	return count;
}

static bool is_choice(const struct command_arg *arg, const char *text)
{
	for (const char *const *choice = arg->choices; *choice; choice++)
		if (!strcmp(*choice, text))
			return true;
	return false;
}

static const struct command_arg *find_option(const struct command *command, const char *key)
{
	for (uint32_t i = 0; i < COMMAND_OPTIONS_MAX && command->options[i].key; i++)
		if (!strcmp(command->options[i].key, key))
			return &command->options[i];
	return NULL;
}

/* ---- server: the request against its row --------------------------------- */

const struct command *command_find(const struct command *table, const char *words)
{
	for (const struct command *c = table; c->words; c++)
		if (!strcmp(c->words, words))
			return c;
	return NULL;
}

static int check_value(const struct command_arg *arg, json_t *json, json_error_t *error)
{
	const char *text;
	json_int_t number;
	json_t *object;
	int flag;

	if (arg->kind == COMMAND_FLAG)
		return json_unpack_ex(json, error, 0, "{s:b}", arg->key, &flag);
	if (arg->kind == COMMAND_SPEC && json_is_object(json_object_get(json, arg->key)))
		return json_unpack_ex(json, error, 0, "{s:o}", arg->key, &object);
	if (arg->kind != COMMAND_NUMBER)
		return json_unpack_ex(json, error, 0, "{s:s}", arg->key, &text);
	return json_unpack_ex(json, error, 0, "{s:I}", arg->key, &number);
}

static bool number_fits(const struct command_arg *arg, const json_t *json)
{
	json_int_t number = json_integer_value(json_object_get(json, arg->key));

	return number >= 0 && (uint64_t)number <= arg->max;
}

static int check_choice(const struct command *command, const struct command_arg *arg,
	const char *text, struct err *e)
{
	char known[sizeof(e->text)] = "";

	if (is_choice(arg, text))
		return 0;
	for (const char *const *choice = arg->choices; *choice; choice++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", *choice);
	}
	return err_set(e, -EINVAL, "%s: %s '%.64s': must be one of %s", command->words, arg->key,
		text, known);
}

/* The key is there. */
static int check_present(const struct command *command, const struct command_arg *arg,
	const json_t *json, struct err *e)
{
	json_error_t error;

	if (check_value(arg, (json_t *)json, &error))
		return err_set(e, -EINVAL, "%s: \"%s\": %s", command->words, arg->key, error.text);
	if (arg->kind == COMMAND_NUMBER && !number_fits(arg, json))
		return err_set(e, -EINVAL, "%s: \"%s\": a number from 0 to %" PRIu64 " is needed",
			command->words, arg->key, arg->max);
	if (arg->kind == COMMAND_CHOICE)
		return check_choice(
			command, arg, json_string_value(json_object_get(json, arg->key)), e);
	return 0;
}

static int check_arg(const struct command *command, const struct command_arg *arg,
	const json_t *json, struct err *e)
{
	if (json_object_get(json, arg->key))
		return check_present(command, arg, json, e);
	if (arg->optional)
		return 0;
	return err_set(e, -EINVAL, "%s: \"%s\" is missing", command->words, arg->key);
}

static int check_options(const struct command *command, const json_t *json, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < COMMAND_OPTIONS_MAX && command->options[i].key; i++)
		if (json_object_get(json, command->options[i].key))
			ret = check_present(command, &command->options[i], json, e);
	return ret;
}

static bool key_known(const struct command *command, const char *key)
{
	if (!strcmp(key, "command") || (command->files && !strcmp(key, "directory")))
		return true;
	for (uint32_t i = 0; i < arg_count(command); i++)
		if (!strcmp(key, command->args[i].key))
			return true;
	return find_option(command, key);
}

static int check_keys(const struct command *command, const json_t *json, struct err *e)
{
	json_t *object = (json_t *)json; /* iterating changes nothing */

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
		if (!key_known(command, json_object_iter_key(at)))
			return err_set(e, -EINVAL, "%s: unknown key \"%s\"", command->words,
				json_object_iter_key(at));
	return 0;
}

int command_check(const struct command *command, const json_t *json, struct err *e)
{
	static const struct command_arg directory = {.key = "directory"};
	int ret = check_keys(command, json, e);

	for (uint32_t i = 0; !ret && i < arg_count(command); i++)
		ret = check_arg(command, &command->args[i], json, e);
	if (!ret)
		ret = check_options(command, json, e);
	if (!ret && command->files)
		ret = check_arg(command, &directory, json, e);
	return ret;
}

/* ---- server: start ------------------------------------------------------- */

static int unknown_command(const struct command *table, const char *words, struct err *e)
{
	char known[sizeof(e->text)] = "";

	for (const struct command *c = table; c->words; c++) {
		size_t used = strlen(known);

		snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "", c->words);
	}
	return err_set(e, -EINVAL, "unknown command %.64s; known are %s", words, known);
}

int command_start(const struct command *table, const struct command_target *target,
	struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct command *command;
	const char *words;
	int ret;

	if (json_unpack((json_t *)json, "{s:s}", "command", &words))
		return err_set(e, -EINVAL, "\"command\": a text is needed");
	command = command_find(table, words);
	if (!command)
		return unknown_command(table, words, e);
	ret = command_check(command, json, e);
	if (ret)
		return ret;
	if (!(command->states >> target->state & 1))
		return err_set(e, -EBUSY, "%s: not possible while the VM is %s", words,
			target->state_name);
	return command->run(target->vm, request, json, e);
}

/* ---- client -------------------------------------------------------------- */

void command_usage(const struct command *command, char text[COMMAND_USAGE_MAX])
{
	size_t used = (size_t)snprintf(text, COMMAND_USAGE_MAX, "%s", command->words);

	for (uint32_t i = 0; i < arg_count(command) && used < COMMAND_USAGE_MAX; i++) {
		const struct command_arg *arg = &command->args[i];

		used += (size_t)snprintf(text + used, COMMAND_USAGE_MAX - used,
			arg->optional ? " [%s]" : " %s", arg->usage);
	}
	for (uint32_t i = 0; i < COMMAND_OPTIONS_MAX && command->options[i].key; i++) {
		const struct command_arg *option = &command->options[i];

		if (used < COMMAND_USAGE_MAX)
			used += (size_t)snprintf(text + used, COMMAND_USAGE_MAX - used,
				" [--%s%s%s]", option->key, option->usage ? " " : "",
				option->usage ? option->usage : "");
	}
}

void command_help(const struct command *table, FILE *out)
{
	char text[COMMAND_USAGE_MAX];

	for (const struct command *c = table; c->words; c++) {
		command_usage(c, text);
		if (strlen(text) > HELP_COLUMN)
			fprintf(out, "  %s\n  %-*s  %s\n", text, HELP_COLUMN, "", c->help);
		else
			fprintf(out, "  %-*s  %s\n", HELP_COLUMN, text, c->help);
	}
}

/* How many of the words this row's name takes; 0: it is another one. */
static int words_match(const struct command *command, int argc, char **argv)
{
	const char *at = command->words;

	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]);

		if (!len || strncmp(at, argv[i], len) || (at[len] && at[len] != ' '))
			return 0;
		if (!at[len])
			return i + 1;
		at += len + 1;
	}
	return 0;
}

/* The row with the longest name. */
static const struct command *match(
	const struct command *table, int argc, char **argv, int *words_taken)
{
	const struct command *best = NULL;

	*words_taken = 0;
	for (const struct command *c = table; c->words; c++) {
		int words = words_match(c, argc, argv);

		if (words <= *words_taken)
			continue;
		best = c;
		*words_taken = words;
	}
	return best;
}

/* NULL: it is no JSON object. */
static json_t *spec_object(const char *text)
{
	return *text == '{' ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;
}

static json_t *arg_value(const struct command *command, const struct command_arg *arg,
	const char *text, struct err *e)
{
	uint64_t number;
	json_t *value;

	if (arg->kind == COMMAND_NUMBER) {
		if (!parse_number(text, 0, arg->max, &number))
			return json_integer((json_int_t)number);
		err_set(e, -EINVAL, "%s: %s '%s': a number from 0 to %" PRIu64 " is needed",
			command->words, arg->usage, text, arg->max);
		return NULL;
	}
	if (arg->kind == COMMAND_CHOICE && check_choice(command, arg, text, e))
		return NULL;
	value = arg->kind == COMMAND_SPEC ? spec_object(text) : NULL;
	if (!value)
		value = json_string(text);
	if (!value)
		err_set(e, -EINVAL, "%s: %s: is not UTF-8 text", command->words, arg->usage);
	return value;
}

static int add_directory(json_t *request, struct err *e)
{
	char directory[PATH_MAX];

	if (!getcwd(directory, sizeof(directory)))
		directory[0] = '\0';
	if (json_object_set_new(request, "directory", json_string(directory)))
		return err_set(e, -EINVAL, "the name of the current directory is not UTF-8 text");
	return 0;
}

static int set_value(const struct command *command, const struct command_arg *arg, const char *text,
	json_t *request, struct err *e)
{
	json_t *value = text ? arg_value(command, arg, text, e) : json_true();

	return !value || json_object_set_new(request, arg->key, value) ? -EINVAL : 0;
}

/* Options are taken from the words, arguments stay. */
struct line {
	int argc;
	char **argv;
	int taken; /* words behind *argv that are arguments */
};

static int usage_error(const struct command *command, struct err *e)
{
	char usage[COMMAND_USAGE_MAX];

	command_usage(command, usage);
	return err_set(e, -EINVAL, "usage: enlite ctl NAME %s [--json]", usage);
}

/* words[0] is "--KEY" or "--KEY=VALUE". How many words it takes, or -EINVAL. */
static int take_option(
	const struct command *command, int left, char **words, json_t *request, struct err *e)
{
	char *equals = strchr(words[0], '='), key[32];
	const struct command_arg *option;
	int ret;

	snprintf(key, sizeof(key), "%.*s",
		(int)(equals ? equals - words[0] - 2 : (ptrdiff_t)strlen(words[0]) - 2),
		words[0] + 2);
	option = find_option(command, key);
	if (!option)
		return err_set(e, -EINVAL, "unknown option %s; see `enlite ctl --help`", words[0]);
	if (option->kind == COMMAND_FLAG ? equals != NULL : !equals && left < 2)
		return usage_error(command, e);
	if (option->kind == COMMAND_FLAG)
		return set_value(command, option, NULL, request, e) ? -EINVAL : 1;
	ret = set_value(command, option, equals ? equals + 1 : words[1], request, e);
	return ret ? ret : equals ? 1 : 2;
}

/* Behind "--" nothing is an option. */
static int take_options(
	const struct command *command, struct line *line, json_t *request, struct err *e)
{
	int i = 0;

	while (i < line->argc && strcmp(line->argv[i], "--")) {
		int words;

		if (strncmp(line->argv[i], "--", 2)) {
			line->argv[line->taken++] = line->argv[i++];
			continue;
		}
		words = take_option(command, line->argc - i, line->argv + i, request, e);
		if (words < 0)
			return words;
		i += words;
	}
	for (i++; i < line->argc; i++)
		line->argv[line->taken++] = line->argv[i];
	return 0;
}

static bool args_fit(const struct command *command, int argc)
{
	int most = (int)arg_count(command);
	int least = most && command->args[most - 1].optional ? most - 1 : most;

	return argc >= least && argc <= most;
}

static int build(
	const struct command *command, int argc, char **argv, json_t *request, struct err *e)
{
	struct line line = {.argc = argc, .argv = argv};
	int ret;

	json_object_set_new(request, "command", json_string(command->words));
	ret = take_options(command, &line, request, e);
	if (!ret && !args_fit(command, line.taken))
		ret = usage_error(command, e);
	for (int i = 0; !ret && i < line.taken; i++)
		ret = set_value(command, &command->args[i], argv[i], request, e);
	return !ret && command->files ? add_directory(request, e) : ret;
}

/* "disk add": as much of it as may be the name of a command. */
static int unknown_words(int argc, char **argv, struct err *e)
{
	return err_set(e, -EINVAL, "unknown command '%.32s%s%.32s'; see `enlite ctl --help`",
		argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "");
}

int command_parse(const struct command *table, int argc, char **argv,
	const struct command **command, json_t **request, struct err *e)
{
	int taken, ret;

	*command = match(table, argc, argv, &taken);
	if (!*command)
		return unknown_words(argc, argv, e);
	*request = json_object();
	ret = *request ? build(*command, argc - taken, argv + taken, *request, e)
		       : err_set(e, -ENOMEM, "out of memory");
	if (ret)
		json_decref(*request);
	return ret;
}
