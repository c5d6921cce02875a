/* SPDX-License-Identifier: MIT */
/*
 * Makes every attempt (attempts.h) on every kind of thread, each in a process of its own that has
 * confined itself as `enlite run` does, and compares what happens with the table. A file, a socket
 * and a process beside them must be untouched afterwards. Prints TAP without numbers.
 *
 *   escape DIRECTORY     a new, empty directory
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attempts.h"
#include "base/files.h"
#include "base/thread.h"
#include "base/unix_socket.h"
#include "config/config.h"
#include "confine/confine.h"
#include "hyper/kvm/partition.h"

#define BROKEN 255 /* the process could not begin */

static char canary[256], named[256], kernel[256], socket_path[256];
static struct place place;

static int failures;

static void result(bool ok, const char *kind, const struct attempt *a, const char *why)
{
	printf("%sok - escape %u: %s on %s%s%s%s\n", ok ? "" : "not ", a->number, a->name, kind,
		ok ? "" : " (", ok ? "" : why, ok ? "" : ")");
	failures += !ok;
}

/* ---- in the process that is taken over ----------------------------------- */

struct thread {
	const struct attempt *attempt;
	enum thread_kind kind;
};

static _Noreturn void report(const struct attempt *a)
{
	long ret = a->make(&place);

	_exit(ret < 0 ? (int)-ret : 0);
}

static void *thread_main(void *arg)
{
	const struct thread *t = arg;

	thread_enter(t->kind, "attempt");
	report(t->attempt);
}

static int sealed_memfd(void)
{
	int fd = memfd_create("ram", MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, 4096) ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return -1;
	return fd;
}

/* All by the broker, as a VM does it. */
static bool settle(void)
{
	static int ends[2];
	struct err e;

	place.kvm = files_open(PARTITION_KVM_PATH, O_RDWR | O_CLOEXEC, 0);
	place.read_only = files_open(named, O_RDONLY | O_CLOEXEC, 0);
	place.memfd = sealed_memfd();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return false;
	place.stream = ends[0];
	return place.read_only >= 0 && place.memfd >= 0 && !loop_init(&place.loop, "test", &e);
}

static int configure(struct vm_config *c, struct err *e)
{
	char disk[300];
	char *argv[] = {"run", "--sandbox", "auto", "--kernel", kernel, "--disk", disk, NULL};

	snprintf(disk, sizeof(disk), "%s,ro", named);
	return vm_config_init(c, e) || vm_config_args(c, 7, argv, e) || vm_config_complete(c, e);
}

static _Noreturn void worker(const struct attempt *a, enum thread_kind kind)
{
	static struct vm_config config;
	struct thread t = {a, kind};
	struct err e = {""};
	pthread_t thread;

	alarm(300);
	/* An unconfined process must not make the attempts: they would work. */
	if (configure(&config, &e) || confine(&config, &e) || !settle() || open("/", O_PATH) >= 0) {
		fprintf(stderr, "%s\n", e.text);
		_exit(BROKEN);
	}
	if (kind == THREAD_HELPER)
		report(a);
	if (!thread_create(&thread, NULL, thread_main, &t))
		pthread_join(thread, NULL);
	_exit(BROKEN);
}

/* ---- outside ------------------------------------------------------------- */

/* Some at once: most of their time, the kernel makes and frees name spaces. */
#define AT_ONCE 8u

struct trial {
	const struct attempt *attempt;
	enum thread_kind kind;
	const char *on;
	int wanted;
	pid_t pid;
	int said; /* its standard error */
};

static struct trial trials[AT_ONCE];
static unsigned int begun, ended;

static void begin(struct trial *t)
{
	int ends[2];

	fflush(stdout);
	if (pipe2(ends, O_CLOEXEC)) {
		perror("pipe2");
		exit(EXIT_FAILURE);
	}
	t->pid = fork();
	if (!t->pid) {
		dup2(ends[1], STDERR_FILENO);
		close_range(3, ~0u, 0);
		worker(t->attempt, t->kind);
	}
	close(ends[1]);
	t->said = ends[0];
}

