/* SPDX-License-Identifier: MIT */
/*
 * Disks of a VM on a file system that has stopped to answer: whatever is asked of it, the threads
 * that others share go on.
 */
#include "storage_rig.h"

#include "tests/support/stuck_file.h"

#define STUCK_LUN 1u

static struct stuck_file stuck;

/* ---- rig ----------------------------------------------------------------- */

static int stuck_setup(void **state)
{
	const char *why;

	if (!stuck_file_start(&stuck, 1 << 20, &why)) {
		print_message("# skipped: %s\n", why);
		stuck.server = 0;
		return 0;
	}
	return setup(state);
}

static int stuck_teardown(void **state)
{
	return stuck.server ? teardown(state) : 0;
}

static void begin(void)
{
	if (!stuck.server)
		skip();
	add(stuck.path, 0, STUCK_LUN);
	guest_disk_open(&d, VSTOR_VERSION_WIN10, SUBS);
}

static void wait_for(_Atomic uint32_t *seen)
{
	while (!atomic_load(seen))
		guest_control(&g, nothing, NULL);
}

static void others_go_on(void)
{
	const uint8_t read[] = {0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0};

	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(guest_disk_run(&d, 0, IN, 4096, sizeof(read), read)->srb_status,
			VSTOR_SRB_SUCCESS);
}

/* ---- GET LBA STATUS ------------------------------------------------------ */

static const uint8_t lba_status[16] = {0x9E, 0x12, [13] = 24};

static void a_search_for_holes_holds_nobody_else(void **state)
{
	struct guest_slot *slot = &d.slots[1];

	begin();
	slot->cmd = (struct storvsc_command){
		.lun = STUCK_LUN, .data = IN, .length = 24, .cdb_length = sizeof(lba_status)};
	memcpy(slot->cmd.cdb, lba_status, sizeof(lba_status));
	assert_true(guest_disk_submit(&d, 1, 0));
	wait_for(&stuck.seen->lseeks);
	others_go_on();
	/* One at a time: a second one would hold a second helper thread. */
	assert_int_equal(
		guest_disk_run(&d, STUCK_LUN, IN, 24, sizeof(lba_status), lba_status)->srb_status,
		VSTOR_SRB_BUSY);
	stuck_file_stop(&stuck);
	assert_int_not_equal(guest_disk_wait(&d, 1)->srb_status, VSTOR_SRB_SUCCESS);
	guest_disk_close(&d);
}

/* ---- closing ------------------------------------------------------------- */

static void begin_removal(void)
{
	begin();
	atomic_store(&stuck.seen->hold_close, true);
	change.at = (struct lun_address){.controller = 0, .lun = STUCK_LUN};
	run(do_remove);
	assert_int_equal(change.ret, 0);
	wait_for(&stuck.seen->flushes);
}

static void a_close_holds_nobody_else(void **state)
{
	begin_removal();
	ready(0); /* takes the attention: the LUN list has changed */
	others_go_on();
	assert_int_equal(change.done, 0);
	refused(do_remove, -EALREADY, "being removed already");
	stuck_file_stop(&stuck);
	wait_done();
	assert_false(ready(STUCK_LUN));
	add(other, 0, STUCK_LUN);
	guest_disk_close(&d);
}

static void the_end_waits_for_no_close(void **state)
{
	begin_removal();
	guest_disk_close(&d);
	halt();
	storage_close(&s);
	assert_int_equal(change.done, 1);
	stuck_file_stop(&stuck);
	if (storage_open(&s, &g.control, &options, &change.e)) /* for the teardown */
		fail_msg("%s", change.e.text);
	boot();
}

int main(void)
{
#undef TEST
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, stuck_setup, stuck_teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_search_for_holes_holds_nobody_else),
		TEST(a_close_holds_nobody_else),
		TEST(the_end_waits_for_no_close),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
