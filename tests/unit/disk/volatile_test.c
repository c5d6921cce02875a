/* SPDX-License-Identifier: MIT */
/* The write cache that loses what was not flushed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/filter/filters.h"
#include "tests/support/disk_rig.h"
#include "tests/support/fault_disk.h"

#define SIZE   (1u << 20)
#define SECTOR 512u

static struct disk_rig rig;
static struct disk *lower;
static struct fault_disk *fault;
static uint8_t buffer[SIZE], disk_bytes[SIZE], shadow[SIZE];

static int setup(void **state)
{
	struct disk *disk;

	assert_int_equal(disk_memory_open(&lower, SIZE, NULL), 0);
	fault = fault_disk_open(lower);
	assert_int_equal(disk_volatile_open(&disk, &fault->disk, 1, NULL), 0);
	assert_true(disk->info.write_cache);
	disk_rig_init(&rig, disk);
	return 0;
}

static int teardown(void **state)
{
	disk_rig_fini(&rig, false);
	return 0;
}

static void put(uint8_t value, uint64_t offset, uint64_t length, uint32_t flags)
{
	memset(buffer, value, length);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, flags, offset, length, buffer), 0);
}

static uint8_t get(uint64_t offset)
{
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, offset, SECTOR, buffer), 0);
	for (uint32_t i = 1; i < SECTOR; i++)
		assert_int_equal(buffer[i], buffer[0]);
	return buffer[0];
}

/* What is on the lower disk. */
static uint8_t on_medium(uint64_t offset)
{
	struct disk_rig low;
	uint8_t value;

	disk_rig_init(&low, lower);
	assert_int_equal(disk_rig_run(&low, DISK_READ, 0, offset, SECTOR, disk_bytes), 0);
	value = disk_bytes[0];
	disk_rig_fini(&low, true);
	return value;
}

static void writes_stay_in_the_cache_until_a_flush(void **state)
{
	put(1, 0, 4096, 0);
	put(2, 512, 512, 0);
	assert_int_equal(get(0), 1);
	assert_int_equal(get(512), 2);
	assert_int_equal(on_medium(0), 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 2);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 0);
	assert_int_equal(on_medium(0), 1);
	assert_int_equal(on_medium(512), 2);
	assert_int_equal(atomic_load(&fault->count[DISK_FLUSH]), 1);
	assert_int_equal(get(512), 2);
}

/* FUA takes along what lies below it, and only that. */
static void fua_is_on_the_medium_alone(void **state)
{
	put(1, 0, 1024, 0);
	put(2, 8192, 512, 0);
	put(3, 512, 512, DISK_FLAG_FUA);
	assert_int_equal(on_medium(512), 3);
	assert_int_equal(on_medium(8192), 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 1);
	assert_true(atomic_load(&fault->count[DISK_FLUSH]) >= 1);
	for (uint32_t i = 0; i < 20; i++) { /* whatever becomes of the rest */
		assert_int_equal(disk_volatile_cut(rig.disk), 0);
		assert_int_equal(get(512), 3);
		put((uint8_t)(10 + i), 8192, 512, 0);
	}
}

static void zeroes_and_discards_are_writes(void **state)
{
	put(7, 0, 8192, 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE_ZEROES, 0, 0, 1024, NULL), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_DISCARD, 0, 4096, 1024, NULL), 0);
	assert_int_equal(get(0), 0);
	assert_int_equal(get(4096), 0);
	assert_int_equal(get(2048), 7);
	assert_int_equal(on_medium(0), 7);
	assert_int_equal(on_medium(4096), 7);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(on_medium(0), 0);
	assert_int_equal(on_medium(4096), 0);
	assert_int_equal(atomic_load(&fault->count[DISK_DISCARD]), 1);
}

static void a_failed_flush_loses_nothing(void **state)
{
	put(4, 0, 512, 0);
	atomic_store(&fault->error[DISK_WRITE], -ENOSPC);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), -ENOSPC);
	atomic_store(&fault->error[DISK_WRITE], 0);
	atomic_store(&fault->error[DISK_FLUSH], -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	atomic_store(&fault->error[DISK_FLUSH], 0);
	assert_int_equal(disk_volatile_unflushed(rig.disk), 1);
	assert_int_equal(get(0), 4);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(on_medium(0), 4);
}

static void a_full_cache_writes_back(void **state)
{
	for (uint32_t i = 0; i < 5000; i++)
		put((uint8_t)i, i % 2048 * SECTOR, SECTOR, 0);
	assert_true(disk_volatile_unflushed(rig.disk) < 4096);
	assert_true(atomic_load(&fault->count[DISK_WRITE]) > 0);
	for (uint32_t i = 5000 - 2048; i < 5000; i++)
		assert_int_equal(get(i % 2048 * SECTOR), (uint8_t)i);
}

