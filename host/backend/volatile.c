/* SPDX-License-Identifier: MIT */
/*
 * A disk with a write cache that loses what was not flushed. Writes, zeroes and
 * discards become entries of a journal in memory, oldest first; reads are the
 * lower disk's bytes with the journal laid over them.
 *
 *   WRITE ...        append -> done
 *   FLUSH            job: destage all entries -> flush the lower disk -> drop them -> done
 *   FUA WRITE ...    append -> job: the same, but for this entry and every older one it needs
 *                    below it only
 *   full journal     the write that fills it waits for a job like FLUSH
 *
 * Jobs run one at a time for the whole disk, each on the loop of its request;
 * the others wait in a list and are posted to their loops. Entries go to the
 * lower disk one by one in order, so that the newest bytes win.
 *
 * A read that was at the lower disk while entries in its range were dropped may
 * have missed both: it is marked stale then and reads again.
 *
 * A power cut first fails all requests, which may stop a job half way. Then, when
 * nothing is in flight, it decides what becomes of each entry: dropped, kept, torn
 * between sectors, or written in the wrong order, which is all that a real cache
 * can do to sectors.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "backend/filter.h"
#include "backend/filters.h"
#include "base/log.h"

#define SECTOR_SIZE         512u
#define JOURNAL_ENTRIES_MAX 4096u
#define JOURNAL_BYTES_MAX   (64ull << 20)

struct entry {
	struct list link; /* in the journal */
	enum disk_op op;
	uint32_t flags;
	uint64_t offset, length;
	bool in_job;
	uint8_t bytes[]; /* of DISK_WRITE */
};

struct volatile_disk {
	struct disk disk;
	pthread_mutex_t lock; /* guards the rest */
	struct list journal;
	uint32_t entries;
	uint64_t bytes;
	struct list reads; /* at the lower disk */
	struct list jobs;  /* waiting ones */
	bool job_running;
	uint64_t random;
	_Atomic bool off; /* requests fail; jobs stop where they are */
};

/* Scratch. */
struct volatile_req {
	struct disk_queue *queue;
	struct list link; /* in reads or jobs */
	struct iovec iov; /* of the lower request */
	/* reads */
	uint8_t *buffer;
	bool stale;
	/* jobs */
	struct loop_task start;
	struct entry *fua; /* NULL: everything */
	struct list *at;   /* the entry that goes to the lower disk */
	bool flushing;
	bool submitting;
	bool step_done;
	int error;
};

static struct volatile_disk *volatile_of(struct disk *disk)
{
	return (struct volatile_disk *)disk;
}

static struct volatile_disk *disk_of(const struct volatile_req *r)
{
	return volatile_of(r->queue->disk);
}

static struct disk_req *req_of(struct volatile_req *r)
{
	return (struct disk_req *)r - 1;
}

static struct entry *entry_of(struct list *link)
{
	return container_of(link, struct entry, link);
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* ---- the journal (under lock) --------------------------------------------------------------- */

static struct entry *entry_new(const struct disk_req *req)
{
	size_t bytes = req->op == DISK_WRITE ? req->length : 0;
	struct entry *entry = malloc(sizeof(*entry) + bytes);
	uint8_t *to;

