/* SPDX-License-Identifier: MIT */
/*
 * A disk whose file never answers, below the system call, and a good one on the
 * same I/O thread: the good one goes on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/file_queue.h"
#include "tests/support/disk_rig.h"
#include "tests/support/stuck_file.h"

#define SIZE  (1u << 20)
#define STUCK 200u /* far more than there are kernel threads */

static struct stuck_file stuck;
static struct disk_rig rig; /* on the stuck disk */
static struct disk *good;
static struct disk_queue *good_queue;
static char good_path[64];
static uint8_t bytes[4096], copy[4096];

static void begin(void)
{
	const char *why;
	struct disk *disk;
	struct err e;
	int fd;

	if (!stuck_file_start(&stuck, SIZE, &why)) {
		print_message("# skipped: %s\n", why);
		skip();
	}
	if (disk_file_open(&disk, stuck.path, &(struct disk_file_options){0}, &e))
		fail_msg("%s", e.text);
	disk_rig_init(&rig, disk);
	snprintf(good_path, sizeof(good_path), "/var/tmp/enlite-good-XXXXXX");
	fd = mkstemp(good_path);
	assert_true(fd >= 0 && ftruncate(fd, SIZE) == 0);
	close(fd);
	if (disk_file_open(&good, good_path, &(struct disk_file_options){0}, &e))
		fail_msg("%s", e.text);
	assert_int_equal(disk_queue_open(good, &rig.loop, &good_queue), 0);
}

/* What is stuck fails when the file system is gone. */
static void end(void)
{
	stuck_file_stop(&stuck);
	disk_rig_wait(&rig, 0);
	for (uint32_t i = 0; i < STUCK; i++)
		assert_int_not_equal(rig.slots[i].error, 0);
	disk_queue_close(good_queue);
	disk_close(good);
	unlink(good_path);
	disk_rig_fini(&rig, false);
}

/* ---- the good disk ------------------------------------------------------- */

struct outcome {
	bool done, too_late;
	int error;
};

static void good_done(struct disk_req *req, int error)
{
	struct outcome *o = req->owner;

	*o = (struct outcome){.done = true, .error = error};
	loop_stop(&rig.loop);
}

static void too_late(struct loop_timer *t)
{
	loop_stop(t->loop);
}

static void good_run(enum disk_op op, void *data)
{
	struct disk_req *req = aligned_alloc(16, disk_req_size(good));
	struct iovec iov = {data, sizeof(bytes)};
	struct outcome o = {0};
	struct loop_timer late = {0};

	*req = (struct disk_req){
		.op = op,
		.length = op == DISK_FLUSH ? 0 : sizeof(bytes),
		.iov = data ? &iov : NULL,
		.iov_count = data ? 1 : 0,
		.done = good_done,
		.owner = &o,
	};
	loop_timer_start(&rig.loop, &late, 60000000000ull, too_late);
	disk_submit(good_queue, req);
	while (!o.done && late.armed)
		loop_run(&rig.loop);
	if (!o.done)
		fail_msg("the good disk waits for the stuck one");
	loop_timer_cancel(&late);
	assert_int_equal(o.error, 0);
	free(req);
}

static void good_goes_on(void)
{
	for (uint32_t i = 0; i < 10; i++) {
		memset(bytes, (int)i + 1, sizeof(bytes));
		good_run(DISK_WRITE, bytes);
		good_run(DISK_FLUSH, NULL);
		good_run(DISK_READ, copy);
		assert_memory_equal(copy, bytes, sizeof(bytes));
		good_run(DISK_WRITE_ZEROES, NULL);
	}
}

static void wait_until_stuck(_Atomic uint32_t *seen, uint32_t count)
{
	while (atomic_load(seen) < count)
		good_run(DISK_FLUSH, NULL);
}

/* ---- tests --------------------------------------------------------------- */

static void flushes(void **state)
{
	begin();
	for (uint32_t i = 0; i < STUCK; i++)
		disk_rig_start(&rig, i, DISK_FLUSH, 0, 0, 0, NULL);
	wait_until_stuck(&stuck.seen->fsyncs, 1);
	good_goes_on();
	assert_int_equal(atomic_load(&stuck.seen->fsyncs), 1);
	assert_int_equal(rig.in_flight, STUCK);
	end();
}

