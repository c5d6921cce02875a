/* SPDX-License-Identifier: MIT */
/* Pauses of a VM's disks and controllers, beside commands, changes and resets. */
#include "tests/loop/storage_rig.h"

static _Atomic uint32_t rests;

static void count_rest(void *ctx)
{
	rests++;
}

static void do_pause(void *arg)
{
	storage_pause(&s, count_rest, NULL);
}

static void do_resume(void *arg)
{
	storage_resume(&s);
}

static void do_name_busy(void *arg)
{
	storage_name_busy(&s, &change.e);
}

static void wait_rest(uint32_t want)
{
	uint64_t until = loop_now_ns() + GUEST_TIMEOUT_MS * 1000000ull;

	while (rests < want && loop_now_ns() < until)
		guest_control(&g, nothing, NULL);
	assert_int_equal(rests, want);
}

static void pause_and_wait(void)
{
	rests = 0;
	guest_control(&g, do_pause, NULL);
	wait_rest(1);
}

static void wait_all(void)
{
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++)
		assert_int_equal(guest_disk_wait(&d, slot)->srb_status, VSTOR_SRB_SUCCESS);
}

/* With commands in flight, which complete; the guest finds its answers afterwards. */
static void a_pause_completes_what_is_in_flight(void **state)
{
	add("memory:1M,lun=3,delay=2ms", 0, 3);
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	for (int i = 0; i < 20; i++) {
		read_all(3);
		pause_and_wait();
		guest_control(&g, do_resume, NULL);
		wait_all();
		assert_true(ready(0) && ready(3));
	}
	assert_int_equal(rests, 1);
	guest_disk_close(&d);
}

static bool deferred;

static void look_for_deferred(void *arg)
{
	deferred = container_of(s.disks.prev, struct storage_disk, link)->deferred;
}

/* Returns when the disk is open. */
static void add_while_paused(void)
{
	change.spec = "memory:1M,lun=4";
	run(do_add);
	assert_int_equal(change.ret, 0);
	do
		guest_control(&g, look_for_deferred, NULL);
	while (!deferred);
}

/* It is opened meanwhile, and added at the resume. */
static void a_pause_defers_an_add(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	pause_and_wait();
	add_while_paused();
	assert_int_equal(change.done, 0);
	guest_control(&g, do_resume, NULL);
	wait_done();
	assert_true(ready(4));
	guest_disk_close(&d);
}

/* The disk is there for the next guest. */
static void a_reset_ends_a_pause(void **state)
{
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	pause_and_wait();
	add_while_paused(); /* what is posted to a control thread that ends here is lost; a VM's
			       does not end */
	reset();
	wait_done();
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	assert_true(ready(0) && ready(4));
	pause_and_wait();
	guest_control(&g, do_resume, NULL);
	assert_true(ready(0));
	guest_disk_close(&d);
}

/* A disk that hangs is named, and the pause given up: all goes on. */
static void a_busy_disk_is_named(void **state)
{
	add("memory:1M,lun=3,delay=5s", 0, 3);
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	read_all(3);
	rests = 0;
	guest_control(&g, do_pause, NULL);
	do
		run(do_name_busy);
	while (!change.e.text[0] && !rests);
	assert_non_null(strstr(change.e.text, "disk 0:3 (memory:1M) did not complete"));
	guest_control(&g, do_resume, NULL);
	wait_all();
	assert_true(ready(0));
	assert_int_equal(rests, 0);
	guest_disk_close(&d);
}

/* Its channels close; what is left of it does not keep the others from coming to rest. */
static void a_controller_goes_while_it_pauses(void **state)
{
	add("memory:1M,controller=2,delay=20ms", 2, 0);
	d.instance = INSTANCE + 2;
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	read_all(0);
	change.controller = 2;
	run(do_remove_controller);
	assert_int_equal(change.ret, 0);
	rests = 0;
	guest_control(&g, do_pause, NULL);
	wait_rest(1);
	guest_control(&g, do_resume, NULL);
	give_back(&d);
	wait_done();
	d.instance = INSTANCE;
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
	assert_true(ready(0));
	guest_disk_close(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pause_completes_what_is_in_flight),
		TEST(a_pause_defers_an_add),
		TEST(a_reset_ends_a_pause),
		TEST(a_busy_disk_is_named),
		TEST(a_controller_goes_while_it_pauses),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
