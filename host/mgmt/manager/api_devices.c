/* SPDX-License-Identifier: MIT */
/*
 * What a running guest has or says: disks, NICs, key-value pairs, memory, statistics. Most of it is
 * the worker's answer.
 *
 * A disk or NIC that is added is written into the configuration first, then added to the worker; if
 * that fails, the configuration is as before. Removing: the worker first. So a manager that dies in
 * between leaves a configuration that has the device.
 */
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "mgmt/manager/api.h"

/* ---- the worker's answer ------------------------------------------------- */

static void without_frame(struct api_request *q, json_t *reply)
{
	json_object_del(reply, "ok");
	api_json(q, 200, json_incref(reply));
}

/* words: of the control socket. */
static void pass_on(struct api_request *q, enum vmms_request needs, json_t *request)
{
	struct mvm *v = api_vm_for(q, needs);

	if (v)
		api_ask(q, v, request, CTL_WAIT_MS, without_frame);
	else
		json_decref(request);
}

void api_stats(struct api_request *q)
{
	pass_on(q, VMMS_ASK, json_pack("{s:s}", "command", "stats"));
}

void api_kvp_list(struct api_request *q)
{
	pass_on(q, VMMS_GUEST, json_pack("{s:s}", "command", "kvp list"));
}

void api_kvp_get(struct api_request *q)
{
	pass_on(q, VMMS_GUEST, json_pack("{s:s, s:s}", "command", "kvp get", "key", q->param[1]));
}

void api_kvp_remove(struct api_request *q)
{
	pass_on(q, VMMS_GUEST,
		json_pack("{s:s, s:s}", "command", "kvp remove", "key", q->param[1]));
}

/* One text of the body; NULL: answered. */
static const char *body_text(struct api_request *q, const char *key)
{
	const char *value = NULL;
	json_error_t error;
	struct err e;

	if (!json_unpack_ex(q->body, &error, JSON_STRICT, "{s:s}", key, &value))
		return value;
	err_set(&e, -EINVAL, "%s", error.text);
	api_fail(q, -EINVAL, &e);
	return NULL;
}

void api_kvp_set(struct api_request *q)
{
	const char *value = body_text(q, "value");

	if (value)
		pass_on(q, VMMS_GUEST,
			json_pack("{s:s, s:s, s:s}", "command", "kvp set", "key", q->param[1],
				"value", value));
}

static void answer_memory(struct api_request *q, json_t *reply)
{
	json_t *memory = json_object_get(reply, "memory");

	api_json(q, 200, json_pack("{s:O?}", "memory", memory));
}

void api_memory_show(struct api_request *q)
{
	struct mvm *v = api_vm_for(q, VMMS_ASK);

	if (v)
		api_ask(q, v, json_pack("{s:s}", "command", "status"), CTL_TIMEOUT_MS,
			answer_memory);
}

void api_memory_target(struct api_request *q)
{
	const char *target = body_text(q, "target");
	struct mvm *v = target ? api_vm_for(q, VMMS_GUEST) : NULL;

	if (v)
		api_ask(q, v, json_pack("{s:s, s:s}", "command", "memory target", "size", target),
			CTL_TIMEOUT_MS, answer_memory);
}

/* ---- devices: lists ------------------------------------------------------ */

static void list(struct api_request *q, const char *key, const char *command)
{
	struct mvm *v = api_vm(q);

	if (!v)
		return;
	if (vmms_is_live(v->state)) {
		api_ask(q, v, json_pack("{s:s}", "command", command), CTL_TIMEOUT_MS,
			without_frame);
		return;
	}
	api_json(q, 200, json_pack("{s:O?}", key, json_object_get(v->def.config, key)));
}

void api_disk_list(struct api_request *q)
{
	list(q, "disks", "disk list");
}

void api_nic_list(struct api_request *q)
{
	list(q, "nics", "nic list");
}

/* ---- devices: changes ---------------------------------------------------- */

