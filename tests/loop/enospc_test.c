/* SPDX-License-Identifier: MIT */
/*
 * A sparse image of 1 GiB on a file system of 64 MiB, filled up by a guest until
 * writes fail, given room again, and so on (S2): what a refused write is told,
 * that what is there can still be read, overwritten and flushed, that writes
 * succeed as soon as there is room, and that no acknowledged one is torn. Then
 * the same with room that comes and goes while FUA writes run.
 *
 * Shadow model: each sector carries its number and the version of the write that
 * put it there. A sector holds its last acknowledged version, or one of refused
 * writes after it; nothing else, and after it was read, only that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "tests/support/storvsp_rig.h"

#define CYCLES           100u
#define REFUSALS         8u /* until the disk counts as full */
#define SPACE            "size=64m"
#define BALLAST          (16 << 20)
#define DISK_BYTES       (1ll << 30)
#define EXTENT           65536u
#define EXTENT_SECTORS   (EXTENT / 512)
#define EXTENTS          1536u /* 96 MiB: more than there is space for */
#define SECTORS          (EXTENTS * EXTENT_SECTORS)
#define DEPTH            16u
#define WRITES_WITH_ROOM 32u
#define TIGHT_WRITES     10000u

struct stamp {
	uint32_t sector, version;
};

struct model_sector {
	uint32_t acked;   /* version; 0: zeroes */
	uint32_t refused; /* first refused one after it; 0: none */
};

static struct {
	char dir[64], image[96], ballast[96];
	struct guest g;
	struct guest_disk d;
	struct disk *disk;
	struct model_sector model[SECTORS];
	bool busy[EXTENTS];
	uint32_t extent_of[DEPTH]; /* slot's */
	uint32_t version_of[DEPTH];
	uint32_t version;
	uint32_t random;
	uint64_t acked, refused;
} t;

static uint8_t bytes[EXTENT];

static uint32_t next_random(void)
{
	t.random = t.random * 1664525 + 1013904223;
	return t.random >> 8;
}

/* ---- model --------------------------------------------------------------- */

static void note_write(uint32_t extent, uint32_t version, bool acked)
{
	struct model_sector *m = &t.model[extent * EXTENT_SECTORS];

	for (uint32_t i = 0; i < EXTENT_SECTORS; i++) {
		if (acked)
			m[i] = (struct model_sector){.acked = version};
		else if (!m[i].refused)
			m[i].refused = version;
	}
}

static void check_sector(uint32_t sector, const uint8_t *at)
{
	struct model_sector *m = &t.model[sector];
	struct stamp s;

	memcpy(&s, at, sizeof(s));
	if (s.version && (s.sector != sector || at[511] != (uint8_t)s.version))
		fail_msg("sector %u holds something else", sector);
	if (s.version != m->acked && !(m->refused && s.version >= m->refused))
		fail_msg("sector %u holds version %u, not %u", sector, s.version, m->acked);
	*m = (struct model_sector){.acked = s.version};
}

/* ---- commands ------------------------------------------------------------ */

static void start_write(uint32_t slot, uint32_t extent, bool fua)
{
	uint32_t lba = extent * EXTENT_SECTORS;

	t.extent_of[slot] = extent;
	t.version_of[slot] = ++t.version;
	t.busy[extent] = true;
	memset(bytes, (uint8_t)t.version, EXTENT);
	for (uint32_t i = 0; i < EXTENT_SECTORS; i++) {
		struct stamp s = {.sector = lba + i, .version = t.version};

		memcpy(bytes + i * 512, &s, sizeof(s));
	}
	t.d.slots[slot].cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = VSTOR_DATA_OUT,
		.length = EXTENT,
		.cdb_length = 10,
		.cdb = {0x2A, fua ? 0x08 : 0, BE4(lba), 0, EXTENT_SECTORS >> 8,
			(uint8_t)EXTENT_SECTORS}};
	guest_slot_put(&t.d, slot, bytes, EXTENT);
	assert_true(guest_disk_submit(&t.d, slot, 0));
}

