/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

int identity_boot(char boot[BOOT_ID_MAX])
{
	int ret = read_text("/proc/sys/kernel/random/boot_id", boot, BOOT_ID_MAX);

	if (!ret)
		boot[strcspn(boot, "\n")] = '\0';
	return ret;
}

/* The program's name may have spaces and parentheses; what is behind the last one is numbers. */
static int read_stat(pid_t pid, int *parent, uint64_t *start)
{
	char path[32], text[1024];
	const char *at;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	ret = read_text(path, text, sizeof(text));
	if (ret)
		return ret == -ENOENT ? -ESRCH : ret;
	at = strrchr(text, ')');
	if (!at ||
		sscanf(at,
			") %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %" SCNu64,
			parent, start) != 2)
		return -EPROTO;
	return 0;
}

int identity_of(pid_t pid, struct identity *id)
{
	int parent, ret;

	memset(id, 0, sizeof(*id));
	id->pid = pid;
	ret = read_stat(pid, &parent, &id->start);
	return ret ? ret : identity_boot(id->boot);
}

/* A number that is a thread's by now is no process: EINVAL, or ENOENT of newer kernels. */
static int open_pid(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd >= 0)
		return fd;
	return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

static int compare(const struct identity *id)
{
	struct identity now;
	int ret = identity_of(id->pid, &now);

	return ret ? ret : now.start == id->start ? 0 : -ESRCH;
}

/* The descriptor first: what is read after it is of the same process, or of one that began later.
 */
int identity_open(const struct identity *id)
{
	char boot[BOOT_ID_MAX];
	int fd, ret = identity_boot(boot);

	if (ret)
		return ret;
	if (strcmp(boot, id->boot))
		return -ESRCH;
	fd = open_pid(id->pid);
	if (fd < 0)
		return fd;
	ret = compare(id);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

pid_t identity_parent(pid_t pid)
{
	uint64_t start;
	int parent;

	return read_stat(pid, &parent, &start) ? 0 : parent;
}

json_t *identity_json(const struct identity *id)
{
	return json_pack("{s:i, s:I, s:s}", "pid", (int)id->pid, "start", (json_int_t)id->start,
		"boot", id->boot);
}

bool identity_from_json(struct identity *id, const json_t *json)
{
	const char *boot;
	json_int_t start;
	int pid;

	memset(id, 0, sizeof(*id));
	if (json_unpack((json_t *)json, "{s:i, s:I, s:s}", "pid", &pid, "start", &start, "boot",
		    &boot) ||
		pid <= 1 || start < 0)
		return false;
	id->pid = pid;
	id->start = (uint64_t)start;
	snprintf(id->boot, sizeof(id->boot), "%s", boot);
	return true;
}
