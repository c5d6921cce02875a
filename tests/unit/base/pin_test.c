/* SPDX-License-Identifier: MIT */
/* Registered guest memory: the buffer of a request, its use by disks, and refusal. */
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
#include <sys/resource.h>
#include <unistd.h>

#include "base/pin.h"
#include "tests/support/disk_rig.h"

#define GIB    (1ull << 30)
#define RAM    (4u << 20)
#define NOBODY 65534

/* ---- where a request lies: no memory is needed for that ------------------ */

static void finds_the_buffer(void **state)
{
	const uint64_t base = 1ull << 40;
	struct gmem g = {.base = (uint8_t *)base, .low_size = 3 * GIB, .high_size = GIB + 8192};
	struct loop loop = {.pinned = &g};
	const struct {
		uint64_t gpa, len;
		int buffer;
	} cases[] = {
		{0, 1, 0},
		{0, GIB, 0},
		{0, GIB + 1, -1},
		{GIB - 4096, 4096, 0},
		{GIB - 4096, 4097, -1},
		{GIB, 4096, 1},
		{3 * GIB - 512, 512, 2},
		{3 * GIB - 512, 1024, -1},
		{3 * GIB, 512, -1}, /* the hole */
		{4 * GIB - 1, 1, -1},
		{4 * GIB, 4096, 4},
		{5 * GIB, 8192, 5},
		{5 * GIB, 8193, -1},
		{5 * GIB + 8192, 1, -1},
		{0 - base, 4096, -1}, /* below the window: not guest memory */
		{0 - 512ull, 512, -1},
		{0, UINT64_MAX, -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(loop_pinned(&loop, (void *)(base + cases[i].gpa), cases[i].len),
			cases[i].buffer);
	loop.pinned = NULL;
	assert_int_equal(loop_pinned(&loop, (void *)base, 1), -1);
}

/* ---- a file disk on it --------------------------------------------------- */

struct fixture {
	char path[64];
	struct gmem g;
	struct disk_rig rig;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct disk_file_options o = {0};
	struct disk *disk;
	int fd;

	assert_non_null(f);
	snprintf(f->path, sizeof(f->path), "/tmp/enlite-pin-XXXXXX");
	fd = mkstemp(f->path);
	assert_true(fd >= 0 && ftruncate(fd, RAM) == 0);
	close(fd);
	assert_int_equal(gmem_create(&f->g, RAM, NULL), 0);
	assert_int_equal(disk_file_open(&disk, f->path, &o, NULL), 0);
	disk_rig_init(&f->rig, disk);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	disk_rig_fini(&f->rig, false);
	gmem_destroy(&f->g);
	unlink(f->path);
	free(f);
	return 0;
}

static void moves_data(struct fixture *f)
{
	uint8_t *from = f->g.base + 4096, *to = f->g.base + RAM / 2;

	for (uint32_t flags = 0; flags <= DISK_FLAG_FUA; flags += DISK_FLAG_FUA) {
		for (uint32_t i = 0; i < 65536; i++)
			from[i] = (uint8_t)(i * 7 + i / 512 + flags);
		assert_int_equal(disk_rig_run(&f->rig, DISK_WRITE, flags, 8192, 65536, from), 0);
		assert_int_equal(disk_rig_run(&f->rig, DISK_READ, 0, 8192, 65536, to), 0);
		assert_memory_equal(from, to, 65536);
	}
}

/* Pinned, unpinned, pinned again; other memory meanwhile. */
static void registered_memory_moves_data(void **state)
{
	struct fixture *f = *state;
	uint8_t own[512];

	for (uint32_t i = 0; i < 3; i++) {
		if (loop_pin(&f->rig.loop, &f->g)) {
			print_message("# skipped: memory cannot be registered here\n");
			skip();
		}
		moves_data(f);
		assert_int_equal(disk_rig_run(&f->rig, DISK_READ, 0, 8192, 512, own), 0);
		assert_memory_equal(own, f->g.base + 4096, 512);
		loop_unpin(&f->rig.loop);
		moves_data(f);
	}
	loop_unpin(&f->rig.loop);
}

/* A loop with a wrong `pinned`: the kernel has no such buffer, so the error shows that fixed
 * operations are used. */
static void fixed_operations_are_used(void **state)
{
	struct fixture *f = *state;

	f->rig.loop.pinned = &f->g;
	assert_true(disk_rig_run(&f->rig, DISK_READ, 0, 0, 4096, f->g.base) < 0);
	assert_true(disk_rig_run(&f->rig, DISK_WRITE, 0, 0, 4096, f->g.base) < 0);
	f->rig.loop.pinned = NULL;
	moves_data(f);
}

/* The ring keeps its creator's credentials, so drop privileges first. */
static void a_refusal_changes_nothing(void **state)
{
	struct rlimit before, small = {.rlim_cur = RAM / 2}; /* the ring itself needs a little */
	uid_t self = geteuid();
	struct fixture *f;
	int ret;

	getrlimit(RLIMIT_MEMLOCK, &before);
	small.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &small), 0);
	assert_int_equal(seteuid(self ? self : NOBODY), 0);
	setup(state);
	f = *state;
	ret = loop_pin(&f->rig.loop, &f->g);
	assert_true(ret == -ENOMEM || ret == -EPERM);
	assert_int_equal(loop_pinned(&f->rig.loop, f->g.base, 4096), -1);
	moves_data(f);
	teardown(state);
	assert_int_equal(seteuid(self), 0);
	setrlimit(RLIMIT_MEMLOCK, &before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_buffer),
		cmocka_unit_test_setup_teardown(registered_memory_moves_data, setup, teardown),
		cmocka_unit_test_setup_teardown(fixed_operations_are_used, setup, teardown),
		cmocka_unit_test(a_refusal_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
