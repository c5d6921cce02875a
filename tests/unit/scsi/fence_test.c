/* SPDX-License-Identifier: MIT */
/* COMPARE AND WRITE: its results, and that no write runs between its read and its write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/scsi_rig.h"

#define TASKS 4u
#define BLOCK SCSI_RIG_BLOCK

static struct scsi_rig rig;

/* Other tasks at the same unit, as from other channels. */
struct other {
	struct scsi_task task;
	struct iovec iov[2];
	uint8_t data[4 * BLOCK];
	uint32_t done;
};
static struct other *others;
static uint32_t order[TASKS], ended;

static void other_done(struct scsi_task *task)
{
	struct other *o = container_of(task, struct other, task);

	o->done++;
	order[ended++] = (uint32_t)(o - others);
}

static int setup(void **state)
{
	scsi_rig_init(&rig);
	rig.unit.fence = scsi_fence_create();
	others = calloc(TASKS, sizeof(*others));
	assert_non_null(others);
	ended = 0;
	for (uint32_t i = 0; i < TASKS; i++)
		others[i].task.req = aligned_alloc(16, disk_req_size(&rig.disk->disk));
	return 0;
}

static int teardown(void **state)
{
	for (uint32_t i = 0; i < TASKS; i++)
		free(others[i].task.req);
	free(others);
	scsi_fence_destroy(rig.unit.fence);
	scsi_rig_fini(&rig);
	return 0;
}

static void start(
	uint32_t i, enum scsi_dir dir, uint32_t length, size_t cdb_length, const uint8_t *cdb)
{
	struct other *o = &others[i];

	o->task.unit = &rig.unit;
	o->task.queue = rig.queue;
	o->task.in = (struct scsi_input){
		.cdb_length = (uint8_t)cdb_length, .dir = dir, .length = length};
	memcpy(o->task.in.cdb, cdb, cdb_length);
	o->iov[0] = (struct iovec){o->data, length};
	o->task.iov = o->iov;
	o->task.iov_count = 1;
	o->task.iov_max = 2;
	o->task.done = other_done;
	o->done = 0;
	scsi_execute(&o->task);
}

/* Block 7: `from` becomes `to`. */
static void start_swap(uint32_t i, uint8_t from, uint8_t to)
{
	memset(others[i].data, from, BLOCK);
	memset(others[i].data + BLOCK, to, BLOCK);
	start(i, SCSI_DIR_OUT, 2 * BLOCK, CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0));
}

static void start_write(uint32_t i, uint8_t value)
{
	memset(others[i].data, value, BLOCK);
	start(i, SCSI_DIR_OUT, BLOCK, CDB(0x2A, 0, 0, 0, 0, 7, 0, 0, 1, 0));
}

static void turns(void)
{
	for (uint32_t i = 0; i < 8; i++) {
		loop_stop(&rig.loop);
		loop_run(&rig.loop);
	}
}

static void hold(bool on)
{
	atomic_store(&rig.disk->hold, on);
	if (!on)
		fault_disk_release(rig.queue);
}

static uint64_t requests(enum disk_op op)
{
	return atomic_load(&rig.disk->count[op]);
}

static uint8_t block_7(void)
{
	uint8_t block[BLOCK];

	scsi_rig_peek(&rig, 7, 1, block);
	for (uint32_t i = 1; i < BLOCK; i++)
		assert_int_equal(block[i], block[0]);
	return block[0];
}

/* ---- alone --------------------------------------------------------------- */

static enum scsi_error swap(uint8_t flags, uint8_t blocks, uint32_t length)
{
	return scsi_rig_run(&rig, SCSI_DIR_OUT, length,
		CDB(0x89, flags, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, blocks, 0, 0));
}

static void writes_what_compares(void **state)
{
	uint32_t half = SCSI_COMPARE_WRITE_BLOCKS_MAX * BLOCK;
	uint8_t *blocks = malloc(half);

	assert_non_null(blocks);
	for (uint32_t i = 0; i < 2 * half; i++)
		rig.data[i] = (uint8_t)(i * 7 + i / BLOCK);
	scsi_rig_poke(&rig, 7, SCSI_COMPARE_WRITE_BLOCKS_MAX, rig.data);
	assert_int_equal(swap(0, SCSI_COMPARE_WRITE_BLOCKS_MAX, 2 * half), SCSI_OK);
	assert_int_equal(rig.task.transferred, 2 * half);
	scsi_rig_peek(&rig, 7, SCSI_COMPARE_WRITE_BLOCKS_MAX, blocks);
	assert_memory_equal(blocks, rig.data + half, half);
	assert_int_equal(requests(DISK_WRITE), 1);
	assert_int_equal(atomic_load(&rig.disk->fua_count), 0);
	free(blocks);
}

