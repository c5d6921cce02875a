/* SPDX-License-Identifier: MIT */
/* `enlite vm`: managed VMs, through enlited's interface. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "cli/cmd.h"
#include "cli/cmd_vm.h"
#include "cli/table.h"
#include "config/config.h"
#include "mgmt/complete.h"
#include "mgmt/manager/client.h"
#include "vm/vm.h"

#define VM_USAGE    "enlite vm COMMAND [VM] [OPTIONS]"
#define PATH_TEXT   512u
#define JOB_POLL_MS 50

/* ---- tables -------------------------------------------------------------- */

/* clang-format off */
static const struct table_column list_columns[] = {
	{"name", "name", cell_text},
	{"state", "state", cell_text},
	{"CPUs", "cpus", cell_count},
	{"memory", "memory", cell_text},
	{"heartbeat", "heartbeat", cell_text},
	{"ID", "id", cell_text},
	{"reason", "reason", cell_text},
	{NULL, NULL, NULL},
};

static const struct table_column top_columns[] = {
	{"name", "name", cell_text},
	{"state", "state", cell_text},
	{"CPU %", "cpu_percent", cell_count},
	{"resident", "resident", cell_bytes},
	{"process", "pid", cell_count},
	{NULL, NULL, NULL},
};
/* clang-format on */

/* ---- requests ------------------------------------------------------------ */

int vm_call(const struct vm_args *a, const char *method, const char *below, const json_t *body,
	json_t **reply, struct err *e)
{
	char path[PATH_TEXT];

	if (!a->vm)
		snprintf(path, sizeof(path), "/vms");
	else
		snprintf(path, sizeof(path), "/vms/%s%s", a->vm, below);
	return client_json(a->socket, method, path, body, reply, e);
}

static void print_json(const json_t *json)
{
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
}

static void print_list(const json_t *reply)
{
	struct table_page page = {.out = stdout};

	table_print(&page, list_columns, json_object_get(reply, "vms"));
}

static void print_one(const json_t *reply)
{
	tree_print(stdout, reply);
}

static int get(const struct vm_args *a, void (*print)(const json_t *reply), struct err *e)
{
	json_t *reply;
	int ret = vm_call(a, "GET", "", NULL, &reply, e);

	if (ret)
		return ret;
	if (a->json)
		print_json(reply);
	else
		print(reply);
	json_decref(reply);
	return 0;
}

static int list(const struct vm_args *a, struct err *e)
{
	return get(a, print_list, e);
}

static int show(const struct vm_args *a, struct err *e)
{
	return get(a, print_one, e);
}

static int rm(const struct vm_args *a, struct err *e)
{
	json_t *reply;
	int ret;

	if (a->snapshot)
		return vm_snapshot_remove(a, e);
	ret = vm_call(a, "DELETE", "", NULL, &reply, e);
	if (!ret)
		json_decref(reply);
	return ret;
}

/* ---- define -------------------------------------------------------------- */

/* File names become absolute: the manager is in another directory. */
static json_t *definition(const struct vm_args *a, struct vm_config *config, struct err *e)
{
	json_t *json, *policy;

	config->directory = getcwd(NULL, 0);
	json = vm_config_image_json(config, e);
	if (!json)
		return NULL;
	policy = json_pack("{s:o, s:s}", "config", json, "restart", a->restart);
	if (a->autostart)
		json_object_set_new(policy, "autostart", json_integer(atoi(a->autostart)));
	return policy;
}

static int define_config(const struct vm_args *a, struct vm_config *config, struct err *e)
{
	json_t *json = definition(a, config, e), *reply;
	int ret = json ? client_json(a->socket, "POST", "/vms", json, &reply, e) : -EINVAL;

	json_decref(json);
	if (ret)
		return ret;
	puts(json_string_value(json_object_get(reply, "id")));
	json_decref(reply);
	return 0;
}

/* argv of `enlite run`; its first is replaced by the command's name. */
static int define(const struct vm_args *a, struct err *e)
{
	struct vm_config config;
	struct err why = {""};
	uint64_t number;
	int ret;

	if (a->autostart && parse_number(a->autostart, 0, 1000000, &number))
		return err_set(e, -EINVAL, "--autostart: must be a number from 0 to 1000000");
	ret = cmd_configure(&config, a->argc, a->argv, &why);
	if (!ret)
		ret = define_config(a, &config, &why);
	else if (ret > 0)
		ret = 0;
	vm_config_free(&config);
	return ret ? err_set(e, ret, "%s", why.text) : 0;
}

