/* SPDX-License-Identifier: GPL-2.0-only */
/* enlite-guest: options, and the exit status: 0, 1 (nothing to show), 2 (wrong use). */
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>

#include "guest/tools/tool.h"

#define EXIT_USAGE 2

static const char usage[] =
	"usage: enlite-guest [--json] [--root DIR]\n"
	"\n"
	"Shows what the VMBus of this guest does: devices, drivers, channels, rings, doorbells, interrupts,\n"
	"latencies. Latencies of disks need root and a mounted debugfs.\n"
	"\n"
	"  --json       for programs\n"
	"  --root DIR   reads a copy of /sys in DIR/sys, and of `ethtool -S NAME` in DIR/ethtool/NAME\n"
	"  --help       this text\n"
	"  --version    the version\n";

static const struct option options[] = {
	{"json", no_argument, NULL, 'j'},
	{"root", required_argument, NULL, 'r'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'v'},
	{NULL, 0, NULL, 0},
};

static int run(const char *root, bool json)
{
	json_t *all = collect(root);

	if (!all)
		return EXIT_FAILURE;
	if (json) {
		json_dumpf(all, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		show(stdout, all);
	}
	json_decref(all);
	if (!fflush(stdout) && !ferror(stdout))
		return EXIT_SUCCESS;
	perror("enlite-guest: standard output");
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	const char *root = "";
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'r':
			root = optarg;
			break;
		case 'h':
			fputs(usage, stdout);
			return EXIT_SUCCESS;
		case 'v':
			puts("enlite-guest " ENLITE_VERSION);
			return EXIT_SUCCESS;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return run(root, json);
	fprintf(stderr, "enlite-guest: unknown argument '%s'; see enlite-guest --help\n",
		argv[optind]);
	return EXIT_USAGE;
}
