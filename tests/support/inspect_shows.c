/* SPDX-License-Identifier: MIT */
#include "tests/support/inspect_shows.h"

#include <stdbool.h>
#include <string.h>

#include "mgmt/inspect_json.h"
#include "tests/support/check.h"

void inspect_shows(json_t *root, const char *path, const char *value)
{
	struct err e = {""};
	json_t *node = inspect_json_at(root, path, &e);
	char *text = node ? json_dumps(node, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	bool equal = text && !strcmp(text, value);

	if (!equal)
		fprintf(stderr, "%s is %s, not %s\n", path, text ? text : e.text, value);
	check(equal);
	free(text);
	json_decref(root);
}
