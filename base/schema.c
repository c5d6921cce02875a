/* SPDX-License-Identifier: MIT */
#include "base/schema.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"

#define NUMBER_MAX 32u /* characters of a formatted number */
#define SHOWN_MAX  60  /* of a wrong value in an error */

static int format_text(char **text, const char *value)
{
	*text = strdup(value);
	return *text ? 0 : -ENOMEM;
}

/* Fields are as wide as their owner's struct has them. */
static void number_store(const struct schema_key *key, void *field, uint64_t number)
{
	assert(key->size == sizeof(uint32_t) || key->size == sizeof(uint64_t));
	if (key->size == sizeof(uint32_t))
		*(uint32_t *)field = (uint32_t)number;
	else
		*(uint64_t *)field = number;
}

static uint64_t number_load(const struct schema_key *key, const void *field)
{
	if (key->size == sizeof(uint32_t))
		return *(const uint32_t *)field;
	return *(const uint64_t *)field;
}

static int choice_index(const struct schema_key *key, const char *text)
{
	for (int i = 0; key->choices[i]; i++)
		if (!strcmp(key->choices[i], text))
			return i;
	return -EINVAL;
}

/* "a", "a or b", "a, b or c" */
static void join_choices(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	size_t used = 0;

	for (int i = 0; key->choices[i]; i++) {
		const char *before = i == 0 ? "" : key->choices[i + 1] ? ", " : " or ";
		int len = snprintf(text + used, SCHEMA_DESCRIPTION_MAX - used, "%s%s", before,
			key->choices[i]);

		used += (size_t)len;
		assert(used < SCHEMA_DESCRIPTION_MAX);
	}
}

/* ---- flag ---------------------------------------------------------------- */

static int flag_parse(const struct schema_key *key, const char *text, void *field)
{
	if (strcmp(text, "true") && strcmp(text, "false"))
		return -EINVAL;
	*(bool *)field = !strcmp(text, "true");
	return 0;
}

static int flag_format(const struct schema_key *key, const void *field, char **text)
{
	return format_text(text, *(const bool *)field ? "true" : "false");
}

static void flag_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "true or false");
}

const struct schema_type schema_flag = {
	.json = SCHEMA_JSON_BOOL,
	.parse = flag_parse,
	.format = flag_format,
	.describe = flag_describe,
};

/* ---- numbers ------------------------------------------------------------- */

static int number_parse(const struct schema_key *key, const char *text, void *field)
{
	uint64_t number;

	if (parse_number(text, key->min, key->max, &number))
		return -EINVAL;
	number_store(key, field, number);
	return 0;
}

static int number_format(const struct schema_key *key, const void *field, char **text)
{
	uint64_t number = number_load(key, field);
	char digits[NUMBER_MAX];

	*text = NULL;
	if (number < key->min || number > key->max)
		return 0;
	snprintf(digits, sizeof(digits), "%" PRIu64, number);
	return format_text(text, digits);
}

static void number_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "a number from %" PRIu64 " to %" PRIu64, key->min,
		key->max);
}

const struct schema_type schema_number = {
	.json = SCHEMA_JSON_INTEGER,
	.parse = number_parse,
	.format = number_format,
	.describe = number_describe,
};

static int word_parse(const struct schema_key *key, const char *text, void *field)
{
	int choice = choice_index(key, text);
	uint64_t number;

	if (choice < 0 && parse_number(text, key->min, key->max, &number))
		return -EINVAL;
	*(int64_t *)field = choice < 0 ? (int64_t)number : choice - 1;
	return 0;
}

static int word_format(const struct schema_key *key, const void *field, char **text)
{
	int64_t number = *(const int64_t *)field;
	char digits[NUMBER_MAX];

	if (number < (int64_t)key->min)
		return format_text(text, key->choices[number + 1]);
	snprintf(digits, sizeof(digits), "%" PRId64, number);
	return format_text(text, digits);
}

static void word_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "%s%s%s or a number from %" PRIu64 " to %" PRIu64,
		key->choices[0], key->choices[1] ? ", " : "",
		key->choices[1] ? key->choices[1] : "", key->min, key->max);
}

const struct schema_type schema_number_or_word = {
	.json = SCHEMA_JSON_INTEGER | SCHEMA_JSON_STRING,
	.parse = word_parse,
	.format = word_format,
	.describe = word_describe,
};

/* ---- sizes --------------------------------------------------------------- */

static int size_parse(const struct schema_key *key, const char *text, void *field)
{
	uint64_t size;

	if (parse_size(text, &size) || size < key->min || size > key->max || size % key->step)
		return -EINVAL;
	number_store(key, field, size);
	return 0;
}

static int size_format(const struct schema_key *key, const void *field, char **text)
{
	uint64_t size = number_load(key, field);
	char digits[SIZE_TEXT_MAX];

	*text = NULL;
	if (size < key->min || size > key->max)
		return 0;
	format_size(digits, size);
	return format_text(text, digits);
}

