/* SPDX-License-Identifier: MIT */
#include "vsp/ic/utf16.h"

#include <assert.h>
#include <errno.h>

#include "base/utf8.h"

#define REPLACEMENT 0xFFFDu
#define SURROGATES  0xD800u /* to 0xDFFF */
#define LOW         0xDC00u
#define BMP_END     0x10000u

/* ---- UTF-8 to UTF-16 ----------------------------------------------------- */

static size_t put_unit(uint8_t *to, uint32_t unit)
{
	to[0] = (uint8_t)unit;
	to[1] = (uint8_t)(unit >> 8);
	return 2;
}

static size_t put_character(uint8_t *to, uint32_t c)
{
	if (c < BMP_END)
		return put_unit(to, c);
	put_unit(to, SURROGATES + ((c - BMP_END) >> 10));
	put_unit(to + 2, LOW + ((c - BMP_END) & 0x3FF));
	return 4;
}

int utf16_from_utf8(void *to, size_t room, const char *text)
{
	size_t used = 0;

	while (*text) {
		int32_t c = utf8_next(&text);

		if (c < 0)
			return c;
		if (used + 4 + 2 * (c >= (int32_t)BMP_END) > room)
			return -E2BIG;
		used += put_character((uint8_t *)to + used, (uint32_t)c);
	}
	if (used + 2 > room)
		return -E2BIG;
	return (int)(used + put_unit((uint8_t *)to + used, 0));
}

/* ---- UTF-16 to UTF-8 ----------------------------------------------------- */

static uint32_t unit_at(const uint8_t *from)
{
	return from[0] | (uint32_t)from[1] << 8;
}

/* The character at from, of `bytes` that are at least 2; *taken: its bytes. */
static uint32_t take_character(const uint8_t *from, size_t bytes, size_t *taken)
{
	uint32_t unit = unit_at(from), low = bytes >= 4 ? unit_at(from + 2) : 0;

	*taken = 2;
	if (unit < SURROGATES || unit >= 0xE000)
		return unit;
	if (unit >= LOW || low < LOW || low >= 0xE000)
		return REPLACEMENT;
	*taken = 4;
	return BMP_END + ((unit - SURROGATES) << 10) + (low - LOW);
}

static size_t put_utf8(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xC0 | c >> 6);
		to[1] = (char)(0x80 | (c & 0x3F));
		return 2;
	}
	if (c < BMP_END) {
		to[0] = (char)(0xE0 | c >> 12);
		to[1] = (char)(0x80 | (c >> 6 & 0x3F));
		to[2] = (char)(0x80 | (c & 0x3F));
		return 3;
	}
	to[0] = (char)(0xF0 | c >> 18);
	to[1] = (char)(0x80 | (c >> 12 & 0x3F));
	to[2] = (char)(0x80 | (c >> 6 & 0x3F));
	to[3] = (char)(0x80 | (c & 0x3F));
	return 4;
}

void utf16_to_utf8(const void *from, size_t bytes, char *to, size_t room)
{
	const uint8_t *at = from;
	size_t used = 0, taken;

	assert(room >= UTF8_ROOM(bytes));
	for (; bytes >= 2; at += taken, bytes -= taken) {
		uint32_t c = take_character(at, bytes, &taken);

		if (!c)
			break;
		used += put_utf8(to + used, c);
	}
	to[used] = '\0';
}
