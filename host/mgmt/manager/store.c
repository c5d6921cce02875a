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
#include "base/file_replace.h"

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

static int open_directory(struct store *s, const char *path)
{
	int ret = make_path(path);

	*s = (struct store){.dir = -1, .calls = &file_replace_calls};
	if (ret)
		return ret;
	s->path = strdup(path);
	if (!s->path)
		return -ENOMEM;
	s->dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return s->dir < 0 ? -errno : 0;
}

int store_open(struct store *s, const char *path, struct err *e)
{
	const char *why;
	int ret = open_directory(s, path);

	if (ret) {
		store_close(s);
		return err_set(e, ret, "%s: cannot make or open it: %s", path, strerror(-ret));
	}
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
	free(s->path);
	s->path = NULL;
}

static int flush_dir(const struct store *s, const char *name, struct err *e)
{
	if (!s->calls->sync(s->path))
		return 0;
	return err_set(e, -errno, "%s: the directory cannot be flushed: %s", name, strerror(errno));
}

/* ---- writing ------------------------------------------------------------- */

static const char *path_of(const struct store *s, const char *name, char path[PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/%s", s->path, name);
	return path;
}

static int replace(const struct store *s, const char *name, const char *text, struct err *e)
{
	char path[PATH_MAX];
	bool named;
	int ret = file_replace(s->calls, path_of(s, name, path), text, strlen(text), 0600, &named);

	if (!ret)
		return 0;
	return err_set(e, ret,
		named ? "%s: the directory cannot be flushed: %s" : "%s: cannot be written: %s",
		name, strerror(-ret));
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
	char path[PATH_MAX];

	if (s->calls->unlink(path_of(s, name, path)))
		return errno == ENOENT ? 0
				       : err_set(e, -errno, "%s: cannot be removed: %s", name,
						 strerror(errno));
	return flush_dir(s, name, e);
}

int store_rename(const struct store *s, const char *from, const char *to, struct err *e)
{
	char old[PATH_MAX], new[PATH_MAX];

	if (s->calls->rename(path_of(s, from, old), path_of(s, to, new)))
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
	while ((entry = readdir(dir)))
		if (ends_with(entry->d_name, suffix))
			fn(ctx, entry->d_name);
	closedir(dir);
	return 0;
}

static void remove_unfinished(void *ctx, const char *name)
{
	const struct store *s = ctx;
	char path[PATH_MAX];

	s->calls->unlink(path_of(s, name, path));
}

void store_clean(struct store *s)
{
	store_each(s, FILE_REPLACE_SUFFIX, remove_unfinished, s);
}