/* What the process said; it is reaped then. */
static int await(const struct trial *t, char *said, size_t size)
{
	size_t used = 0;
	int status = 0;
	ssize_t n;

	while ((n = read(t->said, said + used, size - 1 - used)) > 0)
		used += (size_t)n;
	said[used] = '\0';
	close(t->said);
	waitpid(t->pid, &status, 0);
	return status;
}

static void describe(char *why, size_t size, int wanted, int status, const char *said)
{
	if (WIFSIGNALED(status))
		snprintf(why, size, "wanted %d, got signal %d: %.200s", wanted, WTERMSIG(status),
			said);
	else
		snprintf(why, size, "wanted %d, got %d: %.200s", wanted, WEXITSTATUS(status), said);
}

static bool as_wanted(int wanted, int status, const char *said)
{
	if (wanted == KILLED)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	if (wanted == DIES)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS &&
		       strstr(said, "enlite: sandbox: ");
	return WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

static void end_oldest(void)
{
	const struct trial *t = &trials[ended++ % AT_ONCE];
	char said[1024], why[512];
	int status = await(t, said, sizeof(said));
	bool ok = as_wanted(t->wanted, status, said);

	describe(why, sizeof(why), t->wanted, status, said);
	result(ok, t->on, t->attempt, why);
}

static void try_on(const struct attempt *a, enum thread_kind kind, const char *name, int wanted)
{
	struct trial *t = &trials[begun % AT_ONCE];

	if (begun - ended == AT_ONCE)
		end_oldest();
	*t = (struct trial){.attempt = a, .kind = kind, .on = name, .wanted = wanted};
	begin(t);
	begun++;
}

/* ---- what is beside them ------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	if (!f || fputs(text, f) < 0 || fclose(f)) {
		perror(path);
		exit(EXIT_FAILURE);
	}
}

static pid_t sleeper(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return pid;
}

static bool canary_is_whole(void)
{
	char text[64] = "";
	FILE *f = fopen(canary, "r");
	struct stat st;
	bool ok = f && fgets(text, sizeof(text), f) && !strcmp(text, "canary\n") &&
		  !fstat(fileno(f), &st) && st.st_nlink == 1 && !(st.st_mode & 0022);

	if (f)
		fclose(f);
	return ok;
}

static void beside(bool ok, const char *what)
{
	printf("%sok - escape: %s beside the workers is untouched\n", ok ? "" : "not ", what);
	failures += !ok;
}

static void prepare(const char *directory)
{
	umask(0022);
	snprintf(canary, sizeof(canary), "%s/canary", directory);
	snprintf(named, sizeof(named), "%s/named", directory);
	snprintf(kernel, sizeof(kernel), "%s/kernel", directory);
	snprintf(socket_path, sizeof(socket_path), "%s/other.sock", directory);
	write_file(canary, "canary\n");
	write_file(named, "");
	write_file(kernel, "");
	if (truncate(named, 4096))
		exit(EXIT_FAILURE);
	place.directory = directory;
	place.canary = canary;
	place.named = named;
	place.socket = socket_path;
	place.neighbour = sleeper();
}

int main(int argc, char **argv)
{
	int listener;

	if (argc != 2) {
		fprintf(stderr, "usage: escape DIRECTORY\n");
		return 2;
	}
	prepare(argv[1]);
	listener = unix_socket_listen(socket_path, SOCK_STREAM, 8);
	for (const struct attempt *a = attempts; a->name; a++) {
		try_on(a, THREAD_VP, "a VP", a->vp);
		try_on(a, THREAD_LOOP, "an I/O thread", a->loop);
		try_on(a, THREAD_HELPER, "control", a->control);
	}
	while (ended < begun)
		end_oldest();
	beside(canary_is_whole(), "a file");
	beside(!kill(place.neighbour, 0), "a process");
	beside(!poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 0), "a socket");
	kill(place.neighbour, SIGKILL);
	return failures != 0;
}
