/* SPDX-License-Identifier: MIT */
#include "base/archive.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4096u

enum kind {
	KIND_BOOL = 1,
	KIND_U8,
	KIND_U16,
	KIND_U32,
	KIND_U64,
	KIND_DATA,
	KIND_OBJECT,
	KIND_LIST,
};

/* ---- errors -------------------------------------------------------------- */

static void add_text(char *text, size_t size, const char *part)
{
	size_t len = strlen(text);

	snprintf(text + len, size - len, "%s", part);
}

/* "bus: channels: 3: " */
static void path_of(const struct archive *a, char *path, size_t size)
{
	char number[16];

	path[0] = 0;
	for (uint32_t i = 0; i < a->depth && i < ARCHIVE_DEPTH_MAX; i++) {
		snprintf(number, sizeof(number), "%u", a->level[i].element);
		add_text(path, size, a->level[i].name ? a->level[i].name : number);
		add_text(path, size, ": ");
	}
}

static void fail(struct archive *a, int error, const char *why)
{
	char path[256];

	if (a->error)
		return;
	path_of(a, path, sizeof(path));
	a->error = err_set(&a->why, error, "%s%s", path, why);
}

void archive_fail(struct archive *a, const char *fmt, ...)
{
	char why[200];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	fail(a, -EINVAL, why);
}

int archive_error(const struct archive *a, struct err *e)
{
	if (a->error && e)
		*e = a->why;
	return a->error;
}

/* ---- bytes --------------------------------------------------------------- */

static bool reserve(struct archive *a, size_t size)
{
	size_t capacity = a->capacity ? a->capacity : FIRST_CAPACITY;
	uint8_t *bytes;

	if (a->error)
		return false;
	while (capacity - a->size < size)
		capacity *= 2;
	if (capacity == a->capacity)
		return true;
	bytes = capacity <= ARCHIVE_SIZE_MAX ? realloc(a->bytes, capacity) : NULL;
	if (!bytes) {
		fail(a, -ENOMEM, "out of memory");
		return false;
	}
	a->bytes = bytes;
	a->capacity = capacity;
	return true;
}

static void put(struct archive *a, const void *bytes, size_t size)
{
	if (!size || !reserve(a, size))
		return;
	memcpy(a->bytes + a->size, bytes, size);
	a->size += size;
}

