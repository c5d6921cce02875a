/* SPDX-License-Identifier: MIT */
#include "display/png.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>

#include "base/library.h"

static struct png_lib {
	__typeof__(&png_image_write_to_memory) write;
	__typeof__(&png_image_free) free;
} lib;

static const struct library_function functions[] = {
	{"png_image_write_to_memory", offsetof(struct png_lib, write)},
	{"png_image_free", offsetof(struct png_lib, free)},
};

static const struct library library = {
	.need = "display: screenshots need libpng",
	.package = "libpng16-16",
	.functions = functions,
	.count = sizeof(functions) / sizeof(functions[0]),
};

int display_png_load(struct err *e)
{
	return library_load(&library, "libpng16.so.16", &lib, e);
}

/* The form for whole pictures: the size is an upper bound first, then what it took. */
int display_png_encode(
	const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size)
{
	png_image image = {
		.version = PNG_IMAGE_VERSION,
		.width = width,
		.height = height,
		.format = PNG_FORMAT_RGB,
	};
	png_alloc_size_t length = PNG_IMAGE_PNG_SIZE_MAX(image);

	if (!lib.write)
		return -ENOSYS;
	*bytes = malloc(length);
	if (*bytes && lib.write(&image, *bytes, &length, 0, rgb, 0, NULL)) {
		*size = length;
		return 0;
	}
	lib.free(&image);
	free(*bytes);
	*bytes = NULL;
	return -ENOMEM;
}
