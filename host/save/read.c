/* SPDX-License-Identifier: MIT */
/* Reading an image: image.h. Each number is checked against the file's size before it is used. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/files.h"
#include "save/image.h"
#include "save/image_reg.h"

/* Of all sections: as much as the three known ones had at most. */
#define SECTIONS_SIZE_MAX (768ull << 20)
#define MEMORY_MAX        (1ull << 40)

static const char *const known_sections[] = {"config", "state", "index", NULL};

struct image {
	char *path;
	int fd;
	uint64_t file_size;
	struct image_header header;
	struct image_end end;
	struct image_entry *table;
	void **sections; /* contents, as many as entries */
	const struct image_chunk *chunks;
	uint32_t chunk_count;
};

static int refuse(const struct image *i, struct err *e, const char *why)
{
	return err_set(e, -EINVAL, "%s: %s", i->path, why);
}

static int damaged(const struct image *i, struct err *e, const char *what)
{
	return err_set(e, -EINVAL, "%s: the image is damaged (%s)", i->path, what);
}

static uint32_t crc_of(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(0, bytes, size);
}

/* ---- bytes --------------------------------------------------------------- */

static bool inside(const struct image *i, uint64_t offset, uint64_t size)
{
	return offset <= i->file_size && size <= i->file_size - offset;
}

