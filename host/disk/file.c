/* SPDX-License-Identifier: MIT */
/*
 * A disk in a regular file or block device, through the io_uring of the queue's
 * loop. A request is a chain of steps, each one io_uring operation:
 *
 *   READ, WRITE      TRANSFER, again with the rest while it comes back short
 *   FUA WRITE        the same with RWF_DSYNC; after an error PROBE (see below)
 *                    once space had run out: TRANSFER ..., SYNC
 *   FLUSH            SYNC
 *   DISCARD          PUNCH, else ZEROS ...                       [SYNC when FUA]
 *   WRITE_ZEROES     ZERO_RANGE, else PUNCH, else ZEROS ...      [SYNC when FUA]
 *
 * Files in memory (tmpfs) are read and written synchronously in submit: io_uring would hand each
 * write to a kernel thread, whose wake-up costs more than the copy.
 *
 * EINTR and EAGAIN repeat a step, a bounded number of times.
 *
 * A failed fsync means that completed writes are lost, and the kernel reports it
 * only once. So the failure is sticky: every flush of this disk that ends later fails. A
 * failed RWF_DSYNC write may have failed in either half; PROBE writes the same
 * bytes without DSYNC to find out whether the sync half failed. What this means for
 * flushes that run meanwhile, on any queue: file_queue.h.
 *
 * PROBE misjudges a write that failed with ENOSPC when space is freed before the
 * probe: then no data are lost and the disk must stay usable. So once a disk ran
 * out of space, FUA writes are split into TRANSFER and SYNC, each with its result.
 *
 * Cancelling cancels the step that is in the kernel and starts no further one. The kernel cancels
 * operations that wait; one that a device or a file system executes is completed. A PROBE, or a
 * SYNC that was started, is never cancelled: that could hide a loss of data.
 *
 * With O_DIRECT, misaligned buffers go through an aligned copy. They must not go
 * through the page cache: a page that is dirtied there while its neighbour sectors
 * are written directly writes their old bytes back later, and the next fsync fails ("collision with
 * buffered I/O" in the kernel's log).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/fs.h>

#include "base/inspect.h"
#include "base/iov.h"
#include "base/log.h"
#include "base/pin.h"
#include "disk/disk.h"
#include "disk/file_open.h"
#include "disk/file_queue.h"

#define FILE_RETRIES_MAX 1000u
#define FILE_ZEROS_SIZE  (128u << 10)
#define FILE_RAGGED_MAX  (8u << 20)
#define FILE_SEGMENT_MAX (1u << 30) /* of a plain read or write */

enum zero_mode { ZERO_BY_RANGE, ZERO_BY_PUNCH, ZERO_BY_WRITE };

struct file_disk {
	struct disk disk;
	int fd;
	bool direct;
	bool in_memory;
	bool async_io;
	uint32_t clear_block; /* discards and zeroes are multiples of it */
	char *path;           /* for the log */
	char *identity;
	struct file_syncs syncs;
	_Atomic int sync_error;           /* result of the first failed fsync: sticky */
	_Atomic bool tight;               /* ENOSPC happened */
	_Atomic enum zero_mode zero_mode; /* best method the file system supports */
};

enum file_step {
	STEP_TRANSFER,
	STEP_PROBE,
	STEP_SYNC,
	STEP_PUNCH,
	STEP_ZERO_RANGE,
	STEP_ZEROS,
};

/* Scratch behind each struct disk_req. */
struct file_req {
	struct loop_op op;
	struct loop_op cancel_op;
	struct loop *loop;
	struct file_queue *queue;
	struct file_wait wait; /* a SYNC, and steps that sleep: see file_queue.h */
	struct file_disk *file;
	enum file_step step;
	bool apart; /* FUA write: TRANSFER and SYNC instead of RWF_DSYNC */
	uint32_t retries;
	bool watched;   /* a DSYNC write: see struct file_syncs */
	uint32_t turn;  /* of file_syncs_write_begin() */
	int fua_error;  /* why the DSYNC write failed */
	int lost;       /* an error that other writes had */
	uint64_t moved; /* bytes transferred */
	struct iovec *iov;
	uint32_t iov_count;
	uint8_t *bounce; /* O_DIRECT: aligned copy of a misaligned buffer */
	struct iovec bounce_iov;
	bool cancelled;
	bool cancelling; /* cancel_op is in the ring: the request lives until it completes */
	bool finished;   /* with this result */
	int error;
};

