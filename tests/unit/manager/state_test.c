/* SPDX-License-Identifier: MIT */
/* The tables of states and policies; identities of processes; definitions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/manager/definition.h"
#include "mgmt/manager/events.h"
#include "mgmt/manager/identity.h"
#include "mgmt/manager/policy.h"
#include "mgmt/manager/state.h"
#include "mgmt/manager/worker.h"
#include "vm/vm_impl.h"

static struct err e;

/* ---- states -------------------------------------------------------------- */

/* Each line: a state, and all it allows, written down a second time. */
static const char *const allowed[VMMS_STATES] = {
	[VMMS_OFF] = "start define devices remove snapshot apply clone",
	[VMMS_STARTING] = "stop clone ask",
	[VMMS_RUNNING] = "shutdown stop pause save devices snapshot clone ask guest",
	[VMMS_PAUSING] = "stop resume clone ask",
	[VMMS_PAUSED] = "stop resume save snapshot clone ask",
	[VMMS_RESUMING] = "stop clone ask",
	[VMMS_SAVING] = "stop clone ask",
	[VMMS_SAVED] = "start discard remove snapshot apply clone",
	[VMMS_STOPPING] = "stop clone ask",
	[VMMS_CRITICAL] = "start stop define remove apply clone",
};

static const char *const words[VMMS_REQUESTS] = {"start", "shutdown", "stop", "pause", "resume",
	"save", "discard", "define", "devices", "remove", "snapshot", "apply", "clone", "ask",
	"guest"};

static void each_state_allows_what_is_written(void **state)
{
	for (uint32_t s = 0; s < VMMS_STATES; s++) {
		char text[128] = "";

		for (uint32_t r = 0; r < VMMS_REQUESTS; r++) {
			size_t used = strlen(text);

			if (vmms_allows(s, r))
				snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "",
					words[r]);
		}
		assert_string_equal(text, allowed[s]);
	}
}

static void each_state_has_a_way_out(void **state)
{
	for (uint32_t s = 0; s < VMMS_STATES; s++) {
		assert_true(vmms_allows(s, VMMS_STOP) == vmms_is_live(s) || s == VMMS_CRITICAL);
		assert_true(vmms_allows(s, VMMS_REMOVE) == !vmms_is_live(s));
		assert_false(vmms_is_passing(s) && !vmms_is_live(s));
	}
}

static void users_name_requests(void **state)
{
	assert_int_equal(vmms_request_of("save"), VMMS_SAVE);
	assert_int_equal(vmms_request_of("remove"), -1); /* has a method of its own */
	assert_int_equal(vmms_request_of(""), -1);
}

/* Whatever a worker calls its state, we know it. */
static void all_states_of_workers_are_known(void **state)
{
	enum vmms_state found;

	for (int s = 0; s < VM_STATES; s++) {
		assert_true(vmms_state_of_worker(vm_state_name((enum vm_state)s), &found));
		assert_true(vmms_is_live(found));
	}
	assert_false(vmms_state_of_worker("asleep", &found));
}

/* ---- policies ------------------------------------------------------------ */

static void policies_restart(void **state)
{
	static const bool restarts[3][3] = {
		[POLICY_NEVER] = {false, false, false},
		[POLICY_ON_FAILURE] = {[WORKER_FAILED] = true},
		[POLICY_ALWAYS] = {[WORKER_DONE] = true, [WORKER_FAILED] = true},
	};

	for (int policy = 0; policy < 3; policy++)
		for (int end = 0; end < 3; end++) {
			struct restarts r = {0};
			uint64_t delay;

			assert_int_equal(
				policy_restarts(policy, end, 0, &r, &delay), restarts[policy][end]);
		}
	assert_int_equal(policy_of("always"), POLICY_ALWAYS);
	assert_int_equal(policy_of("sometimes"), -1);
}

static void delays_grow_and_end(void **state)
{
	static const unsigned seconds[] = {1, 2, 4, 8, 16, 32, 60, 60};
	struct restarts r = {0};
	uint64_t delay;

	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		assert_true(policy_restarts(POLICY_ALWAYS, WORKER_FAILED, 0, &r, &delay));
		assert_int_equal(delay, seconds[i] * NS_PER_S);
	}
	assert_true(policy_restarts(POLICY_ALWAYS, WORKER_FAILED, POLICY_STEADY_NS, &r, &delay));
	assert_int_equal(delay, NS_PER_S);
	assert_false(policy_restarts(POLICY_ALWAYS, WORKER_WANTED, 0, &r, &delay));
	assert_int_equal(r.row, 0);
}

