/* SPDX-License-Identifier: MIT */
#include "mgmt/manager/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/file_replace.h"
#include "base/log.h"
#include "mgmt/manager/manager.h"

#define NEW_PREFIX ".new-" /* of an image that gets a second name */

static const char *const state_names[] = {
	[SNAPSHOT_TAKING] = "taking",
	[SNAPSHOT_COMPLETE] = "complete",
	[SNAPSHOT_REMOVING] = "removing",
};

static const char *file_of(const struct snapshot *s, const char *suffix, char name[STORE_NAME_MAX])
{
	snprintf(name, STORE_NAME_MAX, "%s.%s", s->id, suffix);
	return name;
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static char *copy_path(const struct snapshot *s, const char *file)
{
	char *path;

	return asprintf(&path, "%s.snapshot-%s", file, s->id) < 0 ? NULL : path;
}

/* ---- the record ---------------------------------------------------------- */

static json_t *record_json(const struct snapshot *s)
{
	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:O, s:O}", "format",
		SNAPSHOT_FORMAT, "id", s->id, "vm", s->vm, "name", s->name, "state",
		state_names[s->state], "created", (json_int_t)s->created, "full", s->full, "memory",
		s->memory, "definition", s->definition, "disks", s->disks);
}

static int write_record(struct manager *m, const struct snapshot *s, struct err *e)
{
	char name[STORE_NAME_MAX];
	json_t *json = record_json(s);
	int ret = json ? store_write(&m->snapshot_store, file_of(s, "json", name), json, e)
		       : err_set(e, -ENOMEM, "out of memory");

	json_decref(json);
	return ret;
}

static void free_snapshot(struct snapshot *s)
{
	list_del(&s->link);
	json_decref(s->definition);
	json_decref(s->disks);
	free(s);
}

static bool take_text(char *to, size_t size, const char *from)
{
	return snprintf(to, size, "%s", from) < (int)size;
}

static bool disks_are_valid(const json_t *disks)
{
	for (size_t i = 0; i < json_array_size(disks); i++) {
		const json_t *disk = json_array_get(disks, i);

		if (*text_of(disk, "file") != '/' ||
			!json_is_integer(json_object_get(disk, "size")) ||
			!json_is_integer(json_object_get(disk, "changed_ns")))
			return false;
	}
	return json_is_array(disks);
}

static bool fill(struct snapshot *s, json_t *json)
{
	const char *id, *vm, *name, *state;
	int format, full, memory;
	json_int_t created;

	if (json_unpack(json, "{s:i, s:s, s:s, s:s, s:s, s:I, s:b, s:b, s:O, s:O}", "format",
		    &format, "id", &id, "vm", &vm, "name", &name, "state", &state, "created",
		    &created, "full", &full, "memory", &memory, "definition", &s->definition,
		    "disks", &s->disks))
		return false;
	s->created = created;
	s->full = full;
	s->memory = memory;
	while (s->state <= SNAPSHOT_REMOVING && strcmp(state_names[s->state], state))
		s->state++;
	return format == SNAPSHOT_FORMAT && s->state <= SNAPSHOT_REMOVING && guid_is_valid(id) &&
	       guid_is_valid(vm) && !ctl_check_name(name, NULL) &&
	       take_text(s->id, sizeof(s->id), id) && take_text(s->vm, sizeof(s->vm), vm) &&
	       take_text(s->name, sizeof(s->name), name) && disks_are_valid(s->disks);
}

/* ---- the list ------------------------------------------------------------ */

struct snapshot *snapshot_find(struct manager *m, const char *vm, const char *name)
{
	list_for_each (at, &m->snapshots) {
		struct snapshot *s = container_of(at, struct snapshot, link);

		if (!strcmp(s->vm, vm) && (!strcmp(s->name, name) || !strcmp(s->id, name)))
			return s;
	}
	return NULL;
}