static void tells_the_first_difference(void **state)
{
	static const uint32_t places[] = {0, 1, 35, 36, 511, 512, 4095, 4096, 4097, 16 * BLOCK - 1};

	for (uint32_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		memset(rig.data, 0x33, 32 * BLOCK);
		rig.data[places[i]] = 0x32;
		scsi_rig_poke(&rig, 7, 16, rig.data);
		rig.data[places[i]] = 0x33;
		assert_int_equal(swap(0, 16, 32 * BLOCK), SCSI_ERR_MISCOMPARE);
		assert_int_equal(rig.task.sense[0], 0xF0);
		assert_int_equal(rig.task.sense[2], 0x0E);
		assert_int_equal(rig.task.sense[12], 0x1D);
		assert_int_equal(rig.task.sense[3] << 24 | rig.task.sense[4] << 16 |
					 rig.task.sense[5] << 8 | rig.task.sense[6],
			places[i]);
		assert_int_equal(rig.task.transferred, 0);
	}
	assert_int_equal(requests(DISK_WRITE), 0);
}

static void durable_when_asked(void **state)
{
	assert_int_equal(swap(0x08, 1, 2 * BLOCK), SCSI_OK);
	assert_int_equal(atomic_load(&rig.disk->fua_count), 1);
	rig.unit.cache = SCSI_CACHE_OFF;
	assert_int_equal(swap(0, 1, 2 * BLOCK), SCSI_OK);
	assert_int_equal(atomic_load(&rig.disk->fua_count), 2);
}

static void refuses(void **state)
{
	assert_int_equal(swap(0, 0, 0), SCSI_OK);
	assert_int_equal(swap(0x20, 1, 2 * BLOCK), SCSI_ERR_CDB_FIELD);
	assert_int_equal(swap(0, 1, 2 * BLOCK - 1), SCSI_ERR_CDB_FIELD);
	assert_int_equal(
		swap(0, SCSI_COMPARE_WRITE_BLOCKS_MAX + 1, SCSI_RIG_DATA), SCSI_ERR_CDB_FIELD);
	assert_int_equal(scsi_rig_run(&rig, SCSI_DIR_IN, 1024,
				 CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0)),
		SCSI_ERR_CDB_FIELD);
	assert_int_equal(scsi_rig_run(&rig, SCSI_DIR_OUT, 2048,
				 CDB(0x89, 0, 0, 0, 0, 0, 0, 0, 0x7F, 0xFF, 0, 0, 0, 2, 0, 0)),
		SCSI_ERR_LBA_RANGE);
	assert_int_equal(requests(DISK_READ) + requests(DISK_WRITE), 0);
	rig.unit.info.read_only = true;
	assert_int_equal(swap(0, 1, 2 * BLOCK), SCSI_ERR_WRITE_PROTECTED);
	rig.unit.info.read_only = false;
	atomic_store(&rig.disk->error[DISK_READ], -EIO);
	assert_int_equal(swap(0, 1, 2 * BLOCK), SCSI_ERR_MEDIUM_READ);
	atomic_store(&rig.disk->error[DISK_READ], 0);
	atomic_store(&rig.disk->error[DISK_WRITE], -EIO);
	assert_int_equal(swap(0, 1, 2 * BLOCK), SCSI_ERR_MEDIUM_WRITE);
	atomic_store(&rig.disk->error[DISK_WRITE], 0);
	assert_int_equal(
		swap(0, 1, 2 * BLOCK), SCSI_OK); /* commands with errors have left the fence */
}

static void is_announced(void **state)
{
	scsi_rig_run(&rig, SCSI_DIR_IN, 255, CDB(0x12, 1, 0xB0, 0, 255, 0));
	assert_int_equal(rig.data[5], SCSI_COMPARE_WRITE_BLOCKS_MAX);
	scsi_rig_run(&rig, SCSI_DIR_IN, 64, CDB(0xA3, 0x0C, 1, 0x89, 0, 0, 0, 0, 0, 64, 0, 0));
	assert_int_equal(rig.data[1], 3);
	assert_int_equal(rig.data[4 + 13], 0xFF);
}

/* ---- with others --------------------------------------------------------- */

static void waits_for_writes_in_flight(void **state)
{
	hold(true);
	start_write(0, 5);
	start_swap(1, 5, 6);
	turns();
	assert_int_equal(requests(DISK_READ), 0);
	hold(false);
	turns();
	assert_int_equal(others[0].done, 1);
	assert_int_equal(others[1].done, 1);
	assert_int_equal(others[1].task.error, SCSI_OK);
	assert_int_equal(block_7(), 6);
}