static const uint8_t zeros[FILE_ZEROS_SIZE] __attribute__((aligned(4096)));

static struct file_disk *file_of(struct disk *disk)
{
	return (struct file_disk *)disk;
}

static struct disk_req *req_of(const struct file_req *r)
{
	return disk_req_of_scratch(r);
}

static void step_start(struct file_req *r, enum file_step step);

/* ---- the aligned copy ---------------------------------------------------- */

static bool aligned(const struct disk_req *req)
{
	uintptr_t bits = 0;

	for (uint32_t i = 0; i < req->iov_count; i++)
		bits |= (uintptr_t)req->iov[i].iov_base | req->iov[i].iov_len;
	return bits % FILE_BLOCK_SIZE == 0;
}

static int bounce_start(struct file_req *r)
{
	const struct disk_req *req = req_of(r);
	int ret = disk_bounce(req, &r->bounce);

	if (ret)
		return ret;
	r->bounce_iov = (struct iovec){.iov_base = r->bounce, .iov_len = req->length};
	r->iov = &r->bounce_iov;
	r->iov_count = 1;
	return 0;
}

static void answer(struct file_req *r)
{
	struct disk_req *req = req_of(r);

	if (r->error == -ENOSPC || r->error == -EDQUOT)
		atomic_store_explicit(&r->file->tight, true, memory_order_relaxed);
	if (r->bounce)
		disk_bounce_free(req, r->bounce, r->error);
	req->done(req, r->error);
}

static void finish(struct file_req *r, int error)
{
	r->finished = true;
	r->error = error;
	if (r->watched)
		file_syncs_write_end(&r->file->syncs, r->turn, r->lost);
	if (!r->cancelling)
		answer(r);
}

/* ---- transfers ----------------------------------------------------------- */

/* A single segment, the common case, is cheaper as READ/WRITE than as READV/WRITEV, and cheaper
 * still in registered memory. */
static void segment_prepare(struct file_req *r, struct io_uring_sqe *sqe, uint64_t offset)
{
	int fd = r->file->fd;
	void *at = r->iov->iov_base;
	unsigned int len = (unsigned int)r->iov->iov_len;
	int pinned = loop_pinned(r->loop, at, len);

	if (req_of(r)->op == DISK_READ && pinned >= 0)
		io_uring_prep_read_fixed(sqe, fd, at, len, offset, pinned);
	else if (req_of(r)->op == DISK_READ)
		io_uring_prep_read(sqe, fd, at, len, offset);
	else if (pinned >= 0)
		io_uring_prep_write_fixed(sqe, fd, at, len, offset, pinned);
	else
		io_uring_prep_write(sqe, fd, at, len, offset);
}

static int transfer_flags(const struct file_req *r)
{
	const struct disk_req *req = req_of(r);

	return r->step == STEP_TRANSFER && req->op == DISK_WRITE && !r->apart &&
			       (req->flags & DISK_FLAG_FUA)
		       ? RWF_DSYNC
		       : 0;
}

/* The bytes moved, or -errno. */
static int transfer_now(struct file_req *r)
{
	off_t offset = (off_t)(req_of(r)->offset + r->moved);
	int count = (int)r->iov_count, flags = transfer_flags(r);
	ssize_t n = req_of(r)->op == DISK_READ
			    ? preadv2(r->file->fd, r->iov, count, offset, flags)
			    : pwritev2(r->file->fd, r->iov, count, offset, flags);

	return n < 0 ? -errno : (int)n;
}

