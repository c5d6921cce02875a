/* SPDX-License-Identifier: MIT */
/* Routes against paths, against docs/api/openapi.json, and against a manager of an empty directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mgmt/manager/api.h"

#define DOCUMENT "docs/api/openapi.json"

static char param[API_PARAMS][API_PARAM_MAX];
static const struct api_route *route;

/* ---- paths --------------------------------------------------------------- */

static void paths_find_routes(void **state)
{
	assert_int_equal(api_match("GET", "/", &route, param), 0);
	assert_int_equal(api_match("GET", "/vms", &route, param), 0);
	assert_string_equal(route->path, "/vms");
	assert_int_equal(api_match("DELETE", "/vms/a/disks/0:1", &route, param), 0);
	assert_string_equal(param[0], "a");
	assert_string_equal(param[1], "0:1");
	assert_int_equal(api_match("GET", "/vms/a/kvp/a%2Fb%20c", &route, param), 0);
	assert_string_equal(param[1], "a/b c");
}

static void wrong_paths_find_none(void **state)
{
	char long_path[API_PATH_MAX + 2];
	static const struct {
		const char *method, *path;
		unsigned status;
	} wrong[] = {
		{"GET", "", 404},
		{"GET", "vms", 404},
		{"GET", "/vms/", 400},
		{"GET", "/vms//state", 400},
		{"GET", "/vmss", 404},
		{"GET", "/vm", 404},
		{"GET", "/vms/a/state/x", 404},
		{"GET", "/vms/%00", 400},
		{"GET", "/vms/%0a", 400},
		{"GET", "/vms/%2", 400},
		{"GET", "/vms/%zz", 400},
		{"GET", "/vms/%FF", 400}, /* not UTF-8 */
		{"GET", "/vms/\xff", 400},
		{"DELETE", "/vms/a/disks/%FF", 400},
		{"DELETE", "/vms/a/disks/%ed%a0%80", 400},
		{"POST", "/vms/a", 405},
		{"get", "/vms", 405},
		{"PATCH", "/", 405},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (api_match(wrong[i].method, wrong[i].path, &route, param) != wrong[i].status)
			fail_msg("%s %s", wrong[i].method, wrong[i].path);
	memset(long_path, 'a', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(api_match("GET", long_path, &route, param), 414);
	snprintf(long_path, sizeof(long_path), "/vms/%0300d", 1);
	assert_int_equal(api_match("GET", long_path, &route, param), 400);
}

static void changes_need_the_right(void **state)
{
	for (const struct api_route *r = api_routes; r->method; r++)
		assert_int_equal(api_needs(r), strcmp(r->method, "GET") ? API_ADMIN : API_READ);
}

/* ---- the document -------------------------------------------------------- */

static void upper(char *to, const char *from)
{
	for (; *from; from++)
		*to++ = (char)toupper((unsigned char)*from);
	*to = '\0';
}

static void the_document_has_the_routes(void **state)
{
	json_t *document = json_load_file(DOCUMENT, 0, NULL), *operations, *operation;
	size_t documented = 0, routes = 0;
	const char *path, *name;
	char method[16];

	assert_non_null(document);
	json_object_foreach(json_object_get(document, "paths"), path, operations)
	{
		json_object_foreach(operations, name, operation)
		{
			json_t *body = json_object_get(operation, "requestBody");

			upper(method, name);
			for (route = api_routes; route->method; route++)
				if (!strcmp(route->method, method) && !strcmp(route->path, path))
					break;
			if (!route->method)
				fail_msg("%s %s is in no code", method, path);
			assert_int_equal(route->body != API_NO_BODY, body != NULL);
			documented++;
		}
	}
	for (route = api_routes; route->method; route++)
		routes++;
	assert_int_equal(documented, routes);
	json_decref(document);
}

/* ---- requests ------------------------------------------------------------ */

static struct manager m;
static struct loop loop;
static char directory[64], run_dir[80];
static bool answered;

static void on_answered(struct api_request *q)
{
	answered = true;
}

/* The status; *json: the body. */
static unsigned call(const char *method, const char *path, const char *body, json_t **json)
{
	struct api_request q = {.m = &m, .answered = on_answered};
	unsigned status = api_match(method, path, &q.route, q.param);

	*json = NULL;
	if (status)
		return status;
	answered = false;
	api_run(&q, body, strlen(body));
	assert_true(answered);
	*json = json_loadb(q.answer.text ? q.answer.text : "", q.answer.length, 0, NULL);
	status = q.answer.status;
	free(q.answer.text);
	api_free(&q);
	return status;
}

static void expect(unsigned status, const char *method, const char *path, const char *body)
{
	json_t *json;
	unsigned got = call(method, path, body, &json);

	if (got != status)
		fail_msg("%s %s %s: %u, not %u", method, path, body, got, status);
	if (status >= 400 && json)
		assert_non_null(json_object_get(json, "error"));
	json_decref(json);
}

static void open_manager(void)
{
	struct err e;

	assert_int_equal(loop_init(&loop, "test", &e), 0);
	assert_int_equal(manager_open(&m, &loop, directory, run_dir, "/bin/false", &e), 0);
}

static int setup(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/enlite-api.XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(run_dir, sizeof(run_dir), "%s/run", directory);
	open_manager();
	return 0;
}

static void close_manager(void)
{
	manager_close(&m);
	loop_fini(&loop);
}

static int teardown(void **state)
{
	char command[128];

	close_manager();
	snprintf(command, sizeof(command), "rm -rf %s", directory);
	return system(command);
}

#define VM(name) "{\"config\": {\"name\": \"" name "\", \"kernel\": \"/k\", \"memory\": \"64M\"}}"

static void vms_are_defined_and_removed(void **state)
{
	expect(201, "POST", "/vms", VM("a"));
	expect(409, "POST", "/vms", VM("a"));
	expect(201, "POST", "/vms", VM("b"));
	expect(200, "GET", "/vms/a", "");
	expect(409, "PUT", "/vms/b", VM("a"));
	expect(200, "PUT", "/vms/b", VM("c"));
	expect(404, "GET", "/vms/b", "");
	expect(200, "DELETE", "/vms/a", "");
	expect(404, "DELETE", "/vms/a", "");
	assert_int_equal(m.count, 1);
	close_manager();
	open_manager();
	assert_int_equal(m.count, 1);
	expect(200, "GET", "/vms/c", "");
}

static void devices_of_a_vm_that_is_off(void **state)
{
	json_t *json;

	expect(201, "POST", "/vms", VM("a"));
	expect(201, "POST", "/vms/a/disks", "{\"memory\": \"1M\", \"lun\": 3}");
	expect(400, "POST", "/vms/a/disks", "{\"memory\": \"1M\", \"lun\": 3}");
	expect(201, "POST", "/vms/a/disks", "{\"memory\": \"1M\"}");
	expect(404, "DELETE", "/vms/a/disks/0:5", "");
	expect(200, "DELETE", "/vms/a/disks/0:3", "");
	expect(201, "POST", "/vms/a/nics", "{\"backend\": \"null\"}");
	expect(200, "DELETE", "/vms/a/nics/nic0", "");
	assert_int_equal(call("GET", "/vms/a/disks", "", &json), 200);
	assert_int_equal(json_array_size(json_object_get(json, "disks")), 1);
	json_decref(json);
}

/* By the number that the guest, and the list of a VM that runs, have; not by a place. */
static void a_nic_of_a_vm_that_is_off(void **state)
{
	json_t *json, *nics;

	expect(201, "POST", "/vms", VM("a"));
	expect(201, "POST", "/vms/a/nics", "{\"backend\": \"null\", \"number\": 1}");
	expect(201, "POST", "/vms/a/nics", "{\"backend\": \"null\", \"number\": 2}");
	expect(404, "DELETE", "/vms/a/nics/nic0", "");
	expect(404, "DELETE", "/vms/a/nics/1", "");
	expect(200, "DELETE", "/vms/a/nics/nic1", "");
	expect(404, "DELETE", "/vms/a/nics/nic1", "");
	assert_int_equal(call("GET", "/vms/a/nics", "", &json), 200);
	nics = json_object_get(json, "nics");
	assert_int_equal(json_array_size(nics), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(nics, 0), "number")), 2);
	json_decref(json);
}

