/* SPDX-License-Identifier: MIT */
#include "confine/vouch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "confine/grants.h"
#include "save/image.h"

/* The descriptor that the worker has closed is on its way. */
#define LEASE_TURN_MS 10
#define LEASE_TURNS   100u

/* ---- configurations ------------------------------------------------------ */

static int read_json(struct vm_config *c, const json_t *json)
{
	char *text = json_dumps(json, 0);
	struct err e;
	int ret = -ENOMEM;

	if (text)
		ret = vm_config_read(c, "image", text, strlen(text), &e);
	free(text);
	return ret;
}

/* As an image has it. -EPERM: it cannot be in one. */
static int normalise(json_t **json, struct vm_config *c, const struct vm_config *from)
{
	struct err e;

	*json = vm_config_image_json(from, &e);
	return *json && !read_json(c, *json) ? 0 : -EPERM;
}

static bool names_are_known(const struct vm_config *saved, const struct vm_config *started)
{
	struct list wanted = {&wanted, &wanted}, known = {&known, &known};
	const char *name;
	bool all = !grants_add_config(&(struct grant_to){&wanted, 0}, saved) &&
		   !grants_add_config(&(struct grant_to){&known, 0}, started) &&
		   grants_are_known(&wanted, &known, &name);

	grants_free(&wanted);
	grants_free(&known);
	return all;
}

/* Devices come and go: they may be any that were named. Everything else is as it was. */
static bool keys_are_equal(json_t *saved, json_t *started)
{
	static const char *const devices[] = {"disks", "nics"};

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		json_object_del(saved, devices[i]);
		json_object_del(started, devices[i]);
	}
	return json_equal(saved, started);
}

struct pair_of_configs {
	struct vm_config saved, given;
	json_t *saved_json, *given_json;
	struct vm_config text; /* what the image has */
};

static int compare(
	struct pair_of_configs *p, const char *text, size_t size, const struct vm_config *started)
{
	struct err e;
	int ret = vm_config_read(&p->text, "image", text, size, &e) ? -EPERM : 0;

	if (!ret)
		ret = normalise(&p->saved_json, &p->saved, &p->text);
	if (!ret)
		ret = normalise(&p->given_json, &p->given, started);
	if (ret || p->text.restore || p->text.restore_disks ||
		!keys_are_equal(p->saved_json, p->given_json)) /* what is required is there, then */
		return -EPERM;
	return names_are_known(&p->saved, &p->given) ? 0 : -EPERM;
}

static int check_config(const char *text, size_t size, const struct vm_config *started)
{
	struct pair_of_configs p = {.saved_json = NULL};
	struct err e;
	int ret = -ENOMEM;

	if (!vm_config_init(&p.saved, &e) && !vm_config_init(&p.given, &e) &&
		!vm_config_init(&p.text, &e))
		ret = compare(&p, text, size, started);
	json_decref(p.saved_json);
	json_decref(p.given_json);
	vm_config_free(&p.saved);
	vm_config_free(&p.given);
	vm_config_free(&p.text);
	return ret;
}

/* ---- the file ------------------------------------------------------------ */

static int check_image(int fd, const char *name, const struct vm_config *started)
{
	struct image *image;
	struct err e;
	const char *text;
	size_t size;
	int ret;

	if (image_open_fd(&image, fd, name, &e))
		return -EPERM;
	text = image_section(image, "config", &size);
	ret = text ? check_config(text, size, started) : -EPERM;
	image_close(image);
	return ret;
}

/* Another writer who takes it for one that was left takes this lock (base/file_replace.c). */
static int lock_file(int fd)
{
	return flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK ? -EBUSY : 0;
}

static bool has_name(int fd, const char *name)
{
	struct stat file, named;

	return !fstat(fd, &file) && !lstat(name, &named) && file.st_dev == named.st_dev &&
	       file.st_ino == named.st_ino;
}

/* Held as long as the descriptor is open. */
static int lease(int fd)
{
	for (uint32_t turn = 0; fcntl(fd, F_SETLEASE, F_RDLCK); turn++) {
		if (errno != EAGAIN)
			return errno == EACCES || errno == EINVAL || errno == EOPNOTSUPP ? -ENOLCK
											 : -errno;
		if (turn == LEASE_TURNS)
			return -EBUSY;
		poll(NULL, 0, LEASE_TURN_MS);
	}
	return 0;
}

/* Since the worker closed it another writer may have replaced it. Under the lock of `fd` it keeps
 * its name. */
static int rename_locked(int fd, const char *from, const char *to, const struct vm_config *started)
{
	int ret = lease(fd);

	if (!ret && !has_name(fd, from))
		ret = -EBUSY;
	if (!ret)
		ret = check_image(fd, from, started);
	if (!ret && rename(from, to))
		ret = -errno;
	/* The worker has no right to it any more. One that is locked has a writer who lives. */
	if (ret && has_name(fd, from) && file_lock_take(fd, true) != -EBUSY)
		unlink(from);
	return ret;
}

int vouch_rename(const char *from, const char *to, const struct vm_config *started)
{
	int fd, ret;

	grants_forget_file(from);
	fd = open(from, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = lock_file(fd);
	if (!ret)
		ret = rename_locked(fd, from, to, started);
	close(fd);
	return ret;
}
