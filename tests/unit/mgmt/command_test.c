/* SPDX-License-Identifier: MIT */
/* The command table: requests against their rows, command lines, the man page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/man_page.h"
#include "vm/commands.h"

static struct err e;
static unsigned runs;

static int count_run(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *why)
{
	runs++;
	return 0;
}

static const char *const means[] = {"car", "bus", NULL};

static const struct command table[] = {
	{.words = "look", .states = 1, .run = count_run},
	{.words = "set",
		.args = {{.key = "n", .usage = "N", .kind = COMMAND_NUMBER, .max = 7},
			{.key = "why", .usage = "WHY", .optional = true}},
		.states = 3,
		.run = count_run},
	{.words = "set name",
		.args = {{.key = "name", .usage = "NAME"}},
		.states = 2,
		.run = count_run},
	{.words = "go",
		.args = {{.key = "where", .usage = "WHERE"}, {.key = "n", .usage = "N"}},
		.options = {{.key = "fast", .kind = COMMAND_FLAG},
			{.key = "speed", .usage = "S", .kind = COMMAND_NUMBER, .max = 9},
			{.key = "by", .usage = "MEANS", .kind = COMMAND_CHOICE, .choices = means}},
		.states = 3,
		.run = count_run},
	{.words = "open",
		.args = {{.key = "file", .usage = "FILE", .kind = COMMAND_SPEC}},
		.files = true,
		.states = 3,
		.run = count_run},
	{.words = NULL},
};

/* ---- requests ------------------------------------------------------------ */

static int start(const char *text, uint32_t state)
{
	const struct command_target target = {.state = state, .state_name = "asleep"};
	json_t *json = json_loads(text, 0, NULL);
	int ret;

	assert_non_null(json);
	e.text[0] = '\0';
	runs = 0;
	ret = command_start(table, &target, NULL, json, &e);
	json_decref(json);
	assert_int_equal(runs, ret ? 0 : 1);
	return ret;
}

#define GO "{\"command\": \"go\", \"where\": \"x\""