/* The descriptor under which the stuck file is open. */
static int find_fd(void)
{
	char link[64], target[4096];

	for (int fd = 3; fd < 256; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		if (!strcmp(target, stuck.path))
			return fd;
	}
	fail_msg("%s is not open", stuck.path);
	return -1;
}

/* Two fsyncs of a file that overlap: only one of them gets the error. */
static void a_flush_waits_for_that_of_another_queue(void **state)
{
	struct outcome second = {0};
	struct disk_queue *queue;
	struct disk_req *req;
	int fd, saved, other;
	bool early;

	begin();
	assert_int_equal(disk_queue_open(rig.disk, &rig.loop, &queue), 0);
	disk_rig_start(&rig, 0, DISK_FLUSH, 0, 0, 0, NULL);
	wait_until_stuck(&stuck.seen->fsyncs, 1);
	fd = find_fd();
	saved = dup(fd);
	other = open(good_path, O_RDWR | O_CLOEXEC);
	assert_true(saved >= 0 && other >= 0 && dup2(other, fd) >= 0);
	req = aligned_alloc(16, disk_req_size(rig.disk));
	*req = (struct disk_req){.op = DISK_FLUSH, .done = good_done, .owner = &second};
	disk_submit(queue, req);
	good_goes_on();
	early = second.done;
	stuck_file_stop(&stuck);
	disk_rig_wait(&rig, 0);
	while (!second.done)
		loop_run(&rig.loop);
	assert_false(early);
	assert_true(rig.slots[0].error < 0);
	assert_int_equal(second.error, rig.slots[0].error);
	free(req);
	close(saved);
	close(other);
	disk_queue_close(queue);
	disk_queue_close(good_queue);
	disk_close(good);
	unlink(good_path);
	disk_rig_fini(&rig, false);
}

static void reads(void **state)
{
	static uint8_t data[STUCK][4096];

	begin();
	for (uint32_t i = 0; i < STUCK; i++)
		disk_rig_start(&rig, i, DISK_READ, 0, 0, 4096, data[i]);
	wait_until_stuck(&stuck.seen->reads, FILE_SLEEPERS_MAX);
	good_goes_on();
	assert_int_equal(atomic_load(&stuck.seen->reads), FILE_SLEEPERS_MAX);
	end();
}

static void writes(void **state)
{
	begin();
	for (uint32_t i = 0; i < STUCK; i++)
		disk_rig_start(&rig, i, DISK_WRITE, 0, 0, 4096, bytes);
	wait_until_stuck(&stuck.seen->writes, 1);
	good_run(DISK_FLUSH, NULL);
	assert_in_range(atomic_load(&stuck.seen->writes), 1, FILE_THREADS);
	end();
}

/* Those that wait here complete at once; the others when the file system lets them. */
static void cancelled(void **state)
{
	static uint8_t data[STUCK][4096];

	begin();
	for (uint32_t i = 0; i < STUCK; i++)
		disk_rig_start(&rig, i, i % 2 ? DISK_READ : DISK_FLUSH, 0, 0, i % 2 ? 4096 : 0,
			i % 2 ? data[i] : NULL);
	wait_until_stuck(&stuck.seen->reads, FILE_SLEEPERS_MAX);
	wait_until_stuck(&stuck.seen->fsyncs, 1);
	for (uint32_t i = 0; i < STUCK; i++)
		disk_rig_cancel(&rig, i);
	disk_rig_wait(&rig, FILE_SLEEPERS_MAX + 1);
	for (uint32_t i = 0; i < STUCK; i++)
		assert_true(rig.slots[i].busy || rig.slots[i].error == -ECANCELED);
	good_goes_on();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flushes),
		cmocka_unit_test(a_flush_waits_for_that_of_another_queue),
		cmocka_unit_test(reads),
		cmocka_unit_test(writes),
		cmocka_unit_test(cancelled),
	};

	log_set_level(LOG_ERROR);
	cmocka_set_test_filter(getenv("STUCK_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
