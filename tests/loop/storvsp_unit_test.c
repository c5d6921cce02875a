/* SPDX-License-Identifier: MIT */
/* Units that change while a guest uses them: the whole way through the controller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tests/support/storvsp_rig.h"

#define LUN  RIG_LUN
#define IN   VSTOR_DATA_IN
#define NONE VSTOR_DATA_NONE

static int setup(void **state)
{
	*state = storvsp_rig_create(3);
	return 0;
}

static int teardown(void **state)
{
	storvsp_rig_destroy(*state);
	return 0;
}

static void assert_sense(const struct storvsc_completion *c, uint8_t key, uint8_t asc, uint8_t ascq)
{
	assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
	assert_int_equal(c->scsi_status, 0x02);
	assert_int_equal(c->sense[2], key);
	assert_int_equal(c->sense[12], asc);
	assert_int_equal(c->sense[13], ascq);
}

static const struct storvsc_completion *read_block(struct storvsp_rig *rig, uint32_t lba)
{
	return guest_disk_run(&rig->d, LUN, IN, 512, CDB(0x28, 0, BE4(lba), 0, 0, 1, 0));
}

struct resize {
	struct storvsp_rig *rig;
	uint8_t lun;
	int ret;
};

static void resize_on_control(void *arg)
{
	struct resize *r = arg;
	struct err e = {0};

	r->ret = storvsp_resize(r->rig->dev, r->lun, &e);
}

static int resize_lun(struct storvsp_rig *rig, uint8_t lun)
{
	struct resize r = {.rig = rig, .lun = lun};

	guest_control(&rig->g, resize_on_control, &r);
	return r.ret;
}

/* The storage gets this size, and the user has it read again. */
static void resize(struct storvsp_rig *rig, uint64_t size)
{
	__atomic_store_n(&rig->disk->disk.lower->info.size, size, __ATOMIC_RELAXED);
	assert_int_equal(resize_lun(rig, LUN), 0);
}

static void shrinks_and_grows(void **state)
{
	struct storvsp_rig *rig = *state;

	guest_disk_open(&rig->d, VSTOR_VERSION_WIN10, 0);
	resize(rig, RIG_DISK_BYTES);
	assert_int_equal(read_block(rig, RIG_BLOCKS - 1)->srb_status, VSTOR_SRB_SUCCESS);
	resize(rig, RIG_DISK_BYTES / 2);
	assert_sense(read_block(rig, 0), 6, 0x2A, 0x09);
	assert_sense(read_block(rig, RIG_BLOCKS / 2), 5, 0x21, 0x00);
	assert_int_equal(read_block(rig, RIG_BLOCKS / 2 - 1)->srb_status, VSTOR_SRB_SUCCESS);
	resize(rig, RIG_DISK_BYTES);
	assert_sense(read_block(rig, 0), 6, 0x2A, 0x09);
	assert_int_equal(read_block(rig, RIG_BLOCKS - 1)->srb_status, VSTOR_SRB_SUCCESS);
	/* others have not noticed */
	assert_int_equal(
		guest_disk_run(&rig->d, RIG_LUN_LAST, NONE, 0, CDB(0, 0, 0, 0, 0, 0))->srb_status,
		VSTOR_SRB_SUCCESS);
	assert_int_equal(resize_lun(rig, 7), -ENOENT);
	assert_int_equal(resize_lun(rig, 200), -ENOENT);
	guest_disk_close(&rig->d);
}

/* Sizes change while all channels are at work: each command sees one size or the other. */
static void changes_under_load(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	uint32_t done = 0, attentions = 0;

	guest_disk_open(d, VSTOR_VERSION_WIN10, 2);
	while (done < 3000) {
		uint64_t seen = guest_events(&rig->g);
		uint32_t before = done;

		for (uint32_t slot = 0; slot < 16; slot++) {
			struct guest_slot *s = &d->slots[slot];

			if (s->state == SLOT_DONE) {
				bool good = s->result.srb_status == VSTOR_SRB_SUCCESS;

				attentions += !good && s->result.sense[2] == 6;
				assert_true(good || s->result.sense[12] == 0x2A ||
					    s->result.sense[12] == 0x21);
				s->state = SLOT_FREE;
				done++;
			}
			if (s->state != SLOT_FREE)
				continue;
			guest_slot_read(d, slot, LUN, RIG_BLOCKS - 1, 1);
			guest_disk_submit(d, slot, slot % d->channel_count);
			if (slot == 0)
				resize(rig, RIG_DISK_BYTES / (1 + done % 2));
		}
		if (before == done && !guest_disk_poll(d))
			guest_wait_events(&rig->g, seen);
	}
	while (guest_disk_in_flight(d)) {
		uint64_t seen = guest_events(&rig->g);

		if (!guest_disk_poll(d))
			guest_wait_events(&rig->g, seen);
	}
	assert_true(attentions > 0);
	guest_disk_close(d);
}

/* Linux must see the status itself, not "some error": see the sheet of the SRB status. */
static void reservation_conflict_has_its_status(void **state)
{
	struct storvsp_rig *rig = *state;
	struct guest_disk *d = &rig->d;
	const struct storvsc_completion *c;
	uint8_t list[24] = {9, [15] = 1};

	guest_disk_open(d, VSTOR_VERSION_WIN10, 0);
	guest_slot_put(d, 0, list, sizeof(list));
	c = guest_disk_run(d, LUN, VSTOR_DATA_OUT, 24, CDB(0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0));
	assert_int_equal(c->scsi_status, 0x18);
	assert_int_equal(c->srb_status, VSTOR_SRB_ERROR);
	list[0] = 0;
	guest_slot_put(d, 0, list, sizeof(list));
	c = guest_disk_run(d, LUN, VSTOR_DATA_OUT, 24, CDB(0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0));
	assert_int_equal(c->srb_status, VSTOR_SRB_SUCCESS);
	guest_disk_close(d);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shrinks_and_grows),
		TEST(changes_under_load),
		TEST(reservation_conflict_has_its_status),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