	if (!entry)
		return NULL;
	*entry = (struct entry){
		.op = req->op,
		.flags = req->flags & DISK_FLAG_UNMAP,
		.offset = req->offset,
		.length = req->length,
	};
	to = entry->bytes;
	for (uint32_t i = 0; bytes && i < req->iov_count; i++) {
		memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
		to += req->iov[i].iov_len;
	}
	return entry;
}

static uint64_t entry_bytes(const struct entry *entry)
{
	return entry->op == DISK_WRITE ? entry->length : 0;
}

static void journal_add(struct volatile_disk *d, struct entry *entry)
{
	list_add_tail(&d->journal, &entry->link);
	d->entries++;
	d->bytes += entry_bytes(entry);
}

static void journal_del(struct volatile_disk *d, struct entry *entry)
{
	list_del(&entry->link);
	d->entries--;
	d->bytes -= entry_bytes(entry);
	free(entry);
}

static bool journal_full(const struct volatile_disk *d)
{
	return d->entries >= JOURNAL_ENTRIES_MAX || d->bytes >= JOURNAL_BYTES_MAX;
}

static void overlay_entry(const struct entry *entry, uint64_t offset, uint64_t length, uint8_t *to)
{
	uint64_t from = entry->offset > offset ? entry->offset : offset;
	uint64_t end = entry->offset + entry->length;

	if (!overlap(entry->offset, entry->length, offset, length))
		return;
	if (end > offset + length)
		end = offset + length;
	if (entry->op == DISK_WRITE)
		memcpy(to + (from - offset), entry->bytes + (from - entry->offset), end - from);
	else
		memset(to + (from - offset), 0, end - from);
}

/* ---- reads ---------------------------------------------------------------------------------- */

static void read_lower(struct volatile_req *r);

static void read_finish(struct volatile_req *r, int error)
{
	struct disk_req *req = req_of(r);
	const uint8_t *from = r->buffer;

	for (uint32_t i = 0; !error && i < req->iov_count; i++) {
		memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
		from += req->iov[i].iov_len;
	}
	free(r->buffer);
	req->done(req, error);
}

static void read_done(struct disk_req *lower, int error)
{
	struct volatile_req *r = lower->owner;
	struct disk_req *req = req_of(r);
	struct volatile_disk *d = disk_of(r);
	bool again;

	pthread_mutex_lock(&d->lock);
	again = r->stale && !error;
	r->stale = false;
	if (!again) {
		list_for_each (pos, &d->journal)
			overlay_entry(entry_of(pos), req->offset, req->length, r->buffer);
		list_del(&r->link);
	}
	pthread_mutex_unlock(&d->lock);
	if (again)
		read_lower(r);
	else
		read_finish(r, error);
}

static void read_lower(struct volatile_req *r)
{
	struct disk_req *req = req_of(r);
	struct disk_req *lower = disk_req_lower(r->queue->disk, req);

	r->iov = (struct iovec){.iov_base = r->buffer, .iov_len = req->length};
	*lower = *req;
	lower->iov = &r->iov;
	lower->iov_count = 1;
	lower->done = read_done;
	lower->owner = r;
	disk_submit(filter_lower_queue(r->queue), lower);
}

static void read_start(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);

	r->buffer = malloc(req_of(r)->length);
	if (!r->buffer) {
		req_of(r)->done(req_of(r), -ENOMEM);
		return;
	}
	pthread_mutex_lock(&d->lock);
	list_add_tail(&d->reads, &r->link);
	pthread_mutex_unlock(&d->lock);
	read_lower(r);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* An entry must be destaged when a newer one that is overlaps it: else its old bytes would come
 * later. */
static bool needed(struct volatile_disk *d, const struct entry *entry)
{
	for (struct list *pos = entry->link.next; pos != &d->journal; pos = pos->next) {
		const struct entry *newer = entry_of(pos);

		if (newer->in_job &&
			overlap(entry->offset, entry->length, newer->offset, newer->length))
			return true;
	}
	return false;
}

static void job_choose(struct volatile_disk *d, const struct entry *fua)
{
	for (struct list *pos = d->journal.prev; pos != &d->journal; pos = pos->prev) {
		struct entry *entry = entry_of(pos);

		entry->in_job = !fua || entry == fua || needed(d, entry);
	}
}

static void reads_missed(struct volatile_disk *d, const struct entry *entry)
{
	list_for_each (pos, &d->reads) {
		struct volatile_req *r = container_of(pos, struct volatile_req, link);
		const struct disk_req *req = req_of(r);

		if (overlap(entry->offset, entry->length, req->offset, req->length))
			r->stale = true;
	}
}

/* The job's entries are on the lower disk for good, or stay where they are after an error. */
static void job_settle(struct volatile_disk *d, int error)
{
	list_for_each_safe (pos, &d->journal) {
		struct entry *entry = entry_of(pos);

		if (entry->in_job && !error) {
			reads_missed(d, entry);
			journal_del(d, entry);
		} else {
			entry->in_job = false;
		}
	}
}

static void job_finish(struct volatile_req *r, int error)
{
	struct volatile_disk *d = disk_of(r);
	struct volatile_req *next = NULL;
	struct disk_req *req = req_of(r);

	pthread_mutex_lock(&d->lock);
	job_settle(d, error);
	if (list_empty(&d->jobs)) {
		d->job_running = false;
	} else {
		next = container_of(d->jobs.next, struct volatile_req, link);
		list_del(&next->link);
	}
	pthread_mutex_unlock(&d->lock);
	if (next)
		loop_post(next->queue->loop, &next->start);
	req->done(req, error);
}

static void job_run(struct volatile_req *r);

static void job_step_done(struct disk_req *lower, int error)
{
	struct volatile_req *r = lower->owner;

	r->error = error;
	r->step_done = true;
	if (!r->submitting)
		job_run(r);
}

/* The next entry of the job after r->at; NULL: none. */
static struct entry *job_next(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);
	struct entry *entry = NULL;

