/* SPDX-License-Identifier: MIT */
/* Help texts from the table: for `enlite run --help`, and in roff for the man page. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"

#define NAME_COLUMN 23
#define LINE_MAX    96

/* ---- what both have ------------------------------------------------------ */

/* " (1 to 64; default 1)" and the like, or nothing. */
static void limits(const struct schema_key *key, char *text, size_t size)
{
	char range[64] = "", preset[64] = "";

	if (key->type == &schema_number || key->type == &schema_number_or_word)
		snprintf(range, sizeof(range), "%" PRIu64 " to %" PRIu64, key->min, key->max);
	if (key->preset && *key->preset && key->arg)
		snprintf(preset, sizeof(preset), "default %s", key->preset);
	snprintf(text, size, "%s%s%s%s%s", *range || *preset ? " (" : "", range,
		*range && *preset ? "; " : "", preset, *range || *preset ? ")" : "");
}

/* How a source is written: FILE, memory:SIZE. */
static void source_usage(
	const struct device_class *class, const struct schema *source, char *text, size_t size)
{
	bool plain = source == class->sources[0] || source->schemes;

	snprintf(text, size, "%s%s%s", plain ? "" : source->name, plain ? "" : ":",
		source->keys[0].arg);
}

/* delay=TIME[:OP], volatile[=SEED], or the name alone */
void filter_usage(const struct schema *filter, char *text, size_t size)
{
	size_t used = (size_t)snprintf(text, size, "%s", filter->name);
	const char *before = "=";

	for (const struct schema_key *key = schema_keys(filter); key->name && used < size; key++) {
		used += (size_t)snprintf(text + used, size - used, "%s%s%s%s",
			key->required ? "" : "[", before, key->arg, key->required ? "" : "]");
		before = ":";
	}
}

static void key_usage(const struct schema_key *key, char *text, size_t size)
{
	char name[32];

	snprintf(text, size, "%s%s%s", option_name(key, name), key->arg ? "=" : "",
		key->arg ? key->arg : "");
}

/* ---- text ---------------------------------------------------------------- */

/* A name in its column, and words in lines behind it. */
static void print_entry(FILE *out, int indent, const char *name, const char *text)
{
	int column = fprintf(out, "%*s%s", indent, "", name);
	const char *word = text;

	if (column + 2 > NAME_COLUMN) {
		putc('\n', out);
		column = 0;
	}
	column += fprintf(out, "%*s", NAME_COLUMN - column, "");
	while (*word) {
		int len = (int)strcspn(word, " ");

		if (column + 1 + len > LINE_MAX)
			column = fprintf(out, "\n%*s", NAME_COLUMN, "") - 1;
		column += fprintf(out, "%s%.*s", column > NAME_COLUMN ? " " : "", len, word);
		word += len;
		word += strspn(word, " ");
	}
	putc('\n', out);
}

static void print_key(FILE *out, int indent, const char *usage, const struct schema_key *key)
{
	char text[400], range[140];

	limits(key, range, sizeof(range));
	snprintf(text, sizeof(text), "%s%s", key->help, range);
	print_entry(out, indent, usage, text);
}

static void option_usage(const struct schema_key *key, char *text, size_t size)
{
	char name[OPTION_NAME_MAX];

	option_of_key(key, name);
	snprintf(text, size, "--%s%s%s", name, key->arg ? " " : "", key->arg ? key->arg : "");
}

static void print_filter(FILE *out, const struct schema *filter)
{
	char usage[120];

	filter_usage(filter, usage, sizeof(usage));
	print_entry(out, 4, usage, filter->help);
}

static void print_class(FILE *out, const struct config_list *list)
{
	const struct device_class *class = list->class;
	char usage[120];

	fprintf(out, "\nA %s is SOURCE[,KEY[=VALUE]]...[,FILTER]... SOURCE:\n", class->noun);
	for (size_t i = 0; class->sources[i]; i++) {
		source_usage(class, class->sources[i], usage, sizeof(usage));
		print_entry(out, 4, usage, class->sources[i]->keys[0].help);
	}
	fputs("  KEY:\n", out);
	for (const struct schema_key *key = class->keys; key->name; key++) {
		key_usage(key, usage, sizeof(usage));
		print_key(out, 4, usage, key);
	}
	for (size_t i = 0; class->sources[i]; i++)
		for (const struct schema_key *key = class->sources[i]->keys + 1; key->name; key++) {
			key_usage(key, usage, sizeof(usage));
			print_key(out, 4, usage, key);
		}
	fputs("  FILTER, for tests and for shaping; each wraps what stands before it:\n", out);
	for (size_t i = 0; class->filters[i]; i++)
		print_filter(out, class->filters[i]);
}

static void print_lists(FILE *out)
{
	char usage[40];

	for (const struct config_list *list = config_lists; list->name; list++) {
		snprintf(usage, sizeof(usage), "--%s SPEC", list->option);
		print_entry(out, 2, usage, list->help);
		if (!list->flag_option)
			continue;
		snprintf(usage, sizeof(usage), "--%s SPEC", list->flag_option);
		print_entry(out, 2, usage, list->flag_help);
	}
}

