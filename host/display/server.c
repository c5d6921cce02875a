/* SPDX-License-Identifier: MIT */
#include "display/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/unix_socket.h"
#include "display/link.h"
#include "display/vnc.h"

#define PORT_FIRST   5900u
#define DISPLAYS_MAX 99u
#define UNIX_PREFIX  "unix:"

/* What a server is waited for. */
#define END_TRIES  100
#define END_TRY_MS 10

/* ---- where --------------------------------------------------------------- */

static int refuse(const char *where, struct err *e)
{
	return err_set(e, -EINVAL,
		"vnc: '%.60s' must be unix:PATH, of at most %zu bytes, or 127.0.0.1:N with N from 0 to %u",
		where, UNIX_SOCKET_PATH_MAX - 1, DISPLAYS_MAX);
}

/* Others on the network could read and type: who wants that has ssh. */
static int parse_tcp(const char *where, struct vnc_address *to)
{
	const char *colon = strchr(where, ':');
	struct in_addr address;
	char *end;

	if (!colon || (size_t)(colon - where) >= sizeof(to->host) || colon[1] < '0' ||
		colon[1] > '9')
		return -EINVAL;
	memcpy(to->host, where, (size_t)(colon - where));
	to->host[colon - where] = '\0';
	to->port = (uint16_t)(PORT_FIRST + strtoul(colon + 1, &end, 10));
	if (*end || strtoul(colon + 1, NULL, 10) > DISPLAYS_MAX ||
		inet_pton(AF_INET, to->host, &address) != 1 ||
		ntohl(address.s_addr) >> 24 != IN_LOOPBACKNET)
		return -EINVAL;
	return 0;
}

static int parse(const char *where, struct vnc_address *to, struct err *e)
{
	*to = (struct vnc_address){0};
	if (strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)))
		return parse_tcp(where, to) ? refuse(where, e) : 0;
	to->path = where + strlen(UNIX_PREFIX);
	return *to->path && strlen(to->path) < UNIX_SOCKET_PATH_MAX ? 0 : refuse(where, e);
}

int display_server_check(const char *where, struct err *e)
{
	struct vnc_address to;

	return parse(where, &to, e);
}

/* ---- the process --------------------------------------------------------- */

static int link_socket = -1;
static pid_t process;
static const char *socket_path;

int display_server_socket(void)
{
	return link_socket;
}

/* A stale socket of a process that was killed is replaced, anything else is not. */
static int clear_path(const char *path)
{
	int fd = unix_socket_listen(path, SOCK_STREAM, 1);

	if (fd < 0)
		return fd;
	close(fd);
	return unlink(path) ? -errno : 0;
}

/* The user's terminal, or log, is not for who talks to viewers. */
static void detach_output(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (null < 0 || dup2(null, fd) < 0)
			_exit(EXIT_FAILURE);
}

/* Signals of the terminal are for the worker. */
static _Noreturn void server_main(
	int socket, const struct vnc_address *to, int (*confine)(void), pid_t worker)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		_exit(EXIT_FAILURE);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setsid();
	socket = dup2(socket, STDERR_FILENO + 1);
	detach_output();
	close_range(STDERR_FILENO + 2, ~0u, 0);
	prctl(PR_SET_NAME, "enlite-vnc");
	prctl(PR_SET_DUMPABLE, 0);
	vnc_run(socket, to, confine);
	_exit(EXIT_SUCCESS);
}

static int wait_ready(struct err *e)
{
	struct link_message m = {.type = LINK_FAILED};
	ssize_t n;

	do
		n = recv(link_socket, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n == sizeof(m) && m.type == LINK_READY)
		return 0;
	m.text[sizeof(m.text) - 1] = '\0';
	return err_set(e, -EIO, "display: %s", n == sizeof(m) ? m.text : "the VNC server ended");
}

int display_server_start(const char *where, int (*confine)(void), struct err *e)
{
	pid_t worker = getpid();
	struct vnc_address to;
	int ends[2], ret = parse(where, &to, e);

	if (ret)
		return ret;
	ret = to.path ? clear_path(to.path) : 0;
	if (ret)
		return err_set(e, ret, "display: %s: %s", to.path,
			ret == -EADDRINUSE ? "in use, by another VM perhaps; choose another"
					   : strerror(-ret));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_set(e, -errno, "display: no socket: %s", strerror(errno));
	process = fork();
	if (!process)
		server_main(ends[1], &to, confine, worker);
	close(ends[1]);
	link_socket = ends[0];
	socket_path = process > 0 ? to.path : NULL;
	ret = process < 0 ? err_set(e, -errno, "display: cannot start the VNC server: %s",
				    strerror(errno))
			  : wait_ready(e);
	if (ret)
		display_server_stop();
	return ret;
}

/* It ends with its link. One that a client has taken over need not; it is killed when the worker
 * ends. */
static void wait_a_while(void)
{
	for (int i = 0; i < END_TRIES && !waitpid(process, NULL, WNOHANG); i++)
		poll(NULL, 0, END_TRY_MS);
}

/* The worker may have lost its rights on the path; its broker has not. */
void display_server_stop(void)
{
	if (link_socket < 0)
		return;
	shutdown(link_socket, SHUT_RDWR); /* an operation of the loop may keep it open */
	close(link_socket);
	link_socket = -1;
	if (process > 0)
		wait_a_while();
	if (socket_path)
		files_unlink(socket_path);
}
