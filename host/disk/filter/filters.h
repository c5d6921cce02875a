/* SPDX-License-Identifier: MIT */
/*
 * Disks over disks, for tests and for shaping: each *_open() makes a disk that
 * owns `lower`. When it fails, lower stays the caller's. Filters stack in any
 * order; a request meets the outermost one first.
 */
#ifndef BACKEND_FILTERS_H
#define BACKEND_FILTERS_H

#include "disk/disk.h"

#define DISK_OPS_ALL ((1u << DISK_OP_COUNT) - 1)

/* delay.c: holds requests for a time, fixed or random, before they are passed on. */
struct disk_delay_options {
	uint32_t ops; /* bits of 1 << enum disk_op; others pass at once */
	uint64_t min_ns, max_ns;
};
int disk_delay_open(
	struct disk **disk, struct disk *lower, const struct disk_delay_options *o, struct err *e);

/* error.c: fails requests instead of passing them on. */
struct disk_error_options {
	uint32_t ops;
	uint32_t ppm;   /* probability in millionths; 0: by count */
	uint64_t every; /* each so-maniest of these requests, all queues counted together */
	int error;      /* -errno */
};
int disk_error_open(
	struct disk **disk, struct disk *lower, const struct disk_error_options *o, struct err *e);
/* Any thread: how many it has failed. */
uint64_t disk_error_injected(struct disk *disk);

/* log.c: one line per finished request, appended to a file:
 *   seconds.microseconds operation[+fua][+unmap] offset length microseconds result
 * A thread writes them; what does not fit into its buffer is dropped and counted in the file. */
int disk_log_open(struct disk **disk, struct disk *lower, const char *path, struct err *e);

/* limit.c: requests and bytes per second, all queues together. */
struct disk_limit_options {
	uint64_t iops;       /* 0: no limit */
	uint64_t iops_burst; /* as many at once after a pause; 0: a tenth of a second's */
	uint64_t bps;        /* bytes read and written; 0: no limit */
	uint64_t bps_burst;
};
#define DISK_LIMIT_IOPS_MAX  1000000ull
#define DISK_LIMIT_BPS_MIN   (64ull << 10)
#define DISK_LIMIT_BPS_MAX   (1ull << 40)
#define DISK_LIMIT_BURST_MAX (1ull << 30)
int disk_limit_open(
	struct disk **disk, struct disk *lower, const struct disk_limit_options *o, struct err *e);

/* volatile.c: a write cache that really is one: what was not flushed is lost, in the worst ways,
 * when the power is cut. Closing the disk is a power cut too. */
int disk_volatile_open(struct disk **disk, struct disk *lower, uint64_t seed, struct err *e);
/* Any thread: from now on requests fail with -EIO, also those in flight that are not done. */
void disk_volatile_power_off(struct disk *disk);
/* The cut itself, and power again; on a thread that runs none of the disk's loops, with no request
 * in flight. What unflushed writes become is chosen by the seed: the lower disk has it when this
 * returns, and the cache is empty. 0, or what the lower disk failed with. */
int disk_volatile_cut(struct disk *disk);
/* Any thread: writes that a power cut could lose now. */
uint32_t disk_volatile_unflushed(struct disk *disk);

#endif
