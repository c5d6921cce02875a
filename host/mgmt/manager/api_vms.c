/* SPDX-License-Identifier: MIT */
/* VMs: their list, definition, state, console and log; jobs. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/parse.h"
#include "mgmt/manager/api.h"
#include "mgmt/manager/operation.h"

#define SHUTDOWN_S     60
#define SHUTDOWN_MAX_S 3600
#define INPUT_MAX      1024u

void api_version(struct api_request *q)
{
	api_json(q, 200,
		json_pack("{s:s, s:s, s:i, s:O}", "program", "enlited", "version", ENLITE_VERSION,
			"vms", (int)q->m->count, "problems", q->m->problems));
}

/* ---- list and definition ------------------------------------------------- */

void api_vm_list(struct api_request *q)
{
	json_t *list = json_array();

	list_for_each (at, &q->m->list)
		json_array_append_new(list, mvm_json(container_of(at, struct mvm, link), false));
	api_json(q, 200, json_pack("{s:o}", "vms", list));
}

static bool read_definition(struct api_request *q, struct definition *d)
{
	struct err e;
	int ret = definition_read(d, q->body, &e);

	if (ret)
		api_fail(q, ret, &e);
	return !ret;
}

void api_vm_define(struct api_request *q)
{
	struct definition d;
	struct mvm *v;
	struct err e;
	int ret;

	if (!read_definition(q, &d))
		return;
	ret = manager_define(q->m, &d, &v, &e);
	if (ret) {
		definition_free(&d);
		api_fail(q, ret, &e);
		return;
	}
	snprintf(q->answer.location, sizeof(q->answer.location), "/vms/%s", v->def.id);
	api_json(q, 201, mvm_json(v, true));
}

void api_vm_show(struct api_request *q)
{
	struct mvm *v = api_vm(q);

	if (v)
		api_json(q, 200, mvm_json(v, true));
}

void api_vm_redefine(struct api_request *q)
{
	struct mvm *v = api_vm_for(q, VMMS_DEFINE);
	struct definition d;
	struct err e;
	int ret;

	if (!v || !read_definition(q, &d))
		return;
	ret = manager_redefine(v, &d, &e);
	if (ret) {
		definition_free(&d);
		api_fail(q, ret, &e);
		return;
	}
	api_json(q, 200, mvm_json(v, true));
}

void api_vm_remove(struct api_request *q)
{
	struct mvm *v = api_vm_for(q, VMMS_REMOVE);
	struct err e;
	int ret = v ? manager_remove(v, &e) : 0;

	if (ret)
		api_fail(q, ret, &e);
	else if (v)
		api_json(q, 200, json_object());
}

/* ---- state and jobs ------------------------------------------------------ */

static json_t *state_json(const struct mvm *v)
{
	json_t *allowed = json_array();

	for (uint32_t i = 0; i < VMMS_REQUESTS; i++)
		if (vmms_allows(v->state, i) && vmms_request_of(vmms_request_name(i)) == (int)i)
			json_array_append_new(allowed, json_string(vmms_request_name(i)));
	return json_pack("{s:s, s:s, s:o}", "state", vmms_state_name(v->state), "reason",
		v->reason.text, "allowed", allowed);
}

void api_state_show(struct api_request *q)
{
	struct mvm *v = api_vm(q);

	if (v)
		api_json(q, 200, state_json(v));
}

static int read_state_request(const struct api_request *q, int *timeout, struct err *e)
{
	const char *name = NULL;
	json_error_t error;
	int request;

	*timeout = SHUTDOWN_S;
	if (json_unpack_ex(q->body, &error, JSON_STRICT, "{s:s, s?i}", "request", &name, "timeout",
		    timeout))
		return err_set(e, -EINVAL, "%s", error.text);
	request = vmms_request_of(name);
	if (request < 0)
		return err_set(e, -EINVAL,
			"request: must be start, shutdown, stop, pause, resume, save or discard");
	if (*timeout < 1 || *timeout > SHUTDOWN_MAX_S)
		return err_set(e, -EINVAL, "timeout: must be a number of seconds from 1 to %d",
			SHUTDOWN_MAX_S);
	return request;
}

void api_state_change(struct api_request *q)
{
	struct mvm *v = api_vm(q);
	struct job *job;
	struct err e;
	int timeout, ret;

	if (!v)
		return;
	ret = read_state_request(q, &timeout, &e);
	if (ret >= 0)
		ret = mvm_request(v, (enum vmms_request)ret, (unsigned)timeout, &job, &e);
	if (ret < 0) {
		api_fail(q, ret, &e);
		return;
	}
	api_accept(q, job);
}

