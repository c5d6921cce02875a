/* SPDX-License-Identifier: MIT */
/*
 * LUNs and controllers that come and go while a guest uses them, on four
 * channels of two I/O threads. Each command completes exactly once (guest_disk.h),
 * a removed disk is never used again (it is freed at once), and the guest is
 * notified of every change.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "tests/support/hot_disk.h"

#define LUN    RIG_LUN
#define HOT    HOT_LUN
#define SUBS   3u
#define CYCLES 200u

#define IN   VSTOR_DATA_IN
#define NONE VSTOR_DATA_NONE

static int setup(void **state)
{
	*state = storvsp_rig_create(SUBS + 1);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

/* ---- the guest ----------------------------------------------------------- */

static const struct storvsc_completion *ready(struct storvsp_rig *rig, uint8_t lun)
{
	return guest_disk_run(&rig->d, lun, NONE, 0, CDB(0, 0, 0, 0, 0, 0));
}

static void assert_attention(struct storvsp_rig *rig, uint8_t lun, uint8_t asc, uint8_t ascq)
{
	const struct storvsc_completion *c = ready(rig, lun);

	assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(c->sense[2], 6);
	assert_int_equal(c->sense[12], asc);
	assert_int_equal(c->sense[13], ascq);
}

static void assert_changed(struct storvsp_rig *rig, uint8_t lun)
{
	assert_attention(rig, lun, 0x3F, 0x0E);
	assert_int_equal(ready(rig, lun)->srb_status, VSTOR_SRB_SUCCESS);
}

static void wait_enumerations(struct storvsp_rig *rig, uint64_t count)
{
	while (rig->d.enumerations < count) {
		uint64_t seen = guest_events(&rig->g);

		if (!guest_disk_poll(&rig->d))
			guest_wait_events(&rig->g, seen);
	}
}

/* Through every channel. */
static void assert_absent(struct storvsp_rig *rig)
{
	for (uint32_t channel = 0; channel < rig->d.channel_count; channel++) {
		struct guest_slot *s = &rig->d.slots[0];
		uint8_t type;

		s->cmd = (struct storvsc_command){.lun = HOT, .data = NONE, .cdb_length = 6};
		assert_true(guest_disk_submit(&rig->d, 0, channel));
		assert_int_equal(guest_disk_wait(&rig->d, 0)->srb_status, VSTOR_SRB_INVALID_LUN);
		s->cmd = (struct storvsc_command){.lun = HOT,
			.data = IN,
			.length = 36,
			.cdb_length = 6,
			.cdb = {0x12, [4] = 36}};
		assert_true(guest_disk_submit(&rig->d, 0, channel));
		assert_int_equal(guest_disk_wait(&rig->d, 0)->srb_status, VSTOR_SRB_SUCCESS);
		guest_slot_get(&rig->d, 0, &type, 1);
		assert_int_equal(type, 0x7F); /* nothing can be there */
	}
}

static uint32_t luns_reported(struct storvsp_rig *rig)
{
	uint8_t list[8];

	guest_disk_run(&rig->d, LUN, IN, 512, CDB(0xA0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0));
	guest_slot_get(&rig->d, 0, list, sizeof(list));
	return list[3] / 8u;
}

/* ---- one change after the other ------------------------------------------ */

