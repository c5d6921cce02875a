/* SPDX-License-Identifier: MIT */
/*
 * Configurations in JSON. jansson parses, and refuses syntax errors, repeated keys, NUL and bad
 * UTF-8. It keeps no positions, so for the line of an error the text is scanned again along the
 * path of the wrong value; by then the text is known to be valid JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_impl.h"

#define FILE_MAX      (1u << 20)
#define PATH_MAX_TEXT 200u

/* ---- where a value is ---------------------------------------------------- */

/* One step on the path to a value, on the stack of who reads it. */
struct place {
	const struct place *up; /* NULL: the document */
	const char *key;        /* of an object; NULL: of a list */
	size_t ordinal;         /* of the member or element */
};

/* The document being read. Without its text, errors have no line. */
struct reader {
	const char *name; /* of the file */
	const char *text, *end;
};

static size_t print_path(const struct place *at, char *path, size_t size)
{
	size_t used;
	int len;

	if (!at || !at->up)
		return 0;
	used = print_path(at->up, path, size);
	if (used >= size)
		return used;
	if (at->key)
		len = snprintf(path + used, size - used, "%s%s", used ? "." : "", at->key);
	else
		len = snprintf(path + used, size - used, "[%zu]", at->ordinal);
	return used + (size_t)len;
}

static const char *skip_space(const struct reader *r, const char *at)
{
	while (at < r->end && strchr(" \t\r\n:,", *at))
		at++;
	return at;
}

static const char *skip_string(const struct reader *r, const char *at)
{
	for (at++; at < r->end && *at != '"'; at++)
		if (*at == '\\')
			at++;
	return at < r->end ? at + 1 : r->end;
}

/* A string, a number or a word is one step; of lists and objects all that is in them. */
static const char *skip_value(const struct reader *r, const char *at)
{
	size_t depth = 0;

	do {
		at = skip_space(r, at);
		if (at == r->end)
			break;
		if (*at == '"') {
			at = skip_string(r, at);
			continue;
		}
		if (*at == '[' || *at == '{')
			depth++;
		else if (*at == ']' || *at == '}')
			depth--;
		else
			while (at + 1 < r->end && !strchr(" \t\r\n:,]}", at[1]))
				at++;
		at++;
	} while (depth);
	return at;
}

/* The beginning of a value; of a member of an object that of its key when `key` is set. */
static const char *find_value(const struct reader *r, const struct place *at, bool key)
{
	const char *c;

	if (!at->up)
		return skip_space(r, r->text);
	c = find_value(r, at->up, false) + 1;
	for (size_t i = 0; i < at->ordinal; i++) {
		if (at->key)
			c = skip_string(r, skip_space(r, c));
		c = skip_value(r, c);
	}
	c = skip_space(r, c);
	if (at->key && !key)
		c = skip_space(r, skip_string(r, c));
	return c;
}

static unsigned line_of(const struct reader *r, const struct place *at)
{
	const char *end = find_value(r, at, true);
	unsigned line = 1;

	for (const char *c = r->text; c < end; c++)
		line += *c == '\n';
	return line;
}

/* "vm.json:7: disks[1]", "disks[1]", "" */
static void print_place(const struct reader *r, const struct place *at, char *text, size_t size)
{
	size_t used = 0;

	if (r->text)
		used = (size_t)snprintf(text, size, "%.100s:%u: ", r->name, line_of(r, at));
	text[used] = '\0';
	if (at->up)
		print_path(at, text + used, size - used);
	else if (used)
		text[used - 2] = '\0';
}

static int fail_at(const struct reader *r, const struct place *at, int ret, const struct err *why,
	struct err *e)
{
	char place[PATH_MAX_TEXT + 120];

	print_place(r, at, place, sizeof(place));
	return *place ? config_fail(e, ret, place, why) : err_set(e, ret, "%s", why->text);
}

/* ---- values -------------------------------------------------------------- */

static const char *kind_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "a list";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "a number";
	case JSON_REAL:
		return "a number with a fraction";
	case JSON_TRUE:
		return "true";
	case JSON_FALSE:
		return "false";
	case JSON_NULL:
		return "null";
	}
	return "that";
}

