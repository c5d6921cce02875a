/* SPDX-License-Identifier: MIT */
/* Unknown names: which known one was probably meant. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config_impl.h"

#define LENGTH_MAX 24u /* longer names are near none */

void names_add(struct names *names, const char *name)
{
	assert(names->count < NAMES_MAX);
	names->name[names->count++] = name;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein: insertions, deletions and replacements between two names. */
static unsigned distance(const char *a, const char *b)
{
	unsigned row[LENGTH_MAX + 1];
	size_t length = strlen(b);

	for (unsigned j = 0; j <= length; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= length; j++) {
			unsigned above = row[j];

			row[j] =
				least(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
			diagonal = above;
		}
	}
	return row[length];
}

/* Up to a third of a name may be wrong. */
const char *names_nearest(const struct names *names, const char *name)
{
	unsigned best = (unsigned)strlen(name) / 3 + 1;
	const char *nearest = NULL;

	if (strlen(name) > LENGTH_MAX)
		return NULL;
	for (uint32_t i = 0; i < names->count; i++) {
		unsigned d = distance(name, names->name[i]);

		if (d <= best && d < strlen(name)) {
			nearest = names->name[i];
			best = d - (d > 0);
		}
	}
	return nearest;
}

void names_join(const struct names *names, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < names->count && used < size; i++)
		used += (size_t)snprintf(
			text + used, size - used, "%s%s", i ? ", " : "", names->name[i]);
}

int names_refuse(const struct names *names, const char *name, struct err *e)
{
	const char *nearest = names_nearest(names, name);
	char known[400];

	if (nearest)
		return err_set(
			e, -EINVAL, "unknown key '%.40s'; did you mean '%s'?", name, nearest);
	if (!names->count)
		return err_set(e, -EINVAL, "unknown key '%.40s'; no key is known here", name);
	names_join(names, known, sizeof(known));
	return err_set(e, -EINVAL, "unknown key '%.40s'; known are %s", name, known);
}
