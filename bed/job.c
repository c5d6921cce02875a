/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST "/host"

/*
 * The share is mounted anew for each job: cache=loose is fast because it never
 * revalidates, and files are rebuilt between two jobs.
 */
static const struct mount_row {
	const char *source, *target, *type;
	unsigned long flags;
	const char *options;
	bool optional;
} mounts[] = {
	{"host", HOST, "9p", 0, "trans=virtio,version=9p2000.L,msize=524288,cache=loose", false},
	{"dev", HOST "/dev", "devtmpfs", 0, NULL, false},
	{"devpts", HOST "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666", false},
	{"shm", HOST "/dev/shm", "tmpfs", 0, "mode=1777,size=75%", false},
	{"proc", HOST "/proc", "proc", 0, NULL, false},
	{"sys", HOST "/sys", "sysfs", 0, NULL, false},
	{"debug", HOST "/sys/kernel/debug", "debugfs", 0, NULL, true},
	{"trace", HOST "/sys/kernel/tracing", "tracefs", 0, NULL, true},
	{"run", HOST "/run", "tmpfs", 0, "mode=755", true},
	{"/lib/modules", HOST "/lib/modules", NULL, MS_BIND, NULL, true},
};

static bool mount_all(struct job_result *result)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		const struct mount_row *m = &mounts[i];

		if (!mount(m->source, m->target, m->type, m->flags, m->options) || m->optional)
			continue;
		snprintf(result->refusal, sizeof(result->refusal), "mount %s: %s", m->target,
			strerror(errno));
		return false;
	}
	return true;
}

_Noreturn static void fail(int status, const char *what)
{
	dprintf(STDERR_FILENO, "bed: %s: %s\n", what, strerror(errno));
	_exit(status);
}

/*
 * The share becomes the root of a mount namespace of the job's own: to a process that is only
 * chrooted, the kernel refuses user namespaces, which passt needs.
 */
static bool enter_share(void)
{
	return !unshare(CLONE_NEWNS) && !chdir(HOST) && !mount(".", "/", NULL, MS_MOVE, NULL) &&
	       !chroot(".");
}

_Noreturn static void run_job(const struct job_spec *spec)
{
	sigset_t none;

	setsid();
	if (!enter_share())
		fail(125, HOST);
	if (chdir(spec->cwd))
		fail(125, spec->cwd);
	close(STDIN_FILENO);
	if (open("/dev/null", O_RDONLY) != STDIN_FILENO)
		fail(125, "/dev/null");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	environ = spec->envp;
	execvp(spec->argv[0], spec->argv);
	fail(errno == ENOENT ? 127 : 126, spec->argv[0]);
}

static int shell_status(int wstatus)
{
	return WIFSIGNALED(wstatus) ? 128 + WTERMSIG(wstatus) : WEXITSTATUS(wstatus);
}

/* Reap whatever has died; true once the job itself is among it. */
static bool reap(pid_t job, struct job_result *result)
{
	int wstatus;
	pid_t pid;

	while ((pid = waitpid(-1, &wstatus, WNOHANG)) > 0) {
		if (pid != job)
			continue;
		result->status = shell_status(wstatus);
		result->finished = true;
	}
	return result->finished;
}

/* Just after the fork the job may not lead its group yet. */
static void pass_signal(pid_t job, int sig)
{
	if (kill(-job, sig))
		kill(job, sig);
}

static void wait_for(pid_t job, struct job_result *result)
{
	sigset_t all;
	int sig;

	sigfillset(&all);
	for (;;) {
		sig = sigwaitinfo(&all, NULL);
		if (sig == SIGCHLD && reap(job, result))
			return;
		if (sig > 0 && sig != SIGCHLD)
			pass_signal(job, sig);
	}
}

/* What the job wrote must be on the other side before it counts as finished. */
static void clean_up(void)
{
	int fd;

	kill(-1, SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	fd = open(HOST, O_RDONLY | O_DIRECTORY);
	if (fd < 0 || syncfs(fd))
		dprintf(STDERR_FILENO, "bed: writing back: %s\n", strerror(errno));
	close(fd);
	umount2(HOST, MNT_DETACH);
}

_Noreturn static void supervise(const struct job_spec *spec, struct job_result *result)
{
	sigset_t all;
	pid_t job;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	dup2(spec->out, STDOUT_FILENO);
	dup2(spec->err, STDERR_FILENO);
	/* Most of all the agent's ends of the pipes, or a job never sees SIGPIPE. */
	close_range(STDERR_FILENO + 1, ~0u, 0);
	if (!mount_all(result))
		_exit(1);
	job = fork();
	if (!job)
		run_job(spec);
	if (job < 0)
		snprintf(result->refusal, sizeof(result->refusal), "fork: %s", strerror(errno));
	else
		wait_for(job, result);
	clean_up();
	_exit(0);
}

pid_t job_spawn(const struct job_spec *spec, struct job_result *result)
{
	pid_t pid;

	memset(result, 0, sizeof(*result));
	pid = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL);
	if (!pid)
		supervise(spec, result);
	return pid < 0 ? -errno : pid;
}