static unsigned kind_bit(const json_t *json)
{
	if (json_is_boolean(json))
		return SCHEMA_JSON_BOOL;
	if (json_is_integer(json))
		return SCHEMA_JSON_INTEGER;
	return json_is_string(json) ? SCHEMA_JSON_STRING : 0;
}

static int set_value(
	const struct schema_key *key, void *object, const json_t *json, struct err *why)
{
	char digits[24];

	if (!(key->type->json & kind_bit(json)))
		return schema_refuse(key, kind_name(json), why);
	if (json_is_string(json))
		return schema_set(key, object, json_string_value(json), why);
	if (json_is_boolean(json))
		return schema_set(key, object, json_is_true(json) ? "true" : "false", why);
	snprintf(digits, sizeof(digits), "%" JSON_INTEGER_FORMAT, json_integer_value(json));
	return schema_set(key, object, digits, why);
}

static int read_key(const struct reader *r, const struct place *at, const struct schema_key *key,
	void *object, const json_t *json, struct err *e)
{
	struct err why;
	int ret = set_value(key, object, json, &why);

	return ret ? fail_at(r, at, ret, &why, e) : 0;
}

static int not_a(const struct reader *r, const struct place *at, const char *wanted,
	const json_t *json, struct err *e)
{
	struct err why;

	err_set(&why, -EINVAL, "must be %s, not %s", wanted, kind_name(json));
	return fail_at(r, at, -EINVAL, &why, e);
}

/* ---- filters ------------------------------------------------------------- */

