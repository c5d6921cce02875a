/* SPDX-License-Identifier: MIT */
/* The broker as a process: what it never hands out, and its end while one of its calls hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "confine/broker.h"
#include "tests/support/stuck_file.h"

static struct vm_config config;

static void start(const char *kernel, const char *console)
{
	char *argv[] = {"run", "--kernel", (char *)kernel, "--console", (char *)console, NULL};
	struct err e;

	assert_int_equal(vm_config_init(&config, &e), 0);
	assert_int_equal(vm_config_args(&config, 5, argv, &e), 0);
	assert_int_equal(vm_config_complete(&config, &e), 0);
	assert_int_equal(broker_start(&config, &e), 0);
}

static int teardown(void **state)
{
	broker_stop();
	vm_config_free(&config);
	return 0;
}

/* Named by mistake, say: what is in it stays unknown to the worker. */
static void a_directory_is_not_handed_out(void **state)
{
	start("/tmp", "none");
	assert_int_equal(files_open("/tmp", O_RDONLY | O_CLOEXEC, 0), -1);
	assert_int_equal(errno, EISDIR);
}

/* Threads that the worker could not end must not make these calls themselves. */
static void after_its_end_calls_fail(void **state)
{
	char path[] = "/tmp/broker-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	start("/vmlinuz", path);
	broker_stop();
	assert_true(broker_used());
	assert_int_equal(files_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EPIPE);
	files_unlink_apart(path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

/* The broker's own descriptor: its close waits for the file system. */
static void a_hung_call_does_not_keep_the_worker(void **state)
{
	struct stuck_file stuck;
	const char *why;
	int fd;

	if (!stuck_file_start(&stuck, 4096, &why)) {
		print_message("# skipped: %s\n", why);
		skip();
	}
	start("/vmlinuz", stuck.path);
	stuck.seen->hold_close = true;
	fd = files_open(stuck.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	while (!stuck.seen->flushes)
		sched_yield();
	broker_stop();
	stuck_file_stop(&stuck);
	close(fd);
	assert_true(waitpid(-1, NULL, 0) > 0); /* it ended when the call did */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_directory_is_not_handed_out, teardown),
		cmocka_unit_test_teardown(after_its_end_calls_fail, teardown),
		cmocka_unit_test_teardown(a_hung_call_does_not_keep_the_worker, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
