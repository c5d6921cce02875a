/* SPDX-License-Identifier: MIT */
/*
 * Cloning a snapshot: a new VM with a new ID, new MAC addresses, disks of its own that share blocks
 * with the snapshot's, and the snapshot's image under a second name, which all clones map.
 *
 *   STATE/snapshots/GUID.clone is written --> disks are copied --> GUID.image and GUID.trusted -->
 *   the definition: now it is a VM --> GUID.clone is removed
 *
 * A manager that finds GUID.clone and no definition removes what was made.
 *
 * GUID.trusted says that the image is of other files than the clone's, and when these were made: a
 * start from the image takes them if they have not changed since. It goes when the VM has run.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_replace.h"
#include "base/log.h"
#include "base/time.h"
#include "mgmt/manager/operation.h"

#define SHORT_ID 8 /* digits of the GUID in names of disks */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static const char *file_of(const char *id, const char *suffix, char name[STORE_NAME_MAX])
{
	snprintf(name, STORE_NAME_MAX, "%s.%s", id, suffix);
	return name;
}

/* ---- the trust in its disks ---------------------------------------------- */

static json_t *trust_json(const struct disk_copies *c)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < c->count; i++)
		json_array_append_new(
			list, json_pack("{s:s, s:I}", "file", c->list[i].to, "changed_ns",
				      (json_int_t)c->list[i].changed_ns));
	return json_pack("{s:o}", "disks", list);
}

static bool is_unchanged(const json_t *disk)
{
	json_int_t ns = json_integer_value(json_object_get(disk, "changed_ns"));
	struct stat st;

	return !stat(text_of(disk, "file"), &st) && (json_int_t)timespec_ns(st.st_mtim) == ns;
}

bool mvm_is_trusted(const struct mvm *v, bool *refused, struct err *e)
{
	char name[STORE_NAME_MAX];
	json_t *json = NULL, *disks;

	*refused = false;
	if (store_read(&v->m->images, mvm_file(v, "trusted", name), &json, NULL))
		return false;
	disks = json_object_get(json, "disks");
	for (size_t i = 0; i < json_array_size(disks) && !*refused; i++) {
		const json_t *disk = json_array_get(disks, i);

		*refused = !is_unchanged(disk);
		if (*refused)
			err_set(e, -EBUSY,
				"%.300s was changed since the VM was cloned; discard its state, or clone it anew",
				text_of(disk, "file"));
	}
	json_decref(json);
	return !*refused;
}

void mvm_forget_trust(const struct mvm *v)
{
	char name[STORE_NAME_MAX];
	struct err e;

	if (store_remove(&v->m->images, mvm_file(v, "trusted", name), &e))
		log_error("VM %s: %s", v->def.id, e.text);
}

/* ---- its configuration --------------------------------------------------- */

/* A socket or file of the VM gets the clone's name behind its own. */
static int rename_own(json_t *config, const char *key, const char *prefix, const char *name)
{
	const char *value = text_of(config, key);

	if (!*value || strncmp(value, prefix, strlen(prefix)))
		return 0;
	return json_object_set_new(config, key, json_sprintf("%s.%s", value, name));
}

/* What its filters write. */
static int rename_records(json_t *config, const char *key, const char *name)
{
	json_t *devices = json_object_get(config, key);
	int ret = 0;

	for (size_t i = 0; i < json_array_size(devices); i++) {
		json_t *filters = json_object_get(json_array_get(devices, i), "filters");

		for (size_t k = 0; k < json_array_size(filters); k++)
			ret |= rename_own(json_array_get(filters, k), "file", "/", name);
	}
	return ret;
}

static int adapt_own(json_t *config, const struct clone_options *o, struct err *e)
{
	const char *display = text_of(config, "display");
	int ret = rename_own(config, "vsock", "/", o->name) ||
		  rename_own(config, "console", "/", o->name) ||
		  rename_own(config, "display", "vnc=unix:", o->name) ||
		  rename_records(config, "disks", o->name) ||
		  rename_records(config, "nics", o->name);

	if (ret)
		return err_set(e, -ENOMEM, "out of memory");
	if (strncmp(display, "vnc=", 4) || !strncmp(display, "vnc=unix:", 9))
		return 0;
	if (!o->disconnect)
		return err_set(e, -EBUSY,
			"display: %.200s: is of one VM; give --disconnect for a clone without VNC",
			display);
	return json_object_set_new(config, "display", json_string("headless")) ? -ENOMEM : 0;
}

