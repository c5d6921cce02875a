/* SPDX-License-Identifier: MIT */
/*
 * Where control sockets are: $ENLITE_RUN_DIR/enlite. A user who may write there can put a
 * socket of his own in the place of a VM's, so a server uses only a directory of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_owner.h"
#include "mgmt/ctl.h"
#include "mgmt/ctl_impl.h"

static const char *run_dir(void)
{
	const char *dir = getenv("ENLITE_RUN_DIR");

	if (dir && *dir)
		return dir;
	dir = getenv("XDG_RUNTIME_DIR");
	return dir && *dir ? dir : "/run";
}

int ctl_path(char path[CTL_PATH_MAX], const char *name, struct err *e)
{
	if (snprintf(path, CTL_PATH_MAX, "%s/enlite/%s.sock", run_dir(), name) < (int)CTL_PATH_MAX)
		return 0;
	return err_set(e, -ENAMETOOLONG,
		"%s/enlite/%s.sock: too long for a socket; set ENLITE_RUN_DIR to a shorter directory",
		run_dir(), name);
}

/* The descriptor of a directory of ours; -errno. */
static int open_private(const char *dir, struct err *e)
{
	const char *why;
	int fd = -1;

	if (!mkdir(dir, 0700) || errno == EEXIST)
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOTDIR)
		return err_set(e, -ENOTDIR,
			"%s: not a directory (symbolic links are not followed); set ENLITE_RUN_DIR",
			dir);
	if (fd < 0)
		return err_set(e, -errno, "cannot create or open %s: %s; set ENLITE_RUN_DIR", dir,
			strerror(errno));
	why = file_not_private(fd);
	if (!why)
		return fd;
	close(fd);
	return err_set(e, -EPERM,
		"%s: %s; make it yours with mode 0700, or set ENLITE_RUN_DIR to another directory",
		dir, why);
}

int ctl_dir_lock(const char *path, struct err *e)
{
	char dir[CTL_PATH_MAX];
	int fd, ret;

	snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(path, '/') - path), path);
	fd = open_private(dir, e);
	if (fd < 0 || !flock(fd, LOCK_EX))
		return fd;
	ret = err_set(e, -errno, "cannot lock %s: %s; set ENLITE_RUN_DIR", dir, strerror(errno));
	close(fd);
	return ret;
}
