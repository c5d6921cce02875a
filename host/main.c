// SPDX-License-Identifier: MIT
/*
 * enlite: the command line. The only place where the process exits and where
 * user errors are printed: one line each, "enlite: what: where: what to do".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "machine.h"
#include "mgmt/ctl.h"
#include "options.h"
#include "probe/probe.h"

#define CTL_USAGE   "enlite ctl NAME stats|power-button|stop [--json]"
#define PROBE_USAGE "enlite probe [--json]"

static const char usage[] = "usage: enlite COMMAND [options]\n"
			    "\n"
			    "  run     boot a kernel in a partition (enlite run --help)\n"
			    "  probe   say what this machine's /dev/kvm can do [--json]\n"
			    "  ctl     talk to a running partition: " CTL_USAGE "\n"
			    "  version\n"
			    "\n"
			    "See enlite(1).\n";

/* Names in the text are the user's: whatever is in them, it stays one line. */
static int fail(struct err *e, int status)
{
	for (char *c = e->text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = '?';
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

static int main_run(int argc, char **argv)
{
	static struct machine machine;
	struct run_options options;
	struct err e = {""};
	int status, ret = options_parse(&options, argc, argv, &e);

	if (ret > 0)
		return EXIT_SUCCESS;
	if (ret < 0)
		return fail(&e, EXIT_USAGE);
	if (options.verbose)
		log_set_level(LOG_DEBUG);
	raise_fd_limit();
	status = machine_run(&machine, &options, &e);
	return e.text[0] ? fail(&e, status) : status;
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

static void print_reply(json_t *reply, bool json)
{
	json_object_del(reply, "ok");
	json_dumpf(reply, stdout, json ? JSON_COMPACT : JSON_INDENT(2));
	putchar('\n');
}

static int ask(const char *name, const char *command, json_t **reply, struct err *e)
{
	json_t *request = json_pack("{s:s}", "command", command);
	int ret;

	if (!request)
		return err_set(e, -EINVAL, "ctl: unknown command; usage: " CTL_USAGE);
	ret = ctl_call(name, request, reply, e);
	json_decref(request);
	return ret;
}

static int main_ctl(int argc, char **argv)
{
	bool json = argc == 4 && !strcmp(argv[3], "--json");
	int status = EXIT_SUCCESS;
	struct err e = {""};
	const char *text;
	json_t *reply;

	if (argc < 3 || argc > 4 || (argc == 4 && !json)) {
		err_set(&e, -EINVAL, "ctl: usage: " CTL_USAGE);
		return fail(&e, EXIT_USAGE);
	}
	if (ask(argv[1], argv[2], &reply, &e))
		return fail(&e, EXIT_ERROR);
	if (json_is_true(json_object_get(reply, "ok"))) {
		print_reply(reply, json);
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
			"/dev/null: cannot be opened in place of a closed standard "
			"descriptor: give enlite all three");
		return fail(&e, EXIT_ERROR);
	}
	return finish_stdout(run_command(argc, argv));
}
