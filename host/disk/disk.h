/* SPDX-License-Identifier: MIT */
/*
 * Disks: what a VSP reads and writes. A disk is a const vtable over some
 * storage; disks stack (a filter holds a lower disk). Each I/O thread loop that
 * uses a disk opens a queue on it; a request is submitted and completed on the
 * thread of its queue's loop. Nothing here knows Hyper-V or SCSI.
 *
 * Flush domain: the disk, not the queue. A DISK_FLUSH covers every write that
 * completed, on any queue, before it was submitted.
 */
#ifndef BACKEND_DISK_H
#define BACKEND_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/budget.h"
#include "base/err.h"
#include "base/loop.h"

enum disk_op {
	DISK_READ,
	DISK_WRITE,
	DISK_FLUSH,
	DISK_DISCARD,      /* contents become zero or stay; storage may be freed */
	DISK_WRITE_ZEROES, /* contents become zero */
	DISK_OP_COUNT,
};

#define DISK_FLAG_FUA   0x1u /* DISK_WRITE, _ZEROES, _DISCARD: durable before done */
#define DISK_FLAG_UNMAP 0x2u /* DISK_WRITE_ZEROES: may free storage */

/* One request. The submitter owns it before submit and after done; in between
 * only the back end touches it. iov points at guest pages (no copy is made) and
 * must stay valid until done. Lengths and offsets are bytes, multiples of
 * block_size, inside the disk: the submitter has checked them. If the disk has shrunk meanwhile,
 * the request may fail or succeed; a write to a file extends it again. */
struct disk_req {
	enum disk_op op;
	uint32_t flags; /* DISK_FLAG_* */
	uint64_t offset;
	uint64_t length;
	struct iovec *iov; /* the back end may modify the array (short transfers) */
	uint32_t iov_count;
	void (*done)(struct disk_req *req, int error); /* 0 or -errno */
	void *owner;                                   /* the submitter's, for done */
	struct disk *disk;                             /* by disk_submit() */
	/* scratch of the back ends: disk_ops.req_size bytes, 16-aligned, follow the struct */
} __attribute__((aligned(16)));
_Static_assert(sizeof(struct disk_req) % 16 == 0, "scratch alignment");

struct disk_info {
	uint64_t size;                /* bytes, a multiple of block_size; see disk_size() */
	uint32_t block_size;          /* logical: 512 */
	uint32_t physical_block_size; /* >= block_size */
	bool read_only;
	bool write_cache; /* completed writes may be volatile until a flush */
	bool discard;     /* DISK_DISCARD works and reads return zero after it */
};

struct inspect;
struct disk;
struct disk_queue; /* defined by each back end, begins with struct disk_queue */

struct disk_ops {
	const char *name;
	size_t req_size; /* scratch bytes per request, lower disks' included by disk_req_size() */
	void (*close)(struct disk *disk);
	/* ON_LOOP(loop). */
	int (*queue_open)(struct disk *disk, struct loop *loop, struct disk_queue **queue);
	/* ON_LOOP. No request is in flight. */
	void (*queue_close)(struct disk_queue *queue);
	/* ON_LOOP. Never fails: errors arrive through done. May call done before it returns. */
	void (*submit)(struct disk_queue *queue, struct disk_req *req);
	/* ON_LOOP; optional. See disk_cancel(). */
	void (*cancel)(struct disk_queue *queue, struct disk_req *req);
	/* Control thread; optional. Reads the size of the storage; on failure *size stays. */
	int (*refresh)(struct disk *disk, uint64_t *size, struct err *e);
	/* A helper thread; optional. See disk_map(). */
	int (*map)(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped);
	/* Any thread; optional. See disk_change_time(). */
	uint64_t (*change_time)(const struct disk *disk);
	/* Control thread; optional. Members of this layer's node: its parameters, what it counts.
	 * What I/O threads own is read as base/counter.h says. */
	void (*inspect)(const struct disk *disk, struct inspect *i);
};

/* Base of every disk; embedded first. */
struct disk {
	const struct disk_ops *ops;
	struct disk *lower; /* NULL at the bottom of a stack; owned */
	struct disk_info info;
	const char *path;      /* of a writable image file: metadata may be kept beside it */
	const char *identity;  /* see disk_identity() */
	uint64_t changed_ns;   /* see disk_change_time_opened() */
	uint64_t size_highest; /* largest size since it was opened; requests in flight may use it */
	uint64_t copied_bytes; /* by disk_req_copy() */
	struct budget *budget; /* of the VM that uses it; see disk_set_budget() */
};

struct disk_queue {
	struct disk *disk;
	struct loop *loop;
};

struct disk_file_options {
	bool read_only;
	bool direct; /* O_DIRECT */
};
/* A regular file or block device through io_uring. The file is locked against a
 * second writer (OFD lock) while open. */
int disk_file_open(
	struct disk **disk, const char *path, const struct disk_file_options *o, struct err *e);