static void transfer_prepare(struct file_req *r, struct io_uring_sqe *sqe)
{
	struct disk_req *req = req_of(r);
	uint64_t offset = req->offset + r->moved;

	if (r->iov_count == 1 && r->iov->iov_len <= FILE_SEGMENT_MAX)
		segment_prepare(r, sqe, offset);
	else if (req->op == DISK_READ)
		io_uring_prep_readv(sqe, r->file->fd, r->iov, r->iov_count, offset);
	else
		io_uring_prep_writev(sqe, r->file->fd, r->iov, r->iov_count, offset);
	sqe->rw_flags = transfer_flags(r);
}

static void transfer_failed(struct file_req *r, int error)
{
	struct disk_req *req = req_of(r);

	if (req->op == DISK_WRITE && (req->flags & DISK_FLAG_FUA) && !r->apart) {
		r->fua_error = error;
		step_start(r, STEP_PROBE);
	} else {
		finish(r, error);
	}
}

static void transfer_done(struct file_req *r, int res)
{
	if (res < 0) {
		transfer_failed(r, res);
		return;
	}
	if (res == 0) { /* the file was truncated meanwhile */
		finish(r, -EIO);
		return;
	}
	if (r->moved + (uint32_t)res == req_of(r)->length) {
		if (r->apart)
			step_start(r, STEP_SYNC);
		else
			finish(r, 0);
		return;
	}
	if (r->file->direct) /* the rest must be aligned too */
		res -= res % (int)FILE_BLOCK_SIZE;
	if (res == 0 && r->retries++ >= FILE_RETRIES_MAX) {
		finish(r, -EIO);
		return;
	}
	r->moved += (uint32_t)res;
	iov_advance(&r->iov, &r->iov_count, (uint32_t)res);
	step_start(r, STEP_TRANSFER);
}

/* ---- durability ---------------------------------------------------------- */

static void sync_failed(struct file_disk *f, int error)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&f->sync_error, &none, error))
		log_event(LOG_ERROR,
			"disk %s: written data may be lost (%s); all flushes fail until it is opened again",
			f->path, strerror(-error));
}

static void probe_done(struct file_req *r, int res)
{
	if (res > 0) {
		r->lost = r->fua_error;
		sync_failed(r->file, r->lost);
	}
	finish(r, r->fua_error);
}

static void sync_done(struct file_req *r, int res)
{
	if (res < 0)
		sync_failed(r->file, res);
	finish(r, res < 0 ? res : 0);
}

/* fallocate has no DSYNC variant. */
static void sync_when_fua(struct file_req *r)
{
	if (req_of(r)->flags & DISK_FLAG_FUA)
		step_start(r, STEP_SYNC);
	else
		finish(r, 0);
}

/* ---- discard and zeroes -------------------------------------------------- */

static void punch_prepare(struct file_req *r, struct io_uring_sqe *sqe)
{
	io_uring_prep_fallocate(sqe, r->file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(off_t)req_of(r)->offset, (off_t)req_of(r)->length);
}

static void zero_range_prepare(struct file_req *r, struct io_uring_sqe *sqe)
{
	io_uring_prep_fallocate(sqe, r->file->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		(off_t)req_of(r)->offset, (off_t)req_of(r)->length);
}

static void zeros_prepare(struct file_req *r, struct io_uring_sqe *sqe)
{
	uint64_t rest = req_of(r)->length - r->moved;

	io_uring_prep_write(sqe, r->file->fd, zeros,
		rest < FILE_ZEROS_SIZE ? (unsigned)rest : FILE_ZEROS_SIZE,
		req_of(r)->offset + r->moved);
}

/* Devices cannot clear parts of their blocks; those are written. */
static bool partial(const struct file_req *r)
{
	const struct disk_req *req = req_of(r);

	return (req->offset | req->length) % r->file->clear_block;
}

/* The file system zeroes parts of its blocks in the page cache, which direct writes of neighbour
 * sectors would collide with. (Guests align long requests to the physical block size.)
 */
