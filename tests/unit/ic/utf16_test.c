/* SPDX-License-Identifier: MIT */
/* UTF-8 and UTF-16: every character there and back, what is neither, limits of room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/ic/utf16.h"

#define ROOM 64u

/* iconv, code of others, makes the same of every character that there is. */
static void every_character_as_iconv_has_it(void **state)
{
	iconv_t to_8 = iconv_open("UTF-8", "UTF-32LE"), to_16 = iconv_open("UTF-16LE", "UTF-32LE");

	for (uint32_t c = 1; c < 0x110000; c++) {
		char utf8[8] = "", want[8] = "", back[ROOM], *in = (char *)&c, *out = utf8;
		size_t left = 4, room = 7, want_room = 8;
		uint8_t utf16[8];

		if (c >= 0xD800 && c < 0xE000)
			continue;
		assert_int_equal(iconv(to_8, &in, &left, &out, &room), 0);
		in = (char *)&c;
		left = 4;
		out = want;
		assert_int_equal(iconv(to_16, &in, &left, &out, &want_room), 0);
		assert_int_equal(utf16_from_utf8(utf16, sizeof(utf16), utf8), 8 - want_room + 2);
		assert_memory_equal(utf16, want, 8 - want_room);
		utf16_to_utf8(utf16, 8 - want_room + 2, back, sizeof(back));
		assert_string_equal(back, utf8);
	}
	iconv_close(to_8);
	iconv_close(to_16);
}

static void what_is_no_utf8(void **state)
{
	static const char *const wrong[] = {"\x80", "a\xff", "\xc3", "\xc3z", "\xe2\x82",
		"\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80"};
	uint8_t to[ROOM];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(utf16_from_utf8(to, sizeof(to), wrong[i]), -EILSEQ);
}

static void room_is_kept(void **state)
{
	uint8_t to[ROOM];

	memset(to, 0x55, sizeof(to));
	assert_int_equal(utf16_from_utf8(to, 6, "ab"), 6);
	assert_int_equal(to[6], 0x55);
	assert_int_equal(utf16_from_utf8(to, 5, "ab"), -E2BIG);
	assert_int_equal(utf16_from_utf8(to, 6, "\xf0\x9f\x8e\x89"), 6);
	assert_int_equal(utf16_from_utf8(to, 5, "\xf0\x9f\x8e\x89"), -E2BIG);
	assert_int_equal(utf16_from_utf8(to, 2, ""), 2);
	assert_int_equal(utf16_from_utf8(to, 1, ""), -E2BIG);
	assert_int_equal(to[6], 0x55);
}

static void becomes(const char *from, size_t bytes, const char *want)
{
	char to[ROOM];

	utf16_to_utf8(from, bytes, to, sizeof(to));
	assert_string_equal(to, want);
}

static void what_is_no_utf16(void **state)
{
	becomes("", 0, "");
	becomes("a", 1, "");
	becomes("a\0b", 3, "a");
	becomes("a\0\0\0b\0", 6, "a");
	becomes("\x00\xd8", 2, "\xef\xbf\xbd");     /* a high surrogate at the end */
	becomes("\x00\xd8z\0", 4, "\xef\xbf\xbdz"); /* or before something else */
	becomes("\x00\xdcz\0", 4, "\xef\xbf\xbdz"); /* a low one alone */
	becomes("\x00\xd8\x00\xd8\x00\xdc", 6, "\xef\xbf\xbd\xf0\x90\x80\x80");
}

static void the_longest_text_fits(void **state)
{
	uint8_t from[20];
	char to[UTF8_ROOM(sizeof(from))];

	memset(from, 0xFF, sizeof(from)); /* U+FFFF, 3 bytes each */
	utf16_to_utf8(from, sizeof(from), to, sizeof(to));
	assert_int_equal(strlen(to), sizeof(to) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_as_iconv_has_it),
		cmocka_unit_test(what_is_no_utf8),
		cmocka_unit_test(room_is_kept),
		cmocka_unit_test(what_is_no_utf16),
		cmocka_unit_test(the_longest_text_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
