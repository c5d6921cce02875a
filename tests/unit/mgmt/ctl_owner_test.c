/* SPDX-License-Identifier: MIT */
/* Control sockets among several users: whose directory a server uses, and whose answer a client
 * believes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after its prerequisites */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mgmt/ctl.h"

#define NOBODY 65534

static char dir[] = "/tmp/enlite-owner-XXXXXX";
static char sockets[64], path[CTL_PATH_MAX];
static struct ctl ctl;
static struct loop loop;
static struct err e;

/* ---- rig ----------------------------------------------------------------- */

static int group_setup(void **state)
{
	if (!mkdtemp(dir) || chmod(dir, 0755) || setenv("ENLITE_RUN_DIR", dir, 1))
		return -1;
	snprintf(sockets, sizeof(sockets), "%s/enlite", dir);
	return ctl_path(path, "t", &e);
}

static int group_teardown(void **state)
{
	return rmdir(dir);
}

static void skip_unless_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("# skipped: only root can act as a second user\n");
	skip();
}

static void no_request(void *ctx, struct ctl_request *request, const json_t *json)
{
	fail_msg("a request came");
}

static int open_server(void)
{
	int ret;

	assert_int_equal(loop_init(&loop, "control", &e), 0);
	ret = ctl_open(&ctl, &loop, "t", no_request, NULL, &e);
	loop_fini(&loop);
	if (!ret)
		ctl_close(&ctl);
	return ret;
}

/* The server refuses the directory, names it, and has changed nothing in it. */
static void assert_refused(const char *why)
{
	assert_true(open_server() < 0);
	assert_non_null(strstr(e.text, sockets));
	assert_non_null(strstr(e.text, why));
	assert_null(strchr(e.text, '\n'));
	assert_int_equal(access(path, F_OK), -1);
}

/* ---- the server's directory ---------------------------------------------- */

static void a_directory_of_ours_is_used(void **state)
{
	assert_int_equal(mkdir(sockets, 0755), 0);
	assert_int_equal(open_server(), 0);
	assert_int_equal(rmdir(sockets), 0);
}

static void a_directory_others_may_write_is_refused(void **state)
{
	static const mode_t modes[] = {0720, 0702, 0777, 01777};

	assert_int_equal(mkdir(sockets, 0700), 0);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(chmod(sockets, modes[i]), 0);
		assert_refused("others may write");
	}
	assert_int_equal(rmdir(sockets), 0);
}

static void a_link_is_not_followed(void **state)
{
	char elsewhere[128];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", dir);
	assert_int_equal(mkdir(elsewhere, 0700), 0);
	assert_int_equal(symlink(elsewhere, sockets), 0);
	assert_refused("not a directory");
	assert_int_equal(unlink(sockets), 0);
	assert_int_equal(rmdir(elsewhere), 0);
}

static void another_users_directory_is_refused(void **state)
{
	skip_unless_root();
	assert_int_equal(mkdir(sockets, 0700), 0);
	assert_int_equal(chown(sockets, NOBODY, NOBODY), 0);
	assert_refused("another user");
	assert_int_equal(rmdir(sockets), 0);
}

/* ---- the client's server ------------------------------------------------- */

/* Answers "ok" to whatever comes, as user `uid`. Exit status: bytes of the request (1: some). */
static void impostor(uid_t uid, int ready)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), client;
	char byte;

	memcpy(addr.sun_path, path, strlen(path));
	if (setuid(uid) || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) || listen(fd, 1) ||
		write(ready, "r", 1) != 1)
		_exit(2);
	client = accept(fd, NULL, NULL);
	if (recv(client, &byte, 1, 0) <= 0)
		_exit(0);
	send(client, "{\"ok\":true}\n", 12, MSG_NOSIGNAL);
	_exit(1);
}

/* What ctl_call() says when user `uid` serves the socket; *asked: a request reached that user. */
static int call_served_by(uid_t uid, bool *asked)
{
	json_t *request = json_object(), *reply = NULL;
	int ret, status, ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(mkdir(sockets, 0700), 0);
	assert_int_equal(chown(sockets, uid, (gid_t)-1), 0);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid)
		impostor(uid, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	ret = ctl_call("t", request, CTL_TIMEOUT_MS, &reply, &e);
	json_decref(request);
	json_decref(reply);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
	*asked = WEXITSTATUS(status) == 1;
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(sockets), 0);
	return ret;
}

static void our_own_server_is_believed(void **state)
{
	bool asked;

	assert_int_equal(call_served_by(geteuid(), &asked), 0);
	assert_true(asked);
}

static void another_users_server_is_not_asked(void **state)
{
	bool asked;

	skip_unless_root();
	assert_int_equal(call_served_by(NOBODY, &asked), -EPERM);
	assert_false(asked);
	assert_non_null(strstr(e.text, "user 65534"));
	assert_null(strchr(e.text, '\n'));
}

/* ---- names and places ---------------------------------------------------- */

static void a_regular_file_is_not_replaced(void **state)
{
	int fd;

	assert_int_equal(mkdir(sockets, 0700), 0);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(open_server(), -EADDRINUSE);
	assert_non_null(strstr(e.text, path));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(sockets), 0);
}

static void bad_names_and_places(void **state)
{
	json_t *request = json_object(), *reply;
	char long_path[CTL_PATH_MAX], deep[200];

	assert_int_equal(ctl_call("nosuch", request, CTL_TIMEOUT_MS, &reply, &e), -ENOENT);
	assert_non_null(strstr(e.text, "no VM named nosuch"));
	assert_int_equal(ctl_call("../t", request, CTL_TIMEOUT_MS, &reply, &e), -EINVAL);
	assert_int_equal(ctl_call("", request, CTL_TIMEOUT_MS, &reply, &e), -EINVAL);
	json_decref(request);
	memset(deep, 'd', sizeof(deep));
	deep[0] = '/';
	deep[sizeof(deep) - 1] = '\0';
	setenv("ENLITE_RUN_DIR", deep, 1);
	assert_int_equal(ctl_path(long_path, "t", &e), -ENAMETOOLONG);
	setenv("ENLITE_RUN_DIR", "/nosuch", 1);
	assert_int_equal(open_server(), -ENOENT);
	assert_non_null(strstr(e.text, "set ENLITE_RUN_DIR"));
	setenv("ENLITE_RUN_DIR", dir, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_directory_of_ours_is_used),
		cmocka_unit_test(a_directory_others_may_write_is_refused),
		cmocka_unit_test(a_link_is_not_followed),
		cmocka_unit_test(another_users_directory_is_refused),
		cmocka_unit_test(our_own_server_is_believed),
		cmocka_unit_test(another_users_server_is_not_asked),
		cmocka_unit_test(a_regular_file_is_not_replaced),
		cmocka_unit_test(bad_names_and_places),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
