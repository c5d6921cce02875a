/* SPDX-License-Identifier: MIT */
/*
 * A write cache that loses unflushed writes. Writes, zeroes and discards become
 * entries of a journal in memory, oldest first; a read is the data of the lower
 * disk overlaid with the journal.
 *
 *   WRITE ...        append -> done
 *   FLUSH            job: destage all entries -> flush the lower disk -> drop them -> done
 *   FUA WRITE ...    append -> job: the same, but only for this entry and the older ones that
 *                    overlap it
 *   full journal     the write that fills it waits for a job like FLUSH
 *
 * Jobs run one at a time for the whole disk, each on the loop of its request;
 * the others wait in a list and are posted to their loops. Entries go to the
 * lower disk one by one in order, so that the newest bytes win.
 *
 * A job and reads of the ranges it destages exclude each other: the job starts
 * when no such read is at the lower disk, and later ones are blocked until it
 * ends. So no read can miss both an entry and its data on the lower disk.
 *
 * Cancelling: a waiting request is cancelled at once; one at the lower disk, or a running job, is
 * cancelled there, and the entries of the job stay in the journal.
 *
 * A power cut first fails all requests, which may stop a job half way. Then, with
 * nothing in flight, it decides the fate of each entry: dropped, kept, torn
 * between sectors, or written out of order, as a real cache may do.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "base/log.h"
#include "disk/filter/filter.h"
#include "disk/filter/volatile_impl.h"

#define JOURNAL_ENTRIES_MAX 4096u
#define JOURNAL_BYTES_MAX   (64ull << 20)

/* Scratch. */
struct volatile_req {
	struct disk_queue *queue;
	struct list link;      /* in reads, blocked or jobs */
	struct loop_task task; /* continues on the loop of the request */
	struct iovec iov;      /* of the lower request */
	uint8_t *buffer;       /* of reads */
	bool waiting;          /* in blocked or jobs; under lock */
	bool cancelled;
	bool below; /* its lower request is at the lower disk */
	/* jobs */
	struct entry *fua; /* the entry to destage; NULL: all */
	struct list *at;   /* the entry being written to the lower disk */
	bool flushing;
	bool submitting;
	bool step_done;
	int error;
};

static struct volatile_disk *disk_of(const struct volatile_req *r)
{
	return volatile_of(r->queue->disk);
}

static struct disk_req *req_of(struct volatile_req *r)
{
	return disk_req_of_scratch(r);
}

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* ---- the journal (under lock) -------------------------------------------- */

static struct entry *entry_new(const struct disk_req *req)
{
	size_t bytes = req->op == DISK_WRITE ? req->length : 0;
	struct entry *entry = malloc(sizeof(*entry) + bytes);

	if (!entry)
		return NULL;
	*entry = (struct entry){
		.op = req->op,
		.flags = req->flags & DISK_FLAG_UNMAP,
		.offset = req->offset,
		.length = req->length,
	};
	iov_copy_from(req->iov, req->iov_count, 0, entry->bytes, bytes);
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

void volatile_journal_del(struct volatile_disk *d, struct entry *entry)
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

/* ---- reads --------------------------------------------------------------- */

/* Under lock. */
static bool read_meets(const struct disk_req *req, const struct entry *entry)
{
	return entry->in_job && overlap(entry->offset, entry->length, req->offset, req->length);
}

/* Under lock. */
static bool read_meets_job(struct volatile_disk *d, const struct volatile_req *r)
{
	const struct disk_req *req = disk_req_of_scratch(r);

	list_for_each (pos, &d->journal)
		if (read_meets(req, entry_of(pos)))
			return true;
	return false;
}

/* Under lock. */
static bool reads_meet_job(struct volatile_disk *d)
{
	list_for_each (pos, &d->reads)
		if (read_meets_job(d, container_of(pos, struct volatile_req, link)))
			return true;
	return false;
}

static void read_finish(struct volatile_req *r, int error)
{
	struct disk_req *req = req_of(r);

	if (!error)
		iov_copy_to(req->iov, req->iov_count, 0, r->buffer, req->length);
	free(r->buffer);
	req->done(req, error);
}

static void read_done(struct disk_req *lower, int error)
{
	struct volatile_req *r = lower->owner, *job = NULL;
	const struct disk_req *req = req_of(r);
	struct volatile_disk *d = disk_of(r);

	r->below = false;
	pthread_mutex_lock(&d->lock);
	list_for_each (pos, &d->journal)
		overlay_entry(entry_of(pos), req->offset, req->length, r->buffer);
	list_del(&r->link);
	if (d->held_up_job && !reads_meet_job(d)) {
		job = d->held_up_job;
		d->held_up_job = NULL;
	}
	pthread_mutex_unlock(&d->lock);
	if (job)
		loop_post(job->queue->loop, &job->task);
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
	r->below = true;
	disk_submit(filter_lower_queue(r->queue), lower);
}

static void read_task(struct loop_task *task)
{
	struct volatile_req *r = container_of(task, struct volatile_req, task);

	if (r->cancelled) {
		disk_req_lower(r->queue->disk, req_of(r))->owner = r;
		read_done(disk_req_lower(r->queue->disk, req_of(r)), -ECANCELED);
	} else {
		read_lower(r);
	}
}

static void read_start(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);
	bool wait;

