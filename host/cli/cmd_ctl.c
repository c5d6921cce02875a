/* SPDX-License-Identifier: MIT */
/* `enlite ctl NAME COMMAND`: the client of a VM's control socket. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/stats_table.h"
#include "vm/commands.h"
#include "vm/vm.h"

#define CTL_USAGE "enlite ctl NAME COMMAND [ARGUMENTS] [--json]"

/* ---- interruption -------------------------------------------------------- */

/* The process then ends by the signal itself, as its parent expects. */
static void on_signal(int signal)
{
	static const char text[] =
		"enlite: ctl: interrupted before the answer; the command may still run\n";

	ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)written; /* the signal says it as well */
	raise(signal);
}

static void report_interruption(void)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* ---- replies ------------------------------------------------------------- */

static bool is_flat(json_t *reply)
{
	for (void *at = json_object_iter(reply); at; at = json_object_iter_next(reply, at)) {
		const json_t *value = json_object_iter_value(at);

		if (json_is_object(value) || json_is_array(value))
			return false;
	}
	return true;
}

/* The node asked for, which may be a single value. */
static void print_inspect(const json_t *node, bool json)
{
	json_dumpf(node, stdout, JSON_ENCODE_ANY | (json ? JSON_COMPACT : JSON_INDENT(2)));
	putchar('\n');
}

static void print_reply(const struct command *command, json_t *reply, bool json)
{
	json_object_del(reply, "ok");
	if (!strcmp(command->words, "inspect")) {
		print_inspect(json_object_get(reply, "inspect"), json);
		return;
	}
	if (!json && !strcmp(command->words, "stats")) {
		stats_table_print(stdout, reply);
		return;
	}
	json_dumpf(reply, stdout, json || is_flat(reply) ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
}

/* 0, or -errno with the VM's reason in e. */
static int check_reply(const char *name, json_t *reply, struct err *e)
{
	const char *text = json_string_value(json_object_get(reply, "error"));

	if (json_is_true(json_object_get(reply, "ok")))
		return 0;
	return err_set(e, -EINVAL, "ctl %s: %s", name, text ? text : "refused");
}

static int ask(const char *name, const struct command *command, const json_t *request, bool json,
	struct err *e)
{
	json_t *reply;
	int ret;

	report_interruption();
	ret = ctl_call(name, request, command->timeout_ms, &reply, e);
	if (ret)
		return ret;
	ret = check_reply(name, reply, e);
	if (!ret)
		print_reply(command, reply, json);
	json_decref(reply);
	return ret;
}

/* ---- command line -------------------------------------------------------- */

struct invocation {
	int argc; /* without options */
	char **argv;
	bool json;
	bool help;
};

/* Removes the options from argv, in front of `--` if that is there. */
static int take_options(struct invocation *in, int argc, char **argv, struct err *e)
{
	bool options = true;

	*in = (struct invocation){.argv = argv};
	for (int i = 0; i < argc; i++) {
		if (!options || strncmp(argv[i], "--", 2))
			argv[in->argc++] = argv[i];
		else if (!argv[i][2])
			options = false;
		else if (!strcmp(argv[i], "--json"))
			in->json = true;
		else if (!strcmp(argv[i], "--help"))
			in->help = true;
		else
			return err_set(e, -EINVAL,
				"ctl: unknown option %s; see `enlite ctl --help`", argv[i]);
	}
	return 0;
}

static int help(void)
{
	puts("usage: " CTL_USAGE "\n");
	command_help(vm_commands, stdout);
	puts("\nNAME is that of `enlite run --name`. --json prints the answer for programs.");
	return EXIT_SUCCESS;
}

static int parse(const struct invocation *in, const struct command **command, json_t **request,
	struct err *e)
{
	struct err why;
	int ret;

	if (in->argc < 2)
		return err_set(e, -EINVAL, "ctl: usage: " CTL_USAGE "; see `enlite ctl --help`");
	ret = command_parse(vm_commands, in->argc - 1, in->argv + 1, command, request, &why);
	return ret ? err_set(e, ret, "ctl: %.500s", why.text) : 0;
}

int cmd_ctl(int argc, char **argv)
{
	const struct command *command;
	struct invocation in;
	json_t *request;
	struct err e;
	int ret;

	if (take_options(&in, argc - 1, argv + 1, &e))
		return cmd_fail(&e, EXIT_USAGE);
	if (in.help)
		return help();
	if (parse(&in, &command, &request, &e))
		return cmd_fail(&e, EXIT_USAGE);
	ret = ask(in.argv[0], command, request, in.json, &e);
	json_decref(request);
	return ret ? cmd_fail(&e, EXIT_ERROR) : EXIT_SUCCESS;
}
