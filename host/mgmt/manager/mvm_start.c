/* SPDX-License-Identifier: MIT */
/* Starting the worker process of a managed VM. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/operation.h"
#include "mgmt/manager/worker.h"

#define STATUS_MAX 64 /* bytes: "exit N" */

/* ---- texts --------------------------------------------------------------- */

int mvm_open_text(const struct mvm *v, const char *suffix, int flags)
{
	char name[STORE_NAME_MAX];
	int fd = openat(
		v->m->log.dir, mvm_file(v, suffix, name), flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* Its writers append, so that a file that becomes shorter has no hole. What they write between our
 * read and our cut is lost. */
static void keep_end(int fd, off_t size)
{
	size_t kept = MANAGER_TEXT_MAX / 4;
	char *text = malloc(kept);
	ssize_t n = text ? pread(fd, text, kept, size - (off_t)kept) : -1;

	if (n > 0 && !ftruncate(fd, 0) && write(fd, text, (size_t)n) < 0)
		log_error("a log cannot be made shorter: %s", strerror(errno));
	free(text);
}

void mvm_trim_text(const struct mvm *v, const char *suffix)
{
	int fd = mvm_open_text(v, suffix, O_RDWR | O_APPEND);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > (off_t)MANAGER_TEXT_MAX)
		keep_end(fd, st.st_size);
	close(fd);
}

/* ---- descriptors of a worker --------------------------------------------- */

/* Never at its end: this descriptor is a writer, too. */
static int open_input(const struct mvm *v)
{
	char name[STORE_NAME_MAX];
	struct stat st;
	int fd;

	mvm_file(v, "in", name);
	if (mkfifoat(v->m->run.dir, name, 0600) && errno != EEXIST)
		return -errno;
	fd = openat(v->m->run.dir, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISFIFO(st.st_mode))
		return fd;
	close(fd);
	return -EINVAL;
}

static int open_status(const struct mvm *v)
{
	char name[STORE_NAME_MAX];
	int fd = openat(v->m->run.dir, mvm_file(v, "end", name),
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

void mvm_trim_status(const struct mvm *v)
{
	char name[STORE_NAME_MAX];
	struct stat st;
	int fd = openat(v->m->run.dir, mvm_file(v, "end", name), O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && st.st_size > STATUS_MAX && worker_trim_status(fd))
		log_error("VM %s: %s: %s", v->def.id, name, strerror(errno));
	close(fd);
}

static int write_text(int fd, const char *text)
{
	size_t length = strlen(text);

	return write(fd, text, length) == (ssize_t)length ? 0 : -EIO;
}

/* Its image is of another VM's disks and NICs. */
static void as_clone(json_t *config)
{
	json_object_set_new(config, "restore_disks", json_string("trust"));
	mvm_disconnect_nics(config);
}

/* The configuration as a file without a name. */
static int open_config(const struct mvm *v)
{
	char image[PATH_MAX];
	json_t *json;
	char *text;
	int fd;

	mvm_image_path(v, "resuming", image);
	json = definition_worker_config(&v->def, v->run.restoring ? image : NULL);
	if (json && v->trusted)
		as_clone(json);
	text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	json_decref(json);
	fd = text ? memfd_create(v->def.id, MFD_CLOEXEC) : -1;
	if (fd >= 0 && write_text(fd, text)) {
		close(fd);
		fd = -1;
	}
	free(text);
	return fd < 0 ? -ENOMEM : fd;
}

static void close_fds(int fds[WORKER_FDS])
{
	for (unsigned i = 0; i < WORKER_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int open_fds(const struct mvm *v, int fds[WORKER_FDS], struct err *e)
{
	static const char *const names[WORKER_FDS] = {"console input", "console output", "log",
		"configuration", "file for its exit status"};
	const int append = O_WRONLY | O_APPEND | O_CREAT;

	fds[0] = open_input(v);
	fds[1] = mvm_open_text(v, "console", append);
	fds[2] = mvm_open_text(v, "log", append);
	fds[WORKER_CONFIG_FD] = open_config(v);
	fds[WORKER_STATUS_FD] = open_status(v);
	for (unsigned i = 0; i < WORKER_FDS; i++) {
		if (fds[i] >= 0)
			continue;
		err_set(e, fds[i], "its %s cannot be opened: %s", names[i], strerror(-fds[i]));
		close_fds(fds);
		return -EIO;
	}
	return 0;
}

/* ---- start --------------------------------------------------------------- */

/* Recorded before it is anything: a manager that dies here leaves nothing, or a worker that the
 * next one finds. */
static int release(struct mvm *v, struct worker_gate *gate, struct err *e)
{
	int ret;

	v->run.id = gate->id;
	ret = mvm_write_record(v, e);
	if (ret) {
		worker_gate_close(gate);
		return ret;
	}
	worker_gate_open(gate);
	mvm_watch(v, gate->pidfd);
	return 0;
}

static int spawn(struct mvm *v, struct err *e)
{
	struct worker_start start = {.program = v->m->program, .run_dir = v->m->run_path};
	struct worker_gate gate;
	int ret = open_fds(v, start.fds, e);

	if (ret)
		return ret;
	ret = worker_spawn(&start, &gate, e);
	close_fds(start.fds);
	return ret ? ret : release(v, &gate, e);
}

static int take_image(struct mvm *v, struct err *e)
{
	bool refused = false;

	v->run.restoring = mvm_has_image(v, "image");
	v->trusted = v->run.restoring && mvm_is_trusted(v, &refused, e);
	if (refused) {
		v->run.restoring = false;
		return -EBUSY;
	}
	v->run.old_nics = v->trusted && mvm_has_nics(v);
	return v->run.restoring ? mvm_take_image(v, e) : 0;
}

int mvm_start(struct mvm *v, struct err *e)
{
	int ret;

	loop_timer_cancel(&v->restart_timer);
	memset(&v->run, 0, sizeof(v->run));
	ret = take_image(v, e);
	if (!ret)
		ret = spawn(v, e);
	if (ret) {
		if (v->run.restoring)
			mvm_rename_image(v, "resuming", "image", NULL);
		return ret;
	}
	v->m->starts++;
	v->since_ns = loop_now_ns();
	v->run_number = ++v->m->run_number;
	mvm_set_state(v, VMMS_STARTING, NULL);
	mvm_poll_soon(v);
	return 0;
}
