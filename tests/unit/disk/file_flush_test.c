/* SPDX-License-Identifier: MIT */
/*
 * Flushes of the file disk while the kernel reports a loss to others, which it does
 * once. What the descriptor stands for is changed under the disk, to make its
 * operations fail or wait.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/disk_rig.h"

#define SIZE  (1u << 20)
#define OTHER 9u /* slot */

static struct disk_rig rig;
static char path[64];
static int fd, saved, pipes[2]; /* fd: the disk's */
static uint8_t bytes[65536];

/* ---- rig ----------------------------------------------------------------- */

static void make_file(char name[64])
{
	int file;

	snprintf(name, 64, "build/file_flush_test.XXXXXX");
	file = mkostemp(name, O_CLOEXEC);
	assert_true(file >= 0 && ftruncate(file, SIZE) == 0);
	close(file);
}

static int find_fd(void)
{
	char link[64], target[4096], full[4096];

	assert_non_null(realpath(path, full));
	for (int i = 3; i < 256; i++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", i);
		n = readlink(link, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, full, (size_t)n) && full[n] == 0)
			return i;
	}
	return -1;
}

static void become(int other)
{
	assert_true(dup2(other, fd) >= 0);
}

static int setup(void **state)
{
	struct disk *disk;

	make_file(path);
	assert_int_equal(disk_file_open(&disk, path, &(struct disk_file_options){0}, NULL), 0);
	disk_rig_init(&rig, disk);
	fd = find_fd();
	saved = dup(fd);
	assert_true(fd >= 0 && saved >= 0 && pipe(pipes) == 0);
	return 0;
}

static int teardown(void **state)
{
	disk_rig_fini(&rig, false);
	close(saved);
	close(pipes[0]);
	close(pipes[1]);
	unlink(path);
	return 0;
}

static void one_turn(void)
{
	loop_stop(&rig.loop);
	loop_run(&rig.loop);
}

static void fill_pipe(void)
{
	assert_int_equal(fcntl(pipes[1], F_SETFL, O_NONBLOCK), 0);
	while (write(pipes[1], bytes, 4096) > 0)
		;
	assert_int_equal(fcntl(pipes[1], F_SETFL, 0), 0);
}

/* Flushes of another file that begin later and end. */
static void flush_another(void)
{
	struct disk_rig_slot *slot = &rig.slots[OTHER];
	struct disk_queue *queue;
	struct disk *disk;
	char other[64];

	make_file(other);
	assert_int_equal(disk_file_open(&disk, other, &(struct disk_file_options){0}, NULL), 0);
	assert_int_equal(disk_queue_open(disk, &rig.loop, &queue), 0);
	disk_rig_start(&rig, OTHER, DISK_READ, 0, 0, 512, bytes); /* prepares the slot */
	while (slot->busy)
		loop_run(&rig.loop);
	for (uint32_t i = 0; i < 20; i++) {
		slot->req->op = DISK_FLUSH;
		slot->busy = true;
		rig.in_flight++;
		disk_submit(queue, slot->req);
		while (slot->busy)
			loop_run(&rig.loop);
		assert_int_equal(slot->error, 0);
	}
	disk_queue_close(queue);
	disk_close(disk);
	unlink(other);
}

/* ---- tests --------------------------------------------------------------- */

static void (*request_done)(struct disk_req *req, int error);

/* The good file is back before the next flush reaches the kernel. */
static void first_flush_done(struct disk_req *req, int error)
{
	become(saved);
	request_done(req, error);
}

/* One that waits while the fsync before it fails covers the same writes. */
static void a_failed_flush_fails_those_that_wait(void **state)
{
	become(pipes[1]);
	disk_rig_start(&rig, 0, DISK_FLUSH, 0, 0, 0, NULL);
	request_done = rig.slots[0].req->done;
	rig.slots[0].req->done = first_flush_done;
	disk_rig_start(&rig, 1, DISK_FLUSH, 0, 0, 0, NULL);
	disk_rig_wait(&rig, 0);
	assert_true(rig.slots[0].error < 0);
	assert_int_equal(rig.slots[1].error, rig.slots[0].error);
}

/* A FUA write gets the error, and it takes a while to find out whether that concerns others: a
 * flush that runs meanwhile does not end before. */