uint32_t snapshots_of(struct manager *m, const char *vm)
{
	uint32_t count = 0;

	list_for_each (at, &m->snapshots)
		count += !strcmp(container_of(at, struct snapshot, link)->vm, vm);
	return count;
}

static void report(struct manager *m, const char *event, const struct snapshot *s)
{
	events_add(&m->events, json_pack("{s:s, s:s, s:s, s:s}", "event", event, "vm", s->vm,
				       "snapshot", s->name, "id", s->id));
}

json_t *snapshot_json(const struct snapshot *s)
{
	return json_pack("{s:s, s:s, s:s, s:I, s:b, s:O}", "name", s->name, "id", s->id, "state",
		state_names[s->state], "created", (json_int_t)s->created, "memory", s->memory,
		"disks", s->disks);
}

static void load_one(void *ctx, const char *name)
{
	struct manager *m = ctx;
	struct snapshot *s = calloc(1, sizeof(*s));
	json_t *json = NULL;
	struct err e;

	if (!s)
		return;
	list_init(&s->link);
	if (store_read(&m->snapshot_store, name, &json, &e)) {
		manager_problem(m, &e);
		free_snapshot(s);
	} else if (!fill(s, json) || strncmp(name, s->id, GUID_TEXT - 1)) {
		err_set(&e, -EINVAL, "snapshots/%s: is no record of a snapshot; remove it", name);
		manager_problem(m, &e);
		free_snapshot(s);
	} else {
		list_add_tail(&m->snapshots, &s->link);
	}
	json_decref(json);
}

/* An image whose record is gone, or of a worker that wrote on after its manager died. */
static void remove_orphan(void *ctx, const char *name)
{
	const struct manager *m = ctx;
	char record[STORE_NAME_MAX];
	struct err e;

	snprintf(record, sizeof(record), "%.*s.json", (int)(GUID_TEXT - 1), name);
	if (!faccessat(m->snapshot_store.dir, record, F_OK, AT_SYMLINK_NOFOLLOW) || errno != ENOENT)
		return;
	if (store_remove(&m->snapshot_store, name, &e))
		log_error("snapshots: %s", e.text);
}

/* Of a manager that died. Only managers write such files here, one at a time. */
static void remove_unfinished(void *ctx, const char *name)
{
	const struct store *store = ctx;
	struct err e;

	if (store_remove(store, name, &e))
		log_error("snapshots: %s", e.text);
}

/* A second name that was not given: snapshot_link(). */
static void remove_new(void *ctx, const char *name)
{
	if (!strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)))
		remove_unfinished(ctx, name);
}

static void remove_all_unfinished(struct manager *m)
{
	static const char *const suffixes[] = {".json.tmp", ".clone.tmp", ".restore.tmp"};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		store_each(&m->snapshot_store, suffixes[i], remove_unfinished, &m->snapshot_store);
	store_each(&m->images, ".image", remove_new, &m->images);
	store_each(&m->snapshot_store, ".image", remove_new, &m->snapshot_store);
}

void snapshots_load(struct manager *m)
{
	struct err e;

	remove_all_unfinished(m);
	store_each(&m->snapshot_store, ".json", load_one, m);
	store_each(&m->snapshot_store, ".image", remove_orphan, m);
	store_each(&m->snapshot_store, ".image.tmp", remove_orphan, m);
	list_for_each_safe (at, &m->snapshots) {
		struct snapshot *s = container_of(at, struct snapshot, link);

		if (s->state == SNAPSHOT_REMOVING)
			snapshot_remove(m, s, &e);
	}
}

void snapshots_free(struct manager *m)
{
	list_for_each_safe (at, &m->snapshots)
		free_snapshot(container_of(at, struct snapshot, link));
}

/* ---- disks --------------------------------------------------------------- */

/* NULL, or why this disk cannot be in a snapshot. */
static const char *unfit(const json_t *disk, const char *path)
{
	struct stat st;

	if (json_object_get(disk, "nbd"))
		return "is on an NBD server, which must take the snapshot";
	if (json_object_get(disk, "memory"))
		return "is in the memory of the VM's process";
	if (!path)
		return "cannot be found";
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return "is no regular file; for a block device use snapshots of LVM or the storage";
	return NULL;
}

