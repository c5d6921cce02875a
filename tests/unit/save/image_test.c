/* SPDX-License-Identifier: MIT */
#include "save/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "save/image_reg.h"

#define MIB         (1ull << 20)
#define MEMORY      (4 * MIB + 4096) /* the last chunk is short */
#define DAMAGES     1000u
#define STATE_TEXT  "the state of a VM"
#define CONFIG_TEXT "{}"

static struct image_content *cancel_late; /* when all but the end record is written */

/* In place of the C library's. */
int fdatasync(int fd)
{
	if (cancel_late)
		atomic_store(&cancel_late->cancelled, true);
	return (int)syscall(SYS_fdatasync, fd);
}

static char directory[64];
static char path[96];

static int setup(void **state)
{
	snprintf(directory, sizeof(directory), "/tmp/image-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/vm.image", directory);
	return 0;
}

static uint32_t files_left(void)
{
	DIR *dir = opendir(directory);
	uint32_t count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count - 2;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(directory);
}

/* Pages of noise, of text, and of nothing. */
static void fill(const struct gmem *g)
{
	uint32_t seed = 1;

	for (uint64_t page = 0; page < g->low_size / 4096; page++) {
		uint32_t *words = (uint32_t *)(g->base + page * 4096);

		for (uint32_t i = 0; page % 64 < 20 && i < 1024; i++) {
			seed = seed * 1664525 + 1013904223;
			words[i] = page % 2 ? seed : (uint32_t)page;
		}
	}
	g->base[g->low_size - 1] = 0x5A;
}

static int save(const struct gmem *g, bool raw, bool cancelled, struct err *e)
{
	const struct image_section sections[] = {
		{"config", CONFIG_TEXT, sizeof(CONFIG_TEXT)},
		{"state", STATE_TEXT, sizeof(STATE_TEXT)},
	};
	struct image_content content = {
		.sections = sections, .section_count = 2, .gmem = g, .raw = raw};

	atomic_store(&content.cancelled, cancelled);
	unlink(path);
	return image_write(path, &content, e);
}

static void save_sample(struct gmem *g, bool raw)
{
	struct err e = {""};

	assert_int_equal(gmem_create(g, MEMORY, &e), 0);
	fill(g);
	assert_int_equal(save(g, raw, false, &e), 0);
}

/* 0 when the image is good; one line otherwise. */
static int read_back(const struct gmem *want, struct err *e)
{
	struct image *image;
	struct gmem got;
	const char *text;
	size_t size;
	int ret = image_open(&image, path, e);

	if (ret)
		return ret;
	assert_int_equal(gmem_create(&got, image_memory_size(image), e), 0);
	ret = image_load(image, &got, e);
	if (!ret) {
		assert_memory_equal(got.base, want->base, MEMORY);
		text = image_section(image, "state", &size);
		assert_non_null(text);
		assert_int_equal(size, sizeof(STATE_TEXT));
		assert_string_equal(text, STATE_TEXT);
	}
	gmem_destroy(&got);
	image_close(image);
	return ret;
}

static void test_round_trip(void **state)
{
	struct gmem g;
	struct err e = {""};
	struct stat st;

	for (int raw = 0; raw < 2; raw++) {
		save_sample(&g, raw);
		assert_int_equal(read_back(&g, &e), 0);
		assert_int_equal(stat(path, &st), 0);
		assert_true((uint64_t)st.st_blocks * 512 < (uint64_t)(raw ? 5 * MIB / 2 : 2 * MIB));
		assert_int_equal(files_left(), 1);
		gmem_destroy(&g);
	}
}

/* Chunks that the guest never used are neither in the file nor in memory. */
static void test_shared_memory_is_not_filled(void **state)
{
	const struct image_section sections[] = {
		{"config", CONFIG_TEXT, sizeof(CONFIG_TEXT)},
		{"state", STATE_TEXT, sizeof(STATE_TEXT)},
	};
	struct gmem g;
	struct image_content content = {.sections = sections, .section_count = 2, .gmem = &g};
	struct err e = {""};
	struct stat before, after;

	assert_int_equal(gmem_create_shared(&g, MEMORY, &e), 0);
	for (uint64_t at = MIB; at < MIB + 70000; at += 4096)
		g.base[at] = 7;
	assert_int_equal(fstat(g.memfd, &before), 0);
	assert_int_equal(image_write(path, &content, &e), 0);
	assert_int_equal(fstat(g.memfd, &after), 0);
	assert_true(before.st_blocks > 0 && after.st_blocks * 512 <= 2 * IMAGE_CHUNK);
	assert_int_equal(read_back(&g, &e), 0);
	gmem_destroy(&g);
}

static void test_clones_share(void **state)
{
	struct gmem g, clone[2];
	struct image *image;
	struct err e = {""};

	save_sample(&g, true);
	assert_int_equal(image_open(&image, path, &e), 0);
	assert_true(image_is_raw(image));
	for (int i = 0; i < 2; i++)
		assert_int_equal(image_map(image, &clone[i], &e), 0);
	image_close(image);
	assert_memory_equal(clone[0].base, g.base, MEMORY);
	clone[0].base[0] ^= 1;
	assert_memory_equal(clone[1].base, g.base, MEMORY);
	gmem_destroy(&clone[0]);
	gmem_destroy(&clone[1]);
	gmem_destroy(&g);
}

