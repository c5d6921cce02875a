/* SPDX-License-Identifier: MIT */
/* Guest memory as a value of the table: SIZE[,max=SIZE][,min=SIZE][,buffer=PERCENT%]. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "config/config_impl.h"

#define BUFFER_PRESET 20u
#define BUFFER_MAX    1000u
#define ITEM_MAX      64u
#define TEXT_MAX      128u

/* What was given. */
enum { GIVEN_MAX = 1, GIVEN_MIN = 2, GIVEN_BUFFER = 4 };

/* ---- from a text --------------------------------------------------------- */

static int take_size(const struct schema_key *key, const char *text, uint64_t *size)
{
	if (parse_size(text, size) || *size < key->min || *size > key->max || *size % key->step)
		return -EINVAL;
	return 0;
}

static int take_percent(const char *text, uint32_t *percent)
{
	size_t len = strlen(text);
	char digits[ITEM_MAX];
	uint64_t value;

	if (len < 2 || text[len - 1] != '%')
		return -EINVAL;
	snprintf(digits, sizeof(digits), "%.*s", (int)len - 1, text);
	if (parse_number(digits, 0, BUFFER_MAX, &value))
		return -EINVAL;
	*percent = (uint32_t)value;
	return 0;
}

/* KEY=VALUE; each key once. */
static int take_item(
	const struct schema_key *key, const char *item, struct vm_memory *m, unsigned *given)
{
	unsigned which = 0;
	int ret = -EINVAL;

	if (!strncmp(item, "max=", 4)) {
		which = GIVEN_MAX;
		ret = take_size(key, item + 4, &m->max);
	} else if (!strncmp(item, "min=", 4)) {
		which = GIVEN_MIN;
		ret = take_size(key, item + 4, &m->min);
	} else if (!strncmp(item, "buffer=", 7)) {
		which = GIVEN_BUFFER;
		ret = take_percent(item + 7, &m->buffer);
	}
	if (*given & which)
		return -EINVAL;
	*given |= which;
	return ret;
}

/* The next item of a list with commas. False: there is none, or it is too long, which no value is:
 * then it is empty. */
static bool next_item(const char **text, char item[ITEM_MAX])
{
	size_t len;

	if (!*text)
		return false;
	len = strcspn(*text, ",");
	snprintf(item, ITEM_MAX, "%.*s", len < ITEM_MAX ? (int)len : 0, *text);
	*text = (*text)[len] ? *text + len + 1 : NULL;
	return true;
}

static int memory_parse(const struct schema_key *key, const char *text, void *field)
{
	struct vm_memory m = {.buffer = BUFFER_PRESET};
	unsigned given = 0;
	char item[ITEM_MAX];

	next_item(&text, item);
	if (take_size(key, item, &m.size))
		return -EINVAL;
	m.min = m.max = m.size;
	while (next_item(&text, item))
		if (take_item(key, item, &m, &given))
			return -EINVAL;
	if (m.min > m.size || m.size > m.max)
		return -EINVAL;
	m.dynamic = given;
	*(struct vm_memory *)field = m;
	return 0;
}

/* ---- and back ------------------------------------------------------------ */

static int memory_format(const struct schema_key *key, const void *field, char **text)
{
	const struct vm_memory *m = field;
	char size[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX], min[SIZE_TEXT_MAX], all[TEXT_MAX];

	format_size(size, m->size);
	format_size(max, m->max);
	format_size(min, m->min);
	if (m->dynamic)
		snprintf(all, sizeof(all), "%s,max=%s,min=%s,buffer=%" PRIu32 "%%", size, max, min,
			m->buffer);
	else
		snprintf(all, sizeof(all), "%s", size);
	*text = strdup(all);
	return *text ? 0 : -ENOMEM;
}

static void memory_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	char min[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX], step[SIZE_TEXT_MAX];

	format_size(min, key->min);
	format_size(max, key->max);
	format_size(step, key->step);
	snprintf(text, SCHEMA_DESCRIPTION_MAX,
		"a size such as 512M, from %s to %s, a multiple of %s; if dynamic, with "
		"max=SIZE, min=SIZE or buffer=PERCENT%%, min <= size <= max",
		min, max, step);
}

const struct schema_type vm_memory_type = {
	.json = SCHEMA_JSON_INTEGER | SCHEMA_JSON_STRING,
	.parse = memory_parse,
	.format = memory_format,
	.describe = memory_describe,
};
