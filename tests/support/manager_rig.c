/* SPDX-License-Identifier: MIT */
#include "tests/support/manager_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct manager_rig mgr;

static bool answered;

/* ---- files --------------------------------------------------------------- */

void mgr_in_dir(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", mgr.directory, name);
}

/* A sparse file with a text in its middle, which was changed at `second`. */
void mgr_write_disk(const char *path, const char *text, time_t second)
{
	const struct timespec times[] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = second, .tv_nsec = 7}};
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MGR_DISK_SIZE), 0);
	assert_int_equal(pwrite(fd, text, strlen(text) + 1, MGR_DISK_SIZE / 2), strlen(text) + 1);
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

void mgr_disk_has(const char *path, const char *text, time_t second)
{
	int fd = open(path, O_RDONLY);
	char found[64];
	struct stat st;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, MGR_DISK_SIZE);
	assert_true(st.st_blocks * 512 < MGR_DISK_SIZE);
	assert_int_equal(st.st_mtim.tv_sec, second);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	assert_int_equal(pread(fd, found, sizeof(found), MGR_DISK_SIZE / 2), sizeof(found));
	assert_string_equal(found, text);
	close(fd);
}

unsigned mgr_count_files(const char *dir, const char *pattern)
{
	char command[256], text[16] = "";
	FILE *f;

	snprintf(command, sizeof(command), "find %s -type f -name '%s' | wc -l", dir, pattern);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(text, sizeof(text), f));
	pclose(f);
	return (unsigned)atoi(text);
}

/* ---- a manager ----------------------------------------------------------- */

static void on_answered(struct api_request *q)
{
	answered = true;
}

unsigned mgr_call(const char *method, const char *path, const char *body)
{
	struct api_request q = {.m = &mgr.m, .answered = on_answered};
	unsigned status = api_match(method, path, &q.route, q.param);

	if (status)
		return status;
	answered = false;
	api_run(&q, body, strlen(body));
	assert_true(answered);
	snprintf(mgr.e.text, sizeof(mgr.e.text), "%s", q.answer.text ? q.answer.text : "");
	free(q.answer.text);
	api_free(&q);
	return q.answer.status;
}

void mgr_expect(unsigned status, const char *method, const char *path, const char *body)
{
	unsigned got = mgr_call(method, path, body);

	if (got != status)
		fail_msg("%s %s %s: %u, not %u: %s", method, path, body, got, status, mgr.e.text);
}

static struct loop_timer timer;

static void look(struct loop_timer *t)
{
	if (list_empty(&mgr.m.operations))
		loop_stop(&mgr.loop);
	else
		loop_timer_start(&mgr.loop, t, NS_PER_MS, look);
}

/* Until no operation runs. */
void mgr_settle(void)
{
	loop_timer_start(&mgr.loop, &timer, NS_PER_MS, look);
	loop_run(&mgr.loop);
}

static void open_manager(void)
{
	assert_int_equal(loop_init(&mgr.loop, "test", &mgr.e), 0);
	assert_int_equal(
		manager_open(&mgr.m, &mgr.loop, mgr.state_dir, mgr.run_dir, "/bin/false", &mgr.e),
		0);
}

static void close_manager(void)
{
	manager_close(&mgr.m);
	loop_fini(&mgr.loop);
}

void mgr_reopen(void)
{
	close_manager();
	open_manager();
	mgr_settle();
}

int mgr_setup(void **state)
{
	snprintf(mgr.directory, sizeof(mgr.directory), "/dev/shm/enlite-snap.XXXXXX");
	if (!mkdtemp(mgr.directory))
		return -1;
	snprintf(mgr.state_dir, sizeof(mgr.state_dir), "%s/state", mgr.directory);
	snprintf(mgr.run_dir, sizeof(mgr.run_dir), "%s/run", mgr.directory);
	snprintf(mgr.disk, sizeof(mgr.disk), "%s/disk", mgr.directory);
	open_manager();
	return 0;
}

int mgr_teardown(void **state)
{
	char command[128];

	close_manager();
	snprintf(command, sizeof(command), "rm -rf %s", mgr.directory);
	return system(command);
}

void mgr_define_vm(void)
{
	char body[512];

	mgr_write_disk(mgr.disk, "old", 1000);
	snprintf(body, sizeof(body),
		"{\"config\": {\"name\": \"a\", \"kernel\": \"/k\", \"memory\": \"64M\", \"disks\": "
		"[{\"file\": \"%s\"}], \"nics\": [{\"backend\": \"null\"}]}}",
		mgr.disk);
	mgr_expect(201, "POST", "/vms", body);
}

struct snapshot *mgr_only_snapshot(void)
{
	assert_false(list_empty(&mgr.m.snapshots));
	return container_of(mgr.m.snapshots.next, struct snapshot, link);
}
