/* SPDX-License-Identifier: MIT */
/*
 * The disks of a VM that is saved: what they are, so that a restored VM finds the same ones,
 * unchanged; and the flush before an image is written, which makes what the guest has written as
 * durable as the image.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/disk.h"
#include "vm/storage.h"

#define IDENTITY_MAX 4096u

/* ---- identity ------------------------------------------------------------ */

static const char *source_name(const struct storage_disk *d)
{
	return d->config.device.source.schema->name;
}

static bool is_null(const struct storage_disk *d)
{
	return !strcmp(source_name(d), "null");
}

static void check_savable(const struct storage_disk *d, struct archive *a)
{
	if (d->state != STORAGE_PRESENT)
		archive_fail(a, "%u:%u is being added or removed", d->controller->number, d->lun);
	for (uint32_t i = 0; i < d->config.device.filter_count; i++)
		if (!strcmp(d->config.device.filters[i].schema->name, "volatile"))
			archive_fail(a, "%u:%u: the filter volatile forgets unflushed writes",
				d->controller->number, d->lun);
	if (!disk_identity(d->disk) && !is_null(d))
		archive_fail(a, "%u:%u (%s): its contents do not outlive the VM",
			d->controller->number, d->lun, source_name(d));
}

/* What the image says of a disk. */
struct saved_disk {
	uint8_t controller, lun;
	bool cdrom;
	const char *identity;
	uint32_t identity_len;
	uint64_t size, changed_ns;
};

static struct saved_disk saved_of(const struct storage_disk *d)
{
	const char *identity = disk_identity(d->disk);

	if (!identity)
		identity = "";
	return (struct saved_disk){
		.controller = d->controller->number,
		.lun = d->lun,
		.cdrom = d->config.cdrom,
		.identity = identity,
		.identity_len = (uint32_t)strlen(identity),
		.size = disk_size(d->disk),
	};
}

static struct saved_disk saved_now(const struct storage_disk *d)
{
	struct saved_disk saved = saved_of(d);

	saved.changed_ns = disk_change_time(d->disk);
	return saved;
}

static void saved_archive(struct saved_disk *s, struct archive *a)
{
	archive_begin(a, NULL, 1);
	archive_u8(a, "controller", &s->controller);
	archive_u8(a, "lun", &s->lun);
	archive_bool(a, "cdrom", &s->cdrom);
	s->identity = archive_data(a, "identity", s->identity, &s->identity_len, IDENTITY_MAX);
	archive_u64(a, "size", &s->size);
	archive_u64(a, "changed_ns", &s->changed_ns);
	archive_end(a);
}

static struct storage_disk *find(const struct storage *s, const struct saved_disk *saved)
{
	list_for_each (item, &s->disks) {
		struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (d->controller->number == saved->controller && d->lun == saved->lun)
			return d;
	}
	return NULL;
}

/* NULL, or what differs. */
static const char *difference(
	const struct saved_disk *was, const struct saved_disk *now, bool trusted)
{
	if (was->cdrom != now->cdrom)
		return "was another kind of drive";
	if (trusted)
		return NULL;
	if (was->identity_len != now->identity_len ||
		memcmp(was->identity, now->identity, was->identity_len))
		return "was another medium when the VM was saved";
	if (was->size != now->size)
		return "had another size when the VM was saved";
	if (was->changed_ns != now->changed_ns)
		return "was changed since the VM was saved";
	return NULL;
}

static void check_disk(struct storage *s, const struct saved_disk *was, struct archive *a)
{
	const struct storage_disk *d = find(s, was);
	struct saved_disk now;
	const char *what;
	char *source;

	if (!d) {
		archive_fail(a, "disk %u:%u is missing", was->controller, was->lun);
		return;
	}
	now = saved_of(d);
	now.changed_ns = disk_change_time_opened(d->disk);
	what = difference(was, &now, s->trusted);
	if (!what)
		return;
	source = disk_config_source(&d->config);
	archive_fail(
		a, "disk %u:%u (%.80s) %s", was->controller, was->lun, source ? source : "", what);
	free(source);
}

/* One whose last disk was removed is there, too. */
static void controllers_archive(struct storage *s, struct archive *a)
{
	uint8_t present = 0;
	struct err e;

	for (uint32_t i = 0; i < VM_CONTROLLERS_MAX; i++) {
		present |= (uint8_t)((s->controllers[i].state == STORAGE_PRESENT) << i);
		if (s->controllers[i].state == STORAGE_REMOVING)
			archive_fail(a, "controller %u is being removed", i);
	}
	archive_u8(a, "controllers", &present);
	for (uint32_t i = 0; a->reading && !a->error && i < VM_CONTROLLERS_MAX; i++)
		if (present >> i & 1 && storage_offer(s, i, &e))
			archive_fail(a, "controller %u: %.180s", i, e.text);
}

