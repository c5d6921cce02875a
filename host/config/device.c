/* SPDX-License-Identifier: MIT */
/* Common to all kinds of devices: a source with its keys, keys of their own, filters. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"

int config_fail(struct err *e, int ret, const char *place, const struct err *why)
{
	return err_set(e, ret, "%s: %s", place, why->text);
}

/* ---- one device ---------------------------------------------------------- */

int device_init(const struct device_class *class, void *device)
{
	return schema_init(class->keys, device);
}

void device_free(const struct device_class *class, void *device)
{
	struct device_config *d = device;

	for (uint32_t i = 0; i < d->filter_count; i++)
		schema_value_fini(&d->filters[i]);
	schema_value_fini(&d->source);
	schema_fini(class->keys, device);
	free(d->origin);
	free(d->note);
	memset(device, 0, class->size);
}

static const struct schema_key *find(const struct schema_key *keys, const char *name, bool option)
{
	return option ? schema_find_option(keys, name) : schema_find(keys, name);
}

const struct schema_key *device_key(const struct device_class *class, void *device,
	const char *name, bool option, void **object)
{
	struct device_config *d = device;
	const struct schema_key *key = find(class->keys, name, option);

	*object = device;
	if (key)
		return key;
	*object = d->source.object;
	return find(d->source.schema->keys + 1, name, option);
}

struct schema_value *device_add_filter(
	const struct device_class *class, void *device, const char *name, struct err *e)
{
	const struct schema *const *schema = class->filters;
	struct device_config *d = device;

	e->text[0] = '\0';
	while (*schema && strcmp((*schema)->name, name))
		schema++;
	if (!*schema)
		return NULL;
	if (d->filter_count == DEVICE_FILTERS_MAX) {
		err_set(e, -EINVAL, "at most %u filters on a %s", DEVICE_FILTERS_MAX, class->noun);
		return NULL;
	}
	if (schema_value_init(&d->filters[d->filter_count], *schema)) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	return &d->filters[d->filter_count++];
}

static void add_keys(struct names *names, const struct schema_key *keys, bool option)
{
	for (const struct schema_key *key = keys; key->name; key++)
		names_add(names, option && key->option ? key->option : key->name);
}

int device_unknown(const struct device_class *class, void *device, const char *name, bool option,
	struct err *e)
{
	struct device_config *d = device;
	struct names names = {.count = 0};

	add_keys(&names, class->keys, option);
	add_keys(&names, d->source.schema->keys + 1, option);
	for (size_t i = 0; option && class->filters[i]; i++)
		names_add(&names, class->filters[i]->name);
	if (!option)
		names_add(&names, "filters");
	return names_refuse(&names, name, e);
}

/* ---- copies -------------------------------------------------------------- */

static char *copy_text(const char *text, int *ret)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		*ret = -ENOMEM;
	return copy;
}

static int copy_values(struct device_config *to, const struct device_config *from)
{
	int ret = schema_value_copy(&to->source, &from->source);

	for (uint32_t i = 0; !ret && i < from->filter_count; i++) {
		ret = schema_value_copy(&to->filters[i], &from->filters[i]);
		to->filter_count += !ret;
	}
	return ret;
}

int device_copy(const struct device_class *class, void *to_device, const void *from_device)
{
	const struct device_config *from = from_device;
	struct device_config *to = to_device;
	int ret;

	memset(to_device, 0, class->size);
	ret = schema_copy(class->keys, to_device, from_device);
	to->origin = copy_text(from->origin, &ret);
	to->joint = from->joint;
	to->note = copy_text(from->note, &ret);
	if (!ret)
		ret = copy_values(to, from);
	if (ret)
		device_free(class, to_device);
	return ret;
}

/* ---- file names ---------------------------------------------------------- */

static int make_absolute(char **name, const char *directory)
{
	char *absolute;

	if (!*name || **name == '/')
		return 0;
	if (asprintf(&absolute, "%s/%s", directory, *name) < 0)
		return -ENOMEM;
	free(*name);
	*name = absolute;
	return 0;
}

static int make_all_absolute(const struct schema_value *value, const char *directory)
{
	for (const struct schema_key *key = schema_keys(value->schema); key->name; key++)
		if (key->type == &schema_file &&
			make_absolute(schema_field(key, value->object), directory))
			return -ENOMEM;
	return 0;
}

int device_make_absolute(const struct device_class *class, void *device, const char *directory)
{
	struct device_config *d = device;
	int ret = make_all_absolute(&d->source, directory);

	if (!ret && class->make_absolute)
		ret = class->make_absolute(device, directory);

	for (uint32_t i = 0; !ret && i < d->filter_count; i++)
		ret = make_all_absolute(&d->filters[i], directory);
	return ret;
}

/* ---- lists --------------------------------------------------------------- */

static char **items_of(const struct config_list *list, const struct vm_config *c)
{
	return (char **)((char *)c + list->items);
}

static uint32_t *count_of(const struct config_list *list, const struct vm_config *c)
{
	return (uint32_t *)((char *)c + list->count);
}

uint32_t config_list_count(const struct config_list *list, const struct vm_config *c)
{
	return *count_of(list, c);
}

void *config_list_at(const struct config_list *list, const struct vm_config *c, uint32_t i)
{
	return *items_of(list, c) + i * list->class->size;
}

void config_list_free(const struct config_list *list, struct vm_config *c)
{
	for (uint32_t i = 0; i < *count_of(list, c); i++)
		device_free(list->class, config_list_at(list, c, i));
	free(*items_of(list, c));
}

void *config_list_add(const struct config_list *list, struct vm_config *c, struct err *e)
{
	uint32_t count = *count_of(list, c);
	size_t size = list->class->size;
	char *items, *item;

	if (count == list->max) {
		err_set(e, -EINVAL, "at most %u %s", list->max, list->name);
		return NULL;
	}
	items = reallocarray(*items_of(list, c), count + 1, size);
	if (!items) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	item = items + count * size;
	memset(item, 0, size);
	*items_of(list, c) = items;
	*count_of(list, c) = count + 1;
	if (device_init(list->class, item)) {
		err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	return item;
}

/* ---- disks --------------------------------------------------------------- */

void disk_config_free(struct disk_config *d)
{
	device_free(&disk_class, d);
}

int disk_config_copy(struct disk_config *to, const struct disk_config *from)
{
	return device_copy(&disk_class, to, from);
}

/* The name of the source only where the value does not say it: of a file never, of a URI neither.
 */
char *disk_config_source(const struct disk_config *d)
{
	const struct schema_value *source = &d->device.source;
	const char *name = source->schema->name;
	char *value, *text;

	if (schema_get(&source->schema->keys[0], source->object, &value) || !value)
		return NULL;
	if (source->schema == disk_class.sources[0] || !strncmp(value, name, strlen(name)))
		return value;
	if (asprintf(&text, "%s:%s", name, value) < 0)
		text = NULL;
	free(value);
	return text;
}

int disk_config_open(struct disk **disk, const struct disk_config *d, struct err *e)
{
	return disk_stack_open(disk, &d->device.source, d->read_only, d->device.filters,
		d->device.filter_count, e);
}