	pthread_mutex_lock(&d->lock);
	for (r->at = r->at->next; r->at != &d->journal; r->at = r->at->next) {
		if (entry_of(r->at)->in_job) {
			entry = entry_of(r->at);
			break;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return entry;
}

static void job_prepare(struct volatile_req *r, struct disk_req *lower, struct entry *entry)
{
	*lower = (struct disk_req){.op = DISK_FLUSH, .done = job_step_done, .owner = r};
	if (!entry)
		return;
	lower->op = entry->op;
	lower->flags = entry->flags;
	lower->offset = entry->offset;
	lower->length = entry->length;
	if (entry->op == DISK_WRITE) {
		r->iov = (struct iovec){.iov_base = entry->bytes, .iov_len = entry->length};
		lower->iov = &r->iov;
		lower->iov_count = 1;
	}
}

/* Step by step in a loop: a lower disk may finish inside submit. */
static void job_run(struct volatile_req *r)
{
	struct disk_req *lower = disk_req_lower(r->queue->disk, req_of(r));

	do {
		struct entry *entry = NULL;

		if (atomic_load(&disk_of(r)->off))
			r->error = -EIO;
		if (r->error || r->flushing) {
			job_finish(r, r->error);
			return;
		}
		entry = job_next(r);
		r->flushing = !entry;
		job_prepare(r, lower, entry);
		r->step_done = false;
		r->submitting = true;
		disk_submit(filter_lower_queue(r->queue), lower);
		r->submitting = false;
	} while (r->step_done);
}

static void job_start(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);

	pthread_mutex_lock(&d->lock);
	job_choose(d, r->fua);
	r->at = &d->journal;
	pthread_mutex_unlock(&d->lock);
	job_run(r);
}

static void job_start_task(struct loop_task *task)
{
	job_start(container_of(task, struct volatile_req, start));
}

static void job_submit(struct volatile_req *r, struct entry *fua)
{
	struct volatile_disk *d = disk_of(r);
	bool wait;

	r->fua = fua;
	r->start.fn = job_start_task;
	pthread_mutex_lock(&d->lock);
	wait = d->job_running;
	d->job_running = true;
	if (wait)
		list_add_tail(&d->jobs, &r->link);
	pthread_mutex_unlock(&d->lock);
	if (!wait)
		job_start(r);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void change_start(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);
	struct disk_req *req = req_of(r);
	struct entry *entry;
	bool full;

	if (req->op == DISK_DISCARD && !d->disk.info.discard) {
		req->done(req, -EOPNOTSUPP);
		return;
	}
	entry = entry_new(req);
	if (!entry) {
		req->done(req, -ENOMEM);
		return;
	}
	pthread_mutex_lock(&d->lock);
	journal_add(d, entry);
	full = journal_full(d);
	pthread_mutex_unlock(&d->lock);
	if (full)
		job_submit(r, NULL);
	else if (req->flags & DISK_FLAG_FUA)
		job_submit(r, entry);
	else
		req->done(req, 0);
}

static void volatile_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct volatile_req *r = disk_req_scratch(req);

