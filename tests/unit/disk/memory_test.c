/* SPDX-License-Identifier: MIT */
/* The memory disk, and what all disks share: request sizes and stacking. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fault_disk.h"

#define SIZE (1u << 20)

struct rig {
	struct loop loop;
	struct disk *disk;
	struct disk_queue *queue;
	struct disk_req *req;
	uint32_t done;
	int error;
};

static uint8_t shadow[SIZE];

static void request_done(struct disk_req *req, int error)
{
	struct rig *rig = req->owner;

	rig->done++;
	rig->error = error;
}

/* Memory answers inside submit. */
static int run(struct rig *rig, enum disk_op op, uint64_t offset, uint64_t length,
	struct iovec *iov, uint32_t iov_count)
{
	rig->done = 0;
	*rig->req = (struct disk_req){
		.op = op,
		.offset = offset,
		.length = length,
		.iov = iov,
		.iov_count = iov_count,
		.done = request_done,
		.owner = rig,
	};
	disk_submit(rig->queue, rig->req);
	assert_int_equal(rig->done, 1);
	return rig->error;
}

static int run_flat(
	struct rig *rig, enum disk_op op, uint64_t offset, uint64_t length, const void *bytes)
{
	struct iovec iov = {.iov_base = (void *)bytes, .iov_len = length};

	return run(rig, op, offset, length, &iov, 1);
}

static int setup(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	assert_int_equal(loop_init(&rig->loop, "test", NULL), 0);
	assert_int_equal(disk_memory_open(&rig->disk, SIZE, NULL), 0);
	assert_int_equal(disk_queue_open(rig->disk, &rig->loop, &rig->queue), 0);
	rig->req = aligned_alloc(16, disk_req_size(rig->disk));
	assert_non_null(rig->req);
	for (uint32_t i = 0; i < SIZE; i++)
		shadow[i] = (uint8_t)(i * 31 + i / 512);
	*state = rig;
	return 0;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	disk_queue_close(rig->queue);
	disk_close(rig->disk);
	loop_fini(&rig->loop);
	free(rig->req);
	free(rig);
	return 0;
}

static void assert_contents(struct rig *rig)
{
	static uint8_t disk[SIZE];

	memset(disk, 0xEE, SIZE);
	assert_int_equal(run_flat(rig, DISK_READ, 0, SIZE, disk), 0);
	assert_memory_equal(disk, shadow, SIZE);
}

static void begins_zero(void **state)
{
	memset(shadow, 0, SIZE);
	assert_contents(*state);
}

static void scatters_and_gathers(void **state)
{
	struct rig *rig = *state;
	uint8_t copy[2048];
	struct iovec out[] = {{shadow, 1}, {shadow + 1, 1023}, {shadow + 1024, 1024}};
	struct iovec in[] = {{copy, 2000}, {copy + 2000, 48}};

	assert_int_equal(run(rig, DISK_WRITE, SIZE - 2048, 2048, out, 3), 0);
	assert_int_equal(run(rig, DISK_READ, SIZE - 2048, 2048, in, 2), 0);
	assert_memory_equal(copy, shadow, 2048);
}

static void discards_to_zero(void **state)
{
	struct rig *rig = *state;
	static const struct {
		uint64_t offset, length;
	} rows[] = {
		{0, 512},
		{512, 4096},
		{3 * 512, 128 << 10}, /* pages given back, ragged at both ends */
		{SIZE - 512, 512},
		{256 << 10, 256 << 10},
		{0, SIZE},
	};

	assert_int_equal(run_flat(rig, DISK_WRITE, 0, SIZE, shadow), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(run(rig, i % 2 ? DISK_DISCARD : DISK_WRITE_ZEROES, rows[i].offset,
					 rows[i].length, NULL, 0),
			0);
		memset(shadow + rows[i].offset, 0, rows[i].length);
		assert_contents(rig);
	}
}

static void flushes(void **state)
{
	assert_int_equal(run(*state, DISK_FLUSH, 0, 0, NULL, 0), 0);
}

static void refuses_odd_sizes(void **state)
{
	struct disk *disk;
	struct err e;

	assert_int_equal(disk_memory_open(&disk, 0, &e), -EINVAL);
	assert_non_null(strstr(e.text, "size 0"));
	assert_int_equal(disk_memory_open(&disk, 1000, &e), -EINVAL);
	assert_non_null(strstr(e.text, "1000"));
	assert_int_equal(disk_memory_open(&disk, 1ull << 62, &e), -ENOMEM);
}

/* Two filters over a disk: the scratch of each must not overlap another's. */
static void stacks(void **state)
{
	struct rig rig = {0};
	struct fault_disk *lower, *upper;
	struct disk *memory;
	uint8_t copy[1024];

	assert_int_equal(loop_init(&rig.loop, "test", NULL), 0);
	assert_int_equal(disk_memory_open(&memory, SIZE, NULL), 0);
	lower = fault_disk_open(memory);
	upper = fault_disk_open(&lower->disk);
	rig.disk = &upper->disk;
	assert_true(disk_req_size(rig.disk) > disk_req_size(&lower->disk));
	assert_int_equal(disk_queue_open(rig.disk, &rig.loop, &rig.queue), 0);
	rig.req = aligned_alloc(16, disk_req_size(rig.disk));
	assert_int_equal(run_flat(&rig, DISK_WRITE, 512, 1024, shadow), 0);
	assert_int_equal(run_flat(&rig, DISK_READ, 512, 1024, copy), 0);
	assert_memory_equal(copy, shadow, 1024);
	atomic_store(&lower->error[DISK_READ], -EIO);
	assert_int_equal(run_flat(&rig, DISK_READ, 512, 1024, copy), -EIO);
	assert_int_equal(atomic_load(&upper->count[DISK_READ]), 2);
	disk_queue_close(rig.queue);
	disk_close(rig.disk);
	loop_fini(&rig.loop);
	free(rig.req);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(begins_zero),
		TEST(scatters_and_gathers),
		TEST(discards_to_zero),
		TEST(flushes),
		cmocka_unit_test(refuses_odd_sizes),
		TEST(stacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
