/* SPDX-License-Identifier: MIT */
/* Cancelling requests: in every filter, and in files. NBD: tests/loop/nbd_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "disk/filter/filters.h"
#include "tests/support/disk_rig.h"
#include "tests/support/fault_disk.h"

#define SIZE  (1u << 20)
#define NEVER (200ull * 1000000000) /* longer than the test may take */
#define MANY  64u

static struct disk_rig rig;
static uint8_t buffer[DISK_RIG_REQUESTS][4096];

static struct disk *memory_disk(void)
{
	struct disk *disk;

	assert_int_equal(disk_memory_open(&disk, SIZE, NULL), 0);
	return disk;
}

static struct disk *delay_disk(uint32_t ops)
{
	struct disk_delay_options o = {.ops = ops, .min_ns = NEVER, .max_ns = NEVER};
	struct disk *disk;

	assert_int_equal(disk_delay_open(&disk, memory_disk(), &o, NULL), 0);
	return disk;
}

static void start(uint32_t slot, enum disk_op op)
{
	disk_rig_start(&rig, slot, op, 0, op == DISK_FLUSH ? 0 : slot * 4096ull,
		op == DISK_FLUSH ? 0 : 4096,
		op == DISK_READ || op == DISK_WRITE ? buffer[slot] : NULL);
}

/* All operations, cancelled in an odd order, some twice; the others stay. */
static void assert_cancels(void)
{
	for (uint32_t slot = 0; slot < MANY; slot++)
		start(slot, slot % DISK_OP_COUNT);
	assert_int_equal(rig.in_flight, MANY);
	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t slot = i * 37 % MANY;

		if (slot % 4)
			disk_rig_cancel(&rig, slot);
		if (slot % 4 == 3)
			disk_rig_cancel(&rig, slot);
	}
	disk_rig_wait(&rig, MANY / 4);
	for (uint32_t slot = 0; slot < MANY; slot++) {
		assert_int_equal(rig.slots[slot].busy, slot % 4 == 0);
		if (slot % 4)
			assert_int_equal(rig.slots[slot].error, -ECANCELED);
		else
			disk_rig_cancel(&rig, slot);
	}
	disk_rig_wait(&rig, 0);
}

static void delayed_requests_go_at_once(void **state)
{
	disk_rig_init(&rig, delay_disk(DISK_OPS_ALL));
	assert_cancels();
	disk_rig_fini(&rig, false);
}

/* No byte moves after a request was cancelled, and the disk has not changed. */
static void a_cancelled_write_was_not_begun(void **state)
{
	disk_rig_init(&rig, delay_disk(1u << DISK_WRITE));
	memset(buffer[1], 0xAA, 4096);
	start(1, DISK_WRITE);
	disk_rig_cancel(&rig, 1);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[1].error, -ECANCELED);
	start(1, DISK_READ);
	assert_int_equal(rig.slots[1].error, 0);
	assert_int_equal(buffer[1][0], 0);
	disk_rig_fini(&rig, false);
}

static void limited_requests_go_at_once(void **state)
{
	struct disk_limit_options o = {.iops = 1, .iops_burst = 1};
	struct disk *disk;

	assert_int_equal(disk_limit_open(&disk, memory_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 4096, buffer[0]), 0);
	assert_cancels();
	disk_rig_fini(&rig, false);
}

/* Filters that hold nothing pass it on: here to the delay below. */
static void filters_pass_it_on(void **state)
{
	struct disk_error_options error = {.ops = DISK_OPS_ALL, .every = 1u << 30, .error = -EIO};
	struct disk_limit_options limit = {.iops = DISK_LIMIT_IOPS_MAX, .iops_burst = 1000};
	struct disk_delay_options delay = {.ops = 0};
	struct disk *disk = delay_disk(DISK_OPS_ALL);
	char path[] = "/tmp/enlite-log-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(disk_error_open(&disk, disk, &error, NULL), 0);
	assert_int_equal(disk_limit_open(&disk, disk, &limit, NULL), 0);
	assert_int_equal(disk_delay_open(&disk, disk, &delay, NULL), 0);
	assert_int_equal(disk_log_open(&disk, disk, path, NULL), 0);
	disk_rig_init(&rig, disk);
	assert_cancels();
	disk_rig_fini(&rig, false);
	unlink(path);
}

/* ---- volatile ------------------------------------------------------------ */

static struct fault_disk *fault;

static void begin_volatile(void)
{
	struct disk *disk;

	fault = fault_disk_open(memory_disk());
	assert_int_equal(disk_volatile_open(&disk, &fault->disk, 1, NULL), 0);
	disk_rig_init(&rig, disk);
}

static uint64_t below(enum disk_op op)
{
	return atomic_load(&fault->count[op]);
}

static void a_read_below_a_cache(void **state)
{
	begin_volatile();
	atomic_store(&fault->hold, true);
	start(0, DISK_READ);
	disk_rig_cancel(&rig, 0);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -ECANCELED);
	atomic_store(&fault->hold, false);
	disk_rig_fini(&rig, false);
}