static bool is_written(const json_t *disk)
{
	return !json_object_get(disk, "null") &&
	       !json_is_true(json_object_get(disk, "read_only")) &&
	       !json_is_true(json_object_get(disk, "cdrom"));
}

static int add_disk(struct snapshot *s, const json_t *disk, struct err *e)
{
	const char *file = text_of(disk, "file");
	char *path = *file ? realpath(file, NULL) : NULL;
	const char *why = unfit(disk, path);
	char id[48];
	int ret = 0;

	snprintf(id, sizeof(id), "%lld:%lld",
		(long long)json_integer_value(json_object_get(disk, "controller")),
		(long long)json_integer_value(json_object_get(disk, "lun")));
	if (why)
		ret = err_set(e, -EINVAL, "disk %s%s%.200s: %s; no snapshot of it is possible", id,
			*file ? " " : "", file, why);
	else if (!s->full && !disk_copy_shares(path))
		ret = disk_copy_refuse(path, e);
	else if (json_array_append_new(
			 s->disks, json_pack("{s:s, s:s, s:s, s:i, s:i}", "disk", id, "name", file,
					   "file", path, "size", 0, "changed_ns", 0)))
		ret = err_set(e, -ENOMEM, "out of memory, or '%.200s' is not UTF-8", path);
	free(path);
	return ret;
}

/* Those that the VM only reads, or that forget, are no part of it. */
static int add_disks(struct snapshot *s, struct err *e)
{
	json_t *disks = json_object_get(json_object_get(s->definition, "config"), "disks");
	int ret = 0;

	s->disks = json_array();
	for (size_t i = 0; i < json_array_size(disks) && !ret; i++)
		if (is_written(json_array_get(disks, i)))
			ret = add_disk(s, json_array_get(disks, i), e);
	return ret;
}

void snapshot_note_disks(struct snapshot *s, const struct disk_copies *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		json_t *disk = json_array_get(s->disks, i);

		json_object_set_new(disk, "size", json_integer((json_int_t)c->list[i].size));
		json_object_set_new(
			disk, "changed_ns", json_integer((json_int_t)c->list[i].changed_ns));
	}
}

/* ---- space --------------------------------------------------------------- */

#define MIB (1ull << 20)

struct space {
	dev_t device;
	uint64_t needed;
};

/* Adds to what is needed on the file system of `path`. */
static int need(struct space *list, const char *path, uint64_t bytes, struct err *e)
{
	struct statvfs fs;
	struct stat st;
	uint64_t free_bytes;

	if (stat(path, &st) || statvfs(path, &fs))
		return 0; /* the copy will say so */
	while (list->needed && list->device != st.st_dev)
		list++;
	list->device = st.st_dev;
	list->needed += bytes;
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= list->needed)
		return 0;
	return err_set(e, -ENOSPC,
		"%.300s: there are %llu MiB free beside it, and the snapshot may need %llu MiB",
		path, free_bytes / MIB, (list->needed + MIB - 1) / MIB);
}

static int need_copy(struct space *list, const char *path, struct err *e)
{
	struct stat st;

	if (disk_copy_shares(path) || stat(path, &st))
		return 0;
	return need(list, path, (uint64_t)st.st_blocks * 512, e);
}

int snapshot_check_space(
	const struct manager *m, const struct snapshot *s, uint64_t image, struct err *e)
{
	struct space *list = calloc(json_array_size(s->disks) + 2, sizeof(*list));
	int ret = list ? need(list, m->snapshot_store.path, image, e)
		       : err_set(e, -ENOMEM, "out of memory");

	for (size_t i = 0; i < json_array_size(s->disks) && s->full && !ret; i++)
		ret = need_copy(list, text_of(json_array_get(s->disks, i), "file"), e);
	free(list);
	return ret;
}

