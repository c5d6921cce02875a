/* SPDX-License-Identifier: MIT */
/*
 * Disks as they are configured: a source, and filters around it. Sources and filters describe
 * themselves, each in its own file: name, keys with limits, help, open. A new one is its file and
 * one word in a list below. A source has at least one key.
 *
 * A filter wraps what stands before it: a request meets the last one first.
 *
 * Thread: any that may wait (an NBD server, a slow disk); errors name what is wrong, not where it
 * was configured.
 */
#ifndef DISK_STACK_H
#define DISK_STACK_H

#include "base/schema.h"
#include "disk/disk.h"

#define DISK_FILTERS_MAX 8u
#define DISK_SIZE_MAX    (1ull << 60) /* of disks whose size is chosen */

/* The first source is the one of a text that names none. */
#define DISK_SOURCES(X) X(file) X(memory) X(null) X(nbd)
#define DISK_FILTERS(X) X(delay) X(error) X(iops) X(bps) X(log) X(volatile)

struct disk_source_ops {
	struct schema schema; /* its first key is the one whose name and value choose this source */
	bool can_read_only;   /* so it may be a medium in a drive, too */
	/* Finds mistakes without opening or changing anything; NULL: there is nothing to see. */
	int (*check)(const void *options, bool read_only, struct err *e);
	int (*open)(struct disk **disk, const void *options, bool read_only, struct err *e);
};

struct disk_filter_ops {
	struct schema schema;
	/* On failure lower stays the caller's. NULL: the filter has no keys; it is made of the
	 * members below. */
	int (*open)(struct disk **disk, struct disk *lower, const void *options, struct err *e);
	size_t disk_size; /* bytes; begins with struct disk */
	struct disk_ops disk;
};

#define DISK_DECLARE_SOURCE(name) extern const struct disk_source_ops disk_##name##_source;
#define DISK_DECLARE_FILTER(name) extern const struct disk_filter_ops disk_##name##_filter;
DISK_SOURCES(DISK_DECLARE_SOURCE)
DISK_FILTERS(DISK_DECLARE_FILTER)

/* Up to NULL. */
extern const struct schema *const disk_source_schemas[];
extern const struct schema *const disk_filter_schemas[];

/* Of a value whose schema is in the list above. */
const struct disk_source_ops *disk_source_ops(const struct schema_value *source);

/* disk_req_size() of the deepest stack that can be configured, at least. */
size_t disk_stack_req_size_max(void);

/* Opens a source and the filters around it. */
int disk_stack_open(struct disk **disk, const struct schema_value *source, bool read_only,
	const struct schema_value *filters, uint32_t filter_count, struct err *e);

#endif
