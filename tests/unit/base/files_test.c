/* SPDX-License-Identifier: MIT */
/* Files by their names, without a broker: what is not plainly the system call of that name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "tests/support/stuck_file.h"

static void unlinks_apart(void **state)
{
	char path[] = "/tmp/files-test-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	files_unlink_apart(path);
	assert_int_equal(access(path, F_OK), -1);
	files_unlink_apart(path); /* no harm */
	assert_int_equal(waitpid(-1, NULL, 0), -1);
}

/* No signal ends a process that is in such a call itself. */
static void a_hung_unlink_does_not_keep_the_process(void **state)
{
	struct stuck_file stuck;
	const char *why;
	pid_t pid;
	int status;

	if (!stuck_file_start(&stuck, 4096, &why)) {
		print_message("# skipped: %s\n", why);
		skip();
	}
	pid = fork();
	if (!pid) {
		files_unlink_apart(stuck.path);
		_exit(1);
	}
	while (!stuck.seen->unlinks)
		sched_yield();
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	stuck_file_stop(&stuck);
}

#define LIMIT_MS 120000

/* A disk's file system hangs, the file is on another one. */
static void a_hung_close_does_not_keep_the_file(void **state)
{
	char path[] = "/tmp/files-test-XXXXXX";
	struct stuck_file stuck;
	const char *why;
	pid_t pid;
	int fd, status;

	if (!stuck_file_start(&stuck, 4096, &why)) {
		print_message("# skipped: %s\n", why);
		skip();
	}
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	stuck.seen->hold_close = true;
	pid = fork();
	if (!pid) {
		if (open(stuck.path, O_RDWR | O_CLOEXEC) >= 0)
			files_unlink_apart(path);
		_exit(0);
	}
	while (!stuck.seen->flushes)
		sched_yield();
	for (int ms = 0; ms < LIMIT_MS && !access(path, F_OK); ms++)
		poll(NULL, 0, 1);
	assert_int_equal(unlink(path), -1);
	kill(pid, SIGKILL);
	stuck_file_stop(&stuck);
	assert_int_equal(waitpid(pid, &status, 0), pid);
}

static void directories_are_synchronised(void **state)
{
	assert_int_equal(files_sync("/tmp/"), 0);
	assert_int_equal(files_sync("/proc/"), 0); /* which cannot */
	assert_int_equal(files_sync("/nowhere/"), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(files_sync("/etc/passwd"), -1);
	assert_int_equal(errno, ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unlinks_apart),
		cmocka_unit_test(a_hung_unlink_does_not_keep_the_process),
		cmocka_unit_test(a_hung_close_does_not_keep_the_file),
		cmocka_unit_test(directories_are_synchronised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
