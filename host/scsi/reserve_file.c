/* SPDX-License-Identifier: MIT */
/* The file that keeps a reservation: one line of text, replaced as a whole (file_replace.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_replace.h"
#include "base/files.h"
#include "scsi/reserve.h"

#define LINE_MAX_SIZE 64

/* *changed: the file is another one, or gone, also when that is not durable. */
static int write_state(const char *path, const struct scsi_reserve_state *state, bool *changed)
{
	char line[LINE_MAX_SIZE];
	int length;

	*changed = false;
	if (!state->keep) {
		if (files_unlink(path))
			return errno == ENOENT ? 0 : -errno;
		*changed = true;
		return file_sync_directory(path);
	}
	length = snprintf(line, sizeof(line), "enlite-reservation 1 %016" PRIx64 " %u\n",
		state->key, state->type);
	return file_replace(&file_replace_calls, path, line, (size_t)length, 0600, changed);
}

/* Without the directory on its disk a loss of power may bring the old file back, so the command
 * fails: then the old state must be the one in the file, too. */
int scsi_reserve_save(const char *path, const struct scsi_reserve_state *old,
	const struct scsi_reserve_state *next)
{
	bool changed;
	int ret = write_state(path, next, &changed);

	if (ret && changed)
		write_state(path, old, &changed);
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
