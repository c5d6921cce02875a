/* SPDX-License-Identifier: MIT */
#include "tests/support/nbd_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TRIES 24000

#define check(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition,         \
				strerror(errno));                                                  \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

bool nbd_server_available(void)
{
	return access("/usr/sbin/nbdkit", X_OK) == 0 || access("/usr/bin/nbdkit", X_OK) == 0;
}

void nbd_server_init(struct nbd_server *s, const char *const *args, off_t file_size)
{
	int fd;

	memset(s, 0, sizeof(*s));
	s->child = mmap(
		NULL, sizeof(*s->child), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(s->child != MAP_FAILED);
	snprintf(s->dir, sizeof(s->dir), "/tmp/enlite-nbd-XXXXXX");
	check(mkdtemp(s->dir));
	snprintf(s->socket, sizeof(s->socket), "%s/s", s->dir);
	snprintf(s->file, sizeof(s->file), "%s/disk", s->dir);
	snprintf(s->uri, sizeof(s->uri), "nbd+unix:///?socket=%s", s->socket);
	fd = open(s->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	check(fd >= 0 && ftruncate(fd, file_size) == 0);
	close(fd);
	for (unsigned int i = 0; args[i]; i++) {
		check(i + 1 < NBD_SERVER_ARGS_MAX);
		s->args[i] = strcmp(args[i], "FILE") ? args[i] : s->file;
	}
}

static void remove_files(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	check(dir);
	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
}

void nbd_server_fini(struct nbd_server *s)
{
	if (s->pid)
		nbd_server_kill(s);
	remove_files(s->dir);
	check(rmdir(s->dir) == 0);
	munmap(s->child, sizeof(*s->child));
}

static bool connects(const struct nbd_server *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	check(fd >= 0);
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", s->socket);
	ok = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0;
	close(fd);
	return ok;
}

static void run_server(const struct nbd_server *s)
{
	const char *argv[NBD_SERVER_ARGS_MAX + 8] = {
		"nbdkit", "--foreground", "--exit-with-parent", "--newstyle", "--unix", s->socket};
	int null = open("/dev/null", O_RDWR);
	char supervisor[16];
	unsigned int n = 6;

	dup2(null, STDIN_FILENO);
	for (unsigned int i = 0; s->args[i]; i++)
		argv[n++] = s->args[i];
	unsetenv("LD_PRELOAD");
	snprintf(supervisor, sizeof(supervisor), "%d", getppid());
	setenv("NBD_DIR", s->dir, 1);
	setenv("NBD_SUPERVISOR", supervisor, 1);
	execvp("nbdkit", (char *const *)argv);
	_exit(127);
}

/* Starts the server, and again whenever a signal ends it. Ends when the server ends by itself. */
static void supervise(const struct nbd_server *s)
{
	int status = 0;
	pid_t pid;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	do {
		unlink(s->socket);
		pid = fork();
		if (pid == 0)
			run_server(s);
		*s->child = pid;
		if (pid < 0 || waitpid(pid, &status, 0) < 0)
			_exit(126);
		fprintf(stderr, "# nbdkit ended, status %#x\n", status);
	} while (WIFSIGNALED(status));
	_exit(WEXITSTATUS(status));
}

void nbd_server_start(struct nbd_server *s)
{
	check(!s->pid);
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0); /* for nbd_server_kill() */
	*s->child = 0;
	s->pid = fork();
	check(s->pid >= 0);
	if (s->pid == 0)
		supervise(s);
	for (unsigned int i = 0; !*s->child || !connects(s); i++) {
		check(i < START_TRIES);
		check(waitpid(s->pid, NULL, WNOHANG) == 0);
		poll(NULL, 0, 5);
	}
}

/* The whole process group: supervisor, server, scripts. */
void nbd_server_kill(struct nbd_server *s)
{
	pid_t pid;

	check(s->pid > 0);
	kill(s->pid, SIGKILL); /* when it has no group yet */
	kill(-s->pid, SIGKILL);
	check(waitpid(s->pid, NULL, 0) == s->pid);
	do
		pid = waitpid(-s->pid, NULL, 0);
	while (pid > 0 || (pid < 0 && errno == EINTR));
	s->pid = 0;
}

/* Field 3 of /proc/PID/stat, behind the name in parentheses. */
static char process_state(pid_t pid)
{
	char path[64], line[256] = "";
	const char *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
	close(fd);
	end = strrchr(line, ')');
	check(end && end[1] == ' ');
	return end[2];
}

void nbd_server_pause(struct nbd_server *s, bool pause)
{
	check(kill(*s->child, pause ? SIGSTOP : SIGCONT) == 0);
	while (pause && process_state(*s->child) != 'T')
		poll(NULL, 0, 1);
}