void vm_config_help(FILE *out)
{
	char usage[80];

	fputs("usage: enlite run --kernel FILE [options]\n"
	      "       enlite run --config FILE [options]\n"
	      "\n"
	      "Boots a kernel in a VM that speaks the Hyper-V guest interface and VMBus.\n\n",
		out);
	print_entry(out, 2, "--config FILE",
		"reads the configuration from a JSON file; options come on top of it, lists "
		"add up (`enlite config --print OPTIONS` writes one)");
	for (const struct schema_key *key = vm_keys; key->name; key++) {
		option_usage(key, usage, sizeof(usage));
		print_key(out, 2, usage, key);
	}
	print_lists(out);
	print_entry(out, 2, "--help", "prints this");
	for (const struct config_list *list = config_lists; list->name; list++)
		print_class(out, list);
	fputs("\n"
	      "Names with commas, quotes or backslashes: \"a,b.img\",ro or a\\,b.img,ro.\n"
	      "In JSON keys have '_' for '-', and a disk is an object: {\"file\": \"a,b.img\",\n"
	      "\"read_only\": true, \"filters\": [{\"filter\": \"delay\", \"time\": \"5ms\"}]}.\n"
	      "If an option is given twice, the last one applies, except for those that may be\n"
	      "repeated.\n"
	      "On a stdio console Ctrl-A x ends the VM and Ctrl-A Ctrl-A sends one Ctrl-A.\n"
	      "Exit status: 0 power off, 1 error, 2 wrong configuration, 32 reset (--no-reboot),\n"
	      "33 triple fault, 34 guest crash, 35 a VP could not run, 129/130/143 SIGHUP/SIGINT/\n"
	      "SIGTERM; (value << 1) | 1 after a write to the debug-exit port.\n",
		out);
}

/* ---- man page ------------------------------------------------------------ */

/* roff takes '-' for a hyphen, and '\' and a leading '.' or ''' for its own. */
static void put_roff(FILE *out, const char *text)
{
	for (const char *c = text; *c; c++) {
		if (*c == '-')
			putc('\\', out);
		if (*c == '\\')
			fputs("\\e", out);
		else
			putc(*c, out);
	}
}

static void man_entry(FILE *out, const char *usage, const char *text, const char *more)
{
	fputs(".TP\n.B ", out);
	put_roff(out, usage);
	putc('\n', out);
	put_roff(out, text);
	put_roff(out, more);
	putc('\n', out);
}

static void man_key(FILE *out, const char *usage, const struct schema_key *key)
{
	char range[140];

	limits(key, range, sizeof(range));
	man_entry(out, usage, key->help, range);
}

static void man_filter(FILE *out, const struct schema *filter)
{
	char usage[120], text[160];

	filter_usage(filter, usage, sizeof(usage));
	man_entry(out, usage, filter->help, "");
	for (const struct schema_key *key = schema_keys(filter); key->name; key++) {
		snprintf(text, sizeof(text), ".br\n.IR %s :\n", key->name);
		fputs(text, out);
		put_roff(out, key->help);
		putc('\n', out);
	}
}

static void man_class(FILE *out, const struct device_class *class)
{
	char usage[120];

	fprintf(out, ".SS Sources of a %s\n", class->noun);
	for (size_t i = 0; class->sources[i]; i++) {
		source_usage(class, class->sources[i], usage, sizeof(usage));
		man_entry(out, usage, class->sources[i]->keys[0].help, "");
	}
	fprintf(out, ".SS Keys of a %s\n", class->noun);
	for (const struct schema_key *key = class->keys; key->name; key++) {
		key_usage(key, usage, sizeof(usage));
		man_key(out, usage, key);
	}
	for (size_t i = 0; class->sources[i]; i++)
		for (const struct schema_key *key = class->sources[i]->keys + 1; key->name; key++) {
			key_usage(key, usage, sizeof(usage));
			man_key(out, usage, key);
		}
	fprintf(out, ".SS Filters of a %s\n", class->noun);
	for (size_t i = 0; class->filters[i]; i++)
		man_filter(out, class->filters[i]);
}

static void man_lists(FILE *out)
{
	char usage[40];

	for (const struct config_list *list = config_lists; list->name; list++) {
		snprintf(usage, sizeof(usage), "--%s SPEC", list->option);
		man_entry(out, usage, list->help, "");
		if (!list->flag_option)
			continue;
		snprintf(usage, sizeof(usage), "--%s SPEC", list->flag_option);
		man_entry(out, usage, list->flag_help, "");
	}
}

void vm_config_man(FILE *out)
{
	char usage[80];

	for (const struct schema_key *key = vm_keys; key->name; key++) {
		option_usage(key, usage, sizeof(usage));
		man_key(out, usage, key);
	}
	man_lists(out);
	for (const struct config_list *list = config_lists; list->name; list++)
		man_class(out, list->class);
}
