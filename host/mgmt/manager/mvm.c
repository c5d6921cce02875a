/* SPDX-License-Identifier: MIT */
/* The life of a managed VM: its state, its record, and what becomes of it when its worker ends. */
#include "mgmt/manager/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/operation.h"
#include "mgmt/manager/usage.h"
#include "mgmt/manager/worker.h"

#define BIT(n) (1u << (n))
/* Those on snapshots end by themselves. */
#define ALL_REQUESTS (~(BIT(VMMS_SNAPSHOT) | BIT(VMMS_APPLY) | BIT(VMMS_CLONE)))
#define HOLD_NS      NS_PER_S

const char *mvm_file(const struct mvm *v, const char *suffix, char name[STORE_NAME_MAX])
{
	snprintf(name, STORE_NAME_MAX, "%s.%s", v->def.id, suffix);
	return name;
}

void mvm_path(const struct mvm *v, const char *suffix, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/enlite/%s.%s", v->m->run_path, v->def.id, suffix) >=
		PATH_MAX)
		path[0] = '\0'; /* manager_open() has checked its length */
}

/* ---- state --------------------------------------------------------------- */

/* Jobs that a state ends. */
static void end_jobs(struct mvm *v)
{
	struct jobs *jobs = &v->m->jobs;
	struct err e;

	if (v->state == VMMS_RUNNING)
		jobs_end_all(jobs, v->def.id, BIT(VMMS_START), NULL);
	if (vmms_is_live(v->state))
		return;
	if (v->state == VMMS_SAVED)
		jobs_end_all(jobs, v->def.id, BIT(VMMS_SAVE), NULL);
	jobs_end_all(jobs, v->def.id, BIT(VMMS_STOP) | BIT(VMMS_SHUTDOWN), NULL);
	err_set(&e, -ECANCELED, "the VM is %s%s%.300s", vmms_state_name(v->state),
		v->reason.text[0] ? ": " : "", v->reason.text);
	jobs_end_all(jobs, v->def.id, ALL_REQUESTS, &e);
}

void mvm_set_state(struct mvm *v, enum vmms_state state, const struct err *reason)
{
	const char *why = reason ? reason->text : "";

	if (v->state == state && !strcmp(v->reason.text, why))
		return;
	log_info("VM %s (%s): %s -> %s%s%s", v->def.id, v->def.name, vmms_state_name(v->state),
		vmms_state_name(state), *why ? ": " : "", why);
	v->state = state;
	v->reason = reason ? *reason : (struct err){""};
	events_add(&v->m->events,
		json_pack("{s:s, s:s, s:s, s:s, s:s}", "event", "state", "vm", v->def.id, "name",
			v->def.name, "state", vmms_state_name(state), "reason", v->reason.text));
	end_jobs(v);
	if (!vmms_is_passing(state))
		manager_autostart(v->m);
}

/* ---- the record ---------------------------------------------------------- */

static json_t *run_json(const struct run *r)
{
	return json_pack("{s:o, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:b}", "worker",
		identity_json(&r->id), "wanted", r->wanted, "stopping", r->stopping, "saving",
		r->saving, "restoring", r->restoring, "ran", r->ran, "paused", r->paused, "resume",
		r->resume, "old_nics", r->old_nics);
}

static bool run_from_json(struct run *r, const json_t *json)
{
	int wanted, saving, restoring, ran, stopping = 0, paused = 0, resume = 0, old_nics = 0;

	if (json_unpack((json_t *)json, "{s:b, s?b, s:b, s:b, s:b, s?b, s?b, s?b}", "wanted",
		    &wanted, "stopping", &stopping, "saving", &saving, "restoring", &restoring,
		    "ran", &ran, "paused", &paused, "resume", &resume, "old_nics", &old_nics))
		return false;
	r->paused = paused;
	r->resume = resume;
	r->old_nics = old_nics;
	r->stopping = stopping;
	r->wanted = wanted;
	r->saving = saving;
	r->restoring = restoring;
	r->ran = ran;
	return identity_from_json(&r->id, json_object_get(json, "worker"));
}

int mvm_write_record(struct mvm *v, struct err *e)
{
	char name[STORE_NAME_MAX];
	json_t *json = run_json(&v->run);
	int ret = json ? store_write(&v->m->run, mvm_file(v, "run", name), json, e)
		       : err_set(e, -ENOMEM, "out of memory");

	json_decref(json);
	return ret;
}

void mvm_record(struct mvm *v)
{
	struct err e;

	if (mvm_write_record(v, &e))
		log_error("VM %s: %s", v->def.id, e.text);
}