static void errors_name_the_key(void **state)
{
	static const struct {
		const char *request, *error;
	} wrong[] = {
		{"{}", "\"command\": a text is needed"},
		{"{\"command\": 7}", "\"command\": a text is needed"},
		{"{\"command\": \"fly\"}",
			"unknown command fly; known are look, set, set name, go, open"},
		{"{\"command\": \"set name\"}", "set name: \"name\" is missing"},
		{"{\"command\": \"set name\", \"name\": 7}",
			"set name: \"name\": Expected string, got integer"},
		{"{\"command\": \"set name\", \"name\": \"x\", \"nmae\": 7}",
			"set name: unknown key \"nmae\""},
		{"{\"command\": \"look\", \"directory\": \"/\"}",
			"look: unknown key \"directory\""},
		{"{\"command\": \"set\", \"n\": \"7\"}",
			"set: \"n\": Expected integer, got string"},
		{"{\"command\": \"set\", \"n\": 1.5}", "set: \"n\": Expected integer, got real"},
		{"{\"command\": \"set\", \"n\": 8}", "set: \"n\": a number from 0 to 7 is needed"},
		{"{\"command\": \"set\", \"n\": -1}", "set: \"n\": a number from 0 to 7 is needed"},
		{"{\"command\": \"set\", \"n\": 1, \"why\": []}",
			"set: \"why\": Expected string, got array"},
		{GO "}", "go: \"n\" is missing"},
		{GO ", \"n\": \"1\", \"fast\": 1}",
			"go: \"fast\": Expected true or false, got integer"},
		{GO ", \"n\": \"1\", \"speed\": 10}",
			"go: \"speed\": a number from 0 to 9 is needed"},
		{GO ", \"n\": \"1\", \"by\": \"ship\"}", "go: by 'ship': must be one of car, bus"},
		{GO ", \"n\": \"1\", \"slow\": true}", "go: unknown key \"slow\""},
		{"{\"command\": \"open\", \"file\": \"x\"}", "open: \"directory\" is missing"},
		{"{\"command\": \"open\", \"file\": [], \"directory\": \"/\"}",
			"open: \"file\": Expected string, got array"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(start(wrong[i].request, 1), -EINVAL);
		assert_string_equal(e.text, wrong[i].error);
	}
}

static void right_requests_run(void **state)
{
	assert_int_equal(start("{\"command\": \"look\"}", 0), 0);
	assert_int_equal(start("{\"command\": \"set name\", \"name\": \"\"}", 1), 0);
	assert_int_equal(start("{\"command\": \"set\", \"n\": 7}", 1), 0);
	assert_int_equal(start("{\"command\": \"set\", \"n\": 0, \"why\": \"so\"}", 1), 0);
	assert_int_equal(
		start("{\"command\": \"open\", \"file\": \"x\", \"directory\": \"/\"}", 1), 0);
}

static void wrong_states_are_named(void **state)
{
	assert_int_equal(start("{\"command\": \"look\"}", 1), -EBUSY);
	assert_string_equal(e.text, "look: not possible while the VM is asleep");
	assert_int_equal(start("{\"command\": \"set name\", \"name\": \"\"}", 0), -EBUSY);
}

/* ---- command lines ------------------------------------------------------- */

#define WORDS_MAX 6

/* line: words with one space between them. The request's text, or NULL. */
static char *parsed(const struct command *commands, const char *line)
{
	char copy[200], *argv[WORDS_MAX], *at = copy, *text;
	const struct command *command;
	json_t *request;
	int argc = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	while (at) {
		assert_true(argc < WORDS_MAX);
		argv[argc++] = strsep(&at, " ");
	}
	e.text[0] = '\0';
	if (command_parse(commands, argc, argv, &command, &request, &e))
		return NULL;
	assert_int_equal(command_check(command, request, &e), 0);
	text = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	return text;
}

static void lines_become_requests(void **state)
{
	static const struct {
		const char *line, *request;
	} right[] = {
		{"go a b", "{\"command\":\"go\",\"where\":\"a\",\"n\":\"b\"}"},
		{"go --fast a b", "{\"command\":\"go\",\"fast\":true,\"where\":\"a\",\"n\":\"b\"}"},
		{"go a --speed 3 b",
			"{\"command\":\"go\",\"speed\":3,\"where\":\"a\",\"n\":\"b\"}"},
		{"go a b --by=bus",
			"{\"command\":\"go\",\"by\":\"bus\",\"where\":\"a\",\"n\":\"b\"}"},
		{"go a -- --fast", "{\"command\":\"go\",\"where\":\"a\",\"n\":\"--fast\"}"},
		{"look", "{\"command\":\"look\"}"},
		{"set name x", "{\"command\":\"set name\",\"name\":\"x\"}"},
		{"set 3", "{\"command\":\"set\",\"n\":3}"},
		{"set 3 because", "{\"command\":\"set\",\"n\":3,\"why\":\"because\"}"},
	};

	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		char *text = parsed(table, right[i].line);

		assert_non_null(text);
		assert_string_equal(text, right[i].request);
		free(text);
	}
}

static void files_bring_their_directory(void **state)
{
	char *text = parsed(table, "open x"), directory[512], expected[600];

	assert_non_null(getcwd(directory, sizeof(directory)));
	snprintf(expected, sizeof(expected),
		"{\"command\":\"open\",\"file\":\"x\",\"directory\":\"%s\"}", directory);
	assert_string_equal(text, expected);
	free(text);
}

static void specs_may_be_objects(void **state)
{
	static const struct {
		const char *line, *sent;
	} specs[] = {
		{"open {\"file\":\"x\"}", "\"file\":{\"file\":\"x\"},\"directory\""},
		{"open {no", "\"file\":\"{no\",\"directory\""},
		{"open {\"a\":1,\"a\":2}", "\"file\":\"{\\\"a\\\":1,\\\"a\\\":2}\""},
	};

	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		char *text = parsed(table, specs[i].line);

		assert_non_null(text);
		if (!strstr(text, specs[i].sent))
			fail_msg("%s: %s", specs[i].line, text);
		free(text);
	}
}

