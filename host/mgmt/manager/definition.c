/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uuid/uuid.h>

#include "config/config.h"

/* ---- names --------------------------------------------------------------- */

bool guid_is_valid(const char *text)
{
	char canonical[GUID_TEXT];
	uuid_t uuid;

	if (strlen(text) != GUID_TEXT - 1 || uuid_parse(text, uuid))
		return false;
	uuid_unparse_lower(uuid, canonical);
	return !strcmp(text, canonical);
}

void guid_make(char text[GUID_TEXT])
{
	uuid_t uuid;

	uuid_generate(uuid);
	uuid_unparse_lower(uuid, text);
}

/* ---- reading ------------------------------------------------------------- */

static int check_keys(const json_t *json, struct err *e)
{
	static const char *const known[] = {"format", "id", "config", "restart", "autostart", NULL};
	json_t *object = (json_t *)json; /* iterating changes nothing */
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		size_t i = 0;

		while (known[i] && strcmp(known[i], key))
			i++;
		if (!known[i])
			return err_set(e, -EINVAL,
				"unknown key \"%.60s\"; known are id, config, restart, autostart",
				key);
	}
	return 0;
}

static int read_format(const json_t *json, struct err *e)
{
	json_t *format = json_object_get(json, "format");

	if (!format || (json_is_integer(format) && json_integer_value(format) == DEFINITION_FORMAT))
		return 0;
	return err_set(e, -EINVAL, "format: this manager knows format %d only", DEFINITION_FORMAT);
}

static int read_id(struct definition *d, const json_t *json, struct err *e)
{
	json_t *id = json_object_get(json, "id");

	if (!id)
		return 0;
	if (!json_is_string(id) || !guid_is_valid(json_string_value(id)))
		return err_set(e, -EINVAL, "id: must be a GUID in lower case");
	snprintf(d->id, sizeof(d->id), "%s", json_string_value(id));
	return 0;
}

static int read_policy(struct definition *d, const json_t *json, struct err *e)
{
	json_t *restart = json_object_get(json, "restart");
	int policy = restart ? -1 : POLICY_NEVER;

	if (json_is_string(restart))
		policy = policy_of(json_string_value(restart));
	if (policy < 0)
		return err_set(e, -EINVAL, "restart: must be never, on-failure or always");
	d->restart = (enum policy)policy;
	return 0;
}

static int read_autostart(struct definition *d, const json_t *json, struct err *e)
{
	json_t *autostart = json_object_get(json, "autostart");
	json_int_t number = json_integer_value(autostart);

	d->autostart = -1;
	if (!autostart || json_is_null(autostart))
		return 0;
	if (!json_is_integer(autostart) || number < 0 || number > DEFINITION_AUTOSTART)
		return err_set(e, -EINVAL, "autostart: must be a number from 0 to %d, or null",
			DEFINITION_AUTOSTART);
	d->autostart = number;
	return 0;
}

/* A GUID as a name would be another VM's ID. */
static int read_name(struct definition *d, const struct vm_config *c, struct err *e)
{
	if (!c->name)
		return err_set(e, -EINVAL, "config.name: is missing");
	if (guid_is_valid(c->name))
		return err_set(e, -EINVAL, "config.name: must not be a GUID");
	snprintf(d->name, sizeof(d->name), "%s", c->name);
	return 0;
}

/* A NIC has the same address at each start, by which it is known. */
static void choose_mac(json_t *nic)
{
	char text[18];
	uuid_t random;

	uuid_generate_random(random);
	snprintf(text, sizeof(text), "02:%02x:%02x:%02x:%02x:%02x", random[0], random[1], random[2],
		random[3], random[4]);
	json_object_set_new(nic, "mac", json_string(text));
}

static void choose_macs(json_t *config)
{
	json_t *nics = json_object_get(config, "nics");

	for (size_t i = 0; i < json_array_size(nics); i++)
		if (!json_object_get(json_array_get(nics, i), "mac"))
			choose_mac(json_array_get(nics, i));
}

static int complete(struct definition *d, struct vm_config *c, struct err *e)
{
	int ret = vm_config_complete(c, e);

	if (!ret && c->restore)
		ret = err_set(e, -EINVAL, "config.restore: belongs to the manager; leave it out");
	if (!ret)
		ret = read_name(d, c, e);
	if (ret)
		return ret;
	d->config = vm_config_json(c, e);
	choose_macs(d->config);
	return d->config ? 0 : -EINVAL;
}

static int read_config(struct definition *d, const json_t *json, struct err *e)
{
	json_t *config = json_object_get(json, "config");
	struct vm_config c;
	char *text;
	int ret;

	if (!json_is_object(config))
		return err_set(e, -EINVAL, "config: must be an object, as for enlite run --config");
	text = json_dumps(config, 0);
	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	ret = vm_config_init(&c, e);
	if (!ret)
		ret = vm_config_read(&c, "config", text, strlen(text), e);
	if (!ret)
		ret = complete(d, &c, e);
	vm_config_free(&c);
	free(text);
	return ret;
}

int definition_read(struct definition *d, const json_t *json, struct err *e)
{
	int ret;

	memset(d, 0, sizeof(*d));
	ret = json_is_object(json) ? check_keys(json, e)
				   : err_set(e, -EINVAL, "an object is needed");
	if (!ret)
		ret = read_format(json, e);
	if (!ret)
		ret = read_id(d, json, e);
	if (!ret)
		ret = read_policy(d, json, e);
	if (!ret)
		ret = read_autostart(d, json, e);
	if (!ret)
		ret = read_config(d, json, e);
	if (ret)
		definition_free(d);
	return ret;
}

void definition_free(struct definition *d)
{
	json_decref(d->config);
	memset(d, 0, sizeof(*d));
}

int definition_copy(struct definition *to, const struct definition *from)
{
	*to = *from;
	to->config = json_deep_copy(from->config);
	return to->config ? 0 : -ENOMEM;
}

/* ---- writing ------------------------------------------------------------- */

json_t *definition_json(const struct definition *d)
{
	json_t *autostart = d->autostart < 0 ? json_null() : json_integer(d->autostart);

	return json_pack("{s:i, s:s, s:O, s:s, s:o}", "format", DEFINITION_FORMAT, "id", d->id,
		"config", d->config, "restart", policy_names[d->restart], "autostart", autostart);
}

json_t *definition_worker_config(const struct definition *d, const char *restore)
{
	json_t *config = json_deep_copy(d->config);
	int ret = json_object_set_new(config, "name", json_string(d->id));

	if (!ret && restore)
		ret = json_object_set_new(config, "restore", json_string(restore));
	if (!ret)
		return config;
	json_decref(config);
	return NULL;
}
