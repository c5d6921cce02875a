/* SPDX-License-Identifier: MIT */
#include "vsp/ic/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/blocking.h"
#include "base/files.h"
#include "vsp/ic/ic_impl.h"
#include "vsp/ic/utf16.h"

/* The guest's own limit for its daemon is 30 s. */
#define TIMEOUT_NS 60000000000ull

#define MESSAGES_A_READ 32u
#define READ_MAX        (MESSAGES_A_READ * IC_COPY_DATA_MAX)

struct ic_copy_job {
	struct loop *control;
	struct vsp_device **dev;
	void (*done)(void *ctx, const struct err *e);
	void *ctx;
	struct ic_copy_start start;
	char *file;

	/* the helper thread's, while `reading` runs */
	struct blocking_call reading;
	int fd; /* -1: not open */
	struct err error;
	int failed; /* 0 or -errno */
	uint64_t size;
	uint64_t read_at; /* in the file, of what is in data */
	uint32_t have;    /* bytes in data */
	uint8_t data[READ_MAX];

	bool guest_gone; /* the one that was asked to begin */
	bool started;
	uint64_t sent; /* bytes of the file */
	uint32_t piece;
	struct ic_request request;
	union {
		struct ic_copy_header header;
		struct ic_copy_start start;
		struct ic_copy_write write;
	} body;
};

/* ---- on the helper thread ------------------------------------------------ */

static int fail(struct ic_copy_job *job, int error)
{
	job->failed = err_set(&job->error, error, "copy: %s: %s", job->file, strerror(-error));
	return error;
}

/* Not one that is no regular file: opening or reading it may never end. */
static int open_file(struct ic_copy_job *job)
{
	struct stat st;

	job->fd = files_open(job->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (job->fd < 0 || fstat(job->fd, &st) < 0)
		return fail(job, -errno);
	if (!S_ISREG(st.st_mode)) {
		job->failed =
			err_set(&job->error, -EINVAL, "copy: %s: is no regular file", job->file);
		return -EINVAL;
	}
	job->size = (uint64_t)st.st_size;
	return 0;
}

static void read_ahead(struct ic_copy_job *job)
{
	uint64_t left = job->size - job->read_at;
	uint32_t want = left < READ_MAX ? (uint32_t)left : READ_MAX;

	job->have = 0;
	while (job->have < want) {
		ssize_t n = pread(job->fd, job->data + job->have, want - job->have,
			(off_t)(job->read_at + job->have));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			fail(job, n ? -errno : -ENODATA); /* it was cut meanwhile */
			return;
		}
		job->have += (uint32_t)n;
	}
}

static void run(struct blocking_call *call)
{
	struct ic_copy_job *job = container_of(call, struct ic_copy_job, reading);

	if (job->fd >= 0 || !open_file(job))
		read_ahead(job);
}

/* ---- the end ------------------------------------------------------------- */

static void free_job(struct ic_copy_job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	free(job->file);
	free(job);
}

static void release(struct blocking_call *call)
{
	free_job(container_of(call, struct ic_copy_job, reading));
}

static void end(struct ic_copy_job *job)
{
	void (*done)(void *ctx, const struct err *e) = job->done;
	bool failed = job->failed;
	void *ctx = job->ctx;
	struct err e = job->error;

	free_job(job);
	done(ctx, failed ? &e : NULL);
}

/* ---- messages ------------------------------------------------------------ */

static struct ic_copy_job *job_of(struct ic_request *r)
{
	return container_of(r, struct ic_copy_job, request);
}

static void ask(struct ic_copy_job *job, uint32_t size, void (*done)(struct ic_request *r))
{
	job->request.body = &job->body;
	job->request.size = size;
	job->request.timeout_ns = TIMEOUT_NS;
	job->request.done = done;
	ic_request_start(*job->dev, &job->request);
}

static void ask_header(struct ic_copy_job *job, enum ic_copy_operation operation,
	void (*done)(struct ic_request *r))
{
	job->body.header = (struct ic_copy_header){.operation = operation};
	ask(job, sizeof(job->body.header), done);
}

static void cancelled(struct ic_request *r)
{
	end(job_of(r));
}

/* Linux removes the part that it has got. */
static void cancel(struct ic_copy_job *job)
{
	if (job->started && !job->guest_gone)
		ask_header(job, IC_COPY_CANCEL, cancelled);
	else
		end(job);
}

/* False: it failed, and the job goes on to its end. */
static bool went_well(struct ic_copy_job *job)
{
	int failed = ic_request_error(&ic_copy, &job->request, "copy", &job->error);

	job->failed = failed;
	if (failed)
		cancel(job);
	return !failed;
}

static void completed(struct ic_request *r)
{
	struct ic_copy_job *job = job_of(r);

	job->failed = ic_request_error(&ic_copy, r, "copy", &job->error);
	end(job);
}

static void next(struct ic_copy_job *job);

static void written(struct ic_request *r)
{
	struct ic_copy_job *job = job_of(r);

	if (!went_well(job))
		return;
	job->sent += job->piece;
	next(job);
}

