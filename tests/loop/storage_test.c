/* SPDX-License-Identifier: MIT */
/*
 * The disks and controllers of a VM over several guests: what users change, in
 * any order, and guests that reset in the middle of it.
 */
#include "base/archive.h"
#include "tests/loop/storage_rig.h"

/* ---- tests --------------------------------------------------------------- */

static void changes_outlive_resets(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	add("memory:1M", 0, 1);
	add("other,ro,lun=9,serial=S", 0, 9);
	remove_disk(0, 0);
	assert_true(ready(1) && ready(9) && !ready(0));
	for (int i = 0; i < 3; i++) {
		reset();
		guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
		assert_true(ready(1) && ready(9) && !ready(0));
	}
	remove_disk(0, 9);
	add("image", 0, 0); /* and it is free again */
	guest_disk_close(&d);
}

static void addresses_are_found(void **state)
{
	add("memory:1M,lun=2", 0, 2);
	add("memory:1M", 0, 1);
	add("memory:1M", 0, 3);
	add("memory:1M,controller=1", 1, 0);
	for (uint8_t lun = 4; lun < 64; lun++)
		add("null:1M", 0, lun);
	refuses_to_add("null:1M", "no LUN left");
	remove_disk(0, 40);
	add("null:1M", 0, 40);
}

static void mistakes(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	refuses_to_add("none", "no such file");
	refuses_to_add("image", "is used");
	refuses_to_add("memory:1M,lun=0", "LUN 0 of controller 0 has a disk");
	refuses_to_add("memory:1M,fast", "unknown key 'fast'");
	refuses_to_add("memory:1M,log=none/log", "disk log");
	refuses_to_add("memory:1M,controller=4", "0 to 3");
	refuses_to_add("", "file: must be the name of a file");
	change.at = (struct lun_address){.controller = 0, .lun = 7};
	refused(do_remove, -ENOENT, "no disk 0:7");
	refused(do_resize, -ENOENT, "no disk 0:7");
	change.at = (struct lun_address){.controller = 200, .lun = 0};
	refused(do_remove, -ENOENT, "no disk 200:0");
	change.controller = 1;
	refused(do_remove_controller, -ENOENT, "no controller 1");
	change.controller = 100;
	refused(do_remove_controller, -ENOENT, "no controller 100");
	assert_true(ready(0) && !ready(1));
	guest_disk_close(&d);
}

/* The longest stack there can be fits into the requests of channels that are open already. */
static void the_deepest_stack(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	add("other,volatile,delay=1ns,volatile,delay=1ns,volatile,delay=1ns,volatile,delay=1ns", 0,
		1);
	assert_true(ready(1));
	guest_disk_run(&d, 1, IN, 4096, CDB(0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0));
	guest_disk_close(&d);
}

static void files_may_grow(void **state)
{
	uint8_t last[4];

	guest_disk_open(&d, VSTOR_VERSION_WIN10, 0);
	assert_int_equal(truncate(image, 2 << 20), 0);
	change.at = (struct lun_address){0};
	run(do_resize);
	assert_int_equal(change.ret, 0);
	assert_int_equal(change.size, 2 << 20);
	guest_disk_run(&d, 0, NONE, 0, CDB(0, 0, 0, 0, 0, 0)); /* is told */
	guest_disk_run(&d, 0, IN, 8, CDB(0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0));
	guest_slot_get(&d, 0, last, 4);
	assert_memory_equal(last, "\0\0\x0f\xff", 4);
	guest_disk_close(&d);
}