void api_accept(struct api_request *q, const struct job *job)
{
	snprintf(q->answer.location, sizeof(q->answer.location), "/jobs/%llu",
		(unsigned long long)job->id);
	api_json(q, 202, job_json(job));
}

void api_job_list(struct api_request *q)
{
	json_t *list = json_array();

	operations_progress(q->m);
	for (uint32_t i = 0; i < JOBS_KEPT; i++)
		if (q->m->jobs.job[i].id)
			json_array_append_new(list, job_json(&q->m->jobs.job[i]));
	api_json(q, 200, json_pack("{s:o}", "jobs", list));
}

/* NULL: answered. */
static struct job *find_job(struct api_request *q)
{
	struct job *job = NULL;
	struct err e;
	uint64_t id;

	operations_progress(q->m);
	if (!parse_number(q->param[0], 1, INT64_MAX, &id))
		job = jobs_find(&q->m->jobs, id);
	if (job)
		return job;
	err_set(&e, -ENOENT, "there is no job %.40s; the last %u of this manager are kept",
		q->param[0], JOBS_KEPT);
	api_fail(q, -ENOENT, &e);
	return NULL;
}

void api_job_show(struct api_request *q)
{
	struct job *job = find_job(q);

	if (job)
		api_json(q, 200, job_json(job));
}

void api_job_cancel(struct api_request *q)
{
	struct job *job = find_job(q);
	struct err e;
	int ret = job ? job_cancel(q->m, job, &e) : 0;

	if (ret)
		api_fail(q, ret, &e);
	else if (job)
		api_accept(q, job);
}

/* ---- texts --------------------------------------------------------------- */

/* From `from` on; the last part of it when that is not in the file, or not given. */
static off_t text_begin(const struct api_request *q, off_t size)
{
	if (q->has_from && q->from <= (uint64_t)size)
		return (off_t)q->from;
	return size > (off_t)API_TEXT_MAX ? size - (off_t)API_TEXT_MAX : 0;
}

static void answer_text(struct api_request *q, int fd)
{
	char *text = malloc(API_TEXT_MAX);
	struct stat st = {.st_size = 0};
	off_t at;
	ssize_t n;

	fstat(fd, &st);
	at = text_begin(q, st.st_size);
	n = text ? pread(fd, text, API_TEXT_MAX, at) : -1;
	q->answer.status = n < 0 ? 500 : 200;
	q->answer.type = "application/octet-stream";
	q->answer.text = text;
	q->answer.length = n < 0 ? 0 : (size_t)n;
	q->answer.next = (uint64_t)at + q->answer.length;
	q->answer.has_next = true;
	q->answered(q);
}

static void read_text(struct api_request *q, const char *suffix)
{
	struct mvm *v = api_vm(q);
	int fd = v ? mvm_open_text(v, suffix, O_RDONLY) : -1;
	struct err e;

	if (fd >= 0) {
		answer_text(q, fd);
		close(fd);
	} else if (v) {
		err_set(&e, fd, "the VM has not been started yet");
		api_fail(q, fd, &e);
	}
}

void api_console_read(struct api_request *q)
{
	read_text(q, "console");
}

void api_log_read(struct api_request *q)
{
	read_text(q, "log");
}

/* Ctrl-A begins a command of `enlite run`, and is itself when it comes twice. */
static size_t escape(char *to, const char *from, size_t length)
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		if (from[i] == 1)
			to[used++] = 1;
		to[used++] = from[i];
	}
	return used;
}

/* All or nothing: a pipe takes so much at once, or has no room. */
static int type(const struct mvm *v, const char *bytes, size_t length)
{
	char path[PATH_MAX], escaped[2 * INPUT_MAX];
	size_t size = escape(escaped, bytes, length);
	ssize_t n;
	int fd;

	mvm_path(v, "in", path);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -EBUSY;
	n = write(fd, escaped, size);
	close(fd);
	return n == (ssize_t)size ? 0 : -EBUSY;
}

void api_console_write(struct api_request *q)
{
	struct mvm *v = api_vm_for(q, VMMS_ASK);
	struct err e;
	int ret;

	if (!v)
		return;
	if (q->length > INPUT_MAX)
		ret = err_set(&e, -EFBIG, "more than %u bytes at once", INPUT_MAX);
	else if ((ret = type(v, q->bytes, q->length)))
		err_set(&e, ret, "the console takes no input now");
	if (ret)
		api_fail(q, ret, &e);
	else
		api_json(q, 200, json_object());
}
