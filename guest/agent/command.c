/* SPDX-License-Identifier: GPL-2.0-only */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* ---- in the child -------------------------------------------------------- */

static const char *login_shell(void)
{
	const char *shell = getenv("SHELL");

	if (shell && !access(shell, X_OK))
		return shell;
	return access("/bin/bash", X_OK) ? "/bin/sh" : "/bin/bash";
}

static void execute_shell(void)
{
	const char *shell = login_shell(), *name = strrchr(shell, '/');
	char argv0[64];

	snprintf(argv0, sizeof(argv0), "-%s", name ? name + 1 : shell);
	execl(shell, argv0, (char *)NULL);
}

static void reset_signals(void)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
}

/* fds: what becomes standard input, output, error. */
static void execute(const struct agent_command *wanted, const int fds[3])
{
	setsid();
	if (wanted->start.flags & AGENT_TERMINAL && ioctl(fds[0], TIOCSCTTY, 0) < 0)
		return;
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return;
	for (const char *const *v = wanted->variables; *v; v++)
		putenv((char *)*v);
	reset_signals();
	if (wanted->start.arguments)
		execvp(wanted->arguments[0], (char *const *)wanted->arguments);
	else
		execute_shell();
}

/* ---- descriptors --------------------------------------------------------- */

static void close_all(int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

/* No standard descriptor of ours is one of these: ends[0] to [2] are duplicated over those. */
static int above_standard(int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	close(fd);
	return moved;
}

/* Our ends, then the command's. */
static int open_pipes(struct command *c, int ends[3])
{
	int pair[2];

	for (int i = 0; i < 3; i++) {
		int *ours = i == 0 ? &c->input : i == 1 ? &c->output : &c->error;

		if (pipe2(pair, O_CLOEXEC) < 0)
			return errno;
		*ours = above_standard(pair[i == 0]);
		ends[i] = above_standard(pair[i != 0]);
		if (*ours < 0 || ends[i] < 0)
			return EMFILE;
		fcntl(*ours, F_SETFL, O_NONBLOCK);
	}
	return 0;
}

static int open_terminal(struct command *c, const struct agent_start *start, int ends[3])
{
	struct winsize size = {.ws_row = start->rows, .ws_col = start->columns};
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return errno;
	c->input = c->output = above_standard(fd);
	if (c->input < 0 || grantpt(c->input) || unlockpt(c->input))
		return errno;
	ioctl(c->input, TIOCSWINSZ, &size);
	fcntl(c->input, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		ends[i] = open(ptsname(c->input), O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (ends[i] < 0)
			return errno;
		ends[i] = above_standard(ends[i]);
	}
	return 0;
}

/* ---- starting ------------------------------------------------------------ */

/* What the child says before it is another program: nothing, or its errno. */
static int started(int fd)
{
	int error = 0;

	return read(fd, &error, sizeof(error)) == sizeof(error) ? error : 0;
}

static void child(const struct agent_command *wanted, const int ends[3], int report)
{
	execute(wanted, ends);
	if (write(report, &errno, sizeof(errno)) < 0)
		_exit(126);
	_exit(127);
}

static int start_process(struct command *c, const struct agent_command *wanted, const int ends[3])
{
	int report[2], error;

	if (pipe2(report, O_CLOEXEC) < 0)
		return errno;
	report[1] = above_standard(report[1]);
	c->pid = fork();
	if (c->pid == 0)
		child(wanted, ends, report[1]);
	close(report[1]);
	error = c->pid < 0 ? errno : started(report[0]);
	close(report[0]);
	if (!error)
		c->pidfd = pidfd_open(c->pid, 0);
	return error || c->pidfd >= 0 ? error : errno;
}

int command_start(struct command *c, const struct agent_command *wanted)
{
	int ends[3] = {-1, -1, -1}, error;

	*c = (struct command){.pid = -1, .pidfd = -1, .input = -1, .output = -1, .error = -1};
	c->terminal = wanted->start.flags & AGENT_TERMINAL;
	error = c->terminal ? open_terminal(c, &wanted->start, ends) : open_pipes(c, ends);
	if (!error)
		error = start_process(c, wanted, ends);
	close_all(ends, 3);
	if (error)
		command_close(c);
	return error;
}

/* ---- ending -------------------------------------------------------------- */

/* A terminal has an end of file that is typed: the first one may only end a line without its end.
 */
bool command_end_input(struct command *c)
{
	static const char twice[] = {4, 4};

	if (c->terminal)
		return write(c->input, twice, sizeof(twice)) > 0 || errno != EAGAIN;
	close(c->input);
	c->input = -1;
	return true;
}

void command_close(struct command *c)
{
	int fds[] = {c->input, c->terminal ? -1 : c->output, c->error, c->pidfd};

	close_all(fds, 4);
	c->input = c->output = c->error = c->pidfd = -1;
}
