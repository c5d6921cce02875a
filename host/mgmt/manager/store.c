/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_owner.h"

/* In front of the name of a file that is being written. */
#define UNFINISHED ".new-"

static int real_openat(int dir, const char *name, int flags, mode_t mode)
{
	return openat(dir, name, flags, mode);
}

const struct store_calls store_calls = {
	.openat = real_openat,
	.write = write,
	.fsync = fsync,
	.close = close,
	.renameat = renameat,
	.unlinkat = unlinkat,
};

/* ---- the directory ------------------------------------------------------- */

static int make_path(const char *path)
{
	char part[PATH_MAX];
	size_t at = 0, len = strlen(path);

	if (len >= sizeof(part))
		return -ENAMETOOLONG;
	while (at < len) {
		at += strspn(path + at, "/");
		at += strcspn(path + at, "/");
		snprintf(part, sizeof(part), "%.*s", (int)at, path);
		if (mkdir(part, at < len ? 0755 : 0700) && errno != EEXIST)
			return -errno;
	}
	return 0;
}

int store_open(struct store *s, const char *path, struct err *e)
{
	const char *why;
	int ret = make_path(path);

	s->calls = &store_calls;
	s->dir = ret ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->dir < 0)
		return err_set(e, ret ? ret : -errno, "%s: cannot make or open it: %s", path,
			strerror(ret ? -ret : errno));
	why = file_not_private(s->dir);
	if (!why)
		return 0;
	store_close(s);
	return err_set(e, -EPERM, "%s: %s; make it yours with mode 0700", path, why);
}

void store_close(struct store *s)
{
	if (s->dir >= 0)
		close(s->dir);
	s->dir = -1;
}

static int flush_dir(const struct store *s, const char *name, struct err *e)
{
	if (!s->calls->fsync(s->dir))
		return 0;
	return err_set(e, -errno, "%s: the directory cannot be flushed: %s", name, strerror(errno));
}

/* ---- writing ------------------------------------------------------------- */

static int write_all(const struct store *s, int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = s->calls->write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The file in its temporary name, flushed. */
static int write_new(const struct store *s, const char *name, const char *text)
{
	int ret, fd = s->calls->openat(
			 s->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	ret = write_all(s, fd, text, strlen(text));
	if (!ret && s->calls->fsync(fd))
		ret = -errno;
	if (s->calls->close(fd) && !ret)
		ret = -errno;
	return ret;
}

static int replace(const struct store *s, const char *name, const char *text, struct err *e)
{
	char temporary[STORE_NAME_MAX + sizeof(UNFINISHED)];
	int ret;

	snprintf(temporary, sizeof(temporary), UNFINISHED "%s", name);
	ret = write_new(s, temporary, text);
	if (ret == -EEXIST) { /* of a manager that was killed */
		s->calls->unlinkat(s->dir, temporary, 0);
		ret = write_new(s, temporary, text);
	}
	if (!ret && s->calls->renameat(s->dir, temporary, s->dir, name))
		ret = -errno;
	if (!ret)
		return flush_dir(s, name, e);
	s->calls->unlinkat(s->dir, temporary, 0);
	return err_set(e, ret, "%s: cannot be written: %s", name, strerror(-ret));
}

int store_write(const struct store *s, const char *name, const json_t *json, struct err *e)
{
	char *text = json_dumps(json, JSON_INDENT(2));
	int ret;

	if (!text)
		return err_set(e, -ENOMEM, "%s: out of memory", name);
	if (strlen(text) > STORE_FILE_MAX)
		ret = err_set(e, -EFBIG, "%s: larger than %u bytes", name, STORE_FILE_MAX);
	else
		ret = replace(s, name, text, e);
	free(text);
	return ret;
}

int store_remove(const struct store *s, const char *name, struct err *e)
{
	if (s->calls->unlinkat(s->dir, name, 0))
		return errno == ENOENT ? 0
				       : err_set(e, -errno, "%s: cannot be removed: %s", name,
						 strerror(errno));
	return flush_dir(s, name, e);
}

int store_rename(const struct store *s, const char *from, const char *to, struct err *e)
{
	if (s->calls->renameat(s->dir, from, s->dir, to))
		return err_set(e, -errno, "%s: cannot be renamed: %s", from, strerror(errno));
	return flush_dir(s, to, e);
}

/* ---- reading ------------------------------------------------------------- */

/* NULL, or why a file is not one that we wrote. */
static const char *foreign(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_nlink != 1)
		return "has a second name";
	if (st.st_size > STORE_FILE_MAX)
		return "is too large";
	return file_not_private(fd);
}

static int read_json(int fd, const char *name, json_t **json, struct err *e)
{
	const char *why = foreign(fd);
	json_error_t error;

	if (why)
		return err_set(e, -EPERM, "%s: %s; remove it", name, why);
	*json = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
	if (json_is_object(*json))
		return 0;
	why = *json ? "not an object" : error.text;
	json_decref(*json);
	*json = NULL;
	return err_set(e, -EBADMSG, "%s:%d: torn or not ours: %s; repair or remove it", name,
		error.line > 0 ? error.line : 1, why);
}

int store_read(const struct store *s, const char *name, json_t **json, struct err *e)
{
	int ret, fd = openat(s->dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_set(e, -errno, "%s: cannot be read: %s", name, strerror(errno));
	ret = read_json(fd, name, json, e);
	close(fd);
	return ret;
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t len = strlen(name), tail = strlen(suffix);

	return len > tail && len < STORE_NAME_MAX && !strcmp(name + len - tail, suffix);
}

int store_each(const struct store *s, const char *suffix, void (*fn)(void *ctx, const char *name),
	void *ctx)
{
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return -errno;
	}
	while ((entry = readdir(dir))) {
		if (!strncmp(entry->d_name, UNFINISHED, strlen(UNFINISHED)))
			s->calls->unlinkat(s->dir, entry->d_name, 0);
		else if (ends_with(entry->d_name, suffix))
			fn(ctx, entry->d_name);
	}
	closedir(dir);
	return 0;
}