int mvm_remove_record(const struct mvm *v, struct err *e)
{
	char name[STORE_NAME_MAX];

	return store_remove(&v->m->run, mvm_file(v, "run", name), e);
}

void mvm_forget_record(struct mvm *v)
{
	struct err e;

	if (mvm_remove_record(v, &e))
		log_error("VM %s: %s", v->def.id, e.text);
}

/* ---- images -------------------------------------------------------------- */

bool mvm_has_image(const struct mvm *v, const char *suffix)
{
	char name[STORE_NAME_MAX];

	return !faccessat(v->m->images.dir, mvm_file(v, suffix, name), F_OK, AT_SYMLINK_NOFOLLOW);
}

int mvm_rename_image(const struct mvm *v, const char *from, const char *to, struct err *e)
{
	char old[STORE_NAME_MAX], new[STORE_NAME_MAX];

	return store_rename(&v->m->images, mvm_file(v, from, old), mvm_file(v, to, new), e);
}

int mvm_remove_image(const struct mvm *v, const char *suffix, struct err *e)
{
	char name[STORE_NAME_MAX];

	return store_remove(&v->m->images, mvm_file(v, suffix, name), e);
}

void mvm_image_path(const struct mvm *v, const char *suffix, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/images/%s.%s", v->m->state_path, v->def.id, suffix) >=
		PATH_MAX)
		path[0] = '\0'; /* manager_open() has checked its length */
}

/* A worker is about to go on from the image. The note says in which boot of the host: without a
 * record of the worker that says whether one can have begun. */
int mvm_take_image(const struct mvm *v, struct err *e)
{
	char name[STORE_NAME_MAX], boot[BOOT_ID_MAX];
	int ret = identity_boot(boot);
	json_t *note = ret ? NULL : json_pack("{s:s}", "boot", boot);

	ret = note ? store_write(&v->m->run, mvm_file(v, "boot", name), note, e)
		   : err_set(e, ret ? ret : -ENOMEM, "the host's boot is not known");
	json_decref(note);
	return ret ? ret : mvm_rename_image(v, "image", "resuming", e);
}

static bool taken_in_this_boot(const struct mvm *v)
{
	char name[STORE_NAME_MAX], boot[BOOT_ID_MAX];
	const char *noted;
	json_t *note = NULL;
	bool same;

	if (store_read(&v->m->run, mvm_file(v, "boot", name), &note, NULL))
		return false;
	noted = json_string_value(json_object_get(note, "boot"));
	same = noted && !identity_boot(boot) && !strcmp(noted, boot);
	json_decref(note);
	return same;
}

/* The guest runs on: what it was is no more. */
void mvm_ran(struct mvm *v)
{
	struct err e;

	if (v->run.ran)
		return;
	v->run.ran = true;
	mvm_record(v);
	if (v->run.restoring && mvm_remove_image(v, "resuming", &e))
		log_error("VM %s: %s", v->def.id, e.text);
	if (v->run.restoring)
		mvm_forget_trust(v);
}

/* ---- the worker ended ---------------------------------------------------- */

static void close_worker(struct mvm *v)
{
	if (v->pidfd >= 0)
		close(v->pidfd);
	v->pidfd = -1;
	v->watched = false;
	v->run_number = 0;
	v->polling = false;
	v->asked = v->saves = v->shutdowns = 0;
	v->undecided = v->cancelling = v->replacing = v->nic_failed = false;
	v->nic = 0;
	loop_timer_cancel(&v->poll_timer);
	loop_timer_cancel(&v->kill_timer);
	json_decref(v->status);
	v->status = NULL;
}

static void restart_due(struct loop_timer *t);

void mvm_restart_later(struct mvm *v, uint64_t delay_ns)
{
	loop_timer_start(v->m->loop, &v->restart_timer, delay_ns, restart_due);
}

static void restart_due(struct loop_timer *t)
{
	struct mvm *v = container_of(t, struct mvm, restart_timer);
	uint64_t delay;
	struct err e;

	if (v->op) { /* its disks are still being copied */
		mvm_restart_later(v, POLICY_DELAY_NS);
		return;
	}
	if (v->half_restored || !mvm_start(v, &e))
		return; /* its disks may be half of two instants; or it starts */
	mvm_set_state(v, VMMS_CRITICAL, &e);
	if (policy_restarts(v->def.restart, WORKER_FAILED, 0, &v->restarts, &delay))
		mvm_restart_later(v, delay);
}

