/* SPDX-License-Identifier: MIT */
/*
 * What foreign bytes reach in a saved VM's image: the file's structure, and the archive inside.
 *
 * The first byte chooses. A file gets good checksums before it is opened, so that the checks behind
 * them are reached. Oracles: what is opened has memory of a legal size, and loads into memory of
 * that size or is refused; an archive ends in an error or with all bytes read, and never gives more
 * than was asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "base/archive.h"
#include "save/image.h"
#include "save/image_reg.h"
#include "tests/fuzz/input.h"

#define FILE_MAX   (256u << 10)
#define MEMORY_MAX (1u << 20)
#define LIST_MAX   8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the file ------------------------------------------------------------ */

static uint32_t crc_of(const void *bytes, size_t size)
{
	return (uint32_t)crc32_z(0, bytes, size);
}

static void seal_sections(uint8_t *bytes, size_t size, const struct image_end *end)
{
	struct image_entry entry;

	for (uint32_t i = 0; i < end->table_entries; i++) {
		uint8_t *at = bytes + end->table_offset + i * sizeof(entry);

		memcpy(&entry, at, sizeof(entry));
		if (entry.offset > size || entry.length > size - entry.offset)
			continue;
		entry.crc = crc_of(bytes + entry.offset, entry.length);
		memcpy(at, &entry, sizeof(entry));
	}
}

/* Makes the numbers plausible that would end everything at once, and the checksums right. */
static void seal(uint8_t *bytes, size_t size)
{
	struct image_header header;
	struct image_end end;
	size_t room = size - sizeof(end);

	memcpy(&header, bytes, sizeof(header));
	memcpy(header.magic, IMAGE_MAGIC, sizeof(header.magic));
	header.memory_size %= MEMORY_MAX;
	header.crc = crc_of(&header, offsetof(struct image_header, crc));
	memcpy(bytes, &header, sizeof(header));
	memcpy(&end, bytes + room, sizeof(end));
	memcpy(end.magic, IMAGE_END_MAGIC, sizeof(end.magic));
	end.file_size = size;
	end.table_entries = 1 + end.table_entries % 4;
	if (end.table_offset > room ||
		room - end.table_offset < end.table_entries * sizeof(struct image_entry))
		return;
	seal_sections(bytes, room, &end);
	end.table_crc =
		crc_of(bytes + end.table_offset, end.table_entries * sizeof(struct image_entry));
	end.header_crc = header.crc;
	end.crc = crc_of(&end, offsetof(struct image_end, crc));
	memcpy(bytes + room, &end, sizeof(end));
}

static void use_image(struct image *image)
{
	struct gmem gmem;
	struct err e;

	check(image_memory_size(image) && image_memory_size(image) <= MEMORY_MAX);
	check(!gmem_create(&gmem, image_memory_size(image), &e));
	if (image_load(image, &gmem, &e))
		check(e.text[0]);
	gmem_destroy(&gmem);
}

static void fuzz_file(struct input *in)
{
	static uint8_t bytes[FILE_MAX];
	static char path[32];
	static int fd = -1;
	size_t size = in->left < FILE_MAX ? in->left : FILE_MAX;
	struct image *image;
	struct err e;

	if (fd < 0) {
		fd = memfd_create("fuzz_save", 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	take_bytes(in, bytes, size);
	if (size >= sizeof(struct image_header) + sizeof(struct image_end))
		seal(bytes, size);
	check(!ftruncate(fd, 0) && pwrite(fd, bytes, size, 0) == (ssize_t)size);
	if (image_open(&image, path, &e)) {
		check(e.text[0]);
		return;
	}
	use_image(image);
	image_close(image);
}

/* ---- the archive --------------------------------------------------------- */

static void read_object(struct archive *a, uint32_t depth)
{
	uint8_t bytes[16];
	uint64_t value;
	uint32_t size, count;
	bool flag;

	archive_begin(a, depth ? NULL : "o", 1);
	archive_u64(a, "n", &value);
	archive_bool(a, "b", &flag);
	archive_bytes(a, "r", bytes, sizeof(bytes));
	if (archive_data(a, "d", NULL, &size, 64))
		check(size <= 64);
	count = archive_list(a, "l", 0, LIST_MAX);
	check(count <= LIST_MAX);
	for (uint32_t i = 0; i < count && depth < 4; i++)
		read_object(a, depth + 1);
	archive_end(a);
	archive_end(a);
}

static void fuzz_archive(struct input *in)
{
	uint8_t *copy = malloc(in->left ? in->left : 1);
	struct archive a;
	struct err e;

	memcpy(copy, in->at, in->left);
	archive_read(&a, copy, in->left);
	read_object(&a, 0);
	archive_finish(&a);
	if (archive_error(&a, &e))
		check(e.text[0]);
	else
		check(a.at == a.size);
	archive_fini(&a);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};

	if (take(&in, 1) % 2)
		fuzz_file(&in);
	else
		fuzz_archive(&in);
	return 0;
}
