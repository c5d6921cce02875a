/* SPDX-License-Identifier: MIT */
/* Commands on disks and controllers: from JSON to storage.h and back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "vm/commands.h"
#include "vm/vm.h"

#define ID_MAX 16u

static void format_id(char id[ID_MAX], const struct lun_address *at)
{
	snprintf(id, ID_MAX, "%u:%u", at->controller, at->lun);
}

static int parse_part(const char *text, size_t len, uint64_t max, uint8_t *value)
{
	char part[4];
	uint64_t number;

	if (len >= sizeof(part))
		return -EINVAL;
	memcpy(part, text, len);
	part[len] = '\0';
	if (parse_number(part, 0, max, &number))
		return -EINVAL;
	*value = (uint8_t)number;
	return 0;
}

static int get_id(const json_t *json, struct lun_address *at, struct err *e)
{
	const char *id = json_string_value(json_object_get(json, "id"));
	const char *colon = strchr(id, ':');

	if (colon &&
		!parse_part(id, (size_t)(colon - id), VM_CONTROLLERS_MAX - 1, &at->controller) &&
		!parse_part(colon + 1, strlen(colon + 1), SCSI_LUNS_MAX - 1, &at->lun))
		return 0;
	return err_set(e, -EINVAL,
		"disk ID '%s': CONTROLLER:LUN is needed, for example 0:3; see `disk list`", id);
}

/* ---- deferred answers ---------------------------------------------------- */

struct pending {
	struct ctl_request *request;
	struct lun_address at; /* of a disk that is added */
	bool adds;
	char *note; /* how the text was understood, where it can mean two things; or NULL */
};

static json_t *address_reply(const struct lun_address *at)
{
	char id[ID_MAX];

	format_id(id, at);
	return json_pack("{s:s}", "id", id);
}

static json_t *done_reply(const struct pending *p)
{
	json_t *reply = p->adds ? address_reply(&p->at) : json_object();

	if (p->note)
		json_object_set_new(reply, "note", json_string(p->note));
	return reply;
}

static void pending_free(struct pending *p)
{
	if (p)
		free(p->note);
	free(p);
}

static void done(void *ctx, const struct err *e)
{
	struct pending *p = ctx;

	if (e)
		ctl_refuse(p->request, e);
	else
		ctl_answer(p->request, done_reply(p));
	pending_free(p);
}

static struct pending *pending_new(struct ctl_request *request, struct err *e)
{
	struct pending *p = calloc(1, sizeof(*p));

	if (p)
		p->request = request;
	else
		err_set(e, -ENOMEM, "out of memory");
	return p;
}

/* Starts a change, which is answered by done(). On -errno it is not called. */
static int begin(struct vm *vm, struct ctl_request *request, const json_t *json,
	int (*start)(struct storage *s, const json_t *json, struct pending *p, struct err *e),
	struct err *e)
{
	struct pending *p = pending_new(request, e);
	int ret = p ? start(&vm->storage, json, p, e) : -ENOMEM;

	if (ret)
		pending_free(p);
	return ret;
}

/* "spec" is a text as --disk has it, or an object as in a configuration file. */
static int read_disk(struct disk_config *disk, const json_t *json, struct err *e)
{
	const char *directory = json_string_value(json_object_get(json, "directory"));
	const json_t *spec = json_object_get(json, "spec");
	struct err why;
	int ret;

	if (json_is_string(spec))
		ret = disk_config_parse(disk, json_string_value(spec), directory, &why);
	else
		ret = disk_config_from_json(disk, spec, directory, &why);
	return ret ? err_set(e, ret, "disk add: %s", why.text) : 0;
}

static int start_add(struct storage *s, const json_t *json, struct pending *p, struct err *e)
{
	struct disk_config disk;
	int ret = read_disk(&disk, json, e);

	if (ret)
		return ret;
	p->adds = true;
	p->note = disk.device.note;
	disk.device.note = NULL;
	return storage_add(s, &disk, &(struct storage_change){.done = done, .ctx = p}, &p->at, e);
}

static int start_remove(struct storage *s, const json_t *json, struct pending *p, struct err *e)
{
	struct lun_address at;
	int ret = get_id(json, &at, e);

	if (ret)
		return ret;
	return storage_remove(s, &at, &(struct storage_change){.done = done, .ctx = p}, e);
}

static int start_remove_controller(
	struct storage *s, const json_t *json, struct pending *p, struct err *e)
{
	json_int_t number;

	json_unpack((json_t *)json, "{s:I}", "controller", &number);
	return storage_remove_controller(
		s, (uint32_t)number, &(struct storage_change){.done = done, .ctx = p}, e);
}

/* ---- commands ------------------------------------------------------------ */

int command_disk_add(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	return begin(vm, request, json, start_add, e);
}

int command_disk_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	return begin(vm, request, json, start_remove, e);
}

int command_controller_remove(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	return begin(vm, request, json, start_remove_controller, e);
}

int command_disk_resize(
	struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	struct lun_address at;
	json_t *reply;
	uint64_t size;
	int ret = get_id(json, &at, e);

	if (!ret)
		ret = storage_resize(&vm->storage, &at, &size, e);
	if (ret)
		return ret;
	reply = address_reply(&at);
	if (reply)
		json_object_set_new(reply, "size", json_integer((json_int_t)size));
	ctl_answer(request, reply);
	return 0;
}

static const char *const state_names[] = {
	[STORAGE_NONE] = "none",
	[STORAGE_OPENING] = "opening",
	[STORAGE_ADDING] = "adding",
	[STORAGE_PRESENT] = "present",
	[STORAGE_REMOVING] = "removing",
	[STORAGE_CLOSING] = "closing",
};

/* File names need not be UTF-8. */
static json_t *source_name(const struct storage_disk *d)
{
	char *source = disk_config_source(&d->config);
	json_t *name = json_string(source);

	free(source);
	return name ? name : json_string("(not UTF-8)");
}

static json_t *disk_entry(const struct storage_disk *d)
{
	struct lun_address at = {.controller = d->controller->number, .lun = d->lun};
	json_t *entry = address_reply(&at);

	json_object_set_new(entry, "controller", json_integer(at.controller));
	json_object_set_new(entry, "lun", json_integer(at.lun));
	json_object_set_new(entry, "source", source_name(d));
	json_object_set_new(entry, "serial", json_string(d->config.serial ? d->config.serial : ""));
	if (d->state != STORAGE_OPENING && d->state != STORAGE_CLOSING) {
		json_object_set_new(entry, "size", json_integer((json_int_t)disk_size(d->disk)));
		json_object_set_new(entry, "read_only", json_boolean(d->disk->info.read_only));
	}
	json_object_set_new(entry, "cdrom", json_boolean(d->config.cdrom));
	json_object_set_new(entry, "state", json_string(state_names[d->state]));
	return entry;
}

int command_disk_list(struct vm *vm, struct ctl_request *request, const json_t *json, struct err *e)
{
	const struct storage *s = &vm->storage;
	json_t *disks = json_array(), *controllers = json_array();

	list_for_each (item, &s->disks)
		json_array_append_new(
			disks, disk_entry(container_of(item, struct storage_disk, link)));
	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++) {
		const struct storage_controller *c = &s->controllers[i];

		if (c->state != STORAGE_NONE)
			json_array_append_new(
				controllers, json_pack("{s:i, s:s}", "controller", (int)c->number,
						     "state", state_names[c->state]));
	}
	ctl_answer(request, json_pack("{s:o, s:o}", "disks", disks, "controllers", controllers));
	return 0;
}