static int unknown_filter(const struct reader *r, const struct place *at,
	const struct device_class *class, const char *name, struct err *e)
{
	struct names names = {.count = 0};
	const char *nearest;
	struct err why;

	for (size_t i = 0; class->filters[i]; i++)
		names_add(&names, class->filters[i]->name);
	nearest = names_nearest(&names, name);
	if (nearest)
		err_set(&why, -EINVAL, "there is no filter '%.40s'; did you mean '%s'?", name,
			nearest);
	else
		err_set(&why, -EINVAL, "there is no filter '%.40s'; `enlite run --help` lists all",
			name);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_filter_key(const struct reader *r, const struct place *at,
	const struct schema_value *filter, const json_t *json, struct err *e)
{
	const struct schema_key *key = schema_find(schema_keys(filter->schema), at->key);
	struct names names = {.count = 0};
	struct err why;

	if (key)
		return read_key(r, at, key, filter->object, json, e);
	for (key = schema_keys(filter->schema); key->name; key++)
		names_add(&names, key->name);
	names_refuse(&names, at->key, &why);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_filter_keys(const struct reader *r, const struct place *at,
	const struct schema_value *filter, json_t *json, struct err *e)
{
	struct place member = {.up = at};
	const struct schema_key *missing;
	struct err why;
	json_t *value;
	int ret = 0;

	json_object_foreach(json, member.key, value)
	{
		if (strcmp(member.key, "filter"))
			ret = read_filter_key(r, &member, filter, value, e);
		if (ret)
			return ret;
		member.ordinal++;
	}
	missing = schema_missing(schema_keys(filter->schema), filter->object);
	if (!missing)
		return 0;
	err_set(&why, -EINVAL, "the key \"%s\" of the filter %s is missing", missing->name,
		filter->schema->name);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_filter(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	const char *name = json_string_value(json_object_get(json, "filter"));
	struct schema_value *filter;
	struct err why;

	if (!name)
		return not_a(r, at, "an object with the key \"filter\", the name of one", json, e);
	filter = device_add_filter(class, device, name, &why);
	if (filter)
		return read_filter_keys(r, at, filter, json, e);
	if (!why.text[0])
		return unknown_filter(r, at, class, name, e);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_filters(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	struct place element = {.up = at};
	int ret = 0;

	if (!json_is_array(json))
		return not_a(r, at, "a list of filters", json, e);
	for (; !ret && element.ordinal < json_array_size(json); element.ordinal++)
		ret = read_filter(
			r, &element, class, device, json_array_get(json, element.ordinal), e);
	return ret;
}

/* ---- devices ------------------------------------------------------------- */

static int no_source(const struct device_class *class, struct err *why)
{
	struct names names = {.count = 0};
	char list[200];

	for (size_t i = 0; class->sources[i]; i++)
		names_add(&names, class->sources[i]->name);
	names_join(&names, list, sizeof(list));
	return err_set(why, -EINVAL, "has no source; give one of the keys %s", list);
}

/* Exactly one key names the source. */
static const struct schema *find_source(
	const struct device_class *class, const json_t *json, struct err *why)
{
	const struct schema *found = NULL;

	for (size_t i = 0; class->sources[i]; i++) {
		if (!json_object_get(json, class->sources[i]->name))
			continue;
		if (found) {
			err_set(why, -EINVAL, "has two sources, %s and %s; leave one out",
				found->name, class->sources[i]->name);
			return NULL;
		}
		found = class->sources[i];
	}
	if (!found)
		no_source(class, why);
	return found;
}

static int read_device_key(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	struct device_config *d = device;
	const struct schema_key *key;
	struct err why;
	void *object;

	if (!strcmp(at->key, "filters"))
		return read_filters(r, at, class, device, json, e);
	if (!strcmp(at->key, d->source.schema->name))
		return read_key(r, at, &d->source.schema->keys[0], d->source.object, json, e);
	key = device_key(class, device, at->key, false, &object);
	if (key)
		return read_key(r, at, key, object, json, e);
	device_unknown(class, device, at->key, false, &why);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_device_keys(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	struct place member = {.up = at};
	json_t *value;

	json_object_foreach(json, member.key, value)
	{
		int ret = read_device_key(r, &member, class, device, value, e);

		if (ret)
			return ret;
		member.ordinal++;
	}
	return 0;
}

static size_t ordinal_of(json_t *json, const char *name)
{
	size_t ordinal = 0;
	const char *key;
	json_t *value;

	json_object_foreach(json, key, value)
	{
		if (!strcmp(key, name))
			break;
		ordinal++;
	}
	return ordinal;
}

static int check_device(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	struct err why;
	struct place member = {.up = at};

	member.key = class->check(device, &why);
	if (!member.key)
		return 0;
	member.ordinal = ordinal_of(json, member.key);
	return fail_at(r, &member, -EINVAL, &why, e);
}

static int read_device(const struct reader *r, const struct place *at,
	const struct device_class *class, void *device, json_t *json, struct err *e)
{
	struct device_config *d = device;
	const struct schema *schema;
	struct err why;
	int ret;

	if (!json_is_object(json))
		return not_a(r, at, "an object", json, e);
	schema = find_source(class, json, &why);
	if (!schema)
		return fail_at(r, at, -EINVAL, &why, e);
	if (schema_value_init(&d->source, schema))
		return err_set(e, -ENOMEM, "out of memory");
	ret = read_device_keys(r, at, class, device, json, e);
	return ret ? ret : check_device(r, at, class, device, json, e);
}

int device_from_json(const struct device_class *class, void *device, const json_t *json,
	const char *directory, struct err *e)
{
	const struct reader r = {.name = ""};
	const struct place document = {.up = NULL};
	int ret;

	memset(device, 0, class->size);
	ret = device_init(class, device);
	if (ret)
		err_set(e, ret, "out of memory");
	else
		ret = read_device(&r, &document, class, device, (json_t *)json, e);
	if (!ret && directory && device_make_absolute(class, device, directory))
		ret = err_set(e, -ENOMEM, "out of memory");
	if (ret)
		device_free(class, device);
	return ret;
}

int disk_config_from_json(
	struct disk_config *d, const json_t *json, const char *directory, struct err *e)
{
	return device_from_json(&disk_class, d, json, directory, e);
}

int nic_config_from_json(
	struct nic_config *n, const json_t *json, const char *directory, struct err *e)
{
	return device_from_json(&nic_class, n, json, directory, e);
}

/* ---- the document -------------------------------------------------------- */

static int set_origin(const struct reader *r, const struct place *at, char **origin, struct err *e)
{
	char place[PATH_MAX_TEXT + 120];

	print_place(r, at, place, sizeof(place));
	free(*origin);
	*origin = strdup(place);
	return *origin ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int read_element(const struct reader *r, const struct place *at,
	const struct config_list *list, struct vm_config *c, json_t *json, struct err *e)
{
	struct err why;
	struct device_config *d = config_list_add(list, c, &why);
	int ret;

	if (!d)
		return fail_at(r, at, -EINVAL, &why, e);
	ret = read_device(r, at, list->class, d, json, e);
	if (ret)
		return ret;
	d->joint = ".";
	return set_origin(r, at, &d->origin, e);
}

static int read_list(const struct reader *r, const struct place *at, const struct config_list *list,
	struct vm_config *c, json_t *json, struct err *e)
{
	struct place element = {.up = at};
	int ret = 0;

	if (!json_is_array(json))
		return not_a(r, at, "a list", json, e);
	for (; !ret && element.ordinal < json_array_size(json); element.ordinal++)
		ret = read_element(r, &element, list, c, json_array_get(json, element.ordinal), e);
	return ret;
}

static int unknown_member(const struct reader *r, const struct place *at, struct err *e)
{
	struct names names = {.count = 0};
	struct err why;

	for (const struct schema_key *key = vm_keys; key->name; key++)
		names_add(&names, key->name);
	for (const struct config_list *list = config_lists; list->name; list++)
		names_add(&names, list->name);
	names_refuse(&names, at->key, &why);
	return fail_at(r, at, -EINVAL, &why, e);
}

static int read_member(const struct reader *r, const struct place *at, struct vm_config *c,
	json_t *json, struct err *e)
{
	const struct schema_key *key = schema_find(vm_keys, at->key);
	int ret;

	if (key) {
		ret = read_key(r, at, key, c, json, e);
		return ret ? ret : set_origin(r, at, &c->origins[key - vm_keys], e);
	}
	for (const struct config_list *list = config_lists; list->name; list++)
		if (!strcmp(list->name, at->key))
			return read_list(r, at, list, c, json, e);
	return unknown_member(r, at, e);
}

static int read_document(const struct reader *r, struct vm_config *c, json_t *json, struct err *e)
{
	const struct place document = {.up = NULL};
	struct place member = {.up = &document};
	json_t *value;

	if (!json_is_object(json))
		return not_a(r, &document, "an object", json, e);
	json_object_foreach(json, member.key, value)
	{
		int ret = read_member(r, &member, c, value, e);

		if (ret)
			return ret;
		member.ordinal++;
	}
	return 0;
}

int vm_config_read(
	struct vm_config *c, const char *name, const char *text, size_t len, struct err *e)
{
	const struct reader r = {.name = name, .text = text, .end = text + len};
	json_error_t error;
	json_t *json;
	int ret;

	if (len > FILE_MAX)
		return err_set(e, -EFBIG, "%.100s: is larger than %u bytes; no configuration is",
			name, FILE_MAX);
	json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	if (!json)
		return err_set(e, -EINVAL, "%.100s:%d: not JSON: %s", name,
			error.line > 0 ? error.line : 1, error.text);
	free(c->file);
	c->file = strdup(name);
	ret = c->file ? read_document(&r, c, json, e) : err_set(e, -ENOMEM, "out of memory");
	json_decref(json);
	return ret;
}

/* ---- files --------------------------------------------------------------- */

/* Up to FILE_MAX + 1 bytes. The count, or -errno. */
static ssize_t read_all(int fd, char *text)
{
	size_t len = 0;

	while (len <= FILE_MAX) {
		ssize_t n = read(fd, text + len, FILE_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

int vm_config_read_file(struct vm_config *c, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *text = malloc(FILE_MAX + 1);
	ssize_t len;
	int ret;

	len = fd < 0 ? -errno : text ? read_all(fd, text) : -ENOMEM;
	if (fd >= 0)
		close(fd);
	if (len < 0)
		ret = err_set(e, (int)len, "%.100s: cannot be read: %s", path, strerror((int)-len));
	else
		ret = vm_config_read(c, path, text, (size_t)len, e);
	free(text);
	return ret;
}
