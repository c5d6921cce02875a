/* SPDX-License-Identifier: MIT */
/*
 * Taking a snapshot. Memory and disks are of one instant: nothing runs while they are written.
 *
 *   live:  RUNNING --> PAUSING --> SAVING: the worker writes its image and flushes the disks -->
 *          the disks are copied, still at rest --> RESUMING --> done
 *          (a VM that is paused stays it)
 *   off:   the disks are copied --> done; saved: its image gets a second name before
 *
 * A failure removes the snapshot and resumes the VM. run.paused is on disk before the VM is paused:
 * the next manager finds a VM at rest, and resumes it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "mgmt/manager/operation.h"
#include "mgmt/manager/usage.h"

/* ---- the end ------------------------------------------------------------- */

/* Frees op. The VM is as it was before, or its worker is gone. */
static void finish(struct operation *op)
{
	bool live = op->live && !op->gone;
	struct snapshot *s = op->s;
	struct mvm *v = op->v;
	struct err e;

	if (live) {
		v->asked--;
		v->cancelling = false;
	}
	if (op->result) { /* the job ends when its files are gone */
		s->users--;
		op->s = NULL;
		snapshot_remove(op->m, s, &e);
	}
	operation_end(op, op->result ? &op->why : NULL);
	if (live)
		mvm_poll_soon(v);
}

static void at_rest_no_more(struct mvm *v)
{
	v->run.paused = false;
	mvm_record(v);
}

static void on_resumed(
	struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	struct operation *op = v->op;

	if (reply)
		at_rest_no_more(v); /* else mvm_snapshot_recover() does it */
	if (reply && !v->run.stopping)
		mvm_set_state(v, VMMS_RUNNING, NULL);
	finish(op);
}

/* All is written, or op->result is set. */
static void go_on(struct operation *op)
{
	struct mvm *v = op->v;

	op->saving = false;
	if (!op->live || op->gone) {
		finish(op);
		return;
	}
	if (!v->run.resume) {
		at_rest_no_more(v);
		if (!v->run.stopping)
			mvm_set_state(v, VMMS_PAUSED, NULL);
		finish(op);
		return;
	}
	if (mvm_ask(v, json_pack("{s:s}", "command", "resume"), CTL_WAIT_MS, NULL, on_resumed))
		finish(op);
	else if (!v->run.stopping)
		mvm_set_state(v, VMMS_RESUMING, NULL);
}

static void fail(struct operation *op, int error, const struct err *e)
{
	op->result = error ? error : -EIO;
	if (e != &op->why)
		op->why = *e;
	go_on(op);
}

/* ---- disks --------------------------------------------------------------- */

static void copied(struct operation *op)
{
	if (!op->result && op->gone)
		op->result = err_set(&op->why, -ECANCELED, "the VM's process ended meanwhile");
	if (!op->result) {
		snapshot_note_disks(op->s, &op->copies);
		op->result = snapshot_complete(op->m, op->s, &op->why);
	}
	go_on(op);
}

static void copy_disks(struct operation *op)
{
	bool cancelled = atomic_load(&op->copies.cancelled);

	op->saving = false;
	if (snapshot_copies_take(&op->copies, op->s)) {
		err_set(&op->why, -ENOMEM, "out of memory");
		fail(op, -ENOMEM, &op->why);
		return;
	}
	op->copies.locked = op->live;
	atomic_store(&op->copies.cancelled, cancelled);
	operation_copy(op, copied);
}

/* ---- with a worker ------------------------------------------------------- */

static void on_saved(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	if (reply)
		copy_disks(v->op);
	else
		fail(v->op, error, e);
}

static void save(struct operation *op)
{
	struct mvm *v = op->v;
	char path[PATH_MAX];
	struct err e;
	int ret;

	snapshot_image_path(op->m, op->s, path);
	ret = mvm_ask(v,
		json_pack("{s:s, s:s, s:b, s:b, s:s}", "command", "save", "file", path, "keep", 1,
			"raw", 1, "directory", "/"),
		CTL_COPY_MS, NULL, on_saved);
	if (ret) {
		err_set(&e, ret, "snapshot: %s", strerror(-ret));
		fail(op, ret, &e);
		return;
	}
	op->saving = true;
	mvm_set_state(v, VMMS_SAVING, NULL);
}

static void on_paused(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
	struct err cancelled;

	if (!reply) {
		fail(v->op, error, e);
	} else if (atomic_load(&v->op->copies.cancelled)) {
		err_set(&cancelled, -ECANCELED, "cancelled");
		fail(v->op, -ECANCELED, &cancelled);
	} else {
		save(v->op);
	}
}