static void write_file(const char *dir, const char *id, const char *suffix, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.%s", dir, id, suffix);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_int_equal(chmod(path, 0600), 0);
}

static void reopen(void)
{
	close_manager();
	open_manager();
}

/* What is not known of a VM keeps it from being started, until it is known. */
static void a_record_that_cannot_be_read_holds_its_vm(void **state)
{
	char run[128], id[GUID_TEXT];
	struct mvm *v;

	expect(201, "POST", "/vms", VM("a"));
	memcpy(id, manager_find(&m, "a")->def.id, sizeof(id));
	snprintf(run, sizeof(run), "%s/enlite", run_dir);
	write_file(run, id, "run", "{\"worker\": ");
	reopen();
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"start\"}");
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"stop\"}");
	expect(409, "DELETE", "/vms/a", "");
	v = manager_find(&m, "a");
	assert_int_equal(v->state, VMMS_STARTING);
	write_file(run, id, "run", "{}");
	mvm_find_state(v);
	assert_int_equal(v->state, VMMS_STARTING);
	store_remove(&m.run, mvm_file(v, "run", run), NULL);
	mvm_find_state(v);
	assert_int_equal(v->state, VMMS_OFF);
}

/* Taken in this boot of the host, and no worker recorded: it never began. */
static void an_image_that_was_taken(void **state)
{
	char images[128], run[128], id[GUID_TEXT];
	struct mvm *v;

	expect(201, "POST", "/vms", VM("a"));
	v = manager_find(&m, "a");
	memcpy(id, v->def.id, sizeof(id));
	snprintf(images, sizeof(images), "%s/images", directory);
	snprintf(run, sizeof(run), "%s/enlite", run_dir);
	write_file(images, id, "image", "x");
	assert_int_equal(mvm_take_image(v, NULL), 0);
	reopen();
	v = manager_find(&m, "a");
	assert_int_equal(v->state, VMMS_SAVED);
	assert_int_equal(mvm_take_image(v, NULL), 0);
	write_file(run, id, "boot", "{\"boot\": \"another\"}");
	reopen();
	v = manager_find(&m, "a");
	assert_int_equal(v->state, VMMS_OFF);
	assert_true(mvm_has_image(v, "interrupted"));
}