/* ---- state --------------------------------------------------------------- */

static int job_end(json_t *job, const char *state, struct err *e)
{
	const char *why = json_string_value(json_object_get(job, "error"));

	if (!strcmp(state, "done"))
		return 0;
	return err_set(e, -ECANCELED, "%.400s", why ? why : "it failed");
}

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	interrupted = 1;
}

static void show_percent(const json_t *job, bool *shown)
{
	long long percent = json_integer_value(json_object_get(job, "percent"));

	if (!isatty(STDERR_FILENO) || percent <= 0 || percent >= 100)
		return;
	fprintf(stderr, "\r%3lld %%", percent);
	*shown = true;
}

/* *job becomes what it is now. */
static int look_at_job(const struct vm_args *a, json_t **job, struct err *e)
{
	long long id = json_integer_value(json_object_get(*job, "id"));
	json_t *now = NULL;
	char path[64];
	int ret;

	snprintf(path, sizeof(path), "/jobs/%lld", id);
	if (interrupted == 1) {
		interrupted = 2; /* one that cannot be cancelled goes on; a second signal ends us */
		signal(SIGINT, SIG_DFL);
		if (!client_json(a->socket, "DELETE", path, NULL, &now, NULL))
			json_decref(now);
	}
	ret = client_json(a->socket, "GET", path, NULL, &now, e);
	if (ret)
		return ret;
	json_decref(*job);
	*job = now;
	return 0;
}

static int follow_job(const struct vm_args *a, json_t **job, struct err *e)
{
	bool shown = false;
	const char *state;
	int ret = 0;

	for (;;) {
		state = json_string_value(json_object_get(*job, "state"));
		if (ret || !state || strcmp(state, "running"))
			break;
		show_percent(*job, &shown);
		poll(NULL, 0, JOB_POLL_MS);
		ret = look_at_job(a, job, e);
	}
	if (shown)
		fputs("\r     \r", stderr);
	return ret ? ret : job_end(*job, state ? state : "", e);
}

int vm_wait(const struct vm_args *a, json_t *job, struct err *e)
{
	int ret = 0;

	signal(SIGINT, on_interrupt);
	if (!a->no_wait)
		ret = follow_job(a, &job, e);
	json_decref(job);
	return ret;
}

int vm_change_state(const struct vm_args *a, const char *request, struct err *e)
{
	json_t *body = json_pack("{s:s}", "request", request), *job;
	int ret;

	if (a->timeout)
		json_object_set_new(body, "timeout", json_integer(atoi(a->timeout)));
	ret = vm_call(a, "PUT", "/state", body, &job, e);
	json_decref(body);
	return ret ? ret : vm_wait(a, job, e);
}

static int request(const struct vm_args *a, struct err *e)
{
	return vm_change_state(a, a->command, e);
}

/* `start` of a saved VM, and of no other. */
static int restore(const struct vm_args *a, struct err *e)
{
	const char *state;
	json_t *reply;
	int ret;

	if (a->snapshot)
		return vm_snapshot_restore(a, e);
	ret = vm_call(a, "GET", "/state", NULL, &reply, e);

	if (ret)
		return ret;
	state = json_string_value(json_object_get(reply, "state"));
	if (!state || strcmp(state, "saved"))
		ret = err_set(e, -EBUSY, "the VM is %s, not saved", state ? state : "?");
	json_decref(reply);
	return ret ? ret : vm_change_state(a, "start", e);
}

/* ---- top ----------------------------------------------------------------- */

static json_int_t cpu_before(const json_t *before, const json_t *vm)
{
	const json_t *vms = json_object_get(before, "vms");

	for (size_t i = 0; i < json_array_size(vms); i++) {
		json_t *was = json_array_get(vms, i);

		if (json_equal(json_object_get(was, "pid"), json_object_get(vm, "pid")))
			return json_integer_value(json_object_get(was, "cpu_ns"));
	}
	return 0;
}

