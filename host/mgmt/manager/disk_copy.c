/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/disk_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/file_replace.h"
#include "base/time.h"

#define SHARED (64u << 10) /* bytes: a multiple of all block sizes */
#define STEP   (4u << 20)  /* bytes between two reads of `cancelled` */

/* ---- opening ------------------------------------------------------------- */

static int failed(const char *path, const char *what, int error, struct err *e)
{
	return err_set(e, error, "%s: %s: %s", path, what, strerror(-error));
}

static int lock(int fd, const char *path, bool shared, struct err *e)
{
	int ret = file_lock_take(fd, shared);

	if (ret == -EBUSY)
		return err_set(e, ret, "%s: another process uses it; stop that first", path);
	return ret ? failed(path, "cannot be locked", ret, e) : 0;
}

static int open_from(struct disk_copies *c, struct disk_copy *d, struct err *e)
{
	struct stat st;

	d->from_fd = open(d->from, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (d->from_fd < 0 || fstat(d->from_fd, &st))
		return failed(d->from, "cannot be read", -errno, e);
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: is no regular file", d->from);
	d->size = (uint64_t)st.st_size;
	d->changed_ns = timespec_ns(st.st_mtim);
	if (d->known && ((int64_t)d->size != d->known_size ||
				(int64_t)d->changed_ns != d->known_changed_ns))
		return err_set(e, -EBUSY, "%s: was changed since the snapshot was taken", d->from);
	atomic_fetch_add(&c->total, d->size);
	return c->locked ? 0 : lock(d->from_fd, d->from, true, e);
}

static int open_to(const struct disk_copies *c, struct disk_copy *d, struct err *e)
{
	int flags = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | (c->in_place ? 0 : O_CREAT | O_EXCL);
	struct stat st;

	d->to_fd = open(d->to, O_RDWR | flags, 0600);
	if (d->to_fd < 0 && errno == EEXIST)
		return err_set(e, -EEXIST, "%s: is there already; remove it", d->to);
	if (d->to_fd < 0 || fstat(d->to_fd, &st))
		return failed(
			d->to, c->in_place ? "cannot be written" : "cannot be made", -errno, e);
	d->made = !c->in_place;
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s: is no regular file", d->to);
	return lock(d->to_fd, d->to, false, e);
}

/* ---- are copies possible? ------------------------------------------------ */

static bool has_no_reflink(int error)
{
	return error == EOPNOTSUPP || error == ENOTTY || error == EXDEV || error == EINVAL ||
	       error == ENOSYS;
}

/* Into a file without a name: a manager that dies here leaves nothing. */
static int share_some(int from, const char *path)
{
	struct file_clone_range range = {.src_fd = from, .src_length = SHARED};
	char dir[PATH_MAX];
	struct stat st;
	int ret, to;

	if (from < 0 || fstat(from, &st) || snprintf(dir, sizeof(dir), "%s", path) >= PATH_MAX)
		return 0;
	if (st.st_size < (off_t)SHARED)
		range.src_length = 0; /* all */
	to = open(dirname(dir), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (to < 0)
		return 0;
	ret = ioctl(to, FICLONERANGE, &range) ? -errno : 0;
	close(to);
	return ret;
}

bool disk_copy_shares(const char *path)
{
	int from = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	int ret = share_some(from, path);

	if (from >= 0)
		close(from);
	return !has_no_reflink(-ret);
}

int disk_copy_refuse(const char *path, struct err *e)
{
	return err_set(e, -EBUSY,
		"%.300s: its file system cannot share blocks between files, as XFS and btrfs do; put the disk there, or ask for a full copy (--copy)",
		path);
}

/* ---- copying ------------------------------------------------------------- */

static int copy_range(struct disk_copies *c, const struct disk_copy *d, off_t at, off_t end)
{
	while (at < end) {
		size_t size = end - at > (off_t)STEP ? STEP : (size_t)(end - at);
		off_t from = at, to = at;
		ssize_t n = copy_file_range(d->from_fd, &from, d->to_fd, &to, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO; /* it has become shorter */
		if (atomic_load(&c->cancelled))
			return -ECANCELED;
		at += n;
		atomic_fetch_add(&c->done, (uint64_t)n);
	}
	return 0;
}

/* Holes stay holes: `to` is empty when this begins. */
static int copy_all(struct disk_copies *c, const struct disk_copy *d)
{
	off_t at = 0, end = 0;
	int ret = ftruncate(d->to_fd, 0) ? -errno : 0;

	while (!ret) {
		at = lseek(d->from_fd, end, SEEK_DATA);
		if (at < 0)
			return errno == ENXIO ? 0 : -errno;
		atomic_fetch_add(&c->done, (uint64_t)(at - end));
		end = lseek(d->from_fd, at, SEEK_HOLE);
		ret = end < 0 ? -errno : copy_range(c, d, at, end);
	}
	return ret;
}

static int copy_blocks(struct disk_copies *c, const struct disk_copy *d, struct err *e)
{
	int ret;

	if (!ioctl(d->to_fd, FICLONE, d->from_fd)) {
		c->changed = true;
		atomic_fetch_add(&c->done, d->size);
		return 0;
	}
	if (!has_no_reflink(errno))
		return failed(d->to, "cannot share the blocks of its original", -errno, e);
	if (!c->full)
		return disk_copy_refuse(d->from, e);
	c->changed = true;
	ret = copy_all(c, d);
	return ret ? failed(d->to, "cannot be copied", ret, e) : 0;
}

/* The time of the last change is the original's: a saved VM knows its disks by it. */
static int finish(const struct disk_copies *c, const struct disk_copy *d)
{
	uint64_t ns = d->set_changed_ns < 0 ? d->changed_ns : (uint64_t)d->set_changed_ns;
	struct timespec times[] = {{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)}};
	struct stat st;

	if (ftruncate(d->to_fd, (off_t)d->size) || fsync(d->to_fd))
		return -errno;
	if (!c->in_place && (fstat(d->from_fd, &st) || fchown(d->to_fd, st.st_uid, st.st_gid)))
		return -errno;
	if (c->frozen ? fchmod(d->to_fd, 0400) : 0)
		return -errno;
	if (futimens(d->to_fd, times) || fsync(d->to_fd))
		return -errno;
	return c->in_place ? 0 : file_sync_directory(d->to);
}

static int copy_one(struct disk_copies *c, struct disk_copy *d, struct err *e)
{
	int ret = copy_blocks(c, d, e);

	if (ret)
		return ret;
	ret = finish(c, d);
	return ret ? failed(d->to, "cannot be completed", ret, e) : 0;
}

/* ---- all ----------------------------------------------------------------- */

static int run(struct disk_copies *c, int (*step)(struct disk_copies *, uint32_t, struct err *),
	struct err *e)
{
	int ret = 0;

	for (uint32_t i = 0; i < c->count && !ret; i++) {
		if (atomic_load(&c->cancelled))
			return err_set(e, -ECANCELED, "cancelled");
		ret = step(c, i, e);
	}
	return ret;
}

static int open_one(struct disk_copies *c, uint32_t i, struct err *e)
{
	int ret = open_from(c, &c->list[i], e);

	return ret ? ret : open_to(c, &c->list[i], e);
}

static int make_one(struct disk_copies *c, uint32_t i, struct err *e)
{
	return copy_one(c, &c->list[i], e);
}

static void close_all(struct disk_copies *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->list[i].from_fd >= 0)
			close(c->list[i].from_fd);
		if (c->list[i].to_fd >= 0)
			close(c->list[i].to_fd);
	}
}

int disk_copies_make(struct disk_copies *c, struct err *e)
{
	int ret;

	for (uint32_t i = 0; i < c->count; i++)
		c->list[i].from_fd = c->list[i].to_fd = -1;
	ret = run(c, open_one, e);
	if (!ret)
		ret = run(c, make_one, e);
	close_all(c);
	if (ret)
		disk_copies_remove(c);
	return ret;
}

void disk_copies_remove(const struct disk_copies *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		if (c->list[i].made && !unlink(c->list[i].to))
			file_sync_directory(c->list[i].to);
		c->list[i].made = false;
	}
}

void disk_copies_free(struct disk_copies *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		free(c->list[i].from);
		free(c->list[i].to);
	}
	free(c->list);
	c->list = NULL;
	c->count = 0;
}
