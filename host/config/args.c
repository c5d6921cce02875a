/* SPDX-License-Identifier: MIT */
/* The command line of `enlite run`: getopt over a table that is made from the schema. */
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"

#define OPTIONS_MAX 64u
#define SPEC_SHOWN  160 /* characters of a spec in an error */

/* Values of getopt: which kind of option, and which one. */
enum {
	OPT_KEY = 256,  /* vm_keys[] */
	OPT_LIST = 512, /* config_lists[] */
	OPT_FLAG = 768, /* config_lists[].flag_option */
	OPT_CONFIG = 1024,
	OPT_HELP,
};

struct options {
	struct option option[OPTIONS_MAX];
	char name[OPTIONS_MAX][OPTION_NAME_MAX];
	unsigned count;
};

static void add_option(struct options *o, const char *name, bool has_value, int value)
{
	assert(o->count + 1 < OPTIONS_MAX);
	snprintf(o->name[o->count], sizeof(o->name[0]), "%s", name);
	o->option[o->count] = (struct option){
		o->name[o->count], has_value ? required_argument : no_argument, NULL, value};
	o->count++;
}

static void make_options(struct options *o)
{
	char name[OPTION_NAME_MAX];

	memset(o, 0, sizeof(*o));
	for (int i = 0; vm_keys[i].name; i++) {
		option_of_key(&vm_keys[i], name);
		add_option(o, name, vm_keys[i].arg, OPT_KEY + i);
	}
	for (int i = 0; config_lists[i].name; i++) {
		add_option(o, config_lists[i].option, true, OPT_LIST + i);
		if (config_lists[i].flag_option)
			add_option(o, config_lists[i].flag_option, true, OPT_FLAG + i);
	}
	add_option(o, "config", true, OPT_CONFIG);
	add_option(o, "help", false, OPT_HELP);
}

/* ---- values -------------------------------------------------------------- */

static int set_origin(char **origin, const char *text, struct err *e)
{
	char *copy = strdup(text);

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(*origin);
	*origin = copy;
	return 0;
}

static int apply_key(struct vm_config *c, int index, const char *value, struct err *e)
{
	const struct schema_key *key = &vm_keys[index];
	char name[OPTION_NAME_MAX], place[OPTION_NAME_MAX + 2];
	struct err why;
	int ret;

	if (!value)
		value = option_clears(key) ? "false" : "true";
	option_of_key(key, name);
	snprintf(place, sizeof(place), "--%s", name);
	ret = schema_set(key, c, value, &why);
	return ret ? config_fail(e, ret, place, &why) : set_origin(&c->origins[index], place, e);
}

static int apply_list(struct vm_config *c, const struct config_list *list, bool with_flag,
	const char *spec, struct err *e)
{
	const char *option = with_flag ? list->flag_option : list->option;
	char place[SPEC_SHOWN + 48];
	struct device_config *d;
	struct err why;
	int ret = -EINVAL;

	snprintf(place, sizeof(place), "--%s %.*s%s", option, SPEC_SHOWN, spec,
		strlen(spec) > SPEC_SHOWN ? "..." : "");
	d = config_list_add(list, c, &why);
	if (d)
		ret = device_parse(list->class, d, spec, with_flag ? list->flag : NULL, NULL, &why);
	if (ret)
		return config_fail(e, ret, place, &why);
	d->joint = ": ";
	return set_origin(&d->origin, place, e);
}

static int apply(struct vm_config *c, int option, const char *value, struct err *e)
{
	if (option >= OPT_CONFIG)
		return 0; /* read before */
	if (option >= OPT_FLAG)
		return apply_list(c, &config_lists[option - OPT_FLAG], true, value, e);
	if (option >= OPT_LIST)
		return apply_list(c, &config_lists[option - OPT_LIST], false, value, e);
	return apply_key(c, option - OPT_KEY, value, e);
}

/* ---- options ------------------------------------------------------------- */

static int unknown_option(const struct options *o, const char *option, struct err *e)
{
	struct names names = {.count = 0};
	char name[64];
	const char *nearest;

	for (unsigned i = 0; i < o->count; i++)
		names_add(&names, o->name[i]);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(option + 2, "="), option + 2);
	nearest = names_nearest(&names, name);
	if (nearest)
		return err_set(
			e, -EINVAL, "unknown option %s; did you mean --%s?", option, nearest);
	return err_set(e, -EINVAL, "unknown option %s; see `enlite run --help`", option);
}

/* getopt says what is wrong by `code` and optopt, and not always where: it stays on a group of
 * short options until all are taken. */
static int bad_option(const struct options *o, int code, char **argv, struct err *e)
{
	const char *option = argv[optind - 1];

	if (code == ':')
		return err_set(
			e, -EINVAL, "option %s needs a value; see `enlite run --help`", option);
	if (optopt >= OPT_KEY)
		return err_set(
			e, -EINVAL, "option %s takes no value; see `enlite run --help`", option);
	if (optopt)
		return err_set(e, -EINVAL, "unknown option -%c; see `enlite run --help`", optopt);
	return unknown_option(o, option, e);
}

static int next_option(const struct options *o, int argc, char **argv)
{
	return getopt_long(argc, argv, ":", o->option, NULL);
}

static int read_file(struct vm_config *c, int option, struct err *e)
{
	if (option == OPT_CONFIG)
		return vm_config_read_file(c, optarg, e);
	if (option >= OPT_KEY && option < OPT_LIST &&
		!strcmp(vm_keys[option - OPT_KEY].name, "restore"))
		return vm_config_read_image(c, optarg, e);
	return 0;
}

/* The first pass: what is wrong with the options themselves, and the files, which come first. */
static int read_files(
	struct vm_config *c, const struct options *o, int argc, char **argv, struct err *e)
{
	int option, ret;

	optind = 0; /* glibc: start anew, also within a group of short options */
	while ((option = next_option(o, argc, argv)) != -1) {
		if (option == OPT_HELP)
			return 1;
		if (option == '?' || option == ':')
			return bad_option(o, option, argv, e);
		ret = read_file(c, option, e);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return err_set(e, -EINVAL, "unexpected argument '%s'; see `enlite run --help`",
			argv[optind]);
	return 0;
}

int vm_config_args(struct vm_config *c, int argc, char **argv, struct err *e)
{
	struct options o;
	int option, ret;

	make_options(&o);
	ret = read_files(c, &o, argc, argv, e);
	if (ret)
		return ret;
	optind = 0;
	while ((option = next_option(&o, argc, argv)) != -1) {
		ret = apply(c, option, optarg, e);
		if (ret)
			return ret;
	}
	return 0;
}