	*r = (struct volatile_req){.queue = queue};
	list_init(&r->link);
	if (atomic_load(&disk_of(r)->off))
		req->done(req, -EIO);
	else if (req->op == DISK_READ)
		read_start(r);
	else if (req->op == DISK_FLUSH)
		job_submit(r, NULL);
	else
		change_start(r);
}

/* ---- power cut ------------------------------------------------------------------------------- */

enum fate {
	FATE_DROP,    /* nothing was written yet */
	FATE_KEEP,    /* everything was */
	FATE_PREFIX,  /* the first so many, the last of them in part */
	FATE_SOME,    /* any, in any order */
	FATE_SECTORS, /* any sectors of any, in any order */
	FATE_COUNT,
};

struct cut {
	struct volatile_disk *disk;
	struct loop loop; /* runs while a request of ours is not finished */
	struct disk_queue *queue;
	struct disk_req *req;
	bool finished;
	int error; /* the first */
};

static void cut_step_done(struct disk_req *req, int error)
{
	struct cut *c = req->owner;

	if (!c->error)
		c->error = error;
	c->finished = true;
	loop_stop(&c->loop);
}

static void cut_write(struct cut *c, const struct entry *entry, uint64_t skip, uint64_t length)
{
	struct iovec iov = {.iov_base = (void *)(entry->bytes + skip), .iov_len = length};

	*c->req = (struct disk_req){
		.op = entry->op == DISK_WRITE ? DISK_WRITE : DISK_WRITE_ZEROES,
		.offset = entry->offset + skip,
		.length = length,
		.done = cut_step_done,
		.owner = c,
	};
	if (entry->op == DISK_WRITE) {
		c->req->iov = &iov;
		c->req->iov_count = 1;
	}
	c->finished = false;
	disk_submit(c->queue, c->req);
	while (!c->finished)
		loop_run(&c->loop);
}

static void cut_whole(struct cut *c, const struct entry *entry)
{
	cut_write(c, entry, 0, entry->length);
}

/* The first sectors of it, as many as the dice say. */
static void cut_torn(struct cut *c, const struct entry *entry)
{
	uint64_t sectors = filter_random(&c->disk->random) % (entry->length / SECTOR_SIZE + 1);

	if (sectors)
		cut_write(c, entry, 0, sectors * SECTOR_SIZE);
}

/* Zeroes and discards may be long: one run of sectors stands for all patterns. */
static void cut_run(struct cut *c, const struct entry *entry)
{
	uint64_t sectors = entry->length / SECTOR_SIZE;
	uint64_t first = filter_random(&c->disk->random) % sectors;
	uint64_t count = filter_random(&c->disk->random) % (sectors - first + 1);

	if (count)
		cut_write(c, entry, first * SECTOR_SIZE, count * SECTOR_SIZE);
}

static void cut_sectors(struct cut *c, const struct entry *entry)
{
	if (entry->op != DISK_WRITE) {
		cut_run(c, entry);
		return;
	}
	for (uint64_t at = 0; at < entry->length; at += SECTOR_SIZE)
		if (filter_random(&c->disk->random) & 1)
			cut_write(c, entry, at, SECTOR_SIZE);
}

static void shuffle(struct entry **entries, uint32_t count, uint64_t *random)
{
	for (uint32_t i = count; i > 1; i--) {
		uint32_t j = (uint32_t)(filter_random(random) % i);
		struct entry *other = entries[j];

		entries[j] = entries[i - 1];
		entries[i - 1] = other;
	}
}

