/* SPDX-License-Identifier: MIT */
/* Files that are replaced as a whole: what is there at each moment, and after each failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/file_replace.h"
#include "tests/support/replace_calls.h"

#define OLD "the old text"
#define NEW "a new text, which is longer"

static char directory[64], path[96], tmp_path[128];

static int setup(void **state)
{
	replace_calls_fail(0, false);
	snprintf(directory, sizeof(directory), "/tmp/file-replace-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/name", directory);
	snprintf(tmp_path, sizeof(tmp_path), "%s.tmp", path);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(directory); /* nothing else is left */
}

static void assert_text(const char *text)
{
	char buffer[64] = "";
	int fd = open(path, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, buffer, sizeof(buffer) - 1) >= 0);
	close(fd);
	assert_string_equal(buffer, text);
}

static void put(const char *text)
{
	bool named;

	assert_int_equal(
		file_replace(&file_replace_calls, path, text, strlen(text), 0600, &named), 0);
	assert_true(named);
	assert_text(text);
}

static int begin_at(struct file_replace *r, bool (*is_ours)(int fd))
{
	return file_replace_begin(r, &replace_calls, path, 0600, is_ours);
}

static void replaces(void **state)
{
	struct stat st;

	put(OLD);
	put(NEW);
	put("");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void begin(struct file_replace *r)
{
	put(OLD);
	assert_int_equal(begin_at(r, NULL), 0);
	assert_int_equal(write(r->fd, NEW, strlen(NEW)), strlen(NEW));
	assert_text(OLD);
}

static void an_abort_leaves_the_old_one(void **state)
{
	struct file_replace r;

	begin(&r);
	file_replace_abort(&r);
	file_replace_abort(&r); /* does nothing any more */
	assert_text(OLD);
}

/* A file is flushed before it has its name, and its name before the call returns. */
static void the_order_of_the_calls(void **state)
{
	bool named;

	assert_int_equal(file_replace(&replace_calls, path, NEW, strlen(NEW), 0600, &named), 0);
	assert_string_equal(replace_calls_seen.order, "oolwflrdc");
}

/* The old file or the new one, *named says which, and nothing else. */
static void an_error_of_each_call(void **state)
{
	bool named;

	for (unsigned int at = 1; at <= strlen("oolwflrd"); at++) {
		put(OLD);
		replace_calls_fail(at, false);
		assert_int_equal(
			file_replace(&replace_calls, path, NEW, strlen(NEW), 0600, &named), -EIO);
		assert_int_equal(named, at == strlen("oolwflrd"));
		assert_text(named ? NEW : OLD);
		assert_int_equal(access(tmp_path, F_OK), -1);
	}
}

static void a_crash_at_each_call(void **state)
{
	bool named;

	for (unsigned int at = 1; at <= strlen("oolwflrd"); at++) {
		put(OLD);
		replace_calls_fail(at, true);
		assert_true(file_replace(&replace_calls, path, NEW, strlen(NEW), 0600, &named) < 0);
		assert_text(named ? NEW : OLD);
		put(OLD); /* whatever was left */
	}
}

static void two_writers_do_not_mix(void **state)
{
	struct file_replace r, other;

	begin(&r);
	assert_int_equal(begin_at(&other, NULL), -EBUSY);
	assert_int_equal(file_replace_commit(&r, NULL), 0);
	assert_text(NEW);
}

static struct file_replace second;
static int second_began;

static void begin_second(void)
{
	second_began = file_replace_begin(&second, &file_replace_calls, path, 0600, NULL);
	if (!second_began)
		assert_int_equal(write(second.fd, "second", 6), 6);
}

/* As killed writers leave it. */
static void leave_file(void)
{
	int fd = open(tmp_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "left", 4), 4);
	close(fd);
}

/* The second one begins after call number `at` of the first: one of them is refused. */
static void race(unsigned int at)
{
	struct file_replace first;
	int began;

	replace_calls_between(at, begin_second);
	second_began = -EAGAIN;
	began = begin_at(&first, NULL);
	replace_calls_fail(0, false);
	assert_int_not_equal(second_began, -EAGAIN);
	assert_true(!began != !second_began);
	if (began)
		assert_int_equal(began, -EBUSY);
	else
		assert_int_equal(write(first.fd, NEW, strlen(NEW)), strlen(NEW));
	file_replace_abort(began ? &first : &second); /* does nothing: it was refused */
	assert_int_equal(access(tmp_path, F_OK), 0);
	assert_int_equal(file_replace_commit(began ? &second : &first, NULL), 0);
	assert_text(began ? "second" : NEW);
	assert_int_equal(access(tmp_path, F_OK), -1);
}

