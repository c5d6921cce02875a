/* SPDX-License-Identifier: MIT */
/* Routes, parameters, bodies and answers. */
#include "mgmt/manager/api.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/manager/ask.h"

const struct api_route api_routes[] = {
	{"GET", "/", API_NO_BODY, api_version},
	{"GET", "/vms", API_NO_BODY, api_vm_list},
	{"POST", "/vms", API_JSON, api_vm_define},
	{"GET", "/vms/{vm}", API_NO_BODY, api_vm_show},
	{"PUT", "/vms/{vm}", API_JSON, api_vm_redefine},
	{"DELETE", "/vms/{vm}", API_NO_BODY, api_vm_remove},
	{"GET", "/vms/{vm}/state", API_NO_BODY, api_state_show},
	{"PUT", "/vms/{vm}/state", API_JSON, api_state_change},
	{"GET", "/vms/{vm}/console", API_NO_BODY, api_console_read},
	{"POST", "/vms/{vm}/console", API_BYTES, api_console_write},
	{"GET", "/vms/{vm}/log", API_NO_BODY, api_log_read},
	{"GET", "/vms/{vm}/disks", API_NO_BODY, api_disk_list},
	{"POST", "/vms/{vm}/disks", API_JSON, api_disk_add},
	{"DELETE", "/vms/{vm}/disks/{disk}", API_NO_BODY, api_disk_remove},
	{"GET", "/vms/{vm}/nics", API_NO_BODY, api_nic_list},
	{"POST", "/vms/{vm}/nics", API_JSON, api_nic_add},
	{"DELETE", "/vms/{vm}/nics/{nic}", API_NO_BODY, api_nic_remove},
	{"GET", "/vms/{vm}/kvp", API_NO_BODY, api_kvp_list},
	{"GET", "/vms/{vm}/kvp/{key}", API_NO_BODY, api_kvp_get},
	{"PUT", "/vms/{vm}/kvp/{key}", API_JSON, api_kvp_set},
	{"DELETE", "/vms/{vm}/kvp/{key}", API_NO_BODY, api_kvp_remove},
	{"GET", "/vms/{vm}/memory", API_NO_BODY, api_memory_show},
	{"PUT", "/vms/{vm}/memory", API_JSON, api_memory_target},
	{"GET", "/vms/{vm}/stats", API_NO_BODY, api_stats},
	{"GET", "/vms/{vm}/screenshot", API_NO_BODY, api_screenshot},
	{"GET", "/vms/{vm}/snapshots", API_NO_BODY, api_snapshot_list},
	{"POST", "/vms/{vm}/snapshots", API_JSON, api_snapshot_take},
	{"DELETE", "/vms/{vm}/snapshots/{snapshot}", API_NO_BODY, api_snapshot_remove},
	{"POST", "/vms/{vm}/snapshots/{snapshot}/restore", API_NO_BODY, api_snapshot_restore},
	{"POST", "/vms/{vm}/snapshots/{snapshot}/clone", API_JSON, api_snapshot_clone},
	{"GET", "/jobs", API_NO_BODY, api_job_list},
	{"GET", "/jobs/{job}", API_NO_BODY, api_job_show},
	{"DELETE", "/jobs/{job}", API_NO_BODY, api_job_cancel},
	{"GET", "/events", API_NO_BODY, NULL},
	{"GET", "/metrics", API_NO_BODY, api_metrics},
	{"GET", "/host", API_NO_BODY, api_host},
	{NULL, NULL, API_NO_BODY, NULL},
};

/* ---- paths --------------------------------------------------------------- */

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is not UTF-8 cannot be said in JSON, and is no name of ours. */
static bool is_utf8(const char *text)
{
	json_t *json = json_string(text);

	json_decref(json);
	return json != NULL;
}

/* One segment, decoded. Control characters are in no name. */
static bool decode(const char *at, size_t length, char text[API_PARAM_MAX])
{
	size_t used = 0;

	for (size_t i = 0; i < length; i++) {
		char c = at[i];

		if (c == '%') {
			if (i + 2 >= length || hex(at[i + 1]) < 0 || hex(at[i + 2]) < 0)
				return false;
			c = (char)(hex(at[i + 1]) << 4 | hex(at[i + 2]));
			i += 2;
		}
		if ((unsigned char)c < 0x20 || c == 0x7F || used + 1 >= API_PARAM_MAX)
			return false;
		text[used++] = c;
	}
	text[used] = '\0';
	return used > 0 && is_utf8(text);
}

enum match { NO_MATCH, MATCH, BAD_MATCH };

static enum match match(
	const char *pattern, const char *path, char param[API_PARAMS][API_PARAM_MAX])
{
	unsigned params = 0;

	while (*pattern == '/' && *path == '/') {
		size_t wanted = strcspn(++pattern, "/"), length = strcspn(++path, "/");

		if (*pattern == '{') {
			if (!decode(path, length, param[params++]))
				return BAD_MATCH;
		} else if (wanted != length || memcmp(pattern, path, length)) {
			return NO_MATCH;
		}
		pattern += wanted;
		path += length;
	}
	return *pattern || *path ? NO_MATCH : MATCH;
}

