/* SPDX-License-Identifier: MIT */
/*
 * The process of passt. posix_spawn(): no copy of our page tables. It gets one
 * descriptor beside the standard ones, none of our environment but PATH, and a
 * session of its own, so that a terminal's signals do not reach it. It makes its
 * sandbox itself (name spaces, empty root, seccomp), and ends when the socket is
 * closed, so also when this process dies.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/parse.h"
#include "nic/user/user_impl.h"

#define SOCKET_FD 3
#define PROGRAM   "passt"

/* ---- command line -------------------------------------------------------- */

static int add(struct user_command *c, const char *text)
{
	if (c->argc + 1 >= USER_ARGS)
		return -E2BIG;
	c->argv[c->argc] = strdup(text);
	return c->argv[c->argc] ? (c->argc++, 0) : -ENOMEM;
}

void user_command_free(struct user_command *c)
{
	for (uint32_t i = 0; i < c->argc; i++)
		free(c->argv[i]);
	c->argc = 0;
}

/* "8080", 1 .. 65535, up to `end`. */
static bool port_valid(const char *text, const char *end)
{
	char digits[8];
	uint64_t port;

	if (end <= text || end - text >= (ptrdiff_t)sizeof(digits))
		return false;
	memcpy(digits, text, (size_t)(end - text));
	digits[end - text] = '\0';
	return !parse_number(digits, 1, 65535, &port);
}

/* What an address may be made of: passt checks the rest. */
static bool address_valid(const char *text, const char *end)
{
	return end > text && end - text < 64 &&
	       strspn(text, "0123456789abcdefABCDEF.:[]") >= (size_t)(end - text);
}

/* "[ADDR:]PORT-:PORT" as passt wants it: "[ADDR/]PORT:PORT". */
static bool forward_spec(const char *text, char *spec, size_t size)
{
	const char *dash = strchr(text, '-'), *port = text, *colon = NULL;
	int n;

	if (!dash || dash[1] != ':' || !port_valid(dash + 2, dash + strlen(dash)))
		return false;
	for (const char *at = text; at < dash; at++)
		colon = *at == ':' ? at : colon;
	if (colon) {
		port = colon + 1;
		if (!address_valid(text, colon))
			return false;
	}
	if (!port_valid(port, dash))
		return false;
	n = snprintf(spec, size, "%.*s%s%.*s:%s", colon ? (int)(colon - text) : 0, text,
		colon ? "/" : "", (int)(dash - port), port, dash + 2);
	return n > 0 && (size_t)n < size;
}

#define FORWARD_MAX 96u

/* *option: passt's, for the protocol. */
static int parse_forward(
	const char *value, const char **option, char spec[FORWARD_MAX], struct err *e)
{
	*option = !strncmp(value, "tcp:", 4) ? "-t" : !strncmp(value, "udp:", 4) ? "-u" : NULL;
	if (*option && forward_spec(value + 4, spec, FORWARD_MAX))
		return 0;
	return err_set(e, -EINVAL,
		"net user: forward=%s: write tcp:8080-:80 or udp:127.0.0.1:5353-:53", value);
}

static int add_forward(struct user_command *c, const char *value, struct err *e)
{
	char spec[FORWARD_MAX];
	const char *option;
	int ret = parse_forward(value, &option, spec, e);

	if (!ret)
		ret = add(c, option);
	return ret ? ret : add(c, spec);
}

const char *user_command_check(const struct nic_open *o, struct err *e)
{
	char spec[FORWARD_MAX];
	const char *option;

	for (uint32_t i = 0; i < o->setting_count; i++)
		if (!strcmp(o->settings[i].name, "forward") &&
			parse_forward(o->settings[i].value, &option, spec, e))
			return "forward";
	return NULL;
}

static int add_settings(struct user_command *c, const struct nic_open *o, struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; !ret && i < o->setting_count; i++)
		if (!strcmp(o->settings[i].name, "forward"))
			ret = add_forward(c, o->settings[i].value, e);
	return ret;
}

static const char *program(const struct nic_open *o)
{
	for (uint32_t i = 0; i < o->setting_count; i++)
		if (!strcmp(o->settings[i].name, "program"))
			return o->settings[i].value;
	return PROGRAM;
}

/* passt itself is looked for in PATH only when it is started: it may be installed later. */
const char *user_command_check_host(const struct nic_open *o, struct err *e)
{
	const char *path = program(o);

	if (!strchr(path, '/') || !files_access(path, X_OK))
		return NULL;
	err_set(e, -errno, "net user: %s: %s", path, strerror(errno));
	return "program";
}

static int add_mtu(struct user_command *c, uint32_t mtu)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", mtu);
	return add(c, "-m") ? -ENOMEM : add(c, number);
}

int user_command_make(struct user_command *c, const struct nic_open *o, struct err *e)
{
	static const char *const fixed[] = {"--foreground", "--quiet", "--fd", "3"};
	int ret = add(c, program(o));

	for (size_t i = 0; !ret && i < sizeof(fixed) / sizeof(fixed[0]); i++)
		ret = add(c, fixed[i]);
	if (!ret)
		ret = add_mtu(c, o->env->mtu ? o->env->mtu : NIC_MTU_DEFAULT);
	if (!ret)
		ret = add_settings(c, o, e);
	if (ret == -ENOMEM || ret == -E2BIG)
		err_set(e, ret, "net user: %s", strerror(-ret));
	if (ret)
		user_command_free(c);
	return ret;
}

