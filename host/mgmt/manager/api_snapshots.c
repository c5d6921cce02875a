/* SPDX-License-Identifier: MIT */
/* Snapshots: their list, taking, restoring, cloning and removing them; and what the guest shows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "mgmt/manager/api.h"
#include "mgmt/manager/operation.h"

#define SCREENSHOT_MAX (16u << 20) /* as the worker sends it */

/* ---- snapshots ----------------------------------------------------------- */

/* Those that are being taken or removed are there, too. */
void api_snapshot_list(struct api_request *q)
{
	struct mvm *v = api_vm(q);
	json_t *list = v ? json_array() : NULL;

	if (!v)
		return;
	list_for_each (at, &q->m->snapshots) {
		const struct snapshot *s = container_of(at, struct snapshot, link);

		if (!strcmp(s->vm, v->def.id))
			json_array_append_new(list, snapshot_json(s));
	}
	api_json(q, 200, json_pack("{s:o}", "snapshots", list));
}

/* The two parameters. NULL: answered. */
static struct snapshot *find_snapshot(struct api_request *q, struct mvm **v)
{
	struct snapshot *s = NULL;
	struct err e;
	int ret = -ENOENT;

	*v = api_vm(q);
	if (!*v)
		return NULL;
	if (ctl_check_name(q->param[1], NULL))
		ret = err_set(&e, -EINVAL, "'%.80s' is no ID or name of a snapshot", q->param[1]);
	else if (!(s = snapshot_find(q->m, (*v)->def.id, q->param[1])))
		err_set(&e, -ENOENT, "the VM has no snapshot %s", q->param[1]);
	if (!s)
		api_fail(q, ret, &e);
	return s;
}

static void answer(struct api_request *q, int ret, const struct job *job, const struct err *e)
{
	if (ret)
		api_fail(q, ret, e);
	else
		api_accept(q, job);
}

void api_snapshot_take(struct api_request *q)
{
	struct mvm *v = api_vm(q);
	const char *name = NULL;
	json_error_t error;
	struct job *job = NULL;
	struct err e;
	int ret, copy = 0;

	if (!v)
		return;
	if (json_unpack_ex(
		    q->body, &error, JSON_STRICT, "{s:s, s?b}", "name", &name, "copy", &copy))
		ret = err_set(&e, -EINVAL, "%s", error.text);
	else
		ret = mvm_snapshot(v, name, copy, &job, &e);
	answer(q, ret, job, &e);
}

void api_snapshot_remove(struct api_request *q)
{
	struct mvm *v;
	struct snapshot *s = find_snapshot(q, &v);
	struct err e;
	int ret = s ? snapshot_remove(q->m, s, &e) : 0;

	if (ret)
		api_fail(q, ret, &e);
	else if (s)
		api_json(q, 200, json_object());
}

void api_snapshot_restore(struct api_request *q)
{
	struct mvm *v;
	struct snapshot *s = find_snapshot(q, &v);
	struct job *job = NULL;
	struct err e;
	int ret;

	if (!s)
		return;
	ret = mvm_restore(v, s, &job, &e);
	answer(q, ret, job, &e);
}

void api_snapshot_clone(struct api_request *q)
{
	struct mvm *v;
	struct snapshot *s = find_snapshot(q, &v);
	struct clone_options o = {.name = NULL};
	json_error_t error;
	struct job *job = NULL;
	struct err e;
	int ret, disconnect = 0;

	if (!s)
		return;
	if (json_unpack_ex(q->body, &error, JSON_STRICT, "{s:s, s?b}", "name", &o.name,
		    "disconnect", &disconnect)) {
		ret = err_set(&e, -EINVAL, "%s", error.text);
	} else {
		o.disconnect = disconnect;
		ret = clone_start(v, s, &o, &job, &e);
	}
	answer(q, ret, job, &e);
}

/* ---- the screen ---------------------------------------------------------- */

static void answer_picture(struct api_request *q, json_t *reply)
{
	const char *data = json_string_value(json_object_get(reply, "data"));
	uint8_t *bytes = data ? malloc(strlen(data) + 1) : NULL;
	struct err e;

	if (!bytes) {
		err_set(&e, -EPROTO, "the VM has sent no picture");
		api_fail(q, -EPROTO, &e);
		return;
	}
	q->answer.status = 200;
	q->answer.type = "image/png";
	q->answer.length = base64_decode(data, bytes);
	q->answer.text = (char *)bytes;
	q->answered(q);
}

void api_screenshot(struct api_request *q)
{
	struct mvm *v = api_vm_for(q, VMMS_ASK);

	q->ask_limit = SCREENSHOT_MAX;
	if (v)
		api_ask(q, v,
			json_pack("{s:s, s:s, s:s}", "command", "screenshot", "file", "", "format",
				"png"),
			CTL_WAIT_MS, answer_picture);
}
