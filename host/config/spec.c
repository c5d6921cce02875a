/* SPDX-License-Identifier: MIT */
/*
 * Devices as they are written on the command line:
 *
 *   SPEC   = SOURCE { "," ITEM }
 *   SOURCE = FILE | NAME ":" VALUE | URI
 *   ITEM   = FLAG | KEY "=" VALUE | FILTER [ "=" VALUE { ":" VALUE } ]
 *
 * The values of a filter belong to its keys in their order. One that can be left out is skipped
 * when the value does not fit and another key follows. The last key takes all the rest, so that a
 * file name there may have colons.
 *
 * Quoting, anywhere: between double quotes all characters stand for themselves, but for \" and \\;
 * outside of them a backslash makes the next character stand for itself. Quoted text is never
 * a separator or the name of a source: "a,ro" and a\,ro are the file a,ro.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "config/config_impl.h"

const char *option_name(const struct schema_key *key, char name[32])
{
	size_t i = 0;

	for (const char *c = key->option ? key->option : key->name; *c && i < 31; c++)
		name[i++] = *c == '_' ? '-' : *c;
	name[i] = '\0';
	return name;
}

bool option_clears(const struct schema_key *key)
{
	return !key->arg && key->preset && !strcmp(key->preset, "true");
}

void option_of_key(const struct schema_key *key, char name[OPTION_NAME_MAX])
{
	char plain[32];

	snprintf(name, OPTION_NAME_MAX, "%s%s", option_clears(key) ? "no-" : "",
		option_name(key, plain));
}

/* ---- words --------------------------------------------------------------- */

/* Takes the text up to an unquoted character of `stops` or the end, where *at is then. The word is
 * unquoted, and to be freed. */
static int take_word(const char **at, const char *stops, char **word, struct err *e)
{
	const char *c = *at;
	char *to = malloc(strlen(c) + 1);
	bool quoted = false;

	*word = to;
	if (!to)
		return err_set(e, -ENOMEM, "out of memory");
	for (; *c && (quoted || !strchr(stops, *c)); c++) {
		if (*c == '"') {
			quoted = !quoted;
			continue;
		}
		if (*c == '\\' && (!quoted || c[1] == '"' || c[1] == '\\')) {
			c++;
			if (!*c)
				return err_set(e, -EINVAL, "a backslash at the end quotes nothing");
		}
		*to++ = *c;
	}
	*to = '\0';
	*at = c;
	return quoted ? err_set(e, -EINVAL, "a quote \" is not closed") : 0;
}

