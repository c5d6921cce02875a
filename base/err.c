/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The bytes of the character that begins here; 0: it is no UTF-8, or is cut. */
static size_t character(const char *text)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *c = (const unsigned char *)text;
	size_t bytes = *c < 0x80 ? 1 : *c >> 5 == 6 ? 2 : *c >> 4 == 14 ? 3 : *c >> 3 == 30 ? 4 : 0;
	uint32_t code = bytes > 1 ? *c & 0x7Fu >> bytes : *c;

	for (size_t i = 1; i < bytes; i++) {
		if (c[i] >> 6 != 2) /* the text's end, too */
			return 0;
		code = code << 6 | (c[i] & 0x3F);
	}
	return code < least[bytes] || code > 0x10FFFF || code >> 11 == 0x1B ? 0 : bytes;
}

/* The bytes of the control character that begins here; U+0080 to U+009F have two. */
static size_t control(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	if (*c < 0x20 || *c == 0x7F)
		return 1;
	return c[0] == 0xC2 && c[1] >= 0x80 && c[1] < 0xA0 ? 2 : 0;
}

/* Names in the text are the user's, and may be cut: whatever is in them, it stays one line, which
 * can be sent as JSON. */
static void make_line(char *text)
{
	while (*text) {
		size_t bytes = character(text), bad = bytes ? control(text) : 1;

		memset(text, '?', bad);
		text += bad ? bad : bytes;
	}
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list args;

	assert(code < 0);
	if (e) {
		va_start(args, fmt);
		vsnprintf(e->text, sizeof(e->text), fmt, args);
		va_end(args);
		make_line(e->text);
	}
	return code;
}
