/* SPDX-License-Identifier: MIT */
/* The JSON that inspection makes, and paths into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/inspect_json.h"

static struct err e;

static json_t *house(void)
{
	static const struct counts {
		uint64_t doors;
		_Atomic uint64_t windows;
	} counts = {.doors = 2, .windows = 7};
	static const struct inspect_field fields[] = {
		INSPECT_FIELD(counts, doors), INSPECT_FIELD(counts, windows), {NULL, 0}};
	struct inspect_json w;
	struct inspect *i = &w.inspect;

	inspect_json_init(&w);
	inspect_text(i, "name", "villa");
	inspect_text(i, "owner", "\xff\xfe");
	inspect_textf(i, "street", "%s %u", "Ring", 12);
	inspect_bool(i, "empty", false);
	inspect_begin(i, "counts");
	inspect_fields(i, &counts, fields);
	inspect_end(i);
	inspect_begin_array(i, "rooms");
	for (uint32_t n = 0; n < 3; n++) {
		inspect_begin(i, NULL);
		inspect_u64(i, "chairs", n);
		inspect_end(i);
	}
	inspect_begin_array(i, NULL);
	inspect_end(i);
	inspect_end(i);
	return inspect_json_finish(&w);
}

static void objects_arrays_and_values(void **state)
{
	json_t *root = house();
	char *text = json_dumps(root, JSON_COMPACT);

	assert_string_equal(text,
		"{\"name\":\"villa\",\"owner\":\"(not UTF-8)\",\"street\":\"Ring 12\",\"empty\":false,\"counts\":{\"doors\":2,\"windows\":7},\"rooms\":[{\"chairs\":0},{\"chairs\":1},{\"chairs\":2},[]]}");
	free(text);
	json_decref(root);
}

static void paths_lead_to_nodes(void **state)
{
	json_t *root = house();

	assert_ptr_equal(inspect_json_at(root, "", &e), root);
	assert_ptr_equal(inspect_json_at(root, "//", &e), root);
	assert_int_equal(json_integer_value(inspect_json_at(root, "counts/windows", &e)), 7);
	assert_int_equal(json_integer_value(inspect_json_at(root, "/rooms//2/chairs/", &e)), 2);
	assert_string_equal(json_string_value(inspect_json_at(root, "name", &e)), "villa");
	json_decref(root);
}

static void unknown_paths_list_what_is_there(void **state)
{
	static const struct {
		const char *path, *error;
	} wrong[] = {
		{"cellar",
			"inspect: unknown part 'cellar'; known are: name, owner, street, empty, counts, rooms"},
		{"counts/roofs",
			"inspect: unknown part 'roofs' of counts/; known are: doors, windows"},
		{"rooms/4", "inspect: unknown part '4' of rooms/; known are: 0 to 3"},
		{"rooms/x/y", "inspect: unknown part 'x' of rooms/; known are: 0 to 3"},
		{"rooms/-1", "inspect: unknown part '-1' of rooms/; known are: 0 to 3"},
		{"rooms/3/0", "inspect: unknown part '0' of rooms/3/; known are: none"},
		{"name/first", "inspect: unknown part 'first' of name/; known are: none"},
	};
	json_t *root = house();

	for (size_t n = 0; n < sizeof(wrong) / sizeof(wrong[0]); n++) {
		assert_null(inspect_json_at(root, wrong[n].path, &e));
		assert_string_equal(e.text, wrong[n].error);
	}
	json_decref(root);
}

static void long_names_are_cut(void **state)
{
	json_t *root = house();
	char path[2000];

	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	assert_null(inspect_json_at(root, path, &e));
	assert_non_null(strstr(e.text, "known are: name"));
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(objects_arrays_and_values),
		cmocka_unit_test(paths_lead_to_nodes),
		cmocka_unit_test(unknown_paths_list_what_is_there),
		cmocka_unit_test(long_names_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