static void test_packed_is_not_mapped(void **state)
{
	struct gmem g, clone;
	struct image *image;
	struct err e = {""};

	save_sample(&g, false);
	assert_int_equal(image_open(&image, path, &e), 0);
	assert_int_equal(image_map(image, &clone, &e), -EINVAL);
	assert_non_null(strstr(e.text, "compressed"));
	image_close(image);
	gmem_destroy(&g);
}

static void test_cancelled(void **state)
{
	struct gmem g;
	struct err e = {""};

	assert_int_equal(gmem_create(&g, MEMORY, &e), 0);
	assert_int_equal(save(&g, false, true, &e), -ECANCELED);
	assert_int_equal(files_left(), 0);
	gmem_destroy(&g);
}

static void test_cancelled_late(void **state)
{
	const struct image_section sections[] = {{"config", CONFIG_TEXT, sizeof(CONFIG_TEXT)}};
	struct gmem g;
	struct image_content content = {.sections = sections, .section_count = 1, .gmem = &g};
	struct err e = {""};

	assert_int_equal(gmem_create(&g, MEMORY, &e), 0);
	cancel_late = &content;
	assert_int_equal(image_write(path, &content, &e), -ECANCELED);
	cancel_late = NULL;
	assert_int_equal(files_left(), 0);
	gmem_destroy(&g);
}

static void test_no_such_directory(void **state)
{
	struct gmem g;
	struct err e = {""};
	struct image_content content = {.gmem = &g};

	assert_int_equal(gmem_create(&g, MEMORY, &e), 0);
	assert_int_equal(image_write("/nowhere/vm.image", &content, &e), -ENOENT);
	assert_string_equal(e.text, "save: /nowhere/vm.image: No such file or directory");
	gmem_destroy(&g);
}

/* ---- damage -------------------------------------------------------------- */

static uint8_t *bytes_of_file(size_t *size)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	uint8_t *bytes;

	assert_int_equal(fstat(fileno(f), &st), 0);
	*size = (size_t)st.st_size;
	bytes = malloc(*size);
	assert_int_equal(fread(bytes, 1, *size, f), *size);
	fclose(f);
	return bytes;
}

static void put_file(const uint8_t *bytes, size_t size)
{
	FILE *f;

	unlink(path);
	f = fopen(path, "wb");
	assert_int_equal(fwrite(bytes, 1, size, f), size);
	fclose(f);
}

static void assert_refused(const struct gmem *g)
{
	struct err e = {""};

	assert_int_not_equal(read_back(g, &e), 0);
	assert_true(e.text[0]);
	assert_null(strchr(e.text, '\n'));
}

static uint32_t next_random(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 4;
}

/* Every byte of a packed image is under a checksum. */
static void test_damage_is_refused(void **state)
{
	struct gmem g;
	uint32_t seed = 7;
	uint8_t *bytes;
	size_t size;

	save_sample(&g, false);
	bytes = bytes_of_file(&size);
	for (uint32_t i = 0; i < DAMAGES; i++) {
		size_t at = next_random(&seed) % size;

		if (i % 4 == 0) {
			put_file(bytes, at);
		} else {
			bytes[at] ^= (uint8_t)(1u << i % 8);
			put_file(bytes, size);
			bytes[at] ^= (uint8_t)(1u << i % 8);
		}
		assert_refused(&g);
	}
	free(bytes);
	gmem_destroy(&g);
}

/* The edges: header, table and end record, bit by bit. */
static void test_flips_at_the_edges(void **state)
{
	struct gmem g;
	uint8_t *bytes;
	size_t size, edge = sizeof(struct image_header) + 40;

	save_sample(&g, false);
	bytes = bytes_of_file(&size);
	for (size_t bit = 0; bit < edge * 8 * 2; bit++) {
		size_t at = bit / 8 < edge ? bit / 8 : size - (bit / 8 - edge) - 1;

		bytes[at] ^= (uint8_t)(1u << bit % 8);
		put_file(bytes, size);
		assert_refused(&g);
		bytes[at] ^= (uint8_t)(1u << bit % 8);
	}
	free(bytes);
	gmem_destroy(&g);
}

/* ---- with good checksums ------------------------------------------------- */

static void seal(uint8_t *bytes, size_t size)
{
	struct image_header header;
	struct image_end end;

	memcpy(&header, bytes, sizeof(header));
	memcpy(&end, bytes + size - sizeof(end), sizeof(end));
	header.crc = (uint32_t)crc32_z(0, (void *)&header, offsetof(struct image_header, crc));
	end.header_crc = header.crc;
	end.table_crc = (uint32_t)crc32_z(
		0, bytes + end.table_offset, end.table_entries * sizeof(struct image_entry));
	end.crc = (uint32_t)crc32_z(0, (void *)&end, offsetof(struct image_end, crc));
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + size - sizeof(end), &end, sizeof(end));
}

