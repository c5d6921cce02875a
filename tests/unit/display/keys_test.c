/* SPDX-License-Identifier: MIT */
/* Keys: characters, names, keysyms, scan codes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/input-event-codes.h>

#include "display/keys.h"

static void expect_character(char c, uint32_t wanted, bool with_shift)
{
	uint32_t key = 0;
	bool shift = !with_shift;

	assert_true(key_by_character(c, &key, &shift));
	assert_int_equal(key, wanted);
	assert_int_equal(shift, with_shift);
}

/* Each printable character has one key, which it shares with one other at most. */
static void every_character_has_a_key(void **state)
{
	uint8_t users[2][256] = {{0}};
	uint32_t key;
	bool shift;

	for (char c = ' '; c <= '~'; c++) {
		assert_true(key_by_character(c, &key, &shift));
		assert_true(key_scan_code(key) > 0 && key_scan_code(key) < 0x80);
		assert_int_equal(users[shift][key]++, 0);
	}
	expect_character('a', KEY_A, false);
	expect_character('A', KEY_A, true);
	expect_character('l', KEY_L, false);
	expect_character('0', KEY_0, false);
	expect_character(')', KEY_0, true);
	expect_character('=', KEY_EQUAL, false);
	expect_character('\'', KEY_APOSTROPHE, false);
	expect_character('~', KEY_GRAVE, true);
	expect_character('|', KEY_BACKSLASH, true);
	expect_character('/', KEY_SLASH, false);
	expect_character('?', KEY_SLASH, true);
	expect_character('m', KEY_M, false);
	expect_character('\n', KEY_ENTER, false);
	assert_false(key_by_character('\0', &key, &shift));
	assert_false(key_by_character('\x7f', &key, &shift));
	assert_false(key_by_character((char)0xE4, &key, &shift));
}

static void keys_are_combined(void **state)
{
	uint32_t keys[KEYS_AT_ONCE_MAX];
	struct err e;

	assert_int_equal(keys_parse("ctrl-alt-del", keys, &e), 3);
	assert_int_equal(keys[0], KEY_LEFTCTRL);
	assert_int_equal(keys[1], KEY_LEFTALT);
	assert_int_equal(keys[2], KEY_DELETE);
	assert_int_equal(keys_parse("Alt-F2", keys, &e), 2);
	assert_int_equal(keys[1], KEY_F2);
	assert_int_equal(keys_parse("alt-sysrq-b", keys, &e), 3);
	assert_int_equal(keys[1], KEY_SYSRQ);
	assert_int_equal(keys_parse("minus", keys, &e), 1);
	assert_int_equal(keys[0], KEY_MINUS);
}

static void wrong_keys_are_refused(void **state)
{
	static const char *const wrong[] = {"", "-", "ctrl-", "-a", "ctrl--a", "A", "hyper-x",
		"ctrl-alt-delx", "a-b-c-d-e-f-g-h-i"};
	uint32_t keys[KEYS_AT_ONCE_MAX];
	struct err e;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(keys_parse(wrong[i], keys, &e), -EINVAL);
		assert_non_null(strstr(e.text, "key: "));
	}
}

static void keysyms_have_keys(void **state)
{
	assert_int_equal(key_by_keysym('a'), KEY_A);
	assert_int_equal(key_by_keysym('A'), KEY_A);
	assert_int_equal(key_by_keysym(0xFF0D), KEY_ENTER);
	assert_int_equal(key_by_keysym(0xFFFF), KEY_DELETE);
	assert_int_equal(key_by_keysym(0xFFC9), KEY_F12);
	assert_int_equal(key_by_keysym(0), 0);
	assert_int_equal(key_by_keysym(0xFF00), 0);
	assert_int_equal(key_by_keysym(0x1000000), 0);
}

/* None is more than a keyboard of set 1 can send; two keys never send the same. */
static void scan_codes_are_of_set_1(void **state)
{
	uint8_t users[0x101] = {0};

	for (uint32_t key = 0; key < 1024; key++) {
		uint32_t scan = key_scan_code(key);

		if (!scan)
			continue;
		assert_true(scan <= KEY_SCAN_PAUSE && scan != 0x80);
		assert_int_equal(users[scan]++, 0);
	}
	assert_int_equal(key_scan_code(KEY_A), 0x1E);
	assert_int_equal(key_scan_code(KEY_F11), 0x57);
	assert_int_equal(key_scan_code(KEY_DELETE), 0x80 | 0x53);
	assert_int_equal(key_scan_code(KEY_PAUSE), KEY_SCAN_PAUSE);
	assert_int_equal(key_scan_code(UINT32_MAX), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_has_a_key),
		cmocka_unit_test(keys_are_combined),
		cmocka_unit_test(wrong_keys_are_refused),
		cmocka_unit_test(keysyms_have_keys),
		cmocka_unit_test(scan_codes_are_of_set_1),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
