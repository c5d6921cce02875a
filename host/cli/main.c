/* SPDX-License-Identifier: MIT */
/*
 * enlite: the command line. The only place where the process exits and where
 * user errors are printed: one line each, "enlite: what: where: what to do".
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "cli/cmd_probe.h"
#include "cli/stats_table.h"
#include "config/config.h"
#include "mgmt/ctl.h"
#include "vm/vm.h"

#define CTL_USAGE                                                                                  \
	"enlite ctl NAME stats|power-button|stop|disk list|disk add SPEC|disk remove ID|disk resize ID|controller remove N [--json]"
#define CONFIG_USAGE "enlite config --check FILE, or enlite config --print OPTIONS"
#define PROBE_USAGE  "enlite probe [--json]"

static const char usage[] =
	"usage: enlite COMMAND [options]\n"
	"\n"
	"  run     boot a kernel in a partition (enlite run --help)\n"
	"  config  check or print a configuration:\n"
	"            enlite config --check FILE         one line for the first mistake\n"
	"            enlite config --print [options]    those of `enlite run`, as JSON\n"
	"  probe   say what this machine's /dev/kvm can do [--json]\n"
	"  ctl     talk to a running partition [--json]:\n"
	"            enlite ctl NAME stats|power-button|stop\n"
	"            enlite ctl NAME disk list\n"
	"            enlite ctl NAME disk add SPEC    as --disk; tells its ID\n"
	"            enlite ctl NAME disk remove ID\n"
	"            enlite ctl NAME disk resize ID   its file has another size\n"
	"            enlite ctl NAME controller remove N\n"
	"  version\n"
	"\n"
	"See enlite(1).\n";

static int fail(const struct err *e, int status)
{
	fprintf(stderr, "enlite: %s\n", e->text);
	return status;
}

/* A partition of 64 VPs may use more than a thousand: one per VP and SINT in use, one per channel.
 */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* 0; 1: the help text was printed; else one line in e. */
static int configure(struct vm_config *config, int argc, char **argv, struct err *e)
{
	int ret = vm_config_init(config, e);

	if (!ret)
		ret = vm_config_args(config, argc, argv, e);
	if (ret > 0)
		vm_config_help(stdout);
	return ret ? ret : vm_config_complete(config, e);
}

static void print_notes(const struct vm_config *config)
{
	for (uint32_t i = 0; i < config->disk_count; i++)
		if (config->disks[i].device.note)
			log_warn("%s: %s", config->disks[i].device.origin,
				config->disks[i].device.note);
}

static int run_vm(const struct vm_config *config)
{
	static struct vm machine;
	struct err e = {""};
	int status;

	if (config->verbose)
		log_set_level(LOG_DEBUG);
	print_notes(config);
	raise_fd_limit();
	status = vm_run(&machine, config, &e);
	return e.text[0] ? fail(&e, status) : status;
}

static int main_run(int argc, char **argv)
{
	struct vm_config config;
	struct err e = {""};
	int status = EXIT_SUCCESS, ret = configure(&config, argc, argv, &e);

	if (!ret)
		ret = vm_config_check(&config, &e);
	if (ret < 0)
		status = fail(&e, EXIT_USAGE);
	else if (!ret)
		status = run_vm(&config);
	vm_config_free(&config);
	return status;
}