static bool takes(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

/* ---- source -------------------------------------------------------------- */

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

/* "NAME:VALUE", of which the name is skipped, or a URI, which is a value as a whole. */
static bool is_source(const struct schema *schema, const char **at)
{
	size_t len = strlen(schema->name);

	if (starts(*at, schema->name) && (*at)[len] == ':') {
		if (!starts(*at + len, "://"))
			*at += len + 1;
		return true;
	}
	for (size_t i = 0; schema->schemes && schema->schemes[i]; i++)
		if (starts(*at, schema->schemes[i]))
			return true;
	return false;
}

static const struct schema *find_source(const struct device_class *class, const char **at)
{
	for (size_t i = 0; class->sources[i]; i++)
		if (is_source(class->sources[i], at))
			return class->sources[i];
	return class->sources[0];
}

static int set_key(const struct schema_key *key, void *object, const char *text, struct err *e)
{
	struct err why;
	char name[32];
	int ret = schema_set(key, object, text, &why);

	return ret ? config_fail(e, ret, option_name(key, name), &why) : 0;
}

static int parse_source(
	const struct device_class *class, struct device_config *d, const char **at, struct err *e)
{
	const struct schema *schema = find_source(class, at);
	char *word = NULL;
	int ret = schema_value_init(&d->source, schema);

	if (ret)
		return err_set(e, ret, "out of memory");
	ret = take_word(at, ",", &word, e);
	if (!ret)
		ret = set_key(&schema->keys[0], d->source.object, word, e);
	free(word);
	return ret;
}

/* ---- filters ------------------------------------------------------------- */

static int filter_fail(const struct schema *schema, const struct schema_key *key, int ret,
	const struct err *why, struct err *e)
{
	return err_set(e, ret, "%s.%s: %s", schema->name, key->name, why->text);
}

/* *key: where to begin; then the one behind that which was set. */
static int set_fitting(const struct schema_value *filter, const struct schema_key **key,
	const char *word, struct err *e)
{
	struct err why;
	int ret;

	if (!(*key)->name)
		return err_set(e, -EINVAL, "%s: ':%.40s' is one value too many",
			filter->schema->name, word);
	for (;; (*key)++) {
		ret = schema_set(*key, filter->object, word, &why);
		if (ret != -EINVAL || (*key)->required || !(*key)[1].name)
			break;
	}
	if (ret)
		return filter_fail(filter->schema, *key, ret, &why, e);
	(*key)++;
	return 0;
}

static int parse_values(const struct schema_value *filter, const char **at, struct err *e)
{
	const struct schema_key *key = schema_keys(filter->schema);
	int ret;

	do {
		const char *stops = key->name && !key[1].name ? "," : ",:";
		char *word = NULL;

		ret = take_word(at, stops, &word, e);
		if (!ret)
			ret = set_fitting(filter, &key, word, e);
		free(word);
	} while (!ret && takes(at, ':'));
	return ret;
}

static int parse_filter(const struct schema_value *filter, const char **at, struct err *e)
{
	const struct schema_key *keys = schema_keys(filter->schema), *missing;
	bool has_value = takes(at, '=');
	int ret = 0;

	if (has_value && !keys->name)
		return err_set(e, -EINVAL, "%s: takes no value", filter->schema->name);
	if (has_value)
		ret = parse_values(filter, at, e);
	if (ret)
		return ret;
	missing = schema_missing(keys, filter->object);
	if (missing && missing == keys)
		return err_set(
			e, -EINVAL, "%s: needs a value: =%s", filter->schema->name, missing->arg);
	return 0;
}

/* ---- items --------------------------------------------------------------- */

static int parse_value(const struct schema_key *key, void *object, const char **at, struct err *e)
{
	char name[32], *word = NULL;
	bool has_value = takes(at, '=');
	int ret;

	if (has_value && !key->arg)
		return err_set(e, -EINVAL, "%s: takes no value", option_name(key, name));
	if (!has_value && key->arg)
		return err_set(
			e, -EINVAL, "%s: needs a value: =%s", option_name(key, name), key->arg);
	if (!key->arg)
		return set_key(key, object, "true", e);
	ret = take_word(at, ",", &word, e);
	if (!ret)
		ret = set_key(key, object, word, e);
	free(word);
	return ret;
}

static int parse_named(const struct device_class *class, void *device, const char *name,
	const char **at, struct err *e)
{
	void *object;
	const struct schema_key *key = device_key(class, device, name, true, &object);
	struct schema_value *filter;

	if (key)
		return parse_value(key, object, at, e);
	filter = device_add_filter(class, device, name, e);
	if (filter)
		return parse_filter(filter, at, e);
	if (e->text[0])
		return -EINVAL;
	return device_unknown(class, device, name, true, e);
}

static int parse_item(
	const struct device_class *class, void *device, const char **at, struct err *e)
{
	char *name = NULL;
	int ret = take_word(at, ",=", &name, e);

	if (!ret)
		ret = parse_named(class, device, name, at, e);
	free(name);
	return ret;
}

static int set_flag(const struct device_class *class, void *device, const char *flag, struct err *e)
{
	return set_key(schema_find(class->keys, flag), device, "true", e);
}

/* A check names a key of the class, or one of the device's source, which has no option name. */
static const char *checked_name(const struct device_class *class, const char *key, char name[32])
{
	const struct schema_key *k = schema_find(class->keys, key);

	return k ? option_name(k, name) : key;
}

static int parse_all(const struct device_class *class, void *device, const char *spec,
	const char *flag, struct err *e)
{
	const char *at = spec, *wrong;
	struct err why;
	char name[32];
	int ret = parse_source(class, device, &at, e);

	while (!ret && takes(&at, ','))
		ret = parse_item(class, device, &at, e);
	if (!ret && flag)
		ret = set_flag(class, device, flag, e);
	if (ret)
		return ret;
	wrong = class->check(device, &why);
	if (!wrong)
		return 0;
	return config_fail(e, -EINVAL, checked_name(class, wrong, name), &why);
}

/* ---- texts that can mean two things -------------------------------------- */

static bool names_a_file(const char *spec, const char *directory)
{
	char *path = NULL;
	bool exists;

	if (!strchr(spec, ','))
		return false;
	if (!directory || *spec == '/')
		return !files_access(spec, F_OK);
	exists = asprintf(&path, "%s/%s", directory, spec) > 0 && !files_access(path, F_OK);
	free(path);
	return exists;
}

/* The name of an existing file was taken for a shorter name with keys behind it. */
static int note_file(struct device_config *d, const char *spec, struct err *e)
{
	int len = (int)strcspn(spec, ",");

	if (asprintf(&d->note,
		    "understood as '%.*s' with keys '%s'; there is a file named '%s': to use "
		    "that one, put its name in double quotes",
		    len, spec, spec + len + 1, spec) >= 0)
		return 0;
	d->note = NULL;
	return err_set(e, -ENOMEM, "out of memory");
}

int device_parse(const struct device_class *class, void *device, const char *spec, const char *flag,
	const char *directory, struct err *e)
{
	struct err why;
	int ret = parse_all(class, device, spec, flag, &why);
	bool ambiguous = names_a_file(spec, directory);

	if (ret && ambiguous)
		return err_set(e, ret,
			"%s; there is a file of this name: to use it, put its name in double quotes",
			why.text);
	if (ret)
		return err_set(e, ret, "%s", why.text);
	if (ambiguous)
		ret = note_file(device, spec, e);
	if (!ret && directory && device_make_absolute(class, device, directory))
		ret = err_set(e, -ENOMEM, "out of memory");
	return ret;
}

int device_parse_new(const struct device_class *class, void *device, const char *spec,
	const char *directory, struct err *e)
{
	int ret;

	memset(device, 0, class->size);
	ret = device_init(class, device);
	if (ret)
		err_set(e, ret, "out of memory");
	else
		ret = device_parse(class, device, spec, NULL, directory, e);
	if (ret)
		device_free(class, device);
	return ret;
}

int disk_config_parse(struct disk_config *d, const char *spec, const char *directory, struct err *e)
{
	return device_parse_new(&disk_class, d, spec, directory, e);
}

int nic_config_parse(struct nic_config *n, const char *spec, const char *directory, struct err *e)
{
	return device_parse_new(&nic_class, n, spec, directory, e);
}
