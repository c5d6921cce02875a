/* SPDX-License-Identifier: MIT */
#include "tests/support/nbd_server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TRIES 2000

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

void nbd_server_fini(struct nbd_server *s)
{
	if (s->pid)
		nbd_server_kill(s);
	unlink(s->socket);
	unlink(s->file);
	rmdir(s->dir);
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
		"nbdkit", "--foreground", "--newstyle", "--unix", s->socket};
	int null = open("/dev/null", O_RDWR);
	unsigned int n = 5;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(null, STDIN_FILENO);
	for (unsigned int i = 0; s->args[i]; i++)
		argv[n++] = s->args[i];
	unsetenv("LD_PRELOAD");
	execvp("nbdkit", (char *const *)argv);
	_exit(127);
}

void nbd_server_start(struct nbd_server *s)
{
	check(!s->pid);
	unlink(s->socket);
	s->pid = fork();
	check(s->pid >= 0);
	if (s->pid == 0)
		run_server(s);
	for (unsigned int i = 0; !connects(s); i++) {
		check(i < START_TRIES);
		check(waitpid(s->pid, NULL, WNOHANG) == 0);
		poll(NULL, 0, 5);
	}
}

void nbd_server_kill(struct nbd_server *s)
{
	check(s->pid > 0);
	kill(s->pid, SIGKILL);
	check(waitpid(s->pid, NULL, 0) == s->pid);
	s->pid = 0;
}

/* SIGSTOP takes effect in its own time: a thread of the server may answer once more before. */
void nbd_server_pause(struct nbd_server *s, bool pause)
{
	int status;

	kill(s->pid, pause ? SIGSTOP : SIGCONT);
	if (pause)
		waitpid(s->pid, &status, WUNTRACED);
}