static void begin_live(struct operation *op)
{
	struct mvm *v = op->v;
	const struct run was = v->run;
	struct err e;
	int ret;

	v->run.paused = true;
	v->run.resume = v->state == VMMS_RUNNING;
	ret = mvm_write_record(v, &e);
	if (ret) {
		v->run = was;
		mvm_record(v); /* it may have been written all the same */
		fail(op, ret, &e);
		return;
	}
	op->live = true;
	v->asked++;
	if (!v->run.resume) {
		save(op);
		return;
	}
	ret = mvm_ask(v, json_pack("{s:s}", "command", "pause"), CTL_WAIT_MS, NULL, on_paused);
	if (ret) {
		err_set(&e, ret, "snapshot: %s", strerror(-ret));
		fail(op, ret, &e);
		return;
	}
	mvm_set_state(v, VMMS_PAUSING, NULL);
}

void mvm_snapshot_lost(struct mvm *v)
{
	struct operation *op = v->op;

	op->gone = true;
	atomic_store(&op->copies.cancelled, true);
	if (op->copying)
		return; /* copied() sees it */
	op->result = err_set(&op->why, -ECANCELED, "the VM's process ended meanwhile");
	go_on(op);
}

static void ignore(struct mvm *v, struct job *job, json_t *reply, int error, const struct err *e)
{
}

/* Asked again each time the VM says its state, until that is as it was. */
void mvm_snapshot_recover(struct mvm *v, enum vmms_state state)
{
	if (state == VMMS_SAVING)
		mvm_ask(v, json_pack("{s:s}", "command", "cancel-save"), CTL_TIMEOUT_MS, NULL,
			ignore);
	else if (state == VMMS_PAUSED && v->run.resume)
		mvm_ask(v, json_pack("{s:s}", "command", "resume"), CTL_TIMEOUT_MS, NULL, ignore);
	else if (state == VMMS_RUNNING || state == VMMS_PAUSED)
		at_rest_no_more(v);
	else
		return;
	if (!v->run.paused)
		snapshots_discard(v->m, v->def.id);
}

/* ---- without a worker ---------------------------------------------------- */

static int link_image(const struct operation *op, struct err *e)
{
	char name[STORE_NAME_MAX], image[STORE_NAME_MAX];

	snprintf(image, sizeof(image), "%s.image", op->s->id);
	return snapshot_link(
		&op->m->images, mvm_file(op->v, "image", name), &op->m->snapshot_store, image, e);
}

static void begin_idle(struct operation *op)
{
	struct err e;
	int ret = op->s->memory ? link_image(op, &e) : 0;

	if (ret)
		fail(op, ret, &e);
	else
		copy_disks(op);
}

/* ---- the beginning ------------------------------------------------------- */

/* Its image is of the original's disks and NICs; a note beside it, which no snapshot has, says so.
 */
static int check_clone(const struct mvm *v, struct err *e)
{
	if (vmms_is_live(v->state) || !mvm_has_image(v, "image") || !mvm_has_image(v, "trusted"))
		return 0;
	return err_set(e, -EBUSY,
		"snapshot: not possible: the VM is a clone that has not run yet; start it once first");
}

/* What the worker would refuse when the guest stands still. */
static int check_live(const struct mvm *v, struct err *e)
{
	const char *memory = json_string_value(json_object_get(v->def.config, "memory"));

	if (!vmms_is_live(v->state) || !memory || !strchr(memory, ','))
		return 0;
	return err_set(e, -EBUSY,
		"snapshot: not possible while the VM runs: its memory is dynamic, and cannot be saved");
}

/* Pages that were never used are not in the image. */
static uint64_t image_size(const struct mvm *v)
{
	struct usage u;

	return vmms_is_live(v->state) && !usage_of(v->run.id.pid, &u) ? u.resident : 0;
}

int mvm_snapshot(struct mvm *v, const char *name, bool full, struct job **job, struct err *e)
{
	bool live = vmms_is_live(v->state);
	struct operation *op;
	struct snapshot *s;
	int ret = mvm_check(v, VMMS_SNAPSHOT, e);

	if (!ret)
		ret = check_clone(v, e);
	if (!ret)
		ret = check_live(v, e);
	if (!ret)
		ret = snapshot_add(
			v->m, &v->def, name, live || v->state == VMMS_SAVED, full, &s, e);
	if (ret)
		return ret;
	ret = snapshot_check_space(v->m, s, image_size(v), e);
	op = ret ? NULL : operation_new(v->m, v, s, VMMS_SNAPSHOT, job, e);
	if (!op) {
		snapshot_remove(v->m, s, NULL);
		return ret ? ret : -EAGAIN;
	}
	if (live)
		begin_live(op);
	else
		begin_idle(op);
	return 0;
}