/* ---- process ------------------------------------------------------------- */

static int file_actions(posix_spawn_file_actions_t *actions, int fd)
{
	int ret = posix_spawn_file_actions_adddup2(actions, fd, SOCKET_FD);

	if (!ret)
		ret = posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDWR, 0);
	if (!ret)
		ret = posix_spawn_file_actions_addopen(actions, 1, "/dev/null", O_RDWR, 0);
	if (!ret)
		ret = posix_spawn_file_actions_addclosefrom_np(actions, SOCKET_FD + 1);
	return -ret;
}

static int attributes(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int ret;

	sigemptyset(&none);
	sigfillset(&all);
	ret = posix_spawnattr_setsigmask(attr, &none);
	if (!ret)
		ret = posix_spawnattr_setsigdefault(attr, &all);
	if (!ret)
		ret = posix_spawnattr_setflags(
			attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	return -ret;
}

static int spawn_with(struct user_command *c, int fd, pid_t *pid)
{
	static char path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	char *environment[] = {path, NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int ret;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	ret = file_actions(&actions, fd);
	if (!ret)
		ret = attributes(&attr);
	if (!ret)
		ret = -posix_spawnp(pid, c->argv[0], &actions, &attr, c->argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return ret;
}

/* A descriptor beyond SOCKET_FD, so that dup2() makes one without FD_CLOEXEC. */
static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, SOCKET_FD + 1);

	close(fd);
	return up;
}

static pid_t spawn_here(struct user_command *c, int *fd, int *pidfd)
{
	int ends[2], ret;
	pid_t pid = -1;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	ends[1] = move_up(ends[1]);
	ret = ends[1] < 0 ? -errno : spawn_with(c, ends[1], &pid);
	if (ends[1] >= 0)
		close(ends[1]);
	if (ret) {
		close(ends[0]);
		return ret;
	}
	*pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	assert(*pidfd >= 0); /* not reaped, so it exists */
	*fd = ends[0];
	return pid;
}

/* ---- in the broker ------------------------------------------------------- */

void user_serve_spawn(const struct broker_request *q, struct broker_reply *r)
{
	struct user_command c = {.argc = 0};
	pid_t pid;

	for (uint32_t at = 0; at < q->length; at += (uint32_t)strlen(q->text + at) + 1)
		if (c.argc + 1 < USER_ARGS)
			c.argv[c.argc++] = (char *)q->text + at;
	pid = spawn_here(&c, &r->fds[0], &r->fds[1]);
	r->result = pid < 0 ? pid : 0;
	r->fd_count = pid < 0 ? 0 : 2;
	r->b = pid;
}

void user_serve_kill(const struct broker_request *q, struct broker_reply *r)
{
	r->result = kill(q->a, SIGKILL) ? -errno : 0;
}

void user_serve_wait(const struct broker_request *q, struct broker_reply *r)
{
	int status = 0;
	pid_t pid = waitpid(q->a, &status, WNOHANG);

	r->result = pid == q->a ? 0 : pid < 0 ? -errno : -EAGAIN;
	r->b = status;
}

/* ---- in the worker ------------------------------------------------------- */

struct exchange {
	struct broker_request request;
	struct broker_reply reply;
};

static int ask(struct exchange *x, enum broker_op op, pid_t pid)
{
	broker_request_init(&x->request, op, pid, 0);
	return broker_call(&x->request, &x->reply);
}

static pid_t ask_spawn(struct user_command *c, int *fd, int *pidfd)
{
	struct exchange *x = malloc(sizeof(*x));
	pid_t pid = x ? 0 : -ENOMEM;

	if (!x)
		return pid;
	broker_request_init(&x->request, BROKER_SPAWN, 0, 0);
	for (uint32_t i = 0; !pid && i < c->argc; i++)
		pid = broker_request_add(&x->request, c->argv[i]);
	if (!pid)
		pid = broker_call(&x->request, &x->reply);
	if (pid >= 0) {
		pid = x->reply.b;
		*fd = x->reply.fds[0];
		*pidfd = x->reply.fds[1];
	}
	free(x);
	return pid;
}

pid_t user_spawn(struct user_command *c, int *fd, int *pidfd)
{
	return broker_used() ? ask_spawn(c, fd, pidfd) : spawn_here(c, fd, pidfd);
}

void user_process_kill(pid_t pid)
{
	struct exchange *x = broker_used() ? malloc(sizeof(*x)) : NULL;

	if (x)
		ask(x, BROKER_KILL, pid);
	else if (!broker_used())
		kill(pid, SIGKILL);
	free(x);
}

int user_process_wait(pid_t pid, int *status)
{
	struct exchange *x;
	int ret;

	if (!broker_used())
		return waitpid(pid, status, WNOHANG) == pid ? 0 : -EAGAIN;
	x = malloc(sizeof(*x));
	ret = x ? ask(x, BROKER_WAIT, pid) : -EAGAIN;
	if (!ret)
		*status = x->reply.b;
	free(x);
	return ret == -EAGAIN ? ret : 0;
}
