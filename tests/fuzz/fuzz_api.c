/* SPDX-License-Identifier: MIT */
/*
 * enlited's interface and configuration: up to 16 requests to a manager of a directory in memory. A
 * request is "METHOD PATH?FROM\n", its body, and a byte 0x1E. No VM can be started: its program is
 * none. Each request is answered once, with a status that is documented in api.c, and an error with
 * one line. Then another manager reads the same directory, and finds the same VMs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "mgmt/manager/api.h"
#include "tests/support/check.h"

#define REQUESTS_MAX 16
#define SEPARATOR    0x1E

static struct manager m;
static struct loop loop;
static char directory[64], run_dir[80];
static unsigned answers;

static void on_answered(struct api_request *q)
{
	answers++;
}

static void check_answer(const struct api_answer *a)
{
	check(a->status >= 200 && a->status < 600 && a->type);
	if (a->status < 400)
		return;
	check(a->text && a->length == strlen(a->text));
	for (size_t i = 0; i < a->length; i++)
		check((unsigned char)a->text[i] >= 0x20);
}

/* Snapshots are made by a helper thread and the loop, which does not run here, beside whatever
 * files the input names: snapshot_test.c has them. */
static bool is_operation(const struct api_route *r)
{
	return strstr(r->path, "/snapshots") && !strcmp(r->method, "POST");
}

static void run_request(const char *method, const char *path, const char *body, size_t length)
{
	struct api_request q = {.m = &m, .answered = on_answered};
	unsigned status = api_match(method, path, &q.route, q.param);

	check(!status || (status >= 400 && status < 500));
	if (status || !q.route->run || !strcmp(q.route->path, "/host") || is_operation(q.route))
		return; /* the host is not the input's */
	answers = 0;
	api_run(&q, body, length);
	check(answers == 1);
	check_answer(&q.answer);
	free(q.answer.text);
	api_free(&q);
}

/* One request of the input; what is behind it is returned. */
static const char *take_request(const char *at, const char *end)
{
	const char *stop = memchr(at, SEPARATOR, (size_t)(end - at));
	char line[512], *path;
	const char *body;

	if (!stop)
		stop = end;
	body = memchr(at, '\n', (size_t)(stop - at));
	body = body ? body : stop;
	snprintf(line, sizeof(line), "%.*s", (int)(body - at), at);
	path = strchr(line, ' ');
	if (path) {
		*path++ = '\0';
		body += body < stop;
		run_request(line, path, body, (size_t)(stop - body));
	}
	return stop < end ? stop + 1 : end;
}

static void open_manager(void)
{
	struct err e;

	check(!manager_open(&m, &loop, directory, run_dir, "/nonexistent/enlite", &e));
}

/* What was answered is there: the next manager has as many. */
static void check_stored(void)
{
	uint32_t count = m.count;

	manager_close(&m);
	open_manager();
	check(m.count == count && !json_array_size(m.problems));
}

static void remove_all(void)
{
	struct err e;

	list_for_each_safe (at, &m.list) {
		struct mvm *v = container_of(at, struct mvm, link);

		v->state = VMMS_OFF;
		check(!manager_remove(v, &e));
	}
	manager_close(&m);
}

static void remove_directory(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", directory);
	check(!system(command));
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct err e;

	log_set_level(LOG_ERROR);
	snprintf(directory, sizeof(directory), "/dev/shm/enlite-fuzz.XXXXXX");
	check(mkdtemp(directory));
	snprintf(run_dir, sizeof(run_dir), "%s/run", directory);
	check(!loop_init(&loop, "fuzz", &e));
	return atexit(remove_directory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;

	open_manager();
	for (unsigned i = 0; i < REQUESTS_MAX && at < end; i++)
		at = take_request(at, end);
	check_stored();
	remove_all();
	return 0;
}