/* ---- copies -------------------------------------------------------------- */

static int begin_copies(struct disk_copies *c, const struct snapshot *s)
{
	*c = (struct disk_copies){.full = s->full};
	c->list = calloc(json_array_size(s->disks) + 1, sizeof(c->list[0]));
	return c->list ? 0 : -ENOMEM;
}

/* Owns both names. */
static void add_copy(struct disk_copies *c, char *from, char *to)
{
	c->list[c->count++] = (struct disk_copy){.from = from, .to = to, .set_changed_ns = -1};
}

/* The same, from the copy of a snapshot's disk. */
static void add_known(struct disk_copies *c, const struct snapshot *s, const json_t *disk, char *to)
{
	struct disk_copy *d = &c->list[c->count];

	add_copy(c, copy_path(s, text_of(disk, "file")), to);
	d->known = true;
	d->known_size = json_integer_value(json_object_get(disk, "size"));
	d->known_changed_ns = json_integer_value(json_object_get(disk, "changed_ns"));
}

static int end_copies(struct disk_copies *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (!c->list[i].from || !c->list[i].to) {
			disk_copies_free(c);
			return -ENOMEM;
		}
	return 0;
}

int snapshot_copies_take(struct disk_copies *c, const struct snapshot *s)
{
	if (begin_copies(c, s))
		return -ENOMEM;
	c->frozen = true;
	for (size_t i = 0; i < json_array_size(s->disks); i++) {
		const char *file = text_of(json_array_get(s->disks, i), "file");

		add_copy(c, strdup(file), copy_path(s, file));
	}
	return end_copies(c);
}

int snapshot_copies_restore(struct disk_copies *c, const struct snapshot *s)
{
	if (begin_copies(c, s))
		return -ENOMEM;
	c->in_place = true;
	for (size_t i = 0; i < json_array_size(s->disks); i++) {
		const json_t *disk = json_array_get(s->disks, i);

		add_known(c, s, disk, strdup(text_of(disk, "file")));
	}
	return end_copies(c);
}

int snapshot_copies_clone(struct disk_copies *c, const struct snapshot *s, const json_t *names)
{
	if (begin_copies(c, s))
		return -ENOMEM;
	for (size_t i = 0; i < json_array_size(s->disks); i++) {
		const char *to = json_string_value(json_array_get(names, i));

		add_known(c, s, json_array_get(s->disks, i), to ? strdup(to) : NULL);
	}
	return end_copies(c);
}

/* ---- one snapshot -------------------------------------------------------- */

static int check_new(struct manager *m, const char *vm, const char *name, struct err *e)
{
	if (ctl_check_name(name, NULL) || guid_is_valid(name))
		return err_set(e, -EINVAL,
			"name: a snapshot's has 1 to %u letters, digits, '-', '_' or '.', does not start with '.', and is no GUID",
			CTL_NAME_MAX);
	if (snapshot_find(m, vm, name))
		return err_set(e, -EEXIST, "the VM has a snapshot of this name");
	if (snapshots_of(m, vm) >= SNAPSHOTS_MAX)
		return err_set(e, -ENOSPC, "the VM has %u snapshots; remove some", SNAPSHOTS_MAX);
	return 0;
}

int snapshot_add(struct manager *m, const struct definition *d, const char *name, bool memory,
	bool full, struct snapshot **new, struct err *e)
{
	struct snapshot *s;
	int ret = check_new(m, d->id, name, e);

	if (ret)
		return ret;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	list_init(&s->link);
	guid_make(s->id);
	memcpy(s->vm, d->id, sizeof(s->vm));
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->created = time(NULL);
	s->memory = memory;
	s->full = full;
	s->definition = definition_json(d);
	ret = s->definition ? add_disks(s, e) : err_set(e, -ENOMEM, "out of memory");
	if (!ret)
		ret = write_record(m, s, e);
	if (ret) {
		free_snapshot(s);
		return ret;
	}
	list_add_tail(&m->snapshots, &s->link);
	*new = s;
	return 0;
}

