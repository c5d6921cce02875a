/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static bool is_control(int32_t c)
{
	return c < 0x20 || (c >= 0x7F && c < 0xA0);
}

/* Names in the text are the user's, and may be cut: whatever is in them, it stays one line, which
 * can be sent as JSON. What is no character counts as a byte. */
static void make_line(char *text)
{
	while (*text) {
		const char *next = text;
		int32_t c = utf8_next(&next);
		size_t bytes = c < 0 ? 1 : (size_t)(next - text);

		if (is_control(c)) /* or no character */
			memset(text, '?', bytes);
		text += bytes;
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