/* ---- ends of workers ----------------------------------------------------- */

static int file_with(const char *text)
{
	int fd = memfd_create("end", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	return fd;
}

static void what_a_worker_left(void **state)
{
	static const struct {
		const char *text;
		int status;
		bool ran;
	} files[] = {
		{"", -1, false},
		{"exit 0\n", 0, false},
		{"exit 1\n", 1, false},
		{"ran\n", -1, true},
		{"ran\nexit 32\n", 32, true},
		{"exit 256\n", -1, false},
		{"exit 1\nran\n", 1, false},
		{"run\nexit 1\n", -1, false},
	};
	struct worker_exit x;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		int fd = file_with(files[i].text);

		worker_read_exit(-1, fd, &x);
		assert_int_equal(x.status, files[i].status);
		assert_int_equal(x.ran, files[i].ran);
		assert_int_equal(worker_trim_status(fd), 0);
		worker_read_exit(-1, fd, &x);
		assert_int_equal(x.ran, files[i].ran);
		close(fd);
	}
	worker_read_exit(-1, -1, &x);
	assert_int_equal(x.status, -1);
}

/* Behind its gate, or without its program: it says that it was nothing. */
static void a_worker_that_never_was(void **state)
{
	for (int opened = 0; opened < 2; opened++) {
		struct worker_start start = {.program = "/nonexistent", .run_dir = "/tmp"};
		struct worker_gate gate;
		struct worker_exit x;

		for (unsigned i = 0; i < WORKER_FDS; i++)
			start.fds[i] = fcntl(file_with(""), F_DUPFD_CLOEXEC, 20);
		assert_int_equal(worker_spawn(&start, &gate, &e), 0);
		if (opened)
			worker_gate_open(&gate);
		else
			worker_gate_close(&gate);
		if (opened)
			waitpid(gate.id.pid, NULL, 0);
		worker_read_exit(-1, start.fds[WORKER_STATUS_FD], &x);
		assert_int_equal(x.status, 1);
		assert_false(x.ran);
	}
}

/* ---- identities ---------------------------------------------------------- */

static void a_process_has_one_identity(void **state)
{
	struct identity id, copy;
	json_t *json;
	int fd;

	assert_int_equal(identity_of(getpid(), &id), 0);
	json = identity_json(&id);
	assert_true(identity_from_json(&copy, json));
	fd = identity_open(&copy);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(identity_parent(getpid()), getppid());
	json_decref(json);
}

/* The number is in use, by another process. */
static void another_process_of_this_number_is_not_it(void **state)
{
	struct identity id;

	assert_int_equal(identity_of(getpid(), &id), 0);
	id.start++;
	assert_int_equal(identity_open(&id), -ESRCH);
	id.start--;
	id.boot[0] ^= 1;
	assert_int_equal(identity_open(&id), -ESRCH);
}

static void a_process_that_ended_is_not_it(void **state)
{
	struct identity id;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	assert_int_equal(identity_of(pid, &id), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(identity_open(&id), -ESRCH);
}

static void wrong_records_are_refused(void **state)
{
	static const char *const wrong[] = {"{}", "[]",
		"{\"pid\": 1, \"start\": 1, \"boot\": \"x\"}",
		"{\"pid\": -5, \"start\": 1, \"boot\": \"x\"}",
		"{\"pid\": 5, \"start\": \"1\", \"boot\": \"x\"}"};
	struct identity id;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		json_t *json = json_loads(wrong[i], 0, NULL);

		assert_false(identity_from_json(&id, json));
		json_decref(json);
	}
}

/* ---- definitions --------------------------------------------------------- */

static int read_text(struct definition *d, const char *text)
{
	json_t *json = json_loads(text, 0, NULL);
	int ret;

	assert_non_null(json);
	ret = definition_read(d, json, &e);
	json_decref(json);
	return ret;
}

#define CONFIG                                                                                     \
	"\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"nics\": [{\"backend\": \"null\"}]}"