/* True: it was acknowledged. The only other answer is that there is no space. */
static bool finish_write(uint32_t slot)
{
	const struct storvsc_completion *c = guest_disk_wait(&t.d, slot);
	bool acked = c->srb_status == VSTOR_SRB_SUCCESS;

	if (!acked) {
		assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
		assert_int_equal(c->scsi_status, 0x02);
		assert_int_equal(c->sense[2] & 0xF, 0x07); /* DATA PROTECT: */
		assert_int_equal(c->sense[12], 0x27);
		assert_int_equal(c->sense[13], 0x07); /* SPACE ALLOCATION FAILED */
		assert_int_equal(c->transferred, 0);
	}
	note_write(t.extent_of[slot], t.version_of[slot], acked);
	t.busy[t.extent_of[slot]] = false;
	if (acked)
		t.acked++;
	else
		t.refused++;
	return acked;
}

static uint32_t idle_extent(void)
{
	uint32_t extent;

	do
		extent = next_random() % EXTENTS;
	while (t.busy[extent]);
	return extent;
}

/* Writes all over the place, several at once, until some were refused. */
static void fill_up(void)
{
	uint32_t refused = 0, slot;

	for (slot = 0; slot < DEPTH; slot++)
		start_write(slot, idle_extent(), next_random() % 4 == 0);
	for (slot = 0; refused < REFUSALS; slot = (slot + 1) % DEPTH) {
		slot %= DEPTH;
		refused += !finish_write(slot);
		start_write(slot, idle_extent(), next_random() % 4 == 0);
	}
	for (slot = 0; slot < DEPTH; slot++)
		finish_write(slot);
}

static bool write_extent(uint32_t extent, bool fua)
{
	start_write(0, extent, fua);
	return finish_write(0);
}

static void flush(void)
{
	assert_int_equal(guest_disk_run(&t.d, RIG_LUN, VSTOR_DATA_NONE, 0,
				 CDB(0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0))
				 ->srb_status,
		VSTOR_SRB_SUCCESS);
}

/* WRITE SAME without data, with UNMAP: holes. */
static void unmap_extent(uint32_t extent)
{
	assert_int_equal(guest_disk_run(&t.d, RIG_LUN, VSTOR_DATA_NONE, 0,
				 CDB(0x93, 0x09, 0, 0, 0, 0, BE4(extent * EXTENT_SECTORS),
					 BE4(EXTENT_SECTORS), 0, 0))
				 ->srb_status,
		VSTOR_SRB_SUCCESS);
	note_write(extent, 0, true);
}

static void read_all(void)
{
	for (uint32_t extent = 0; extent < EXTENTS; extent++) {
		uint32_t lba = extent * EXTENT_SECTORS;
		const struct storvsc_completion *c = guest_disk_run(&t.d, RIG_LUN, VSTOR_DATA_IN,
			EXTENT,
			CDB(0x28, 0, BE4(lba), 0, EXTENT_SECTORS >> 8, (uint8_t)EXTENT_SECTORS, 0));

		assert_int_equal(c->srb_status, VSTOR_SRB_SUCCESS);
		guest_slot_get(&t.d, 0, bytes, EXTENT);
		for (uint32_t i = 0; i < EXTENT_SECTORS; i++)
			check_sector(lba + i, bytes + i * 512);
	}
}

/* ---- the cycle ----------------------------------------------------------- */

/* What has its storage already can be written as before; nothing is remembered of the refusals. */
static void works_while_full(void)
{
	uint32_t extent = 0;

	while (!t.model[extent * EXTENT_SECTORS].acked ||
		t.model[(extent + 1) * EXTENT_SECTORS - 1].refused)
		extent++;
	assert_true(write_extent(extent, false));
	assert_true(write_extent(extent, true));
	flush();
}