/* Its back end is there for any number of VMs; ports of the host are not. */
static bool is_sharable(const json_t *nic)
{
	const char *backend = text_of(nic, "backend");

	return !strcmp(backend, "null") ||
	       (!strcmp(backend, "user") && !json_object_get(nic, "forward"));
}

static int disconnect(json_t *nic)
{
	int ret = 0;

	if (strcmp(text_of(nic, "backend"), "user"))
		ret = json_object_set_new(nic, "backend", json_string("null"));
	json_object_del(nic, "forward");
	return ret;
}

/* definition_read() chooses new addresses. */
static int adapt_nics(json_t *config, const struct clone_options *o, struct err *e)
{
	json_t *nics = json_object_get(config, "nics");

	for (size_t i = 0; i < json_array_size(nics); i++) {
		json_t *nic = json_array_get(nics, i);

		json_object_del(nic, "mac");
		if (is_sharable(nic))
			continue;
		if (!o->disconnect)
			return err_set(e, -EBUSY,
				"nics[%zu]: %.200s%s: is of one VM; give --disconnect for a clone whose NIC is not connected",
				i, text_of(nic, "backend"),
				json_object_get(nic, "forward") ? " with forward" : "");
		if (disconnect(nic))
			return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

static bool is_disk(const json_t *disk, const char *id)
{
	char text[48];

	snprintf(text, sizeof(text), "%lld:%lld",
		(long long)json_integer_value(json_object_get(disk, "controller")),
		(long long)json_integer_value(json_object_get(disk, "lun")));
	return !strcmp(text, id);
}

/* names: of the new files, in the order of s->disks. */
static int adapt_disks(json_t *config, const struct snapshot *s, const json_t *names)
{
	json_t *disks = json_object_get(config, "disks");
	int ret = 0;

	for (size_t n = 0; n < json_array_size(s->disks); n++)
		for (size_t i = 0; i < json_array_size(disks); i++)
			if (is_disk(json_array_get(disks, i),
				    text_of(json_array_get(s->disks, n), "disk")))
				ret |= json_object_set(
					json_array_get(disks, i), "file", json_array_get(names, n));
	return ret;
}

static json_t *disk_names(const struct snapshot *s, const char *name, const char *id)
{
	json_t *names = json_array();

	for (size_t i = 0; i < json_array_size(s->disks); i++)
		json_array_append_new(names,
			json_sprintf("%s.%s-%.*s", text_of(json_array_get(s->disks, i), "file"),
				name, SHORT_ID, id));
	return names;
}

static int adapt(json_t *config, const struct snapshot *s, const struct clone_options *o,
	const json_t *names, struct err *e)
{
	int ret = adapt_own(config, o, e);

	if (!ret)
		ret = adapt_nics(config, o, e);
	if (!ret && (json_object_set_new(config, "name", json_string(o->name)) ||
			    adapt_disks(config, s, names)))
		ret = err_set(e, -ENOMEM, "out of memory");
	return ret;
}

/* {"definition": ..., "disks": [PATH...]} */
static json_t *make_plan(const struct snapshot *s, const struct clone_options *o, struct err *e)
{
	json_t *config = json_deep_copy(json_object_get(s->definition, "config")), *names;
	char id[GUID_TEXT];
	int ret;

	guid_make(id);
	names = disk_names(s, o->name, id);
	ret = config ? adapt(config, s, o, names, e) : err_set(e, -ENOMEM, "out of memory");
	if (!ret)
		return json_pack("{s:{s:s, s:o, s:O}, s:o}", "definition", "id", id, "config",
			config, "restart", json_object_get(s->definition, "restart"), "disks",
			names);
	json_decref(config);
	json_decref(names);
	return NULL;
}

/* ---- making it ----------------------------------------------------------- */

static void remove_made(struct manager *m, const char *id)
{
	static const char *const suffixes[] = {"image", "trusted"};
	char name[STORE_NAME_MAX];
	struct err e;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (store_remove(&m->images, file_of(id, suffixes[i], name), &e))
			log_error("clone %s: %s", id, e.text);
	if (store_remove(&m->snapshot_store, file_of(id, "clone", name), &e))
		log_error("clone %s: %s", id, e.text);
}

static int make_image(struct operation *op, struct err *e)
{
	char from[STORE_NAME_MAX], name[STORE_NAME_MAX];
	json_t *trust;
	int ret;

	if (!op->s->memory)
		return 0;
	trust = trust_json(&op->copies);
	ret = trust ? store_write(&op->m->images, file_of(op->id, "trusted", name), trust, e)
		    : err_set(e, -ENOMEM, "out of memory");
	json_decref(trust);
	return ret ? ret
		   : snapshot_link(&op->m->snapshot_store, file_of(op->s->id, "image", from),
			     &op->m->images, file_of(op->id, "image", name), e);
}

static int make_vm(struct operation *op, struct err *e)
{
	char name[STORE_NAME_MAX];
	struct definition d;
	struct mvm *v;
	int ret = definition_read(&d, json_object_get(op->plan, "definition"), e);

	if (ret)
		return ret;
	ret = manager_add(op->m, &d, &v, e);
	if (ret) {
		definition_free(&d);
		return ret;
	}
	mvm_find_state(v);
	store_remove(&op->m->snapshot_store, file_of(op->id, "clone", name), NULL);
	return 0;
}

static void copied(struct operation *op)
{
	if (!op->result)
		op->result = make_image(op, &op->why);
	if (!op->result)
		op->result = make_vm(op, &op->why);
	if (op->result) {
		disk_copies_remove(&op->copies);
		remove_made(op->m, op->id);
	}
	operation_end(op, op->result ? &op->why : NULL);
}

/* ---- the beginning ------------------------------------------------------- */

static int check(
	struct manager *m, const struct snapshot *s, const struct clone_options *o, struct err *e)
{
	int ret = ctl_check_name(o->name, e);

	if (!ret && guid_is_valid(o->name))
		ret = err_set(e, -EINVAL, "name: must not be a GUID");
	if (!ret && manager_find(m, o->name))
		ret = err_set(e, -EEXIST, "a VM with this name is defined already");
	if (!ret && s->state != SNAPSHOT_COMPLETE)
		ret = err_set(e, -EBUSY, "the snapshot is not complete");
	return ret;
}

/* MAC addresses are chosen here: they are in the plan. */
static int complete_plan(json_t *plan, struct err *e)
{
	struct definition d;
	int ret = definition_read(&d, json_object_get(plan, "definition"), e);

	if (ret)
		return ret;
	ret = json_object_set_new(plan, "definition", definition_json(&d))
		      ? err_set(e, -ENOMEM, "out of memory")
		      : 0;
	definition_free(&d);
	return ret;
}

static int begin(struct mvm *v, struct snapshot *s, json_t *plan, struct job **job, struct err *e)
{
	struct operation *op = operation_new(v->m, NULL, s, VMMS_CLONE, job, e);
	const char *id = text_of(json_object_get(plan, "definition"), "id");
	char name[STORE_NAME_MAX];
	int ret;

	if (!op)
		return -EAGAIN;
	op->plan = json_incref(plan);
	snprintf(op->id, sizeof(op->id), "%s", id);
	ret = snapshot_copies_clone(&op->copies, s, json_object_get(plan, "disks"));
	ret = ret ? err_set(e, ret, "out of memory")
		  : store_write(&v->m->snapshot_store, file_of(id, "clone", name), plan, e);
	if (ret)
		operation_end(op, e);
	else
		operation_copy(op, copied);
	return ret;
}

int clone_start(struct mvm *v, struct snapshot *s, const struct clone_options *o, struct job **job,
	struct err *e)
{
	json_t *plan;
	int ret = mvm_check(v, VMMS_CLONE, e);

	if (!ret)
		ret = check(v->m, s, o, e);
	if (ret)
		return ret;
	plan = make_plan(s, o, e);
	ret = plan ? complete_plan(plan, e) : -EBUSY;
	if (!ret)
		ret = begin(v, s, plan, job, e);
	json_decref(plan);
	return ret;
}

/* ---- an earlier manager's ------------------------------------------------ */

static void remove_disks(const json_t *plan)
{
	const json_t *disks = json_object_get(plan, "disks");

	for (size_t i = 0; i < json_array_size(disks); i++) {
		const char *path = json_string_value(json_array_get(disks, i));

		if (path && *path == '/' && !unlink(path))
			file_sync_directory(path);
	}
}

static void resume_one(void *ctx, const char *file)
{
	struct manager *m = ctx;
	char id[GUID_TEXT];
	json_t *plan = NULL;
	struct err e;

	snprintf(id, sizeof(id), "%s", file);
	if (manager_knows(m, id)) {
		store_remove(&m->snapshot_store, file, NULL);
		return;
	}
	if (store_read(&m->snapshot_store, file, &plan, &e)) {
		manager_problem(m, &e);
		return;
	}
	remove_disks(plan);
	json_decref(plan);
	remove_made(m, id);
}

void clones_resume(struct manager *m)
{
	store_each(&m->snapshot_store, ".clone", resume_one, m);
}
