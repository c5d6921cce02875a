/* SPDX-License-Identifier: MIT */
/*
 * Limits on the operations of one file queue that occupy kernel threads at once.
 *
 * io_uring does on kernel threads what it cannot do asynchronously: each fsync,
 * each fallocate, reads of file systems without asynchronous reads. Their number is
 * bounded for all rings of a thread; so a file system that never answers would
 * take all of them, and stop the other disks of the I/O thread. Hence:
 *
 *   - one fsync at a time. Flushes that come meanwhile wait and share the next one,
 *     which begins after all of them were submitted, and so covers their writes;
 *   - FILE_SLEEPERS_MAX other operations that sleep; more wait, oldest first;
 *   - each queue adds FILE_THREADS to the bound of its loop.
 *
 * Buffered writes need no limit here: the kernel runs those of one file one after
 * the other. (It does so by a hash of the file with 64 values: a disk whose file has
 * the value of a stuck one waits with it.)
 *
 * Thread: the loop's.
 */
#ifndef HOST_DISK_FILE_QUEUE_H
#define HOST_DISK_FILE_QUEUE_H

#include "disk/disk.h"

#define FILE_SLEEPERS_MAX 16u
#define FILE_THREADS      (FILE_SLEEPERS_MAX + 2u) /* and one fsync, one write */

/* One operation of a request; embedded in it, with list initialised. */
struct file_wait {
	struct list list;
	void (*start)(struct file_wait *wait);              /* of a sleeper: it may begin now */
	void (*synced)(struct file_wait *wait, int result); /* 0 or -errno of the fsync */
};

struct file_queue {
	struct disk_queue queue;
	struct loop_op sync;
	int fd;
	uint32_t sync_retries;
	uint32_t sleepers;
	struct list sleepers_waiting;
	struct list syncing, sync_waiting; /* the fsync in the kernel; the next one */
};

int file_queue_open(struct disk *disk, int fd, struct loop *loop, struct disk_queue **queue);
void file_queue_close(struct disk_queue *queue);

/* synced() is called later. */
void file_queue_sync(struct file_queue *q, struct file_wait *wait);

/* True: begin now. False: start() is called later. */
bool file_queue_sleeper_enter(struct file_queue *q, struct file_wait *wait);
void file_queue_sleeper_leave(struct file_queue *q);

/* True: the operation waited, and is withdrawn. False: it is in the kernel, or was never here. */
bool file_queue_withdraw(struct file_queue *q, struct file_wait *wait);

#endif