static void take_ballast(void)
{
	int fd = open(t.ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(posix_fallocate(fd, 0, BALLAST), 0);
	close(fd);
}

/* By the guest's own doing, or behind its back. */
static void make_room(uint32_t cycle)
{
	if (cycle % 2) {
		assert_int_equal(unlink(t.ballast), 0);
		return;
	}
	for (uint32_t i = 0; i < EXTENTS; i++)
		if (i % 4 != cycle / 2 % 4)
			unmap_extent(i);
	take_ballast();
}

static void works_with_room(void)
{
	for (uint32_t i = 0; i < WRITES_WITH_ROOM; i++)
		assert_true(write_extent(idle_extent(), i % 2));
	flush();
}

static void skip_without_space(void)
{
	if (*t.dir)
		return;
	print_message("# skipped: a file system of 64 MiB needs root\n");
	skip();
}

static void fills_and_recovers(void **state)
{
	skip_without_space();
	for (uint32_t cycle = 0; cycle < CYCLES; cycle++) {
		fill_up();
		works_while_full();
		make_room(cycle);
		works_with_room();
		read_all();
	}
	assert_true(t.refused >= CYCLES * REFUSALS);
	print_message("# %u cycles: %llu writes, %llu refused, no sector torn\n", CYCLES,
		(unsigned long long)t.acked, (unsigned long long)t.refused);
}

/* The same in a slot that is free while others are busy. */
static void unmap_in_slot(uint32_t slot)
{
	uint32_t extent = idle_extent();

	t.d.slots[slot].cmd = (struct storvsc_command){.lun = RIG_LUN,
		.data = VSTOR_DATA_NONE,
		.cdb_length = 16,
		.cdb = {0x93, 0x09, 0, 0, 0, 0, BE4(extent * EXTENT_SECTORS), BE4(EXTENT_SECTORS)}};
	assert_true(guest_disk_submit(&t.d, slot, 0));
	assert_int_equal(guest_disk_wait(&t.d, slot)->srb_status, VSTOR_SRB_SUCCESS);
	note_write(extent, 0, true);
}

/* ---- room that comes and goes -------------------------------------------- */

static _Atomic bool ballast_stop;

static void *move_ballast(void *arg)
{
	while (!atomic_load(&ballast_stop)) {
		int fd = open(t.ballast, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0)
			continue;
		posix_fallocate(fd, 0, BALLAST); /* all of it or nothing */
		close(fd);
		unlink(t.ballast);
	}
	return NULL;
}

/* A FUA write that finds no room, and room right afterwards, has lost nothing: flushes go on. */
static void fua_writes_in_a_tight_place(void **state)
{
	pthread_t mover;
	uint32_t slot;

	skip_without_space();
	fill_up();
	atomic_store(&ballast_stop, false);
	assert_int_equal(pthread_create(&mover, NULL, move_ballast, NULL), 0);
	for (slot = 0; slot < DEPTH; slot++)
		start_write(slot, idle_extent(), true);
	for (uint32_t i = 0; i < TIGHT_WRITES; i++) {
		slot = i % DEPTH;
		if (finish_write(slot))
			unmap_in_slot(slot);
		start_write(slot, idle_extent(), true);
	}
	for (slot = 0; slot < DEPTH; slot++)
		finish_write(slot);
	atomic_store(&ballast_stop, true);
	pthread_join(mover, NULL);
	flush();
	read_all();
}

/* ---- life ---------------------------------------------------------------- */

static void make_image(void)
{
	int fd = open(t.image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0 && ftruncate(fd, DISK_BYTES) == 0);
	close(fd);
}

/* In a mount namespace of ours, so that it goes with us whatever happens. */
static bool mount_space(void)
{
	if (geteuid() || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return false;
	snprintf(t.dir, sizeof(t.dir), "/tmp/enlite-space-XXXXXX");
	if (!mkdtemp(t.dir))
		return false;
	if (mount("enlite-test", t.dir, "tmpfs", 0, SPACE) == 0)
		return true;
	rmdir(t.dir);
	*t.dir = '\0';
	return false;
}

static int setup(void **state)
{
	struct guest_config config = {.ram = 96 << 20, .vps = 1, .io_threads = 1};
	struct disk_file_options o = {0};
	struct storvsp_lun_config lun = {.lun = RIG_LUN};
	struct storvsp_config controller = {.luns = &lun, .lun_count = 1};

	memset(&t, 0, sizeof(t));
	t.random = 1;
	if (!mount_space())
		return 0;
	snprintf(t.image, sizeof(t.image), "%s/disk.img", t.dir);
	snprintf(t.ballast, sizeof(t.ballast), "%s/ballast", t.dir);
	make_image();
	assert_int_equal(disk_file_open(&t.disk, t.image, &o, NULL), 0);
	lun.disk = t.disk;
	guest_start(&t.g, &config);
	guest_add_device(&t.g, &storvsp_ops, RIG_INSTANCE, &controller);
	guest_connect(&t.g, VMBUS_VERSION_WIN10_V5_3);
	guest_disk_init(&t.d, &t.g, RIG_INSTANCE);
	guest_disk_open(&t.d, VSTOR_VERSION_WIN10, 0);
	take_ballast();
	return 0;
}

static int teardown(void **state)
{
	if (!*t.dir)
		return 0;
	guest_disk_close(&t.d);
	guest_stop(&t.g);
	disk_close(t.disk);
	umount(t.dir);
	rmdir(t.dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fills_and_recovers, setup, teardown),
		cmocka_unit_test_setup_teardown(fua_writes_in_a_tight_place, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
