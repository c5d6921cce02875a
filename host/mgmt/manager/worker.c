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

/* The next manager must not take us for a worker that was killed. */
static _Noreturn void end_child(int status_fd)
{
	ssize_t n = write(status_fd, "exit 1\n", 7);

	(void)n;
	_exit(EXIT_FAILURE);
}

static _Noreturn void child_main(const struct worker_start *start, const int gate[2])
{
	char program[] = "enlite", run[] = "run", option[] = "--config", config[] = "/dev/fd/3";
	char *const argv[] = {program, run, option, config, NULL};
	int status_fd = start->fds[WORKER_STATUS_FD];
	char byte;

	close(gate[1]);
	reset_signals();
	setsid();
	if (read(gate[0], &byte, 1) != 1)
		end_child(status_fd); /* the manager is gone, or does not want us */
	if (!move_fds(start))
		status_fd = WORKER_STATUS_FD;
	if (status_fd == WORKER_STATUS_FD && !setenv("ENLITE_RUN_DIR", start->run_dir, 1) &&
		!setenv("ENLITE_STATUS_FD", "4", 1))
		execv(start->program, argv);
	dprintf(2, "enlited: cannot run %s: %s\n", start->program, strerror(errno));
	end_child(status_fd);
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

#define RAN "ran\n"

/* "ran" before a restored guest goes on (vm.c), "exit N" last of all (cmd_run.c). */
static void read_left(int status_fd, struct worker_exit *x)
{
	char text[32] = "", *at = text;
	int status;

	*x = (struct worker_exit){.status = -1};
	if (status_fd < 0 || pread(status_fd, text, sizeof(text) - 1, 0) <= 0)
		return;
	x->ran = !strncmp(text, RAN, strlen(RAN));
	if (x->ran)
		at += strlen(RAN);
	if (sscanf(at, "exit %d\n", &status) == 1 && status >= 0 && status <= 255)
		x->status = status;
}

void worker_read_exit(int pidfd, int status_fd, struct worker_exit *x)
{
	siginfo_t info = {.si_pid = 0};
	bool child = pidfd >= 0 && !waitid(BY_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) &&
		     info.si_pid;

	read_left(status_fd, x);
	if (child && info.si_code != CLD_EXITED) {
		x->status = -1;
		snprintf(x->text, sizeof(x->text), "its process was ended by signal %d (%s)",
			info.si_status, strsignal(info.si_status));
		return;
	}
	if (child)
		x->status = info.si_status;
	if (x->status < 0)
		snprintf(x->text, sizeof(x->text), "its process was killed");
	else
		snprintf(x->text, sizeof(x->text), "its process ended with status %d", x->status);
}

int worker_trim_status(int status_fd)
{
	return ftruncate(status_fd, (off_t)strlen(RAN)) ? -errno : 0;
}
