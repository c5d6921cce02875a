/* SPDX-License-Identifier: MIT */
/* enlited: the manager of all VMs of a host. See manager.h, and enlited(8). */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/parse.h"
#include "mgmt/manager/host.h"
#include "mgmt/manager/http.h"
#include "mgmt/manager/manager.h"
#include "mgmt/manager/operation.h"

#define STATUS_ERROR 1
#define STATUS_USAGE 2
#define BACKLOG      64
#define STALE_MS     1000
#define STALE_TRIES  5u
#define END_NS       (10 * NS_PER_S) /* for snapshots that are being taken */
#define END_LOOK_NS  (10 * NS_PER_MS)
#define SYSTEMD_FD   3 /* SD_LISTEN_FDS_START: sd_listen_fds(3) */

static struct {
	const char *state_dir, *run_dir, *socket, *program, *group, *read_group;
} options = {
	.state_dir = "/var/lib/enlite",
	.run_dir = "/run",
	.socket = "/run/enlited.sock",
};

static const char help[] =
	"usage: enlited [OPTIONS]\n\n"
	"  --state-dir DIR     definitions, images and logs of VMs (/var/lib/enlite)\n"
	"  --run-dir DIR       what ends with the host's run, in DIR/enlite (/run)\n"
	"  --socket PATH       where programs and enlite vm connect (/run/enlited.sock)\n"
	"  --group GROUP       its members may do everything, as root may\n"
	"  --read-group GROUP  its members may read\n"
	"  --enlite FILE       the worker's program (enlite beside enlited)\n"
	"  --verbose           log more\n"
	"  --help              print this text\n\n"
	"VMs go on when the manager ends, and are found by the next one. See enlited(8).";

static int fail(const struct err *e, int status)
{
	fprintf(stderr, "enlited: %s\n", e->text);
	return status;
}

/* ---- options ------------------------------------------------------------- */

/* enlite is beside enlited. */
static const char *default_program(void)
{
	static char path[PATH_MAX + sizeof("/enlite")];
	ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
	char *slash;

	path[n > 0 ? n : 0] = '\0';
	slash = strrchr(path, '/');
	if (slash)
		snprintf(slash, sizeof(path) - (size_t)(slash - path), "/enlite");
	return path;
}

/* 0; 1: help was printed; -EINVAL. */
static int read_options(int argc, char **argv, struct err *e)
{
	static const struct option known[] = {
		{"state-dir", required_argument, NULL, 's'},
		{"run-dir", required_argument, NULL, 'r'},
		{"socket", required_argument, NULL, 'a'},
		{"group", required_argument, NULL, 'g'},
		{"read-group", required_argument, NULL, 'R'},
		{"enlite", required_argument, NULL, 'e'},
		{"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char **const values[256] = {
		['s'] = &options.state_dir,
		['r'] = &options.run_dir,
		['a'] = &options.socket,
		['g'] = &options.group,
		['R'] = &options.read_group,
		['e'] = &options.program,
	};
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'h')
			puts(help);
		if (option == 'h')
			return 1;
		if (option == 'v')
			log_set_level(LOG_DEBUG);
		else if (option == '?')
			return err_set(e, -EINVAL,
				"%s: unknown, or without its value; see enlited --help",
				argv[optind - 1]);
		else
			*values[option & 255] = optarg;
	}
	if (!options.program)
		options.program = default_program();
	return optind == argc ? 0
			      : err_set(e, -EINVAL, "unexpected argument '%s'; see enlited --help",
					argv[optind]);
}

static int find_group(const char *name, gid_t *gid, bool *has, struct err *e)
{
	struct group *group;

	if (!name)
		return 0;
	group = getgrnam(name);
	if (!group)
		return err_set(e, -EINVAL, "there is no group %s", name);
	*gid = group->gr_gid;
	*has = true;
	return 0;
}

/* ---- the socket ---------------------------------------------------------- */

static bool from_systemd(void)
{
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	uint64_t number;

	return pid && count && !strcmp(count, "1") && !parse_number(pid, 1, INT_MAX, &number) &&
	       (pid_t)number == getpid();
}

/* 0: a process listens, and has not closed the connection; else -errno. */
static int try_connect(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), ret = 0;
	struct pollfd end = {.fd = fd};

	if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)))
		ret = -errno;
	else if (poll(&end, 1, STALE_MS) > 0)
		ret = -ECONNRESET;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* No process listens. The socket of a killed manager takes connections until the kernel has
 * destroyed its io_uring; then they are reset. */