static void cut_prefix(struct cut *c, struct entry **entries, uint32_t count)
{
	uint32_t whole = (uint32_t)(filter_random(&c->disk->random) % count);

	for (uint32_t i = 0; i < whole; i++)
		cut_whole(c, entries[i]);
	cut_torn(c, entries[whole]);
}

static void cut_entries(struct cut *c, struct entry **entries, uint32_t count)
{
	enum fate fate = filter_random(&c->disk->random) % FATE_COUNT;

	if (fate == FATE_DROP || count == 0)
		return;
	if (fate == FATE_PREFIX) {
		cut_prefix(c, entries, count);
		return;
	}
	if (fate != FATE_KEEP)
		shuffle(entries, count, &c->disk->random);
	for (uint32_t i = 0; i < count; i++) {
		if (fate == FATE_SECTORS)
			cut_sectors(c, entries[i]);
		else if (fate == FATE_KEEP || (filter_random(&c->disk->random) & 1))
			cut_whole(c, entries[i]);
	}
}

static struct entry **journal_array(struct volatile_disk *d)
{
	struct entry **entries = calloc(d->entries + 1, sizeof(struct entry *));
	uint32_t i = 0;

	if (!entries)
		return NULL;
	list_for_each (pos, &d->journal)
		entries[i++] = entry_of(pos);
	return entries;
}

static void journal_clear(struct volatile_disk *d)
{
	while (!list_empty(&d->journal))
		journal_del(d, entry_of(d->journal.next));
}

int disk_volatile_cut(struct disk *disk)
{
	struct cut c = {.disk = volatile_of(disk)};
	struct entry **entries;
	int ret;

	assert(list_empty(&c.disk->reads) && !c.disk->job_running);
	ret = loop_init(&c.loop, "power-cut", NULL);
	if (ret)
		goto clear;
	ret = disk_queue_open(disk->lower, &c.loop, &c.queue);
	if (ret)
		goto fini_loop;
	entries = journal_array(c.disk);
	c.req = aligned_alloc(16, disk_req_size(disk->lower));
	if (entries && c.req)
		cut_entries(&c, entries, c.disk->entries);
	ret = entries && c.req ? c.error : -ENOMEM;
	free(c.req);
	free(entries);
	disk_queue_close(c.queue);
	loop_stop(&c.loop); /* what the queue's closing has posted still runs */
	loop_run(&c.loop);
fini_loop:
	loop_fini(&c.loop);
clear:
	journal_clear(c.disk);
	atomic_store(&c.disk->off, false);
	return ret;
}

void disk_volatile_power_off(struct disk *disk)
{
	atomic_store(&volatile_of(disk)->off, true);
}

uint32_t disk_volatile_unflushed(struct disk *disk)
{
	struct volatile_disk *d = volatile_of(disk);
	uint32_t entries;

	pthread_mutex_lock(&d->lock);
	entries = d->entries;
	pthread_mutex_unlock(&d->lock);
	return entries;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void volatile_close(struct disk *disk)
{
	struct volatile_disk *d = volatile_of(disk);
	int error = list_empty(&d->journal) ? 0 : disk_volatile_cut(disk);

	if (error)
		log_warn("volatile disk: the power cut failed: %s", strerror(-error));
	pthread_mutex_destroy(&d->lock);
	free(d);
}

static const struct disk_ops volatile_ops = {
	.name = "volatile",
	.req_size = sizeof(struct volatile_req),
	.close = volatile_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = volatile_submit,
};

int disk_volatile_open(struct disk **disk, struct disk *lower, uint64_t seed, struct err *e)
{
	struct volatile_disk *d = calloc(1, sizeof(*d));

	if (!d)
		return err_set(e, -ENOMEM, "disk filter volatile: out of memory");
	filter_init(&d->disk, &volatile_ops, lower);
	d->disk.info.write_cache = true;
	d->random = seed;
	pthread_mutex_init(&d->lock, NULL);
	list_init(&d->journal);
	list_init(&d->reads);
	list_init(&d->jobs);
	*disk = &d->disk;
	return 0;
}
