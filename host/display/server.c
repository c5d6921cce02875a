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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/unix_socket.h"
#include "display/link.h"
#include "display/vnc.h"

#define PORT_FIRST   5900u
#define DISPLAYS_MAX 99u
#define UNIX_PREFIX  "unix:"

/* A server is waited for so long when its link has ended, and then killed. */
#define LINGER_MS 1000

/* For the keeper, which waits for its server. */
#define END_TRIES  200
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

/* ---- the server's process ------------------------------------------------ */

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

static void end_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

struct keeper {
	int link;
	const struct vnc_address *to;
	int (*confine)(void);
	pid_t server;       /* -1: it could not be started */
	int report;         /* a pipe: the server writes once, what its socket is */
	struct stat socket; /* the last server's; st_ino 0: it had none */
};

/* In the server, when it listens and has heard of no client yet. */
static const struct keeper *served;

static int confine_server(void)
{
	struct stat st;

	if (served->to->path && !lstat(served->to->path, &st) &&
		write(served->report, &st, sizeof(st)) != sizeof(st))
		return -EIO;
	close(served->report);
	return served->confine ? served->confine() : 0;
}

static _Noreturn void server_main(struct keeper *k, pid_t parent)
{
	end_with(parent);
	prctl(PR_SET_NAME, "enlite-vnc");
	served = k;
	_exit(vnc_run(k->link, k->to, confine_server) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void start_server(struct keeper *k)
{
	pid_t parent = getpid();
	int ends[2];

	k->server = -1;
	if (pipe2(ends, O_CLOEXEC))
		return;
	k->server = fork();
	k->report = k->server ? ends[0] : ends[1];
	close(k->server ? ends[1] : ends[0]);
	if (!k->server)
		server_main(k, parent);
}

/* ---- the keeper ---------------------------------------------------------- */

/* So long without a crash, and those before do not count: for the rest, that is. */
#define FORGIVEN_S 600

/* In the life of a VM: each is a fork, with the same addresses for who learns them bit by bit. */
#define RESTARTS_MAX 20u

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* False: the link ended meanwhile. */
static bool rest(int socket, uint32_t seconds)
{
	struct pollfd p = {.fd = socket};

	return poll(&p, 1, (int)seconds * 1000) == 0;
}

static uint32_t longer(uint32_t seconds)
{
	return seconds * 2 < LINK_REST_MAX_S ? seconds * 2 : LINK_REST_MAX_S;
}

/* For the server that crashed. */
static void drop_messages(int socket)
{
	struct link_message m;

	while (recv(socket, &m, sizeof(m), MSG_DONTWAIT) > 0)
		;
}

/* A path that another process has taken meanwhile stays: the server cannot listen then. */
static void start_again(struct keeper *k)
{
	drop_messages(k->link);
	if (k->to->path)
		clear_path(k->to->path);
	start_server(k);
}

/* It ends with its link; one that hangs, or that a client has taken over, is made to. The kernel
 * may refuse to kill it when the worker ends: a confined process may signal no others. */
static void end_with_link(const struct keeper *k)
{
	struct pollfd ends[] = {{.events = POLLIN}, {.fd = k->link}};

	ends[0].fd = (int)syscall(SYS_pidfd_open, k->server, 0);
	if (ends[0].fd >= 0)
		poll(ends, 2, -1);
	if (ends[0].fd < 0 || poll(ends, 1, LINGER_MS) <= 0)
		kill(k->server, SIGKILL);
	if (ends[0].fd >= 0)
		close(ends[0].fd);
}

/* It is dead, so reading ends. */
static void take_report(struct keeper *k)
{
	if (read(k->report, &k->socket, sizeof(k->socket)) != sizeof(k->socket))
		k->socket.st_ino = 0;
	close(k->report);
}

/* True: the server ended because its link did. */
static bool wait_end(struct keeper *k, uint32_t *signal)
{
	int status = 0;
	pid_t ended;

	*signal = 0;
	if (k->server < 0)
		return false;
	end_with_link(k);
	ended = waitpid(k->server, &status, 0);
	take_report(k);
	if (ended != k->server)
		return false;
	if (WIFSIGNALED(status))
		*signal = (uint32_t)WTERMSIG(status);
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* Until the link ends, or a server has crashed too often: then it ends here. */
static void keep(struct keeper *k)
{
	struct link_message m = {.type = LINK_ENDED, .ended.rest_s = LINK_REST_MIN_S};
	time_t began = now_s();

	start_server(k);
	for (uint32_t i = 0; !wait_end(k, &m.ended.signal) && i < RESTARTS_MAX; i++) {
		if (now_s() - began >= FORGIVEN_S)
			m.ended.rest_s = LINK_REST_MIN_S;
		if (send(k->link, &m, sizeof(m), 0) != sizeof(m) || !rest(k->link, m.ended.rest_s))
			return;
		m.ended.rest_s = longer(m.ended.rest_s);
		began = now_s();
		start_again(k);
	}
}

/* What another process has put there meanwhile stays. It may have the same number, but not the same
 * time. */
static void remove_socket(const struct keeper *k)
{
	const struct stat *own = &k->socket;
	struct stat st;

	if (own->st_ino && !lstat(k->to->path, &st) && st.st_dev == own->st_dev &&
		st.st_ino == own->st_ino && st.st_mtim.tv_sec == own->st_mtim.tv_sec &&
		st.st_mtim.tv_nsec == own->st_mtim.tv_nsec)
		unlink(k->to->path);
}

/* Signals of the terminal are for the worker. */
static _Noreturn void keeper_main(
	int socket, const struct vnc_address *to, int (*confine)(void), pid_t worker)
{
	struct keeper k = {.to = to, .confine = confine};

	end_with(worker);
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	setsid();
	k.link = dup2(socket, STDERR_FILENO + 1);
	detach_output();
	close_range(STDERR_FILENO + 2, ~0u, 0);
	prctl(PR_SET_NAME, "enlite-vnc-keep");
	prctl(PR_SET_DUMPABLE, 0);
	keep(&k);
	remove_socket(&k);
	_exit(EXIT_SUCCESS);
}

/* ---- the worker's side --------------------------------------------------- */

static int link_socket = -1;
static pid_t keeper;

int display_server_socket(void)
{
	return link_socket;
}

static int wait_ready(struct err *e)
{
	struct link_message m = {0};
	bool said;
	ssize_t n;

	do
		n = recv(link_socket, &m, sizeof(m), 0);
	while (n < 0 && errno == EINTR);
	if (n == sizeof(m) && m.type == LINK_READY)
		return 0;
	said = n == sizeof(m) && m.type == LINK_FAILED;
	m.text[sizeof(m.text) - 1] = '\0';
	return err_set(e, -EIO, "display: %s", said ? m.text : "the VNC server ended");
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
	keeper = fork();
	if (!keeper)
		keeper_main(ends[1], &to, confine, worker);
	close(ends[1]);
	link_socket = ends[0];
	ret = keeper < 0 ? err_set(e, -errno, "display: cannot start the VNC server: %s",
				   strerror(errno))
			 : wait_ready(e);
	if (ret)
		display_server_stop();
	return ret;
}

/* It ends with its link, and a second later at most, and removes the socket. */
static void wait_a_while(void)
{
	for (int i = 0; i < END_TRIES && !waitpid(keeper, NULL, WNOHANG); i++)
		poll(NULL, 0, END_TRY_MS);
}

void display_server_stop(void)
{
	if (link_socket < 0)
		return;
	shutdown(link_socket, SHUT_RDWR); /* an operation of the loop may keep it open */
	close(link_socket);
	link_socket = -1;
	if (keeper > 0)
		wait_a_while();
}
