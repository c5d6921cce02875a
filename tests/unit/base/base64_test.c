/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

/* RFC 4648, section 10. */
static void texts_of_the_rfc(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		const char *plain = pairs[i][0];
		char *text = base64_encode((const uint8_t *)plain, strlen(plain));
		uint8_t bytes[16];

		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(base64_decode(text, bytes), strlen(plain));
		assert_memory_equal(bytes, plain, strlen(plain));
		free(text);
	}
}

static void all_bytes_return(void **state)
{
	uint8_t bytes[256], back[400];
	char *text;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	text = base64_encode(bytes, sizeof(bytes));
	assert_int_equal(base64_decode(text, back), sizeof(bytes));
	assert_memory_equal(back, bytes, sizeof(bytes));
	free(text);
}

static void what_is_no_digit_ends_it(void **state)
{
	uint8_t bytes[16];

	assert_int_equal(base64_decode("Zm9v\nZm9v", bytes), 3);
	assert_int_equal(base64_decode("?", bytes), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_of_the_rfc),
		cmocka_unit_test(all_bytes_return),
		cmocka_unit_test(what_is_no_digit_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
