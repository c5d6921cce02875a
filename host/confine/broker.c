/* SPDX-License-Identifier: MIT */
#include "confine/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/thread.h"
#include "base/unix_socket.h"
#include "confine/grants.h"
#include "confine/vouch.h"
#include "disk/nbd/address.h"
#include "mgmt/ctl.h"
#include "nic/tap/tap_broker.h"
#include "nic/user/user_impl.h"

/* More requests at once are made one after the other. */
#define THREADS_MAX 128u
#define STACK_SIZE  (512u << 10) /* name servers, two texts */

#define STOP_TURN_MS 5
#define STOP_TURNS   600u

/* The VM's configuration; constant. */
static const struct vm_config *started;

/* ---- operations ---------------------------------------------------------- */

static int or_error(int ret)
{
	return ret < 0 ? -errno : ret;
}

static void give_fd(struct broker_reply *r, int fd)
{
	r->result = fd < 0 ? fd : 0;
	if (fd >= 0)
		r->fds[r->fd_count++] = fd;
}

/* With a directory the worker could find out what is in it. */
static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) || S_ISDIR(st.st_mode);
}

static void serve_open(const struct broker_request *q, struct broker_reply *r)
{
	int fd = or_error(open(q->text, q->a | O_CLOEXEC, (mode_t)q->b));

	if (fd >= 0 && is_directory(fd)) {
		close(fd);
		fd = -EISDIR;
	}
	give_fd(r, fd);
}

static void serve_sync(const struct broker_request *q, struct broker_reply *r)
{
	r->result = or_error(files_sync(q->text));
}

static void serve_stat(const struct broker_request *q, struct broker_reply *r)
{
	r->result = or_error(q->a ? lstat(q->text, &r->stat) : stat(q->text, &r->stat));
}

static void serve_access(const struct broker_request *q, struct broker_reply *r)
{
	r->result = or_error(access(q->text, q->a));
}

static void serve_unlink(const struct broker_request *q, struct broker_reply *r)
{
	r->result = or_error(unlink(q->text));
}

static void serve_rename(const struct broker_request *q, struct broker_reply *r)
{
	const char *to = q->text + strlen(q->text) + 1;

	if (q->a) /* perform() has asked */
		r->result = or_error(rename(q->text, to));
	else
		r->result = vouch_rename(q->text, to, started);
}

static void serve_realpath(const struct broker_request *q, struct broker_reply *r)
{
	char real[PATH_MAX];

	r->result = realpath(q->text, real) ? grants_add_reservation(real) : -errno;
	if (!r->result)
		r->bytes = (uint32_t)snprintf(r->text, sizeof(r->text), "%s", real);
}

static void serve_connect(const struct broker_request *q, struct broker_reply *r)
{
	give_fd(r, unix_socket_connect(q->text, q->a));
}

static void serve_listen(const struct broker_request *q, struct broker_reply *r)
{
	give_fd(r, unix_socket_listen(q->text, q->a, q->b));
}

static void serve_nbd(const struct broker_request *q, struct broker_reply *r)
{
	give_fd(r, nbd_address_connect(q->text));
}

/* One control socket a VM. */
static void serve_ctl(const struct broker_request *q, struct broker_reply *r)
{
	static atomic_bool taken;
	struct err e = {""};
	int fd = -1, ret = ctl_check_name(q->text, &e);

	if (!ret && atomic_exchange(&taken, true))
		ret = -EBUSY;
	else if (!ret)
		ret = broker_serve_clients(q->text, &fd, &e);
	give_fd(r, ret ? ret : fd);
	if (ret)
		r->bytes = (uint32_t)snprintf(r->text, sizeof(r->text), "%s", e.text);
}

/* One that we started, and that is not reaped: its id is not another's. */
static bool is_child(pid_t pid)
{
	siginfo_t info;

	return pid > 0 && !waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
}

static void serve_kill(const struct broker_request *q, struct broker_reply *r)
{
	r->result = -ESRCH;
	if (is_child(q->a))
		user_serve_kill(q, r);
}

static void serve_wait(const struct broker_request *q, struct broker_reply *r)
{
	r->result = -ECHILD;
	if (is_child(q->a))
		user_serve_wait(q, r);
}

static void (*const serve[BROKER_OPS])(const struct broker_request *q, struct broker_reply *r) = {
	[BROKER_OPEN] = serve_open,
	[BROKER_STAT] = serve_stat,
	[BROKER_ACCESS] = serve_access,
	[BROKER_UNLINK] = serve_unlink,
	[BROKER_RENAME] = serve_rename,
	[BROKER_REALPATH] = serve_realpath,
	[BROKER_SYNC] = serve_sync,
	[BROKER_CONNECT] = serve_connect,
	[BROKER_LISTEN] = serve_listen,
	[BROKER_CTL] = serve_ctl,
	[BROKER_NBD] = serve_nbd,
	[BROKER_TAP] = tap_broker_serve_open,
	[BROKER_TAP_ATTACH] = tap_broker_serve_attach,
	[BROKER_TAP_WATCH] = tap_broker_serve_watch,
	[BROKER_SPAWN] = user_serve_spawn,
	[BROKER_KILL] = serve_kill,
	[BROKER_WAIT] = serve_wait,
};

/* ---- requests ------------------------------------------------------------ */

struct job {
	int socket; /* for the answer */
	struct broker_request request;
	struct broker_reply reply;
};

static atomic_uint threads;

