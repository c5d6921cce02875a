/* SPDX-License-Identifier: MIT */
/* null, and the filters but volatile: each over a null or memory disk. */
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

#include "base/file_lock.h"
#include "disk/filter/filters.h"
#include "tests/support/disk_rig.h"

#define SIZE (1u << 20)
#define MS   1000000ull

static struct disk_rig rig;
static uint8_t buffer[65536];

static struct disk *null_disk(void)
{
	struct disk *disk;

	assert_int_equal(disk_null_open(&disk, SIZE, NULL), 0);
	return disk;
}

static struct disk *memory_disk(void)
{
	struct disk *disk;

	assert_int_equal(disk_memory_open(&disk, SIZE, NULL), 0);
	return disk;
}

static void null_reads_zeros_and_forgets(void **state)
{
	struct err e;

	disk_rig_init(&rig, null_disk());
	memset(buffer, 0xAA, 4096);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 4096, buffer), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 4096, buffer), 0);
	for (uint32_t i = 0; i < 4096; i++)
		assert_int_equal(buffer[i], 0);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	assert_int_equal(disk_rig_run(&rig, DISK_DISCARD, 0, 0, SIZE, NULL), 0);
	disk_rig_fini(&rig, false);
	assert_int_equal(disk_null_open(&rig.disk, 0, &e), -EINVAL);
	assert_int_equal(disk_null_open(&rig.disk, 513, &e), -EINVAL);
	assert_non_null(strstr(e.text, "513"));
}

/* ---- delay --------------------------------------------------------------- */

static void delays_only_what_it_shall(void **state)
{
	struct disk_delay_options o = {
		.ops = 1u << DISK_WRITE, .min_ns = 20 * MS, .max_ns = 20 * MS};
	uint64_t start;
	struct disk *disk;

	assert_int_equal(disk_delay_open(&disk, memory_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	start = loop_now_ns();
	memset(buffer, 0x5A, 512);
	disk_rig_start(&rig, 0, DISK_WRITE, 0, 512, 512, buffer);
	disk_rig_start(&rig, 1, DISK_READ, 0, 512, 512, buffer + 512);
	assert_int_equal(rig.in_flight, 1); /* the read is back: before the write has begun */
	assert_int_equal(buffer[512], 0);
	disk_rig_wait(&rig, 0);
	assert_true(rig.slots[0].done_ns - start >= 20 * MS);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 512, 512, buffer + 512), 0);
	assert_int_equal(buffer[512], 0x5A);
	disk_rig_fini(&rig, false);
}

static void random_delays_stay_in_their_range(void **state)
{
	struct disk_delay_options o = {.ops = DISK_OPS_ALL, .min_ns = 2 * MS, .max_ns = 12 * MS};
	uint64_t start, early = 0, least = UINT64_MAX;
	struct disk *disk;

	assert_int_equal(disk_delay_open(&disk, null_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	start = loop_now_ns();
	for (uint32_t i = 0; i < DISK_RIG_REQUESTS; i++)
		disk_rig_start(&rig, i, DISK_READ, 0, 0, 512, buffer);
	disk_rig_wait(&rig, 0);
	for (uint32_t i = 0; i < DISK_RIG_REQUESTS; i++) {
		uint64_t took = rig.slots[i].done_ns - start;

		least = took < least ? took : least;
		early += i && rig.slots[i].done_ns < rig.slots[i - 1].done_ns;
	}
	assert_true(least >= 2 * MS);
	assert_true(early > DISK_RIG_REQUESTS / 8); /* later ones overtake */
	disk_rig_fini(&rig, false);
}

/* ---- error --------------------------------------------------------------- */

static void fails_every_nth(void **state)
{
	struct disk_error_options o = {.ops = 1u << DISK_READ, .every = 3, .error = -EIO};
	uint32_t failed = 0;
	struct disk *disk;

	assert_int_equal(disk_error_open(&disk, null_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 1; i <= 30; i++) {
		int error = disk_rig_run(&rig, DISK_READ, 0, 0, 512, buffer);

		assert_int_equal(error, i % 3 ? 0 : -EIO);
		failed += error != 0;
		assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, buffer), 0);
		assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), 0);
	}
	assert_int_equal(failed, 10);
	assert_int_equal(disk_error_injected(disk), 10);
	disk_rig_fini(&rig, false);
}

