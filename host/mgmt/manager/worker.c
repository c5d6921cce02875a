/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* waitid() of a pidfd; glibc 2.36 has it in an enumeration only. */
#define BY_PIDFD ((idtype_t)3)

/* ---- the child ----------------------------------------------------------- */

/* Above the numbers they get, so that none replaces another. */
static int move_fds(const struct worker_start *start)
{
	int high[WORKER_FDS];

	for (unsigned i = 0; i < WORKER_FDS; i++) {
		high[i] = fcntl(start->fds[i], F_DUPFD, (int)WORKER_FDS);
		if (high[i] < 0)
			return -errno;
	}
	for (unsigned i = 0; i < WORKER_FDS; i++)
		if (dup2(high[i], (int)i) < 0)
			return -errno;
	return (int)syscall(SYS_close_range, WORKER_FDS, ~0u, 0) ? -errno : 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_main(const struct worker_start *start, const int gate[2])
{
	char program[] = "enlite", run[] = "run", option[] = "--config", config[] = "/dev/fd/3";
	char *const argv[] = {program, run, option, config, NULL};
	char byte;

	close(gate[1]);
	reset_signals();
	setsid();
	if (read(gate[0], &byte, 1) != 1)
		_exit(EXIT_FAILURE); /* the manager is gone, or does not want us */
	if (!move_fds(start) && !setenv("ENLITE_RUN_DIR", start->run_dir, 1) &&
		!setenv("ENLITE_STATUS_FD", "4", 1))
		execv(start->program, argv);
	dprintf(2, "enlited: cannot run %s: %s\n", start->program, strerror(errno));
	_exit(EXIT_FAILURE);
}

/* ---- the manager --------------------------------------------------------- */

static int identify(struct worker_gate *gate, pid_t pid)
{
	int ret = identity_of(pid, &gate->id);

	if (ret)
		return ret;
	gate->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	return gate->pidfd < 0 ? -errno : 0;
}

int worker_spawn(const struct worker_start *start, struct worker_gate *gate, struct err *e)
{
	int ends[2], ret;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC))
		return err_set(e, -errno, "cannot start a worker process: %s", strerror(errno));
	pid = fork();
	if (!pid)
		child_main(start, ends);
	ret = pid < 0 ? -errno : 0;
	close(ends[0]);
	gate->gate = ends[1];
	gate->pidfd = -1;
	if (!ret)
		ret = identify(gate, pid);
	if (!ret)
		return 0;
	close(ends[1]);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return err_set(e, ret, "cannot start a worker process: %s", strerror(-ret));
}

void worker_gate_open(struct worker_gate *gate)
{
	ssize_t n =
		write(gate->gate, "", 1); /* fails if the child was killed, which its pidfd says */

	(void)n;
	close(gate->gate);
}

void worker_gate_close(struct worker_gate *gate)
{
	close(gate->gate);
	waitpid(gate->id.pid, NULL, 0);
	close(gate->pidfd);
}

/* ---- the end ------------------------------------------------------------- */

/* The last thing a worker writes; see cmd_run.c. */
static int left_status(int status_fd)
{
	char text[32] = "";
	int status;

	if (status_fd < 0 || pread(status_fd, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	return sscanf(text, "exit %d\n", &status) == 1 && status >= 0 && status <= 255 ? status
										       : -1;
}

int worker_exit_status(int pidfd, int status_fd, char text[WORKER_END_TEXT])
{
	int status = left_status(status_fd);
	siginfo_t info = {.si_pid = 0};
	bool child = pidfd >= 0 && !waitid(BY_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) &&
		     info.si_pid;

	if (child && info.si_code == CLD_EXITED)
		status = info.si_status;
	if (child && info.si_code != CLD_EXITED) {
		snprintf(text, WORKER_END_TEXT, "its process was ended by signal %d (%s)",
			info.si_status, strsignal(info.si_status));
		return -1;
	}
	if (status < 0)
		snprintf(text, WORKER_END_TEXT, "its process was killed");
	else
		snprintf(text, WORKER_END_TEXT, "its process ended with status %d", status);
	return status;
}