/* More than the ring takes before the loop runs. */
static void many_workers_are_adopted(void **state)
{
	const unsigned count = 300;
	struct definition d = {.restart = POLICY_NEVER, .autostart = -1};
	struct mvm *v;
	struct err e;

	for (unsigned i = 0; i < count; i++) {
		memset(d.id, 0, sizeof(d.id));
		snprintf(d.name, sizeof(d.name), "many%u", i);
		d.config = json_pack(
			"{s:s, s:s, s:s}", "name", d.name, "kernel", "/k", "memory", "64M");
		assert_int_equal(manager_define(&m, &d, &v, &e), 0);
		assert_int_equal(identity_of(getpid(), &v->run.id), 0);
		assert_int_equal(mvm_write_record(v, &e), 0);
	}
	reopen();
	assert_int_equal(m.count, count);
	assert_int_equal(m.adoptions, count);
}

#define GUID "12345678-1234-1234-1234-123456789abc"
#define VM_OF(guid)                                                                                \
	"{\"id\": \"" guid                                                                         \
	"\", \"config\": {\"name\": \"g\", \"kernel\": \"/k\", \"memory\": \"64M\"}}"

/* What a removed VM left does not return with its ID, and goes with the next manager. */
static void left_overs_of_removed_vms(void **state)
{
	char images[128], run[128], path[256];

	snprintf(images, sizeof(images), "%s/images", directory);
	snprintf(run, sizeof(run), "%s/enlite", run_dir);
	snprintf(path, sizeof(path), "%s/" GUID ".image", images);
	write_file(images, GUID, "image", "x");
	reopen();
	assert_int_equal(access(path, F_OK), -1);
	write_file(images, GUID, "image", "x");
	write_file(run, GUID, "run", "not a record");
	expect(409, "POST", "/vms", VM_OF(GUID));
	store_remove(&m.run, GUID ".run", NULL);
	expect(201, "POST", "/vms", VM_OF(GUID));
	assert_int_equal(access(path, F_OK), -1);
	reopen();
	assert_int_equal(manager_find(&m, GUID)->state, VMMS_OFF);
}

