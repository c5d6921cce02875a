/* SPDX-License-Identifier: MIT */
/* What a picture in video memory is: its mode, rectangles of it, copies. Thread: any. */
#ifndef DISPLAY_PICTURE_H
#define DISPLAY_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PICTURE_SIDE_MAX 8192u

/* Pixels are u32 0x00RRGGBB, the highest byte undefined. */
struct picture_mode {
	uint32_t offset;        /* bytes, in video memory */
	uint32_t width, height; /* pixels, 1 to PICTURE_SIDE_MAX; width 0: there is no picture */
	uint32_t pitch;         /* bytes, a multiple of 4 */
};

/* True when it can be shown: every pixel is in video memory, which has `bytes`. */
bool picture_mode_is_valid(const struct picture_mode *mode, uint64_t bytes);

/* Pixels; right and bottom are outside. */
struct picture_rect {
	uint32_t left, top, right, bottom;
};

bool picture_rect_is_empty(const struct picture_rect *r);
/* The smallest one around both, an empty one adding nothing. */
void picture_rect_add(struct picture_rect *r, const struct picture_rect *more);
void picture_rect_clip(struct picture_rect *r, uint32_t width, uint32_t height);

/* A copy of the pixels, rows without gaps. */
struct picture {
	uint32_t width, height; /* width 0: empty */
	uint32_t *pixels;       /* malloc() */
};

/* 0 or -ENOMEM. The mode is valid for the memory. */
int picture_copy(struct picture *p, const struct picture_mode *mode, const void *memory);
int picture_duplicate(struct picture *p, const struct picture *from);
void picture_free(struct picture *p);

/* The bytes of a PNG file (RGB, 8 bits), malloc()ed; may take a tenth of a second. 0, -ENOMEM, or
 * -ENOSYS: display_png_load() was not called. */
int picture_png(const struct picture *p, uint8_t **bytes, size_t *size);
/* The same as PPM, which is not compressed. */
int picture_ppm(const struct picture *p, uint8_t **bytes, size_t *size);

#endif
