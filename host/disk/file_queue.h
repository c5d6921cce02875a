/* SPDX-License-Identifier: MIT */
/*
 * Limits on the operations of one file queue that occupy kernel threads at once.
 *
 * io_uring does on kernel threads what it cannot do asynchronously: each fsync,
 * each fallocate, reads of file systems without asynchronous reads. Their number is
 * bounded for all rings of a thread; so a file system that never answers would
 * take all of them, and stop the other disks of the I/O thread. Hence:
 *
 *   - one fsync of a disk at a time, whatever its queues. Flushes that come meanwhile
 *     wait and share the next one, which begins after all of them were submitted, and
 *     so covers their writes;
 *   - FILE_SLEEPERS_MAX other operations that sleep; more wait, oldest first;
 *   - each queue adds FILE_THREADS to the bound of its loop.
 *
 * Buffered writes need no limit here: the kernel runs those of one file one after
 * the other. (It does so by a hash of the file with 64 values: a disk whose file has
 * the value of a stuck one waits with it.)
 *
 * The kernel reports a loss once: to the fsync, or the write with RWF_DSYNC, that ends
 * first after it. So an fsync that succeeds proves something only when all that could
 * have got the report before it have their results: none of two fsyncs that overlap,
 * hence one at a time; and not before the FUA writes that were in flight when it ended
 * are done, for which its flushes wait. After a report all flushes of the disk fail.
 *
 *   IDLE --a flush--> SYNCING --it ended, no such FUA write--> IDLE, or SYNCING for the next
 *                           `--it ended--> HELD --the last of them is done--'
 *
 * Thread: the loop's; struct file_syncs: any loop of the disk's queues, its lock is a leaf.
 */
#ifndef HOST_DISK_FILE_QUEUE_H
#define HOST_DISK_FILE_QUEUE_H

#include <pthread.h>

#include "disk/disk.h"

#define FILE_SLEEPERS_MAX 16u
#define FILE_THREADS      (FILE_SLEEPERS_MAX + 2u) /* and one fsync, one write */

/* One operation of a request; embedded in it, with list initialised. */
struct file_wait {
	struct list list;
	void (*start)(struct file_wait *wait);              /* of a sleeper: it may begin now */
	void (*synced)(struct file_wait *wait, int result); /* 0 or -errno of the fsync */
	/* of a sync */
	struct file_queue *queue;
	struct loop_task task;
	bool begun;
	int result;
};

/* The fsyncs of a disk. */
struct file_syncs {
	pthread_mutex_t lock;
	struct list running, waiting; /* what this fsync is for, what the next one is for */
	bool busy, held;
	int result; /* of the one that is held */
	int error;  /* the first that the kernel reported; sticky */
	/* FUA writes in flight. Those that begin while an fsync is held are not waited for. */
	uint32_t writes[2];
	uint32_t turn; /* which of the two now */
};

struct file_queue {
	struct disk_queue queue;
	struct file_syncs *syncs;
	struct loop_op sync; /* the disk's fsync, when this queue runs it */
	struct loop_task sync_task;
	int fd;
	uint32_t sync_retries;
	uint32_t syncs_here; /* flushes of this queue that are not done */
	uint32_t sleepers;
	struct list sleepers_waiting;
};

void file_syncs_init(struct file_syncs *s);
void file_syncs_fini(struct file_syncs *s);

int file_queue_open(struct disk *disk, struct file_syncs *syncs, int fd, struct loop *loop,
	struct disk_queue **queue);
void file_queue_close(struct disk_queue *queue);

/* Around a write with RWF_DSYNC; the result of begin() belongs to end(). lost: an error that other
 * writes had and this one got, or 0. */
uint32_t file_syncs_write_begin(struct file_syncs *s);
void file_syncs_write_end(struct file_syncs *s, uint32_t turn, int lost);

/* synced() is called later. */
void file_queue_sync(struct file_queue *q, struct file_wait *wait);

/* True: begin now. False: start() is called later. */
bool file_queue_sleeper_enter(struct file_queue *q, struct file_wait *wait);
void file_queue_sleeper_leave(struct file_queue *q);

/* True: the operation waited, and is withdrawn. False: it is in the kernel, or was never here. */
bool file_queue_withdraw(struct file_queue *q, struct file_wait *wait);

#endif