static void the_guest_is_told(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	assert_int_equal(luns_reported(rig), 2);
	assert_absent(rig);
	hot_add(&hot);
	wait_enumerations(rig, 1);
	assert_changed(rig, LUN);
	assert_changed(rig, RIG_LUN_LAST);
	assert_int_equal(ready(rig, HOT)->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(luns_reported(rig), 3);
	hot_remove(&hot);
	wait_enumerations(rig, 2);
	assert_absent(rig);
	assert_int_equal(luns_reported(rig), 2);
	assert_int_equal(ready(rig, LUN)->srb_status, VSTOR_SRB_SUCCESS); /* has asked */
	assert_changed(rig, RIG_LUN_LAST);
	assert_int_equal(rig->d.enumerations, 2);
	guest_disk_close(&rig->d);
}

/* There is no such packet in the oldest version; and before the end of the initialization nobody
 * would understand one. */
static void who_looks_by_itself_is_not_told(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	hot_add(&hot); /* no channel at all */
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN6, 0);
	assert_int_equal(ready(rig, HOT)->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(ready(rig, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	hot_remove(&hot);
	assert_absent(rig);
	assert_changed(rig, LUN);
	guest_disk_close(&rig->d);
	guest_disk_open_primary(&rig->d);
	hot_add(&hot);
	guest_disk_close(&rig->d);
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN7, 0);
	assert_int_equal(ready(rig, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	assert_int_equal(rig->d.enumerations, 0);
	hot_remove(&hot);
	wait_enumerations(rig, 1); /* 48 bytes */
	guest_disk_close(&rig->d);
}

/* Its medium is not what has changed, and Linux would fail a read. */
static void a_dvd_drive_is_not_disturbed(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};
	struct hot cd = {.rig = rig, .dev = rig->dev, .cdrom = true};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_add(&cd);
	assert_changed(rig, LUN);
	hot_add(&hot);
	assert_changed(rig, LUN);
	assert_int_equal(ready(rig, HOT_CD)->srb_status, VSTOR_SRB_SUCCESS);
	hot_remove(&cd);
	hot_add(&cd);
	assert_attention(rig, HOT_CD, 0x28, 0x00); /* another disc, perhaps */
	hot_remove(&cd);
	hot_remove(&hot);
	guest_disk_close(&rig->d);
}

static void counters_begin_at_zero(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};
	struct storvsp_counters c;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (int i = 0; i < 2; i++) {
		hot_add(&hot);
		if (i)
			assert_attention(rig, HOT, 0x2A, 0x09); /* is it another disk? */
		assert_int_equal(ready(rig, HOT)->srb_status, VSTOR_SRB_SUCCESS);
		assert_int_equal(storvsp_counters(rig->dev, HOT, &c), 0);
		assert_int_equal(c.others, 1);
		assert_int_equal(c.errors, i);
		hot_remove(&hot);
		assert_int_equal(storvsp_counters(rig->dev, HOT, &c), -ENOENT);
	}
	guest_disk_close(&rig->d);
}

/* ---- mistakes ------------------------------------------------------------ */

static void try_mistakes(void *arg)
{
	struct hot *hot = arg;
	struct vsp_device *dev = hot->dev;
	struct storvsp_lun_config lun = {.lun = LUN, .disk = hot->rig->last};
	struct err e = {""};
	struct disk *deep;

	assert_int_equal(storvsp_add(dev, &lun, hot_added, hot, &e), -EINVAL);
	assert_non_null(strstr(e.text, "LUN 5: has a disk already"));
	lun.lun = 64;
	assert_int_equal(storvsp_add(dev, &lun, hot_added, hot, &e), -EINVAL);
	assert_int_equal(storvsp_remove(dev, HOT, hot_removed, hot, &e), -ENOENT);
	assert_int_equal(storvsp_remove(dev, 200, hot_removed, hot, &e), -ENOENT);
	assert_int_equal(disk_memory_open(&deep, HOT_SIZE, NULL), 0);
	for (int i = 0; i < 3; i++)
		deep = &fault_disk_open(deep)->disk;
	lun = (struct storvsp_lun_config){.lun = HOT, .disk = deep};
	assert_int_equal(storvsp_add(dev, &lun, hot_added, hot, &e), -EINVAL);
	assert_non_null(strstr(e.text, "more filters"));
	disk_close(deep);
}

static void mistakes_change_nothing(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_control(&hot, try_mistakes);
	assert_int_equal(hot.additions + hot.removals, 0);
	assert_int_equal(luns_reported(rig), 2);
	assert_int_equal(ready(rig, LUN)->srb_status, VSTOR_SRB_SUCCESS);
	guest_disk_close(&rig->d);
}

/* All at once: no channel has had its turn between these. */
static void add_and_remove(void *arg)
{
	struct hot *hot = arg;
	struct err e = {""};

	hot_do_add(hot);
	assert_int_equal(hot->ret, 0);
	assert_int_equal(hot->state, HOT_ADDING);
	hot_do_remove(hot);
	assert_int_equal(hot->ret, 0);
	assert_int_equal(storvsp_remove(hot->dev, HOT, hot_removed, hot, &e), -EALREADY);
}

static void removed_while_it_is_added(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_control(&hot, add_and_remove);
	hot_wait(&hot, HOT_NONE);
	assert_int_equal(hot.error, -ECANCELED);
	assert_int_equal(hot.additions, 1);
	assert_int_equal(hot.removals, 1);
	assert_absent(rig);
	hot_add(&hot);
	hot_remove(&hot);
	guest_disk_close(&rig->d);
}

/* The queue of the third channel fails: the others detach the LUN, and it can be added again. */
static void a_queue_that_cannot_be_opened(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev, .queues_left = 3};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_control(&hot, hot_do_add);
	hot_wait(&hot, HOT_FAILED);
	assert_int_equal(hot.error, -EMFILE);
	assert_absent(rig);
	assert_int_equal(rig->d.enumerations, 0);
	hot.queues_left = 0;
	hot_add(&hot);
	hot_remove(&hot);
	guest_disk_close(&rig->d);
}

/* ---- with commands in flight --------------------------------------------- */

static void read_block(struct storvsp_rig *rig, uint32_t slot, uint8_t lun)
{
	guest_slot_read(&rig->d, slot, lun, slot * 8, 8);
	while (!guest_disk_submit(&rig->d, slot, slot % rig->d.channel_count))
		guest_disk_poll(&rig->d);
}

static void wait_for_reads(struct hot *hot, uint64_t count)
{
	while (hot->disk->count[DISK_READ] < count)
		hot_control(hot, hot_nothing);
}

static void removal_cancels_what_is_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_add(&hot);
	hot.disk->hold = true;
	for (uint32_t slot = 8; slot < 32; slot++)
		read_block(rig, slot, HOT);
	wait_for_reads(&hot, 24);
	hot_remove(&hot);
	for (uint32_t slot = 8; slot < 32; slot++)
		assert_int_equal(guest_disk_wait(&rig->d, slot)->srb_status, VSTOR_SRB_BUS_RESET);
	guest_disk_close(&rig->d);
}

