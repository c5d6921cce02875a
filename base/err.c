/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

/* Names in the text are the user's: whatever is in them, it stays one line. */
static void make_line(char *text)
{
	for (char *c = text; *c; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7F)
			*c = '?';
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