/* A flush that destages, one that waits for it, and a read that does. */
static void a_cache_at_work(void **state)
{
	begin_volatile();
	memset(buffer[1], 0xAA, 4096);
	start(1, DISK_WRITE);
	atomic_store(&fault->hold, true);
	start(0, DISK_FLUSH);
	assert_int_equal(below(DISK_WRITE), 1);
	start(2, DISK_FLUSH);
	start(1, DISK_READ);
	disk_rig_start(&rig, 3, DISK_WRITE, DISK_FLAG_FUA, 3 * 4096, 4096, buffer[3]);
	assert_int_equal(rig.in_flight, 4);
	disk_rig_cancel(&rig, 1);
	disk_rig_cancel(&rig, 2);
	disk_rig_cancel(&rig, 3);
	disk_rig_wait(&rig, 1);
	for (uint32_t slot = 1; slot < 4; slot++)
		assert_int_equal(rig.slots[slot].error, -ECANCELED);
	assert_int_equal(below(DISK_READ), 0);
	disk_rig_cancel(&rig, 0);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -ECANCELED);
	assert_int_equal(below(DISK_FLUSH), 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 2); /* nothing was lost */
	atomic_store(&fault->hold, false);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 4096, 4096, buffer[1]), 0);
	assert_int_equal(buffer[1][0], 0xAA);
	disk_rig_fini(&rig, false);
}

/* ---- file ---------------------------------------------------------------- */

static char path[64];

static struct disk *file_disk(void)
{
	struct disk_file_options o = {.read_only = false};
	struct disk *disk;
	int fd;

	snprintf(path, sizeof(path), "/tmp/enlite-cancel-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SIZE), 0);
	assert_int_equal(disk_file_open(&disk, path, &o, NULL), 0);
	close(fd);
	return disk;
}

static int find_fd(void)
{
	struct stat wanted, st;

	assert_int_equal(stat(path, &wanted), 0);
	for (int fd = 3; fd < 256; fd++)
		if (!fstat(fd, &st) && st.st_ino == wanted.st_ino && st.st_dev == wanted.st_dev)
			return fd;
	fail();
	return -1;
}

/* Something the kernel never finishes: a pipe nobody writes to, or reads, in place of the file. */
static void replace_by_pipe(int end, int pipe_fds[2])
{
	assert_int_equal(pipe(pipe_fds), 0);
	assert_true(dup2(pipe_fds[end], find_fd()) >= 0);
	while (end && fcntl(pipe_fds[1], F_SETFL, O_NONBLOCK) == 0 &&
		write(pipe_fds[1], buffer[0], 4096) > 0)
		;
	fcntl(pipe_fds[1], F_SETFL, 0);
}

static void end_file(int pipe_fds[2])
{
	disk_rig_fini(&rig, false);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	unlink(path);
}

static void reads_stuck_in_the_kernel(void **state)
{
	int pipe_fds[2];

	disk_rig_init(&rig, file_disk());
	replace_by_pipe(0, pipe_fds);
	start(0, DISK_READ);
	start(1, DISK_READ);
	disk_rig_cancel(&rig, 1); /* in the same turn */
	disk_rig_cancel(&rig, 1);
	disk_rig_wait(&rig, 1);
	assert_int_equal(rig.slots[1].error, -ECANCELED);
	disk_rig_cancel(&rig, 0); /* the kernel has it */
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -ECANCELED);
	memset(buffer[0], 0xC3, 4096);
	assert_int_equal(write(pipe_fds[1], buffer[2], 4096), 4096); /* nobody waits for it */
	assert_int_equal(buffer[0][0], 0xC3);
	end_file(pipe_fds);
}

static void writes_stuck_in_the_kernel(void **state)
{
	int pipe_fds[2];

	disk_rig_init(&rig, file_disk());
	replace_by_pipe(1, pipe_fds);
	start(0, DISK_WRITE);
	disk_rig_start(&rig, 1, DISK_WRITE, DISK_FLAG_FUA, 4096, 4096, buffer[1]);
	disk_rig_cancel(&rig, 0);
	disk_rig_cancel(&rig, 1);
	disk_rig_wait(&rig, 0);
	assert_int_equal(rig.slots[0].error, -ECANCELED);
	assert_true(rig.slots[1].error < 0);
	end_file(pipe_fds);
}

/* What the kernel does at once cannot be cancelled, or is; either way it is done once. And a
 * cancelled flush is no failed one: the disk goes on. */
static void a_working_file(void **state)
{
	uint32_t cut = 0;

	disk_rig_init(&rig, file_disk());
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	for (uint32_t round = 0; round < 20; round++) {
		for (uint32_t slot = 0; slot < DISK_RIG_REQUESTS; slot++)
			start(slot, (slot + round) % DISK_OP_COUNT);
		for (uint32_t slot = 0; slot < DISK_RIG_REQUESTS; slot++)
			if (rig.slots[slot].busy && slot % 3)
				disk_rig_cancel(&rig, slot);
		disk_rig_wait(&rig, 0);
		for (uint32_t slot = 0; slot < DISK_RIG_REQUESTS; slot++) {
			if (rig.slots[slot].error)
				assert_int_equal(rig.slots[slot].error, -ECANCELED);
			cut += rig.slots[slot].error == -ECANCELED;
		}
	}
	print_message("# %u of %u requests were cut short\n", cut, 20 * DISK_RIG_REQUESTS);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	disk_rig_fini(&rig, false);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delayed_requests_go_at_once),
		cmocka_unit_test(a_cancelled_write_was_not_begun),
		cmocka_unit_test(limited_requests_go_at_once),
		cmocka_unit_test(filters_pass_it_on),
		cmocka_unit_test(a_read_below_a_cache),
		cmocka_unit_test(a_cache_at_work),
		cmocka_unit_test(reads_stuck_in_the_kernel),
		cmocka_unit_test(writes_stuck_in_the_kernel),
		cmocka_unit_test(a_working_file),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
