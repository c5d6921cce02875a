/* SPDX-License-Identifier: MIT */
/*
 * `enlite exec NAME -- COMMAND` and `enlite shell NAME`: a command in a guest whose agent listens
 * (guest/agent), through the VM's --vsock socket, or through another one of the same convention.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/frame.h"
#include "base/unix_socket.h"
#include "cli/cmd.h"
#include "cli/exec_stream.h"
#include "vm/commands.h"
#include "vm/vm.h"

#define EXEC_USAGE  "enlite exec NAME|--vsock PATH [--tty] -- COMMAND [ARGUMENTS]"
#define SHELL_USAGE "enlite shell NAME|--vsock PATH"

/* As other tools that run commands elsewhere have it: not the command's own status. */
#define EXIT_NO_COMMAND 125

/* The worker gives up earlier, when the guest does not answer. */
#define ANSWER_MS 60000
#define TURN_MS   10

struct exec_line {
	const char *name; /* NULL: --vsock */
	const char *vsock;
	struct exec_command command;
};

/* ---- the way to the guest ------------------------------------------------ */

/* The VM's socket; the caller frees it. NULL: e says why. */
static char *socket_in(const char *name, const json_t *vm, struct err *e)
{
	const char *path = NULL, *directory = "";
	char *whole;

	json_unpack(
		(json_t *)vm, "{s?s, s?{s?s}}", "directory", &directory, "vsock", "path", &path);
	if (!path) {
		err_set(e, -ENOENT, "exec: %s: the VM has no sockets; start it with --vsock PATH",
			name);
		return NULL;
	}
	if (asprintf(&whole, "%s%s%s", path[0] == '/' ? "" : directory, path[0] == '/' ? "" : "/",
		    path) < 0) {
		err_set(e, -ENOMEM, "exec: no memory");
		return NULL;
	}
	return whole;
}

static char *socket_of(const char *name, struct err *e)
{
	json_t *request = json_pack("{s:s}", "command", "inspect"), *reply = NULL;
	const struct command *command = command_find(vm_commands, "inspect");
	char *path = NULL;

	if (!cmd_ask(name, command, request, &reply, e)) {
		path = socket_in(name, json_object_get(reply, "inspect"), e);
		json_decref(reply);
	}
	json_decref(request);
	return path;
}

/* One line, without what follows it. False: the end came, or nothing in time. */
static bool read_line(int fd, char *line, size_t size)
{
	for (size_t i = 0; i + 1 < size; i++) {
		struct pollfd p = {fd, POLLIN, 0};

		if (poll(&p, 1, ANSWER_MS) <= 0 || read(fd, line + i, 1) != 1)
			return false;
		if (line[i] == '\n') {
			line[i] = '\0';
			return true;
		}
	}
	return false;
}

/* While too many others wait for the listener, so do we. */
static int wait_and_connect(const char *path)
{
	int fd = unix_socket_connect(path, SOCK_STREAM);

	for (int waited = 0; fd == -EAGAIN && waited < ANSWER_MS; waited += TURN_MS) {
		poll(NULL, 0, TURN_MS);
		fd = unix_socket_connect(path, SOCK_STREAM);
	}
	return fd;
}

static int connect_to(const char *path, struct err *e)
{
	int fd = wait_and_connect(path);
	char line[32];

	if (fd < 0)
		return err_set(e, fd, "exec: %s: %s; is the VM's --vsock socket there?", path,
			strerror(-fd));
	if (dprintf(fd, "CONNECT %u\n", AGENT_PORT) > 0 && read_line(fd, line, sizeof(line)) &&
		!strncmp(line, "OK ", 3))
		return fd;
	close(fd);
	return err_set(e, -ECONNREFUSED,
		"exec: %s: nobody answers at port %u of the guest; does it run enlite-agent?", path,
		AGENT_PORT);
}

static int connect_line(const struct exec_line *line, struct err *e)
{
	char *path = line->vsock ? strdup(line->vsock) : socket_of(line->name, e);
	int fd = path ? connect_to(path, e) : -ENOENT;

	free(path);
	return fd;
}

static int status_of(int ret)
{
	if (ret >= 0)
		return ret;
	return ret == -ENOENT ? 127 : ret == -EACCES ? 126 : EXIT_NO_COMMAND;
}

static int run(const struct exec_line *line)
{
	struct err e;
	int fd, ret;

	signal(SIGPIPE, SIG_IGN);
	fd = connect_line(line, &e);
	if (fd < 0)
		return cmd_fail(&e, EXIT_NO_COMMAND);
	ret = exec_run(fd, &line->command, &e);
	close(fd);
	return ret < 0 ? cmd_fail(&e, status_of(ret)) : ret;
}

/* ---- command line -------------------------------------------------------- */

/* How many words it took; 0: it is none of ours. */
static int take_option(struct exec_line *line, int left, char **argv)
{
	if (!strcmp(argv[0], "--vsock") && left > 1) {
		line->vsock = argv[1];
		return 2;
	}
	if (!strcmp(argv[0], "--tty")) {
		line->command.terminal = true;
		return 1;
	}
	if (argv[0][0] == '-' || line->name)
		return 0;
	line->name = argv[0];
	return 1;
}

/* The index behind the options, at `--` or the end; or -EINVAL. */
static int take_options(
	struct exec_line *line, int argc, char **argv, const char *usage, struct err *e)
{
	int i = 1, taken;

	for (; i < argc && strcmp(argv[i], "--"); i += taken) {
		taken = take_option(line, argc - i, argv + i);
		if (!taken)
			return err_set(e, -EINVAL, "%s: '%s' is not expected; usage: %s", argv[0],
				argv[i], usage);
	}
	if (!line->name == !line->vsock)
		return err_set(e, -EINVAL, "%s: usage: %s", argv[0], usage);
	return i;
}

static bool asks_for_help(int argc, char **argv, const char *usage)
{
	if (argc != 2 || strcmp(argv[1], "--help"))
		return false;
	printf("usage: %s\n", usage);
	return true;
}

int cmd_exec(int argc, char **argv)
{
	struct exec_line line = {0};
	struct err e;
	int at;

	if (asks_for_help(argc, argv, EXEC_USAGE))
		return EXIT_SUCCESS;
	at = take_options(&line, argc, argv, EXEC_USAGE, &e);
	if (at >= 0 && at + 1 >= argc)
		at = err_set(&e, -EINVAL, "exec: the command is missing; usage: " EXEC_USAGE);
	if (at < 0)
		return cmd_fail(&e, EXIT_USAGE);
	line.command.arguments = argv + at + 1;
	return run(&line);
}

int cmd_shell(int argc, char **argv)
{
	static char *no_words[] = {NULL};
	struct exec_line line = {.command = {.arguments = no_words}};
	struct err e;
	int at;

	if (asks_for_help(argc, argv, SHELL_USAGE))
		return EXIT_SUCCESS;
	at = take_options(&line, argc, argv, SHELL_USAGE, &e);
	if (at >= 0 && at < argc)
		at = err_set(&e, -EINVAL, "shell: takes no command; usage: " SHELL_USAGE);
	if (at < 0)
		return cmd_fail(&e, EXIT_USAGE);
	line.command.terminal = isatty(STDIN_FILENO);
	return run(&line);
}