static void writes_wait_for_it(void **state)
{
	hold(true);
	start_swap(0, 0, 1);
	start_write(1, 2);
	start(2, SCSI_DIR_NONE, 0, CDB(0x93, 1, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 0, 1, 0, 0));
	memset(others[3].data, 0, 24);
	memcpy(others[3].data, "\0\x16\0\x10", 4);
	others[3].data[19] = 1; /* block 0 */
	start(3, SCSI_DIR_OUT, 24, CDB(0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0));
	assert_int_equal(requests(DISK_READ), 1);
	for (uint32_t phase = 0; phase < 2; phase++) { /* its read, its write */
		assert_int_equal(requests(DISK_WRITE), phase);
		assert_int_equal(requests(DISK_DISCARD) + requests(DISK_WRITE_ZEROES), 0);
		fault_disk_release(rig.queue);
		turns();
	}
	hold(false);
	turns();
	assert_int_equal(ended, 4);
	assert_int_equal(others[0].task.error, SCSI_OK);
	assert_int_equal(order[0], 0);
	assert_int_equal(block_7(), 2);
	assert_int_equal(requests(DISK_DISCARD), 1);
	assert_int_equal(requests(DISK_WRITE_ZEROES), 1);
}

static void reads_do_not_wait(void **state)
{
	hold(true);
	start_swap(0, 0, 1);
	start(1, SCSI_DIR_IN, BLOCK, CDB(0x28, 0, 0, 0, 0, 7, 0, 0, 1, 0));
	assert_int_equal(requests(DISK_READ), 2);
	hold(false);
	turns();
	assert_int_equal(ended, 2);
}

static void first_come_first_served(void **state)
{
	hold(true);
	start_write(0, 1);
	start_swap(1, 1, 2);
	start_write(2, 3);
	start_swap(3, 3, 4);
	hold(false);
	turns();
	assert_int_equal(ended, 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(order[i], i);
		assert_int_equal(others[i].task.error, SCSI_OK);
	}
	assert_int_equal(block_7(), 4);
}

/* ---- cancelled ----------------------------------------------------------- */

static void cancelled_while_it_waits(void **state)
{
	hold(true);
	start_write(0, 1);
	start_swap(1, 1, 2);
	start_write(2, 3);
	start_swap(3, 3, 4);
	scsi_cancel(&others[1].task);
	scsi_cancel(&others[1].task);
	assert_int_equal(ended, 0); /* later */
	turns();
	assert_int_equal(ended, 1);
	assert_int_equal(others[1].task.error, SCSI_ERR_ABORTED);
	assert_int_equal(requests(DISK_WRITE), 2); /* the next one is admitted */
	scsi_cancel(&others[3].task);
	turns();
	assert_int_equal(others[3].task.error, SCSI_ERR_ABORTED);
	hold(false);
	turns();
	assert_int_equal(ended, TASKS);
	assert_int_equal(requests(DISK_READ), 0);
	ended = 0;
	start_swap(1, 3, 4);
	turns();
	assert_int_equal(others[1].task.error, SCSI_OK);
	assert_int_equal(block_7(), 4);
}

/* It is admitted, but resume() has not run yet. */
static void cancelled_when_it_is_let_in(void **state)
{
	hold(true);
	start_write(0, 1);
	start_swap(1, 1, 2);
	hold(false);
	scsi_cancel(&others[1].task);
	turns();
	assert_int_equal(ended, 2);
	assert_int_equal(others[1].task.error, SCSI_ERR_ABORTED);
	assert_int_equal(block_7(), 1);
	start_write(2, 3);
	turns();
	assert_int_equal(block_7(), 3);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* Without the cache the guest does not flush any more what is still being written. */
static void switching_the_cache_off_waits_for_writes(void **state)
{
	uint64_t flushes, writes;

	rig.unit.info.write_cache = true;
	hold(true);
	start_write(0, 0x11);
	memset(others[1].data, 0, 24);
	others[1].data[4] = 0x08; /* caching page, WCE 0 */
	others[1].data[5] = 18;
	start(1, SCSI_DIR_OUT, 24, CDB(0x15, 0x10, 0, 0, 24, 0));
	start_write(2, 0x22);
	turns();
	flushes = requests(DISK_FLUSH);
	writes = requests(DISK_WRITE);
	hold(false);
	turns();
	assert_int_equal(flushes, 0);
	assert_int_equal(writes, 1);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(others[i].done, 1);
		assert_int_equal(others[i].task.error, SCSI_OK);
		assert_int_equal(order[i], i);
	}
	assert_int_equal(requests(DISK_FLUSH), 1);
	assert_int_equal(atomic_load(&rig.disk->fua_count), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_what_compares),
		TEST(tells_the_first_difference),
		TEST(durable_when_asked),
		TEST(refuses),
		TEST(is_announced),
		TEST(waits_for_writes_in_flight),
		TEST(writes_wait_for_it),
		TEST(reads_do_not_wait),
		TEST(first_come_first_served),
		TEST(cancelled_while_it_waits),
		TEST(cancelled_when_it_is_let_in),
		TEST(switching_the_cache_off_waits_for_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