/* Writes the definition with this configuration, which it owns. 0 or -errno with one line. */
static int change_config(struct mvm *v, json_t *config, struct err *e)
{
	json_t *json = definition_json(&v->def);

	if (!json || !config || json_object_set_new(json, "config", config)) {
		json_decref(json);
		json = NULL;
	}
	return manager_redefine_json(v, json, e);
}

/* The configuration without the device. -ENOENT: it has none that is equal. */
static int remove_config(struct mvm *v, const char *key, const json_t *device, struct err *e)
{
	json_t *config = json_deep_copy(v->def.config);
	json_t *devices = json_object_get(config, key);

	for (size_t i = 0; i < json_array_size(devices); i++) {
		if (!json_equal(json_array_get(devices, i), device))
			continue;
		json_array_remove(devices, i);
		return change_config(v, config, e);
	}
	json_decref(config);
	return err_set(e, -ENOENT, "the configuration has no such device");
}

static json_t *with_device(const struct mvm *v, const char *key, json_t *device)
{
	json_t *config = json_deep_copy(v->def.config);
	json_t *devices = json_object_get(config, key);

	if (!devices && !json_object_set_new(config, key, json_array()))
		devices = json_object_get(config, key);
	if (devices && !json_array_append(devices, device))
		return config;
	json_decref(config);
	return NULL;
}

/* ---- devices: adding ----------------------------------------------------- */

struct device_kind {
	const char *key; /* in the configuration and in lists */
	const char *list, *add, *remove;
	/* True: this device of the configuration is the one that the worker lists so. */
	bool (*is)(const json_t *device, const json_t *listed);
};

static const struct device_kind *kind_of(const struct api_request *q);

/* The worker has answered that the device is there, or that it is not. */
static void device_added(struct api_request *q, json_t *reply)
{
	struct mvm *v = manager_find(q->m, q->param[0]);

	if (reply) {
		json_object_del(reply, "ok");
		api_json(q, 201, json_incref(reply));
		return;
	}
	if (v)
		remove_config(v, kind_of(q)->key, q->device, NULL);
	q->answered(q); /* the error is filled in */
}

static void add(struct api_request *q, const struct device_kind *kind)
{
	struct mvm *v = api_vm_for(q, VMMS_DEVICES);
	json_t *devices;
	struct err e;
	int ret;

	if (!v)
		return;
	ret = change_config(v, with_device(v, kind->key, q->body), &e);
	if (ret) {
		api_fail(q, ret, &e);
		return;
	}
	q->changing = v->state == VMMS_RUNNING;
	devices = json_object_get(v->def.config, kind->key);
	q->device = json_incref(json_array_get(devices, json_array_size(devices) - 1));
	if (!q->changing)
		api_json(q, 201, json_incref(q->device));
	else
		api_ask(q, v,
			json_pack("{s:s, s:O, s:s}", "command", kind->add, "spec", q->device,
				"directory", "/"),
			CTL_WAIT_MS, device_added);
}

/* ---- devices: removing --------------------------------------------------- */

/* Of a VM that is off. */
static json_t *find_device(const struct mvm *v, const struct device_kind *kind, const char *id)
{
	json_t *devices = json_object_get(v->def.config, kind->key), *listed;
	json_t *found = NULL;

	listed = json_pack("{s:s}", "id", id);
	for (size_t i = 0; i < json_array_size(devices) && !found; i++)
		if (kind->is(json_array_get(devices, i), listed))
			found = json_array_get(devices, i);
	json_decref(listed);
	return found;
}

/* What was added through the control socket is not in the configuration. */
static void device_removed(struct api_request *q, json_t *reply)
{
	struct mvm *v = manager_find(q->m, q->param[0]);
	struct err e;
	int ret = 0;

	if (!reply) {
		q->answered(q);
		return;
	}
	if (v)
		ret = remove_config(v, kind_of(q)->key, q->device, &e);
	if (ret && ret != -ENOENT)
		api_fail(q, ret, &e);
	else
		api_json(q, 200, json_object());
}

