/* SPDX-License-Identifier: MIT */
/* Reads files into private memory; bounded reads from there. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "hyper/boot/boot_impl.h"

static int file_size(int fd, const char *path, uint64_t max, uint64_t *size, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: not a regular file", path);
	if (st.st_size == 0)
		return err_set(e, -EINVAL, "%s: the file is empty", path);
	if ((uint64_t)st.st_size > max)
		return err_set(e, -EFBIG, "%s: %llu MiB, but at most %llu MiB can be loaded", path,
			boot_mib((uint64_t)st.st_size), boot_mib(max));
	*size = (uint64_t)st.st_size;
	return 0;
}

/* A file that shrinks meanwhile is an error: a truncated kernel must not boot. */
static int read_all(int fd, const char *path, uint8_t *to, uint64_t size, struct err *e)
{
	for (uint64_t done = 0; done < size;) {
		ssize_t got = pread(fd, to + done, size - done, (off_t)done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(e, -errno, "%s: %s", path, strerror(errno));
		if (got == 0)
			return err_set(
				e, -EIO, "%s: the file became shorter while it was read", path);
		done += (uint64_t)got;
	}
	return 0;
}

/* O_NONBLOCK: opening a FIFO by mistake must not hang. */
int boot_image_open(const char *path, struct err *e)
{
	int fd = files_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);

	return fd < 0 ? err_set(e, -errno, "%s: %s", path, strerror(errno)) : fd;
}

int boot_image_read(struct boot_image *image, int fd, const char *path, uint64_t max, struct err *e)
{
	uint64_t size = 0;
	uint8_t *data;
	int ret;

	*image = (struct boot_image){.path = path};
	ret = file_size(fd, path, max, &size, e);
	if (ret)
		return ret;
	data = malloc(size);
	if (!data)
		return err_set(e, -ENOMEM, "%s: no memory for %llu MiB", path, boot_mib(size));
	ret = read_all(fd, path, data, size, e);
	if (ret) {
		free(data);
		return ret;
	}
	image->data = data;
	image->size = size;
	return 0;
}

void boot_image_free(struct boot_image *image)
{
	free(image->data);
	image->data = NULL;
	image->size = 0;
}

int boot_image_get(const struct boot_image *image, uint64_t offset, void *to, uint64_t len)
{
	if (offset > image->size || len > image->size - offset)
		return -ENODATA;
	memcpy(to, image->data + offset, len);
	return 0;
}