/* Both were taken a second apart. */
static void add_percent(json_t *now, const json_t *before)
{
	json_t *vms = json_object_get(now, "vms");

	for (size_t i = 0; i < json_array_size(vms); i++) {
		json_t *vm = json_array_get(vms, i);
		json_int_t cpu = json_integer_value(json_object_get(vm, "cpu_ns"));

		if (json_object_get(vm, "pid"))
			json_object_set_new(vm, "cpu_percent",
				json_integer((cpu - cpu_before(before, vm)) / 10000000));
	}
}

static void print_top(const struct vm_args *a, json_t *now)
{
	struct table_page page = {.out = stdout};

	if (a->json) {
		print_json(now);
		return;
	}
	if (isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	table_print(&page, top_columns, json_object_get(now, "vms"));
	fflush(stdout);
}

static int top(const struct vm_args *a, struct err *e)
{
	json_t *before = NULL, *now;
	int ret = vm_call(a, "GET", "", NULL, &before, e);

	while (!ret) {
		poll(NULL, 0, 1000);
		ret = vm_call(a, "GET", "", NULL, &now, e);
		if (ret)
			break;
		add_percent(now, before);
		print_top(a, now);
		json_decref(before);
		before = now;
		if (a->once)
			break;
	}
	json_decref(before);
	return ret;
}

/* ---- the table ----------------------------------------------------------- */

static const struct vm_command {
	const char *name, *usage, *help;
	int arguments; /* with the VM, which is the first */
	int (*run)(const struct vm_args *a, struct err *e);
} commands[] = {
	{"list", "list [--json]", "list all VMs", 0, list},
	{"show", "show VM [--json]", "print all that is known of a VM", 1, show},
	{"define", "define [--restart POLICY] [--autostart N] OPTIONS",
		"define a VM; OPTIONS as for enlite run, with --name", 0, define},
	{"start", "start VM", "start it, or go on where it was saved", 1, request},
	{"shutdown", "shutdown VM [--timeout S]", "ask the guest to power off", 1, request},
	{"stop", "stop VM", "end it without asking the guest", 1, request},
	{"pause", "pause VM", "stop the guest and its clocks", 1, request},
	{"resume", "resume VM", "resume a paused guest", 1, request},
	{"save", "save VM", "save its state and end it", 1, request},
	{"restore", "restore VM[@SNAPSHOT]", "go on where it was saved, or as it was in a snapshot",
		1, restore},
	{"discard", "discard VM", "remove its saved state", 1, request},
	{"snapshot", "snapshot VM[@SNAPSHOT] [--copy]", "keep its state and its disks as they are",
		1, vm_snapshot},
	{"snapshots", "snapshots VM [--json]", "list its snapshots", 1, vm_snapshots},
	{"clone", "clone VM[@SNAPSHOT] NEW [--disconnect] [--copy]",
		"make a new VM that goes on where this one is", 2, vm_clone},
	{"rm", "rm VM[@SNAPSHOT]", "remove a VM that is off; its disks stay. Or a snapshot", 1, rm},
	{"console", "console VM", "connect to COM1; Ctrl-] ends", 1, vm_console},
	{"screenshot", "screenshot VM FILE.png", "write what the guest shows to a file", 2,
		vm_screenshot},
	{"log", "log VM [--follow]", "print what its process logged", 1, vm_log},
	{"top", "top [--once] [--json]", "CPU time and memory, once a second", 0, top},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	puts("usage: " VM_USAGE "\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-50s  %s\n", commands[i].usage, commands[i].help);
	puts("\n--socket PATH, or ENLITE_SOCKET: of enlited, if not " CLIENT_SOCKET ".\n"
	     "--no-wait: return when the request is accepted.");
	return EXIT_SUCCESS;
}

static const struct vm_command *find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* ---- arguments ----------------------------------------------------------- */

static const struct {
	const char *name;
	size_t flag, value; /* offsets; one of them */
} options[] = {
	{"--json", offsetof(struct vm_args, json), 0},
	{"--once", offsetof(struct vm_args, once), 0},
	{"--follow", offsetof(struct vm_args, follow), 0},
	{"--copy", offsetof(struct vm_args, copy), 0},
	{"--disconnect", offsetof(struct vm_args, disconnect), 0},
	{"--no-wait", offsetof(struct vm_args, no_wait), 0},
	{"--help", offsetof(struct vm_args, help), 0},
	{"--socket", 0, offsetof(struct vm_args, socket)},
	{"--timeout", 0, offsetof(struct vm_args, timeout)},
	{"--restart", 0, offsetof(struct vm_args, restart)},
	{"--autostart", 0, offsetof(struct vm_args, autostart)},
};

/* How many arguments were taken; 0: it is none of ours; -EINVAL. */
static int take_option(struct vm_args *a, int left, char **argv, struct err *e)
{
	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		if (strcmp(options[i].name, argv[0]))
			continue;
		if (options[i].flag) {
			*(bool *)((char *)a + options[i].flag) = true;
			return 1;
		}
		if (left < 2)
			return err_set(e, -EINVAL, "option %s needs a value", argv[0]);
		*(const char **)((char *)a + options[i].value) = argv[1];
		return 2;
	}
	return 0;
}