/* A server that takes the connection and says nothing. */
static int listen_silently(char path[64])
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(path, 64, "%s/server", dir);
	memcpy(addr.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void hang_up(int fd)
{
	close(accept(fd, NULL, NULL));
	close(fd);
}

/* Neither the guest nor other users wait for it; it may come to its end between two guests. */
static void opening_takes_its_time(void **state)
{
	char path[64], spec[128];
	int fd = listen_silently(path);
	struct change slow = {.spec = spec};

	snprintf(spec, sizeof(spec), "nbd+unix:///?socket=%s,lun=7,controller=1", path);
	guest_control(&g, do_add, &slow);
	assert_int_equal(slow.ret, 0);
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	assert_true(ready(0));
	refuses_to_add("memory:1M,lun=7,controller=1", "LUN 7 of controller 1 has a disk");
	change.at = slow.at;
	refused(do_remove, -EBUSY, "still being added");
	add("memory:1M,controller=1", 1, 0);
	remove_disk(1, 0);
	guest_shut_down(&g);
	guest_control(&g, do_detach, NULL);
	assert_int_equal(slow.done, 0);
	hang_up(fd);
	while (!slow.done)
		guest_control(&g, nothing, NULL);
	assert_false(slow.good);
	assert_non_null(strstr(slow.e.text, "nbd"));
	add("memory:1M,lun=7,controller=3", 3, 7);
	guest_stop(&g);
	boot();
	d.instance = INSTANCE + 3;
	guest_disk_open(&d, VSTOR_VERSION_WIN10, 0);
	assert_true(ready(7) && !ready(0));
	unlink(path);
}

/* The machine ends before: nobody runs what the thread has posted. */
static void opening_outlives_the_machine(void **state)
{
	char path[64], spec[128];
	struct vm_config none = {0};
	struct storage own = {0};
	struct lun_address at;
	struct change c = {0};
	struct storage_change t = told(&c);
	struct disk_config disk;
	struct loop loop;
	int fd = listen_silently(path);

	snprintf(spec, sizeof(spec), "nbd+unix:///?socket=%s", path);
	assert_int_equal(loop_init(&loop, "control", NULL), 0);
	assert_int_equal(storage_open(&own, &loop, &none, &c.e), 0);
	assert_int_equal(disk_config_parse(&disk, spec, NULL, &c.e), 0);
	assert_int_equal(storage_add(&own, &disk, &t, &at, &c.e), 0);
	hang_up(fd);
	storage_close(&own);
	assert_int_equal(c.done, 1);
	assert_non_null(strstr(c.e.text, "has ended"));
	loop_fini(&loop);
	unlink(path);
}

/* ---- controllers --------------------------------------------------------- */

static void a_controller_comes_and_goes(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	assert_true(ready(0));
	for (int i = 0; i < 3; i++) {
		add("other,controller=2,lun=5", 2, 5);
		add("memory:1M,controller=2,delay=1ms", 2, 0);
		guest_disk_close(&d);
		d.instance = INSTANCE + 2;
		guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
		assert_true(ready(5) && ready(0) && !ready(1));
		read_all(0);
		change.controller = 2;
		run(do_remove_controller);
		assert_int_equal(change.ret, 0);
		refused(do_remove_controller, -EALREADY, "being removed already");
		change.at = (struct lun_address){.controller = 2, .lun = 5};
		refused(do_remove, -EALREADY, "being removed already");
		refuses_to_add("memory:1M,controller=2", "controller 2 is being removed");
		give_back(&d);
		wait_done();
		refused(do_remove_controller, -ENOENT, "no controller 2");
		d.instance = INSTANCE;
		guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
		assert_true(ready(0));
	}
	guest_disk_close(&d);
}

static void do_save(void *arg)
{
	struct change *c = arg;
	struct archive a;

	archive_write(&a);
	storage_archive(&s, &a);
	c->ret = archive_error(&a, &c->e);
	archive_fini(&a);
}

/* A VM that restored the image would offer it again, or not have what its guest still knows. */
static void a_controller_that_goes_is_in_no_image(void **state)
{
	add("other,controller=2,lun=5", 2, 5);
	d.instance = INSTANCE + 2;
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	run(do_save);
	assert_int_equal(change.ret, 0);
	change.controller = 2;
	run(do_remove_controller);
	assert_int_equal(change.ret, 0);
	refused(do_save, -EINVAL, "controller 2 is being removed");
	give_back(&d);
	wait_done();
	run(do_save);
	assert_int_equal(change.ret, 0);
}

/* The guest that was to let go of the controller resets instead, with commands in flight. */
static void reset_in_the_middle(void **state)
{
	for (int i = 0; i < 6; i++) {
		bool controller = i % 2;

		guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
		add("memory:1M,lun=3,delay=2ms", 0, 3);
		read_all(3);
		change.at = (struct lun_address){.lun = 3};
		change.controller = 0;
		run(controller ? do_remove_controller : do_remove);
		assert_int_equal(change.ret, 0);
		reset();
		assert_int_equal(change.done, 1);
		if (controller)
			add("image", 0, 0);
		guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
		assert_true(ready(0) && !ready(3));
		guest_disk_close(&d);
	}
}

/* Both at once: the disk first, then all of its controller. */
static void a_disk_and_its_controller(void **state)
{
	struct change disk = {.at = {.lun = 3}};

	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	add("memory:1M,lun=3,delay=2ms", 0, 3);
	read_all(3);
	guest_control(&g, do_remove, &disk);
	assert_int_equal(disk.ret, 0);
	change.controller = 0;
	run(do_remove_controller);
	give_back(&d);
	wait_done();
	assert_int_equal(disk.done, 1);
	assert_true(disk.good);
}

/* Users and a guest that resets, round after round. */
static void many_changes_over_many_resets(void **state)
{
	for (int i = 0; i < 40; i++) {
		uint32_t relid;

		guest_disk_open(&d, VSTOR_VERSION_WIN10, (uint16_t)(i % (SUBS + 1)));
		read_all(0);
		add("other,lun=6", 0, 6);
		add("memory:1M,controller=3", 3, 0);
		if (i % 4 == 3)
			reset();
		else
			guest_disk_close(&d);
		remove_disk(0, 6);
		relid = guest_wait_offer(&g, &storvsp_ops.class_id, INSTANCE + 3, 0).relid;
		change.controller = 3;
		run(do_remove_controller);
		assert_int_equal(change.ret, 0);
		guest_wait_rescind(&g, relid);
		guest_release(&g, relid);
		wait_done();
	}
}

/* ---- identifiers --------------------------------------------------------- */

#define NAA 36u /* its offset in VPD page 83h */

static void wwid(uint8_t lun, uint8_t naa[16])
{
	uint8_t page[NAA + 16];

	ready(lun); /* reports what is new */
	assert_int_equal(
		guest_disk_run(&d, lun, IN, 252, CDB(0x12, 1, 0x83, 0, 252, 0))->srb_status,
		VSTOR_SRB_SUCCESS);
	guest_slot_get(&d, 0, page, sizeof(page));
	memcpy(naa, page + NAA, 16);
}

static void add_and_identify(const char *spec, uint8_t lun, uint8_t naa[16])
{
	add(spec, 0, lun);
	wwid(lun, naa);
}

static void no_two_disks_have_one_identifier(void **state)
{
	uint8_t naa[7][16];
	char shared[80];

	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	snprintf(shared, sizeof(shared), "%s,ro", other);
	wwid(0, naa[0]);
	add_and_identify(shared, 1, naa[1]);
	add_and_identify(shared, 2, naa[2]);
	add_and_identify("memory:1M", 3, naa[3]);
	add_and_identify("memory:1M", 4, naa[4]);
	add_and_identify("memory:1M,serial=S", 5, naa[5]);
	add_and_identify("memory:1M,serial=S", 6, naa[6]);
	for (uint32_t a = 0; a < 7; a++)
		for (uint32_t b = 0; b < a; b++)
			assert_memory_not_equal(naa[a], naa[b], 16);
	guest_disk_close(&d);
}

static void an_identifier_belongs_to_the_disk(void **state)
{
	uint8_t here[16], there[16], another[16];
	char moved[80];

	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	wwid(0, here);
	remove_disk(0, 0);
	add_and_identify(other, 0, another);
	assert_memory_not_equal(another, here, 16);
	snprintf(moved, sizeof(moved), "%s,lun=9", image);
	add_and_identify(moved, 9, there);
	assert_memory_equal(there, here, 16);
	guest_disk_close(&d);
	reset();
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	wwid(9, there);
	assert_memory_equal(there, here, 16);
	guest_disk_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(changes_outlive_resets),
		TEST(addresses_are_found),
		TEST(mistakes),
		TEST(the_deepest_stack),
		TEST(files_may_grow),
		TEST(opening_takes_its_time),
		TEST(no_two_disks_have_one_identifier),
		TEST(an_identifier_belongs_to_the_disk),
		cmocka_unit_test(opening_outlives_the_machine),
		TEST(a_controller_comes_and_goes),
		TEST(a_controller_that_goes_is_in_no_image),
		TEST(reset_in_the_middle),
		TEST(a_disk_and_its_controller),
		TEST(many_changes_over_many_resets),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
