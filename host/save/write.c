/* SPDX-License-Identifier: MIT */
/* Writing an image: image.h. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/file_replace.h"
#include "save/image.h"
#include "save/image_reg.h"
#include "save/resident.h"

#define LEVEL 1 /* of zstd: the disk is the limit, not the ratio */

struct writer {
	struct image_content *content;
	const char *path;
	struct file_replace file;
	uint64_t at; /* where the next byte goes */
	struct image_header header;
	struct image_entry table[IMAGE_SECTIONS_MAX];
	uint32_t entries;
	struct image_chunk *chunks;
	uint32_t chunk_count;
	ZSTD_CCtx *zstd;
	uint8_t *plain;  /* a chunk */
	uint8_t *packed; /* and compressed */
	struct resident resident;
};

static uint32_t crc_of(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(0, bytes, size);
}

static int fail(const struct writer *w, int error, struct err *e)
{
	if (error == -EEXIST)
		return err_set(e, error,
			"save: %s: this file, or %s%s, is no image of a saved VM; give another name",
			w->path, w->path, FILE_REPLACE_SUFFIX);
	if (error == -EBUSY)
		return err_set(e, error, "save: %s: another VM is being saved there", w->path);
	if (error == -ENOLCK)
		return err_set(e, error,
			"save: %s: no leases on this file system, which a confined VM needs; save it elsewhere",
			w->path);
	return err_set(e, error, "save: %s: %s", w->path, strerror(-error));
}

/* ---- bytes --------------------------------------------------------------- */

static int write_at(struct writer *w, uint64_t offset, const void *bytes, size_t size)
{
	const uint8_t *from = bytes;

	while (size) {
		ssize_t n = pwrite(w->file.fd, from, size, (off_t)offset);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		from += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int append(struct writer *w, const void *bytes, size_t size)
{
	int ret = write_at(w, w->at, bytes, size);

	w->at += size;
	return ret;
}

static int put_section(
	struct writer *w, const char *name, const void *bytes, size_t size, uint32_t flags)
{
	struct image_entry *entry = &w->table[w->entries++];

	assert(w->entries <= IMAGE_SECTIONS_MAX && strlen(name) < sizeof(entry->name));
	*entry = (struct image_entry){
		.offset = w->at, .length = size, .flags = flags, .crc = crc_of(bytes, size)};
	memcpy(entry->name, name, strlen(name));
	return append(w, bytes, size);
}

/* ---- memory -------------------------------------------------------------- */

static bool is_zero(const uint8_t *bytes, size_t size)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, size - 1);
}

/* RAM below the hole ends at a page, not always at a chunk: a chunk may be in two pieces. */
static void chunk_read(const struct gmem *g, uint64_t offset, uint8_t *to, size_t size)
{
	size_t low = offset < g->low_size ? (size_t)(g->low_size - offset) : 0;

	if (low > size)
		low = size;
	gmem_read(g, offset, to, low);
	if (low < size)
		gmem_read(g, GMEM_HIGH_START + offset + low - g->low_size, to + low, size - low);
}

static int put_chunk(struct writer *w, uint32_t number, const uint8_t *bytes, size_t size)
{
	struct image_chunk *chunk = &w->chunks[w->chunk_count++];
	const void *stored = bytes;
	size_t packed = SIZE_MAX;

	*chunk = (struct image_chunk){.number = number, .length = (uint32_t)size, .offset = w->at};
	if (w->content->raw) {
		chunk->offset = w->header.memory_offset + (uint64_t)number * IMAGE_CHUNK;
		chunk->crc = crc_of(bytes, size);
		return write_at(w, chunk->offset, bytes, size);
	}
	packed = ZSTD_compressCCtx(
		w->zstd, w->packed, ZSTD_compressBound(IMAGE_CHUNK), bytes, size, LEVEL);
	if (!ZSTD_isError(packed) && packed < size) {
		chunk->kind = IMAGE_CHUNK_ZSTD;
		chunk->length = (uint32_t)packed;
		stored = w->packed;
	}
	chunk->crc = crc_of(stored, chunk->length);
	return append(w, stored, chunk->length);
}

static int put_memory(struct writer *w)
{
	const struct gmem *g = w->content->gmem;
	uint64_t size = g->low_size + g->high_size;
	uint8_t *bytes = w->plain;
	uint32_t number = 0;
	int ret = 0;

	for (uint64_t offset = 0; offset < size && !ret; offset += IMAGE_CHUNK, number++) {
		size_t n = size - offset < IMAGE_CHUNK ? (size_t)(size - offset) : IMAGE_CHUNK;

		if (atomic_load(&w->content->cancelled))
			return -ECANCELED;
		if (resident_any(&w->resident, offset, n)) {
			chunk_read(g, offset, bytes, n);
			if (!is_zero(bytes, n))
				ret = put_chunk(w, number, bytes, n);
		}
		atomic_store(&w->content->done, offset + n);
	}
	if (w->content->raw)
		w->at = w->header.memory_offset + size;
	return ret;
}

