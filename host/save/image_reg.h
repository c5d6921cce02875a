/* SPDX-License-Identifier: MIT */
/*
 * The layout of an image file, little-endian, version IMAGE_FORMAT:
 *
 *   header | sections | memory | section "index" | table of sections | end record
 *
 * Memory is in chunks of IMAGE_CHUNK bytes of guest RAM, in the order of GPAs without the hole.
 * Chunks of zeroes are absent. Packed: each chunk is one zstd frame, or plain where that would not
 * be smaller. Raw: chunk n is at memory_offset + n * IMAGE_CHUNK, so that the file can be mapped.
 * The end record is written last: a file without it is not complete. Everything but the holes of
 * a raw image is under a checksum (zlib's crc32).
 */
#ifndef SAVE_IMAGE_REG_H
#define SAVE_IMAGE_REG_H

#include <stdint.h>

#define IMAGE_MAGIC         "ENLSAVE"
#define IMAGE_END_MAGIC     "ENLDONE"
#define IMAGE_FORMAT        1u
#define IMAGE_CHUNK         65536u
#define IMAGE_NAME_MAX      16u
#define IMAGE_SECTIONS_MAX  64u
#define IMAGE_RAW_ALIGNMENT (2ull << 20)

#define IMAGE_FLAG_RAW 1u /* header */

#define IMAGE_SECTION_REQUIRED 1u /* who does not know it must refuse the image */

struct image_header {
	char magic[8];
	uint32_t format;
	uint32_t flags;
	uint64_t memory_size;   /* bytes of guest RAM */
	uint64_t memory_offset; /* raw */
	uint32_t chunk_size;
	uint32_t crc; /* of all before */
};
_Static_assert(sizeof(struct image_header) == 40, "layout");

struct image_entry { /* of the table */
	char name[IMAGE_NAME_MAX];
	uint64_t offset, length;
	uint32_t flags;
	uint32_t crc;
};
_Static_assert(sizeof(struct image_entry) == 40, "layout");

#define IMAGE_CHUNK_PLAIN 0u
#define IMAGE_CHUNK_ZSTD  1u

struct image_chunk { /* of the index; ascending numbers */
	uint64_t offset;
	uint32_t number;
	uint32_t length; /* in the file */
	uint32_t kind;
	uint32_t crc; /* of these bytes */
};
_Static_assert(sizeof(struct image_chunk) == 24, "layout");

struct image_end {
	char magic[8];
	uint64_t file_size;
	uint64_t table_offset;
	uint32_t table_entries;
	uint32_t table_crc;
	uint32_t header_crc; /* the header's own */
	uint32_t crc;        /* of all before */
};
_Static_assert(sizeof(struct image_end) == 40, "layout");

#endif