static bool ragged(const struct file_req *r)
{
	const struct disk_req *req = req_of(r);

	return r->file->direct && (req->offset | req->length) % FILE_PHYSICAL_BLOCK_SIZE &&
	       req->length <= FILE_RAGGED_MAX;
}

static void zero_start(struct file_req *r)
{
	static const enum file_step step_of[] = {
		[ZERO_BY_RANGE] = STEP_ZERO_RANGE,
		[ZERO_BY_PUNCH] = STEP_PUNCH,
		[ZERO_BY_WRITE] = STEP_ZEROS,
	};
	enum zero_mode mode = atomic_load_explicit(&r->file->zero_mode, memory_order_relaxed);

	if (ragged(r) || partial(r))
		mode = ZERO_BY_WRITE;
	/* Punch only if the caller allows unmapping; then it is the first choice. */
	if (mode == ZERO_BY_RANGE && (req_of(r)->flags & DISK_FLAG_UNMAP) &&
		r->file->disk.info.discard)
		mode = ZERO_BY_PUNCH;
	step_start(r, step_of[mode]);
}

/* The file system does not support this method: remember that and use the next one. */
static void zero_downgrade(struct file_req *r)
{
	enum zero_mode next = r->step == STEP_ZERO_RANGE ? ZERO_BY_PUNCH : ZERO_BY_WRITE;

	atomic_store_explicit(&r->file->zero_mode, next, memory_order_relaxed);
	zero_start(r);
}

static void fallocate_done(struct file_req *r, int res)
{
	if (res >= 0)
		sync_when_fua(r);
	else if (res == -EOPNOTSUPP && req_of(r)->op == DISK_WRITE_ZEROES)
		zero_downgrade(r);
	else if (res == -EINVAL) /* not this range */
		step_start(r, STEP_ZEROS);
	else
		finish(r, res);
}

static void zeros_done(struct file_req *r, int res)
{
	if (res > 0 && r->file->direct)
		res -= res % (int)FILE_BLOCK_SIZE;
	if (res <= 0) {
		finish(r, res < 0 ? res : -EIO);
		return;
	}
	r->moved += (uint32_t)res;
	if (r->moved < req_of(r)->length)
		step_start(r, STEP_ZEROS);
	else
		sync_when_fua(r);
}

/* ---- the chain ----------------------------------------------------------- */

static const struct {
	void (*prepare)(struct file_req *r, struct io_uring_sqe *sqe);
	void (*done)(struct file_req *r, int res);
} steps[] = {
	[STEP_TRANSFER] = {transfer_prepare, transfer_done},
	[STEP_PROBE] = {transfer_prepare, probe_done},
	[STEP_SYNC] = {NULL, sync_done}, /* by the queue */
	[STEP_PUNCH] = {punch_prepare, fallocate_done},
	[STEP_ZERO_RANGE] = {zero_range_prepare, fallocate_done},
	[STEP_ZEROS] = {zeros_prepare, zeros_done},
};

/* A probe, or a sync that was started: without its result a loss of data would go unnoticed. */
static bool step_matters(const struct file_req *r, enum file_step step)
{
	return step == STEP_PROBE || r->step == STEP_SYNC;
}

/* On a kernel thread, for as long as the file system takes. */
static bool step_sleeps(const struct file_req *r)
{
	return r->step == STEP_PUNCH || r->step == STEP_ZERO_RANGE ||
	       (r->step == STEP_TRANSFER && req_of(r)->op == DISK_READ && !r->file->async_io);
}

static void step_done(struct loop_op *op, int res)
{
	struct file_req *r = container_of(op, struct file_req, op);

	if (step_sleeps(r))
		file_queue_sleeper_leave(r->queue);
	if (res == -ECANCELED && r->cancelled) /* the kernel had not started it */
		finish(r, res);
	else if ((res == -EINTR || res == -EAGAIN) && r->retries++ < FILE_RETRIES_MAX)
		step_start(r, r->step);
	else
		steps[r->step].done(r, res);
}