static void a_saved_state_is_discarded(void **state)
{
	char images[128];
	json_t *json;

	expect(201, "POST", "/vms", VM("a"));
	snprintf(images, sizeof(images), "%s/images", directory);
	write_file(images, manager_find(&m, "a")->def.id, "image", "x");
	reopen();
	assert_int_equal(call("PUT", "/vms/a/state", "{\"request\": \"discard\"}", &json), 202);
	assert_string_equal(json_string_value(json_object_get(json, "state")), "done");
	json_decref(json);
	assert_int_equal(manager_find(&m, "a")->state, VMMS_OFF);
}

static void wrong_requests_have_their_status(void **state)
{
	static const char *const bodies[] = {"", "{", "[]", "1", "null", "\"x\"", "{}",
		"{\"a\":1,\"a\":2}", "{\"request\": 1}", "{\"request\": \"fly\"}",
		"{\"request\": \"start\", \"x\": 1}", "{\"request\": \"shutdown\", \"timeout\": 0}",
		"{\"request\":\"remove\"}", "\xff"};

	expect(201, "POST", "/vms", VM("a"));
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		expect(400, "POST", "/vms", bodies[i]);
		expect(400, "PUT", "/vms/a/state", bodies[i]);
	}
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"pause\"}");
	expect(409, "PUT", "/vms/a/state", "{\"request\": \"discard\"}");
	expect(409, "GET", "/vms/a/stats", "");
	expect(409, "GET", "/vms/a/kvp", "");
	expect(409, "PUT", "/vms/a/memory", "{\"target\": \"1G\"}");
	expect(404, "GET", "/vms/a/log", "");
	expect(404, "GET", "/jobs/1", "");
	expect(404, "GET", "/jobs/x", "");
	expect(400, "GET", "/vms/..", "");
	expect(400, "GET", "/vms/..%2Fa", "");
	expect(400, "DELETE", "/vms/%2e%2e", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_find_routes),
		cmocka_unit_test(wrong_paths_find_none),
		cmocka_unit_test(changes_need_the_right),
		cmocka_unit_test(the_document_has_the_routes),
		cmocka_unit_test_setup_teardown(vms_are_defined_and_removed, setup, teardown),
		cmocka_unit_test_setup_teardown(devices_of_a_vm_that_is_off, setup, teardown),
		cmocka_unit_test_setup_teardown(a_nic_of_a_vm_that_is_off, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_record_that_cannot_be_read_holds_its_vm, setup, teardown),
		cmocka_unit_test_setup_teardown(an_image_that_was_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(many_workers_are_adopted, setup, teardown),
		cmocka_unit_test_setup_teardown(left_overs_of_removed_vms, setup, teardown),
		cmocka_unit_test_setup_teardown(a_saved_state_is_discarded, setup, teardown),
		cmocka_unit_test_setup_teardown(wrong_requests_have_their_status, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
