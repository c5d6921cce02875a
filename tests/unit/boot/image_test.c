/* SPDX-License-Identifier: MIT */
/* Reading image files, and bounded reads from them. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "images.h"

static char dir[] = "/tmp/enlite-image-XXXXXX";
static char path[64];
static struct boot_image image;
static struct err e;

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/file", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(path);
	return rmdir(dir);
}

static void write_file(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

static int read_image(const char *name, uint64_t max)
{
	int fd = boot_image_open(name, &e), ret;

	if (fd < 0)
		return fd;
	image = (struct boot_image){0};
	ret = boot_image_read(&image, fd, name, max, &e);
	close(fd);
	return ret;
}

static void reads_the_whole_file(void **state)
{
	write_file("abcdef", 6);
	assert_int_equal(read_image(path, 6), 0);
	assert_int_equal(image.size, 6);
	assert_memory_equal(image.data, "abcdef", 6);
	assert_ptr_equal(image.path, path);
	boot_image_free(&image);
	assert_null(image.data);
	assert_int_equal(image.size, 0);
	boot_image_free(&image); /* twice is harmless */
}

static void larger_than_allowed_is_refused(void **state)
{
	write_file("abcdef", 6);
	assert_int_equal(read_image(path, 5), -EFBIG);
	assert_non_null(strstr(e.text, path));
	assert_null(image.data);
}

static void what_is_no_file_is_refused(void **state)
{
	assert_int_equal(read_image("/nonexistent/kernel", 100), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/kernel"));
	assert_int_equal(read_image(dir, 100), -EINVAL);
	assert_non_null(strstr(e.text, "regular"));
	write_file("", 0);
	assert_int_equal(read_image(path, 100), -EINVAL);
	assert_non_null(strstr(e.text, "empty"));
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(read_image(path, 100), -EINVAL); /* and does not hang */
	unlink(path);
}

static void get_stays_inside(void **state)
{
	uint8_t bytes[] = {1, 2, 3, 4}, to[4] = {0};
	struct boot_image four = {.data = bytes, .size = 4};

	assert_int_equal(boot_image_get(&four, 0, to, 4), 0);
	assert_memory_equal(to, bytes, 4);
	assert_int_equal(boot_image_get(&four, 4, to, 0), 0);
	assert_int_equal(boot_image_get(&four, 1, to, 4), -ENODATA);
	assert_int_equal(boot_image_get(&four, 5, to, 0), -ENODATA);
	assert_int_equal(boot_image_get(&four, UINT64_MAX, to, 2), -ENODATA);
	assert_int_equal(boot_image_get(&four, 2, to, UINT64_MAX), -ENODATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_whole_file),
		cmocka_unit_test(larger_than_allowed_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(get_stays_inside),
	};

	return cmocka_run_group_tests_name("boot/image", tests, setup, teardown);
}
