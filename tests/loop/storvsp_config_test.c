/* SPDX-License-Identifier: MIT */
/* Controllers that cannot be made, disks that cannot be opened, sizes that cannot be: each says
 * why, and leaves nothing behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hv/vmbus_guids.h"
#include "tests/support/storvsp_rig.h"

static struct storvsp_rig *rig;
static struct disk *disks[2];
static struct disk_ops failing_ops;

static int setup(void **state)
{
	rig = storvsp_rig_create(2);
	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(disk_memory_open(&disks[i], 1 << 20, NULL), 0);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(rig);
	for (uint32_t i = 0; i < 2; i++)
		disk_close(disks[i]);
	return 0;
}

/* ---- devices ------------------------------------------------------------- */

struct attempt {
	struct storvsp_config config;
	struct vsp_device *dev;
	struct err e;
	int ret;
};

static void create(void *arg)
{
	struct attempt *a = arg;
	struct hv_guid instance = {.b = {9}};

	a->ret = vsp_device_create(
		&a->dev, &rig->g.host, &storvsp_ops, &instance, &a->config, &a->e);
}

/* Two disks, of which the second is not right. */
static void assert_refused(const struct storvsp_lun_config *second, const char *why)
{
	struct storvsp_lun_config luns[] = {{.lun = 1, .disk = disks[0]}, *second};
	struct attempt a = {.config = {.luns = luns, .lun_count = 2}};

	guest_control(&rig->g, create, &a);
	assert_int_equal(a.ret, -EINVAL);
	if (!strstr(a.e.text, why))
		fail_msg("\"%s\" does not say \"%s\"", a.e.text, why);
}

static void wrong_units(void **state)
{
	struct storvsp_lun_config lun = {.lun = 64, .disk = disks[1]};

	assert_refused(&lun, "below 64");
	lun.lun = 1;
	assert_refused(&lun, "has a disk already");
	lun.lun = 2;
	lun.serial = "123456789012345678901234567890123";
	assert_refused(&lun, "32 printable");
	lun.serial = "tab\there";
	assert_refused(&lun, "32 printable");
	lun.serial = "\x7F";
	assert_refused(&lun, "32 printable");
	lun.serial = NULL;
	lun.cdrom = true;
	disks[1]->info.size = 1536;
	assert_refused(&lun, "at least one block");
	lun.cdrom = false;
	disks[1]->info.size = 1 << 20;
	disks[1]->info.block_size = 4096;
	assert_refused(&lun, "too large");
}

/* The file of a reservation is a link to somewhere: it is not followed. */
static void reservation_that_cannot_be_read(void **state)
{
	struct storvsp_lun_config luns[] = {
		{.lun = 1, .disk = disks[0]}, {.lun = 2, .disk = disks[1]}};
	struct attempt a = {.config = {.luns = luns, .lun_count = 2}};
	char dir[] = "/tmp/storvsp_config_test.XXXXXX", image[64], file[80];

	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/disk", dir);
	snprintf(file, sizeof(file), "%s.pr", image);
	assert_int_equal(mknod(image, S_IFREG | 0600, 0), 0);
	assert_int_equal(symlink("/etc/hostname", file), 0);
	disks[1]->path = image;
	guest_control(&rig->g, create, &a);
	assert_int_equal(a.ret, -ELOOP);
	assert_non_null(strstr(a.e.text, file));
	disks[1]->path = NULL;
	assert_int_equal(unlink(file), 0);
	assert_int_equal(unlink(image), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* ---- channels ------------------------------------------------------------ */

static int no_queue(struct disk *disk, struct loop *loop, struct disk_queue **queue)
{
	return -EMFILE;
}

/* The first disk has its queue already when the second fails. */
static void channel_without_a_queue(void **state)
{
	static const struct hv_guid class_id = VMBUS_GUID_SCSI;
	const struct disk_ops *real = rig->last->ops;
	struct guest_chan chan = {0};
	struct vmbus_offer offer = guest_wait_offer(&rig->g, &class_id, RIG_INSTANCE, 0);

	failing_ops = *real;
	failing_ops.queue_open = no_queue;
	rig->last->ops = &failing_ops;
	assert_false(guest_chan_open(&chan, &rig->g, &offer, 9, 0));
	rig->last->ops = real;
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	guest_disk_close(&rig->d);
}

static void packet_longer_than_any(void **state)
{
	uint8_t bytes[128] = {VSTOR_OP_BEGIN_INITIALIZATION};
	struct vstor_packet reply;

	guest_disk_open_primary(&rig->d);
	assert_int_equal(guest_disk_packet(&rig->d, bytes, sizeof(bytes), &reply), 64);
	assert_int_equal(reply.status, VSTOR_STATUS_SUCCESS);
	guest_disk_close(&rig->d);
}

/* ---- sizes --------------------------------------------------------------- */

static int no_size(struct disk *disk, uint64_t *size, struct err *e)
{
	return err_set(e, -EIO, "the storage is gone");
}

struct resizing {
	struct err e;
	int ret;
};

static void resize(void *arg)
{
	struct resizing *r = arg;

	r->ret = storvsp_resize(rig->dev, RIG_LUN_LAST, &r->e);
}

static void sizes_that_cannot_be(void **state)
{
	const struct disk_ops *real = rig->last->ops;
	struct resizing r = {.ret = 0};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	failing_ops = *real;
	failing_ops.refresh = no_size;
	rig->last->ops = &failing_ops;
	guest_control(&rig->g, resize, &r);
	assert_int_equal(r.ret, -EIO);
	rig->last->ops = real;
	__atomic_store_n(&rig->last->info.size, 0, __ATOMIC_RELAXED);
	guest_control(&rig->g, resize, &r);
	assert_int_equal(r.ret, -EINVAL);
	assert_non_null(strstr(r.e.text, "smaller than one block"));
	__atomic_store_n(&rig->last->info.size, RIG_DISK_BYTES, __ATOMIC_RELAXED);
	/* the guest has not noticed */
	assert_int_equal(guest_disk_run(&rig->d, RIG_LUN_LAST, VSTOR_DATA_IN, 512,
				 CDB(0x28, 0, BE4(RIG_BLOCKS - 1), 0, 0, 1, 0))
				 ->srb_status,
		VSTOR_SRB_SUCCESS);
	guest_disk_close(&rig->d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(wrong_units),
		TEST(reservation_that_cannot_be_read),
		TEST(channel_without_a_queue),
		TEST(packet_longer_than_any),
		TEST(sizes_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