/* Anywhere in a file. */
typedef struct image_entry loose_entry __attribute__((aligned(1)));

static loose_entry *entry_of(uint8_t *bytes, size_t size, uint32_t number)
{
	struct image_end end;

	memcpy(&end, bytes + size - sizeof(end), sizeof(end));
	return (loose_entry *)(bytes + end.table_offset + number * sizeof(loose_entry));
}

static void assert_says(const struct gmem *g, uint8_t *bytes, size_t size, const char *text)
{
	struct err e = {""};

	seal(bytes, size);
	put_file(bytes, size);
	assert_int_not_equal(read_back(g, &e), 0);
	if (!strstr(e.text, text))
		fail_msg("'%s' does not say '%s'", e.text, text);
}

static void change_format(uint8_t *bytes, size_t size)
{
	((struct image_header *)bytes)->format = IMAGE_FORMAT + 1;
}

static void change_name(uint8_t *bytes, size_t size)
{
	memcpy(entry_of(bytes, size, 1)->name, "tomorrow", sizeof("tomorrow"));
}

static void change_offset(uint8_t *bytes, size_t size)
{
	entry_of(bytes, size, 1)->offset = UINT64_MAX - 3;
}

static void change_length(uint8_t *bytes, size_t size)
{
	entry_of(bytes, size, 1)->length = 1ull << 50;
}

static void change_memory(uint8_t *bytes, size_t size)
{
	((struct image_header *)bytes)->memory_size = 1ull << 62;
}

static void shrink_memory(uint8_t *bytes, size_t size)
{
	((struct image_header *)bytes)->memory_size = MIB;
}

static void test_absurd_numbers(void **state)
{
	static const struct {
		void (*change)(uint8_t *bytes, size_t size);
		const char *says;
	} rows[] = {
		{change_format, "the image has format 2; this version of enlite reads up to 1"},
		{change_name, "the image has a part 'tomorrow' that this version does not know"},
		{change_offset, "damaged (a part is outside of the file)"},
		{change_length, "damaged (a part is outside of the file)"},
		{change_memory, "damaged (header)"},
		{shrink_memory, "damaged (index)"},
	};
	struct gmem g;
	uint8_t *bytes;
	size_t size;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		save_sample(&g, false);
		bytes = bytes_of_file(&size);
		rows[i].change(bytes, size);
		assert_says(&g, bytes, size, rows[i].says);
		free(bytes);
		gmem_destroy(&g);
	}
}

/* Many parts, all of them the same bytes: a small file must not become much memory. */
static void test_parts_on_top_of_each_other(void **state)
{
	static struct {
		struct image_header header;
		uint8_t zeroes[16 * MIB];
		struct image_entry table[IMAGE_SECTIONS_MAX];
		struct image_end end;
	} file;
	struct image *image;
	struct err e = {""};

	file.header = (struct image_header){
		.magic = IMAGE_MAGIC, .format = 1, .memory_size = 4096, .chunk_size = IMAGE_CHUNK};
	for (uint32_t i = 0; i < IMAGE_SECTIONS_MAX; i++) {
		struct image_entry *entry = &file.table[i];

		snprintf(entry->name, sizeof(entry->name), i ? "part%u" : "index", i);
		entry->offset = sizeof(file.header);
		entry->length = i ? sizeof(file.zeroes) : 0;
		entry->crc = (uint32_t)crc32_z(0, file.zeroes, entry->length);
	}
	file.end = (struct image_end){.magic = IMAGE_END_MAGIC,
		.file_size = sizeof(file),
		.table_offset = offsetof(typeof(file), table),
		.table_entries = 8};
	seal((uint8_t *)&file, sizeof(file));
	put_file((uint8_t *)&file, sizeof(file));
	assert_int_equal(image_open(&image, path, &e), 0);
	image_close(image);
	file.end.table_entries = IMAGE_SECTIONS_MAX;
	seal((uint8_t *)&file, sizeof(file));
	put_file((uint8_t *)&file, sizeof(file));
	assert_int_equal(image_open(&image, path, &e), -EINVAL);
	assert_non_null(strstr(e.text, "too large"));
}

static void test_other_files(void **state)
{
	struct image *image;
	struct err e = {""};

	put_file((const uint8_t *)"hello", 5);
	assert_int_equal(image_open(&image, path, &e), -EINVAL);
	assert_non_null(strstr(e.text, "too short"));
	assert_int_equal(image_open(&image, directory, &e), -EINVAL);
	assert_non_null(strstr(e.text, "not a regular file"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_shared_memory_is_not_filled),
		cmocka_unit_test(test_clones_share),
		cmocka_unit_test(test_packed_is_not_mapped),
		cmocka_unit_test(test_cancelled),
		cmocka_unit_test(test_cancelled_late),
		cmocka_unit_test(test_no_such_directory),
		cmocka_unit_test(test_damage_is_refused),
		cmocka_unit_test(test_flips_at_the_edges),
		cmocka_unit_test(test_absurd_numbers),
		cmocka_unit_test(test_parts_on_top_of_each_other),
		cmocka_unit_test(test_other_files),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
