/* SPDX-License-Identifier: MIT */
/* A struct of all types, described by a table: set, shown, copied, freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/schema.h"

struct thing {
	bool flag;
	uint32_t small;
	uint64_t large;
	int64_t word;
	uint64_t bytes;
	char *text;
	char *file;
	int choice;
	uint32_t words;
};

static const char *const words[] = {"auto", "off", NULL};
static const char *const set_words[] = {"a", "ab", "c", NULL};
static const char *const choices[] = {"red", "green", "blue", NULL};

static bool no_x(const char *text)
{
	return !strchr(text, 'x');
}

static const struct schema_key keys[] = {
	{.name = "flag", .type = &schema_flag, SCHEMA_FIELD(struct thing, flag)},
	{.name = "small",
		.type = &schema_number,
		SCHEMA_FIELD(struct thing, small),
		.min = 1,
		.max = UINT32_MAX},
	{.name = "large",
		.type = &schema_number,
		SCHEMA_FIELD(struct thing, large),
		.max = UINT64_MAX,
		.preset = "7"},
	{.name = "a_word",
		.option = "w",
		.type = &schema_number_or_word,
		SCHEMA_FIELD(struct thing, word),
		.min = 1,
		.max = 9,
		.choices = words,
		.preset = "auto"},
	{.name = "bytes",
		.type = &schema_size,
		SCHEMA_FIELD(struct thing, bytes),
		.min = 512,
		.max = 1 << 20,
		.step = 512},
	{.name = "text",
		.type = &schema_text,
		SCHEMA_FIELD(struct thing, text),
		.min = 2,
		.max = 4,
		.valid = no_x,
		.preset = "abc"},
	{.name = "file", .type = &schema_file, SCHEMA_FIELD(struct thing, file), .required = true},
	{.name = "choice",
		.type = &schema_choice,
		SCHEMA_FIELD(struct thing, choice),
		.choices = choices,
		.preset = "green"},
	{.name = "words",
		.type = &schema_words,
		SCHEMA_FIELD(struct thing, words),
		.choices = set_words,
		.preset = "none"},
	{0},
};

static struct thing t;
static struct err e;

static int set(const char *name, const char *text)
{
	return schema_set(schema_find(keys, name), &t, text, &e);
}

/* NULL: not set. */
static void shows(const char *name, const char *wanted)
{
	char *text;

	assert_int_equal(schema_get(schema_find(keys, name), &t, &text), 0);
	if (wanted)
		assert_string_equal(text, wanted);
	else
		assert_null(text);
	free(text);
}

static void refuses(const char *name, const char *text, const char *says)
{
	char *before, *after;

	assert_int_equal(schema_get(schema_find(keys, name), &t, &before), 0);
	assert_int_equal(set(name, text), -EINVAL);
	assert_string_equal(e.text, says);
	assert_int_equal(schema_get(schema_find(keys, name), &t, &after), 0);
	assert_int_equal(!before, !after);
	if (before)
		assert_string_equal(before, after);
	free(before);
	free(after);
}

static int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	return schema_init(keys, &t);
}

static int teardown(void **state)
{
	schema_fini(keys, &t);
	return 0;
}

static void defaults(void **state)
{
	shows("flag", "false");
	shows("small", NULL); /* zero is outside of its limits */
	shows("large", "7");
	shows("a_word", "auto");
	shows("bytes", NULL);
	shows("text", "abc");
	shows("file", NULL);
	shows("choice", "green");
	assert_int_equal(t.word, -1);
	assert_int_equal(t.choice, 1);
}

static void values(void **state)
{
	static const char *const rows[][3] = {{"flag", "true", "true"}, {"flag", "false", "false"},
		{"small", "1", "1"}, {"small", "4294967295", "4294967295"}, {"large", "0", "0"},
		{"large", "18446744073709551615", "18446744073709551615"}, {"a_word", "off", "off"},
		{"a_word", "9", "9"}, {"a_word", "auto", "auto"}, {"bytes", "512", "512"},
		{"bytes", "1M", "1M"}, {"bytes", "1024", "1K"}, {"bytes", "1023K", "1023K"},
		{"text", "ab", "ab"}, {"text", "abcd", "abcd"}, {"file", "/x,y", "/x,y"},
		{"choice", "red", "red"}, {"choice", "blue", "blue"}, {"words", "a", "a"},
		{"words", "c,ab", "ab,c"}, {"words", "ab,c,a,a", "all"}, {"words", "all", "all"},
		{"words", "none", "none"}};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(set(rows[i][0], rows[i][1]), 0);
		shows(rows[i][0], rows[i][2]);
	}
}

