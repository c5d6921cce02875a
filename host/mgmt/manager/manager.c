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

/* In the run directory, which does not outlive the host's run: VMs have been started by themselves.
 */
#define AUTOSTARTED "autostarted"

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

/* The file first: a VM that is reported is one that survives. A file that is there, but not one of
 * ours, is not replaced. */
int manager_define(struct manager *m, struct definition *d, struct mvm **vm, struct err *e)
{
	char name[STORE_NAME_MAX];
	int ret;

	if (!d->id[0])
		guid_make(d->id);
	ret = check_new(m, d, e);
	snprintf(name, sizeof(name), "%s.json", d->id);
	if (!ret && !faccessat(m->vms.dir, name, F_OK, AT_SYMLINK_NOFOLLOW))
		ret = err_set(e, -EEXIST, "%s: there is a file that cannot be used", name);
	if (!ret)
		ret = write_definition(m, d, e);
	if (ret)
		return ret;
	*vm = mvm_new(m, d);
	if (!*vm)
		return err_set(e, -ENOMEM, "out of memory");
	report(m, "defined", *vm);
	return 0;
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
	report(v->m, "changed", v);
	return 0;
}

/* The definition first: without it the rest is nothing. */
int manager_remove(struct mvm *v, struct err *e)
{
	static const char *const images[] = {"image", "resuming", "interrupted"};
	static const char *const logs[] = {"log", "console"};
	static const char *const runs[] = {"run", "end", "in", "sock", "boot"};
	struct manager *m = v->m;
	char name[STORE_NAME_MAX];
	int ret = store_remove(&m->vms, mvm_file(v, "json", name), e);

	if (ret)
		return ret;
	for (size_t i = 0; i < sizeof(images) / sizeof(images[0]); i++)
		store_remove(&m->images, mvm_file(v, images[i], name), NULL);
	for (size_t i = 0; i < sizeof(logs) / sizeof(logs[0]); i++)
		store_remove(&m->log, mvm_file(v, logs[i], name), NULL);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		store_remove(&m->run, mvm_file(v, runs[i], name), NULL);
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

		if (v->state == VMMS_STARTING && !v->held)
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

static void autostart(struct loop_task *task)
{
	struct manager *m = container_of(task, struct manager, autostart_task);
	struct mvm *v;

	m->autostart_posted = false;
	while (!is_starting(m) && (v = next_autostart(m)))
		autostart_one(v);
}

void manager_autostart(struct manager *m)
{
	if (m->autostart_posted || !next_autostart(m))
		return;
	m->autostart_posted = true;
	m->autostart_task.fn = autostart;
	loop_post(m->loop, &m->autostart_task);
}

/* Once in the host's run: a VM that was stopped since then stays off. */
static void prepare_autostart(struct manager *m)
{
	int fd = openat(m->run.dir, AUTOSTARTED, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return;
	close(fd);
	list_for_each (at, &m->list) {
		struct mvm *v = container_of(at, struct mvm, link);

		v->autostart = v->def.autostart >= 0;
	}
	manager_autostart(m);
}

/* ---- reading all --------------------------------------------------------- */

static void add_problem(struct manager *m, const struct err *e)
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
		add_problem(m, &e);
		return;
	}
	err_set(&e, -ENOMEM, "%s: out of memory", name);
	if (check_new(m, &d, &e) || !mvm_new(m, &d)) {
		add_problem(m, &e);
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
	int ret = store_each(&m->vms, ".json", load_one, m);

	if (ret)
		return err_set(e, ret, "%s/vms: cannot be read: %s", m->state_path, strerror(-ret));
	list_for_each (at, &m->list)
		mvm_find_state(container_of(at, struct mvm, link));
	prepare_autostart(m);
	return 0;
}

int manager_open(struct manager *m, struct loop *loop, const char *state_dir, const char *run_dir,
	const char *program, struct err *e)
{
	int ret;

	memset(m, 0, sizeof(*m));
	m->loop = loop;
	m->vms.dir = m->images.dir = m->log.dir = m->run.dir = -1;
	list_init(&m->list);
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
	store_close(&m->vms);
	store_close(&m->images);
	store_close(&m->log);
	store_close(&m->run);
	events_fini(&m->events);
	json_decref(m->problems);
}