/* Nothing that the worker asks for happens while an image gets its name. Else requests do not wait
 * for each other. */
static pthread_rwlock_t naming_lock = PTHREAD_RWLOCK_INITIALIZER;

#define NAMING_WAIT_S 10

enum naming { NO_NAMES, SHARED, EXCLUSIVE };

/* Decided once: of what is allowed meanwhile, nothing makes a plain rename of an image's. */
static enum naming naming_of(struct broker_request *q)
{
	if (q->op == BROKER_RENAME) {
		q->a = grants_may_replace(q);
		return q->a ? SHARED : EXCLUSIVE;
	}
	return q->op == BROKER_OPEN || q->op == BROKER_UNLINK ? SHARED : NO_NAMES;
}

/* An opening that hangs must not hold up others without end. */
static int lock_names(enum naming naming)
{
	struct timespec until;

	if (naming == NO_NAMES)
		return 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += NAMING_WAIT_S;
	return naming == SHARED ? -pthread_rwlock_timedrdlock(&naming_lock, &until)
				: -pthread_rwlock_timedwrlock(&naming_lock, &until);
}

static void serve_job(struct job *job)
{
	struct broker_reply *r = &job->reply;

	r->result = -EACCES;
	if (grants_allow(&job->request)) {
		serve[job->request.op](&job->request, r);
		if (r->result >= 0)
			grants_use(&job->request);
	}
}

static void perform(struct job *job)
{
	struct broker_reply *r = &job->reply;
	enum naming naming = naming_of(&job->request);

	r->result = lock_names(naming) ? -EBUSY : 0;
	if (!r->result) {
		serve_job(job);
		if (naming != NO_NAMES)
			pthread_rwlock_unlock(&naming_lock);
	}
	broker_send(job->socket, r, offsetof(struct broker_reply, text) + r->bytes, r->fds,
		r->fd_count);
	for (uint32_t i = 0; i < r->fd_count; i++)
		close(r->fds[i]);
	close(job->socket);
	free(job);
}

static void *job_main(void *arg)
{
	perform(arg);
	atomic_fetch_sub(&threads, 1);
	return NULL;
}

static void start_job(struct job *job)
{
	pthread_attr_t attr;
	pthread_t thread;

	if (atomic_fetch_add(&threads, 1) < THREADS_MAX) {
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, STACK_SIZE);
		if (!pthread_create(&thread, &attr, job_main, job))
			job = NULL;
		pthread_attr_destroy(&attr);
	}
	if (!job)
		return;
	atomic_fetch_sub(&threads, 1);
	perform(job);
}

/* A message that is one: whole, of a known operation, with texts that end. */
static bool is_request(const struct broker_request *q, size_t bytes)
{
	return bytes >= offsetof(struct broker_request, text) && q->op < BROKER_OPS &&
	       q->length == bytes - offsetof(struct broker_request, text) &&
	       (q->op == BROKER_KILL || q->op == BROKER_WAIT ||
		       (q->length && !q->text[q->length - 1]));
}

/* False: the worker is gone. */
static bool take_request(int socket)
{
	struct job *job = calloc(1, sizeof(*job));
	int fds[BROKER_FDS_MAX], bytes;
	uint32_t count;

	if (!job)
		return false;
	bytes = broker_receive(socket, &job->request, sizeof(job->request), fds, &count);
	if (bytes > 0 && count == 1 && is_request(&job->request, (size_t)bytes)) {
		job->socket = fds[0];
		start_job(job);
		return true;
	}
	for (uint32_t i = 0; i < count; i++)
		close(fds[i]);
	free(job);
	return bytes > 0 || bytes == -EMSGSIZE;
}

/* ---- the process --------------------------------------------------------- */

static pid_t process;

/* Nothing of the terminal: its signals are for the worker, and its ends are not held up. Inherited
 * descriptors are the worker's. */
static int leave(int socket)
{
	int null = open("/dev/null", O_RDWR);

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN); /* another process waits for the end of a lease */
	setsid();
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	socket = dup2(socket, 3);
	close_range(4, ~0u, 0);
	fcntl(socket, F_SETFD, FD_CLOEXEC);
	prctl(PR_SET_NAME, "enlite-broker");
	prctl(PR_SET_DUMPABLE, 0);
	return socket;
}

static _Noreturn void broker_main(int socket, const struct vm_config *config, pid_t worker)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	broker_use(-1);
	socket = leave(socket);
	started = config;
	if (getppid() != worker || grants_add_config(&(struct grant_to){&grants, 0}, config))
		_exit(EXIT_FAILURE);
	while (take_request(socket))
		;
	broker_finish_clients();
	_exit(EXIT_SUCCESS);
}

int broker_start(const struct vm_config *config, struct err *e)
{
	pid_t worker = getpid();
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
		return err_set(e, -errno, "sandbox: no socket: %s", strerror(errno));
	process = fork();
	if (!process)
		broker_main(ends[1], config, worker);
	close(ends[1]);
	if (process < 0) {
		close(ends[0]);
		return err_set(e, -errno, "sandbox: cannot start the broker: %s", strerror(errno));
	}
	broker_use(ends[0]);
	return 0;
}

/* One of its threads may hang in a file system. Then it is killed when the worker ends. */
void broker_stop(void)
{
	if (process <= 0)
		return;
	broker_end();
	for (uint32_t i = 0; i < STOP_TURNS && !waitpid(process, NULL, WNOHANG); i++)
		poll(NULL, 0, STOP_TURN_MS);
	process = 0;
}
