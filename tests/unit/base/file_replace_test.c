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
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file_lock.h"
#include "base/file_replace.h"

#define OLD "the old text"
#define NEW "a new text, which is longer"

static char directory[64], path[96], tmp_path[128];

/* In place of the C library's: makes the directory's fail, or all. */
static enum { WORKS, DIRECTORIES_FAIL, ALL_FAIL } syncing;

int fsync(int fd)
{
	struct stat st;

	if (syncing == ALL_FAIL ||
		(syncing == DIRECTORIES_FAIL && !fstat(fd, &st) && S_ISDIR(st.st_mode))) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fsync, fd);
}

static int setup(void **state)
{
	syncing = WORKS;
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
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
	assert_text(text);
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
	assert_int_equal(file_replace_begin(r, path, 0600, NULL), 0);
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

static void what_is_not_durable_gets_no_name(void **state)
{
	struct file_replace r;
	bool named = true;

	begin(&r);
	syncing = ALL_FAIL;
	assert_int_equal(file_replace_commit(&r, &named), -EIO);
	assert_false(named);
	assert_text(OLD);
}

static void a_name_that_is_not_durable_is_told(void **state)
{
	struct file_replace r;
	bool named = false;

	begin(&r);
	syncing = DIRECTORIES_FAIL;
	assert_int_equal(file_replace_commit(&r, &named), -EIO);
	assert_true(named);
	assert_text(NEW);
}

static void two_writers_do_not_mix(void **state)
{
	struct file_replace r, other;

	begin(&r);
	assert_int_equal(file_replace_begin(&other, path, 0600, NULL), -EBUSY);
	assert_int_equal(file_replace_commit(&r, NULL), 0);
	assert_text(NEW);
}

/* As the signals' thread does it while the writer hangs. */
static void the_end_of_the_process_leaves_the_old_one(void **state)
{
	struct file_replace r;

	begin(&r);
	file_replace_abandon_all();
	assert_int_equal(access(tmp_path, F_OK), -1);
	assert_int_equal(file_replace_commit(&r, NULL), -ENOENT);
	assert_text(OLD);
	put(NEW);
	file_replace_abandon_all();
	assert_text(NEW);
}

/* The writer was killed. */
static void what_a_writer_left_is_replaced(void **state)
{
	struct file_replace r;

	if (!fork()) {
		_exit(file_replace_begin(&r, path, 0600, NULL));
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
	assert_int_equal(file_replace_begin(&r, path, 0600, is_new), -EEXIST);
	assert_int_equal(rename(path, tmp_path), 0);
	assert_int_equal(file_replace_begin(&r, path, 0600, is_new), -EEXIST);
	assert_int_equal(rename(tmp_path, path), 0);
	assert_text(OLD);
	put(NEW);
	assert_int_equal(file_replace_begin(&r, path, 0600, is_new), 0);
	file_replace_abort(&r);
	assert_text(NEW);
}

static void a_missing_directory_is_an_error(void **state)
{
	assert_int_equal(file_replace("/nowhere/name", OLD, strlen(OLD), 0600), -ENOENT);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(replaces),
		TEST(an_abort_leaves_the_old_one),
		TEST(what_is_not_durable_gets_no_name),
		TEST(a_name_that_is_not_durable_is_told),
		TEST(two_writers_do_not_mix),
		TEST(the_end_of_the_process_leaves_the_old_one),
		TEST(what_a_writer_left_is_replaced),
		TEST(links_are_replaced_not_followed),
		TEST(others_files_are_kept),
		TEST(a_missing_directory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
