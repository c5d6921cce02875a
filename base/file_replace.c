/* SPDX-License-Identifier: MIT */
#include "base/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/broker.h"
#include "base/file_lock.h"
#include "base/files.h"

const struct file_replace_calls file_replace_calls = {
	.open = files_open,
	.lstat = files_lstat,
	.write = write,
	.fsync = fsync,
	.close = close,
	.rename = files_rename,
	.unlink = files_unlink,
	.sync = files_sync,
};

/* What is open in this process, and has no name but NAME.tmp: once renamed, a NAME.tmp is another
 * writer's. The lock is a leaf, but for the unlinks at the end. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all};

/* ---- directories --------------------------------------------------------- */

/* Named with its slash, as the broker grants it. */
static int sync_directory(const struct file_replace_calls *calls, const char *path)
{
	const char *slash = strrchr(path, '/');
	char *directory = slash ? strndup(path, (size_t)(slash + 1 - path)) : strdup("./");
	int ret;

	if (!directory)
		return -ENOMEM;
	ret = calls->sync(directory) ? -errno : 0;
	free(directory);
	return ret;
}

int file_sync_directory(const char *path)
{
	return sync_directory(&file_replace_calls, path);
}

/* ---- what is there ------------------------------------------------------- */

/* A reader's lock: it is refused while a writer has the file. */
static int check_old(const struct file_replace *r, bool (*is_ours)(int fd))
{
	int fd = r->calls->open(r->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0), ret;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ret = is_ours(fd) ? file_lock_take(fd, true) : -EEXIST;
	r->calls->close(fd);
	return ret;
}

/* 0: the file has NAME.tmp still; -EBUSY: the name is another file's, or gone; another -errno. */
static int check_name(const struct file_replace *r, const struct stat *file)
{
	struct stat named;

	if (r->calls->lstat(r->tmp_path, &named))
		return errno == ENOENT ? -EBUSY : -errno;
	return file->st_dev == named.st_dev && file->st_ino == named.st_ino ? 0 : -EBUSY;
}

static int check_left(const struct file_replace *r, int fd)
{
	struct stat file;

	return fstat(fd, &file) ? -errno : check_name(r, &file);
}

/* The same of ours. It may be closed already. */
static int check_created(struct file_replace *r)
{
	if (r->fd >= 0 && fstat(r->fd, &r->created))
		return -errno;
	return check_name(r, &r->created);
}

/* The first is refused while its writer lives, the second while another removes it. (NFS has no
 * such lock on what is open for reading.) */
static int lock_left(int fd)
{
	int ret = file_lock_take(fd, true);

	return !ret && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK ? -EBUSY : ret;
}

static int unlink_left(const struct file_replace *r)
{
	return r->calls->unlink(r->tmp_path) && errno != ENOENT ? -errno : 0;
}

/* A NAME.tmp whose writer was killed. Between its opening and its lock it may have been removed,
 * and the name may be another writer's. */
static int remove_left(const struct file_replace *r, bool (*is_ours)(int fd))
{
	int fd = r->calls->open(r->tmp_path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC, 0);
	int ret;

	if (fd < 0 && errno == ELOOP)
		return unlink_left(r);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ret = is_ours && !is_ours(fd) ? -EEXIST : lock_left(fd);
	if (!ret)
		ret = check_left(r, fd);
	if (!ret)
		ret = unlink_left(r);
	r->calls->close(fd);
	return ret;
}

/* ---- from the beginning to the end --------------------------------------- */

static void enlist(struct file_replace *r)
{
	pthread_mutex_lock(&lock);
	list_add_tail(&all, &r->link);
	pthread_mutex_unlock(&lock);
}

static void delist(struct file_replace *r)
{
	pthread_mutex_lock(&lock);
	list_del(&r->link);
	pthread_mutex_unlock(&lock);
}

/* Before it is locked, another may take it for one that was left: whose it is, is known then. */
static int create_file(struct file_replace *r, mode_t mode, bool (*is_ours)(int fd))
{
	int ret = is_ours ? check_old(r, is_ours) : 0;

	if (!ret)
		ret = remove_left(r, is_ours);
	if (ret)
		return ret;
	r->fd = r->calls->open(r->tmp_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (r->fd < 0)
		return errno == EEXIST ? -EBUSY : -errno;
	enlist(r);
	ret = file_lock_take(r->fd, false);
	return ret ? ret : check_created(r);
}

/* Not what has the name by now, if ours was removed in spite of the lock, or after it. */
static void unlink_ours(struct file_replace *r)
{
	if (check_created(r) != -EBUSY)
		r->calls->unlink(r->tmp_path);
}

static void release(struct file_replace *r)
{
	delist(r);
	if (r->fd >= 0)
		r->calls->close(r->fd);
	free(r->tmp_path);
	free(r->path);
	*r = (struct file_replace){.fd = -1};
}

int file_replace_begin(struct file_replace *r, const struct file_replace_calls *calls,
	const char *path, mode_t mode, bool (*is_ours)(int fd))
{
	int ret = -ENOMEM;

	*r = (struct file_replace){.fd = -1, .calls = calls, .path = strdup(path)};
	list_init(&r->link);
	if (asprintf(&r->tmp_path, "%s" FILE_REPLACE_SUFFIX, path) < 0)
		r->tmp_path = NULL;
	if (r->path && r->tmp_path)
		ret = create_file(r, mode, is_ours);
	if (!ret)
		return 0;
	if (r->fd >= 0 && ret != -EBUSY)
		r->calls->unlink(r->tmp_path);
	release(r);
	return ret;
}

void file_replace_abort(struct file_replace *r)
{
	if (r->fd < 0)
		return;
	unlink_ours(r);
	release(r);
}

/* The broker renames only what no descriptor can write to any more: it looks by itself which file
 * has the name then (confine/vouch.h). Elsewhere the lock holds until the file has its name. */
static int move(struct file_replace *r)
{
	int ret = r->calls->fsync(r->fd) ? -errno : check_created(r);

	if (ret)
		return ret;
	if (broker_used()) {
		r->calls->close(r->fd);
		r->fd = -1;
	}
	if (r->calls->rename(r->tmp_path, r->path))
		return -errno;
	delist(r);
	return 0;
}

int file_replace_commit(struct file_replace *r, bool *named)
{
	int ret = move(r);
	bool moved = !ret;

	if (named)
		*named = moved;
	if (moved)
		ret = sync_directory(r->calls, r->path);
	else
		unlink_ours(r);
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

static int write_all(const struct file_replace *r, const uint8_t *bytes, size_t size)
{
	while (size) {
		ssize_t n = r->calls->write(r->fd, bytes, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_replace(const struct file_replace_calls *calls, const char *path, const void *bytes,
	size_t size, mode_t mode, bool *named)
{
	struct file_replace r;
	int ret = file_replace_begin(&r, calls, path, mode, NULL);

	*named = false;
	if (!ret)
		ret = write_all(&r, bytes, size);
	if (!ret)
		return file_replace_commit(&r, named);
	file_replace_abort(&r);
	return ret;
}