static void size_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	char min[SIZE_TEXT_MAX], max[SIZE_TEXT_MAX], step[SIZE_TEXT_MAX];

	format_size(min, key->min);
	format_size(max, key->max);
	format_size(step, key->step);
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "a size such as 512M, from %s to %s%s%s", min, max,
		key->step > 1 ? ", a multiple of " : "", key->step > 1 ? step : "");
}

const struct schema_type schema_size = {
	.json = SCHEMA_JSON_INTEGER | SCHEMA_JSON_STRING,
	.parse = size_parse,
	.format = size_format,
	.describe = size_describe,
};

/* ---- texts --------------------------------------------------------------- */

static int text_store(void *field, const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*(char **)field);
	*(char **)field = copy;
	return 0;
}

static int text_parse(const struct schema_key *key, const char *text, void *field)
{
	size_t length = strlen(text);

	if (length < key->min || length > key->max || (key->valid && !key->valid(text)))
		return -EINVAL;
	return text_store(field, text);
}

static int text_format(const struct schema_key *key, const void *field, char **text)
{
	const char *value = *(char *const *)field;

	*text = NULL;
	return value ? format_text(text, value) : 0;
}

static void text_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "a text of %" PRIu64 " to %" PRIu64 " bytes",
		key->min, key->max);
}

static void text_release(void *field)
{
	free(*(char **)field);
	*(char **)field = NULL;
}

const struct schema_type schema_text = {
	.json = SCHEMA_JSON_STRING,
	.parse = text_parse,
	.format = text_format,
	.describe = text_describe,
	.release = text_release,
};

static int file_parse(const struct schema_key *key, const char *text, void *field)
{
	if (!*text || (key->max && strlen(text) > key->max))
		return -EINVAL;
	return text_store(field, text);
}

static void file_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	snprintf(text, SCHEMA_DESCRIPTION_MAX, "the name of a file");
}

const struct schema_type schema_file = {
	.json = SCHEMA_JSON_STRING,
	.parse = file_parse,
	.format = text_format,
	.describe = file_describe,
	.release = text_release,
};

/* ---- choices ------------------------------------------------------------- */

static int choice_parse(const struct schema_key *key, const char *text, void *field)
{
	int choice = choice_index(key, text);

	if (choice < 0)
		return -EINVAL;
	*(int *)field = choice;
	return 0;
}

static int choice_format(const struct schema_key *key, const void *field, char **text)
{
	return format_text(text, key->choices[*(const int *)field]);
}

const struct schema_type schema_choice = {
	.json = SCHEMA_JSON_STRING,
	.parse = choice_parse,
	.format = choice_format,
	.describe = join_choices,
};

/* ---- sets of words ------------------------------------------------------- */

static uint32_t word_count(const struct schema_key *key)
{
	uint32_t count = 0;

	while (key->choices[count])
		count++;
	return count;
}

static uint32_t all_words(const struct schema_key *key)
{
	return (uint32_t)((1ull << word_count(key)) - 1);
}

/* Adds the bit of the word of this length. -EINVAL: there is no such word. */
static int add_word(const struct schema_key *key, const char *text, size_t len, uint32_t *bits)
{
	for (uint32_t i = 0; key->choices[i]; i++) {
		if (strlen(key->choices[i]) != len || strncmp(key->choices[i], text, len))
			continue;
		*bits |= 1u << i;
		return 0;
	}
	return -EINVAL;
}

static int words_parse(const struct schema_key *key, const char *text, void *field)
{
	uint32_t bits = 0;
	int ret = 0;

	if (!strcmp(text, "all"))
		bits = all_words(key);
	else if (strcmp(text, "none"))
		for (const char *end; !ret; text = end + 1) {
			end = strchrnul(text, ',');
			ret = add_word(key, text, (size_t)(end - text), &bits);
			if (!*end)
				break;
		}
	if (!ret)
		*(uint32_t *)field = bits;
	return ret;
}

static int words_format(const struct schema_key *key, const void *field, char **text)
{
	uint32_t bits = *(const uint32_t *)field;
	char words[SCHEMA_DESCRIPTION_MAX] = "";
	size_t used = 0;

	if (!bits || bits == all_words(key))
		return format_text(text, bits ? "all" : "none");
	for (uint32_t i = 0; key->choices[i] && used < sizeof(words); i++)
		if (bits >> i & 1)
			used += (size_t)snprintf(words + used, sizeof(words) - used, "%s%s",
				used ? "," : "", key->choices[i]);
	return format_text(text, words);
}

static void words_describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	size_t used = (size_t)snprintf(
		text, SCHEMA_DESCRIPTION_MAX, "all, none or a list with commas of");

	for (uint32_t i = 0; key->choices[i] && used < SCHEMA_DESCRIPTION_MAX; i++)
		used += (size_t)snprintf(text + used, SCHEMA_DESCRIPTION_MAX - used, "%s %s",
			i ? "," : "", key->choices[i]);
}

