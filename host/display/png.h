/* SPDX-License-Identifier: MIT */
/* libpng, which is loaded only for VMs that have a display. Thread: any, after the loading. */
#ifndef DISPLAY_PNG_H
#define DISPLAY_PNG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Before the process loses its right to open files. 0, or -errno with one line that names the
 * package. */
int display_png_load(struct err *e);

/* The bytes of a PNG file from rows of RGB without gaps, malloc()ed. -ENOSYS: it is not loaded;
 * -ENOMEM. */
int display_png_encode(
	const uint8_t *rgb, uint32_t width, uint32_t height, uint8_t **bytes, size_t *size);

#endif