/* Binomial: 10000 at 10 % is 1000, give or take 30; eight sigmas are allowed. */
static void fails_at_random(void **state)
{
	struct disk_error_options o = {.ops = DISK_OPS_ALL, .ppm = 100000, .error = -ENOSPC};
	uint32_t failed = 0;
	struct disk *disk;

	assert_int_equal(disk_error_open(&disk, memory_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 0; i < 10000; i++) {
		int error = disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, buffer);

		assert_true(error == 0 || error == -ENOSPC);
		failed += error != 0;
	}
	assert_in_range(failed, 760, 1240);
	assert_int_equal(disk_error_injected(disk), failed);
	disk_rig_fini(&rig, false);
}

static void a_failed_write_changes_nothing(void **state)
{
	struct disk_error_options o = {.ops = 1u << DISK_WRITE, .ppm = 1000000, .error = -EIO};
	struct disk *disk;

	assert_int_equal(disk_error_open(&disk, memory_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	memset(buffer, 0x77, 512);
	assert_int_equal(disk_rig_run(&rig, DISK_WRITE, 0, 0, 512, buffer), -EIO);
	assert_int_equal(disk_rig_run(&rig, DISK_READ, 0, 0, 512, buffer), 0);
	assert_int_equal(buffer[0], 0);
	disk_rig_fini(&rig, false);
}

/* ---- limit --------------------------------------------------------------- */

static uint64_t run_many(uint32_t count, uint32_t length)
{
	uint64_t start = loop_now_ns();

	for (uint32_t i = 0; i < count; i++)
		disk_rig_start(&rig, i, DISK_READ, 0, 0, length, buffer);
	disk_rig_wait(&rig, 0);
	return loop_now_ns() - start;
}

/* A limit must hold from above; how much later a loaded machine is says nothing. */
static void limits_requests(void **state)
{
	struct disk_limit_options o = {.iops = 1000, .iops_burst = 10};
	struct disk *disk;

	assert_int_equal(disk_limit_open(&disk, null_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 0; i < 10; i++)
		disk_rig_start(&rig, i, DISK_READ, 0, 0, 512, buffer);
	assert_int_equal(rig.in_flight, 0); /* the burst */
	assert_true(run_many(100, 512) >= 90 * MS);
	disk_rig_fini(&rig, false);
}

static void limits_bytes(void **state)
{
	struct disk_limit_options o = {.bps = 64 << 20, .bps_burst = 65536};
	struct disk *disk;

	assert_int_equal(disk_limit_open(&disk, null_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	/* 8 MiB at 64 MiB/s; the first two start at once */
	assert_true(run_many(128, 65536) >= 120 * MS);
	assert_int_equal(disk_rig_run(&rig, DISK_DISCARD, 0, 0, SIZE, NULL), 0);
	assert_true(run_many(DISK_RIG_REQUESTS, 512) < 10000 * MS);
	disk_rig_fini(&rig, false);
}

static void unlimited_in_either_way(void **state)
{
	struct disk_limit_options o = {0};
	struct disk *disk;

	assert_int_equal(disk_limit_open(&disk, null_disk(), &o, NULL), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 0; i < DISK_RIG_REQUESTS; i++)
		disk_rig_start(&rig, i, DISK_READ, 0, 0, 65536, buffer);
	assert_int_equal(rig.in_flight, 0);
	disk_rig_fini(&rig, false);
}

/* ---- log ----------------------------------------------------------------- */

static void logs_a_line_a_request(void **state)
{
	char path[] = "/tmp/enlite-log-XXXXXX", op[32], result[32];
	struct disk_error_options o = {.ops = 1u << DISK_FLUSH, .every = 1, .error = -EIO};
	unsigned long long offset, length, us, at;
	static const struct {
		const char *op;
		unsigned long long offset, length;
		const char *result;
	} lines[] = {
		{"write+fua", 1024, 512, "ok"},
		{"read", 0, 4096, "ok"},
		{"flush", 0, 0, "EIO"},
		{"zeroes+unmap", 4096, 8192, "ok"},
		{"discard", 0, SIZE, "ok"},
	};
	struct disk *disk;
	FILE *f;

	close(mkstemp(path));
	assert_int_equal(disk_error_open(&disk, memory_disk(), &o, NULL), 0);
	assert_int_equal(disk_log_open(&disk, disk, path, NULL), 0);
	disk_rig_init(&rig, disk);
	disk_rig_run(&rig, DISK_WRITE, DISK_FLAG_FUA, 1024, 512, buffer);
	disk_rig_run(&rig, DISK_READ, 0, 0, 4096, buffer);
	assert_int_equal(disk_rig_run(&rig, DISK_FLUSH, 0, 0, 0, NULL), -EIO);
	disk_rig_run(&rig, DISK_WRITE_ZEROES, DISK_FLAG_UNMAP, 4096, 8192, NULL);
	disk_rig_run(&rig, DISK_DISCARD, 0, 0, SIZE, NULL);
	disk_rig_fini(&rig, false);
	f = fopen(path, "r");
	assert_non_null(f);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		assert_int_equal(fscanf(f, "%llu.%*u %31s %llu %llu %llu %31s", &at, op, &offset,
					 &length, &us, result),
			6);
		assert_string_equal(op, lines[i].op);
		assert_int_equal(offset, lines[i].offset);
		assert_int_equal(length, lines[i].length);
		assert_string_equal(result, lines[i].result);
	}
	assert_int_equal(fscanf(f, "%31s", op), EOF);
	fclose(f);
	unlink(path);
}

/* Faster than any file: lines may be dropped, but every request is a line or counted. */
static void counts_what_it_drops(void **state)
{
	char path[] = "/tmp/enlite-log-XXXXXX", line[256];
	unsigned long long lines = 0, dropped = 0, n;
	struct disk *disk;
	FILE *f;

	close(mkstemp(path));
	assert_int_equal(disk_log_open(&disk, null_disk(), path, NULL), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 0; i < 20000; i++)
		disk_rig_run(&rig, DISK_READ, 0, 0, 512, buffer);
	disk_rig_fini(&rig, false);
	f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "# %llu lines dropped", &n) == 1)
			dropped += n;
		else
			lines++;
	}
	assert_int_equal(lines + dropped, 20000);
	assert_true(lines > 0);
	fclose(f);
	unlink(path);
}

static void log_says_why_it_cannot(void **state)
{
	struct disk *disk, *lower = null_disk();
	struct err e;

	assert_int_equal(disk_log_open(&disk, lower, "/nonexistent/log", &e), -ENOENT);
	assert_non_null(strstr(e.text, "disk log /nonexistent/log: cannot be opened"));
	disk_close(lower);
}

/* Neither the open nor the close waits for a reader. */
static void log_waits_for_no_reader(void **state)
{
	char directory[] = "/tmp/enlite-log-XXXXXX", path[sizeof(directory) + 5];
	struct disk *disk, *lower = null_disk();
	struct err e;
	int reader;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(disk_log_open(&disk, lower, path, &e), -ENXIO);
	assert_non_null(strstr(e.text, "nobody reads from this pipe"));
	reader = open(path, O_RDONLY | O_NONBLOCK);
	assert_int_equal(disk_log_open(&disk, lower, path, &e), 0);
	disk_rig_init(&rig, disk);
	for (uint32_t i = 0; i < 20000; i++) /* more than a pipe takes */
		disk_rig_run(&rig, DISK_READ, 0, 0, 512, buffer);
	disk_rig_fini(&rig, false);
	close(reader);
	unlink(path);
	rmdir(directory);
}

/* It may be the image of a disk. */
static void log_touches_no_locked_file(void **state)
{
	struct disk *disk, *lower = null_disk();
	char path[] = "/tmp/enlite-log-XXXXXX";
	int fd = mkstemp(path);
	struct err e;

	assert_int_equal(file_lock_take(fd, false), 0);
	assert_int_equal(disk_log_open(&disk, lower, path, &e), -EBUSY);
	assert_non_null(strstr(e.text, "is in use"));
	close(fd);
	unlink(path);
	disk_close(lower);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(null_reads_zeros_and_forgets),
		cmocka_unit_test(delays_only_what_it_shall),
		cmocka_unit_test(random_delays_stay_in_their_range),
		cmocka_unit_test(fails_every_nth),
		cmocka_unit_test(fails_at_random),
		cmocka_unit_test(a_failed_write_changes_nothing),
		cmocka_unit_test(limits_requests),
		cmocka_unit_test(limits_bytes),
		cmocka_unit_test(unlimited_in_either_way),
		cmocka_unit_test(logs_a_line_a_request),
		cmocka_unit_test(counts_what_it_drops),
		cmocka_unit_test(log_says_why_it_cannot),
		cmocka_unit_test(log_waits_for_no_reader),
		cmocka_unit_test(log_touches_no_locked_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