static void step_submit(struct file_wait *wait)
{
	struct file_req *r = container_of(wait, struct file_req, wait);
	struct io_uring_sqe *sqe = loop_sqe(r->loop, &r->op);

	steps[r->step].prepare(r, sqe);
	if (!r->file->async_io)
		sqe->flags |= IOSQE_ASYNC;
}

static void step_synced(struct file_wait *wait, int result)
{
	sync_done(container_of(wait, struct file_req, wait), result);
}

static void step_start(struct file_req *r, enum file_step step)
{
	if (r->cancelled && !step_matters(r, step)) {
		finish(r, -ECANCELED);
		return;
	}
	r->step = step;
	if (step == STEP_TRANSFER && r->file->in_memory) {
		step_done(&r->op, transfer_now(r));
		return;
	}
	if (step == STEP_SYNC)
		file_queue_sync(r->queue, &r->wait);
	else if (!step_sleeps(r) || file_queue_sleeper_enter(r->queue, &r->wait))
		step_submit(&r->wait);
}

static void cancel_done(struct loop_op *op, int res)
{
	struct file_req *r = container_of(op, struct file_req, cancel_op);

	r->cancelling = false;
	if (r->finished)
		answer(r);
}

static void file_cancel(struct disk_queue *queue, struct disk_req *req)
{
	struct file_req *r = disk_req_scratch(req);

	if (r->cancelled || r->step == STEP_PROBE)
		return;
	r->cancelled = true;
	r->cancelling = true;
	r->cancel_op.done = cancel_done;
	if (file_queue_withdraw(r->queue, &r->wait))
		finish(r, -ECANCELED); /* completes in cancel_done() */
	io_uring_prep_cancel(loop_sqe(r->loop, &r->cancel_op), &r->op, 0);
}

static void flush_start(struct file_req *r)
{
	int error = atomic_load(&r->file->sync_error);

	if (error)
		finish(r, error);
	else
		step_start(r, STEP_SYNC);
}

static void transfer_start(struct file_req *r)
{
	bool fua = req_of(r)->op == DISK_WRITE && (req_of(r)->flags & DISK_FLAG_FUA);
	int ret = 0;

	r->apart = fua && atomic_load_explicit(&r->file->tight, memory_order_relaxed);
	r->watched = fua && !r->apart;
	if (r->watched)
		r->turn = file_syncs_write_begin(&r->file->syncs);
	if (r->file->direct && !aligned(req_of(r)))
		ret = bounce_start(r);
	if (ret)
		finish(r, ret);
	else
		step_start(r, STEP_TRANSFER);
}

static void file_submit(struct disk_queue *queue, struct disk_req *req)
{
	struct file_req *r = disk_req_scratch(req);

	*r = (struct file_req){
		.op.done = step_done,
		.loop = queue->loop,
		.queue = (struct file_queue *)queue,
		.wait.start = step_submit,
		.wait.synced = step_synced,
		.file = file_of(queue->disk),
		.iov = req->iov,
		.iov_count = req->iov_count,
	};
	list_init(&r->wait.list);
	switch (req->op) {
	case DISK_READ:
	case DISK_WRITE:
		transfer_start(r);
		break;
	case DISK_FLUSH:
		flush_start(r);
		break;
	case DISK_DISCARD:
		r->iov_count = 0;
		step_start(r, ragged(r) || partial(r) ? STEP_ZEROS : STEP_PUNCH);
		break;
	case DISK_WRITE_ZEROES:
		r->iov_count = 0;
		zero_start(r);
		break;
	case DISK_OP_COUNT:
		break;
	}
}

static void file_close(struct disk *disk)
{
	struct file_disk *f = file_of(disk);

	if (f->fd >= 0)
		close(f->fd);
	file_syncs_fini(&f->syncs);
	free(f->identity);
	free(f->path);
	free(f);
}

static int file_refresh(struct disk *disk, uint64_t *size, struct err *e)
{
	return file_read_size(file_of(disk)->fd, file_of(disk)->path, size, e);
}