static void wrong_lines_say_what_is_right(void **state)
{
	static const struct {
		const char *line, *error;
	} wrong[] = {
		{"fly", "unknown command 'fly'; see"},
		{"fly high", "unknown command 'fly high'; see"},
		{"loo", "unknown command 'loo'"},
		{"lookout", "unknown command 'lookout'"},
		{"", "unknown command ''"},
		{"look around", "usage: enlite ctl NAME look [--json]"},
		{"set name", "usage: enlite ctl NAME set name NAME [--json]"},
		{"set name a b", "usage: enlite ctl NAME set name NAME [--json]"},
		{"set", "usage: enlite ctl NAME set N [WHY] [--json]"},
		{"set 1 2 3", "usage: enlite ctl NAME set N [WHY] [--json]"},
		{"go a",
			"usage: enlite ctl NAME go WHERE N [--fast] [--speed S] [--by MEANS] [--json]"},
		{"go a b --speed", "usage: enlite ctl NAME go"},
		{"go a b --fast=1", "usage: enlite ctl NAME go"},
		{"go a b --slow", "unknown option --slow; see `enlite ctl --help`"},
		{"go a b --speed 10", "go: S '10': a number from 0 to 9 is needed"},
		{"go a b --by ship", "go: by 'ship': must be one of car, bus"},
		{"go -- a b --fast", "usage: enlite ctl NAME go"},
		{"look --fast", "unknown option --fast"},
		{"set 8", "set: N '8': a number from 0 to 7 is needed"},
		{"set -1", "set: N '-1': a number from 0 to 7 is needed"},
		{"set name \xff", "set name: NAME: is not UTF-8 text"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_null(parsed(table, wrong[i].line));
		if (!strstr(e.text, wrong[i].error))
			fail_msg("'%s': %s", wrong[i].line, e.text);
	}
}

/* ---- the real table ------------------------------------------------------ */

static void rows_are_complete(void **state)
{
	for (const struct command *c = vm_commands; c->words; c++) {
		assert_ptr_equal(command_find(vm_commands, c->words), c); /* no two of one name */
		assert_non_null(c->help);
		assert_non_null(c->run);
		assert_true(c->states && c->timeout_ms);
	}
}

#define MAN_HEAD_MAX 300

/* The usage, in which a '-' of an option is no hyphen. */
static void man_long_head(const struct command *command, char head[MAN_HEAD_MAX])
{
	char usage[COMMAND_USAGE_MAX];
	size_t used;

	command_usage(command, usage);
	used = (size_t)snprintf(head, MAN_HEAD_MAX, ".TP\n.B \"");
	for (const char *at = usage; *at; at++)
		used += (size_t)snprintf(
			head + used, MAN_HEAD_MAX - used, *at == '-' ? "\\-" : "%c", *at);
	snprintf(head + used, MAN_HEAD_MAX - used, "\"\n");
}

/* The paragraph head of a row in the man page. */
static void man_head(const struct command *command, char head[MAN_HEAD_MAX])
{
	const struct command_arg *arg = &command->args[0];

	if (command->options[0].key || command->args[1].key)
		man_long_head(command, head);
	else if (!arg->key)
		snprintf(head, MAN_HEAD_MAX, ".TP\n.B %s\n", command->words);
	else if (arg->optional)
		snprintf(head, MAN_HEAD_MAX, ".TP\n.BI \"%s \\fR[\\fP\" %s \"\\fR]\\fP\"\n",
			command->words, arg->usage);
	else
		snprintf(head, MAN_HEAD_MAX, ".TP\n.BI \"%s \" %s\n", command->words, arg->usage);
}

/* The man page has these rows in this order, and no others. */
static void man_page_has_the_rows(void **state)
{
	char *section = man_section("COMMANDS"), *at = section, head[MAN_HEAD_MAX];

	for (const struct command *c = vm_commands; c->words; c++) {
		man_head(c, head);
		at = strstr(at, ".TP\n");
		if (!at || strncmp(at, head, strlen(head)))
			fail_msg(MAN_PAGE ": not found at its place: %s", head);
		at += strlen(head);
	}
	assert_null(strstr(at, ".TP\n"));
	free(section);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors_name_the_key),
		cmocka_unit_test(right_requests_run),
		cmocka_unit_test(wrong_states_are_named),
		cmocka_unit_test(lines_become_requests),
		cmocka_unit_test(files_bring_their_directory),
		cmocka_unit_test(specs_may_be_objects),
		cmocka_unit_test(wrong_lines_say_what_is_right),
		cmocka_unit_test(rows_are_complete),
		cmocka_unit_test(man_page_has_the_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
