/* SPDX-License-Identifier: MIT */
#include "mgmt/inspect_json.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/list.h"
#include "base/parse.h"

#define NAME_MAX_BYTES 64u

/* ---- writing ------------------------------------------------------------- */

static struct inspect_json *writer(struct inspect *i)
{
	return container_of(i, struct inspect_json, inspect);
}

static void add(struct inspect_json *w, const char *key, json_t *value)
{
	json_t *parent = w->node[w->depth - 1];
	int ret;

	if (json_is_array(parent))
		ret = json_array_append_new(parent, value);
	else
		ret = json_object_set_new(parent, key, value);
	w->failed |= ret != 0;
}

/* A node that cannot be made is replaced by a lost one, so that begin and end still match. */
static void push(struct inspect_json *w, const char *key, json_t *node)
{
	assert(w->depth < INSPECT_JSON_DEPTH);
	add(w, key, json_incref(node));
	w->node[w->depth++] = node;
}

static void json_begin(struct inspect *i, const char *key)
{
	push(writer(i), key, json_object());
}

static void json_begin_array(struct inspect *i, const char *key)
{
	push(writer(i), key, json_array());
}

static void json_end(struct inspect *i)
{
	struct inspect_json *w = writer(i);

	assert(w->depth > 1);
	json_decref(w->node[--w->depth]);
}

static void json_u64(struct inspect *i, const char *key, uint64_t value)
{
	add(writer(i), key, json_integer((json_int_t)value));
}

/* File names need not be UTF-8. */
static void json_text(struct inspect *i, const char *key, const char *text)
{
	json_t *value = json_string(text);

	add(writer(i), key, value ? value : json_string("(not UTF-8)"));
}

static void json_bool(struct inspect *i, const char *key, bool value)
{
	add(writer(i), key, json_boolean(value));
}

static const struct inspect_ops json_ops = {
	.begin = json_begin,
	.begin_array = json_begin_array,
	.end = json_end,
	.u64 = json_u64,
	.text = json_text,
	.boolean = json_bool,
};

void inspect_json_init(struct inspect_json *w)
{
	*w = (struct inspect_json){.inspect.ops = &json_ops, .depth = 1};
	w->node[0] = json_object();
}

json_t *inspect_json_finish(struct inspect_json *w)
{
	assert(w->depth == 1);
	if (!w->failed)
		return w->node[0];
	json_decref(w->node[0]);
	return NULL;
}

/* ---- paths --------------------------------------------------------------- */

static json_t *child(json_t *node, const char *name)
{
	uint64_t index;

	if (!json_is_array(node))
		return json_object_get(node, name);
	if (!json_array_size(node) || parse_number(name, 0, json_array_size(node) - 1, &index))
		return NULL;
	return json_array_get(node, index);
}

static void list_children(json_t *node, char *text, size_t size)
{
	size_t used = 0;

	if (json_is_array(node) && json_array_size(node))
		snprintf(text, size, "0 to %zu", json_array_size(node) - 1);
	else
		snprintf(text, size, "none");
	for (void *at = json_object_iter(node); at && used < size;
		at = json_object_iter_next(node, at))
		used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
			json_object_iter_key(at));
}

static void unknown_child(
	json_t *node, const char *name, int parent_len, const char *parent, struct err *e)
{
	char children[sizeof(e->text) / 2];

	list_children(node, children, sizeof(children));
	err_set(e, -ENOENT, "inspect: unknown part '%s'%s%.*s; known are: %s", name,
		parent_len ? " of " : "", parent_len, parent, children);
}

json_t *inspect_json_at(json_t *root, const char *path, struct err *e)
{
	const char *at = path + strspn(path, "/");
	char name[NAME_MAX_BYTES];
	json_t *node = root;

	while (*at) {
		size_t len = strcspn(at, "/");
		json_t *next;

		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		next = child(node, name);
		if (!next) {
			unknown_child(node, name, (int)(at - path), path, e);
			return NULL;
		}
		node = next;
		at += len;
		at += strspn(at, "/");
	}
	return node;
}
