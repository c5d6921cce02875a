// SPDX-License-Identifier: MIT
/*
 * enlite: the command line. The only place where the process exits and where
 * user errors are printed: one line each, "enlite: what: where: what to do".
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "machine.h"
#include "mgmt/ctl.h"
#include "options.h"
#include "probe/probe.h"

static const char usage[] =
	"usage: enlite COMMAND [options]\n"
	"\n"
	"  run     boot a kernel in a partition (enlite run --help)\n"
	"  probe   say what this machine's /dev/kvm can do [--json]\n"
	"  ctl     talk to a running partition: enlite ctl NAME stats|power-button|stop [--json]\n"
	"  version\n"
	"\n"
	"See enlite(1).\n";

static int fail(const struct err *e, int status)
{
	fprintf(stderr, "enlite: %s\n", e->text);
	return status;
}

static int main_run(int argc, char **argv)
{
	static struct machine machine;
	struct run_options options;
	struct err e = {""};
	int status, ret = options_parse(&options, argc, argv, &e);

	if (ret > 0)
		return EXIT_SUCCESS;
	if (ret < 0)
		return fail(&e, EXIT_USAGE);
	if (options.verbose)
		log_set_level(LOG_DEBUG);
	status = machine_run(&machine, &options, &e);
	return e.text[0] ? fail(&e, status) : status;
}

static int main_probe(int argc, char **argv)
{
	bool json = argc == 2 && !strcmp(argv[1], "--json");

	if (argc > 2 || (argc == 2 && !json)) {
		fprintf(stderr, "enlite: probe: unknown option %s; usage: enlite probe [--json]\n",
			argv[json ? 2 : 1]);
		return EXIT_USAGE;
	}
	return probe_main(json);
}

static void print_reply(json_t *reply, bool json)
{
	json_object_del(reply, "ok");
	json_dumpf(reply, stdout, json ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
}

static int main_ctl(int argc, char **argv)
{
	struct err e = {""};
	json_t *request, *reply;
	bool json = argc == 4 && !strcmp(argv[3], "--json");
	int ret, status = EXIT_SUCCESS;

	if (argc < 3 || argc > 4 || (argc == 4 && !json)) {
		fputs("enlite: usage: enlite ctl NAME stats|power-button|stop [--json]\n", stderr);
		return EXIT_USAGE;
	}
	request = json_pack("{s:s}", "command", argv[2]);
	ret = ctl_call(argv[1], request, &reply, &e);
	json_decref(request);
	if (ret)
		return fail(&e, EXIT_ERROR);
	if (json_is_true(json_object_get(reply, "ok"))) {
		print_reply(reply, json);
	} else {
		const char *text = json_string_value(json_object_get(reply, "error"));

		fprintf(stderr, "enlite: ctl %s: %s\n", argv[1], text ? text : "refused");
		status = EXIT_ERROR;
	}
	json_decref(reply);
	return status;
}

int main(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";

	if (!strcmp(command, "run"))
		return main_run(argc - 1, argv + 1);
	if (!strcmp(command, "probe"))
		return main_probe(argc - 1, argv + 1);
	if (!strcmp(command, "ctl"))
		return main_ctl(argc - 1, argv + 1);
	if (!strcmp(command, "version") || !strcmp(command, "--version")) {
		puts("enlite " ENLITE_VERSION);
		return EXIT_SUCCESS;
	}
	if (!strcmp(command, "help") || !strcmp(command, "--help")) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (*command)
		fprintf(stderr, "enlite: unknown command '%s'; see enlite --help\n", command);
	else
		fputs(usage, stderr);
	return EXIT_USAGE;
}