int snapshot_complete(struct manager *m, struct snapshot *s, struct err *e)
{
	int ret;

	s->state = SNAPSHOT_COMPLETE;
	ret = write_record(m, s, e);
	if (ret)
		s->state = SNAPSHOT_TAKING;
	else
		report(m, "snapshot", s);
	return ret;
}

/* The first that cannot be removed stops it: the record stays. */
static int remove_disks(const struct snapshot *s, struct err *e)
{
	for (size_t i = 0; i < json_array_size(s->disks); i++) {
		char *path = copy_path(s, text_of(json_array_get(s->disks, i), "file"));
		int error = path ? 0 : ENOMEM;

		if (path && unlink(path))
			error = errno == ENOENT || errno == ENOTDIR ? 0 : errno;
		else if (path)
			file_sync_directory(path);
		if (error)
			err_set(e, -error, "%.300s: cannot be removed: %s", path ? path : "",
				strerror(error));
		free(path);
		if (error)
			return -error;
	}
	return 0;
}

static int remove_files(struct manager *m, const struct snapshot *s, struct err *e)
{
	char name[STORE_NAME_MAX];
	int ret = remove_disks(s, e);

	if (!ret)
		ret = store_remove(&m->snapshot_store, file_of(s, "image", name), e);
	if (!ret)
		ret = store_remove(&m->snapshot_store, file_of(s, "image.tmp", name), e);
	return ret ? ret : store_remove(&m->snapshot_store, file_of(s, "json", name), e);
}

int snapshot_remove(struct manager *m, struct snapshot *s, struct err *e)
{
	enum snapshot_state was = s->state;
	int ret = 0;

	if (s->users)
		return err_set(e, -EBUSY, "the snapshot is in use");
	s->state = SNAPSHOT_REMOVING;
	if (was != SNAPSHOT_REMOVING)
		ret = write_record(m, s, e);
	if (ret && was == SNAPSHOT_COMPLETE)
		s->state = was; /* it can be used still */
	if (was == SNAPSHOT_TAKING)
		ret = 0; /* it goes by its old record, too */
	if (!ret)
		ret = remove_files(m, s, e);
	if (ret) {
		log_error("snapshot %s: %s", s->id, e ? e->text : "");
		return ret;
	}
	if (was == SNAPSHOT_COMPLETE)
		report(m, "snapshot removed", s);
	free_snapshot(s);
	return 0;
}

void snapshots_discard(struct manager *m, const char *vm)
{
	struct err e;

	list_for_each_safe (at, &m->snapshots) {
		struct snapshot *s = container_of(at, struct snapshot, link);

		if (s->state == SNAPSHOT_TAKING && !s->users &&
			(vm ? !strcmp(s->vm, vm) : !manager_knows(m, s->vm)))
			snapshot_remove(m, s, &e);
	}
}

/* ---- images -------------------------------------------------------------- */

void snapshot_image_path(const struct manager *m, const struct snapshot *s, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/snapshots/%s.image", m->state_path, s->id) >= PATH_MAX)
		path[0] = '\0'; /* manager_open() has checked its length */
}

/* An image is never written to again: two names for one file are as good as a copy, and share its
 * page cache. */
int snapshot_link(const struct store *from, const char *old, const struct store *to,
	const char *name, struct err *e)
{
	char temporary[STORE_NAME_MAX + 8];
	int ret = 0;

	snprintf(temporary, sizeof(temporary), NEW_PREFIX "%s", name);
	unlinkat(to->dir, temporary, 0);
	if (linkat(from->dir, old, to->dir, temporary, 0) ||
		renameat(to->dir, temporary, to->dir, name) || fsync(to->dir))
		ret = err_set(e, -errno, "%s: cannot be linked: %s", old, strerror(errno));
	unlinkat(to->dir, temporary, 0); /* the rename of two names of one file does nothing */
	return ret;
}
