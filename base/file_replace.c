/* SPDX-License-Identifier: MIT */
#include "base/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/broker.h"
#include "base/file_lock.h"
#include "base/files.h"

/* What is open in this process. The lock is a leaf, but for the unlinks at the end. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all};

/* Named with its slash, as the broker grants it. */
int file_sync_directory(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup("./");
	int ret;

	if (!directory)
		return -ENOMEM;
	ret = files_sync(directory) ? -errno : 0;
	free(directory);
	return ret;
}

/* A reader's lock: it is refused while a writer has the file. */
static int check_old(const char *name, int flags, bool (*is_ours)(int fd))
{
	int fd = files_open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | flags, 0), ret;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ret = is_ours && !is_ours(fd) ? -EEXIST : file_lock_take(fd, true);
	close(fd);
	return ret;
}

static void enlist(struct file_replace *r)
{
	pthread_mutex_lock(&lock);
	list_add_tail(&all, &r->link);
	pthread_mutex_unlock(&lock);
}

static int create_file(struct file_replace *r, mode_t mode, bool (*is_ours)(int fd))
{
	int ret = is_ours ? check_old(r->path, 0, is_ours) : 0;

	if (!ret)
		ret = check_old(r->tmp_path, O_NOFOLLOW, is_ours);
	if (ret && ret != -ELOOP)
		return ret;
	files_unlink(r->tmp_path);
	enlist(r);
	r->fd = files_open(r->tmp_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	return r->fd < 0 ? -errno : file_lock_take(r->fd, false);
}

static void release(struct file_replace *r)
{
	pthread_mutex_lock(&lock);
	list_del(&r->link);
	pthread_mutex_unlock(&lock);
	if (r->fd >= 0)
		close(r->fd);
	free(r->tmp_path);
	free(r->path);
	*r = (struct file_replace){.fd = -1};
}

int file_replace_begin(
	struct file_replace *r, const char *path, mode_t mode, bool (*is_ours)(int fd))
{
	int ret = -ENOMEM;

	*r = (struct file_replace){.fd = -1, .path = strdup(path)};
	list_init(&r->link);
	if (asprintf(&r->tmp_path, "%s" FILE_REPLACE_SUFFIX, path) < 0)
		r->tmp_path = NULL;
	if (r->path && r->tmp_path)
		ret = create_file(r, mode, is_ours);
	if (!ret)
		return 0;
	if (r->fd >= 0)
		files_unlink(r->tmp_path);
	release(r);
	return ret;
}

void file_replace_abort(struct file_replace *r)
{
	if (r->fd < 0)
		return;
	files_unlink(r->tmp_path);
	release(r);
}

/* The broker renames only what no descriptor can write to any more. Elsewhere the lock holds until
 * the file has its name. */
static int move(struct file_replace *r)
{
	if (fsync(r->fd))
		return -errno;
	if (broker_used()) {
		close(r->fd);
		r->fd = -1;
	}
	return files_rename(r->tmp_path, r->path) ? -errno : 0;
}

int file_replace_commit(struct file_replace *r, bool *named)
{
	int ret = move(r);
	bool moved = !ret;

	if (named)
		*named = moved;
	if (moved)
		ret = file_sync_directory(r->path);
	else
		files_unlink(r->tmp_path);
	release(r);
	return ret;
}

void file_replace_abandon_all(void)
{
	pthread_mutex_lock(&lock);
	list_for_each (item, &all)
		files_unlink_apart(container_of(item, struct file_replace, link)->tmp_path);
	pthread_mutex_unlock(&lock);
}

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t n = write(fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_replace(const char *path, const void *bytes, size_t size, mode_t mode)
{
	struct file_replace r;
	int ret = file_replace_begin(&r, path, mode, NULL);

	if (!ret)
		ret = write_all(r.fd, bytes, size);
	if (!ret)
		return file_replace_commit(&r, NULL);
	file_replace_abort(&r);
	return ret;
}