static bool is_stale(const struct sockaddr_un *address)
{
	int ret = -ECONNRESET;

	for (unsigned i = 0; i < STALE_TRIES && ret == -ECONNRESET; i++)
		ret = try_connect(address);
	return ret == -ECONNREFUSED;
}

static void remove_stale(const char *path, const struct sockaddr_un *address)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISSOCK(st.st_mode) && st.st_uid == geteuid() &&
		is_stale(address))
		unlink(path);
}

/* Everybody may connect when there are groups: who may do what is asked of the kernel (access.c).
 */
static int listen_at(const char *path, mode_t mode, struct err *e)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(e, -ENAMETOOLONG, "--socket %s: too long for a socket", path);
	memcpy(address.sun_path, path, strlen(path));
	remove_stale(path, &address);
	umask(0177);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || chmod(path, mode) ||
		listen(fd, BACKLOG))
		return err_set(e, -errno, "--socket %s: %s", path, strerror(errno));
	umask(077);
	return fd;
}

static int open_socket(const struct http_access *access, struct err *e)
{
	if (!from_systemd())
		return listen_at(options.socket,
			access->has_admin_group || access->has_read_group ? 0666 : 0600, e);
	fcntl(SYSTEMD_FD, F_SETFD, FD_CLOEXEC);
	return SYSTEMD_FD;
}

/* ---- the process --------------------------------------------------------- */

struct ending {
	struct loop_op op;
	struct manager *m;
	struct loop *loop;
	struct loop_timer timer;
	uint64_t until_ns;
};

static void end_if_possible(struct loop_timer *timer)
{
	struct ending *ending = container_of(timer, struct ending, timer);

	if (operations_have_ended(ending->m) || loop_now_ns() >= ending->until_ns)
		loop_stop(ending->loop);
	else
		loop_timer_start(ending->loop, timer, END_LOOK_NS, end_if_possible);
}

/* A VM that is paused for a snapshot would stay so until the next manager: it is resumed first. */
static void on_signal(struct loop_op *op, int res)
{
	struct ending *ending = container_of(op, struct ending, op);

	operations_end(ending->m);
	ending->until_ns = loop_now_ns() + END_NS;
	end_if_possible(&ending->timer);
}

static void watch_signals(struct ending *ending, struct loop *loop, struct manager *m)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	ending->m = m;
	ending->loop = loop;
	ending->op.done = on_signal;
	io_uring_prep_poll_add(
		loop_sqe(loop, &ending->op), signalfd(-1, &set, SFD_CLOEXEC), POLLIN);
}

static int serve(
	struct manager *m, struct loop *loop, const struct http_access *access, struct err *e)
{
	struct http *http = NULL;
	int fd = open_socket(access, e);

	if (fd < 0)
		return fd;
	http = http_open(m, fd, access, e);
	if (!http)
		return -ENOMEM;
	host_probe(loop, options.program);
	log_info("ready: %u VMs", m->count);
	loop_run(loop);
	http_close(http);
	return 0;
}

/* A pidfd and a connection for each VM, and those of the interface. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(const struct http_access *access, struct err *e)
{
	static struct manager m;
	static struct loop loop;
	static struct ending ending;
	int ret = loop_init(&loop, "manager", e);

	if (ret)
		return ret;
	umask(077);
	raise_fd_limit();
	watch_signals(&ending, &loop, &m);
	ret = manager_open(&m, &loop, options.state_dir, options.run_dir, options.program, e);
	if (!ret)
		ret = serve(&m, &loop, access, e);
	manager_close(&m);
	return ret;
}

int main(int argc, char **argv)
{
	struct http_access access = {.has_admin_group = false};
	struct err e = {""};
	int ret;

	/* Where our parent ignores it, it is not said how workers end. */
	signal(SIGCHLD, SIG_DFL);
	log_set_level(LOG_INFO);
	ret = read_options(argc, argv, &e);
	if (ret > 0)
		return EXIT_SUCCESS;
	if (!ret)
		ret = find_group(options.group, &access.admin_group, &access.has_admin_group, &e);
	if (!ret)
		ret = find_group(
			options.read_group, &access.read_group, &access.has_read_group, &e);
	if (ret)
		return fail(&e, STATUS_USAGE);
	if (chdir("/"))
		return STATUS_ERROR;
	return run(&access, &e) ? fail(&e, STATUS_ERROR) : EXIT_SUCCESS;
}