/* Every fate must come, and no sector may have a value it never had. */
static void cuts_of_every_kind(void **state)
{
	bool dropped = false, kept = false, torn = false, reordered = false;

	for (uint32_t round = 0; round < 300; round++) {
		uint8_t a[8];
		uint32_t old = 0;

		put(1, 0, 4096, DISK_FLAG_FUA);
		put(2, 0, 4096, 0);
		put(3, 0, 4096, 0);
		assert_int_equal(disk_volatile_cut(rig.disk), 0);
		for (uint32_t i = 0; i < 8; i++) {
			a[i] = get(i * SECTOR);
			assert_in_range(a[i], 1, 3);
			old += a[i] == 1;
			torn |= a[i] != a[0];
		}
		dropped |= old == 8;
		kept |= !old && a[0] == 3 && a[7] == 3;
		reordered |= a[0] == 2 && a[7] == 2;
	}
	assert_true(dropped && kept && torn && reordered);
}

/* The same seed, the same loss. */
static void cuts_are_deterministic(void **state)
{
	uint8_t first[64], again[64];

	for (uint32_t pass = 0; pass < 2; pass++) {
		struct disk *memory, *disk;
		struct disk_rig r;

		assert_int_equal(disk_memory_open(&memory, SIZE, NULL), 0);
		assert_int_equal(disk_volatile_open(&disk, memory, 42, NULL), 0);
		disk_rig_init(&r, disk);
		for (uint32_t i = 0; i < 64; i++) {
			memset(buffer, (int)i + 1, 4096);
			assert_int_equal(
				disk_rig_run(&r, DISK_WRITE, 0, i % 16 * 4096, 4096, buffer), 0);
			if (i % 8 == 7)
				assert_int_equal(disk_volatile_cut(disk), 0);
		}
		for (uint32_t i = 0; i < 64; i++) {
			assert_int_equal(disk_rig_run(&r, DISK_READ, 0, i * 1024, 512, buffer), 0);
			(pass ? again : first)[i] = buffer[0];
		}
		disk_rig_fini(&r, false);
	}
	assert_memory_equal(first, again, sizeof(first));
}

static void closing_cuts_the_power(void **state)
{
	bool lost = false, kept = false;

	for (uint64_t seed = 0; seed < 60; seed++) {
		struct disk *memory, *disk;
		struct disk_rig r;

		assert_int_equal(disk_memory_open(&memory, SIZE, NULL), 0);
		assert_int_equal(disk_volatile_open(&disk, memory, seed, NULL), 0);
		disk_rig_init(&r, disk);
		memset(buffer, 9, 512);
		assert_int_equal(disk_rig_run(&r, DISK_WRITE, 0, 0, 512, buffer), 0);
		disk_rig_fini(&r, true);
		disk->ops->close(disk);
		disk_rig_init(&r, memory);
		assert_int_equal(disk_rig_run(&r, DISK_READ, 0, 0, 512, buffer), 0);
		lost |= buffer[0] == 0;
		kept |= buffer[0] == 9;
		disk_rig_fini(&r, false);
	}
	assert_true(lost && kept);
}

/* Reads, writes and flushes in flight together on a slow lower disk: what is read is what was
 * written last, wherever it is at that moment. */
static void reads_see_the_newest(void **state)
{
	uint32_t random = 1;

	memset(shadow, 0, SIZE);
	atomic_store(&fault->delay_ns, 20000);
	for (uint32_t round = 0; round < 200; round++) {
		static uint8_t in[32][4096], out[32][4096];
		uint64_t at[32];

		for (uint32_t i = 0; i < 32; i++) {
			random = random * 1664525 + 1013904223;
			at[i] = (i * 8 + (random >> 8) % 8) * 4096ull;
			memset(out[i], (int)(random >> 16), 4096);
			memcpy(shadow + at[i], out[i], 4096);
			disk_rig_start(&rig, i, DISK_WRITE, i == 5 ? DISK_FLAG_FUA : 0, at[i], 4096,
				out[i]);
		}
		disk_rig_start(&rig, 100, DISK_FLUSH, 0, 0, 0, NULL);
		while (rig.slots[5].busy)
			disk_rig_wait(&rig, rig.in_flight - 1);
		for (uint32_t i = 0; i < 32; i++)
			disk_rig_start(&rig, 32 + i, DISK_READ, 0, at[i], 4096, in[i]);
		disk_rig_start(&rig, 101, DISK_FLUSH, 0, 0, 0, NULL);
		disk_rig_wait(&rig, 0);
		for (uint32_t i = 0; i < 32; i++)
			assert_memory_equal(in[i], shadow + at[i], 4096);
	}
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, SIZE, disk_bytes), 0);
	assert_memory_equal(disk_bytes, shadow, SIZE);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_stay_in_the_cache_until_a_flush),
		TEST(fua_is_on_the_medium_alone),
		TEST(zeroes_and_discards_are_writes),
		TEST(a_failed_flush_loses_nothing),
		TEST(a_full_cache_writes_back),
		TEST(cuts_of_every_kind),
		cmocka_unit_test(cuts_are_deterministic),
		cmocka_unit_test(closing_cuts_the_power),
		TEST(reads_see_the_newest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
