/* SPDX-License-Identifier: MIT */
/*
 * Filters, for tests and for shaping: each *_open() makes a disk that owns
 * `lower`; on failure lower stays the caller's. Filters stack in any order; the
 * outermost one gets a request first.
 */
#ifndef BACKEND_FILTERS_H
#define BACKEND_FILTERS_H

#include "disk/disk.h"

#define DISK_OPS_ALL ((1u << DISK_OP_COUNT) - 1)

/* delay.c: delays requests for a fixed or random time. */
struct disk_delay_options {
	uint32_t ops; /* bits of 1 << enum disk_op; others are not delayed */
	uint64_t min_ns, max_ns;
};
int disk_delay_open(
	struct disk **disk, struct disk *lower, const struct disk_delay_options *o, struct err *e);

/* error.c: fails requests. */
struct disk_error_options {
	uint32_t ops;
	uint32_t ppm;   /* probability in millionths; 0: use `every` */
	uint64_t every; /* fail every Nth request, counted over all queues */
	int error;      /* -errno */
};
int disk_error_open(
	struct disk **disk, struct disk *lower, const struct disk_error_options *o, struct err *e);
/* Any thread: number of requests it failed. */
uint64_t disk_error_injected(struct disk *disk);

/* request_log.c: one line per finished request, appended to a file:
 *   seconds.microseconds operation[+fua][+unmap] offset length microseconds result
 * A thread writes them; lines that do not fit into its buffer are dropped, and their number is
 * written to the file. */
int disk_log_open(struct disk **disk, struct disk *lower, const char *path, struct err *e);

/* limit.c: limits requests and bytes per second, over all queues. */
struct disk_limit_options {
	uint64_t iops;       /* 0: no limit */
	uint64_t iops_burst; /* requests at once after a pause; 0: a tenth of a second's */
	uint64_t bps;        /* bytes read and written; 0: no limit */
	uint64_t bps_burst;
};
#define DISK_LIMIT_IOPS_MAX  1000000ull
#define DISK_LIMIT_BPS_MIN   (64ull << 10)
#define DISK_LIMIT_BPS_MAX   (1ull << 40)
#define DISK_LIMIT_BURST_MAX (1ull << 30)
int disk_limit_open(
	struct disk **disk, struct disk *lower, const struct disk_limit_options *o, struct err *e);

/* volatile.c: a write cache: a power cut drops, tears or reorders writes that were not flushed.
 * Closing the disk is a power cut, too. */
int disk_volatile_open(struct disk **disk, struct disk *lower, uint64_t seed, struct err *e);
/* Any thread: from now on requests fail with -EIO, including those in flight. */
void disk_volatile_power_off(struct disk *disk);
/* Power cut and power on; on a thread that runs none of the disk's loops, with no request in
 * flight. The seed decides the fate of unflushed writes; when this returns the lower disk has the
 * result and the cache is empty. 0, or the error of the lower disk. */
int disk_volatile_cut(struct disk *disk);
/* Any thread: writes that a power cut could lose now. */
uint32_t disk_volatile_unflushed(struct disk *disk);

#endif
