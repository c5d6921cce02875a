/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/operation.h"
#include "mgmt/manager/snapshot.h"

/* In the run directory, which does not outlive the host's run: VMs have been started by themselves.
 */
#define AUTOSTARTED "autostarted"
/* The next one does not wait longer for a VM that is starting. */
#define AUTOSTART_WAIT_NS (30 * NS_PER_S)

/* ---- the list ------------------------------------------------------------ */

struct mvm *manager_find(struct manager *m, const char *name)
{
	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		if (!strcmp(v->def.id, name) || !strcmp(v->def.name, name))
			return v;
	}
	return NULL;
}

bool manager_knows(struct manager *m, const char *id)
{
	char name[STORE_NAME_MAX];

	snprintf(name, sizeof(name), "%s.json", id);
	return manager_find(m, id) || !faccessat(m->vms.dir, name, F_OK, AT_SYMLINK_NOFOLLOW) ||
	       errno != ENOENT;
}

static void report(struct manager *m, const char *event, const struct mvm *v)
{
	events_add(&m->events,
		json_pack("{s:s, s:s, s:s}", "event", event, "vm", v->def.id, "name", v->def.name));
}

static int write_definition(const struct manager *m, const struct definition *d, struct err *e)
{
	char name[STORE_NAME_MAX];
	json_t *json = definition_json(d);
	int ret = -ENOMEM;

	snprintf(name, sizeof(name), "%s.json", d->id);
	if (json)
		ret = store_write(&m->vms, name, json, e);
	else
		err_set(e, -ENOMEM, "out of memory");
	json_decref(json);
	return ret;
}

static int check_new(struct manager *m, const struct definition *d, struct err *e)
{
	if (manager_find(m, d->id) || manager_find(m, d->name))
		return err_set(e, -EEXIST, "a VM with this %s is defined already",
			manager_find(m, d->id) ? "ID" : "name");
	if (m->count >= MANAGER_VMS_MAX)
		return err_set(e, -ENOSPC, "%u VMs are defined; no more", MANAGER_VMS_MAX);
	return 0;
}

static void remove_all(
	const struct store *store, const char *id, const char *const *suffixes, unsigned count)
{
	char name[STORE_NAME_MAX];
	struct err e;

	for (unsigned i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s.%s", id, suffixes[i]);
		if (store_remove(store, name, &e))
			log_error("%s", e.text);
	}
}

/* What is left of a VM without a definition. */
static void remove_files(const struct manager *m, const char *id)
{
	static const char *const notes[] = {"restore", "restore.tmp", "clone", "clone.tmp"};
	static const char *const images[] = {
		"image", "image.tmp", "resuming", "interrupted", "trusted", "trusted.tmp"};
	static const char *const logs[] = {"log", "console"};
	static const char *const runs[] = {
		"run", "run.tmp", "end", "in", "sock", "boot", "boot.tmp"};

	remove_all(&m->images, id, images, sizeof(images) / sizeof(images[0]));
	remove_all(&m->snapshot_store, id, notes, sizeof(notes) / sizeof(notes[0]));
	remove_all(&m->log, id, logs, sizeof(logs) / sizeof(logs[0]));
	remove_all(&m->run, id, runs, sizeof(runs) / sizeof(runs[0]));
}

/* A worker of this ID is recorded, and may live. */
static bool may_have_worker(const struct manager *m, const char *id)
{
	char name[STORE_NAME_MAX];
	struct identity worker;
	json_t *json = NULL;
	int fd, ret;

	snprintf(name, sizeof(name), "%s.run", id);
	ret = store_read(&m->run, name, &json, NULL);
	if (ret)
		return ret != -ENOENT;
	fd = -EPROTO;
	if (identity_from_json(&worker, json_object_get(json, "worker")))
		fd = identity_open(&worker);
	json_decref(json);
	if (fd >= 0)
		close(fd);
	return fd != -ESRCH;
}

/* Of a manager that died while it removed a VM: an old image must not return with its ID. A
 * definition that cannot be used may be repaired: what is of its VM stays. */
