/* SPDX-License-Identifier: MIT */
#include "display/png.h"

#include <dlfcn.h>
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#define SONAME "libpng16.so.16"

static struct {
	__typeof__(&png_image_write_to_memory) write;
	__typeof__(&png_image_free) free;
} lib;

/* ISO C has no conversion from an object's pointer to a function's. */
static void find(void *handle, const char *name, void *function)
{
	void *found = dlsym(handle, name);

	memcpy(function, &found, sizeof(found));
}

int display_png_load(struct err *e)
{
	void *handle = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);

	if (handle) {
		find(handle, "png_image_write_to_memory", &lib.write);
		find(handle, "png_image_free", &lib.free);
	}
	if (lib.write && lib.free)
		return 0;
	return err_set(
		e, -ENOENT, "display: screenshots need libpng; install the package libpng16-16");
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