/* What is not ours stays in argv: the command's. */
static int take_options(struct vm_args *a, int argc, char **argv, struct err *e)
{
	for (int i = 0; i < argc;) {
		int taken = take_option(a, argc - i, argv + i, e);

		if (taken < 0)
			return taken;
		if (!taken)
			argv[a->argc++] = argv[i];
		i += taken ? taken : 1;
	}
	a->argv = argv;
	argv[a->argc] = NULL;
	return 0;
}

/* VM@SNAPSHOT */
static void split_name(struct vm_args *a)
{
	a->snapshot = strchr(a->argv[1], '@');
	if (a->snapshot)
		*a->snapshot++ = '\0';
}

static const struct vm_command *parse(struct vm_args *a, struct err *e)
{
	const struct vm_command *command = a->argc ? find(a->argv[0]) : NULL;
	int wanted = command ? command->arguments + 1 : 1;

	if (!command) {
		err_set(e, -EINVAL, "usage: " VM_USAGE "; see `enlite vm --help`");
		return NULL;
	}
	if (a->argc < wanted || (a->argc > wanted && command->run != define)) {
		err_set(e, -EINVAL, "usage: enlite vm %s", command->usage);
		return NULL;
	}
	a->command = command->name;
	a->vm = command->arguments ? a->argv[1] : NULL;
	a->more = command->arguments > 1 ? a->argv[2] : NULL;
	if (strstr(command->usage, "VM[@SNAPSHOT]"))
		split_name(a);
	if ((!a->vm || !ctl_check_name(a->vm, e)) &&
		(!a->snapshot || !ctl_check_name(a->snapshot, e)))
		return command;
	return NULL;
}

static const char *default_socket(void)
{
	const char *socket = getenv("ENLITE_SOCKET");

	return socket ? socket : CLIENT_SOCKET;
}

static void complete_vms(const char *word)
{
	json_t *reply, *vms;

	if (client_json(default_socket(), "GET", "/vms", NULL, &reply, NULL))
		return;
	vms = json_object_get(reply, "vms");
	for (size_t i = 0; i < json_array_size(vms); i++) {
		const char *name =
			json_string_value(json_object_get(json_array_get(vms, i), "name"));
		const char *state =
			json_string_value(json_object_get(json_array_get(vms, i), "state"));

		if (name && state)
			complete_print(stdout, word, name, state);
	}
	json_decref(reply);
}

void cmd_vm_complete(int argc, char **argv)
{
	const struct vm_command *command = find(argv[0]);

	if (argc == 2 && command && command->arguments)
		complete_vms(argv[1]);
	for (size_t i = 0; argc == 1 && i < COMMANDS; i++)
		complete_print(stdout, argv[0], commands[i].name, commands[i].help);
}

int cmd_vm(int argc, char **argv)
{
	struct vm_args a = {.restart = "never", .socket = default_socket()};
	const struct vm_command *command = NULL;
	struct err why = {""}, e;

	if (!take_options(&a, argc - 1, argv + 1, &why) && !a.help)
		command = parse(&a, &why);
	if (a.help)
		return help();
	if (command && !command->run(&a, &why))
		return EXIT_SUCCESS;
	err_set(&e, -EINVAL, "vm%s%s: %.480s", a.vm ? " " : "", a.vm ? a.vm : "", why.text);
	return cmd_fail(&e, command ? EXIT_ERROR : EXIT_USAGE);
}
