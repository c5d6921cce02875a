/* SPDX-License-Identifier: MIT */
/* One job: a process tree in its own view of the machine we run on. */
#ifndef BED_JOB_H
#define BED_JOB_H

#include <stdbool.h>
#include <sys/types.h>

struct job_spec {
	const char *cwd;
	char **argv;
	char **envp;
	int out, err; /* become descriptors 1 and 2 */
};

/* Filled in by the supervisor, in memory it shares with the agent. */
struct job_result {
	bool finished; /* status is valid */
	int status;    /* as a shell would say it */
	char refusal[200];
};

/*
 * Start a supervisor, pid 1 of new pid and mount namespaces, which runs the job.
 * Signals sent to it are passed to the job's process group; SIGKILL ends all.
 * When it is gone, so is every process, mount and file the job left behind.
 * Returns its pid or -errno.
 */
pid_t job_spawn(const struct job_spec *spec, struct job_result *result);

#endif