static void a_flush_waits_for_a_failed_fua_write(void **state)
{
	int read_only = open(path, O_RDONLY | O_CLOEXEC);
	bool waits;

	assert_true(read_only >= 0);
	fill_pipe();
	become(read_only);
	disk_rig_start(&rig, 0, DISK_WRITE, DISK_FLAG_FUA, 0, 512, bytes);
	one_turn(); /* it fails */
	become(pipes[1]);
	one_turn(); /* it is tried without FUA, and waits for the pipe */
	become(saved);
	disk_rig_start(&rig, 1, DISK_FLUSH, 0, 0, 0, NULL);
	flush_another();
	waits = rig.slots[0].busy && rig.slots[1].busy;
	assert_int_equal(read(pipes[0], bytes, sizeof(bytes)), sizeof(bytes));
	disk_rig_wait(&rig, 0);
	assert_true(waits);
	assert_int_equal(rig.slots[0].error, -EBADF);
	assert_int_equal(rig.slots[1].error, -EBADF);
	close(read_only);
}

static void a_flush_beside_fua_writes_ends(void **state)
{
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 32; i++)
			disk_rig_start(&rig, i, i % 4 ? DISK_WRITE : DISK_FLUSH, DISK_FLAG_FUA,
				i % 4 ? i * 4096 : 0, i % 4 ? 4096 : 0, i % 4 ? bytes : NULL);
		if (round % 2)
			for (uint32_t i = 0; i < 32; i += 3)
				if (rig.slots[i].busy)
					disk_rig_cancel(&rig, i);
		disk_rig_wait(&rig, 0);
		for (uint32_t i = 0; i < 32; i++)
			assert_true(!rig.slots[i].error ||
				    (round % 2 && i % 3 == 0 && rig.slots[i].error == -ECANCELED));
	}
}

/* ---- on several threads -------------------------------------------------- */

#define THREADS 3u
#define ROUNDS  300u

/* A thread with a queue, and one request after the other. */
static struct flusher {
	struct loop loop;
	struct disk_queue *queue;
	struct disk_req *req;
	struct iovec iov;
	uint32_t left, failed;
	sem_t over;
} flushers[THREADS];

static void flusher_next(struct loop_task *task);

static struct loop_task again[THREADS];

static void flusher_done(struct disk_req *req, int error)
{
	struct flusher *f = req->owner;

	f->failed += error != 0;
	again[f - flushers].fn = flusher_next;
	loop_post(&f->loop, &again[f - flushers]);
}

static void flusher_next(struct loop_task *task)
{
	struct flusher *f = &flushers[task - again];
	bool flush = f->left % 2;

	if (!f->left--) {
		disk_queue_close(f->queue);
		sem_post(&f->over);
		return;
	}
	f->iov = (struct iovec){bytes, 4096};
	*f->req = (struct disk_req){
		.op = flush ? DISK_FLUSH : DISK_WRITE,
		.flags = DISK_FLAG_FUA,
		.offset = flush ? 0 : (uint64_t)(f - flushers) * 4096,
		.length = flush ? 0 : 4096,
		.iov = &f->iov,
		.iov_count = 1,
		.done = flusher_done,
		.owner = f,
	};
	disk_submit(f->queue, f->req);
}

static void flusher_begin(void *arg)
{
	struct flusher *f = arg;

	if (disk_queue_open(rig.disk, &f->loop, &f->queue))
		abort();
	flusher_next(&again[f - flushers]);
}

/* Each loop ends as soon as its queue is closed. */
static void flushes_on_several_threads(void **state)
{
	for (uint32_t i = 0; i < THREADS; i++) {
		struct flusher *f = &flushers[i];

		*f = (struct flusher){.left = ROUNDS};
		f->req = aligned_alloc(16, disk_req_size(rig.disk));
		assert_non_null(f->req);
		assert_int_equal(sem_init(&f->over, 0, 0), 0);
		assert_int_equal(loop_init(&f->loop, "flusher", NULL), 0);
		assert_int_equal(loop_start(&f->loop), 0);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		loop_call(&flushers[i].loop, flusher_begin, &flushers[i]);
	for (uint32_t i = 0; i < THREADS; i++) {
		struct flusher *f = &flushers[i];

		while (sem_wait(&f->over) && errno == EINTR)
			;
		loop_stop(&f->loop);
		loop_join(&f->loop);
		loop_fini(&f->loop);
		sem_destroy(&f->over);
		free(f->req);
		assert_int_equal(f->failed, 0);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_failed_flush_fails_those_that_wait),
		TEST(a_flush_waits_for_a_failed_fua_write),
		TEST(a_flush_beside_fua_writes_ends),
		TEST(flushes_on_several_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