static int file_map(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped)
{
	return file_map_range(file_of(disk)->fd, offset, length, mapped);
}

static int queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	return file_queue_open(disk, &file_of(disk)->syncs, file_of(disk)->fd, loop, queue);
}

static void file_inspect(const struct disk *disk, struct inspect *i)
{
	const struct file_disk *f = (const struct file_disk *)disk;

	inspect_text(i, "path", f->path);
	inspect_bool(i, "direct", f->direct);
	inspect_bool(i, "in_memory", f->in_memory);
	inspect_u64(i, "sync_errno", (uint64_t)-atomic_load(&f->sync_error));
}

static uint64_t file_change_time(const struct disk *disk)
{
	return file_changed_ns(((const struct file_disk *)disk)->fd);
}

static const struct disk_ops file_ops = {
	.name = "file",
	.req_size = sizeof(struct file_req),
	.close = file_close,
	.queue_open = queue_open,
	.queue_close = file_queue_close,
	.submit = file_submit,
	.cancel = file_cancel,
	.refresh = file_refresh,
	.map = file_map,
	.change_time = file_change_time,
	.inspect = file_inspect,
};

/* ---- opening ------------------------------------------------------------- */

static int read_geometry(struct file_disk *f, const struct disk_file_options *o, struct err *e)
{
	const char *path = f->path;
	unsigned int physical = FILE_PHYSICAL_BLOCK_SIZE;
	uint64_t size;
	struct stat st;
	int ret;

	ret = file_read_size(f->fd, path, &size, e);
	if (ret)
		return ret;
	f->clear_block = FILE_BLOCK_SIZE;
	if (fstat(f->fd, &st) ||
		(S_ISBLK(st.st_mode) && (ioctl(f->fd, BLKPBSZGET, &physical) ||
						ioctl(f->fd, BLKSSZGET, &f->clear_block))))
		return err_set(e, -errno, "disk %s: %s", path, strerror(errno));
	f->disk.info = (struct disk_info){
		.size = size,
		.block_size = FILE_BLOCK_SIZE,
		.physical_block_size = physical,
		.read_only = o->read_only,
		.write_cache = true,
	};
	f->disk.changed_ns = file_changed_ns(f->fd);
	f->disk.info.discard = !o->read_only && file_can_punch(f->fd, &st, size);
	f->in_memory = file_is_in_memory(f->fd, &st);
	f->async_io = f->in_memory || file_io_is_async(f->fd);
	if (S_ISREG(st.st_mode) && !o->read_only)
		f->disk.path = f->path;
	f->disk.identity = f->identity = file_identity(f->fd, &st);
	return f->identity ? 0 : err_set(e, -ENOMEM, "disk %s: out of memory", path);
}

/* f->path is set. What it opens is closed with the disk, also after a failure. */
static int open_file(struct file_disk *f, const struct disk_file_options *o, struct err *e)
{
	struct stat st;
	int ret = file_check_kind(f->path, &st, e);

	if (ret)
		return ret;
	f->fd = file_open_fd(f->path, &st, o, e);
	if (f->fd < 0)
		return f->fd;
	f->direct = o->direct;
	ret = file_lock(f->fd, f->path, o, e);
	if (!ret)
		ret = read_geometry(f, o, e);
	if (!ret && f->direct)
		ret = file_check_direct(f->fd, f->path, e);
	return ret;
}

int disk_file_open(
	struct disk **disk, const char *path, const struct disk_file_options *o, struct err *e)
{
	struct file_disk *f = calloc(1, sizeof(*f));
	int ret;

	if (!f)
		return err_set(e, -ENOMEM, "disk %s: out of memory", path);
	f->disk.ops = &file_ops;
	file_syncs_init(&f->syncs);
	f->fd = -1;
	f->path = strdup(path);
	ret = f->path ? open_file(f, o, e) : err_set(e, -ENOMEM, "disk %s: out of memory", path);
	if (ret)
		file_close(&f->disk);
	else
		*disk = &f->disk;
	return ret;
}
