/* SPDX-License-Identifier: MIT */
/*
 * The interface to programs: routes, and the functions behind them. It knows no HTTP library; a
 * request comes as method, path, query and body, and is answered once, now or later.
 * docs/api/openapi.json describes each route; tests/manager compares the two.
 *
 * Thread: the manager's; the table is for any.
 */
#ifndef MANAGER_API_H
#define MANAGER_API_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "mgmt/manager/manager.h"

#define API_PARAM_MAX 256u /* of a segment of a path, decoded, with terminator */
#define API_PARAMS    2u
#define API_BODY_MAX  (256u << 10)
#define API_PATH_MAX  2048u
#define API_TEXT_MAX  (256u << 10) /* of a log or console in one answer */

enum api_role { API_NONE, API_READ, API_ADMIN };

enum api_body { API_NO_BODY, API_JSON, API_BYTES };

struct api_request;

struct api_route {
	const char *method;
	const char *path; /* "/vms/{vm}/disks/{disk}" */
	enum api_body body;
	void (*run)(struct api_request *q); /* NULL: a stream; the HTTP side's */
};

/* Up to one without a method. */
extern const struct api_route api_routes[];

struct api_answer {
	unsigned status;
	const char *type; /* of the body */
	char *text;       /* to be freed; NULL: no body */
	size_t length;
	char location[GUID_TEXT + 64]; /* "": none */
	uint64_t next;                 /* of texts: where what comes after this begins */
	bool has_next;
};

struct api_request {
	struct manager *m;
	const struct api_route *route;
	char param[API_PARAMS][API_PARAM_MAX];
	json_t *body; /* API_JSON: an object */
	const char *bytes;
	size_t length; /* API_BYTES */
	uint64_t from; /* ?from=N */
	bool has_from;
	struct api_answer answer;
	/* Called once, when `answer` is complete; frees the request. */
	void (*answered)(struct api_request *q);
	/* api_ask() */
	void (*asked)(struct api_request *q, json_t *reply);
	size_t ask_limit; /* bytes of the answer; 0: ASK_REPLY_MAX */
	json_t *device;   /* in the configuration: the one that is added, or removed */
	bool changing;    /* it changes devices of a VM that runs: mvm.changes */
};

/* Finds the route. path: as it was sent, without query. 0; or the status: 400, 404, 405. */
unsigned api_match(const char *method, const char *path, const struct api_route **route,
	char param[API_PARAMS][API_PARAM_MAX]);
/* What a peer must be for it. */
enum api_role api_needs(const struct api_route *route);
/* Parses the body by the route's kind and runs it. */
void api_run(struct api_request *q, const char *body, size_t length);

void api_free(struct api_request *q); /* what it holds, not q */

/* ---- answers ------------------------------------------------------------- */

/* Owns json; NULL: no memory. */
void api_json(struct api_request *q, unsigned status, json_t *json);
/* {"error": text}, with the status that fits -errno. */
void api_fail(struct api_request *q, int error, const struct err *e);
void api_fill_error(struct api_answer *answer, unsigned status, const char *text);
unsigned api_status_of(int error);

/* The VM of the first parameter; NULL: answered. */
struct mvm *api_vm(struct api_request *q);
/* The same, in a state that allows `request`. */
struct mvm *api_vm_for(struct api_request *q, enum vmms_request request);
/* 202, with the path of the job. */
void api_accept(struct api_request *q, const struct job *job);
/* Asks the worker; owns `request`. asked() has the reply; an error is answered, but with q->device
 * set asked() gets NULL, and answers with what is filled in. */
void api_ask(struct api_request *q, struct mvm *v, json_t *request, unsigned timeout_ms,
	void (*asked)(struct api_request *q, json_t *reply));

/* ---- the functions ------------------------------------------------------- */

void api_version(struct api_request *q);
void api_vm_list(struct api_request *q);
void api_vm_define(struct api_request *q);
void api_vm_show(struct api_request *q);
void api_vm_redefine(struct api_request *q);
void api_vm_remove(struct api_request *q);
void api_state_show(struct api_request *q);
void api_state_change(struct api_request *q);
void api_console_read(struct api_request *q);
void api_console_write(struct api_request *q);
void api_log_read(struct api_request *q);
void api_job_list(struct api_request *q);
void api_job_show(struct api_request *q);
void api_job_cancel(struct api_request *q);
void api_snapshot_list(struct api_request *q);
void api_snapshot_take(struct api_request *q);
void api_snapshot_remove(struct api_request *q);
void api_snapshot_restore(struct api_request *q);
void api_snapshot_clone(struct api_request *q);
void api_screenshot(struct api_request *q);
void api_disk_list(struct api_request *q);
void api_disk_add(struct api_request *q);
void api_disk_remove(struct api_request *q);
void api_nic_list(struct api_request *q);
void api_nic_add(struct api_request *q);
void api_nic_remove(struct api_request *q);
void api_kvp_list(struct api_request *q);
void api_kvp_get(struct api_request *q);
void api_kvp_set(struct api_request *q);
void api_kvp_remove(struct api_request *q);
void api_memory_show(struct api_request *q);
void api_memory_target(struct api_request *q);
void api_stats(struct api_request *q);
void api_metrics(struct api_request *q);
void api_host(struct api_request *q);

#endif