	r->task.fn = read_task;
	r->buffer = malloc(req_of(r)->length);
	if (!r->buffer) {
		req_of(r)->done(req_of(r), -ENOMEM);
		return;
	}
	pthread_mutex_lock(&d->lock);
	wait = read_meets_job(d, r);
	list_add_tail(wait ? &d->blocked : &d->reads, &r->link);
	r->waiting = wait;
	pthread_mutex_unlock(&d->lock);
	if (!wait)
		read_lower(r);
}

/* ---- jobs ---------------------------------------------------------------- */

/* An entry that overlaps a newer one to destage must be destaged too: written later, its old data
 * would overwrite the newer ones. */
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

/* The entries of the job are durable on the lower disk; after an error they stay in the journal. */
static void job_settle(struct volatile_disk *d, int error)
{
	list_for_each_safe (pos, &d->journal) {
		struct entry *entry = entry_of(pos);

		if (entry->in_job && !error)
			volatile_journal_del(d, entry);
		else
			entry->in_job = false;
	}
	while (!list_empty(&d->blocked)) {
		struct volatile_req *read =
			container_of(d->blocked.next, struct volatile_req, link);

		list_del(&read->link);
		read->waiting = false;
		list_add_tail(&d->reads, &read->link);
		loop_post(read->queue->loop, &read->task);
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
		next->waiting = false;
	}
	pthread_mutex_unlock(&d->lock);
	if (next)
		loop_post(next->queue->loop, &next->task);
	req->done(req, error);
}

static void job_run(struct volatile_req *r);

