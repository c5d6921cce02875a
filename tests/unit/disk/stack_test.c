/* SPDX-License-Identifier: MIT */
/* Sources and filters that describe themselves, opened as a stack. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parse.h"
#include "disk/filter/filter.h"
#include "disk/filter/filters.h"
#include "disk/stack.h"

static struct err e;
static struct schema_value source, filters[DISK_FILTERS_MAX];
static uint32_t filter_count;

static const struct schema *find(const struct schema *const *schemas, const char *name)
{
	while (*schemas && strcmp((*schemas)->name, name))
		schemas++;
	assert_non_null(*schemas);
	return *schemas;
}

static void set(struct schema_value *value, const struct schema *schema, const char *text)
{
	assert_int_equal(schema_value_init(value, schema), 0);
	if (text && schema_set(&schema->keys[0], value->object, text, &e))
		fail_msg("%s", e.text);
}

static void begin(const char *name, const char *text)
{
	set(&source, find(disk_source_schemas, name), text);
}

static void filter(const char *name, const char *text)
{
	set(&filters[filter_count++], find(disk_filter_schemas, name), text);
}

static int open_stack(struct disk **disk)
{
	int ret = disk_stack_open(disk, &source, false, filters, filter_count, &e);

	schema_value_fini(&source);
	while (filter_count)
		schema_value_fini(&filters[--filter_count]);
	return ret;
}

/* What is not described could not be configured, documented or checked. */
static void check_schema(const struct schema *schema)
{
	char description[SCHEMA_DESCRIPTION_MAX];

	assert_true(schema->name && schema->help);
	assert_int_equal(schema->size > 0, schema_keys(schema)->name != NULL);
	for (const struct schema_key *key = schema_keys(schema); key->name; key++) {
		assert_true(key->help && key->type->parse && key->type->format);
		assert_true(key->must_be || key->type->describe);
		assert_true(key->offset < schema->size);
		if (!key->must_be)
			key->type->describe(key, description);
	}
}

static void everything_describes_itself(void **state)
{
	for (size_t i = 0; disk_source_schemas[i]; i++) {
		check_schema(disk_source_schemas[i]);
		assert_true(disk_source_schemas[i]->size); /* a source has its value */
	}
	for (size_t i = 0; disk_filter_schemas[i]; i++)
		check_schema(disk_filter_schemas[i]);
}

/* The key of a source that names it is its value. */
static void sources_are_named_like_their_first_key(void **state)
{
	for (size_t i = 0; disk_source_schemas[i]; i++)
		assert_string_equal(
			disk_source_schemas[i]->name, disk_source_schemas[i]->keys[0].name);
}

static void opens_the_whole_stack(void **state)
{
	static const char *const names[] = {"volatile", "log", "limit", "error", "delay", "memory"};
	char path[] = "/tmp/enlite-stack-XXXXXX";
	struct disk *disk;
	uint32_t depth = 0;

	close(mkstemp(path));
	begin("memory", "1M");
	filter("delay", "1us");
	filter("error", "1/9");
	filter("iops", "9");
	filter("log", path);
	filter("volatile", NULL);
	assert_int_equal(open_stack(&disk), 0);
	for (struct disk *d = disk; d; d = d->lower)
		assert_string_equal(d->ops->name, names[depth++]);
	assert_int_equal(depth, 6);
	assert_int_equal(disk->info.size, 1 << 20);
	disk_close(disk);
	unlink(path);
}

/* What was open already is closed: the leak checker says so. */
static void a_stack_that_cannot_be_opened_leaves_nothing(void **state)
{
	struct disk *disk;

	begin("memory", "1M");
	filter("delay", "1us");
	filter("log", "/nonexistent/x");
	filter("volatile", NULL);
	assert_int_equal(open_stack(&disk), -ENOENT);
	begin("file", "/nonexistent/disk");
	filter("delay", "1us");
	assert_int_equal(open_stack(&disk), -ENOENT);
	begin("nbd", "nbd+unix:///?socket=/nonexistent/sock");
	assert_true(open_stack(&disk) < 0);
	assert_non_null(strstr(e.text, "is the server running?"));
}

/* What a file is can be seen before it is opened. */
static void files_are_checked_without_opening_them(void **state)
{
	char path[] = "/tmp/enlite-stack-XXXXXX";
	int fd = mkstemp(path);

	begin("file", path);
	assert_int_equal(disk_file_source.check(source.object, false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "is empty"));
	assert_int_equal(ftruncate(fd, 1000), 0);
	assert_int_equal(disk_file_source.check(source.object, false, &e), -EINVAL);
	assert_non_null(strstr(e.text, "multiple of 512"));
	assert_int_equal(ftruncate(fd, 1024), 0);
	assert_int_equal(disk_file_source.check(source.object, false, &e), 0);
	close(fd);
	unlink(path);
	assert_int_equal(disk_file_source.check(source.object, false, &e), -ENOENT);
	schema_value_fini(&source);
	begin("file", "/tmp");
	assert_int_equal(disk_file_source.check(source.object, false, &e), -EISDIR);
	schema_value_fini(&source);
}

static void numbers(void **state)
{
	static const char *const bad[] = {"", "x", "-1", "+1", " 1", "1 ", "1KB", "K", "0x10",
		"1.5", "99999999999999999999", "1T", "17179869184G"};
	uint64_t v;

	assert_int_equal(parse_size("0", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(parse_size("17179869183g", &v), 0);
	assert_int_equal(v, 17179869183ull << 30);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse_size(bad[i], &v), -EINVAL);
	assert_int_equal(parse_number("5", 5, 6, &v), 0);
	assert_int_equal(parse_number("6", 5, 6, &v), 0);
	assert_int_equal(parse_number("4", 5, 6, &v), -EINVAL);
	assert_int_equal(parse_number("7", 5, 6, &v), -EINVAL);
	assert_int_equal(parse_number("5K", 5, 6, &v), -EINVAL);
}

static void plain_submit(struct disk_queue *queue, struct disk_req *req)
{
	filter_pass(queue, req);
}

/* No keys and no open(): the row is all there is. */
static void a_plain_filter_is_one_row(void **state)
{
	static const struct disk_filter_ops plain = {
		.schema = {.name = "plain", .help = "nothing"},
		.disk_size = sizeof(struct disk),
		.disk = {.name = "plain", FILTER_OPS, .submit = plain_submit},
	};
	struct disk *disk;

	check_schema(&plain.schema);
	begin("memory", "1M");
	set(&filters[filter_count++], &plain.schema, NULL);
	assert_int_equal(open_stack(&disk), 0);
	assert_string_equal(disk->ops->name, "plain");
	assert_int_equal(disk_size(disk), 1 << 20);
	disk_close(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_describes_itself),
		cmocka_unit_test(sources_are_named_like_their_first_key),
		cmocka_unit_test(opens_the_whole_stack),
		cmocka_unit_test(a_stack_that_cannot_be_opened_leaves_nothing),
		cmocka_unit_test(files_are_checked_without_opening_them),
		cmocka_unit_test(numbers),
		cmocka_unit_test(a_plain_filter_is_one_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
