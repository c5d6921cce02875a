/* SPDX-License-Identifier: MIT */
#include "confine/grants.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_replace.h"
#include "base/list.h"

#define SYS_BLOCK "/sys/dev/block/"

struct grant {
	struct list link;
	enum grant_kind kind;
	unsigned may;
	uint64_t request;
	size_t length;
	char bytes[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
struct list grants = {&grants, &grants};
struct list grants_named = {&grants_named, &grants_named};

int grants_add(const struct grant_to *to, enum grant_kind kind, unsigned may, const char *bytes,
	size_t length)
{
	struct grant *g = malloc(sizeof(*g) + length);

	if (!g)
		return -ENOMEM;
	g->kind = kind;
	g->may = may;
	g->request = to->request;
	g->length = length;
	memcpy(g->bytes, bytes, length);
	list_init(&g->link);
	pthread_mutex_lock(&lock);
	list_add_tail(to->list, &g->link);
	pthread_mutex_unlock(&lock);
	return 0;
}

/* With its end, as a request has it. */
int grants_add_text(const struct grant_to *to, enum grant_kind kind, unsigned may, const char *text)
{
	return grants_add(to, kind, may, text, strlen(text) + 1);
}

static void grant_free(struct grant *g)
{
	list_del(&g->link);
	free(g);
}

void grants_free(struct list *list)
{
	while (!list_empty(list))
		grant_free(container_of(list->next, struct grant, link));
}

/* ---- what is asked for --------------------------------------------------- */

/* Under the lock. The first that allows all of `may`. */
static struct grant *find_in(const struct list *list, enum grant_kind kind, unsigned may,
	const char *bytes, size_t length)
{
	list_for_each (item, list) {
		struct grant *g = container_of(item, struct grant, link);

		if (g->kind == kind && (g->may & may) == may && g->length == length &&
			!memcmp(g->bytes, bytes, length))
			return g;
	}
	return NULL;
}

static struct grant *find(enum grant_kind kind, unsigned may, const char *bytes, size_t length)
{
	return find_in(&grants, kind, may, bytes, length);
}

static bool has(enum grant_kind kind, unsigned may, const char *text)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = find(kind, may, text, strlen(text) + 1);
	pthread_mutex_unlock(&lock);
	return found;
}

/* Attributes of block devices, which anybody may read: /sys/dev/block/8:1/queue/... */
static bool is_block_attribute(const char *path)
{
	static const char *const names[] = {"partition", "wwid", "device/wwid", "dm/uuid",
		"queue/write_zeroes_max_bytes", NULL};
	size_t prefix = strlen(SYS_BLOCK);

	if (strncmp(path, SYS_BLOCK, prefix))
		return false;
	path += prefix;
	path += strspn(path, "0123456789");
	path += *path == ':';
	path += strspn(path, "0123456789");
	if (*path++ != '/')
		return false;
	path += !strncmp(path, "../", 3) ? 3 : 0;
	for (size_t i = 0; names[i]; i++)
		if (!strcmp(path, names[i]))
			return true;
	return false;
}

static unsigned wanted_by_open(int flags)
{
	unsigned may = (flags & O_ACCMODE) == O_RDONLY   ? MAY_READ
		       : (flags & O_ACCMODE) == O_WRONLY ? MAY_WRITE
							 : MAY_READ | MAY_WRITE;

	return flags & (O_CREAT | O_TRUNC) ? may | MAY_CREATE : may;
}

static bool may_open(const char *path, int flags)
{
	const int known = O_ACCMODE | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
			  O_EXCL | O_DIRECT | O_NOFOLLOW | O_APPEND;

	if (flags & ~known)
		return false;
	if (is_block_attribute(path))
		return wanted_by_open(flags) == MAY_READ;
	return has(GRANT_FILE, wanted_by_open(flags), path);
}

/* "": there is none. */
static const char *second_text(const struct broker_request *q)
{
	const char *text = q->text + strlen(q->text) + 1;

	return text < q->text + q->length ? text : "";
}

/* NAME.tmp becomes NAME. */
static bool may_rename(const struct broker_request *q)
{
	const char *to = second_text(q);
	size_t length = strlen(to);

	return length && !strncmp(q->text, to, length) &&
	       !strcmp(q->text + length, FILE_REPLACE_SUFFIX) &&
	       has(GRANT_FILE, MAY_REMOVE, q->text) && has(GRANT_FILE, MAY_REMOVE, to);
}

/* PATH_123 of a granted PATH. */
static bool is_service(const char *path)
{
	const char *end = strrchr(path, '_');
	char base[BROKER_TEXT_MAX];

	if (!end || !end[1] || strspn(end + 1, "0123456789") != strlen(end + 1))
		return false;
	snprintf(base, sizeof(base), "%.*s", (int)(end - path), path);
	return has(GRANT_SERVICES, MAY_CONNECT, base);
}

static bool is_granted_spawn(const struct broker_request *q)
{
	bool found;

	pthread_mutex_lock(&lock);
	found = find(GRANT_SPAWN, 0, q->text, q->length);
	pthread_mutex_unlock(&lock);
	return found;
}

bool grants_allow(const struct broker_request *q)
{
	switch ((enum broker_op)q->op) {
	case BROKER_OPEN:
		return may_open(q->text, q->a);
	case BROKER_STAT:
	case BROKER_ACCESS:
		return has(GRANT_FILE, MAY_LOOK, q->text);
	case BROKER_UNLINK:
		return has(GRANT_FILE, MAY_REMOVE, q->text) ||
		       has(GRANT_SOCKET, MAY_REMOVE, q->text);
	case BROKER_RENAME:
		return may_rename(q);
	case BROKER_REALPATH:
		return has(GRANT_FILE, MAY_RESOLVE, q->text);
	case BROKER_SYNC:
		return has(GRANT_FILE, MAY_SYNC, q->text);
	case BROKER_CONNECT:
		return has(GRANT_SOCKET, MAY_CONNECT, q->text) || is_service(q->text);
	case BROKER_LISTEN:
		return has(GRANT_SOCKET, MAY_LISTEN, q->text);
	case BROKER_NBD:
		return has(GRANT_NBD, 0, q->text);
	case BROKER_TAP:
	case BROKER_TAP_ATTACH:
		return has(GRANT_TAP, 0, q->text);
	case BROKER_SPAWN:
		return is_granted_spawn(q);
	case BROKER_TAP_WATCH:
		return has(GRANT_TAP_WATCH, 0, q->text);
	case BROKER_CTL: /* checked where they are done */
	case BROKER_KILL:
	case BROKER_WAIT:
		return true;
	case BROKER_OPS:
		break;
	}
	return false;
}

static void use(const char *text, unsigned may, unsigned used)
{
	struct grant *g;

	pthread_mutex_lock(&lock);
	g = find(GRANT_FILE, may, text, strlen(text) + 1);
	if (g && !(g->may & MAY_OPEN_AGAIN))
		g->may &= ~used;
	if (g && !g->may)
		grant_free(g);
	pthread_mutex_unlock(&lock);
}

void grants_use(const struct broker_request *q)
{
	if (q->op == BROKER_OPEN)
		use(q->text, wanted_by_open(q->a), MAY_READ | MAY_WRITE | MAY_CREATE | MAY_LOOK);
	else if (q->op == BROKER_REALPATH)
		use(q->text, MAY_RESOLVE, MAY_RESOLVE);
	else if (q->op == BROKER_SYNC)
		use(q->text, MAY_SYNC, MAY_SYNC);
}

/* ---- the end of a request ------------------------------------------------ */

/* A device may connect or start again what is no file. */
static bool stays(const struct grant *g)
{
	return g->kind != GRANT_FILE || (g->may & MAY_OPEN_AGAIN);
}

static void end_request(struct list *list, uint64_t request, bool all)
{
	list_for_each_safe (item, list) {
		struct grant *g = container_of(item, struct grant, link);

		if (g->request == request && (all || !stays(g)))
			grant_free(g);
	}
}

void grants_answered(uint64_t request, bool refused)
{
	pthread_mutex_lock(&lock);
	end_request(&grants, request, refused);
	if (refused)
		end_request(&grants_named, request, true);
	pthread_mutex_unlock(&lock);
}

/* ---- images -------------------------------------------------------------- */

bool grants_may_replace(const struct broker_request *q)
{
	return q->op == BROKER_RENAME && may_rename(q) &&
	       has(GRANT_FILE, MAY_REMOVE | MAY_REPLACE, second_text(q));
}

bool grants_are_known(const struct list *list, const struct list *known, const char **name)
{
	bool all = true;

	pthread_mutex_lock(&lock);
	list_for_each (item, list) {
		struct grant *g = container_of(item, struct grant, link);

		*name = g->bytes;
		all = find_in(known, g->kind, g->may, g->bytes, g->length) ||
		      find_in(&grants_named, g->kind, g->may, g->bytes, g->length);
		if (!all)
			break;
	}
	pthread_mutex_unlock(&lock);
	return all;
}

void grants_forget_file(const char *name)
{
	struct grant *g;

	pthread_mutex_lock(&lock);
	while ((g = find(GRANT_FILE, 0, name, strlen(name) + 1)))
		grant_free(g);
	pthread_mutex_unlock(&lock);
}

/* ---- reservations -------------------------------------------------------- */

/* FILE.pr and FILE.pr.tmp: scsi/reserve.c, reserve_file.c. */
int grants_add_reservation(const char *real)
{
	const unsigned may = MAY_READ | MAY_WRITE | MAY_CREATE | MAY_REMOVE | MAY_OPEN_AGAIN;
	const struct grant_to to = {&grants, 0};
	char *name;
	int ret;

	if (asprintf(&name, "%s.pr" FILE_REPLACE_SUFFIX, real) < 0)
		return -ENOMEM;
	ret = grants_add_text(&to, GRANT_FILE, may | MAY_LOOK, name);
	name[strlen(name) - strlen(FILE_REPLACE_SUFFIX)] = '\0';
	if (!ret)
		ret = grants_add_text(&to, GRANT_FILE, may | MAY_REPLACE, name);
	strrchr(name, '/')[1] = '\0';
	if (!ret)
		ret = grants_add_text(&to, GRANT_FILE, MAY_SYNC | MAY_OPEN_AGAIN, name);
	free(name);
	return ret;
}
