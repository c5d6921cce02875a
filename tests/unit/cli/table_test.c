/* SPDX-License-Identifier: MIT */
/* Tables and trees for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "cli/guest_tables.h"
#include "cli/list_tables.h"
#include "cli/table.h"

static char *text;

static void print(void (*fn)(FILE *out, json_t *json), const char *json)
{
	json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
	size_t size;
	FILE *out;

	assert_non_null(value);
	free(text);
	out = open_memstream(&text, &size);
	fn(out, value);
	fclose(out);
	json_decref(value);
}

static int teardown(void **state)
{
	free(text);
	text = NULL;
	return 0;
}

static void tree(FILE *out, json_t *json)
{
	tree_print(out, json);
}

static void a_tree_names_everything(void **state)
{
	print(tree,
		"{\"a\": 1, \"list\": [{\"b\": true}, [2], \"x\"], \"none\": [], \"z\": \"end\"}");
	assert_string_equal(text, "a      1\n"
				  "list   \n"
				  "|-0    \n"
				  "| `-b  true\n"
				  "|-1    \n"
				  "| `-0  2\n"
				  "`-2    x\n"
				  "none   \n"
				  "z      end\n");
}

static void a_value_is_a_line(void **state)
{
	print(tree, "7");
	assert_string_equal(text, "7\n");
	print(tree, "\"on\"");
	assert_string_equal(text, "on\n");
	print(tree, "false");
	assert_string_equal(text, "false\n");
}

/* Names are the guest's or another user's: nothing reaches the terminal as a control sequence. */
static void control_characters_are_escaped(void **state)
{
	print(tree, "{\"a\": \"x\\u001b[2Jy\\nz\"}");
	assert_null(strchr(text, 0x1b));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

/* Alone on a line, for scripts; what the guest said all the same. */
static void a_guests_text_has_no_control_characters(void **state)
{
	print(kvp_value_print, "{\"value\": \"a\\u001b[2J\\u0007b\\nc\\u009bd\\u007f\\u00e9\"}");
	assert_string_equal(text, "a?[2J?b?c?d?\xc3\xa9\n");
	print(kvp_pairs_print,
		"{\"pairs\": [{\"pool\": \"guest\", \"key\": \"k\\u001b[1m\", \"value\": \"v\\nw\"}]}");
	assert_null(strchr(text, 0x1b));
	assert_null(strstr(text, "v\nw"));
}

static void disks_and_controllers(void **state)
{
	print(disk_tables_print,
		"{\"disks\": [{\"id\": \"0:1\", \"source\": \"a file\", \"serial\": \"\", \"cdrom\": false, \"state\": \"opening\"}], \"controllers\": [{\"controller\": 2, \"state\": \"present\"}]}");
	assert_string_equal(text, "ID   state    size  read-only  DVD  serial  source\n"
				  "0:1  opening     -  -          no           a file\n"
				  "\n"
				  "controller  state\n"
				  "         2  present\n");
	print(disk_tables_print, "{\"disks\": [], \"controllers\": []}");
	assert_string_equal(text, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_tree_names_everything, teardown),
		cmocka_unit_test_teardown(a_value_is_a_line, teardown),
		cmocka_unit_test_teardown(control_characters_are_escaped, teardown),
		cmocka_unit_test_teardown(a_guests_text_has_no_control_characters, teardown),
		cmocka_unit_test_teardown(disks_and_controllers, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
