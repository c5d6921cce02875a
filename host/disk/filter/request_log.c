/* SPDX-License-Identifier: MIT */
/*
 * One line per request, in order of completion. Queues append to a buffer under
 * a lock; a thread of this disk swaps the buffer and writes it, so that no I/O
 * thread blocks on the file system of the log.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file_output.h"
#include "base/log.h"
#include "base/thread.h"
#include "disk/filter/filter.h"
#include "disk/filter/filters.h"

#define LOG_BUFFER_SIZE (256u << 10)
#define LOG_LINE_MAX    160u
#define US_PER_SECOND   1000000u

struct log_disk {
	struct disk disk;
	int fd;
	pthread_t thread;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	_Atomic bool closing;
	uint32_t used;
	uint64_t dropped;
	char *filling; /* LOG_BUFFER_SIZE each */
	char *writing; /* the thread's */
};

/* Scratch. */
struct log_req {
	struct log_disk *disk;
	uint64_t submitted_ns;
};

static const char *const op_name[] = {
	[DISK_READ] = "read",
	[DISK_WRITE] = "write",
	[DISK_FLUSH] = "flush",
	[DISK_DISCARD] = "discard",
	[DISK_WRITE_ZEROES] = "zeroes",
};

static const char *result_name(int error)
{
	const char *name = error ? strerrorname_np(-error) : "ok";

	return name ? name : "?";
}

static uint32_t format_line(
	char line[LOG_LINE_MAX], const struct disk_req *req, uint64_t submitted_ns, int error)
{
	uint64_t now_us = loop_now_ns() / NS_PER_US;
	int n = snprintf(line, LOG_LINE_MAX,
		"%" PRIu64 ".%06" PRIu64 " %s%s%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %s\n",
		now_us / US_PER_SECOND, now_us % US_PER_SECOND, op_name[req->op],
		req->flags & DISK_FLAG_FUA ? "+fua" : "",
		req->flags & DISK_FLAG_UNMAP ? "+unmap" : "", req->offset, req->length,
		now_us - submitted_ns / NS_PER_US, result_name(error));

	assert(n > 0 && n < (int)LOG_LINE_MAX);
	return (uint32_t)n;
}

static void append(struct log_disk *d, const char *line, uint32_t len)
{
	pthread_mutex_lock(&d->lock);
	if (len > LOG_BUFFER_SIZE - d->used) {
		d->dropped++;
	} else {
		memcpy(d->filling + d->used, line, len);
		d->used += len;
	}
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
}

static void lower_done(struct disk_req *lower, int error)
{
	struct disk_req *req = lower->owner;
	struct log_req *r = disk_req_scratch(req);
	char line[LOG_LINE_MAX];
	uint32_t len = format_line(line, req, r->submitted_ns, error);

	append(r->disk, line, len);
	req->done(req, error);
}

static void log_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct log_req *r = disk_req_scratch(req);
	struct disk_req *lower = disk_req_lower(queue->disk, req);

	r->disk = (struct log_disk *)queue->disk;
	r->submitted_ns = loop_now_ns();
	*lower = *req;
	lower->done = lower_done;
	lower->owner = req;
	disk_submit(filter_lower_queue(queue), lower);
}

/* ---- the writing thread -------------------------------------------------- */

/* Waits for lines and swaps the buffers. False: closing, and none are left. */
static bool take(struct log_disk *d, uint32_t *len, uint64_t *dropped)
{
	char *full;

	pthread_mutex_lock(&d->lock);
	while (!d->used && !d->dropped && !d->closing)
		pthread_cond_wait(&d->changed, &d->lock);
	full = d->filling;
	d->filling = d->writing;
	d->writing = full;
	*len = d->used;
	*dropped = d->dropped;
	d->used = 0;
	d->dropped = 0;
	pthread_mutex_unlock(&d->lock);
	return *len || *dropped;
}