static void remove_orphan(void *ctx, const char *name)
{
	const struct manager *m = ctx;
	char id[GUID_TEXT], definition[STORE_NAME_MAX];

	snprintf(id, sizeof(id), "%s", name);
	snprintf(definition, sizeof(definition), "%s.json", id);
	if (!guid_is_valid(id) || name[GUID_TEXT - 1] != '.' ||
		!faccessat(m->vms.dir, definition, F_OK, AT_SYMLINK_NOFOLLOW) || errno != ENOENT)
		return;
	if (!may_have_worker(m, id))
		remove_files(m, id);
}

static void remove_orphans(struct manager *m)
{
	store_each(&m->images, "", remove_orphan, m);
	store_each(&m->log, "", remove_orphan, m);
	store_each(&m->run, ".run", remove_orphan, m);
}

static int check_files(const struct manager *m, const char *id, struct err *e)
{
	char name[STORE_NAME_MAX];

	snprintf(name, sizeof(name), "%s.json", id);
	if (!faccessat(m->vms.dir, name, F_OK, AT_SYMLINK_NOFOLLOW))
		return err_set(e, -EEXIST, "%s: there is a file that cannot be used", name);
	if (may_have_worker(m, id))
		return err_set(e, -EBUSY, "id: %s: a process of an earlier VM may have it", id);
	remove_files(m, id);
	return 0;
}

static void remove_definition(const struct manager *m, const char *id)
{
	char name[STORE_NAME_MAX];
	struct err e;

	snprintf(name, sizeof(name), "%s.json", id);
	if (store_remove(&m->vms, name, &e))
		log_error("%s", e.text);
}

/* The file first: a VM that is reported is one that survives. A write that fails may have left it,
 * complete, under its name: then it is removed. */
int manager_add(struct manager *m, struct definition *d, struct mvm **vm, struct err *e)
{
	int ret = check_new(m, d, e);

	if (ret)
		return ret;
	ret = write_definition(m, d, e);
	*vm = ret ? NULL : mvm_new(m, d);
	if (!*vm) {
		remove_definition(m, d->id);
		return ret ? ret : err_set(e, -ENOMEM, "out of memory");
	}
	report(m, "defined", *vm);
	return 0;
}

/* A file that is there, but not one of ours, is not replaced. */
int manager_define(struct manager *m, struct definition *d, struct mvm **vm, struct err *e)
{
	int ret;

	if (!d->id[0])
		guid_make(d->id);
	ret = check_new(m, d, e);
	if (!ret)
		ret = check_files(m, d->id, e);
	return ret ? ret : manager_add(m, d, vm, e);
}

int manager_redefine(struct mvm *v, struct definition *d, struct err *e)
{
	struct mvm *other = manager_find(v->m, d->name);
	int ret;

	if (d->id[0] && strcmp(d->id, v->def.id))
		return err_set(e, -EINVAL, "id: is another VM's");
	if (other && other != v)
		return err_set(e, -EEXIST, "a VM with this name is defined already");
	memcpy(d->id, v->def.id, sizeof(d->id));
	ret = write_definition(v->m, d, e);
	if (ret)
		return ret;
	definition_free(&v->def);
	v->def = *d;
	if (d->restart == POLICY_NEVER)
		loop_timer_cancel(&v->restart_timer);
	report(v->m, "changed", v);
	return 0;
}

int manager_redefine_json(struct mvm *v, json_t *json, struct err *e)
{
	struct definition d;
	int ret = json ? definition_read(&d, json, e) : err_set(e, -ENOMEM, "out of memory");

	json_decref(json);
	if (ret)
		return ret;
	ret = manager_redefine(v, &d, e);
	if (ret)
		definition_free(&d);
	return ret;
}

/* The definition first: without it the rest is nothing. */
int manager_remove(struct mvm *v, struct err *e)
{
	struct manager *m = v->m;
	char name[STORE_NAME_MAX];
	int ret;

	if (snapshots_of(m, v->def.id))
		return err_set(e, -EBUSY, "the VM has %u snapshots; remove them first",
			snapshots_of(m, v->def.id));
	/* With this and no definition the next manager would remove the VM's disks. */
	ret = store_remove(&m->snapshot_store, mvm_file(v, "clone", name), e);
	if (!ret)
		ret = store_remove(&m->vms, mvm_file(v, "json", name), e);
	if (ret)
		return ret;
	remove_files(m, v->def.id);
	report(m, "removed", v);
	mvm_free(v);
	return 0;
}