unsigned api_match(const char *method, const char *path, const struct api_route **route,
	char param[API_PARAMS][API_PARAM_MAX])
{
	unsigned status = 404;

	if (strlen(path) >= API_PATH_MAX)
		return 414;
	for (const struct api_route *r = api_routes; r->method; r++) {
		enum match found = match(r->path, path, param);

		if (found == BAD_MATCH)
			status = 400;
		if (found != MATCH)
			continue;
		if (!strcmp(r->method, method)) {
			*route = r;
			return 0;
		}
		status = 405;
	}
	return status;
}

enum api_role api_needs(const struct api_route *route)
{
	return strcmp(route->method, "GET") ? API_ADMIN : API_READ;
}

/* ---- answers ------------------------------------------------------------- */

static const struct {
	int error;
	unsigned status;
} statuses[] = {
	{EINVAL, 400},
	{EILSEQ, 400},
	{EPERM, 403},
	{ENOENT, 404},
	{EBUSY, 409},
	{EEXIST, 409},
	{EFBIG, 413},
	{EAGAIN, 503},
	{ETIMEDOUT, 504},
	{ENOSPC, 507},
};

unsigned api_status_of(int error)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].error == -error)
			return statuses[i].status;
	return 500;
}

void api_fill_error(struct api_answer *answer, unsigned status, const char *text)
{
	json_t *json = json_pack("{s:s}", "error", text);

	answer->status = status;
	answer->type = "application/json";
	answer->text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	answer->length = answer->text ? strlen(answer->text) : 0;
	json_decref(json);
}

void api_json(struct api_request *q, unsigned status, json_t *json)
{
	q->answer.type = "application/json";
	q->answer.text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	q->answer.status = q->answer.text ? status : 500;
	q->answer.length = q->answer.text ? strlen(q->answer.text) : 0;
	json_decref(json);
	q->answered(q);
}

void api_fail(struct api_request *q, int error, const struct err *e)
{
	api_fill_error(&q->answer, api_status_of(error), e->text);
	q->answered(q);
}

void api_free(struct api_request *q)
{
	json_decref(q->body);
	json_decref(q->device);
	q->body = q->device = NULL;
}

/* ---- requests ------------------------------------------------------------ */

static void run_json(struct api_request *q, const char *body, size_t length)
{
	json_error_t error;
	struct err e;

	q->body = json_loadb(body, length, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(q->body)) {
		q->route->run(q);
		return;
	}
	err_set(&e, -EINVAL, "the body is not a JSON object: %s",
		q->body ? "it is another value" : error.text);
	api_fail(q, -EINVAL, &e);
}

void api_run(struct api_request *q, const char *body, size_t length)
{
	q->bytes = body;
	q->length = length;
	if (q->route->body == API_JSON)
		run_json(q, body, length);
	else
		q->route->run(q);
}

struct mvm *api_vm(struct api_request *q)
{
	struct mvm *v;
	struct err e;

	if (ctl_check_name(q->param[0], NULL)) {
		err_set(&e, -EINVAL, "'%.80s' is no ID or name of a VM", q->param[0]);
		api_fail(q, -EINVAL, &e);
		return NULL;
	}
	v = manager_find(q->m, q->param[0]);
	if (!v) {
		err_set(&e, -ENOENT, "there is no VM %s", q->param[0]);
		api_fail(q, -ENOENT, &e);
	}
	return v;
}

struct mvm *api_vm_for(struct api_request *q, enum vmms_request request)
{
	struct mvm *v = api_vm(q);
	struct err e;

	if (!v || !mvm_check(v, request, &e))
		return v;
	api_fail(q, -EBUSY, &e);
	return NULL;
}

static void count_change(struct api_request *q, int by)
{
	struct mvm *v = q->changing ? manager_find(q->m, q->param[0]) : NULL;

	if (v && (by > 0 || v->changes))
		v->changes += (unsigned)by;
}

static void on_answer(void *ctx, json_t *reply, int error, const struct err *e)
{
	struct api_request *q = ctx;

	count_change(q, -1);
	if (q->asked && (reply || q->device)) {
		if (e)
			api_fill_error(&q->answer, api_status_of(error), e->text);
		q->asked(q, reply);
	} else if (reply) {
		api_json(q, 200, json_incref(reply));
	} else {
		api_fail(q, error, e);
	}
}

void api_ask(struct api_request *q, struct mvm *v, json_t *request, unsigned timeout_ms,
	void (*asked)(struct api_request *q, json_t *reply))
{
	char path[PATH_MAX];
	struct ask *ask = NULL;
	struct err e;

	mvm_path(v, "sock", path);
	q->asked = asked;
	count_change(q, 1);
	if (request)
		ask = ask_start(v->m->loop, path, v->run.id.pid, request, timeout_ms, on_answer, q);
	json_decref(request);
	if (ask && q->ask_limit)
		ask_limit(ask, q->ask_limit);
	if (ask)
		return;
	err_set(&e, -ENOMEM, "out of memory");
	on_answer(q, NULL, -ENOMEM, &e);
}
