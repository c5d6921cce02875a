/* SPDX-License-Identifier: MIT */
#include "display/picture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "display/png.h"

bool picture_mode_is_valid(const struct picture_mode *m, uint64_t bytes)
{
	uint64_t row = (uint64_t)m->width * 4;

	return m->width && m->height && m->width <= PICTURE_SIDE_MAX &&
	       m->height <= PICTURE_SIDE_MAX && m->pitch >= row && m->pitch % 4 == 0 &&
	       m->offset % 4 == 0 &&
	       m->offset + (uint64_t)m->pitch * (m->height - 1) + row <= bytes;
}

/* ---- rectangles ---------------------------------------------------------- */

bool picture_rect_is_empty(const struct picture_rect *r)
{
	return r->left >= r->right || r->top >= r->bottom;
}

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

static uint32_t higher(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void picture_rect_add(struct picture_rect *r, const struct picture_rect *more)
{
	if (picture_rect_is_empty(more))
		return;
	if (picture_rect_is_empty(r)) {
		*r = *more;
		return;
	}
	r->left = lower(r->left, more->left);
	r->top = lower(r->top, more->top);
	r->right = higher(r->right, more->right);
	r->bottom = higher(r->bottom, more->bottom);
}

void picture_rect_clip(struct picture_rect *r, uint32_t width, uint32_t height)
{
	r->right = lower(r->right, width);
	r->bottom = lower(r->bottom, height);
}

/* ---- copies -------------------------------------------------------------- */

static int allocate(struct picture *p, uint32_t width, uint32_t height)
{
	*p = (struct picture){width, height, malloc((size_t)width * height * sizeof(*p->pixels))};
	if (p->pixels)
		return 0;
	p->width = p->height = 0;
	return -ENOMEM;
}

int picture_copy(struct picture *p, const struct picture_mode *mode, const void *memory)
{
	const uint8_t *row = (const uint8_t *)memory + mode->offset;
	int ret = allocate(p, mode->width, mode->height);

	for (uint32_t y = 0; !ret && y < mode->height; y++)
		memcpy(p->pixels + (size_t)y * mode->width, row + (size_t)y * mode->pitch,
			(size_t)mode->width * sizeof(*p->pixels));
	return ret;
}

int picture_duplicate(struct picture *p, const struct picture *from)
{
	const struct picture_mode mode = {0, from->width, from->height, from->width * 4};

	return picture_copy(p, &mode, from->pixels);
}

void picture_free(struct picture *p)
{
	free(p->pixels);
	*p = (struct picture){0};
}

/* ---- files --------------------------------------------------------------- */

static uint8_t *rgb_of(const struct picture *p, uint8_t *to)
{
	for (size_t i = 0; i < (size_t)p->width * p->height; i++) {
		*to++ = (uint8_t)(p->pixels[i] >> 16);
		*to++ = (uint8_t)(p->pixels[i] >> 8);
		*to++ = (uint8_t)p->pixels[i];
	}
	return to;
}

int picture_ppm(const struct picture *p, uint8_t **bytes, size_t *size)
{
	char header[32];
	int length = snprintf(header, sizeof(header), "P6\n%u %u\n255\n", p->width, p->height);

	*size = (size_t)length + (size_t)p->width * p->height * 3;
	*bytes = malloc(*size);
	if (!*bytes)
		return -ENOMEM;
	memcpy(*bytes, header, (size_t)length);
	rgb_of(p, *bytes + length);
	return 0;
}

int picture_png(const struct picture *p, uint8_t **bytes, size_t *size)
{
	uint8_t *rgb = malloc((size_t)p->width * p->height * 3);
	int ret;

	if (!rgb)
		return -ENOMEM;
	rgb_of(p, rgb);
	ret = display_png_encode(rgb, p->width, p->height, bytes, size);
	free(rgb);
	return ret;
}