/* The disk keeps what it has: the guest knows at once, the user waits. */
static void removal_waits_for_what_is_in_flight(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev};

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_add(&hot);
	hot.disk->hold = true;
	hot.disk->stubborn = true;
	for (uint32_t slot = 8; slot < 32; slot++)
		read_block(rig, slot, HOT);
	wait_for_reads(&hot, 24);
	hot_control(&hot, hot_do_remove);
	assert_int_equal(hot.ret, 0);
	wait_enumerations(rig, 2);
	assert_absent(rig);
	assert_changed(rig, LUN);
	assert_int_equal(guest_disk_in_flight(&rig->d), 24);
	assert_int_equal(hot.state, HOT_REMOVING);
	hot_control(&hot, hot_do_remove);
	assert_int_equal(hot.ret, -EALREADY);
	hot_release(&hot);
	for (uint32_t slot = 8; slot < 32; slot++)
		assert_int_equal(guest_disk_wait(&rig->d, slot)->transferred, 4096);
	hot_wait(&hot, HOT_NONE);
	assert_int_equal(hot.removals, 1);
	guest_disk_close(&rig->d);
}

static bool is_of_removed(const struct storvsc_completion *c)
{
	return c->srb_status == VSTOR_SRB_INVALID_LUN || c->srb_status == VSTOR_SRB_BUS_RESET;
}

static void check_result(struct storvsp_rig *rig, uint32_t slot)
{
	const struct guest_slot *s = &rig->d.slots[slot];
	const struct storvsc_completion *c = &s->result;
	bool attention = c->srb_status == VSTOR_SRB_ERROR && c->sense[2] == 6;

	assert_int_equal(s->parse_error, 0);
	if (c->srb_status == VSTOR_SRB_SUCCESS)
		assert_int_equal(c->transferred, 4096);
	else
		assert_true(attention || (s->cmd.lun == HOT && is_of_removed(c)));
}

