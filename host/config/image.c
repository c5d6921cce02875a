/* SPDX-License-Identifier: MIT */
/* The configuration of a saved VM, which is in its image. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"
#include "save/image.h"

/* ---- to an image --------------------------------------------------------- */

/* Words that stand where a file name may stand. */
static bool is_word(const struct schema_key *key, const char *value)
{
	return !strcmp(key->name, "console") && (!strcmp(value, "stdio") || !strcmp(value, "none"));
}

static int make_absolute(char **name, const char *directory)
{
	char *absolute;

	if (!*name || !directory || **name == '/')
		return 0;
	if (asprintf(&absolute, "%s/%s", directory, *name) < 0)
		return -ENOMEM;
	free(*name);
	*name = absolute;
	return 0;
}

static int make_all_absolute(struct vm_config *c, const char *directory)
{
	int ret = 0;

	for (const struct schema_key *key = vm_keys; key->name && !ret; key++) {
		char **name = key->type == &schema_file ? schema_field(key, c) : NULL;

		if (name && *name && !is_word(key, *name))
			ret = make_absolute(name, directory);
	}
	for (const struct config_list *list = config_lists; list->name && !ret; list++)
		for (uint32_t i = 0; i < config_list_count(list, c) && !ret; i++)
			ret = directory ? device_make_absolute(list->class,
						  config_list_at(list, c, i), directory)
					: 0;
	return ret;
}

/* A copy by way of JSON, whose names are changed. */
static json_t *absolute_json(const char *text, const char *directory, struct err *e)
{
	struct vm_config copy;
	json_t *json = NULL;

	if (!vm_config_init(&copy, e) && !vm_config_read(&copy, "save", text, strlen(text), e)) {
		if (make_all_absolute(&copy, directory))
			err_set(e, -ENOMEM, "out of memory");
		else
			json = vm_config_json(&copy, e);
	}
	vm_config_free(&copy);
	return json;
}

json_t *vm_config_image_json(const struct vm_config *c, struct err *e)
{
	json_t *json = vm_config_json(c, e), *absolute = NULL;
	char *text = NULL;

	if (json) {
		json_object_del(json, "restore");
		json_object_del(json, "restore_disks");
		text = json_dumps(json, 0);
	}
	if (json && !text)
		err_set(e, -ENOMEM, "out of memory");
	else if (json)
		absolute = absolute_json(text, c->directory, e);
	json_decref(json);
	free(text);
	return absolute;
}

/* ---- from an image ------------------------------------------------------- */

int vm_config_read_image(struct vm_config *c, const char *path, struct err *e)
{
	struct image *image;
	struct err why;
	const char *text;
	size_t size;
	int ret = image_open(&image, path, &why);

	if (ret)
		return err_set(e, ret, "--restore: %.480s", why.text);
	text = image_section(image, "config", &size);
	ret = text ? vm_config_read(c, path, text, size, e)
		   : err_set(e, -EINVAL, "--restore: %s: the image has no configuration", path);
	image_close(image);
	return ret;
}
