/* SPDX-License-Identifier: MIT */
/*
 * Help texts come from the table; the man page has the same between two marks. When it does not,
 * `help_test --man` prints what belongs there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_impl.h"
#include "tests/support/man_page.h"

#define BEGIN ".\\\" ---- from the table of options, checked by tests/unit/config ----\n"
#define END   ".\\\" ---- end ----\n"

static char *text_of(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	print(out);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void the_man_page_has_the_table(void **state)
{
	char *page = man_page(), *table = text_of(vm_config_man);
	char *begin = strstr(page, BEGIN), *end = strstr(page, END);

	assert_true(begin && end && begin < end);
	*end = '\0';
	begin += strlen(BEGIN);
	if (strcmp(begin, table))
		fail_msg("%s differs from the table; put there what `help_test --man` prints",
			MAN_PAGE);
	free(page);
	free(table);
}

/* The word with nothing of a word around it. */
static bool names(const char *text, const char *word)
{
	for (const char *at = text; (at = strstr(at, word)); at++)
		if ((at == text || strchr(" \n-", at[-1])) && strchr(" =:[\n", at[strlen(word)]))
			return true;
	return false;
}

static void names_all(const char *help, const struct schema_key *keys)
{
	char name[32];

	for (const struct schema_key *key = keys; key->name; key++)
		if (!names(help, option_name(key, name)))
			fail_msg("the help text has no %s", name);
}

static void the_help_text_names_all(void **state)
{
	char *help = text_of(vm_config_help);

	names_all(help, vm_keys);
	for (const struct config_list *list = config_lists; list->name; list++) {
		assert_true(names(help, list->option));
		assert_true(!list->flag_option || names(help, list->flag_option));
		names_all(help, list->class->keys);
		for (size_t i = 0; list->class->filters[i]; i++)
			assert_true(names(help, list->class->filters[i]->name));
		for (size_t i = 0; list->class->sources[i]; i++)
			names_all(help, list->class->sources[i]->keys + 1);
	}
	free(help);
}

static void lines_fit_a_terminal(void **state)
{
	char *help = text_of(vm_config_help), *rest = help, *line;

	while ((line = strsep(&rest, "\n")))
		if (strlen(line) > 97)
			fail_msg("%zu columns: %s", strlen(line), line);
	free(help);
}

/* Keys are optional, and a key may be, too. */
static void the_usage_of_a_filter(void **state)
{
	static const struct schema_key keys[] = {
		{.name = "a", .required = true, .arg = "A"}, {.name = "b", .arg = "B"}, {0}};
	static const struct {
		const char *usage;
		struct schema filter;
	} cases[] = {
		{"plain", {.name = "plain"}},
		{"both=A[:B]", {.name = "both", .keys = keys}},
		{"one[=B]", {.name = "one", .keys = &keys[1]}},
	};
	char usage[40];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		filter_usage(&cases[i].filter, usage, sizeof(usage));
		assert_string_equal(usage, cases[i].usage);
	}
}

/* Each key that can be set has its own row, with what a user must know of it. */
static void the_table_is_whole(void **state)
{
	char description[SCHEMA_DESCRIPTION_MAX];

	for (const struct schema_key *key = vm_keys; key->name; key++) {
		assert_true(key->help && key->type && key->size);
		assert_int_equal(!key->arg, key->type == &schema_flag);
		assert_ptr_equal(schema_find(vm_keys, key->name), key);
		key->type->describe(key, description);
		assert_true(description[0]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_table_is_whole),
		cmocka_unit_test(the_man_page_has_the_table),
		cmocka_unit_test(the_help_text_names_all),
		cmocka_unit_test(the_usage_of_a_filter),
		cmocka_unit_test(lines_fit_a_terminal),
	};

	if (argc > 1 && !strcmp(argv[1], "--man")) {
		vm_config_man(stdout);
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
