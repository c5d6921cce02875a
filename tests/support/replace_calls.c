/* SPDX-License-Identifier: MIT */
#include "tests/support/replace_calls.h"

#include <errno.h>
#include <string.h>

struct replace_calls_seen replace_calls_seen;

static struct {
	unsigned int fail_at, between_at;
	bool crash, crashed;
	void (*between)(void);
} plan;

static void begin(void)
{
	memset(&replace_calls_seen, 0, sizeof(replace_calls_seen));
	memset(&plan, 0, sizeof(plan));
}

void replace_calls_fail(unsigned int at, bool crash)
{
	begin();
	plan.fail_at = at;
	plan.crash = crash;
}

void replace_calls_between(unsigned int at, void (*fn)(void))
{
	begin();
	plan.between_at = at;
	plan.between = fn;
}

static bool fails(char what)
{
	struct replace_calls_seen *seen = &replace_calls_seen;

	if (seen->count + 1 < sizeof(seen->order))
		seen->order[seen->count] = what;
	seen->count++;
	if (seen->count == plan.fail_at && plan.crash)
		plan.crashed = true;
	errno = EIO;
	return seen->count == plan.fail_at || plan.crashed;
}

/* What a call returns, when it has been made. */
static int made(int ret)
{
	int error = errno;

	if (plan.between && replace_calls_seen.count == plan.between_at) {
		void (*fn)(void) = plan.between;

		plan.between = NULL;
		fn();
	}
	errno = error;
	return ret;
}

static int try_open(const char *path, int flags, mode_t mode)
{
	return fails('o') ? -1 : made(file_replace_calls.open(path, flags, mode));
}

static int try_lstat(const char *path, struct stat *st)
{
	return fails('l') ? -1 : made(file_replace_calls.lstat(path, st));
}

static ssize_t try_write(int fd, const void *bytes, size_t size)
{
	bool half = fails('w');

	if (half && replace_calls_seen.count == plan.fail_at)
		file_replace_calls.write(fd, bytes, size / 2);
	errno = EIO;
	return half ? -1 : made((int)file_replace_calls.write(fd, bytes, size));
}

static int try_fsync(int fd)
{
	return fails('f') ? -1 : made(file_replace_calls.fsync(fd));
}

/* As the kernel does in any case. */
static int try_close(int fd)
{
	file_replace_calls.close(fd);
	return fails('c') ? -1 : made(0);
}

static int try_rename(const char *from, const char *to)
{
	return fails('r') ? -1 : made(file_replace_calls.rename(from, to));
}

static int try_unlink(const char *path)
{
	return fails('u') ? -1 : made(file_replace_calls.unlink(path));
}

static int try_sync(const char *directory)
{
	return fails('d') ? -1 : made(file_replace_calls.sync(directory));
}

const struct file_replace_calls replace_calls = {
	.open = try_open,
	.lstat = try_lstat,
	.write = try_write,
	.fsync = try_fsync,
	.close = try_close,
	.rename = try_rename,
	.unlink = try_unlink,
	.sync = try_sync,
};