/* All slots busy: one half on a disk that stays, one on that which comes and goes. */
static void keep_busy(struct storvsp_rig *rig, uint64_t *good)
{
	struct guest_disk *d = &rig->d;
	uint64_t seen = guest_events(&rig->g);
	uint32_t taken = guest_disk_poll(d);

	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
		struct guest_slot *s = &d->slots[slot];

		if (s->state == SLOT_DONE) {
			check_result(rig, slot);
			*good += s->cmd.lun == HOT && s->result.srb_status == VSTOR_SRB_SUCCESS;
			s->state = SLOT_FREE;
		}
		if (s->state == SLOT_FREE)
			read_block(rig, slot, slot % 2 ? HOT : LUN);
	}
	if (!taken)
		guest_wait_events(&rig->g, seen);
}

static void drain(struct storvsp_rig *rig)
{
	for (uint32_t slot = 0; slot < GUEST_DISK_SLOTS; slot++) {
		if (rig->d.slots[slot].state == SLOT_IN_FLIGHT)
			guest_disk_wait(&rig->d, slot);
		rig->d.slots[slot].state = SLOT_FREE;
	}
}

static void many_cycles_under_load(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev, .delay_ns = 20000};
	uint64_t good = 0;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	for (uint32_t cycle = 0; cycle < CYCLES; cycle++) {
		uint64_t before = good;

		hot.delay_ns = cycle % 3 * 20000;
		hot_control(&hot, hot_do_add);
		while (hot.state != HOT_ADDED || good == before)
			keep_busy(rig, &good);
		hot_control(&hot, hot_do_remove);
		while (hot.state != HOT_NONE)
			keep_busy(rig, &good);
	}
	drain(rig);
	assert_int_equal(hot.additions, CYCLES);
	assert_int_equal(hot.removals, CYCLES);
	wait_enumerations(rig, 1);
	assert_absent(rig);
	guest_disk_close(&rig->d);
}

/* ---- while channels come and go ------------------------------------------ */

/* Adds and removes on the control thread, the next as soon as the last is done. */
static void churn_added(void *ctx, int error);

static void churn_removed(void *ctx)
{
	struct hot *hot = ctx;

	if (hot->stop) {
		hot_removed(hot);
		return;
	}
	hot->removals++;
	if (hot->disk)
		hot_close_disk(hot);
	hot_open_disk(hot);
	hot->state = HOT_ADDING;
	if (storvsp_add(hot->dev,
		    &(struct storvsp_lun_config){.lun = HOT, .disk = &hot->disk->disk}, churn_added,
		    hot, NULL))
		abort();
}

static struct loop_task *churn_task(struct hot *hot);

static void churn_added(void *ctx, int error)
{
	struct hot *hot = ctx;

	hot_added(hot, error);
	if (error)
		abort();
	loop_post(&hot->rig->g.control, churn_task(hot));
}

struct churn {
	struct hot hot;
	struct loop_task task;
};

static struct loop_task *churn_task(struct hot *hot)
{
	return &container_of(hot, struct churn, hot)->task;
}

/* A task of its own: without channels it would be one endless recursion. */
static void churn_remove(struct loop_task *task)
{
	struct churn *churn = container_of(task, struct churn, task);

	churn->hot.state = HOT_REMOVING;
	if (storvsp_remove(churn->hot.dev, HOT, churn_removed, &churn->hot, NULL))
		abort();
}

static void churn_begin(void *arg)
{
	churn_removed(arg);
}

static void some_reads(struct storvsp_rig *rig, uint32_t turns)
{
	uint64_t good = 0;

	for (uint32_t i = 0; i < turns; i++)
		keep_busy(rig, &good);
}

static void channels_come_and_go_meanwhile(void **state)
{
	struct storvsp_rig *rig = *state;
	struct churn churn = {
		.hot = {.rig = rig, .dev = rig->dev, .delay_ns = 50000, .removals = -1u},
		.task.fn = churn_remove,
	};

	hot_control(&churn.hot, churn_begin);
	for (uint32_t round = 0; round < 30 || churn.hot.additions < 40; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, (uint16_t)(round % (SUBS + 1)));
		some_reads(rig, 10);
		if (round % 3 == 2) { /* the guest's next kernel */
			guest_connect(&rig->g, VMBUS_VERSION_WIN10);
			guest_disk_forget(&rig->d);
		} else {
			guest_disk_close(&rig->d);
		}
	}
	churn.hot.stop = true;
	hot_wait(&churn.hot, HOT_NONE);
	assert_int_equal(churn.hot.additions, churn.hot.removals);
	assert_true(churn.hot.removals > 30);
}

