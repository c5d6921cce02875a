/* SPDX-License-Identifier: MIT */
/* GET /metrics, in the text format of Prometheus. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mgmt/manager/api.h"
#include "mgmt/manager/usage.h"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP enlite_%s %s\n# TYPE enlite_%s %s\n", name, help, name, type);
}

static void number(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	head(out, name, type, help);
	fprintf(out, "enlite_%s %" PRIu64 "\n", name, value);
}

static void states(FILE *out, const struct manager *m)
{
	unsigned count[VMMS_STATES] = {0};

	list_for_each (at, &m->list)
		count[container_of(at, struct mvm, link)->state]++;
	head(out, "vms", "gauge", "Managed VMs by state.");
	for (uint32_t i = 0; i < VMMS_STATES; i++)
		fprintf(out, "enlite_vms{state=\"%s\"} %u\n", vmms_state_name(i), count[i]);
}

static unsigned jobs_running(const struct jobs *jobs)
{
	unsigned count = 0;

	for (uint32_t i = 0; i < JOBS_KEPT; i++)
		count += jobs->job[i].id && jobs->job[i].state == JOB_RUNNING;
	return count;
}

static void workers(FILE *out, const struct manager *m)
{
	struct usage u;

	head(out, "worker_cpu_seconds_total", "counter", "CPU time of a VM's worker process.");
	list_for_each (at, &m->list) {
		const struct mvm *v = container_of(at, struct mvm, link);

		if (v->pidfd >= 0 && !usage_of(v->run.id.pid, &u))
			fprintf(out,
				"enlite_worker_cpu_seconds_total{vm=\"%s\",name=\"%s\"} %.2f\n",
				v->def.id, v->def.name, (double)u.cpu_ns / (double)NS_PER_S);
	}
	head(out, "worker_resident_bytes", "gauge", "Resident memory of a VM's worker process.");
	list_for_each (at, &m->list) {
		const struct mvm *v = container_of(at, struct mvm, link);

		if (v->pidfd >= 0 && !usage_of(v->run.id.pid, &u))
			fprintf(out,
				"enlite_worker_resident_bytes{vm=\"%s\",name=\"%s\"} %" PRIu64 "\n",
				v->def.id, v->def.name, u.resident);
	}
}

static void print(FILE *out, const struct manager *m)
{
	states(out, m);
	number(out, "worker_starts_total", "counter", "Worker processes that were started.",
		m->starts);
	number(out, "worker_ends_total", "counter", "Worker processes that ended.", m->deaths);
	number(out, "worker_adoptions_total", "counter",
		"Worker processes of an earlier manager that were found.", m->adoptions);
	number(out, "events", "gauge", "Events that are kept.", m->events.next - m->events.first);
	number(out, "jobs_running", "gauge", "Requests that have not ended.",
		jobs_running(&m->jobs));
	number(out, "problems", "gauge", "Files of the state directory that cannot be used.",
		json_array_size(m->problems));
	workers(out, m);
}

void api_metrics(struct api_request *q)
{
	FILE *out = open_memstream(&q->answer.text, &q->answer.length);

	q->answer.status = out ? 200 : 500;
	q->answer.type = "text/plain; version=0.0.4";
	if (out) {
		print(out, q->m);
		fclose(out);
	}
	q->answered(q);
}
