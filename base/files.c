/* SPDX-License-Identifier: MIT */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/broker.h"

/* As a system call returns: -1 and errno. */
static int outcome(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

static int call(enum broker_op op, int32_t a, int32_t b, const char *path)
{
	return outcome(broker_call_text(op, a, b, path));
}

int files_open(const char *path, int flags, mode_t mode)
{
	if (!broker_used())
		return open(path, flags, mode);
	return call(BROKER_OPEN, flags, (int32_t)mode, path);
}

FILE *files_fopen(const char *path)
{
	int fd = files_open(path, O_RDONLY | O_CLOEXEC, 0);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	if (!f && fd >= 0)
		close(fd);
	return f;
}

/* ---- answers that are no number ------------------------------------------ */

struct exchange {
	struct broker_request request;
	struct broker_reply reply;
};

/* With the answer to be freed; NULL: errno says why. */
static struct exchange *ask(enum broker_op op, int32_t a, const char *path)
{
	struct exchange *x = malloc(sizeof(*x));
	int ret = -ENOMEM;

	if (x) {
		broker_request_init(&x->request, op, a, 0);
		ret = broker_request_add(&x->request, path);
	}
	if (!ret)
		ret = broker_call(&x->request, &x->reply);
	if (ret >= 0)
		return x;
	free(x);
	errno = -ret;
	return NULL;
}

static int ask_stat(const char *path, struct stat *st, bool link)
{
	struct exchange *x = ask(BROKER_STAT, link, path);

	if (!x)
		return -1;
	*st = x->reply.stat;
	free(x);
	return 0;
}

int files_stat(const char *path, struct stat *st)
{
	return broker_used() ? ask_stat(path, st, false) : stat(path, st);
}

int files_lstat(const char *path, struct stat *st)
{
	return broker_used() ? ask_stat(path, st, true) : lstat(path, st);
}

char *files_realpath(const char *path)
{
	struct exchange *x;
	char *real;

	if (!broker_used())
		return realpath(path, NULL);
	x = ask(BROKER_REALPATH, 0, path);
	if (!x)
		return NULL;
	real = strndup(x->reply.text, x->reply.bytes);
	free(x);
	return real;
}

/* ---- changes ------------------------------------------------------------- */

int files_access(const char *path, int mode)
{
	return broker_used() ? call(BROKER_ACCESS, mode, 0, path) : access(path, mode);
}

int files_unlink(const char *path)
{
	return broker_used() ? call(BROKER_UNLINK, 0, 0, path) : unlink(path);
}

/* Nothing is closed before: a close may hang where the file system of a disk does. So what the
 * process holds, locks of disks for one, stays held as long as this unlink hangs. */
static _Noreturn void unlink_in_child(const char *path)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	unlink(path);
	_exit(EXIT_SUCCESS);
}

/* fork() would wait for locks that other threads may have. */
void files_unlink_apart(const char *path)
{
	pid_t child;

	if (broker_used()) {
		files_unlink(path);
		return;
	}
	child = _Fork();
	if (!child)
		unlink_in_child(path);
	if (child > 0)
		waitpid(child, NULL, 0);
}

int files_sync(const char *directory)
{
	int fd, ret;

	if (broker_used())
		return call(BROKER_SYNC, 0, 0, directory);
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = fsync(fd) && errno != EINVAL ? -errno : 0;
	close(fd);
	return outcome(ret);
}

static int ask_rename(const char *from, const char *to)
{
	struct exchange *x = malloc(sizeof(*x));
	int ret = -ENOMEM;

	if (x) {
		broker_request_init(&x->request, BROKER_RENAME, 0, 0);
		ret = broker_request_add(&x->request, from);
	}
	if (!ret)
		ret = broker_request_add(&x->request, to);
	if (!ret)
		ret = broker_call(&x->request, &x->reply);
	free(x);
	return outcome(ret);
}

int files_rename(const char *from, const char *to)
{
	return broker_used() ? ask_rename(from, to) : rename(from, to);
}