/* ---- the file ------------------------------------------------------------ */

static int put_header(struct writer *w)
{
	const struct gmem *g = w->content->gmem;
	struct image_header *h = &w->header;

	*h = (struct image_header){
		.magic = IMAGE_MAGIC,
		.format = IMAGE_FORMAT,
		.flags = w->content->raw ? IMAGE_FLAG_RAW : 0,
		.memory_size = g->low_size + g->high_size,
		.chunk_size = IMAGE_CHUNK,
	};
	h->memory_offset = sizeof(*h);
	for (uint32_t i = 0; i < w->content->section_count; i++)
		h->memory_offset += w->content->sections[i].size;
	if (w->content->raw)
		h->memory_offset =
			(h->memory_offset + IMAGE_RAW_ALIGNMENT - 1) & ~(IMAGE_RAW_ALIGNMENT - 1);
	h->crc = crc_of(h, offsetof(struct image_header, crc));
	return append(w, h, sizeof(*h));
}

static int put_end(struct writer *w)
{
	struct image_end end = {
		.magic = IMAGE_END_MAGIC,
		.table_offset = w->at,
		.table_entries = w->entries,
		.table_crc = crc_of(w->table, w->entries * sizeof(w->table[0])),
		.header_crc = w->header.crc,
	};
	int ret = append(w, w->table, w->entries * sizeof(w->table[0]));

	end.file_size = w->at + sizeof(end);
	end.crc = crc_of(&end, offsetof(struct image_end, crc));
	/* What the end record vouches for is on the disk before it. */
	if (!ret && fdatasync(w->file.fd))
		ret = -errno;
	if (!ret)
		ret = append(w, &end, sizeof(end));
	return ret;
}

static int put_all(struct writer *w)
{
	const struct image_content *c = w->content;
	int ret = put_header(w);

	for (uint32_t i = 0; i < c->section_count && !ret; i++)
		ret = put_section(w, c->sections[i].name, c->sections[i].bytes, c->sections[i].size,
			IMAGE_SECTION_REQUIRED);
	if (!ret)
		ret = put_memory(w);
	if (!ret)
		ret = put_section(w, "index", w->chunks, w->chunk_count * sizeof(w->chunks[0]),
			IMAGE_SECTION_REQUIRED);
	return ret ? ret : put_end(w);
}

/* The name is the image's from here on. It must not change any more: clones map it. Until then a
 * writer that is cancelled leaves nothing. */
static int publish(struct writer *w)
{
	if (fdatasync(w->file.fd))
		return -errno;
	return atomic_load(&w->content->cancelled) ? -ECANCELED
						   : file_replace_commit(&w->file, NULL);
}

/* What an image may replace: an older one, or one whose writer was killed; not, for instance, a
 * disk. */
static bool is_old_image(int fd)
{
	char magic[sizeof(IMAGE_MAGIC)];
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false;
	return !st.st_size || (pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
				      !memcmp(magic, IMAGE_MAGIC, sizeof(magic)));
}

static int writer_open(struct writer *w)
{
	const struct gmem *g = w->content->gmem;
	size_t chunks = (size_t)((g->low_size + g->high_size + IMAGE_CHUNK - 1) / IMAGE_CHUNK);

	resident_open(&w->resident, g);
	w->chunks = calloc(chunks, sizeof(w->chunks[0]));
	w->plain = malloc(IMAGE_CHUNK);
	w->packed = malloc(ZSTD_compressBound(IMAGE_CHUNK));
	w->zstd = ZSTD_createCCtx();
	if (!w->chunks || !w->plain || !w->packed || !w->zstd)
		return -ENOMEM;
	return file_replace_begin(&w->file, &file_replace_calls, w->path, 0400, is_old_image);
}

static void writer_close(struct writer *w)
{
	file_replace_abort(&w->file); /* what is not published */
	resident_close(&w->resident);
	ZSTD_freeCCtx(w->zstd);
	free(w->packed);
	free(w->plain);
	free(w->chunks);
}

int image_write(const char *path, struct image_content *content, struct err *e)
{
	struct writer w = {.content = content, .path = path, .file.fd = -1};
	int ret = writer_open(&w);

	if (!ret)
		ret = put_all(&w);
	if (!ret)
		ret = publish(&w);
	writer_close(&w);
	return ret ? fail(&w, ret, e) : 0;
}
