/* SPDX-License-Identifier: MIT */
#include "base/utf8.h"

#include <errno.h>

/* Bytes behind the first one of a character; -1: none begins so. */
static int continuation_count(uint8_t first)
{
	if (first < 0x80)
		return 0;
	if (first >= 0xC2 && first < 0xE0)
		return 1;
	if (first >= 0xE0 && first < 0xF0)
		return 2;
	return first >= 0xF0 && first < 0xF5 ? 3 : -1;
}

int32_t utf8_next(const char **text)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	const uint8_t *at = (const uint8_t *)*text;
	int count = continuation_count(*at);
	uint32_t c = count > 0 ? *at & (0x3Fu >> count) : *at;

	if (count < 0)
		return -EILSEQ;
	for (int i = 1; i <= count; i++) {
		if ((at[i] & 0xC0) != 0x80) /* the text's end, too */
			return -EILSEQ;
		c = c << 6 | (at[i] & 0x3F);
	}
	if (c < least[count] || c >= 0x110000 || (c >= 0xD800 && c < 0xE000)) /* surrogates */
		return -EILSEQ;
	*text += count + 1;
	return (int32_t)c;
}