static void wrong_definitions_name_the_key(void **state)
{
	static const struct {
		const char *text, *error;
	} wrong[] = {
		{"{}", "config: must be an object"},
		{"{\"config\": {}}", "kernel"},
		{"{\"config\": {\"kernel\": \"/k\"}}", "config.name: is missing"},
		{"{\"config\": {\"kernel\": \"/k\", \"name\": \"../x\"}}", "name"},
		{"{\"config\": {\"kernel\": \"/k\", \"name\": \"7353a41b-1c95-4721-8fd5-1e71c070ec9e\"}}",
			"must not be a GUID"},
		{"{\"config\": {\"kernel\": \"/k\", \"name\": \"a\", \"restore\": \"/etc/shadow\"}}",
			"config.restore"},
		{"{\"config\": {\"kernel\": \"/k\", \"name\": \"a\", \"memry\": 1}}", "memory"},
		{"{" CONFIG ", \"restart\": \"often\"}", "restart"},
		{"{" CONFIG ", \"restart\": 1}", "restart"},
		{"{" CONFIG ", \"autostart\": -1}", "autostart"},
		{"{" CONFIG ", \"id\": \"../../etc/passwd\"}", "id"},
		{"{" CONFIG ", \"id\": \"7353A41B-1c95-4721-8fd5-1e71c070ec9e\"}", "id"},
		{"{" CONFIG ", \"format\": 2}", "format"},
		{"{" CONFIG ", \"owner\": 2}", "owner"},
	};
	struct definition d;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(read_text(&d, wrong[i].text), -EINVAL);
		if (!strstr(e.text, wrong[i].error))
			fail_msg("%s: %s", wrong[i].text, e.text);
	}
}

/* Also the address that was chosen for its NIC. */
static void a_definition_comes_through_a_file(void **state)
{
	struct definition d, again;
	json_t *json;

	assert_int_equal(
		read_text(&d, "{" CONFIG ", \"restart\": \"always\", \"autostart\": 7}"), 0);
	guid_make(d.id);
	assert_true(guid_is_valid(d.id));
	json = definition_json(&d);
	assert_int_equal(definition_read(&again, json, &e), 0);
	assert_true(json_equal(again.config, d.config));
	assert_string_equal(again.id, d.id);
	assert_int_equal(again.restart, POLICY_ALWAYS);
	assert_int_equal(again.autostart, 7);
	assert_non_null(
		json_object_get(json_array_get(json_object_get(d.config, "nics"), 0), "mac"));
	json_decref(json);
	definition_free(&d);
	definition_free(&again);
}

/* ---- events -------------------------------------------------------------- */

static void events_are_kept_to_a_number(void **state)
{
	struct events ev;
	uint64_t first, at;

	events_init(&ev);
	first = at = ev.next;
	assert_null(events_from(&ev, &at));
	for (unsigned i = 0; i < EVENTS_KEPT + 5; i++)
		events_add(&ev, json_pack("{s:i}", "event", (int)i));
	at = first;
	assert_non_null(events_from(&ev, &at));
	assert_int_equal(at, first + 5); /* five are lost, which a reader sees */
	at = first + 100;
	assert_non_null(strstr(events_from(&ev, &at), "{\"event\":100,"));
	assert_int_equal(at, first + 100);
	events_fini(&ev);
}

/* The clock was set back, and the manager was started again: a reader connects anew. */
static void numbers_of_the_future_are_of_an_earlier_manager(void **state)
{
	struct events ev;
	uint64_t at;

	events_init(&ev);
	events_add(&ev, json_pack("{s:s}", "event", "state"));
	at = ev.next + 3600000000;
	assert_non_null(events_from(&ev, &at));
	assert_int_equal(at, ev.first);
	at = ev.next;
	assert_null(events_from(&ev, &at));
	events_fini(&ev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_state_allows_what_is_written),
		cmocka_unit_test(each_state_has_a_way_out),
		cmocka_unit_test(users_name_requests),
		cmocka_unit_test(all_states_of_workers_are_known),
		cmocka_unit_test(policies_restart),
		cmocka_unit_test(delays_grow_and_end),
		cmocka_unit_test(what_a_worker_left),
		cmocka_unit_test(a_worker_that_never_was),
		cmocka_unit_test(a_process_has_one_identity),
		cmocka_unit_test(another_process_of_this_number_is_not_it),
		cmocka_unit_test(a_process_that_ended_is_not_it),
		cmocka_unit_test(wrong_records_are_refused),
		cmocka_unit_test(wrong_definitions_name_the_key),
		cmocka_unit_test(a_definition_comes_through_a_file),
		cmocka_unit_test(events_are_kept_to_a_number),
		cmocka_unit_test(numbers_of_the_future_are_of_an_earlier_manager),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