static void *writer_main(void *arg)
{
	struct log_disk *d = arg;
	char note[LOG_LINE_MAX];
	uint64_t dropped;
	uint32_t len;
	int error = 0;

	thread_enter(THREAD_WRITER, "disk log");
	while (take(d, &len, &dropped)) {
		if (!error && len)
			error = file_output_write(d->fd, d->writing, len, &d->closing);
		if (!error && dropped) {
			snprintf(note, sizeof(note), "# %" PRIu64 " lines dropped\n", dropped);
			error = file_output_write(d->fd, note, strlen(note), &d->closing);
		}
		if (error >= 0)
			continue;
		log_event(LOG_ERROR, "disk log: cannot be written: %s; logging stops",
			strerror(-error));
		error = 1; /* logged once; further lines are discarded */
	}
	return NULL;
}

/* ---- life ---------------------------------------------------------------- */

static void log_free(struct log_disk *d)
{
	if (d->fd >= 0)
		close(d->fd);
	free(d->filling);
	free(d->writing);
	filter_close(&d->disk);
}

static void log_close(struct disk *disk)
{
	struct log_disk *d = (struct log_disk *)disk;

	pthread_mutex_lock(&d->lock);
	d->closing = true;
	pthread_cond_signal(&d->changed);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	pthread_cond_destroy(&d->changed);
	pthread_mutex_destroy(&d->lock);
	log_free(d);
}

static const struct disk_ops log_ops = {
	.name = "log",
	.req_size = sizeof(struct log_req),
	.close = log_close,
	.queue_open = filter_queue_open,
	.queue_close = filter_queue_close,
	.submit = log_submit,
	.cancel = filter_cancel,
};

static int open_file(struct log_disk *d, const char *path, struct err *e)
{
	d->fd = file_output_open(path, O_APPEND, 0644);
	if (d->fd >= 0)
		return 0;
	if (d->fd == -ENXIO)
		return err_set(e, -ENXIO,
			"disk log %s: nobody reads from this pipe; start its reader first", path);
	if (d->fd == -EBUSY)
		return err_set(e, -EBUSY,
			"disk log %s: is in use; give a file that nothing else uses", path);
	return err_set(e, d->fd, "disk log %s: cannot be opened: %s", path, strerror(-d->fd));
}

static int start_writer(struct log_disk *d, const char *path, struct err *e)
{
	int ret;

	d->filling = malloc(LOG_BUFFER_SIZE);
	d->writing = malloc(LOG_BUFFER_SIZE);
	if (!d->filling || !d->writing)
		return err_set(e, -ENOMEM, "disk log %s: out of memory", path);
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	ret = thread_create(&d->thread, NULL, writer_main, d);
	if (ret)
		err_set(e, ret, "disk log %s: cannot start a thread: %s", path, strerror(-ret));
	return ret;
}

int disk_log_open(struct disk **disk, struct disk *lower, const char *path, struct err *e)
{
	struct log_disk *d = filter_create(sizeof(*d), &log_ops, lower, e);
	int ret;

	if (!d)
		return -ENOMEM;
	ret = open_file(d, path, e);
	if (!ret)
		ret = start_writer(d, path, e);
	if (ret)
		log_free(d);
	else
		*disk = &d->disk;
	return ret;
}

/* ---- configuration: log=FILE --------------------------------------------- */

struct log_options {
	char *file;
};

static const struct schema_key keys[] = {
	{
		.name = "file",
		.type = &schema_file,
		SCHEMA_FIELD(struct log_options, file),
		.required = true,
		.arg = "FILE",
		.help = "is appended to",
	},
	{0},
};

static int filter_open(struct disk **disk, struct disk *lower, const void *options, struct err *e)
{
	const struct log_options *o = options;

	return disk_log_open(disk, lower, o->file, e);
}

const struct disk_filter_ops disk_log_filter = {
	.schema =
		{
			.name = "log",
			.help = "writes one line per request: time, operation, offset, length, microseconds, result",
			.keys = keys,
			.size = sizeof(struct log_options),
		},
	.open = filter_open,
};
