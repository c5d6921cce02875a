/* SPDX-License-Identifier: MIT */
/*
 * Requests that take time: a job runs, and then is done, failed or cancelled. The last JOBS_KEPT
 * are kept, in memory only: a new manager does not know those of the one before.
 *
 * Thread: the manager's.
 */
#ifndef MANAGER_JOBS_H
#define MANAGER_JOBS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "mgmt/manager/definition.h"
#include "mgmt/manager/events.h"
#include "mgmt/manager/state.h"

#define JOBS_KEPT 256u

enum job_state { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job {
	uint64_t id; /* 0: the slot is free */
	char vm[GUID_TEXT];
	enum vmms_request request;
	enum job_state state;
	unsigned percent; /* RUNNING: how far it is, as far as that is known */
	bool cancelling;  /* the user wants it to end: if it fails now, it was cancelled */
	struct err error; /* FAILED, CANCELLED */
};

struct jobs {
	uint64_t next;
	struct job job[JOBS_KEPT];
	struct events *events;
};

void jobs_init(struct jobs *jobs, struct events *events);
/* NULL: JOBS_KEPT run. */
struct job *jobs_add(struct jobs *jobs, const char *vm, enum vmms_request request);
struct job *jobs_find(struct jobs *jobs, uint64_t id);
/* Ends a job that runs; others are left alone. e: why it failed; NULL: it is done. */
void jobs_end(struct jobs *jobs, struct job *job, const struct err *e);
/* Ends the jobs of a VM with these requests (bit n: request n). */
void jobs_end_all(struct jobs *jobs, const char *vm, uint32_t requests, const struct err *e);

/* The same of jobs that run: how far they are. */
void jobs_progress(struct jobs *jobs, const char *vm, enum vmms_request request, unsigned percent);

json_t *job_json(const struct job *job);

#endif
