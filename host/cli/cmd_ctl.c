/* SPDX-License-Identifier: MIT */
/* `enlite ctl NAME COMMAND`: the client of a VM's control socket. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"
#include "cli/guest_tables.h"
#include "cli/list_tables.h"
#include "cli/screenshot.h"
#include "cli/stats_tables.h"
#include "cli/table.h"
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

static void inspect_print(FILE *out, json_t *reply)
{
	tree_print(out, json_object_get(reply, "inspect"));
}

static void tree_reply_print(FILE *out, json_t *reply)
{
	tree_print(out, reply);
}

/* How people see the answer of a command. */
static const struct {
	const char *words;
	void (*print)(FILE *out, json_t *reply);
} printers[] = {
	{"stats", stats_tables_print},
	{"inspect", inspect_print},
	{"disk list", disk_tables_print},
	{"nic list", nic_table_print},
	{"status", status_print},
	{"memory target", memory_print},
	{"kvp list", kvp_pairs_print},
	{"kvp get", kvp_value_print},
	{"ip show", tree_reply_print},
};

static bool print_for_people(const char *words, json_t *reply)
{
	for (size_t i = 0; i < sizeof(printers) / sizeof(printers[0]); i++) {
		if (strcmp(printers[i].words, words))
			continue;
		printers[i].print(stdout, reply);
		return true;
	}
	return false;
}

/* The reply without its frame: of `inspect` the node alone, which may be a single value. */
static const json_t *result_of(const char *words, const json_t *reply)
{
	return strcmp(words, "inspect") ? reply : json_object_get(reply, "inspect");
}

static void print_reply(const struct command *command, json_t *reply, bool json)
{
	json_object_del(reply, "ok");
	if (!json && print_for_people(command->words, reply))
		return;
	json_dumpf(result_of(command->words, reply), stdout, JSON_ENCODE_ANY | JSON_COMPACT);
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

/* What the user allows the guest comes on top. */
static unsigned patience_ms(const struct command *command, const json_t *request)
{
	return command->timeout_ms +
	       1000 * (unsigned)json_integer_value(json_object_get(request, "timeout"));
}

int cmd_ask(const char *name, const struct command *command, const json_t *request, json_t **reply,
	struct err *e)
{
	int ret = ctl_call(name, request, patience_ms(command, request), reply, e);

	if (ret)
		return ret;
	ret = check_reply(name, *reply, e);
	if (ret)
		json_decref(*reply);
	return ret;
}

static int ask(const char *name, const struct command *command, const json_t *request, bool json,
	struct err *e)
{
	json_t *reply;
	int ret;

	report_interruption();
	ret = cmd_ask(name, command, request, &reply, e);
	if (ret)
		return ret;
	if (!json && !strcmp(command->words, "screenshot"))
		ret = screenshot_write(request, reply, e);
	else
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

/* Removes its own options from argv, in front of `--` if that is there; the command's stay. */
static void take_options(struct invocation *in, int argc, char **argv)
{
	bool options = true;

	*in = (struct invocation){.argv = argv};
	for (int i = 0; i < argc; i++) {
		options &= strcmp(argv[i], "--") != 0;
		if (options && !strcmp(argv[i], "--json"))
			in->json = true;
		else if (options && !strcmp(argv[i], "--help"))
			in->help = true;
		else
			argv[in->argc++] = argv[i];
	}
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

	take_options(&in, argc - 1, argv + 1);
	if (in.help)
		return help();
	if (parse(&in, &command, &request, &e))
		return cmd_fail(&e, EXIT_USAGE);
	ret = ask(in.argv[0], command, request, in.json, &e);
	json_decref(request);
	return ret ? cmd_fail(&e, EXIT_ERROR) : EXIT_SUCCESS;
}
