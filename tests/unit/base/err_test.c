/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void formats_and_returns_the_code(void **state)
{
	struct err e;

	assert_int_equal(err_set(&e, -ENOENT, "%s: not found (%d)", "disk.img", 7), -ENOENT);
	assert_string_equal(e.text, "disk.img: not found (7)");
}

static void stays_one_line(void **state)
{
	struct err e;

	err_set(&e, -EINVAL, "%s: not found", "a\nb\t\x7F\x1B[31m");
	assert_string_equal(e.text, "a?b???[31m: not found");
}

static void may_be_null(void **state)
{
	assert_int_equal(err_set(NULL, -EINVAL, "nobody reads %s", "this"), -EINVAL);
}

static void cuts_a_long_text(void **state)
{
	struct err e;
	char long_text[2 * sizeof(e.text)];

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(err_set(&e, -E2BIG, "%s", long_text), -E2BIG);
	assert_int_equal(strlen(e.text), sizeof(e.text) - 1);
}

/* JSON, in which texts are sent, has no other. */
static void is_utf8(void **state)
{
	static const char *const rows[][2] = {
		{"\x64\xC3\xA4\xE2\x82\xAC\xF0\x9F\x92\xBE",
			"\x64\xC3\xA4\xE2\x82\xAC\xF0\x9F\x92\xBE"},
		{"\xC2\x80\xC2\x9F\xC2\xA0", "????\xC2\xA0"},
		{"a\xC3", "a?"},
		{"\xC3: not found", "?: not found"},
		{"\xA4\xFF", "??"},
		{"\xE2\x82", "??"},
		{"\xC0\x80", "??"},
		{"\xE0\x80\x80", "???"},
		{"\xED\xA0\x80", "???"},
		{"\xF4\x90\x80\x80", "????"},
	};
	struct err e;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err_set(&e, -EINVAL, "%s", rows[i][0]);
		assert_string_equal(e.text, rows[i][1]);
	}
	err_set(&e, -EINVAL, "%.4s: not found", "ab\xC3\xA4\xC3\xA4");
	assert_string_equal(e.text, "ab\xC3\xA4: not found");
	err_set(&e, -EINVAL, "%.3s: not found", "ab\xC3\xA4\xC3\xA4");
	assert_string_equal(e.text, "ab?: not found");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_and_returns_the_code),
		cmocka_unit_test(stays_one_line),
		cmocka_unit_test(may_be_null),
		cmocka_unit_test(cuts_a_long_text),
		cmocka_unit_test(is_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