static void closed_in_the_middle_of_a_removal(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .dev = rig->dev, .delay_ns = 2000000};

	for (uint32_t round = 0; round < 10; round++) {
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
		hot_add(&hot);
		for (uint32_t slot = 0; slot < 32; slot++)
			read_block(rig, slot, HOT);
		hot_control(&hot, hot_do_remove);
		if (round % 2) {
			guest_connect(&rig->g, VMBUS_VERSION_WIN10);
			guest_disk_forget(&rig->d);
		} else {
			guest_disk_close(&rig->d);
		}
		hot_wait(&hot, HOT_NONE);
		guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
		assert_absent(rig);
		guest_disk_close(&rig->d);
	}
	/* And the end of everything: the disk is removed before the bus is shut down (teardown). */
	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, SUBS);
	hot_add(&hot);
	for (uint32_t slot = 0; slot < 32; slot++)
		read_block(rig, slot, HOT);
	hot_control(&hot, hot_do_remove);
	storvsp_rig_destroy(rig);
	assert_int_equal(hot.state, HOT_NONE);
	*state = storvsp_rig_create(1);
}

/* ---- controllers --------------------------------------------------------- */

#define SECOND (RIG_INSTANCE + 1)

static void give_back(struct guest_disk *d)
{
	for (uint32_t i = 0; i < d->channel_count; i++)
		guest_wait_rescind(d->g, d->channels[i].offer.relid);
	for (uint32_t i = d->channel_count; i-- > 0;)
		guest_release(d->g, d->channels[i].offer.relid);
	guest_disk_forget(d);
}

static void start_second(struct hot *hot, struct guest_disk *d)
{
	struct storvsp_config config = {.disk_req_size = 1024};

	hot->dev = guest_add_device(&hot->rig->g, &storvsp_ops, SECOND, &config);
	hot_control(hot, hot_do_add);
	guest_disk_open(d, VSTOR_VERSION_WIN10, 1);
	hot_wait(hot, HOT_ADDED);
	for (uint32_t slot = 0; slot < 16; slot++) {
		guest_slot_read(d, slot, HOT, 0, 1);
		assert_true(guest_disk_submit(d, slot, slot % 2));
	}
}

/* A second controller comes and goes while the first works; in every other round one of its disks
 * is being removed at that moment. */
static void controllers_come_and_go(void **state)
{
	struct storvsp_rig *rig = *state;
	struct hot hot = {.rig = rig, .delay_ns = 300000};
	struct guest_disk d;
	uint64_t good = 0;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 1);
	guest_disk_init(&d, &rig->g, SECOND);
	for (uint32_t round = 0; round < 20; round++) {
		start_second(&hot, &d);
		if (round % 2)
			hot_control(&hot, hot_do_remove);
		guest_remove_device(&rig->g, hot.dev);
		for (uint32_t i = 0; i < 5; i++)
			keep_busy(rig, &good);
		give_back(&d);
		guest_wait_removed(&rig->g, hot.dev);
		rig->g.device_count--;
		if (round % 2)
			assert_int_equal(hot.state, HOT_NONE);
		else
			hot_removed(&hot); /* with its controller */
	}
	drain(rig);
	guest_disk_close(&rig->d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_guest_is_told),
		TEST(who_looks_by_itself_is_not_told),
		TEST(a_dvd_drive_is_not_disturbed),
		TEST(counters_begin_at_zero),
		TEST(mistakes_change_nothing),
		TEST(removed_while_it_is_added),
		TEST(a_queue_that_cannot_be_opened),
		TEST(removal_cancels_what_is_in_flight),
		TEST(removal_waits_for_what_is_in_flight),
		TEST(many_cycles_under_load),
		TEST(channels_come_and_go_meanwhile),
		TEST(closed_in_the_middle_of_a_removal),
		TEST(controllers_come_and_go),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