static void put_int(struct archive *a, uint64_t value, unsigned size)
{
	uint8_t bytes[sizeof(value)];

	for (unsigned i = 0; i < size; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
	put(a, bytes, size);
}

/* The end of what may be read now. */
static size_t read_end(const struct archive *a)
{
	return a->depth ? a->level[a->depth - 1].end : a->size;
}

/* NULL: not so many bytes are left. */
static const uint8_t *take(struct archive *a, size_t size)
{
	const uint8_t *bytes = a->bytes + a->at;

	if (a->error)
		return NULL;
	if (size > read_end(a) - a->at) {
		fail(a, -EINVAL, "ends too early");
		return NULL;
	}
	a->at += size;
	return bytes;
}

static uint64_t take_int(struct archive *a, unsigned size)
{
	const uint8_t *bytes = take(a, size);
	uint64_t value = 0;

	for (unsigned i = 0; bytes && i < size; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

/* ---- items --------------------------------------------------------------- */

static void put_head(struct archive *a, enum kind kind, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	assert(len <= UINT8_MAX);
	put_int(a, kind, 1);
	put_int(a, len, 1);
	put(a, name, len);
}

static void fail_head(
	struct archive *a, const char *wanted, const uint8_t *name, size_t len, bool other_kind)
{
	if (other_kind)
		archive_fail(a, "'%s' is of another kind", wanted);
	else
		archive_fail(a, "'%.*s' is not the '%s' that belongs here",
			(int)(len > 40 ? 40 : len), (const char *)name, wanted);
}

static bool take_head(struct archive *a, enum kind kind, const char *name)
{
	const char *wanted = name ? name : "";
	uint64_t found_kind = take_int(a, 1), len = take_int(a, 1);
	const uint8_t *found = take(a, len);
	bool other;

	if (!found)
		return false;
	other = len != strlen(wanted) || memcmp(found, wanted, len);
	if (other || found_kind != kind)
		fail_head(a, wanted, found, len, !other);
	return !a->error;
}

static uint64_t integer(
	struct archive *a, enum kind kind, const char *name, uint64_t value, unsigned size)
{
	if (a->reading)
		return take_head(a, kind, name) ? take_int(a, size) : 0;
	put_head(a, kind, name);
	put_int(a, value, size);
	return value;
}

void archive_bool(struct archive *a, const char *name, bool *value)
{
	uint64_t v = integer(a, KIND_BOOL, name, a->reading ? 0 : *value, 1);

	if (v > 1)
		archive_fail(a, "'%s' is neither true nor false", name);
	*value = v == 1;
}

void archive_u8(struct archive *a, const char *name, uint8_t *value)
{
	*value = (uint8_t)integer(a, KIND_U8, name, *value, sizeof(*value));
}

void archive_u16(struct archive *a, const char *name, uint16_t *value)
{
	*value = (uint16_t)integer(a, KIND_U16, name, *value, sizeof(*value));
}

void archive_u32(struct archive *a, const char *name, uint32_t *value)
{
	*value = (uint32_t)integer(a, KIND_U32, name, *value, sizeof(*value));
}

void archive_u64(struct archive *a, const char *name, uint64_t *value)
{
	*value = integer(a, KIND_U64, name, *value, sizeof(*value));
}

const void *archive_data(
	struct archive *a, const char *name, const void *bytes, uint32_t *size, uint32_t max)
{
	if (!a->reading) {
		put_head(a, KIND_DATA, name);
		put_int(a, *size, sizeof(*size));
		put(a, bytes, *size);
		return bytes;
	}
	*size = take_head(a, KIND_DATA, name) ? (uint32_t)take_int(a, sizeof(*size)) : 0;
	if (*size > max)
		archive_fail(a, "'%s' has %u bytes, more than %u", name, *size, max);
	bytes = take(a, *size);
	if (!bytes)
		*size = 0;
	return bytes;
}

void archive_bytes(struct archive *a, const char *name, void *bytes, uint32_t size)
{
	uint32_t found = size;
	const void *from = archive_data(a, name, bytes, &found, UINT32_MAX);

	if (!a->reading)
		return;
	if (from && found != size)
		archive_fail(a, "'%s' has %u bytes, not %u", name, found, size);
	if (a->error)
		memset(bytes, 0, size);
	else
		memcpy(bytes, from, size);
}

/* ---- objects and lists --------------------------------------------------- */

static void level_push(struct archive *a, const char *name, size_t end)
{
	uint32_t element = 0;

	if (!name && a->depth)
		element = a->level[a->depth - 1].element++;
	assert(a->depth < ARCHIVE_DEPTH_MAX);
	a->level[a->depth++] = (struct archive_level){name, element, end};
}

static void write_begin(
	struct archive *a, enum kind kind, const char *name, uint32_t number, unsigned size)
{
	put_head(a, kind, name);
	put_int(a, number, size);
	level_push(a, name, a->size);
	put_int(a, 0, sizeof(uint32_t));
}

/* Returns the version or the count. The level is pushed in any case: archive_end() pops it. */
static uint32_t read_begin(struct archive *a, enum kind kind, const char *name, unsigned size)
{
	uint32_t number = 0, len = 0;

	if (take_head(a, kind, name)) {
		number = (uint32_t)take_int(a, size);
		len = (uint32_t)take_int(a, sizeof(len));
	}
	if (len > read_end(a) - a->at) {
		fail(a, -EINVAL, "ends too early");
		len = 0;
	}
	level_push(a, name, a->at + len);
	return a->error ? 0 : number;
}

uint16_t archive_begin(struct archive *a, const char *name, uint16_t version)
{
	uint32_t found;

	if (!a->reading) {
		write_begin(a, KIND_OBJECT, name, version, sizeof(version));
		return version;
	}
	found = read_begin(a, KIND_OBJECT, name, sizeof(version));
	if (found > version)
		archive_fail(a, "is of version %u, newer than %u", found, version);
	else if (!found)
		archive_fail(a, "has no version");
	return a->error ? version : (uint16_t)found;
}

uint32_t archive_list(struct archive *a, const char *name, uint32_t count, uint32_t max)
{
	if (!a->reading) {
		write_begin(a, KIND_LIST, name, count, sizeof(count));
		return count;
	}
	count = read_begin(a, KIND_LIST, name, sizeof(count));
	if (count > max)
		archive_fail(a, "are %u, more than %u", count, max);
	return a->error ? 0 : count;
}

static void write_end(struct archive *a, const struct archive_level *level)
{
	size_t len = a->size - level->end - sizeof(uint32_t);

	if (a->error)
		return;
	for (unsigned i = 0; i < sizeof(uint32_t); i++)
		a->bytes[level->end + i] = (uint8_t)(len >> 8 * i);
}

/* What is left is unknown here. */
static void read_end_level(struct archive *a, const struct archive_level *level)
{
	uint64_t len;

	if (a->error || a->at == level->end)
		return;
	take_int(a, 1);
	len = take_int(a, 1);
	if (len > 40 || len > level->end - a->at)
		len = 0;
	archive_fail(
		a, "'%.*s' is unknown to this version", (int)len, (const char *)a->bytes + a->at);
}

void archive_end(struct archive *a)
{
	const struct archive_level *level = &a->level[a->depth - 1];

	assert(a->depth);
	if (a->reading)
		read_end_level(a, level);
	else
		write_end(a, level);
	a->depth--;
}

/* ---- life ---------------------------------------------------------------- */

void archive_write(struct archive *a)
{
	*a = (struct archive){.reading = false};
}

void archive_read(struct archive *a, const void *bytes, size_t size)
{
	*a = (struct archive){.reading = true, .bytes = (uint8_t *)bytes, .size = size};
}

void archive_fini(struct archive *a)
{
	if (!a->reading)
		free(a->bytes);
	a->bytes = NULL;
}

void archive_finish(struct archive *a)
{
	assert(!a->depth);
	if (a->at != a->size)
		archive_fail(a, "more follows than this version knows");
}