const struct schema_type schema_words = {
	.json = SCHEMA_JSON_STRING,
	.parse = words_parse,
	.format = words_format,
	.describe = words_describe,
};

/* ---- fields -------------------------------------------------------------- */

static void describe(const struct schema_key *key, char text[SCHEMA_DESCRIPTION_MAX])
{
	if (key->must_be)
		snprintf(text, SCHEMA_DESCRIPTION_MAX, "%s", key->must_be);
	else
		key->type->describe(key, text);
}

int schema_refuse(const struct schema_key *key, const char *found, struct err *e)
{
	char must_be[SCHEMA_DESCRIPTION_MAX];

	describe(key, must_be);
	return err_set(e, -EINVAL, "must be %s, not %s", must_be, found);
}

int schema_set(const struct schema_key *key, void *object, const char *text, struct err *e)
{
	char found[SHOWN_MAX + 8];
	int ret = key->type->parse(key, text, schema_field(key, object));

	if (ret == -EINVAL) {
		snprintf(found, sizeof(found), "'%.*s%s'", SHOWN_MAX, text,
			strlen(text) > SHOWN_MAX ? "..." : "");
		return schema_refuse(key, found, e);
	}
	return ret ? err_set(e, ret, "out of memory") : 0;
}

int schema_get(const struct schema_key *key, const void *object, char **text)
{
	return key->type->format(key, schema_field_const(key, object), text);
}

int schema_init(const struct schema_key *keys, void *object)
{
	for (const struct schema_key *key = keys; key->name; key++) {
		int ret = 0;

		if (key->preset)
			ret = key->type->parse(key, key->preset, schema_field(key, object));
		assert(ret != -EINVAL); /* a default follows its own rules */
		if (ret)
			return ret;
	}
	return 0;
}

void schema_fini(const struct schema_key *keys, void *object)
{
	for (const struct schema_key *key = keys; key->name; key++)
		if (key->type->release)
			key->type->release(schema_field(key, object));
}

static int copy_field(const struct schema_key *key, void *to, const void *from)
{
	char *text;
	int ret = schema_get(key, from, &text);

	if (!ret && text)
		ret = key->type->parse(key, text, schema_field(key, to));
	free(text);
	assert(ret != -EINVAL); /* what was formatted can be parsed */
	return ret;
}

int schema_copy(const struct schema_key *keys, void *to, const void *from)
{
	for (const struct schema_key *key = keys; key->name; key++) {
		int ret = copy_field(key, to, from);

		if (ret) {
			schema_fini(keys, to);
			return ret;
		}
	}
	return 0;
}

const struct schema_key *schema_find(const struct schema_key *keys, const char *name)
{
	for (const struct schema_key *key = keys; key->name; key++)
		if (!strcmp(key->name, name))
			return key;
	return NULL;
}

static bool same_option(const char *name, const char *option)
{
	for (; *name; name++, option++)
		if (*option != (*name == '_' ? '-' : *name))
			return false;
	return !*option;
}

const struct schema_key *schema_find_option(const struct schema_key *keys, const char *name)
{
	for (const struct schema_key *key = keys; key->name; key++)
		if (same_option(key->name, name) || (key->option && !strcmp(key->option, name)))
			return key;
	return NULL;
}

const struct schema_key *schema_keys(const struct schema *schema)
{
	static const struct schema_key none[] = {{0}};

	return schema->keys ? schema->keys : none;
}

static bool is_set(const struct schema_key *key, const void *object)
{
	char *text;
	bool set = !schema_get(key, object, &text) && text;

	if (set)
		free(text);
	return set;
}

const struct schema_key *schema_missing(const struct schema_key *keys, const void *object)
{
	for (const struct schema_key *key = keys; key->name; key++)
		if (key->required && !is_set(key, object))
			return key;
	return NULL;
}

/* ---- a value with its schema --------------------------------------------- */

static void *new_object(const struct schema *schema)
{
	return calloc(1, schema->size ? schema->size : 1);
}

int schema_value_init(struct schema_value *value, const struct schema *schema)
{
	void *object = new_object(schema);
	int ret;

	if (!object)
		return -ENOMEM;
	ret = schema_init(schema_keys(schema), object);
	*value = (struct schema_value){.schema = schema, .object = object};
	if (ret)
		schema_value_fini(value);
	return ret;
}

void schema_value_fini(struct schema_value *value)
{
	if (value->schema)
		schema_fini(schema_keys(value->schema), value->object);
	free(value->object);
	*value = (struct schema_value){0};
}

int schema_value_copy(struct schema_value *to, const struct schema_value *from)
{
	void *object;

	*to = (struct schema_value){0};
	if (!from->schema)
		return 0;
	object = new_object(from->schema);
	if (!object)
		return -ENOMEM;
	if (schema_copy(schema_keys(from->schema), object, from->object)) {
		free(object);
		return -ENOMEM;
	}
	*to = (struct schema_value){.schema = from->schema, .object = object};
	return 0;
}