static bool is_done(int status)
{
	return status == 0 || status == 32; /* power off, reset */
}

static enum worker_end kind_of_end(const struct run *run, int status)
{
	if (run->wanted)
		return WORKER_WANTED;
	return is_done(status) ? WORKER_DONE : WORKER_FAILED;
}

/* Off or critical, and maybe to be started again. The end of one that failed while it saved was
 * wanted, but not so. */
static void settle(struct mvm *v, int status, const char *text)
{
	enum worker_end end = kind_of_end(&v->run, status);
	uint64_t delay, ran_ns = loop_now_ns() - v->since_ns;
	bool again = !v->half_restored &&
		     policy_restarts(v->def.restart, end, ran_ns, &v->restarts, &delay);
	bool unsaved = v->run.saving && !is_done(status);
	bool failed = end == WORKER_FAILED || unsaved;
	struct err e = {""};

	if (again)
		err_set(&e, -EIO, "%s; starts again in %u s", text, (unsigned)(delay / NS_PER_S));
	else if (failed)
		err_set(&e, -EIO, "%s%s", unsaved ? "it was not saved: " : "", text);
	if (again)
		mvm_restart_later(v, delay);
	mvm_set_state(v, again || failed ? VMMS_CRITICAL : VMMS_OFF, &e);
}

/* Its guest may have gone on since. */
static void set_aside(const struct mvm *v, const char *image)
{
	struct err e;

	if (mvm_rename_image(v, image, "interrupted", &e))
		log_error("VM %s: %s", v->def.id, e.text);
	else
		log_error(
			"VM %s: its image is kept as images/%s.interrupted", v->def.id, v->def.id);
}

/* It began from an image, and was not seen running. Its guest has not run when it says that it
 * could not start, and not that the guest goes on; else disks may have changed: the image must not
 * be used by itself. */
static bool restore_ended(struct mvm *v, const struct worker_exit *x)
{
	bool unused =
		!x->ran && (x->status == 1 || x->status == 2) &&
		(!mvm_rename_image(v, "resuming", "image", NULL) || mvm_has_image(v, "image"));
	struct err e;

	if (unused) {
		err_set(&e, -EIO, "it could not go on: %s; see its log", x->text);
		mvm_set_state(v, VMMS_SAVED, &e);
		return true;
	}
	set_aside(v, "resuming");
	return false;
}

static void ended(struct mvm *v, const struct worker_exit *x)
{
	struct run run = v->run;
	bool decided = false;

	v->m->deaths++;
	close_worker(v);
	/* It was killed while it saved; its broker must not name it any more. */
	mvm_remove_image(v, "image.tmp", NULL);
	if (v->op && v->op->request == VMMS_SNAPSHOT)
		mvm_snapshot_lost(v);
	else
		snapshots_discard(v->m, v->def.id);
	if (run.saving && x->status == 0 && mvm_has_image(v, "image")) {
		mvm_set_state(v, VMMS_SAVED, NULL);
		decided = true;
	} else if (run.restoring && !run.ran) {
		decided = restore_ended(v, x);
	}
	if (run.restoring && run.ran)
		mvm_remove_image(v, "resuming", NULL);
	if (!decided && mvm_has_image(v, "image"))
		set_aside(v, "image");
	if (!decided)
		settle(v, x->status, x->text);
	if (v->state != VMMS_CRITICAL) /* the next manager finds it critical, too */
		mvm_forget_record(v);
}

