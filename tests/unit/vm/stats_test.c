/* SPDX-License-Identifier: MIT */
/* The stable keys: what is taken from an inspection, and that the man page has them all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/man_page.h"
#include "vm/stats.h"

static void views(const char *inspection, const char *expected)
{
	json_t *json = json_loads(inspection, 0, NULL), *view;
	char *text;

	assert_non_null(json);
	view = stats_view(json, stats_keys);
	json_decref(json);
	text = json_dumps(view, JSON_COMPACT);
	assert_string_equal(text, expected);
	free(text);
	json_decref(view);
}

static void only_stable_keys(void **state)
{
	views("{}", "{}");
	views("{\"boots\": 3, \"hv\": {\"features\": 1}, \"console\": {}}", "{\"boots\":3}");
	views("{\"bus\": {\"version\": \"5.3\", \"gpadl_count\": 7, \"messages\": 1}}",
		"{\"bus\":{\"version\":\"5.3\",\"messages\":1}}");
	views("{\"devices\": []}", "{\"devices\":[]}");
	views("{\"devices\": [{\"luns\": [{\"lun\": 5, \"disk\": {}, \"latency\": {\"any\": 1}}], \"offered\": true, \"id\": \"scsi0\"}, {\"id\": \"net0\", \"channels\": []}]}",
		"{\"devices\":[{\"id\":\"scsi0\",\"luns\":[{\"lun\":5,\"latency\":{\"any\":1}}]},{\"id\":\"net0\",\"channels\":[]}]}");
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static bool has_word(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = strstr(text, word); at; at = strstr(at + 1, word))
		if (!is_word(at[-1]) && !is_word(at[len]))
			return true;
	return false;
}

static void look_up(const char *section, const struct stats_key *keys)
{
	for (const struct stats_key *k = keys; k->key; k++) {
		if (!has_word(section, k->key))
			fail_msg(MAN_PAGE ", STATISTICS: no key %s", k->key);
		if (k->keys)
			look_up(section, k->keys);
	}
}

static void man_page_has_the_keys(void **state)
{
	char *section = man_section("STATISTICS");

	look_up(section, stats_keys);
	free(section);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_stable_keys),
		cmocka_unit_test(man_page_has_the_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
