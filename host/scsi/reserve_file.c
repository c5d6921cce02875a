/* SPDX-License-Identifier: MIT */
/*
 * The file that keeps a reservation: one line of text. It is replaced as a
 * whole: a loss of power leaves the old one or the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "scsi/reserve.h"

#define LINE_MAX_SIZE 64

static int sync_directory(const char *path)
{
	char dir[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, ret;

	if (!slash)
		snprintf(dir, sizeof(dir), ".");
	else
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path + 1), path);
	fd = files_open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

static int write_line(const char *path, const char *line)
{
	size_t length = strlen(line);
	int fd, ret = 0;

	fd = files_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, line, length) != (ssize_t)length)
		ret = -EIO;
	else if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

static int replace(const char *path, const char *line)
{
	char *temporary;
	int ret;

	if (asprintf(&temporary, "%s.tmp", path) < 0)
		return -ENOMEM;
	ret = write_line(temporary, line);
	if (!ret && files_rename(temporary, path))
		ret = -errno;
	if (ret)
		files_unlink(temporary);
	free(temporary);
	return ret;
}

static int write_state(const char *path, const struct scsi_reserve_state *state)
{
	char line[LINE_MAX_SIZE];

	if (!state->keep)
		return files_unlink(path) && errno != ENOENT ? -errno : 0;
	snprintf(line, sizeof(line), "enlite-reservation 1 %016" PRIx64 " %u\n", state->key,
		state->type);
	return replace(path, line);
}

/* Without the directory on its disk a loss of power may bring the old file back, so the command
 * fails: then the old state must be the one in the file, too. */
int scsi_reserve_save(const char *path, const struct scsi_reserve_state *old,
	const struct scsi_reserve_state *next)
{
	int ret = write_state(path, next);

	if (ret)
		return ret;
	ret = sync_directory(path);
	if (ret)
		write_state(path, old);
	return ret;
}

static bool parse(const char *line, struct scsi_reserve_state *state)
{
	unsigned int type;
	int end = 0;

	if (sscanf(line, "enlite-reservation 1 %16" SCNx64 " %2u\n%n", &state->key, &type, &end) <
		2)
		return false;
	if (!end || line[end] || !state->key || type > 15)
		return false;
	state->type = (uint8_t)type;
	state->keep = true;
	return type == 0 || scsi_reserve_type_valid(state->type);
}

int scsi_reserve_load(const char *path, struct scsi_reserve_state *state, struct err *e)
{
	char line[LINE_MAX_SIZE] = "";
	ssize_t got;
	int fd;

	*state = (struct scsi_reserve_state){0};
	fd = files_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set(
			e, -errno, "reservation %s: cannot be read: %s", path, strerror(errno));
	got = read(fd, line, sizeof(line) - 1);
	close(fd);
	if (got > 0 && parse(line, state))
		return 0;
	*state = (struct scsi_reserve_state){0};
	return err_set(
		e, -EINVAL, "reservation %s: is damaged; delete it when no cluster needs it", path);
}