static json_t *listed_device(json_t *reply, const struct device_kind *kind, const char *id)
{
	json_t *devices = json_object_get(reply, kind->key);

	for (size_t i = 0; i < json_array_size(devices); i++) {
		json_t *device = json_array_get(devices, i);
		const char *name = json_string_value(json_object_get(device, "id"));

		if (name && !strcmp(name, id))
			return device;
	}
	return NULL;
}

/* The worker has said which of its devices has which ID. */
static void device_listed(struct api_request *q, json_t *reply)
{
	const struct device_kind *kind = kind_of(q);
	struct mvm *v = manager_find(q->m, q->param[0]);
	json_t *listed = listed_device(reply, kind, q->param[1]);
	json_t *devices = v ? json_object_get(v->def.config, kind->key) : NULL;
	struct err e;

	if (!v || !listed) {
		err_set(&e, -ENOENT, "there is no device %.40s", q->param[1]);
		api_fail(q, -ENOENT, &e);
		return;
	}
	for (size_t i = 0; i < json_array_size(devices) && !q->device; i++)
		if (kind->is(json_array_get(devices, i), listed))
			q->device = json_incref(json_array_get(devices, i));
	if (!q->device)
		q->device = json_null();
	api_ask(q, v, json_pack("{s:s, s:s}", "command", kind->remove, "id", q->param[1]),
		CTL_WAIT_MS, device_removed);
}

static void remove_device(struct api_request *q, const struct device_kind *kind)
{
	struct mvm *v = api_vm_for(q, VMMS_DEVICES);
	json_t *device;
	struct err e;
	int ret;

	if (!v)
		return;
	q->changing = v->state == VMMS_RUNNING;
	if (q->changing) {
		api_ask(q, v, json_pack("{s:s}", "command", kind->list), CTL_TIMEOUT_MS,
			device_listed);
		return;
	}
	device = json_incref(find_device(v, kind, q->param[1]));
	ret = device ? remove_config(v, kind->key, device, &e)
		     : err_set(&e, -ENOENT, "there is no device %.40s", q->param[1]);
	json_decref(device);
	if (ret)
		api_fail(q, ret, &e);
	else
		api_json(q, 200, json_object());
}

/* ---- the kinds ----------------------------------------------------------- */

/* "controller:lun" */
static bool is_disk(const json_t *disk, const json_t *listed)
{
	const char *id = json_string_value(json_object_get(listed, "id"));
	char text[48];

	snprintf(text, sizeof(text), "%lld:%lld",
		(long long)json_integer_value(json_object_get(disk, "controller")),
		(long long)json_integer_value(json_object_get(disk, "lun")));
	return id && !strcmp(text, id);
}

/* Each NIC of a managed VM has its address in the configuration. One that was added through the
 * control socket may have the number of another there. */
static bool is_nic(const json_t *nic, const json_t *listed)
{
	const char *id = json_string_value(json_object_get(listed, "id"));
	const char *mac = json_string_value(json_object_get(listed, "mac"));
	const char *own = json_string_value(json_object_get(nic, "mac"));
	char text[32];

	if (mac)
		return own && !strcasecmp(mac, own);
	snprintf(text, sizeof(text), "nic%lld",
		(long long)json_integer_value(json_object_get(nic, "number")));
	return id && !strcmp(text, id);
}

static const struct device_kind disks = {"disks", "disk list", "disk add", "disk remove", is_disk};
static const struct device_kind nics = {"nics", "nic list", "nic add", "nic remove", is_nic};

static const struct device_kind *kind_of(const struct api_request *q)
{
	return strstr(q->route->path, "/disks") ? &disks : &nics;
}

void api_disk_add(struct api_request *q)
{
	add(q, &disks);
}

void api_nic_add(struct api_request *q)
{
	add(q, &nics);
}

void api_disk_remove(struct api_request *q)
{
	remove_device(q, &disks);
}

void api_nic_remove(struct api_request *q)
{
	remove_device(q, &nics);
}