static int read_at(const struct image *i, uint64_t offset, void *to, size_t size, struct err *e)
{
	uint8_t *bytes = to;

	while (size) {
		ssize_t n = pread(i->fd, bytes, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(e, -errno, "%s: %s", i->path, strerror(errno));
		if (!n)
			return damaged(i, e, "it became shorter");
		bytes += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* A part of the file in memory of its own. */
static int read_part(const struct image *i, uint64_t offset, uint64_t size, uint32_t crc,
	void **out, struct err *e)
{
	int ret;

	if (!inside(i, offset, size))
		return damaged(i, e, "a part is outside of the file");
	*out = malloc(size ? size : 1);
	if (!*out)
		return err_set(e, -ENOMEM, "%s: out of memory", i->path);
	ret = read_at(i, offset, *out, size, e);
	if (!ret && crc_of(*out, size) != crc)
		ret = damaged(i, e, "a checksum is wrong");
	return ret;
}

/* ---- opening ------------------------------------------------------------- */

static int check_header(const struct image *i, struct err *e)
{
	const struct image_header *h = &i->header;

	if (memcmp(h->magic, IMAGE_MAGIC, sizeof(h->magic)))
		return refuse(i, e, "is no image of a saved VM");
	if (crc_of(h, offsetof(struct image_header, crc)) != h->crc)
		return damaged(i, e, "header");
	if (h->format > IMAGE_FORMAT)
		return err_set(e, -EINVAL,
			"%s: the image has format %u; this version of enlite reads up to %u",
			i->path, h->format, IMAGE_FORMAT);
	if (!h->format || (h->flags & ~IMAGE_FLAG_RAW) || h->chunk_size != IMAGE_CHUNK ||
		!h->memory_size || h->memory_size % GMEM_PAGE_SIZE || h->memory_size > MEMORY_MAX)
		return damaged(i, e, "header");
	if ((h->flags & IMAGE_FLAG_RAW) &&
		(h->memory_offset % GMEM_PAGE_SIZE || !inside(i, h->memory_offset, h->memory_size)))
		return damaged(i, e, "header");
	return 0;
}

static int check_end(const struct image *i, struct err *e)
{
	const struct image_end *end = &i->end;

	if (memcmp(end->magic, IMAGE_END_MAGIC, sizeof(end->magic)))
		return damaged(i, e, "its end is missing");
	if (crc_of(end, offsetof(struct image_end, crc)) != end->crc ||
		end->header_crc != i->header.crc || end->file_size != i->file_size ||
		!end->table_entries || end->table_entries > IMAGE_SECTIONS_MAX)
		return damaged(i, e, "end record");
	return 0;
}

static bool is_known(const struct image_entry *entry)
{
	for (const char *const *name = known_sections; *name; name++)
		if (!strncmp(entry->name, *name, sizeof(entry->name)))
			return true;
	return false;
}

/* They may be on top of each other: a small file must not become much memory. */
static int check_sizes(const struct image *i, struct err *e)
{
	uint64_t left = SECTIONS_SIZE_MAX;

	for (uint32_t n = 0; n < i->end.table_entries; n++) {
		if (!inside(i, i->table[n].offset, i->table[n].length))
			return damaged(i, e, "a part is outside of the file");
		if (i->table[n].length > left)
			return damaged(i, e, "its parts are too large");
		left -= i->table[n].length;
	}
	return 0;
}

static int read_sections(struct image *i, struct err *e)
{
	uint32_t count = i->end.table_entries;
	int ret = read_part(i, i->end.table_offset, count * sizeof(i->table[0]), i->end.table_crc,
		(void **)&i->table, e);

	if (!ret)
		ret = check_sizes(i, e);
	if (ret)
		return ret;
	i->sections = calloc(count, sizeof(i->sections[0]));
	if (!i->sections)
		return err_set(e, -ENOMEM, "%s: out of memory", i->path);
	for (uint32_t n = 0; n < count && !ret; n++) {
		struct image_entry *entry = &i->table[n];

		if (!memchr(entry->name, 0, sizeof(entry->name)))
			return damaged(i, e, "a section's name");
		if ((entry->flags & IMAGE_SECTION_REQUIRED) && !is_known(entry))
			return err_set(e, -EINVAL,
				"%s: the image has a part '%s' that this version does not know",
				i->path, entry->name);
		ret = read_part(i, entry->offset, entry->length, entry->crc, &i->sections[n], e);
	}
	return ret;
}

/* Where a chunk ends in RAM: the last one may be short. */
static size_t chunk_bytes(const struct image *i, uint32_t number)
{
	uint64_t left = i->header.memory_size - (uint64_t)number * IMAGE_CHUNK;

	return left < IMAGE_CHUNK ? (size_t)left : IMAGE_CHUNK;
}

static bool chunk_ok(const struct image *i, const struct image_chunk *c)
{
	size_t size;

	if ((uint64_t)c->number * IMAGE_CHUNK >= i->header.memory_size)
		return false;
	size = chunk_bytes(i, c->number);
	if (!c->length || !inside(i, c->offset, c->length))
		return false;
	if (image_is_raw(i) &&
		c->offset != i->header.memory_offset + (uint64_t)c->number * IMAGE_CHUNK)
		return false;
	if (c->kind == IMAGE_CHUNK_ZSTD)
		return c->length < size && !image_is_raw(i);
	return c->kind == IMAGE_CHUNK_PLAIN && c->length == size;
}

static int check_index(struct image *i, struct err *e)
{
	size_t size;

	i->chunks = image_section(i, "index", &size);
	if (!i->chunks || size % sizeof(i->chunks[0]))
		return damaged(i, e, "index");
	i->chunk_count = (uint32_t)(size / sizeof(i->chunks[0]));
	for (uint32_t n = 0; n < i->chunk_count; n++)
		if (!chunk_ok(i, &i->chunks[n]) ||
			(n && i->chunks[n].number <= i->chunks[n - 1].number))
			return damaged(i, e, "index");
	return 0;
}

static int open_file(struct image *i, struct err *e)
{
	struct stat st;

	if (i->fd < 0)
		i->fd = files_open(i->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (i->fd < 0 || fstat(i->fd, &st))
		return err_set(e, -errno, "%s: %s", i->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return refuse(i, e, "is not a regular file");
	i->file_size = (uint64_t)st.st_size;
	if (i->file_size < sizeof(i->header) + sizeof(i->end))
		return refuse(i, e, "is too short for an image of a saved VM");
	return 0;
}

static int read_all(struct image *i, struct err *e)
{
	int ret = open_file(i, e);

	if (!ret)
		ret = read_at(i, 0, &i->header, sizeof(i->header), e);
	if (!ret)
		ret = check_header(i, e);
	if (!ret)
		ret = read_at(i, i->file_size - sizeof(i->end), &i->end, sizeof(i->end), e);
	if (!ret)
		ret = check_end(i, e);
	if (!ret)
		ret = read_sections(i, e);
	return ret ? ret : check_index(i, e);
}

/* Takes fd over; -1: opens the file. */
static int open_as(struct image **out, int fd, const char *path, struct err *e)
{
	struct image *i = calloc(1, sizeof(*i));
	int ret;

	if (!i)
		return err_set(e, -ENOMEM, "%s: out of memory", path);
	i->fd = fd;
	i->path = strdup(path);
	ret = i->path ? read_all(i, e) : err_set(e, -ENOMEM, "%s: out of memory", path);
	if (ret) {
		image_close(i);
		return ret;
	}
	*out = i;
	return 0;
}

int image_open(struct image **out, const char *path, struct err *e)
{
	return open_as(out, -1, path, e);
}

int image_open_fd(struct image **out, int fd, const char *name, struct err *e)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (own < 0)
		return err_set(e, -errno, "%s: %s", name, strerror(errno));
	return open_as(out, own, name, e);
}

void image_close(struct image *i)
{
	for (uint32_t n = 0; i->sections && n < i->end.table_entries; n++)
		free(i->sections[n]);
	free(i->sections);
	free(i->table);
	if (i->fd >= 0)
		close(i->fd);
	free(i->path);
	free(i);
}

/* ---- contents ------------------------------------------------------------ */

const void *image_section(const struct image *i, const char *name, size_t *size)
{
	for (uint32_t n = 0; n < i->end.table_entries; n++) {
		if (strcmp(i->table[n].name, name))
			continue;
		*size = i->table[n].length;
		return i->sections[n];
	}
	return NULL;
}

uint64_t image_memory_size(const struct image *i)
{
	return i->header.memory_size;
}

bool image_is_raw(const struct image *i)
{
	return i->header.flags & IMAGE_FLAG_RAW;
}

/* ---- memory -------------------------------------------------------------- */

struct loader {
	ZSTD_DCtx *zstd;
	uint8_t stored[IMAGE_CHUNK], plain[IMAGE_CHUNK];
};

/* The chunk's bytes of RAM, or NULL with e. */
static const uint8_t *chunk_get(
	const struct image *i, const struct image_chunk *c, struct loader *l, struct err *e)
{
	size_t size = chunk_bytes(i, c->number);

	if (read_at(i, c->offset, l->stored, c->length, e))
		return NULL;
	if (crc_of(l->stored, c->length) != c->crc) {
		damaged(i, e, "memory");
		return NULL;
	}
	if (c->kind == IMAGE_CHUNK_PLAIN)
		return l->stored;
	if (ZSTD_decompressDCtx(l->zstd, l->plain, size, l->stored, c->length) != size) {
		damaged(i, e, "memory");
		return NULL;
	}
	return l->plain;
}

static void chunk_put(const struct gmem *g, uint64_t offset, const uint8_t *from, size_t size)
{
	size_t low = offset < g->low_size ? (size_t)(g->low_size - offset) : 0;

	if (low > size)
		low = size;
	gmem_write(g, offset, from, low);
	if (low < size)
		gmem_write(g, GMEM_HIGH_START + offset + low - g->low_size, from + low, size - low);
}

static int read_memory(struct image *i, const struct gmem *g, struct err *e)
{
	struct loader *l = malloc(sizeof(*l));
	int ret = 0;

	if (l)
		l->zstd = ZSTD_createDCtx();
	if (!l || !l->zstd) {
		free(l);
		return err_set(e, -ENOMEM, "%s: out of memory", i->path);
	}
	for (uint32_t n = 0; n < i->chunk_count && !ret; n++) {
		const struct image_chunk *c = &i->chunks[n];
		const uint8_t *bytes = chunk_get(i, c, l, e);

		if (!bytes)
			ret = -EINVAL;
		else
			chunk_put(g, (uint64_t)c->number * IMAGE_CHUNK, bytes,
				chunk_bytes(i, c->number));
	}
	ZSTD_freeDCtx(l->zstd);
	free(l);
	return ret;
}

int image_load(struct image *i, const struct gmem *g, struct err *e)
{
	if (g->low_size + g->high_size != i->header.memory_size)
		return refuse(i, e, "the image is of a VM with another size of memory");
	return read_memory(i, g, e);
}

int image_map(struct image *i, struct gmem *g, struct err *e)
{
	if (!image_is_raw(i))
		return refuse(i, e, "the image is compressed and cannot be mapped");
	return gmem_create_image(g, i->fd, i->header.memory_offset, i->header.memory_size, e);
}
