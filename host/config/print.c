/* SPDX-License-Identifier: MIT */
/* From the value back to JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"

/* ---- one value ----------------------------------------------------------- */

static bool is_default(const struct schema_key *key, const char *text)
{
	if (key->preset)
		return !strcmp(text, key->preset);
	return key->type == &schema_flag && !strcmp(text, "false");
}

static json_t *json_of(const struct schema_key *key, const char *text)
{
	bool digits = *text && strspn(text, "0123456789") == strlen(text);

	if (key->type->json & SCHEMA_JSON_BOOL)
		return json_boolean(!strcmp(text, "true"));
	if ((key->type->json & SCHEMA_JSON_INTEGER) && digits)
		return json_integer(strtoll(text, NULL, 10));
	return json_string(text);
}

/* all: also what is the default. */
static int put_key(
	json_t *json, const struct schema_key *key, const void *object, bool all, struct err *e)
{
	char *text;
	json_t *value;
	int ret = 0;

	if (schema_get(key, object, &text))
		return err_set(e, -ENOMEM, "out of memory");
	if (!text || (!all && is_default(key, text))) {
		free(text);
		return 0;
	}
	value = json_of(key, text);
	if (!value)
		ret = err_set(e, -EILSEQ, "%s: is not UTF-8, so JSON cannot have it", key->name);
	else if (json_object_set_new(json, key->name, value))
		ret = err_set(e, -ENOMEM, "out of memory");
	free(text);
	return ret;
}

static int put_keys(
	json_t *json, const struct schema_key *keys, const void *object, bool all, struct err *e)
{
	int ret = 0;

	for (const struct schema_key *key = keys; !ret && key->name; key++)
		ret = put_key(json, key, object, all, e);
	return ret;
}

/* ---- devices ------------------------------------------------------------- */

static int put_filter(json_t *filters, const struct schema_value *filter, struct err *e)
{
	json_t *json = json_pack("{s:s}", "filter", filter->schema->name);

	if (json_array_append_new(filters, json))
		return err_set(e, -ENOMEM, "out of memory");
	return put_keys(json, schema_keys(filter->schema), filter->object, false, e);
}

static int put_filters(json_t *json, const struct device_config *d, struct err *e)
{
	json_t *filters = json_array();
	int ret = 0;

	if (json_object_set_new(json, "filters", filters))
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; !ret && i < d->filter_count; i++)
		ret = put_filter(filters, &d->filters[i], e);
	return ret;
}

static int put_device(
	json_t *list, const struct device_class *class, const void *device, struct err *e)
{
	const struct device_config *d = device;
	json_t *json = json_object();
	int ret;

	if (json_array_append_new(list, json))
		return err_set(e, -ENOMEM, "out of memory");
	ret = put_keys(json, d->source.schema->keys, d->source.object, false, e);
	if (!ret)
		ret = put_keys(json, class->keys, device, false, e);
	return ret || !d->filter_count ? ret : put_filters(json, d, e);
}

static int put_list(
	json_t *json, const struct config_list *list, const struct vm_config *c, struct err *e)
{
	uint32_t count = config_list_count(list, c);
	json_t *array;
	int ret = 0;

	if (!count)
		return 0;
	array = json_array();
	if (json_object_set_new(json, list->name, array))
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t i = 0; !ret && i < count; i++)
		ret = put_device(array, list->class, config_list_at(list, c, i), e);
	return ret;
}

json_t *vm_config_json(const struct vm_config *c, struct err *e)
{
	json_t *json = json_object();
	int ret = json ? put_keys(json, vm_keys, c, true, e) : err_set(e, -ENOMEM, "out of memory");

	for (const struct config_list *list = config_lists; !ret && list->name; list++)
		ret = put_list(json, list, c, e);
	if (!ret)
		return json;
	json_decref(json);
	return NULL;
}
