/* SPDX-License-Identifier: MIT */
/* Which images of a worker get their name: those whose configuration is the user's. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>

#include "base/file_replace.h"
#include "confine/grants.h"
#include "confine/vouch.h"
#include "save/image.h"

static struct vm_config started;
static char directory[64], path[96], tmp_path[128];

/* ---- another writer, while it is checked --------------------------------- */

static bool replace_at_lease, begin_at_lease;
static int began;

static void begin_another(void)
{
	struct file_replace r;
	char name[128];

	snprintf(name, sizeof(name), "%.*s", (int)(strlen(tmp_path) - strlen(FILE_REPLACE_SUFFIX)),
		tmp_path);
	began = file_replace_begin(&r, &file_replace_calls, name, 0600, NULL);
	if (!began)
		file_replace_abort(&r);
}

int fcntl(int fd, int command, ...)
{
	va_list list;
	long argument;

	va_start(list, command);
	argument = va_arg(list, long);
	va_end(list);
	if (command == F_SETLEASE && replace_at_lease) {
		unlink(tmp_path);
		close(open(tmp_path, O_WRONLY | O_CREAT | O_EXCL, 0600));
	} else if (command == F_SETLEASE && begin_at_lease) {
		begin_another();
	}
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

static int setup(void **state)
{
	char *argv[] = {"run", "--kernel", "vmlinuz", "--disk", "a.img", "--disk", "/img/b,ro",
		"--net", "user,forward=tcp:80-:80", "--console", "none", "--append", "root=x",
		NULL};
	struct err e;

	assert_int_equal(vm_config_init(&started, &e), 0);
	assert_int_equal(vm_config_args(&started, 13, argv, &e), 0);
	assert_int_equal(vm_config_complete(&started, &e), 0);
	started.directory = strdup("/home/user");
	snprintf(directory, sizeof(directory), "/tmp/vouch-test-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%s/vm", directory);
	snprintf(tmp_path, sizeof(tmp_path), "%s.other" FILE_REPLACE_SUFFIX, path);
	return 0;
}

static int teardown(void **state)
{
	vm_config_free(&started);
	unlink(path);
	return rmdir(directory);
}

/* An image with this configuration, under the name that is not yet the user's. */
static void write_image(const char *text)
{
	const struct image_section section = {"config", text, strlen(text)};
	struct image_content content = {.sections = &section, .section_count = 1};
	struct gmem g;
	struct err e;

	assert_int_equal(gmem_create(&g, 1 << 20, &e), 0);
	content.gmem = &g;
	unlink(path);
	assert_int_equal(image_write(tmp_path, &content, &e), 0);
	gmem_destroy(&g);
}

static int vouch(json_t *json)
{
	char *text = json_dumps(json, 0);

	write_image(text);
	free(text);
	return vouch_rename(tmp_path, path, &started);
}

static json_t *good(void)
{
	struct err e;
	json_t *json = vm_config_image_json(&started, &e);

	assert_non_null(json);
	return json;
}

static json_t *device(json_t *json, const char *list, size_t number)
{
	json_t *device = json_array_get(json_object_get(json, list), number);

	assert_non_null(device);
	return device;
}

static void assert_refused(json_t *json)
{
	assert_int_equal(vouch(json), -EPERM);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(tmp_path, F_OK), -1);
	json_decref(json);
}

static void the_users_configuration_is_good(void **state)
{
	json_t *json = good();

	assert_int_equal(vouch(json), 0);
	assert_int_equal(access(path, F_OK), 0);
	json_decref(json);
}

/* One that was removed while the VM ran. */
static void fewer_devices_are_good(void **state)
{
	json_t *json = good();

	json_array_remove(json_object_get(json, "disks"), 0);
	json_array_clear(json_object_get(json, "nics"));
	assert_int_equal(vouch(json), 0);
	json_decref(json);
}

static void what_was_added_is_good(void **state)
{
	json_t *request = json_pack(
		"{s:s, s:s, s:s}", "command", "disk add", "spec", "added", "directory", "/there");
	json_t *json = good();

	json_array_append_new(json_object_get(json, "disks"),
		json_pack("{s:s, s:i}", "file", "/there/added", "lun", 9));
	assert_int_equal(vouch(json), -EPERM);
	grants_add_request(request, 7);
	assert_int_equal(vouch(json), 0);
	grants_answered(7, true);
	assert_int_equal(vouch(json), -EPERM);
	json_decref(json);
	json_decref(request);
}

