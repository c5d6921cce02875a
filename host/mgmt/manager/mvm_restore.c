/* SPDX-License-Identifier: MIT */
/*
 * Restoring a snapshot: a VM without a worker becomes what it was. Its disks stay the same files,
 * with other contents and the time of change that they had, so that a saved state finds them as it
 * knows them.
 *
 *   STATE/snapshots/GUID.restore is written --> disks are copied back --> configuration --> image
 *   or none --> the record of its last worker and GUID.restore are removed
 *
 * All steps can be repeated: the next manager begins anew when it finds the note. A failure before
 * the first disk has changed leaves the VM as it was; after that no other request is possible but
 * another restore (half_restored). A start that is due by policy waits for the end: it is gone with
 * what failed, or due again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/operation.h"

static int write_note(const struct mvm *v, const struct snapshot *s, struct err *e)
{
	char name[STORE_NAME_MAX];
	json_t *json = json_pack("{s:s}", "snapshot", s->id);
	int ret = json ? store_write(&v->m->snapshot_store, mvm_file(v, "restore", name), json, e)
		       : err_set(e, -ENOMEM, "out of memory");

	json_decref(json);
	return ret;
}

static int remove_note(const struct mvm *v, struct err *e)
{
	char name[STORE_NAME_MAX];

	return store_remove(&v->m->snapshot_store, mvm_file(v, "restore", name), e);
}

/* ---- what is not disks --------------------------------------------------- */

/* The VM keeps its name, and when it is started by itself. */
static json_t *definition_of(const struct mvm *v, const struct snapshot *s)
{
	json_t *json = definition_json(&v->def);
	json_t *config = json_deep_copy(json_object_get(s->definition, "config"));

	if (json_object_set_new(config, "name", json_string(v->def.name)) ||
		json_object_set(json, "config", config)) {
		json_decref(json);
		json = NULL;
	}
	json_decref(config);
	return json;
}

static int restore_image(struct mvm *v, const struct snapshot *s, struct err *e)
{
	char from[STORE_NAME_MAX], name[STORE_NAME_MAX];

	mvm_forget_trust(v);
	if (!s->memory)
		return mvm_remove_image(v, "image", e);
	snprintf(from, sizeof(from), "%s.image", s->id);
	return snapshot_link(
		&v->m->snapshot_store, from, &v->m->images, mvm_file(v, "image", name), e);
}

static int restore_rest(struct mvm *v, const struct snapshot *s, struct err *e)
{
	int ret = manager_redefine_json(v, definition_of(v, s), e);

	if (!ret)
		ret = restore_image(v, s, e);
	if (!ret)
		ret = mvm_remove_record(v, e); /* its image is not of the worker that died */
	return ret ? ret : remove_note(v, e);
}

/* ---- the end ------------------------------------------------------------- */

static void half_way(struct mvm *v, const struct err *why)
{
	struct err e;

	loop_timer_cancel(&v->restart_timer);
	err_set(&e, -EIO, "a restore has ended half-way: %.400s", why->text);
	v->half_restored = true;
	mvm_set_state(v, VMMS_CRITICAL, &e);
}

static void fail(struct operation *op)
{
	struct mvm *v = op->v;
	struct err why = op->why, e;
	bool changed = op->copies.changed || v->half_restored, restart = op->restart;

	operation_end(op, &why);
	if (changed || remove_note(v, &e))
		half_way(v, &why);
	else if (restart && v->state == VMMS_CRITICAL) /* not stopped meanwhile */
		mvm_restart_later(v, POLICY_DELAY_NS);
}

static void copied(struct operation *op)
{
	struct mvm *v = op->v;

	if (!op->result) {
		op->copies.changed = true;
		op->result = restore_rest(v, op->s, &op->why);
	}
	if (op->result) {
		fail(op);
		return;
	}
	v->half_restored = false;
	operation_end(op, NULL);
	mvm_set_state(v, mvm_has_image(v, "image") ? VMMS_SAVED : VMMS_OFF, NULL);
}

/* ---- the beginning ------------------------------------------------------- */

static int begin(struct mvm *v, struct snapshot *s, struct job **job, struct err *e)
{
	struct operation *op = operation_new(v->m, v, s, VMMS_APPLY, job, e);

	if (!op)
		return -EAGAIN;
	if (!snapshot_copies_restore(&op->copies, s)) {
		op->restart = v->restart_timer.armed;
		loop_timer_cancel(&v->restart_timer);
		operation_copy(op, copied);
		return 0;
	}
	err_set(e, -ENOMEM, "out of memory");
	operation_end(op, e);
	return -ENOMEM;
}

int mvm_restore(struct mvm *v, struct snapshot *s, struct job **job, struct err *e)
{
	int ret = mvm_check(v, VMMS_APPLY, e);

	if (!ret && s->state != SNAPSHOT_COMPLETE)
		ret = err_set(e, -EBUSY, "the snapshot is not complete");
	if (!ret)
		ret = write_note(v, s, e);
	if (ret)
		return ret;
	ret = begin(v, s, job, e);
	if (ret && !v->half_restored && remove_note(v, NULL))
		half_way(v, e);
	return ret;
}

/* ---- an earlier manager's ------------------------------------------------ */

static struct snapshot *noted(struct mvm *v)
{
	char name[STORE_NAME_MAX];
	struct snapshot *s = NULL;
	json_t *json = NULL;
	const char *id;

	if (store_read(&v->m->snapshot_store, mvm_file(v, "restore", name), &json, NULL))
		return NULL;
	id = json_string_value(json_object_get(json, "snapshot"));
	if (id)
		s = snapshot_find(v->m, v->def.id, id);
	json_decref(json);
	return s;
}

void mvm_restore_resume(struct mvm *v)
{
	struct snapshot *s;
	struct job *job;
	struct err e;

	if (!v->half_restored || v->op || vmms_is_live(v->state))
		return;
	s = noted(v);
	if (!s)
		err_set(&e, -ENOENT, "its snapshot is gone");
	if (!s || begin(v, s, &job, &e))
		half_way(v, &e);
}

static void find_one(void *ctx, const char *file)
{
	struct manager *m = ctx;
	char id[GUID_TEXT];
	struct mvm *v;
	struct err e;

	snprintf(id, sizeof(id), "%s", file);
	v = manager_find(m, id);
	if (v)
		v->half_restored = true; /* until it is complete */
	else if (manager_knows(m, id))
		log_error("VM %s: %s: is ignored", id, file);
	else
		store_remove(&m->snapshot_store, file, &e);
}

void restores_find(struct manager *m)
{
	store_each(&m->snapshot_store, ".restore", find_one, m);
}

void restores_resume(struct manager *m)
{
	list_for_each (at, &m->list)
		mvm_restore_resume(container_of(at, struct mvm, link));
}