void storage_archive(struct storage *s, struct archive *a)
{
	struct list *pos = &s->disks;
	uint32_t count = 0, have = 0;

	ON_LOOP(s->control);
	controllers_archive(s, a);
	list_for_each (item, &s->disks)
		have++;
	count = archive_list(a, "disks", have, VM_CONTROLLERS_MAX * SCSI_LUNS_MAX);
	for (uint32_t i = 0; i < count && !a->error; i++) {
		struct saved_disk saved = {0};

		pos = pos->next;
		if (!a->reading) {
			check_savable(container_of(pos, struct storage_disk, link), a);
			saved = saved_now(container_of(pos, struct storage_disk, link));
		}
		saved_archive(&saved, a);
		if (a->reading && !a->error)
			check_disk(s, &saved, a);
	}
	if (count < have)
		archive_fail(a, "the VM had %u when it was saved, not %u", count, have);
	archive_end(a);
}

/* ---- configuration ------------------------------------------------------- */

int storage_configs(
	const struct storage *s, struct disk_config *configs, uint32_t max, uint32_t *count)
{
	ON_LOOP(s->control);
	*count = 0;
	list_for_each (item, &s->disks) {
		const struct storage_disk *d = container_of(item, struct storage_disk, link);

		if (*count == max)
			return -E2BIG;
		configs[*count] = d->config;
		configs[(*count)++].lun = d->lun;
	}
	return 0;
}

/* ---- flush --------------------------------------------------------------- */

struct flush {
	struct storage *storage;
	struct list *at; /* of storage.disks */
	void (*done)(void *ctx, const struct err *e);
	void *ctx;
	struct disk_queue *queue;
	struct disk_req *req;
	struct loop_task next;
	int error;
};

static void flush_end(struct flush *f, const struct err *e)
{
	void (*done)(void *ctx, const struct err *e) = f->done;
	void *ctx = f->ctx;

	free(f);
	done(ctx, e);
}

static void flush_failed(struct flush *f, int error)
{
	const struct storage_disk *d = container_of(f->at, struct storage_disk, link);
	struct err e;

	err_set(&e, error, "disk %u:%u cannot be flushed: %s", d->controller->number, d->lun,
		strerror(-error));
	flush_end(f, &e);
}

static void flush_next(struct flush *f);

/* In a turn of its own: the back end's function has returned. */
static void flush_closed(struct loop_task *task)
{
	struct flush *f = container_of(task, struct flush, next);

	disk_queue_close(f->queue);
	free(f->req);
	if (f->error)
		flush_failed(f, f->error);
	else
		flush_next(f);
}

static void flush_done(struct disk_req *req, int error)
{
	struct flush *f = req->owner;

	f->error = error;
	f->next.fn = flush_closed;
	loop_post(f->storage->control, &f->next);
}

static int flush_disk(struct flush *f, struct disk *disk)
{
	size_t size = disk_req_size(disk);
	int ret;

	f->req = aligned_alloc(16, (size + 15) & ~(size_t)15);
	if (!f->req)
		return -ENOMEM;
	memset(f->req, 0, size);
	ret = disk_queue_open(disk, f->storage->control, &f->queue);
	if (ret) {
		free(f->req);
		return ret;
	}
	f->req->op = DISK_FLUSH;
	f->req->done = flush_done;
	f->req->owner = f;
	disk_submit(f->queue, f->req);
	return 0;
}

static void flush_next(struct flush *f)
{
	int ret;

	for (f->at = f->at->next; f->at != &f->storage->disks; f->at = f->at->next) {
		struct storage_disk *d = container_of(f->at, struct storage_disk, link);

		if (d->state != STORAGE_PRESENT || d->config.read_only)
			continue;
		ret = flush_disk(f, d->disk);
		if (ret)
			flush_failed(f, ret);
		return;
	}
	flush_end(f, NULL);
}

void storage_flush(struct storage *s, void (*done)(void *ctx, const struct err *e), void *ctx)
{
	struct flush *f = calloc(1, sizeof(*f));
	struct err e;

	ON_LOOP(s->control);
	assert(s->paused);
	if (!f) {
		err_set(&e, -ENOMEM, "out of memory");
		done(ctx, &e);
		return;
	}
	f->storage = s;
	f->at = &s->disks;
	f->done = done;
	f->ctx = ctx;
	flush_next(f);
}