/* ---- workers ------------------------------------------------------------- */

static void watch_all(struct loop_task *task)
{
	struct manager *m = container_of(task, struct manager, watch_task);

	m->watch_posted = false;
	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		if (v->pidfd >= 0 && !v->watched)
			mvm_watch(v, v->pidfd);
	}
}

/* Before the loop runs its ring takes only so many operations. */
void manager_watch(struct manager *m)
{
	if (m->watch_posted)
		return;
	m->watch_posted = true;
	m->watch_task.fn = watch_all;
	loop_post(m->loop, &m->watch_task);
}

/* ---- starting by themselves ---------------------------------------------- */

static struct mvm *next_autostart(struct manager *m)
{
	struct mvm *next = NULL;

	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		if (v->autostart && (!next || v->def.autostart < next->def.autostart))
			next = v;
	}
	return next;
}

static bool is_starting(struct manager *m)
{
	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		if (v->state == VMMS_STARTING && !v->held &&
			loop_now_ns() - v->since_ns < AUTOSTART_WAIT_NS)
			return true;
	}
	return false;
}

static void autostart_one(struct mvm *v)
{
	struct job *job;
	struct err e;

	v->autostart = false;
	if (!vmms_is_live(v->state) && mvm_request(v, VMMS_START, 0, &job, &e))
		log_error("VM %s: autostart: %s", v->def.id, e.text);
}

/* The list is done: a VM that is stopped from now on stays off. */
static void end_autostart(struct manager *m)
{
	int fd = openat(m->run.dir, AUTOSTARTED, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd >= 0)
		close(fd);
	else
		log_error("%s: %s", AUTOSTARTED, strerror(errno));
}

static void autostart_again(struct loop_timer *t)
{
	manager_autostart(container_of(t, struct manager, autostart_timer));
}

static void autostart(struct loop_task *task)
{
	struct manager *m = container_of(task, struct manager, autostart_task);
	struct mvm *v;

	m->autostart_posted = false;
	while (!is_starting(m) && (v = next_autostart(m)))
		autostart_one(v);
	if (next_autostart(m))
		loop_timer_start(m->loop, &m->autostart_timer, NS_PER_S, autostart_again);
	else
		end_autostart(m);
}

void manager_autostart(struct manager *m)
{
	if (m->autostart_posted || !next_autostart(m))
		return;
	m->autostart_posted = true;
	m->autostart_task.fn = autostart;
	loop_post(m->loop, &m->autostart_task);
}

/* Once in the host's run. A manager that dies before the list is done leaves the rest of it. */
static void prepare_autostart(struct manager *m)
{
	if (!faccessat(m->run.dir, AUTOSTARTED, F_OK, AT_SYMLINK_NOFOLLOW))
		return;
	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		v->autostart = v->def.autostart >= 0;
	}
	if (next_autostart(m))
		manager_autostart(m);
	else
		end_autostart(m);
}

/* ---- reading all --------------------------------------------------------- */

void manager_problem(struct manager *m, const struct err *e)
{
	log_error("%s", e->text);
	json_array_append_new(m->problems, json_string(e->text));
}

static int load_definition(struct manager *m, const char *name, struct definition *d, struct err *e)
{
	json_t *json;
	struct err why;
	int ret = store_read(&m->vms, name, &json, e);

	if (ret)
		return ret;
	ret = definition_read(d, json, &why);
	json_decref(json);
	if (ret)
		return err_set(e, ret, "%s: %.400s", name, why.text);
	if (strlen(name) == GUID_TEXT + 4 && !strncmp(name, d->id, GUID_TEXT - 1))
		return 0;
	definition_free(d);
	return err_set(e, -EINVAL, "%s: is of another VM: its id is not its name", name);
}

