/* SPDX-License-Identifier: MIT */
/*
 * The file disk on loop devices with the geometry that a test needs: logical blocks above 512
 * bytes, and read-only devices. Needs root and /dev/loop-control, and says so where they lack.
 */
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
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/loop.h>

#include "tests/support/disk_rig.h"

#define SIZE (16u << 20)

struct device {
	char image[64];
	char path[32];
	int fd; /* the device goes when nobody has it open */
};

/* Another process may take the free number first: then the next is tried. */
static int loop_open(struct device *d, int image, uint32_t block_size, uint32_t flags)
{
	struct loop_config config = {
		.fd = (uint32_t)image,
		.block_size = block_size,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR | flags,
	};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), fd = -1, number;

	for (int tries = 0; control >= 0 && tries < 50 && fd < 0; tries++) {
		number = ioctl(control, LOOP_CTL_GET_FREE);
		snprintf(d->path, sizeof(d->path), "/dev/loop%d", number);
		fd = number < 0 ? -1 : open(d->path, O_RDWR | O_CLOEXEC);
		if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config)) {
			close(fd);
			fd = -1;
		}
	}
	if (control >= 0)
		close(control);
	return fd;
}

static void device_open(struct device *d, uint32_t block_size, uint32_t flags)
{
	int image;

	snprintf(d->image, sizeof(d->image), "/tmp/block_device_test.XXXXXX");
	image = mkstemp(d->image);
	assert_true(image >= 0);
	assert_int_equal(ftruncate(image, SIZE), 0);
	d->fd = loop_open(d, image, block_size, flags);
	close(image);
	unlink(d->image);
	if (d->fd < 0) {
		print_message("skipped: no loop device can be made here (%s)\n", strerror(errno));
		skip();
	}
}

static void rig_open(struct disk_rig *rig, struct device *d)
{
	const struct disk_file_options rw = {0};
	struct disk *disk;
	struct err e;

	if (disk_file_open(&disk, d->path, &rw, &e))
		fail_msg("%s", e.text);
	disk_rig_init(rig, disk);
}

static uint8_t pattern[SIZE], now[SIZE];

/* ---- large logical blocks ------------------------------------------------ */

static void fill(struct disk_rig *rig)
{
	memset(pattern, 0xB7, sizeof(pattern));
	assert_int_equal(disk_rig_run(rig, DISK_WRITE, 0, 0, 1 << 20, pattern), 0);
}

/* Exactly the range became zero. */
static void assert_zero(struct disk_rig *rig, uint64_t offset, uint64_t length)
{
	assert_int_equal(disk_rig_run(rig, DISK_READ, 0, 0, 1 << 20, now), 0);
	for (uint64_t i = 0; i < 1 << 20; i++)
		if (now[i] != (i >= offset && i < offset + length ? 0 : 0xB7))
			fail_msg("byte %llu is %02x", (unsigned long long)i, now[i]);
}

static void clears_less_than_a_block(struct device *d)
{
	static const struct {
		uint64_t offset, length;
	} ranges[] = {{512, 512}, {0, 512}, {4096 - 512, 1024}, {8192, 4096}, {512, 65536},
		{4096, 66048}};
	static const struct {
		enum disk_op op;
		uint32_t flags;
	} ways[] = {{DISK_DISCARD, 0}, {DISK_WRITE_ZEROES, 0}, {DISK_WRITE_ZEROES, DISK_FLAG_UNMAP},
		{DISK_DISCARD, DISK_FLAG_FUA}};
	struct disk_rig *rig = calloc(1, sizeof(*rig));

	assert_non_null(rig);
	rig_open(rig, d);
	assert_true(rig->disk->info.discard);
	for (size_t r = 0; r < sizeof(ranges) / sizeof(ranges[0]); r++) {
		for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
			fill(rig);
			assert_int_equal(disk_rig_run(rig, ways[w].op, ways[w].flags,
						 ranges[r].offset, ranges[r].length, NULL),
				0);
			assert_zero(rig, ranges[r].offset, ranges[r].length);
		}
	}
	disk_rig_fini(rig, false);
	free(rig);
	close(d->fd);
}

static void blocks_of_1024(void **state)
{
	struct device d;

	device_open(&d, 1024, 0);
	clears_less_than_a_block(&d);
}

static void blocks_of_4096(void **state)
{
	struct device d;

	device_open(&d, 4096, 0);
	clears_less_than_a_block(&d);
}

/* ---- read-only devices --------------------------------------------------- */

static void a_read_only_device_is_not_writable(void **state)
{
	const struct disk_file_options rw = {0}, ro = {.read_only = true};
	struct disk *disk;
	struct device d;
	struct err e;

	device_open(&d, 512, LO_FLAGS_READ_ONLY);
	assert_int_equal(disk_file_open(&disk, d.path, &rw, &e), -EROFS);
	assert_non_null(strstr(e.text, d.path));
	assert_non_null(strstr(e.text, "\"ro\""));
	assert_int_equal(disk_file_open(&disk, d.path, &ro, &e), 0);
	assert_true(disk->info.read_only);
	disk_close(disk);
	close(d.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_of_1024),
		cmocka_unit_test(blocks_of_4096),
		cmocka_unit_test(a_read_only_device_is_not_writable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
