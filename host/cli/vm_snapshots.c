/* SPDX-License-Identifier: MIT */
/* `enlite vm`: snapshots, clones and screenshots. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/cmd_vm.h"
#include "cli/screenshot.h"
#include "cli/table.h"
#include "mgmt/manager/client.h"

#define BELOW_TEXT 256u
#define NAME_TEXT  32u

/* clang-format off */
static const struct table_column columns[] = {
	{"name", "name", cell_text},
	{"taken", "taken", cell_text},
	{"memory", "memory", cell_text},
	{"disks", "disks", cell_count},
	{"state", "state", cell_text},
	{NULL, NULL, NULL},
};
/* clang-format on */

/* ---- requests ------------------------------------------------------------ */

/* Owns body. */
static int run_job(const struct vm_args *a, const char *below, json_t *body, struct err *e)
{
	json_t *job;
	int ret = vm_call(a, "POST", below, body, &job, e);

	json_decref(body);
	return ret ? ret : vm_wait(a, job, e);
}

static int take(const struct vm_args *a, const char *name, struct err *e)
{
	return run_job(a, "/snapshots", json_pack("{s:s, s:b}", "name", name, "copy", a->copy), e);
}

/* The time, which sorts. */
static void name_now(char name[NAME_TEXT])
{
	time_t now = time(NULL);
	struct tm tm;

	strftime(name, NAME_TEXT, "%Y%m%d-%H%M%S", localtime_r(&now, &tm));
}

int vm_snapshot(const struct vm_args *a, struct err *e)
{
	char name[NAME_TEXT];
	int ret;

	name_now(name);
	ret = take(a, a->snapshot ? a->snapshot : name, e);
	if (!ret && !a->snapshot)
		puts(name);
	return ret;
}

int vm_snapshot_remove(const struct vm_args *a, struct err *e)
{
	char below[BELOW_TEXT];
	json_t *reply;
	int ret;

	snprintf(below, sizeof(below), "/snapshots/%s", a->snapshot);
	ret = vm_call(a, "DELETE", below, NULL, &reply, e);
	if (!ret)
		json_decref(reply);
	return ret;
}

/* A snapshot of a VM that was off has no state to go on with. */
static int go_on(const struct vm_args *a, struct err *e)
{
	const char *state;
	bool saved;
	json_t *reply;
	int ret = vm_call(a, "GET", "/state", NULL, &reply, e);

	if (ret)
		return ret;
	state = json_string_value(json_object_get(reply, "state"));
	saved = state && !strcmp(state, "saved");
	json_decref(reply);
	return saved ? vm_change_state(a, "start", e) : 0;
}

int vm_snapshot_restore(const struct vm_args *a, struct err *e)
{
	char below[BELOW_TEXT];
	int ret;

	snprintf(below, sizeof(below), "/snapshots/%s/restore", a->snapshot);
	ret = run_job(a, below, NULL, e);
	return ret || a->no_wait ? ret : go_on(a, e);
}

/* ---- clones -------------------------------------------------------------- */

static int clone_of(const struct vm_args *a, const char *snapshot, struct err *e)
{
	char below[BELOW_TEXT];

	snprintf(below, sizeof(below), "/snapshots/%s/clone", snapshot);
	return run_job(
		a, below, json_pack("{s:s, s:b}", "name", a->more, "disconnect", a->disconnect), e);
}

/* Without a snapshot: of one that is taken for it, and removed afterwards. */
int vm_clone(const struct vm_args *a, struct err *e)
{
	struct vm_args between = *a;
	char name[NAME_TEXT + 8];
	struct err why;
	int ret;

	if (a->snapshot && a->copy)
		return err_set(e, -EINVAL,
			"--copy: a snapshot that exists says itself how its disks are copied");
	if (a->snapshot)
		return clone_of(a, a->snapshot, e);
	snprintf(name, sizeof(name), "clone-");
	name_now(name + strlen(name));
	between.snapshot = name;
	between.no_wait = false;
	ret = take(&between, name, e);
	if (ret)
		return ret;
	ret = clone_of(&between, name, e);
	if (vm_snapshot_remove(&between, &why) && !ret)
		ret = err_set(e, -EIO, "the clone is there; its snapshot %s stays: %.300s", name,
			why.text);
	return ret;
}

/* ---- shown --------------------------------------------------------------- */

static json_t *row_of(const json_t *snapshot)
{
	time_t created = json_integer_value(json_object_get(snapshot, "created"));
	char taken[NAME_TEXT];
	struct tm tm;

	strftime(taken, sizeof(taken), "%Y-%m-%d %H:%M:%S", localtime_r(&created, &tm));
	return json_pack("{s:O?, s:s, s:s, s:i, s:O?}", "name", json_object_get(snapshot, "name"),
		"taken", taken, "memory",
		json_is_true(json_object_get(snapshot, "memory")) ? "yes" : "no", "disks",
		(int)json_array_size(json_object_get(snapshot, "disks")), "state",
		json_object_get(snapshot, "state"));
}

int vm_snapshots(const struct vm_args *a, struct err *e)
{
	struct table_page page = {.out = stdout};
	json_t *reply, *list, *rows = json_array();
	int ret = vm_call(a, "GET", "/snapshots", NULL, &reply, e);

	if (ret) {
		json_decref(rows);
		return ret;
	}
	list = json_object_get(reply, "snapshots");
	for (size_t i = 0; i < json_array_size(list); i++)
		json_array_append_new(rows, row_of(json_array_get(list, i)));
	if (a->json) {
		json_dumpf(reply, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		table_print(&page, columns, rows);
	}
	json_decref(rows);
	json_decref(reply);
	return 0;
}

int vm_screenshot(const struct vm_args *a, struct err *e)
{
	struct client_answer answer;
	char path[BELOW_TEXT];
	int ret;

	snprintf(path, sizeof(path), "/vms/%s/screenshot", a->vm);
	ret = client_call(a->socket, "GET", path, NULL, 0, &answer, e);
	if (ret)
		return ret;
	ret = answer.status < 300
		      ? screenshot_file(a->more, (const uint8_t *)answer.body, answer.length, e)
		      : client_refused(&answer, e);
	client_free(&answer);
	return ret;
}
