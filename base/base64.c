/* SPDX-License-Identifier: MIT */
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const uint8_t *bytes, size_t size)
{
	char *text = malloc((size + 2) / 3 * 4 + 1), *to = text;

	for (size_t i = 0; text && i < size; i += 3) {
		uint32_t left = size - i > 3 ? 3 : (uint32_t)(size - i);
		uint32_t word = (uint32_t)bytes[i] << 16 | (left > 1 ? bytes[i + 1] << 8 : 0) |
				(left > 2 ? bytes[i + 2] : 0);

		*to++ = digits[word >> 18];
		*to++ = digits[word >> 12 & 63];
		*to++ = left > 1 ? digits[word >> 6 & 63] : '=';
		*to++ = left > 2 ? digits[word & 63] : '=';
	}
	if (text)
		*to = '\0';
	return text;
}

/* -1: not a digit. */
static int digit_of(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

size_t base64_decode(const char *text, uint8_t *bytes)
{
	uint32_t word = 0, bits = 0;
	size_t size = 0;

	for (; digit_of(*text) >= 0; text++) {
		word = word << 6 | (uint32_t)digit_of(*text);
		bits += 6;
		if (bits < 8)
			continue;
		bits -= 8;
		bytes[size++] = (uint8_t)(word >> bits);
	}
	return size;
}
