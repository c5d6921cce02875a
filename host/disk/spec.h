/* SPDX-License-Identifier: MIT */
/*
 * Disks as users write them: SOURCE[,FILTER]...
 *
 *   FILE             a file or block device
 *   memory:SIZE      zero at start, gone at the end
 *   null:SIZE        reads zeros, forgets writes
 *   nbd:URI, nbd://HOST[:PORT][/EXPORT], nbd+unix://[/EXPORT]?socket=PATH
 *
 *   delay=TIME[-TIME][:OP]             5ms, 1-20ms:write
 *   error=N%[:OP][:ERROR]              1%, 0.5%:read:ENOSPC
 *   error=1/N[:OP][:ERROR]             every N-th
 *   iops=N[:BURST]    bps=SIZE[:BURST]
 *   log=FILE
 *   volatile[=SEED]
 *
 * A filter wraps what stands before it: a request meets the last one first.
 * Strings point into the text that was parsed.
 */
#ifndef BACKEND_SPEC_H
#define BACKEND_SPEC_H

#include "disk/disk.h"
#include "disk/filter/filters.h"

#define DISK_SPEC_FILTERS_MAX 8u

enum disk_spec_kind { DISK_SPEC_FILE, DISK_SPEC_MEMORY, DISK_SPEC_NULL, DISK_SPEC_NBD };

enum disk_spec_filter_kind {
	DISK_SPEC_DELAY,
	DISK_SPEC_ERROR,
	DISK_SPEC_LIMIT,
	DISK_SPEC_LOG,
	DISK_SPEC_VOLATILE,
};

struct disk_spec_filter {
	enum disk_spec_filter_kind kind;
	union {
		struct disk_delay_options delay;
		struct disk_error_options error;
		struct disk_limit_options limit;
		const char *log;
		uint64_t seed;
	};
};

struct disk_spec {
	enum disk_spec_kind kind;
	const char *name; /* path or URI */
	uint64_t size;    /* of memory and null */
	struct disk_spec_filter filter[DISK_SPEC_FILTERS_MAX];
	uint32_t filters;
};

/* What a spec is made of, for usage texts. */
extern const char disk_spec_filters_help[];

/* Fills *s from the first part. 0 or -EINVAL. */
int disk_spec_source(struct disk_spec *s, const char *text, struct err *e);
/* Adds a filter. 0; 1: `text` is no filter; -EINVAL. The text may be modified. */
int disk_spec_filter(struct disk_spec *s, char *text, struct err *e);

/* disk_req_size() of the deepest stack that can be written, at least. */
size_t disk_spec_req_size_max(void);

/* Opens the whole stack. o: read_only of any source that can be, direct of files. */
int disk_spec_open(struct disk **disk, const struct disk_spec *s, const struct disk_file_options *o,
	struct err *e);

#endif
