/* SPDX-License-Identifier: MIT */
/* `enlite config`: checks a configuration file, or prints the JSON of a command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cmd.h"
#include "config/config.h"
#include "vm/vm.h"

#define CONFIG_USAGE "enlite config --check FILE, or enlite config --print OPTIONS"

int cmd_configure(struct vm_config *config, int argc, char **argv, struct err *e)
{
	int ret = vm_config_init(config, e);

	if (!ret)
		ret = vm_config_args(config, argc, argv, e);
	if (ret > 0)
		vm_config_help(stdout);
	return ret ? ret : vm_config_complete(config, e);
}

static int print_config(struct vm_config *config, int argc, char **argv, struct err *e)
{
	int ret = cmd_configure(config, argc, argv, e);
	json_t *json;

	if (ret)
		return ret;
	json = vm_config_json(config, e);
	if (!json)
		return -EILSEQ;
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return 0;
}

static int check_config(struct vm_config *config, const char *path, struct err *e)
{
	int ret = vm_config_init(config, e);

	if (!ret)
		ret = vm_config_read_file(config, path, e);
	if (!ret)
		ret = vm_config_complete(config, e);
	return ret ? ret : vm_config_check(config, e);
}

int cmd_config(int argc, char **argv)
{
	const char *action = argc > 1 ? argv[1] : "";
	struct vm_config config = {0};
	struct err e = {""};
	int ret;

	if (!strcmp(action, "--check") && argc == 3)
		ret = check_config(&config, argv[2], &e);
	else if (!strcmp(action, "--print"))
		ret = print_config(&config, argc - 1, argv + 1, &e);
	else
		ret = err_set(&e, -EINVAL, "config: usage: " CONFIG_USAGE);
	vm_config_free(&config);
	return ret < 0 ? cmd_fail(&e, EXIT_USAGE) : EXIT_SUCCESS;
}