static void set(json_t *object, const char *key, const char *value)
{
	json_object_set_new(object, key, json_string(value));
}

static void other_keys_are_refused(void **state)
{
	static const char *const keys[][2] = {{"kernel", "/etc/shadow"}, {"initrd", "/etc/shadow"},
		{"console", "/etc/passwd"}, {"sandbox", "off"}, {"vsock", "/run/other"},
		{"name", "another"}, {"append", "init=/bin/sh"}, {"restore", "/img/other"},
		{"restore_disks", "trust"}, {"memory", "1G"}};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *json = good();

		set(json, keys[i][0], keys[i][1]);
		assert_refused(json);
	}
}

static void other_devices_are_refused(void **state)
{
	json_t *json = good();

	set(device(json, "disks", 0), "file", "/home/user/.ssh/id");
	assert_refused(json);
	json = good();
	set(device(json, "disks", 0), "file", "a.img"); /* of the user who restores it */
	assert_refused(json);
	json = good();
	json_object_set_new(device(json, "disks", 1), "read_only", json_false());
	assert_refused(json);
	json = good();
	json_object_set_new(device(json, "disks", 0), "filters",
		json_pack("[{s:s, s:s}]", "filter", "log", "file", "/home/user/.profile"));
	assert_refused(json);
	json = good();
	set(device(json, "nics", 0), "program", "/tmp/mine");
	assert_refused(json);
	json = good();
	set(device(json, "nics", 0), "forward", "tcp:22-:22");
	assert_refused(json);
	json = good();
	json_array_append_new(json_object_get(json, "nics"), json_pack("{s:s}", "backend", "fd:3"));
	assert_refused(json);
}

static void what_is_no_configuration_is_refused(void **state)
{
	static const char *const texts[] = {"", "[]", "{}", "{\"kernel\": \"x\"", "\xFF"};
	int fd;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_image(texts[i]);
		assert_int_equal(vouch_rename(tmp_path, path, &started), -EPERM);
	}
	fd = open(tmp_path, O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "no image", 8), 8);
	close(fd);
	assert_int_equal(vouch_rename(tmp_path, path, &started), -EPERM);
	assert_int_equal(symlink("/etc/passwd", tmp_path), 0);
	assert_int_equal(vouch_rename(tmp_path, path, &started), -ELOOP);
	unlink(tmp_path);
}

/* It could be changed after we have looked. */
static void one_that_is_open_for_writing_is_refused(void **state)
{
	json_t *json = good();
	char *text = json_dumps(json, 0);
	int fd;

	write_image(text);
	assert_int_equal(chmod(tmp_path, 0600), 0);
	fd = open(tmp_path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(vouch_rename(tmp_path, path, &started), -EBUSY);
	close(fd);
	assert_int_equal(access(path, F_OK), -1);
	free(text);
	json_decref(json);
}

/* Another writer has taken it for one that was left, and is about to remove it. */
static void one_that_another_writer_removes_is_refused(void **state)
{
	json_t *json = good();
	int fd, ret;

	assert_int_equal(vouch(json), 0);
	assert_int_equal(rename(path, tmp_path), 0);
	fd = open(tmp_path, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	ret = vouch_rename(tmp_path, path, &started);
	close(fd);
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(unlink(tmp_path), 0);
	json_decref(json);
}

/* It was locked, and is not the worker's any more: the other one stays, and has a writer. */
static void one_that_another_writer_has_replaced_is_refused(void **state)
{
	json_t *json = good();
	int ret;

	replace_at_lease = true;
	ret = vouch(json);
	replace_at_lease = false;
	assert_int_equal(ret, -EBUSY);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(unlink(tmp_path), 0);
	json_decref(json);
}

/* Until it has its name. */
static void another_writer_finds_it_locked(void **state)
{
	json_t *json = good();

	begin_at_lease = true;
	began = 0;
	assert_int_equal(vouch(json), 0);
	begin_at_lease = false;
	assert_int_equal(began, -EBUSY);
	assert_int_equal(access(path, F_OK), 0);
	json_decref(json);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_users_configuration_is_good),
		TEST(fewer_devices_are_good),
		TEST(what_was_added_is_good),
		TEST(other_keys_are_refused),
		TEST(other_devices_are_refused),
		TEST(what_is_no_configuration_is_refused),
		TEST(one_that_is_open_for_writing_is_refused),
		TEST(one_that_another_writer_removes_is_refused),
		TEST(one_that_another_writer_has_replaced_is_refused),
		TEST(another_writer_finds_it_locked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
