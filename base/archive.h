/* SPDX-License-Identifier: MIT */
/*
 * The state of objects as bytes, and back. One function describes an object's fields for both
 * directions:
 *
 *	void thing_archive(struct thing *t, struct archive *a)
 *	{
 *		archive_begin(a, "thing", 1);
 *		archive_u32(a, "size", &t->size);
 *		t->count = archive_list(a, "parts", t->count, PARTS_MAX);
 *		for (uint32_t i = 0; i < t->count; i++)
 *			part_archive(&t->parts[i], a); // archive_begin(a, NULL, 1) ...
 *archive_end(a) archive_end(a); archive_end(a);
 *	}
 *
 * Writing stores the values, reading sets them. The bytes describe themselves: each field has a
 * kind and a name, objects and lists have a length, objects a version. Reading takes the fields in
 * the order they were written; one that is missing, unknown, of another kind or out of bounds is an
 * error, and so is an object of a newer version. An error is sticky: after it, all that is read is
 * zero, lists are empty, and the first error says where it was found ("bus: channels: 3: relid").
 * So a reader checks once, before it uses what it has read.
 *
 * Bytes are hostile: nothing is allocated by their sizes, nothing is read twice, depth is bounded.
 *
 *   item    kind u8, name length u8, name, value; integers little-endian
 *   object  version u16, length u32, items        list   count u32, length u32, objects
 *   data    length u32, bytes
 *
 * Thread: an archive belongs to its caller.
 */
#ifndef BASE_ARCHIVE_H
#define BASE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define ARCHIVE_DEPTH_MAX 16u
#define ARCHIVE_SIZE_MAX  (256ull << 20)

struct archive_level {
	const char *name; /* NULL: an element of a list */
	uint32_t element; /* its number; of a list, the next one's */
	size_t end;       /* reading: of its items; writing: where its length is stored */
};

struct archive {
	bool reading;
	uint8_t *bytes; /* reading: the caller's */
	size_t size, capacity;
	size_t at; /* reading */
	uint32_t depth;
	struct archive_level level[ARCHIVE_DEPTH_MAX];
	int error; /* 0 or -errno, with `why` */
	struct err why;
};

void archive_write(struct archive *a);
/* bytes stay unchanged while the archive is used. */
void archive_read(struct archive *a, const void *bytes, size_t size);
/* Frees what was written. */
void archive_fini(struct archive *a);

/* 0, or the first error: -ENOMEM, or -EINVAL when it was found in what is read. e may be NULL. */
int archive_error(const struct archive *a, struct err *e);
/* Sets the error, unless there is one: what is read is well formed but not acceptable, or an object
 * cannot be written. */
void archive_fail(struct archive *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* All bytes are read: else an error. */
void archive_finish(struct archive *a);

/* An object. name NULL: the next element of the list. Returns its version, at most `version`. */
uint16_t archive_begin(struct archive *a, const char *name, uint16_t version);
/* A list of objects; reading returns how many there are, at most max. */
uint32_t archive_list(struct archive *a, const char *name, uint32_t count, uint32_t max);
/* Ends either. */
void archive_end(struct archive *a);

void archive_bool(struct archive *a, const char *name, bool *value);
void archive_u8(struct archive *a, const char *name, uint8_t *value);
void archive_u16(struct archive *a, const char *name, uint16_t *value);
void archive_u32(struct archive *a, const char *name, uint32_t *value);
void archive_u64(struct archive *a, const char *name, uint64_t *value);
/* Exactly `size` bytes. */
void archive_bytes(struct archive *a, const char *name, void *bytes, uint32_t size);
/* Up to max bytes. Reading returns where they are in the archive, and sets *size; NULL after an
 * error. */
const void *archive_data(
	struct archive *a, const char *name, const void *bytes, uint32_t *size, uint32_t max);

#endif