/* size zero bytes in this process's memory. */
int disk_memory_open(struct disk **disk, uint64_t size, struct err *e);
/* Reads zeros, forgets writes. */
int disk_null_open(struct disk **disk, uint64_t size, struct err *e);

struct disk_nbd_options {
	bool read_only;
	/* Time-out of a lost or silent server, and of a request that gets no reply (it is sent once
	 * more, and fails after the same time); 0: 30 s. */
	uint64_t retry_ns;
};
/* An export of an NBD server. Queries its size and features before it returns. */
int disk_nbd_open(
	struct disk **disk, const char *uri, const struct disk_nbd_options *o, struct err *e);

/* Any thread. */
static inline uint64_t disk_size(const struct disk *disk)
{
	return __atomic_load_n(&disk->info.size, __ATOMIC_RELAXED);
}

/* Control thread. Reads the size of the storage at the bottom, which becomes the size of the whole
 * stack. Requests may be in flight. */
int disk_refresh(struct disk *disk, struct err *e);

/* Constant; NULL: the disk is no image file, or must not be written. */
const char *disk_path(const struct disk *disk);

/* Constant text that identifies the medium, wherever and under whatever name it is opened; NULL:
 * the contents do not outlive the disk. */
const char *disk_identity(const struct disk *disk);

/* Any thread. When the storage was last changed, in ns since 1970; 0: that cannot be said. */
uint64_t disk_change_time(const struct disk *disk);
/* Constant: the same at the moment before it was opened, which may count as a change. */
uint64_t disk_change_time_opened(const struct disk *disk);

/* A helper thread (base/blocking.h): may sleep on the file system's metadata. No part of the disk
 * is closed meanwhile. *mapped: whether the byte at offset is allocated; *length: how many bytes,
 * up to the old value and at least one block, have the same state. A disk without this information
 * reports everything as mapped. */
int disk_map(struct disk *disk, uint64_t offset, uint64_t *length, bool *mapped);

/* Any thread. False: disk_map() reports everything as mapped, and does not sleep. */
bool disk_maps(const struct disk *disk);

/* Control thread. Size and abilities, and each layer from the top. */
void disk_inspect(const struct disk *disk, struct inspect *i);

/* No queue is open. The whole stack takes copies of data from this budget; NULL, as at first: no
 * limit. A request without room for its copy is done with -ENOBUFS, and nothing of it has taken
 * effect: it may be repeated. */
void disk_set_budget(struct disk *disk, struct budget *budget);

void disk_close(struct disk *disk); /* the whole stack; all queues are closed */

/* Bytes of one request: struct disk_req, the top's scratch, then the same for the disk below. */
size_t disk_req_size(const struct disk *disk);

/* A back end's own scratch; and, for filters, the request for the lower disk behind it. */
static inline void *disk_req_scratch(struct disk_req *req)
{
	return req + 1;
}
/* The way back: the request in front of a scratch. */
static inline struct disk_req *disk_req_of_scratch(const void *scratch)
{
	return (struct disk_req *)scratch - 1;
}
struct disk_req *disk_req_lower(const struct disk *disk, struct disk_req *req);

/* ON_LOOP(loop). */
static inline int disk_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	return disk->ops->queue_open(disk, loop, queue);
}

static inline void disk_queue_close(struct disk_queue *queue)
{
	queue->disk->ops->queue_close(queue);
}

/* disk_ops.queue_open and queue_close of back ends whose queues have no state of their own. */
int disk_plain_queue_open(struct disk *disk, struct loop *loop, struct disk_queue **queue);
void disk_plain_queue_close(struct disk_queue *queue);

/* A copy of the request's data, for pages that a back end cannot use as they are: aligned to a
 * page, and filled for a write. ON_LOOP; never sleeps for another. 0; -ENOBUFS. disk_bounce_free()
 * with the request's length and error (a read that succeeded is copied back). */
int disk_bounce(const struct disk_req *req, uint8_t **buffer);
void disk_bounce_free(const struct disk_req *req, uint8_t *buffer, int error);

/* Copies all of the request's iovec into the buffer, or out of it into the iovec. For requests
 * whose pages a back end cannot use as they are. */
void disk_req_copy(const struct disk_req *req, uint8_t *buffer, bool into_buffer);
/* Any thread: bytes copied by disk_req_copy() since the disk was opened, in the whole stack. */
uint64_t disk_copied_bytes(const struct disk *disk);

/* ON_LOOP(queue->loop). Every request enters a back end here: asserts the contract of struct
 * disk_req. */
void disk_submit(struct disk_queue *queue, struct disk_req *req);

/* ON_LOOP(queue->loop); the request is submitted and not done. Requests early completion, best
 * effort: done is still called exactly once, after this returns, with the result of the request or
 * with -ECANCELED; then any part of it may have taken effect. The pages of the request stay in use
 * until done, however long the kernel or a server keeps them. Cancelling twice is harmless. */
void disk_cancel(struct disk_queue *queue, struct disk_req *req);

#endif
