/* SPDX-License-Identifier: MIT */
#include "base/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int parse_digits(const char *text, char **end, uint64_t *value)
{
	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	*value = strtoull(text, end, 10);
	return errno ? -EINVAL : 0;
}

int parse_size(const char *text, uint64_t *size)
{
	static const char suffixes[] = "kKmMgG";
	const char *suffix;
	unsigned int shift;
	char *end;

	if (parse_digits(text, &end, size))
		return -EINVAL;
	if (!*end)
		return 0;
	suffix = strchr(suffixes, *end);
	if (!suffix || end[1])
		return -EINVAL;
	shift = 10 * (unsigned int)((suffix - suffixes) / 2 + 1);
	if (*size > UINT64_MAX >> shift)
		return -EINVAL;
	*size <<= shift;
	return 0;
}

int parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
	char *end;

	if (parse_digits(text, &end, value) || *end || *value < min || *value > max)
		return -EINVAL;
	return 0;
}

void format_size(char text[SIZE_TEXT_MAX], uint64_t size)
{
	static const char *const suffixes[] = {"", "K", "M", "G"};
	unsigned i = 0;

	while (size && size % 1024 == 0 && i < 3) {
		size /= 1024;
		i++;
	}
	snprintf(text, SIZE_TEXT_MAX, "%" PRIu64 "%s", size, suffixes[i]);
}
