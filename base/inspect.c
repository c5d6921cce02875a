/* SPDX-License-Identifier: MIT */
#include "base/inspect.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/counter.h"

void inspect_textf(struct inspect *i, const char *key, const char *format, ...)
{
	char text[INSPECT_TEXT_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	inspect_text(i, key, text);
}

void inspect_fields(struct inspect *i, const void *counters, const struct inspect_field *fields)
{
	for (const struct inspect_field *f = fields; f->key; f++)
		inspect_u64(i, f->key,
			counter_get((const uint64_t *)((const char *)counters + f->offset)));
}