static void job_step_done(struct disk_req *lower, int error)
{
	struct volatile_req *r = lower->owner;

	r->below = false;
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

/* A loop instead of recursion: a lower disk may complete inside submit. */
static void job_run(struct volatile_req *r)
{
	struct disk_req *lower = disk_req_lower(r->queue->disk, req_of(r));

	do {
		struct entry *entry = NULL;

		if (atomic_load(&disk_of(r)->off))
			r->error = -EIO;
		else if (r->cancelled && !r->error && !r->flushing)
			r->error = -ECANCELED;
		if (r->error || r->flushing) {
			job_finish(r, r->error);
			return;
		}
		entry = job_next(r);
		r->flushing = !entry;
		job_prepare(r, lower, entry);
		r->step_done = false;
		r->submitting = true;
		r->below = true;
		disk_submit(filter_lower_queue(r->queue), lower);
		r->submitting = false;
	} while (r->step_done);
}

static void job_go_on(struct loop_task *task)
{
	job_run(container_of(task, struct volatile_req, task));
}

static void job_start(struct volatile_req *r)
{
	struct volatile_disk *d = disk_of(r);
	bool wait;

	r->task.fn = job_go_on;
	pthread_mutex_lock(&d->lock);
	job_choose(d, r->fua);
	r->at = &d->journal;
	wait = reads_meet_job(d);
	if (wait)
		d->held_up_job = r;
	pthread_mutex_unlock(&d->lock);
	if (!wait)
		job_run(r);
}

static void job_start_task(struct loop_task *task)
{
	job_start(container_of(task, struct volatile_req, task));
}

static void job_submit(struct volatile_req *r, struct entry *fua)
{
	struct volatile_disk *d = disk_of(r);
	bool wait;

	r->fua = fua;
	r->task.fn = job_start_task;
	pthread_mutex_lock(&d->lock);
	wait = d->job_running;
	d->job_running = true;
	if (wait)
		list_add_tail(&d->jobs, &r->link);
	r->waiting = wait;
	pthread_mutex_unlock(&d->lock);
	if (!wait)
		job_start(r);
}

/* ---- requests ------------------------------------------------------------ */

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

static void cancelled_task(struct loop_task *task)
{
	struct volatile_req *r = container_of(task, struct volatile_req, task);

	free(r->buffer);
	req_of(r)->done(req_of(r), -ECANCELED);
}

static void volatile_cancel(struct disk_queue *queue, struct disk_req *req)
{
	struct volatile_req *r = disk_req_scratch(req);
	struct volatile_disk *d = disk_of(r);
	bool waited;

	r->cancelled = true;
	pthread_mutex_lock(&d->lock);
	waited = r->waiting;
	if (waited)
		list_del(&r->link);
	r->waiting = false;
	pthread_mutex_unlock(&d->lock);
	if (waited) {
		r->task.fn = cancelled_task;
		loop_post(queue->loop, &r->task);
	} else if (r->below) {
		filter_cancel(queue, req);
	}
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

/* ---- life ---------------------------------------------------------------- */

static void volatile_close(struct disk *disk)
{
	struct volatile_disk *d = volatile_of(disk);
	int error = list_empty(&d->journal) ? 0 : disk_volatile_cut(disk);

	if (error)
		log_event(LOG_WARN, "volatile disk: the power cut failed: %s", strerror(-error));
	pthread_mutex_destroy(&d->lock);
	filter_close(disk);
}

static void volatile_inspect(const struct disk *disk, struct inspect *i)
{
	struct volatile_disk *d = (struct volatile_disk *)disk; /* for its lock */

	pthread_mutex_lock(&d->lock);
	inspect_u64(i, "unflushed_writes", d->entries);
	inspect_u64(i, "unflushed_bytes", d->bytes);
	pthread_mutex_unlock(&d->lock);
	inspect_bool(i, "off", atomic_load_explicit(&d->off, memory_order_relaxed));
}

static const struct disk_ops volatile_ops = {
	.name = "volatile",
	.req_size = sizeof(struct volatile_req),
	.close = volatile_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = volatile_submit,
	.cancel = volatile_cancel,
	.inspect = volatile_inspect,
};

int disk_volatile_open(struct disk **disk, struct disk *lower, uint64_t seed, struct err *e)
{
	struct volatile_disk *d = filter_create(sizeof(*d), &volatile_ops, lower, e);

	if (!d)
		return -ENOMEM;
	d->disk.info.write_cache = true;
	d->random = seed;
	pthread_mutex_init(&d->lock, NULL);
	list_init(&d->journal);
	list_init(&d->reads);
	list_init(&d->blocked);
	list_init(&d->jobs);
	*disk = &d->disk;
	return 0;
}

/* ---- configuration: volatile[=SEED] -------------------------------------- */

struct volatile_options {
	uint64_t seed;
};

static const struct schema_key keys[] = {
	{
		.name = "seed",
		.type = &schema_number,
		SCHEMA_FIELD(struct volatile_options, seed),
		.max = INT64_MAX,
		.preset = "1",
		.arg = "SEED",
		.help = "of the random fate of unflushed writes",
	},
	{0},
};

static int filter_open(struct disk **disk, struct disk *lower, const void *options, struct err *e)
{
	const struct volatile_options *o = options;

	return disk_volatile_open(disk, lower, o->seed, e);
}

const struct disk_filter_ops disk_volatile_filter = {
	.schema =
		{
			.name = "volatile",
			.help = "a write cache that loses power when the VM ends: writes that were "
				"not flushed are dropped, torn or reordered",
			.keys = keys,
			.size = sizeof(struct volatile_options),
		},
	.open = filter_open,
};
