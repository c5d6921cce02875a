/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/operation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct operation *operation_new(struct manager *m, struct mvm *v, struct snapshot *s,
	enum vmms_request request, struct job **job, struct err *e)
{
	struct operation *op = m->ending ? NULL : calloc(1, sizeof(*op));

	*job = op ? jobs_add(&m->jobs, s->vm, request) : NULL;
	if (!*job) {
		err_set(e, -EAGAIN,
			m->ending ? "the manager ends" : "too many requests run; try again later");
		free(op);
		return NULL;
	}
	op->m = m;
	op->v = v;
	op->s = s;
	op->request = request;
	op->job = (*job)->id;
	s->users++;
	if (v)
		v->op = op;
	list_add_tail(&m->operations, &op->link);
	return op;
}

static void run(struct blocking_call *call)
{
	struct operation *op = container_of(call, struct operation, call);

	op->result = disk_copies_make(&op->copies, &op->why);
}

static void done(struct blocking_call *call)
{
	struct operation *op = container_of(call, struct operation, call);

	op->copying = false;
	op->copied(op);
}

void operation_copy(struct operation *op, void (*copied)(struct operation *op))
{
	int ret;

	op->copied = copied;
	op->call.run = run;
	op->call.done = done;
	op->copying = true;
	ret = blocking_start(&op->call, op->m->loop);
	if (!ret)
		return;
	op->result = err_set(&op->why, ret, "no thread can be created: %s", strerror(-ret));
	op->copying = false;
	copied(op);
}

void operation_end(struct operation *op, const struct err *e)
{
	if (op->v)
		op->v->op = NULL;
	if (op->s)
		op->s->users--;
	list_del(&op->link);
	jobs_end(&op->m->jobs, jobs_find(&op->m->jobs, op->job), e);
	disk_copies_free(&op->copies);
	json_decref(op->plan);
	free(op);
}

void operations_progress(struct manager *m)
{
	list_for_each (at, &m->operations) {
		struct operation *op = container_of(at, struct operation, link);
		struct job *job = jobs_find(&m->jobs, op->job);
		uint64_t total = atomic_load(&op->copies.total);
		uint64_t done = atomic_load(&op->copies.done);
		unsigned base = op->live ? SNAPSHOT_MEMORY_PERCENT : 0;

		if (job && op->copying && total && done <= total)
			job->percent = base + (unsigned)(done * (99 - base) / total);
	}
}

/* ---- cancelling ---------------------------------------------------------- */

static struct operation *operation_of(struct manager *m, uint64_t job)
{
	list_for_each (at, &m->operations)
		if (container_of(at, struct operation, link)->job == job)
			return container_of(at, struct operation, link);
	return NULL;
}

int job_cancel(struct manager *m, struct job *job, struct err *e)
{
	struct operation *op = operation_of(m, job->id);
	struct mvm *v = manager_find(m, job->vm);

	if (job->state != JOB_RUNNING)
		return err_set(e, -EBUSY, "the job has ended");
	if (job->request != VMMS_SAVE && (!op || job->request == VMMS_APPLY))
		return err_set(e, -EBUSY, "a job of this kind cannot be cancelled: %s",
			vmms_request_name(job->request));
	job->cancelling = true;
	if (op)
		atomic_store(&op->copies.cancelled, true);
	if (v && (job->request == VMMS_SAVE || (op && op->saving)))
		mvm_cancel_save(v);
	return 0;
}

/* ---- the end of the manager ---------------------------------------------- */

void operations_end(struct manager *m)
{
	struct err e;

	m->ending = true;
	list_for_each (at, &m->operations) {
		struct operation *op = container_of(at, struct operation, link);
		struct job *job = jobs_find(&m->jobs, op->job);

		if (job && op->request != VMMS_APPLY && job_cancel(m, job, &e))
			log_error("VM %s: %s", job->vm, e.text);
	}
}

bool operations_have_ended(const struct manager *m)
{
	list_for_each (at, &m->operations)
		if (container_of(at, struct operation, link)->request != VMMS_APPLY)
			return false;
	return true;
}
