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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_and_returns_the_code),
		cmocka_unit_test(stays_one_line),
		cmocka_unit_test(may_be_null),
		cmocka_unit_test(cuts_a_long_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
