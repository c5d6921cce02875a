/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/jobs.h"

#include <stdio.h>
#include <string.h>

static const char *const state_names[] = {
	[JOB_RUNNING] = "running",
	[JOB_DONE] = "done",
	[JOB_FAILED] = "failed",
	[JOB_CANCELLED] = "cancelled",
};

/* Numbers begin where those of events do: they are not used again by the next manager. */
void jobs_init(struct jobs *jobs, struct events *events)
{
	memset(jobs, 0, sizeof(*jobs));
	jobs->next = events->next;
	jobs->events = events;
}

static void report(struct jobs *jobs, const struct job *job)
{
	json_t *event = job_json(job);

	json_object_set_new(event, "event", json_string("job"));
	events_add(jobs->events, event);
}

/* The oldest that has ended. */
static struct job *free_slot(struct jobs *jobs)
{
	struct job *oldest = NULL;

	for (uint32_t i = 0; i < JOBS_KEPT; i++) {
		struct job *job = &jobs->job[i];

		if (job->id && job->state == JOB_RUNNING)
			continue;
		if (!oldest || job->id < oldest->id)
			oldest = job;
	}
	return oldest;
}

struct job *jobs_add(struct jobs *jobs, const char *vm, enum vmms_request request)
{
	struct job *job = free_slot(jobs);

	if (!job)
		return NULL;
	*job = (struct job){.id = jobs->next++, .request = request};
	snprintf(job->vm, sizeof(job->vm), "%s", vm);
	report(jobs, job);
	return job;
}

struct job *jobs_find(struct jobs *jobs, uint64_t id)
{
	for (uint32_t i = 0; id && i < JOBS_KEPT; i++)
		if (jobs->job[i].id == id)
			return &jobs->job[i];
	return NULL;
}

void jobs_end(struct jobs *jobs, struct job *job, const struct err *e)
{
	if (!job || job->state != JOB_RUNNING)
		return;
	job->state = !e ? JOB_DONE : job->cancelling ? JOB_CANCELLED : JOB_FAILED;
	if (e)
		job->error = *e;
	report(jobs, job);
}

void jobs_end_all(struct jobs *jobs, const char *vm, uint32_t requests, const struct err *e)
{
	for (uint32_t i = 0; i < JOBS_KEPT; i++) {
		struct job *job = &jobs->job[i];

		if (job->id && !strcmp(job->vm, vm) && requests >> job->request & 1)
			jobs_end(jobs, job, e);
	}
}

void jobs_progress(struct jobs *jobs, const char *vm, enum vmms_request request, unsigned percent)
{
	for (uint32_t i = 0; i < JOBS_KEPT; i++) {
		struct job *job = &jobs->job[i];

		if (job->id && job->state == JOB_RUNNING && job->request == request &&
			!strcmp(job->vm, vm))
			job->percent = percent < 100 ? percent : 99;
	}
}

json_t *job_json(const struct job *job)
{
	json_t *json = json_pack("{s:I, s:s, s:s, s:s, s:i}", "id", (json_int_t)job->id, "vm",
		job->vm, "request", vmms_request_name(job->request), "state",
		state_names[job->state], "percent",
		job->state == JOB_DONE ? 100 : (int)job->percent);

	if (job->error.text[0])
		json_object_set_new(json, "error", json_string(job->error.text));
	return json;
}