static void load_one(void *ctx, const char *name)
{
	struct manager *m = ctx;
	struct definition d;
	struct err e;

	if (load_definition(m, name, &d, &e)) {
		manager_problem(m, &e);
		return;
	}
	err_set(&e, -ENOMEM, "%s: out of memory", name);
	if (check_new(m, &d, &e) || !mvm_new(m, &d)) {
		manager_problem(m, &e);
		definition_free(&d);
	}
}

static int open_stores(struct manager *m, struct err *e)
{
	struct {
		struct store *store;
		const char *parent, *name;
	} dirs[] = {
		{&m->vms, m->state_path, "vms"},
		{&m->images, m->state_path, "images"},
		{&m->snapshot_store, m->state_path, "snapshots"},
		{&m->log, m->state_path, "log"},
		{&m->run, m->run_path, "enlite"},
	};
	char path[PATH_MAX + 16];
	int ret = 0;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]) && !ret; i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i].parent, dirs[i].name);
		ret = store_open(dirs[i].store, path, e);
	}
	return ret;
}

static int lock_one(int dir, const char *name, const char *path, struct err *e)
{
	struct flock one = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd >= 0 && !fcntl(fd, F_SETLK, &one))
		return 0; /* held until the process ends; children do not have it */
	return err_set(e, -EBUSY, "%s: another manager runs here", path);
}

/* Two managers of one directory would each start workers: of one that has the records of workers,
 * or of one that has the definitions and images. */
static int lock(struct manager *m, struct err *e)
{
	int ret = lock_one(m->run.dir, "enlited.lock", m->run_path, e);

	return ret ? ret : lock_one(m->vms.dir, "../enlited.lock", m->state_path, e);
}

static int set_paths(struct manager *m, const char *state_dir, const char *run_dir,
	const char *program, struct err *e)
{
	if (strlen(run_dir) + sizeof("/enlite/.sock") + GUID_TEXT > CTL_PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "--run-dir %s: too long for a socket", run_dir);
	if (strlen(state_dir) > PATH_MAX - 128 || strlen(program) >= PATH_MAX)
		return err_set(e, -ENAMETOOLONG, "%s: too long", state_dir);
	if (*state_dir != '/' || *run_dir != '/' || *program != '/')
		return err_set(e, -EINVAL, "directories and program need absolute names");
	snprintf(m->program, sizeof(m->program), "%s", program);
	snprintf(m->state_path, sizeof(m->state_path), "%s", state_dir);
	snprintf(m->run_path, sizeof(m->run_path), "%s", run_dir);
	return 0;
}

static int load_all(struct manager *m, struct err *e)
{
	int ret;

	store_clean(&m->vms); /* workers write to the other directories, too */
	ret = store_each(&m->vms, ".json", load_one, m);
	if (ret)
		return err_set(e, ret, "%s/vms: cannot be read: %s", m->state_path, strerror(-ret));
	snapshots_load(m);
	clones_resume(m);
	remove_orphans(m);
	restores_find(m);
	list_for_each (at, &m->list)
		mvm_find_state(container_of(at, struct mvm, link));
	snapshots_discard(m, NULL);
	restores_resume(m);
	prepare_autostart(m);
	return 0;
}

int manager_open(struct manager *m, struct loop *loop, const char *state_dir, const char *run_dir,
	const char *program, struct err *e)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->loop = loop;
	m->vms.dir = m->images.dir = m->snapshot_store.dir = m->log.dir = m->run.dir = -1;
	list_init(&m->list);
	list_init(&m->snapshots);
	list_init(&m->operations);
	events_init(&m->events);
	jobs_init(&m->jobs, &m->events);
	m->problems = json_array();
	ret = set_paths(m, state_dir, run_dir, program, e);
	if (!ret)
		ret = open_stores(m, e);
	if (!ret)
		ret = lock(m, e);
	return ret ? ret : load_all(m, e);
}

void manager_close(struct manager *m)
{
	list_for_each_safe (at, &m->list)
		mvm_free(container_of(at, struct mvm, link));
	snapshots_free(m);
	store_close(&m->vms);
	store_close(&m->images);
	store_close(&m->snapshot_store);
	store_close(&m->log);
	store_close(&m->run);
	events_fini(&m->events);
	json_decref(m->problems);
}