static void write_piece(struct ic_copy_job *job)
{
	uint32_t at = (uint32_t)(job->sent - job->read_at), left = job->have - at;

	job->piece = left < IC_COPY_DATA_MAX ? left : IC_COPY_DATA_MAX;
	memset(&job->body.write, 0, sizeof(job->body.write));
	job->body.write.h.operation = IC_COPY_WRITE;
	job->body.write.offset = job->sent;
	job->body.write.size = job->piece;
	memcpy(job->body.write.data, job->data + at, job->piece);
	ask(job, sizeof(job->body.write), written);
}

/* From a successful start to read_done() the job is the helper thread's. */
static void start_reading(struct ic_copy_job *job)
{
	int failed;

	job->read_at = job->sent;
	failed = blocking_start(&job->reading, job->control);
	if (!failed)
		return;
	job->failed = err_set(&job->error, failed, "copy: %s", strerror(-failed));
	cancel(job);
}

static void next(struct ic_copy_job *job)
{
	if (job->sent == job->size)
		ask_header(job, IC_COPY_COMPLETE, completed);
	else if (job->sent < job->read_at + job->have)
		write_piece(job);
	else
		start_reading(job);
}

static void started(struct ic_request *r)
{
	struct ic_copy_job *job = job_of(r);

	if (!went_well(job))
		return;
	job->started = true;
	next(job);
}

/* The first time the file was opened, too. */
static void read_done(struct blocking_call *call)
{
	struct ic_copy_job *job = container_of(call, struct ic_copy_job, reading);

	if (job->guest_gone) {
		job->failed = err_set(&job->error, -ESHUTDOWN, "copy: the guest has ended");
		end(job);
	} else if (job->failed) {
		cancel(job);
	} else if (job->started) {
		next(job);
	} else {
		job->body.start = job->start;
		job->body.start.size = job->size;
		ask(job, sizeof(job->body.start), started);
	}
}

/* ---- calls --------------------------------------------------------------- */

static int put_name(void *to, size_t room, const char *text, const char *what, struct err *e)
{
	if (!*text)
		return err_set(e, -EINVAL, "copy: the %s is empty", what);
	if (utf16_from_utf8(to, room, text) < 0)
		return err_set(e, -EINVAL,
			"copy: the %s '%.100s' is no UTF-8 text of up to %zu characters", what,
			text, room / 2 - 1);
	return 0;
}

static int fill_start(struct ic_copy_start *s, const struct ic_copy_params *p, struct err *e)
{
	uint8_t *bytes = (uint8_t *)s;
	int ret;

	s->h.operation = IC_COPY_START;
	s->flags = (p->overwrite ? IC_COPY_OVERWRITE : 0) |
		   (p->create_directory ? IC_COPY_CREATE_PATH : 0);
	if (strchr(p->name, '/'))
		return err_set(e, -EINVAL, "copy: the name '%.100s' has a '/'", p->name);
	ret = put_name(bytes + offsetof(struct ic_copy_start, name), sizeof(s->name), p->name,
		"file's name", e);
	if (ret)
		return ret;
	return put_name(bytes + offsetof(struct ic_copy_start, path), sizeof(s->path), p->directory,
		"directory", e);
}

int ic_copy_start(struct ic_copy_job **out, struct loop *control, struct vsp_device **dev,
	const struct ic_copy_params *params, void (*done)(void *ctx, const struct err *e),
	void *ctx, struct err *e)
{
	struct ic_copy_job *job = calloc(1, sizeof(*job));
	int ret;

	ON_LOOP(control);
	if (!job)
		return err_set(e, -ENOMEM, "copy: out of memory");
	job->control = control;
	job->dev = dev;
	job->done = done;
	job->ctx = ctx;
	job->fd = -1;
	job->reading = (struct blocking_call){.run = run, .done = read_done, .release = release};
	job->file = strdup(params->file);
	ret = job->file ? fill_start(&job->start, params, e)
			: err_set(e, -ENOMEM, "copy: out of memory");
	if (!ret) {
		ret = blocking_start(&job->reading, control);
		if (ret)
			err_set(e, ret, "copy: %s", strerror(-ret));
	}
	if (ret)
		free_job(job);
	else
		*out = job;
	return ret;
}

/* A request that is with the guest fails by itself. */
void ic_copy_guest_gone(struct ic_copy_job *job)
{
	ON_LOOP(job->control);
	job->guest_gone = job->started;
}

void ic_copy_abandon(struct ic_copy_job *job)
{
	if (blocking_cancel(&job->reading) || !blocking_abandon(&job->reading))
		free_job(job);
}

void ic_copy_progress(const struct ic_copy_job *job, uint64_t *bytes, uint64_t *size)
{
	*bytes = job->sent;
	*size = job->started ? job->size : 0;
}

/* ---- the channel --------------------------------------------------------- */

struct copy_channel {
	struct ic_channel ic;
	_Alignas(8) uint8_t message[IC_MESSAGE(sizeof(struct ic_copy_write))];
};

const struct ic_service ic_copy = {
	.vsp = IC_VSP("copy", IC_COPY_CLASS, struct copy_channel),
	.name = "copy",
	.needs = "hv_fcopy_daemon (from Linux 6.10 on hv_fcopy_uio_daemon)",
	.instance = IC_COPY_INSTANCE,
	.type = IC_COPY,
	.version_count = 1,
	.versions = {{1, 1}},
	.body_max = sizeof(struct ic_copy_write),
	.message = offsetof(struct copy_channel, message),
};