static void two_writers_that_begin_at_once(void **state)
{
	put(OLD);
	for (unsigned int at = 1; at <= strlen("ool"); at++)
		race(at);
}

static void two_writers_that_find_a_file_left(void **state)
{
	put(OLD);
	for (unsigned int at = 1; at <= strlen("olucol"); at++) {
		leave_file();
		race(at);
	}
}

/* As the signals' thread does it while the writer hangs. */
static void the_end_of_the_process_leaves_the_old_one(void **state)
{
	struct file_replace r;

	begin(&r);
	file_replace_abandon_all();
	assert_int_equal(access(tmp_path, F_OK), -1);
	assert_int_equal(file_replace_commit(&r, NULL), -EBUSY);
	assert_text(OLD);
	put(NEW);
	file_replace_abandon_all();
	assert_text(NEW);
}

static void abandon(void)
{
	file_replace_abandon_all();
}

/* As soon as there is a file. */
static void the_end_of_the_process_while_it_begins(void **state)
{
	struct file_replace r;

	put(OLD);
	replace_calls_between(strlen("ool"), abandon);
	assert_int_equal(begin_at(&r, NULL), 0);
	replace_calls_fail(0, false);
	assert_int_equal(access(tmp_path, F_OK), -1);
	file_replace_abort(&r);
	assert_text(OLD);
}

static void abandon_beside_another_writer(void)
{
	leave_file();
	file_replace_abandon_all();
	assert_int_equal(unlink(tmp_path), 0);
}

/* The name that it had before is another process's by now. */
static void the_end_of_the_process_after_the_rename(void **state)
{
	bool named;

	put(OLD);
	replace_calls_between(strlen("oolwflrd"), abandon_beside_another_writer);
	assert_int_equal(file_replace(&replace_calls, path, NEW, strlen(NEW), 0600, &named), 0);
	replace_calls_fail(0, false);
	assert_text(NEW);
}

/* The writer was killed. */
static void what_a_writer_left_is_replaced(void **state)
{
	struct file_replace r;

	if (!fork()) {
		_exit(begin_at(&r, NULL));
	}
	wait(NULL);
	assert_int_equal(access(tmp_path, F_OK), 0);
	put(NEW);
}

/* Neither what the link names nor what has a second name is written to. */
static void links_are_replaced_not_followed(void **state)
{
	char other[128];

	put(OLD);
	snprintf(other, sizeof(other), "%s/other", directory);
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, tmp_path), 0);
	put(NEW);
	assert_int_equal(link(other, tmp_path), 0);
	put("once more");
	unlink(path);
	assert_int_equal(rename(other, path), 0);
	assert_text(OLD);
}

static bool is_new(int fd)
{
	char c;

	return pread(fd, &c, 1, 0) == 1 && c == NEW[0];
}

static void others_files_are_kept(void **state)
{
	struct file_replace r;

	put(OLD);
	assert_int_equal(begin_at(&r, is_new), -EEXIST);
	assert_int_equal(rename(path, tmp_path), 0);
	assert_int_equal(begin_at(&r, is_new), -EEXIST);
	assert_int_equal(rename(tmp_path, path), 0);
	assert_text(OLD);
	put(NEW);
	assert_int_equal(begin_at(&r, is_new), 0);
	file_replace_abort(&r);
	assert_text(NEW);
}

static void a_missing_directory_is_an_error(void **state)
{
	bool named = true;

	assert_int_equal(
		file_replace(&file_replace_calls, "/nowhere/name", OLD, strlen(OLD), 0600, &named),
		-ENOENT);
	assert_false(named);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replaces),
		TEST(an_abort_leaves_the_old_one),
		TEST(the_order_of_the_calls),
		TEST(an_error_of_each_call),
		TEST(a_crash_at_each_call),
		TEST(two_writers_do_not_mix),
		TEST(two_writers_that_begin_at_once),
		TEST(two_writers_that_find_a_file_left),
		TEST(the_end_of_the_process_leaves_the_old_one),
		TEST(the_end_of_the_process_while_it_begins),
		TEST(the_end_of_the_process_after_the_rename),
		TEST(what_a_writer_left_is_replaced),
		TEST(links_are_replaced_not_followed),
		TEST(others_files_are_kept),
		TEST(a_missing_directory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