static int print_config(struct vm_config *config, int argc, char **argv, struct err *e)
{
	int ret = configure(config, argc, argv, e);
	json_t *json;

	if (ret)
		return ret;
	json = vm_config_json(config, e);
	if (!json)
		return -EILSEQ;
	json_dumpf(json, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(json);
	return 0;
}

static int check_config(struct vm_config *config, const char *path, struct err *e)
{
	int ret = vm_config_init(config, e);

	if (!ret)
		ret = vm_config_read_file(config, path, e);
	if (!ret)
		ret = vm_config_complete(config, e);
	return ret ? ret : vm_config_check(config, e);
}

static int main_config(int argc, char **argv)
{
	const char *action = argc > 1 ? argv[1] : "";
	struct vm_config config = {0};
	struct err e = {""};
	int ret;

	if (!strcmp(action, "--check") && argc == 3)
		ret = check_config(&config, argv[2], &e);
	else if (!strcmp(action, "--print"))
		ret = print_config(&config, argc - 1, argv + 1, &e);
	else
		ret = err_set(&e, -EINVAL, "config: usage: " CONFIG_USAGE);
	vm_config_free(&config);
	return ret < 0 ? fail(&e, EXIT_USAGE) : EXIT_SUCCESS;
}

static int main_probe(int argc, char **argv)
{
	bool json = argc > 1 && !strcmp(argv[1], "--json");
	struct err e;

	if (argc > 1 + json) {
		err_set(&e, -EINVAL, "probe: unknown option %s; usage: " PROBE_USAGE,
			argv[1 + json]);
		return fail(&e, EXIT_USAGE);
	}
	return probe_main(json);
}

/* Small replies are one line anyway. */
static bool is_flat(json_t *reply)
{
	const char *key;
	json_t *value;

	json_object_foreach(
		reply, key, value) if (json_is_object(value) || json_is_array(value)) return false;
	return true;
}

static void print_reply(const char *command, json_t *reply, bool json)
{
	json_object_del(reply, "ok");
	if (!json && !strcmp(command, "stats")) {
		stats_table_print(stdout, reply);
		return;
	}
	json_dumpf(reply, stdout, json || is_flat(reply) ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
}

/* ---- ctl: what is asked -------------------------------------------------- */

static json_t *request_plain(const char *const *words, const char *value)
{
	return json_pack("{s:s}", "command", words[0]);
}

static json_t *request_action(const char *const *words, const char *value)
{
	return json_pack("{s:s, s:s}", "command", words[0], "action", words[1]);
}

static json_t *request_id(const char *const *words, const char *value)
{
	return json_pack("{s:s, s:s, s:s}", "command", words[0], "action", words[1], "id", value);
}

/* A SPEC that is a JSON object is sent as one. */
static json_t *spec_json(const char *spec)
{
	json_t *object = *spec == '{' ? json_loads(spec, JSON_REJECT_DUPLICATES, NULL) : NULL;

	return object ? object : json_string(spec);
}

/* Relative file names belong to our working directory, not to that of the VM. */
static json_t *request_add(const char *const *words, const char *value)
{
	char directory[PATH_MAX];

	if (!getcwd(directory, sizeof(directory)))
		directory[0] = '\0';
	return json_pack("{s:s, s:s, s:o, s:s}", "command", words[0], "action", words[1], "spec",
		spec_json(value), "directory", directory);
}

static json_t *request_number(const char *const *words, const char *value)
{
	uint64_t number;

	if (parse_number(value, 0, VM_CONTROLLERS_MAX - 1, &number))
		return json_pack("{s:s, s:s, s:s}", "command", words[0], "action", words[1],
			"controller", value);
	return json_pack("{s:s, s:s, s:I}", "command", words[0], "action", words[1], "controller",
		(json_int_t)number);
}

static const struct ctl_command {
	const char *words[2];
	bool value; /* has one */
	unsigned timeout_ms;
	json_t *(*request)(const char *const *words, const char *value);
} ctl_commands[] = {
	{{"disk", "list"}, false, CTL_TIMEOUT_MS, request_action},
	{{"disk", "add"}, true, CTL_WAIT_MS, request_add},
	{{"disk", "remove"}, true, CTL_WAIT_MS, request_id},
	{{"disk", "resize"}, true, CTL_TIMEOUT_MS, request_id},
	{{"controller", "remove"}, true, CTL_WAIT_MS, request_number},
};

/* Any single word is for the partition to know. */
static const struct ctl_command plain_command = {
	.timeout_ms = CTL_TIMEOUT_MS, .request = request_plain};

static const struct ctl_command *find_command(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(ctl_commands) / sizeof(ctl_commands[0]); i++) {
		const struct ctl_command *c = &ctl_commands[i];

		if (argc == 2 + c->value && !strcmp(argv[0], c->words[0]) &&
			!strcmp(argv[1], c->words[1]))
			return c;
	}
	if (argc != 1 || !strcmp(argv[0], "disk") || !strcmp(argv[0], "controller"))
		return NULL;
	return &plain_command;
}

static int ask(const char *name, const struct ctl_command *command, char **argv, json_t **reply,
	struct err *e)
{
	const char *words[2] = {argv[0], command->words[1]};
	json_t *request = command->request(words, command->value ? argv[2] : NULL);
	int ret;

	if (!request)
		return err_set(e, -EINVAL, "ctl: text that is not UTF-8; usage: " CTL_USAGE);
	ret = ctl_call_for(name, request, command->timeout_ms, reply, e);
	json_decref(request);
	return ret;
}

static int main_ctl(int argc, char **argv)
{
	bool json = argc > 3 && !strcmp(argv[argc - 1], "--json");
	const struct ctl_command *command = NULL;
	int status = EXIT_SUCCESS;
	struct err e = {""};
	const char *text;
	json_t *reply;

	if (argc > 2)
		command = find_command(argc - 2 - json, argv + 2);
	if (!command) {
		err_set(&e, -EINVAL, "ctl: usage: " CTL_USAGE);
		return fail(&e, EXIT_USAGE);
	}
	if (ask(argv[1], command, argv + 2, &reply, &e))
		return fail(&e, EXIT_ERROR);
	if (json_is_true(json_object_get(reply, "ok"))) {
		print_reply(argv[2], reply, json);
	} else {
		text = json_string_value(json_object_get(reply, "error"));
		err_set(&e, -EINVAL, "ctl %s: %s", argv[1], text ? text : "refused");
		status = fail(&e, EXIT_ERROR);
	}
	json_decref(reply);
	return status;
}

static int run_command(int argc, char **argv)
{
	const char *command = argc > 1 ? argv[1] : "";
	struct err e;

	if (!strcmp(command, "run"))
		return main_run(argc - 1, argv + 1);
	if (!strcmp(command, "config"))
		return main_config(argc - 1, argv + 1);
	if (!strcmp(command, "probe"))
		return main_probe(argc - 1, argv + 1);
	if (!strcmp(command, "ctl"))
		return main_ctl(argc - 1, argv + 1);
	if (!strcmp(command, "version") || !strcmp(command, "--version")) {
		puts("enlite " ENLITE_VERSION);
		return EXIT_SUCCESS;
	}
	if (!strcmp(command, "help") || !strcmp(command, "--help")) {
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	}
	if (*command)
		err_set(&e, -EINVAL, "unknown command '%s'; see `enlite --help`", command);
	else
		err_set(&e, -EINVAL, "no command given; see `enlite --help`");
	return fail(&e, EXIT_USAGE);
}

/* Standard descriptors that our caller closed would be given to the next file we open, and the
 * guest's console could end up in its disk. What stands in for them fails like a closed one. */
static int hold_standard_fds(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
			return -EBADF;
	return 0;
}

/* What was printed but did not arrive is an error, too. */
static int finish_stdout(int status)
{
	struct err e;

	errno = 0;
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	err_set(&e, -EIO, "standard output: %s", errno ? strerror(errno) : "write error");
	return fail(&e, EXIT_ERROR);
}

int main(int argc, char **argv)
{
	struct err e;

	if (hold_standard_fds()) {
		err_set(&e, -EBADF,
			"/dev/null: cannot be opened in place of a closed standard descriptor: give enlite all three");
		return fail(&e, EXIT_ERROR);
	}
	return finish_stdout(run_command(argc, argv));
}
