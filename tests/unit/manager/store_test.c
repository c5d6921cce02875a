/* SPDX-License-Identifier: MIT */
/* Files that survive: a crash and an error at each system call of a write; files that are not ours.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mgmt/manager/store.h"
#include "tests/support/replace_calls.h"

#define NAME "a.json"

/* Of a write; after that nothing can fail. */
#define ORDER "oolwflrd"

static char path[64];
static struct store s;
static struct err e;

/* ---- helpers ------------------------------------------------------------- */

static void put(const char *name, int value)
{
	json_t *json = json_pack("{s:i}", "value", value);

	assert_int_equal(store_write(&s, name, json, &e), 0);
	json_decref(json);
}

/* From call number `at` on nothing reaches the disk; or it is one error. */
static void arm(unsigned at, bool is_crash)
{
	replace_calls_fail(at, is_crash);
	s.calls = &replace_calls;
}

/* The next manager. */
static void restart(void)
{
	s.calls = &file_replace_calls;
	store_clean(&s);
}

static int try_put(const char *name, int value)
{
	json_t *json = json_pack("{s:i}", "value", value);
	int ret = store_write(&s, name, json, &e);

	json_decref(json);
	return ret;
}

static int get(const char *name)
{
	json_t *json;
	int value, ret = store_read(&s, name, &json, &e);

	if (ret)
		return ret;
	value = (int)json_integer_value(json_object_get(json, "value"));
	json_decref(json);
	return value;
}

static unsigned count;

static void count_one(void *ctx, const char *name)
{
	count++;
}

static unsigned files(void)
{
	count = 0;
	assert_int_equal(store_each(&s, ".json", count_one, NULL), 0);
	return count;
}

static void raw_file(const char *name, const char *text, mode_t mode)
{
	int fd = openat(s.dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static int setup(void **state)
{
	snprintf(path, sizeof(path), "/tmp/enlite-store.XXXXXX");
	return !mkdtemp(path) || store_open(&s, path, &e);
}

static int teardown(void **state)
{
	char command[128];

	store_close(&s);
	snprintf(command, sizeof(command), "rm -rf %s", path);
	return system(command);
}

/* ---- tests --------------------------------------------------------------- */

/* A file is flushed before it has its name, and its name before the call returns. */
static void the_order_of_a_write(void **state)
{
	arm(0, false);
	assert_int_equal(try_put(NAME, 1), 0);
	assert_string_equal(replace_calls_seen.order, ORDER "c");
}

static void a_crash_at_each_call(void **state)
{
	for (unsigned at = 1; at <= strlen(ORDER); at++) {
		put(NAME, 1);
		put("other.json", 7);
		arm(at, true);
		assert_true(try_put(NAME, 2) < 0);
		restart();
		assert_int_equal(files(), 2);
		assert_int_equal(get(NAME), at == strlen(ORDER) ? 2 : 1);
		assert_int_equal(get("other.json"), 7);
		assert_int_equal(try_put(NAME, 3), 0);
		assert_int_equal(get(NAME), 3);
	}
}

static void an_error_at_each_call(void **state)
{
	for (unsigned at = 1; at <= strlen(ORDER); at++) {
		put(NAME, 1);
		arm(at, false);
		assert_int_equal(try_put(NAME, 2), -EIO);
		s.calls = &file_replace_calls;
		assert_int_equal(get(NAME), at == strlen(ORDER) ? 2 : 1);
		assert_int_equal(faccessat(s.dir, NAME FILE_REPLACE_SUFFIX, F_OK, 0), -1);
	}
}

/* Also the first write of a file: there is none, or a whole one. */
static void a_crash_of_the_first_write(void **state)
{
	for (unsigned at = 1; at <= strlen(ORDER); at++) {
		assert_int_equal(store_remove(&s, NAME, &e), 0);
		arm(at, true);
		assert_true(try_put(NAME, 2) < 0);
		restart();
		assert_int_equal(files(), at == strlen(ORDER) ? 1 : 0);
		assert_int_equal(get(NAME), at == strlen(ORDER) ? 2 : -ENOENT);
		assert_int_equal(faccessat(s.dir, NAME FILE_REPLACE_SUFFIX, F_OK, 0), -1);
	}
}

static void a_removal_that_fails(void **state)
{
	put(NAME, 1);
	arm(1, false);
	assert_int_equal(store_remove(&s, NAME, &e), -EIO);
	s.calls = &file_replace_calls;
	assert_int_equal(get(NAME), 1);
	assert_int_equal(store_remove(&s, NAME, &e), 0);
	assert_int_equal(store_remove(&s, NAME, &e), 0);
}

static void torn_files_say_so(void **state)
{
	static const char *const torn[] = {
		"", "{", "{\"value\": 1", "[]", "{\"a\":1,\"a\":2}", "\xff"};

	for (size_t i = 0; i < sizeof(torn) / sizeof(torn[0]); i++) {
		raw_file(NAME, torn[i], 0600);
		assert_int_equal(get(NAME), -EBADMSG);
		assert_non_null(strstr(e.text, NAME));
	}
}

static void foreign_files_are_refused(void **state)
{
	raw_file("real.json", "{\"value\": 1}", 0600);
	assert_int_equal(symlinkat("real.json", s.dir, "link.json"), 0);
	assert_int_equal(get("link.json"), -ELOOP);
	assert_int_equal(linkat(s.dir, "real.json", s.dir, "hard.json", 0), 0);
	assert_int_equal(get("hard.json"), -EPERM);
	raw_file("shared.json", "{\"value\": 1}", 0666);
	assert_int_equal(get("shared.json"), -EPERM);
	assert_int_equal(mkfifoat(s.dir, "fifo.json", 0600), 0);
	assert_int_equal(get("fifo.json"), -EPERM);
	assert_int_equal(mkdirat(s.dir, "dir.json", 0700), 0);
	assert_int_equal(get("dir.json"), -EPERM);
}

static void a_directory_of_others_is_refused(void **state)
{
	struct store other;

	fchmod(s.dir, 0777);
	assert_int_equal(store_open(&other, path, &e), -EPERM);
	fchmod(s.dir, 0700);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_order_of_a_write, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_at_each_call, setup, teardown),
		cmocka_unit_test_setup_teardown(an_error_at_each_call, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_of_the_first_write, setup, teardown),
		cmocka_unit_test_setup_teardown(a_removal_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(torn_files_say_so, setup, teardown),
		cmocka_unit_test_setup_teardown(foreign_files_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(a_directory_of_others_is_refused, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
