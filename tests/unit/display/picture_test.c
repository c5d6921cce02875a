/* SPDX-License-Identifier: MIT */
/* Pictures: modes, rectangles, copies, files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <png.h>

#include "display/picture.h"
#include "display/png.h"

#define MIB (1ull << 20)

static bool valid(uint32_t offset, uint32_t width, uint32_t height, uint32_t pitch, uint64_t bytes)
{
	const struct picture_mode m = {offset, width, height, pitch};

	return picture_mode_is_valid(&m, bytes);
}

static void modes_are_inside_of_their_memory(void **state)
{
	assert_true(valid(0, 1024, 768, 4096, 3 * MIB));
	assert_false(valid(0, 1024, 768, 4096, 3 * MIB - 1));
	assert_false(valid(4, 1024, 768, 4096, 3 * MIB));
	assert_true(valid(0, 1023, 768, 4096, 3 * MIB - 4)); /* the last row ends earlier */
	assert_false(valid(0, 0, 768, 4096, 3 * MIB));
	assert_false(valid(0, 1024, 0, 4096, 3 * MIB));
	assert_false(valid(0, 1024, 2, 4092, 3 * MIB));
	assert_false(valid(0, 1024, 2, 4097, 3 * MIB));
	assert_false(valid(UINT32_MAX - 3, 8192, 8192, UINT32_MAX - 3, 16 * MIB));
}

static void rectangles_add_up(void **state)
{
	struct picture_rect r = {0}, more = {10, 20, 30, 40}, empty = {50, 50, 50, 60};

	assert_true(picture_rect_is_empty(&r));
	picture_rect_add(&r, &more);
	picture_rect_add(&r, &empty);
	assert_memory_equal(&r, &more, sizeof(r));
	more = (struct picture_rect){0, 100, 5, 110};
	picture_rect_add(&r, &more);
	assert_true(r.left == 0 && r.top == 20 && r.right == 30 && r.bottom == 110);
	picture_rect_clip(&r, 20, 20);
	assert_true(picture_rect_is_empty(&r));
}

/* Three rows of two pixels, in memory with gaps; the highest byte of each is noise. */
static const uint32_t memory[] = {
	0, 0xFF112233, 0x01445566, 9, 0xAA000000, 0xAAFFFFFF, 9, 0x55010203, 0x55040506, 9};
static const struct picture_mode mode = {4, 2, 3, 12};
static const uint8_t rgb[] = {
	0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0, 0, 0, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5, 6};

static void a_copy_has_no_gaps(void **state)
{
	struct picture p, q;

	assert_int_equal(picture_copy(&p, &mode, memory), 0);
	assert_int_equal(picture_duplicate(&q, &p), 0);
	picture_free(&p);
	assert_int_equal(q.width, 2);
	assert_int_equal(q.height, 3);
	assert_int_equal(q.pixels[5] & 0xFFFFFF, 0x040506);
	picture_free(&q);
	assert_int_equal(q.width, 0);
}

static void ppm_has_the_bytes(void **state)
{
	struct picture p;
	uint8_t *bytes;
	size_t size;

	assert_int_equal(picture_copy(&p, &mode, memory), 0);
	assert_int_equal(picture_ppm(&p, &bytes, &size), 0);
	assert_int_equal(size, 11 + sizeof(rgb));
	assert_memory_equal(bytes, "P6\n2 3\n255\n", 11);
	assert_memory_equal(bytes + 11, rgb, sizeof(rgb));
	free(bytes);
	picture_free(&p);
}

static void png_has_the_bytes(void **state)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	uint8_t back[sizeof(rgb)], *bytes;
	struct picture p;
	struct err e;
	size_t size;

	assert_int_equal(picture_copy(&p, &mode, memory), 0);
	assert_int_equal(picture_png(&p, &bytes, &size), -ENOSYS);
	assert_int_equal(display_png_load(&e), 0);
	assert_int_equal(picture_png(&p, &bytes, &size), 0);
	assert_true(png_image_begin_read_from_memory(&image, bytes, size));
	assert_true(image.width == 2 && image.height == 3);
	image.format = PNG_FORMAT_RGB;
	assert_true(png_image_finish_read(&image, NULL, back, 0, NULL));
	assert_memory_equal(back, rgb, sizeof(rgb));
	free(bytes);
	picture_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_are_inside_of_their_memory),
		cmocka_unit_test(rectangles_add_up),
		cmocka_unit_test(a_copy_has_no_gaps),
		cmocka_unit_test(ppm_has_the_bytes),
		cmocka_unit_test(png_has_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