static int open_status(const struct mvm *v)
{
	char name[STORE_NAME_MAX];

	return openat(v->m->run.dir, mvm_file(v, "end", name), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static void worker_ended(struct mvm *v)
{
	int status_fd = open_status(v);
	struct worker_exit x;

	worker_read_exit(v->pidfd, status_fd, &x);
	if (status_fd >= 0)
		close(status_fd);
	ended(v, &x);
}

static void on_exit_event(struct loop_op *op, int res)
{
	struct mvm *v = container_of(op, struct mvm, exit_op);

	if (res > 0)
		worker_ended(v);
	else
		mvm_watch(v, v->pidfd);
}

void mvm_watch(struct mvm *v, int pidfd)
{
	v->pidfd = pidfd;
	v->watched = true;
	v->exit_op.done = on_exit_event;
	io_uring_prep_poll_add(loop_sqe(v->m->loop, &v->exit_op), pidfd, POLLIN);
}

/* ---- finding a state ----------------------------------------------------- */

static void adopt(struct mvm *v, int pidfd)
{
	v->m->adoptions++;
	v->since_ns = loop_now_ns();
	v->run_number = ++v->m->run_number;
	v->pidfd = pidfd;
	manager_watch(v->m);
	if (v->run.stopping)
		mvm_stop_worker(v);
	else
		mvm_set_state(v, VMMS_STARTING, NULL); /* until it answers */
	if (!v->run.paused)
		snapshots_discard(v->m, v->def.id);
	mvm_poll_soon(v);
}

static void look_again(struct loop_timer *t)
{
	struct mvm *v = container_of(t, struct mvm, hold_timer);

	mvm_find_state(v);
	mvm_restore_resume(v);
}

/* It is not known whether it has a worker, so it must not get one. */
static void hold(struct mvm *v, const struct err *why)
{
	v->held = true;
	mvm_set_state(v, VMMS_STARTING, why);
	loop_timer_start(v->m->loop, &v->hold_timer, HOLD_NS, look_again);
}

/* A worker is recorded: it lives, or ended while no manager ran. */
static void find_worker(struct mvm *v)
{
	int pidfd = identity_open(&v->run.id);
	struct err e;

	if (pidfd >= 0) {
		adopt(v, pidfd);
	} else if (pidfd == -ESRCH) {
		worker_ended(v);
	} else {
		err_set(&e, pidfd, "it is not known whether its process %d lives: %s",
			(int)v->run.id.pid, strerror(-pidfd));
		hold(v, &e);
	}
}

/* No worker is recorded. One that was killed with the host may have gone on from the image. */
static void find_image(struct mvm *v)
{
	struct err e;

	if (mvm_has_image(v, "resuming") &&
		mvm_rename_image(
			v, "resuming", taken_in_this_boot(v) ? "image" : "interrupted", &e)) {
		hold(v, &e);
		return;
	}
	mvm_remove_image(v, "image.tmp", NULL);
	snapshots_discard(v->m, v->def.id);
	mvm_set_state(v, mvm_has_image(v, "image") ? VMMS_SAVED : VMMS_OFF, NULL);
}

void mvm_find_state(struct mvm *v)
{
	char name[STORE_NAME_MAX];
	json_t *json = NULL;
	struct err e;
	int ret = store_read(&v->m->run, mvm_file(v, "run", name), &json, &e);

	v->held = false;
	if (!ret && !run_from_json(&v->run, json))
		ret = err_set(&e, -EBADMSG, "%s: not a record of a worker; remove it", name);
	if (!ret)
		find_worker(v);
	else if (ret == -ENOENT)
		find_image(v);
	else
		hold(v, &e);
	json_decref(json);
}

/* ---- life ---------------------------------------------------------------- */

struct mvm *mvm_new(struct manager *m, const struct definition *d)
{
	struct mvm *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->m = m;
	v->def = *d;
	v->pidfd = -1;
	list_add_tail(&m->list, &v->link);
	m->count++;
	return v;
}

void mvm_free(struct mvm *v)
{
	loop_timer_cancel(&v->restart_timer);
	loop_timer_cancel(&v->hold_timer);
	close_worker(v);
	list_del(&v->link);
	v->m->count--;
	definition_free(&v->def);
	free(v);
}

/* ---- shown --------------------------------------------------------------- */

static void add_config(json_t *json, const struct mvm *v)
{
	json_object_set(json, "config", v->def.config);
	json_object_set_new(json, "restart", json_string(policy_names[v->def.restart]));
	json_object_set_new(json, "autostart",
		v->def.autostart < 0 ? json_null() : json_integer(v->def.autostart));
	if (v->status)
		json_object_set(json, "status", v->status);
}

static void add_worker(json_t *json, const struct mvm *v)
{
	struct usage u;

	json_object_set_new(json, "pid", json_integer(v->run.id.pid));
	if (!usage_of(v->run.id.pid, &u)) {
		json_object_set_new(json, "cpu_ns", json_integer((json_int_t)u.cpu_ns));
		json_object_set_new(json, "resident", json_integer((json_int_t)u.resident));
	}
	if (v->status)
		json_object_set(json, "heartbeat", json_object_get(v->status, "heartbeat"));
}

json_t *mvm_json(const struct mvm *v, bool all)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:O*, s:O*}", "id", v->def.id, "name",
		v->def.name, "state", vmms_state_name(v->state), "reason", v->reason.text, "cpus",
		json_object_get(v->def.config, "cpus"), "memory",
		json_object_get(v->def.config, "memory"));

	if (json && v->pidfd >= 0)
		add_worker(json, v);
	if (json && all)
		add_config(json, v);
	return json;
}
