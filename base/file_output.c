/* SPDX-License-Identifier: MIT */
#include "base/file_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/files.h"

#define ROOM_WAIT_MS 100

int file_output_open(const char *path, int flags, mode_t mode)
{
	int fd = files_open(
		path, flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
	int ret;

	if (fd < 0)
		return -errno;
	ret = file_lock_take(fd, false);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static bool wait_for_room(int fd, const _Atomic bool *closing)
{
	struct pollfd out = {.fd = fd, .events = POLLOUT};
	bool last = atomic_load(closing);

	return poll(&out, 1, ROOM_WAIT_MS) != 0 || !last;
}

int file_output_write(int fd, const void *bytes, size_t len, const _Atomic bool *closing)
{
	const uint8_t *at = bytes;

	while (len) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EAGAIN && wait_for_room(fd, closing))
			continue;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
	}
	return 0;
}