static void mistakes(void **state)
{
	refuses("flag", "yes", "must be true or false, not 'yes'");
	refuses("flag", "", "must be true or false, not ''");
	refuses("small", "0", "must be a number from 1 to 4294967295, not '0'");
	refuses("small", "4294967296", "must be a number from 1 to 4294967295, not '4294967296'");
	refuses("large", "-1", "must be a number from 0 to 18446744073709551615, not '-1'");
	refuses("a_word", "0", "must be auto, off or a number from 1 to 9, not '0'");
	refuses("bytes", "513",
		"must be a size such as 512M, from 512 to 1M, a multiple of 512, not '513'");
	refuses("bytes", "0",
		"must be a size such as 512M, from 512 to 1M, a multiple of 512, not '0'");
	refuses("text", "a", "must be a text of 2 to 4 bytes, not 'a'");
	refuses("text", "abcde", "must be a text of 2 to 4 bytes, not 'abcde'");
	refuses("text", "axb", "must be a text of 2 to 4 bytes, not 'axb'");
	refuses("file", "", "must be the name of a file, not ''");
	refuses("choice", "grey", "must be red, green or blue, not 'grey'");
	refuses("words", "", "must be all, none or a list with commas of a, ab, c, not ''");
	refuses("words", "a,", "must be all, none or a list with commas of a, ab, c, not 'a,'");
	refuses("words", ",a", "must be all, none or a list with commas of a, ab, c, not ',a'");
	refuses("words", "a,none",
		"must be all, none or a list with commas of a, ab, c, not 'a,none'");
	refuses("words", "abc", "must be all, none or a list with commas of a, ab, c, not 'abc'");
	refuses("choice", "a\nb", "must be red, green or blue, not 'a?b'");
	assert_int_equal(schema_refuse(schema_find(keys, "flag"), "a list", &e), -EINVAL);
	assert_string_equal(e.text, "must be true or false, not a list");
}

static void long_values_are_cut(void **state)
{
	char text[2000];

	memset(text, 'y', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(set("choice", text), -EINVAL);
	assert_non_null(strstr(e.text, "yyy...'"));
	assert_true(strlen(e.text) < 120);
}

static void names(void **state)
{
	assert_string_equal(schema_find(keys, "a_word")->name, "a_word");
	assert_null(schema_find(keys, "a-word"));
	assert_null(schema_find(keys, "w"));
	assert_null(schema_find(keys, ""));
	assert_string_equal(schema_find_option(keys, "a-word")->name, "a_word");
	assert_string_equal(schema_find_option(keys, "w")->name, "a_word");
	assert_null(schema_find_option(keys, "a_word"));
	assert_null(schema_find_option(keys, "a-wor"));
	assert_null(schema_find_option(keys, "a-words"));
}

static void what_is_missing(void **state)
{
	assert_string_equal(schema_missing(keys, &t)->name, "file");
	assert_int_equal(set("file", "x"), 0);
	assert_null(schema_missing(keys, &t));
}

static void copies_own_their_texts(void **state)
{
	struct thing copy = {0};

	assert_int_equal(set("file", "x"), 0);
	assert_int_equal(set("small", "5"), 0);
	assert_int_equal(schema_copy(keys, &copy, &t), 0);
	assert_ptr_not_equal(copy.file, t.file);
	assert_string_equal(copy.file, "x");
	assert_int_equal(copy.small, 5);
	assert_int_equal(copy.large, 7);
	assert_int_equal(copy.word, -1);
	assert_int_equal(copy.choice, 1);
	assert_int_equal(copy.words, t.words);
	schema_fini(keys, &copy);
}

static void values_with_their_schema(void **state)
{
	static const struct schema schema = {
		.name = "thing", .keys = keys, .size = sizeof(struct thing)};
	struct schema_value value, copy;

	assert_int_equal(schema_value_init(&value, &schema), 0);
	assert_int_equal(schema_value_copy(&copy, &value), 0);
	assert_ptr_equal(copy.schema, &schema);
	assert_string_equal(((struct thing *)copy.object)->text, "abc");
	schema_value_fini(&value);
	schema_value_fini(&copy);
	assert_null(copy.object);
	assert_int_equal(schema_value_copy(&copy, &value), 0); /* of none: none */
	assert_null(copy.schema);
}

static void keys_are_optional(void **state)
{
	static const struct schema schema = {.name = "plain"};
	struct schema_value value, copy;

	assert_int_equal(schema_value_init(&value, &schema), 0);
	assert_null(schema_missing(schema_keys(&schema), value.object));
	assert_int_equal(schema_value_copy(&copy, &value), 0);
	assert_ptr_equal(copy.schema, &schema);
	schema_value_fini(&copy);
	schema_value_fini(&value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(defaults, setup, teardown),
		cmocka_unit_test_setup_teardown(values, setup, teardown),
		cmocka_unit_test_setup_teardown(mistakes, setup, teardown),
		cmocka_unit_test_setup_teardown(long_values_are_cut, setup, teardown),
		cmocka_unit_test(names),
		cmocka_unit_test_setup_teardown(what_is_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(copies_own_their_texts, setup, teardown),
		cmocka_unit_test(values_with_their_schema),
		cmocka_unit_test(keys_are_optional),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
